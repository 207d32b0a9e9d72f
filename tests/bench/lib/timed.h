/* timed.h - small mails at a fixed rate, all the way: each is timed from the
 * moment when its POST was due until the sink answered 250. */
#ifndef BENCH_TIMED_H
#define BENCH_TIMED_H

#include "tests/bench/lib/load.h"
#include "tests/bench/lib/sink.h"

/* Reports the latencies, their names with that prefix. Returns how many mails
 * are lost: not at the sink within a minute. */
size_t timed_run(const struct sink *sink, struct load_plan plan,
                 const char *prefix);

#endif
