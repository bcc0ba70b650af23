/* `topics create`: the topics of an environment (common/topics.h). */
#include "common/topics.h"

#include "ops/ctl/commands.h"

enum { ASK_MS = 30000, PARTITIONS_MAX_GIVEN = PARTITIONS_MAX, REPLICATION_MAX = 32 };

static bool is_there(struct kafka_admin *admin, const char *topic, int32_t *partitions, struct err *err)
{
	struct err problem = {0};
	if (kafka_admin_partitions(admin, topic, ASK_MS, partitions, &problem))
		return true;
	*partitions = 0;
	if (problem.code != ERR_NOT_FOUND)
		*err = problem;
	return false;
}

/* A row per topic, as it is now. False: Kafka did not answer. */
static bool show(struct ctl *ctl, struct kafka_admin *admin, struct err *err)
{
	static const struct table_column columns[] = {{"topic", TABLE_TEXT},
						      {"state", TABLE_TEXT},
						      {"partitions", TABLE_NUMBER},
						      {"retention_hours", TABLE_NUMBER}};
	struct table *table = table_new(columns, ARRAY_LEN(columns));
	err_clear(err);
	for (int i = 0; i < EVENT_TOPIC_COUNT && err->code == ERR_NONE; i++) {
		char name[KAFKA_TOPIC_BYTES_MAX + 1];
		int32_t partitions;
		event_topic_name((enum event_topic)i, ctl_config(ctl)->environment, name);
		bool there = is_there(admin, name, &partitions, err);
		table_text(table, name);
		table_text(table, there ? "there" : "missing");
		table_i64(table, partitions);
		table_i64(table, topics_table()[i].retention_ms / 3600000);
	}
	if (err->code == ERR_NONE)
		return ctl_print(ctl, table, TABLE_LIST, err);
	table_free(table);
	return false;
}

bool topics_create_run(struct ctl *ctl, struct err *err)
{
	int64_t partitions = TOPICS_PARTITIONS_DEFAULT, replication = -1;
	size_t created = 0;
	if (!ctl_value_i64(ctl, "partitions", 1, PARTITIONS_MAX_GIVEN, &partitions, err) ||
	    !ctl_value_i64(ctl, "replication", 1, REPLICATION_MAX, &replication, err))
		return false;
	struct kafka_admin *admin = kafka_admin_new(ctl_config(ctl), "watchpostctl", err);
	const struct topics_options options = {.environment = ctl_config(ctl)->environment,
					       .partitions = (int)partitions,
					       .replication = (int)replication,
					       .timeout_ms = ASK_MS};
	bool good = admin != NULL && (ctl_switch(ctl, "dry-run") || topics_create(admin, &options, &created, err)) &&
		    show(ctl, admin, err);
	if (good && created > 0)
		ctl_note(ctl, "%zu topics created", created);
	kafka_admin_free(admin);
	return good;
}
