#include "ops/ctl/audit_source.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const enum event_topic audit_topic_ids[] = {EVENT_TOPIC_STRIPE, EVENT_TOPIC_AGENT, EVENT_TOPIC_SPEND,
						   EVENT_TOPIC_ACCESS};

static bool unexpected(struct err *err)
{
	return err_set(err, ERR_INVALID, "the database answered with a row of another form");
}

bool audit_topics(const struct ctl *ctl, const char *only, char names[][KAFKA_TOPIC_BYTES_MAX + 1], size_t *count,
		  struct err *err)
{
	*count = 0;
	for (size_t i = 0; i < ARRAY_LEN(audit_topic_ids); i++) {
		char *name = names[*count];
		event_topic_name(audit_topic_ids[i], ctl_config(ctl)->environment, name);
		const char *short_name = strrchr(name, '.') + 1;
		if (only == NULL || strcmp(only, name) == 0 || strcmp(only, short_name) == 0)
			(*count)++;
	}
	return *count > 0 || err_set(err, ERR_INVALID, "--topic: stripe, agent, spend or access");
}

/* --- heads --- */

static bool take_head(const struct pg_result *result, int row, struct audit_head *out)
{
	int64_t partition;
	(void)snprintf(out->topic, sizeof(out->topic), "%s", pg_get_text(result, row, 0));
	if (!pg_get_i64(result, row, 1, &partition) || !pg_get_i64(result, row, 2, &out->next_offset) ||
	    !pg_get_bytea(result, row, 3, out->head, sizeof(out->head)))
		return false;
	out->partition = (int32_t)partition;
	return true;
}

bool audit_heads_take(struct pg *pg, const char *cluster_id, struct audit_heads *out, struct err *err)
{
	struct pg_params *params = pg_params_new(1);
	struct pg_result *result = NULL;
	*out = (struct audit_heads){0};
	if (params == NULL)
		return err_set(err, ERR_FULL, "no memory for the heads");
	pg_params_text(params, cluster_id);
	result = pg_call(pg, "select topic, partition, next_offset, head from api.audit_head_list($1)", params, err);
	pg_params_free(params);
	if (result == NULL)
		return false;
	bool good = true;
	size_t rows = (size_t)pg_rows(result);
	out->items = calloc(rows + 1, sizeof(*out->items));
	if (out->items == NULL)
		good = err_set(err, ERR_FULL, "no memory for the heads");
	for (size_t i = 0; good && i < rows; i++)
		good = take_head(result, (int)i, &out->items[i]) || unexpected(err);
	out->count = good ? rows : 0;
	pg_result_free(result);
	if (!good)
		audit_heads_free(out);
	return good;
}

void audit_heads_free(struct audit_heads *heads)
{
	free(heads->items);
	*heads = (struct audit_heads){0};
}

const struct audit_head *audit_heads_find(const struct audit_heads *heads, const char *topic, int32_t partition)
{
	for (size_t i = 0; i < heads->count; i++)
		if (heads->items[i].partition == partition && strcmp(heads->items[i].topic, topic) == 0)
			return &heads->items[i];
	return NULL;
}

/* --- seals --- */

static bool take_seal(const struct pg_result *result, int row, struct seal *out)
{
	return pg_get_i64(result, row, 1, &out->sealed_at_ms) && pg_get_i64(result, row, 2, &out->last_offset) &&
	       pg_get_bytea(result, row, 3, out->head, sizeof(out->head)) &&
	       pg_get_bytea(result, row, 4, out->previous, sizeof(out->previous)) &&
	       pg_get_bytea(result, row, 5, out->signature, sizeof(out->signature));
}

/* One page; *after becomes the last seal's number, *rows how many came. */
static bool seal_page(struct pg *pg, struct pg_params *params, struct seal *seal, int64_t *after, int *rows,
		      struct pg_result **out, struct err *err)
{
	pg_params_clear(params);
	pg_params_text(params, seal->cluster_id);
	pg_params_text(params, seal->topic);
	pg_params_i64(params, seal->partition);
	pg_params_i64(params, *after);
	pg_params_i64(params, CTL_PAGE_ROWS);
	*out = pg_call(pg,
		       "select seal_number, sealed_at_ms, last_offset, head, previous, signature "
		       "from api.audit_seal_list($1, $2, $3::integer, $4, $5::integer)",
		       params, err);
	if (*out == NULL)
		return false;
	*rows = pg_rows(*out);
	if (*rows == 0 || pg_get_i64(*out, *rows - 1, 0, after))
		return true;
	pg_result_free(*out);
	return unexpected(err);
}

bool audit_seals_each(struct pg *pg, const char *cluster_id, const char *topic, int32_t partition,
		      bool (*each)(void *owner, const struct seal *seal, struct err *err), void *owner, struct err *err)
{
	struct seal seal = {.cluster_id = cluster_id, .topic = topic, .partition = partition};
	struct pg_params *params = pg_params_new(5);
	int64_t after = 0;
	int rows = CTL_PAGE_ROWS;
	bool good = params != NULL || err_set(err, ERR_FULL, "no memory for the seals");
	while (good && rows == CTL_PAGE_ROWS) {
		struct pg_result *result;
		if (!seal_page(pg, params, &seal, &after, &rows, &result, err)) {
			good = false;
			break;
		}
		for (int i = 0; good && i < rows; i++)
			good = take_seal(result, i, &seal) ? each(owner, &seal, err) : unexpected(err);
		pg_result_free(result);
	}
	pg_params_free(params);
	return good;
}

/* --- gaps --- */

static bool is_of(const struct pg_result *result, int row, const char *cluster_id, const struct topic_slice *slice)
{
	int64_t partition;
	return strcmp(pg_get_text(result, row, 0), cluster_id) == 0 &&
	       strcmp(pg_get_text(result, row, 1), slice->topic) == 0 && pg_get_i64(result, row, 2, &partition) &&
	       partition == slice->partition;
}

bool audit_gaps_each(struct pg *pg, const char *cluster_id, const struct topic_slice *slice,
		     bool (*each)(void *owner, int64_t from, int64_t until, struct err *err), void *owner,
		     struct err *err)
{
	struct pg_result *result = pg_call(pg,
					   "select cluster_id, topic, partition, from_offset, to_offset "
					   "from api.offset_reset_list('audit-log')",
					   NULL, err);
	bool good = true;
	if (result == NULL)
		return false;
	for (int i = 0; good && i < pg_rows(result); i++) {
		int64_t from, until;
		if (!is_of(result, i, cluster_id, slice))
			continue;
		good = pg_get_i64(result, i, 3, &from) && pg_get_i64(result, i, 4, &until)
			       ? each(owner, from, until, err)
			       : unexpected(err);
	}
	pg_result_free(result);
	return good;
}
