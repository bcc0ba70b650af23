#include "ops/ctl/progress.h"

#include <assert.h>
#include <inttypes.h>
#include <unistd.h>

#define CLEAR_LINE "\r\033[K"

enum { NS_PER_S = 1000000000 };

void progress_begin_on(struct progress *progress, FILE *to, const char *label, const struct clock *clock)
{
	assert(label != NULL && clock != NULL);
	*progress = (struct progress){.to = to, .label = label, .clock = clock, .next_ns = INT64_MIN};
}

void progress_begin(struct progress *progress, const char *label)
{
	progress_begin_on(progress, isatty(STDERR_FILENO) ? stderr : NULL, label, clock_system());
}

void progress_update(struct progress *progress, uint64_t done, uint64_t total)
{
	int64_t now_ns;

	assert(progress->label != NULL);
	if (progress->to == NULL)
		return;
	now_ns = clock_mono_ns(progress->clock);
	if (now_ns < progress->next_ns)
		return;
	progress->next_ns = now_ns + NS_PER_S / PROGRESS_PER_S;
	progress->shown = true;
	(void)fprintf(progress->to, CLEAR_LINE "%s  %" PRIu64, progress->label, done);
	if (total > 0)
		(void)fprintf(progress->to, " of %" PRIu64, total);
	(void)fflush(progress->to);
}

void progress_end(struct progress *progress)
{
	if (progress->to == NULL || !progress->shown)
		return;
	progress->shown = false;
	(void)fputs(CLEAR_LINE, progress->to);
	(void)fflush(progress->to);
}
