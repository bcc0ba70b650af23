/*
 * W1: TLS over a socket pair, with OpenSSL's own client on the other side: certificates, resumption over time, reads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/limits.h"
#include "ingress/net/tls.h"
#include "tests/unit/support/temp_dir.h"

struct harness {
	struct temp_dir dir;
	struct clock_fake clock;
	struct tickets *tickets;
	SSL_CTX *client_ctx;
};

static const char *path_of(const struct harness *h, const char *name)
{
	static char paths[4][TEMP_PATH_BYTES];
	static size_t next;

	return temp_path(&h->dir, name, paths[next++ % 4]);
}

/* A key and a self-signed certificate as PEM files. */
static void make_pair(const struct harness *h, const char *certificate_name, const char *key_name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();

	assert_non_null(key);
	assert_non_null(certificate);
	assert_int_equal(X509_set_version(certificate, 2), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), 0));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), 3600));
	assert_int_equal(X509_set_pubkey(certificate, key), 1);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	FILE *file = fopen(path_of(h, certificate_name), "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_X509(file, certificate), 1);
	assert_int_equal(fclose(file), 0);
	file = fopen(path_of(h, key_name), "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(fclose(file), 0);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static int setup(void **state)
{
	struct harness *h = calloc(1, sizeof(*h));
	struct err err;

	assert_non_null(h);
	temp_dir_make(&h->dir);
	make_pair(h, "cert", "key");
	clock_fake_init(&h->clock, 1, 0);
	h->tickets = tickets_new(&h->clock.clock, &err);
	assert_non_null(h->tickets);
	h->client_ctx = SSL_CTX_new(TLS_client_method());
	assert_non_null(h->client_ctx);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	struct harness *h = *state;

	SSL_CTX_free(h->client_ctx);
	tickets_free(h->tickets);
	temp_dir_remove(&h->dir);
	free(h);
	return 0;
}

static struct tls_context *make_context(const struct harness *h)
{
	struct err err = {0};
	struct tls_context *context = tls_context_new(path_of(h, "cert"), path_of(h, "key"), h->tickets, &err);

	assert_string_equal(err.text, "");
	assert_non_null(context);
	return context;
}

/* Both ends of one connection. */
struct pair {
	int fds[2];
	struct tls *server;
	SSL *client;
};

/* Handshakes, then exchanges a byte each way, which also brings TLS 1.3's tickets. */
static struct pair connect_pair(const struct harness *h, const struct tls_context *context, SSL_SESSION *session)
{
	struct pair p;
	enum tls_result server = TLS_AGAIN;
	int client = 0;
	uint8_t byte = 'x';
	size_t len = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p.fds), 0);
	p.server = tls_new(context, p.fds[0]);
	p.client = SSL_new(h->client_ctx);
	assert_non_null(p.server);
	assert_int_equal(SSL_set_fd(p.client, p.fds[1]), 1);
	if (session != NULL)
		assert_int_equal(SSL_set_session(p.client, session), 1);
	for (int i = 0; i < 20 && (client != 1 || server != TLS_DONE); i++) {
		client = SSL_connect(p.client);
		tls_readable(p.server);
		if (server == TLS_AGAIN)
			server = tls_handshake(p.server);
	}
	assert_int_equal(client, 1);
	assert_int_equal(server, TLS_DONE);
	assert_int_equal(tls_write(p.server, &byte, 1, &len), TLS_DONE);
	assert_int_equal(SSL_read(p.client, &byte, 1), 1);
	return p;
}

static void close_pair(struct pair *p)
{
	tls_shutdown(p->server);
	(void)SSL_shutdown(p->client);
	tls_free(p->server);
	SSL_free(p->client);
	(void)close(p->fds[0]);
	(void)close(p->fds[1]);
}

/* Connects with the session, tells whether it was resumed, and puts the new session in its place. */
static bool resumes(const struct harness *h, const struct tls_context *context, SSL_SESSION **session)
{
	struct pair p = connect_pair(h, context, *session);
	bool reused = SSL_session_reused(p.client) == 1;

	SSL_SESSION_free(*session);
	*session = SSL_get1_session(p.client);
	close_pair(&p);
	return reused;
}

/* Why: keys that never change open every recorded TLS 1.2 session when they leak; keys that change too fast make every
 * client shake hands anew. How: both versions, moving the clock: resumed within a life and within the next one, with a
 * new ticket that holds as long again; not after two lives; and with another context (a reload) all the same. */
