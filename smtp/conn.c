#include "smtp/conn.h"

#include "server/base/clock.h"
#include "server/base/codec.h"
#include "server/base/fault.h"
#include "server/base/hand.h"
#include "server/base/mem.h"
#include "server/base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OUT_PIECE = 64 * 1024,          /* of a long message at a time */
    OUT_MAX = OUT_PIECE + 8 * 1024, /* and the commands beside it */
    /* An address that does not answer for so long gets company by the next
     * one (RFC 8305 section 5). */
    NEXT_ADDRESS_MS = 250,
};

static const struct stream_events STREAM_EVENTS;

static const char UNASKED[] = "a reply came that nobody asked for";

static void connect_next(struct smtp_session *session);
static void give_up(struct session_mail *mail);
static void pump(struct smtp_session *session);

/* Between two mails. */
static bool is_resting(const struct smtp_session *session)
{
    return session->is_greeted && session->mail == NULL;
}

/* --- time --- */

enum smtp_stage session_stage(const struct smtp_session *session)
{
    if (session->mail != NULL)
        return txn_stage(&session->mail->txn);
    if (session->lookup != NULL)
        return SMTP_STAGE_DNS;
    if (session->stream == NULL)
        return SMTP_STAGE_CONNECT;
    return greet_stage(&session->greet);
}

static int64_t wait_ms(const struct smtp_session *session)
{
    const struct config_upstream *config = session->upstream->config;
    int64_t full_ms = smtp_wait_ms(config, WAIT_CONNECT);

    if (session->mail != NULL)
        return smtp_wait_ms(config, txn_wait(&session->mail->txn));
    if (session->is_greeted)
        return smtp_wait_ms(config, WAIT_IDLE);
    if (session->stream == NULL && session->tries_left > 0)
        return full_ms < NEXT_ADDRESS_MS ? full_ms : NEXT_ADDRESS_MS;
    if (session->stream == NULL)
        return full_ms;
    return smtp_wait_ms(config, greet_wait(&session->greet));
}

static int64_t end_ms(const struct smtp_session *session)
{
    return session->began_ms + session->upstream->config->session_timeout_ms;
}

/* When a mail that may still be given up has to be; INT64_MAX: never. */
static int64_t mail_until_ms(const struct smtp_session *session)
{
    const struct session_mail *mail = session->mail;

    if (mail == NULL || mail->until_ms == 0 || mail->is_told ||
        mail->txn.is_decided || mail->txn.is_dotted)
        return INT64_MAX;
    return mail->until_ms;
}

/* The time of the session as a whole ends every wait but the last one: once
 * the dot is out, an answer is worth its own time. */
static void arm(struct smtp_session *session)
{
    int64_t at_ms = clock_now_ms() + wait_ms(session);

    if (!session_is_dotted(session) && end_ms(session) < at_ms)
        at_ms = end_ms(session);
    if (mail_until_ms(session) < at_ms)
        at_ms = mail_until_ms(session);
    session->sent_bytes =
        session->stream == NULL ? 0 : stream_sent_bytes(session->stream);
    timer_set_at(session->loop, &session->timer, at_ms);
}

/* Books the time since the last call. */
static void note_phase(struct smtp_session *session, enum smtp_stage stage)
{
    enum smtp_phase phase = SMTP_PHASE_CONNECT;
    int64_t now_ms = clock_now_ms();

    if (stage == SMTP_STAGE_STARTTLS || stage == SMTP_STAGE_TLS)
        phase = SMTP_PHASE_TLS;
    else if (stage == SMTP_STAGE_AUTH)
        phase = SMTP_PHASE_AUTH;
    session->phase_ms[phase] += now_ms - session->phase_since_ms;
    session->phase_since_ms = now_ms;
}

/* The same of a mail, by the step that was answered. */
static void note_mail_phase(struct session_mail *mail, enum smtp_stage stage)
{
    enum smtp_phase phase = SMTP_PHASE_DOT;
    int64_t now_ms = clock_now_ms();

    if (mail->is_told)
        return;
    if (stage == SMTP_STAGE_MAIL)
        phase = SMTP_PHASE_MAIL;
    else if (stage == SMTP_STAGE_RCPT)
        phase = SMTP_PHASE_RCPT;
    else if (stage == SMTP_STAGE_DATA)
        phase = SMTP_PHASE_DATA;
    mail->phase_ms[phase] += now_ms - mail->reply_ms;
    mail->reply_ms = now_ms;
}

