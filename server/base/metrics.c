#include "server/base/metrics.h"

#include "server/base/arena.h"
#include "server/base/codec.h"
#include "server/base/map.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum {
    SERIES_MAX = 1024,
    CELLS_MAX = 8192,
    KEY_MAX = 192, /* metric and label values */
    VALUE_MAX = 64,
    BUCKETS = 18, /* the last is +Inf */
    SUM_CELL = BUCKETS,
    HISTOGRAM_CELLS = BUCKETS + 1,
    BOUND_SIZE = 32,
};

/* A gauge that nobody has set, or whose setter is dead. */
#define UNSET INT64_MIN

typedef _Atomic uint64_t cell;

static const struct metric_info {
    enum metric_kind kind;
    const char *name;
    const char *labels;
    const char *help;
} METRICS[] = {
#define METRIC(id, kind, name, labels, help)                                   \
    [METRIC_##id] = {METRIC_##kind, name, labels, help},
#include "server/base/metrics.def"
#undef METRIC
};

static const double SECONDS[BUCKETS - 1] = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
    0.5,    1,     2.5,    5,     15,   60,    300,  3600};
static const double COUNTS[BUCKETS - 1] = {
    1, 2, 3, 5, 7, 10, 20, 30, 50, 100, 200, 300, 500, 1000, 2000, 5000, 10000};

struct series {
    enum metric metric;
    size_t key_len;
    char key[KEY_MAX]; /* metric and values, each ended by a NUL */
    cell *cells;       /* in the same slot; the mapping never moves */
};

/* Written by one process, read by any. A series is visible once used counts
 * it, and its cells are zero until then: a writer that dies on the way leaves
 * no trace. */
struct slot {
    _Atomic uint32_t used;
    _Atomic uint32_t ready;
    _Atomic uint32_t reason_at; /* which of the two is valid */
    char reason[2][METRICS_REASON_SIZE];
    struct series series[SERIES_MAX];
    cell cells[CELLS_MAX];
};

struct metrics_region {
    unsigned slot_count;
    struct slot slots[];
};

/* Where this process counts. */
static struct {
    struct metrics_region *region;
    struct metrics_region *own; /* the private one, made at need */
    struct slot *slot;
    struct map *by_key;
} current;

/* --- cells: one writer each, so no locked instruction is needed --- */

static uint64_t cell_get(const cell *at)
{
    return atomic_load_explicit(at, memory_order_relaxed);
}

static void cell_put(cell *at, uint64_t value)
{
    atomic_store_explicit(at, value, memory_order_relaxed);
}

