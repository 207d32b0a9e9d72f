/* domain_keys.h - a new generation of a domain's DKIM keys, made by a helper
 * thread: the private halves leave it sealed. */
#ifndef API_DOMAIN_KEYS_H
#define API_DOMAIN_KEYS_H

#include "api/call.h"
#include "server/base/seal.h"

struct domain_keys {
    struct sender_key key;
    struct sender_sealed sealed;
    /* Its own. */
    struct call *call;
    struct str domain;
    struct seal_public to;
    struct buf texts[4]; /* p= and sealed, RSA and Ed25519 */
    struct work_job job;
    void (*done)(void *ctx);
    void *ctx;
};

/* done(ctx) later, when the members are filled in, unless the caller has heard
 * that it took too long, or the call was answered: no worker has a key, too
 * many at once. keys lives in the arena of the call, and is to be finished
 * with it. */
void domain_keys_make(struct domain_keys *keys, struct call *call,
                      struct str domain, unsigned generation,
                      void (*done)(void *ctx), void *ctx);
void domain_keys_finish(struct domain_keys *keys);

#endif