/* What was written behind from. */
static void note_greeting(struct smtp_session *session, size_t from)
{
    transcript_greeting(
        &session->transcript,
        str_from(buf_str(stream_output(session->stream)), from));
}

/* --- the end --- */

/* Tells what became of a mail, once. */
static void tell(struct session_mail *mail, struct smtp_finding *finding)
{
    mail->is_told = true;
    finding->reused = mail->number > 1;
    finding->paired = txn_is_paired(&mail->txn);
    mail->then = smtp_judge(finding).then;
    mail->session->events->settled(mail, finding);
}

/* No mail is under way any more; session->mail was told of. */
static void go_away(struct smtp_session *session)
{
    if (session->next != NULL && !session->next->is_told)
        session->events->left_over(session->next);
    session->events->gone(session);
}

/* Every way to lose a session leads here. */
static void lose(struct smtp_session *session, enum smtp_trouble trouble,
                 const char *words)
{
    struct session_mail *mail = session->mail;
    struct smtp_finding finding;

    timer_clear(session->loop, &session->timer);
    if (session_stage(session) == SMTP_STAGE_CONNECT)
        upstream_note_unreached(session->upstream, session->tries_count);
    session->says_quit = is_resting(session) && trouble == TROUBLE_TIMEOUT;
    transcript_note(mail == NULL ? &session->transcript : &mail->transcript,
                    "failed:", words);
    finding_of_trouble(&finding, session_stage(session), trouble, words);
    /* Some hang up with the 535: the next session has another token. */
    if (!session->is_greeted && session->greet.is_refused)
        finding_of_trouble(&finding, SMTP_STAGE_AUTH, TROUBLE_AUTH_TOKEN,
                           session->greet.finding.text);
    if (!session->is_greeted) {
        session->events->failed(session, &finding);
        return;
    }
    if (mail != NULL && !mail->is_told)
        tell(mail, mail->txn.is_decided ? &mail->txn.finding : &finding);
    go_away(session);
}

/* The dot was decided on and has not left: its mail is surely unsent. */
static void lose_late_dot(struct smtp_session *session)
{
    timer_clear(session->loop, &session->timer);
    session->says_quit = false;
    session->mail->is_told = true;
    txn_take_back_dot(&session->mail->txn);
    session->events->late(session->mail);
    go_away(session);
}

static void lose_connection(struct smtp_session *session, enum stream_end end,
                            const char *reason)
{
    bool in_handshake = session_stage(session) == SMTP_STAGE_TLS;

    switch (end) {
    case STREAM_REFUSED:
    case STREAM_UNREACHABLE:
        lose(session, TROUBLE_REFUSED, reason);
        break;
    case STREAM_TLS_UNTRUSTED:
        lose(session, TROUBLE_TLS_UNTRUSTED, reason);
        break;
    case STREAM_TLS_UNSHARED:
        lose(session, in_handshake ? TROUBLE_TLS_UNSHARED : TROUBLE_LOST,
             reason);
        break;
    case STREAM_TLS_FAILED:
        lose(session, in_handshake ? TROUBLE_TLS_FAILED : TROUBLE_LOST, reason);
        break;
    case STREAM_STALE:
        if (session->mail->txn.is_decided) /* the recipient was refused */
            lose(session, TROUBLE_LOST, reason);
        else
            lose_late_dot(session);
        break;
    case STREAM_EOF:
    case STREAM_RESET:
    case STREAM_TLS_CUT:
    case STREAM_BROKEN:
        lose(session, TROUBLE_LOST, reason);
        break;
    }
}

static const char *patience_words(enum smtp_stage stage)
{
    if (stage == SMTP_STAGE_DNS)
        return "the look-up of the host took too long";
    if (stage == SMTP_STAGE_CONNECT)
        return "the connection did not come about in time";
    if (stage == SMTP_STAGE_TLS)
        return "the TLS handshake took too long";
    if (stage == SMTP_STAGE_BODY)
        return "the message did not get away in time";
    return "the server did not reply in time";
}

/* It reads, if slowly, and the session's whole time is not over. */
static bool is_slow_reader(const struct smtp_session *session)
{
    return session->mail != NULL && session_stage(session) == SMTP_STAGE_BODY &&
           stream_sent_bytes(session->stream) != session->sent_bytes &&
           clock_now_ms() < end_ms(session);
}

