#include "workers/audit_log/summary.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/event_pull.h"

enum { VALUES_MAX = 24, NUMBER_BYTES = 24 };

/* What a line may show, in this order. Ids, words of closed lists and numbers: nothing that a person typed. */
static const char *const SHOWN[] = {
	"stripe_type", "subscription", "status",      "previous_status", "cancel_at_period_end", "mode",   "kind",
	"change",      "cause",        "decision_id", "decision",        "reason_code",          "amount", "currency",
	"agent_id",    "token_prefix", "state",       "livemode",        "access_number",
};
_Static_assert(ARRAY_LEN(SHOWN) <= VALUES_MAX, "room for each");

static bool starts_with(struct bytes text, const char *start)
{
	size_t len = strlen(start);
	return text.len >= len && memcmp(text.data, start, len) == 0;
}

/* Short, printable ASCII, no spaces: an id or a word. Anything else is not shown. */
static bool is_word(struct bytes text)
{
	if (text.len == 0 || text.len > SUMMARY_COLUMN_BYTES_MAX)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] <= ' ' || text.data[i] > '~')
			return false;
	return true;
}

static void append(struct summary *out, const char *name, const char *value, size_t len)
{
	size_t name_len = strlen(name);
	size_t need = (out->text_len > 0) + name_len + 1 + len;
	if (need > sizeof(out->text) - out->text_len)
		return;
	char *at = out->text + out->text_len;
	if (out->text_len > 0)
		*at++ = ' ';
	memcpy(at, name, name_len);
	at[name_len] = '=';
	memcpy(at + name_len + 1, value, len);
	out->text_len += need;
}

static void show(struct summary *out, const char *name, const struct event_item *item)
{
	char number[NUMBER_BYTES];
	if (item->kind == EVENT_ITEM_STRING && is_word(item->bytes)) {
		append(out, name, (const char *)item->bytes.data, item->bytes.len);
	} else if (item->kind == EVENT_ITEM_BOOL) {
		append(out, name, item->flag ? "true" : "false", item->flag ? 4 : 5);
	} else if (item->kind == EVENT_ITEM_I64) {
		int len = snprintf(number, sizeof(number), "%" PRId64, item->i64);
		append(out, name, number, (size_t)len);
	}
}

static void take_column(struct summary *out, struct bytes key, const struct event_item *item)
{
	if (item->kind != EVENT_ITEM_STRING || !is_word(item->bytes))
		return;
	if (bytes_equal_text(key, "account_id") || bytes_equal_text(key, "client_reference_id"))
		out->account = item->bytes;
	else if (bytes_equal_text(key, "customer"))
		out->customer = item->bytes;
	else if (bytes_equal_text(key, "actor") || (bytes_equal_text(key, "agent_id") && out->actor.len == 0))
		out->actor = item->bytes;
}

bool summary_make(struct bytes type, struct bytes value, struct summary *out, struct err *err)
{
	struct event_pull pull = event_pull_make(value);
	struct event_item map, key, item, found[VALUES_MAX];
	bool have[VALUES_MAX] = {0};
	memset(out, 0, sizeof(*out));
	if (starts_with(type, "watchpost.stripe."))
		out->actor = bytes_of("stripe");
	if (!event_pull_next(&pull, &map) || map.kind != EVENT_ITEM_MAP)
		return err_set(err, ERR_INVALID, "the value is not a msgpack map");
	for (uint32_t i = 0; i < map.count; i++) {
		if (!event_pull_next(&pull, &key) || key.kind != EVENT_ITEM_STRING || !event_pull_next(&pull, &item) ||
		    !event_pull_skip(&pull, &item))
			return err_set(err, ERR_INVALID, "the value is not a whole msgpack map with text keys");
		take_column(out, key.bytes, &item);
		for (size_t s = 0; s < ARRAY_LEN(SHOWN); s++) {
			if (bytes_equal_text(key.bytes, SHOWN[s])) {
				found[s] = item;
				have[s] = true;
			}
		}
	}
	if (event_pull_left(&pull) != 0)
		return err_set(err, ERR_INVALID, "the value goes on behind its map");
	for (size_t s = 0; s < ARRAY_LEN(SHOWN); s++)
		if (have[s])
			show(out, SHOWN[s], &found[s]);
	return true;
}
