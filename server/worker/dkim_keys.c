#include "server/worker/dkim_keys.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/map.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"
#include "server/io/work.h"

#include <stdlib.h>

enum {
    KEPT_MAX = 256,       /* some 10 KiB each */
    OPENING_MAX = 1024,   /* more than that are opened in place */
    LOCKED_MS = 5000,     /* until a locked key is asked for again */
    NOT_READY_MS = 60000, /* since the last one was met */
};

struct keyholder {
    struct loop *loop;
    struct queue *queue;
    const struct seal_keys *sealed_to;
    struct map *by_id;
    struct list unused; /* the longest unused first */
    struct work *work;  /* owned; NULL: not needed yet */
    struct timer calm;  /* runs while it is not ready */
    struct error why;
    void (*on_ready)(void *ctx);
    void *ctx;
};

struct dkim_keys_own {
    struct dkim_keys keys;
    struct list link; /* of holder.unused */
    struct keyholder *holder;
    struct list waiting;
    unsigned users;
    int64_t locked_until_ms;
    struct arena *arena;
    struct str id;
    struct str context;
    struct sender_sealed sealed;
    struct dkim_signer signers[DKIM_ALGORITHMS];
    struct dkim_key *private_keys[DKIM_ALGORITHMS]; /* owned */
    struct work_job job;
};

/* --- life of one --- */

static void run(void *ctx);
static void on_opened(void *ctx);

static struct dkim_keys_own *own_create(struct keyholder *holder,
                                        struct queue_owner owner,
                                        const struct job_signing *signing)
{
    struct dkim_keys_own *own = xcalloc(1, sizeof *own);
    struct buf context;
    struct id id = {0};

    own->keys.own = own;
    own->holder = holder;
    list_init(&own->link);
    list_init(&own->waiting);
    work_job_init(&own->job, run, on_opened, own);
    own->arena = arena_create();
    own->id = arena_copy(own->arena, signing->key);
    if (id_parse(own->id, &id)) {
        buf_init(&context, 1024);
        sender_seal_context(owner.name, signing->domain, &id, &context);
        own->context = arena_copy(own->arena, buf_str(&context));
        buf_finish(&context);
    }
    map_put(holder->by_id, own->id, own);
    return own;
}

static void own_destroy(struct dkim_keys_own *own)
{
    map_remove(own->holder->by_id, own->id);
    list_remove(&own->link);
    for (size_t i = 0; i < DKIM_ALGORITHMS; i++)
        dkim_key_destroy(&own->private_keys[i]);
    arena_destroy(&own->arena);
    free(own);
}

/* What cannot be of use again is dropped; of the rest, the longest unused. */
static void own_unused(struct dkim_keys_own *own)
{
    struct keyholder *holder = own->holder;

    if (own->keys.state == DKIM_KEYS_LOADING)
        return; /* its fetch or the thread still has it */
    list_add_last(&holder->unused, &own->link);
    if (own->keys.state == DKIM_KEYS_AWAY || own->keys.state == DKIM_KEYS_LOST)
        own_destroy(own);
    else if (map_count(holder->by_id) > KEPT_MAX)
        own_destroy(
            LIST_MEMBER(holder->unused.next, struct dkim_keys_own, link));
}

static void tell(struct dkim_keys_own *own)
{
    struct dkim_keys_user *user;

    own->users++; /* a user who is told may leave */
    while ((user = LIST_FIRST(&own->waiting, struct dkim_keys_user, link)) !=
           NULL) {
        list_remove(&user->link);
        user->ready(user->ctx);
    }
    if (--own->users == 0)
        own_unused(own);
}

/* --- the workers' key --- */

static void on_calm(void *ctx)
{
    struct keyholder *holder = ctx;

    error_clear(&holder->why);
    series_set(metrics_series(METRIC_DKIM_KEYS_LOCKED, NULL), 0);
    holder->on_ready(holder->ctx);
}

static void tell_locked(struct dkim_keys_own *own)
{
    struct keyholder *holder = own->holder;
    bool was_ready = holder->why.kind == ERR_NONE;

    own->locked_until_ms = clock_now_ms() + LOCKED_MS;
    holder->why = own->keys.why;
    log_write(LOG_ERROR, LOG_DKIM_KEY_LOCKED, log_str("key", own->id),
              log_error(&own->keys.why));
    series_set(metrics_series(METRIC_DKIM_KEYS_LOCKED, NULL), 1);
    timer_set(holder->loop, &holder->calm, NOT_READY_MS);
    if (was_ready)
        holder->on_ready(holder->ctx);
}

bool keyholder_is_ready(const struct keyholder *holder, struct error *why)
{
    if (holder->why.kind == ERR_NONE)
        return true;
    *why = holder->why;
    return false;
}

/* --- opening --- */

static void fail(struct dkim_keys_own *own, enum dkim_keys_state state,
                 enum error_kind kind, const char *what)
{
    own->keys.state = state;
    error_set(&own->keys.why, kind, "the DKIM keys of the mail %s", what);
}

static struct str id_of_seal(struct str sealed)
{
    struct str id = S("");

    CHECK(str_cut(&sealed, '.', &id));
    return id;
}