/* A server that is silent keeps the session, not the mail. */
static void end_overdue(struct smtp_session *session)
{
    if (session->events->overdue(session->mail)) {
        give_up(session->mail);
        pump(session);
    } else {
        arm(session);
    }
}

static void on_timer(void *ctx)
{
    struct smtp_session *session = ctx;
    enum smtp_stage stage = session_stage(session);

    if (clock_now_ms() >= mail_until_ms(session)) {
        end_overdue(session);
    } else if (stage == SMTP_STAGE_CONNECT && session->tries_left > 0) {
        connect_next(session);
    } else if (is_slow_reader(session)) {
        arm(session);
    } else if (stage == SMTP_STAGE_DNS) {
        lose(session, TROUBLE_NO_DNS, patience_words(stage));
    } else {
        lose(session, TROUBLE_TIMEOUT, patience_words(stage));
    }
}

/* --- a mail --- */

static void tell_settled(struct session_mail *mail)
{
    if (mail->is_told || !txn_is_settled(&mail->txn))
        return;
    if (mail->txn.is_dotted)
        FAULT_POINT("smtp.dot_answered");
    tell(mail, &mail->txn.finding);
}

/* Bytes that came behind the reply that ends a step nobody has asked for: what
 * they answer, and what the next ones will, is anybody's guess (row 77). */
static bool has_surplus(const struct smtp_session *session)
{
    return stream_input(session->stream)->len > 0;
}

/* Its mail being over: what comes behind that answers the next one, if any. */
static bool is_usable(const struct smtp_session *session)
{
    const struct session_mail *mail = session->mail;

    return !mail->txn.must_close && (mail->then & THEN_CLOSE) == 0 &&
           (session->next != NULL || !has_surplus(session));
}

/* The next replies are those to the mail that was written behind the dot. */
static void take_turn(struct smtp_session *session)
{
    session->mail = session->next;
    session->next = NULL;
    session->mail->turn_ms = clock_now_ms();
    pump(session);
}

static void take_rest(struct smtp_session *session)
{
    session->mail = NULL;
    arm(session); /* the idle time */
    session->says_quit = true;
    session->events->free(session);
}

/* After all that could be said was said. */
static void tell_over(struct smtp_session *session)
{
    const struct session_mail *mail = session->mail;

    if (!txn_is_over(&mail->txn)) {
        arm(session);
        return;
    }
    timer_clear(session->loop, &session->timer);
    if (!is_usable(session))
        go_away(session);
    else if (session->next != NULL)
        take_turn(session);
    else
        take_rest(session);
}

static void give_up(struct session_mail *mail)
{
    mail->is_told = true;
    txn_abandon(&mail->txn);
}

static void write_commands(struct session_mail *mail, struct buf *out)
{
    const struct session_events *events = mail->session->events;
    struct txn *txn = &mail->txn;
    bool was_due = txn->mark_is_due;

    if (!was_due && !txn->is_decided &&
        events->may_command(mail) == SESSION_STOP)
        give_up(mail);
    txn_write(txn, out, OUT_PIECE);
    if (!was_due && txn->mark_is_due)
        events->mark_due(mail);
}

/* A long message goes at the server's pace: it is away before its dot is
 * asked for, whose time is short. */
static bool is_behind_long_message(const struct session_mail *mail)
{
    return octets_len(&mail->txn.envelope.message) > OUT_PIECE / 2 &&
           stream_queued_bytes(mail->session->stream) > 0;
}

static void let_dot_go(struct session_mail *mail, struct buf *out)
{
    struct smtp_session *session = mail->session;

    txn_allow_dot(&mail->txn);
    txn_write(&mail->txn, out, OUT_PIECE);
    stream_write_by(session->stream, mail->dot_by_ms);
    if (txn_may_be_followed(&mail->txn))
        session->events->dotted(session);
}

static void write_dot(struct session_mail *mail, struct buf *out)
{
    if (!txn_awaits_dot(&mail->txn) || is_behind_long_message(mail))
        return;
    switch (mail->session->events->may_dot(mail)) {
    case SESSION_GO:
        let_dot_go(mail, out);
        break;
    case SESSION_STOP:
        give_up(mail);
        break;
    case SESSION_HOLD:
        break;
    }
}

