#include "server/cli/dev_http.h"

#include "api/api.h"
#include "server/base/codec.h"
#include "server/base/json.h"
#include "server/base/list.h"
#include "server/base/mem.h"
#include "server/http/httpd.h"

#include <stdlib.h>
#include <string.h>

enum {
    BODY_MAX = 1 << 20,
    ANSWER_MAX = 64 << 20,
    HOOKS_MAX = 200,
    LISTED_MAX = 100,
    WAIT_MAX_S = 60,
    WAIT_DEFAULT_S = 30,
    CONNECTIONS_MAX = 64,
};

/* A webhook as it came. */
struct hook {
    struct list link; /* of dev_http.hooks, newest last */
    char *id;
    char *timestamp;
    char *signature;
    char *body;
    struct json *root; /* of body; NULL: it is not JSON */
};

/* A request that waits for a mail or a webhook. */
struct waiter {
    struct list link; /* of dev_http.waiters */
    struct dev_http *http;
    struct http_request *request;
    struct inbox_wait *mail; /* NULL: it waits for a webhook */
};

struct dev_http {
    struct loop *loop;
    struct httpd *httpd;
    struct inbox *inbox;
    struct list hooks;
    size_t hook_count;
    struct list waiters;
};

static void reply(struct http_request *request, struct buf *body)
{
    http_reply(request, 200, "application/json", body);
}

static struct str query(struct http_request *request, const char *name)
{
    struct str value;

    return http_query(request, name, &value) ? value : (struct str){NULL, 0};
}

/* --- mails --- */

static void put_to(struct json_out *out, const struct inbox_mail *mail)
{
    json_name(out, "to");
    json_open_list(out);
    for (size_t i = 0; i < mail->rcpt_count; i++)
        json_put_str(out, mail->rcpt_to[i]);
    json_close_list(out);
}

static void put_head(struct json_out *out, const struct inbox_mail *mail,
                     const struct inbox_view *view)
{
    json_add_int(out, "id", (int64_t)mail->number);
    json_add_str(out, "from", view->from);
    json_add_str(out, "mail_from", mail->mail_from);
    put_to(out, mail);
    json_add_str(out, "subject", view->subject);
    json_add_str(out, "message_id", view->message_id);
    json_add_time(out, "received_at", mail->at_ms);
    json_add_int(out, "size", (int64_t)mail->raw.len);
    json_add_bool(out, "tls", mail->tls);
}

/* Mails may hold any byte; JSON must be UTF-8. */
static void put_raw(struct json_out *out, struct str raw)
{
    struct buf clean;

    buf_init(&clean, raw.len + 1);
    for (size_t i = 0; i < raw.len; i++)
        buf_add_char(&clean,
                     (unsigned char)raw.ptr[i] < 0x80 ? raw.ptr[i] : '?');
    json_add_str(out, "raw", utf8_is_valid(raw) ? raw : buf_str(&clean));
    buf_finish(&clean);
}

static void put_mail(struct json_out *out, const struct inbox_mail *mail,
                     const struct inbox_view *view)
{
    json_open_map(out);
    put_head(out, mail, view);
    json_add_str(out, "text", view->text);
    json_add_str(out, "html", view->html);
    json_add_str(out, "code", view->code);
    json_add_str(out, "link", view->link);
    json_add_int(out, "attachments", (int64_t)view->attachments);
    put_raw(out, mail->raw);
    json_close_map(out);
}

static void reply_mail(struct http_request *request,
                       const struct inbox_mail *mail)
{
    struct inbox_view view;
    struct json_out out;
    struct buf body;

    inbox_view_read(&view, mail->raw, http_arena(request));
    buf_init(&body, ANSWER_MAX);
    json_out_init(&out, &body);
    put_mail(&out, mail, &view);
    reply(request, &body);
}

static void on_inbox_list(void *ctx, struct http_request *request)
{
    struct dev_http *http = ctx;
    struct str to = query(request, "to");
    const struct inbox_mail *mail = inbox_next(http->inbox, to, 0);
    size_t skip = inbox_count(http->inbox);
    struct json_out out;
    struct buf body;

    skip = skip > LISTED_MAX ? skip - LISTED_MAX : 0;
    buf_init(&body, ANSWER_MAX);
    json_out_init(&out, &body);
    json_open_map(&out);
    json_add_cstr(&out, "object", "list");
    json_name(&out, "data");
    json_open_list(&out);
    for (; mail != NULL; mail = inbox_next(http->inbox, to, mail->number)) {
        struct inbox_view view;

        if (skip > 0) {
            skip--;
            continue;
        }
        inbox_view_read(&view, mail->raw, http_arena(request));
        json_open_map(&out);
        put_head(&out, mail, &view);
        json_close_map(&out);
    }
    json_close_list(&out);
    json_close_map(&out);
    reply(request, &body);
}

