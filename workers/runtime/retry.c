#include "workers/runtime/retry.h"

#include <assert.h>

enum { FIRST_PAUSE_MS = 20, DOUBLINGS_MAX = 20, NS_PER_MS = 1000000 };

int64_t retry_failed(struct retry *retry, int64_t now_ns, int64_t max_ms)
{
	assert(max_ms > 0);
	unsigned doublings = retry->failures < DOUBLINGS_MAX ? retry->failures : DOUBLINGS_MAX;
	int64_t pause_ms = (int64_t)FIRST_PAUSE_MS << doublings;
	if (pause_ms > max_ms)
		pause_ms = max_ms;
	retry->failures++;
	retry->pending = true;
	retry->due_ns = now_ns + pause_ms * NS_PER_MS;
	return pause_ms;
}

void retry_resumed(struct retry *retry)
{
	retry->pending = false;
}

void retry_succeeded(struct retry *retry)
{
	*retry = (struct retry){0};
}

bool retry_pending(const struct retry *retry)
{
	return retry->pending;
}

bool retry_waiting(const struct retry *retry, int64_t now_ns)
{
	return retry_pending(retry) && now_ns < retry->due_ns;
}

int64_t retry_left_ms(const struct retry *retry, int64_t now_ns)
{
	if (!retry_waiting(retry, now_ns))
		return 0;
	return (retry->due_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
}