static void pump(struct smtp_session *session)
{
    struct buf *out = stream_output(session->stream);
    struct session_mail *mail = session->mail;

    write_commands(mail, out);
    write_dot(mail, out);
    tell_settled(mail);
    if (!session->is_closed)
        tell_over(session);
}

/* --- replies --- */

static void start_tls(struct smtp_session *session)
{
    if (!stream_start_tls_client(session->stream, session->upstream->tls,
                                 session->upstream->config->host, NULL))
        lose(session, TROUBLE_TLS_INJECTED,
             "bytes in the clear came behind the reply to STARTTLS");
}

static void follow_greet(struct smtp_session *session);

static void on_keys(void *ctx, const struct scram_keys *keys)
{
    struct smtp_session *session = ctx;
    struct buf *out = stream_output(session->stream);
    size_t from = out->len;

    session->keys_job = NULL;
    greet_take_keys(&session->greet, keys, out);
    note_greeting(session, from);
    arm(session);
    follow_greet(session);
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
        lose(session, TROUBLE_TIMEOUT, "too many sessions log in at once");
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
    arm(session);
    follow_greet(session);
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

/* What the greeting has come to. */
static void follow_greet(struct smtp_session *session)
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
        if (has_surplus(session)) {
            lose(session, TROUBLE_PROTOCOL, UNASKED);
            break;
        }
        session->is_greeted = true;
        session->says_quit = true;
        upstream_note_login(session->upstream, &session->greet);
        FAULT_POINT("smtp.greeted");
        session->events->opened(session);
        break;
    case GREET_FAILED:
        timer_clear(session->loop, &session->timer);
        session->says_quit = may_say_quit(&session->greet.finding);
        session->events->failed(session, &session->greet.finding);
        break;
    }
}

/* Bytes that came before what they would answer was sent: from here on each
 * reply would be taken for that to another command (row 77). */
static bool is_ahead(const struct smtp_session *session)
{
    if (!has_surplus(session))
        return false;
    return session->mail != NULL ? txn_awaits_command(&session->mail->txn)
                                 : session->greet.state == GREET_GOING;
}

static void take_greet_reply(struct smtp_session *session,
                             struct smtp_reply *reply)
{
    struct buf *out = stream_output(session->stream);
    size_t from = out->len;
    struct buf masked;
    bool is_asked;

    buf_init(&masked, GREET_MASKED_MAX);
    note_phase(session, greet_stage(&session->greet));
    greet_hide_login(&session->greet, reply, &masked);
    transcript_greeting_reply(&session->transcript, reply->code, reply->lines);
    is_asked = greet_reply(&session->greet, reply, out);
    buf_finish(&masked);
    if (!is_asked || is_ahead(session)) {
        lose(session, TROUBLE_PROTOCOL, UNASKED);
        return;
    }
    note_greeting(session, from);
    arm(session);
    follow_greet(session);
}

static void take_mail_reply(struct smtp_session *session,
                            const struct smtp_reply *reply)
{
    struct session_mail *mail = session->mail;
    bool was_accepted = mail->txn.rcpt_accepted;

    if (!txn_reply(&mail->txn, reply) || is_ahead(session)) {
        lose(session, TROUBLE_PROTOCOL, UNASKED);
        return;
    }
    if (!was_accepted && mail->txn.rcpt_accepted && !mail->is_told)
        session->events->accepted(mail);
    pump(session);
}

static void note_mail_reply(struct smtp_session *session,
                            const struct smtp_reply *reply)
{
    struct session_mail *mail = session->mail;

    if (mail == NULL)
        return;
    note_mail_phase(mail, txn_stage(&mail->txn));
    transcript_server(&mail->transcript, reply->code, reply->lines);
}

static void take_reply(struct smtp_session *session, struct smtp_reply *reply)
{
    note_mail_reply(session, reply);
    if (!session->is_greeted)
        take_greet_reply(session, reply);
    else if (session->mail == NULL)
        lose(session, TROUBLE_PROTOCOL, UNASKED);
    else
        take_mail_reply(session, reply);
}

/* Whoever finds the process dead asks whose reply it read. */
static void take_in_hand(const struct smtp_session *session)
{
    if (session->mail != NULL && !session->mail->is_told)
        hand_take(session->mail->txn.envelope.id);
    else
        hand_drop();
}

