/*
 * Counters, gauges and histograms, printed in the Prometheus text format 0.0.4.
 *
 * A program has one static table of metrics. Label names and values are fixed when it is compiled, so there is no
 * look-up, no allocation and no unbounded label: a series is a number, the position of its label values. Each thread
 * adds in a shard of its own, so that counting costs no shared cache line; reading adds the shards up.
 *
 * Owns: struct metrics owns its cells; the table must outlive it. Thread: any.
 * Names: prefix "watchpost_", base units, "_total" for counters, "_seconds" for histograms.
 */
#ifndef WATCHPOST_COMMON_METRICS_H
#define WATCHPOST_COMMON_METRICS_H

#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
enum { METRIC_LABELS_MAX = 2 };

struct metric_def {
	const char *name;
	const char *help;
	enum metric_kind kind;
	struct metric_label {
		const char *name; /* NULL: no such label */
		const char *const *values;
		size_t count;
	} labels[METRIC_LABELS_MAX];
	/* HISTOGRAM: ascending upper bounds in microseconds; "+Inf" is added. They are printed in seconds. */
	const int64_t *bounds_us;
	size_t bound_count;
};

struct metrics;
MUSTCHECK struct metrics *metrics_new(const struct metric_def *defs, size_t count, struct err *err);
void metrics_free(struct metrics *metrics);

/* `metric` is the position in the table; `series` is first * labels[1].count + second, 0 when there are no labels. */
void metrics_add(struct metrics *metrics, size_t metric, size_t series, uint64_t n);
void metrics_set(struct metrics *metrics, size_t metric, size_t series, int64_t value);           /* GAUGE */
void metrics_observe_us(struct metrics *metrics, size_t metric, size_t series, int64_t value_us); /* HISTOGRAM */
/* A counter's sum or a gauge's value; a histogram's number of observations. */
uint64_t metrics_value(const struct metrics *metrics, size_t metric, size_t series);

/* Appends every metric. Counters and histograms of labelled metrics that were never touched are left out. */
MUSTCHECK bool metrics_print(const struct metrics *metrics, struct buf *out);

/* For values that are kept elsewhere, or whose labels are known only at run time: the two lines before the first
 * sample, and one sample. `labels` is "" or `a="b",c="d"` with values already escaped. */
MUSTCHECK bool metrics_print_head(struct buf *out, const char *name, const char *help, enum metric_kind kind);
MUSTCHECK bool metrics_print_sample(struct buf *out, const char *name, const char *labels, int64_t value);
/* Escapes a label value: backslash, quote and line feed. */
MUSTCHECK bool metrics_print_label(struct buf *out, const char *name, struct bytes value);

#endif
