#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/secret.h"
#include "tests/unit/support/temp_dir.h"

static struct temp_dir dir;

static int setup(void **unused)
{
	(void)unused;
	temp_dir_make(&dir);
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	temp_dir_remove(&dir);
	return 0;
}

static bool read_content(struct secret *s, const char *content, struct err *err)
{
	char path[TEMP_PATH_BYTES];

	temp_write_text(&dir, "secret", content);
	return secret_read_file(s, temp_path(&dir, "secret", path), err);
}

/* Why: an editor ends a file with a newline that is no part of the key; anything else is. How: files
 * with none, one and two newlines, and with a DOS one. */
static void drops_one_newline(void **unused)
{
	static const struct {
		const char *content;
		const char *secret;
	} cases[] = {
		{"whsec_a", "whsec_a"},     {"whsec_a\n", "whsec_a"}, {"whsec_a\n\n", "whsec_a\n"},
		{"whsec_a\r\n", "whsec_a"}, {" a \n", " a "},         {"a\r", "a\r"},
	};
	struct secret s = {0};
	struct err err;

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(read_content(&s, cases[i].content, &err));
		assert_true(bytes_equal_text(secret_bytes(&s), cases[i].secret));
	}
	secret_wipe(&s);
}

/* Why: an empty key would make every HMAC guessable. How: an empty file and one with a newline only. */
static void refuses_an_empty_secret(void **unused)
{
	struct secret s = {0};
	struct err err;

	(void)unused;
	assert_false(read_content(&s, "", &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_false(read_content(&s, "\n", &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_false(secret_set(&s, bytes_make("", 0), &err));
}

/* Why: the bound is exact, and a longer file is refused, never cut to a wrong key. How: the longest
 * secret with its newline, then one byte more. */
static void keeps_the_bound(void **unused)
{
	char content[SECRET_BYTES_MAX + 3];
	struct secret s = {0};
	struct err err;

	(void)unused;
	memset(content, 'k', sizeof(content));
	content[SECRET_BYTES_MAX] = '\n';
	content[SECRET_BYTES_MAX + 1] = '\0';
	assert_true(read_content(&s, content, &err));
	assert_int_equal(secret_bytes(&s).len, SECRET_BYTES_MAX);
	content[SECRET_BYTES_MAX] = 'k';
	assert_false(read_content(&s, content, &err));
	assert_int_equal(err.code, ERR_TOO_LARGE);
}

/* Why: promise 4, and STYLE's rule that an error names the path. How: a secret that is too long shows
 * the path in the error and nothing of itself. */
static void errors_show_the_path_and_not_the_content(void **unused)
{
	char content[2 * SECRET_BYTES_MAX];
	struct secret s = {0};
	struct err err;

	(void)unused;
	memset(content, 'Q', sizeof(content) - 1);
	content[sizeof(content) - 1] = '\0';
	assert_false(read_content(&s, content, &err));
	assert_non_null(strstr(err.text, dir.path));
	assert_null(strstr(err.text, "QQ"));
}

/* Why: a FIFO would hang the start, a directory has no content. How: both, and a file that is not there. */
static void refuses_what_is_no_file(void **unused)
{
	char path[TEMP_PATH_BYTES];
	struct secret s = {0};
	struct err err;

	(void)unused;
	assert_int_equal(mkfifo(temp_path(&dir, "fifo", path), 0600), 0);
	assert_false(secret_read_file(&s, path, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_false(secret_read_file(&s, dir.path, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_false(secret_read_file(&s, temp_path(&dir, "absent", path), &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

/* Why: what is wiped must be gone, also the part that a shorter secret no longer covers. How: looks at
 * the memory after wiping and after setting a shorter one. */
static void wipes_everything(void **unused)
{
	static const struct secret zero;
	struct secret s = {0};
	struct err err;

	(void)unused;
	assert_true(secret_set(&s, bytes_of("a long secret"), &err));
	assert_true(secret_set(&s, bytes_of("short"), &err));
	assert_int_equal(s.hidden[6], 0);
	assert_int_equal(s.hidden[12], 0);
	secret_wipe(&s);
	assert_memory_equal(&s, &zero, sizeof(s));
}

/* Why: equality decides who may. How: equal, another byte, another length, both empty. */
static void compares(void **unused)
{
	struct secret a = {0}, b = {0};
	struct err err;

	(void)unused;
	assert_true(secret_equal(&a, &b));
	assert_true(secret_set(&a, bytes_of("whsec_1"), &err) && secret_set(&b, bytes_of("whsec_1"), &err));
	assert_true(secret_equal(&a, &b));
	assert_true(secret_set(&b, bytes_of("whsec_2"), &err));
	assert_false(secret_equal(&a, &b));
	assert_true(secret_set(&b, bytes_of("whsec_12"), &err));
	assert_false(secret_equal(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drops_one_newline),
		cmocka_unit_test(refuses_an_empty_secret),
		cmocka_unit_test(keeps_the_bound),
		cmocka_unit_test(errors_show_the_path_and_not_the_content),
		cmocka_unit_test(refuses_what_is_no_file),
		cmocka_unit_test(wipes_everything),
		cmocka_unit_test(compares),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
