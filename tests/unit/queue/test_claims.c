/* The worker's side, on a real Redis. The state table itself is the matter
 * of test_states.c. */
#include "worker_fixture.h"

#include "queue/chunks.h"

static const char *state_of(const struct mail *mail)
{
    return redis_ask("HGET ph:{0}:d:%s:0 s", mail->id.text);
}

/* ---- the way of a mail -------------------------------------------------- */

static void from_claim_to_history(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {.mail_class = CLASS_ALERT, .max_age_ms = 60000};
    const char *history;

    worker_start(&worker, world->queue, 8);
    mail_store(world, &mail);
    until(world->loop, worker.count == 1);
    assert_string_equal(state_of(&mail), "c");
    assert_string_equal(worker.claims[0]->email.text, mail.id.text);
    assert_int_equal(worker.claims[0]->number, 0);
    assert_int_equal(worker.claims[0]->lane, 1);
    assert_int_equal(worker.claims[0]->attempt, 1);
    assert_int_equal(worker.claims[0]->generation, 1);
    assert_int_equal(worker.claims[0]->deadline_ms, 0);
    assert_int_equal(
        worker.claims[0]->expires_ms - worker.claims[0]->accepted_ms, 60000);
    assert_true(str_eq(worker.claims[0]->route, S("main")));
    assert_true(
        str_eq(worker.claims[0]->record->summary.subject, S("Your order")));
    assert_true(worker_mark(world, &worker, 0));
    assert_string_equal(state_of(&mail), "x");
    worker_report(&worker, 0, OUTCOME_SENT, 0);
    until(world->loop,
          strcmp(redis_ask("EXISTS ph:{0}:h:%s", mail.id.text), "1") == 0);
    assert_string_equal(redis_ask("EXISTS ph:{0}:d:%s:0", mail.id.text), "0");
    history = redis_ask("GET ph:{0}:h:%s", mail.id.text);
    assert_non_null(strstr(history, "{\"q\":2,\"d\":[[0,\"S\",1,1,1"));
    assert_non_null(
        strstr(history, ",250,\"2.0.0\",\"2.0.0 \\\"Ok\\\"\"]]}\n1 - "));
    assert_in_range(strlen(history), 100, 400);
    assert_string_equal(redis_ask("ZCARD ph:{0}:hist"), "1");
    assert_string_equal(redis_ask("HMGET ph:{0}:n accepted final"), "1 1");
    assert_string_equal(redis_ask("SCARD ph:{0}:own:%s",
                                  world->queue->claims != NULL
                                      ? queue_worker_epoch(world->queue).ptr
                                      : ""),
                        "0");
    assert_non_null(strstr(redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"),
                           "\"t\":\"email.sent\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(from_claim_to_history),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
