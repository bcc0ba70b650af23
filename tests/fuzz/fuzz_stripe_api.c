/*
 * Answers of Stripe's API. Invariant: what is accepted is whole and its texts are ended; one subscription that is
 * accepted alone is accepted in a page, and the same.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/stripe_api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void in_a_page(struct bytes json, const struct stripe_subscription *alone)
{
	struct stripe_subscription page[1];
	struct buf text;
	struct err err;
	size_t count;
	bool more;
	buf_init(&text, 1 << 20);
	if (buf_append_text(&text, "{\"data\":[") && buf_append(&text, json.data, json.len) &&
	    buf_append_text(&text, "],\"has_more\":true}") &&
	    stripe_api_parse_list(buf_bytes(&text), page, 1, &count, &more, &err)) {
		assert(count == 1 && more);
		assert(strcmp(page[0].id, alone->id) == 0 && page[0].status == alone->status);
	} else {
		/* Only the two levels more can refuse it. */
		assert(err.code == ERR_INVALID);
	}
	buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stripe_subscription one, page[3];
	struct err err;
	size_t count;
	bool more;
	struct bytes json = bytes_make(data, size);
	if (stripe_api_parse(json, &one, &err)) {
		assert(strncmp(one.id, "sub_", 4) == 0 && strlen(one.id) < sizeof(one.id));
		assert(one.customer[0] != '\0' && strlen(one.customer) < sizeof(one.customer));
		assert(one.status > SUBSCRIPTION_UNKNOWN && one.status < SUBSCRIPTION_STATUS_COUNT);
		in_a_page(json, &one);
	}
	if (stripe_api_parse_list(json, page, 3, &count, &more, &err))
		assert(count <= 3);
	return 0;
}
