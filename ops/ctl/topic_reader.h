/*
 * Reads a bounded part of some topics without joining a group: from a time or the log's start up to a snapshot of the
 * high watermarks, so that it ends while writers go on.
 *
 * Order: as the log has it within a partition; partitions come interleaved.
 * Owns: names are copied; a record given to the callback lasts until the callback returns.
 * Thread: one. Errors: ERR_TIMEOUT when no record came for TOPIC_READER_STALL_MS; ERR_CONFLICT when retention took
 * records before they were read; what the callback returned.
 */
#ifndef WATCHPOST_OPS_CTL_TOPIC_READER_H
#define WATCHPOST_OPS_CTL_TOPIC_READER_H

#include "common/kafka.h"
#include "common/kafka_admin.h"

enum { TOPIC_READER_STALL_MS = 30000, TOPIC_READER_TOPICS_MAX = 8, TOPIC_READER_PARTITIONS_MAX = 1024 };

/* One partition's part: offsets from `begin` up to, not including, `end`. */
struct topic_slice {
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	int32_t partition;
	int64_t log_start; /* the first offset that the log still has */
	int64_t begin, end;
};

struct topic_slices {
	struct topic_slice *items;
	size_t count;
};

/* Takes the snapshot: every partition of every topic, the whole log. */
MUSTCHECK bool topic_slices_take(struct kafka_admin *admin, const char *const *topics, size_t topic_count,
				 struct topic_slices *out, struct err *err);
/* Narrows to records appended from from_ms up to, not including, to_ms; INT64_MIN and INT64_MAX leave an end open. */
MUSTCHECK bool topic_slices_narrow(struct kafka_admin *admin, struct topic_slices *slices, int64_t from_ms,
				   int64_t to_ms, struct err *err);
void topic_slices_free(struct topic_slices *slices);
uint64_t topic_slices_records(const struct topic_slices *slices);

/* Calls `each` for every record; false from it ends the reading with its err. `label` is the progress line's word. */
MUSTCHECK bool topic_slices_read(const struct config *config, const struct topic_slices *slices, const char *label,
				 bool (*each)(void *owner, size_t slice, const struct kafka_record *record,
					      struct err *err),
				 void *owner, struct err *err);

#endif
