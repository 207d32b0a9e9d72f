#include "server/base/metrics.h"

#include "check_cmocka.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUT_MAX = 1 << 20 };

static struct metrics_region *region;
static struct buf text;

static int setup(void **state)
{
    (void)state;
    region = metrics_region_create(3);
    metrics_use(region, 0);
    buf_init(&text, OUT_MAX);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    metrics_region_destroy(&region);
    buf_finish(&text);
    return region == NULL ? 0 : -1;
}

static const char *rendered(void)
{
    buf_clear(&text);
    metrics_render(region, METRICS_PROMETHEUS, &text);
    return text.data;
}

static void assert_line(const char *line)
{
    if (strstr(rendered(), line) == NULL)
        fail_msg("no %s in\n%s", line, text.data);
}

/* Runs work in a child that writes into the slot. */
static void in_child(unsigned slot, void (*work)(void))
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        metrics_use(region, slot);
        work();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void count_three(void)
{
    metrics_count(METRIC_EMAIL_EVENTS, "email.sent");
    series_add(metrics_series(METRIC_EMAIL_EVENTS,
                              (const char *const[]){"email.sent"}),
               2);
}

static void children_are_summed_and_outlived(void **state)
{
    (void)state;
    metrics_count(METRIC_EMAIL_EVENTS, "email.sent");
    in_child(1, count_three);
    in_child(2, count_three);
    assert_line("\n# TYPE posthaste_email_events_total counter\n"
                "posthaste_email_events_total{event=\"email.sent\"} 7\n");
    in_child(2, count_three);
    assert_line("posthaste_email_events_total{event=\"email.sent\"} 10\n");
}

static void counters_without_labels_begin_with_zero(void **state)
{
    (void)state;
    assert_line("\nposthaste_queue_poison_total 0\n");
    assert_line("\nposthaste_log_dropped_total 0\n");
    assert_line("\nprocess_cpu_seconds_total 0\n");
    series_add(metrics_series(METRIC_QUEUE_POISON, NULL), 1);
    assert_line("\nposthaste_queue_poison_total 1\n");
}

static void set_gauges(void)
{
    static const char *const open[] = {"main", "open"};
    static const char *const lane[] = {"0"};
    static const char *const main_up[] = {"main"};

    series_set(metrics_series(METRIC_SMTP_SESSIONS, open), 5);
    series_set(metrics_series(METRIC_QUEUE_OLDEST_SECONDS, lane), 5);
    series_set(metrics_series(METRIC_UPSTREAM_UP, main_up), 5);
}

static void gauges_become_one_by_their_kind(void **state)
{
    static const char *const open[] = {"main", "open"};
    static const char *const lane[] = {"0"};
    static const char *const main_up[] = {"main"};

    (void)state;
    in_child(1, set_gauges);
    series_set(metrics_series(METRIC_SMTP_SESSIONS, open), 2);
    series_set(metrics_series(METRIC_QUEUE_OLDEST_SECONDS, lane), 2);
    series_set(metrics_series(METRIC_UPSTREAM_UP, main_up), 2);
    assert_line(
        "posthaste_smtp_sessions{upstream=\"main\",state=\"open\"} 7\n");
    assert_line("posthaste_queue_oldest_job_age_seconds{lane=\"0\"} 5\n");
    assert_line("posthaste_upstream_up{upstream=\"main\"} 2\n");
    metrics_slot_reset_gauges(region, 1);
    assert_line(
        "posthaste_smtp_sessions{upstream=\"main\",state=\"open\"} 2\n");
    assert_line("posthaste_queue_oldest_job_age_seconds{lane=\"0\"} 2\n");
    metrics_slot_reset_gauges(region, 0);
    assert_null(strstr(rendered(), "posthaste_upstream_up{"));
}

static void histograms_have_buckets_sum_and_count(void **state)
{
    static const char *const class[] = {"reset"};
    struct series *series =
        metrics_series(METRIC_TIME_TO_DELIVERY_SECONDS, class);
    static const char *const upstream[] = {"main"};

    (void)state;
    series_observe(series, 0.0001);
    series_observe(series, 0.25);
    series_observe(series, 0.26);
    series_observe(series, 9999);
    assert_line(
        "# TYPE posthaste_time_to_delivery_seconds histogram\n"
        "posthaste_time_to_delivery_seconds_bucket{class=\"reset\",le=\"0.0005"
        "\"} 1\n");
    assert_line("_bucket{class=\"reset\",le=\"0.1\"} 1\n");
    assert_line("_bucket{class=\"reset\",le=\"0.25\"} 2\n");
    assert_line("_bucket{class=\"reset\",le=\"0.5\"} 3\n");
    assert_line("_bucket{class=\"reset\",le=\"3600\"} 3\n");
    assert_line("_bucket{class=\"reset\",le=\"+Inf\"} 4\n");
    assert_line("posthaste_time_to_delivery_seconds_sum{class=\"reset\"} "
                "9999.5101\n");
    assert_line(
        "posthaste_time_to_delivery_seconds_count{class=\"reset\"} 4\n");
    series_observe(metrics_series(METRIC_SMTP_SESSION_MESSAGES, upstream), 100);
    assert_line("_messages_bucket{upstream=\"main\",le=\"50\"} 0\n");
    assert_line("_messages_bucket{upstream=\"main\",le=\"100\"} 1\n");
    series_observe(metrics_series(METRIC_WEBHOOK_ATTEMPT_SECONDS, NULL), 1);
    assert_line(
        "posthaste_webhook_attempt_duration_seconds_bucket{le=\"1\"} 1\n");
    assert_line("posthaste_webhook_attempt_duration_seconds_count 1\n");
}

