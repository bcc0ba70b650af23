/*
 * A writer and a reader of one event type, built by test_both_ways.py once from the description as it is in history and
 * once with added fields (WITH_ADDED). Usage: both_ways write | read; the value goes over standard output and input.
 */
#include <stdio.h>
#include <string.h>

#include "events.h"

static int write_event(void)
{
	struct event_stripe_other event = {
		.event_id = bytes_of("evt_1"),
		.stripe_type = bytes_of("charge.succeeded"),
		.created_s = 1686089714,
		.customer = bytes_of("cus_1"),
		.has_customer = true,
	};
	struct buf out;
	buf_init(&out, EVENT_STRIPE_OTHER_BYTES_MAX);
#ifdef WITH_ADDED
	/* What is required of writers is refused while it is absent. */
	if (event_stripe_other_encode(&event, &out))
		return 3;
	event.added_required = 7;
	event.has_added_required = true;
	event.added_optional = bytes_of("new");
	event.has_added_optional = true;
#endif
	if (!event_stripe_other_encode(&event, &out))
		return 1;
	bool written = fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
	buf_free(&out);
	return written ? 0 : 1;
}

static int read_event(void)
{
	static char value[EVENT_VALUE_BYTES_MAX];
	struct event_stripe_other event;
	struct err err;
	size_t len = fread(value, 1, sizeof(value), stdin);
	if (!event_stripe_other_decode(bytes_make(value, len), &event, &err)) {
		printf("%s\n", err.text);
		return 1;
	}
	printf("%.*s %.*s %lld %.*s", (int)event.event_id.len, (const char *)event.event_id.data,
	       (int)event.stripe_type.len, (const char *)event.stripe_type.data, (long long)event.created_s,
	       (int)event.customer.len, (const char *)event.customer.data);
#ifdef WITH_ADDED
	printf(" %d %d", event.has_added_required, event.has_added_optional);
#endif
	printf("\n");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	return strcmp(argv[1], "write") == 0 ? write_event() : read_event();
}
