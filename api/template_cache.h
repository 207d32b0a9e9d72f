/* template_cache.h - the published templates that this child compiled lately.
 *
 * Two maps: what name has which version, believed for 5 s (as an API key is,
 * key_cache.c), and the compiled versions, which never change and are dropped
 * when they take too much room, the longest unused first. Who holds one keeps
 * it, whatever the cache does. A name that there is not is never remembered:
 * what was just published can be sent at once.
 */
#ifndef API_TEMPLATE_CACHE_H
#define API_TEMPLATE_CACHE_H

#include "queue/queue.h"
#include "smtp/message/message.h"

struct template_cache;

/* One compiled version, shared by those who hold it. */
struct held_template {
    struct list link; /* of the cache, longest unused first */
    unsigned holders;
    char id[ID_SIZE]; /* of the template; of a built-in one empty */
    char version[ID_SIZE];
    struct mail_template *mail; /* owned */
};

struct template_cache *template_cache_create(void);
void template_cache_destroy(struct template_cache **cache);

/* What is returned is held, for held_template_drop. NULL: that name was not
 * looked up lately. */
struct held_template *template_cache_get(struct template_cache *cache,
                                         struct str owner, struct str name);
/* The version that the name had when it was looked up, however long ago; empty:
 * never. Lives until the next call. */
struct str template_cache_version(struct template_cache *cache,
                                  struct str owner, struct str name);
/* The name was looked up and has that version. NULL: it is not here. */
struct held_template *template_cache_renew(struct template_cache *cache,
                                           struct str owner, struct str name,
                                           struct str version);
/* Likewise, and here it is. */
void template_cache_put(struct template_cache *cache, struct str owner,
                        struct str name, struct held_template *held);
/* Names are looked up again: this child changed one. */
void template_cache_forget(struct template_cache *cache);

/* Takes mail over. Held by the caller alone. */
struct held_template *held_template_new(struct str id, struct str version,
                                        struct mail_template *mail);
void held_template_drop(struct held_template **held); /* NULL is fine */

#endif
