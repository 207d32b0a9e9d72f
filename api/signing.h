/* signing.h - which keys sign the mail of a From, and whether it may go.
 *
 * A From of d.example is signed by the owner's domain d.example, or the nearest
 * one above it, a verified one before others; its bounces go to the host that
 * this one has for them, once the DNS shows it. What was found is remembered
 * for SIGNING_FRESH_MS, that an owner has no domain at all as well: that is a
 * look into a map for each of his mails.
 *
 * Source: RFC 7489 section 3.1 (alignment); docs/decisions/0035.
 */
#ifndef API_SIGNING_H
#define API_SIGNING_H

#include "api/call.h"

enum { SIGNING_FRESH_MS = 5000 };

struct signing {
    struct job_signing keys; /* empty: it is not signed */
    bool is_verified;
};

struct signing_cache *signing_cache_create(void);
void signing_cache_destroy(struct signing_cache **cache);
/* Of this process: somebody changed a domain, which is rare. */
void signing_cache_forget(struct signing_cache *cache);

/* done(ctx) by the time that call->own is to go on: at once if it is known,
 * else later, or the call was answered for it. signing lives in the call. */
typedef void (*signing_fn)(void *ctx, const struct signing *signing);
void signing_find(struct call *call, struct str from_domain, signing_fn done,
                  void *ctx);

#endif
