#include "common/redact.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "common/bytes.h"
#include "common/compiler.h"

/*
 * One pass. Every kind of secret has a byte that it cannot do without, behind one of few others; only
 * such a pair stops the scan, and its rule looks at what stands around it:
 *
 *   '_'        after wp, whsec, sk_live …
 *   ' '        after Bearer, Basic
 *   ':' '='    after a name whose value is secret; after v1 of a Stripe signature
 *   '-'        after '-': -----BEGIN … PRIVATE KEY
 *   a digit    after another byte: the start of a card number
 *
 * The result is a fixed point: a mark holds no byte that a rule could take for its own, so that a
 * second pass changes nothing. The budget is a quarter of a microsecond for a line of 250 bytes.
 */

static const char mark[] = "[redacted]";
enum { MARK_BYTES = sizeof(mark) - 1 };

enum trigger { KEY = 1, SCHEME = 2, NAME = 4, DASH = 8, DIGIT = 16 };

/* The rule that a byte stops for … */
static const uint8_t triggers[256] = {
	['_'] = KEY,   [' '] = SCHEME, [':'] = NAME,  ['='] = NAME,  ['-'] = DASH,
	['0'] = DIGIT, ['1'] = DIGIT,  ['2'] = DIGIT, ['3'] = DIGIT, ['4'] = DIGIT,
	['5'] = DIGIT, ['6'] = DIGIT,  ['7'] = DIGIT, ['8'] = DIGIT, ['9'] = DIGIT,
};

/* … when it comes after one of these (a digit: after anything): the last bytes of wp, whsec, live and
 * test; of basic and bearer; of cookie, authorization, stripe-signature, password, watchpost, v0 and
 * v1, or of their quotes. */
static const uint8_t befores[256] = {
	['p'] = KEY,        ['P'] = KEY,        ['c'] = KEY | SCHEME, ['C'] = KEY | SCHEME, ['e'] = KEY | NAME,
	['E'] = KEY | NAME, ['t'] = KEY | NAME, ['T'] = KEY | NAME,   ['r'] = SCHEME,       ['R'] = SCHEME,
	['n'] = NAME,       ['N'] = NAME,       ['d'] = NAME,         ['D'] = NAME,         ['0'] = NAME,
	['1'] = NAME,       ['"'] = NAME,       ['-'] = DASH,
};

/* What is looked at. Nothing before `floor` counts: it is redacted already. */
struct scan {
	const char *text;
	size_t len;
	size_t floor;
};

/* The bytes of a secret; none when start is end. */
struct span {
	size_t start;
	size_t end;
};

static const struct span nothing = {0, 0};

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
static inline bool ends_in(const struct scan *s, size_t at, struct bytes word)
{
	if (at - s->floor < word.len)
		return false;
	for (size_t i = 1; i <= word.len; i++) {
		if (lower(s->text[at - i]) != (char)word.data[word.len - i])
			return false;
	}
	return true;
}

static bool starts_with(const struct scan *s, size_t at, const char *word)
{
	size_t len = strlen(word);

	return s->len - at >= len && memcmp(s->text + at, word, len) == 0;
}

static size_t run_end(const struct scan *s, size_t at, bool (*belongs)(char))
{
	while (at < s->len && belongs(s->text[at]))
		at++;
	return at;
}

/* start to the end of the run at `at`, if that has `run_min` bytes at least. */
static struct span span_of_run(const struct scan *s, size_t start, size_t at, bool (*belongs)(char), size_t run_min)
{
	size_t end = run_end(s, at, belongs);

	return end - at >= run_min ? (struct span){start, end} : nothing;
}

/* --- the rules ----------------------------------------------------------------------------------- */

/* The 8 characters by which a token is listed may show; anything longer may not. */
enum { TOKEN_SHOWN_MAX = 8, KEY_CHARS_MIN = 4, BEARER_CHARS_MIN = 8, SIGNATURE_CHARS_MIN = 16 };

static struct span prefixed_key(const struct scan *s, size_t at)
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

