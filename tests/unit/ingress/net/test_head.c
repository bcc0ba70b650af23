/*
 * W2: the request head, class by class of request smuggling. Every refused text is one that some server somewhere reads
 * differently from another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingress/net/head.h"

/* What the parser said of one text. */
struct verdict {
	enum http_head_result result;
	int status;
	const char *reason;
	size_t used;
};

static struct http_head head;

static struct verdict parse_bytes(struct bytes text)
{
	struct verdict v = {0};
	size_t scanned = 0;

	v.result = http_head_parse(text, &scanned, &head, &v.used, &v.status, &v.reason);
	return v;
}

static struct verdict parse(const char *text)
{
	return parse_bytes(bytes_of(text));
}

/* Wraps header lines into a request that is good without them. */
static struct verdict parse_headers(const char *lines)
{
	char text[4096];
	int len = snprintf(text, sizeof(text), "POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);

	assert_true(len > 0 && (size_t)len < sizeof(text));
	return parse(text);
}

static struct verdict parse_target(const char *target)
{
	char text[8192];
	int len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);

	assert_true(len > 0 && (size_t)len < sizeof(text));
	return parse(text);
}

static void assert_refused(struct verdict v, int status, const char *reason)
{
	assert_int_equal(v.result, HTTP_HEAD_BAD);
	assert_int_equal(v.status, status);
	assert_string_equal(v.reason, reason);
}

struct refused {
	const char *text;
	int status;
	const char *reason;
};

static void assert_all_refused(struct verdict (*with)(const char *), const struct refused *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct verdict v = with(rows[i].text);
		if (v.result != HTTP_HEAD_BAD || v.status != rows[i].status || strcmp(v.reason, rows[i].reason) != 0)
			print_message("row %zu: result %d status %d reason %s\n", i, v.result, v.status,
				      v.result == HTTP_HEAD_BAD ? v.reason : "-");
		assert_refused(v, rows[i].status, rows[i].reason);
	}
}

static void assert_text(struct bytes got, const char *want)
{
	assert_int_equal(got.len, strlen(want));
	assert_memory_equal(got.data, want, got.len);
}

/* Why: what real clients send must be read right. How: one full request with a body behind it, every field looked at.
 */
static void a_good_head_is_read(void **state)
{
	(void)state;
	static const char TEXT[] = "POST /webhooks/stripe?a=b%2Fc&d HTTP/1.1\r\n"
				   "host: api.example:8443\r\n"
				   "Content-Length:  17 \r\n"
				   "X-Empty:\r\n"
				   "X-Tab:\t a\tb \t\r\n"
				   "X-Latin: caf\xe9\r\n"
				   "\r\n{\"a\":1}";
	struct verdict v = parse(TEXT);
	assert_int_equal(v.result, HTTP_HEAD_DONE);
	assert_int_equal(v.used, sizeof(TEXT) - 1 - 7);
	assert_int_equal(head.method, HTTP_POST);
	assert_int_equal(head.version_minor, 1);
	assert_text(head.path, "/webhooks/stripe");
	assert_text(head.query, "a=b%2Fc&d");
	assert_int_equal(head.header_count, 5);
	assert_true(head.has_length && head.content_length == 17 && !head.chunked);
	assert_true(head.keep_alive && !head.expect_continue);
	assert_text(http_head_find(&head, "x-empty", NULL)->value, "");
	assert_text(http_head_find(&head, "x-tab", NULL)->value, "a\tb");
	assert_null(http_head_find(&head, "x-none", NULL));
}

/* Why: every method we know must be told from every other. How: each by name, and the name back. */
static void methods_are_told_apart(void **state)
{
	(void)state;
	for (int m = 0; m < HTTP_METHOD_COUNT; m++) {
		char text[128];
		(void)snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: a\r\n\r\n",
			       http_method_name((enum http_method)m));
		assert_int_equal(parse(text).result, HTTP_HEAD_DONE);
		assert_int_equal(head.method, m);
	}
}

/* Why: a request line that two readers cut in two ways is where smuggling begins. How: each departure from
 * "METHOD SP target SP HTTP/1.x CRLF" alone. */
