#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/digest.h"
#include "tests/unit/support/failing_alloc.h"

static void assert_hex(const uint8_t digest[SHA256_BYTES], const char *expected)
{
	char hex[SHA256_HEX_BYTES];

	hex_encode(digest, SHA256_BYTES, hex);
	assert_string_equal(hex, expected);
}

/* Why: the audit chain and token hashes rest on it. How: the examples of FIPS 180-4 (one block, two
 * blocks, a million bytes) and the empty message, whole and in parts. */
static void sha256_of_the_standard(void **unused)
{
	static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	const struct bytes empty[] = {bytes_make(NULL, 0)};
	const struct bytes abc[] = {bytes_of("abc")};
	const struct bytes parts[] = {bytes_make(two_blocks, 3), bytes_make(NULL, 0), bytes_of(two_blocks + 3)};
	uint8_t digest[SHA256_BYTES];
	struct bytes million;
	uint8_t *data = malloc(1000000);

	(void)unused;
	digest_sha256(NULL, 0, digest);
	assert_hex(digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	digest_sha256(empty, 1, digest);
	assert_hex(digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	digest_sha256(abc, 1, digest);
	assert_hex(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest_sha256(parts, 3, digest);
	assert_hex(digest, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	assert_non_null(data);
	memset(data, 'a', 1000000);
	million = bytes_make(data, 1000000);
	digest_sha256(&million, 1, digest);
	assert_hex(digest, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(data);
}

struct hmac_case {
	const char *key_hex; /* or NULL: `key_byte` repeated `key_len` times */
	uint8_t key_byte;
	size_t key_len;
	const char *message; /* or NULL: `message_byte` repeated `message_len` times */
	uint8_t message_byte;
	size_t message_len;
	const char *mac;
};

static void check_hmac(const struct hmac_case *c)
{
	uint8_t key_bytes[160], message_bytes[160], mac[SHA256_BYTES];
	struct secret secret = {0};
	struct hmac_key *key;
	struct bytes message;
	struct err err;

	memset(key_bytes, c->key_byte, sizeof(key_bytes));
	if (c->key_hex != NULL)
		assert_true(hex_decode(bytes_of(c->key_hex), key_bytes, c->key_len));
	memset(message_bytes, c->message_byte, sizeof(message_bytes));
	message = c->message != NULL ? bytes_of(c->message) : bytes_make(message_bytes, c->message_len);
	assert_true(secret_set(&secret, bytes_make(key_bytes, c->key_len), &err));
	key = hmac_key_new(&secret);
	assert_non_null(key);
	for (int twice = 0; twice < 2; twice++) { /* the key's states are as they were */
		hmac_sha256(key, &message, 1, mac);
		assert_hex(mac, c->mac);
	}
	hmac_key_free(key);
}

/* Why: every webhook is believed by its HMAC. How: test cases 1, 2, 3, 4, 6 and 7 of RFC 4231 (5 is a
 * truncated one): short, long and longer-than-a-block keys. */
static void hmac_of_rfc_4231(void **unused)
{
	static const struct hmac_case cases[] = {
		{NULL, 0x0b, 20, "Hi There", 0, 0, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{"4a656665", 0, 4, "what do ya want for nothing?", 0, 0,
		 "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{NULL, 0xaa, 20, NULL, 0xdd, 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
		{"0102030405060708090a0b0c0d0e0f10111213141516171819", 0, 25, NULL, 0xcd, 50,
		 "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
		{NULL, 0xaa, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 0, 0,
		 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
		{NULL, 0xaa, 131,
		 "This is a test using a larger than block-size key and a larger than block-size data. "
		 "The key needs to be hashed before being used by the HMAC algorithm.",
		 0, 0, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_hmac(&cases[i]);
}

/* Why: Stripe signs "<t>.<body>" with the whole secret text. How: known signatures of a test event, over
 * parts as the ingress has them. */
static void hmac_of_stripe(void **unused)
{
	static const char body[] = "{\n  \"id\": \"evt_test_webhook\",\n  \"object\": \"event\"\n}";
	static const struct {
		const char *secret;
		const char *body;
		const char *mac;
	} cases[] = {
		{"whsec_test_secret", body, "c2f890decbc5ede7c5060bb9a6d31e0626a4342bacb9aeae2adb1bcea72f9812"},
		{"whsec_old_secret", body, "e49c6ab3464e5d1ee1895ea5f9eba31bd8fe3119f02d3aa81ef87adc733582fd"},
		{"whsec_test_secret", "", "0b143541b2e58bb8a2681ed7577ec944676988d66733d6a9d9cd6ccce1022353"},
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct bytes parts[] = {bytes_of("1492774577"), bytes_of("."), bytes_of(cases[i].body)};
		struct secret secret = {0};
		uint8_t mac[SHA256_BYTES];
		struct hmac_key *key;
		struct err err;

		assert_true(secret_set(&secret, bytes_of(cases[i].secret), &err));
		key = hmac_key_new(&secret);
		assert_non_null(key);
		hmac_sha256(key, parts, 3, mac);
		assert_hex(mac, cases[i].mac);
		hmac_key_free(key);
	}
}

/* Why: the hot path must not allocate, and a key without memory is refused. How: an allocation during
 * hmac_sha256 would fail and be noticed. */
static void hmac_allocates_for_the_key_only(void **unused)
{
	const struct bytes message = bytes_of("abc");
	struct secret secret = {0};
	uint8_t mac[SHA256_BYTES];
	struct hmac_key *key;
	struct err err;

	(void)unused;
	assert_true(secret_set(&secret, bytes_of("key"), &err));
	failing_alloc_arm(1);
	key = hmac_key_new(&secret);
	assert_true(failing_alloc_disarm());
	assert_null(key);
	hmac_key_free(key);

	key = hmac_key_new(&secret);
	assert_non_null(key);
	failing_alloc_arm(1);
	hmac_sha256(key, &message, 1, mac);
	assert_false(failing_alloc_disarm());
	assert_hex(mac, "9c196e32dc0175f86f4b1cb89289d6619de6bee699e4c378e68309ed97a1a6ab");
	hmac_key_free(key);
}

/* Why: digests and signatures travel as hex. How: both ways, and what is no hex of that length. */
static void hex_both_ways(void **unused)
{
	static const uint8_t data[] = {0x00, 0x0f, 0xf0, 0xab, 0xff};
	static const char *const wrong[] = {"",           "000ff0abf",  "000ff0abff0", "000ff0abff00",
					    "000FF0ABFF", "000ff0abfg", "0x0ff0abff",  "000ff0ab f"};
	uint8_t back[sizeof(data)];
	char text[2 * sizeof(data) + 1];

	(void)unused;
	hex_encode(data, sizeof(data), text);
	assert_string_equal(text, "000ff0abff");
	assert_true(hex_decode(bytes_of(text), back, sizeof(back)));
	assert_memory_equal(back, data, sizeof(data));
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(hex_decode(bytes_of(wrong[i]), back, sizeof(back)));
	assert_true(hex_decode(bytes_of(""), back, 0));
}

/* Why: it decides whether a signature is right. How: equal, and different in the first and last byte. */
static void equality(void **unused)
{
	uint8_t a[SHA256_BYTES] = {1}, b[SHA256_BYTES] = {1};

	(void)unused;
	assert_true(digest_equal(a, b, sizeof(a)));
	b[31] = 1;
	assert_false(digest_equal(a, b, sizeof(a)));
	assert_true(digest_equal(a, b, 31));
	b[0] = 0;
	assert_false(digest_equal(a, b, 1));
	assert_true(digest_equal(a, b, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_of_the_standard), cmocka_unit_test(hmac_of_rfc_4231),
		cmocka_unit_test(hmac_of_stripe),         cmocka_unit_test(hmac_allocates_for_the_key_only),
		cmocka_unit_test(hex_both_ways),          cmocka_unit_test(equality),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
