#include "smtp/txn.h"

#include "server/base/fault.h"

#include <string.h>

enum { BY_MAX_S = 999999999 }; /* nine digits */

/* A single chunk goes as STEP_DATA, and STEP_BODY is left out. */
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

static bool is_answered(const struct txn *txn)
{
    return txn->sent == txn->read;
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
    const struct octets *message = &envelope->message;

    return octets_len(message) + (octets_end_line(message) ? 0 : 2);
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
    if (txn->way == TXN_ONE_CHUNK)
        txn->mark_is_due = true;
}

static void reply_rcpt(struct txn *txn, const struct smtp_reply *reply)
{
    if (!is_positive(reply)) {
        decide(txn, SMTP_STAGE_RCPT, reply);
        return;
    }
    txn->rcpt_accepted = !txn->is_decided;
    FAULT_POINT("smtp.rcpt_ok");
}

static void write_data(struct txn *txn, struct buf *out)
{
    txn->mark_is_due = true;
    buf_add_cstr(out, "DATA\r\n");
}

/* Behind a refused recipient a lone dot ends the DATA that was under way
 * (RFC 2920 section 3.1); behind a refused sender nobody can tell what a dot
 * would mean, and behind an accepted recipient it would be a mail. */
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
    } else if (txn->mail_accepted && !txn->is_abandoned) {
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
    else if (reply->code < 400 && txn->is_decided) /* a chunk for nobody */
        txn->must_close = true;
    else
        decide(txn, stage, reply);
    if (!txn->is_dotted)
        txn->must_close = true;
}

static bool is_all_written(const struct txn *txn)
{
    return txn->body_at == octets_len(&txn->envelope.message);
}

static void write_chunk(struct txn *txn, struct buf *out)
{
    txn->mark_is_due = true;
    buf_addf(out, "BDAT %zu\r\n", declared_size(&txn->envelope));
}

static void reply_chunk(struct txn *txn, const struct smtp_reply *reply)
{
    if (reply->code >= 400)
        decide(txn, SMTP_STAGE_BODY, reply);
    else if (!is_all_written(txn) || !is_positive(reply))
        break_off(txn, SMTP_STAGE_BODY, TROUBLE_PROTOCOL,
                  "the message was answered before its end");
    else
        FAULT_POINT("smtp.data_ok");
    if (!is_all_written(txn)) /* the rest would be taken for commands */
        txn->must_close = true;
}

static void write_last(struct txn *txn, struct buf *out)
{
    buf_add_cstr(out, "BDAT 0 LAST\r\n");
    txn->is_dotted = true;
}

/* Every line end in [from, to) is CRLF, and no byte is NUL. */
static bool is_canonical(struct str text, size_t from, size_t to)
{
    const char *begin = text.ptr;
    const char *end = begin + to;
    const char *at;

    for (at = begin + from; (at = memchr(at, '\n', (size_t)(end - at))); at++)
        if (at == begin || at[-1] != '\r')
            return false;
    for (at = begin + from; (at = memchr(at, '\r', (size_t)(end - at))); at++)
        if (at + 1 == begin + text.len || at[1] != '\n')
            return false;
    return memchr(begin + from, '\0', to - from) == NULL;
}

static bool check_canonical(struct txn *txn, struct str text, size_t from,
                            size_t to)
{
    if (is_canonical(text, from, to))
        return true;
    break_off(txn, SMTP_STAGE_BODY, TROUBLE_BAD_MESSAGE,
              "the message has a bare CR, LF or NUL");
    return false;
}

static void add_line_end(const struct txn *txn, struct buf *out)
{
    if (!octets_end_line(&txn->envelope.message))
        buf_add_cstr(out, "\r\n");
}

