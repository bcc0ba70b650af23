/* The allow list of what is read from an answer of Stripe's API. */
#include <string.h>

#include "common/json_scan.h"
#include "common/stripe_api.h"

/* Takes the value that comes next. False: the text is no JSON, or not what it must be. */
typedef bool take_value(struct json_scan *scan, void *out);

/* The rest of an object whose brace was taken: `take` is called at each key. */
static bool each_key(struct json_scan *scan, take_value *take, void *out)
{
	for (;;) {
		enum json_token token = json_scan_next(scan);
		if (token != JSON_SCAN_KEY)
			return token == JSON_SCAN_OBJECT_CLOSE;
		if (!take(scan, out))
			return false;
	}
}

/* An object that comes next; another type is passed over. */
static bool take_object(struct json_scan *scan, take_value *take, void *out)
{
	enum json_token token = json_scan_next(scan);
	return token == JSON_SCAN_OBJECT_OPEN ? each_key(scan, take, out) : json_scan_skip_rest(scan, token);
}

struct text {
	char *bytes;
	size_t cap;
};

/* The last string; one that does not fit, or holds a NUL, leaves it empty. */
static bool keep_text(const struct json_scan *scan, const struct text *out)
{
	size_t len = 0;
	bool fits = json_scan_text(scan, out->bytes, out->cap - 1, &len) && memchr(out->bytes, '\0', len) == NULL;
	out->bytes[fits ? len : 0] = '\0';
	return true;
}

/* Another type leaves it empty. */
static bool take_text(struct json_scan *scan, const struct text *out)
{
	enum json_token token = json_scan_next(scan);
	out->bytes[0] = '\0';
	return token == JSON_SCAN_STRING ? keep_text(scan, out) : json_scan_skip_rest(scan, token);
}

/* The least of those that are positive, when there are several. */
static bool take_i64(struct json_scan *scan, int64_t *out)
{
	enum json_token token = json_scan_next(scan);
	if (token != JSON_SCAN_NUMBER)
		return json_scan_skip_rest(scan, token);
	int64_t value = 0;
	if (json_scan_i64(scan, &value) && value > 0 && (*out == 0 || value < *out))
		*out = value;
	return true;
}

static bool take_bool(struct json_scan *scan, bool *out)
{
	enum json_token token = json_scan_next(scan);
	*out = token == JSON_SCAN_TRUE;
	return json_scan_skip_rest(scan, token);
}

static bool at_expanded(struct json_scan *scan, void *out)
{
	return json_scan_key_is(scan, "id") ? take_text(scan, out) : json_scan_skip(scan);
}

/* "cus_…", or the whole object when somebody expands it: then its id. */
static bool take_id(struct json_scan *scan, struct text *out)
{
	enum json_token token = json_scan_next(scan);
	out->bytes[0] = '\0';
	if (token == JSON_SCAN_STRING)
		return keep_text(scan, out);
	return token == JSON_SCAN_OBJECT_OPEN ? each_key(scan, at_expanded, out) : json_scan_skip_rest(scan, token);
}

/* The earliest current_period_end of items.data[], as in ingress/stripe/projection.h. */
static bool at_item(struct json_scan *scan, void *out)
{
	struct stripe_subscription *subscription = out;
	return json_scan_key_is(scan, "current_period_end") ? take_i64(scan, &subscription->period_end_s)
							    : json_scan_skip(scan);
}

static bool at_items(struct json_scan *scan, void *out)
{
	if (!json_scan_key_is(scan, "data"))
		return json_scan_skip(scan);
	enum json_token token = json_scan_next(scan);
	if (token != JSON_SCAN_ARRAY_OPEN)
		return json_scan_skip_rest(scan, token);
	for (;;) {
		token = json_scan_next(scan);
		if (token == JSON_SCAN_ARRAY_CLOSE)
			return true;
		if (!(token == JSON_SCAN_OBJECT_OPEN ? each_key(scan, at_item, out) : json_scan_skip_rest(scan, token)))
			return false;
	}
}

