/* tree.h - what a process and all below it use, read from /proc. */
#ifndef BENCH_TREE_H
#define BENCH_TREE_H

#include <stdint.h>

/* pids: decimal ids joined by commas, each with its descendants. */
uint64_t tree_rss_bytes(const char *pids);
/* The same with each page that processes share counted once. */
uint64_t tree_pss_bytes(const char *pids);
double tree_cpu_s(const char *pids); /* user and system, so far */

#endif
