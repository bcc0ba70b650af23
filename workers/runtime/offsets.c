/* The offset rows: C1, C3, C8. */
#include <assert.h>
#include <string.h>

#include "common/chain.h"
#include "common/log.h"
#include "workers/runtime/internal.h"

enum { KAFKA_QUESTION_MS = 5000 };

static void params_place(struct worker *worker, const struct worker_partition *partition)
{
	pg_params_clear(worker->params);
	pg_params_text(worker->params, worker->spec->name);
	pg_params_text(worker->params, worker->cluster_id);
	pg_params_text(worker->params, partition->topic);
	pg_params_i64(worker->params, partition->partition);
}

/* *found false: there is no row and start_offset was -1. */
static bool row_read(struct worker *worker, struct worker_partition *partition, int64_t start_offset,
		     const uint8_t *genesis, bool *found, struct err *err)
{
	params_place(worker, partition);
	if (start_offset < 0)
		pg_params_null(worker->params);
	else
		pg_params_i64(worker->params, start_offset);
	if (genesis == NULL)
		pg_params_null(worker->params);
	else
		pg_params_bytea(worker->params, bytes_make(genesis, SHA256_BYTES));
	struct pg_result *row = pg_call(worker->pg,
					"select next_offset, chain_head from "
					"api.worker_position($1, $2, $3, $4::integer, $5::bigint, $6::bytea)",
					worker->params, err);
	if (row == NULL)
		return false;
	bool good = true;
	*found = pg_rows(row) > 0;
	if (*found && (!pg_get_i64(row, 0, 0, &partition->next_offset) ||
		       (worker->spec->chained && !pg_get_bytea(row, 0, 1, partition->head, SHA256_BYTES))))
		good = err_set(err, ERR_INTERNAL, "the offset row of %s/%d is not whole", partition->topic,
			       partition->partition);
	pg_result_free(row);
	return good;
}

static bool row_make(struct worker *worker, struct worker_partition *partition, struct err *err)
{
	int64_t low, high;
	uint8_t genesis[CHAIN_LINK_BYTES];
	bool found = false;
	if (!kafka_admin_watermarks(worker->admin, partition->topic, partition->partition, KAFKA_QUESTION_MS, &low,
				    &high, err)) {
		/* Kafka assigned it, so it is there: brokers learn of a new topic one after the other. */
		if (err->code == ERR_NOT_FOUND)
			err->code = ERR_UNAVAILABLE;
		return false;
	}
	if (worker->spec->chained &&
	    !chain_genesis(worker->cluster_id, partition->topic, partition->partition, genesis, err))
		return false;
	if (!row_read(worker, partition, low, worker->spec->chained ? genesis : NULL, &found, err))
		return false;
	assert(found);
	LOG(INFO, "offset_row_made", F_TEXT("topic", partition->topic), F_I64("partition", partition->partition),
	    F_I64("offset", partition->next_offset), F_TEXT("cluster", worker->cluster_id));
	return true;
}

bool offsets_read(struct worker *worker, struct worker_partition *partition, struct err *err)
{
	bool found = false;
	bool good = row_read(worker, partition, -1, NULL, &found, err);
	if (good && !found)
		good = row_make(worker, partition, err);
	return good ||
	       err_context(err, "while reading the offset row of %s/%d", partition->topic, partition->partition);
}

bool offsets_advance(struct worker *worker, const struct worker_partition *partition, int64_t next_offset,
		     const struct worker_batch *batch, bool *moved, struct err *err)
{
	assert(next_offset > partition->next_offset);
	params_place(worker, partition);
	pg_params_i64(worker->params, partition->next_offset);
	pg_params_i64(worker->params, next_offset);
	if (batch->has_head)
		pg_params_bytea(worker->params, bytes_make(batch->head, SHA256_BYTES));
	else
		pg_params_null(worker->params);
	struct pg_result *row =
		pg_call(worker->pg, "select api.worker_advance($1, $2, $3, $4::integer, $5, $6, $7::bytea)",
			worker->params, err);
	if (row == NULL)
		return false;
	assert(pg_rows(row) == 1);
	*moved = pg_get_bool(row, 0, 0);
	pg_result_free(row);
	return true;
}

bool offsets_cluster(struct worker *worker, bool *changed, struct err *err)
{
	char id[KAFKA_CLUSTER_ID_BYTES];
	*changed = false;
	if (!kafka_admin_cluster_id(worker->admin, KAFKA_QUESTION_MS, id, err))
		return err_context(err, "while asking Kafka for its cluster id");
	if (strcmp(id, worker->cluster_id) == 0)
		return true;
	*changed = worker->cluster_id[0] != '\0';
	if (*changed)
		LOG(WARN, "kafka_cluster_changed", F_TEXT("from", worker->cluster_id), F_TEXT("to", id));
	memcpy(worker->cluster_id, id, sizeof(id));
	return true;
}
