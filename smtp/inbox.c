#include "smtp/inbox.h"

#include "server/base/clock.h"
#include "server/base/list.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/io/listen.h"
#include "server/io/loop.h"
#include "server/io/stream.h"
#include "smtp/inbox_session.h"
#include "smtp/inbox_store.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    SESSIONS_MAX = 256,
    MAIL_MAX = 40 * 1024 * 1024,
    KEPT_MAILS_MAX = 1000,
    KEPT_BYTES_MAX = 64 * 1024 * 1024,
    IDLE_TIMEOUT_MS = 5 * 60 * 1000,
    LAST_WORD_MS = 10 * 1000, /* for a client to take our last reply */
    INPUT_MAX = 64 * 1024,
    OUTPUT_MAX = 32 * 1024,
};

struct inbox {
    struct loop *loop;
    int listen_fd; /* owned */
    struct acceptor *acceptor;
    struct inbox_policy policy;
    struct tls_server *tls; /* borrowed */
    bool implicit_tls;
    int64_t idle_timeout_ms;
    size_t sessions_max;
    struct inbox_store *store;
    struct list guests;
    size_t guest_count;
    struct list waits;
    struct task task; /* tells waits */
};

struct guest {
    struct list link; /* in inbox.guests */
    struct inbox *inbox;
    struct stream *stream;
    struct inbox_session *session;
    struct timer timer;
    char peer[ADDRESS_TEXT_SIZE];
    bool greeted;
    bool securing;    /* a handshake is under way */
    bool stalled;     /* does not take its replies */
    bool half_closed; /* will say no more than lies in the input */
    bool leaving;     /* closed as soon as the replies have left */
};

struct inbox_wait {
    struct list link; /* in inbox.waits */
    struct inbox *inbox;
    char *rcpt; /* "": any */
    uint64_t after;
    inbox_fn fn;
    void *ctx;
};

/* --- guests --- */

static void guest_free(void *ptr)
{
    struct guest *guest = ptr;

    inbox_session_destroy(&guest->session);
    free(guest);
}

static void guest_close(struct guest *guest)
{
    list_remove(&guest->link);
    guest->inbox->guest_count--;
    timer_clear(guest->inbox->loop, &guest->timer);
    stream_close(&guest->stream);
    loop_free_later(guest->inbox->loop, guest_free, guest);
}

static void guest_leave(struct guest *guest)
{
    guest->leaving = true;
    timer_set(guest->inbox->loop, &guest->timer, LAST_WORD_MS);
    if (stream_queued_bytes(guest->stream) == 0)
        guest_close(guest);
}

static void take_mail(struct guest *guest, struct buf *out)
{
    struct inbox *inbox = guest->inbox;
    struct inbox_envelope envelope;
    const struct inbox_mail *mail;

    inbox_session_envelope(guest->session, &envelope);
    mail = inbox_store_add(inbox->store, &envelope,
                           inbox_session_mail(guest->session),
                           str_of(guest->peer), clock_wall_ms());
    inbox_session_answer(guest->session, mail == NULL ? 0 : mail->number, out);
    if (mail == NULL)
        return;
    log_write(LOG_INFO, LOG_INBOX_CAPTURED,
              log_int("number", (int64_t)mail->number),
              log_address("to", mail->rcpt_to[0]),
              log_int("recipients", (int64_t)mail->rcpt_count),
              log_int("bytes", (int64_t)mail->raw.len));
    task_run_soon(inbox->loop, &inbox->task);
}

static void start_tls(struct guest *guest)
{
    struct error err;

    guest->securing = true;
    /* Commands behind STARTTLS came in the clear: an attack, or a client
     * that an attack would work on. */
    if (!stream_start_tls_server(guest->stream, guest->inbox->tls, &err))
        guest_close(guest);
}

/* Steps through *rest until it is used up, or something else must come
 * first: then tells what. */
static enum inbox_event converse(struct guest *guest, struct str *rest)
{
    enum inbox_event event = INBOX_ON;
    struct buf *out;

    while (event == INBOX_ON || event == INBOX_MAIL) {
        out = stream_output(guest->stream);
        guest->stalled =
            stream_queued_bytes(guest->stream) + INBOX_REPLY_MAX > OUTPUT_MAX;
        if (guest->stalled)
            return INBOX_HUNGRY;
        event = inbox_session_step(guest->session, rest, out);
        if (event == INBOX_MAIL)
            take_mail(guest, out);
    }
    return event;
}

