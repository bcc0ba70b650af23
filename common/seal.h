/*
 * Seals: Ed25519 signatures over the head of a hash chain, each naming the one before it.
 *
 * What is signed is this text, each line ended by one '\n':
 *
 *   watchpost seal 1
 *   cluster <cluster id>
 *   topic <topic>
 *   partition <number>
 *   last_offset <offset of the last record under the head>
 *   head <64 lower-case hex digits>
 *   sealed_at <RFC 3339, UTC, milliseconds>
 *   previous <64 hex digits: hash of the partition's previous seal; of the first one: the chain's genesis>
 *
 * The hash of a seal is SHA-256(text ‖ signature). So nobody can take a seal out of the middle, change one, or put one
 * in, without the private key; and whoever kept one seal elsewhere can check all before it.
 *
 * Owns: nothing. Thread: any. Errors: ERR_INVALID for a name with a control byte or space; ERR_FULL.
 */
#ifndef WATCHPOST_COMMON_SEAL_H
#define WATCHPOST_COMMON_SEAL_H

#include "common/buf.h"
#include "common/chain.h"
#include "common/digest.h"

struct seal {
	const char *cluster_id;
	const char *topic;
	int32_t partition;
	int64_t last_offset;
	int64_t sealed_at_ms; /* wall */
	uint8_t head[CHAIN_LINK_BYTES];
	uint8_t previous[SHA256_BYTES];
	uint8_t signature[ED25519_SIGNATURE_BYTES];
};

enum { SEAL_TEXT_BYTES_MAX = 1024 }; /* topic ≤ 249, cluster id ≤ 64, two hashes of 64, eight short words */

/* Appends the text above. */
MUSTCHECK bool seal_text(const struct seal *seal, struct buf *out, struct err *err);
/* Fills signature. */
MUSTCHECK bool seal_sign(struct seal *seal, const struct sign_key *key, struct err *err);
/* False with ERR_INVALID when the signature is not that key's over this text. */
MUSTCHECK bool seal_verify(const struct seal *seal, const struct sign_key *key, struct err *err);
/* The next seal's `previous`. */
MUSTCHECK bool seal_hash(const struct seal *seal, uint8_t out[SHA256_BYTES], struct err *err);

#endif
