#include "server/base/mem.h"
#include "server/io/dns.h"
#include "server/io/dns_inside.h"

#include <stdlib.h>

enum { CLASS_IN = 1 };

struct dns_query {
    struct dns_asked asked;
    dns_reply_fn fn;
    void *ctx;
    enum dns_type type;
    struct arena *arena; /* of the records */
    struct dns_reply reply;
};

static void query_free(void *ptr)
{
    struct dns_query *query = ptr;

    arena_destroy(&query->arena);
    free(query);
}

static void tell(struct dns_asked *asked)
{
    struct dns_query *query = CONTAINER_OF(asked, struct dns_query, asked);

    loop_free_later(asked->dns->loop, query_free, query);
    query->fn(query->ctx, &query->reply);
}

/* A name without such a record comes as "no data", or as success with nothing
 * but the alias that leads there. */
static int read_records(struct dns_query *query, int status, struct str message)
{
    struct dns_records *records = &query->reply.records;

    if (message.len == 0)
        return status;
    if (!dns_message_read(message, query->type, query->arena, records))
        return ARES_EBADRESP;
    return status == ARES_SUCCESS && records->count == 0 ? ARES_ENODATA
                                                         : status;
}

static void on_reply(void *ctx, int status, int timeouts, unsigned char *bytes,
                     int len)
{
    struct dns_query *query = ctx;
    struct dns_reply *reply = &query->reply;

    (void)timeouts;
    if (!dns_asked_done(&query->asked, status))
        return;
    status =
        read_records(query, status, str_make(bytes, len > 0 ? (size_t)len : 0));
    reply->status = dns_status_of(status);
    reply->reason = dns_reason(&query->asked, status);
    reply->has_no_name = status == ARES_ENOTFOUND || status == ARES_EBADNAME;
    if (reply->status != DNS_FOUND)
        reply->records.count = 0;
}

struct dns_query *dns_query(struct dns *dns, const char *name,
                            enum dns_type type, dns_reply_fn fn, void *ctx)
{
    struct dns_query *query = xcalloc(1, sizeof *query);

    dns_asked_init(&query->asked, dns, tell, query_free);
    query->fn = fn;
    query->ctx = ctx;
    query->type = type;
    query->arena = arena_create();
    ares_query(dns->channel, name, CLASS_IN, (int)type, on_reply, query);
    dns_asking(dns);
    return query;
}

void dns_query_cancel(struct dns_query **handle)
{
    struct dns_query *query = *handle;

    if (query == NULL)
        return;
    *handle = NULL;
    dns_asked_cancel(&query->asked);
}
