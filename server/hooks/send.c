#include "server/hooks/send.h"

#include "server/base/buf.h"
#include "server/base/clock.h"
#include "server/base/codec.h"
#include "server/base/fault.h"
#include "server/base/list.h"
#include "server/base/mem.h"
#include "server/hooks/libcurl.h"
#include "server/io/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* As many as requests at once, else a busy child reconnects all the time.
     */
    IDLE_CONNECTIONS_MAX = 512,
    IDLE_CONNECTION_S = 60,
    TYPE_SIZE = 101, /* of a Content-Type that is kept */
};

struct sender {
    struct loop *loop;
    struct dns *dns;
    const struct config_webhook *policy;
    const char *authorities; /* NULL: the system's */
    CURLM *multi;
    struct timer timer; /* curl's own */
    struct list sends;
    bool closed;
};

/* A socket of curl's. */
struct socket {
    struct sender *sender;
    struct watch *watch;
    curl_socket_t fd;
};

struct send {
    struct list link;
    struct sender *sender;
    CURL *easy;
    struct curl_slist *headers;
    struct curl_slist *pinned;
    struct dns_lookup *lookup; /* while it resolves */
    struct timer deadline;
    struct task refusal; /* tells what was clear from the start */
    char *url;
    struct address vetted[DNS_ADDRESSES_MAX];
    size_t vetted_count;
    char *body;
    size_t body_len;
    struct buf response;
    size_t read_bytes;
    bool is_get;
    bool in_multi;
    bool head_cut; /* the response was longer than we read */
    bool body_cut;
    bool refused;       /* by the guard */
    struct error error; /* why there is no answer */
    char curl_error[CURL_ERROR_SIZE];
    int64_t started_ms;
    send_fn done;
    void *ctx;
};

/* --- the end of a request --- */

static void send_free(struct send *send)
{
    struct sender *sender = send->sender;

    list_remove(&send->link);
    timer_clear(sender->loop, &send->deadline);
    task_cancel(&send->refusal);
    dns_cancel(&send->lookup);
    if (send->in_multi)
        curl_multi_remove_handle(sender->multi, send->easy);
    curl_easy_cleanup(send->easy);
    curl_slist_free_all(send->headers);
    curl_slist_free_all(send->pinned);
    buf_finish(&send->response);
    free(send->url);
    free(send->body);
    free(send);
}

static void read_answer(const struct send *send, struct send_result *result)
{
    long number = 0;
    curl_off_t seconds = 0;

    curl_easy_getinfo(send->easy, CURLINFO_RESPONSE_CODE, &number);
    result->status = (int)number;
    curl_easy_getinfo(send->easy, CURLINFO_RETRY_AFTER, &seconds);
    result->retry_after_s = seconds;
    curl_easy_getinfo(send->easy, CURLINFO_NUM_CONNECTS, &number);
    result->reused = number == 0;
    result->is_cut = send->body_cut;
}

static void read_type(const struct send *send, char out[TYPE_SIZE])
{
    const char *type = NULL;

    curl_easy_getinfo(send->easy, CURLINFO_CONTENT_TYPE, &type);
    snprintf(out, TYPE_SIZE, "%s", type == NULL ? "" : type);
}

/* Frees first: the callback may close the sender. */
static void finish(struct send *send, bool answered)
{
    struct send_result result = {
        .error = "",
        .refused = send->refused,
        .took_ms = clock_now_ms() - send->started_ms,
    };
    struct buf response;
    char type[TYPE_SIZE] = "";
    struct error error = send->error;
    send_fn done = send->done;
    void *ctx = send->ctx;

    buf_init(&response, send->response.max);
    if (answered) {
        read_answer(send, &result);
        read_type(send, type);
        if (send->is_get)
            buf_add(&response, buf_str(&send->response));
        else
            utf8_clean_add(&response, buf_str(&send->response),
                           SEND_RESPONSE_MAX);
        result.response = buf_str(&response);
        result.type = str_of(type);
    } else {
        result.error = error.text;
    }
    send_free(send);
    done(ctx, &result);
    buf_finish(&response);
}

