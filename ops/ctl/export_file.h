/*
 * The lossless export of audit records: a stream of msgpack maps that any msgpack library reads and that
 * `watchpostctl audit verify --file` checks without Kafka or Postgres.
 *
 *   {"kind": "export", "version": 1, "cluster_id": str}                              first
 *   {"kind": "record", "topic": str, "partition": int, "offset": int, "timestamp_ms": int, "key": bin|nil,
 *    "headers": [[str, bin] …], "headers_cut": bool, "value": bin|nil}
 *   {"kind": "seal", "topic": str, "partition": int, "last_offset": int, "sealed_at_ms": int, "head": bin,
 *    "previous": bin, "signature": bin}
 *   {"kind": "gap", "topic": str, "partition": int, "from": int, "to": int}          audit-log's offset was reset
 *   {"kind": "range", "topic": str, "partition": int, "from": int, "to": int}        which records the file has
 *   {"kind": "end", "records": int}                                                  last: the file is whole
 *
 * Each partition has its seals from the first one on up to those of the last record here, then its gaps, then its one
 * range; the records come behind all ranges. "to" is never included. Offsets are from 0 to 2^63 - 2.
 *
 * Owns: nothing. Thread: one.
 * Errors: ERR_IO for the file, ERR_INVALID for what is no such stream.
 */
#ifndef WATCHPOST_OPS_CTL_EXPORT_FILE_H
#define WATCHPOST_OPS_CTL_EXPORT_FILE_H

#include <stdio.h>

#include "common/kafka.h"
#include "common/seal.h"

MUSTCHECK bool export_write_start(FILE *to, const char *cluster_id, struct err *err);
MUSTCHECK bool export_write_seal(FILE *to, const struct seal *seal, struct err *err);
/* A part of a partition: a gap, or the range of the records. */
struct export_span {
	const char *topic;
	int32_t partition;
	int64_t from, to; /* 0 <= from <= to */
};
MUSTCHECK bool export_write_gap(FILE *to, const struct export_span *gap, struct err *err);
MUSTCHECK bool export_write_range(FILE *to, const struct export_span *range, struct err *err);
MUSTCHECK bool export_write_record(FILE *to, const struct kafka_record *record, struct err *err);
MUSTCHECK bool export_write_end(FILE *to, uint64_t records, struct err *err);

/* What a reader is told, in the file's order. Views last until the call returns; false ends the reading with err. */
struct export_visitor {
	bool (*start)(void *owner, const char *cluster_id, struct err *err);
	bool (*seal)(void *owner, const struct seal *seal, struct err *err);
	bool (*gap)(void *owner, const struct export_span *gap, struct err *err);
	bool (*range)(void *owner, const struct export_span *range, struct err *err);
	bool (*record)(void *owner, const struct kafka_record *record, struct err *err);
	void *owner;
};
MUSTCHECK bool export_read(FILE *from, const struct export_visitor *visitor, struct err *err);

#endif
