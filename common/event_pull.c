#include "common/event_pull.h"

#include <assert.h>

/* Big-endian, `width` bytes of 1, 2, 4 or 8. */
static bool take_uint(struct event_pull *pull, size_t width, uint64_t *out)
{
	assert(width == 1 || width == 2 || width == 4 || width == 8);
	if (event_pull_left(pull) < width)
		return false;
	uint64_t value = 0;
	for (size_t i = 0; i < width; i++)
		value = value << 8 | pull->at[i];
	pull->at += width;
	*out = value;
	return true;
}

static bool take_bytes(struct event_pull *pull, enum event_item_kind kind, uint64_t len, struct event_item *item)
{
	if (event_pull_left(pull) < len)
		return false;
	item->kind = kind;
	item->bytes = bytes_make(pull->at, (size_t)len);
	pull->at += len;
	return true;
}

static bool take_sized(struct event_pull *pull, enum event_item_kind kind, size_t width, struct event_item *item)
{
	uint64_t len;
	if (!take_uint(pull, width, &len))
		return false;
	/* An extension's type byte stands between its length and its data. */
	return take_bytes(pull, kind, kind == EVENT_ITEM_EXTENSION ? len + 1 : len, item);
}

static bool take_count(struct event_pull *pull, enum event_item_kind kind, size_t width, struct event_item *item)
{
	uint64_t count;
	if (!take_uint(pull, width, &count))
		return false;
	item->kind = kind;
	item->count = (uint32_t)count;
	return true;
}

static bool take_unsigned(struct event_pull *pull, size_t width, struct event_item *item)
{
	uint64_t value;
	if (!take_uint(pull, width, &value))
		return false;
	item->kind = value <= INT64_MAX ? EVENT_ITEM_I64 : EVENT_ITEM_BIG;
	item->i64 = value <= INT64_MAX ? (int64_t)value : 0;
	return true;
}

static bool take_signed(struct event_pull *pull, size_t width, struct event_item *item)
{
	uint64_t value;
	if (!take_uint(pull, width, &value))
		return false;
	unsigned unused_bits = (unsigned)(64 - 8 * width);
	item->kind = EVENT_ITEM_I64;
	item->i64 = (int64_t)(value << unused_bits) >> unused_bits;
	return true;
}

static bool take_float(struct event_pull *pull, size_t width, struct event_item *item)
{
	uint64_t unused;
	item->kind = EVENT_ITEM_FLOAT;
	return take_uint(pull, width, &unused);
}

/* The items whose first byte is 0xc0 to 0xdf, in the specification's order. */
static bool take_by_lead(struct event_pull *pull, uint8_t lead, struct event_item *item)
{
	switch (lead) {
	case 0xC0:
		item->kind = EVENT_ITEM_NIL;
		return true;
	case 0xC2:
	case 0xC3:
		item->kind = EVENT_ITEM_BOOL;
		item->flag = lead == 0xC3;
		return true;
	case 0xC4:
	case 0xC5:
	case 0xC6:
		return take_sized(pull, EVENT_ITEM_BINARY, (size_t)1 << (lead - 0xC4), item);
	case 0xC7:
	case 0xC8:
	case 0xC9:
		return take_sized(pull, EVENT_ITEM_EXTENSION, (size_t)1 << (lead - 0xC7), item);
	case 0xCA:
	case 0xCB:
		return take_float(pull, (size_t)4 << (lead - 0xCA), item);
	case 0xCC:
	case 0xCD:
	case 0xCE:
	case 0xCF:
		return take_unsigned(pull, (size_t)1 << (lead - 0xCC), item);
	case 0xD0:
	case 0xD1:
	case 0xD2:
	case 0xD3:
		return take_signed(pull, (size_t)1 << (lead - 0xD0), item);
	case 0xD4:
	case 0xD5:
	case 0xD6:
	case 0xD7:
	case 0xD8: /* one type byte and 1, 2, 4, 8 or 16 of data */
		return take_bytes(pull, EVENT_ITEM_EXTENSION, 1 + (UINT64_C(1) << (lead - 0xD4)), item);
	case 0xD9:
	case 0xDA:
	case 0xDB:
		return take_sized(pull, EVENT_ITEM_STRING, (size_t)1 << (lead - 0xD9), item);
	case 0xDC:
	case 0xDD:
		return take_count(pull, EVENT_ITEM_ARRAY, (size_t)2 << (lead - 0xDC), item);
	case 0xDE:
	case 0xDF:
		return take_count(pull, EVENT_ITEM_MAP, (size_t)2 << (lead - 0xDE), item);
	default: /* 0xc1 */
		return false;
	}
}

bool event_pull_next(struct event_pull *pull, struct event_item *item)
{
	assert(pull->at <= pull->end);
	if (pull->at == pull->end)
		return false;
	uint8_t lead = *pull->at++;
	if (lead >= 0xA0 && lead <= 0xBF)
		return take_bytes(pull, EVENT_ITEM_STRING, lead & 0x1F, item);
	if (lead <= 0x7F || lead >= 0xE0) {
		item->kind = EVENT_ITEM_I64;
		item->i64 = (int8_t)lead;
		return true;
	}
	if (lead <= 0x9F) {
		item->kind = lead <= 0x8F ? EVENT_ITEM_MAP : EVENT_ITEM_ARRAY;
		item->count = lead & 0x0F;
		return true;
	}
	return take_by_lead(pull, lead, item);
}

/* How many items stand directly in this one. */
static uint64_t children(const struct event_item *item)
{
	if (item->kind == EVENT_ITEM_MAP)
		return (uint64_t)item->count * 2;
	return item->kind == EVENT_ITEM_ARRAY ? item->count : 0;
}

bool event_pull_skip(struct event_pull *pull, const struct event_item *first)
{
	uint64_t open[EVENT_DEPTH_MAX]; /* items still to come at each level */
	size_t depth = 0;
	uint64_t inside = children(first);

	/* Ends: every turn takes at least one byte, closes a level, or returns. */
	while (inside > 0 || depth > 0) {
		if (inside > 0) {
			if (depth == EVENT_DEPTH_MAX)
				return false;
			open[depth++] = inside;
		}
		inside = 0;
		if (open[depth - 1] == 0) {
			depth--;
			continue;
		}
		open[depth - 1]--;
		struct event_item item;
		if (!event_pull_next(pull, &item))
			return false;
		inside = children(&item);
	}
	return true;
}
