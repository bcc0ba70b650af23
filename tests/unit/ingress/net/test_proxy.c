/*
 * W1: PROXY protocol version 2, and the addresses that may speak it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>

#include "ingress/net/proxy.h"

static const uint8_t SIGNATURE[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

struct header {
	uint8_t bytes[PROXY_HEADER_BYTES_MAX + 16];
	size_t len;
};

/* Version and command, family, and `block_len` bytes counting up. */
static struct header make(uint8_t command, uint8_t family, size_t block_len)
{
	struct header h = {.len = 16 + block_len};

	memcpy(h.bytes, SIGNATURE, sizeof(SIGNATURE));
	h.bytes[12] = command;
	h.bytes[13] = family;
	h.bytes[14] = (uint8_t)(block_len >> 8);
	h.bytes[15] = (uint8_t)block_len;
	for (size_t i = 0; i < block_len && 16 + i < sizeof(h.bytes); i++)
		h.bytes[16 + i] = (uint8_t)(i + 1);
	return h;
}

static enum proxy_result parse(const struct header *h, bool *has_client, struct net_address *client)
{
	size_t need = 0;
	enum proxy_result result = proxy_parse(bytes_make(h->bytes, h->len), &need, has_client, client);

	if (result == PROXY_DONE)
		assert_int_equal(need, h->len);
	return result;
}

static struct net_address address_of(const char *text)
{
	struct net_address address;
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	struct sockaddr_in in = {.sin_family = AF_INET};

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		assert_true(net_address_of((const struct sockaddr *)&in, &address));
	else {
		assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
		assert_true(net_address_of((const struct sockaddr *)&in6, &address));
	}
	return address;
}

/* Why: limits are counted by the client's address. How: both families, with and without fields behind the addresses. */
static void clients_are_read(void **state)
{
	(void)state;
	bool has_client = false;
	struct net_address client;
	struct net_address want = address_of("1.2.3.4");
	struct header h = make(0x21, 0x11, 12);

	assert_int_equal(parse(&h, &has_client, &client), PROXY_DONE);
	assert_true(has_client && net_address_equal(&client, &want));
	h = make(0x21, 0x11, 12 + 40);
	assert_int_equal(parse(&h, &has_client, &client), PROXY_DONE);
	assert_true(has_client && net_address_equal(&client, &want));
	h = make(0x21, 0x21, 36);
	want = address_of("102:304:506:708:90a:b0c:d0e:f10");
	assert_int_equal(parse(&h, &has_client, &client), PROXY_DONE);
	assert_true(has_client && net_address_equal(&client, &want));
}

/* Why: a balancer's own checks come without a client, and then it is the client. How: LOCAL with anything in it, and
 * PROXY with an unspecified family. */
static void checks_of_the_balancer_have_no_client(void **state)
{
	(void)state;
	bool has_client = true;
	struct net_address client;
	struct header h = make(0x20, 0x00, 0);

	assert_int_equal(parse(&h, &has_client, &client), PROXY_DONE);
	assert_false(has_client);
	h = make(0x20, 0x11, 12);
	assert_int_equal(parse(&h, &has_client, &client), PROXY_DONE);
	assert_false(has_client);
	h = make(0x21, 0x00, 7);
	assert_int_equal(parse(&h, &has_client, &client), PROXY_DONE);
	assert_false(has_client);
}

/* Why: whoever is not what was agreed is refused before anything else is read. How: a wrong byte of the signature,
 * version 1, other versions, commands and families, short addresses, a length beyond the bound. */
static void others_are_refused(void **state)
{
	(void)state;
	bool has_client;
	struct net_address client;
	static const struct {
		uint8_t command, family;
		size_t len;
	} ROWS[] = {{0x11, 0x11, 12}, {0x22, 0x11, 12},  {0x31, 0x11, 12},
		    {0x21, 0x12, 12}, {0x21, 0x31, 216}, {0x21, 0x11, 11},
		    {0x21, 0x21, 35}, {0x21, 0xff, 40},  {0x21, 0x11, PROXY_HEADER_BYTES_MAX - 15}};
	for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
		struct header h = make(ROWS[i].command, ROWS[i].family, ROWS[i].len);
		assert_int_equal(parse(&h, &has_client, &client), PROXY_BAD);
		assert_false(has_client);
	}
	for (size_t i = 0; i < sizeof(SIGNATURE); i++) {
		struct header h = make(0x21, 0x11, 12);
		h.bytes[i] ^= 1;
		h.len = i + 1;
		assert_int_equal(parse(&h, &has_client, &client), PROXY_BAD);
	}
	static const char V1[] = "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n";
	size_t need;
	assert_int_equal(proxy_parse(bytes_of(V1), &need, &has_client, &client), PROXY_BAD);
	struct header h = make(0x21, 0x11, PROXY_HEADER_BYTES_MAX - 16);
	assert_int_equal(parse(&h, &has_client, &client), PROXY_DONE);
}

