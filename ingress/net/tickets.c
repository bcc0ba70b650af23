#include "ingress/net/tickets.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/id.h"
#include "common/limits.h"

static const int64_t LIFE_NS = (int64_t)TICKET_KEY_S * 1000000000;

struct tickets {
	const struct clock *clock;
	pthread_mutex_t lock; /* guards what follows */
	int64_t made_ns;      /* when keys[0] was made */
	size_t count;
	struct ticket_key keys[2]; /* the current one, the one before */
};

static void make_key(struct tickets *tickets, int64_t now_ns)
{
	tickets->made_ns = now_ns;
	id_random(&tickets->keys[0], sizeof(tickets->keys[0]));
}

struct tickets *tickets_new(const struct clock *clock, struct err *err)
{
	struct tickets *tickets = calloc(1, sizeof(*tickets));
	if (tickets == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the TLS ticket keys");
		return NULL;
	}
	tickets->clock = clock;
	pthread_mutex_init(&tickets->lock, NULL);
	tickets->count = 1;
	make_key(tickets, clock_mono_ns(clock));
	return tickets;
}

void tickets_free(struct tickets *tickets)
{
	if (tickets == NULL)
		return;
	pthread_mutex_destroy(&tickets->lock);
	OPENSSL_cleanse(tickets, sizeof(*tickets));
	free(tickets);
}

/* Under the lock. After two lives without a handshake neither key is kept. */
static void rotate(struct tickets *tickets)
{
	int64_t now_ns = clock_mono_ns(tickets->clock);
	int64_t age_ns = now_ns - tickets->made_ns;
	if (age_ns < LIFE_NS)
		return;
	tickets->keys[1] = tickets->keys[0];
	tickets->count = age_ns < 2 * LIFE_NS ? 2 : 1;
	if (tickets->count == 1)
		OPENSSL_cleanse(&tickets->keys[1], sizeof(tickets->keys[1]));
	make_key(tickets, now_ns);
}

void tickets_current(struct tickets *tickets, struct ticket_key *out)
{
	pthread_mutex_lock(&tickets->lock);
	rotate(tickets);
	*out = tickets->keys[0];
	pthread_mutex_unlock(&tickets->lock);
}

bool tickets_find(struct tickets *tickets, const uint8_t name[TICKET_NAME_BYTES], struct ticket_key *out, bool *renew)
{
	bool found = false;
	pthread_mutex_lock(&tickets->lock);
	rotate(tickets);
	for (size_t i = 0; i < tickets->count && !found; i++) {
		/* The name is public: it stands in every ticket. */
		found = memcmp(tickets->keys[i].name, name, TICKET_NAME_BYTES) == 0;
		if (found) {
			*out = tickets->keys[i];
			*renew = i > 0;
		}
	}
	pthread_mutex_unlock(&tickets->lock);
	return found;
}
