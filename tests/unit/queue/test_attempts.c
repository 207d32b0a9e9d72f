/* Records of attempts, and what events tell of others. */
#include "queue/attempts.h"

#include "check_cmocka.h"

#include <string.h>

static const struct attempt FULL = {
    .number = 2,
    .generation = 3,
    .attempt = 4,
    .started_ms = 1764000000000,
    .outcome = ATTEMPT_DEFERRED,
    .detail = {.code = 451,
               .upstream = STR("main"),
               .address = STR("192.0.2.1"),
               .hedge = STR("spare"),
               .tls_subject = STR("CN=mx"),
               .tls_not_after_ms = 1765000000000,
               .phase_count = PHASES_MAX,
               .phase_ms = {1, 2, 3, 4, 5, 6, 7}},
    .transcript = STR("     0 S: \"451\"\n"),
};

static void a_record_comes_back(void **state)
{
    struct arena *arena = arena_create();
    struct attempt read;
    struct buf out;

    (void)state;
    buf_init(&out, ATTEMPT_RECORD_MAX);
    attempt_write(&FULL, &out);
    assert_string_equal(
        out.data,
        "{\"n\":2,\"g\":3,\"a\":4,\"at\":1764000000000,\"w\":\"deferred\","
        "\"tr\":\"     0 S: \\\"451\\\"\\n\",\"c\":451,\"u\":\"main\","
        "\"ip\":\"192.0.2.1\",\"hg\":\"spare\",\"p\":[1,2,3,4,5,6,7],\"cn\":"
        "\"CN=mx\","
        "\"ce\":1765000000000}");
    assert_true(attempt_read(buf_str(&out), arena, &read));
    assert_int_equal(read.attempt, 4);
    assert_int_equal(read.outcome, ATTEMPT_DEFERRED);
    assert_true(str_eq(read.transcript, FULL.transcript));
    assert_int_equal(read.detail.phase_count, PHASES_MAX);
    assert_int_equal(read.detail.phase_ms[6], 7);
    assert_false(attempt_read(S("{\"w\":\"never\"}"), arena, &read));
    assert_false(attempt_read(S("{\"w\":\"sent\",\"n\":-1}"), arena, &read));
    assert_false(attempt_read(S("no"), arena, &read));
    buf_finish(&out);
    arena_destroy(&arena);
}

/* A server that answers with quotation marks alone. */
static void the_worst_record_fits(void **state)
{
    static char quotes[3 * ATTEMPT_TRANSCRIPT_MAX];
    struct arena *arena = arena_create();
    struct attempt attempt = FULL;
    struct attempt read;
    struct buf out;

    (void)state;
    memset(quotes, '"', sizeof quotes);
    attempt.transcript = str_make(quotes, sizeof quotes);
    attempt.detail.response = attempt.transcript;
    buf_init(&out, ATTEMPT_RECORD_MAX);
    attempt_write(&attempt, &out);
    assert_false(out.full);
    assert_true(attempt_read(buf_str(&out), arena, &read));
    assert_int_equal(read.transcript.len, ATTEMPT_TRANSCRIPT_MAX);
    buf_finish(&out);
    arena_destroy(&arena);
}

static struct event event_of(enum event_type type, unsigned attempt,
                             struct str upstream)
{
    return (struct event){
        .type = type,
        .generation = 1,
        .attempt = attempt,
        .at_ms = 1000 * attempt,
        .detail = {.upstream = upstream,
                   .phase_count = PHASES_REUSED,
                   .phase_ms = {0, 0, 0, 10, 10, 10, 70}},
    };
}

/* Attempt 1 has a record; in 2, one upstream has, and the one that came in
 * for it has none. */
static void events_tell_what_has_no_record(void **state)
{
    struct attempt attempts[8] = {
        {.generation = 1,
         .attempt = 1,
         .started_ms = 500,
         .detail = {.upstream = STR("one")}},
        {.generation = 1,
         .attempt = 2,
         .started_ms = 1700,
         .detail = {.upstream = STR("one")}},
    };
    const struct event events[] = {
        event_of(EVENT_QUEUED, 0, S("")),
        event_of(EVENT_DELIVERY_DELAYED, 1, S("one")),
        event_of(EVENT_SENT, 2, S("two")),
        event_of(EVENT_DELIVERED, 2, S("two")),
        event_of(EVENT_EXPIRED, 2, S("")),
    };

    (void)state;
    assert_int_equal(attempts_merge(attempts, 2, events, COUNT_OF(events)), 3);
    assert_int_equal(attempts[0].started_ms, 500);
    assert_int_equal(attempts[1].started_ms, 1700);
    assert_int_equal(attempts[2].started_ms, 1900);
    assert_int_equal(attempts[2].outcome, ATTEMPT_SENT);
    assert_true(str_eq(attempts[2].detail.upstream, S("two")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back),
        cmocka_unit_test(the_worst_record_fits),
        cmocka_unit_test(events_tell_what_has_no_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
