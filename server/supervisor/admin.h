/* admin.h - the admin listener of a supervisor: /livez, /readyz, /metrics.
 *
 * Live: the supervisor turns its loop. Ready: at least one child says that it
 * can do its work; the answer tells of each. It also tells, but does not
 * demand, how many workers live (of all hosts) and, for the worker role,
 * which upstreams are up. It listens on loopback by default and asks for no
 * key.
 */
#ifndef SUPERVISOR_ADMIN_H
#define SUPERVISOR_ADMIN_H

#include "server/base/error.h"
#include "server/base/metrics.h"
#include "server/io/loop.h"

struct admin;

struct admin_options {
    const char *role;
    const struct metrics_region *region;
    const bool *slot_taken; /* by slot: a child lives there */
    unsigned slots;
    void (*sample)(void *ctx); /* before a scrape: bring gauges up to date */
    void *ctx;
};

/* where: "host:port" or "unix:/path". What options points at outlives it.
 * NULL and err: cannot listen there. */
MUST_USE struct admin *admin_open(struct loop *loop, const char *where,
                                  const struct admin_options *options,
                                  struct error *err);
void admin_close(struct admin **admin);

#endif
