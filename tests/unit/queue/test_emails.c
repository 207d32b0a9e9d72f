/* Looking at emails, cancelling them, sending them again and at another time,
 * counting them. */
#include "mail_fixture.h"

#include <pthread.h>

/* What a look brought, kept beyond its callback. */
static struct {
    unsigned count;
    enum queue_status status;
    char why[128];
    char from[64];
    char body[64];
    size_t body_len;
    size_t delivery_count;
    struct queue_delivery deliveries[8];
    char response[128];
    int64_t scheduled_ms;
    int64_t expires_ms;
    int64_t date_ms;
    char types[256]; /* of the timeline */
} got;

static void keep_record(const struct record *record)
{
    struct str text;

    if (record == NULL)
        return;
    snprintf(got.from, sizeof got.from, "%.*s", STR_ARG(record->summary.from));
    got.scheduled_ms = record->summary.scheduled_ms;
    got.expires_ms = record->summary.expires_ms;
    got.date_ms = record->job.date_ms;
    text = json_get_str(record->job.mail, "text");
    got.body_len = text.len;
    snprintf(got.body, sizeof got.body, "%.*s",
             (int)(text.len < 60 ? text.len : 60),
             text.len == 0 ? "" : text.ptr);
}

static void on_email(void *ctx, const struct queue_email *email)
{
    (void)ctx;
    memset(&got, 0, sizeof got);
    got.count = 1;
    got.status = email->status;
    snprintf(got.why, sizeof got.why, "%.100s", email->why.text);
    keep_record(email->record);
    got.delivery_count = email->delivery_count;
    for (size_t i = 0; i < email->delivery_count; i++)
        got.deliveries[i] = email->deliveries[i];
    if (email->delivery_count > 0)
        snprintf(got.response, sizeof got.response, "%.*s %.*s",
                 STR_ARG(email->deliveries[0].enhanced_code),
                 STR_ARG(email->deliveries[0].response));
}

static void look_as(struct world *world, const char *owner,
                    const struct id *email)
{
    got.count = 0;
    queue_email_get(world->queue, owner_of(owner), email, NULL, on_email, NULL);
    assert_int_equal(got.count, 0);
    until(world->loop, got.count == 1);
}

static void look(struct world *world, const struct id *email)
{
    look_as(world, "default", email);
    assert_int_equal(got.status, QUEUE_OK);
}

static const struct idempotency *key; /* of a cancel or a retry */

static void cancel(struct world *world, const char *owner,
                   const struct id *email)
{
    got.count = 0;
    queue_email_cancel(world->queue, owner_of(owner), email, key, on_email,
                       NULL);
    until(world->loop, got.count == 1);
}

static pthread_t shown_by;

static void view(struct arena *arena, const struct queue_email *email,
                 struct buf *out)
{
    struct str text = json_get_str(email->record->job.mail, "text");

    shown_by = pthread_self();
    buf_add(out, arena_printf(arena, "%zu of %zu bytes", email->delivery_count,
                              text.len));
}

static void on_view(void *ctx, const struct queue_email *email)
{
    on_email(ctx, email);
    assert_int_equal(email->status, QUEUE_OK);
    snprintf(got.body, sizeof got.body, "%.*s", STR_ARG(buf_str(email->shown)));
}

/* With a value in Redis of its own, without one, and a small one. */
static void a_large_mail_is_read_and_shown_off_the_loop(void **state)
{
    static const struct {
        size_t body;
        const char *shown;
        bool on_loop;
    } CASES[] = {
        {1200000, "1 of 1200000 bytes", false},
        {70000, "1 of 70000 bytes", false},
        {1000, "1 of 1000 bytes", true},
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct mail mail = {.body_size = CASES[i].body};

        mail_store(world, &mail);
        got.count = 0;
        queue_email_get(world->queue, owner_of("default"), &mail.id, view,
                        on_view, NULL);
        until(world->loop, got.count == 1);
        assert_string_equal(got.body, CASES[i].shown);
        assert_true(CASES[i].on_loop ==
                    (pthread_equal(shown_by, pthread_self()) != 0));
    }
}