static void openmetrics_has_spellings_of_its_own(void **state)
{
    static const char *const upstream[] = {"main"};

    (void)state;
    metrics_count(METRIC_EMAIL_EVENTS, "email.sent");
    series_observe(metrics_series(METRIC_SMTP_SESSION_MESSAGES, upstream), 100);
    series_observe(metrics_series(METRIC_WEBHOOK_ATTEMPT_SECONDS, NULL), 1);
    buf_clear(&text);
    metrics_render(region, METRICS_OPENMETRICS, &text);
    assert_non_null(strstr(text.data,
                           "\n# TYPE posthaste_email_events counter\n"
                           "posthaste_email_events_total{event=\"email.sent\"} "
                           "1\n"));
    assert_non_null(strstr(text.data, "{upstream=\"main\",le=\"100.0\"} 1\n"));
    assert_non_null(strstr(text.data, "_seconds_bucket{le=\"2.5\"} 1\n"));
    assert_non_null(strstr(text.data, "_seconds_bucket{le=\"0.0005\"} 0\n"));
    assert_true(str_ends(buf_str(&text), S("\n# EOF\n")));
}

static void label_values_are_escaped(void **state)
{
    (void)state;
    metrics_count(METRIC_EMAIL_EVENTS, "a\"b\\c\nd\xff\xc3\xa9");
    assert_line("{event=\"a\\\"b\\\\c?d?\xc3\xa9\"} 1\n");
    metrics_count(METRIC_HTTP_REQUESTS, "", "GET", "200");
    assert_line("{route=\"\",method=\"GET\",code=\"200\"} 1\n");
}

static void handles_are_the_same_for_the_same_labels(void **state)
{
    static const char *const a[] = {"a", "b", "c"};
    static const char *const b[] = {"ab", "", "c"};

    (void)state;
    assert_ptr_equal(metrics_series(METRIC_HTTP_REQUESTS, a),
                     metrics_series(METRIC_HTTP_REQUESTS, a));
    assert_ptr_not_equal(metrics_series(METRIC_HTTP_REQUESTS, a),
                         metrics_series(METRIC_HTTP_REQUESTS, b));
}

static void a_full_slot_drops_and_says_so(void **state)
{
    char value[16];

    (void)state;
    for (int i = 0; i < 1500; i++) {
        snprintf(value, sizeof value, "%d", i);
        metrics_count(METRIC_EMAIL_EVENTS, value);
    }
    series_observe(metrics_series(METRIC_WEBHOOK_ATTEMPT_SECONDS, NULL), 1);
    series_set(metrics_series(METRIC_WEBHOOK_BACKLOG, NULL), 1);
    assert_line("posthaste_metrics_dropped_total 485\n");
    metrics_count(METRIC_EMAIL_EVENTS, "0");
    assert_line("posthaste_email_events_total{event=\"0\"} 2\n");
}

static void say_ready(void)
{
    metrics_set_ready(true, NULL);
}

static void say_no(void)
{
    metrics_set_ready(false, "redis: connect: refused");
}

static void readiness_is_told_per_slot(void **state)
{
    char reason[METRICS_REASON_SIZE];

    (void)state;
    assert_false(metrics_ready(region, 1, reason));
    assert_string_equal(reason, "starting");
    in_child(1, say_ready);
    assert_true(metrics_ready(region, 1, reason));
    assert_string_equal(reason, "");
    in_child(1, say_no);
    assert_false(metrics_ready(region, 1, reason));
    assert_string_equal(reason, "redis: connect: refused");
    metrics_slot_reset_gauges(region, 1);
    assert_false(metrics_ready(region, 1, reason));
    assert_string_equal(reason, "starting");
}

static void without_a_region_there_is_a_private_one(void **state)
{
    (void)state;
    metrics_region_destroy(&region);
    metrics_count(METRIC_EMAIL_EVENTS, "private");
    assert_line("posthaste_email_events_total{event=\"private\"} 1\n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(children_are_summed_and_outlived, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(counters_without_labels_begin_with_zero,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(gauges_become_one_by_their_kind, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(histograms_have_buckets_sum_and_count,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(openmetrics_has_spellings_of_its_own,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(label_values_are_escaped, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            handles_are_the_same_for_the_same_labels, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_slot_drops_and_says_so, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(readiness_is_told_per_slot, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(without_a_region_there_is_a_private_one,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
