#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ops/ctl/commands.h"
#include "ops/ctl/invocation.h"

static const struct command_flag flags[] = {{"dry-run", NULL, "x"}, {"dir", "FOLDER", "x"}, {0}};
static const struct command table[] = {
	{.words = "account create", .arguments = "NAME", .arguments_min = 1, .arguments_max = 2, .flags = flags},
	{.words = "account", .arguments = ""},
	{.words = "log", .arguments = ""},
};
static struct invocation got;
static struct err err;

#define PARSE(...) invocation_parse(table, ARRAY_LEN(table), (const char *const[]){__VA_ARGS__, NULL}, &got, &err)

/* Why: everything that a person types goes through here. How: the longest command wins; flags stand anywhere, with '='
 * or a blank; what is left are the arguments in order. */
static void words_become_a_command(void **unused)
{
	(void)unused;
	assert_true(PARSE("account", "create", "--dry-run", "one", "--dir=a=b", "--json", "two"));
	assert_ptr_equal(got.command, &table[0]);
	assert_int_equal(got.argument_count, 2);
	assert_string_equal(got.arguments[0], "one");
	assert_string_equal(got.arguments[1], "two");
	assert_string_equal(invocation_value(&got, "dir"), "a=b");
	assert_non_null(invocation_value(&got, "dry-run"));
	assert_true(got.json);
	assert_true(PARSE("account", "create", "one", "--dir", "--json"));
	assert_string_equal(invocation_value(&got, "dir"), "--json");
	assert_null(invocation_value(&got, "dry-run"));
	assert_false(got.json);
	assert_true(PARSE("account"));
	assert_ptr_equal(got.command, &table[1]);
}

/* Why: a slip must be told, never guessed: `--dry-rnu` taken for nothing would change the database. How: each kind of
 * slip, and the word that the text must name. */
static void slips_are_told(void **unused)
{
	(void)unused;
	assert_false(PARSE("acount", "create"));
	assert_non_null(strstr(err.text, "acount"));
	assert_false(PARSE("account", "create", "x", "--dry-rnu"));
	assert_non_null(strstr(err.text, "--dry-rnu"));
	assert_false(PARSE("account", "create", "x", "--dry-run=yes"));
	assert_false(PARSE("account", "create", "x", "--dir"));
	assert_non_null(strstr(err.text, "FOLDER"));
	assert_false(PARSE("account", "create", "x", "--dir", "a", "--dir", "b"));
	assert_non_null(strstr(err.text, "twice"));
	assert_false(PARSE("account", "create"));
	assert_non_null(strstr(err.text, "account create NAME"));
	assert_false(PARSE("account", "create", "1", "2", "3"));
	assert_false(PARSE("account", "--json=1"));
	assert_int_equal(err.code, ERR_INVALID);
	assert_false(PARSE("logs"));
	assert_false(PARSE("lo"));
}

/* Why: --help helps wherever it stands, also behind settings whose values look like words. How: such lines. */
static void command_is_found_for_help(void **unused)
{
	(void)unused;
	assert_ptr_equal(invocation_find(table, ARRAY_LEN(table),
					 (const char *const[]){"--config", "x", "account", "create", "--help", NULL}),
			 &table[0]);
	assert_null(invocation_find(table, ARRAY_LEN(table), (const char *const[]){"--help", NULL}));
}

/* Why: a row with a gap shows only when somebody asks for help on it. How: every row of the real table is whole, no two
 * have the same words, and bounds hold. */
static void real_table_is_sound(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < commands_count; i++) {
		const struct command *command = &commands_table[i];
		int count = 0;

		assert_non_null(command->words);
		assert_non_null(command->arguments);
		assert_non_null(command->summary);
		assert_non_null(command->details);
		assert_non_null(command->run);
		assert_in_range(command->arguments_min, 0, command->arguments_max);
		assert_in_range(command->arguments_max, 0, INVOCATION_ARGUMENTS_MAX);
		for (; command->flags != NULL && command->flags[count].name != NULL; count++)
			assert_non_null(command->flags[count].help);
		assert_in_range(count, 0, COMMAND_FLAGS_MAX);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(command->words, commands_table[j].words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_become_a_command),
		cmocka_unit_test(slips_are_told),
		cmocka_unit_test(command_is_found_for_help),
		cmocka_unit_test(real_table_is_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