static bool take_status(struct json_scan *scan, enum subscription_status *out)
{
	char status[32];
	if (!take_text(scan, &(struct text){status, sizeof(status)}))
		return false;
	*out = subscription_status_parse(bytes_of(status));
	return true;
}

static bool at_subscription(struct json_scan *scan, void *out)
{
	struct stripe_subscription *s = out;
	if (json_scan_key_is(scan, "id"))
		return take_text(scan, &(struct text){s->id, sizeof(s->id)});
	if (json_scan_key_is(scan, "customer"))
		return take_id(scan, &(struct text){s->customer, sizeof(s->customer)});
	if (json_scan_key_is(scan, "created"))
		return take_i64(scan, &s->created_s);
	if (json_scan_key_is(scan, "current_period_end"))
		return take_i64(scan, &s->period_end_s);
	if (json_scan_key_is(scan, "cancel_at_period_end"))
		return take_bool(scan, &s->cancel_at_period_end);
	if (json_scan_key_is(scan, "livemode"))
		return take_bool(scan, &s->livemode);
	if (json_scan_key_is(scan, "items"))
		return take_object(scan, at_items, s);
	if (json_scan_key_is(scan, "status"))
		return take_status(scan, &s->status);
	return json_scan_skip(scan);
}

/* The object's brace was taken. */
static bool take_subscription(struct json_scan *scan, struct stripe_subscription *out)
{
	memset(out, 0, sizeof(*out));
	return each_key(scan, at_subscription, out);
}

static bool whole(const struct stripe_subscription *s)
{
	return strncmp(s->id, "sub_", 4) == 0 && s->customer[0] != '\0' && s->status != SUBSCRIPTION_UNKNOWN;
}

static bool not_understood(struct err *err)
{
	return err_set(err, ERR_INVALID, "Stripe's answer is not a subscription as this version knows it");
}

bool stripe_api_parse(struct bytes json, struct stripe_subscription *out, struct err *err)
{
	struct json_scan scan;
	json_scan_init(&scan, json);
	if (json_scan_next(&scan) != JSON_SCAN_OBJECT_OPEN || !take_subscription(&scan, out) ||
	    json_scan_next(&scan) != JSON_SCAN_END || !whole(out))
		return not_understood(err);
	return true;
}

struct page {
	struct stripe_subscription *out;
	size_t max;
	size_t count;
	bool listed;
	bool more;
};

static bool take_list(struct json_scan *scan, struct page *page)
{
	page->listed = true;
	if (json_scan_next(scan) != JSON_SCAN_ARRAY_OPEN)
		return false;
	for (;;) {
		enum json_token token = json_scan_next(scan);
		if (token == JSON_SCAN_ARRAY_CLOSE)
			return true;
		if (token != JSON_SCAN_OBJECT_OPEN || page->count == page->max)
			return false;
		struct stripe_subscription *next = &page->out[page->count];
		if (!take_subscription(scan, next) || !whole(next))
			return false;
		page->count++;
	}
}

static bool at_page(struct json_scan *scan, void *out)
{
	struct page *page = out;
	if (json_scan_key_is(scan, "data") && !page->listed)
		return take_list(scan, page);
	if (json_scan_key_is(scan, "has_more"))
		return take_bool(scan, &page->more);
	return json_scan_skip(scan);
}

bool stripe_api_parse_list(struct bytes json, struct stripe_subscription *out, size_t max, size_t *count, bool *more,
			   struct err *err)
{
	struct json_scan scan;
	struct page page = {.out = out, .max = max};
	json_scan_init(&scan, json);
	bool good = json_scan_next(&scan) == JSON_SCAN_OBJECT_OPEN && each_key(&scan, at_page, &page) && page.listed &&
		    json_scan_next(&scan) == JSON_SCAN_END;
	*count = good ? page.count : 0;
	*more = good && page.more;
	return good || not_understood(err);
}
