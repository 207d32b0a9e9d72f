#include "queue/redis_link.h"

/* redis.url: "redis://host:port/db" or "unix:/path?db=N". Names and
 * passwords have keys of their own, so that the URL may be shown. */

enum { PORT_DEFAULT = 6379, DATABASE_MAX = 9999 };

static bool bad(struct error *err, const char *url, const char *why)
{
    error_set(err, ERR_CONFIG, "redis.url \"%s\": %s", url, why);
    return false;
}

static bool put_host(struct redis_address *out, struct str host)
{
    if (host.len == 0 || host.len >= sizeof out->host || str_has_control(host))
        return false;
    memcpy(out->host, host.ptr, host.len);
    out->host[host.len] = '\0';
    return true;
}

static bool put_database(struct redis_address *out, struct str text)
{
    uint64_t value = 0;

    if (text.len > 0 && (!str_to_u64(text, &value) || value > DATABASE_MAX))
        return false;
    out->database = (unsigned)value;
    return true;
}

static bool parse_unix(const char *url, struct str rest,
                       struct redis_address *out, struct error *err)
{
    ptrdiff_t query = str_find(rest, S("?db="), 0);
    struct str path = query < 0 ? rest : str_slice(rest, 0, (size_t)query);
    struct str database = query < 0 ? S("") : str_from(rest, (size_t)query + 4);

    out->is_unix = true;
    /* sockaddr_un's path is 108 bytes with its NUL. */
    if (path.len > 107 || !put_host(out, path))
        return bad(err, url, "the path is empty or over 107 bytes");
    if (!put_database(out, database))
        return bad(err, url, "db must be a number");
    return true;
}

/* "host", "host:port", "[v6]:port" */
static bool parse_host(struct str text, struct redis_address *out)
{
    struct str host = text;
    struct str port = S("");
    ptrdiff_t end;
    uint64_t value = PORT_DEFAULT;

    if (str_starts(text, S("["))) {
        end = str_index(text, ']', 0);
        if (end < 0)
            return false;
        host = str_slice(text, 1, (size_t)end - 1);
        port = str_from(text, (size_t)end + 1);
    } else if ((end = str_index(text, ':', 0)) >= 0) {
        host = str_slice(text, 0, (size_t)end);
        port = str_from(text, (size_t)end);
    }
    if (port.len > 0 &&
        (port.ptr[0] != ':' || !str_to_u64(str_from(port, 1), &value) ||
         value == 0 || value > UINT16_MAX))
        return false;
    out->port = (uint16_t)value;
    return put_host(out, host);
}

bool redis_address_parse(const char *url, struct redis_address *out,
                         struct error *err)
{
    struct str rest = str_of(url);
    struct str host;

    *out = (struct redis_address){0};
    if (str_starts(rest, S("unix:")))
        return parse_unix(url, str_from(rest, 5), out, err);
    if (!str_starts(rest, S("redis://")))
        return bad(err, url, "must begin with redis:// or unix:");
    rest = str_from(rest, 8);
    if (!str_cut(&rest, '/', &host) || !parse_host(host, out))
        return bad(err, url, "must be redis://host:port/db");
    if (!put_database(out, rest))
        return bad(err, url, "the database must be a number");
    return true;
}
