#include "server/io/dns.h"

#include "server/base/mem.h"
#include "server/io/dns_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

/* 2, 4 and 8 s for each server: an upstream's addresses are wanted within a
 * connect timeout, and c-ares' own 75 s are far beyond it. */
enum { ASK_TIMEOUT_MS = 2000, ASK_TRIES = 3 };

struct dns_socket {
    struct list link;
    struct dns *dns;
    int fd;
    struct watch *watch;
};

struct dns_lookup {
    struct dns_asked asked;
    dns_fn fn;
    void *ctx;
    char *host;
    uint16_t port;
    int family;
    int status; /* of c-ares */
    struct dns_answer answer;
};

void dns_asking(struct dns *dns)
{
    struct timeval wait;

    dns->shortage = 0;
    if (ares_timeout(dns->channel, NULL, &wait) == NULL)
        timer_clear(dns->loop, &dns->timer);
    else
        timer_set(dns->loop, &dns->timer,
                  (int64_t)wait.tv_sec * 1000 + wait.tv_usec / 1000 + 1);
}

static void on_timer(void *ctx)
{
    struct dns *dns = ctx;

    ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    dns_asking(dns);
}

static void on_socket(void *ctx, int events)
{
    struct dns_socket *sock = ctx;
    struct dns *dns = sock->dns;
    int fd = sock->fd;

    ares_process_fd(dns->channel, events & WATCH_READ ? fd : ARES_SOCKET_BAD,
                    events & WATCH_WRITE ? fd : ARES_SOCKET_BAD);
    dns_asking(dns);
}

static struct dns_socket *socket_of(struct dns *dns, int fd)
{
    struct dns_socket *sock;

    list_each (link, &dns->sockets) {
        sock = LIST_MEMBER(link, struct dns_socket, link);
        if (sock->fd == fd)
            return sock;
    }
    sock = xcalloc(1, sizeof *sock);
    sock->dns = dns;
    sock->fd = fd;
    sock->watch = watch_open(dns->loop, fd, on_socket, sock);
    list_add_last(&dns->sockets, &sock->link);
    return sock;
}

static void on_socket_state(void *ctx, ares_socket_t fd, int readable,
                            int writable)
{
    struct dns *dns = ctx;
    struct dns_socket *sock = socket_of(dns, fd);

    if (readable || writable) {
        watch_set(sock->watch,
                  (readable ? WATCH_READ : 0) | (writable ? WATCH_WRITE : 0));
        return;
    }
    watch_close(&sock->watch);
    list_remove(&sock->link);
    loop_free_later(dns->loop, free, sock);
}

static void lookup_free(void *ptr)
{
    struct dns_lookup *lookup = ptr;

    free(lookup->host);
    free(lookup);
}

void dns_asked_init(struct dns_asked *asked, struct dns *dns,
                    void (*tell)(struct dns_asked *asked),
                    void (*free_fn)(void *asked))
{
    list_init(&asked->link);
    asked->dns = dns;
    asked->tell = tell;
    asked->free_fn = free_fn;
}

static void tell_later(struct dns_asked *asked)
{
    list_add_last(&asked->dns->done, &asked->link);
    task_run_soon(asked->dns->loop, &asked->dns->task);
}

bool dns_asked_done(struct dns_asked *asked, int status)
{
    if (asked->is_cancelled || status == ARES_EDESTRUCTION) {
        asked->free_fn(asked);
        return false;
    }
    /* What c-ares makes of a socket that it did not get. */
    asked->shortage = status == ARES_ECONNREFUSED ? asked->dns->shortage : 0;
    tell_later(asked);
    return true;
}

void dns_asked_cancel(struct dns_asked *asked)
{
    if (list_is_empty(&asked->link)) {
        asked->is_cancelled = true; /* freed when c-ares is done with it */
        return;
    }
    list_remove(&asked->link);
    asked->free_fn(asked);
}

enum dns_status dns_status_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return DNS_FOUND;
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
        return DNS_NOT_FOUND;
    default:
        return DNS_FAILED;
    }
}

const char *dns_reason(const struct dns_asked *asked, int status)
{
    return asked->shortage != 0 ? strerror(asked->shortage)
                                : ares_strerror(status);
}

static void answer_add(struct dns_answer *answer, const struct sockaddr *to,
                       socklen_t len, uint32_t ttl_s)
{
    if (answer->count == DNS_ADDRESSES_MAX)
        return;
    address_copy(&answer->addresses[answer->count], to, len);
    if (answer->count++ == 0 || ttl_s < answer->ttl_s)
        answer->ttl_s = ttl_s;
}

static void on_answer(void *ctx, int status, int timeouts,
                      struct ares_addrinfo *info)
{
    struct dns_lookup *lookup = ctx;
    const struct ares_addrinfo_node *node = info == NULL ? NULL : info->nodes;

    (void)timeouts;
    for (; node != NULL; node = node->ai_next)
        answer_add(&lookup->answer, node->ai_addr, node->ai_addrlen,
                   node->ai_ttl > 0 ? (uint32_t)node->ai_ttl : 0);
    if (info != NULL)
        ares_freeaddrinfo(info);
    if (dns_asked_done(&lookup->asked, status))
        lookup->status = status;
}

