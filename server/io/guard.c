#include "server/io/guard.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* --- addresses --- */

enum reach {
    OPEN,
    PRIVATE, /* under webhook.allow_private */
    SHUT,
};

/* The first range that holds the address decides. */
struct range {
    unsigned char start[16];
    unsigned bits;
    enum reach reach;
    const char *words;
};

static const struct range RANGES_V4[] = {
    {{0}, 8, SHUT, "an unspecified address"},
    {{10}, 8, PRIVATE, "a private address"},
    {{100, 100, 100, 200}, 32, SHUT, "a metadata address"},
    {{100, 64}, 10, PRIVATE, "a shared address"},
    {{127}, 8, PRIVATE, "a loopback address"},
    {{168, 63, 129, 16}, 32, SHUT, "a metadata address"},
    {{169, 254}, 16, SHUT, "a link-local address"},
    {{172, 16}, 12, PRIVATE, "a private address"},
    {{192, 0, 0}, 24, SHUT, "a reserved address"},
    {{192, 0, 2}, 24, SHUT, "a documentation address"},
    {{192, 88, 99}, 24, SHUT, "a reserved address"},
    {{192, 168}, 16, PRIVATE, "a private address"},
    {{198, 18}, 15, PRIVATE, "a benchmarking address"},
    {{198, 51, 100}, 24, SHUT, "a documentation address"},
    {{203, 0, 113}, 24, SHUT, "a documentation address"},
    {{224}, 4, SHUT, "a multicast address"},
    {{240}, 4, SHUT, "a reserved address"},
    {{0}, 0, OPEN, NULL},
};

/* Whatever lies outside of 2000::/3 is no host on the internet. */
static const struct range RANGES_V6[] = {
    {{[15] = 1}, 128, PRIVATE, "a loopback address"},
    {{0}, 128, SHUT, "an unspecified address"},
    {{[10] = 0xff, 0xff}, 96, SHUT, "an IPv4 address inside IPv6"},
    {{0}, 96, SHUT, "an IPv4 address inside IPv6"},
    {{0x20, 0x01}, 32, SHUT, "a tunnel address"}, /* Teredo */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, SHUT, "a documentation address"},
    {{0x20, 0x01}, 23, SHUT, "a reserved address"},
    {{0x20, 0x02}, 16, SHUT, "a tunnel address"}, /* 6to4 */
    {{0x3f, 0xff}, 20, SHUT, "a documentation address"},
    {{0xfd, 0x00, 0x0e, 0xc2}, 32, SHUT, "a metadata address"},
    {{0xfd, 0x20, 0x00, 0xce}, 32, SHUT, "a metadata address"},
    {{0xfc}, 7, PRIVATE, "a private address"},
    {{0xfe, 0x80}, 10, SHUT, "a link-local address"},
    {{0xff}, 8, SHUT, "a multicast address"},
    {{0x20}, 3, OPEN, NULL},
    {{0}, 0, SHUT, "a reserved address"},
};

/* RFC 6052 section 2.1: what a resolver gives on an IPv6-only network. */
static const unsigned char NAT64[12] = {0x00, 0x64, 0xff, 0x9b};

static bool holds(const struct range *range, const unsigned char *bytes)
{
    unsigned whole = range->bits / 8;
    unsigned rest = range->bits % 8;
    unsigned mask = 0xffu << (8 - rest) & 0xffu;

    return memcmp(range->start, bytes, whole) == 0 &&
           (rest == 0 || ((range->start[whole] ^ bytes[whole]) & mask) == 0);
}

/* The table's last range holds every address. */
static const char *vet(const struct config_webhook *policy,
                       const struct range *range, const unsigned char *bytes)
{
    while (!holds(range, bytes))
        range++;
    if (range->reach == OPEN ||
        (range->reach == PRIVATE && policy->allow_private))
        return NULL;
    return range->words;
}

const char *guard_address(const struct config_webhook *policy,
                          const struct address *address)
{
    unsigned char bytes[16];

    switch (address->at.any.sa_family) {
    case AF_INET:
        memcpy(bytes, &address->at.v4.sin_addr, 4);
        return vet(policy, RANGES_V4, bytes);
    case AF_INET6:
        memcpy(bytes, &address->at.v6.sin6_addr, 16);
        if (memcmp(bytes, NAT64, sizeof NAT64) == 0)
            return vet(policy, RANGES_V4, bytes + 12);
        return vet(policy, RANGES_V6, bytes);
    default:
        return "no internet address";
    }
}

