#include "ingress/auth/view.h"

#include <assert.h>
#include <string.h>

void view_init(struct view *view, struct cache *cache, struct lease *lease)
{
	*view = (struct view){.cache = cache, .lease = lease};
	pthread_mutex_init(&view->lock, NULL);
}

void view_close(struct view *view)
{
	pthread_mutex_destroy(&view->lock);
}

/* Until an answer reaches its own clock nothing is filled in (R1). */
static void set_epoch(struct view *view, const char *epoch)
{
	pthread_mutex_lock(&view->lock);
	view->primed = false;
	size_t len = strnlen(epoch, ACCESS_EPOCH_BYTES_MAX);
	memcpy(view->epoch, epoch, len);
	view->epoch[len] = '\0';
	pthread_mutex_unlock(&view->lock);
}

static void set_primed(struct view *view)
{
	pthread_mutex_lock(&view->lock);
	view->primed = true;
	pthread_mutex_unlock(&view->lock);
}

/* Trust goes first, then what was trusted. */
static void start_over(struct view *view, int64_t number, const char *epoch)
{
	lease_end(view->lease);
	set_epoch(view, epoch);
	cache_empty(view->cache, number);
	view->applied = number;
	view->resets_total++;
}

void view_begin(struct view *view, int64_t number, const char *epoch)
{
	start_over(view, number, epoch);
}

static bool apply(struct view *view, const struct access_answer *answer)
{
	for (size_t i = 0; i < answer->change_count; i++) {
		const struct access_change *change = &answer->changes[i];
		assert(change->number > view->applied && change->number <= answer->clock);
		if (!cache_change(view->cache, change))
			return false;
		view->applied = change->number;
	}
	return true;
}

enum view_next view_take(struct view *view, const struct access_answer *answer, int64_t t0_ns)
{
	if (!answer->known) {
		start_over(view, 0, "");
		return VIEW_REGISTER;
	}
	if (answer->reset) {
		/* The row shows the new number only with the next question: until then nothing is trusted. */
		start_over(view, answer->clock, answer->epoch);
		return VIEW_ASK;
	}
	if (!apply(view, answer)) {
		/* A change that found no memory: without the cache there is nothing that could be wrong. */
		start_over(view, view->applied, answer->epoch);
		return VIEW_WAIT;
	}
	/* A limited answer vouches for nothing: changes of its snapshot are missing. */
	if (view->applied == answer->clock) {
		lease_extend(view->lease, t0_ns);
		set_primed(view);
	}
	return answer->change_count > 0 ? VIEW_ASK : VIEW_WAIT;
}

bool view_takes_fills(struct view *view, struct bytes epoch)
{
	pthread_mutex_lock(&view->lock);
	bool takes = view->primed && bytes_equal_text(epoch, view->epoch);
	pthread_mutex_unlock(&view->lock);
	return takes;
}

bool view_disowns(struct view *view, struct bytes epoch)
{
	pthread_mutex_lock(&view->lock);
	bool other = view->epoch[0] != '\0' && !bytes_equal_text(epoch, view->epoch);
	pthread_mutex_unlock(&view->lock);
	return other;
}
