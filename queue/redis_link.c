#include "queue/redis_link.h"

#include "server/base/clock.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"
#include "server/io/dns.h"

#include <hiredis/async.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    BACKOFF_MIN_MS = 20,
    BACKOFF_MAX_MS = 500, /* deliveries resume within 2 s of Redis' return */
    CONNECT_BUDGET_MS = 800,
    SCRIPT_TEXT_MAX = 1 << 20,
};

/* A command under way. hiredis holds it until its reply is read or its
 * context freed; an owner that is gone leaves a tombstone: fn NULL. */
struct request {
    struct list link; /* of redis_link.requests or redis_link.refused */
    struct redis_link *owner;
    redis_fn fn;
    void *ctx;
    struct timer timer;
    int64_t budget_ms;
    struct redis_command command; /* kept for scripts only */
    uint64_t sent_ns;
    bool was_reloaded;
    struct error why; /* of a refused one */
};

enum link_state {
    LINK_DOWN,
    LINK_RESOLVING,
    LINK_CONNECTING,
    LINK_GREETING,
    LINK_UP
};

struct redis_link {
    struct loop *loop;
    struct redis_link_settings settings;
    struct redis_address address;
    bool is_misconfigured; /* redis.url makes no sense: never connects */
    struct dns *dns;       /* opened for the first host that is a name */
    struct dns_lookup *lookup;
    unsigned attempts; /* to connect; of several addresses each gets its turn */
    redisAsyncContext *ac;
    enum link_state state;
    struct list requests; /* in the order in which they were sent */
    size_t in_flight;
    struct list refused; /* answered at the end of the turn */
    struct task refuse;
    struct timer timer; /* next attempt, or the limit of this one */
    int64_t backoff_ms;
    char sha[SCRIPT_COUNT][SCRIPT_SHA_LEN + 1];
    struct series *seconds[SCRIPT_COUNT]; /* made on first use */
    unsigned loading;  /* during LINK_GREETING: script whose hash is next */
    struct error lost; /* why the last connection ended */
};

/* --- hiredis on our loop --- */

struct glue {
    redisAsyncContext *ac; /* NULL once hiredis has let go */
    struct loop *loop;
    struct watch *watch;
    int events;
};

static void glue_set(struct glue *glue, int add, int drop)
{
    glue->events = (glue->events | add) & ~drop;
    watch_set(glue->watch, glue->events);
}

static void glue_add_read(void *ctx)
{
    glue_set(ctx, WATCH_READ, 0);
}

static void glue_drop_read(void *ctx)
{
    glue_set(ctx, 0, WATCH_READ);
}

static void glue_add_write(void *ctx)
{
    glue_set(ctx, WATCH_WRITE, 0);
}

static void glue_drop_write(void *ctx)
{
    glue_set(ctx, 0, WATCH_WRITE);
}

static void glue_cleanup(void *ctx)
{
    struct glue *glue = ctx;

    glue->ac = NULL;
    watch_close(&glue->watch);
    loop_free_later(glue->loop, free, glue);
}

#ifdef FAULT_POINTS
/* What has left will be executed, whether or not we live to hear of it. */
static void pass_sent(const redisAsyncContext *ac)
{
    const struct redis_link *link = ac->data;

    if (link == NULL || ac->c.obuf[0] != '\0')
        return;
    list_each (at, &link->requests) {
        struct request *request = LIST_MEMBER(at, struct request, link);
        struct fault_point *point = request->command.sent_point;

        request->command.sent_point = NULL;
        FAULT_PASS(point);
    }
}
#endif

static void on_socket(void *ctx, int events)
{
    struct glue *glue = ctx;

    if ((events & WATCH_READ) && glue->ac != NULL)
        redisAsyncHandleRead(glue->ac);
    if ((events & WATCH_WRITE) && glue->ac != NULL)
        redisAsyncHandleWrite(glue->ac);
#ifdef FAULT_POINTS
    if ((events & WATCH_WRITE) && glue->ac != NULL)
        pass_sent(glue->ac);
#endif
}