static void on_readable(void *ctx, struct buf *input)
{
    struct guest *guest = ctx;
    struct str rest = buf_str(input);
    enum inbox_event event;

    if (guest->leaving) {
        buf_consume(input, input->len);
        return;
    }
    timer_set(guest->inbox->loop, &guest->timer, guest->inbox->idle_timeout_ms);
    event = converse(guest, &rest);
    buf_consume(input, input->len - rest.len);
    if (event == INBOX_START_TLS)
        start_tls(guest);
    else if (event == INBOX_CLOSE || (guest->half_closed && !guest->stalled))
        guest_leave(guest);
}

static void on_drained(void *ctx)
{
    struct guest *guest = ctx;

    if (guest->leaving)
        guest_close(guest);
    else if (guest->stalled)
        stream_resume(guest->stream);
}

static void greet(struct guest *guest)
{
    guest->greeted = true;
    inbox_session_greet(guest->session, stream_output(guest->stream));
}

static void on_secured(void *ctx)
{
    struct guest *guest = ctx;

    guest->securing = false;
    inbox_session_secured(guest->session);
    if (!guest->greeted)
        greet(guest);
}

static void on_ended(void *ctx, enum stream_end end, const char *reason)
{
    struct guest *guest = ctx;

    (void)reason;
    guest->half_closed = true;
    if (end != STREAM_EOF)
        guest_close(guest);
    else if (!guest->stalled)
        guest_leave(guest);
}

static const struct stream_events GUEST_EVENTS = {
    .secured = on_secured,
    .readable = on_readable,
    .drained = on_drained,
    .ended = on_ended,
};

static void on_time_out(void *ctx)
{
    struct guest *guest = ctx;

    if (guest->leaving || guest->stalled || guest->securing) {
        guest_close(guest);
        return;
    }
    inbox_session_time_out(stream_output(guest->stream));
    guest_leave(guest);
}

static void turn_away(struct stream *stream)
{
    if (stream_write(stream, S("421 4.3.2 too many sessions\r\n")))
        stream_flush(stream);
    stream_close(&stream);
}

static void on_guest(void *ctx, int fd, const struct address *peer)
{
    struct inbox *inbox = ctx;
    struct guest *guest = xcalloc(1, sizeof *guest);
    struct stream_options options = {&GUEST_EVENTS, guest, INPUT_MAX,
                                     OUTPUT_MAX};

    guest->inbox = inbox;
    guest->stream = stream_accept(inbox->loop, &options, fd);
    if (inbox->guest_count == inbox->sessions_max) {
        turn_away(guest->stream);
        free(guest);
        return;
    }
    address_format(peer, guest->peer);
    guest->session = inbox_session_create(&inbox->policy, inbox->implicit_tls);
    list_add_last(&inbox->guests, &guest->link);
    inbox->guest_count++;
    timer_init(&guest->timer, on_time_out, guest);
    timer_set(inbox->loop, &guest->timer, inbox->idle_timeout_ms);
    if (inbox->implicit_tls)
        start_tls(guest);
    else
        greet(guest);
}

/* --- waits --- */

static void wait_free(struct inbox_wait *wait)
{
    list_remove(&wait->link);
    free(wait->rcpt);
    free(wait);
}

static const struct inbox_mail *mail_for(const struct inbox_wait *wait)
{
    return inbox_store_next(wait->inbox->store, str_of(wait->rcpt),
                            wait->after);
}

static struct inbox_wait *first_served(struct inbox *inbox)
{
    list_each (link, &inbox->waits) {
        struct inbox_wait *wait = LIST_MEMBER(link, struct inbox_wait, link);

        if (mail_for(wait) != NULL)
            return wait;
    }
    return NULL;
}

/* A callback may cancel others, or close the inbox, which empties the list. */
static void tell_waits(void *ctx)
{
    struct inbox *inbox = ctx;
    struct inbox_wait *wait;
    const struct inbox_mail *mail;
    inbox_fn fn;
    void *fn_ctx;

    while ((wait = first_served(inbox)) != NULL) {
        mail = mail_for(wait);
        fn = wait->fn;
        fn_ctx = wait->ctx;
        wait_free(wait);
        fn(fn_ctx, mail);
    }
}

