/* Stored merge states. Invariant: what decodes encodes to the same bytes, has a view, and merging it with itself
 * changes nothing. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "common/subscription.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct subscription s, other;
	struct subscription_view view;
	uint8_t out[SUBSCRIPTION_STATE_BYTES_MAX];
	if (!subscription_decode(bytes_make(data, size), &s))
		return 0;
	assert(subscription_known(&s));
	assert(subscription_encode(&s, out) == size && memcmp(out, data, size) == 0);
	subscription_view(&s, &view);
	assert(view.status > SUBSCRIPTION_UNKNOWN && subscription_status_terminal(view.status) == s.terminal);
	other = s;
	assert(!subscription_merge(&other, &s));
	return 0;
}
