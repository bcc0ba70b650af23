// The Node peer of the benchmarks: Fastify, the official Stripe SDK and Confluent's Kafka client.
// It checks the signature with the SDK, or the agent's token, publishes to Kafka and answers after the acknowledgement.
import crypto from "node:crypto";
import fs from "node:fs";
import { parseArgs } from "node:util";
import Fastify from "fastify";
import Stripe from "stripe";
import kafka from "@confluentinc/kafka-javascript";

const { values: flags } = parseArgs({
  options: {
    port: { type: "string" }, brokers: { type: "string" }, topic: { type: "string" }, "secret-file": { type: "string" },
    "tokens-file": { type: "string" },
  },
});
const secret = fs.readFileSync(flags["secret-file"], "utf8").trim();
const stripe = new Stripe("sk_test_none");
const client = new kafka.KafkaJS.Kafka({ kafkaJS: { brokers: flags.brokers.split(","), logLevel: kafka.KafkaJS.logLevel.ERROR } });
const producer = client.producer({ kafkaJS: { acks: -1 } });
await producer.connect();

// Publishes and answers with `status` once Kafka has it.
async function publish(reply, key, value, status) {
  try {
    await producer.send({ topic: flags.topic, messages: [{ key, value: JSON.stringify(value) }] });
  } catch {
    return reply.code(503).header("retry-after", "1").send("kafka");
  }
  return reply.code(status).send();
}

const app = Fastify();
app.decorateRequest("account", undefined);
app.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
app.post("/webhooks/stripe", async (request, reply) => {
  let event;
  try {
    event = stripe.webhooks.constructEvent(request.body, request.headers["stripe-signature"], secret);
  } catch {
    return reply.code(400).send("signature");
  }
  const object = event.data.object;
  return publish(reply, object.customer, {
    event_id: event.id, type: event.type, created: event.created, customer: object.customer,
    subscription: object.id, status: object.status,
  }, 200);
});

// The SHA-256 of each token, and whose it is.
const sha256 = (text) => crypto.createHash("sha256").update(text).digest("base64");
const tokens = flags["tokens-file"] ? fs.readFileSync(flags["tokens-file"], "utf8").trim().split("\n") : [];
const agents = new Map(tokens.map((token, index) => [sha256(token), `acct_${index}`]));

app.post("/v1/events", {
  onRequest: async (request, reply) => {
    const [scheme, token] = (request.headers.authorization ?? "").split(" ");
    request.account = scheme === "Bearer" && token ? agents.get(sha256(token)) : undefined;
    if (!request.account) return reply.code(401).header("www-authenticate", "Bearer").send("token");
  },
}, async (request, reply) => {
  let event;
  try {
    event = JSON.parse(request.body);
  } catch {
    return reply.code(400).send("json");
  }
  const { id, type, occurred_at, amount, currency, text } = event;
  return publish(reply, request.account, { account: request.account, id, type, occurred_at, amount, currency, text }, 202);
});
await app.listen({ host: "127.0.0.1", port: Number(flags.port) });
