/* `status`: programs, topics, lag, dead letters and seals on one screen. */
#include <inttypes.h>
#include <string.h>

#include "common/event.h"
#include "ops/ctl/admin_client.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/offsets.h"

enum { ASK_MS = 5000, DETAIL_BYTES_MAX = 400 };

/* One line of the screen: a part of the system, whether it is as it should be, and what there is to say. */
static const struct table_column columns[] = {
	{"part", TABLE_TEXT}, {"name", TABLE_TEXT}, {"state", TABLE_TEXT}, {"detail", TABLE_TEXT}};

struct status {
	struct ctl *ctl;
	struct table *table;
	size_t bad; /* lines that are not as they should be */
};

static void line(struct status *status, const char *part, const char *name, const char *state, const char *detail)
{
	table_text(status->table, part);
	table_text(status->table, name);
	table_text(status->table, state);
	table_text(status->table, detail);
}

static void bad_line(struct status *status, const char *part, const char *name, const char *state, const char *detail)
{
	status->bad++;
	line(status, part, name, state, detail);
}

/* --- programs --- */

/* Reasons come one a line; the screen has them behind one another. */
static void one_line(struct buf *answer, char out[DETAIL_BYTES_MAX])
{
	size_t len = answer->len < DETAIL_BYTES_MAX - 1 ? answer->len : DETAIL_BYTES_MAX - 1;
	while (len > 0 && answer->data[len - 1] == '\n')
		len--;
	for (size_t i = 0; i < len; i++)
		out[i] = answer->data[i] == '\n' ? ';' : (char)answer->data[i];
	out[len] = '\0';
}

static void show_program(struct status *status, const struct admin_target *target)
{
	struct buf answer;
	struct err problem = {0};
	char detail[DETAIL_BYTES_MAX];
	long code = 0;
	buf_init(&answer, ADMIN_CLIENT_ANSWER_BYTES_MAX);
	if (!admin_ask(target, "/readyz", NULL, &answer, &code, &problem)) {
		bad_line(status, "program", target->name, "away", problem.text);
	} else {
		one_line(&answer, detail);
		if (code == 200)
			line(status, "program", target->name, "ready", target->url);
		else
			bad_line(status, "program", target->name, "not ready", detail);
	}
	buf_free(&answer);
}

static bool show_programs(struct status *status, struct err *err)
{
	struct admin_target targets[ADMIN_TARGETS_MAX];
	size_t count;
	if (!admin_targets_parse(ctl_config(status->ctl)->admin_urls, targets, &count, err))
		return false;
	if (count == 0)
		line(status, "program", "", "unknown", "the setting admin_urls names no program");
	for (size_t i = 0; i < count; i++)
		show_program(status, &targets[i]);
	return true;
}

/* --- Kafka --- */

static void show_topic(struct status *status, struct kafka_admin *admin, const char *topic)
{
	struct err problem = {0};
	char detail[DETAIL_BYTES_MAX];
	int32_t partitions;
	int64_t records = 0;
	bool good = kafka_admin_partitions(admin, topic, ASK_MS, &partitions, &problem);
	for (int32_t p = 0; good && p < partitions; p++) {
		int64_t low, high;
		good = kafka_admin_watermarks(admin, topic, p, ASK_MS, &low, &high, &problem);
		records += good ? high - low : 0;
	}
	if (!good) {
		bad_line(status, "topic", topic, "away", problem.text);
		return;
	}
	(void)snprintf(detail, sizeof(detail), "%" PRId32 " partitions, %" PRId64 " records", partitions, records);
	line(status, "topic", topic, "there", detail);
}

static void show_topics(struct status *status, struct kafka_admin *admin)
{
	for (int i = 0; i < EVENT_TOPIC_COUNT; i++) {
		char name[KAFKA_TOPIC_BYTES_MAX + 1];
		event_topic_name((enum event_topic)i, ctl_config(status->ctl)->environment, name);
		show_topic(status, admin, name);
	}
}

/* --- lag --- */