static struct span scheme_credentials(const struct scan *s, size_t at)
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

static bool ends_value(const struct scan *s, size_t at, enum extent extent)
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

static struct span value_from(const struct scan *s, size_t at, enum extent extent)
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
	return (struct span){start, end};
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
static struct span named_value(const struct scan *s, size_t at)
{
	size_t name_end = at;

	if (ends_in(s, at, (struct bytes)WORD("v1")) || ends_in(s, at, (struct bytes)WORD("v0"))) {
		struct span signature = span_of_run(s, at + 1, at + 1, is_hex, SIGNATURE_CHARS_MIN);

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

static struct span private_key(const struct scan *s, size_t at)
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
	return (struct span){start, end};
}

/* --- card numbers -------------------------------------------------------------------------------- */

enum { CARD_DIGITS_MIN = 13, CARD_DIGITS_MAX = 19 };

/* First digits that card networks have given out, and the lengths of their numbers. */
static const struct {
	unsigned low;
	unsigned high;
	size_t digits; /* of low and high */
	size_t len_min;
	size_t len_max;
} networks[] = {
	{4, 4, 1, 13, 19},       /* Visa */
	{51, 55, 2, 16, 16},     /* Mastercard */
	{2221, 2720, 4, 16, 16}, /* Mastercard */
	{34, 34, 2, 15, 15},     /* American Express */
	{37, 37, 2, 15, 15},     /* American Express */
	{300, 305, 3, 14, 19},   /* Diners Club */
	{36, 36, 2, 14, 19},     /* Diners Club */
	{38, 39, 2, 14, 19},     /* Diners Club */
	{3528, 3589, 4, 16, 19}, /* JCB */
	{2200, 2205, 4, 16, 19}, /* Mir */
	{50, 50, 2, 13, 19},     /* Maestro */
	{56, 69, 2, 13, 19},     /* Maestro, Discover, UnionPay */
	{81, 81, 2, 16, 19},     /* UnionPay */
};

static bool known_network(const uint8_t digits[CARD_DIGITS_MAX], size_t count)
{
	for (size_t i = 0; i < ARRAY_LEN(networks); i++) {
		unsigned first = 0;

		for (size_t j = 0; j < networks[i].digits; j++)
			first = first * 10 + digits[j];
		if (first >= networks[i].low && first <= networks[i].high && count >= networks[i].len_min &&
		    count <= networks[i].len_max)
			return true;
	}
	return false;
}

/* The check digit of ISO/IEC 7812-1. */
static bool luhn(const uint8_t *digits, size_t count)
{
	unsigned sum = 0;

	for (size_t i = 0; i < count; i++) {
		unsigned digit = digits[count - 1 - i];

		if (i % 2 == 1)
			digit = digit < 5 ? 2 * digit : 2 * digit - 9;
		sum += digit;
	}
	return sum % 10 == 0;
}

/* A card number is one group of digits or several with one blank or dash between; the longest that
 * begins at `at` counts. */
static struct span card_from(const struct scan *s, size_t at)
{
	uint8_t digits[CARD_DIGITS_MAX];
	struct span card = nothing;
	size_t count = 0;
	size_t i = at;

	for (;;) {
		while (i < s->len && is_digit(s->text[i]) && count < CARD_DIGITS_MAX)
			digits[count++] = (uint8_t)(s->text[i++] - '0');
		if (i < s->len && is_digit(s->text[i]))
			break; /* a 20th digit */
		if (count >= CARD_DIGITS_MIN && known_network(digits, count) && luhn(digits, count))
			card = (struct span){at, i};
		if (i + 1 >= s->len || (s->text[i] != ' ' && s->text[i] != '-') || !is_digit(s->text[i + 1]))
			break;
		i++;
	}
	return card;
}

/* `at` is the first digit of a group. Its first one or two may belong to an escape: the no-break space
 * before a number that someone copied stands in the line as "\xc2\xa0". */
static struct span card_number(const struct scan *s, size_t at)
{
	struct span card = card_from(s, at);

