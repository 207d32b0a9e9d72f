#include "api/domain_keys.h"

#include "server/base/clock.h"
#include "smtp/message/message.h"

enum {
    MAKE_MS = 10000, /* behind others, on a busy host */
    SEALED_MAX = 2 * DKIM_PRIVATE_MAX,
    CONTEXT_MAX = 512,
};

enum { PUBLIC_RSA, PUBLIC_ED25519, SEALED_RSA, SEALED_ED25519 };

static const char NO_WORKER_KEY[] =
    "DKIM keys are stored so that only workers can open them, and this server "
    "has no key of theirs: its operator makes one with `posthaste keyring "
    "create-worker FILE` and sets secrets.worker_public_key.";

/* On a helper thread. */
static void make_one(struct domain_keys *keys, enum dkim_algorithm algorithm,
                     const char *label, struct buf *public_text,
                     struct buf *sealed)
{
    struct buf private_der;
    struct buf context;

    buf_init(&private_der, DKIM_PRIVATE_MAX);
    buf_init(&context, CONTEXT_MAX);
    sender_seal_context(keys->call->key.owner, keys->domain, &keys->key.id,
                        &context);
    dkim_key_make(algorithm, &private_der, public_text);
    seal_to(&keys->to, label, buf_str(&context), buf_str(&private_der), sealed);
    CHECK(!private_der.full && !context.full && !sealed->full &&
          !public_text->full);
    secret_wipe(private_der.data, private_der.len);
    buf_finish(&private_der);
    buf_finish(&context);
}

static void make(void *ctx)
{
    struct domain_keys *keys = ctx;

    make_one(keys, DKIM_RSA, SENDER_SEAL_RSA, &keys->texts[PUBLIC_RSA],
             &keys->texts[SEALED_RSA]);
    make_one(keys, DKIM_ED25519, SENDER_SEAL_ED25519,
             &keys->texts[PUBLIC_ED25519], &keys->texts[SEALED_ED25519]);
}

static void on_made(void *ctx)
{
    struct domain_keys *keys = ctx;

    keys->key.rsa_public = buf_str(&keys->texts[PUBLIC_RSA]);
    keys->key.ed25519_public = buf_str(&keys->texts[PUBLIC_ED25519]);
    keys->sealed.rsa = buf_str(&keys->texts[SEALED_RSA]);
    keys->sealed.ed25519 = buf_str(&keys->texts[SEALED_ED25519]);
    if (call_goes_on(keys->call))
        keys->done(keys->ctx);
}

/* "ph3f9ar2": of the domain's second generation. The middle keeps it apart
 * from those of a domain of that name that was deleted before. */
static struct str selector(struct arena *arena, const struct sender_key *key,
                           char letter)
{
    return arena_printf(arena, "ph%.4s%c%u", key->id.text + ID_LEN - 4, letter,
                        key->generation);
}

void domain_keys_make(struct domain_keys *keys, struct call *call,
                      struct str domain, unsigned generation,
                      void (*done)(void *ctx), void *ctx)
{
    const char *to = call->api->config->secrets.worker_public_key;

    if (!seal_public_read(str_of(to), &keys->to)) {
        call_fail(call, PROBLEM_NO_WORKER_KEY, NO_WORKER_KEY);
        return;
    }
    keys->call = call;
    keys->domain = domain;
    keys->done = done;
    keys->ctx = ctx;
    keys->key = (struct sender_key){
        .id = id_new(call->key.partition),
        .generation = generation,
        .created_ms = clock_shared_ms(),
    };
    keys->key.rsa_selector = selector(call->arena, &keys->key, 'r');
    keys->key.ed25519_selector = selector(call->arena, &keys->key, 'e');
    for (size_t i = 0; i < COUNT_OF(keys->texts); i++)
        buf_init(&keys->texts[i], SEALED_MAX);
    work_job_init(&keys->job, make, on_made, keys);
    call_extend(call, MAKE_MS);
    if (!work_submit(call->api->work, &keys->job))
        call_fail(call, PROBLEM_UNAVAILABLE,
                  "Too many large requests at once; nothing was kept.");
}

void domain_keys_finish(struct domain_keys *keys)
{
    for (size_t i = 0; i < COUNT_OF(keys->texts); i++)
        buf_finish(&keys->texts[i]);
}
