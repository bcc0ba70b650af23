#include "ingress/auth/wake.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "common/event.h"
#include "common/kafka_admin.h"
#include "common/kafka_consumer.h"
#include "common/log.h"
#include "ingress/auth/poller.h"

enum {
	POLL_MS = 200, /* how late the thread sees that it should stop */
	ASK_MS = 1000,
	PAUSE_MS = 100,
	PAUSES = 10, /* between two tries to find the topic: a second */
	CLOSE_MS = 1000,
	RECORDS_MAX = 100
};

struct wake {
	const struct config *config;
	struct poller *poller;
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	pthread_t thread;
	atomic_bool stopping;
};

static bool stopping(const struct wake *wake)
{
	return atomic_load_explicit(&wake->stopping, memory_order_acquire);
}

static void out_of_range(void *owner, const struct kafka_partition *partition, int64_t low, int64_t high)
{
	bool *lost = owner;
	(void)low;
	(void)high;
	/* The topic was made anew: it is read from its end again. */
	*lost = true;
	LOG(WARN, "wake_out_of_range", F_I64("partition", partition->partition));
}

static bool assign_end(struct wake *wake, struct kafka_consumer *consumer, struct err *err)
{
	struct kafka_partition partitions[PARTITIONS_MAX];
	int32_t count = 0;
	struct kafka_admin *admin = kafka_admin_new(wake->config, "watchpost-ingress-wake", err);
	bool found = admin != NULL && kafka_admin_partitions(admin, wake->topic, ASK_MS, &count, err);
	kafka_admin_free(admin);
	if (!found)
		return false;
	if (count < 1 || count > PARTITIONS_MAX)
		return err_set(err, ERR_TOO_LARGE, "%s has %d partitions", wake->topic, (int)count);
	for (int32_t i = 0; i < count; i++)
		partitions[i] =
			(struct kafka_partition){.topic = wake->topic, .partition = i, .offset = KAFKA_OFFSET_END};
	return kafka_consumer_assign(consumer, partitions, (size_t)count, err);
}

static void pause_a_while(const struct wake *wake)
{
	for (int i = 0; i < PAUSES && !stopping(wake); i++) {
		const struct timespec nap = {.tv_nsec = PAUSE_MS * 1000000};
		(void)nanosleep(&nap, NULL);
	}
}

/* From the assignment until it fails or ends. */
static void read_on(struct wake *wake)
{
	struct kafka_record records[RECORDS_MAX];
	struct err err;
	bool lost = false;
	const struct kafka_consumer_options options = {.config = wake->config,
						       .client_id = "watchpost-ingress-wake",
						       .events = {.on_out_of_range = out_of_range, .owner = &lost}};
	struct kafka_consumer *consumer = kafka_consumer_new(&options, &err);
	if (consumer == NULL || !assign_end(wake, consumer, &err)) {
		TRACE(KAFKA, "wake_waits", F_ERR(&err));
		goto out;
	}
	/* What happened before the end was found. */
	poller_wake(wake->poller);
	while (!stopping(wake) && !lost) {
		size_t count = 0;
		if (!kafka_consumer_poll(consumer, POLL_MS, records, RECORDS_MAX, &count, &err)) {
			LOG(WARN, "wake_failed", F_ERR(&err));
			break;
		}
		kafka_records_release(consumer);
		if (count > 0)
			poller_wake(wake->poller);
	}
out:
	kafka_consumer_close(consumer, CLOSE_MS);
}

static void *run(void *cookie)
{
	struct wake *wake = cookie;
	while (!stopping(wake)) {
		read_on(wake);
		pause_a_while(wake);
	}
	return NULL;
}

struct wake *wake_start(const struct config *config, struct poller *poller, struct err *err)
{
	struct wake *wake = calloc(1, sizeof(*wake));
	if (wake == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the reader of wake-ups");
		return NULL;
	}
	*wake = (struct wake){.config = config, .poller = poller};
	event_topic_name(EVENT_TOPIC_ACCESS_CHANGES, config->environment, wake->topic);
	atomic_init(&wake->stopping, false);
	if (pthread_create(&wake->thread, NULL, run, wake) != 0) {
		(void)err_set(err, ERR_IO, "could not start the thread that reads wake-ups");
		free(wake);
		return NULL;
	}
	return wake;
}

void wake_stop(struct wake *wake)
{
	if (wake == NULL)
		return;
	atomic_store_explicit(&wake->stopping, true, memory_order_release);
	(void)pthread_join(wake->thread, NULL);
	free(wake);
}
