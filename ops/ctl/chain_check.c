#include "ops/ctl/chain_check.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/kafka_admin.h"

enum { POINTS_AT_FIRST = 64 };
_Static_assert(CHAIN_POINTS_MAX % POINTS_AT_FIRST == 0, "doubling ends at the bound");

struct point { /* what the check keeps of a seal, or of the database's head */
	int64_t last_offset;
	bool sealed;
	uint8_t head[CHAIN_LINK_BYTES];
};

struct gap {
	int64_t from, to;
};

struct chain_check {
	char cluster_id[KAFKA_CLUSTER_ID_BYTES];
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	int32_t partition;
	const struct sign_key *key;
	struct point *points;
	size_t point_count, point_cap, next_point;
	struct gap *gaps;
	size_t gap_count, gap_cap;
	uint8_t genesis[CHAIN_LINK_BYTES];
	uint8_t last_seal_hash[SHA256_BYTES];
	bool has_previous;     /* last_seal_hash is what the next seal must name */
	int64_t anchor_offset; /* the first record that is checked; INT64_MAX: no anchor */
	int64_t next_offset;   /* no record below it may come any more */
	struct buf scratch;
	struct chain_check_result result;
};

struct chain_check *chain_check_new(const char *cluster_id, const char *topic, int32_t partition,
				    const struct sign_key *key, struct err *err)
{
	struct chain_check *check = calloc(1, sizeof(*check));
	if (check == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the check");
		return NULL;
	}
	(void)snprintf(check->cluster_id, sizeof(check->cluster_id), "%s", cluster_id);
	(void)snprintf(check->topic, sizeof(check->topic), "%s", topic);
	check->partition = partition;
	check->key = key;
	check->anchor_offset = INT64_MAX;
	check->result.sealed_to = check->result.first_offset = check->result.last_offset = -1;
	check->result.confirmed_offset = -1;
	buf_init(&check->scratch, CHAIN_SCRATCH_BYTES_MAX);
	if (!chain_genesis(cluster_id, topic, partition, check->genesis, err)) {
		chain_check_free(check);
		return NULL;
	}
	return check;
}

void chain_check_free(struct chain_check *check)
{
	if (check == NULL)
		return;
	free(check->points);
	free(check->gaps);
	buf_free(&check->scratch);
	free(check);
}

static bool grow(void **items, size_t count, size_t *cap, size_t item_bytes, struct err *err)
{
	if (count < *cap)
		return true;
	if (count == CHAIN_POINTS_MAX)
		return err_set(err, ERR_TOO_LARGE, "over %d seals or gaps in one partition", CHAIN_POINTS_MAX);
	size_t wanted = *cap == 0 ? POINTS_AT_FIRST : *cap * 2;
	void *more = reallocarray(*items, wanted, item_bytes);
	if (more == NULL)
		return err_set(err, ERR_FULL, "no memory for %zu seals or gaps", wanted);
	*items = more;
	*cap = wanted;
	return true;
}

static bool add_point(struct chain_check *check, int64_t last_offset, const uint8_t head[CHAIN_LINK_BYTES], bool sealed,
		      struct err *err)
{
	void *points = check->points;
	if (!grow(&points, check->point_count, &check->point_cap, sizeof(*check->points), err))
		return false;
	check->points = points;
	struct point *point = &check->points[check->point_count++];
	*point = (struct point){.last_offset = last_offset, .sealed = sealed};
	memcpy(point->head, head, CHAIN_LINK_BYTES);
	return true;
}

void chain_check_from_first_seal(struct chain_check *check)
{
	assert(check->point_count == 0);
	memcpy(check->last_seal_hash, check->genesis, SHA256_BYTES);
	check->has_previous = true;
}

bool chain_check_seal(struct chain_check *check, const struct seal *seal, struct err *err)
{
	assert(strcmp(seal->topic, check->topic) == 0 && seal->partition == check->partition);
	if (!seal_verify(seal, check->key, err)) {
		if (err->code == ERR_INVALID)
			err->code = ERR_CONFLICT;
		return false;
	}
	if (check->has_previous && !digest_equal(seal->previous, check->last_seal_hash, SHA256_BYTES))
		return err_set(err, ERR_CONFLICT,
			       "the seal at offset %" PRId64
			       " does not name the one before it: a seal is missing or put in",
			       seal->last_offset);
	if (check->point_count > 0 && seal->last_offset < check->points[check->point_count - 1].last_offset)
		return err_set(err, ERR_CONFLICT, "the seal at offset %" PRId64 " goes back", seal->last_offset);
	if (!seal_hash(seal, check->last_seal_hash, err))
		return false;
	check->has_previous = true;
	if (!add_point(check, seal->last_offset, seal->head, true, err))
		return false;
	check->result.seals++;
	return true;
}