/* One of the two, to stand behind those that are there. False: told. */
static bool open_one(struct dkim_keys_own *own, enum dkim_algorithm algorithm,
                     const char *label, struct str sealed)
{
    struct compose_signing *signing = &own->keys.signing;
    enum keyring_result result;
    struct buf der;

    buf_init(&der, DKIM_PRIVATE_MAX);
    result =
        seal_open(own->holder->sealed_to, label, own->context, sealed, &der);
    if (result == KEYRING_OK)
        own->private_keys[algorithm] = dkim_key_load(algorithm, buf_str(&der));
    if (der.data != NULL)
        secret_wipe(der.data, der.cap);
    buf_finish(&der);
    if (result == KEYRING_UNKNOWN_ID) {
        own->keys.state = DKIM_KEYS_LOCKED;
        error_set(&own->keys.why, ERR_CONFIG,
                  "DKIM keys are sealed to the workers' key %.*s, which "
                  "secrets.worker_key_file does not hold",
                  STR_ARG(id_of_seal(sealed)));
        return false;
    }
    if (own->private_keys[algorithm] == NULL) {
        fail(own, DKIM_KEYS_LOST, ERR_REMOTE, "cannot be read");
        return false;
    }
    own->signers[signing->count].key = own->private_keys[algorithm];
    signing->signers = own->signers;
    signing->count++;
    return true;
}

/* On the helper thread. RSA on top: it is what is read first. */
static void run(void *ctx)
{
    struct dkim_keys_own *own = ctx;

    if (open_one(own, DKIM_RSA, SENDER_SEAL_RSA, own->sealed.rsa) &&
        open_one(own, DKIM_ED25519, SENDER_SEAL_ED25519, own->sealed.ed25519))
        own->keys.state = DKIM_KEYS_READY;
}

static void on_opened(void *ctx)
{
    struct dkim_keys_own *own = ctx;

    if (own->keys.state == DKIM_KEYS_LOCKED)
        tell_locked(own);
    tell(own);
}

static void own_open(struct dkim_keys_own *own)
{
    struct keyholder *holder = own->holder;

    if (holder->work == NULL)
        holder->work = work_open(holder->loop, 1, OPENING_MAX);
    if (work_submit(holder->work, &own->job))
        return;
    run(own);
    on_opened(own);
}

static void on_fetched(void *ctx, const struct queue_domain_key *key)
{
    struct dkim_keys_own *own = ctx;
    struct arena *arena = own->arena;

    if (key->status == QUEUE_OK) {
        own->keys.signing.domain = arena_copy(arena, key->domain);
        own->signers[0].selector = arena_copy(arena, key->rsa_selector);
        own->signers[1].selector = arena_copy(arena, key->ed25519_selector);
        own->sealed.rsa = arena_copy(arena, key->sealed.rsa);
        own->sealed.ed25519 = arena_copy(arena, key->sealed.ed25519);
        own_open(own);
        return;
    }
    if (key->status == QUEUE_NOT_FOUND)
        fail(own, DKIM_KEYS_LOST, ERR_REMOTE, "are gone");
    else
        fail(own, DKIM_KEYS_AWAY, ERR_REMOTE, "could not be fetched");
    tell(own);
}

/* --- users --- */

/* A locked key may be another one by now. */
static bool is_stale(const struct dkim_keys_own *own)
{
    return own->keys.state == DKIM_KEYS_LOCKED && own->users == 0 &&
           clock_now_ms() >= own->locked_until_ms;
}

bool dkim_keys_join(struct keyholder *holder, struct queue_owner owner,
                    const struct job_signing *signing,
                    struct dkim_keys_user *user)
{
    struct dkim_keys_own *own = map_get(holder->by_id, signing->key);

    if (own != NULL && is_stale(own)) {
        own_destroy(own);
        own = NULL;
    }
    if (own == NULL) {
        own = own_create(holder, owner, signing);
        queue_domain_key_get(holder->queue, owner, own->id, on_fetched, own);
    }
    list_remove(&own->link);
    own->users++;
    user->keys = &own->keys;
    list_init(&user->link);
    if (own->keys.state != DKIM_KEYS_LOADING)
        return true;
    list_add_last(&own->waiting, &user->link);
    return false;
}

void dkim_keys_leave(struct dkim_keys_user *user)
{
    struct dkim_keys_own *own;

    if (user->keys == NULL)
        return;
    own = user->keys->own;
    list_remove(&user->link);
    user->keys = NULL;
    if (--own->users == 0)
        own_unused(own);
}

/* --- life --- */

struct keyholder *keyholder_open(struct loop *loop, struct queue *queue,
                                 const struct seal_keys *sealed_to,
                                 void (*on_ready)(void *ctx), void *ctx)
{
    struct keyholder *holder = xcalloc(1, sizeof *holder);

    holder->loop = loop;
    holder->queue = queue;
    holder->sealed_to = sealed_to;
    holder->by_id = map_create();
    holder->on_ready = on_ready;
    holder->ctx = ctx;
    list_init(&holder->unused);
    timer_init(&holder->calm, on_calm, holder);
    return holder;
}

/* Fetches under way end with the queue, which tells nobody then. */
void keyholder_close(struct keyholder **holder)
{
    size_t at = 0;
    struct str id;
    void *own;

    if (*holder == NULL)
        return;
    work_close(&(*holder)->work);
    timer_clear((*holder)->loop, &(*holder)->calm);
    while (map_next((*holder)->by_id, &at, &id, &own))
        own_destroy(own);
    map_destroy(&(*holder)->by_id);
    free(*holder);
    *holder = NULL;
}
