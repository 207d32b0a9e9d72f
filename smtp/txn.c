#include "smtp/txn.h"

#include "server/base/fault.h"

#include <string.h>

enum { BY_MAX_S = 999999999 }; /* nine digits */

enum { STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_BODY, STEP_RSET, STEP_COUNT };

struct step {
    enum smtp_stage stage;
    enum smtp_wait wait;
    bool waits; /* the next step needs this one's reply (RFC 2920) */
    void (*write)(struct txn *txn, struct buf *out);
    void (*reply)(struct txn *txn, const struct smtp_reply *reply);
};

static bool is_positive(const struct smtp_reply *reply)
{
    return reply->code < 300;
}

/* The first outcome holds: what is refused behind it follows from it. */
static void decide(struct txn *txn, enum smtp_stage stage,
                   const struct smtp_reply *reply)
{
    if (txn->is_decided)
        return;
    txn->is_decided = true;
    finding_of_reply(&txn->finding, stage, reply);
    if (reply->code == 421) /* it closes: the others will not be answered */
        txn->must_close = true;
}

/* From here on nobody knows what the session's next bytes mean. */
static void break_off(struct txn *txn, enum smtp_stage stage,
                      enum smtp_trouble trouble, const char *words)
{
    txn->must_close = true;
    if (txn->is_decided)
        return;
    txn->is_decided = true;
    finding_of_trouble(&txn->finding, stage, trouble, words);
}

/* Nothing that could end the path early, and begin a parameter or a command;
 * message/address.h lets no such address through. */
static bool is_path(struct str address)
{
    return !str_has_control(address) && str_index(address, ' ', 0) < 0 &&
           str_index(address, '<', 0) < 0 && str_index(address, '>', 0) < 0;
}

static void add_path(struct buf *out, const char *command, struct str address)
{
    CHECK(is_path(address));
    buf_add_cstr(out, command);
    buf_add_char(out, '<');
    buf_add(out, address);
    buf_add_char(out, '>');
}

/* RFC 1870 section 6: as sent, the stuffed dots and the final one apart. */
static size_t declared_size(const struct txn_envelope *envelope)
{
    struct str message = envelope->message;

    return message.len + (str_ends(message, S("\r\n")) ? 0 : 2);
}

/* RFC 3461 section 4: what is printable ASCII goes as it is, save "+" and
 * "=". */
static void add_xtext(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];

        if (byte > ' ' && byte < 0x7f && byte != '+' && byte != '=')
            buf_add_char(out, (char)byte);
        else
            buf_addf(out, "+%02X", byte);
    }
}

/* Mode R: what is not delivered by then comes back (RFC 2852 section 4). Less
 * than the server's least time it would refuse, the mail and all. */
static void add_by(const struct txn *txn, struct buf *out)
{
    unsigned by_s = txn->envelope.by_s;

    if (txn->offers->deliverby && by_s > 0 && by_s <= BY_MAX_S &&
        by_s >= txn->offers->by_min_s)
        buf_addf(out, " BY=%u;R", by_s);
}

static void write_mail(struct txn *txn, struct buf *out)
{
    add_path(out, "MAIL FROM:", txn->envelope.mail_from);
    if (txn->offers->size)
        buf_addf(out, " SIZE=%zu", declared_size(&txn->envelope));
    if (txn->envelope.needs_smtputf8) {
        /* Header fields in UTF-8 are 8-bit (RFC 6531 section 3.6). */
        if (txn->offers->eightbitmime)
            buf_add_cstr(out, " BODY=8BITMIME");
        buf_add_cstr(out, " SMTPUTF8");
    }
    if (txn->offers->dsn) {
        buf_add_cstr(out, " RET=HDRS ENVID=");
        add_xtext(out, txn->envelope.id);
    }
    add_by(txn, out);
    buf_add_cstr(out, "\r\n");
}

static void reply_mail(struct txn *txn, const struct smtp_reply *reply)
{
    if (!is_positive(reply)) {
        decide(txn, SMTP_STAGE_MAIL, reply);
        return;
    }
    txn->mail_accepted = true;
    FAULT_POINT("smtp.mail_ok");
}