/* The thread is at it, or has not begun. */
static void a_large_look_ends_with_the_queue(void **state)
{
    struct world *world = *state;
    struct mail mail = {.body_size = 70000};

    mail_store(world, &mail);
    got.count = 0;
    for (int i = 0; i < 50; i++)
        queue_email_get(world->queue, owner_of("default"), &mail.id, view,
                        on_email, NULL);
    until(world->loop, got.count > 0);
    queue_close(&world->queue);
    assert_true(got.count < 50);
}

static void a_stored_mail_is_found_by_its_owner_alone(void **state)
{
    struct world *world = *state;
    struct mail mail = {.recipients = 2, .body_size = 5};
    struct id unknown = id_new(0);
    struct id elsewhere = id_new(77);

    mail_store(world, &mail);
    look(world, &mail.id);
    assert_string_equal(got.from, "Shop <shop@example.com>");
    assert_string_equal(got.body, "xxxxx");
    assert_int_equal(got.delivery_count, 2);
    assert_int_equal(got.deliveries[1].number, 1);
    assert_int_equal(got.deliveries[0].state, DELIVERY_QUEUED);
    assert_int_equal(got.deliveries[0].generation, 1);
    look_as(world, "other", &mail.id);
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
    look_as(world, "default", &unknown);
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
    look_as(world, "default", &elsewhere);
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
}

static void a_large_job_comes_out_of_its_chunks(void **state)
{
    struct world *world = *state;
    struct mail mail = {.body_size = 1200000};

    mail_store(world, &mail);
    look(world, &mail.id);
    assert_int_equal(got.body_len, 1200000);
    /* Its chunks are gone, the record is not yet: what is left is told. */
    redis_do("DEL ph:{0}:b:%s:0", mail.id.text);
    look(world, &mail.id);
    assert_int_equal(got.body_len, 0);
    assert_string_equal(got.from, "Shop <shop@example.com>");
}

static void a_scheduled_mail_tells_when(void **state)
{
    struct world *world = *state;
    struct mail mail = {.due_ms = clock_wall_ms() + 3600000};

    mail_store(world, &mail);
    look(world, &mail.id);
    assert_int_equal(got.deliveries[0].state, DELIVERY_DUE);
    assert_int_equal(got.deliveries[0].next_attempt_ms, mail.due_ms);
}

static void the_last_reply_is_told(void **state)
{
    struct world *world = *state;
    struct mail mail = {0};

    mail_store(world, &mail);
    redis_do("HSET ph:{0}:d:%s:0 s u a 2 du 1764000000000 p1 %s p2 %s",
             mail.id.text, "451,\"4.7.1\",\"grey", "listed, come back\"");
    look(world, &mail.id);
    assert_int_equal(got.deliveries[0].attempts, 2);
    assert_int_equal(got.deliveries[0].code, 451);
    assert_string_equal(got.response, "4.7.1 greylisted, come back");
}

/* --- cancel --- */

static const char *events(void)
{
    return redis_ask("XRANGE ph:{0}:ev:default - +");
}

static void a_queued_mail_is_canceled_for_good(void **state)
{
    struct world *world = *state;
    struct mail mail = {.body_size = 5};

    mail_store(world, &mail);
    cancel(world, "other", &mail.id);
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
    cancel(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_OK);
    assert_int_equal(got.deliveries[0].state, DELIVERY_CANCELED);
    assert_true(got.deliveries[0].ended_ms > 0);
    assert_string_equal(got.body, "xxxxx"); /* kept as privacy says */
    assert_non_null(strstr(events(), "\"t\":\"email.canceled\""));
    assert_string_equal(redis_ask("EXISTS ph:{0}:d:%s:0", mail.id.text), "0");
    cancel(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_REFUSED);
    assert_int_equal(got.deliveries[0].state, DELIVERY_CANCELED);
    assert_null(
        strstr(strstr(events(), "email.canceled") + 1, "email.canceled"));
}

static void a_scheduled_mail_leaves_due(void **state)
{
    struct world *world = *state;
    struct mail mail = {.due_ms = clock_wall_ms() + 3600000,
                        .deadline_ms = clock_wall_ms() + 7200000};

    mail_store(world, &mail);
    cancel(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_OK);
    assert_string_equal(redis_ask("EXISTS ph:{0}:due:0 ph:{0}:exp"), "0");
}

