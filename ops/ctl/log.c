/* `log level` and `log trace`: what running programs write, read or changed without a restart. */
#include <string.h>

#include "common/log.h"
#include "ops/ctl/admin_client.h"
#include "ops/ctl/commands.h"

enum { HTTP_OK = 200, SHOWN_BYTES_MAX = 200 };

static const struct table_column columns[] = {{"program", TABLE_TEXT}, {"value", TABLE_TEXT}, {"problem", TABLE_TEXT}};

static bool wanted(const struct ctl *ctl, const struct admin_target *target)
{
	const char *program = ctl_value(ctl, "program");
	return program == NULL || strcmp(program, target->name) == 0;
}

/* One program's row. False: it did not do as told. */
static bool ask_one(const struct admin_target *target, const char *path, const char *value, struct table *table)
{
	struct buf answer;
	struct err problem = {0};
	long status = 0;
	buf_init(&answer, ADMIN_CLIENT_ANSWER_BYTES_MAX);
	bool good = admin_ask(target, path, value, &answer, &status, &problem);
	while (answer.len > 0 && answer.data[answer.len - 1] == '\n')
		answer.len--;
	if (good && status != HTTP_OK)
		good = err_set(&problem, ERR_UNAVAILABLE, "answered %ld: %.*s", status,
			       (int)(answer.len < SHOWN_BYTES_MAX ? answer.len : SHOWN_BYTES_MAX),
			       answer.len > 0 ? (const char *)answer.data : "");
	table_text(table, target->name);
	if (good)
		table_view(table, buf_bytes(&answer));
	else
		table_null(table);
	table_text(table, good ? NULL : problem.text);
	buf_free(&answer);
	return good;
}

static bool run(struct ctl *ctl, const char *path, const char *value, struct err *err)
{
	struct admin_target targets[ADMIN_TARGETS_MAX];
	size_t count, asked = 0, failed = 0;
	if (!admin_targets_parse(ctl_config(ctl)->admin_urls, targets, &count, err))
		return false;
	if (count == 0)
		return err_set(err, ERR_NOT_FOUND, "the setting admin_urls names no program");
	struct table *table = table_new(columns, ARRAY_LEN(columns));
	for (size_t i = 0; i < count; i++) {
		if (!wanted(ctl, &targets[i]))
			continue;
		asked++;
		failed += ask_one(&targets[i], path, value, table) ? 0 : 1;
	}
	if (asked == 0) {
		table_free(table);
		return err_set(err, ERR_NOT_FOUND,
			       "no program of that name; the setting admin_urls says which there are");
	}
	if (!ctl_print(ctl, table, TABLE_LIST, err))
		return false;
	return failed == 0 || err_set(err, ERR_UNAVAILABLE, "%zu of %zu programs did not do it", failed, asked);
}

bool log_level_run(struct ctl *ctl, struct err *err)
{
	const char *value = ctl_argument(ctl, 0);
	enum log_level ignored;
	if (value != NULL && !log_level_parse(value, &ignored))
		return err_set(err, ERR_INVALID, "a level is error, warn, info or debug");
	return run(ctl, "/log/level", value, err);
}

bool log_trace_run(struct ctl *ctl, struct err *err)
{
	const char *value = ctl_argument(ctl, 0);
	uint32_t ignored;
	if (value != NULL && !log_topics_parse(value, &ignored))
		return err_set(err, ERR_INVALID,
			       "topics are http, kafka, pg, worker, stripe, comma-separated; or all, none");
	return run(ctl, "/log/trace", value, err);
}
