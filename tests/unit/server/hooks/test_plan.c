#include "server/hooks/plan.h"

#include "check_cmocka.h"

static int64_t delays[] = {0, 5000, 300000, 1800000};
static const struct config_webhook POLICY = {
    .retry = {delays, COUNT_OF(delays)},
};
enum { MIDDLE = 200, DAY_MS = 24 * 60 * 60 * 1000 };

static const struct {
    const char *name;
    unsigned attempt;
    int status;
    int64_t retry_after_s;
    uint32_t random;
    enum task_outcome outcome;
    int64_t retry_in_ms;
} CASES[] = {
    {"200 is success", 1, 200, 0, 0, TASK_DONE, 0},
    {"204 is success", 4, 204, 0, 0, TASK_DONE, 0},
    {"299 is success", 1, 299, 9, 0, TASK_DONE, 0},
    {"a redirect is a failure", 1, 301, 0, MIDDLE, TASK_AGAIN, 5000},
    {"a 4xx is tried again", 1, 400, 0, MIDDLE, TASK_AGAIN, 5000},
    {"410 ends the endpoint", 1, 410, 0, 0, TASK_GONE, 0},
    {"410 ends it at the last attempt too", 4, 410, 0, 0, TASK_GONE, 0},
    {"no answer", 1, 0, 0, MIDDLE, TASK_AGAIN, 5000},
    {"the second failure", 2, 500, 0, MIDDLE, TASK_AGAIN, 300000},
    {"the last delay", 3, 500, 0, MIDDLE, TASK_AGAIN, 1800000},
    {"the last attempt", 4, 500, 0, MIDDLE, TASK_FAILED, 0},
    {"beyond the schedule", 9, 500, 0, MIDDLE, TASK_FAILED, 0},
    {"least jitter", 1, 500, 0, 0, TASK_AGAIN, 4000},
    {"most jitter", 1, 500, 0, 400, TASK_AGAIN, 6000},
    {"jitter wraps around", 1, 500, 0, 401, TASK_AGAIN, 4000},
    {"Retry-After lengthens", 1, 429, 60, 0, TASK_BUSY, 60000},
    {"Retry-After does not shorten", 2, 503, 1, MIDDLE, TASK_BUSY, 300000},
    {"Retry-After is bounded", 1, 503, INT64_MAX, 0, TASK_BUSY, DAY_MS},
    {"Retry-After does not add attempts", 4, 503, 60, 0, TASK_FAILED, 0},
    {"a negative one is nothing", 1, 503, -5, MIDDLE, TASK_AGAIN, 5000},
};

static void an_answer_decides_what_comes_next(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct plan plan =
            plan_after(&POLICY, CASES[i].attempt, CASES[i].status,
                       CASES[i].retry_after_s, CASES[i].random);

        if (plan.outcome != CASES[i].outcome ||
            plan.retry_in_ms != CASES[i].retry_in_ms)
            fail_msg("%s: %d in %lld ms", CASES[i].name, (int)plan.outcome,
                     (long long)plan.retry_in_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_decides_what_comes_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
