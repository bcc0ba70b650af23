/*
 * A Kafka record as JSON, for people and scripts: attributes of the event, key, and the payload decoded from msgpack
 * whatever its type, so that records of later versions show too.
 *
 * Owns: the caller owns what is returned (json_decref). Thread: any. Errors: NULL without memory.
 */
#ifndef WATCHPOST_OPS_CTL_RECORD_JSON_H
#define WATCHPOST_OPS_CTL_RECORD_JSON_H

#include <jansson.h>

#include "common/kafka.h"

/* {"topic","partition","offset","recorded_at","id","type","source","occurred_at","key","data"}; a value that is no
 * msgpack map has "data": null and "undecodable": true. */
MUSTCHECK json_t *record_json(const struct kafka_record *record);

/* The msgpack value alone; NULL when it is not whole and valid. */
MUSTCHECK json_t *record_json_value(struct bytes value);

#endif
