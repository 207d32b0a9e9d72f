#include "queue/redis_link.h"

/* redis.url: "redis://host:port/db", "unix:/path?db=N",
 * "sentinel://host:port,host,host/master/db" or "cluster://host:port,host/".
 * Names and passwords have keys of their own, so that the URL may be shown. */

enum {
    PORT_DEFAULT = 6379,
    SENTINEL_PORT_DEFAULT = 26379,
    DATABASE_MAX = 9999,
};

static bool bad(struct error *err, const char *url, const char *why)
{
    error_set(err, ERR_CONFIG, "redis.url \"%s\": %s", url, why);
    return false;
}

static bool put_host(struct redis_node *out, struct str host)
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
    if (path.len > 107 || !put_host(&out->node, path))
        return bad(err, url, "the path is empty or over 107 bytes");
    if (!put_database(out, database))
        return bad(err, url, "db must be a number");
    return true;
}

/* "host", "host:port", "[v6]:port" */
static bool parse_node(struct str text, uint16_t port_default,
                       struct redis_node *out)
{
    struct str host = text;
    struct str port = S("");
    ptrdiff_t end;
    uint64_t value = port_default;

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

static bool parse_sentinels(const char *url, struct str rest,
                            struct redis_address *out, struct error *err)
{
    struct str hosts;
    struct str host;
    struct str master;

    if (!str_cut(&rest, '/', &hosts) || hosts.len == 0)
        return bad(err, url, "must be sentinel://host:port,host/name/db");
    while (str_cut(&hosts, ',', &host))
        if (out->sentinel_count == REDIS_SENTINELS_MAX ||
            !parse_node(host, SENTINEL_PORT_DEFAULT,
                        &out->sentinels[out->sentinel_count++]))
            return bad(err, url, "must be sentinel://host:port,host/name/db");
    if (!str_cut(&rest, '/', &master) || master.len == 0 ||
        master.len >= sizeof out->master)
        return bad(err, url, "lacks the name that the Sentinels know");
    memcpy(out->master, master.ptr, master.len);
    if (!put_database(out, rest))
        return bad(err, url, "the database must be a number");
    return true;
}

static bool parse_cluster(const char *url, struct str rest,
                          struct redis_address *out, struct error *err)
{
    struct str hosts;
    struct str host;

    if (!str_cut(&rest, '/', &hosts) || hosts.len == 0)
        return bad(err, url, "must be cluster://host:port,host:port/");
    while (str_cut(&hosts, ',', &host))
        if (out->seed_count == REDIS_SEEDS_MAX ||
            !parse_node(host, PORT_DEFAULT, &out->seeds[out->seed_count++]))
            return bad(err, url, "must be cluster://host:port,host:port/");
    if (!put_database(out, rest) || out->database != 0)
        return bad(err, url, "a cluster has no other database than 0");
    return true;
}

static bool parse_tcp(const char *url, struct str rest,
                      struct redis_address *out, struct error *err)
{
    struct str host;

    if (!str_cut(&rest, '/', &host) ||
        !parse_node(host, PORT_DEFAULT, &out->node))
        return bad(err, url, "must be redis://host:port/db");
    if (!put_database(out, rest))
        return bad(err, url, "the database must be a number");
    return true;
}

bool redis_address_parse(const char *url, struct redis_address *out,
                         struct error *err)
{
    static const struct {
        const char *scheme;
        bool (*parse)(const char *url, struct str rest,
                      struct redis_address *out, struct error *err);
    } schemes[] = {
        {"unix:", parse_unix},
        {"redis://", parse_tcp},
        {"sentinel://", parse_sentinels},
        {"cluster://", parse_cluster},
    };
    struct str text = str_of(url);

    *out = (struct redis_address){0};
    for (size_t i = 0; i < COUNT_OF(schemes); i++)
        if (str_starts(text, str_of(schemes[i].scheme)))
            return schemes[i].parse(
                url, str_from(text, strlen(schemes[i].scheme)), out, err);
    return bad(err, url,
               "must begin with redis://, unix:, sentinel:// or "
               "cluster://");
}
