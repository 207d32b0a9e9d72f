#include "stage.h"

#include "certs.h"

#include <stdio.h>

#define DAY 86400L

static const struct cert_spec CERTS[] = {
    {"good", "IP:127.0.0.1", -DAY, DAY, 0},
    {"other", "DNS:other.test", -DAY, DAY, 0},
    {"expired", "IP:127.0.0.1", -2 * DAY, -DAY, 0},
    {"alone", "IP:127.0.0.1", -DAY, DAY, 1},
};
static struct certs certs;
static char ca_file[160];

void answer_mark(void *ctx)
{
    struct mail *mail = ctx;

    bool is_late = mail->marks == 1 && (mail->answer == MARKS_LATE_THEN_YES ||
                                        mail->answer == MARKS_LATE_THEN_NO);
    bool is_no = mail->answer == MARKS_NO ||
                 (mail->answer == MARKS_LATE_THEN_NO && mail->marks > 1);

    smtp_delivery_marked(&mail->delivery, !is_no,
                         clock_now_ms() + (is_late ? 0 : 5000));
}

static void on_mark(void *ctx)
{
    struct mail *mail = ctx;

    mail->marks++;
    if (mail->answer != MARKS_BY_HAND)
        task_run_soon(mail->loop, &mail->mark_task);
}

static void on_done(void *ctx, const struct smtp_result *result)
{
    struct mail *mail = ctx;

    mail->dones++;
    mail->result = *result;
    snprintf(mail->text, sizeof mail->text, "%s", result->text);
    snprintf(mail->enhanced, sizeof mail->enhanced, "%s", result->enhanced);
    snprintf(mail->upstream, sizeof mail->upstream, "%s", result->upstream);
    mail->has_tls = result->tls_version[0] != '\0';
}

static void on_room(void *ctx)
{
    struct stage *stage = ctx;

    stage->rooms++;
}

static void on_quota(void *ctx, size_t upstream,
                     const struct smtp_quota_ask *ask)
{
    struct stage *stage = ctx;

    assert_int_equal(upstream, 0);
    stage->asks++;
    stage->ask = *ask;
}

static void init_upstream(struct stage *stage, size_t i)
{
    static const char *const NAMES[] = {"one", "two"};

    play_open(&stage->plays[i], stage->loop);
    stage->names[i] = NAMES[i];
    stage->upstreams[i] = (struct config_upstream){
        .name = NAMES[i],
        .tls_cert_file = "",
        .tls_key_file = "",
        .source_address = "",
        .host = "127.0.0.1",
        .port = stage->plays[i].port,
        .tls = TLS_OFF,
        .tls_ca_file = ca_file,
        .auth = AUTH_AUTO,
        .username = "",
        .password = "sesame",
        .token_file = "",
        .max_sessions = 4,
        .messages_per_session = 100,
        .pipeline_next = true,
        .weight = 10,
        .priority = (int64_t)i,
        .connect_timeout_ms = 30000,
        .banner_timeout_ms = 60000,
        .command_timeout_ms = 300000,
        .data_timeout_ms = 120000,
        .block_timeout_ms = 180000,
        .dot_timeout_ms = 600000,
        .session_timeout_ms = 1800000,
        .idle_timeout_ms = 300000,
    };
}

struct stage *stage_create(size_t count)
{
    struct stage *stage = xcalloc(1, sizeof *stage);

    clock_set(START_MS, WALL_MS);
    stage->loop = loop_create();
    stage->dns = dns_open(stage->loop, NULL, NULL);
    assert_non_null(stage->dns);
    for (size_t i = 0; i < count; i++)
        init_upstream(stage, i);
    stage->route = (struct config_route){
        .name = "all",
        .class = "",
        .from_domain = "",
        .to_domain = "",
        .tag = "",
        .upstreams = {stage->names, count},
    };
    stage->config = (struct config){
        .upstreams = stage->upstreams,
        .upstream_count = count,
        .routes = &stage->route,
        .route_count = 1,
    };
    return stage;
}