bool chain_check_head(struct chain_check *check, int64_t last_offset, const uint8_t head[CHAIN_LINK_BYTES],
		      struct err *err)
{
	if (check->point_count > 0 && last_offset < check->points[check->point_count - 1].last_offset)
		return err_set(err, ERR_CONFLICT,
			       "the database's chain ends at offset %" PRId64 ", before its last seal at %" PRId64,
			       last_offset, check->points[check->point_count - 1].last_offset);
	return add_point(check, last_offset, head, false, err);
}

bool chain_check_gap(struct chain_check *check, int64_t from, int64_t to, struct err *err)
{
	if (from > to)
		return err_set(err, ERR_INVALID, "a gap goes from offset %" PRId64 " back to %" PRId64, from, to);
	void *gaps = check->gaps;
	if (!grow(&gaps, check->gap_count, &check->gap_cap, sizeof(*check->gaps), err))
		return false;
	check->gaps = gaps;
	check->gaps[check->gap_count++] = (struct gap){from, to};
	return true;
}

int64_t chain_check_anchor(const struct chain_check *check, int64_t log_start, int64_t wanted)
{
	int64_t anchor = log_start == 0 ? 0 : wanted;
	for (size_t i = 0; i < check->point_count; i++) {
		int64_t behind = check->points[i].last_offset + 1;
		if (check->points[i].sealed && behind >= log_start && behind <= wanted)
			anchor = behind;
	}
	assert(anchor <= wanted);
	return anchor;
}

void chain_check_begin(struct chain_check *check, int64_t first_offset)
{
	check->next_offset = first_offset;
	if (first_offset == 0) {
		check->anchor_offset = 0;
		memcpy(check->result.head, check->genesis, CHAIN_LINK_BYTES);
		return;
	}
	while (check->next_point < check->point_count &&
	       check->points[check->next_point].last_offset + 1 < first_offset)
		check->next_point++;
	/* The head is the last point and nobody signed it: with nothing else to start from, every record is skipped. */
	if (check->next_point == check->point_count || !check->points[check->next_point].sealed)
		return;
	const struct point *point = &check->points[check->next_point++];
	check->anchor_offset = point->last_offset + 1;
	check->result.sealed_to = point->last_offset;
	memcpy(check->result.head, point->head, CHAIN_LINK_BYTES);
}

static bool in_gap(const struct chain_check *check, int64_t offset)
{
	for (size_t i = 0; i < check->gap_count; i++)
		if (offset >= check->gaps[i].from && offset < check->gaps[i].to)
			return true;
	return false;
}

/* Every seal whose records are all behind us must have the head that we have. */
static bool match_seals(struct chain_check *check, int64_t next_offset, struct err *err)
{
	while (check->next_point < check->point_count && check->points[check->next_point].last_offset < next_offset) {
		const struct point *point = &check->points[check->next_point];
		if (!digest_equal(point->head, check->result.head, CHAIN_LINK_BYTES))
			return err_set(err, ERR_CONFLICT,
				       "the records up to offset %" PRId64
				       " are not what %s: one was changed, added or removed",
				       point->last_offset, point->sealed ? "was sealed" : "the database chained");
		if (point->sealed) {
			check->result.sealed_to = point->last_offset;
			check->result.seals_matched++;
		} else {
			check->result.head_matched = true;
		}
		check->result.confirmed = check->result.records;
		check->result.confirmed_offset = check->result.last_offset;
		check->next_point++;
	}
	return true;
}

bool chain_check_record(struct chain_check *check, const struct kafka_record *record, struct err *err)
{
	if (record->offset < check->next_offset)
		return err_set(err, ERR_CONFLICT, "the record at offset %" PRId64 " stands where another was expected",
			       record->offset);
	check->next_offset = record->offset + 1;
	if (record->offset < check->anchor_offset) {
		check->result.skipped++;
		return true;
	}
	if (in_gap(check, record->offset)) {
		check->result.gap_records++;
		return true;
	}
	if (!match_seals(check, record->offset, err))
		return false;
	if (!chain_advance(check->result.head, record, &check->scratch, err))
		return false;
	if (check->result.records++ == 0)
		check->result.first_offset = record->offset;
	check->result.last_offset = record->offset;
	return true;
}

bool chain_check_end(struct chain_check *check, int64_t end_offset, int64_t log_end, struct err *err)
{
	check->result.anchored = check->anchor_offset != INT64_MAX && check->anchor_offset <= end_offset;
	if (check->result.anchored && !match_seals(check, end_offset, err))
		return false;
	const struct point *last = check->point_count > 0 ? &check->points[check->point_count - 1] : NULL;
	if (last != NULL && last->last_offset >= log_end)
		return err_set(err, ERR_CONFLICT,
			       "the records up to offset %" PRId64 " were %s, but the log ends before %" PRId64
			       ": the last ones were removed",
			       last->last_offset, last->sealed ? "sealed" : "chained by the database", log_end);
	return true;
}

const struct chain_check_result *chain_check_result(const struct chain_check *check)
{
	return &check->result;
}
