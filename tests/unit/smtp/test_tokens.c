/* Where tokens come from, and when. */
#include "smtp/tokens.h"

#include "server/base/clock.h"
#include "server/base/file.h"

#include "check_cmocka.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { START_MS = 1000000, TURNS_MAX = 1000 };
static const int64_t WALL_MS = 1790000000000;

/* Counts its runs, and does what the folder says. */
#define SCRIPT                                                                 \
    "printf x >>\"$0/runs\"; "                                                 \
    "test -e \"$0/fail\" && { cat \"$0/fail\" >&2; exit 3; }; "                \
    "cat \"$0/answer\""

#define LIVES(token, life)                                                     \
    "{\"access_token\":\"" token "\",\"expires_in\":" life "}"

static char folder[64];
static char answer_path[96];
static const char *words[] = {"/bin/sh", "-c", SCRIPT, folder};
static struct loop *loop;
static struct helper helper;
static struct config_upstream config;
static struct tokens tokens;

struct asker {
    unsigned done;
    char token[64];
    char why[512];
};

static const char *path_of(const char *name)
{
    static char path[96];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text)
{
    struct error err;

    unlink(path_of(name));
    if (!file_create(path_of(name), str_of(text), 0600, &err))
        fail_msg("%s", err.text);
}

static void written_ago(int64_t ms)
{
    int64_t at_ms = clock_wall_ms() - ms;
    struct timespec times[2] = {
        {.tv_nsec = UTIME_OMIT},
        {.tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000},
    };

    assert_int_equal(utimensat(AT_FDCWD, answer_path, times, 0), 0);
}

static size_t runs(void)
{
    struct stat facts;

    return stat(path_of("runs"), &facts) == 0 ? (size_t)facts.st_size : 0;
}

static void pass(int64_t ms)
{
    clock_set(clock_now_ms() + ms, clock_wall_ms() + ms);
    loop_turn(loop, 0);
}

static void settle(void)
{
    loop_turn(loop, 0);
    for (int i = 0; i < TURNS_MAX && tokens.is_fetching; i++)
        loop_turn(loop, 100);
    assert_false(tokens.is_fetching);
}

static void finds(const char *token)
{
    struct str found = tokens_find(&tokens);

    if (!str_eq(found, str_of(token)))
        fail_msg("%.*s, not %s", STR_ARG(found), token);
}

static void on_token(void *ctx, struct str token, const char *why)
{
    struct asker *asker = ctx;

    asker->done++;
    snprintf(asker->token, sizeof asker->token, "%.*s", STR_ARG(token));
    snprintf(asker->why, sizeof asker->why, "%s", why == NULL ? "" : why);
}

static void ask(struct asker *asker)
{
    *asker = (struct asker){0};
    (void)tokens_fetch(&tokens, on_token, asker);
    assert_int_equal(asker->done, 0);
}