static void glue_attach(struct loop *loop, redisAsyncContext *ac)
{
    struct glue *glue = xcalloc(1, sizeof *glue);

    glue->ac = ac;
    glue->loop = loop;
    glue->watch = watch_open(loop, ac->c.fd, on_socket, glue);
    ac->ev.data = glue;
    ac->ev.addRead = glue_add_read;
    ac->ev.delRead = glue_drop_read;
    ac->ev.addWrite = glue_add_write;
    ac->ev.delWrite = glue_drop_write;
    ac->ev.cleanup = glue_cleanup;
    glue_set(glue, WATCH_WRITE, 0); /* tells when it is connected */
}

/* --- a link's life --- */

static void link_connect(struct redis_link *link);
static void link_gone(struct redis_link *link, const struct error *why);

static void on_timer(void *ctx)
{
    struct redis_link *link = ctx;
    struct error why;

    if (link->is_misconfigured) {
        if (link->settings.on_down != NULL)
            link->settings.on_down(link->settings.ctx, &link->lost);
    } else if (link->state == LINK_DOWN) {
        link_connect(link);
    } else if (link->state == LINK_RESOLVING) {
        dns_cancel(&link->lookup);
        error_set(&why, ERR_TIMEOUT,
                  "redis: %s: its address is not found in "
                  "time",
                  link->address.host);
        link_gone(link, &why);
    } else {
        redis_link_reset(link, "no answer to the greeting in time");
    }
}

/* Half to all of a doubling step, so that processes come back spread out. */
static void plan_reconnect(struct redis_link *link)
{
    int64_t step = link->backoff_ms;
    int64_t jitter = arc4random_uniform((uint32_t)step / 2 + 1);

    timer_set(link->loop, &link->timer, step / 2 + jitter);
    link->backoff_ms =
        step * 2 > BACKOFF_MAX_MS ? (int64_t)BACKOFF_MAX_MS : step * 2;
}

/* The context is lost, whoever noticed first. hiredis frees it. */
static void link_lost(struct redis_link *link, const redisAsyncContext *ac,
                      const struct error *why)
{
    if (link == NULL || link->ac != ac)
        return;
    link->ac = NULL;
    link_gone(link, why);
}

static void link_gone(struct redis_link *link, const struct error *why)
{
    link->state = LINK_DOWN;
    link->lost = *why;
    plan_reconnect(link);
    if (link->settings.on_down != NULL)
        link->settings.on_down(link->settings.ctx, why);
}

static void link_lost_by_hiredis(const redisAsyncContext *ac)
{
    struct redis_link *link = ac->data;
    struct error why;

    if (link == NULL)
        return;
    error_set(&why, ERR_REMOTE, "redis: %s",
              ac->err != 0 ? ac->errstr : "connection closed");
    link_lost(link, ac, &why);
}

void redis_link_reset(struct redis_link *link, const char *why)
{
    redisAsyncContext *ac = link->ac;
    struct error err;

    if (ac == NULL)
        return;
    error_set(&err, ERR_TIMEOUT, "redis: %s", why);
    link_lost(link, ac, &err);
    redisAsyncFree(ac); /* ends what is under way, without replies */
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    (void)status;
    link_lost_by_hiredis(ac);
}

/* --- requests --- */

