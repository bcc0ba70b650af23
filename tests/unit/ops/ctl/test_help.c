#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/ctl/commands.h"
#include "ops/ctl/help.h"
#include "tests/unit/support/temp_dir.h"

enum { LINE_COLUMNS_MAX = 120 };

static char *printed;
static size_t printed_len;

static FILE *begin(void)
{
	FILE *to = open_memstream(&printed, &printed_len);

	assert_non_null(to);
	return to;
}

static int teardown(void **unused)
{
	(void)unused;
	free(printed);
	printed = NULL;
	return 0;
}

/* Why: a manual page that is kept by hand goes stale. How: docs/man/watchpostctl.1 is what the table makes now; when it
 * is not, renew it: `watchpostctl help --man >docs/man/watchpostctl.1`. */
static void manual_page_is_up_to_date(void **unused)
{
	FILE *to = begin();
	char *kept = temp_read("docs/man/watchpostctl.1", NULL);

	(void)unused;
	help_manual(to, commands_table, commands_count);
	assert_int_equal(fclose(to), 0);
	assert_string_equal(kept, printed);
	free(kept);
}

/* Why: what is not in the overview is not found. How: every command with its summary, each line within a terminal. */
static void overview_has_every_command(void **unused)
{
	FILE *to = begin();

	(void)unused;
	help_overview(to, commands_table, commands_count, false);
	assert_int_equal(fclose(to), 0);
	for (size_t i = 0; i < commands_count; i++) {
		assert_non_null(strstr(printed, commands_table[i].words));
		assert_non_null(strstr(printed, commands_table[i].summary));
	}
	for (const char *line = printed; *line != '\0';) {
		size_t len = strcspn(line, "\n");

		assert_in_range(len, 0, LINE_COLUMNS_MAX);
		line += len + (line[len] == '\n' ? 1 : 0);
	}
}

/* Why: --help of a command must say all there is. How: its usage, flags with values, and the flags of every command. */
static void command_help_has_its_flags(void **unused)
{
	static const struct command_flag flags[] = {{"dir", "FOLDER", "where they are"}, {0}};
	const struct command command = {
		.words = "do it", .arguments = "WHAT", .summary = "do", .details = "Does it.", .flags = flags};
	FILE *to = begin();

	(void)unused;
	help_command(to, &command);
	assert_int_equal(fclose(to), 0);
	assert_non_null(strstr(printed, "usage: watchpostctl do it WHAT [FLAG]\n"));
	assert_non_null(strstr(printed, "  --dir FOLDER            where they are\n"));
	assert_non_null(strstr(printed, "  --json "));
}

/* Why: roff takes '-', '\' and a '.' at the start of a line for its own. How: such details in a page. */
static void roff_is_escaped(void **unused)
{
	const struct command command = {
		.words = "x-y", .arguments = "", .summary = "x", .details = ".so /etc/passwd \\n --flag"};
	FILE *to = begin();

	(void)unused;
	help_manual(to, &command, 1);
	assert_int_equal(fclose(to), 0);
	assert_non_null(strstr(printed, "\n\\&.so /etc/passwd \\en \\-\\-flag\n"));
	assert_non_null(strstr(printed, "x\\-y"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(manual_page_is_up_to_date, teardown),
		cmocka_unit_test_teardown(overview_has_every_command, teardown),
		cmocka_unit_test_teardown(command_help_has_its_flags, teardown),
		cmocka_unit_test_teardown(roff_is_escaped, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