/* error says why. */
static void refuse(struct send *send)
{
    send->refused = true;
    finish(send, false);
}

static void on_deadline(void *ctx)
{
    struct send *send = ctx;

    error_set(&send->error, ERR_REMOTE, "%s",
              send->lookup != NULL ? "timeout while resolving the host"
                                   : "timeout");
    finish(send, false);
}

/* --- the request --- */

static size_t on_head(char *bytes, size_t size, size_t count, void *ctx)
{
    struct send *send = ctx;

    (void)bytes;
    send->read_bytes += size * count;
    send->head_cut = send->read_bytes > SEND_READ_MAX;
    return send->head_cut ? 0 : size * count;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
    struct send *send = ctx;
    struct str piece = str_make(bytes, size * count);

    send->read_bytes += piece.len;
    send->body_cut = send->read_bytes > SEND_READ_MAX;
    piece = str_slice(piece, 0, send->response.max - send->response.len);
    buf_add(&send->response, piece);
    return send->body_cut ? 0 : size * count;
}

static bool was_vetted(const struct send *send, const struct address *address)
{
    for (size_t i = 0; i < send->vetted_count; i++) {
        if (address_eq(&send->vetted[i], address))
            return true;
    }
    return false;
}

/* The last look before a connect: whatever curl came by, it goes only where
 * the guard said yes. */
static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose,
                                    struct curl_sockaddr *to)
{
    struct send *send = ctx;
    struct address address;

    address_copy(&address, &to->addr, to->addrlen);
    if (purpose != CURLSOCKTYPE_IPCXN || !was_vetted(send, &address) ||
        guard_address(send->sender->policy, &address) != NULL) {
        send->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                  to->protocol);
}

