/* `topics create`: the topics of an environment (common/topics.h). */
#include "common/topics.h"

#include "ops/ctl/commands.h"

enum { ASK_MS = 30000, REPLICATION_MAX = 32, MS_PER_HOUR = 3600000 };

/* Number of partitions of each topic, 0 for those that are missing. False: Kafka did not answer. */
static bool look(const struct ctl *ctl, struct kafka_admin *admin, int32_t partitions[EVENT_TOPIC_COUNT],
		 struct err *err)
{
	for (int i = 0; i < EVENT_TOPIC_COUNT; i++) {
		char name[KAFKA_TOPIC_BYTES_MAX + 1];
		event_topic_name((enum event_topic)i, ctl_config(ctl)->environment, name);
		if (kafka_admin_partitions(admin, name, ASK_MS, &partitions[i], err))
			continue;
		if (err->code != ERR_NOT_FOUND)
			return false;
		partitions[i] = 0;
	}
	return true;
}

/* A row per topic: what it was before, what it is now. The retention is what a topic is made with. */
static bool show(struct ctl *ctl, const int32_t before[EVENT_TOPIC_COUNT], const int32_t now[EVENT_TOPIC_COUNT],
		 struct err *err)
{
	static const struct table_column columns[] = {{"topic", TABLE_TEXT},
						      {"state", TABLE_TEXT},
						      {"partitions", TABLE_NUMBER},
						      {"made_with_retention_hours", TABLE_NUMBER}};
	struct table *table = table_new(columns, ARRAY_LEN(columns));
	for (int i = 0; i < EVENT_TOPIC_COUNT; i++) {
		char name[KAFKA_TOPIC_BYTES_MAX + 1];
		event_topic_name((enum event_topic)i, ctl_config(ctl)->environment, name);
		table_text(table, name);
		table_text(table, before[i] > 0 ? "there" : now[i] > 0 ? "created" : "missing");
		table_i64(table, now[i]);
		table_i64(table, topics_table()[i].retention_ms / MS_PER_HOUR);
	}
	return ctl_print(ctl, table, TABLE_LIST, err);
}

static bool create(struct ctl *ctl, struct kafka_admin *admin, const struct topics_options *options, struct err *err)
{
	int32_t before[EVENT_TOPIC_COUNT], now[EVENT_TOPIC_COUNT];
	size_t created;
	return look(ctl, admin, before, err) &&
	       (ctl_switch(ctl, "dry-run") || topics_create(admin, options, &created, err)) &&
	       look(ctl, admin, now, err) && show(ctl, before, now, err);
}

bool topics_create_run(struct ctl *ctl, struct err *err)
{
	int64_t partitions = TOPICS_PARTITIONS_DEFAULT, replication = -1;
	if (!ctl_value_i64(ctl, "partitions", 1, PARTITIONS_MAX, &partitions, err) ||
	    !ctl_value_i64(ctl, "replication", 1, REPLICATION_MAX, &replication, err))
		return false;
	struct kafka_admin *admin = kafka_admin_new(ctl_config(ctl), "watchpostctl", err);
	const struct topics_options options = {.environment = ctl_config(ctl)->environment,
					       .partitions = (int)partitions,
					       .replication = (int)replication,
					       .timeout_ms = ASK_MS};
	bool good = admin != NULL && create(ctl, admin, &options, err);
	kafka_admin_free(admin);
	return good;
}