static void what_is_marked_goes_on(void **state)
{
    struct world *world = *state;
    struct mail mail = {.recipients = 2};

    mail_store(world, &mail);
    redis_do("HSET ph:{0}:d:%s:1 s x t epoch:1", mail.id.text);
    cancel(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_OK);
    assert_int_equal(got.deliveries[0].state, DELIVERY_CANCELED);
    assert_int_equal(got.deliveries[1].state, DELIVERY_DOTTED);
    cancel(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_REFUSED);
    assert_int_equal(got.deliveries[1].state, DELIVERY_DOTTED);
}

/* --- retry --- */

static struct queue_recipient recipients[3] = {
    {.number = 0, .route = STR("other")},
    {.number = 1, .route = STR("other")},
    {.number = 2, .route = STR("other")}};
static bool has_plan;

static bool plan(void *ctx, const struct queue_email *email,
                 struct queue_retry *out)
{
    (void)ctx;
    assert_true(str_eq(email->record->summary.owner, S("default")));
    *out = (struct queue_retry){.recipients = recipients,
                                .recipient_count = email->delivery_count,
                                .ends_ms = clock_wall_ms() + 1000,
                                .on_unknown = ON_UNKNOWN_HOLD};
    return has_plan;
}

static void retry(struct world *world, const char *owner,
                  const struct id *email)
{
    got.count = 0;
    queue_email_retry(world->queue, owner_of(owner), email, key, plan, on_email,
                      NULL);
    assert_int_equal(got.count, 0);
    until(world->loop, got.count == 1);
}

/* Each recipient had ended: one sent, one bounced with a text that needs
 * escapes, one canceled, with which the email closed. */
static void close_three(struct world *world, struct mail *mail)
{
    mail_store(world, mail);
    redis_do("HSET ph:{0}:d:%s:0 s S a 1 e 1764000000000 p1 %s", mail->id.text,
             "250,\"2.0.0\",\"queued as A\"\n");
    redis_do("HSET ph:{0}:d:%s:1 s B a 2 e 1764000000001 p1 %s p2 %s",
             mail->id.text, "550,\"5.1.1\",\"no \\\"such\\\" [1,\\\\",
             "2] user \\\\\"\n");
    redis_do("HSET ph:{0}:d:%s:0 left 1", mail->id.text);
    cancel(world, "default", &mail->id);
    assert_string_equal(redis_ask("EXISTS ph:{0}:h:%s", mail->id.text), "1");
}

static void what_was_not_sent_is_sent_again(void **state)
{
    struct world *world = *state;
    struct mail mail = {.recipients = 3,
                        .body_size = 1200000,
                        .attachment = S("abc"),
                        .mail_class = CLASS_TRANSACTIONAL};
    const char *id = mail.id.text;

    has_plan = true;
    close_three(world, &mail);
    assert_string_equal(got.response, "2.0.0 queued as A");
    retry(world, "other", &mail.id);
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
    retry(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_OK);
    assert_int_equal(got.body_len, 1200000);
    assert_int_equal(got.delivery_count, 3);
    assert_int_equal(got.deliveries[0].state, DELIVERY_SENT);
    assert_int_equal(got.deliveries[0].ended_ms, 1764000000000);
    assert_string_equal(got.response, "2.0.0 queued as A");
    for (unsigned n = 1; n < 3; n++) {
        assert_int_equal(got.deliveries[n].state, DELIVERY_QUEUED);
        assert_int_equal(got.deliveries[n].generation, 2);
        assert_int_equal(got.deliveries[n].attempts, 0);
    }
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s:0 m left sq b bj", id),
                        "3 2 2 4 3");
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s:1 r k dl", id),
                        "other h nil");
    assert_string_equal(redis_ask("LLEN ph:{0}:q:2:default:other"), "2");
    assert_string_equal(redis_ask("TTL ph:{0}:c:%s", id), "-1");
    assert_string_equal(redis_ask("TTL ph:{0}:b:%s:3", id), "-1");
    assert_string_equal(redis_ask("EXISTS ph:{0}:h:%s", id), "0");
    /* And it closes as the first time. */
    cancel(world, "default", &mail.id);
    assert_string_equal(redis_ask("EXISTS ph:{0}:h:%s", id), "1");
    assert_int_equal(got.deliveries[0].state, DELIVERY_SENT);
    assert_int_equal(got.deliveries[2].generation, 2);
}

