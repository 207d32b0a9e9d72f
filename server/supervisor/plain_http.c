#include "server/supervisor/plain_http.h"

#include "server/base/clock.h"
#include "server/base/list.h"
#include "server/base/mem.h"
#include "server/io/listen.h"
#include "server/io/stream.h"
#include "server/supervisor/plain_head.h"

#include <stdlib.h>
#include <sys/socket.h>

enum {
    HEAD_MS = 10 * 1000,
    ANSWER_MS = 10 * 1000,
    LINGER_MS = 2 * 1000,
    ANSWER_HEAD_MAX = 512,
};

struct plain_http {
    struct loop *loop;
    struct plain_http_options options;
    struct acceptor *acceptor;
    struct list clients;
    size_t client_count;
};

/* A connection; plain_http owns it. */
struct client {
    struct list link;
    struct plain_http *http;
    struct stream *stream;
    int fd; /* of the stream */
    bool is_answered;
    bool is_hung_up;    /* reads, but will say nothing more */
    struct timer timer; /* the one deadline of what it waits for */
};

static const struct {
    unsigned status;
    const char *phrase;
    const char *detail;
} STATUSES[] = {
    {200, "OK", NULL},
    {400, "Bad Request", "The request is not HTTP/1.1."},
    {404, "Not Found", "There is nothing at this path."},
    {405, "Method Not Allowed", "The path takes GET and HEAD only."},
    {431, "Request Header Fields Too Large",
     "The request's head is larger than this listener takes."},
    {500, "Internal Server Error", "The answer became too large."},
    {503, "Service Unavailable", NULL},
    {505, "HTTP Version Not Supported", "This listener speaks HTTP/1.1."},
};

static size_t status_row(unsigned status)
{
    size_t row = 0;

    while (STATUSES[row].status != status) {
        row++;
        CHECK(row < COUNT_OF(STATUSES));
    }
    return row;
}

static void client_close(struct client *client)
{
    struct plain_http *http = client->http;

    timer_clear(http->loop, &client->timer);
    stream_close(&client->stream);
    list_remove(&client->link);
    if (http->client_count-- == PLAIN_HTTP_CLIENTS_MAX)
        acceptor_resume(http->acceptor);
    loop_free_later(http->loop, free, client);
}

/* --- the answer --- */

static void answer_send(struct client *client,
                        const struct plain_answer *answer, bool wants_body)
{
    struct buf *out = stream_output(client->stream);
    char date[CLOCK_HTTP_SIZE];

    clock_format_http(clock_wall_ms(), date);
    buf_addf(out, "HTTP/1.1 %u %s\r\nDate: %s\r\nConnection: close\r\n",
             answer->status, STATUSES[status_row(answer->status)].phrase, date);
    if (answer->status == 405)
        buf_add_cstr(out, "Allow: GET, HEAD\r\n");
    buf_addf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n",
             answer->type, answer->body.len);
    if (wants_body)
        buf_add(out, buf_str(&answer->body));
    CHECK(!out->full);
}

static void refuse(const struct plain_http *http, struct plain_answer *answer,
                   unsigned status)
{
    buf_clear(&answer->body);
    answer->status = status;
    answer->type = "application/json";
    http->options.refuse(http->options.ctx, answer,
                         STATUSES[status_row(status)].detail);
}

static const struct plain_page *page_at(const struct plain_http *http,
                                        struct str path)
{
    const struct plain_http_options *options = &http->options;

    for (size_t i = 0; i < options->page_count; i++)
        if (str_eq(path, str_of(options->pages[i].path)))
            return &options->pages[i];
    return NULL;
}

static void answer_write(struct plain_http *http, struct plain_answer *answer,
                         unsigned status, const struct plain_head *head)
{
    const struct plain_page *page =
        status == 200 ? page_at(http, head->path) : NULL;

    if (status != 200)
        refuse(http, answer, status);
    else if (page == NULL)
        refuse(http, answer, 404);
    else if (!str_eq(head->method, S("GET")) &&
             !str_eq(head->method, S("HEAD")))
        refuse(http, answer, 405);
    else
        page->write(http->options.ctx, head->accept, answer);
    if (answer->body.full)
        refuse(http, answer, 500);
}

static void client_answer(struct client *client, unsigned status,
                          const struct plain_head *head)
{
    struct plain_answer answer = {.status = 200, .type = "application/json"};

    buf_init(&answer.body, PLAIN_HTTP_BODY_MAX);
    answer_write(client->http, &answer, status, head);
    answer_send(client, &answer, !str_eq(head->method, S("HEAD")));
    buf_finish(&answer.body);
    client->is_answered = true;
    timer_set(client->http->loop, &client->timer, ANSWER_MS);
}

/* --- a connection --- */

static void on_readable(void *ctx, struct buf *input)
{
    struct client *client = ctx;
    struct plain_head head = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    unsigned status;

    if (!client->is_answered) {
        status = plain_head_read(buf_str(input), &head);
        if (status == 0)
            return;
        client_answer(client, status, &head);
    }
    buf_clear(input); /* a body, or more requests: nobody wants them */
}

/* The end is said softly, since a reset for what the client still sends could
 * overtake the answer: half closed, then read until it hangs up. */
static void on_drained(void *ctx)
{
    struct client *client = ctx;

    if (client->is_hung_up) {
        client_close(client);
        return;
    }
    shutdown(client->fd, SHUT_WR);
    timer_set(client->http->loop, &client->timer, LINGER_MS);
}

static void on_ended(void *ctx, enum stream_end end, const char *reason)
{
    struct client *client = ctx;

    (void)reason;
    client->is_hung_up = true;
    if (end != STREAM_EOF || stream_queued_bytes(client->stream) == 0)
        client_close(client);
}

static void on_late(void *ctx)
{
    client_close(ctx);
}

static void on_accept(void *ctx, int fd, const struct address *peer)
{
    static const struct stream_events EVENTS = {
        .readable = on_readable,
        .drained = on_drained,
        .ended = on_ended,
    };
    struct plain_http *http = ctx;
    struct client *client = xcalloc(1, sizeof *client);
    const struct stream_options options = {
        .events = &EVENTS,
        .ctx = client,
        .input_max = PLAIN_HEAD_MAX,
        .output_max = ANSWER_HEAD_MAX + PLAIN_HTTP_BODY_MAX,
    };

    (void)peer;
    client->http = http;
    client->fd = fd;
    client->stream = stream_accept(http->loop, &options, fd);
    list_add_last(&http->clients, &client->link);
    if (++http->client_count == PLAIN_HTTP_CLIENTS_MAX)
        acceptor_pause(http->acceptor);
    timer_init(&client->timer, on_late, client);
    timer_set(http->loop, &client->timer, HEAD_MS);
}

/* --- life --- */

struct plain_http *plain_http_open(struct loop *loop, int listen_fd,
                                   const struct plain_http_options *options)
{
    struct plain_http *http = xcalloc(1, sizeof *http);

    http->loop = loop;
    http->options = *options;
    list_init(&http->clients);
    http->acceptor = acceptor_open(loop, listen_fd, on_accept, http);
    return http;
}

void plain_http_close(struct plain_http **http)
{
    if (*http == NULL)
        return;
    list_each_safe (link, &(*http)->clients)
        client_close(LIST_MEMBER(link, struct client, link));
    acceptor_close(&(*http)->acceptor);
    free(*http);
    *http = NULL;
}