static void request_lines_are_strict(void **state)
{
	(void)state;
	static const struct refused ROWS[] = {
		{" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "method_malformed"},
		{"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "method_malformed"},
		{"\x16\x03\x01\x02", 400, "method_malformed"},
		{"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "method_malformed"},
		{"get / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "method_unknown"},
		{"PRI / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "method_unknown"},
		{"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "method_unknown"},
		{"PRI * HTTP/2.0\r\n\r\n", 505, "version_unsupported"},
		{"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "version_malformed"},
		{"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400, "version_malformed"},
		{"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "version_malformed"},
		{"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_line_malformed"},
		{"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_line_malformed"},
		{"GET /\r\nHost: a\r\n\r\n", 400, "request_line_malformed"},
		{"GET\r\nHost: a\r\n\r\n", 400, "request_line_malformed"},
		{"GET / http/1.1\r\nHost: a\r\n\r\n", 400, "version_malformed"},
		{"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400, "version_malformed"},
		{"GET / HTTP/01.1\r\nHost: a\r\n\r\n", 400, "version_malformed"},
		{"GET / HTTP/1,1\r\nHost: a\r\n\r\n", 400, "version_malformed"},
		{"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "version_unsupported"},
		{"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505, "version_unsupported"},
	};
	assert_all_refused(parse, ROWS, ARRAY_LEN(ROWS));
}

/* Why: a line that ends in LF or CR alone ends for some readers and not for others. How: each kind of line, each
 * terminator, also where the head would go on; a NUL and other control bytes too. */
static void bare_line_ends_and_control_bytes_are_refused(void **state)
{
	(void)state;
	static const struct refused ROWS[] = {
		{"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "bare_lf"},
		{"GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "bare_lf"},
		{"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "bare_lf"},
		{"GET / HTTP/1.1\r\nX: a\nContent-Length: 5\r\nHost: a\r\n\r\n", 400, "bare_lf"},
		{"GET / HTTP/1.1\rHost: a\r\n\r\n", 400, "version_malformed"},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n", 400, "header_value_malformed"},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n", 400, "header_value_malformed"},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400, "header_value_malformed"},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400, "header_value_malformed"},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: \x0b\r\n\r\n", 400, "header_value_malformed"},
	};
	assert_all_refused(parse, ROWS, ARRAY_LEN(ROWS));
	static const char NUL_VALUE[] = "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n";
	static const char NUL_NAME[] = "GET / HTTP/1.1\r\nHost: a\r\nX\0: ab\r\n\r\n";
	static const char NUL_TARGET[] = "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n";
	assert_refused(parse_bytes(bytes_make(NUL_VALUE, sizeof(NUL_VALUE) - 1)), 400, "header_value_malformed");
	assert_refused(parse_bytes(bytes_make(NUL_NAME, sizeof(NUL_NAME) - 1)), 400, "header_name_malformed");
	assert_refused(parse_bytes(bytes_make(NUL_TARGET, sizeof(NUL_TARGET) - 1)), 400, "target_malformed");
}

/* Why: what one reader takes for a header another takes for something else. How: folded lines, white space at the
 * colon, names that are no tokens. */
static void header_lines_are_strict(void **state)
{
	(void)state;
	static const struct refused ROWS[] = {
		{"X: a\r\n b\r\n", 400, "header_folded"},
		{"X: a\r\n\tb\r\n", 400, "header_folded"},
		{" X: a\r\n", 400, "header_folded"},
		{"X : a\r\n", 400, "header_name_malformed"},
		{"X\t: a\r\n", 400, "header_name_malformed"},
		{"Content-Length : 5\r\n", 400, "header_name_malformed"},
		{"Transfer-Encoding\x0b: chunked\r\n", 400, "header_name_malformed"},
		{": a\r\n", 400, "header_name_malformed"},
		{"X\r\n", 400, "header_name_malformed"},
		{"X Y: a\r\n", 400, "header_name_malformed"},
		{"X\"Y: a\r\n", 400, "header_name_malformed"},
		{"X(Y): a\r\n", 400, "header_name_malformed"},
		{"caf\xe9: a\r\n", 400, "header_name_malformed"},
	};
	assert_all_refused(parse_headers, ROWS, ARRAY_LEN(ROWS));
}

/* Why: two readers that count a body differently are the attack itself (CL.CL, CL.0). How: every length that is not
 * one plain decimal number, and every doubled one, also when the two agree. */
static void lengths_are_strict(void **state)
{
	(void)state;
	static const struct refused ROWS[] = {
		{"Content-Length: 5\r\nContent-Length: 6\r\n", 400, "length_doubled"},
		{"Content-Length: 5\r\nContent-Length: 5\r\n", 400, "length_doubled"},
		{"Content-Length: 5\r\ncontent-length: 5\r\n", 400, "length_doubled"},
		{"Content-Length: 5, 5\r\n", 400, "length_malformed"},
		{"Content-Length: 5,6\r\n", 400, "length_malformed"},
		{"Content-Length: +5\r\n", 400, "length_malformed"},
		{"Content-Length: -5\r\n", 400, "length_malformed"},
		{"Content-Length: 0x5\r\n", 400, "length_malformed"},
		{"Content-Length: 5.0\r\n", 400, "length_malformed"},
		{"Content-Length: 5e1\r\n", 400, "length_malformed"},
		{"Content-Length: 1 2\r\n", 400, "length_malformed"},
		{"Content-Length: 1_000\r\n", 400, "length_malformed"},
		{"Content-Length: \"5\"\r\n", 400, "length_malformed"},
		{"Content-Length:\r\n", 400, "length_malformed"},
		{"Content-Length: \xd9\xa5\r\n", 400, "length_malformed"},
		{"Content-Length: 18446744073709551616\r\n", 400, "length_malformed"},
		{"Content-Length: 99999999999999999999999\r\n", 400, "length_malformed"},
	};
	assert_all_refused(parse_headers, ROWS, ARRAY_LEN(ROWS));
	assert_int_equal(parse_headers("Content-Length: 18446744073709551615\r\n").result, HTTP_HEAD_DONE);
	assert_true(head.content_length == UINT64_MAX);
	assert_int_equal(parse_headers("Content-Length: 007\r\n").result, HTTP_HEAD_DONE);
	assert_true(head.content_length == 7);
}

/* Why: CL.TE, TE.CL and TE.TE: whoever hides a transfer coding from one of two readers smuggles. How: both framings
 * in both orders, and the obfuscations of "chunked" that are known from attacks. */
static void transfer_codings_are_strict(void **state)
{
	(void)state;
	static const struct refused ROWS[] = {
		{"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400, "two_framings"},
		{"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400, "two_framings"},
		{"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", 400, "two_framings"},
		{"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400, "coding_doubled"},
		{"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 400, "coding_doubled"},
		{"Transfer-Encoding: identity\r\n", 400, "coding_refused"},
		{"Transfer-Encoding: xchunked\r\n", 400, "coding_refused"},
		{"Transfer-Encoding: chunkedx\r\n", 400, "coding_refused"},
		{"Transfer-Encoding: gzip, chunked\r\n", 400, "coding_refused"},
		{"Transfer-Encoding: chunked, identity\r\n", 400, "coding_refused"},
		{"Transfer-Encoding: chunked,\r\n", 400, "coding_refused"},
		{"Transfer-Encoding: ,chunked\r\n", 400, "coding_refused"},
		{"Transfer-Encoding: chunked;q=1\r\n", 400, "coding_refused"},
		{"Transfer-Encoding: \"chunked\"\r\n", 400, "coding_refused"},
		{"Transfer-Encoding: 'chunked'\r\n", 400, "coding_refused"},
		{"Transfer-Encoding: x chunked\r\n", 400, "coding_refused"},
		{"Transfer-Encoding:\r\n", 400, "coding_refused"},
		{"Transfer-Encoding: \x0b"
		 "chunked\r\n",
		 400, "header_value_malformed"},
		{"Transfer-Encoding:\r\n chunked\r\n", 400, "header_folded"},
		{"Transfer_Encoding: chunked\r\nTransfer-Encoding : chunked\r\n", 400, "header_name_malformed"},
	};
	assert_all_refused(parse_headers, ROWS, ARRAY_LEN(ROWS));
	assert_refused(parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400, "coding_refused");
	assert_int_equal(parse_headers("transfer-encoding: \tChunked \r\n").result, HTTP_HEAD_DONE);
	assert_true(head.chunked && !head.has_length);
}

/* Why: a host that two readers see differently sends a request to the wrong place. How: none, two, and forms that are
 * not host[:port]; HTTP/1.0 may go without. */
static void hosts_are_strict(void **state)
{
	(void)state;
	static const struct refused ROWS[] = {
		{"GET / HTTP/1.1\r\n\r\n", 400, "host_missing"},
		{"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "host_doubled"},
		{"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400, "host_doubled"},
		{"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "host_doubled"},
		{"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "host_malformed"},
		{"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "host_malformed"},
		{"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "host_malformed"},
		{"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "host_malformed"},
		{"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400, "host_malformed"},
		{"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400, "host_malformed"},
		{"GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n", 400, "host_malformed"},
		{"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400, "host_malformed"},
		{"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400, "host_malformed"},
		{"GET / HTTP/1.1\r\nHost: []\r\n\r\n", 400, "host_malformed"},
		{"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400, "host_malformed"},
		{"GET / HTTP/1.1\r\nHost: [x]\r\n\r\n", 400, "host_malformed"},
	};
	assert_all_refused(parse, ROWS, ARRAY_LEN(ROWS));
	assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n").result, HTTP_HEAD_DONE);
	assert_int_equal(parse("GET / HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n").result, HTTP_HEAD_DONE);
	assert_int_equal(parse("GET / HTTP/1.1\r\nHost: a.b-c.example:\r\n\r\n").result, HTTP_HEAD_DONE);
}

/* Why: routes are plain paths; a target that decodes to another path must not reach one. How: each form and escape
 * that is refused, and those that are not. */
static void targets_are_strict(void **state)
{
	(void)state;
	static const struct refused ROWS[] = {
		{"http://a/", 400, "target_form"},
		{"a:443", 400, "target_form"},
		{"*", 400, "target_form"},
		{"security", 400, "target_form"},
		{"/a#b", 400, "target_malformed"},
		{"/caf\xc3\xa9", 400, "target_malformed"},
		{"/a\\b", 400, "target_malformed"},
		{"/a|b", 400, "target_malformed"},
		{"/a<b", 400, "target_malformed"},
		{"/a\"b", 400, "target_malformed"},
		{"/%", 400, "target_malformed"},
		{"/%4", 400, "target_malformed"},
		{"/%zz", 400, "target_malformed"},
		{"/?%", 400, "target_malformed"},
		{"/a%00b", 400, "target_ambiguous"},
		{"/?a=%00", 400, "target_ambiguous"},
		{"/a%2fb", 400, "target_ambiguous"},
		{"/a%2Fb", 400, "target_ambiguous"},
		{"/a%5cb", 400, "target_ambiguous"},
		{"/%2e%2e/a", 400, "target_ambiguous"},
		{"/./security", 400, "target_ambiguous"},
		{"/a/../security", 400, "target_ambiguous"},
		{"/..", 400, "target_ambiguous"},
		{"/a/.", 400, "target_ambiguous"},
		{"/a/..?x", 400, "target_ambiguous"},
	};
	assert_all_refused(parse_target, ROWS, ARRAY_LEN(ROWS));
	static const char *const GOOD[] = {"/", "/...", "/.well-known/security.txt", "/a..b", "/a//b", "/a;b=c"};
	for (size_t i = 0; i < ARRAY_LEN(GOOD); i++)
		assert_int_equal(parse_target(GOOD[i]).result, HTTP_HEAD_DONE);
	assert_int_equal(parse_target("/a?b=/../%2f").result, HTTP_HEAD_DONE);
	assert_text(head.path, "/a");
}

/* Why: keep-alive decides whether what follows is read as a request. How: both versions with each option, in lists,
 * in several lines, and in other cases. */
static void keep_alive_follows_version_and_options(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool keep;
	} ROWS[] = {
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
		{"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
		{"GET / HTTP/1.1\r\nHost: a\r\nConnection: te, CLOSE\r\n\r\n", false},
		{"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false},
		{"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", true},
		{"GET / HTTP/1.0\r\n\r\n", false},
		{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
		{"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
		assert_int_equal(parse(ROWS[i].text).result, HTTP_HEAD_DONE);
		assert_int_equal(head.keep_alive, ROWS[i].keep);
	}
}

/* Why: an interim answer may go only to who asked, and an unknown expectation must not be ignored (RFC 9110, 10.1.1).
 * How: each version and value. */
static void expectations(void **state)
{
	(void)state;
	assert_int_equal(parse_headers("Expect: 100-Continue\r\nContent-Length: 1\r\n").result, HTTP_HEAD_DONE);
	assert_true(head.expect_continue);
	assert_refused(parse_headers("Expect: 200-maybe\r\n"), 417, "expectation_unknown");
	assert_int_equal(parse("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").result, HTTP_HEAD_DONE);
	assert_false(head.expect_continue);
}

/* Why: what a head may cost is bounded. How: one under, at and over each bound. */
static void bounds(void **state)
{
	(void)state;
	char *text = malloc(2 * HTTP_HEAD_BYTES_MAX);
	assert_non_null(text);

	int start = snprintf(text, HTTP_HEAD_BYTES_MAX, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
	memset(text + start, 'x', 2 * HTTP_HEAD_BYTES_MAX - (size_t)start);
	memcpy(text + HTTP_HEAD_BYTES_MAX - 4, "\r\n\r\n", 4);
	assert_int_equal(parse_bytes(bytes_make(text, HTTP_HEAD_BYTES_MAX)).result, HTTP_HEAD_DONE);
	memcpy(text + HTTP_HEAD_BYTES_MAX - 4, "x\r\n\r\n", 5);
	assert_int_equal(parse_bytes(bytes_make(text, HTTP_HEAD_BYTES_MAX - 1)).result, HTTP_HEAD_PARTIAL);
	assert_refused(parse_bytes(bytes_make(text, HTTP_HEAD_BYTES_MAX)), 431, "head_large");
	assert_refused(parse_bytes(bytes_make(text, HTTP_HEAD_BYTES_MAX + 1)), 431, "head_large");

	size_t len = (size_t)snprintf(text, HTTP_HEAD_BYTES_MAX, "GET / HTTP/1.1\r\nHost: a\r\n");
	for (size_t i = 1; i < HTTP_HEADERS_MAX; i++)
		len += (size_t)snprintf(text + len, 16, "X: y\r\n");
	memcpy(text + len, "\r\n", 2);
	assert_int_equal(parse_bytes(bytes_make(text, len + 2)).result, HTTP_HEAD_DONE);
	assert_int_equal(head.header_count, HTTP_HEADERS_MAX);
	memcpy(text + len, "X: y\r\n\r\n", 8);
	assert_refused(parse_bytes(bytes_make(text, len + 8)), 431, "headers_many");

	memset(text, 'a', HTTP_TARGET_BYTES_MAX + 1);
	text[0] = '/';
	text[HTTP_TARGET_BYTES_MAX] = '\0';
	assert_int_equal(parse_target(text).result, HTTP_HEAD_DONE);
	text[HTTP_TARGET_BYTES_MAX] = 'a';
	text[HTTP_TARGET_BYTES_MAX + 1] = '\0';
	assert_refused(parse_target(text), 414, "target_long");
	free(text);
}

/* Why: heads arrive in pieces; no cut may change what is read. How: a good and some bad heads byte by byte with the
 * remembered position, against the text in one piece. */
static void pieces_give_the_same_verdict(void **state)
{
	(void)state;
	static const char *const TEXTS[] = {
		"GET /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\n\r\nX: y\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
		"(GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/3.1\r\n\r\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++) {
		struct verdict whole = parse(TEXTS[i]);
		struct verdict piece = {.result = HTTP_HEAD_PARTIAL};
		size_t scanned = 0;
		for (size_t len = 0; piece.result == HTTP_HEAD_PARTIAL; len++) {
			assert_true(len <= strlen(TEXTS[i]));
			piece.result = http_head_parse(bytes_make(TEXTS[i], len), &scanned, &head, &piece.used,
						       &piece.status, &piece.reason);
		}
		assert_int_equal(piece.result, whole.result);
		assert_int_equal(piece.status, whole.status);
		assert_int_equal(piece.used, whole.used);
	}
}

/* Why: a connection's buffer moves when it grows, and the views must follow. How: parse, copy, rebase, compare. */
static void views_follow_a_moved_text(void **state)
{
	(void)state;
	char from[] = "GET /path?query HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
	char to[sizeof(from)];

	assert_int_equal(parse(from).result, HTTP_HEAD_DONE);
	memcpy(to, from, sizeof(from));
	memset(from, '#', sizeof(from) - 1);
	http_head_rebase(&head, (const uint8_t *)from, (const uint8_t *)to);
	assert_text(head.path, "/path");
	assert_text(head.query, "query");
	assert_text(http_head_find(&head, "x", NULL)->value, "y");
}

/* Why: a header that must be single is looked up by that rule. How: one, two, none. */
static void find_tells_one_from_many(void **state)
{
	(void)state;
	bool many = false;

	assert_int_equal(parse_headers("A: 1\r\nB: 2\r\na: 3\r\n").result, HTTP_HEAD_DONE);
	assert_null(http_head_find(&head, "a", &many));
	assert_true(many);
	assert_non_null(http_head_find(&head, "b", &many));
	assert_false(many);
	assert_null(http_head_find(&head, "bb", &many));
	assert_false(many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_head_is_read),
		cmocka_unit_test(methods_are_told_apart),
		cmocka_unit_test(request_lines_are_strict),
		cmocka_unit_test(bare_line_ends_and_control_bytes_are_refused),
		cmocka_unit_test(header_lines_are_strict),
		cmocka_unit_test(lengths_are_strict),
		cmocka_unit_test(transfer_codings_are_strict),
		cmocka_unit_test(hosts_are_strict),
		cmocka_unit_test(targets_are_strict),
		cmocka_unit_test(keep_alive_follows_version_and_options),
		cmocka_unit_test(expectations),
		cmocka_unit_test(bounds),
		cmocka_unit_test(pieces_give_the_same_verdict),
		cmocka_unit_test(views_follow_a_moved_text),
		cmocka_unit_test(find_tells_one_from_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
