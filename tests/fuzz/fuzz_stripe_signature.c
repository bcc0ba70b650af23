/*
 * Stripe-Signature headers against a plain second implementation, written as Stripe's libraries do it.
 *
 * Input: header, NUL, body. "@" in the header becomes the right signature of the body for the header's first t, so
 * that the fuzzer can reach what lies behind a good one.
 *
 * Invariant: what is accepted, the second implementation accepts too; and a header that is nothing but a t in time
 * and the right signature is accepted.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/limits.h"
#include "ingress/stripe/signature.h"

enum { MAC_HEX = 64, TOLERANCE_S = 300 };
static const char SECRET[] = "whsec_fuzz";
static const int64_t NOW_S = 1769000000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mac_hex(struct bytes time_text, struct bytes body, char out[MAC_HEX + 1])
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned mac_len = sizeof(mac);
	uint8_t *text = malloc(time_text.len + 1 + body.len);

	if (text == NULL)
		abort();
	memcpy(text, time_text.data, time_text.len);
	text[time_text.len] = '.';
	if (body.len > 0)
		memcpy(text + time_text.len + 1, body.data, body.len);
	if (HMAC(EVP_sha256(), SECRET, sizeof(SECRET) - 1, text, time_text.len + 1 + body.len, mac, &mac_len) == NULL)
		abort();
	for (unsigned i = 0; i < mac_len; i++)
		(void)snprintf(out + (size_t)i * 2, 3, "%02x", mac[i]);
	free(text);
}

/* The value of the first t, or "" */
static struct bytes first_time(const char *header)
{
	const char *at = strncmp(header, "t=", 2) == 0 ? header : strstr(header, ",t=");

	if (at == NULL)
		return bytes_of("");
	at = strchr(at, '=') + 1;
	return bytes_make(at, strcspn(at, ","));
}

static char *expand(const uint8_t *data, size_t len, struct bytes body)
{
	char hex[MAC_HEX + 1];
	char *header = calloc(1, len * MAC_HEX + 1);
	char *plain = calloc(1, len + 1);

	if (header == NULL || plain == NULL)
		abort();
	memcpy(plain, data, len);
	mac_hex(first_time(plain), body, hex);
	for (size_t i = 0, at = 0; i < len; i++) {
		size_t add = plain[i] == '@' ? MAC_HEX : 1;
		memcpy(header + at, plain[i] == '@' ? hex : plain + i, add);
		at += add;
	}
	free(plain);
	return header;
}

/* As Stripe's libraries read it, but both ways in time. */
static bool reference_accepts(const char *header, struct bytes body)
{
	struct bytes time_text = first_time(header);
	char time_copy[64] = "";
	char hex[MAC_HEX + 1];
	bool found = false;

	if (time_text.len == 0 || time_text.len >= sizeof(time_copy))
		return false;
	memcpy(time_copy, time_text.data, time_text.len);
	long long t = strtoll(time_copy, NULL, 10);
	if (llabs(NOW_S - t) > TOLERANCE_S)
		return false;
	mac_hex(time_text, body, hex);
	for (const char *at = header; *at != '\0'; at += strcspn(at, ","), at += *at == ',')
		found |= strncmp(at, "v1=", 3) == 0 && strcspn(at + 3, ",") == MAC_HEX &&
			 memcmp(at + 3, hex, MAC_HEX) == 0;
	return found;
}

static struct stripe_verifier *verifier_make(void)
{
	struct secret_list list = {.count = 1};
	struct err err;

	if (!secret_set(&list.items[0], bytes_of(SECRET), &err))
		abort();
	struct stripe_verifier *verifier = stripe_verifier_new(&list, TOLERANCE_S, &err);
	if (verifier == NULL)
		abort();
	return verifier;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct stripe_verifier *verifier;

	if (verifier == NULL)
		verifier = verifier_make();
	const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
	size_t header_len = nul != NULL ? (size_t)(nul - data) : size;
	struct bytes body = nul != NULL ? bytes_make(nul + 1, size - header_len - 1) : bytes_make(NULL, 0);
	if (header_len > STRIPE_SIGNATURE_HEADER_BYTES_MAX)
		return 0;
	char *header = expand(data, header_len, body);

	bool accepted = stripe_verify(verifier, bytes_of(header), body, NOW_S) == STRIPE_SIGNATURE_GOOD;
	if (accepted)
		assert(reference_accepts(header, body));
	static const char PLAIN[] = "t=1769000000,v1=@";
	if (header_len == sizeof(PLAIN) - 1 && memcmp(data, PLAIN, header_len) == 0)
		assert(accepted);
	free(header);
	return 0;
}
