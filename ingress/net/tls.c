#include "ingress/net/tls.h"

#include <assert.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/id.h"

struct tls_context {
	SSL_CTX *ssl_ctx;
};

struct tls {
	SSL *ssl;
	int fd;
	bool drained; /* the last read came back short: no bytes until the next event */
};

/* --- the socket under OpenSSL --------------------------------------------------------------------- */

static int socket_read(BIO *bio, char *to, int cap)
{
	struct tls *tls = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	if (tls->drained) {
		BIO_set_retry_read(bio);
		return -1;
	}
	ssize_t got = recv(tls->fd, to, (size_t)cap, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		tls->drained = errno == EAGAIN;
		BIO_set_retry_read(bio);
		return -1;
	}
	/* 0 is the end of the stream: it is seen again by the next read, so it does not count as drained. */
	tls->drained = got > 0 && got < cap;
	return (int)got;
}

static int socket_write(BIO *bio, const char *from, int len)
{
	struct tls *tls = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	ssize_t put = send(tls->fd, from, (size_t)len, MSG_NOSIGNAL);
	if (put < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	return (int)put;
}

static long socket_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *socket_method(void)
{
	static BIO_METHOD *method; /* made once, by the first context, before the loops start */
	if (method != NULL)
		return method;
	BIO_METHOD *made = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "watchpost socket");
	if (made == NULL || BIO_meth_set_read(made, socket_read) != 1 || BIO_meth_set_write(made, socket_write) != 1 ||
	    BIO_meth_set_ctrl(made, socket_ctrl) != 1) {
		BIO_meth_free(made);
		return NULL;
	}
	method = made;
	return method;
}

/* --- contexts ------------------------------------------------------------------------------------- */

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
		       unsigned int in_len, void *cookie)
{
	static const unsigned char OURS[] = "\x08http/1.1";
	unsigned char *chosen = NULL;
	(void)ssl;
	(void)cookie;
	if (SSL_select_next_proto(&chosen, out_len, OURS, sizeof(OURS) - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* The ticket is encrypted under the key and then authenticated (RFC 5077, section 4). */
static bool use_key(const struct ticket_key *key, const uint8_t *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
		    int encrypt)
{
	struct ticket_key copy = *key; /* OSSL_PARAM takes no const */
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, copy.mac, sizeof(copy.mac)),
			       OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, sizeof(digest) - 1),
			       OSSL_PARAM_construct_end()};
	bool used = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, copy.cipher, iv, encrypt) == 1 &&
		    EVP_MAC_CTX_set_params(mac, params) == 1;
	OPENSSL_cleanse(&copy, sizeof(copy));
	return used;
}

/* OpenSSL's answers: -1 a fault, 0 not ours (a whole handshake follows), 1 good, 2 good and a new ticket is due. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
		     int encrypt)
{
	struct tickets *tickets = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct ticket_key key;
	bool renew = false;
	bool known = true;
	if (encrypt == 1) {
		tickets_current(tickets, &key);
		memcpy(name, key.name, sizeof(key.name));
		id_random(iv, EVP_MAX_IV_LENGTH);
	} else {
		known = tickets_find(tickets, name, &key, &renew);
	}
	if (!known)
		return 0;
	bool used = use_key(&key, iv, cipher, mac, encrypt);
	OPENSSL_cleanse(&key, sizeof(key));
	if (!used)
		return -1;
	return renew ? 2 : 1;
}

static bool fail(struct err *err, const char *what, const char *path)
{
	char text[160] = "unknown error";
	unsigned long code = ERR_peek_last_error();
	if (code != 0)
		ERR_error_string_n(code, text, sizeof(text));
	ERR_clear_error();
	return err_set(err, ERR_INVALID, "while reading the %s from %s: %s", what, path, text);
}

static bool set_protocol(SSL_CTX *ctx, struct tickets *tickets)
{
	char groups[] = "X25519:P-256:P-384"; /* OpenSSL's macro takes it without const */
	static const unsigned char SESSION_CONTEXT[] = "watchpost";
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA |
					 SSL_OP_CLEANSE_PLAINTEXT /* as blocks are wiped, promise 4 */);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_timeout(ctx, 2L * TICKET_KEY_S); /* tickets are good for as long as their keys may be */
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
	if (SSL_CTX_set_app_data(ctx, tickets) != 1 || SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) != 1)
		return false;
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
	       SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
					     "TLS_CHACHA20_POLY1305_SHA256") == 1 &&
	       SSL_CTX_set1_groups_list(ctx, groups) == 1 && SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
	       SSL_CTX_set_session_id_context(ctx, SESSION_CONTEXT, sizeof(SESSION_CONTEXT) - 1) == 1;
}

