/* `status`: programs, topics, lag, dead letters and seals on one screen. */
#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "common/event.h"
#include "ops/ctl/admin_client.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/offsets.h"

/* KAFKA_MS: for all questions to Kafka together, so that the screen comes within seconds whatever is away. */
enum { KAFKA_MS = 5000, DETAIL_BYTES_MAX = 400, NS_PER_MS = 1000000 };

/* One line of the screen: a part of the system, whether it is as it should be, and what there is to say. */
static const struct table_column columns[] = {
	{"part", TABLE_TEXT}, {"name", TABLE_TEXT}, {"state", TABLE_TEXT}, {"detail", TABLE_TEXT}};

struct status {
	struct ctl *ctl;
	struct table *table;
	size_t bad;             /* lines that are not as they should be */
	int64_t kafka_until_ns; /* when Kafka has had its time */
};

static int kafka_ms(const struct status *status)
{
	int64_t left_ms = (status->kafka_until_ns - clock_mono_ns(clock_system())) / NS_PER_MS;
	return left_ms > 1 ? (int)left_ms : 1;
}

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
	bool good = kafka_admin_partitions(admin, topic, kafka_ms(status), &partitions, &problem);
	if (!good && problem.code == ERR_NOT_FOUND) {
		bad_line(status, "topic", topic, "missing", "`topics create` makes it");
		return;
	}
	for (int32_t p = 0; good && p < partitions; p++) {
		int64_t low, high;
		good = kafka_admin_watermarks(admin, topic, p, kafka_ms(status), &low, &high, &problem);
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
	int64_t lag = 0, partitions = 0, stuck = 0, unknown = 0;
	for (size_t i = 0; i < rows->count; i++) {
		const struct offset_row *row = &rows->items[i];
		if (strcmp(row->worker, worker) != 0 || row->other_cluster)
			continue;
		partitions++;
		stuck += offset_row_stuck(row);
		unknown += row->unknown;
		lag += row->log_end < 0 ? 0 : offset_row_lag(row);
	}
	(void)snprintf(detail, sizeof(detail), "lag %" PRId64 " over %" PRId64 " partitions", lag,
		       partitions - unknown);
	if (stuck > 0)
		bad_line(status, "worker", worker, "out of range", "see `offsets show`; `offsets reset` moves on");
	else if (unknown > 0)
		bad_line(status, "worker", worker, "not all known", detail);
	else
		line(status, "worker", worker, lag == 0 ? "current" : "behind", detail);
}

static void show_workers(struct status *status, struct pg *pg, struct kafka_admin *admin, const char *cluster_id)
{
	struct offset_rows rows;
	struct err problem = {0};
	if (!offset_rows_take(pg, NULL, cluster_id, &rows, &problem)) {
		bad_line(status, "worker", "", "unknown", problem.text);
		return;
	}
	/* Why Kafka does not say stands in the topic's line. */
	for (size_t i = 0; i < rows.count; i++)
		(void)offset_row_ask(admin, kafka_ms(status), &rows.items[i], &problem);
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

static const char seals_sql[] =
	"select case when max(sealed_at) is null then 'none yet' else 'sealed' end, "
	"coalesce('oldest head sealed ' || extract(epoch from now() - min(sealed_at))::bigint || ' s ago, ' || "
	"sum(next_offset - 1 - coalesce(sealed_offset, -1)) || ' records not yet sealed', 'no chain is sealed') "
	"from api.audit_head_list($1)";
static const char dead_letters_sql[] =
	"select case waiting + redriven when 0 then 'none' else 'some' end, "
	"waiting || ' not redriven, ' || redriven || ' redriven; see `dead-letter list`' from api.dead_letter_counts()";

/* A statement of one row: state and detail. */
static void show_answer(struct status *status, struct pg *pg, const char *part, const char *sql,
			const struct pg_params *params)
{
	struct err problem = {0};
	struct pg_result *result = pg_call(pg, sql, params, &problem);
	if (result == NULL)
		bad_line(status, part, "", "unknown", problem.text);
	else
		line(status, part, "", pg_get_text(result, 0, 0), pg_get_text(result, 0, 1));
	pg_result_free(result);
}

static void show_seals(struct status *status, struct pg *pg, struct pg_params *params, const char *cluster_id)
{
	if (cluster_id[0] == '\0') {
		bad_line(status, "seals", "", "unknown", "which seals count depends on the Kafka cluster");
		return;
	}
	pg_params_text(params, cluster_id);
	show_answer(status, pg, "seals", seals_sql, params);
}

static void show_database(struct status *status, struct pg *pg, const char *cluster_id)
{
	struct pg_params *params = pg_params_new(1);
	line(status, "postgres", environment_name(ctl_config(status->ctl)->environment), "there", NULL);
	if (params == NULL) {
		bad_line(status, "seals", "", "unknown", "no memory");
		return;
	}
	show_seals(status, pg, params, cluster_id);
	show_answer(status, pg, "dead letters", dead_letters_sql, NULL);
	pg_params_free(params);
}

/* The admin handle when Kafka is there, with the cluster's id; else NULL and "". */
static struct kafka_admin *show_kafka(struct status *status, char cluster_id[KAFKA_CLUSTER_ID_BYTES])
{
	struct err problem = {0};
	struct kafka_admin *admin = kafka_admin_new(ctl_config(status->ctl), "watchpostctl", &problem);
	status->kafka_until_ns = clock_mono_ns(clock_system()) + (int64_t)KAFKA_MS * NS_PER_MS;
	cluster_id[0] = '\0';
	if (admin != NULL && kafka_admin_cluster_id(admin, kafka_ms(status), cluster_id, &problem)) {
		line(status, "kafka", cluster_id, "there", ctl_config(status->ctl)->kafka_brokers);
		show_topics(status, admin);
		return admin;
	}
	bad_line(status, "kafka", "", "away", problem.text);
	kafka_admin_free(admin);
	return NULL;
}

static void show_stores(struct status *status)
{
	char cluster_id[KAFKA_CLUSTER_ID_BYTES];
	struct err problem = {0};
	struct kafka_admin *admin = show_kafka(status, cluster_id);
	struct pg *pg = ctl_pg(status->ctl, &problem);
	if (pg == NULL)
		bad_line(status, "postgres", "", "away", problem.text);
	else
		show_database(status, pg, cluster_id);
	if (pg != NULL && admin != NULL)
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
	size_t lines = table_rows(status.table);
	if (!ctl_print(ctl, status.table, TABLE_LIST, err))
		return false;
	return status.bad == 0 ||
	       err_set(err, ERR_UNAVAILABLE, "%zu of %zu lines are not as they should be", status.bad, lines);
}
