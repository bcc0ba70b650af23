/* The reader of export files: any bytes are read or refused, and what is read can be written and read again to the
 * same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ctl/export_file.h"

struct echo {
	FILE *to;
	uint64_t records;
};

static bool on_start(void *owner, const char *cluster_id, struct err *err)
{
	struct echo *echo = owner;
	return export_write_start(echo->to, cluster_id, err);
}

static bool on_seal(void *owner, const struct seal *seal, struct err *err)
{
	struct echo *echo = owner;
	return export_write_seal(echo->to, seal, err);
}

static bool on_gap(void *owner, const struct export_span *gap, struct err *err)
{
	struct echo *echo = owner;
	assert(gap->from >= 0 && gap->from <= gap->to);
	return export_write_gap(echo->to, gap, err);
}

static bool on_range(void *owner, const struct export_span *range, struct err *err)
{
	struct echo *echo = owner;
	assert(range->from >= 0 && range->from <= range->to);
	return export_write_range(echo->to, range, err);
}

static bool on_record(void *owner, const struct kafka_record *record, struct err *err)
{
	struct echo *echo = owner;
	assert(record->header_count <= EVENT_HEADERS_MAX && record->offset >= 0);
	echo->records++;
	return export_write_record(echo->to, record, err);
}

/* Reads `data` and returns its canonical form; NULL when it is refused. */
static char *pass_through(const void *data, size_t size, size_t *out_len)
{
	char *text = NULL;
	struct err err;
	FILE *in = fmemopen((void *)(uintptr_t)data, size, "r");
	struct echo echo = {.to = open_memstream(&text, out_len)};
	assert(in != NULL && echo.to != NULL);
	struct export_visitor visitor = {on_start, on_seal, on_gap, on_range, on_record, &echo};
	bool good = export_read(in, &visitor, &err) && export_write_end(echo.to, echo.records, &err);
	assert(fclose(in) == 0 && fclose(echo.to) == 0);
	if (good)
		return text;
	free(text);
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t once_len, twice_len;
	if (size == 0)
		return 0;
	char *once = pass_through(data, size, &once_len);
	if (once != NULL) {
		char *twice = pass_through(once, once_len, &twice_len);
		assert(twice != NULL && twice_len == once_len && memcmp(once, twice, once_len) == 0);
		free(twice);
	}
	free(once);
	return 0;
}
