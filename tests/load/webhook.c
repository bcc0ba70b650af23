/* Signed Stripe subscription events from a template. */
#include <string.h>

#include "common/clock.h"
#include "tests/load/load.h"

static const char *const STATUSES[] = {"active", "past_due", "trialing", "unpaid"};

static bool write_body(const struct load_options *options, uint64_t serial, int64_t now_s, const char *id,
		       struct buf *body)
{
	unsigned customer = (unsigned)(serial % (uint64_t)options->customers);
	if (!buf_printf(
		    body,
		    "{\"id\":\"%s\",\"object\":\"event\",\"api_version\":\"2026-06-24.dahlia\",\"created\":%lld,"
		    "\"data\":{\"object\":{\"id\":\"sub_load%08u\",\"object\":\"subscription\",\"application\":null,"
		    "\"cancel_at_period_end\":false,\"created\":1700000000,\"currency\":\"usd\","
		    "\"customer\":\"cus_load%08u\",\"items\":{\"object\":\"list\",\"data\":[{\"id\":\"si_load%08u\","
		    "\"object\":\"subscription_item\",\"current_period_end\":1830000000,"
		    "\"current_period_start\":1800000000,\"quantity\":1}],\"has_more\":false},\"livemode\":false,"
		    "\"metadata\":{},\"status\":\"%s\",\"description\":\"",
		    id, (long long)now_s, customer, customer, customer, STATUSES[(serial / 7) % 4]))
		return false;
	static const char tail[] = "\"}},\"livemode\":false,\"pending_webhooks\":1,\"request\":{\"id\":null,"
				   "\"idempotency_key\":null},\"type\":\"customer.subscription.updated\"}";
	size_t wanted = (size_t)options->body_bytes;
	while (body->len + sizeof(tail) < wanted)
		if (!buf_append_text(body, "all work and no play, "))
			return false;
	return buf_append_text(body, tail);
}

bool load_webhook(const struct load_options *options, const struct hmac_key *key, uint64_t serial, struct buf *out,
		  char id[LOAD_ID_BYTES])
{
	int64_t now_s = clock_wall_ms(clock_system()) / 1000;
	struct buf body;
	bool made = false;
	buf_init(&body, LOAD_REQUEST_BYTES_MAX);
	(void)snprintf(id, LOAD_ID_BYTES, "evt_%s%012llu", options->run, (unsigned long long)serial);
	buf_clear(out);
	if (!write_body(options, serial, now_s, id, &body) ||
	    !buf_printf(out, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n",
			options->path))
		goto out;
	if (key != NULL) {
		char stamp[24], hex[SHA256_HEX_BYTES];
		uint8_t mac[SHA256_BYTES];
		int length = snprintf(stamp, sizeof(stamp), "%lld.", (long long)now_s);
		struct bytes parts[2] = {bytes_make(stamp, (size_t)length), buf_bytes(&body)};
		hmac_sha256(key, parts, 2, mac);
		hex_encode(mac, sizeof(mac), hex);
		if (!buf_printf(out, "Stripe-Signature: t=%lld,v1=%s\r\n", (long long)now_s, hex))
			goto out;
	}
	made = buf_printf(out, "Content-Length: %zu\r\n\r\n", body.len) && buf_append(out, body.data, body.len);
out:
	buf_free(&body);
	return made;
}
