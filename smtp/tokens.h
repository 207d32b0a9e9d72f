/* tokens.h - the OAuth tokens of an upstream: where they come from, and when
 * the next one is fetched.
 *
 * The file is read by the engine's helper thread, the command runs beside the
 * loop; whatever asks meanwhile waits for the one fetch. The first one is made
 * at once, the next ones before a token ends (token_refresh_ms), a file is
 * read every 30 s. What fails is tried again after 1, 2, 4 ... 60 s; until
 * its end the token before is used. A file's token lives from the time when
 * the file was written.
 */
#ifndef SMTP_TOKENS_H
#define SMTP_TOKENS_H

#include "server/base/config.h"
#include "server/base/list.h"
#include "server/io/command.h"
#include "smtp/helper.h"
#include "smtp/token.h"

#include <stdbool.h>
#include <stdint.h>

struct tokens {
    const struct config_upstream *config;
    struct loop *loop;
    struct helper *helper;
    struct token now;      /* text empty: none */
    int64_t good_until_ms; /* monotonic */
    struct timer timer;    /* for the next one */
    unsigned failures;     /* in a row */
    bool is_fetching;
    struct list waits;
    const char **argv;       /* owned; NULL: of a file */
    struct command *command; /* owned; NULL: not running */
    struct work_job job;     /* of the file */
    struct {
        struct buf text; /* secret */
        int64_t written_ms;
        struct error err;
        bool ok;
    } file; /* as the helper thread left it */
};

/* config and helper must outlive it. Without a token's source it does nothing.
 */
void tokens_init(struct tokens *tokens, struct loop *loop,
                 struct helper *helper, const struct config_upstream *config);
/* Nobody waits any more, and the helper is closed. */
void tokens_finish(struct tokens *tokens);

bool tokens_are_to_be_had(const struct config_upstream *config);

/* Empty: to be fetched. Valid until the next turn. */
struct str tokens_find(const struct tokens *tokens);
/* The server does not take that one: it is found no more, unless the next
 * fetch brings it again. */
void tokens_refuse(struct tokens *tokens, struct str token);

/* done is called once, not inside: with a token, or an empty one and why, in
 * words that hold no secret. */
struct token_wait;
typedef void (*token_done_fn)(void *ctx, struct str token, const char *why);
struct token_wait *tokens_fetch(struct tokens *tokens, token_done_fn done,
                                void *ctx);
/* done will not be called. */
void tokens_cancel(struct token_wait **wait);

#endif
