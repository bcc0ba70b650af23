/* Makes signed Stripe subscription events from a template. */
#include "tests/load/load.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/secret.h"

struct load_maker {
	struct load_options options;
	struct hmac_key *key;
	struct buf body;
	struct buf *pool; /* options.pool requests */
	char (*pool_ids)[LOAD_ID_BYTES];
};

static const char *const STATUSES[] = {"active", "past_due", "trialing", "unpaid"};

static bool make_body(struct load_maker *maker, uint64_t serial, int64_t now_s, const char *id)
{
	struct buf *body = &maker->body;
	unsigned customer = (unsigned)(serial % (uint64_t)maker->options.customers);
	buf_clear(body);
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
	size_t wanted = (size_t)maker->options.body_bytes;
	while (body->len + sizeof(tail) < wanted)
		if (!buf_append_text(body, "all work and no play, "))
			return false;
	return buf_append_text(body, tail);
}

static bool make_request(struct load_maker *maker, uint64_t serial, struct buf *out, char id[LOAD_ID_BYTES])
{
	int64_t now_s = clock_wall_ms(clock_system()) / 1000;
	(void)snprintf(id, LOAD_ID_BYTES, "evt_%s%012llu", maker->options.run, (unsigned long long)serial);
	if (!make_body(maker, serial, now_s, id))
		return false;
	buf_clear(out);
	if (!buf_printf(out, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n",
			maker->options.path))
		return false;
	if (maker->key != NULL) {
		char stamp[24], hex[SHA256_HEX_BYTES];
		uint8_t mac[SHA256_BYTES];
		int length = snprintf(stamp, sizeof(stamp), "%lld.", (long long)now_s);
		struct bytes parts[2] = {bytes_make(stamp, (size_t)length), buf_bytes(&maker->body)};
		hmac_sha256(maker->key, parts, 2, mac);
		hex_encode(mac, sizeof(mac), hex);
		if (!buf_printf(out, "Stripe-Signature: t=%lld,v1=%s\r\n", (long long)now_s, hex))
			return false;
	}
	return buf_printf(out, "Content-Length: %zu\r\n\r\n", maker->body.len) &&
	       buf_append(out, maker->body.data, maker->body.len);
}

static bool make_pool(struct load_maker *maker, struct err *err)
{
	size_t count = (size_t)maker->options.pool;
	maker->pool = calloc(count, sizeof(*maker->pool));
	maker->pool_ids = calloc(count, sizeof(*maker->pool_ids));
	if (maker->pool == NULL || maker->pool_ids == NULL)
		return err_set(err, ERR_FULL, "out of memory for %zu requests", count);
	for (size_t i = 0; i < count; i++) {
		buf_init(&maker->pool[i], LOAD_REQUEST_BYTES_MAX);
		if (!make_request(maker, i, &maker->pool[i], maker->pool_ids[i]))
			return err_set(err, ERR_FULL, "out of memory for request %zu", i);
	}
	return true;
}

struct load_maker *load_maker_new(const struct load_options *options, struct err *err)
{
	struct load_maker *maker = calloc(1, sizeof(*maker));
	if (maker == NULL) {
		err_set(err, ERR_FULL, "out of memory");
		return NULL;
	}
	maker->options = *options;
	buf_init(&maker->body, LOAD_REQUEST_BYTES_MAX);
	if (options->secret != NULL) {
		struct secret secret;
		if (!secret_set(&secret, bytes_of(options->secret), err))
			goto fail;
		maker->key = hmac_key_new(&secret);
		secret_wipe(&secret);
		if (maker->key == NULL)
			goto fail;
	}
	if (options->pool > 0 && !make_pool(maker, err))
		goto fail;
	return maker;
fail:
	load_maker_free(maker);
	return NULL;
}

void load_maker_free(struct load_maker *maker)
{
	if (maker == NULL)
		return;
	for (int i = 0; maker->pool != NULL && i < maker->options.pool; i++)
		buf_free(&maker->pool[i]);
	free(maker->pool);
	free(maker->pool_ids);
	buf_free(&maker->body);
	hmac_key_free(maker->key);
	free(maker);
}

bool load_maker_make(struct load_maker *maker, uint64_t serial, struct buf *storage, struct load_request *out)
{
	if (maker->pool != NULL) {
		size_t slot = (size_t)(serial % (uint64_t)maker->options.pool);
		out->data = maker->pool[slot].data;
		out->len = maker->pool[slot].len;
		memcpy(out->id, maker->pool_ids[slot], LOAD_ID_BYTES);
		return true;
	}
	if (!make_request(maker, serial, storage, out->id))
		return false;
	out->data = storage->data;
	out->len = storage->len;
	return true;
}