static void write_rcpt(struct txn *txn, struct buf *out)
{
    add_path(out, "RCPT TO:", txn->envelope.rcpt_to);
    if (txn->offers->dsn && txn->envelope.notify.len > 0) {
        buf_add_cstr(out, " NOTIFY=");
        buf_add(out, txn->envelope.notify);
    }
    if (txn->offers->dsn && !txn->envelope.needs_smtputf8) {
        buf_add_cstr(out, " ORCPT=rfc822;");
        add_xtext(out, txn->envelope.rcpt_to);
    }
    buf_add_cstr(out, "\r\n");
}

static void reply_rcpt(struct txn *txn, const struct smtp_reply *reply)
{
    if (!is_positive(reply)) {
        decide(txn, SMTP_STAGE_RCPT, reply);
        return;
    }
    FAULT_POINT("smtp.rcpt_ok");
}

static void write_data(struct txn *txn, struct buf *out)
{
    txn->data_is_sent = true;
    buf_add_cstr(out, "DATA\r\n");
}

/* Behind a refused recipient a lone dot ends the DATA that was under way
 * (RFC 2920 section 3.1); behind a refused sender nobody can tell what a dot
 * would mean. */
static void reply_data(struct txn *txn, const struct smtp_reply *reply)
{
    if (reply->code >= 400) {
        decide(txn, SMTP_STAGE_DATA, reply);
    } else if (reply->code != 354) {
        break_off(txn, SMTP_STAGE_DATA, TROUBLE_PROTOCOL,
                  "DATA was answered by a code that is none of its own");
    } else if (!txn->is_decided) {
        txn->data_open = true;
        FAULT_POINT("smtp.data_ok");
    } else if (txn->mail_accepted) {
        txn->data_open = true;
        txn->owes_lone_dot = true;
    } else {
        txn->must_close = true;
    }
}

static void write_body(struct txn *txn, struct buf *out)
{
    if (txn->owes_lone_dot)
        buf_add_cstr(out, ".\r\n");
}

static void reply_lone_dot(struct txn *txn, const struct smtp_reply *reply)
{
    txn->owes_lone_dot = false;
    txn->data_open = false;
    if (is_positive(reply))
        txn->must_close = true;
}

static void reply_body(struct txn *txn, const struct smtp_reply *reply)
{
    enum smtp_stage stage = txn_stage(txn);

    if (txn->owes_lone_dot) {
        reply_lone_dot(txn, reply);
        return;
    }
    txn->data_open = false;
    if (reply->code < 400 && (!txn->is_dotted || !is_positive(reply)))
        break_off(txn, stage, TROUBLE_PROTOCOL,
                  "the message was answered before its end");
    else
        decide(txn, stage, reply);
    if (!txn->is_dotted)
        txn->must_close = true;
}

static void write_rset(struct txn *txn, struct buf *out)
{
    (void)txn;
    buf_add_cstr(out, "RSET\r\n");
}

static void reply_rset(struct txn *txn, const struct smtp_reply *reply)
{
    if (!is_positive(reply))
        txn->must_close = true;
}

static const struct step STEPS[STEP_COUNT] = {
    [STEP_MAIL] = {SMTP_STAGE_MAIL, WAIT_COMMAND, false, write_mail,
                   reply_mail},
    [STEP_RCPT] = {SMTP_STAGE_RCPT, WAIT_COMMAND, false, write_rcpt,
                   reply_rcpt},
    [STEP_DATA] = {SMTP_STAGE_DATA, WAIT_DATA, true, write_data, reply_data},
    [STEP_BODY] = {SMTP_STAGE_BODY, WAIT_DOT, true, write_body, reply_body},
    [STEP_RSET] = {SMTP_STAGE_DOT, WAIT_COMMAND, true, write_rset, reply_rset},
};

