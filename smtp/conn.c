#include "smtp/conn_core.h"

#include "server/base/clock.h"
#include "server/base/fault.h"
#include "server/base/hand.h"
#include "server/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* An address that does not answer for so long gets company by the next one
 * (RFC 8305 section 5). */
enum { NEXT_ADDRESS_MS = 250 };

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
void session_arm(struct smtp_session *session)
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

void session_note_phase(struct smtp_session *session, enum smtp_stage stage)
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

void session_lose(struct smtp_session *session, enum smtp_trouble trouble,
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

void session_lose_unasked(struct smtp_session *session)
{
    session_lose(session, TROUBLE_PROTOCOL,
                 "a reply came that nobody asked for");
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

void session_lose_connection(struct smtp_session *session, enum stream_end end,
                             const char *reason)
{
    enum smtp_stage stage = session_stage(session);
    bool in_handshake = stage == SMTP_STAGE_TLS;

    switch (end) {
    case STREAM_REFUSED:
    case STREAM_UNREACHABLE: /* a network that is gone ends later ones so */
        session_lose(session,
                     stage == SMTP_STAGE_CONNECT ? TROUBLE_REFUSED
                                                 : TROUBLE_LOST,
                     reason);
        break;
    case STREAM_TLS_UNTRUSTED:
        session_lose(session, TROUBLE_TLS_UNTRUSTED, reason);
        break;
    case STREAM_TLS_UNSHARED:
        session_lose(session,
                     in_handshake ? TROUBLE_TLS_UNSHARED : TROUBLE_LOST,
                     reason);
        break;
    case STREAM_TLS_FAILED:
        session_lose(session, in_handshake ? TROUBLE_TLS_FAILED : TROUBLE_LOST,
                     reason);
        break;
    case STREAM_STALE:
        if (session_is_dotted(session) && !session->mail->txn.is_decided)
            lose_late_dot(session);
        else /* its recipient was refused, or what is late is another's */
            session_lose(session, TROUBLE_LOST, reason);
        break;
    case STREAM_LACKING:
        session_lose(session,
                     stage == SMTP_STAGE_CONNECT ? TROUBLE_LACKING
                                                 : TROUBLE_LOST,
                     reason);
        break;
    case STREAM_EOF:
    case STREAM_RESET:
    case STREAM_TLS_CUT:
    case STREAM_BROKEN:
        session_lose(session, TROUBLE_LOST, reason);
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
        session_arm(session);
    }
}

static void on_timer(void *ctx)
{
    struct smtp_session *session = ctx;
    enum smtp_stage stage = session_stage(session);

    if (clock_now_ms() >= mail_until_ms(session)) {
        end_overdue(session);
    } else if (stage == SMTP_STAGE_CONNECT && session->tries_left > 0) {
        opening_try_next(session);
    } else if (is_slow_reader(session)) {
        session_arm(session);
    } else if (stage == SMTP_STAGE_DNS) {
        session_lose(session, TROUBLE_NO_DNS, patience_words(stage));
    } else {
        session_lose(session, TROUBLE_TIMEOUT, patience_words(stage));
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

bool session_has_surplus(const struct smtp_session *session)
{
    return stream_input(session->stream)->len > 0;
}

/* Its mail being over: what comes behind that answers the next one, if any. */
static bool is_usable(const struct smtp_session *session)
{
    const struct session_mail *mail = session->mail;

    return !mail->txn.must_close && (mail->then & THEN_CLOSE) == 0 &&
           (session->next != NULL || !session_has_surplus(session));
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
    session_arm(session); /* the idle time */
    session->says_quit = true;
    session->events->free(session);
}

/* After all that could be said was said. */
static void tell_over(struct smtp_session *session)
{
    const struct session_mail *mail = session->mail;

    if (!txn_is_over(&mail->txn)) {
        session_arm(session);
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
    txn_write(txn, out, SESSION_PIECE);
    if (!was_due && txn->mark_is_due)
        events->mark_due(mail);
}

/* A long message goes at the server's pace: it is away before its dot is
 * asked for, whose time is short. */
static bool is_behind_long_message(const struct session_mail *mail)
{
    return octets_len(&mail->txn.envelope.message) > SESSION_PIECE / 2 &&
           stream_queued_bytes(mail->session->stream) > 0;
}

static void let_dot_go(struct session_mail *mail, struct buf *out)
{
    struct smtp_session *session = mail->session;

    txn_allow_dot(&mail->txn);
    txn_write(&mail->txn, out, SESSION_PIECE);
    mail->dot_at = stream_sent_bytes(session->stream) +
                   stream_queued_bytes(session->stream);
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

bool session_is_ahead(const struct smtp_session *session)
{
    if (!session_has_surplus(session))
        return false;
    return session->mail != NULL ? txn_awaits_command(&session->mail->txn)
                                 : session->greet.state == GREET_GOING;
}

static bool is_dot_here(const struct smtp_session *session)
{
    return session_is_dotted(session) &&
           stream_sent_bytes(session->stream) < session->mail->dot_at;
}

static void take_mail_reply(struct smtp_session *session,
                            const struct smtp_reply *reply)
{
    struct session_mail *mail = session->mail;
    bool was_accepted = mail->txn.rcpt_accepted;

    if (is_dot_here(session))
        txn_answer_early(&mail->txn);
    if (!txn_reply(&mail->txn, reply) || session_is_ahead(session)) {
        session_lose_unasked(session);
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

/* Before anybody sees it. masked must live as long as the reply. */
static void hide_login(const struct smtp_session *session,
                       struct smtp_reply *reply, struct buf *masked)
{
    const struct quotes *quotes = &session->upstream->quotes;

    if (session->greet.mechanism == NULL ||
        !quotes_are_in(quotes, reply->lines))
        return;
    quotes_hide(quotes, reply->lines, masked);
    reply->lines = buf_str(masked);
}

static void take_later_reply(struct smtp_session *session,
                             struct smtp_reply *reply)
{
    struct buf masked;

    buf_init(&masked, QUOTES_HIDDEN_MAX);
    hide_login(session, reply, &masked);
    note_mail_reply(session, reply);
    if (session->mail == NULL)
        session_lose_unasked(session);
    else
        take_mail_reply(session, reply);
    buf_finish(&masked);
}

static void take_reply(struct smtp_session *session, struct smtp_reply *reply)
{
    if (session->is_greeted)
        take_later_reply(session, reply);
    else
        opening_reply(session, reply);
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
            session_lose_unasked(session);
            return;
        }
        take_in_hand(session);
        status = reply_parse(&session->parser, &rest, &reply);
        buf_consume(input, input->len - rest.len);
        if (status == REPLY_BAD)
            session_lose(session, TROUBLE_PROTOCOL, "that is no SMTP reply");
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

void session_read(struct smtp_session *session, struct buf *input)
{
    /* Whether the bytes lie in the kernel or here, nobody has looked yet. */
    if (session_is_dotted(session))
        FAULT_POINT("smtp.dot_reply_unread");
    read_replies(session, input);
    hand_drop();
}

void session_drained(struct smtp_session *session)
{
    const struct txn *txn;

    if (session->mail == NULL)
        return;
    txn = &session->mail->txn;
    pass_sent(txn);
    if (txn_has_more(txn) || txn_awaits_dot(txn))
        pump(session);
    else
        session_arm(session); /* the wait begins when the last byte has left */
}

/* --- its life --- */

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
    session->dns = dns;
    session->tls_version = "";
    session->tls_cipher = "";
    session->began_ms = clock_now_ms();
    session->phase_since_ms = session->began_ms;
    reply_parser_init(&session->parser);
    timer_init(&session->timer, on_timer, session);
    opening_begin(session);
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
    opening_stop(session);
    if (session->stream != NULL)
        stream_close(&session->stream);
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
 * take ten minutes. Its first one it gets: where opening takes that long, the
 * next session would be no younger. */
bool session_may_carry(const struct smtp_session *session)
{
    const struct config_upstream *config = session->upstream->config;
    uint64_t mail_max = session->greet.offers.mail_max; /* RFC 9422 */

    if (session->messages == 0)
        return true;
    return session->messages < config->messages_per_session &&
           (mail_max == 0 || session->messages < mail_max) &&
           clock_now_ms() - session->began_ms < config->session_timeout_ms / 2;
}