static void read_replies(struct smtp_session *session, struct buf *input)
{
    enum reply_status status = REPLY_WHOLE;
    struct smtp_reply reply;

    while (!session->is_closed && status == REPLY_WHOLE && input->len > 0) {
        struct str rest = buf_str(input);

        if (is_resting(session)) { /* nothing was asked (row 77) */
            lose(session, TROUBLE_PROTOCOL, UNASKED);
            return;
        }
        take_in_hand(session);
        status = reply_parse(&session->parser, &rest, &reply);
        buf_consume(input, input->len - rest.len);
        if (status == REPLY_BAD)
            lose(session, TROUBLE_PROTOCOL, "that is no SMTP reply");
        else if (status == REPLY_WHOLE)
            take_reply(session, &reply);
    }
}

/* The last byte that was written has left for the server. */
static void pass_sent(const struct txn *txn)
{
    if (txn->is_dotted)
        FAULT_POINT("smtp.dot_sent");
    else if (txn_has_more(txn))
        FAULT_POINT("smtp.body_half_sent");
    else if (txn_awaits_dot(txn))
        FAULT_POINT("smtp.body_sent");
    else
        FAULT_POINT("smtp.envelope_sent");
}

static struct smtp_session *session_of(void *ctx)
{
    return ((struct session_try *)ctx)->session;
}

static void on_readable(void *ctx, struct buf *input)
{
    struct smtp_session *session = session_of(ctx);

    /* Whether the bytes lie in the kernel or here, nobody has looked yet. */
    if (session_is_dotted(session))
        FAULT_POINT("smtp.dot_reply_unread");
    read_replies(session, input);
    hand_drop();
}

static void on_drained(void *ctx)
{
    struct smtp_session *session = session_of(ctx);
    const struct txn *txn;

    if (session->mail == NULL)
        return;
    txn = &session->mail->txn;
    pass_sent(txn);
    if (txn_has_more(txn) || txn_awaits_dot(txn))
        pump(session);
    else
        arm(session); /* the wait begins when the last byte has left */
}

/* --- opening --- */

static bool is_connecting(const struct smtp_session *session)
{
    for (size_t i = 0; i < SESSION_TRIES_MAX; i++)
        if (session->tries[i].stream != NULL)
            return true;
    return false;
}

static void close_tries(struct smtp_session *session)
{
    for (size_t i = 0; i < SESSION_TRIES_MAX; i++)
        if (session->tries[i].stream != NULL)
            stream_close(&session->tries[i].stream);
}

/* A connect that failed is not the end while another one may come through. */
static void on_ended(void *ctx, enum stream_end end, const char *reason)
{
    struct session_try *it = ctx;
    struct smtp_session *session = it->session;

    if (it->stream != NULL)
        stream_close(&it->stream);
    if (session->stream == NULL && session->tries_left > 0)
        connect_next(session);
    else if (session->stream != NULL || !is_connecting(session))
        lose_connection(session, end, reason);
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

static void write_greeting(struct smtp_session *session)
{
    struct buf *out = stream_output(session->stream);
    size_t from = out->len;

    greet_write(&session->greet, out);
    note_greeting(session, from);
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
    arm(session);
    follow_greet(session);
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
    note_phase(session, SMTP_STAGE_TLS);
    greet_secured(&session->greet, is_bound ? &binding : NULL);
    write_greeting(session);
    arm(session);
}

static const struct stream_events STREAM_EVENTS = {
    .opened = on_opened,
    .secured = on_secured,
    .readable = on_readable,
    .drained = on_drained,
    .ended = on_ended,
};

/* The next of the addresses that the upstream had when it began. */
static void connect_next(struct smtp_session *session)
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
    arm(session);
}

