/* scram.h - one SCRAM exchange of a client, as pure protocol.
 *
 * The messages as they stand inside of the base64. The slow part, from the
 * password to the keys, is a function apart, for a helper thread: one recipe
 * gives the same keys each time, so they may be kept.
 *
 * Names and passwords are taken as they are: whoever calls sees to it that
 * SASLprep (RFC 4013) would not change them.
 *
 * Source: RFC 5802; RFC 7677 (SHA-256); RFC 5056 and 9266 (channel binding).
 */
#ifndef SMTP_SCRAM_H
#define SMTP_SCRAM_H

#include "server/base/buf.h"
#include "server/base/secret.h"
#include "server/io/tls.h"

#include <stdbool.h>

enum {
    SCRAM_NONCE_SIZE = 25, /* 18 random bytes in base64, and the NUL */
    SCRAM_SALT_MAX = 128,

    /* Fewer make the proof a gift to whoever poses as the server; RFC 7677
     * section 4 says so many at least. More hold a thread for a second. */
    SCRAM_ITERATIONS_MIN = 4096,
    SCRAM_ITERATIONS_MAX = 1000 * 1000,
};

/* What the server wants the password to be made into. */
struct scram_recipe {
    enum secret_hash hash;
    unsigned iterations;
    size_t salt_len;
    unsigned char salt[SCRAM_SALT_MAX];
};

/* As secret as the password. */
struct scram_keys {
    unsigned char client[SECRET_HASH_MAX];
    unsigned char server[SECRET_HASH_MAX];
};

bool scram_recipe_eq(const struct scram_recipe *a,
                     const struct scram_recipe *b);
/* Slow: some 0.2 us an iteration. Touches nothing else, on any thread. */
void scram_derive(const struct scram_recipe *recipe, struct str password,
                  struct scram_keys *keys);

/* What the client says about channel binding. */
enum scram_bound {
    SCRAM_UNABLE,    /* it has none to show */
    SCRAM_UNOFFERED, /* it has one, and the server offers no -PLUS: a server
                        that did is told that somebody hid it */
    SCRAM_BOUND,
};

struct scram {
    struct scram_recipe recipe; /* after scram_read_first */
    enum scram_bound bound;
    struct tls_binding binding;
    char nonce[SCRAM_NONCE_SIZE];
    struct buf signed_text; /* owned: the AuthMessage, as it grows */
    size_t nonce_at;        /* of the server's nonce therein */
    size_t nonce_len;
    unsigned char server_signature[SECRET_HASH_MAX];
};

struct scram_client {
    enum secret_hash hash;
    struct str username;
    enum scram_bound bound;
    const struct tls_binding *binding; /* NULL unless bound */
    const char *nonce; /* random text, of less than SCRAM_NONCE_SIZE */
};

/* Adds a name as GS2 has it: comma and equals sign escaped (RFC 5802 section
 * 5.1, saslname). */
void scram_add_name(struct str name, struct buf *out);

void scram_init(struct scram *scram, const struct scram_client *client);
/* One that was never begun may be zero. */
void scram_finish(struct scram *scram);

/* Adds the client's first message. */
void scram_add_first(const struct scram *scram, struct buf *out);

/* Takes the server's first message. NULL: scram->recipe is what it asks for;
 * otherwise what is wrong with it, in words. */
MUST_USE const char *scram_read_first(struct scram *scram, struct str message);
/* Adds the client's last message: its proof. */
void scram_add_proof(struct scram *scram, const struct scram_keys *keys,
                     struct buf *out);

enum scram_end {
    SCRAM_PROVED,  /* the server knows the password, too */
    SCRAM_REFUSED, /* it says that something was wrong: "e=" */
    SCRAM_FORGED,  /* it does not know the password, or is not understood */
};
enum scram_end scram_read_last(const struct scram *scram, struct str message);

#endif
