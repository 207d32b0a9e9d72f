/* tool.h - a short verb that works on Redis itself, through the queue. */
#ifndef CLI_TOOL_H
#define CLI_TOOL_H

#include "queue/queue.h"
#include "server/cli/cli.h"

struct tool {
    const struct cli_args *args; /* of the verb; NULL after tool_begin */
    struct config *config;
    struct keyring *keyring;
    struct loop *loop;
    struct queue *queue;
    bool is_done;
    int code; /* of the verb, once it is done */
};

/* The configuration that --config names, owned by the caller. NULL: what is
 * wrong with it was said; the exit code is EXIT_CONFIG. */
MUST_USE struct config *tool_read_config(const struct cli_args *args);

/* What a verb does with the queue at hand; an exit code. */
typedef int (*tool_work_fn)(struct tool *tool, void *ctx);

/* All of a verb: reads the configuration that args name (--config), waits
 * until the queue is ready, lets work do its part, and closes. The code is
 * that of work, or says what went wrong before it, which was said. */
MUST_USE int tool_run(const struct cli_args *args, tool_work_fn work,
                      void *ctx);

/* The beginning alone, with a configuration that is there already; takes it
 * over. True or false, tool_close ends it. */
MUST_USE bool tool_begin(struct tool *tool, struct config *config,
                         struct error *err);
void tool_close(struct tool *tool);

/* By a callback: what was asked is done, with this code. */
void tool_done(struct tool *tool, int code);
/* By a callback: whether the answer is a good one. If not, the reason was
 * said, and what was asked is done. */
MUST_USE bool tool_is_answered(struct tool *tool, enum queue_status status,
                               const struct error *why);
/* Turns the loop until what was asked is done; the code. */
int tool_wait(struct tool *tool);

/* The home of an owner; found false: nobody has that name, and owner->home is
 * the partition of such things. Otherwise than EXIT_OK: the reason was said. */
MUST_USE int tool_find_owner(struct tool *tool, const char *name,
                             struct queue_owner *owner, bool *found);

/* The exit code for a failed answer, having said why. */
int tool_fail(const struct cli_args *args, enum queue_status status,
              const struct error *why);

#endif
