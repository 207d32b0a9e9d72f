/* path.h - the target of a request: path and query, and which route it is.
 *
 * Pure. Segments are decoded one by one, so an encoded slash stays inside
 * its segment; empty ones (duplicate or trailing slashes) and a leading v1
 * fall away. A path that holds a control character, or bytes that are not
 * UTF-8, is refused.
 *
 * Source: RFC 3986 sections 2.1 and 3.3, RFC 9112 section 3.2.
 */
#ifndef HTTP_PATH_H
#define HTTP_PATH_H

#include "server/base/arena.h"
#include "server/base/str.h"
#include "server/http/httpd.h"

#include <stdbool.h>
#include <stddef.h>

enum { PATH_SEGMENTS_MAX = 8, QUERY_MEMBERS_MAX = 64 };

struct path {
    struct str text; /* "/emails/x": decoded, canonical */
    struct str segments[PATH_SEGMENTS_MAX];
    size_t count;      /* PATH_SEGMENTS_MAX + 1: more than any route has */
    bool is_versioned; /* it began with v1 */
};

/* target: what stands in the request line, up to the question mark. */
MUST_USE bool path_parse(struct arena *arena, struct str target,
                         struct path *path);

/* The text of a query member or of a segment, decoded and vetted. */
MUST_USE bool path_decode(struct arena *arena, struct str raw,
                          struct str *decoded);

struct route_match {
    const struct http_route *route; /* NULL: none of that method */
    struct str params[HTTPD_PARAMS_MAX];
    size_t param_count;
    /* Without a route: the methods that the path has, as Allow wants them;
     * empty when the path is not known at all. */
    struct str allow;
};

void route_find(struct arena *arena, const struct http_route *routes,
                size_t count, struct str method, const struct path *path,
                struct route_match *match);

#endif
