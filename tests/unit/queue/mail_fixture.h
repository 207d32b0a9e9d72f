/* mail_fixture.h - mails to put into a queue on the fixture's Redis. */
#ifndef TESTS_MAIL_FIXTURE_H
#define TESTS_MAIL_FIXTURE_H

#include "world_fixture.h"

enum { BOXES_MAX = 8 };

/* A mail to one@example.net, "two", ...; what is not set has a default. */
struct mail {
    const char *owner;
    const char *route;
    enum mail_class mail_class;
    unsigned recipients;
    int64_t due_ms;
    int64_t max_age_ms;
    int64_t deadline_ms;
    enum on_unknown on_unknown;
    const char *key; /* idempotency */
    const char *fingerprint;
    size_t body_size;
    struct str attachment;
    bool sensitive;
    int64_t patience_ms;
    struct id id; /* made by enqueue unless it is set */
};

static inline struct str cstr_or(const char *text, const char *otherwise)
{
    return str_of(text != NULL ? text : otherwise);
}

static inline void mail_send(struct queue *queue, struct mail *mail,
                             struct answered *answered)
{
    static struct str to[BOXES_MAX] = {STR("one@example.net"),
                                       STR("two@example.net"),
                                       STR("three@example.net")};
    static const char hex[] =
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    char key[SHA256_HEX_SIZE];
    char fingerprint[SHA256_HEX_SIZE];
    struct summary summary = {
        .owner = cstr_or(mail->owner, "default"),
        .from = S("Shop <shop@example.com>"),
        .to = to,
        .to_count = mail->recipients == 0 ? 1 : mail->recipients,
        .subject = S("Your order"),
        .mail_class = mail->mail_class,
        .sensitive = mail->sensitive,
        .message_id = S("<m1@example.com>"),
        .created_ms = clock_wall_ms(),
        .expires_ms = mail->deadline_ms,
    };
    struct job_attachment attachment = {
        .filename = S("a.bin"),
        .content_type = S("application/octet-stream"),
        .size_bytes = mail->attachment.len,
    };
    struct queue_blob blob = {mail->attachment};
    struct queue_recipient recipients[BOXES_MAX];
    struct queue_mail job = {
        .summary = &summary,
        .recipients = recipients,
        .recipient_count = summary.to_count,
        .date_ms = summary.created_ms,
        .due_ms = mail->due_ms,
        .max_age_ms = mail->max_age_ms,
        .on_unknown = mail->on_unknown,
        .answer = S("{\"id\":\"first\"}"),
        .patience_ms = mail->patience_ms,
    };
    struct buf json;

    if (mail->id.text[0] == '\0')
        mail->id = id_new(0);
    summary.email = mail->id;
    for (unsigned i = 0; i < summary.to_count; i++)
        recipients[i] = (struct queue_recipient){
            .number = i, .route = cstr_or(mail->route, "main"), .key = to[i]};
    if (mail->attachment.len > 0) {
        job.attachments = &attachment;
        job.attachment_bytes = &blob;
        job.attachment_count = 1;
    }
    if (mail->key != NULL) {
        secret_sha256_hex(str_of(mail->key), key);
        secret_sha256_hex(cstr_or(mail->fingerprint, hex), fingerprint);
        job.idempotency.key_hash = str_of(key);
        job.idempotency.fingerprint = str_of(fingerprint);
    }
    buf_init(&json, 4 << 20);
    buf_add_cstr(&json, "{\"from\":\"shop@example.com\",\"text\":\"");
    for (size_t i = 0; i < mail->body_size; i++)
        buf_add_char(&json, 'x');
    buf_add_cstr(&json, "\"}");
    job.mail_json = buf_str(&json);
    queue_enqueue(queue, &job, on_answered, answered);
    buf_finish(&json);
}

/* Sends and waits; fails the test unless it is stored. */
static inline void mail_store(struct world *world, struct mail *mail)
{
    struct answered answered = {0};

    mail_send(world->queue, mail, &answered);
    assert_int_equal(answered.count, 0); /* never inside the call */
    until(world->loop, answered.count > 0);
    if (answered.status != QUEUE_OK)
        fail_msg("not stored: %d %s", answered.status, answered.why.text);
}

#define WORLD_TEST(fn)                                                         \
    cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

#endif
