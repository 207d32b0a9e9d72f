/* cli.h - verbs: their table, their options, their help, their exit codes.
 *
 * A verb is a row: what it is called, what it is for, two examples, its
 * options. Parsing, --help and "did you mean" come from the row; the verb's
 * own file holds only what it does. People's text goes to standard error,
 * results to standard output; with --json, or when standard output is no
 * terminal and the verb has results, that is one JSON document.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "server/base/check.h"
#include "server/base/error.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_AUTH = 4,
    EXIT_UNREACHABLE = 5, /* no server, or it does not answer */
    EXIT_CONFIG = 6,
    EXIT_TIMED_OUT = 7,
};

struct cli_option {
    const char *name;     /* "config": --config */
    const char *value;    /* what follows, for the help: "FILE"; NULL: flag */
    const char *help;     /* one line */
    const char *env;      /* variable that gives it too; may be NULL */
    const char *fallback; /* what is taken without it; NULL: nothing */
};

struct cli_args;

struct verb {
    const char *name;     /* "keys create": one or two words */
    const char *operands; /* "FILE", "[NAME]"; NULL: takes none */
    const char *purpose;  /* one line, for both helps */
    const char *examples[2];
    const struct cli_option *options;
    size_t option_count;
    /* What cannot be undone, as a sentence without its full stop: then it is
     * asked for on a terminal, and wants --yes elsewhere. NULL: nothing. */
    const char *warning;
    /* An exit code; what went wrong has been said. */
    int (*run)(const struct cli_args *args);
};

/* The value of an option: from the command line, its variable, its
 * fallback; NULL when there is none. */
const char *cli_option(const struct cli_args *args, const char *name);
bool cli_flag(const struct cli_args *args, const char *name);
/* A whole number of at least min and at most max. False: said, use
 * EXIT_USAGE. Without a value *number stays. */
MUST_USE bool cli_number(const struct cli_args *args, const char *name,
                         int64_t min, int64_t max, int64_t *number);
/* The n-th operand, from 0; NULL: not given. */
const char *cli_operand(const struct cli_args *args, size_t n);
/* It is among the operands from the n-th on, or there are none of those. */
bool cli_wants(const struct cli_args *args, size_t n, struct str operand);
/* --json, or standard output is no terminal. */
bool cli_wants_json(const struct cli_args *args);

/* "posthaste VERB: text" on standard error; gives code back. */
int cli_fail(const struct cli_args *args, enum exit_code code,
             const char *format, ...) PRINTF_LIKE(3, 4);
/* The same from an error, its kind made an exit code. */
int cli_fail_error(const struct cli_args *args, const struct error *err);

/* Options that many verbs share, for their tables. */
#define CLI_OPTION_CONFIG                                                      \
    {                                                                          \
        "config", "FILE",                                                      \
            "configuration; else ./posthaste.toml, "                           \
            "/etc/posthaste/posthaste.toml",                                   \
            "POSTHASTE_CONFIG", NULL                                           \
    }
#define CLI_OPTION_JSON                                                        \
    {                                                                          \
        "json", NULL, "one JSON document on standard output", NULL, NULL       \
    }

/* Finds the verb and runs it. */
int cli_run(int argc, char **argv);

#endif