static void write_one_chunk(struct txn *txn, struct buf *out)
{
    struct str message = txn->envelope.message.frame;

    if (!check_canonical(txn, message, 0, message.len))
        return;
    buf_addf(out, "BDAT %zu LAST\r\n", declared_size(&txn->envelope));
    buf_add(out, message);
    add_line_end(txn, out);
    txn->body_at = message.len;
    txn->is_dotted = true;
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

static const struct step WAYS[][STEP_COUNT] =
    {
        [TXN_DATA] =
            {
                [STEP_MAIL] = {SMTP_STAGE_MAIL, WAIT_COMMAND, false, write_mail,
                               reply_mail},
                [STEP_RCPT] = {SMTP_STAGE_RCPT, WAIT_COMMAND, false, write_rcpt,
                               reply_rcpt},
                [STEP_DATA] = {SMTP_STAGE_DATA, WAIT_DATA, true, write_data,
                               reply_data},
                [STEP_BODY] = {SMTP_STAGE_BODY, WAIT_DOT, true, write_body,
                               reply_body},
                [STEP_RSET] = {SMTP_STAGE_DOT, WAIT_COMMAND, true, write_rset,
                               reply_rset},
            },
        [TXN_CHUNKS] =
            {
                [STEP_MAIL] = {SMTP_STAGE_MAIL, WAIT_COMMAND, false, write_mail,
                               reply_mail},
                [STEP_RCPT] = {SMTP_STAGE_RCPT, WAIT_COMMAND, true, write_rcpt,
                               reply_rcpt},
                [STEP_DATA] = {SMTP_STAGE_BODY, WAIT_DATA, true,
                               write_chunk, reply_chunk},
                [STEP_BODY] = {SMTP_STAGE_BODY, WAIT_DOT, true,
                               write_last, reply_body},
                [STEP_RSET] = {SMTP_STAGE_DOT, WAIT_COMMAND, true,
                               write_rset, reply_rset},
            },
        [TXN_ONE_CHUNK] =
            {
                [STEP_MAIL] = {SMTP_STAGE_MAIL, WAIT_COMMAND, false, write_mail,
                               reply_mail},
                [STEP_RCPT] = {SMTP_STAGE_RCPT, WAIT_COMMAND, false, write_rcpt,
                               reply_rcpt},
                [STEP_DATA] = {SMTP_STAGE_BODY, WAIT_DOT, true, write_one_chunk,
                               reply_body},
                [STEP_RSET] = {SMTP_STAGE_DOT, WAIT_COMMAND, true, write_rset,
                               reply_rset},
            },
};

static const struct step *step_at(const struct txn *txn, unsigned step)
{
    return &WAYS[txn->way][step];
}

/* The one whose command, or whose dot, commits the message. */
static unsigned last_step(const struct txn *txn)
{
    return txn->way == TXN_ONE_CHUNK ? STEP_DATA : STEP_BODY;
}

static enum txn_way way_of(const struct txn_envelope *envelope,
                           const struct smtp_offers *offers)
{
    if (!offers->chunking || envelope->chunking == CHUNKING_NEVER)
        return TXN_DATA;
    if (octets_len(&envelope->message) > TXN_ONE_CHUNK_MAX)
        return TXN_CHUNKS;
    if (envelope->chunking == CHUNKING_ALWAYS &&
        (envelope->is_hedged || envelope->message.file_count > 0))
        return TXN_CHUNKS; /* one chunk goes with the recipient, and at once */
    return envelope->chunking == CHUNKING_ALWAYS ? TXN_ONE_CHUNK : TXN_DATA;
}

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

    *txn = (struct txn){
        .envelope = *envelope,
        .offers = offers,
        .way = way_of(envelope, offers),
    };
    txn->is_decided = lack != TROUBLE_NONE;
    if (txn->is_decided)
        finding_of_trouble(&txn->finding, SMTP_STAGE_MAIL, lack,
                           lack == TROUBLE_UTF8_MISSING
                               ? "the address needs SMTPUTF8, which the server "
                                 "does not offer"
                               : "the message is larger than the server takes");
}

bool txn_may_be_followed(const struct txn *txn)
{
    return txn->is_dotted && !txn->is_decided && txn->way == TXN_DATA &&
           txn->offers->pipelining;
}

