#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/ctl/migrations.h"
#include "tests/unit/support/temp_dir.h"

static struct temp_dir dir;
static struct migrations got;
static struct err err;

static int setup(void **unused)
{
	(void)unused;
	temp_dir_make(&dir);
	got = (struct migrations){0};
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	migrations_free(&got);
	temp_dir_remove(&dir);
	return 0;
}

static void assert_refused(enum err_code code, const char *named)
{
	assert_false(migrations_load(dir.path, &got, &err));
	assert_int_equal(err.code, code);
	assert_non_null(strstr(err.text, named));
	assert_int_equal(got.count, 0);
}

/* Why: the order is the number's, not the folder's, and the checksum is what is compared for ever after. How: files
 * made in the wrong order beside one that is none; the SHA-256 of "abc" (FIPS 180-4's example). */
static void files_come_in_order_with_their_sums(void **unused)
{
	enum { FILES = 30 };
	char name[32];

	(void)unused;
	temp_write_text(&dir, "README.md", "not one of them");
	for (int version = FILES; version > 0; version--) {
		assert_true(snprintf(name, sizeof(name), "%04d_x%d.sql", version, version * 7 % FILES) > 0);
		temp_write_text(&dir, name, "abc");
	}
	assert_true(migrations_load(dir.path, &got, &err));
	assert_int_equal(got.count, FILES);
	for (int i = 0; i < FILES; i++)
		assert_int_equal(got.items[i].version, i + 1);
	assert_string_equal(got.items[0].name, "0001_x7.sql");
	assert_string_equal(got.items[0].script, "abc");
	assert_string_equal(got.items[0].checksum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* Why: a gap, a number twice or a wrong name is a mistake in the folder, to be told before the database is asked. How:
 * each of them, and the file that the text names. */
static void bad_folders_are_refused(void **unused)
{
	static const char *const bad[] = {"0003_gap.sql",  "0001_twice.sql", "1_short.sql",
					  "0002-dash.sql", "0002_Upper.sql", "0002_.sql",
					  "x.sql",         "0000_zero.sql",  "00020_long.sql"};
	char path[TEMP_PATH_BYTES];

	(void)unused;
	temp_write_text(&dir, "0001_first.sql", "select 1");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		temp_write_text(&dir, bad[i], "select 1");
		assert_refused(ERR_INVALID, strcmp(bad[i], "0001_twice.sql") == 0 ? "0001_twice" : bad[i]);
		assert_int_equal(remove(temp_path(&dir, bad[i], path)), 0);
	}
}

/* Why: what stands behind a NUL would be in the checksum and never run; an empty file is a file cut short; and nothing
 * is read without a bound. How: one of each. */
static void bad_contents_are_refused(void **unused)
{
	char *large = calloc(1, MIGRATION_BYTES_MAX + 1);

	(void)unused;
	assert_non_null(large);
	memset(large, ' ', MIGRATION_BYTES_MAX + 1);
	temp_write(&dir, "0001_a.sql", "select 1;\0drop", 14);
	assert_refused(ERR_INVALID, "0001_a.sql");
	temp_write(&dir, "0001_a.sql", "", 0);
	assert_refused(ERR_INVALID, "0001_a.sql");
	temp_write(&dir, "0001_a.sql", large, MIGRATION_BYTES_MAX + 1);
	assert_refused(ERR_TOO_LARGE, "0001_a.sql");
	temp_write(&dir, "0001_a.sql", large, MIGRATION_BYTES_MAX);
	assert_true(migrations_load(dir.path, &got, &err));
	free(large);
}

/* Why: a wrong --dir must not look like "nothing to do". How: an empty folder and none. */
static void missing_folder_is_told(void **unused)
{
	(void)unused;
	assert_refused(ERR_NOT_FOUND, dir.path);
	assert_false(migrations_load("no/such/folder", &got, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(files_come_in_order_with_their_sums, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_folders_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_contents_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(missing_folder_is_told, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
