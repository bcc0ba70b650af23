/*
 * Reads a bounded part of some topics without joining a group: from a time or the log's start up to a snapshot of the
 * high watermarks, so that it ends while writers go on.
 *
 * Order: as the log has it within a partition; partitions come interleaved.
 * Owns: names are copied; a record given to the callback lasts until the callback returns.
 * Thread: one. Errors: ERR_TIMEOUT when nothing that was asked for came in TOPIC_READER_STALL_MS; ERR_UNAVAILABLE when
 * retention took records before they were read; what the callback returned.
 */
#ifndef WATCHPOST_OPS_CTL_TOPIC_READER_H
#define WATCHPOST_OPS_CTL_TOPIC_READER_H

#include "common/kafka.h"
#include "common/kafka_admin.h"

enum { TOPIC_READER_STALL_MS = 30000, TOPIC_READER_TOPICS_MAX = 8, TOPIC_READER_PARTITIONS_MAX = PARTITIONS_MAX };

/* One partition's part: offsets from `begin` up to, not including, `end`. */
struct topic_slice {
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	int32_t partition;
	int64_t log_start, log_end; /* what the log had at the snapshot: from its first offset to one behind its last */
	int64_t begin, end;
};

struct topic_slices {
	struct topic_slice *items;
	size_t count;
};

/* Lists every partition of every topic; nothing is in the slices yet. */
MUSTCHECK bool topic_slices_list(struct kafka_admin *admin, const char *const *topics, size_t topic_count,
				 struct topic_slices *out, struct err *err);
/* Takes the snapshot: each slice is the whole log as it is now. */
MUSTCHECK bool topic_slices_snapshot(struct kafka_admin *admin, struct topic_slices *slices, struct err *err);
/* Narrows to records appended from from_ms up to, not including, to_ms; INT64_MIN and INT64_MAX leave an end open. */
MUSTCHECK bool topic_slices_narrow(struct kafka_admin *admin, struct topic_slices *slices, int64_t from_ms,
				   int64_t to_ms, struct err *err);
void topic_slices_free(struct topic_slices *slices);
uint64_t topic_slices_records(const struct topic_slices *slices);

/* Reads slices, one set after the other. Owns: all of its own; the configuration must outlive it. */
struct topic_reader;
MUSTCHECK struct topic_reader *topic_reader_new(const struct config *config, struct err *err);
void topic_reader_free(struct topic_reader *reader);

/* Calls `each` for every record; false from it ends the reading with its err. `label` is the progress line's word; NULL
 * for none. */
MUSTCHECK bool topic_reader_read(struct topic_reader *reader, const struct topic_slices *slices, const char *label,
				 bool (*each)(void *owner, size_t slice, const struct kafka_record *record,
					      struct err *err),
				 void *owner, struct err *err);

/* Calls `use` with the record at one offset. ERR_NOT_FOUND when the log does not have it (any more). */
struct topic_place {
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	int32_t partition;
	int64_t offset;
};
MUSTCHECK bool topic_reader_one(struct topic_reader *reader, struct kafka_admin *admin, const struct topic_place *place,
				bool (*use)(void *owner, const struct kafka_record *record, struct err *err),
				void *owner, struct err *err);

#endif
