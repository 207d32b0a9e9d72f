/* metrics.h - counters that survive their process.
 *
 * The supervisor maps one anonymous shared region before it forks: one slot
 * a process, each a table of series (metric of metrics.def + label values).
 * A child writes only its own slot, the supervisor sums all of them when it
 * is scraped, so nothing is locked and a dead child's counts remain: the next
 * child in that slot goes on with them.
 *
 * A process without a region (unit tests, short verbs) counts into a
 * private one. Label values must be bounded: never an address or an id. A
 * slot has room for about a thousand series.
 *
 * Source: Prometheus text format 0.0.4; OpenMetrics 1.0.0.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include "server/base/buf.h"
#include "server/base/check.h"

#include <stdbool.h>
#include <stdint.h>

/* How the slots' gauges become one: GAUGE adds them up (each child holds a
 * part), GAUGE_MAX and GAUGE_MIN take the largest or smallest (all children
 * look at the same thing). */
enum metric_kind {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_GAUGE_MAX,
    METRIC_GAUGE_MIN,
    METRIC_HISTOGRAM,        /* of seconds, 0.5 ms to 1 h */
    METRIC_HISTOGRAM_COUNTS, /* of how many, 1 to 10,000 */
};

enum metric {
#define METRIC(id, kind, name, labels, help) METRIC_##id,
#include "server/base/metrics.def"
#undef METRIC
    METRIC_COUNT
};

struct metrics_region;

/* slots processes, the supervisor's own among them; shared between this
 * process and what it forks. */
struct metrics_region *metrics_region_create(unsigned slots);
void metrics_region_destroy(struct metrics_region **region);

/* From now on this process writes into that slot. Handles from before go on
 * writing where they did, so a child gets its own anew. */
void metrics_use(struct metrics_region *region, unsigned slot);

/* A handle on one series of this process' slot, made on first use; keep it
 * where the same labels are counted often. values: one per label of
 * metrics.def, in its order; NULL for a metric without labels. The handle
 * never fails: what finds no room is counted as METRIC_METRICS_DROPPED. */
struct series;
struct series *metrics_series(enum metric metric, const char *const *values);
void series_add(struct series *series, uint64_t by);      /* counters */
void series_set(struct series *series, int64_t value);    /* gauges */
void series_observe(struct series *series, double value); /* histograms */

/* metrics_count(METRIC_X, "label", ...): look up and add one. */
#define metrics_count(metric, ...)                                             \
    series_add(metrics_series(metric, (const char *const[]){__VA_ARGS__}), 1)

/* Before a fork: forgets the gauges of the slot's last child, which is no
 * more, and its readiness ("starting"). Counters stay. */
void metrics_slot_reset_gauges(struct metrics_region *region, unsigned slot);

enum { METRICS_REASON_SIZE = 200 };

/* Whether this slot's process can do its work, and what it cannot do, and why:
 * what /readyz answers. A slot begins not ready. */
void metrics_set_ready(bool ready, const char *reason);
bool metrics_ready(const struct metrics_region *region, unsigned slot,
                   char reason[METRICS_REASON_SIZE]);

/* The gauges of a metric with one label or none, all slots together. label
 * lives during the call; those that nobody has set are left out. */
void metrics_each_gauge(const struct metrics_region *region, enum metric metric,
                        void (*fn)(void *ctx, const char *label, int64_t value),
                        void *ctx);

enum metrics_form { METRICS_PROMETHEUS, METRICS_OPENMETRICS };

/* All slots together, in that form. NULL: this process' own region. */
void metrics_render(const struct metrics_region *region, enum metrics_form form,
                    struct buf *out);

#endif
