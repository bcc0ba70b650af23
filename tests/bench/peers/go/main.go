// The Go peer of the benchmarks: net/http and franz-go, written as one would write it on a first day.
// It checks the Stripe signature or the agent's token, reads the event, publishes to Kafka and answers after the
// acknowledgement.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type event struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Created  int64  `json:"created"`
	Livemode bool   `json:"livemode"`
	Data     struct {
		Object struct {
			ID       string `json:"id"`
			Customer string `json:"customer"`
			Status   string `json:"status"`
		} `json:"object"`
	} `json:"data"`
}

func verified(secret, body []byte, header string) bool {
	var stamp string
	var signatures []string
	for _, part := range strings.Split(header, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "t":
			stamp = value
		case "v1":
			signatures = append(signatures, value)
		}
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 300*time.Second {
		return false
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	want := hex.EncodeToString(mac.Sum(nil))
	for _, signature := range signatures {
		if hmac.Equal([]byte(want), []byte(signature)) {
			return true
		}
	}
	return false
}

// Publishes and answers with `status` once Kafka has it.
func publish(w http.ResponseWriter, r *http.Request, client *kgo.Client, key string, value []byte, status int) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	if client.ProduceSync(ctx, &kgo.Record{Key: []byte(key), Value: value}).FirstErr() != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "kafka", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(status)
}

func webhook(w http.ResponseWriter, r *http.Request, client *kgo.Client, secret []byte) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 512<<10))
	if err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	if !verified(secret, body, r.Header.Get("Stripe-Signature")) {
		http.Error(w, "signature", http.StatusBadRequest)
		return
	}
	var e event
	if json.Unmarshal(body, &e) != nil {
		http.Error(w, "json", http.StatusBadRequest)
		return
	}
	value, _ := json.Marshal(map[string]any{"event_id": e.ID, "type": e.Type, "created": e.Created,
		"customer": e.Data.Object.Customer, "subscription": e.Data.Object.ID, "status": e.Data.Object.Status})
	publish(w, r, client, e.Data.Object.Customer, value, http.StatusOK)
}

// What an agent reports.
type report struct {
	ID         string `json:"id"`
	Type       string `json:"type"`
	OccurredAt string `json:"occurred_at"`
	Amount     int64  `json:"amount"`
	Currency   string `json:"currency"`
	Text       string `json:"text"`
}

// The SHA-256 of each token, and whose it is.
func readTokens(path string) map[[sha256.Size]byte]string {
	agents := map[[sha256.Size]byte]string{}
	if path == "" {
		return agents
	}
	text, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	for i, token := range strings.Fields(string(text)) {
		agents[sha256.Sum256([]byte(token))] = "acct_" + strconv.Itoa(i)
	}
	return agents
}

func agentEvent(w http.ResponseWriter, r *http.Request, client *kgo.Client, agents map[[sha256.Size]byte]string) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	account, known := agents[sha256.Sum256([]byte(token))]
	if !bearer || !known {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "token", http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 512<<10))
	if err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	var e report
	if json.Unmarshal(body, &e) != nil {
		http.Error(w, "json", http.StatusBadRequest)
		return
	}
	value, _ := json.Marshal(map[string]any{"account": account, "id": e.ID, "type": e.Type, "occurred_at": e.OccurredAt,
		"amount": e.Amount, "currency": e.Currency, "text": e.Text})
	publish(w, r, client, account, value, http.StatusAccepted)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:9000", "address")
	brokers := flag.String("brokers", "", "bootstrap servers")
	topic := flag.String("topic", "", "topic")
	secretFile := flag.String("secret-file", "", "file with the whsec_ secret")
	tokensFile := flag.String("tokens-file", "", "file with agents' tokens")
	flag.Parse()
	secret, err := os.ReadFile(*secretFile)
	if err != nil {
		log.Fatal(err)
	}
	secret = []byte(strings.TrimSpace(string(secret)))
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(*brokers, ",")...), kgo.DefaultProduceTopic(*topic),
		kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		log.Fatal(err)
	}
	agents := readTokens(*tokensFile)
	http.HandleFunc("/webhooks/stripe", func(w http.ResponseWriter, r *http.Request) { webhook(w, r, client, secret) })
	http.HandleFunc("/v1/events", func(w http.ResponseWriter, r *http.Request) { agentEvent(w, r, client, agents) })
	log.Fatal(http.ListenAndServe(*listen, nil))
}
