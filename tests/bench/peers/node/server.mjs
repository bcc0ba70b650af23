// The Node peer of the webhook benchmark: Fastify, the official Stripe SDK and Confluent's Kafka client.
// It checks the signature with the SDK, publishes to Kafka and answers after the acknowledgement.
import fs from "node:fs";
import { parseArgs } from "node:util";
import Fastify from "fastify";
import Stripe from "stripe";
import kafka from "@confluentinc/kafka-javascript";

const { values: flags } = parseArgs({
  options: {
    port: { type: "string" }, brokers: { type: "string" }, topic: { type: "string" }, "secret-file": { type: "string" },
  },
});
const secret = fs.readFileSync(flags["secret-file"], "utf8").trim();
const stripe = new Stripe("sk_test_none");
const client = new kafka.KafkaJS.Kafka({ kafkaJS: { brokers: flags.brokers.split(","), logLevel: kafka.KafkaJS.logLevel.ERROR } });
const producer = client.producer({ kafkaJS: { acks: -1 } });
await producer.connect();

const app = Fastify();
app.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
app.post("/webhooks/stripe", async (request, reply) => {
  let event;
  try {
    event = stripe.webhooks.constructEvent(request.body, request.headers["stripe-signature"], secret);
  } catch {
    return reply.code(400).send("signature");
  }
  const object = event.data.object;
  const value = JSON.stringify({
    event_id: event.id, type: event.type, created: event.created, customer: object.customer,
    subscription: object.id, status: object.status,
  });
  try {
    await producer.send({ topic: flags.topic, messages: [{ key: object.customer, value }] });
  } catch {
    return reply.code(503).header("retry-after", "1").send("kafka");
  }
  return reply.code(200).send();
});
await app.listen({ host: "127.0.0.1", port: Number(flags.port) });