static int setup(void **state)
{
    (void)state;
    clock_set(START_MS, WALL_MS);
    snprintf(folder, sizeof folder, "/tmp/tokens-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(answer_path, sizeof answer_path, "%s/answer", folder);
    loop = loop_create();
    helper = (struct helper){.loop = loop};
    config = (struct config_upstream){.name = "one", .token_file = ""};
    return 0;
}

static int teardown(void **state)
{
    static const char *const NAMES[] = {"answer", "runs", "fail"};

    (void)state;
    helper_close(&helper);
    tokens_finish(&tokens);
    loop_turn(loop, 0);
    loop_destroy(&loop);
    for (size_t i = 0; i < COUNT_OF(NAMES); i++)
        unlink(path_of(NAMES[i]));
    rmdir(folder);
    clock_set(-1, -1);
    return 0;
}

static void use_command(const char *text)
{
    put("answer", text);
    config.token_command = (struct config_list){words, COUNT_OF(words)};
    tokens_init(&tokens, loop, &helper, &config);
}

static void use_file(const char *text)
{
    put("answer", text);
    written_ago(0);
    config.token_file = answer_path;
    tokens_init(&tokens, loop, &helper, &config);
}

/* --- of both --- */

static void without_a_source_there_is_nothing_to_do(void **state)
{
    (void)state;
    tokens_init(&tokens, loop, &helper, &config);
    assert_false(tokens_are_to_be_had(&config));
    assert_false(timer_is_set(&tokens.timer));
    finds("");
}

static void one_run_serves_all_that_wait(void **state)
{
    struct asker askers[3];

    (void)state;
    use_command(LIVES("one", "3600"));
    finds("");
    for (size_t i = 0; i < COUNT_OF(askers); i++)
        ask(&askers[i]);
    settle();
    for (size_t i = 0; i < COUNT_OF(askers); i++) {
        assert_int_equal(askers[i].done, 1);
        assert_string_equal(askers[i].token, "one");
    }
    finds("one");
    assert_int_equal(runs(), 1);
}

static void who_left_is_not_called(void **state)
{
    struct asker gone = {0};
    struct asker here;
    struct token_wait *wait;

    (void)state;
    use_command("one");
    wait = tokens_fetch(&tokens, on_token, &gone);
    ask(&here);
    tokens_cancel(&wait);
    assert_null(wait);
    tokens_cancel(&wait);
    settle();
    assert_int_equal(gone.done, 0);
    assert_int_equal(here.done, 1);
}

/* The old one serves until the new one is there, and to its end if need be. */
static void the_next_is_fetched_before_the_end(void **state)
{
    (void)state;
    use_command(LIVES("one", "3600"));
    settle();
    put("answer", LIVES("two", "3600"));
    pass(3240 * 1000 - 1);
    assert_false(tokens.is_fetching);
    pass(1);
    assert_true(tokens.is_fetching);
    finds("one");
    settle();
    finds("two");
    assert_int_equal(runs(), 2);
}

static void a_failure_is_tried_again_ever_later(void **state)
{
    static const int64_t DELAYS_MS[] = {1000,  2000,  4000,  8000,
                                        16000, 32000, 60000, 60000};
    struct asker asker;

    (void)state;
    use_command(LIVES("one", "3600"));
    settle();
    put("fail", "cannot reach 192.0.2.1\n\n");
    pass(3240 * 1000);
    settle();
    for (size_t i = 0; i < COUNT_OF(DELAYS_MS); i++) {
        finds("one");
        pass(DELAYS_MS[i] - 1);
        assert_false(tokens.is_fetching);
        pass(1);
        assert_true(tokens.is_fetching);
        settle();
    }
    pass(360 * 1000 - 183 * 1000);
    settle();
    finds(""); /* its time is over */
    ask(&asker);
    settle();
    assert_string_equal(asker.token, "");
    assert_string_equal(asker.why,
                        "/bin/sh: exited with 3: cannot reach 192.0.2.1");
    unlink(path_of("fail"));
    ask(&asker); /* at once, whatever the timer says */
    settle();
    assert_string_equal(asker.token, "one");
}

static void a_refused_one_is_found_no_more(void **state)
{
    struct asker asker;

    (void)state;
    use_command(LIVES("one", "3600"));
    settle();
    tokens_refuse(&tokens, S("zero"));
    finds("one");
    tokens_refuse(&tokens, S("one"));
    finds("");
    put("answer", LIVES("two", "3600"));
    ask(&asker);
    settle();
    assert_string_equal(asker.token, "two");
    tokens_refuse(&tokens, S("two"));
    ask(&asker);
    settle();
    assert_string_equal(asker.token, "two"); /* there is no other */
}

/* --- of a command --- */

static void a_bare_one_is_asked_for_every_few_minutes(void **state)
{
    (void)state;
    use_command("one\n");
    settle();
    pass(239 * 1000);
    assert_int_equal(runs(), 1);
    pass(1000);
    settle();
    assert_int_equal(runs(), 2);
    finds("one");
}

static void what_a_command_complains_of_shows_no_token(void **state)
{
    struct asker asker;

    (void)state;
    put("fail", "first\nnot good: ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlz\n");
    use_command("");
    ask(&asker);
    settle();
    assert_string_equal(asker.why, "/bin/sh: exited with 3: not good: "
                                   "\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2"
                                   "\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2");
}

static void what_is_no_token_is_told(void **state)
{
    struct asker asker;

    (void)state;
    use_command("{\"error\":\"invalid_grant\"}");
    ask(&asker);
    settle();
    assert_string_equal(asker.why,
                        "/bin/sh: no token, but the error \"invalid_grant\"");
}

static void may_end_while_a_command_runs(void **state)
{
    static const char *slow[] = {"/bin/sleep", "100"};

    (void)state;
    config.token_command = (struct config_list){slow, COUNT_OF(slow)};
    tokens_init(&tokens, loop, &helper, &config);
    loop_turn(loop, 0);
    assert_true(tokens.is_fetching);
}

/* --- of a file --- */

static void a_file_is_looked_at_again(void **state)
{
    (void)state;
    use_file("one");
    settle();
    finds("one");
    put("answer", "two");
    pass(29 * 1000);
    finds("one");
    pass(1000);
    settle();
    finds("two");
}

static void a_file_that_is_gone_for_a_moment(void **state)
{
    struct asker asker;

    (void)state;
    use_file("one");
    settle();
    unlink(answer_path);
    pass(30 * 1000);
    settle();
    finds("one");
    pass(271 * 1000);
    settle();
    finds("");
    ask(&asker);
    settle();
    assert_non_null(strstr(asker.why, "/answer: No such file or directory"));
}

/* What it says counts from when it was written. */
static void a_file_of_an_old_token(void **state)
{
    struct asker asker;

    (void)state;
    use_file(LIVES("one", "3600"));
    written_ago(3590 * 1000);
    settle();
    finds("one");
    pass(10 * 1000);
    finds("");
    ask(&asker);
    settle();
    assert_non_null(strstr(asker.why, "/answer: its token ended 0 s ago"));
    put("answer", LIVES("two", "3600"));
    written_ago(0);
    ask(&asker);
    settle();
    assert_string_equal(asker.token, "two");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_source_there_is_nothing_to_do),
        TEST(one_run_serves_all_that_wait),
        TEST(who_left_is_not_called),
        TEST(the_next_is_fetched_before_the_end),
        TEST(a_failure_is_tried_again_ever_later),
        TEST(a_refused_one_is_found_no_more),
        TEST(a_bare_one_is_asked_for_every_few_minutes),
        TEST(what_a_command_complains_of_shows_no_token),
        TEST(what_is_no_token_is_told),
        TEST(may_end_while_a_command_runs),
        TEST(a_file_is_looked_at_again),
        TEST(a_file_that_is_gone_for_a_moment),
        TEST(a_file_of_an_old_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
