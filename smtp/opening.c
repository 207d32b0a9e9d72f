#include "smtp/conn_core.h"

#include "server/base/clock.h"
#include "server/base/codec.h"
#include "server/base/fault.h"
#include "server/base/random.h"

#include <stdio.h>
#include <string.h>

enum { OUT_MAX = SESSION_PIECE + 8 * 1024 }; /* and the commands beside it */

static void follow(struct smtp_session *session);

/* --- the greeting --- */

/* What was written behind from. */
static void note_greeting(struct smtp_session *session, size_t from)
{
    transcript_greeting(
        &session->transcript,
        str_from(buf_str(stream_output(session->stream)), from));
}

static void write_greeting(struct smtp_session *session)
{
    struct buf *out = stream_output(session->stream);
    size_t from = out->len;

    greet_write(&session->greet, out);
    note_greeting(session, from);
}

static void start_tls(struct smtp_session *session)
{
    if (!stream_start_tls_client(session->stream, session->upstream->tls,
                                 session->upstream->config->host, NULL))
        session_lose(session, TROUBLE_TLS_INJECTED,
                     "bytes in the clear came behind the reply to STARTTLS");
}

static void on_keys(void *ctx, const struct scram_keys *keys)
{
    struct smtp_session *session = ctx;
    struct buf *out = stream_output(session->stream);
    size_t from = out->len;

    session->keys_job = NULL;
    greet_take_keys(&session->greet, keys, out);
    note_greeting(session, from);
    session_arm(session);
    follow(session);
}

static void find_keys(struct smtp_session *session)
{
    const struct scram_recipe *recipe = greet_recipe(&session->greet);
    struct keys *keys = &session->upstream->keys;
    const struct scram_keys *found = keys_find(keys, recipe);

    if (found != NULL) {
        on_keys(session, found);
        return;
    }
    session->keys_job = keys_derive(keys, recipe, on_keys, session);
    if (session->keys_job == NULL)
        session_lose(session, TROUBLE_TIMEOUT,
                     "too many sessions log in at once");
}

static void on_token(void *ctx, struct str token, const char *why)
{
    struct smtp_session *session = ctx;
    struct buf *out = stream_output(session->stream);
    size_t from = out->len;

    session->token_wait = NULL;
    if (token.len > 0)
        greet_take_token(&session->greet, token, out);
    else
        greet_lack_token(&session->greet, why);
    note_greeting(session, from);
    session_arm(session);
    follow(session);
}

static void find_token(struct smtp_session *session)
{
    struct tokens *tokens = &session->upstream->tokens;
    struct str refused = greet_refused_token(&session->greet);
    struct str token;

    if (refused.len > 0)
        tokens_refuse(tokens, refused);
    token = tokens_find(tokens);
    if (token.len > 0)
        on_token(session, token, NULL);
    else
        session->token_wait = tokens_fetch(tokens, on_token, session);
}

/* The server is on its way to prove nothing: it gets no last word. */
static bool may_say_quit(const struct smtp_finding *finding)
{
    return finding->trouble != TROUBLE_PROTOCOL &&
           finding->trouble != TROUBLE_AUTH_FORGED;
}

static void become_greeted(struct smtp_session *session)
{
    if (session_has_surplus(session)) {
        session_lose_unasked(session);
        return;
    }
    session->is_greeted = true;
    session->says_quit = true;
    upstream_note_login(session->upstream, &session->greet);
    FAULT_POINT("smtp.greeted");
    session->events->opened(session);
}

/* What the greeting has come to. */
static void follow(struct smtp_session *session)
{
    switch (session->greet.state) {
    case GREET_GOING:
        break;
    case GREET_KEYS:
        find_keys(session);
        break;
    case GREET_TOKEN:
        find_token(session);
        break;
    case GREET_HANDSHAKE:
        start_tls(session);
        break;
    case GREET_READY:
        become_greeted(session);
        break;
    case GREET_FAILED:
        timer_clear(session->loop, &session->timer);
        session->says_quit = may_say_quit(&session->greet.finding);
        session->events->failed(session, &session->greet.finding);
        break;
    }
}

void opening_reply(struct smtp_session *session, struct smtp_reply *reply)
{
    struct buf *out = stream_output(session->stream);
    size_t from = out->len;
    struct buf masked;
    bool is_asked;

    buf_init(&masked, GREET_MASKED_MAX);
    session_note_phase(session, greet_stage(&session->greet));
    greet_hide_login(&session->greet, reply, &masked);
    transcript_greeting_reply(&session->transcript, reply->code, reply->lines);
    is_asked = greet_reply(&session->greet, reply, out);
    buf_finish(&masked);
    if (!is_asked || session_is_ahead(session)) {
        session_lose_unasked(session);
        return;
    }
    note_greeting(session, from);
    session_arm(session);
    follow(session);
}

/* --- the stream --- */

static struct smtp_session *session_of(void *ctx)
{
    return ((struct session_try *)ctx)->session;
}

static bool is_connecting(const struct smtp_session *session)
{
    for (size_t i = 0; i < SESSION_TRIES_MAX; i++)
        if (session->tries[i].stream != NULL)
            return true;
    return false;
}

/* A connect that failed is not the end while another one may come through. */
static void on_ended(void *ctx, enum stream_end end, const char *reason)
{
    struct session_try *it = ctx;
    struct smtp_session *session = it->session;

    if (it->stream != NULL)
        stream_close(&it->stream);
    if (session->stream == NULL && session->tries_left > 0)
        opening_try_next(session);
    else if (session->stream != NULL || !is_connecting(session))
        session_lose_connection(session, end, reason);
}