static void sessions_resume_for_two_lives_of_a_key(void **state)
{
	struct harness *h = *state;
	static const int VERSIONS[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	const int64_t life_ms = (int64_t)TICKET_KEY_S * 1000;

	for (size_t i = 0; i < ARRAY_LEN(VERSIONS); i++) {
		struct tls_context *context = make_context(h);
		SSL_SESSION *session = NULL;
		assert_int_equal(SSL_CTX_set_min_proto_version(h->client_ctx, VERSIONS[i]), 1);
		assert_int_equal(SSL_CTX_set_max_proto_version(h->client_ctx, VERSIONS[i]), 1);
		assert_false(resumes(h, context, &session));
		assert_true(resumes(h, context, &session));
		for (int n = 0; n < 3; n++) {
			clock_fake_advance_ms(&h->clock, life_ms);
			assert_true(resumes(h, context, &session));
		}
		struct tls_context *reloaded = make_context(h);
		assert_true(resumes(h, reloaded, &session));
		tls_context_free(context);
		clock_fake_advance_ms(&h->clock, 2 * life_ms);
		assert_false(resumes(h, reloaded, &session));
		SSL_SESSION_free(session);
		tls_context_free(reloaded);
	}
}

/* Why: a ticket of the key before must be found, an older or foreign one not. How: the names over time. */
static void old_keys_go(void **state)
{
	struct harness *h = *state;
	struct ticket_key first;
	struct ticket_key found;
	bool renew = true;

	tickets_current(h->tickets, &first);
	assert_true(tickets_find(h->tickets, first.name, &found, &renew));
	assert_false(renew);
	assert_memory_equal(&first, &found, sizeof(first));
	clock_fake_advance_ms(&h->clock, (int64_t)TICKET_KEY_S * 1000);
	assert_true(tickets_find(h->tickets, first.name, &found, &renew));
	assert_true(renew);
	assert_memory_equal(&first, &found, sizeof(first));
	clock_fake_advance_ms(&h->clock, (int64_t)TICKET_KEY_S * 1000);
	assert_false(tickets_find(h->tickets, first.name, &found, &renew));
	first.name[0] ^= 1;
	assert_false(tickets_find(h->tickets, first.name, &found, &renew));
}

/* Why: whoever configures it wrong must read which file is at fault. How: missing, empty, swapped and mismatched. */
static void faulty_files_are_named(void **state)
{
	struct harness *h = *state;
	struct err err;

	make_pair(h, "other_cert", "other_key");
	temp_write_text(&h->dir, "empty", "");
	static const char *const ROWS[][3] = {
		{"missing", "key", "missing"}, {"cert", "missing", "missing"}, {"empty", "key", "empty"},
		{"key", "key", "key"},         {"cert", "cert", "cert"},       {"cert", "other_key", "other_key"},
	};
	for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
		assert_null(tls_context_new(path_of(h, ROWS[i][0]), path_of(h, ROWS[i][1]), h->tickets, &err));
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.text, ROWS[i][2]));
	}
}

/* Why: each read of the socket costs; a drained one must not be asked again before the next event, and nothing that
 * OpenSSL holds may be forgotten. How: one record, a record in two halves, two records at once read in small pieces. */
static void reads_follow_events(void **state)
{
	struct harness *h = *state;
	struct tls_context *context = make_context(h);
	struct pair p = connect_pair(h, context, NULL);
	uint8_t to[64];
	size_t got = 0;

	tls_readable(p.server);
	assert_int_equal(tls_read(p.server, to, sizeof(to), &got), TLS_AGAIN);
	assert_false(tls_has_input(p.server));
	assert_int_equal(SSL_write(p.client, "hello", 5), 5);
	assert_int_equal(tls_read(p.server, to, sizeof(to), &got), TLS_AGAIN); /* no event was seen */
	tls_readable(p.server);
	assert_int_equal(tls_read(p.server, to, sizeof(to), &got), TLS_DONE);
	assert_int_equal(got, 5);
	assert_false(tls_has_input(p.server));

	assert_int_equal(SSL_write(p.client, "one", 3), 3);
	assert_int_equal(SSL_write(p.client, "two", 3), 3);
	tls_readable(p.server);
	assert_int_equal(tls_read(p.server, to, 2, &got), TLS_DONE);
	assert_int_equal(got, 2);
	assert_true(tls_has_input(p.server));
	assert_int_equal(tls_read(p.server, to, 2, &got), TLS_DONE);
	assert_int_equal(got, 1);
	assert_true(tls_has_input(p.server));
	assert_int_equal(tls_read(p.server, to, sizeof(to), &got), TLS_DONE);
	assert_memory_equal(to, "two", 3);
	assert_false(tls_has_input(p.server));

	assert_int_equal(SSL_shutdown(p.client), 0);
	tls_readable(p.server);
	assert_int_equal(tls_read(p.server, to, sizeof(to), &got), TLS_CLOSED);
	close_pair(&p);
	tls_context_free(context);
}

/* Why: OpenSSL's queue of errors is the thread's; what libpq leaves there on a loop's thread is no fault of a client's
 * connection. How: an error in the queue, then a handshake's first step, a read and a write that must wait or go on. */
static void errors_of_others_are_not_ours(void **state)
{
	struct harness *h = *state;
	struct tls_context *context = make_context(h);
	struct pair p = connect_pair(h, context, NULL);
	uint8_t byte = 'x';
	size_t len = 0;

	ERR_raise(ERR_LIB_SSL, SSL_R_SHUTDOWN_WHILE_IN_INIT);
	tls_readable(p.server);
	assert_int_equal(tls_read(p.server, &byte, 1, &len), TLS_AGAIN);
	ERR_raise(ERR_LIB_SSL, SSL_R_SHUTDOWN_WHILE_IN_INIT);
	assert_int_equal(tls_write(p.server, &byte, 1, &len), TLS_DONE);
	struct tls *fresh = tls_new(context, p.fds[0]);
	ERR_raise(ERR_LIB_SSL, SSL_R_SHUTDOWN_WHILE_IN_INIT);
	assert_int_equal(tls_handshake(fresh), TLS_AGAIN);
	tls_free(fresh);
	close_pair(&p);
	tls_context_free(context);
}

/* Why: what is not TLS must end the connection, and not be taken for a closed one. How: a plain request. */
static void plain_text_is_broken(void **state)
{
	struct harness *h = *state;
	struct tls_context *context = make_context(h);
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	struct tls *tls = tls_new(context, fds[0]);
	assert_non_null(tls);
	assert_int_equal(send(fds[1], "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
	assert_int_equal(tls_handshake(tls), TLS_BROKEN);
	tls_free(tls);
	(void)close(fds[0]);
	(void)close(fds[1]);
	tls_context_free(context);
}

#define LIVE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIVE(sessions_resume_for_two_lives_of_a_key),
		LIVE(old_keys_go),
		LIVE(faulty_files_are_named),
		LIVE(reads_follow_events),
		LIVE(errors_of_others_are_not_ours),
		LIVE(plain_text_is_broken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