struct inbox_wait *inbox_wait(struct inbox *inbox, struct str rcpt,
                              uint64_t after, inbox_fn fn, void *ctx)
{
    struct inbox_wait *wait = xcalloc(1, sizeof *wait);

    wait->inbox = inbox;
    wait->rcpt = xmemdup0(rcpt.ptr, rcpt.len);
    wait->after = after;
    wait->fn = fn;
    wait->ctx = ctx;
    list_add_last(&inbox->waits, &wait->link);
    task_run_soon(inbox->loop, &inbox->task);
    return wait;
}

void inbox_cancel(struct inbox_wait **wait)
{
    if (*wait != NULL)
        wait_free(*wait);
    *wait = NULL;
}

/* --- the inbox --- */

static size_t or_default(size_t value, size_t usual)
{
    return value == 0 ? usual : value;
}

static void policy_init(struct inbox_policy *policy,
                        const struct inbox_options *options)
{
    *policy = (struct inbox_policy){
        .name =
            str_of(options->name == NULL ? "inbox.localhost" : options->name),
        .mail_max = or_default(options->mail_max, MAIL_MAX),
        .offers_tls = options->tls != NULL && !options->implicit_tls,
        .demands_auth = options->demands_auth,
        .username = str_of(options->username),
        .password = str_of(options->password),
    };
}

struct inbox *inbox_open(struct loop *loop, const struct inbox_options *options,
                         struct error *err)
{
    int fd =
        listen_open(options->listen == NULL ? "127.0.0.1:0" : options->listen,
                    &(struct listen_options){0}, err);
    size_t bytes_max = or_default(options->kept_bytes_max, KEPT_BYTES_MAX);
    struct inbox *inbox;

    CHECK(!options->implicit_tls || options->tls != NULL);
    if (fd == -1)
        return NULL;
    inbox = xcalloc(1, sizeof *inbox);
    inbox->loop = loop;
    inbox->listen_fd = fd;
    inbox->tls = options->tls;
    inbox->implicit_tls = options->implicit_tls;
    inbox->idle_timeout_ms = options->idle_timeout_ms == 0
                                 ? IDLE_TIMEOUT_MS
                                 : options->idle_timeout_ms;
    inbox->sessions_max = or_default(options->sessions_max, SESSIONS_MAX);
    policy_init(&inbox->policy, options);
    if (bytes_max < inbox->policy.mail_max)
        bytes_max = inbox->policy.mail_max;
    inbox->store = inbox_store_create(
        or_default(options->kept_mails_max, KEPT_MAILS_MAX), bytes_max);
    list_init(&inbox->guests);
    list_init(&inbox->waits);
    task_init(&inbox->task, tell_waits, inbox);
    inbox->acceptor = acceptor_open(loop, fd, on_guest, inbox);
    return inbox;
}

static void inbox_free(void *ptr)
{
    struct inbox *inbox = ptr;

    inbox_store_destroy(&inbox->store);
    free(inbox);
}

void inbox_close(struct inbox **handle)
{
    struct inbox *inbox = *handle;

    if (inbox == NULL)
        return;
    *handle = NULL;
    acceptor_close(&inbox->acceptor);
    close(inbox->listen_fd);
    list_each_safe (link, &inbox->guests)
        guest_close(LIST_MEMBER(link, struct guest, link));
    list_each_safe (link, &inbox->waits)
        wait_free(LIST_MEMBER(link, struct inbox_wait, link));
    task_cancel(&inbox->task);
    loop_free_later(inbox->loop, inbox_free, inbox);
}

void inbox_address(const struct inbox *inbox, struct address *address)
{
    listen_address(inbox->listen_fd, address);
}

const struct inbox_mail *inbox_newest(const struct inbox *inbox,
                                      struct str rcpt)
{
    return inbox_store_newest(inbox->store, rcpt);
}

const struct inbox_mail *inbox_next(const struct inbox *inbox, struct str rcpt,
                                    uint64_t after)
{
    return inbox_store_next(inbox->store, rcpt, after);
}

size_t inbox_count(const struct inbox *inbox)
{
    return inbox_store_count(inbox->store);
}

void inbox_clear(struct inbox *inbox)
{
    inbox_store_clear(inbox->store);
}