static bool set_certificate(SSL_CTX *ctx, const char *certificate_file, const char *key_file, struct err *err)
{
	if (SSL_CTX_use_certificate_chain_file(ctx, certificate_file) != 1)
		return fail(err, "certificate", certificate_file);
	if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1)
		return fail(err, "private key", key_file);
	if (SSL_CTX_check_private_key(ctx) != 1)
		return fail(err, "private key that fits the certificate", key_file);
	return true;
}

struct tls_context *tls_context_new(const char *certificate_file, const char *key_file, struct tickets *tickets,
				    struct err *err)
{
	struct tls_context *context = calloc(1, sizeof(*context));
	if (context == NULL || socket_method() == NULL ||
	    (context->ssl_ctx = SSL_CTX_new(TLS_server_method())) == NULL) {
		(void)err_set(err, ERR_FULL, "while starting TLS: out of memory");
		goto failed;
	}
	if (!set_protocol(context->ssl_ctx, tickets)) {
		(void)err_set(err, ERR_INTERNAL, "while starting TLS: OpenSSL refused a setting");
		goto failed;
	}
	if (!set_certificate(context->ssl_ctx, certificate_file, key_file, err))
		goto failed;
	return context;
failed:
	tls_context_free(context);
	return NULL;
}

void tls_context_free(struct tls_context *context)
{
	if (context == NULL)
		return;
	SSL_CTX_free(context->ssl_ctx);
	free(context);
}

/* --- one connection ------------------------------------------------------------------------------- */

struct tls *tls_new(const struct tls_context *context, int fd)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	BIO *bio = BIO_new(socket_method());
	if (tls == NULL || bio == NULL || (tls->ssl = SSL_new(context->ssl_ctx)) == NULL) {
		BIO_free(bio);
		free(tls);
		return NULL;
	}
	tls->fd = fd;
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_accept_state(tls->ssl);
	return tls;
}

void tls_free(struct tls *tls)
{
	if (tls == NULL)
		return;
	SSL_free(tls->ssl);
	free(tls);
}

void tls_readable(struct tls *tls)
{
	tls->drained = false;
}

bool tls_has_input(const struct tls *tls)
{
	return !tls->drained || SSL_has_pending(tls->ssl) == 1;
}

static enum tls_result result_of(struct tls *tls, int returned)
{
	if (returned > 0)
		return TLS_DONE;
	int code = SSL_get_error(tls->ssl, returned);
	if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE)
		return TLS_AGAIN;
	bool closed = code == SSL_ERROR_ZERO_RETURN || code == SSL_ERROR_SYSCALL ||
		      ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
	/* The queue is per thread: what one connection leaves there would be taken for the next one's. */
	ERR_clear_error();
	return closed ? TLS_CLOSED : TLS_BROKEN;
}

/* What others left in this thread's queue (libpq, when a connection of its own breaks) would be taken for a fault of
 * this connection (SSL_get_error(3)). */
static void forget_faults(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

enum tls_result tls_handshake(struct tls *tls)
{
	forget_faults();
	return result_of(tls, SSL_do_handshake(tls->ssl));
}

enum tls_result tls_read(struct tls *tls, uint8_t *to, size_t cap, size_t *got)
{
	assert(cap > 0);
	*got = 0;
	forget_faults();
	return result_of(tls, SSL_read_ex(tls->ssl, to, cap, got));
}

enum tls_result tls_write(struct tls *tls, const uint8_t *from, size_t len, size_t *put)
{
	assert(len > 0);
	*put = 0;
	forget_faults();
	return result_of(tls, SSL_write_ex(tls->ssl, from, len, put));
}

void tls_shutdown(struct tls *tls)
{
	if (SSL_is_init_finished(tls->ssl) == 1 && SSL_shutdown(tls->ssl) < 0)
		ERR_clear_error();
}
