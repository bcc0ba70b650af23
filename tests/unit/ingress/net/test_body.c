/*
 * W5: the chunked body, and what of it is refused because two readers could count it differently.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "ingress/net/body.h"

enum { LIMIT = 64 };

struct decoded {
	enum http_body_result result;
	const char *reason;
	size_t used;
	size_t len;
	char text[8192];
};

/* Decodes in pieces of `step` bytes, in place, as a connection does. */
static struct decoded decode_in_steps(struct bytes in, size_t step)
{
	struct http_chunked chunked;
	struct decoded d = {.result = HTTP_BODY_MORE};

	http_chunked_init(&chunked, LIMIT);
	while (d.result == HTTP_BODY_MORE && d.used < in.len) {
		size_t len = in.len - d.used < step ? in.len - d.used : step;
		size_t used = 0;
		size_t written = 0;
		assert_true(d.len + len <= sizeof(d.text));
		memcpy(d.text + d.len, in.data + d.used, len);
		d.result = http_chunked_decode(&chunked, bytes_make(d.text + d.len, len), (uint8_t *)d.text + d.len,
					       &used, &written);
		d.used += used;
		d.len += written;
	}
	d.reason = chunked.reason;
	return d;
}

static struct decoded decode(const char *text)
{
	return decode_in_steps(bytes_of(text), SIZE_MAX);
}

static void assert_bad(const char *text, const char *reason)
{
	struct decoded d = decode(text);

	assert_int_equal(d.result, HTTP_BODY_BAD);
	assert_string_equal(d.reason, reason);
}

/* Why: real bodies must come out whole, and what follows them must be left alone. How: chunks, extensions and
 * trailers with a next request behind, in every step width. */
static void good_bodies_are_decoded(void **state)
{
	(void)state;
	static const char TEXT[] = "5\r\nhello\r\n"
				   "006;a=b;c=\"d;e\"\r\n world\r\n"
				   "1;\r\n!\r\n"
				   "0\r\nX-Trailer: y\r\nOther:\r\n\r\n";
	static const char NEXT[] = "GET / HTTP/1.1\r\n";
	char both[sizeof(TEXT) + sizeof(NEXT)];

	(void)snprintf(both, sizeof(both), "%s%s", TEXT, NEXT);
	for (size_t step = 1; step <= sizeof(both); step++) {
		struct decoded d = decode_in_steps(bytes_of(both), step);
		assert_int_equal(d.result, HTTP_BODY_DONE);
		assert_int_equal(d.used, sizeof(TEXT) - 1);
		assert_int_equal(d.len, 12);
		assert_memory_equal(d.text, "hello world!", 12);
	}
	assert_int_equal(decode("0\r\n\r\n").result, HTTP_BODY_DONE);
	assert_int_equal(decode("0\r\n\r").result, HTTP_BODY_MORE);
	assert_int_equal(decode("A\r\n0123456789\r\n0\r\n\r\n").len, 10);
}

/* Why: sizes that one reader takes for another number are the TE.CL attack. How: each malformed size. */
static void sizes_are_strict(void **state)
{
	(void)state;
	static const char *const TEXTS[] = {
		"\r\n",    ";a\r\n",   "g\r\n",  "0x5\r\n", "+5\r\n", "-1\r\n",  " 5\r\n",           "5 \r\n",
		"5\t\r\n", "5 ;a\r\n", "5,\r\n", "5\n",     "\n",     "5_0\r\n", "\xef\xbc\x95\r\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++)
		assert_bad(TEXTS[i], "chunk_size_malformed");
	assert_bad("5\rhello", "chunk_line_malformed");
	assert_bad("5\r\r\nhello", "chunk_line_malformed");
}

/* Why: a bare CR or LF inside an extension ends the line for some readers ("TERM.EXT"). How: each byte that may not
 * stand there. */
static void extensions_hold_no_control_bytes(void **state)
{
	(void)state;
	static const char *const TEXTS[] = {"5;a\nhello", "5;a\x01\r\n", "5;a\x7f\r\n", "5;a\x80\r\n"};
	for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++)
		assert_bad(TEXTS[i], "chunk_extension_malformed");
	assert_bad("5;a\rb\r\n", "chunk_line_malformed");
	static const char NUL[] = "5;a\0\r\n";
	assert_int_equal(decode_in_steps(bytes_make(NUL, sizeof(NUL) - 1), SIZE_MAX).result, HTTP_BODY_BAD);
}

/* Why: data that is not followed by CRLF is longer or shorter than its size says. How: each wrong byte behind it. */
static void data_ends_in_crlf(void **state)
{
	(void)state;
	assert_bad("5\r\nhello0\r\n\r\n", "chunk_data_malformed");
	assert_bad("5\r\nhello\n0\r\n\r\n", "chunk_data_malformed");
	assert_bad("5\r\nhello\rx", "chunk_data_malformed");
	assert_bad("4\r\nhello\r\n0\r\n\r\n", "chunk_data_malformed");
}

/* Why: trailers are header lines and the same trick works there. How: each malformed line. */
static void trailers_are_strict(void **state)
{
	(void)state;
	static const char *const TEXTS[] = {
		"0\r\n X: y\r\n\r\n", "0\r\n: y\r\n\r\n", "0\r\nX y\r\n\r\n", "0\r\nX : y\r\n\r\n",
		"0\r\nX: y\n\r\n",    "0\r\nX: y\rz\r\n", "0\r\nX: \x01\r\n", "0\r\n\n",
		"0\r\n\rx",           "0\r\nX\r\n\r\n",   "0\r\nX: \x7f\r\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++)
		assert_bad(TEXTS[i], "trailer_malformed");
}

/* Why: what a body may cost is bounded, whatever its framing says. How: at and over the limit, by one chunk and by
 * several, sizes that would overflow, endless chunk lines and trailers. */
static void bounds(void **state)
{
	(void)state;
	char text[HTTP_TRAILER_BYTES_MAX + 64];
	char data[LIMIT + 1];

	memset(data, 'x', sizeof(data));
	(void)snprintf(text, sizeof(text), "%x\r\n%.*s\r\n0\r\n\r\n", LIMIT, LIMIT, data);
	assert_int_equal(decode(text).result, HTTP_BODY_DONE);
	assert_int_equal(decode("41\r\n").result, HTTP_BODY_TOO_LARGE);
	(void)snprintf(text, sizeof(text), "%x\r\n%.*s\r\n1\r\n", LIMIT, LIMIT, data);
	assert_int_equal(decode(text).result, HTTP_BODY_TOO_LARGE);
	assert_int_equal(decode("ffffffffffffffff\r\n").result, HTTP_BODY_TOO_LARGE);
	assert_int_equal(decode("10000000000000005\r\nhello").result, HTTP_BODY_TOO_LARGE);

	memset(text, '0', sizeof(text));
	text[HTTP_CHUNK_LINE_BYTES_MAX + 1] = '\0';
	assert_bad(text, "chunk_line_long");
	int len = snprintf(text, sizeof(text), "0\r\nX: ");
	memset(text + len, 'y', sizeof(text) - (size_t)len - 1);
	text[sizeof(text) - 1] = '\0';
	assert_bad(text, "trailers_large");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_bodies_are_decoded),
		cmocka_unit_test(sizes_are_strict),
		cmocka_unit_test(extensions_hold_no_control_bytes),
		cmocka_unit_test(data_ends_in_crlf),
		cmocka_unit_test(trailers_are_strict),
		cmocka_unit_test(bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