/* Reopened once more, the one that bounced first stays as it was. */
static void an_outcome_survives_as_it_was(void **state)
{
    struct world *world = *state;
    struct mail mail = {.recipients = 3};

    has_plan = true;
    close_three(world, &mail);
    redis_do("EVAL %s 1 ph:{0}:h:%s",
             "redis.call('SET', KEYS[1], (string.gsub(redis.call('GET', "
             "KEYS[1]), '1,\"B\"', '1,\"U\"')))",
             mail.id.text);
    retry(world, "default", &mail.id);
    assert_int_equal(got.deliveries[1].state, DELIVERY_SUPERSEDED);
    assert_int_equal(got.deliveries[1].code, 550);
    assert_string_equal(
        redis_ask("HGET ph:{0}:d:%s:1 p1", mail.id.text),
        "550,\"5.1.1\",\"no \\\"such\\\" [1,\\\\2] user \\\\\"\n");
    assert_int_equal(got.deliveries[2].state, DELIVERY_QUEUED);
}

static void an_open_mail_takes_back_who_ended(void **state)
{
    struct world *world = *state;
    struct mail mail = {.recipients = 3};

    has_plan = true;
    mail_store(world, &mail);
    redis_do("HSET ph:{0}:d:%s:0 s B a 1 dd 1 e 5 t e:1 left 2 p1 x",
             mail.id.text);
    redis_do("HSET ph:{0}:d:%s:1 s x t e:2", mail.id.text);
    retry(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_OK);
    assert_int_equal(got.deliveries[0].state, DELIVERY_QUEUED);
    assert_int_equal(got.deliveries[0].generation, 2);
    assert_int_equal(got.deliveries[1].state, DELIVERY_DOTTED);
    assert_int_equal(got.deliveries[2].generation, 1);
    assert_string_equal(
        redis_ask("HMGET ph:{0}:d:%s:0 m left sq t p1 dd", mail.id.text),
        "3 3 1 nil nil nil");
}

static void what_cannot_be_sent_again_is_refused(void **state)
{
    struct world *world = *state;
    struct mail mail = {0};

    has_plan = true;
    mail_store(world, &mail);
    redis_do("HSET ph:{0}:d:%s:0 s x t e:1", mail.id.text);
    retry(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_REFUSED);
    assert_int_equal(got.deliveries[0].state, DELIVERY_DOTTED);
    has_plan = false; /* no route */
    redis_do("HSET ph:{0}:d:%s:0 s B", mail.id.text);
    retry(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_REFUSED);
    assert_int_equal(got.deliveries[0].state, DELIVERY_BOUNCED);
}

/* It is looked at twice, before and after. */
static void a_final_mail_is_refused_as_it_is(void **state)
{
    struct world *world = *state;
    struct mail mail = {0};

    has_plan = true;
    mail_store(world, &mail);
    cancel(world, "default", &mail.id);
    redis_do("DEL ph:{0}:c:%s", mail.id.text);
    retry(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_REFUSED);
    assert_int_equal(got.delivery_count, 1);
    assert_int_equal(got.deliveries[0].state, DELIVERY_CANCELED);
}

/* --- reschedule --- */

static struct queue_reschedule new_time; /* due_ms 0: the plan refuses */

static bool plan_new_time(void *ctx, const struct queue_email *email,
                          struct queue_reschedule *out)
{
    (void)ctx;
    (void)email;
    *out = new_time;
    return new_time.due_ms != 0;
}

