#include "common/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/limits.h"

enum { CACHE_LINE_BYTES = 64, CELLS_PER_LINE = CACHE_LINE_BYTES / sizeof(uint64_t) };

/*
 * The cells of one shard stand together: a counter or gauge has one per series, a histogram has its buckets, "+Inf"
 * and the sum in microseconds. Gauges live in shard 0 alone.
 */
struct metrics {
	const struct metric_def *defs;
	size_t count;
	size_t first_cell[METRICS_MAX + 1];
	size_t shard_cells;
	_Atomic uint64_t *cells; /* METRIC_SHARDS × shard_cells */
};

static atomic_uint threads_seen;

/* The calling thread's shard; threads beyond METRIC_SHARDS share. */
static size_t own_shard(void)
{
	static _Thread_local size_t shard = METRIC_SHARDS;
	if (UNLIKELY(shard == METRIC_SHARDS))
		shard = atomic_fetch_add_explicit(&threads_seen, 1, memory_order_relaxed) % METRIC_SHARDS;
	return shard;
}

static size_t series_count(const struct metric_def *def)
{
	size_t count = 1;
	for (size_t i = 0; i < METRIC_LABELS_MAX && def->labels[i].name != NULL; i++)
		count *= def->labels[i].count;
	return count;
}

static size_t series_cells(const struct metric_def *def)
{
	return def->kind == METRIC_HISTOGRAM ? def->bound_count + 2 : 1;
}

static size_t cell_of(const struct metrics *m, size_t metric, size_t series)
{
	assert(metric < m->count);
	size_t cell = m->first_cell[metric] + series * series_cells(&m->defs[metric]);
	assert(cell < m->first_cell[metric + 1]);
	return cell;
}

static uint64_t sum(const struct metrics *m, size_t cell)
{
	uint64_t total = 0;
	for (size_t shard = 0; shard < METRIC_SHARDS; shard++)
		total += atomic_load_explicit(&m->cells[shard * m->shard_cells + cell], memory_order_relaxed);
	return total;
}

static void add(struct metrics *m, size_t cell, uint64_t n)
{
	atomic_fetch_add_explicit(&m->cells[own_shard() * m->shard_cells + cell], n, memory_order_relaxed);
}

struct metrics *metrics_new(const struct metric_def *defs, size_t count, struct err *err)
{
	assert(count > 0 && count <= METRICS_MAX);
	struct metrics *m = calloc(1, sizeof(*m));
	if (m == NULL)
		goto full;
	m->defs = defs;
	m->count = count;
	for (size_t i = 0; i < count; i++) {
		assert(series_count(&defs[i]) > 0 && series_count(&defs[i]) <= METRIC_SERIES_MAX);
		m->first_cell[i + 1] = m->first_cell[i] + series_count(&defs[i]) * series_cells(&defs[i]);
	}
	m->shard_cells = (m->first_cell[count] + CELLS_PER_LINE - 1) / CELLS_PER_LINE * CELLS_PER_LINE;
	size_t bytes = METRIC_SHARDS * m->shard_cells * sizeof(*m->cells);
	m->cells = aligned_alloc(CACHE_LINE_BYTES, bytes);
	if (m->cells == NULL)
		goto full;
	for (size_t i = 0; i < METRIC_SHARDS * m->shard_cells; i++)
		atomic_init(&m->cells[i], 0);
	return m;
full:
	free(m);
	(void)err_set(err, ERR_FULL, "no memory for the metrics");
	return NULL;
}

void metrics_free(struct metrics *metrics)
{
	if (metrics == NULL)
		return;
	free(metrics->cells);
	free(metrics);
}

void metrics_add(struct metrics *metrics, size_t metric, size_t series, uint64_t n)
{
	assert(metrics->defs[metric].kind == METRIC_COUNTER);
	add(metrics, cell_of(metrics, metric, series), n);
}

void metrics_set(struct metrics *metrics, size_t metric, size_t series, int64_t value)
{
	assert(metrics->defs[metric].kind == METRIC_GAUGE);
	atomic_store_explicit(&metrics->cells[cell_of(metrics, metric, series)], (uint64_t)value, memory_order_relaxed);
}

void metrics_observe_us(struct metrics *metrics, size_t metric, size_t series, int64_t value_us)
{
	const struct metric_def *def = &metrics->defs[metric];
	size_t bucket = 0;
	assert(def->kind == METRIC_HISTOGRAM);
	if (value_us < 0)
		value_us = 0;
	while (bucket < def->bound_count && value_us > def->bounds_us[bucket])
		bucket++;
	size_t cell = cell_of(metrics, metric, series);
	add(metrics, cell + bucket, 1);
	add(metrics, cell + def->bound_count + 1, (uint64_t)value_us);
}

