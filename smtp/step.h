/* step.h - how long each wait of a session may last.
 *
 * The step tables (greet.c, txn.c) name a wait; its length is the upstream's
 * configuration, whose defaults are those of RFC 5321 section 4.5.3.2 or
 * longer, the banner's excepted.
 */
#ifndef SMTP_STEP_H
#define SMTP_STEP_H

#include "server/base/config.h"

#include <stdint.h>

/* A server that has answered a dot, and says nothing for so long to what came
 * behind it, threw that away (RFC 2920 section 3.2 forbids it). The mail goes
 * out on another session. */
enum { FOLLOWER_WAIT_MS = 5000 };

enum smtp_wait {
    WAIT_CONNECT,
    WAIT_BANNER,
    WAIT_HANDSHAKE,
    WAIT_COMMAND,
    WAIT_FOLLOWER, /* the first reply to what came behind a dot */
    WAIT_DATA,
    WAIT_BLOCK, /* the peer takes none of what we write */
    WAIT_DOT,
    WAIT_IDLE,
};

static inline int64_t smtp_wait_ms(const struct config_upstream *upstream,
                                   enum smtp_wait wait)
{
    switch (wait) {
    case WAIT_CONNECT:
    case WAIT_HANDSHAKE: /* of the same order, and no key of its own */
        return upstream->connect_timeout_ms;
    case WAIT_BANNER:
        return upstream->banner_timeout_ms;
    case WAIT_COMMAND:
        return upstream->command_timeout_ms;
    case WAIT_FOLLOWER:
        return upstream->command_timeout_ms < FOLLOWER_WAIT_MS
                   ? upstream->command_timeout_ms
                   : FOLLOWER_WAIT_MS;
    case WAIT_DATA:
        return upstream->data_timeout_ms;
    case WAIT_BLOCK:
        return upstream->block_timeout_ms;
    case WAIT_DOT:
        return upstream->dot_timeout_ms;
    case WAIT_IDLE:
        break;
    }
    return upstream->idle_timeout_ms;
}

#endif
