/* tool.h - a short verb that works on Redis itself, through the queue. */
#ifndef CLI_TOOL_H
#define CLI_TOOL_H

#include "queue/queue.h"
#include "server/cli/cli.h"

struct tool {
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

/* Reads the configuration that args name (--config) and waits until the
 * queue is ready. Otherwise an exit code, and the reason was said. */
MUST_USE int tool_open(struct tool *tool, const struct cli_args *args);
/* The same with a configuration that is there already; takes it over. */
MUST_USE bool tool_begin(struct tool *tool, struct config *config,
                         struct error *err);
void tool_close(struct tool *tool);

/* By a callback: the verb is done, with this code. */
void tool_done(struct tool *tool, int code);
/* Turns the loop until then; the code. */
int tool_wait(struct tool *tool);

/* The home of an owner; found false: nobody has that name, and owner->home is
 * the partition of such things. Otherwise than EXIT_OK: the reason was said. */
MUST_USE int tool_find_owner(struct tool *tool, const struct cli_args *args,
                             const char *name, struct queue_owner *owner,
                             bool *found);

/* The exit code for a failed answer, having said why. */
int tool_fail(const struct cli_args *args, enum queue_status status,
              const struct error *why);

#endif
