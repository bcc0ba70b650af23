#include "common/log_line.h"

#include <assert.h>
#include <string.h>

#include "common/clock.h"
#include "common/redact.h"

static const char cut_mark[] = " cut=true\n";

struct writer {
	char *at;
	char *end;
	bool cut;
};

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

/* Bytes that a value may have without quotes: printable ASCII but blank, '"', '\\' and '='. */
static bool is_plain(uint8_t c)
{
	return c > 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '=';
}

static void put(struct writer *w, const void *data, size_t len)
{
	size_t room = (size_t)(w->end - w->at);

	if (len > room) {
		w->cut = true;
		len = room;
	}
	if (len > 0)
		memcpy(w->at, data, len);
	w->at += len;
}

static void put_text(struct writer *w, const char *text)
{
	put(w, text, strlen(text));
}

static void put_u64(struct writer *w, uint64_t value)
{
	char digits[20]; /* 2^64 - 1 has 20 */
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	put(w, digits + i, sizeof(digits) - i);
}

static void put_i64(struct writer *w, int64_t value)
{
	if (value >= 0) {
		put_u64(w, (uint64_t)value);
		return;
	}
	put(w, "-", 1);
	put_u64(w, ~(uint64_t)value + 1); /* the smallest has no positive int64_t */
}

static void put_escaped(struct writer *w, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";
	char escape[4] = {'\\', (char)c, 0, 0};
	size_t len = 2;

	if (c == '\n') {
		escape[1] = 'n';
	} else if (c == '\r') {
		escape[1] = 'r';
	} else if (c == '\t') {
		escape[1] = 't';
	} else if (c != '"' && c != '\\') {
		escape[1] = 'x';
		escape[2] = hex[c >> 4];
		escape[3] = hex[c & 15];
		len = 4;
	}
	put(w, escape, len);
}

static void put_quoted(struct writer *w, struct bytes value)
{
	put(w, "\"", 1);
	for (size_t i = 0; i < value.len && !w->cut; i++) {
		uint8_t c = value.data[i];

		if (is_plain(c) || c == ' ' || c == '=')
			put(w, &c, 1);
		else
			put_escaped(w, c);
	}
	put(w, "\"", 1);
}

static void put_value(struct writer *w, struct bytes value)
{
	bool plain = value.len > 0;

	/* No more is looked at than can be written: a value may be a whole body by mistake. */
	if (value.len > LOG_SCRATCH_BYTES)
		value.len = LOG_SCRATCH_BYTES;
	/* To the end in any case: without a way out the compiler makes vectors of it. */
	for (size_t i = 0; i < value.len; i++)
		plain &= is_plain(value.data[i]);
	if (plain)
		put(w, value.data, value.len);
	else
		put_quoted(w, value);
}

static void put_field(struct writer *w, const struct log_field *field)
{
	assert(field->key != NULL);
	put(w, " ", 1);
	put_text(w, field->key);
	put(w, "=", 1);
	switch (field->kind) {
	case LOG_FIELD_TEXT:
		put_value(w, bytes_of(field->value.text));
		break;
	case LOG_FIELD_BYTES:
		put_value(w, field->value.bytes);
		break;
	case LOG_FIELD_I64:
		put_i64(w, field->value.i64);
		break;
	case LOG_FIELD_U64:
		put_u64(w, field->value.u64);
		break;
	case LOG_FIELD_BOOL:
		put_text(w, field->value.flag ? "true" : "false");
		break;
	}
}

static void put_head(struct writer *w, const struct log_line *line)
{
	char time[CLOCK_TEXT_BYTES];

	clock_format_ms(line->wall_ms, time);
	put(w, "time=", 5);
	put(w, time, CLOCK_TEXT_BYTES - 1);
	put(w, " level=", 7);
	put_text(w, level_names[line->level]);
	put(w, " program=", 9);
	put_text(w, line->program);
	put(w, " event=", 7);
	put_text(w, line->event);
}

/* How many of the first `limit` bytes may stay so that no escape is torn; *quoted tells whether the
 * end lies inside quotes. Runs over a line that is cut, so it need not be fast. */
static size_t whole_characters(const char *text, size_t limit, bool *quoted)
{
	size_t i = 0;

	*quoted = false;
	while (i < limit) {
		size_t step = 1;

		if (text[i] == '\\')
			step = text[i + 1] == 'x' ? 4 : 2;
		if (i + step > limit)
			break;
		if (text[i] == '"')
			*quoted = !*quoted;
		i += step;
	}
	return i;
}

/* The line's filtered text is out[0..len); `end_missing` when there was more than the scratch holds. */
static size_t cut_line(char out[LOG_SCRATCH_BYTES], size_t len, bool end_missing)
{
	size_t limit = LOG_LINE_BYTES_MAX - 1 - (sizeof(cut_mark) - 1); /* 1: a closing quote */
	bool quoted;

	/* The start of a secret whose rest did not fit is not recognised, but it is short. */
	if (end_missing)
		len = len > LOG_CUT_MARGIN_BYTES ? len - LOG_CUT_MARGIN_BYTES : 0;
	len = whole_characters(out, len < limit ? len : limit, &quoted);
	if (quoted)
		out[len++] = '"';
	memcpy(out + len, cut_mark, sizeof(cut_mark) - 1);
	len += sizeof(cut_mark) - 1;
	assert(len <= LOG_LINE_BYTES_MAX);
	return len;
}

size_t log_line_format(const struct log_line *line, char out[LOG_SCRATCH_BYTES])
{
	struct writer w = {.at = out, .end = out + LOG_SCRATCH_BYTES};
	size_t len;

	assert(line->count <= LOG_FIELDS_MAX);
	assert(line->level >= LOG_LEVEL_ERROR && line->level <= LOG_LEVEL_DEBUG);
	put_head(&w, line);
	for (size_t i = 0; i < line->count && !w.cut; i++)
		put_field(&w, &line->fields[i]);
	len = redact_text(out, (size_t)(w.at - out));
	if (w.cut || len + 1 > LOG_LINE_BYTES_MAX)
		return cut_line(out, len, w.cut);
	out[len] = '\n';
	return len + 1;
}