static enum queue_status reschedule(struct world *world, const char *owner,
                                    const struct id *email, int64_t due_ms,
                                    bool has_deadline)
{
    new_time = (struct queue_reschedule){
        .due_ms = due_ms,
        .ends_ms = due_ms + 60000,
        .expires_ms = has_deadline ? due_ms + 60000 : 0,
    };
    got.count = 0;
    queue_email_reschedule(world->queue, owner_of(owner), email, plan_new_time,
                           on_email, NULL);
    until(world->loop, got.count == 1);
    return got.status;
}

static void is_at(const struct mail *mail, const char *set, int64_t at_ms)
{
    char text[32];

    snprintf(text, sizeof text, "%lld", (long long)at_ms);
    assert_string_equal(redis_ask("ZSCORE ph:{0}:%s %s:0", set, mail->id.text),
                        text);
}

static struct keyring *keyring_make(void)
{
    struct keyring *keyring;
    struct error err;
    char file[128];

    snprintf(file, sizeof file, "%s/keyring", fixture.dir);
    assert_true(keyring_create(file, &err));
    keyring = keyring_load(file, &err);
    assert_non_null(keyring);
    unlink(file);
    return keyring;
}

static void a_new_time_takes_the_place_of_the_old(void **state)
{
    struct world *world = *state;
    struct keyring *keyring = keyring_make();
    int64_t soon_ms = clock_wall_ms() + 3600000;
    int64_t later_ms = soon_ms + 3600000;
    struct mail mails[] = {
        {.due_ms = soon_ms, .deadline_ms = soon_ms + 60000, .body_size = 5},
        {.due_ms = soon_ms,
         .deadline_ms = soon_ms + 60000,
         .body_size = 5,
         .sensitive = true},
        {.due_ms = soon_ms,
         .deadline_ms = soon_ms + 60000,
         .body_size = 1200000},
    };

    world->queue->keyring = keyring;
    for (size_t i = 0; i < COUNT_OF(mails); i++) {
        mail_store(world, &mails[i]);
        assert_int_equal(
            reschedule(world, "default", &mails[i].id, later_ms, true),
            QUEUE_OK);
        assert_int_equal(got.deliveries[0].state, DELIVERY_DUE);
        assert_int_equal(got.deliveries[0].next_attempt_ms, later_ms);
        look(world, &mails[i].id);
        assert_int_equal(got.scheduled_ms, later_ms);
        assert_int_equal(got.date_ms, later_ms);
        assert_int_equal(got.expires_ms, later_ms + 60000);
        assert_int_equal(got.body_len, mails[i].body_size);
        is_at(&mails[i], "exp", later_ms + 60000);
        is_at(&mails[i], "due:0", later_ms);
    }
    world->queue->keyring = NULL;
    keyring_destroy(&keyring);
}

static void a_new_time_in_the_past_is_now(void **state)
{
    struct world *world = *state;
    struct mail mail = {.due_ms = clock_wall_ms() + 3600000, .recipients = 3};

    mail_store(world, &mail);
    assert_int_equal(
        reschedule(world, "default", &mail.id, clock_wall_ms() - 1, false),
        QUEUE_OK);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(got.deliveries[i].state, DELIVERY_QUEUED);
    assert_string_equal(redis_ask("ZCARD ph:{0}:due:0"), "0");
    assert_string_equal(redis_ask("LLEN ph:{0}:q:0:default:main"), "3");
}

static const struct idempotency CANCEL = {STR("aa"), STR("f1")};
static const struct idempotency RETRY = {STR("bb"), STR("f2")};
static const struct idempotency OTHER = {STR("bb"), STR("f1")};

/* Whatever becomes of the process between the script and the answer: who asks
 * again under the same key hears of it, and nothing is done twice. */
static void an_action_and_its_key_are_one_step(void **state)
{
    struct world *world = *state;
    struct mail mail = {0};

    mail_store(world, &mail);
    key = &CANCEL;
    cancel(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_OK);
    assert_string_equal(redis_ask("GET ph:{0}:i:default:aa"), "f1 0 1");
    key = &RETRY;
    retry(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_OK);
    assert_int_equal(got.deliveries[0].generation, 2);
    key = &CANCEL; /* again: the retry stands */
    cancel(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_OK);
    assert_int_equal(got.deliveries[0].state, DELIVERY_QUEUED);
    key = NULL;
    cancel(world, "default", &mail.id);
    key = &RETRY; /* again: the cancel stands */
    retry(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_OK);
    assert_int_equal(got.deliveries[0].state, DELIVERY_CANCELED);
    key = &OTHER;
    retry(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_CONFLICT);
    queue_idempotency_finish(world->queue, owner_of("default"), &RETRY, 200,
                             S("{}"));
    key = &RETRY;
    retry(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_REPLAY);
    key = NULL;
}

