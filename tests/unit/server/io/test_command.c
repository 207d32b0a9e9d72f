/* Programs that are run beside the loop. */
#include "server/io/command.h"

#include "server/base/clock.h"

#include "check_cmocka.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { OUTPUT_MAX = 8192, LIMIT_MS = 20000 };

struct seen {
    unsigned done;
    enum command_end end;
    int status;
    char output[OUTPUT_MAX + 1];
    size_t output_len;
    char complaint[COMMAND_COMPLAINT_MAX + 1];
};

static struct loop *loop;

static int setup(void **state)
{
    (void)state;
    loop = loop_create();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_turn(loop, 0);
    loop_destroy(&loop);
    return 0;
}

static void on_done(void *ctx, const struct command_result *result)
{
    struct seen *seen = ctx;

    seen->done++;
    seen->end = result->end;
    seen->status = result->status;
    seen->output_len = result->output.len;
    snprintf(seen->output, sizeof seen->output, "%.*s",
             STR_ARG(result->output));
    snprintf(seen->complaint, sizeof seen->complaint, "%.*s",
             STR_ARG(result->complaint));
}

static struct command *start(struct seen *seen, const char *const *argv,
                             int64_t limit_ms)
{
    const struct command_options options = {
        .argv = argv,
        .output_max = OUTPUT_MAX,
        .limit_ms = limit_ms,
        .done = on_done,
        .ctx = seen,
    };
    struct command *command;

    *seen = (struct seen){0};
    command = command_run(loop, &options);
    assert_int_equal(seen->done, 0);
    return command;
}

static void run(struct seen *seen, const char *const *argv, int64_t limit_ms)
{
    (void)start(seen, argv, limit_ms);
    for (int i = 0; i < 1000 && seen->done == 0; i++)
        loop_turn(loop, 100);
    assert_int_equal(seen->done, 1);
}

#define SHELL(script) ((const char *const[]){"/bin/sh", "-c", script, NULL})

static const struct fact {
    const char *script;
    enum command_end end;
    int status;
    const char *output;
    const char *complaint;
} FACTS[] = {
    {"echo out; echo err >&2", COMMAND_EXITED, 0, "out\n", "err\n"},
    {"exit 3", COMMAND_EXITED, 3, "", ""},
    {"echo half; kill -TERM $$", COMMAND_KILLED, SIGTERM, "half\n", ""},
    {"cat; echo end", COMMAND_EXITED, 0, "end\n", ""},
    /* Children that stay behind with our pipe are not waited for. */
    {"sleep 2 & echo here", COMMAND_EXITED, 0, "here\n", ""},
    {"env | grep ^POSTHASTE_; echo $HOME", COMMAND_EXITED, 0, "/home/x\n", ""},
    {"ls /proc/self/fd | wc -l", COMMAND_EXITED, 0, "4\n", ""},
    {"grep SigBlk /proc/self/status", COMMAND_EXITED, 0,
     "SigBlk:\t0000000000000000\n", ""},
    /* Of signals up to 28: those of the C library are its own. */
    {"grep SigIgn /proc/self/status | tail -c 8", COMMAND_EXITED, 0,
     "0000000\n", ""},
};

static void facts(void **state)
{
    struct seen seen;
    sigset_t set;
    sigset_t before;

    (void)state;
    setenv("POSTHASTE_UPSTREAM__X__PASSWORD", "sesame", 1);
    setenv("HOME", "/home/x", 1);
    signal(SIGPIPE, SIG_IGN);
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, &before);
    for (size_t i = 0; i < COUNT_OF(FACTS); i++) {
        run(&seen, SHELL(FACTS[i].script), LIMIT_MS);
        assert_string_equal(seen.output, FACTS[i].output);
        assert_string_equal(seen.complaint, FACTS[i].complaint);
        assert_int_equal(seen.end, FACTS[i].end);
        assert_int_equal(seen.status, FACTS[i].status);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void no_shell_reads_the_words(void **state)
{
    static const char *const ARGV[] = {"/bin/echo", "$HOME", "a;b", "*", NULL};
    struct seen seen;

    (void)state;
    run(&seen, ARGV, LIMIT_MS);
    assert_string_equal(seen.output, "$HOME a;b *\n");
}

static void one_that_is_not_there(void **state)
{
    static const char *const ARGV[] = {"/nowhere/at/all", NULL};
    struct seen seen;

    (void)state;
    run(&seen, ARGV, LIMIT_MS);
    assert_int_equal(seen.end, COMMAND_UNSTARTED);
    assert_int_equal(seen.status, ENOENT);
}

/* With all that it started: nobody keeps its pipes. */
static void one_that_takes_too_long(void **state)
{
    struct seen seen;

    (void)state;
    run(&seen, SHELL("echo some; sleep 100; echo more"), 100);
    assert_int_equal(seen.end, COMMAND_LATE);
}

static void one_that_prints_too_much(void **state)
{
    struct seen seen;

    (void)state;
    run(&seen, SHELL("yes"), LIMIT_MS);
    assert_int_equal(seen.end, COMMAND_FLOODED);
    assert_true(seen.output_len <= OUTPUT_MAX);
    run(&seen, SHELL("head -c 8192 /dev/zero"), LIMIT_MS);
    assert_int_equal(seen.end, COMMAND_EXITED);
    assert_int_equal(seen.output_len, OUTPUT_MAX);
    run(&seen, SHELL("head -c 8193 /dev/zero"), LIMIT_MS);
    assert_int_equal(seen.end, COMMAND_FLOODED);
}

static void the_last_words_of_a_long_complaint(void **state)
{
    struct seen seen;

    (void)state;
    run(&seen, SHELL("yes blah | head -n 50000 >&2; echo the end >&2; exit 1"),
        LIMIT_MS);
    assert_int_equal(seen.status, 1);
    assert_int_equal(strlen(seen.complaint), COMMAND_COMPLAINT_MAX);
    assert_non_null(strstr(seen.complaint, "blah\nthe end\n"));
}

static void one_that_is_cancelled(void **state)
{
    static const char *const NOWHERE[] = {"/nowhere/at/all", NULL};
    struct seen seen;
    struct command *command = start(&seen, SHELL("sleep 100"), LIMIT_MS);

    (void)state;
    command_cancel(&command);
    assert_null(command);
    command_cancel(&command);
    command = start(&seen, NOWHERE, LIMIT_MS);
    command_cancel(&command);
    loop_turn(loop, 0);
    assert_int_equal(seen.done, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(facts),
        TEST(no_shell_reads_the_words),
        TEST(one_that_is_not_there),
        TEST(one_that_takes_too_long),
        TEST(one_that_prints_too_much),
        TEST(the_last_words_of_a_long_complaint),
        TEST(one_that_is_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
