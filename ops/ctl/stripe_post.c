#include "ops/ctl/stripe_post.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/digest.h"

static const char ROUTE[] = "/webhooks/stripe";
static const char SIGNATURE_NAME[] = "Stripe-Signature: ";
enum { CONNECT_TIMEOUT_MS = 5000, ANSWER_TIMEOUT_MS = 30000, TIME_TEXT_BYTES = 24, SIGNATURE_BYTES = 128 };

struct stripe_poster {
	CURL *curl;
	struct hmac_key *key;
	char url[CONFIG_VALUE_BYTES_MAX];
	struct buf *into; /* the answer under way */
};

static size_t on_answer(char *data, size_t size, size_t count, void *cookie)
{
	struct stripe_poster *poster = cookie;
	size_t len = size * count;
	size_t room = poster->into->len_max - poster->into->len;

	/* The status decides; of a long body the beginning is enough. */
	if (!buf_append(poster->into, data, len < room ? len : room))
		return 0;
	return len;
}

static bool url_set(struct stripe_poster *poster, const char *url, struct err *err)
{
	size_t len = strlen(url);
	size_t route_len = sizeof(ROUTE) - 1;
	bool whole = len >= route_len && strcmp(url + len - route_len, ROUTE) == 0;

	if (len > 0 && url[len - 1] == '/')
		len--;
	int written = snprintf(poster->url, sizeof(poster->url), "%.*s%s", (int)len, url, whole ? "" : ROUTE);
	if (written < 0 || (size_t)written >= sizeof(poster->url))
		return err_set(err, ERR_TOO_LARGE, "the URL is over %zu bytes", sizeof(poster->url) - 1);
	return true;
}

static bool options_set(struct stripe_poster *poster, const char *ca_file)
{
	CURL *curl = poster->curl;

	return curl_easy_setopt(curl, CURLOPT_URL, poster->url) == CURLE_OK &&
	       (ca_file == NULL || curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file) == CURLE_OK) &&
	       curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_POST, 1L) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_WRITEDATA, poster) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)ANSWER_TIMEOUT_MS) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_USERAGENT, "watchpostctl/" WATCHPOST_VERSION) == CURLE_OK;
}

struct stripe_poster *stripe_poster_new(const struct stripe_poster_options *options, struct err *err)
{
	struct stripe_poster *poster = calloc(1, sizeof(*poster));

	if (poster == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for a connection");
		return NULL;
	}
	if (!url_set(poster, options->url, err))
		goto fail;
	poster->key = hmac_key_new(options->secret);
	poster->curl = curl_easy_init();
	if (poster->key == NULL || poster->curl == NULL || !options_set(poster, options->ca_file)) {
		(void)err_set(err, ERR_FULL, "no HTTP client could be made");
		goto fail;
	}
	return poster;

fail:
	stripe_poster_free(poster);
	return NULL;
}

void stripe_poster_free(struct stripe_poster *poster)
{
	if (poster == NULL)
		return;
	hmac_key_free(poster->key);
	curl_easy_cleanup(poster->curl);
	free(poster);
}

static void sign(const struct stripe_poster *poster, struct bytes body, int64_t now_s, char out[SIGNATURE_BYTES])
{
	char time_text[TIME_TEXT_BYTES];
	uint8_t mac[SHA256_BYTES];
	char hex[SHA256_HEX_BYTES];
	int len = snprintf(time_text, sizeof(time_text), "%lld.", (long long)now_s);

	assert(len > 0 && (size_t)len < sizeof(time_text));
	hmac_sha256(poster->key, (const struct bytes[]){bytes_make(time_text, (size_t)len), body}, 2, mac);
	hex_encode(mac, sizeof(mac), hex);
	len = snprintf(out, SIGNATURE_BYTES, "%st=%lld,v1=%s", SIGNATURE_NAME, (long long)now_s, hex);
	assert(len > 0 && len < SIGNATURE_BYTES);
}

static struct curl_slist *headers_make(const char *signature)
{
	/* No "Expect: 100-continue": it would cost a turn for each larger event. */
	const char *const lines[] = {"Content-Type: application/json; charset=utf-8", "Expect:", signature};
	struct curl_slist *list = NULL;

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct curl_slist *longer = curl_slist_append(list, lines[i]);
		if (longer == NULL) {
			curl_slist_free_all(list);
			return NULL;
		}
		list = longer;
	}
	return list;
}

static bool transport_failed(CURLcode code, struct err *err)
{
	enum err_code kind = ERR_UNAVAILABLE;

	if (code == CURLE_OPERATION_TIMEDOUT)
		kind = ERR_TIMEOUT;
	else if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
		kind = ERR_DENIED;
	return err_set(err, kind, "no answer: %s", curl_easy_strerror(code));
}

bool stripe_post(struct stripe_poster *poster, struct bytes body, int64_t now_s, struct stripe_answer *answer,
		 struct err *err)
{
	char signature[SIGNATURE_BYTES];
	curl_off_t took_us = 0;

	buf_clear(&answer->body);
	poster->into = &answer->body;
	sign(poster, body, now_s, signature);
	struct curl_slist *headers = headers_make(signature);
	if (headers == NULL)
		return err_set(err, ERR_FULL, "no memory for the request");
	CURLcode code = CURLE_FAILED_INIT;
	if (curl_easy_setopt(poster->curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
	    curl_easy_setopt(poster->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len) == CURLE_OK &&
	    curl_easy_setopt(poster->curl, CURLOPT_POSTFIELDS, body.len > 0 ? (const char *)body.data : "") == CURLE_OK)
		code = curl_easy_perform(poster->curl);
	curl_slist_free_all(headers);
	poster->into = NULL;
	if (code != CURLE_OK || curl_easy_getinfo(poster->curl, CURLINFO_RESPONSE_CODE, &answer->status) != CURLE_OK ||
	    curl_easy_getinfo(poster->curl, CURLINFO_TOTAL_TIME_T, &took_us) != CURLE_OK)
		return transport_failed(code, err);
	answer->took_us = took_us;
	return true;
}