void txn_follow(struct txn *txn, struct txn *before)
{
    CHECK(txn_may_be_followed(before) && txn->sent == 0);
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
    return txn->is_decided &&
           (txn->must_close || (!txn->owes_lone_dot &&
                                (is_answered(txn) || txn->read == STEP_RSET)));
}

bool txn_is_over(const struct txn *txn)
{
    return txn_is_settled(txn) &&
           (txn->must_close || (is_answered(txn) && !wants_reset(txn)));
}

/* The command that commits the message, or what ends in its dot. */
static bool may_begin_last(const struct txn *txn)
{
    return txn->way == TXN_DATA ? txn->data_open : txn->may_dot;
}

/* What follows the step that was written last needs its reply. */
static bool must_wait(const struct txn *txn)
{
    unsigned last = txn->sent - 1;

    return !txn->offers->pipelining || step_at(txn, last)->waits ||
           (last == STEP_RCPT && txn->envelope.is_hedged);
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
        return is_answered(txn) && wants_reset(txn) ? STEP_RSET : STEP_COUNT;
    if (txn->sent > last_step(txn) ||
        (txn->sent == last_step(txn) && !may_begin_last(txn)))
        return STEP_COUNT;
    return is_answered(txn) || !must_wait(txn) ? txn->sent : STEP_COUNT;
}

/* A chunk that was begun has to be ended; nothing but a dot ends DATA. */
static bool is_message_under_way(const struct txn *txn)
{
    if (txn->way == TXN_DATA)
        return txn->data_open;
    return txn->way == TXN_CHUNKS && txn->sent > STEP_DATA &&
           !is_all_written(txn);
}

void txn_abandon(struct txn *txn)
{
    CHECK(!txn->is_dotted);
    txn->is_decided = txn->is_abandoned = true;
    if (is_message_under_way(txn))
        txn->must_close = true;
}

void txn_take_back_dot(struct txn *txn)
{
    CHECK(txn->is_dotted && !txn->is_decided);
    txn->is_dotted = false;
    txn->is_decided = true;
    txn->must_close = true;
}

void txn_answer_early(struct txn *txn)
{
    if (txn->read == last_step(txn))
        txn->is_dotted = false;
}

/* Where the bytes from at on that need no dot more end, at most max bytes
 * ahead. */
static size_t plain_end(const struct txn *txn, struct str text, size_t at,
                        size_t max)
{
    struct str rest = str_slice(text, at, max + 1);
    const char *dot = NULL;

    if (txn->way == TXN_DATA)
        dot = memmem(rest.ptr, rest.len, "\n.", 2);
    if (dot != NULL)
        return at + (size_t)(dot - rest.ptr) + 1;
    return at + (rest.len > max ? max : rest.len);
}

/* RFC 5321 section 4.5.2: a dot that begins a line is doubled. No file ends
 * with its line. */
static bool needs_dot(const struct txn *txn, struct str text, size_t at)
{
    return txn->way == TXN_DATA && text.ptr[at] == '.' &&
           (txn->body_at == 0 || (at > 0 && text.ptr[at - 1] == '\n'));
}

static void write_text(struct txn *txn, struct str text, size_t at, size_t max,
                       struct buf *out)
{
    size_t end = plain_end(txn, text, at, max);

    if (!check_canonical(txn, text, at, end))
        return;
    if (needs_dot(txn, text, at))
        buf_add_char(out, '.');
    buf_add(out, str_slice(text, at, end - at));
    txn->body_at += end - at;
}

static void end_message(const struct txn *txn, struct buf *out)
{
    add_line_end(txn, out);
    transcript_message(txn->transcript, declared_size(&txn->envelope));
}

