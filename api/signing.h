/* signing.h - which keys sign the mail of a From, whether it may go, and how
 * that is shown to those who ask before they send.
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
#include "smtp/message/message.h"

enum { SIGNING_FRESH_MS = 5000 };

struct signing {
    struct job_signing keys;               /* empty: it is not signed */
    struct str selectors[DKIM_ALGORITHMS]; /* by algorithm */
    struct str nearest; /* id of the domain of From, or next above it */
    bool is_verified;
    bool owner_has_none; /* not a single domain */
};

/* The key is for every domain, or for the one that is nearest. */
bool signing_suits(const struct signing *signing, const struct api_key *key);

struct signing_cache *signing_cache_create(void);
void signing_cache_destroy(struct signing_cache **cache);
/* Of this process: somebody changed a domain, which is rare. */
void signing_cache_forget(struct signing_cache *cache);

/* done(ctx) by the time that call->own is to go on: at once if it is known and
 * suits the key, else later, or the call was answered for it. signing lives in
 * the call. */
typedef void (*signing_fn)(void *ctx, const struct signing *signing);
void signing_find(struct call *call, struct str from_domain, signing_fn done,
                  void *ctx);

/* The member "signing": domain and signatures, RSA on top as in the mail, or
 * the reason why there will be none. NULL: only a server can know. Pure. */
void signing_put(struct json_out *out, const struct signing *signing,
                 struct str from_domain, struct arena *arena);

#endif
