#include "ingress/stripe/signature.h"

#include <assert.h>
#include <stdlib.h>

#include "common/digest.h"

static const char SECRET_PREFIX[] = "whsec_";

struct stripe_verifier {
	int64_t tolerance_s;
	size_t key_count;
	struct hmac_key *keys[STRIPE_SECRETS_MAX];
};

/* What a header says, before anything of it is believed. */
struct signature_header {
	struct bytes time_text; /* as received: these bytes were signed */
	int64_t time_s;
	size_t v1_count;
	struct bytes v1[STRIPE_SIGNATURES_MAX];
};

static const char *const NAMES[] = {
	[STRIPE_SIGNATURE_GOOD] = "signature_good",
	[STRIPE_SIGNATURE_MISSING] = "signature_missing",
	[STRIPE_SIGNATURE_REPEATED] = "signature_repeated",
	[STRIPE_SIGNATURE_TOO_LONG] = "signature_too_long",
	[STRIPE_SIGNATURE_MALFORMED] = "signature_malformed",
	[STRIPE_SIGNATURE_TIME_MISSING] = "signature_time_missing",
	[STRIPE_SIGNATURE_TIME_BAD] = "signature_time_bad",
	[STRIPE_SIGNATURE_NO_SCHEME] = "signature_no_scheme",
	[STRIPE_SIGNATURE_TOO_MANY] = "signature_too_many",
	[STRIPE_SIGNATURE_TOO_OLD] = "signature_too_old",
	[STRIPE_SIGNATURE_TOO_NEW] = "signature_too_new",
	[STRIPE_SIGNATURE_WRONG] = "signature_wrong",
};
_Static_assert(ARRAY_LEN(NAMES) == STRIPE_SIGNATURE_COUNT, "every result has a name");

const char *stripe_signature_name(enum stripe_signature result)
{
	assert((unsigned)result < STRIPE_SIGNATURE_COUNT);
	return NAMES[result];
}

static bool secret_plausible(struct bytes secret)
{
	size_t prefix_len = sizeof(SECRET_PREFIX) - 1;

	if (secret.len <= prefix_len || memcmp(secret.data, SECRET_PREFIX, prefix_len) != 0)
		return false;
	for (size_t i = prefix_len; i < secret.len; i++)
		if (secret.data[i] <= ' ' || secret.data[i] > '~')
			return false;
	return true;
}

struct stripe_verifier *stripe_verifier_new(const struct secret_list *secrets, int64_t tolerance_s, struct err *err)
{
	assert(secrets->count <= STRIPE_SECRETS_MAX);
	assert(tolerance_s > 0); /* 0 would turn the check off in Stripe's libraries: no setting may say so */

	struct stripe_verifier *verifier = calloc(1, sizeof(*verifier));
	if (verifier == NULL) {
		err_set(err, ERR_FULL, "no memory for a Stripe verifier");
		return NULL;
	}
	verifier->tolerance_s = tolerance_s;
	for (size_t i = 0; i < secrets->count; i++) {
		if (!secret_plausible(secret_bytes(&secrets->items[i]))) {
			err_set(err, ERR_INVALID,
				"stripe_secret_files: secret %zu is not a webhook signing secret (whsec_...)", i + 1);
			goto fail;
		}
		struct hmac_key *key = hmac_key_new(&secrets->items[i]);
		if (key == NULL) {
			err_set(err, ERR_FULL, "no memory for a Stripe key");
			goto fail;
		}
		verifier->keys[verifier->key_count++] = key;
	}
	return verifier;

fail:
	stripe_verifier_free(verifier);
	return NULL;
}

void stripe_verifier_free(struct stripe_verifier *verifier)
{
	if (verifier == NULL)
		return;
	for (size_t i = 0; i < verifier->key_count; i++)
		hmac_key_free(verifier->keys[i]);
	free(verifier);
}

bool stripe_verifier_empty(const struct stripe_verifier *verifier)
{
	return verifier->key_count == 0;
}

/* Plain decimal, no sign, no leading zero: exactly one text for each number, as Stripe writes it. */
static bool time_parse(struct bytes text, int64_t *out)
{
	int64_t value = 0;

	if (text.len == 0 || text.data[0] == '0')
		return false;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];
		if (c < '0' || c > '9' || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, c - '0', &value))
			return false;
	}
	*out = value;
	return true;
}