enum smtp_trouble txn_lack(const struct txn_envelope *envelope,
                           const struct smtp_offers *offers)
{
    if (envelope->needs_smtputf8 && !offers->smtputf8)
        return TROUBLE_UTF8_MISSING;
    if (offers->size_max > 0 && declared_size(envelope) > offers->size_max)
        return TROUBLE_TOO_LARGE;
    return TROUBLE_NONE;
}

void txn_init(struct txn *txn, const struct txn_envelope *envelope,
              const struct smtp_offers *offers)
{
    enum smtp_trouble lack = txn_lack(envelope, offers);

    *txn = (struct txn){.envelope = *envelope, .offers = offers};
    txn->is_decided = lack != TROUBLE_NONE;
    if (txn->is_decided)
        finding_of_trouble(&txn->finding, SMTP_STAGE_MAIL, lack,
                           lack == TROUBLE_UTF8_MISSING
                               ? "the address needs SMTPUTF8, which the server "
                                 "does not offer"
                               : "the message is larger than the server takes");
}

void txn_follow(struct txn *txn, struct txn *before)
{
    CHECK(before->is_dotted && !before->is_decided && txn->sent == 0);
    before->is_followed = true;
    txn->follows = true;
}

bool txn_is_paired(const struct txn *txn)
{
    return txn->is_dotted ? txn->is_followed : txn->follows;
}

/* A transaction that began and came to nothing leaves its sender behind. */
static bool wants_reset(const struct txn *txn)
{
    return txn->mail_accepted && txn->read <= STEP_RSET && !txn->is_followed &&
           txn->finding.code / 100 != 2;
}

bool txn_is_settled(const struct txn *txn)
{
    return txn->is_decided && (txn->must_close || (!txn->owes_lone_dot &&
                                                   (txn->read == txn->sent ||
                                                    txn->read == STEP_RSET)));
}

bool txn_is_over(const struct txn *txn)
{
    return txn_is_settled(txn) &&
           (txn->must_close || (txn->read == txn->sent && !wants_reset(txn)));
}

/* The step that may go out now; STEP_COUNT: none. One may go when nothing is
 * awaited, or right behind its forerunner when both sides pipeline. A failed
 * transaction sends only the dot it owes, then RSET. */
static unsigned next_step(const struct txn *txn)
{
    if (txn->must_close)
        return STEP_COUNT;
    if (txn->is_decided && txn->owes_lone_dot)
        return txn->sent == STEP_BODY ? STEP_BODY : STEP_COUNT;
    if (txn->is_decided)
        return txn->sent == txn->read && wants_reset(txn) ? STEP_RSET
                                                          : STEP_COUNT;
    if (txn->sent == STEP_BODY)
        return txn->data_open ? STEP_BODY : STEP_COUNT;
    if (txn->sent > STEP_BODY)
        return STEP_COUNT;
    if (txn->sent == txn->read ||
        (txn->offers->pipelining && !STEPS[txn->sent - 1].waits))
        return txn->sent;
    return STEP_COUNT;
}

void txn_abandon(struct txn *txn)
{
    CHECK(!txn->is_dotted);
    txn->is_decided = true;
    if (txn->data_is_sent)
        txn->must_close = true;
}

void txn_take_back_dot(struct txn *txn)
{
    CHECK(txn->is_dotted && !txn->is_decided);
    txn->is_dotted = false;
    txn_abandon(txn);
}

/* Every line end in [from, to) is CRLF, and no byte is NUL. */
static bool is_canonical(struct str message, size_t from, size_t to)
{
    const char *begin = message.ptr;
    const char *end = begin + to;
    const char *at;

    for (at = begin + from; (at = memchr(at, '\n', (size_t)(end - at))); at++)
        if (at == begin || at[-1] != '\r')
            return false;
    for (at = begin + from; (at = memchr(at, '\r', (size_t)(end - at))); at++)
        if (at + 1 == begin + message.len || at[1] != '\n')
            return false;
    return memchr(begin + from, '\0', to - from) == NULL;
}

/* Where the run of bytes from body_at that needs no dot ends, at most max
 * bytes ahead. */