static void ask(struct dns_lookup *lookup, int family)
{
    struct dns *dns = lookup->asked.dns;
    struct ares_addrinfo_hints hints = {
        .ai_family = family,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = ARES_AI_NUMERICSERV,
    };
    char service[8];

    snprintf(service, sizeof service, "%u", lookup->port);
    lookup->family = family;
    ares_getaddrinfo(dns->channel, lookup->host, service, &hints, on_answer,
                     lookup);
    dns_asking(dns);
}

/* c-ares gives the verdict of whichever family answered last: "no data" for
 * IPv6 may hide that IPv4 failed for now. So ask them one by one then; it
 * happens only for names that give no address. */
static bool ask_again(struct dns_lookup *lookup)
{
    if (lookup->status != ARES_ENODATA || lookup->family == AF_INET6)
        return false;
    ask(lookup, lookup->family == AF_UNSPEC ? AF_INET : AF_INET6);
    return true;
}

static void tell(struct dns_asked *asked)
{
    struct dns_lookup *lookup = CONTAINER_OF(asked, struct dns_lookup, asked);
    struct dns_answer *answer = &lookup->answer;

    if (ask_again(lookup))
        return;
    answer->status =
        answer->count > 0 ? DNS_FOUND : dns_status_of(lookup->status);
    answer->is_lacking = answer->status == DNS_FAILED && asked->shortage != 0;
    answer->reason = dns_reason(asked, lookup->status);
    loop_free_later(asked->dns->loop, lookup_free, lookup);
    lookup->fn(lookup->ctx, answer);
}

/* A callback may cancel others, or close dns, which empties the list. */
static void tell_all(void *ctx)
{
    struct dns *dns = ctx;
    struct dns_asked *asked;

    while ((asked = LIST_FIRST(&dns->done, struct dns_asked, link)) != NULL) {
        list_remove(&asked->link);
        asked->tell(asked);
    }
}

static bool channel_open(struct dns *dns, const char *servers,
                         struct error *err)
{
    struct ares_options options = {
        .timeout = ASK_TIMEOUT_MS,
        .tries = ASK_TRIES,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = dns,
    };
    int code = ares_init_options(&dns->channel, &options,
                                 ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                     ARES_OPT_SOCK_STATE_CB);

    if (code != ARES_SUCCESS) {
        error_set(err, ERR_SYSTEM, "dns: %s", ares_strerror(code));
        return false;
    }
    dns_sockets_init(dns);
    if (servers == NULL || servers[0] == '\0')
        return true;
    code = ares_set_servers_ports_csv(dns->channel, servers);
    if (code == ARES_SUCCESS)
        return true;
    error_set(err, ERR_CONFIG, "dns servers %s: %s", servers,
              ares_strerror(code));
    ares_destroy(dns->channel);
    return false;
}

struct dns *dns_open(struct loop *loop, const char *servers, struct error *err)
{
    struct dns *dns = xcalloc(1, sizeof *dns);

    CHECK(ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS);
    dns->loop = loop;
    list_init(&dns->sockets);
    list_init(&dns->done);
    task_init(&dns->task, tell_all, dns);
    timer_init(&dns->timer, on_timer, dns);
    if (channel_open(dns, servers, err))
        return dns;
    ares_library_cleanup();
    free(dns);
    return NULL;
}

void dns_close(struct dns **handle)
{
    struct dns *dns = *handle;

    if (dns == NULL)
        return;
    *handle = NULL;
    ares_destroy(dns->channel); /* frees the look-ups under way */
    ares_library_cleanup();
    list_each_safe (link, &dns->done) {
        struct dns_asked *asked = LIST_MEMBER(link, struct dns_asked, link);

        asked->free_fn(asked);
    }
    list_init(&dns->done); /* tell_all may be at it */
    task_cancel(&dns->task);
    timer_clear(dns->loop, &dns->timer);
    loop_free_later(dns->loop, free, dns);
}

struct dns_lookup *dns_lookup(struct dns *dns, const char *host, uint16_t port,
                              dns_fn fn, void *ctx)
{
    struct dns_lookup *lookup = xcalloc(1, sizeof *lookup);
    struct address address;

    dns_asked_init(&lookup->asked, dns, tell, lookup_free);
    lookup->fn = fn;
    lookup->ctx = ctx;
    lookup->host = xstrdup(host);
    lookup->port = port;
    if (address_parse(str_of(host), port, &address)) {
        answer_add(&lookup->answer, &address.at.any, address.len, 0);
        tell_later(&lookup->asked);
    } else {
        ask(lookup, AF_UNSPEC);
    }
    return lookup;
}

void dns_cancel(struct dns_lookup **handle)
{
    struct dns_lookup *lookup = *handle;

    if (lookup == NULL)
        return;
    *handle = NULL;
    dns_asked_cancel(&lookup->asked);
}
