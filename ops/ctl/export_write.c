/* Writes the export stream (ops/ctl/export_file.h) through msgpack-c. */
#include <msgpack.h>
#include <string.h>

#include "ops/ctl/export_file.h"

static int to_file(void *data, const char *bytes, size_t len)
{
	return fwrite(bytes, 1, len, data) == len ? 0 : -1;
}

/* The packer remembers nothing of a failed write; the stream does. */
static bool written(FILE *to, struct err *err)
{
	return !ferror(to) || err_set(err, ERR_IO, "the export cannot be written: %m");
}

static void pack_text(msgpack_packer *packer, const char *text)
{
	(void)msgpack_pack_str(packer, strlen(text));
	(void)msgpack_pack_str_body(packer, text, strlen(text));
}

static void pack_entry_text(msgpack_packer *packer, const char *name, const char *text)
{
	pack_text(packer, name);
	pack_text(packer, text);
}

static void pack_entry_i64(msgpack_packer *packer, const char *name, int64_t value)
{
	pack_text(packer, name);
	(void)msgpack_pack_int64(packer, value);
}

static void pack_bin(msgpack_packer *packer, bool present, struct bytes bytes)
{
	if (!present) {
		(void)msgpack_pack_nil(packer);
		return;
	}
	(void)msgpack_pack_bin(packer, bytes.len);
	(void)msgpack_pack_bin_body(packer, bytes.data, bytes.len);
}

static void pack_entry_bin(msgpack_packer *packer, const char *name, bool present, struct bytes bytes)
{
	pack_text(packer, name);
	pack_bin(packer, present, bytes);
}

/* Begins a map whose first entry is its kind. */
static void pack_kind(msgpack_packer *packer, FILE *to, size_t entries, const char *kind)
{
	msgpack_packer_init(packer, to, to_file);
	(void)msgpack_pack_map(packer, entries);
	pack_entry_text(packer, "kind", kind);
}

bool export_write_start(FILE *to, const char *cluster_id, struct err *err)
{
	msgpack_packer packer;
	pack_kind(&packer, to, 3, "export");
	pack_entry_i64(&packer, "version", 1);
	pack_entry_text(&packer, "cluster_id", cluster_id);
	return written(to, err);
}

bool export_write_seal(FILE *to, const struct seal *seal, struct err *err)
{
	msgpack_packer packer;
	pack_kind(&packer, to, 8, "seal");
	pack_entry_text(&packer, "topic", seal->topic);
	pack_entry_i64(&packer, "partition", seal->partition);
	pack_entry_i64(&packer, "last_offset", seal->last_offset);
	pack_entry_i64(&packer, "sealed_at_ms", seal->sealed_at_ms);
	pack_entry_bin(&packer, "head", true, bytes_make(seal->head, sizeof(seal->head)));
	pack_entry_bin(&packer, "previous", true, bytes_make(seal->previous, sizeof(seal->previous)));
	pack_entry_bin(&packer, "signature", true, bytes_make(seal->signature, sizeof(seal->signature)));
	return written(to, err);
}

static bool write_span(FILE *to, const char *kind, const struct export_span *span, struct err *err)
{
	msgpack_packer packer;
	pack_kind(&packer, to, 5, kind);
	pack_entry_text(&packer, "topic", span->topic);
	pack_entry_i64(&packer, "partition", span->partition);
	pack_entry_i64(&packer, "from", span->from);
	pack_entry_i64(&packer, "to", span->to);
	return written(to, err);
}

bool export_write_gap(FILE *to, const struct export_span *gap, struct err *err)
{
	return write_span(to, "gap", gap, err);
}

bool export_write_range(FILE *to, const struct export_span *range, struct err *err)
{
	return write_span(to, "range", range, err);
}

bool export_write_record(FILE *to, const struct kafka_record *record, struct err *err)
{
	msgpack_packer packer;
	for (size_t i = 0; i < record->header_count; i++)
		if (strlen(record->headers[i].name) > EVENT_HEADER_NAME_BYTES_MAX)
			return err_set(err, ERR_TOO_LARGE, "a header's name is over %d bytes",
				       EVENT_HEADER_NAME_BYTES_MAX);
	pack_kind(&packer, to, 9, "record");
	pack_entry_text(&packer, "topic", record->topic);
	pack_entry_i64(&packer, "partition", record->partition);
	pack_entry_i64(&packer, "offset", record->offset);
	pack_entry_i64(&packer, "timestamp_ms", record->timestamp_ms);
	pack_entry_bin(&packer, "key", record->has_key, record->key);
	pack_text(&packer, "headers");
	(void)msgpack_pack_array(&packer, record->header_count);
	for (size_t i = 0; i < record->header_count; i++) {
		(void)msgpack_pack_array(&packer, 2);
		pack_text(&packer, record->headers[i].name);
		pack_bin(&packer, true, record->headers[i].value);
	}
	pack_text(&packer, "headers_cut");
	(void)(record->headers_cut ? msgpack_pack_true(&packer) : msgpack_pack_false(&packer));
	pack_entry_bin(&packer, "value", record->has_value, record->value);
	return written(to, err);
}

bool export_write_end(FILE *to, uint64_t records, struct err *err)
{
	msgpack_packer packer;
	pack_kind(&packer, to, 2, "end");
	pack_entry_i64(&packer, "records", (int64_t)records);
	if (fflush(to) != 0)
		return err_set(err, ERR_IO, "the export cannot be written: %m");
	return written(to, err);
}