/* The losers are those that were begun before, whatever became of them. */
static void note_race(const struct session_try *winner)
{
    struct smtp_session *session = winner->session;
    struct address losers[SESSION_TRIES_MAX];
    size_t count = 0;

    for (const struct session_try *it = winner + 1;
         it < session->tries + session->tries_count; it++)
        losers[count++] = it->address;
    upstream_note_address(session->upstream, &winner->address, losers, count);
}

static void make_nonce(char nonce[SCRAM_NONCE_SIZE])
{
    unsigned char bytes[(SCRAM_NONCE_SIZE - 1) / 4 * 3];
    struct buf text;

    random_bytes(bytes, sizeof bytes);
    buf_init(&text, SCRAM_NONCE_SIZE);
    codec_base64_add(&text, str_make(bytes, sizeof bytes));
    memcpy(nonce, text.data, text.len + 1);
    buf_finish(&text);
}

static void close_tries(struct smtp_session *session)
{
    for (size_t i = 0; i < SESSION_TRIES_MAX; i++)
        if (session->tries[i].stream != NULL)
            stream_close(&session->tries[i].stream);
}

static void on_opened(void *ctx)
{
    struct session_try *it = ctx;
    struct smtp_session *session = it->session;
    struct smtp_upstream *upstream = session->upstream;
    char nonce[SCRAM_NONCE_SIZE];

    note_race(it);
    session->address = it->address;
    session->stream = it->stream;
    it->stream = NULL;
    session->tries_left = 0;
    close_tries(session);
    FAULT_POINT("smtp.connected");
    make_nonce(nonce);
    greet_init(&session->greet, &upstream->policy, nonce);
    write_greeting(session);
    session_arm(session);
    follow(session);
}

static void on_secured(void *ctx)
{
    struct smtp_session *session = session_of(ctx);
    struct tls_facts facts;
    struct tls_binding binding;
    bool is_bound = session->upstream->policy.login.username.len > 0 &&
                    stream_tls_binding(session->stream, &binding);

    if (stream_tls_facts(session->stream, &facts)) {
        session->tls_version = facts.version;
        session->tls_cipher = facts.cipher;
        session->tls_verified = facts.verified;
        session->tls_not_after_ms = facts.not_after_ms;
        snprintf(session->tls_subject, sizeof session->tls_subject, "%s",
                 facts.subject);
        transcript_note(&session->transcript, facts.version, facts.cipher);
        if (facts.not_after_ms > 0)
            session->upstream->not_after_ms = facts.not_after_ms;
    }
    session_note_phase(session, SMTP_STAGE_TLS);
    greet_secured(&session->greet, is_bound ? &binding : NULL);
    write_greeting(session);
    session_arm(session);
}

static void on_readable(void *ctx, struct buf *input)
{
    session_read(session_of(ctx), input);
}

static void on_drained(void *ctx)
{
    session_drained(session_of(ctx));
}

static const struct stream_events STREAM_EVENTS = {
    .opened = on_opened,
    .secured = on_secured,
    .readable = on_readable,
    .drained = on_drained,
    .ended = on_ended,
};

/* --- the host --- */

/* The next of the addresses that the upstream had when it began. */
void opening_try_next(struct smtp_session *session)
{
    struct session_try *it = &session->tries[--session->tries_left];
    const struct address *source = &session->upstream->source;
    const struct stream_options options = {
        .events = &STREAM_EVENTS,
        .ctx = it,
        .input_max = REPLY_SIZE_MAX,
        .output_max = OUT_MAX,
    };

    session->address = it->address; /* of the last one, if none wins */
    it->stream = stream_connect(session->loop, &options, &it->address,
                                source->len == 0 ? NULL : source);
    session_arm(session);
}

static void connect_first(struct smtp_session *session)
{
    struct address addresses[SESSION_TRIES_MAX];

    session->tries_count = session->tries_left =
        upstream_tries(session->upstream, addresses, SESSION_TRIES_MAX);
    for (size_t i = 0; i < session->tries_left; i++)
        session->tries[i] = (struct session_try){session, addresses[i], NULL};
    opening_try_next(session);
}

static void on_answer(void *ctx, const struct dns_answer *answer)
{
    struct smtp_session *session = ctx;
    enum smtp_trouble trouble;
    const char *words;
    struct smtp_finding finding;

    session->lookup = NULL;
    if (upstream_take_answer(session->upstream, answer, &trouble, &words)) {
        connect_first(session);
        return;
    }
    timer_clear(session->loop, &session->timer);
    finding_of_trouble(&finding, SMTP_STAGE_DNS, trouble, words);
    session->events->failed(session, &finding);
}

void opening_begin(struct smtp_session *session)
{
    const struct config_upstream *config = session->upstream->config;

    if (upstream_addresses_fresh(session->upstream)) {
        connect_first(session);
        return;
    }
    session->lookup = dns_lookup(session->dns, config->host,
                                 (uint16_t)config->port, on_answer, session);
    session_arm(session);
}

void opening_stop(struct smtp_session *session)
{
    if (session->lookup != NULL)
        dns_cancel(&session->lookup);
    keys_cancel(&session->keys_job);
    tokens_cancel(&session->token_wait);
    close_tries(session);
}
