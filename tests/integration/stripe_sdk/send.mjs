// Signs events with Stripe's own library, checks them with it, and posts them.
// Standard input: {"url": …, "secret": …, "files": [path, …]}. Standard output: [{"file": …, "status": …, "body": …}, …].
import { readFile } from "node:fs/promises";
import Stripe from "stripe";

async function readInput() {
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  return JSON.parse(text);
}

async function send({ url, secret }, file) {
  const payload = await readFile(file, "utf8");
  const header = Stripe.webhooks.generateTestHeaderString({ payload, secret });
  if (!payload.includes("v2.core.event")) Stripe.webhooks.constructEvent(payload, header, secret);
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json; charset=utf-8", "Stripe-Signature": header },
    body: payload,
  });
  return { file, status: answer.status, body: await answer.text() };
}

const input = await readInput();
const results = [];
for (const file of input.files) results.push(await send(input, file));
console.log(JSON.stringify(results));