	if (card.end > card.start)
		return card;
	if (ends_in(s, at, (struct bytes)WORD("\\x")) && at + 2 < s->len && is_digit(s->text[at + 1]))
		return card_from(s, at + 2);
	if (at > s->floor && ends_in(s, at - 1, (struct bytes)WORD("\\x")) && is_hex(s->text[at - 1]))
		return card_from(s, at + 1);
	return nothing;
}

/* Digits, blanks and dashes that hold enough digits for a card number. Thirteen bytes in a row have
 * one at each thirteenth place, so few are looked at. It may say yes in vain, never no. */
static bool may_hold_card(const char *text, size_t len)
{
	size_t floor = 0;

	for (size_t at = CARD_DIGITS_MIN - 1; at < len; at += CARD_DIGITS_MIN) {
		size_t digits = 0;

		if ((triggers[(uint8_t)text[at]] & (DIGIT | SCHEME | DASH)) == 0)
			continue;
		while (at > floor && (triggers[(uint8_t)text[at - 1]] & (DIGIT | SCHEME | DASH)) != 0)
			at--;
		for (; at < len && (triggers[(uint8_t)text[at]] & (DIGIT | SCHEME | DASH)) != 0; at++)
			digits += is_digit(text[at]);
		if (digits >= CARD_DIGITS_MIN)
			return true;
		floor = at;
	}
	return false;
}

/* --- the pass ------------------------------------------------------------------------------------ */

static struct span find_secret(const struct scan *s, size_t at)
{
	switch (triggers[(uint8_t)s->text[at]]) {
	case DIGIT:
		return card_number(s, at);
	case KEY:
		return prefixed_key(s, at);
	case SCHEME:
		return scheme_credentials(s, at);
	case NAME:
		return named_value(s, at);
	case DASH:
		return private_key(s, at);
	default:
		return nothing;
	}
}

/* Writes what stands for `len` secret bytes and returns its length. */
static size_t put_mark(char *out, size_t len)
{
	if (len < MARK_BYTES) {
		memset(out, '*', len);
		return len;
	}
	memcpy(out, mark, MARK_BYTES);
	return MARK_BYTES;
}

/* The rules that the byte at `at` stops for; 0 for nearly all. */
static inline unsigned stops_at(const char *text, size_t at, unsigned always)
{
	return triggers[(uint8_t)text[at]] & (befores[(uint8_t)text[at - 1]] | always);
}

/* The next place from `at` on that a rule stops for; len when there is none. */
static size_t next_trigger(const char *text, size_t len, size_t at, unsigned always)
{
	if (at == 0 && len > 0) {
		if ((triggers[(uint8_t)text[0]] & always) != 0)
			return 0;
		at = 1;
	}
	/* Four at a time: one branch instead of four. */
	while (at + 4 <= len && LIKELY((stops_at(text, at, always) | stops_at(text, at + 1, always) |
					stops_at(text, at + 2, always) | stops_at(text, at + 3, always)) == 0))
		at += 4;
	while (at < len && stops_at(text, at, always) == 0)
		at++;
	return at;
}

size_t redact_text(char *text, size_t len)
{
	struct scan scan = {.text = text, .len = len};
	unsigned always = may_hold_card(text, len) ? DIGIT : 0;
	size_t done = 0; /* of the input; what is before stands in the output */
	size_t out = 0;
	size_t at = 0;

	while ((at = next_trigger(text, len, at, always)) < len) {
		struct span secret = find_secret(&scan, at);

		if (secret.end == secret.start) {
			/* A card number begins where digits begin. */
			at = is_digit(text[at]) ? run_end(&scan, at, is_digit) : at + 1;
			continue;
		}
		assert(secret.start >= done && secret.end > at && secret.end <= len);
		memmove(text + out, text + done, secret.start - done);
		out += secret.start - done;
		out += put_mark(text + out, secret.end - secret.start);
		done = secret.end;
		at = secret.end;
		scan.floor = secret.end;
	}
	if (out != done)
		memmove(text + out, text + done, len - done);
	out += len - done;
	assert(out <= len);
	return out;
}
