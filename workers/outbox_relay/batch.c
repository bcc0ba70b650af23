#include "workers/outbox_relay/batch.h"

static bool same_key(const struct outbox_row *a, const struct outbox_row *b)
{
	return bytes_equal(a->key, b->key) && bytes_equal(a->topic, b->topic);
}

static bool lost(const struct outbox_row *row)
{
	return row->fate != ROW_SENT && row->fate != ROW_KEPT;
}

bool batch_key_stopped(const struct outbox_row *rows, size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (lost(&rows[i]) && same_key(&rows[i], &rows[index]))
			return true;
	}
	return false;
}

size_t batch_deletable(const struct outbox_row *rows, size_t count, int64_t *ids)
{
	size_t deletable = 0;
	size_t first_lost = 0;
	while (first_lost < count && !lost(&rows[first_lost]))
		first_lost++;
	for (size_t i = 0; i < count; i++) {
		if (rows[i].fate == ROW_KEPT && (i < first_lost || !batch_key_stopped(rows, i)))
			ids[deletable++] = rows[i].id;
	}
	return deletable;
}
