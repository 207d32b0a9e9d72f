/* dkim_fixture.h - domains in the fixture's Redis, whose DKIM keys are sealed
 * to a worker. */
#ifndef TESTS_DKIM_FIXTURE_H
#define TESTS_DKIM_FIXTURE_H

#include "queue/world_fixture.h"
#include "server/base/seal.h"
#include "smtp/message/message.h"

enum { DER_MAX = 8192 };

static const struct queue_owner ANNE = {STR("anne"), 0};

static struct {
    struct buf der[DKIM_ALGORITHMS]; /* what all generations have inside */
    struct buf text[DKIM_ALGORITHMS];
    struct seal_public sealed_to;
    struct seal_keys *ours;
    struct seal_keys *others; /* of another worker */
} all;

/* --- keys in Redis --- */

static inline struct seal_keys *make_workers_key(const char *name,
                                                 struct seal_public *key)
{
    struct error err = {0};
    struct seal_keys *keys;
    char path[128];

    snprintf(path, sizeof path, "%s/%s", fixture.dir, name);
    assert_true(seal_keys_create(path, key, &err));
    keys = seal_keys_load(path, &err);
    assert_non_null(keys);
    return keys;
}

static inline int dkim_group_setup(void **state)
{
    struct seal_public other;

    if (fixture_group_setup(state) != 0)
        return -1;
    all.ours = make_workers_key("ours", &all.sealed_to);
    all.others = make_workers_key("others", &other);
    for (unsigned i = 0; i < DKIM_ALGORITHMS; i++) {
        buf_init(&all.der[i], DER_MAX);
        buf_init(&all.text[i], DKIM_PUBLIC_MAX);
        dkim_key_make((enum dkim_algorithm)i, &all.der[i], &all.text[i]);
    }
    return 0;
}

static inline int dkim_group_teardown(void **state)
{
    seal_keys_destroy(&all.ours);
    seal_keys_destroy(&all.others);
    for (unsigned i = 0; i < DKIM_ALGORITHMS; i++) {
        buf_finish(&all.der[i]);
        buf_finish(&all.text[i]);
    }
    return fixture_group_teardown(state);
}

struct sealed {
    struct buf rsa;
    struct buf ed25519;
};

static inline void seal(struct sealed *sealed, struct str domain,
                        const struct id *id, struct str rsa, struct str ed25519)
{
    struct buf context;

    buf_init(&context, 1024);
    buf_init(&sealed->rsa, 2 * DER_MAX);
    buf_init(&sealed->ed25519, 2 * DER_MAX);
    sender_seal_context(ANNE.name, domain, id, &context);
    seal_to(&all.sealed_to, SENDER_SEAL_RSA, buf_str(&context), rsa,
            &sealed->rsa);
    seal_to(&all.sealed_to, SENDER_SEAL_ED25519, buf_str(&context), ed25519,
            &sealed->ed25519);
    buf_finish(&context);
}

/* A generation as the API stores it, of the domain aN.example. */
struct stored {
    struct id id;
    char domain[32];
    struct sender_domain is; /* but for the name, which is above */
};

static struct answered made;

static inline void store(struct world *world, unsigned number, struct str rsa,
                         struct str ed25519, struct stored *stored)
{
    struct domain_event event = {EVENT_TYPE_COUNT, S("")};
    struct sender_domain domain = {
        .id = id_new(0),
        .return_path = S("send"),
        .status = S("not_started"),
        .created_ms = 1000,
        .keys = {{.id = id_new(0),
                  .generation = 1,
                  .rsa_selector = S("phr1"),
                  .ed25519_selector = S("phe1"),
                  .rsa_public = S("MIIB"),
                  .ed25519_public = S("11qY"),
                  .created_ms = 1000,
                  .signs_ms = 1000}},
        .key_count = 1,
    };
    struct sealed sealed;

    snprintf(stored->domain, sizeof stored->domain, "a%u.example", number);
    stored->id = domain.keys[0].id;
    domain.name = str_of(stored->domain);
    seal(&sealed, domain.name, &stored->id, rsa, ed25519);
    made = (struct answered){0};
    queue_domain_create(
        world->queue, ANNE, &domain,
        &(struct sender_sealed){buf_str(&sealed.rsa), buf_str(&sealed.ed25519)},
        &event, NULL, S("{}"), on_answered, &made);
    until(world->loop, made.count > 0);
    assert_int_equal(made.status, QUEUE_OK);
    buf_finish(&sealed.rsa);
    buf_finish(&sealed.ed25519);
    stored->is = domain;
    stored->is.version = 1;
}

static inline struct stored store_good(struct world *world, unsigned number)
{
    struct stored stored;

    store(world, number, buf_str(&all.der[DKIM_RSA]),
          buf_str(&all.der[DKIM_ED25519]), &stored);
    return stored;
}

#endif
