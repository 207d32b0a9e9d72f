/* guard.h - where a customer may point us: URLs of webhooks. Pure.
 *
 * A URL that a stranger chose is fetched from inside our network, so it must
 * not reach what only the inside can reach (SSRF). Two questions: is this
 * URL one that we take at all (asked when it is stored, and again before
 * each delivery), and is this address one that we connect to (asked for
 * every address that its name has at that moment).
 *
 * webhook.allow_private opens loopback, private and shared addresses and
 * local names, for development and closed networks. What no receiver can
 * have stays shut: multicast, reserved, link-local and metadata addresses,
 * and IPv4 addresses dressed up as IPv6.
 *
 * Source: RFC 3986 (URLs), IANA special-purpose address registries (RFC
 * 6890), RFC 6052 (NAT64), RFC 6761 (special names).
 */
#ifndef IO_GUARD_H
#define IO_GUARD_H

#include "server/base/check.h"
#include "server/base/config.h"
#include "server/base/error.h"
#include "server/base/str.h"
#include "server/io/address.h"

#include <stdbool.h>
#include <stdint.h>

enum { GUARD_URL_MAX = 2048 };

struct guard_target {
    bool https;
    struct str host; /* in the URL: a name, or an address without brackets */
    uint16_t port;
};

/* False and err (ERR_INPUT: what is wrong, without the URL) for a URL that
 * no webhook may have. A host that is a number is vetted as an address. */
MUST_USE bool guard_url(const struct config_webhook *policy, struct str url,
                        struct guard_target *target, struct error *err);

/* NULL: we may connect there. Else why not: "a loopback address". */
const char *guard_address(const struct config_webhook *policy,
                          const struct address *address);

#endif