/* A refusal, too; also of a mail that is another's. */
static void what_was_refused_stays_refused(void **state)
{
    struct world *world = *state;
    struct mail mail = {0};

    mail_store(world, &mail);
    key = &CANCEL;
    cancel(world, "other", &mail.id);
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
    assert_string_equal(redis_ask("GET ph:{0}:i:other:aa"), "f1 0 0");
    redis_do("HSET ph:{0}:d:%s:0 s x", mail.id.text);
    cancel(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_REFUSED);
    redis_do("HSET ph:{0}:d:%s:0 s q", mail.id.text);
    cancel(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_REFUSED);
    key = NULL;
    cancel(world, "default", &mail.id);
    assert_int_equal(got.status, QUEUE_OK);
}

static void a_new_time_is_for_all_recipients_or_none(void **state)
{
    struct world *world = *state;
    int64_t soon_ms = clock_wall_ms() + 3600000;
    struct mail mail = {.due_ms = soon_ms, .recipients = 3};

    mail_store(world, &mail);
    redis_do("HSET ph:{0}:d:%s:2 s q", mail.id.text);
    assert_int_equal(reschedule(world, "default", &mail.id, soon_ms + 5, false),
                     QUEUE_REFUSED);
    assert_int_equal(got.deliveries[0].next_attempt_ms, soon_ms);
    assert_int_equal(got.scheduled_ms, 0); /* as it was stored */
}

static void who_may_not_set_a_new_time(void **state)
{
    struct world *world = *state;
    int64_t soon_ms = clock_wall_ms() + 3600000;
    struct mail mail = {.due_ms = soon_ms};
    struct mail queued = {0};
    struct id unknown = id_new(0);

    mail_store(world, &mail);
    mail_store(world, &queued);
    assert_int_equal(reschedule(world, "other", &mail.id, soon_ms + 5, false),
                     QUEUE_NOT_FOUND);
    assert_int_equal(reschedule(world, "default", &unknown, soon_ms, false),
                     QUEUE_NOT_FOUND);
    assert_int_equal(reschedule(world, "default", &queued.id, soon_ms, false),
                     QUEUE_REFUSED);
    assert_int_equal(reschedule(world, "default", &mail.id, 0, false),
                     QUEUE_REFUSED);
    cancel(world, "default", &mail.id);
    assert_int_equal(reschedule(world, "default", &mail.id, soon_ms, false),
                     QUEUE_REFUSED);
    assert_int_equal(got.deliveries[0].state, DELIVERY_CANCELED);
}

/* --- timeline --- */

static void on_timeline(void *ctx, const struct queue_timeline *timeline)
{
    (void)ctx;
    got.count = 1;
    got.status = timeline->status;
    got.types[0] = '\0';
    for (size_t i = 0; i < timeline->count; i++) {
        size_t len = strlen(got.types);

        snprintf(got.types + len, sizeof got.types - len, "%s ",
                 event_type_name(timeline->events[i].type));
    }
}

static void the_timeline_is_its_owners(void **state)
{
    struct world *world = *state;
    struct mail mail = {0};

    mail_store(world, &mail);
    redis_do("RPUSH ph:{0}:t:%s %s %s", mail.id.text,
             "{\"t\":\"email.queued\",\"e\":"
             "\"019ab000-0000-7000-8000-000000000001\",\"n\":-1,\"g\":1,"
             "\"o\":1,\"s\":1,\"at\":1}",
             "not one of ours");
    got.count = 0;
    queue_email_events(world->queue, owner_of("default"), &mail.id, on_timeline,
                       NULL);
    until(world->loop, got.count == 1);
    assert_int_equal(got.status, QUEUE_OK);
    assert_string_equal(got.types, "email.queued ");
    got.count = 0;
    queue_email_events(world->queue, owner_of("other"), &mail.id, on_timeline,
                       NULL);
    until(world->loop, got.count == 1);
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
}

