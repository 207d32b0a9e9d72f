/* keys.h - the keys that SCRAM makes of an upstream's password.
 *
 * Deriving takes from a millisecond to a third of a second, so it is done on
 * a helper thread of the engine. The keys are kept: a server wants the same
 * recipe each time, or, where it has the password itself (Cyrus SASL), one
 * for each of its processes.
 */
#ifndef SMTP_KEYS_H
#define SMTP_KEYS_H

#include "server/base/list.h"
#include "smtp/helper.h"
#include "smtp/scram.h"

#include <stdbool.h>
#include <stddef.h>

enum { KEYS_KEPT = 8 };

struct keys {
    struct helper *helper;
    struct str password;
    struct {
        struct scram_recipe recipe;
        struct scram_keys keys;
    } kept[KEYS_KEPT];
    size_t count;
    size_t next;      /* to be forgotten */
    struct list jobs; /* owned: those under way */
};

/* password must outlive it. */
void keys_init(struct keys *keys, struct helper *helper, struct str password);
void keys_finish(struct keys *keys);

/* NULL: to be derived. Valid until the next turn. */
const struct scram_keys *keys_find(const struct keys *keys,
                                   const struct scram_recipe *recipe);

/* done is called once, not inside. NULL: the helper has too much to do. */
struct keys_job;
struct keys_job *
keys_derive(struct keys *keys, const struct scram_recipe *recipe,
            void (*done)(void *ctx, const struct scram_keys *derived),
            void *ctx);
/* done will not be called. */
void keys_cancel(struct keys_job **job);

#endif