static void show_worker(struct status *status, const struct offset_rows *rows, const char *worker)
{
	char detail[DETAIL_BYTES_MAX];
	int64_t lag = 0, partitions = 0, out_of_range = 0;
	for (size_t i = 0; i < rows->count; i++) {
		const struct offset_row *row = &rows->items[i];
		if (strcmp(row->worker, worker) != 0 || row->log_end < 0)
			continue;
		partitions++;
		lag += offset_row_lag(row);
		out_of_range += strcmp(offset_row_state(row), "out of range") == 0;
	}
	(void)snprintf(detail, sizeof(detail), "lag %" PRId64 " over %" PRId64 " partitions", lag, partitions);
	if (out_of_range > 0)
		bad_line(status, "worker", worker, "out of range", "see `offsets show`; `offsets reset` moves on");
	else
		line(status, "worker", worker, lag == 0 ? "current" : "behind", detail);
}

static void show_workers(struct status *status, struct pg *pg, struct kafka_admin *admin, const char *cluster_id)
{
	struct offset_rows rows;
	struct err problem = {0};
	if (!offset_rows_take(pg, admin, NULL, cluster_id, &rows, &problem)) {
		bad_line(status, "worker", "", "unknown", problem.text);
		return;
	}
	for (size_t i = 0; i < rows.count; i++) {
		bool first = true;
		for (size_t j = 0; first && j < i; j++)
			first = strcmp(rows.items[i].worker, rows.items[j].worker) != 0;
		if (first)
			show_worker(status, &rows, rows.items[i].worker);
	}
	if (rows.count == 0)
		line(status, "worker", "", "none yet", "no worker has read anything");
	offset_rows_free(&rows);
}

/* --- Postgres --- */

/* A statement of one row: state and detail. */
static void show_row(struct status *status, struct pg *pg, const char *part, const char *sql, const char *cluster_id)
{
	struct err problem = {0};
	struct pg_params *params = pg_params_new(1);
	struct pg_result *result = NULL;
	if (params != NULL) {
		pg_params_text(params, cluster_id);
		result = pg_call(pg, sql, params, &problem);
	}
	pg_params_free(params);
	if (result == NULL)
		bad_line(status, part, "", "unknown", problem.text);
	else
		line(status, part, "", pg_get_text(result, 0, 0), pg_get_text(result, 0, 1));
	pg_result_free(result);
}

static const char seals_sql[] =
	"select case when max(sealed_at) is null then 'none yet' else 'sealed' end, "
	"coalesce('oldest head sealed ' || extract(epoch from now() - min(sealed_at))::bigint || ' s ago, ' || "
	"sum(next_offset - 1 - coalesce(sealed_offset, -1)) || ' records not yet sealed', 'no chain is sealed') "
	"from api.audit_head_list($1)";
static const char dead_letters_sql[] =
	"select case when count(*) = 0 then 'none' else 'some' end, count(*) || ' not redriven' "
	"from api.dead_letter_list(null, 0, 10000) where redrives = 0 and $1 <> ''";

static void show_database(struct status *status, struct pg *pg, const char *cluster_id)
{
	line(status, "postgres", environment_name(ctl_config(status->ctl)->environment), "there", NULL);
	show_row(status, pg, "seals", seals_sql, cluster_id);
	show_row(status, pg, "dead letters", dead_letters_sql, cluster_id);
}

static void show_stores(struct status *status)
{
	char cluster_id[KAFKA_CLUSTER_ID_BYTES] = "";
	struct err problem = {0};
	struct kafka_admin *admin = kafka_admin_new(ctl_config(status->ctl), "watchpostctl", &problem);
	bool kafka = admin != NULL && kafka_admin_cluster_id(admin, ASK_MS, cluster_id, &problem);
	if (kafka) {
		line(status, "kafka", cluster_id, "there", ctl_config(status->ctl)->kafka_brokers);
		show_topics(status, admin);
	} else {
		bad_line(status, "kafka", "", "away", problem.text);
	}
	struct pg *pg = ctl_pg(status->ctl, &problem);
	if (pg == NULL)
		bad_line(status, "postgres", "", "away", problem.text);
	else
		show_database(status, pg, cluster_id);
	if (pg != NULL && kafka)
		show_workers(status, pg, admin, cluster_id);
	kafka_admin_free(admin);
}

bool status_run(struct ctl *ctl, struct err *err)
{
	struct status status = {.ctl = ctl, .table = table_new(columns, ARRAY_LEN(columns))};
	if (!show_programs(&status, err)) {
		table_free(status.table);
		return false;
	}
	show_stores(&status);
	if (!ctl_print(ctl, status.table, TABLE_LIST, err))
		return false;
	return status.bad == 0 || err_set(err, ERR_UNAVAILABLE, "%zu parts are not as they should be", status.bad);
}
