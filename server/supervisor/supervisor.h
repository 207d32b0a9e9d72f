/* supervisor.h - keeps the children of one role alive.
 *
 * The parent opens the listening sockets (one SO_REUSEPORT socket per child
 * and address, handed from generation to generation, so that no queued
 * connection is lost), maps the counters, forks, and then only watches:
 *
 *   a child dies      what it held is given back, a new one starts (back-off)
 *   a child is asked to end, by somebody else
 *                     a new one starts as soon as it says so, and takes what
 *                     waits in its socket while it drains
 *   SIGHUP            new children with the new configuration; once they have
 *                     started, the old ones are told to drain. While too many
 *                     drain, or a dead child's work is being given back, it
 *                     waits
 *   SIGTERM, SIGINT   all children drain; the parent ends behind the last one
 *   the parent dies   its children get SIGTERM from the kernel and drain; the
 *                     one that is started in its place is the same instance
 *
 * It also serves the admin listener: /livez, /readyz, /metrics; and it tells
 * the service manager when all children work, when a reload begins and ends,
 * and that it turns its loop (notify.h).
 */
#ifndef SUPERVISOR_SUPERVISOR_H
#define SUPERVISOR_SUPERVISOR_H

#include "server/base/config.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a child is given. It lives as long as the process. */
struct child {
    const struct config *config;
    unsigned index; /* among count, from 0 */
    unsigned count;
    const char *instance; /* of its supervisor: see instance.h */
    bool is_relief; /* an older one serves its addresses until it has started */
    const int *listen_fds; /* one per address of role.listen */
    size_t listen_count;
    int says_fd; /* private: see child_started and child_leaves */
    struct child_shared *shared; /* private: see child_owns */
};

struct role {
    const char *name;
    /* Addresses to listen on; NULL: none. */
    const struct config_list *(*listen)(const struct config *config);
    const char *(*admin_listen)(const struct config *config);
    /* How long a child may drain before it is killed. */
    int64_t (*drain_max_ms)(const struct config *config);
    /* Folder of the journal that children leave (queue/journal.h), "" for
     * none; NULL: this role has none. */
    const char *(*state_dir)(const struct config *config);
    /* Whether children could use the files that the configuration names. err:
     * which one they could not, and why. NULL: it names none. */
    bool (*files_fit)(const struct config *config, struct error *err);
    /* The whole life of a child; what it returns is its exit code. It ends
     * after SIGTERM, having drained. */
    int (*run)(const struct child *child);
};

struct supervisor_options {
    const struct role *role;
    const char *config_path; /* NULL: environment and defaults only */
    unsigned children;       /* 0: one per core */
    const char *commit;      /* that the binary was built of */
};

/* Until all is over; the exit code of the process. */
int supervisor_run(const struct supervisor_options *options);

/* By a child, once: it takes work now. */
void child_started(const struct child *child);
/* By a child, once, when it drains: another one may take its place. */
void child_leaves(const struct child *child);
/* SIGTERM came because children of a newer generation serve its addresses. */
bool child_is_replaced(const struct child *child);
/* By a child, whenever it changes: the epoch under which it holds claims.
 * After its death the parent gives back what that epoch owns. */
void child_owns(const struct child *child, struct str epoch);

#endif
