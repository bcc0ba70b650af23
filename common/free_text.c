#include "common/free_text.h"

#include "common/card.h"
#include "common/secret_shape.h"
#include "common/text_fold.h"

enum {
	CREDENTIAL_CHARS_MIN = 16, /* behind Bearer: shorter ones are words and numbers */
	BASIC_CHARS_MIN = 8,       /* base64 of "a:bcd" */
	VALUE_CHARS_MIN = 6,       /* of a password's */
	SECRET_CHARS_MIN = 8,      /* behind …_secret_ and ek_live_ */
	JWT_CHARS_MIN = 8          /* of its header and its payload each */
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_alnum(char c)
{
	return is_digit(c) || is_letter(c);
}

static bool is_other(char c)
{
	return !is_alnum(c);
}

static bool is_upper_alnum(char c)
{
	return is_digit(c) || (c >= 'A' && c <= 'Z');
}

/* base64url, and what keys are made of */
static bool is_word(char c)
{
	return is_alnum(c) || c == '_' || c == '-';
}

static size_t run(const struct secret_scan *s, size_t at, bool (*belongs)(char))
{
	size_t end = at;

	while (end < s->len && belongs(s->text[end]))
		end++;
	return end - at;
}

static bool stands_at(const struct secret_scan *s, size_t at, const char *word)
{
	size_t len = strlen(word);

	return s->len - at >= len && memcmp(s->text + at, word, len) == 0;
}

static bool ends_in(const struct secret_scan *s, size_t at, const char *word)
{
	size_t len = strlen(word);

	return at >= len && memcmp(s->text + at - len, word, len) == 0;
}

static bool has(const char *word, size_t len, bool (*belongs)(char))
{
	for (size_t i = 0; i < len; i++)
		if (belongs(word[i]))
			return true;
	return false;
}

/* --- behind a scheme ------------------------------------------------------------------------------ */

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* base64 of a printable text with a colon in it (RFC 7617). */
static bool is_basic(const char *word, size_t len)
{
	uint32_t bits = 0;
	unsigned count = 0;
	bool colon = false;

	for (size_t i = 0; i < len && word[i] != '='; i++) {
		int value = base64_value(word[i]);
		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		count += 6;
		if (count < 8)
			continue;
		count -= 8;
		uint8_t byte = (uint8_t)(bits >> count);
		if (byte < 0x20 || byte == 0x7F)
			return false;
		colon = colon || byte == ':';
	}
	return len >= BASIC_CHARS_MIN && colon;
}

/* `at` is a blank. */
static bool holds_scheme(const struct secret_scan *s, size_t at)
{
	struct secret_span found = secret_shape_scheme(s, at);
	const char *word = s->text + found.start;
	size_t len = found.end - found.start;

	if (len == 0)
		return false;
	if (s->text[at - 1] == 'c' || s->text[at - 1] == 'C')
		return is_basic(word, len);
	/* A full stop belongs to the sentence. */
	while (len > 0 && (word[len - 1] == '.' || word[len - 1] == '-'))
		len--;
	return len >= CREDENTIAL_CHARS_MIN && has(word, len, is_letter) && has(word, len, is_digit);
}

/* --- behind a name -------------------------------------------------------------------------------- */

static bool is_between_words(char c)
{
	return c == ' ' || c == ';' || c == ',' || c == '\n' || c == '\r' || c == '\t';
}

/* Neither a plain word nor a number, as "changed.", "(none)" and "123456" are. */
static bool is_value(const char *word, size_t len)
{
	while (len > 0 && !is_alnum(word[len - 1]))
		len--;
	while (len > 0 && !is_alnum(word[0])) {
		word++;
		len--;
	}
	return len >= VALUE_CHARS_MIN &&
	       has(word, len, is_letter) + has(word, len, is_digit) + has(word, len, is_other) >= 2;
}

/* `at` is ':' or '='. Of a line only the first two words are the value: "Authorization: Token abc123 was sent". */
static bool holds_named(const struct secret_scan *s, size_t at)
{
	struct secret_span found = secret_shape_named(s, at);
	size_t from = found.start;

	for (unsigned words = 0; words < 2 && from < found.end; words++) {
		size_t end = from;
		while (end < found.end && !is_between_words(s->text[end]))
			end++;
		if (is_value(s->text + from, end - from))
			return true;
		from = end;
		while (from < found.end && is_between_words(s->text[from]))
			from++;
	}
	return false;
}

/* "scheme://user:password@host"; `at` is the colon. */
static bool holds_userinfo(const struct secret_scan *s, size_t at)
{
	bool colon = false;

	if (!stands_at(s, at, "://"))
		return false;
	for (size_t i = at + 3; i < s->len; i++) {
		char c = s->text[i];
		if (c == '@')
			return colon && s->text[i - 1] != ':';
		if (c == '/' || c == '?' || c == '#' || c == '"' || is_between_words(c))
			return false;
		colon = colon || c == ':';
	}
	return false;
}

/* With its length counted by the compiler. */
#define WORD(text)                                                                                                     \
	{                                                                                                              \
		(const uint8_t *)(text), sizeof(text) - 1                                                              \
	}

/* --- with a prefix of their own -------------------------------------------------------------------- */

static const struct prefix {
	struct bytes text;
	bool (*belongs)(char);
	size_t chars_min; /* behind the prefix */
	size_t chars_max;
} PREFIXES[] = {
	{WORD("AKIA"), is_upper_alnum, 16, 16}, {WORD("ASIA"), is_upper_alnum, 16, 16},
	{WORD("AIza"), is_word, 35, 35},        {WORD("ghp_"), is_alnum, 20, SIZE_MAX},
	{WORD("gho_"), is_alnum, 20, SIZE_MAX}, {WORD("ghu_"), is_alnum, 20, SIZE_MAX},
	{WORD("ghs_"), is_alnum, 20, SIZE_MAX}, {WORD("ghr_"), is_alnum, 20, SIZE_MAX},
	{WORD("npm_"), is_alnum, 30, SIZE_MAX}, {WORD("github_pat_"), is_word, 20, SIZE_MAX},
	{WORD("hf_"), is_alnum, 30, SIZE_MAX},  {WORD("glpat-"), is_word, 16, SIZE_MAX},
	{WORD("sk-"), is_word, 32, SIZE_MAX},   {WORD("xoxb-"), is_word, 10, SIZE_MAX},
	{WORD("xoxp-"), is_word, 10, SIZE_MAX}, {WORD("xoxa-"), is_word, 10, SIZE_MAX},
	{WORD("xoxr-"), is_word, 10, SIZE_MAX}, {WORD("xoxs-"), is_word, 10, SIZE_MAX},
};

static bool holds_jwt(const struct secret_scan *s, size_t at)
{
	if (!stands_at(s, at, "eyJ"))
		return false;
	size_t head = run(s, at, is_word);
	return head >= JWT_CHARS_MIN && stands_at(s, at + head, ".") && run(s, at + head + 1, is_word) >= JWT_CHARS_MIN;
}

/* `at` is where a word begins. */
static bool holds_prefixed(const struct secret_scan *s, size_t at)
{
	if (holds_jwt(s, at))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(PREFIXES); i++) {
		const struct prefix *prefix = &PREFIXES[i];
		/* Nearly every word ends here, at its first letter. */
		if ((uint8_t)s->text[at] != prefix->text.data[0] || s->len - at < prefix->text.len ||
		    memcmp(s->text + at, prefix->text.data, prefix->text.len) != 0)
			continue;
		size_t chars = run(s, at + prefix->text.len, prefix->belongs);
		if (chars >= prefix->chars_min && chars <= prefix->chars_max)
			return true;
	}
	return false;
}

