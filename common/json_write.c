#include "common/json_write.h"

#include "common/utf8.h"

static bool write_one(struct buf *out, const uint8_t *at, size_t sequence)
{
	if (sequence > 1)
		return buf_append(out, at, sequence);
	if (*at >= 0x80)
		return buf_append_text(out, "\xEF\xBF\xBD");
	if (*at == '"' || *at == '\\')
		return buf_append_byte(out, '\\') && buf_append_byte(out, *at);
	if (*at < 0x20 || *at == 0x7F)
		return buf_printf(out, "\\u%04x", *at);
	return buf_append_byte(out, *at);
}

bool json_write_text(struct buf *out, struct bytes text)
{
	size_t before = out->len;
	bool good = buf_append_byte(out, '"');

	for (size_t at = 0; good && at < text.len;) {
		size_t sequence = text.data[at] < 0x80 ? 0 : utf8_sequence(text.data + at, text.len - at);
		good = write_one(out, text.data + at, sequence);
		at += sequence > 0 ? sequence : 1;
	}
	good = good && buf_append_byte(out, '"');
	if (!good)
		out->len = before;
	return good;
}
