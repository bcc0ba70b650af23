#include "ops/ctl/table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/buf.h"

enum { COLUMN_GAP = 2, ESCAPED_BYTES = 4 }; /* "\x1b" */

struct cell {
	size_t at, len;
	bool null;
};

struct table {
	const struct table_column *columns;
	size_t column_count;
	struct buf text;  /* the bytes of all cells */
	struct buf cells; /* struct cell, row after row */
	bool failed;
};

struct table *table_new(const struct table_column *columns, size_t count)
{
	struct table *table;

	assert(count > 0 && count <= TABLE_COLUMNS_MAX);
	table = calloc(1, sizeof(*table));
	if (table == NULL)
		return NULL;
	table->columns = columns;
	table->column_count = count;
	buf_init(&table->text, TABLE_BYTES_MAX);
	buf_init(&table->cells, TABLE_BYTES_MAX);
	return table;
}

void table_free(struct table *table)
{
	if (table == NULL)
		return;
	buf_free(&table->text);
	buf_free(&table->cells);
	free(table);
}

static size_t cell_count(const struct table *table)
{
	return table->cells.len / sizeof(struct cell);
}

size_t table_rows(const struct table *table)
{
	return table == NULL ? 0 : cell_count(table) / table->column_count;
}

static struct cell cell_at(const struct table *table, size_t row, size_t column)
{
	size_t place = row * table->column_count + column;
	struct cell cell;

	assert(place < cell_count(table));
	memcpy(&cell, table->cells.data + place * sizeof(cell), sizeof(cell));
	return cell;
}

static struct bytes cell_text(const struct table *table, size_t row, size_t column)
{
	struct cell cell = cell_at(table, row, column);

	return cell.len == 0 ? bytes_make("", 0) : bytes_make(table->text.data + cell.at, cell.len);
}

static void add(struct table *table, struct bytes text, bool null)
{
	struct cell cell;

	if (table == NULL || table->failed)
		return;
	cell = (struct cell){.at = table->text.len, .len = text.len, .null = null};
	if ((text.len > 0 && !buf_append(&table->text, text.data, text.len)) ||
	    !buf_append(&table->cells, &cell, sizeof(cell)))
		table->failed = true;
}

void table_null(struct table *table)
{
	add(table, bytes_make(NULL, 0), true);
}

void table_view(struct table *table, struct bytes text)
{
	add(table, text, false);
}

void table_text(struct table *table, const char *text)
{
	add(table, bytes_of(text), text == NULL);
}

void table_i64(struct table *table, int64_t value)
{
	char text[sizeof("-9223372036854775808")];
	int length = snprintf(text, sizeof(text), "%" PRId64, value);

	assert(length > 0 && (size_t)length < sizeof(text));
	table_view(table, bytes_make(text, (size_t)length));
}

void table_bool(struct table *table, bool value)
{
	table_text(table, value ? "yes" : "no");
}

void table_result(struct table *table, const struct pg_result *result)
{
	if (table == NULL)
		return;
	assert((size_t)pg_columns(result) == table->column_count);
	for (int row = 0; row < pg_rows(result); row++) {
		for (int column = 0; column < pg_columns(result); column++) {
			if (pg_is_null(result, row, column))
				table_null(table);
			else if (table->columns[column].kind == TABLE_BOOL)
				table_bool(table, pg_get_bool(result, row, column));
			else
				table_view(table, pg_get(result, row, column));
		}
	}
}

/* --- for people and pipes ----------------------------------------------------------------------------------------- */

/* How many bytes at this place a terminal might obey: one of the controls below U+0020 and U+007F, or the two bytes of
 * U+0080 to U+009F, which some take as they take ESC. */
static size_t control_bytes(struct bytes text, size_t at)
{
	uint8_t byte = text.data[at];

	if (byte < 0x20 || byte == 0x7f)
		return 1;
	if (byte == 0xc2 && at + 1 < text.len && text.data[at + 1] >= 0x80 && text.data[at + 1] <= 0x9f)
		return 2;
	return 0;
}

/* Columns that the value takes on a terminal: one for each character. */
static size_t shown_width(struct bytes text)
{
	size_t width = 0;

	for (size_t i = 0; i < text.len; i++) {
		size_t control = control_bytes(text, i);

		if (control > 0)
			width += control * ESCAPED_BYTES;
		else if ((text.data[i] & 0xc0) != 0x80) /* not the rest of a character */
			width++;
		i += control > 1 ? control - 1 : 0;
	}
	return width;
}

static void put_shown(FILE *to, struct bytes text)
{
	for (size_t i = 0; i < text.len;) {
		size_t control = control_bytes(text, i);

		if (control == 0)
			(void)fputc(text.data[i++], to);
		for (; control > 0; control--)
			(void)fprintf(to, "\\x%02x", text.data[i++]);
	}
}

static void put_spaces(FILE *to, size_t count)
{
	(void)fprintf(to, "%*s", (int)count, "");
}