/* `at` is '_'. */
static bool holds_key(const struct secret_scan *s, size_t at)
{
	struct secret_span found = secret_shape_key(s, at);

	if (found.end > found.start)
		return true;
	if (ends_in(s, at, "ek_live") || ends_in(s, at, "ek_test"))
		return run(s, at + 1, is_alnum) >= SECRET_CHARS_MIN;
	/* "client_secret_rotation" is a word. */
	size_t chars = run(s, at + 1, is_alnum);
	return ends_in(s, at, "_secret") && chars >= SECRET_CHARS_MIN && has(s->text + at + 1, chars, is_digit);
}

/* --- the text --------------------------------------------------------------------------------------- */

enum rule { KEY = 1, SCHEME = 2, NAME = 4, DASH = 8, PREFIX = 16 };

/* PREFIX: the first letters of PREFIXES, and 'e' of a JSON Web Token. Behind these: the last letters of wp, whsec,
 * live, test and secret; of basic and bearer; another dash; anything but a letter or a digit. A name is followed
 * wherever it stands. */
static const struct secret_stops STOPS = {
	.at =
		{
			['_'] = KEY,
			[' '] = SCHEME,
			[':'] = NAME,
			['='] = NAME,
			['-'] = DASH,
			['A'] = PREFIX,
			['e'] = PREFIX,
			['g'] = PREFIX,
			['h'] = PREFIX,
			['n'] = PREFIX,
			['s'] = PREFIX,
			['x'] = PREFIX,
		},
	.behind =
		{
			['p'] = KEY,
			['P'] = KEY,
			['e'] = KEY,
			['E'] = KEY,
			['t'] = KEY,
			['T'] = KEY,
			['c'] = KEY | SCHEME,
			['C'] = KEY | SCHEME,
			['r'] = SCHEME,
			['R'] = SCHEME,
			[0 ... ','] = PREFIX,
			['-'] = DASH | PREFIX,
			['.' ... '/'] = PREFIX,
			[':' ... '@'] = PREFIX,
			['[' ... '`'] = PREFIX,
			['{' ... 255] = PREFIX,
		},
};

static bool holds_secret_at(const struct secret_scan *s, size_t at)
{
	switch ((enum rule)STOPS.at[(uint8_t)s->text[at]]) {
	case KEY:
		return holds_key(s, at);
	case SCHEME:
		return holds_scheme(s, at);
	case NAME:
		return (s->text[at] == ':' && holds_userinfo(s, at)) || holds_named(s, at);
	case DASH: {
		struct secret_span key = secret_shape_private_key(s, at);
		return key.end > key.start;
	}
	case PREFIX:
		return holds_prefixed(s, at);
	}
	return false;
}

static bool holds_secret(const struct secret_scan *s)
{
	for (size_t at = 0; (at = secret_stop_next(&STOPS, s->text, s->len, at, NAME)) < s->len; at++)
		if (holds_secret_at(s, at))
			return true;
	return false;
}

enum free_text free_text_check(struct bytes text)
{
	char folded[FREE_TEXT_BYTES_MAX];

	if (text.len > sizeof(folded))
		return FREE_TEXT_TOO_LONG;
	const struct secret_scan scan = {.text = folded, .len = text_fold(text, folded)};
	enum free_text verdict = FREE_TEXT_FINE;
	if (holds_secret(&scan))
		verdict = FREE_TEXT_SECRET;
	else if (card_in_text(bytes_make(folded, scan.len)))
		verdict = FREE_TEXT_CARD;
	explicit_bzero(folded, scan.len); /* what is refused leaves no copy on the stack */
	return verdict;
}
