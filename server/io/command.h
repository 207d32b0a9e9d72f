/* command.h - a program of the operator's, run beside the loop, and what it
 * printed.
 *
 * It is started by its path with the words that are given: no shell reads
 * them. It gets no input, of our environment the few variables that programs
 * need to work at all (command.c names them), no file of ours but the two
 * pipes, every signal as if nobody had touched it, and a process group of its
 * own, which is killed when its time is over. Children that it leaves behind
 * are not waited for.
 *
 * What it prints may be secret: it is wiped here after done.
 */
#ifndef IO_COMMAND_H
#define IO_COMMAND_H

#include "server/base/str.h"
#include "server/io/loop.h"

#include <stddef.h>
#include <stdint.h>

enum command_end {
    COMMAND_EXITED,   /* with status */
    COMMAND_KILLED,   /* by the signal status */
    COMMAND_LATE,     /* its time was over */
    COMMAND_FLOODED,  /* it printed more than output_max */
    COMMAND_UNSTARTED /* for errno status */
};

enum { COMMAND_COMPLAINT_MAX = 512 };

struct command_result {
    enum command_end end;
    int status;
    struct str output;    /* of standard output; valid during done */
    struct str complaint; /* the last bytes of standard error, as they are:
                             they may hold what must not be logged */
};

struct command_options {
    const char *const *argv; /* a path first, NULL last; copied by nobody */
    size_t output_max;
    int64_t limit_ms;
    void (*done)(void *ctx, const struct command_result *result);
    void *ctx;
};

/* Runs it; done is called once, not inside. argv is of no use to it after the
 * call. */
struct command;
struct command *command_run(struct loop *loop,
                            const struct command_options *options);

/* Kills it and waits for its death, so for closing time alone. done will not
 * be called. */
void command_cancel(struct command **command);

#endif