/* Why: exactly the header may be taken from the socket, what follows is TLS. How: every shorter text is partial, and
 * what it needs is first the fixed part, then all. */
static void pieces_ask_for_what_is_missing(void **state)
{
	(void)state;
	struct header h = make(0x21, 0x11, 20);
	bool has_client;
	struct net_address client;

	for (size_t len = 0; len < h.len; len++) {
		size_t need = 0;
		assert_int_equal(proxy_parse(bytes_make(h.bytes, len), &need, &has_client, &client), PROXY_PARTIAL);
		assert_int_equal(need, len < 16 ? 16 : 36);
	}
}

/* Why: who may name clients is a list of addresses and blocks. How: inside and outside of each, IPv4 also in its
 * mapped form. */
static void blocks_contain_what_they_say(void **state)
{
	(void)state;
	struct net_blocks blocks;
	struct err err;
	static const char *const INSIDE[] = {"10.1.2.3",    "10.0.0.0",       "192.0.2.7",
					     "2001:db8::1", "2001:db8:0:1::", "::ffff:10.9.9.9"};
	static const char *const OUTSIDE[] = {"11.0.0.0", "9.255.255.255", "192.0.2.8", "2001:db9::", "::1", "::a00:1"};

	assert_true(net_blocks_parse("10.0.0.0/8, 192.0.2.7 ,2001:db8::/32", &blocks, &err));
	assert_int_equal(blocks.count, 3);
	for (size_t i = 0; i < ARRAY_LEN(INSIDE); i++) {
		struct net_address a = address_of(INSIDE[i]);
		assert_true(net_blocks_contain(&blocks, &a));
	}
	for (size_t i = 0; i < ARRAY_LEN(OUTSIDE); i++) {
		struct net_address a = address_of(OUTSIDE[i]);
		assert_false(net_blocks_contain(&blocks, &a));
	}
	assert_true(net_blocks_parse("0.0.0.0/0", &blocks, &err));
	struct net_address v4 = address_of("203.0.113.9");
	struct net_address v6 = address_of("2001:db8::1");
	assert_true(net_blocks_contain(&blocks, &v4));
	assert_false(net_blocks_contain(&blocks, &v6));
	assert_true(net_blocks_parse("", &blocks, &err));
	assert_false(net_blocks_contain(&blocks, &v4));
}

/* Why: a typing error in this list must not trust more or less than was meant. How: each malformed entry. */
static void malformed_blocks_are_refused(void **state)
{
	(void)state;
	static const char *const TEXTS[] = {"10.0.0.0/33",        "10.0.0/8",    "::/129", "10.0.0.0/",
					    "10.0.0.0/-1",        "10.0.0.0/8x", "a",      ",10.0.0.1",
					    "10.0.0.1,,10.0.0.2", "10.0.0.0/ 8"};
	for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++) {
		struct net_blocks blocks;
		struct err err;
		assert_false(net_blocks_parse(TEXTS[i], &blocks, &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
}

/* Why: one subscriber has a whole IPv6 /64 and would have as many limits as addresses. How: same and other /64; IPv4
 * addresses stay apart. */
static void clients_are_an_address_or_a_64(void **state)
{
	(void)state;
	struct net_address a = address_of("2001:db8:0:1::1"), b = address_of("2001:db8:0:1:ffff::2");
	struct net_address c = address_of("2001:db8:0:2::1"), d = address_of("10.0.0.1"), e = address_of("10.0.0.2");
	struct net_address ca = net_address_client(&a), cb = net_address_client(&b), cc = net_address_client(&c);
	struct net_address cd = net_address_client(&d), ce = net_address_client(&e);

	assert_true(net_address_equal(&ca, &cb));
	assert_false(net_address_equal(&ca, &cc));
	assert_false(net_address_equal(&cd, &ce));
	assert_true(net_address_equal(&cd, &d));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_are_read),
		cmocka_unit_test(checks_of_the_balancer_have_no_client),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(pieces_ask_for_what_is_missing),
		cmocka_unit_test(blocks_contain_what_they_say),
		cmocka_unit_test(malformed_blocks_are_refused),
		cmocka_unit_test(clients_are_an_address_or_a_64),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