static double cell_real(const cell *at)
{
    uint64_t bits = cell_get(at);
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static void cell_put_real(cell *at, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    cell_put(at, bits);
}

static bool is_histogram(enum metric metric)
{
    return METRICS[metric].kind == METRIC_HISTOGRAM ||
           METRICS[metric].kind == METRIC_HISTOGRAM_COUNTS;
}

static bool is_gauge(enum metric metric)
{
    return METRICS[metric].kind == METRIC_GAUGE ||
           METRICS[metric].kind == METRIC_GAUGE_MAX ||
           METRICS[metric].kind == METRIC_GAUGE_MIN;
}

static size_t width(enum metric metric)
{
    return is_histogram(metric) ? HISTOGRAM_CELLS : 1;
}

static const double *bounds(enum metric metric)
{
    return METRICS[metric].kind == METRIC_HISTOGRAM ? SECONDS : COUNTS;
}

/* --- the region --- */

static size_t region_size(unsigned slots)
{
    return sizeof(struct metrics_region) + slots * sizeof(struct slot);
}

struct metrics_region *metrics_region_create(unsigned slots)
{
    struct metrics_region *region =
        mmap(NULL, region_size(slots), PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(region != MAP_FAILED);
    region->slot_count = slots;
    for (unsigned i = 0; i < slots; i++)
        metrics_slot_reset_gauges(region, i);
    return region;
}

static void leave_slot(void)
{
    map_destroy(&current.by_key);
    current.slot = NULL;
    current.region = NULL;
}

void metrics_region_destroy(struct metrics_region **region)
{
    if (*region == NULL)
        return;
    if (current.region == *region)
        leave_slot();
    CHECK(munmap(*region, region_size((*region)->slot_count)) == 0);
    *region = NULL;
}

static uint32_t used_of(const struct slot *slot)
{
    return atomic_load_explicit(&slot->used, memory_order_acquire);
}

/* A counter that shows up with a 1 never rose, as a scraper sees it: those
 * that have no labels are there from the first, while there is room. */
static void begin_counters(void)
{
    for (enum metric metric = 0; metric < METRIC_COUNT; metric++)
        if (METRICS[metric].kind == METRIC_COUNTER &&
            METRICS[metric].labels[0] == '\0')
            metrics_series(metric, NULL);
}

void metrics_use(struct metrics_region *region, unsigned slot)
{
    CHECK(slot < region->slot_count);
    leave_slot();
    current.region = region;
    current.slot = &region->slots[slot];
    current.by_key = map_create();
    for (uint32_t i = 0; i < used_of(current.slot); i++) {
        struct series *series = &current.slot->series[i];

        map_put(current.by_key, str_make(series->key, series->key_len), series);
    }
    begin_counters();
}

static void use_some_slot(void)
{
    if (current.slot != NULL)
        return;
    if (current.own == NULL)
        current.own = metrics_region_create(1);
    metrics_use(current.own, 0);
}

/* --- series --- */

static size_t label_count(enum metric metric)
{
    const char *labels = METRICS[metric].labels;
    size_t count = *labels != '\0';

    for (; *labels != '\0'; labels++)
        count += *labels == ',';
    return count;
}

/* False: longer than a key may be. */
static bool make_key(enum metric metric, const char *const *values,
                     char key[KEY_MAX], size_t *len)
{
    size_t count = label_count(metric);

    CHECK(METRIC_COUNT < 255 && metric < METRIC_COUNT);
    CHECK(values != NULL || count == 0);
    key[0] = (char)(metric + 1);
    key[1] = '\0';
    *len = 2;
    for (size_t i = 0; i < count; i++) {
        struct str value = str_of(values[i]);

        value.len = utf8_cut(value, VALUE_MAX);
        if (*len + value.len + 1 > KEY_MAX)
            return false;
        memcpy(key + *len, value.len == 0 ? "" : value.ptr, value.len);
        *len += value.len;
        key[(*len)++] = '\0';
    }
    return true;
}

/* NULL: the slot is full. */
static struct series *add_series(enum metric metric, const char *key,
                                 size_t key_len)
{
    struct slot *slot = current.slot;
    uint32_t used = used_of(slot);
    struct series *last = used == 0 ? NULL : &slot->series[used - 1];
    struct series *series;
    cell *cells =
        last == NULL ? slot->cells : last->cells + width(last->metric);

    CHECK(slot != NULL);
    if (used == SERIES_MAX || cells + width(metric) > slot->cells + CELLS_MAX)
        return NULL;
    series = &slot->series[used];
    series->metric = metric;
    memcpy(series->key, key, key_len);
    series->key_len = key_len;
    series->cells = cells;
    if (is_gauge(metric))
        cell_put(cells, (uint64_t)UNSET);
    atomic_store_explicit(&slot->used, used + 1, memory_order_release);
    map_put(current.by_key, str_make(series->key, key_len), series);
    return series;
}

struct series *metrics_series(enum metric metric, const char *const *values)
{
    char key[KEY_MAX];
    size_t len;
    struct series *series = NULL;

    use_some_slot();
    if (make_key(metric, values, key, &len)) {
        series = map_get(current.by_key, str_make(key, len));
        if (series == NULL)
            series = add_series(metric, key, len);
    }
    if (series == NULL && metric != METRIC_METRICS_DROPPED)
        series = metrics_series(METRIC_METRICS_DROPPED, NULL);
    CHECK(series != NULL);
    return series;
}

/* A handle that stands for all that found no room counts calls. */
static bool was_dropped(struct series *series)
{
    if (series->metric != METRIC_METRICS_DROPPED)
        return false;
    cell_put(series->cells, cell_get(series->cells) + 1);
    return true;
}

void series_add(struct series *series, uint64_t by)
{
    if (was_dropped(series))
        return;
    CHECK(METRICS[series->metric].kind == METRIC_COUNTER);
    cell_put(series->cells, cell_get(series->cells) + by);
}

void series_set(struct series *series, int64_t value)
{
    if (was_dropped(series))
        return;
    CHECK(is_gauge(series->metric));
    cell_put(series->cells, (uint64_t)value);
}

void series_observe(struct series *series, double value)
{
    const double *bound;
    size_t bucket = 0;

    if (was_dropped(series))
        return;
    CHECK(is_histogram(series->metric));
    bound = bounds(series->metric);
    while (bucket < BUCKETS - 1 && value > bound[bucket])
        bucket++;
    cell_put(&series->cells[bucket], cell_get(&series->cells[bucket]) + 1);
    cell_put_real(&series->cells[SUM_CELL],
                  cell_real(&series->cells[SUM_CELL]) + value);
}

/* --- readiness --- */

/* The text goes into the place that nobody reads, then the places change. A
 * reader that is overtaken twice gets mixed words, still ended by a NUL. */
static void put_ready(struct slot *slot, bool ready, const char *reason)
{
    uint32_t at =
        1 - atomic_load_explicit(&slot->reason_at, memory_order_relaxed);

    snprintf(slot->reason[at], METRICS_REASON_SIZE, "%s",
             reason == NULL ? "" : reason);
    atomic_store_explicit(&slot->reason_at, at, memory_order_release);
    atomic_store_explicit(&slot->ready, ready, memory_order_release);
}

void metrics_slot_reset_gauges(struct metrics_region *region, unsigned at)
{
    struct slot *slot = &region->slots[at];

    CHECK(at < region->slot_count);
    for (uint32_t i = 0; i < used_of(slot); i++)
        if (is_gauge(slot->series[i].metric))
            cell_put(slot->series[i].cells, (uint64_t)UNSET);
    put_ready(slot, false, "starting");
}

void metrics_set_ready(bool ready, const char *reason)
{
    use_some_slot();
    put_ready(current.slot, ready, reason);
}

bool metrics_ready(const struct metrics_region *region, unsigned at,
                   char reason[METRICS_REASON_SIZE])
{
    const struct slot *slot = &region->slots[at];
    uint32_t which;

    CHECK(at < region->slot_count);
    which = atomic_load_explicit(&slot->reason_at, memory_order_acquire);
    memcpy(reason, slot->reason[which], METRICS_REASON_SIZE);
    reason[METRICS_REASON_SIZE - 1] = '\0';
    return atomic_load_explicit(&slot->ready, memory_order_acquire) != 0;
}

/* --- rendering --- */

/* One series, summed over the slots. */
struct total {
    struct total *next; /* in the order in which they were met */
    const struct series *series;
    uint64_t cells[BUCKETS];
    int64_t gauge;
    double sum;
};

static void add_gauge(struct total *total, enum metric_kind kind, int64_t value)
{
    if (value == UNSET)
        return;
    if (total->gauge != UNSET && kind == METRIC_GAUGE)
        total->gauge += value;
    else if (total->gauge == UNSET ||
             (kind == METRIC_GAUGE_MAX) == (value > total->gauge))
        total->gauge = value;
}

static void add_series_to(struct total *total, const struct series *series)
{
    if (is_gauge(series->metric)) {
        add_gauge(total, METRICS[series->metric].kind,
                  (int64_t)cell_get(series->cells));
    } else if (is_histogram(series->metric)) {
        for (size_t i = 0; i < BUCKETS; i++)
            total->cells[i] += cell_get(&series->cells[i]);
        total->sum += cell_real(&series->cells[SUM_CELL]);
    } else {
        total->cells[0] += cell_get(series->cells);
    }
}

/* The totals of one metric, as a list. */
static struct total *sum_metric(const struct metrics_region *region,
                                enum metric metric, struct arena *arena)
{
    struct map *by_key = map_create();
    struct total *first = NULL;
    struct total **end = &first;

    for (unsigned i = 0; i < region->slot_count; i++) {
        const struct slot *slot = &region->slots[i];

        for (uint32_t at = 0; at < used_of(slot); at++) {
            const struct series *series = &slot->series[at];
            struct str key = str_make(series->key, series->key_len);
            struct total *total;

            if (series->metric != metric)
                continue;
            total = map_get(by_key, key);
            if (total == NULL) {
                total = ARENA_NEW(arena, struct total);
                total->series = series;
                total->gauge = UNSET;
                map_put(by_key, key, total);
                *end = total;
                end = &total->next;
            }
            add_series_to(total, series);
        }
    }
    map_destroy(&by_key);
    return first;
}

void metrics_each_gauge(const struct metrics_region *region, enum metric metric,
                        void (*fn)(void *ctx, const char *label, int64_t value),
                        void *ctx)
{
    struct arena *arena = arena_create();

    CHECK(is_gauge(metric));
    for (const struct total *total = sum_metric(region, metric, arena);
         total != NULL; total = total->next)
        if (total->gauge != UNSET)
            fn(ctx, total->series->key + 2, total->gauge);
    arena_destroy(&arena);
}

static void put_label_value(struct buf *out, struct str value)
{
    struct buf clean;

    buf_init(&clean, VALUE_MAX);
    utf8_clean_add(&clean, value, VALUE_MAX);
    for (size_t i = 0; i < clean.len; i++) {
        if (clean.data[i] == '"' || clean.data[i] == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, clean.data[i]);
    }
    buf_finish(&clean);
}

/* {a="x",b="y",le="0.5"}; nothing without labels and bound. */
static void put_labels(struct buf *out, const struct series *series,
                       const char *bound)
{
    struct str names = str_of(METRICS[series->metric].labels);
    struct str values = str_make(series->key + 2, series->key_len - 2);
    struct str name;
    struct str value;
    const char *before = "{";

    while (names.len > 0 && str_cut(&names, ',', &name) &&
           str_cut(&values, '\0', &value)) {
        buf_addf(out, "%s%.*s=\"", before, STR_ARG(name));
        put_label_value(out, value);
        buf_add_char(out, '"');
        before = ",";
    }
    if (bound != NULL) {
        buf_addf(out, "%sle=\"%s\"", before, bound);
        before = ",";
    }
    if (*before == ',')
        buf_add_char(out, '}');
}

/* OpenMetrics wants numbers of one spelling: 5 as a bound is 5.0. */
static void write_bound(char text[BOUND_SIZE], double bound,
                        enum metrics_form form)
{
    snprintf(text, BOUND_SIZE,
             form == METRICS_OPENMETRICS && bound >= 1 ? "%.1f" : "%g", bound);
}

static void put_histogram(struct buf *out, const struct total *total,
                          enum metrics_form form)
{
    const struct series *series = total->series;
    const char *name = METRICS[series->metric].name;
    uint64_t count = 0;

    for (size_t i = 0; i < BUCKETS; i++) {
        char bound[BOUND_SIZE] = "+Inf";

        if (i < BUCKETS - 1)
            write_bound(bound, bounds(series->metric)[i], form);
        count += total->cells[i];
        buf_addf(out, "%s_bucket", name);
        put_labels(out, series, bound);
        buf_addf(out, " %" PRIu64 "\n", count);
    }
    buf_addf(out, "%s_sum", name);
    put_labels(out, series, NULL);
    buf_addf(out, " %.9g\n%s_count", total->sum, name);
    put_labels(out, series, NULL);
    buf_addf(out, " %" PRIu64 "\n", count);
}

static void put_total(struct buf *out, const struct total *total,
                      enum metrics_form form)
{
    enum metric metric = total->series->metric;

    if (is_histogram(metric)) {
        put_histogram(out, total, form);
        return;
    }
    if (is_gauge(metric) && total->gauge == UNSET)
        return;
    buf_add_cstr(out, METRICS[metric].name);
    put_labels(out, total->series, NULL);
    if (is_gauge(metric))
        buf_addf(out, " %" PRId64 "\n", total->gauge);
    else
        buf_addf(out, " %" PRIu64 "\n", total->cells[0]);
}

/* The family that samples are of: in OpenMetrics a counter's is its name
 * without _total. */
static struct str family_of(const struct metric_info *info,
                            enum metrics_form form)
{
    struct str name = str_of(info->name);

    if (form == METRICS_OPENMETRICS && info->kind == METRIC_COUNTER) {
        CHECK(str_ends(name, S("_total")));
        name.len -= strlen("_total");
    }
    return name;
}

static void put_family(struct buf *out, enum metric metric,
                       enum metrics_form form)
{
    const struct metric_info *info = &METRICS[metric];
    struct str family = family_of(info, form);

    buf_addf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", STR_ARG(family),
             info->help, STR_ARG(family),
             is_histogram(metric) ? "histogram"
             : is_gauge(metric)   ? "gauge"
                                  : "counter");
}

void metrics_render(const struct metrics_region *region, enum metrics_form form,
                    struct buf *out)
{
    struct arena *arena = arena_create();

    if (region == NULL) {
        use_some_slot();
        region = current.region;
    }
    for (enum metric metric = 0; metric < METRIC_COUNT; metric++) {
        struct total *total = sum_metric(region, metric, arena);

        if (total == NULL)
            continue;
        put_family(out, metric, form);
        for (; total != NULL; total = total->next)
            put_total(out, total, form);
    }
    if (form == METRICS_OPENMETRICS)
        buf_add_cstr(out, "# EOF\n");
    arena_destroy(&arena);
}