static void on_trace(void *ctx, size_t upstream, struct str id,
                     const struct smtp_result *result)
{
    struct stage *stage = ctx;

    assert_int_equal(upstream, 0);
    assert_true(id.len == 0 || str_eq(id, S("job")));
    stage->traces++;
    snprintf(stage->trace, sizeof stage->trace, "%.*s",
             STR_ARG(result->transcript));
}

void stage_open(struct stage *stage)
{
    const struct smtp_settings settings = {
        .child_count = 1,
        .hello_name = "me.example",
        .on_room = on_room,
        .on_quota = stage->has_rates ? on_quota : NULL,
        .on_trace = on_trace,
        .ctx = stage,
    };
    struct error err;

    stage->smtp =
        smtp_open(stage->loop, stage->dns, &stage->config, &settings, &err);
    if (stage->smtp == NULL)
        fail_msg("%s", err.text);
}

void stage_destroy(struct stage *stage)
{
    smtp_close(&stage->smtp);
    for (size_t i = 0; i < stage->config.upstream_count; i++)
        play_close(&stage->plays[i]);
    dns_close(&stage->dns);
    loop_turn(stage->loop, 0);
    loop_destroy(&stage->loop);
    free(stage);
    clock_set(-1, -1);
}

void stage_deliver(struct stage *stage, struct mail *mail)
{
    mail->loop = stage->loop;
    task_init(&mail->mark_task, answer_mark, mail);
    mail->delivery.id = S("job");
    mail->delivery.mail_from = S("a@me.example");
    if (mail->delivery.rcpt_to.ptr == NULL)
        mail->delivery.rcpt_to = S("b@you.example");
    if (mail->delivery.message.frame.ptr == NULL)
        mail->delivery.message = octets_of(S("Subject: x\r\n\r\nHi\r\n"));
    mail->delivery.route = smtp_route_named(stage->smtp, S("all"));
    mail->delivery.on_mark = on_mark;
    mail->delivery.on_done = on_done;
    mail->delivery.ctx = mail;
    smtp_deliver(stage->smtp, &mail->delivery);
}

void stage_until(struct stage *stage, const unsigned *count, unsigned want)
{
    for (int i = 0; i < TURNS_MAX && *count < want; i++)
        loop_turn(stage->loop, TURN_MS);
    assert_int_equal(*count, want);
}

struct smtp_upstream_view view_of(const struct stage *stage, size_t index)
{
    struct smtp_upstream_view view;

    smtp_upstream_look(stage->smtp, index, &view);
    return view;
}

void stage_settle(struct stage *stage)
{
    for (int i = 0; i < 5; i++)
        loop_turn(stage->loop, 5);
}

void stage_until_held(struct stage *stage, size_t want)
{
    size_t count = 0;

    for (int i = 0; i < TURNS_MAX && count < want; i++) {
        loop_turn(stage->loop, TURN_MS);
        count = 0;
        list_each (link, &stage->plays[0].actors)
            count += LIST_MEMBER(link, struct actor, link)->holds;
    }
    assert_int_equal(count, want);
}

void send_one(struct stage *stage, struct mail *mail)
{
    stage_deliver(stage, mail);
    assert_int_equal(mail->marks + mail->dones, 0); /* not from inside */
    stage_until(stage, &mail->dones, 1);
}

void use_cert(struct play *play, const char *name)
{
    play->tls = tls_server_create(certs_path(&certs, name, "pem"),
                                  certs_path(&certs, name, "key"), NULL);
    assert_non_null(play->tls);
}

int group_setup(void **state)
{
    (void)state;
    certs_make(&certs, CERTS, COUNT_OF(CERTS));
    snprintf(ca_file, sizeof ca_file, "%s", certs_path(&certs, "ca", "pem"));
    return 0;
}

int group_teardown(void **state)
{
    (void)state;
    certs_remove(&certs, CERTS, COUNT_OF(CERTS));
    return 0;
}
