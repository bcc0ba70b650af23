#include "common/secret_shape.h"

#include <string.h>

#include "common/compiler.h"

static const struct secret_span nothing = {0, 0};

/* --- looking around ------------------------------------------------------------------------------ */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z');
}

static bool is_hex(char c)
{
	return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f');
}

/* token68 of RFC 9110, which base64 is part of, and '_' */
static bool is_token(char c)
{
	return is_alnum(c) || (c != '\0' && strchr("-._~+/=", c) != NULL);
}

/* A word that a rule knows, with its length counted by the compiler. */
#define WORD(text)                                                                                                     \
	{                                                                                                              \
		(const uint8_t *)(text), sizeof(text) - 1                                                              \
	}

/* True when the text before `at` ends in `word`, which is in lower case; the text's case is free. */
static bool ends_in(const struct secret_scan *s, size_t at, struct bytes word)
{
	if (at - s->floor < word.len)
		return false;
	for (size_t i = 1; i <= word.len; i++) {
		if (lower(s->text[at - i]) != (char)word.data[word.len - i])
			return false;
	}
	return true;
}

static bool starts_with(const struct secret_scan *s, size_t at, const char *word)
{
	size_t len = strlen(word);

	return s->len - at >= len && memcmp(s->text + at, word, len) == 0;
}

static size_t run_end(const struct secret_scan *s, size_t at, bool (*belongs)(char))
{
	while (at < s->len && belongs(s->text[at]))
		at++;
	return at;
}

/* start to the end of the run at `at`, if that has `run_min` bytes at least. */
static struct secret_span span_of_run(const struct secret_scan *s, size_t start, size_t at, bool (*belongs)(char),
				      size_t run_min)
{
	size_t end = run_end(s, at, belongs);

	return end - at >= run_min ? (struct secret_span){start, end} : nothing;
}

/* --- the rules ----------------------------------------------------------------------------------- */

/* The 8 characters by which a token is listed may show; anything longer may not. */
enum { TOKEN_SHOWN_MAX = 8, KEY_CHARS_MIN = 4, BEARER_CHARS_MIN = 8, SIGNATURE_CHARS_MIN = 16 };

struct secret_span secret_shape_key(const struct secret_scan *s, size_t at)
{
	if (ends_in(s, at, (struct bytes)WORD("wp")))
		return span_of_run(s, at - 2, at + 1, is_alnum, TOKEN_SHOWN_MAX + 1);
	if (ends_in(s, at, (struct bytes)WORD("whsec")))
		return span_of_run(s, at - 5, at + 1, is_token, KEY_CHARS_MIN);
	/* The 'r' of an escaped line end stays, or the line would go on. */
	if (ends_in(s, at, (struct bytes)WORD("\\rk_live")) || ends_in(s, at, (struct bytes)WORD("\\rk_test")))
		return span_of_run(s, at - 6, at + 1, is_token, KEY_CHARS_MIN);
	if (ends_in(s, at, (struct bytes)WORD("sk_live")) || ends_in(s, at, (struct bytes)WORD("sk_test")) ||
	    ends_in(s, at, (struct bytes)WORD("rk_live")) || ends_in(s, at, (struct bytes)WORD("rk_test")))
		return span_of_run(s, at - 7, at + 1, is_token, KEY_CHARS_MIN);
	return nothing;
}

struct secret_span secret_shape_scheme(const struct secret_scan *s, size_t at)
{
	size_t start = at;

	if (!ends_in(s, at, (struct bytes)WORD("bearer")) && !ends_in(s, at, (struct bytes)WORD("basic")))
		return nothing;
	while (start < s->len && s->text[start] == ' ')
		start++;
	return span_of_run(s, start, start, is_token, BEARER_CHARS_MIN);
}

/* How far a value goes. All end at a quote without a backslash. */
enum extent {
	EXTENT_WORD,         /* to a blank or ';' */
	EXTENT_LINE,         /* to the end of the line, also as "\n" */
	EXTENT_QUOTED,       /* to the quote */
	EXTENT_QUOTED_INSIDE /* to a quote with a backslash: a string in a quoted text */
};

