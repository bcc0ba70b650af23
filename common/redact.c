#include "common/redact.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "common/card.h"
#include "common/secret_shape.h"

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

/* Behind these: the last bytes of wp, whsec, live and test; of basic and bearer; of cookie, authorization,
 * stripe-signature, password, watchpost, v0 and v1, or of their quotes. A digit where a card number may be: behind
 * anything. */
static const struct secret_stops STOPS = {
	.at =
		{
			['_'] = KEY,
			[' '] = SCHEME,
			[':'] = NAME,
			['='] = NAME,
			['-'] = DASH,
			['0' ... '9'] = DIGIT,
		},
	.behind =
		{
			['p'] = KEY,
			['P'] = KEY,
			['c'] = KEY | SCHEME,
			['C'] = KEY | SCHEME,
			['e'] = KEY | NAME,
			['E'] = KEY | NAME,
			['t'] = KEY | NAME,
			['T'] = KEY | NAME,
			['r'] = SCHEME,
			['R'] = SCHEME,
			['n'] = NAME,
			['N'] = NAME,
			['d'] = NAME,
			['D'] = NAME,
			['0'] = NAME,
			['1'] = NAME,
			['"'] = NAME,
			['-'] = DASH,
		},
};

/* --- card numbers -------------------------------------------------------------------------------- */

static const struct secret_span nothing = {0, 0};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* A card number is one group of digits or several with one blank or dash between; the longest that
 * begins at `at` counts. */
static struct secret_span card_from(const struct secret_scan *s, size_t at)
{
	uint8_t digits[CARD_DIGITS_MAX];
	struct secret_span card = nothing;
	size_t count = 0;
	size_t i = at;

	for (;;) {
		while (i < s->len && is_digit(s->text[i]) && count < CARD_DIGITS_MAX)
			digits[count++] = (uint8_t)(s->text[i++] - '0');
		if (i < s->len && is_digit(s->text[i]))
			break; /* a 20th digit */
		if (count >= CARD_DIGITS_MIN && card_network(digits, count) && card_luhn(digits, count))
			card = (struct secret_span){at, i};
		if (i + 1 >= s->len || (s->text[i] != ' ' && s->text[i] != '-') || !is_digit(s->text[i + 1]))
			break;
		i++;
	}
	return card;
}

static bool is_behind_escape(const struct secret_scan *s, size_t at)
{
	return at - s->floor >= 2 && s->text[at - 2] == '\\' && (s->text[at - 1] == 'x' || s->text[at - 1] == 'X');
}

/* `at` is the first digit of a group. Its first one or two may belong to an escape: the no-break space
 * before a number that someone copied stands in the line as "\xc2\xa0". */
static struct secret_span card_number(const struct secret_scan *s, size_t at)
{
	struct secret_span card = card_from(s, at);

	if (card.end > card.start)
		return card;
	if (is_behind_escape(s, at) && at + 2 < s->len && is_digit(s->text[at + 1]))
		return card_from(s, at + 2);
	if (at > s->floor && is_behind_escape(s, at - 1) && is_hex(s->text[at - 1]))
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

		if ((STOPS.at[(uint8_t)text[at]] & (DIGIT | SCHEME | DASH)) == 0)
			continue;
		while (at > floor && (STOPS.at[(uint8_t)text[at - 1]] & (DIGIT | SCHEME | DASH)) != 0)
			at--;
		for (; at < len && (STOPS.at[(uint8_t)text[at]] & (DIGIT | SCHEME | DASH)) != 0; at++)
			digits += is_digit(text[at]);
		if (digits >= CARD_DIGITS_MIN)
			return true;
		floor = at;
	}
	return false;
}

/* --- the pass ------------------------------------------------------------------------------------ */

static struct secret_span find_secret(const struct secret_scan *s, size_t at)
{
	switch (STOPS.at[(uint8_t)s->text[at]]) {
	case DIGIT:
		return card_number(s, at);
	case KEY:
		return secret_shape_key(s, at);
	case SCHEME:
		return secret_shape_scheme(s, at);
	case NAME:
		return secret_shape_named(s, at);
	case DASH:
		return secret_shape_private_key(s, at);
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

size_t redact_text(char *text, size_t len)
{
	struct secret_scan scan = {.text = text, .len = len};
	unsigned always = may_hold_card(text, len) ? DIGIT : 0;
	size_t done = 0; /* of the input; what is before stands in the output */
	size_t out = 0;
	size_t at = 0;

	while ((at = secret_stop_next(&STOPS, text, len, at, always)) < len) {
		struct secret_span secret = find_secret(&scan, at);

		if (secret.end == secret.start) {
			/* A card number begins where digits begin. */
			do
				at++;
			while (at < len && is_digit(text[at - 1]) && is_digit(text[at]));
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
