#include "tests/unit/support/stripe_fixtures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <glob.h>

static const char FOLDER[] = "tests/fixtures/stripe/";

static char names[STRIPE_FIXTURES_MAX][64];
static size_t names_count;

static void names_read(void)
{
	glob_t found;

	if (names_count > 0)
		return;
	assert_int_equal(glob("tests/fixtures/stripe/*.json", 0, NULL, &found), 0);
	assert_in_range(found.gl_pathc, STRIPE_FIXTURES_MIN, STRIPE_FIXTURES_MAX);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *base = found.gl_pathv[i] + sizeof(FOLDER) - 1;
		size_t len = strlen(base) - strlen(".json");
		assert_true(len < sizeof(names[i]));
		memcpy(names[i], base, len);
	}
	names_count = found.gl_pathc;
	globfree(&found);
}

size_t stripe_fixtures_count(void)
{
	names_read();
	return names_count;
}

const char *stripe_fixture_name(size_t index)
{
	names_read();
	assert_true(index < names_count);
	return names[index];
}

json_t *stripe_fixture_load(const char *name)
{
	char path[128];
	json_error_t error;
	int len = snprintf(path, sizeof(path), "%s%s.json", FOLDER, name);

	assert_in_range(len, 1, sizeof(path) - 1);
	json_t *event = json_load_file(path, 0, &error);
	if (event == NULL)
		print_error("%s:%d: %s\n", path, error.line, error.text);
	assert_non_null(event);
	return event;
}