uint64_t metrics_value(const struct metrics *metrics, size_t metric, size_t series)
{
	const struct metric_def *def = &metrics->defs[metric];
	size_t cell = cell_of(metrics, metric, series);
	if (def->kind != METRIC_HISTOGRAM)
		return sum(metrics, cell);
	uint64_t total = 0;
	for (size_t i = 0; i <= def->bound_count; i++)
		total += sum(metrics, cell + i);
	return total;
}

/* --- printing ------------------------------------------------------------------------------------- */

bool metrics_print_head(struct buf *out, const char *name, const char *help, enum metric_kind kind)
{
	static const char *const KINDS[] = {"counter", "gauge", "histogram"};
	return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, KINDS[kind]);
}

bool metrics_print_sample(struct buf *out, const char *name, const char *labels, int64_t value)
{
	if (labels[0] == '\0')
		return buf_printf(out, "%s %" PRId64 "\n", name, value);
	return buf_printf(out, "%s{%s} %" PRId64 "\n", name, labels, value);
}

bool metrics_print_label(struct buf *out, const char *name, struct bytes value)
{
	bool good = buf_append_text(out, name) && buf_append_text(out, "=\"");
	for (size_t i = 0; good && i < value.len; i++) {
		uint8_t byte = value.data[i];
		if (byte == '\\' || byte == '"' || byte == '\n')
			good = buf_append_byte(out, '\\');
		good = good && buf_append_byte(out, byte == '\n' ? 'n' : byte);
	}
	return good && buf_append_byte(out, '"');
}

/* The labels of one series, without braces; empty when there are none. */
static bool print_labels(const struct metric_def *def, size_t series, struct buf *out)
{
	size_t second_count = def->labels[1].name != NULL ? def->labels[1].count : 1;
	const size_t at[METRIC_LABELS_MAX] = {series / second_count, series % second_count};
	for (size_t i = 0; i < METRIC_LABELS_MAX && def->labels[i].name != NULL; i++) {
		if (i > 0 && !buf_append_byte(out, ','))
			return false;
		if (!metrics_print_label(out, def->labels[i].name, bytes_of(def->labels[i].values[at[i]])))
			return false;
	}
	return true;
}

static bool print_histogram(const struct metrics *m, size_t metric, size_t series, const char *labels, struct buf *out)
{
	const struct metric_def *def = &m->defs[metric];
	const char *comma = labels[0] != '\0' ? "," : "";
	size_t cell = cell_of(m, metric, series);
	uint64_t below = 0;
	for (size_t i = 0; i < def->bound_count; i++) {
		below += sum(m, cell + i);
		if (!buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", def->name, labels, comma,
				(double)def->bounds_us[i] / 1e6, below))
			return false;
	}
	below += sum(m, cell + def->bound_count);
	uint64_t total_us = sum(m, cell + def->bound_count + 1);
	const char *open = labels[0] != '\0' ? "{" : "";
	const char *close = labels[0] != '\0' ? "}" : "";
	return buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", def->name, labels, comma, below) &&
	       buf_printf(out, "%s_sum%s%s%s %" PRIu64 ".%06" PRIu64 "\n", def->name, open, labels, close,
			  total_us / 1000000, total_us % 1000000) &&
	       buf_printf(out, "%s_count%s%s%s %" PRIu64 "\n", def->name, open, labels, close, below);
}

static bool print_metric(const struct metrics *m, size_t metric, struct buf *scratch, struct buf *out)
{
	const struct metric_def *def = &m->defs[metric];
	bool labelled = def->labels[0].name != NULL;
	if (!metrics_print_head(out, def->name, def->help, def->kind))
		return false;
	for (size_t series = 0; series < series_count(def); series++) {
		uint64_t value = metrics_value(m, metric, series);
		if (labelled && value == 0 && def->kind != METRIC_GAUGE)
			continue;
		buf_clear(scratch);
		if (!print_labels(def, series, scratch))
			return false;
		const char *labels = buf_text(scratch);
		if (labels == NULL)
			return false;
		bool good = def->kind == METRIC_HISTOGRAM
				    ? print_histogram(m, metric, series, labels, out)
				    : metrics_print_sample(out, def->name, labels, (int64_t)value);
		if (!good)
			return false;
	}
	return true;
}

bool metrics_print(const struct metrics *metrics, struct buf *out)
{
	struct buf scratch;
	bool good = true;
	buf_init(&scratch, 4096);
	for (size_t i = 0; good && i < metrics->count; i++)
		good = print_metric(metrics, i, &scratch, out);
	buf_free(&scratch);
	return good;
}