static enum stripe_signature entry_take(struct signature_header *header, struct bytes name, struct bytes value)
{
	if (bytes_equal_text(name, "t")) {
		if (header->time_text.data != NULL || !time_parse(value, &header->time_s))
			return STRIPE_SIGNATURE_TIME_BAD;
		header->time_text = value;
	} else if (bytes_equal_text(name, "v1")) {
		if (header->v1_count == STRIPE_SIGNATURES_MAX)
			return STRIPE_SIGNATURE_TOO_MANY;
		header->v1[header->v1_count++] = value;
	}
	return STRIPE_SIGNATURE_GOOD;
}

/* GOOD means well formed, no more. */
static enum stripe_signature header_parse(struct bytes text, struct signature_header *header)
{
	const uint8_t *end = text.data + text.len;

	for (const uint8_t *at = text.data;;) {
		const uint8_t *comma = memchr(at, ',', (size_t)(end - at));
		const uint8_t *stop = comma != NULL ? comma : end;
		const uint8_t *equals = memchr(at, '=', (size_t)(stop - at));
		if (equals == NULL)
			return STRIPE_SIGNATURE_MALFORMED;
		enum stripe_signature taken = entry_take(header, bytes_make(at, (size_t)(equals - at)),
							 bytes_make(equals + 1, (size_t)(stop - equals - 1)));
		if (taken != STRIPE_SIGNATURE_GOOD)
			return taken;
		if (comma == NULL)
			break;
		at = comma + 1;
	}
	if (header->time_text.data == NULL)
		return STRIPE_SIGNATURE_TIME_MISSING;
	return header->v1_count > 0 ? STRIPE_SIGNATURE_GOOD : STRIPE_SIGNATURE_NO_SCHEME;
}

/* Subtracting could overflow for a time from outside; both bounds are computed from our own clock. */
static enum stripe_signature time_check(int64_t time_s, int64_t now_s, int64_t tolerance_s)
{
	assert(now_s > INT64_MIN / 2 && now_s < INT64_MAX / 2);
	if (time_s < now_s - tolerance_s)
		return STRIPE_SIGNATURE_TOO_OLD;
	if (time_s > now_s + tolerance_s)
		return STRIPE_SIGNATURE_TOO_NEW;
	return STRIPE_SIGNATURE_GOOD;
}

/* The sender knows what it sent, so decoding that may take its own time; comparing it with our MAC may not. */
static bool any_matches(const struct signature_header *header, const uint8_t mac[SHA256_BYTES])
{
	bool found = false;

	for (size_t i = 0; i < header->v1_count; i++) {
		uint8_t sent[SHA256_BYTES];
		if (hex_decode(header->v1[i], sent, sizeof(sent)))
			found |= digest_equal(sent, mac, sizeof(sent));
	}
	return found;
}

enum stripe_signature stripe_verify(const struct stripe_verifier *verifier, struct bytes header, struct bytes body,
				    int64_t now_s)
{
	struct signature_header parsed = {.v1_count = 0};

	if (header.len == 0)
		return STRIPE_SIGNATURE_MISSING;
	if (header.len > STRIPE_SIGNATURE_HEADER_BYTES_MAX)
		return STRIPE_SIGNATURE_TOO_LONG;
	enum stripe_signature result = header_parse(header, &parsed);
	if (result != STRIPE_SIGNATURE_GOOD)
		return result;
	result = time_check(parsed.time_s, now_s, verifier->tolerance_s);
	if (result != STRIPE_SIGNATURE_GOOD)
		return result;

	const struct bytes signed_parts[] = {parsed.time_text, bytes_make(".", 1), body};
	for (size_t i = 0; i < verifier->key_count; i++) {
		uint8_t mac[SHA256_BYTES];
		hmac_sha256(verifier->keys[i], signed_parts, ARRAY_LEN(signed_parts), mac);
		if (any_matches(&parsed, mac))
			return STRIPE_SIGNATURE_GOOD;
	}
	return STRIPE_SIGNATURE_WRONG;
}
