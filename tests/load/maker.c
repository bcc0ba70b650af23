/* Requests of either kind, made ahead or when they are sent. */
#include "tests/load/load.h"

#include <stdlib.h>
#include <string.h>

#include "common/secret.h"

struct load_maker {
	struct load_options options;
	struct hmac_key *key;       /* NULL: webhooks go unsigned */
	struct load_tokens *tokens; /* NULL: webhooks */
	struct buf *pool;           /* options.pool requests */
	char (*pool_ids)[LOAD_ID_BYTES];
};

static bool make_request(struct load_maker *maker, uint64_t serial, struct buf *out, char id[LOAD_ID_BYTES])
{
	if (maker->tokens != NULL)
		return load_agent_event(&maker->options, maker->tokens, serial, out, id);
	return load_webhook(&maker->options, maker->key, serial, out, id);
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
	if (options->secret != NULL) {
		struct secret secret;
		if (!secret_set(&secret, bytes_of(options->secret), err))
			goto fail;
		maker->key = hmac_key_new(&secret);
		secret_wipe(&secret);
		if (maker->key == NULL)
			goto fail;
	}
	if (options->tokens_path != NULL) {
		maker->tokens = load_tokens_read(options->tokens_path, err);
		if (maker->tokens == NULL)
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
	load_tokens_free(maker->tokens);
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