static bool ends_value(const struct secret_scan *s, size_t at, enum extent extent)
{
	char c = s->text[at];

	if (c == '"')
		return true;
	if (c == '\\' && at + 1 < s->len) {
		char next = s->text[at + 1];

		if (extent == EXTENT_QUOTED_INSIDE)
			return next == '"';
		return extent != EXTENT_QUOTED &&
		       (next == 'n' || next == 'r' || (next == '"' && extent == EXTENT_WORD));
	}
	if (c == '\n' || c == '\r')
		return extent == EXTENT_WORD || extent == EXTENT_LINE;
	return extent == EXTENT_WORD && (c == ' ' || c == ';');
}

static struct secret_span value_from(const struct secret_scan *s, size_t at, enum extent extent)
{
	size_t start, end;

	while (at < s->len && s->text[at] == ' ')
		at++;
	if (starts_with(s, at, "\"")) {
		extent = EXTENT_QUOTED;
		at += 1;
	} else if (starts_with(s, at, "\\\"")) {
		extent = EXTENT_QUOTED_INSIDE;
		at += 2;
	}
	start = at;
	for (end = start; end < s->len && !ends_value(s, end, extent); end++) {
		if (s->text[end] == '\\' && end + 1 < s->len)
			end++; /* an escape is two bytes */
	}
	return (struct secret_span){start, end};
}

/* Values of the first two have blanks in them, whatever stands around. */
static const struct {
	struct bytes name;
	enum extent extent;
} secret_names[] = {
	{WORD("cookie"), EXTENT_LINE},           {WORD("authorization"), EXTENT_LINE},
	{WORD("stripe-signature"), EXTENT_WORD}, {WORD("password"), EXTENT_WORD},
	{WORD("__host-watchpost"), EXTENT_WORD},
};

/* `at` is ':' or '=': "Cookie: …", "password=…", "\"authorization\":\"…\"". */
struct secret_span secret_shape_named(const struct secret_scan *s, size_t at)
{
	size_t name_end = at;

	if (ends_in(s, at, (struct bytes)WORD("v1")) || ends_in(s, at, (struct bytes)WORD("v0"))) {
		struct secret_span signature = span_of_run(s, at + 1, at + 1, is_hex, SIGNATURE_CHARS_MIN);

		if (signature.end > signature.start)
			return signature;
	}
	if (name_end > s->floor && s->text[name_end - 1] == '"')
		name_end--;
	if (name_end > s->floor && s->text[name_end - 1] == '\\')
		name_end--;
	for (size_t i = 0; i < ARRAY_LEN(secret_names); i++) {
		if (ends_in(s, name_end, secret_names[i].name))
			return value_from(s, at + 1, secret_names[i].extent);
	}
	return nothing;
}

/* "RSA ", "EC ", "ENCRYPTED ": nothing that a mark could shorten. */
static bool is_label(char c)
{
	return (c >= 'A' && c <= 'Z') || is_digit(c) || c == ' ';
}

struct secret_span secret_shape_private_key(const struct secret_scan *s, size_t at)
{
	enum { LABEL_BYTES_MAX = 32 };
	size_t start = at - 1; /* the rule stopped at the second dash */
	size_t end = start + strlen("-----BEGIN ");
	size_t label_max = end + LABEL_BYTES_MAX;

	if (start < s->floor || !starts_with(s, start, "-----BEGIN "))
		return nothing;
	while (end < s->len && end < label_max && is_label(s->text[end]) && !starts_with(s, end, "PRIVATE KEY"))
		end++;
	if (!starts_with(s, end, "PRIVATE KEY"))
		return nothing;
	/* As far as the END line, the text or its quotes go. */
	while (end < s->len && s->text[end] != '"' && !starts_with(s, end, "\\\"") && !starts_with(s, end, "-----END "))
		end++;
	return (struct secret_span){start, end};
}