static void write_message(struct txn *txn, struct buf *out, size_t out_max)
{
    const struct octets *message = &txn->envelope.message;

    while (!is_all_written(txn) && out->len < out_max) {
        struct octets_run run = octets_run_at(message, txn->body_at);
        size_t at = txn->body_at - run.from;

        if (run.is_file)
            txn->body_at += octets_add_lines(&run, at, out_max - out->len, out);
        else
            write_text(txn, run.bytes, at, out_max - out->len, out);
        if (txn->must_close)
            return;
        if (is_all_written(txn))
            end_message(txn, out);
    }
    if (txn->way == TXN_DATA && is_all_written(txn) && txn->may_dot) {
        buf_add_cstr(out, ".\r\n");
        transcript_client(txn->transcript, S("."));
        txn->is_dotted = true;
    }
}

/* Its bytes go out, or behind DATA its dot. */
static bool is_in_message(const struct txn *txn)
{
    if (txn->must_close || txn->is_dotted)
        return false;
    if (txn->way == TXN_DATA)
        return txn->sent == STEP_BODY + 1 && txn->data_open &&
               !txn->owes_lone_dot;
    return txn->way == TXN_CHUNKS && txn->sent == STEP_DATA + 1 &&
           !is_all_written(txn);
}

/* What a step has written: a command, and behind BDAT n LAST the message. */
static void note_command(const struct txn *txn, struct str written)
{
    ptrdiff_t end = str_index(written, '\r', 0);

    if (end < 0) /* nothing */
        return;
    transcript_client(txn->transcript, str_slice(written, 0, (size_t)end));
    if (written.len > (size_t)end + 2)
        transcript_message(txn->transcript, declared_size(&txn->envelope));
}

void txn_write(struct txn *txn, struct buf *out, size_t out_max)
{
    unsigned step;
    size_t from;

    while ((step = next_step(txn)) != STEP_COUNT) {
        if (step == STEP_RSET)
            txn->read = STEP_RSET;
        txn->sent = step + 1;
        from = out->len;
        WAYS[txn->way][step].write(txn, out);
        note_command(txn, str_from(buf_str(out), from));
    }
    if (is_in_message(txn))
        write_message(txn, out, out_max);
    CHECK(!out->full);
}

bool txn_has_more(const struct txn *txn)
{
    return is_in_message(txn) && !is_all_written(txn);
}

bool txn_awaits_dot(const struct txn *txn)
{
    if (txn->way == TXN_DATA)
        return is_in_message(txn) && is_all_written(txn);
    return txn->sent == last_step(txn) && !txn->is_decided &&
           (is_answered(txn) ||
            (txn->way == TXN_ONE_CHUNK && txn->offers->pipelining));
}

void txn_allow_dot(struct txn *txn)
{
    txn->may_dot = true;
}

bool txn_awaits_command(const struct txn *txn)
{
    return !txn->is_decided && !txn->data_open && is_answered(txn);
}

bool txn_reply(struct txn *txn, const struct smtp_reply *reply)
{
    CHECK(reply->code >= 200 && reply->code <= 599); /* reply.c saw to it */
    if (is_answered(txn) || txn->must_close)
        return false;
    if (reply->code >= 300 && reply->code < 400 && txn->read < STEP_DATA)
        break_off(txn, txn_stage(txn), TROUBLE_PROTOCOL,
                  "a 3xx code came where none belongs");
    else
        WAYS[txn->way][txn->read].reply(txn, reply);
    txn->read++;
    return true;
}

/* The step whose reply is awaited. */
static const struct step *awaited(const struct txn *txn)
{
    return step_at(txn, txn->read <= last_step(txn) ? txn->read : STEP_RSET);
}

/* Behind the dot the replies to what went before it count no more: only the
 * one to it tells whether the mail was taken. */
enum smtp_stage txn_stage(const struct txn *txn)
{
    return txn->is_dotted ? SMTP_STAGE_DOT : awaited(txn)->stage;
}

enum smtp_wait txn_wait(const struct txn *txn)
{
    if (txn->is_dotted && !txn->is_decided)
        return WAIT_DOT;
    if (txn->follows && txn->read == STEP_MAIL)
        return WAIT_FOLLOWER;
    return is_in_message(txn) ? WAIT_BLOCK : awaited(txn)->wait;
}