/* --- counting --- */

static struct queue_stats stats;

static void on_stats(void *ctx, const struct queue_stats *told)
{
    (void)ctx;
    got.count = 1;
    stats = *told;
}

static void what_waits_is_counted_by_lane(void **state)
{
    struct world *world = *state;
    struct mail code = {.mail_class = CLASS_VERIFICATION};
    struct mail order = {.mail_class = CLASS_TRANSACTIONAL, .recipients = 3};
    struct mail other = {.mail_class = CLASS_TRANSACTIONAL, .owner = "acme"};
    struct mail later = {.mail_class = CLASS_BULK,
                         .due_ms = clock_wall_ms() + 60000};

    mail_store(world, &code);
    mail_store(world, &order);
    mail_store(world, &other);
    mail_store(world, &later);
#ifdef FAULT_POINTS
    redis_do("HSET ph:meta test_offset_ms 50000"); /* so much later */
#endif
    got.count = 0;
    queue_stats_get(world->queue, on_stats, NULL);
    until(world->loop, got.count == 1);
    assert_int_equal(stats.status, QUEUE_OK);
    assert_int_equal(stats.lanes[0].queued, 1);
    assert_int_equal(stats.lanes[2].queued, 4);
    assert_int_equal(stats.lanes[3].due, 1);
    assert_int_equal(stats.accepted, 6);
#ifdef FAULT_POINTS
    assert_in_range(stats.lanes[0].oldest_ms, 50000, 55000);
#endif
    assert_int_equal(stats.lanes[3].oldest_ms, 0);
    got.count = 0;
    queue_stats_of(world->queue, owner_of("acme"), on_stats, NULL);
    until(world->loop, got.count == 1);
    assert_int_equal(stats.status, QUEUE_OK);
    assert_int_equal(stats.lanes[0].queued, 0);
    assert_int_equal(stats.lanes[2].queued, 1);
#ifdef FAULT_POINTS
    assert_in_range(stats.lanes[2].oldest_ms, 50000, 55000);
#endif
}

static void without_redis_a_look_ends_as_away(void **state)
{
    struct world *world = *state;
    struct id id = id_new(0);

    kill(fixture.pid, SIGSTOP);
    look_as(world, "default", &id);
    kill(fixture.pid, SIGCONT);
    assert_int_equal(got.status, QUEUE_AWAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_stored_mail_is_found_by_its_owner_alone),
        WORLD_TEST(a_large_job_comes_out_of_its_chunks),
        WORLD_TEST(a_large_mail_is_read_and_shown_off_the_loop),
        WORLD_TEST(a_large_look_ends_with_the_queue),
        WORLD_TEST(a_scheduled_mail_tells_when),
        WORLD_TEST(the_last_reply_is_told),
        WORLD_TEST(a_queued_mail_is_canceled_for_good),
        WORLD_TEST(a_scheduled_mail_leaves_due),
        WORLD_TEST(what_is_marked_goes_on),
        WORLD_TEST(what_was_not_sent_is_sent_again),
        WORLD_TEST(an_outcome_survives_as_it_was),
        WORLD_TEST(an_open_mail_takes_back_who_ended),
        WORLD_TEST(what_cannot_be_sent_again_is_refused),
        WORLD_TEST(a_final_mail_is_refused_as_it_is),
        WORLD_TEST(a_new_time_takes_the_place_of_the_old),
        WORLD_TEST(a_new_time_in_the_past_is_now),
        WORLD_TEST(an_action_and_its_key_are_one_step),
        WORLD_TEST(what_was_refused_stays_refused),
        WORLD_TEST(a_new_time_is_for_all_recipients_or_none),
        WORLD_TEST(who_may_not_set_a_new_time),
        WORLD_TEST(the_timeline_is_its_owners),
        WORLD_TEST(what_waits_is_counted_by_lane),
        WORLD_TEST(without_redis_a_look_ends_as_away),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
