/* common/seal.c: the text that is signed, and that seals chain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/seal.h"

static struct seal seal_example(void)
{
	struct seal seal = {
		.cluster_id = "4L6g3nShT-eMCtK--X86sw",
		.topic = "watchpost.development.stripe",
		.partition = 2,
		.last_offset = 42,
		.sealed_at_ms = 1700000000123,
	};
	memset(seal.head, 0xab, sizeof(seal.head));
	memset(seal.previous, 0x01, sizeof(seal.previous));
	return seal;
}

/* Why: whoever verifies offline builds this text again. How: byte for byte. */
static void test_text(void **state)
{
	(void)state;
	struct seal seal = seal_example();
	struct buf text;
	struct err err;
	buf_init(&text, SEAL_TEXT_BYTES_MAX);
	assert_true(seal_text(&seal, &text, &err));
	assert_string_equal(buf_text(&text),
			    "watchpost seal 1\n"
			    "cluster 4L6g3nShT-eMCtK--X86sw\n"
			    "topic watchpost.development.stripe\n"
			    "partition 2\n"
			    "last_offset 42\n"
			    "head abababababababababababababababababababababababababababababababab\n"
			    "sealed_at 2023-11-14T22:13:20.123Z\n"
			    "previous 0101010101010101010101010101010101010101010101010101010101010101\n");
	buf_free(&text);
}

/* Why: a line break in a name could forge another line. How: such names are refused, and so is an empty one. */
static void test_names_must_be_plain(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "a\npartition 3", "a b", "caf\xc3\xa9"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct seal seal = seal_example();
		struct buf text;
		struct err err;
		seal.topic = bad[i];
		buf_init(&text, SEAL_TEXT_BYTES_MAX);
		assert_false(seal_text(&seal, &text, &err));
		assert_int_equal(err.code, ERR_INVALID);
		buf_free(&text);
	}
}

static struct sign_key *key_make(char dir[], struct sign_key **public_key)
{
	char private_path[128], public_path[128];
	struct err err;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(private_path, sizeof(private_path), "%s/key", dir);
	(void)snprintf(public_path, sizeof(public_path), "%s/key.pub", dir);
	assert_true(sign_key_generate(private_path, public_path, &err));
	struct sign_key *key = sign_key_read_private(private_path, &err);
	*public_key = sign_key_read_public(public_path, &err);
	assert_non_null(key);
	assert_non_null(*public_key);
	assert_int_equal(unlink(private_path), 0);
	assert_int_equal(unlink(public_path), 0);
	assert_int_equal(rmdir(dir), 0);
	return key;
}

/* Why: each field is under the signature, or it could be changed. How: sign, verify, then change one field at a time;
 * the hash of a seal depends on text and signature. */
static void test_sign_and_verify(void **state)
{
	(void)state;
	char dir[] = "/tmp/watchpost-seal-XXXXXX";
	struct sign_key *public_key, *key = key_make(dir, &public_key);
	struct seal seal = seal_example();
	struct err err;
	assert_true(seal_sign(&seal, key, &err));
	assert_true(seal_verify(&seal, public_key, &err));
	struct seal changed[7];
	for (size_t i = 0; i < ARRAY_LEN(changed); i++)
		changed[i] = seal;
	changed[0].cluster_id = "other";
	changed[1].topic = "watchpost.development.agent";
	changed[2].partition = 3;
	changed[3].last_offset = 43;
	changed[4].sealed_at_ms++;
	changed[5].head[31] ^= 1;
	changed[6].previous[0] ^= 1;
	for (size_t i = 0; i < ARRAY_LEN(changed); i++) {
		assert_false(seal_verify(&changed[i], public_key, &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
	uint8_t one[SHA256_BYTES], two[SHA256_BYTES];
	assert_true(seal_hash(&seal, one, &err));
	seal.signature[0] ^= 1;
	assert_true(seal_hash(&seal, two, &err));
	assert_memory_not_equal(one, two, sizeof(one));
	sign_key_free(key);
	sign_key_free(public_key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_names_must_be_plain),
		cmocka_unit_test(test_sign_and_verify),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
