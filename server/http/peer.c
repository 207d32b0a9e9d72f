#include "server/http/peer.h"

#include "server/base/map.h"
#include "server/base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { V4_PREFIX_BITS = 96, COUNTED_BYTES_V6 = 8 };

static const unsigned char V4_PREFIX[12] = {[10] = 0xff, [11] = 0xff};

bool peer_ip_of(const struct address *address, struct peer_ip *ip)
{
    if (address->at.any.sa_family == AF_INET) {
        memcpy(ip->bytes, V4_PREFIX, sizeof V4_PREFIX);
        memcpy(ip->bytes + 12, &address->at.v4.sin_addr, 4);
        return true;
    }
    if (address->at.any.sa_family == AF_INET6) {
        memcpy(ip->bytes, &address->at.v6.sin6_addr, 16);
        return true;
    }
    return false;
}

static bool peer_ip_parse(struct str text, struct peer_ip *ip)
{
    struct address address;

    return address_parse(text, 0, &address) && peer_ip_of(&address, ip);
}

static bool is_v4(const struct peer_ip *ip)
{
    return memcmp(ip->bytes, V4_PREFIX, sizeof V4_PREFIX) == 0;
}

static bool net_parse(struct str text, struct peer_net *net)
{
    struct str host = text;
    ptrdiff_t slash = str_index(text, '/', 0);
    uint64_t bits = 128;

    if (slash >= 0) {
        host = str_slice(text, 0, (size_t)slash);
        if (!str_to_u64(str_from(text, (size_t)slash + 1), &bits))
            return false;
    }
    if (!peer_ip_parse(host, &net->ip))
        return false;
    if (slash >= 0 && str_index(host, ':', 0) < 0)
        bits += V4_PREFIX_BITS;
    net->bits = (unsigned)bits;
    return bits <= 128;
}

bool peer_nets_init(struct peer_nets *nets, const char *const *texts,
                    size_t count, struct error *err)
{
    *nets = (struct peer_nets){.nets = xcalloc(count + 1, sizeof *nets->nets)};
    for (size_t i = 0; i < count; i++) {
        if (str_eq(str_of(texts[i]), S("unix"))) {
            nets->local = true;
        } else if (net_parse(str_of(texts[i]), &nets->nets[nets->count])) {
            nets->count++;
        } else {
            error_set(err, ERR_CONFIG,
                      "trusted proxy \"%s\": want an address, address/bits "
                      "or unix",
                      texts[i]);
            peer_nets_finish(nets);
            return false;
        }
    }
    return true;
}

void peer_nets_finish(struct peer_nets *nets)
{
    free(nets->nets);
    *nets = (struct peer_nets){.nets = NULL};
}

static bool net_holds(const struct peer_net *net, const struct peer_ip *ip)
{
    size_t whole = net->bits / 8;
    unsigned rest = net->bits % 8;
    unsigned mask = (0xff00u >> rest) & 0xffu;

    if (memcmp(net->ip.bytes, ip->bytes, whole) != 0)
        return false;
    return rest == 0 || ((net->ip.bytes[whole] ^ ip->bytes[whole]) & mask) == 0;
}

bool peer_nets_hold(const struct peer_nets *nets, const struct peer_ip *ip)
{
    for (size_t i = 0; i < nets->count; i++)
        if (net_holds(&nets->nets[i], ip))
            return true;
    return false;
}

/* Cuts the last element off a comma list. */
static struct str last_of(struct str *list)
{
    size_t at = list->len;
    struct str last;

    while (at > 0 && list->ptr[at - 1] != ',')
        at--;
    last = str_trim(str_from(*list, at));
    *list = str_slice(*list, 0, at == 0 ? 0 : at - 1);
    return last;
}

struct str peer_forwarded(const struct peer_nets *trusted, struct str field)
{
    struct str client = {NULL, 0};
    struct str text;
    struct peer_ip ip;

    while (field.len > 0) {
        text = last_of(&field);
        if (!peer_ip_parse(text, &ip))
            break;
        client = text;
        if (!peer_nets_hold(trusted, &ip))
            break;
    }
    return client;
}

struct peer_table {
    struct map *counts; /* of struct count, by address */
    unsigned limit;
};

struct count {
    unsigned connections;
};

struct peer_table *peer_table_create(unsigned limit)
{
    struct peer_table *table = xmalloc(sizeof *table);

    *table = (struct peer_table){map_create(), limit};
    return table;
}

void peer_table_destroy(struct peer_table **table)
{
    size_t at = 0;
    struct str key;
    void *count;

    if (*table == NULL)
        return;
    while (map_next((*table)->counts, &at, &key, &count))
        free(count);
    map_destroy(&(*table)->counts);
    free(*table);
    *table = NULL;
}

static struct str counted_part(const struct peer_ip *ip)
{
    return str_make(ip->bytes, is_v4(ip) ? 16 : COUNTED_BYTES_V6);
}

bool peer_table_enter(struct peer_table *table, const struct peer_ip *ip)
{
    struct count *count = map_get(table->counts, counted_part(ip));

    if (count == NULL) {
        count = xcalloc(1, sizeof *count);
        map_put(table->counts, counted_part(ip), count);
    }
    if (count->connections >= table->limit)
        return false;
    count->connections++;
    return true;
}

void peer_table_leave(struct peer_table *table, const struct peer_ip *ip)
{
    struct count *count = map_get(table->counts, counted_part(ip));

    CHECK(count != NULL && count->connections > 0);
    if (--count->connections == 0) {
        map_remove(table->counts, counted_part(ip));
        free(count);
    }
}