#define SET(option, value)                                                     \
    CHECK(curl_easy_setopt(send->easy, CURLOPT_##option, value) == CURLE_OK)

/* The short line: nothing from the environment (but whom OpenSSL trusts),
 * nowhere else, nothing but HTTP/1.1 without tricks. */
static void set_limits(struct send *send)
{
    SET(PROXY, "");
    SET(NOPROXY, "*");
    SET(PROTOCOLS_STR, "http,https");
    SET(FOLLOWLOCATION, 0L);
    SET(NETRC, (long)CURL_NETRC_IGNORED);
    SET(DISALLOW_USERNAME_IN_URL, 1L);
    SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(PATH_AS_IS, 1L);
    SET(NOSIGNAL, 1L);
    SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (send->sender->authorities != NULL)
        SET(CAINFO, send->sender->authorities);
    SET(MAXAGE_CONN, (long)IDLE_CONNECTION_S);
    SET(OPENSOCKETFUNCTION, on_open_socket);
    SET(OPENSOCKETDATA, send);
}

static void add_header(struct send *send, const char *line)
{
    struct curl_slist *grown = curl_slist_append(send->headers, line);

    CHECK(grown != NULL);
    send->headers = grown;
}

static void set_post(struct send *send, const struct sign_headers *headers)
{
    add_header(send, "Content-Type: application/json");
    add_header(send, "User-Agent: Posthaste-Webhooks");
    add_header(send, "Expect:"); /* none: no round trip before the body */
    for (size_t i = 0; i < SIGN_HEADERS; i++)
        add_header(send, headers->lines[i]);
    SET(POST, 1L);
    SET(POSTFIELDS, send->body);
    SET(POSTFIELDSIZE_LARGE, (curl_off_t)send->body_len);
}

static void set_request(struct send *send, const struct sign_headers *headers)
{
    if (send->is_get)
        add_header(send, "User-Agent: Posthaste");
    else
        set_post(send, headers);
    SET(URL, send->url);
    SET(HTTPHEADER, send->headers);
    SET(HEADERFUNCTION, on_head);
    SET(HEADERDATA, send);
    SET(WRITEFUNCTION, on_body);
    SET(WRITEDATA, send);
    SET(ERRORBUFFER, send->curl_error);
    SET(PRIVATE, send);
}

/* "+host:port:address,[address]": for this request and not for ever. */
static void pin(struct send *send, const struct guard_target *target)
{
    struct buf line;
    char host[ADDRESS_TEXT_SIZE];

    buf_init(&line, 4096);
    buf_addf(&line, "+%.*s:%u:", STR_ARG(target->host), target->port);
    for (size_t i = 0; i < send->vetted_count; i++) {
        bool v6 = send->vetted[i].at.any.sa_family == AF_INET6;

        address_format_host(&send->vetted[i], host);
        buf_addf(&line, "%s%s%s%s", i == 0 ? "" : ",", v6 ? "[" : "", host,
                 v6 ? "]" : "");
    }
    CHECK(!line.full);
    send->pinned = curl_slist_append(NULL, line.data);
    CHECK(send->pinned != NULL);
    SET(RESOLVE, send->pinned);
    buf_finish(&line);
}

static void begin(struct send *send)
{
    struct guard_target target;
    struct address number;

    CHECK(guard_url(send->sender->policy, str_of(send->url), &target, NULL));
    if (!address_parse(target.host, target.port, &number))
        pin(send, &target);
    send->in_multi = true;
    CHECK(curl_multi_add_handle(send->sender->multi, send->easy) == CURLM_OK);
}

/* One bad address condemns the name: who mixes them is up to something. */
static void on_addresses(void *ctx, const struct dns_answer *answer)
{
    struct send *send = ctx;
    const char *why;

    send->lookup = NULL;
    if (answer->status != DNS_FOUND) {
        error_set(&send->error, ERR_REMOTE, "resolving the host: %s",
                  answer->reason);
        finish(send, false);
        return;
    }
    for (size_t i = 0; i < answer->count; i++) {
        why = guard_address(send->sender->policy, &answer->addresses[i]);
        if (why != NULL) {
            error_set(&send->error, ERR_REMOTE, "the host has %s", why);
            refuse(send);
            return;
        }
        send->vetted[i] = answer->addresses[i];
    }
    send->vetted_count = answer->count;
    begin(send);
}

static void on_refusal(void *ctx)
{
    refuse(ctx);
}

static void resolve(struct send *send)
{
    struct guard_target target;
    struct error err = {0};
    char host[256];

    if (!guard_url(send->sender->policy, str_of(send->url), &target, &err)) {
        send->error = err;
        task_run_soon(send->sender->loop, &send->refusal);
        return;
    }
    snprintf(host, sizeof host, "%.*s", STR_ARG(target.host));
    send->lookup =
        dns_lookup(send->sender->dns, host, target.port, on_addresses, send);
}

struct send *send_start(struct sender *sender,
                        const struct send_request *request, send_fn done,
                        void *ctx)
{
    struct send *send = xcalloc(1, sizeof *send);

    send->sender = sender;
    list_add_last(&sender->sends, &send->link);
    send->url = xmemdup0(request->url.ptr, request->url.len);
    send->body = xmemdup0(request->body.ptr, request->body.len);
    send->body_len = request->body.len;
    send->done = done;
    send->ctx = ctx;
    send->started_ms = clock_now_ms();
    send->is_get = request->headers == NULL;
    buf_init(&send->response, send->is_get ? SEND_READ_MAX : SEND_RESPONSE_MAX);
    task_init(&send->refusal, on_refusal, send);
    timer_init(&send->deadline, on_deadline, send);
    timer_set(sender->loop, &send->deadline, sender->policy->timeout_ms);
    send->easy = curl_easy_init();
    CHECK(send->easy != NULL);
    set_limits(send);
    set_request(send, request->headers);
    resolve(send);
    return send;
}

void send_cancel(struct send **send)
{
    if (*send == NULL)
        return;
    send_free(*send);
    *send = NULL;
}

/* --- curl on our loop --- */

static void ended(struct send *send, CURLcode code)
{
    if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && send->body_cut)) {
        finish(send, true);
        return;
    }
    error_set(&send->error, ERR_REMOTE, "%s",
              send->refused    ? "the host is not where it was resolved to"
              : send->head_cut ? "the head of the response is too long"
              : send->curl_error[0] != '\0' ? send->curl_error
                                            : curl_easy_strerror(code));
    finish(send, false);
}

