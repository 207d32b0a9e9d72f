#include "server/io/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static struct str without_brackets(struct str host)
{
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        return str_slice(host, 1, host.len - 2);
    return host;
}

/* inet_pton and not getaddrinfo: the latter takes "127.1" and octal parts,
 * and what one reader takes for a name must not be an address to another. */
static bool parse_v4(const char *host, uint16_t port, struct address *address)
{
    struct sockaddr_in *v4 = &address->at.v4;

    *address = (struct address){.len = sizeof *v4};
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return inet_pton(AF_INET, host, &v4->sin_addr) == 1;
}

static bool parse_v6(char *host, uint16_t port, struct address *address)
{
    struct sockaddr_in6 *v6 = &address->at.v6;
    char *scope = strchr(host, '%');

    *address = (struct address){.len = sizeof *v6};
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    if (scope != NULL) {
        *scope++ = '\0';
        v6->sin6_scope_id = if_nametoindex(scope);
        if (v6->sin6_scope_id == 0)
            return false;
    }
    return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1;
}

bool address_parse(struct str host, uint16_t port, struct address *address)
{
    char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
    struct str bare = without_brackets(host);

    if (bare.len == 0 || bare.len >= sizeof text || str_has_control(bare))
        return false;
    memcpy(text, bare.ptr, bare.len);
    text[bare.len] = '\0';
    if (bare.len == host.len && parse_v4(text, port, address))
        return true;
    return parse_v6(text, port, address);
}

bool address_of_path(struct str path, struct address *address)
{
    struct sockaddr_un *local = &address->at.local;

    *address = (struct address){.len = sizeof *local};
    if (path.len == 0 || path.len >= sizeof local->sun_path ||
        str_index(path, '\0', 0) >= 0)
        return false;
    local->sun_family = AF_UNIX;
    memcpy(local->sun_path, path.ptr, path.len);
    return true;
}

void address_copy(struct address *address, const struct sockaddr *from,
                  socklen_t len)
{
    CHECK(len <= sizeof address->at);
    *address = (struct address){.len = len};
    memcpy(&address->at, from, len);
}

uint16_t address_port(const struct address *address)
{
    if (address->at.any.sa_family == AF_INET)
        return ntohs(address->at.v4.sin_port);
    if (address->at.any.sa_family == AF_INET6)
        return ntohs(address->at.v6.sin6_port);
    return 0;
}

bool address_eq(const struct address *a, const struct address *b)
{
    if (a->at.any.sa_family != b->at.any.sa_family)
        return false;
    if (a->at.any.sa_family == AF_INET)
        return a->at.v4.sin_addr.s_addr == b->at.v4.sin_addr.s_addr &&
               a->at.v4.sin_port == b->at.v4.sin_port;
    if (a->at.any.sa_family == AF_INET6)
        return memcmp(&a->at.v6.sin6_addr, &b->at.v6.sin6_addr,
                      sizeof a->at.v6.sin6_addr) == 0 &&
               a->at.v6.sin6_port == b->at.v6.sin6_port &&
               a->at.v6.sin6_scope_id == b->at.v6.sin6_scope_id;
    return strcmp(a->at.local.sun_path, b->at.local.sun_path) == 0;
}

void address_format_host(const struct address *address,
                         char out[ADDRESS_TEXT_SIZE])
{
    out[0] = '\0';
    if (address->at.any.sa_family == AF_INET)
        inet_ntop(AF_INET, &address->at.v4.sin_addr, out, ADDRESS_TEXT_SIZE);
    else if (address->at.any.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &address->at.v6.sin6_addr, out, ADDRESS_TEXT_SIZE);
    else
        snprintf(out, ADDRESS_TEXT_SIZE, "unix:%s", address->at.local.sun_path);
}

void address_format(const struct address *address, char out[ADDRESS_TEXT_SIZE])
{
    char host[ADDRESS_TEXT_SIZE];

    address_format_host(address, host);
    if (address->at.any.sa_family == AF_INET)
        snprintf(out, ADDRESS_TEXT_SIZE, "%.45s:%u", host,
                 address_port(address));
    else if (address->at.any.sa_family == AF_INET6)
        snprintf(out, ADDRESS_TEXT_SIZE, "[%.45s]:%u", host,
                 address_port(address));
    else
        memcpy(out, host, sizeof host);
}
