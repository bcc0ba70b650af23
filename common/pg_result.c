/* Results: reading rows by number. */
#include "common/pg_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"

static bool in_range(const struct pg_result *result, int row, int column)
{
	return row >= 0 && row < PQntuples(result) && column >= 0 && column < PQnfields(result);
}

int pg_rows(const struct pg_result *result)
{
	return PQntuples(result);
}

int pg_columns(const struct pg_result *result)
{
	return PQnfields(result);
}

/* The whole text as an integer; strtoll alone would take "", " 1" and "1x". */
static bool parse_i64(const char *text, int64_t *out)
{
	char *end;
	long long value;

	if (text[0] != '-' && (text[0] < '0' || text[0] > '9'))
		return false;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0' || end == text)
		return false;
	*out = value;
	return true;
}

int64_t pg_affected(const struct pg_result *result)
{
	int64_t count = 0;

	assert(result != NULL);
	/* PQcmdTuples reads only, whatever its prototype says. */
	if (!parse_i64(PQcmdTuples((PGresult *)(uintptr_t)result), &count))
		return 0;
	return count;
}

const char *pg_column_name(const struct pg_result *result, int column)
{
	assert(column >= 0 && column < pg_columns(result));
	return PQfname(result, column);
}

bool pg_is_null(const struct pg_result *result, int row, int column)
{
	assert(in_range(result, row, column));
	return PQgetisnull(result, row, column) != 0;
}

struct bytes pg_get(const struct pg_result *result, int row, int column)
{
	assert(in_range(result, row, column));
	return bytes_make(PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column));
}

const char *pg_get_text(const struct pg_result *result, int row, int column)
{
	assert(in_range(result, row, column));
	return PQgetvalue(result, row, column);
}

bool pg_get_i64(const struct pg_result *result, int row, int column, int64_t *out)
{
	return parse_i64(pg_get_text(result, row, column), out);
}

bool pg_get_bool(const struct pg_result *result, int row, int column)
{
	return pg_get_text(result, row, column)[0] == 't';
}

bool pg_get_bytea(const struct pg_result *result, int row, int column, uint8_t *out, size_t len)
{
	struct bytes text = pg_get(result, row, column);

	if (text.len != 2 + 2 * len || text.data[0] != '\\' || text.data[1] != 'x')
		return false;
	return hex_decode(bytes_make(text.data + 2, text.len - 2), out, len);
}

void pg_result_free(struct pg_result *result)
{
	PQclear(result);
}