/* "latest" or a number; NULL when there is no such mail. */
static const struct inbox_mail *find_mail(const struct dev_http *http,
                                          struct http_request *request)
{
    struct str which = http_param(request, 0);
    const struct inbox_mail *mail;
    uint64_t number;

    if (str_eq(which, S("latest")))
        return inbox_newest(http->inbox, query(request, "to"));
    if (!str_to_u64(which, &number) || number == 0)
        return NULL;
    mail = inbox_next(http->inbox, S(""), number - 1);
    return mail != NULL && mail->number == number ? mail : NULL;
}

static void on_inbox_show(void *ctx, struct http_request *request)
{
    struct dev_http *http = ctx;
    const struct inbox_mail *mail = find_mail(http, request);

    if (mail == NULL)
        api_problem(NULL, request, 404, "There is no such mail in the inbox.");
    else
        reply_mail(request, mail);
}

static void on_inbox_clear(void *ctx, struct http_request *request)
{
    struct dev_http *http = ctx;
    struct buf body;

    buf_init(&body, ANSWER_MAX);
    buf_addf(&body, "{\"object\":\"inbox\",\"deleted\":%zu}",
             inbox_count(http->inbox));
    inbox_clear(http->inbox);
    reply(request, &body);
}

/* --- webhooks --- */

static void hook_free(struct dev_http *http, struct hook *hook)
{
    list_remove(&hook->link);
    http->hook_count--;
    json_destroy(&hook->root);
    free(hook->id);
    free(hook->timestamp);
    free(hook->signature);
    free(hook->body);
    free(hook);
}

static void put_hook(struct json_out *out, const struct hook *hook)
{
    json_open_map(out);
    json_add_cstr(out, "id", hook->id);
    json_add_cstr(out, "timestamp", hook->timestamp);
    json_add_cstr(out, "signature", hook->signature);
    json_add_cstr(out, "body", hook->body);
    json_close_map(out);
}

static void reply_hook(struct http_request *request, const struct hook *hook)
{
    struct json_out out;
    struct buf body;

    buf_init(&body, ANSWER_MAX);
    json_out_init(&out, &body);
    put_hook(&out, hook);
    reply(request, &body);
}

static bool hook_fits(const struct hook *hook, struct str type,
                      struct str email)
{
    const struct json *data = json_get(hook->root, "data");

    return (type.len == 0 || str_eq(json_get_str(hook->root, "type"), type)) &&
           (email.len == 0 || str_eq(json_get_str(data, "email_id"), email));
}

/* --- waiting --- */

static void waiter_free(struct waiter *waiter)
{
    inbox_cancel(&waiter->mail);
    list_remove(&waiter->link);
    free(waiter);
}

static void on_patience_over(void *ctx)
{
    struct waiter *waiter = ctx;
    struct http_request *request = waiter->request;

    waiter_free(waiter);
    api_problem(NULL, request, 408, "Nothing came in that time.");
}

static struct waiter *waiter_create(struct dev_http *http,
                                    struct http_request *request)
{
    struct waiter *waiter = xcalloc(1, sizeof *waiter);
    uint64_t seconds;

    waiter->http = http;
    waiter->request = request;
    list_add_last(&http->waiters, &waiter->link);
    if (!str_to_u64(query(request, "timeout"), &seconds) ||
        seconds > WAIT_MAX_S)
        seconds = WAIT_DEFAULT_S;
    http_set_deadline(request, (int64_t)seconds * 1000, on_patience_over,
                      waiter);
    return waiter;
}

static bool mail_fits(struct http_request *request,
                      const struct inbox_mail *mail)
{
    struct str message_id = query(request, "message_id");
    struct inbox_view view;

    inbox_view_read(&view, mail->raw, http_arena(request));
    return (message_id.len == 0 || str_contains(view.message_id, message_id)) &&
           (query(request, "code").len == 0 || view.code.len > 0);
}

static void on_mail(void *ctx, const struct inbox_mail *mail)
{
    struct waiter *waiter = ctx;
    struct http_request *request = waiter->request;

    waiter->mail = NULL;
    if (!mail_fits(request, mail)) {
        waiter->mail = inbox_wait(waiter->http->inbox, query(request, "to"),
                                  mail->number, on_mail, waiter);
        return;
    }
    waiter_free(waiter);
    reply_mail(request, mail);
}