/* --- URLs --- */

static bool refuse(struct error *err, const char *why)
{
    error_set(err, ERR_INPUT, "%s", why);
    return false;
}

static bool is_hex(char c)
{
    c = ascii_lower(c);
    return ascii_is_digit(c) || (c >= 'a' && c <= 'f');
}

/* What RFC 3986 lets stand in a URL, the percent sign with its two digits.
 * Nothing else: parsers disagree about the rest, and that is where guards
 * are passed by. */
static bool is_url_text(struct str url)
{
    static const char others[] = "-._~:/?#[]@!$&'()*+,;=";

    for (size_t i = 0; i < url.len; i++) {
        char c = url.ptr[i];

        if (c == '%') {
            if (i + 2 >= url.len || !is_hex(url.ptr[i + 1]) ||
                !is_hex(url.ptr[i + 2]))
                return false;
        } else if (!ascii_is_alnum(c) &&
                   memchr(others, c, sizeof others - 1) == NULL) {
            return false;
        }
    }
    return true;
}

/* Last label of digits, or 0x and hex digits: then every parser but ours may
 * take the host for an IPv4 address (URL standard, "ends in a number"). */
static bool ends_in_number(struct str host)
{
    struct str label = {0};
    uint64_t number;

    while (str_cut(&host, '.', &label))
        ;
    return str_to_u64(label, &number) || str_starts_nocase(label, S("0x"));
}

static bool label_is_good(struct str label)
{
    if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' ||
        label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        if (!ascii_is_alnum(label.ptr[i]) && label.ptr[i] != '-' &&
            label.ptr[i] != '_')
            return false;
    }
    return true;
}

static bool name_is_good(struct str host)
{
    struct str rest = host;
    struct str label;

    if (host.len == 0 || host.len > 253 || host.ptr[host.len - 1] == '.')
        return false;
    while (str_cut(&rest, '.', &label)) {
        if (!label_is_good(label))
            return false;
    }
    return true;
}

/* Names that only mean something inside a network. Names without a dot do
 * too. */
static const struct str LOCAL_ENDS[] = {
    STR(".localhost"), STR(".local"), STR(".localdomain"), STR(".internal"),
    STR(".intranet"),  STR(".lan"),   STR(".home"),        STR(".corp"),
    STR(".private"),   STR(".svc"),   STR(".home.arpa"),   STR(".onion"),
};
/* Shut even under allow_private. */
static const struct str METADATA_NAMES[] = {
    STR("metadata"),
    STR("metadata.google.internal"),
    STR("metadata.goog"),
    STR("instance-data"),
    STR("instance-data.ec2.internal"),
    STR("metadata.tencentyun.com"),
    STR("metadata.azure.com"),
};

static bool ends_nocase(struct str text, struct str end)
{
    return text.len >= end.len &&
           str_eq_nocase(str_from(text, text.len - end.len), end);
}

static bool vet_name(const struct config_webhook *policy, struct str host,
                     struct error *err)
{
    if (!name_is_good(host))
        return refuse(err, "the host is not a valid name");
    for (size_t i = 0; i < COUNT_OF(METADATA_NAMES); i++) {
        if (str_eq_nocase(host, METADATA_NAMES[i]))
            return refuse(err, "the host is a metadata service");
    }
    if (policy->allow_private)
        return true;
    if (str_index(host, '.', 0) < 0)
        return refuse(err, "the host is a local name");
    for (size_t i = 0; i < COUNT_OF(LOCAL_ENDS); i++) {
        if (ends_nocase(host, LOCAL_ENDS[i]))
            return refuse(err, "the host is a local name");
    }
    return true;
}

static bool vet_number(const struct config_webhook *policy,
                       const struct address *address, struct error *err)
{
    const char *why = guard_address(policy, address);

    if (why == NULL)
        return true;
    error_set(err, ERR_INPUT, "the host is %s", why);
    return false;
}

