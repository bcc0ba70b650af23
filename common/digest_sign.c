/* Ed25519 keys and signatures (common/digest.h). */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/digest.h"

struct sign_key {
	EVP_PKEY *pkey;
};

/* Without this OpenSSL would ask the terminal for the password of an encrypted file. */
static int no_password(char *out, int size, int writing, void *cookie)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)cookie;
	return -1;
}

/* Takes `pkey` over in any case. */
static struct sign_key *key_of(EVP_PKEY *pkey, const char *path, struct err *err)
{
	struct sign_key *key = NULL;

	/* What libcrypto noted on the way would be read as the next TLS call's error. */
	ERR_clear_error();
	if (pkey == NULL) {
		err_set(err, ERR_INVALID, "%s holds no key of this kind in PEM without a password", path);
		goto fail;
	}
	if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_ED25519) {
		err_set(err, ERR_INVALID, "the key in %s is not Ed25519", path);
		goto fail;
	}
	key = malloc(sizeof(*key));
	if (key == NULL) {
		err_set(err, ERR_FULL, "no memory for the key in %s", path);
		goto fail;
	}
	key->pkey = pkey;
	return key;
fail:
	EVP_PKEY_free(pkey);
	return NULL;
}

static struct sign_key *read_key(const char *path, bool private, struct err *err)
{
	BIO *file = BIO_new_file(path, "r");
	EVP_PKEY *pkey;

	if (file == NULL) {
		err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot open %s: %s", path, strerror(errno));
		ERR_clear_error();
		return NULL;
	}
	pkey = private ? PEM_read_bio_PrivateKey(file, NULL, no_password, NULL)
		       : PEM_read_bio_PUBKEY(file, NULL, no_password, NULL);
	BIO_free(file);
	return key_of(pkey, path, err);
}

struct sign_key *sign_key_read_private(const char *path, struct err *err)
{
	return read_key(path, true, err);
}

struct sign_key *sign_key_read_public(const char *path, struct err *err)
{
	return read_key(path, false, err);
}

/* Makes the file, which may not be there yet, with one half of the pair. */
static bool write_key(const char *path, const EVP_PKEY *pkey, bool private, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, private ? 0600 : 0644);
	BIO *file = NULL;
	bool done = false;

	if (fd < 0)
		return err_set(err, errno == EEXIST ? ERR_CONFLICT : ERR_IO, "cannot make %s: %s", path,
			       strerror(errno));
	file = BIO_new_fd(fd, BIO_NOCLOSE);
	if (file != NULL && private)
		done = PEM_write_bio_PKCS8PrivateKey(file, pkey, NULL, NULL, 0, NULL, NULL) == 1;
	else if (file != NULL)
		done = PEM_write_bio_PUBKEY(file, pkey) == 1;
	BIO_free(file);
	done = done && fsync(fd) == 0;
	close(fd);
	if (!done) {
		ERR_clear_error();
		unlink(path);
		return err_set(err, ERR_IO, "cannot write the key to %s", path);
	}
	return true;
}

bool sign_key_generate(const char *private_path, const char *public_path, struct err *err)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	bool done = false;

	if (pkey == NULL)
		return err_set(err, ERR_INTERNAL, "cannot make an Ed25519 key");
	if (!write_key(private_path, pkey, true, err))
		goto out;
	if (!write_key(public_path, pkey, false, err)) {
		unlink(private_path); /* made above: half a pair is of no use */
		goto out;
	}
	done = true;
out:
	EVP_PKEY_free(pkey);
	return done;
}

void sign_key_free(struct sign_key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->pkey);
	free(key);
}

void sign_key_public(const struct sign_key *key, uint8_t out[ED25519_PUBLIC_BYTES])
{
	size_t len = ED25519_PUBLIC_BYTES;

	if (EVP_PKEY_get_raw_public_key(key->pkey, out, &len) != 1 || len != ED25519_PUBLIC_BYTES)
		abort(); /* key_of saw that it is Ed25519 */
}

bool sign_message(const struct sign_key *key, struct bytes message, uint8_t out[ED25519_SIGNATURE_BYTES],
		  struct err *err)
{
	size_t len = ED25519_SIGNATURE_BYTES;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool done = md != NULL && EVP_DigestSignInit(md, NULL, NULL, NULL, key->pkey) == 1 &&
		    EVP_DigestSign(md, out, &len, message.data, message.len) == 1;

	EVP_MD_CTX_free(md);
	ERR_clear_error();
	if (!done)
		return err_set(err, ERR_INTERNAL, "cannot sign; is this the private key?");
	assert(len == ED25519_SIGNATURE_BYTES);
	return true;
}

bool sign_verify(const struct sign_key *key, struct bytes message, const uint8_t signature[ED25519_SIGNATURE_BYTES])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool right;

	if (md == NULL)
		abort(); /* a wrong "no" would read as tampering */
	right = EVP_DigestVerifyInit(md, NULL, NULL, NULL, key->pkey) == 1 &&
		EVP_DigestVerify(md, signature, ED25519_SIGNATURE_BYTES, message.data, message.len) == 1;
	EVP_MD_CTX_free(md);
	ERR_clear_error();
	return right;
}
