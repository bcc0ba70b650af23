/* The allow list of what is read from an answer of Stripe's API. */
#include <string.h>

#include "common/json_scan.h"
#include "common/stripe_api.h"

/* Reads the string that comes next into out; another type is passed over and leaves it empty. */
static bool take_text(struct json_scan *scan, char *out, size_t cap)
{
	size_t len = 0;
	enum json_token token = json_scan_next(scan);
	out[0] = '\0';
	if (token != JSON_SCAN_STRING)
		return json_scan_skip_rest(scan, token);
	if (json_scan_text(scan, out, cap - 1, &len) && memchr(out, '\0', len) == NULL)
		out[len] = '\0';
	else
		out[0] = '\0';
	return true;
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

/* "cus_…", or the whole object when somebody expands it: then its id. */
static bool take_id(struct json_scan *scan, char *out, size_t cap)
{
	enum json_token token = json_scan_next(scan);
	size_t len = 0;
	out[0] = '\0';
	if (token == JSON_SCAN_STRING) {
		if (json_scan_text(scan, out, cap - 1, &len) && memchr(out, '\0', len) == NULL)
			out[len] = '\0';
		else
			out[0] = '\0';
		return true;
	}
	if (token != JSON_SCAN_OBJECT_OPEN)
		return json_scan_skip_rest(scan, token);
	for (;;) {
		token = json_scan_next(scan);
		if (token != JSON_SCAN_KEY)
			return token == JSON_SCAN_OBJECT_CLOSE;
		if (!(json_scan_key_is(scan, "id") ? take_text(scan, out, cap) : json_scan_skip(scan)))
			return false;
	}
}

/* The earliest current_period_end of items.data[], as in ingress/stripe/projection.h. */
static bool take_item(struct json_scan *scan, struct stripe_subscription *out)
{
	for (;;) {
		enum json_token token = json_scan_next(scan);
		if (token != JSON_SCAN_KEY)
			return token == JSON_SCAN_OBJECT_CLOSE;
		if (!(json_scan_key_is(scan, "current_period_end") ? take_i64(scan, &out->period_end_s)
								   : json_scan_skip(scan)))
			return false;
	}
}

static bool take_item_array(struct json_scan *scan, struct stripe_subscription *out)
{
	enum json_token token = json_scan_next(scan);
	if (token != JSON_SCAN_ARRAY_OPEN)
		return json_scan_skip_rest(scan, token);
	for (;;) {
		token = json_scan_next(scan);
		if (token == JSON_SCAN_ARRAY_CLOSE)
			return true;
		if (!(token == JSON_SCAN_OBJECT_OPEN ? take_item(scan, out) : json_scan_skip_rest(scan, token)))
			return false;
	}
}

static bool take_items(struct json_scan *scan, struct stripe_subscription *out)
{
	enum json_token token = json_scan_next(scan);
	if (token != JSON_SCAN_OBJECT_OPEN)
		return json_scan_skip_rest(scan, token);
	for (;;) {
		token = json_scan_next(scan);
		if (token != JSON_SCAN_KEY)
			return token == JSON_SCAN_OBJECT_CLOSE;
		if (!(json_scan_key_is(scan, "data") ? take_item_array(scan, out) : json_scan_skip(scan)))
			return false;
	}
}

static bool take_field(struct json_scan *scan, struct stripe_subscription *out)
{
	char status[32];
	if (json_scan_key_is(scan, "id"))
		return take_text(scan, out->id, sizeof(out->id));
	if (json_scan_key_is(scan, "customer"))
		return take_id(scan, out->customer, sizeof(out->customer));
	if (json_scan_key_is(scan, "created"))
		return take_i64(scan, &out->created_s);
	if (json_scan_key_is(scan, "current_period_end"))
		return take_i64(scan, &out->period_end_s);
	if (json_scan_key_is(scan, "cancel_at_period_end"))
		return take_bool(scan, &out->cancel_at_period_end);
	if (json_scan_key_is(scan, "livemode"))
		return take_bool(scan, &out->livemode);
	if (json_scan_key_is(scan, "items"))
		return take_items(scan, out);
	if (!json_scan_key_is(scan, "status"))
		return json_scan_skip(scan);
	if (!take_text(scan, status, sizeof(status)))
		return false;
	out->status = subscription_status_parse(bytes_of(status));
	return true;
}

/* The object's brace was taken. */
static bool take_subscription(struct json_scan *scan, struct stripe_subscription *out)
{
	memset(out, 0, sizeof(*out));
	for (;;) {
		enum json_token token = json_scan_next(scan);
		if (token != JSON_SCAN_KEY)
			return token == JSON_SCAN_OBJECT_CLOSE;
		if (!take_field(scan, out))
			return false;
	}
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

static bool take_list(struct json_scan *scan, struct stripe_subscription *out, size_t max, size_t *count)
{
	enum json_token token = json_scan_next(scan);
	if (token != JSON_SCAN_ARRAY_OPEN)
		return false;
	for (;;) {
		token = json_scan_next(scan);
		if (token == JSON_SCAN_ARRAY_CLOSE)
			return true;
		if (token != JSON_SCAN_OBJECT_OPEN || *count == max || !take_subscription(scan, &out[*count]) ||
		    !whole(&out[*count]))
			return false;
		(*count)++;
	}
}

bool stripe_api_parse_list(struct bytes json, struct stripe_subscription *out, size_t max, size_t *count, bool *more,
			   struct err *err)
{
	struct json_scan scan;
	bool listed = false;
	*count = 0;
	*more = false;
	json_scan_init(&scan, json);
	if (json_scan_next(&scan) != JSON_SCAN_OBJECT_OPEN)
		return not_understood(err);
	for (;;) {
		enum json_token token = json_scan_next(&scan);
		if (token == JSON_SCAN_OBJECT_CLOSE)
			break;
		bool good = token == JSON_SCAN_KEY;
		if (good && json_scan_key_is(&scan, "data") && !listed)
			good = listed = take_list(&scan, out, max, count);
		else if (good && json_scan_key_is(&scan, "has_more"))
			good = take_bool(&scan, more);
		else if (good)
			good = json_scan_skip(&scan);
		if (!good)
			return not_understood(err);
	}
	return (listed && json_scan_next(&scan) == JSON_SCAN_END) || not_understood(err);
}