static void request_destroy(struct request *request)
{
    command_finish(&request->command);
    free(request);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* Scripts only: the others are few, and some wait on purpose. */
static void count_time(const struct request *request)
{
    struct redis_link *link = request->owner;
    int script = request->command.script;
    char name[64];
    size_t len = 0;

    if (script < 0)
        return;
    if (link->seconds[script] == NULL) {
        for (const char *at = script_name((enum script)script);
             *at != '\0' && len + 1 < sizeof name; at++)
            name[len++] = ascii_lower(*at);
        name[len] = '\0';
        link->seconds[script] = metrics_series(METRIC_REDIS_COMMAND_SECONDS,
                                               (const char *const[]){name});
    }
    series_observe(link->seconds[script],
                   (double)(now_ns() - request->sent_ns) / 1e9);
}

static void request_answer(struct request *request, const struct reply *reply,
                           const struct error *why)
{
    redis_fn fn = request->fn;

    if (reply != NULL)
        count_time(request);

    list_remove(&request->link);
    if (request->owner != NULL)
        timer_clear(request->owner->loop, &request->timer);
    request->fn = NULL;
    if (fn != NULL)
        fn(request->ctx, reply, why);
    request_destroy(request);
}

static void refuse_all(void *ctx)
{
    struct redis_link *link = ctx;
    struct request *request;

    while ((request = LIST_FIRST(&link->refused, struct request, link)) != NULL)
        request_answer(request, NULL, &request->why);
}

static void request_refuse(struct request *request, const char *why)
{
    struct redis_link *link = request->owner;

    error_set(&request->why, ERR_BUSY, "redis: %s", why);
    list_add_last(&link->refused, &request->link);
    task_run_soon(link->loop, &link->refuse);
}

static void request_timed_out(void *ctx)
{
    struct request *request = ctx;

    redis_link_reset(request->owner, "no answer in time");
}

static void request_send(struct request *request);

static void command_init_load(struct redis_command *command, unsigned script)
{
    struct buf text;

    buf_init(&text, SCRIPT_TEXT_MAX);
    script_add_text((enum script)script, &text);
    command_init(command, "SCRIPT");
    command_add_cstr(command, "LOAD");
    command_add(command, buf_str(&text));
    buf_finish(&text);
}

/* Redis forgot a script (SCRIPT FLUSH): load it, and ask once more. */
static void request_reload(struct request *request)
{
    struct redis_link *link = request->owner;
    struct redis_command load;

    request->was_reloaded = true;
    list_remove(&request->link);
    timer_clear(link->loop, &request->timer);
    command_init_load(&load, (unsigned)request->command.script);
    redis_send(link, &load, request->budget_ms, NULL, NULL);
    request_send(request);
}

static void on_reply(redisAsyncContext *ac, void *reply, void *privdata)
{
    struct request *request = privdata;

    if (request->owner == NULL) { /* a tombstone */
        request_destroy(request);
        return;
    }
    request->owner->in_flight--;
    if (reply == NULL) {
        link_lost_by_hiredis(ac);
        request_answer(request, NULL, &request->owner->lost);
    } else if (reply_is_error(reply, "NOSCRIPT") && !request->was_reloaded &&
               request->command.script >= 0) {
        request_reload(request);
    } else {
        request_answer(request, reply, NULL);
    }
}

static void request_send(struct request *request)
{
    struct redis_link *link = request->owner;
    int script = request->command.script;
    struct str bytes =
        command_bytes(&request->command, script < 0 ? NULL : link->sha[script]);

    if (redisAsyncFormattedCommand(link->ac, on_reply, request, bytes.ptr,
                                   bytes.len) != REDIS_OK) {
        request_refuse(request, "connection is closing");
        return;
    }
    link->in_flight++;
    request->sent_ns = now_ns();
    list_add_last(&link->requests, &request->link);
    timer_set(link->loop, &request->timer, request->budget_ms);
    if (request->command.script < 0)
        command_finish(&request->command);
}

static struct request *request_create(struct redis_link *link,
                                      struct redis_command *command,
                                      int64_t budget_ms, redis_fn fn, void *ctx)
{
    struct request *request = xcalloc(1, sizeof *request);

    list_init(&request->link);
    request->owner = link;
    request->fn = fn;
    request->ctx = ctx;
    request->budget_ms = budget_ms;
    request->command = *command;
    timer_init(&request->timer, request_timed_out, request);
    *command = (struct redis_command){0};
    return request;
}

void redis_send(struct redis_link *link, struct redis_command *command,
                int64_t budget_ms, redis_fn fn, void *ctx)
{
    struct request *request = request_create(link, command, budget_ms, fn, ctx);

    if (link->state != LINK_UP)
        request_refuse(request, "not connected");
    else if (link->in_flight >= link->settings.in_flight_max)
        request_refuse(request, "too many requests under way");
    else
        request_send(request);
}

/* --- greeting: log in, choose the database, load the scripts --- */

static void greet_with(struct redis_link *link, struct redis_command *command,
                       redis_fn fn, void *ctx)
{
    request_send(request_create(link, command, CONNECT_BUDGET_MS, fn, ctx));
}

static void greeting_failed(struct redis_link *link, struct str text)
{
    char why[256];

    snprintf(why, sizeof why, "%.*s", STR_ARG(text));
    redis_link_reset(link, why);
}

static void link_is_up(struct redis_link *link)
{
    link->state = LINK_UP;
    link->backoff_ms = BACKOFF_MIN_MS;
    timer_clear(link->loop, &link->timer);
    if (link->settings.on_up != NULL)
        link->settings.on_up(link->settings.ctx);
}

static void on_greeted(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct redis_link *link = ctx;

    (void)why;
    if (reply_type(reply) == REPLY_ERROR)
        greeting_failed(link, reply_str(reply));
}

static void on_script_loaded(void *ctx, const struct reply *reply,
                             const struct error *why)
{
    struct redis_link *link = ctx;
    struct str sha = reply_str(reply);

    if (link->state != LINK_GREETING || reply == NULL)
        return;
    if (sha.len != SCRIPT_SHA_LEN) {
        on_greeted(link, reply, why);
        return;
    }
    memcpy(link->sha[link->loading], sha.ptr, SCRIPT_SHA_LEN);
    link->loading = script_next(link->loading + 1);
}

static void on_ping(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct redis_link *link = ctx;

    if (reply_type(reply) != REPLY_TEXT)
        on_greeted(link, reply, why);
    else if (link->state == LINK_GREETING)
        link_is_up(link);
}

static void send_login(struct redis_link *link)
{
    const struct config_redis *config = link->settings.config;
    struct redis_command command;

    /* A user of an ACL may have no password. */
    if (config->username[0] != '\0' || config->password[0] != '\0') {
        command_init(&command, "AUTH");
        if (config->username[0] != '\0')
            command_add_cstr(&command, config->username);
        command_add_cstr(&command, config->password);
        greet_with(link, &command, on_greeted, link);
    }
    if (link->address.database != 0) {
        command_init(&command, "SELECT");
        command_add_int(&command, link->address.database);
        greet_with(link, &command, on_greeted, link);
    }
}

/* Replies come in order, so the hashes need no names. */
static void send_scripts(struct redis_link *link)
{
    struct redis_command command;

    link->loading = script_next(0);
    for (unsigned i = script_next(0); i < SCRIPT_COUNT;
         i = script_next(i + 1)) {
        command_init_load(&command, i);
        greet_with(link, &command, on_script_loaded, link);
    }
}

static void greet(struct redis_link *link)
{
    struct redis_command command;

    link->state = LINK_GREETING;
    send_login(link);
    if (link->settings.loads_scripts)
        send_scripts(link);
    command_init(&command, "PING");
    greet_with(link, &command, on_ping, link);
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    struct redis_link *link = ac->data;

    if (link == NULL || link->ac != ac)
        return;
    if (status == REDIS_OK)
        greet(link);
    else
        link_lost_by_hiredis(ac); /* hiredis frees it */
}

static void connect_failed(struct redis_link *link, redisAsyncContext *ac)
{
    link->ac = ac;
    link_lost_by_hiredis(ac);
    redisAsyncFree(ac);
}

/* host: a path, or a numeric address, so that hiredis need not resolve it,
 * which would block. */
static void connect_to(struct redis_link *link, const char *host)
{
    const struct redis_address *address = &link->address;
    redisAsyncContext *ac;

    ac = address->is_unix ? redisAsyncConnectUnix(host)
                          : redisAsyncConnect(host, address->port);
    CHECK(ac != NULL); /* out of memory */
    ac->data = link;
    if (ac->err != 0) {
        connect_failed(link, ac);
        return;
    }
    link->ac = ac;
    link->state = LINK_CONNECTING;
    timer_set(link->loop, &link->timer, CONNECT_BUDGET_MS);
    glue_attach(link->loop, ac);
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);
}

