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
    FRESH_MS = 60000,     /* until it is asked again who signs */
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

/* What mail that was accepted with one generation is signed with. */
struct dkim_keys_own {
    struct dkim_keys keys;
    struct list link; /* of holder.unused */
    struct keyholder *holder;
    struct list waiting;
    unsigned users;
    int64_t asked_ms; /* by the shared clock, which the answer goes by */
    bool is_replaced; /* holder.by_id has a later one, or none */
    int64_t locked_until_ms;
    struct arena *arena;
    struct queue_owner owner;
    struct str domain;
    struct str id;   /* of the generation that the mail names */
    struct id signs; /* that one, or the one that it was sent on to */
    struct str context;
    struct sender_sealed sealed;
    struct dkim_signer signers[DKIM_ALGORITHMS];
    struct dkim_key *private_keys[DKIM_ALGORITHMS]; /* owned */
    struct work_job job;
    struct opened {
        enum dkim_keys_state state;
        struct error why;
    } opened; /* by the thread; keys has it when the loop heard of it */
};

/* --- life of one --- */

static void run(void *ctx);
static void on_opened(void *ctx);

static struct dkim_keys_own *own_create(struct keyholder *holder,
                                        struct queue_owner owner,
                                        const struct job_signing *signing)
{
    struct dkim_keys_own *own = xcalloc(1, sizeof *own);

    own->keys.own = own;
    own->holder = holder;
    list_init(&own->link);
    list_init(&own->waiting);
    work_job_init(&own->job, run, on_opened, own);
    own->arena = arena_create();
    own->owner.name = arena_copy(own->arena, owner.name);
    own->owner.home = owner.home;
    own->domain = arena_copy(own->arena, signing->domain);
    own->id = arena_copy(own->arena, signing->key);
    if (!id_parse(own->id, &own->signs))
        own->signs = (struct id){.text = ""}; /* known to no domain */
    own->asked_ms = clock_shared_ms();
    map_put(holder->by_id, own->id, own);
    return own;
}

static void own_destroy(struct dkim_keys_own *own)
{
    if (!own->is_replaced)
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
    if (own->keys.state == DKIM_KEYS_AWAY ||
        own->keys.state == DKIM_KEYS_LOST || own->is_replaced)
        own_destroy(own);
    else if (map_count(holder->by_id) > KEPT_MAX)
        own_destroy(
            LIST_MEMBER(holder->unused.next, struct dkim_keys_own, link));
}

/* Those who use it go on. */
static void own_replace(struct dkim_keys_own *own)
{
    map_remove(own->holder->by_id, own->id);
    own->is_replaced = true;
    if (own->users == 0)
        own_destroy(own);
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
                 const char *what)
{
    own->keys.state = state;
    error_set(&own->keys.why, ERR_REMOTE, "the DKIM keys of the mail %s", what);
}

static struct str id_of_seal(struct str sealed)
{
    struct str id = S("");

    CHECK(str_cut(&sealed, '.', &id));
    return id;
}

/* One of the two, to stand behind those that are there. False: why not stands
 * in opened. */
static bool open_one(struct dkim_keys_own *own, enum dkim_algorithm algorithm,
                     const char *label, struct str sealed)
{
    struct compose_signing *signing = &own->keys.signing;
    struct opened *opened = &own->opened;
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
        opened->state = DKIM_KEYS_LOCKED;
        error_set(&opened->why, ERR_CONFIG,
                  "DKIM keys are sealed to the workers' key %.*s, which "
                  "secrets.worker_key_file does not hold",
                  STR_ARG(id_of_seal(sealed)));
        return false;
    }
    if (own->private_keys[algorithm] == NULL) {
        opened->state = DKIM_KEYS_LOST;
        error_set(&opened->why, ERR_REMOTE,
                  "the DKIM keys of the mail cannot be read");
        return false;
    }
    own->signers[signing->count].key = own->private_keys[algorithm];
    signing->signers = own->signers;
    signing->count++;
    return true;
}

/* On the helper thread: who asks meanwhile finds them loading, and looks at
 * nothing else. RSA on top: it is what is read first. */
static void run(void *ctx)
{
    struct dkim_keys_own *own = ctx;

    if (open_one(own, DKIM_RSA, SENDER_SEAL_RSA, own->sealed.rsa) &&
        open_one(own, DKIM_ED25519, SENDER_SEAL_ED25519, own->sealed.ed25519))
        own->opened.state = DKIM_KEYS_READY;
}

static void on_opened(void *ctx)
{
    struct dkim_keys_own *own = ctx;

    own->keys.state = own->opened.state;
    own->keys.why = own->opened.why;
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

/* --- fetching --- */

static void own_fetch(struct dkim_keys_own *own);

static void take(struct dkim_keys_own *own, const struct queue_domain_key *key)
{
    struct arena *arena = own->arena;
    struct buf context;

    own->keys.signing.domain = arena_copy(arena, key->domain);
    own->signers[0].selector = arena_copy(arena, key->rsa_selector);
    own->signers[1].selector = arena_copy(arena, key->ed25519_selector);
    own->sealed.rsa = arena_copy(arena, key->sealed.rsa);
    own->sealed.ed25519 = arena_copy(arena, key->sealed.ed25519);
    buf_init(&context, 1024);
    sender_seal_context(own->owner.name, own->domain, &own->signs, &context);
    own->context = arena_copy(arena, buf_str(&context));
    buf_finish(&context);
}

static void on_fetched(void *ctx, const struct queue_domain_key *key)
{
    struct dkim_keys_own *own = ctx;
    const struct id *signs;

    if (key->status != QUEUE_OK && key->status != QUEUE_NOT_FOUND) {
        fail(own, DKIM_KEYS_AWAY, "could not be fetched");
        tell(own);
        return;
    }
    signs =
        sender_domain_signs_for(key->present, &own->signs, clock_shared_ms());
    if (signs != &own->signs) {
        own->signs = *signs;
        own_fetch(own);
    } else if (key->status == QUEUE_NOT_FOUND) {
        fail(own, DKIM_KEYS_LOST, "are gone");
        tell(own);
    } else {
        take(own, key);
        own_open(own);
    }
}

static void own_fetch(struct dkim_keys_own *own)
{
    queue_domain_key_get(own->holder->queue, own->owner, own->domain,
                         id_str(&own->signs), on_fetched, own);
}

/* --- users --- */

/* Another generation may sign by now; a locked key may be another one. */
static bool is_stale(const struct dkim_keys_own *own)
{
    if (own->keys.state == DKIM_KEYS_LOCKED)
        return own->users == 0 && clock_now_ms() >= own->locked_until_ms;
    return own->keys.state == DKIM_KEYS_READY &&
           clock_shared_ms() - own->asked_ms >= FRESH_MS;
}

bool dkim_keys_join(struct keyholder *holder, struct queue_owner owner,
                    const struct job_signing *signing,
                    struct dkim_keys_user *user)
{
    struct dkim_keys_own *own = map_get(holder->by_id, signing->key);

    if (own != NULL && is_stale(own)) {
        own_replace(own);
        own = NULL;
    }
    if (own == NULL) {
        own = own_create(holder, owner, signing);
        own_fetch(own);
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