/* "127.0.0.1" and no other spelling of it. */
static bool read_v4(const char *host, struct address *address)
{
    char again[INET_ADDRSTRLEN];
    struct in_addr *bytes = &address->at.v4.sin_addr;

    address->at.v4.sin_family = AF_INET;
    return inet_pton(AF_INET, host, bytes) == 1 &&
           inet_ntop(AF_INET, bytes, again, sizeof again) != NULL &&
           strcmp(host, again) == 0;
}

static bool read_v6(const char *host, struct address *address)
{
    address->at.v6.sin6_family = AF_INET6;
    return inet_pton(AF_INET6, host, &address->at.v6.sin6_addr) == 1;
}

static bool vet_host(const struct config_webhook *policy, struct str host,
                     bool bracketed, struct error *err)
{
    struct address address = {0};
    char text[INET6_ADDRSTRLEN];

    if (!bracketed && !ends_in_number(host))
        return vet_name(policy, host, err);
    if (host.len >= sizeof text)
        return refuse(err, "the host is not a valid address");
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (!(bracketed ? read_v6(text, &address) : read_v4(text, &address)))
        return refuse(err, "the host is not a valid address");
    return vet_number(policy, &address, err);
}

static bool vet_port(const struct config_webhook *policy, struct str port,
                     struct guard_target *target, struct error *err)
{
    char decimal[8];
    uint64_t number = target->https ? 443 : 80;

    if (port.len > 0 &&
        (!str_to_u64(port, &number) || number == 0 || number > 65535))
        return refuse(err, "the port is not a number from 1 to 65535");
    target->port = (uint16_t)number;
    snprintf(decimal, sizeof decimal, "%u", (unsigned)target->port);
    for (size_t i = 0; i < policy->ports.count; i++) {
        if (strcmp(policy->ports.items[i], decimal) == 0)
            return true;
    }
    if (policy->ports.count == 0)
        return true;
    error_set(err, ERR_INPUT, "port %s is not among webhook.ports", decimal);
    return false;
}

/* host, host:port, [address], [address]:port. An empty port is the scheme's
 * (RFC 3986 section 3.2.3). */
static bool split_authority(struct str authority, struct str *host,
                            struct str *port, bool *bracketed)
{
    ptrdiff_t end;

    *port = (struct str){0};
    *bracketed = str_starts(authority, S("["));
    end = str_index(authority, *bracketed ? ']' : ':', 0);
    if (!*bracketed) {
        *host = end < 0 ? authority : str_slice(authority, 0, (size_t)end);
        if (end >= 0)
            *port = str_from(authority, (size_t)end + 1);
        return true;
    }
    if (end < 0)
        return false;
    *host = str_slice(authority, 1, (size_t)end - 1);
    authority = str_from(authority, (size_t)end + 1);
    if (authority.len == 0)
        return true;
    *port = str_from(authority, 1);
    return authority.ptr[0] == ':';
}

static struct str authority_of(struct str rest)
{
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.ptr[i] == '/' || rest.ptr[i] == '?')
            return str_slice(rest, 0, i);
    }
    return rest;
}

bool guard_url(const struct config_webhook *policy, struct str url,
               struct guard_target *target, struct error *err)
{
    struct str authority;
    struct str port;
    bool bracketed;

    if (url.len > GUARD_URL_MAX)
        return refuse(err, "the URL is longer than 2048 bytes");
    if (!is_url_text(url))
        return refuse(err, "the URL has characters that must be "
                           "percent-encoded (a name in punycode)");
    target->https = str_starts_nocase(url, S("https://"));
    if (!target->https && !str_starts_nocase(url, S("http://")))
        return refuse(err, "the URL does not begin with https:// or http://");
    if (str_index(url, '#', 0) >= 0)
        return refuse(err, "the URL has a fragment, which is never sent");
    authority = authority_of(str_from(url, target->https ? 8 : 7));
    if (str_index(authority, '@', 0) >= 0)
        return refuse(err, "the URL has a user name or password");
    if (!split_authority(authority, &target->host, &port, &bracketed))
        return refuse(err, "the host is not a valid address");
    return vet_host(policy, target->host, bracketed, err) &&
           vet_port(policy, port, target, err);
}
