#include "workers/audit_log/seals.h"

#include <stdlib.h>

#include "common/log.h"
#include "common/seal.h"

enum { PARAMS_MAX = 16, LOOKS_PER_INTERVAL = 60, NS_PER_MS = 1000000 };

struct seals {
	struct sign_key *key;
	struct pg_params *params;
	int64_t look_due_ns;
};

struct seals *seals_new(const struct config *config, struct err *err)
{
	if (config->seal_key_file[0] == '\0')
		return NULL;
	struct seals *seals = calloc(1, sizeof(*seals));
	if (seals == NULL || (seals->params = pg_params_new(PARAMS_MAX)) == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for seals");
		goto fail;
	}
	seals->key = sign_key_read_private(config->seal_key_file, err);
	if (seals->key == NULL)
		goto fail;
	return seals;
fail:
	seals_free(seals);
	return NULL;
}

void seals_free(struct seals *seals)
{
	if (seals == NULL)
		return;
	sign_key_free(seals->key);
	pg_params_free(seals->params);
	free(seals);
}

/* *due false: the last seal is young enough, or the partition holds no record yet. */
static bool read_due(struct seals *seals, struct worker *worker, const struct worker_partition_view *at,
		     struct seal *seal, bool *due, struct err *err)
{
	pg_params_clear(seals->params);
	pg_params_text(seals->params, seal->cluster_id);
	pg_params_text(seals->params, at->topic);
	pg_params_i64(seals->params, at->partition);
	pg_params_i64(seals->params, worker_config(worker)->seal_interval_s);
	struct pg_result *row =
		pg_call(worker_pg(worker),
			"select next_offset, head, previous from api.audit_seal_due($1, $2, $3::integer, $4::integer)",
			seals->params, err);
	if (row == NULL)
		return false;
	bool good = true;
	int64_t next_offset = 0;
	*due = pg_rows(row) > 0;
	if (*due && (!pg_get_i64(row, 0, 0, &next_offset) || !pg_get_bytea(row, 0, 1, seal->head, sizeof(seal->head))))
		good = err_set(err, ERR_INTERNAL, "the chain head of %s/%d is not whole", at->topic, at->partition);
	else if (*due && pg_is_null(row, 0, 2))
		good = chain_genesis(seal->cluster_id, at->topic, at->partition, seal->previous, err);
	else if (*due && !pg_get_bytea(row, 0, 2, seal->previous, sizeof(seal->previous)))
		good = err_set(err, ERR_INTERNAL, "the last seal of %s/%d is not whole", at->topic, at->partition);
	seal->last_offset = next_offset - 1;
	pg_result_free(row);
	return good;
}

static bool write_seal(struct seals *seals, struct worker *worker, const struct seal *seal, struct err *err)
{
	uint8_t hash[SHA256_BYTES];
	if (!seal_hash(seal, hash, err))
		return false;
	pg_params_clear(seals->params);
	pg_params_text(seals->params, seal->cluster_id);
	pg_params_text(seals->params, seal->topic);
	pg_params_i64(seals->params, seal->partition);
	pg_params_i64(seals->params, seal->last_offset);
	pg_params_bytea(seals->params, bytes_make(seal->head, sizeof(seal->head)));
	pg_params_i64(seals->params, seal->sealed_at_ms);
	pg_params_bytea(seals->params, bytes_make(seal->previous, sizeof(seal->previous)));
	pg_params_bytea(seals->params, bytes_make(hash, sizeof(hash)));
	pg_params_bytea(seals->params, bytes_make(seal->signature, sizeof(seal->signature)));
	struct pg_result *row =
		pg_call(worker_pg(worker), "select api.audit_seal_write($1, $2, $3::integer, $4, $5, $6, $7, $8, $9)",
			seals->params, err);
	if (row == NULL)
		return false;
	bool kept = pg_get_bool(row, 0, 0);
	pg_result_free(row);
	if (kept)
		LOG(INFO, "sealed", F_TEXT("topic", seal->topic), F_I64("partition", seal->partition),
		    F_I64("last_offset", seal->last_offset));
	else
		LOG(WARN, "seal_not_taken", F_TEXT("topic", seal->topic), F_I64("partition", seal->partition),
		    F_I64("last_offset", seal->last_offset));
	return true;
}

static bool seal_partition(struct seals *seals, struct worker *worker, const struct worker_partition_view *at,
			   struct err *err)
{
	bool due = false;
	struct seal seal = {.cluster_id = worker_cluster_id(worker),
			    .topic = at->topic,
			    .partition = at->partition,
			    .sealed_at_ms = clock_wall_ms(worker_clock(worker))};
	if (!read_due(seals, worker, at, &seal, &due, err))
		return false;
	if (!due || seal.last_offset < 0)
		return true;
	return seal_sign(&seal, seals->key, err) && write_seal(seals, worker, &seal, err);
}

bool seals_tick(struct seals *seals, struct worker *worker, struct err *err)
{
	int64_t now_ns = clock_mono_ns(worker_clock(worker));
	if (seals == NULL || now_ns < seals->look_due_ns)
		return true;
	for (size_t i = 0; i < worker_partition_count(worker); i++) {
		struct worker_partition_view at;
		worker_partition_get(worker, i, &at);
		if (!seal_partition(seals, worker, &at, err))
			return false;
	}
	/* So often that a seal comes at most a sixtieth of the interval late. */
	seals->look_due_ns = now_ns + worker_config(worker)->seal_interval_s * 1000 / LOOKS_PER_INTERVAL * NS_PER_MS;
	return true;
}