/* What curl has finished. Each callback may start, cancel or close. */
static void collect(struct sender *sender)
{
    CURLMsg *message;
    int left;

    while (!sender->closed &&
           (message = curl_multi_info_read(sender->multi, &left)) != NULL) {
        struct send *send = NULL;
        CURLcode code = message->data.result;

        CHECK(message->msg == CURLMSG_DONE);
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &send);
        ended(send, code);
    }
}

static void act(struct sender *sender, curl_socket_t fd, int what)
{
    int running;

    curl_multi_socket_action(sender->multi, fd, what, &running);
    collect(sender);
}

static void on_watch(void *ctx, int events)
{
    struct socket *socket = ctx;

    act(socket->sender, socket->fd,
        ((events & WATCH_READ) ? CURL_CSELECT_IN : 0) |
            ((events & WATCH_WRITE) ? CURL_CSELECT_OUT : 0));
}

static void on_timer(void *ctx)
{
    act(ctx, CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long wait_ms, void *ctx)
{
    struct sender *sender = ctx;

    (void)multi;
    if (wait_ms < 0)
        timer_clear(sender->loop, &sender->timer);
    else
        timer_set(sender->loop, &sender->timer, wait_ms);
    return 0;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *ctx,
                          void *known)
{
    static const int events[] = {
        [CURL_POLL_IN] = WATCH_READ,
        [CURL_POLL_OUT] = WATCH_WRITE,
        [CURL_POLL_INOUT] = WATCH_READ | WATCH_WRITE,
    };
    struct sender *sender = ctx;
    struct socket *socket = known;

    (void)easy;
    if (what == CURL_POLL_IN) /* all was written, the answer is to come */
        FAULT_POINT("webhook.sent");
    if (what == CURL_POLL_REMOVE) {
        if (socket != NULL) {
            watch_close(&socket->watch);
            loop_free_later(sender->loop, free, socket);
        }
        return 0;
    }
    if (socket == NULL) {
        socket = xcalloc(1, sizeof *socket);
        *socket = (struct socket){.sender = sender, .fd = fd};
        socket->watch = watch_open(sender->loop, fd, on_watch, socket);
        curl_multi_assign(sender->multi, fd, socket);
    }
    watch_set(socket->watch, events[what]);
    return 0;
}

struct sender *sender_open(struct loop *loop, struct dns *dns,
                           const struct config_webhook *policy,
                           struct error *err)
{
    struct sender *sender;

    if (!libcurl_load(err))
        return NULL;
    sender = xcalloc(1, sizeof *sender);
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    sender->loop = loop;
    sender->dns = dns;
    sender->policy = policy;
    sender->authorities = getenv("SSL_CERT_FILE"); /* as OpenSSL has it */
    list_init(&sender->sends);
    timer_init(&sender->timer, on_timer, sender);
    sender->multi = curl_multi_init();
    CHECK(sender->multi != NULL);
    curl_multi_setopt(sender->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(sender->multi, CURLMOPT_SOCKETDATA, sender);
    curl_multi_setopt(sender->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(sender->multi, CURLMOPT_TIMERDATA, sender);
    curl_multi_setopt(sender->multi, CURLMOPT_MAXCONNECTS,
                      (long)IDLE_CONNECTIONS_MAX);
    return sender;
}

void sender_close(struct sender **sender)
{
    struct send *send;

    if (*sender == NULL)
        return;
    while ((send = LIST_FIRST(&(*sender)->sends, struct send, link)) != NULL)
        send_free(send);
    (*sender)->closed = true;
    curl_multi_cleanup((*sender)->multi);
    timer_clear((*sender)->loop, &(*sender)->timer);
    curl_global_cleanup();
    loop_free_later((*sender)->loop, free, *sender);
    *sender = NULL;
}