static void connect_first(struct smtp_session *session)
{
    struct address addresses[SESSION_TRIES_MAX];

    session->tries_count = session->tries_left =
        upstream_tries(session->upstream, addresses, SESSION_TRIES_MAX);
    for (size_t i = 0; i < session->tries_left; i++)
        session->tries[i] = (struct session_try){session, addresses[i], NULL};
    connect_next(session);
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

struct smtp_session *session_open(struct loop *loop, struct dns *dns,
                                  struct smtp_upstream *upstream,
                                  const struct session_events *events)
{
    struct smtp_session *session = xcalloc(1, sizeof *session);

    list_init(&session->link);
    for (size_t i = 0; i < COUNT_OF(session->seats); i++) {
        session->seats[i].session = session;
        transcript_init(&session->seats[i].transcript);
    }
    transcript_init(&session->transcript);
    transcript_begin(&session->transcript, clock_now_ms());
    session->upstream = upstream;
    session->events = events;
    session->loop = loop;
    session->tls_version = "";
    session->tls_cipher = "";
    session->began_ms = clock_now_ms();
    session->phase_since_ms = session->began_ms;
    reply_parser_init(&session->parser);
    timer_init(&session->timer, on_timer, session);
    if (upstream_addresses_fresh(upstream)) {
        connect_first(session);
    } else {
        session->lookup =
            dns_lookup(dns, upstream->config->host,
                       (uint16_t)upstream->config->port, on_answer, session);
        arm(session);
    }
    return session;
}

static void session_free(void *ptr)
{
    struct smtp_session *session = ptr;

    reply_parser_finish(&session->parser);
    greet_finish(&session->greet);
    transcript_finish(&session->transcript);
    for (size_t i = 0; i < COUNT_OF(session->seats); i++)
        transcript_finish(&session->seats[i].transcript);
    free(session);
}

/* The reply to QUIT would change nothing, so nobody waits for it. */
static void say_quit(struct smtp_session *session)
{
    if (stream_write(session->stream, S("QUIT\r\n")))
        stream_flush(session->stream);
}

void session_close(struct smtp_session **ptr)
{
    struct smtp_session *session = *ptr;

    *ptr = NULL;
    if (session == NULL)
        return;
    CHECK(!session->is_closed);
    session->is_closed = true;
    if (session->says_quit)
        say_quit(session);
    timer_clear(session->loop, &session->timer);
    if (session->lookup != NULL)
        dns_cancel(&session->lookup);
    keys_cancel(&session->keys_job);
    tokens_cancel(&session->token_wait);
    if (session->stream != NULL)
        stream_close(&session->stream);
    close_tries(session);
    loop_free_later(session->loop, session_free, session);
}

struct session_mail *session_seat(struct smtp_session *session)
{
    struct session_mail *seat =
        &session->seats[session->mail == &session->seats[0] ? 1 : 0];

    CHECK(session->next == NULL);
    return seat;
}

static struct session_mail *begin(struct smtp_session *session,
                                  const struct txn_envelope *envelope)
{
    struct session_mail *mail = session_seat(session);

    mail->is_told = false;
    mail->then = 0;
    mail->number = ++session->messages;
    mail->dot_by_ms = 0;
    mail->since_ms = clock_now_ms();
    mail->turn_ms = mail->since_ms;
    mail->reply_ms = mail->since_ms;
    memset(mail->phase_ms, 0, sizeof mail->phase_ms);
    transcript_begin(&mail->transcript, mail->since_ms);
    txn_init(&mail->txn, envelope, &session->greet.offers);
    mail->txn.transcript = &mail->transcript;
    return mail;
}

void session_carry(struct smtp_session *session,
                   const struct txn_envelope *envelope)
{
    CHECK(is_resting(session));
    session->says_quit = false;
    session->mail = begin(session, envelope);
    pump(session);
}

bool session_may_follow(const struct smtp_session *session,
                        const struct txn_envelope *envelope)
{
    return txn_lack(envelope, &session->greet.offers) == TROUBLE_NONE;
}

void session_follow(struct smtp_session *session,
                    const struct txn_envelope *envelope)
{
    struct session_mail *next = begin(session, envelope);

    txn_follow(&next->txn, &session->mail->txn);
    session->next = next;
    write_commands(next, stream_output(session->stream));
}

void session_go_on(struct smtp_session *session)
{
    CHECK(session->mail != NULL);
    pump(session);
}

/* One whose turn has not come is found given up when it has. */
void session_abandon(struct session_mail *mail)
{
    struct smtp_session *session = mail->session;

    CHECK(!mail->is_told);
    give_up(mail);
    if (mail == session->mail)
        pump(session);
}

bool session_is_dotted(const struct smtp_session *session)
{
    return session->mail != NULL && session->mail->txn.is_dotted;
}

/* One that is half-way through its time gets no new mail: the dot alone may
 * take ten minutes. */
bool session_may_carry(const struct smtp_session *session)
{
    const struct config_upstream *config = session->upstream->config;
    uint64_t mail_max = session->greet.offers.mail_max; /* RFC 9422 */

    return session->messages < config->messages_per_session &&
           (mail_max == 0 || session->messages < mail_max) &&
           clock_now_ms() - session->began_ms < config->session_timeout_ms / 2;
}
