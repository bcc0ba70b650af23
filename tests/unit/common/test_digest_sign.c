#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/digest.h"
#include "tests/unit/support/temp_dir.h"

static struct temp_dir dir;
static char private_path[TEMP_PATH_BYTES];
static char public_path[TEMP_PATH_BYTES];

static int setup(void **unused)
{
	(void)unused;
	temp_dir_make(&dir);
	temp_path(&dir, "private.pem", private_path);
	temp_path(&dir, "public.pem", public_path);
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	temp_dir_remove(&dir);
	return 0;
}

/* Tests 1, 2 and 3 of RFC 8032, section 7.1. The keys as PEM are the RFC's seeds behind the fixed head of
 * PKCS #8, in base64. */
static const struct {
	const char *base64;
	const char *public;
	const char *message;
	const char *signature;
} rfc_8032[] = {
	{"MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g",
	 "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
	 "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
	 "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
	{"MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7",
	 "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
	 "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
	 "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
	{"MC4CAQAwBQYDK2VwBCIEIMWqjfQ/n4N77bdELzHct7Fm04U1B28JS4XOOi4LRFj3",
	 "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
	 "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
	 "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
};

static struct sign_key *read_rfc_key(size_t i)
{
	char pem[256];
	struct sign_key *key;
	struct err err;
	int len = snprintf(pem, sizeof(pem), "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n",
			   rfc_8032[i].base64);

	assert_true(len > 0 && (size_t)len < sizeof(pem));
	temp_write_text(&dir, "private.pem", pem);
	key = sign_key_read_private(private_path, &err);
	assert_non_null(key);
	return key;
}

/* Why: seals must verify with any tool that knows Ed25519. How: keys, messages and signatures of the
 * RFC: the public key and the signature come out byte for byte, and verify. */
static void signs_as_rfc_8032(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(rfc_8032); i++) {
		struct sign_key *key = read_rfc_key(i);
		uint8_t public[ED25519_PUBLIC_BYTES], signature[ED25519_SIGNATURE_BYTES], message[8];
		size_t len = strlen(rfc_8032[i].message) / 2;
		char hex[2 * ED25519_SIGNATURE_BYTES + 1];
		struct err err;

		assert_true(hex_decode(bytes_of(rfc_8032[i].message), message, len));
		sign_key_public(key, public);
		hex_encode(public, sizeof(public), hex);
		assert_string_equal(hex, rfc_8032[i].public);
		assert_true(sign_message(key, bytes_make(message, len), signature, &err));
		hex_encode(signature, sizeof(signature), hex);
		assert_string_equal(hex, rfc_8032[i].signature);
		assert_true(sign_verify(key, bytes_make(message, len), signature));
		/* the empty message without an address */
		if (len == 0)
			assert_true(sign_verify(key, bytes_make(NULL, 0), signature));
		sign_key_free(key);
	}
}

/* Why: the ledger is believed by these. How: a made pair; the public half verifies what the private one
 * signed, and refuses another message, a flipped bit and another key. */
static void a_made_pair_signs_and_verifies(void **unused)
{
	struct sign_key *private, *public, *other;
	uint8_t signature[ED25519_SIGNATURE_BYTES];
	struct err err;

	(void)unused;
	assert_true(sign_key_generate(private_path, public_path, &err));
	private = sign_key_read_private(private_path, &err);
	public = sign_key_read_public(public_path, &err);
	assert_non_null(private);
	assert_non_null(public);
	assert_true(sign_message(private, bytes_of("head"), signature, &err));
	assert_true(sign_verify(public, bytes_of("head"), signature));
	assert_false(sign_verify(public, bytes_of("heap"), signature));
	signature[63] ^= 0x01;
	assert_false(sign_verify(public, bytes_of("head"), signature));
	signature[63] ^= 0x01;
	other = read_rfc_key(0);
	assert_false(sign_verify(other, bytes_of("head"), signature));
	/* What a failed check leaves behind would be taken for the next TLS call's error. */
	assert_int_equal(ERR_peek_error(), 0);
	sign_key_free(private);
	sign_key_free(public);
	sign_key_free(other);
	sign_key_free(NULL);
}

/* Why: with a public key nothing can be signed, and that is said, not a crash. How: tries. */
static void a_public_key_does_not_sign(void **unused)
{
	uint8_t signature[ED25519_SIGNATURE_BYTES];
	struct sign_key *public;
	struct err err;

	(void)unused;
	assert_true(sign_key_generate(private_path, public_path, &err));
	public = sign_key_read_public(public_path, &err);
	assert_non_null(public);
	assert_false(sign_message(public, bytes_of("head"), signature, &err));
	assert_int_equal(err.code, ERR_INTERNAL);
	assert_int_equal(ERR_peek_error(), 0);
	sign_key_free(public);
}

/* Why: a key that is overwritten is lost with every seal it made; a private one is nobody's to read.
 * How: modes of both files; a second making refuses and leaves no half of a pair. */
static void making_never_overwrites(void **unused)
{
	struct stat info;
	char *before, *after;
	struct err err;

	(void)unused;
	assert_true(sign_key_generate(private_path, public_path, &err));
	assert_int_equal(stat(private_path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0600);
	before = temp_read(private_path, NULL);
	assert_false(sign_key_generate(private_path, public_path, &err));
	assert_int_equal(err.code, ERR_CONFLICT);
	after = temp_read(private_path, NULL);
	assert_string_equal(before, after);
	free(before);
	free(after);

	assert_int_equal(unlink(private_path), 0);
	assert_false(sign_key_generate(private_path, public_path, &err));
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_not_equal(access(private_path, F_OK), 0);
}

/* Why: another kind of key would fail later, in the middle of a seal. How: a P-256 key, text, the wrong
 * half, no file; the error names the path and never the content. */
static void refuses_what_is_no_such_key(void **unused)
{
	static const char p256[] = "-----BEGIN PUBLIC KEY-----\n"
				   "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n"
				   "6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n"
				   "-----END PUBLIC KEY-----\n";
	struct err err;

	(void)unused;
	assert_null(sign_key_read_public(public_path, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	temp_write_text(&dir, "public.pem", p256);
	assert_null(sign_key_read_public(public_path, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.text, "not Ed25519"));
	assert_null(sign_key_read_private(public_path, &err));
	assert_int_equal(err.code, ERR_INVALID);
	temp_write_text(&dir, "public.pem", "hunter2");
	assert_null(sign_key_read_public(public_path, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.text, public_path));
	assert_null(strstr(err.text, "hunter2"));
	assert_int_equal(ERR_peek_error(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(signs_as_rfc_8032, setup, teardown),
		cmocka_unit_test_setup_teardown(a_made_pair_signs_and_verifies, setup, teardown),
		cmocka_unit_test_setup_teardown(a_public_key_does_not_sign, setup, teardown),
		cmocka_unit_test_setup_teardown(making_never_overwrites, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_what_is_no_such_key, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
