#include "server/http/path.h"

#include "server/base/buf.h"
#include "server/base/codec.h"

bool path_decode(struct arena *arena, struct str raw, struct str *decoded)
{
    struct buf buf;
    bool ok;

    if (str_index(raw, '%', 0) < 0) {
        *decoded = raw;
        return !str_has_control(raw) && utf8_is_valid(raw);
    }
    buf_init(&buf, raw.len);
    ok = codec_percent_decode(raw, &buf) && !str_has_control(buf_str(&buf)) &&
         utf8_is_valid(buf_str(&buf));
    if (ok)
        *decoded = arena_copy(arena, buf_str(&buf));
    buf_finish(&buf);
    return ok;
}

/* "http://host/path" may stand for "/path" (RFC 9112 section 3.2.2). */
static struct str without_authority(struct str target)
{
    ptrdiff_t slash;

    if (str_starts_nocase(target, S("http://")))
        target = str_from(target, 7);
    else if (str_starts_nocase(target, S("https://")))
        target = str_from(target, 8);
    else
        return target;
    slash = str_index(target, '/', 0);
    return slash < 0 ? S("/") : str_from(target, (size_t)slash);
}

bool path_parse(struct arena *arena, struct str target, struct path *path)
{
    struct str rest = without_authority(target);
    struct str raw, segment;
    struct buf text;
    bool is_first = true;
    bool ok = true;

    *path = (struct path){.count = 0};
    if (rest.len == 0 || rest.ptr[0] != '/')
        return false;
    buf_init(&text, rest.len + 1);
    while (ok && str_cut(&rest, '/', &raw)) {
        if (raw.len == 0)
            continue;
        ok = path_decode(arena, raw, &segment);
        path->is_versioned |= ok && is_first && str_eq(segment, S("v1"));
        if (!ok || (is_first && path->is_versioned)) {
            is_first = false;
            continue;
        }
        is_first = false;
        buf_add_char(&text, '/');
        buf_add(&text, segment);
        if (path->count < PATH_SEGMENTS_MAX)
            path->segments[path->count] = segment;
        if (path->count <= PATH_SEGMENTS_MAX)
            path->count++;
    }
    path->text = text.len == 0 ? S("/") : arena_copy(arena, buf_str(&text));
    buf_finish(&text);
    return ok;
}

static bool is_param(struct str part)
{
    return part.len > 0 && part.ptr[0] == '{';
}

static bool path_fits(const struct http_route *route, const struct path *path,
                      struct route_match *match)
{
    struct str pattern = str_from(str_of(route->path), 1);
    struct str part;
    size_t at = 0;

    match->param_count = 0;
    while (str_cut(&pattern, '/', &part)) {
        if (at >= path->count || at >= PATH_SEGMENTS_MAX)
            return false;
        if (is_param(part)) {
            CHECK(match->param_count < HTTPD_PARAMS_MAX);
            match->params[match->param_count++] = path->segments[at];
        } else if (!str_eq(part, path->segments[at])) {
            return false;
        }
        at++;
    }
    return at == path->count;
}

static bool method_fits(const struct http_route *route, struct str method)
{
    struct str own = str_of(route->method);

    return str_eq(own, method) ||
           (str_eq(own, S("GET")) && str_eq(method, S("HEAD")));
}

void route_find(struct arena *arena, const struct http_route *routes,
                size_t count, struct str method, const struct path *path,
                struct route_match *match)
{
    *match = (struct route_match){.route = NULL};
    for (size_t i = 0; i < count; i++) {
        if (!path_fits(&routes[i], path, match))
            continue;
        if (method_fits(&routes[i], method)) {
            match->route = &routes[i];
            return;
        }
        match->allow = arena_printf(
            arena, "%.*s%s%s%s", STR_ARG(match->allow),
            match->allow.len == 0 ? "" : ", ", routes[i].method,
            str_eq(str_of(routes[i].method), S("GET")) ? ", HEAD" : "");
    }
    match->param_count = 0;
}