static void on_inbox_wait(void *ctx, struct http_request *request)
{
    struct dev_http *http = ctx;
    struct waiter *waiter = waiter_create(http, request);

    waiter->mail =
        inbox_wait(http->inbox, query(request, "to"), 0, on_mail, waiter);
}

static void on_hook_wait(void *ctx, struct http_request *request)
{
    struct dev_http *http = ctx;
    struct str type = query(request, "type");
    struct str email = query(request, "email");

    list_each (link, &http->hooks) {
        const struct hook *hook = LIST_MEMBER(link, struct hook, link);

        if (hook_fits(hook, type, email)) {
            reply_hook(request, hook);
            return;
        }
    }
    waiter_create(http, request);
}

static void hook_tell(struct dev_http *http, const struct hook *hook)
{
    list_each_safe (link, &http->waiters) {
        struct waiter *waiter = LIST_MEMBER(link, struct waiter, link);
        struct http_request *request = waiter->request;

        if (waiter->mail == NULL &&
            hook_fits(hook, query(request, "type"), query(request, "email"))) {
            waiter_free(waiter);
            reply_hook(request, hook);
        }
    }
}

static char *text_of(struct str s)
{
    return xmemdup0(s.ptr, s.len);
}

static void on_hook(void *ctx, struct http_request *request)
{
    struct dev_http *http = ctx;
    struct hook *hook = xcalloc(1, sizeof *hook);
    struct buf body;

    hook->id = text_of(http_field(request, HTTP_WEBHOOK_ID));
    hook->timestamp = text_of(http_field(request, HTTP_WEBHOOK_TIMESTAMP));
    hook->signature = text_of(http_field(request, HTTP_WEBHOOK_SIGNATURE));
    hook->root = json_parse(http_body(request), NULL);
    hook->body = text_of(hook->root == NULL ? S("") : http_body(request));
    list_add_last(&http->hooks, &hook->link);
    if (++http->hook_count > HOOKS_MAX)
        hook_free(http, LIST_MEMBER(http->hooks.next, struct hook, link));
    hook_tell(http, hook);
    buf_init(&body, BODY_MAX);
    buf_add_cstr(&body, "{}");
    reply(request, &body);
}

static void on_hook_list(void *ctx, struct http_request *request)
{
    struct dev_http *http = ctx;
    struct json_out out;
    struct buf body;

    buf_init(&body, ANSWER_MAX);
    json_out_init(&out, &body);
    json_open_map(&out);
    json_add_cstr(&out, "object", "list");
    json_name(&out, "data");
    json_open_list(&out);
    list_each (link, &http->hooks)
        put_hook(&out, LIST_MEMBER(link, struct hook, link));
    json_close_list(&out);
    json_close_map(&out);
    reply(request, &body);
}

/* --- life --- */

static const struct http_route ROUTES[] = {
    {"GET", "/inbox", on_inbox_list, NULL},
    {"DELETE", "/inbox", on_inbox_clear, NULL},
    {"GET", "/inbox/wait", on_inbox_wait, NULL},
    {"GET", "/inbox/{id}", on_inbox_show, NULL},
    {"POST", "/hook", on_hook, "application/json"},
    {"GET", "/hook", on_hook_list, NULL},
    {"GET", "/hook/wait", on_hook_wait, NULL},
};

struct dev_http *dev_http_open(struct loop *loop, int listen_fd,
                               struct inbox *inbox, struct error *err)
{
    struct dev_http *http = xcalloc(1, sizeof *http);
    const struct httpd_options options = {
        .routes = ROUTES,
        .route_count = COUNT_OF(ROUTES),
        .problem = api_problem,
        .ctx = http,
        .body_max = BODY_MAX,
        .bodies_max = BODY_MAX * CONNECTIONS_MAX,
        .header_timeout_ms = 10000,
        .body_timeout_ms = 10000,
        .connections_max = CONNECTIONS_MAX,
        .connections_per_ip = CONNECTIONS_MAX,
    };

    http->loop = loop;
    http->inbox = inbox;
    list_init(&http->hooks);
    list_init(&http->waiters);
    http->httpd = httpd_open(loop, &listen_fd, 1, &options, err);
    if (http->httpd == NULL)
        dev_http_close(&http);
    return http;
}

void dev_http_close(struct dev_http **http)
{
    if (*http == NULL)
        return;
    list_each_safe (link, &(*http)->waiters)
        on_patience_over(LIST_MEMBER(link, struct waiter, link));
    httpd_close(&(*http)->httpd);
    list_each_safe (link, &(*http)->hooks)
        hook_free(*http, LIST_MEMBER(link, struct hook, link));
    free(*http);
    *http = NULL;
}