static void put_aligned(FILE *to, struct bytes text, size_t width, bool right, bool last)
{
	size_t shown = shown_width(text);
	size_t fill = width > shown ? width - shown : 0;

	if (right)
		put_spaces(to, fill);
	put_shown(to, text);
	if (!last)
		put_spaces(to, COLUMN_GAP + (right ? 0 : fill));
}

static size_t column_width(const struct table *table, size_t column)
{
	size_t width = strlen(table->columns[column].name);

	for (size_t row = 0; row < table_rows(table); row++) {
		size_t shown = shown_width(cell_text(table, row, column));

		width = shown > width ? shown : width;
	}
	return width;
}

static void print_human(const struct table *table, FILE *to)
{
	size_t widths[TABLE_COLUMNS_MAX];

	for (size_t column = 0; column < table->column_count; column++)
		widths[column] = column_width(table, column);
	for (size_t line = 0; line <= table_rows(table); line++) { /* line 0 is the names */
		for (size_t column = 0; column < table->column_count; column++) {
			struct bytes text =
				line == 0 ? bytes_of(table->columns[column].name) : cell_text(table, line - 1, column);

			put_aligned(to, text, widths[column], table->columns[column].kind == TABLE_NUMBER,
				    column + 1 == table->column_count);
		}
		(void)fputc('\n', to);
	}
}

static void print_human_record(const struct table *table, FILE *to)
{
	size_t width = 0;

	for (size_t column = 0; column < table->column_count; column++) {
		size_t length = strlen(table->columns[column].name);

		width = length > width ? length : width;
	}
	for (size_t column = 0; column < table->column_count; column++) {
		put_aligned(to, bytes_of(table->columns[column].name), width, false, false);
		put_shown(to, cell_text(table, 0, column));
		(void)fputc('\n', to);
	}
}

static void print_plain(const struct table *table, FILE *to)
{
	for (size_t line = 0; line <= table_rows(table); line++) {
		for (size_t column = 0; column < table->column_count; column++) {
			if (column > 0)
				(void)fputc('\t', to);
			put_shown(to, line == 0 ? bytes_of(table->columns[column].name)
						: cell_text(table, line - 1, column));
		}
		(void)fputc('\n', to);
	}
}

/* --- for scripts -------------------------------------------------------------------------------------------------- */

static json_t *json_of_cell(const struct table *table, size_t row, size_t column)
{
	struct bytes text = cell_text(table, row, column);
	char digits[sizeof("-9223372036854775808")];

	if (cell_at(table, row, column).null)
		return json_null();
	switch (table->columns[column].kind) {
	case TABLE_BOOL:
		return json_boolean(bytes_equal_text(text, "yes"));
	case TABLE_NUMBER:
		if (text.len == 0 || text.len >= sizeof(digits))
			return json_null();
		memcpy(digits, text.data, text.len);
		digits[text.len] = '\0';
		return json_integer(strtoll(digits, NULL, 10));
	case TABLE_TEXT:
		break;
	}
	return json_stringn((const char *)text.data, text.len);
}

static json_t *json_of_row(const struct table *table, size_t row)
{
	json_t *object = json_object();

	for (size_t column = 0; object != NULL && column < table->column_count; column++) {
		/* NULL (no memory, or text that is not UTF-8) is passed on as a failure. */
		if (json_object_set_new(object, table->columns[column].name, json_of_cell(table, row, column)) != 0) {
			json_decref(object);
			object = NULL;
		}
	}
	return object;
}

static json_t *json_of_list(const struct table *table)
{
	json_t *list = json_array();

	for (size_t row = 0; list != NULL && row < table_rows(table); row++) {
		if (json_array_append_new(list, json_of_row(table, row)) != 0) {
			json_decref(list);
			list = NULL;
		}
	}
	return list;
}

static bool print_json(const struct table *table, FILE *to, enum table_shape shape, struct err *err)
{
	json_t *json = shape == TABLE_RECORD ? json_of_row(table, 0) : json_of_list(table);
	bool ok = json != NULL && json_dumpf(json, to, JSON_INDENT(2)) == 0;

	json_decref(json);
	(void)fputc('\n', to);
	return ok || err_set(err, ERR_IO, "cannot write the table as JSON");
}

bool table_print(const struct table *table, FILE *to, enum table_style style, enum table_shape shape, struct err *err)
{
	if (table == NULL || table->failed)
		return err_set(err, ERR_FULL, "the table is too large, or memory is short");
	assert(cell_count(table) % table->column_count == 0);
	assert(shape == TABLE_LIST || table_rows(table) == 1);
	if (style == TABLE_JSON)
		return print_json(table, to, shape, err);
	if (style == TABLE_PLAIN)
		print_plain(table, to);
	else if (shape == TABLE_RECORD)
		print_human_record(table, to);
	else
		print_human(table, to);
	return ferror(to) == 0 || err_set(err, ERR_IO, "cannot write to standard output");
}