static void on_resolved(void *ctx, const struct dns_answer *answer)
{
    struct redis_link *link = ctx;
    char host[ADDRESS_TEXT_SIZE];
    struct error why;

    link->lookup = NULL;
    if (answer->status == DNS_FOUND) {
        address_format_host(
            &answer->addresses[link->attempts++ % answer->count], host);
        connect_to(link, host);
        return;
    }
    error_set(&why, ERR_REMOTE, "redis: %s: %s", link->address.host,
              answer->reason);
    link_gone(link, &why);
}

static void link_connect(struct redis_link *link)
{
    const struct redis_address *address = &link->address;
    struct address numeric;
    struct error why;

    if (address->is_unix ||
        address_parse(str_of(address->host), address->port, &numeric)) {
        connect_to(link, address->host);
        return;
    }
    if (link->dns == NULL)
        link->dns = dns_open(link->loop, NULL, &why);
    if (link->dns == NULL) {
        link_gone(link, &why);
        return;
    }
    link->state = LINK_RESOLVING;
    timer_set(link->loop, &link->timer, CONNECT_BUDGET_MS);
    link->lookup =
        dns_lookup(link->dns, address->host, address->port, on_resolved, link);
}

struct redis_link *redis_link_open(struct loop *loop,
                                   const struct redis_link_settings *settings)
{
    struct redis_link *link = xcalloc(1, sizeof *link);

    link->loop = loop;
    link->settings = *settings;
    link->backoff_ms = BACKOFF_MIN_MS;
    list_init(&link->requests);
    list_init(&link->refused);
    task_init(&link->refuse, refuse_all, link);
    timer_init(&link->timer, on_timer, link);
    error_set(&link->lost, ERR_BUSY, "redis is not connected yet");
    link->is_misconfigured = !redis_address_parse(settings->config->url,
                                                  &link->address, &link->lost);
    timer_set(loop, &link->timer, 0);
    return link;
}

/* Leaves tombstones for hiredis to bury. */
static void forget_requests(struct redis_link *link)
{
    list_each_safe (at, &link->requests) {
        struct request *request = LIST_MEMBER(at, struct request, link);

        timer_clear(link->loop, &request->timer);
        list_remove(&request->link);
        request->owner = NULL;
    }
    list_each_safe (at, &link->refused) {
        list_remove(at);
        request_destroy(LIST_MEMBER(at, struct request, link));
    }
}

void redis_link_close(struct redis_link **link_ptr)
{
    struct redis_link *link = *link_ptr;

    if (link == NULL)
        return;
    *link_ptr = NULL;
    forget_requests(link);
    task_cancel(&link->refuse);
    timer_clear(link->loop, &link->timer);
    dns_close(&link->dns);
    if (link->ac != NULL) {
        link->ac->data = NULL;
        redisAsyncFree(link->ac);
        link->ac = NULL;
    }
    loop_free_later(link->loop, free, link);
}

bool redis_link_is_up(const struct redis_link *link)
{
    return link->state == LINK_UP;
}

size_t redis_link_in_flight(const struct redis_link *link)
{
    return link->in_flight;
}

const struct error *redis_link_trouble(const struct redis_link *link)
{
    return &link->lost;
}
