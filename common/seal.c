#include "common/seal.h"

#include <assert.h>
#include <inttypes.h>

#include "common/clock.h"

/* A name with a line break could say another line of the text. */
static bool name_plain(const char *name)
{
	if (name[0] == '\0')
		return false;
	for (const char *c = name; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~')
			return false;
	return true;
}

bool seal_text(const struct seal *seal, struct buf *out, struct err *err)
{
	if (!name_plain(seal->cluster_id) || !name_plain(seal->topic))
		return err_set(err, ERR_INVALID, "a seal's cluster id or topic is not plain ASCII");
	char head[SHA256_HEX_BYTES], previous[SHA256_HEX_BYTES], at[CLOCK_TEXT_BYTES];
	hex_encode(seal->head, sizeof(seal->head), head);
	hex_encode(seal->previous, sizeof(seal->previous), previous);
	clock_format_ms(seal->sealed_at_ms, at);
	if (buf_printf(out,
		       "watchpost seal 1\ncluster %s\ntopic %s\npartition %" PRId32 "\nlast_offset %" PRId64
		       "\nhead %s\nsealed_at %s\nprevious %s\n",
		       seal->cluster_id, seal->topic, seal->partition, seal->last_offset, head, at, previous))
		return true;
	return err_set(err, ERR_FULL, "no room for the text of a seal");
}

bool seal_sign(struct seal *seal, const struct sign_key *key, struct err *err)
{
	struct buf text;
	buf_init(&text, SEAL_TEXT_BYTES_MAX);
	bool done = seal_text(seal, &text, err) && sign_message(key, buf_bytes(&text), seal->signature, err);
	buf_free(&text);
	return done;
}

bool seal_verify(const struct seal *seal, const struct sign_key *key, struct err *err)
{
	struct buf text;
	buf_init(&text, SEAL_TEXT_BYTES_MAX);
	bool good = seal_text(seal, &text, err);
	if (good && !sign_verify(key, buf_bytes(&text), seal->signature))
		good = err_set(err, ERR_INVALID,
			       "the seal of %s/%" PRId32 " at offset %" PRId64 " is not signed by this key",
			       seal->topic, seal->partition, seal->last_offset);
	buf_free(&text);
	return good;
}

bool seal_hash(const struct seal *seal, uint8_t out[SHA256_BYTES], struct err *err)
{
	struct buf text;
	buf_init(&text, SEAL_TEXT_BYTES_MAX);
	bool done = seal_text(seal, &text, err);
	if (done) {
		const struct bytes parts[] = {buf_bytes(&text), bytes_make(seal->signature, sizeof(seal->signature))};
		digest_sha256(parts, ARRAY_LEN(parts), out);
	}
	buf_free(&text);
	return done;
}