static size_t run_end(const struct txn *txn, size_t max)
{
    struct str rest = str_slice(txn->envelope.message, txn->body_at, max + 1);
    const char *dot = memmem(rest.ptr, rest.len, "\n.", 2);

    if (dot != NULL)
        return txn->body_at + (size_t)(dot - rest.ptr) + 1;
    return txn->body_at + (rest.len > max ? max : rest.len);
}

/* RFC 5321 section 4.5.2: a dot that begins a line is doubled. */
static bool begins_with_dot(const struct txn *txn)
{
    struct str message = txn->envelope.message;

    return message.ptr[txn->body_at] == '.' &&
           (txn->body_at == 0 || message.ptr[txn->body_at - 1] == '\n');
}

static void write_message(struct txn *txn, struct buf *out, size_t out_max)
{
    struct str message = txn->envelope.message;
    size_t end;

    while (txn->body_at < message.len && out->len < out_max) {
        end = run_end(txn, out_max - out->len);
        if (!is_canonical(message, txn->body_at, end)) {
            break_off(txn, SMTP_STAGE_BODY, TROUBLE_BAD_MESSAGE,
                      "the message has a bare CR, LF or NUL");
            return;
        }
        if (begins_with_dot(txn))
            buf_add_char(out, '.');
        buf_add(out, str_slice(message, txn->body_at, end - txn->body_at));
        txn->body_at = end;
        if (end == message.len && !str_ends(message, S("\r\n")))
            buf_add_cstr(out, "\r\n");
    }
    if (txn->body_at == message.len && txn->may_dot) {
        buf_add_cstr(out, ".\r\n");
        txn->is_dotted = true;
    }
}

static bool is_in_message(const struct txn *txn)
{
    return txn->sent == STEP_BODY + 1 && txn->data_open &&
           !txn->owes_lone_dot && !txn->is_dotted && !txn->must_close;
}

void txn_write(struct txn *txn, struct buf *out, size_t out_max)
{
    unsigned step;

    while ((step = next_step(txn)) != STEP_COUNT) {
        if (step == STEP_RSET)
            txn->read = STEP_RSET;
        txn->sent = step + 1;
        STEPS[step].write(txn, out);
    }
    if (is_in_message(txn))
        write_message(txn, out, out_max);
    CHECK(!out->full);
}

bool txn_has_more(const struct txn *txn)
{
    return is_in_message(txn) && txn->body_at < txn->envelope.message.len;
}

bool txn_awaits_dot(const struct txn *txn)
{
    return is_in_message(txn) && txn->body_at == txn->envelope.message.len;
}

void txn_allow_dot(struct txn *txn)
{
    txn->may_dot = true;
}

bool txn_awaits_command(const struct txn *txn)
{
    return !txn->is_decided && !txn->data_open && txn->read == txn->sent;
}

bool txn_reply(struct txn *txn, const struct smtp_reply *reply)
{
    CHECK(reply->code >= 200 && reply->code <= 599); /* reply.c saw to it */
    if (txn->read == txn->sent || txn->must_close)
        return false;
    if (reply->code >= 300 && reply->code < 400 && txn->read < STEP_DATA)
        break_off(txn, STEPS[txn->read].stage, TROUBLE_PROTOCOL,
                  "a 3xx code came where none belongs");
    else
        STEPS[txn->read].reply(txn, reply);
    txn->read++;
    return true;
}

enum smtp_stage txn_stage(const struct txn *txn)
{
    unsigned step = txn->read < STEP_COUNT ? txn->read : STEP_RSET;

    if (step == STEP_BODY && txn->is_dotted)
        return SMTP_STAGE_DOT;
    return STEPS[step].stage;
}

enum smtp_wait txn_wait(const struct txn *txn)
{
    unsigned step = txn->read < STEP_COUNT ? txn->read : STEP_RSET;

    if (txn->follows && step == STEP_MAIL)
        return WAIT_FOLLOWER;
    return is_in_message(txn) ? WAIT_BLOCK : STEPS[step].wait;
}
