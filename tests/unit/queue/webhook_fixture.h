/* webhook_fixture.h - what webhooks stand on, written into the test's Redis
 * as the api and the workers do: an email of owner "a", its events, endpoints.
 */
#ifndef TESTS_WEBHOOK_FIXTURE_H
#define TESTS_WEBHOOK_FIXTURE_H

#include "redis_fixture.h"

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

static struct keyring *keyring;
static char keyring_file[128];
static struct id email;

/* An empty Redis, a fresh keyring, a new email's id. */
static inline void webhooks_begin(void)
{
    struct error err;

    redis_do("FLUSHALL");
    snprintf(keyring_file, sizeof keyring_file, "%s/keyring", fixture.dir);
    unlink(keyring_file);
    assert_true(keyring_create(keyring_file, &err));
    keyring = keyring_load(keyring_file, &err);
    assert_non_null(keyring);
    email = id_new(0);
}

static inline void webhooks_finish(void)
{
    keyring_destroy(&keyring);
}

/* events: names joined by blanks. */
static inline struct id endpoint_at(const char *url, const char *events)
{
    struct id id = id_new(0);
    struct buf sealed;

    buf_init(&sealed, 1024);
    keyring_seal(keyring, "webhook", id_str(&id), S(SECRET), &sealed);
    redis_do("SADD ph:{0}:r:webhook:a %s", id.text);
    redis_do("HSET ph:{0}:we:%s owner a url %s enabled 1 events %s secret %b",
             id.text, url, events, sealed.data, sealed.len);
    buf_finish(&sealed);
    return id;
}

static inline void store_email(void)
{
    struct str to[] = {STR("ann@example.com")};
    struct summary summary = {
        .email = email,
        .owner = S("a"),
        .from = S("shop@example.com"),
        .to = to,
        .to_count = 1,
        .subject = S("Hello"),
        .mail_class = CLASS_TRANSACTIONAL,
        .message_id = S("<m@example.com>"),
        .created_ms = 1795521600000,
    };
    struct buf record;

    buf_init(&record, 65536);
    record_write(1, &summary, S("{\"text\":\"hi\"}"), NULL, 0, 1795521600000,
                 NULL, keyring, &record);
    redis_do("SET ph:{0}:c:%s %b", email.text, record.data, record.len);
    buf_finish(&record);
}

static inline void announce(void)
{
    redis_do("HSET ph:{0}:o:a ev 1");
    redis_do("LREM ph:{0}:evring 0 a");
    redis_do("RPUSH ph:{0}:evring a");
    redis_do("DEL ph:{0}:hwake");
    redis_do("RPUSH ph:{0}:hwake 1");
}

static inline void add_event(enum event_type type, unsigned ordinal)
{
    struct event event = {
        .type = type,
        .email = email,
        .number = type == EVENT_QUEUED ? -1 : 0,
        .generation = 1,
        .ordinal = ordinal,
        .sequence = ordinal,
        .at_ms = 1795521600000,
    };
    struct buf record;

    buf_init(&record, 4096);
    event_write(&event, &record);
    redis_do("XADD ph:{0}:ev:a * e %b", record.data, record.len);
    buf_finish(&record);
}

static inline void raise_events(enum event_type type, unsigned count)
{
    store_email();
    for (unsigned i = 1; i <= count; i++)
        add_event(type, i);
    announce();
}

#endif
