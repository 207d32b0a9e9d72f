/* One transaction against servers of all kinds; every byte is compared. */
#include "smtp/txn.h"

#include "say.h"

#define MAIL "MAIL FROM:<a@me.example>\r\n"
#define RCPT "RCPT TO:<b@you.example>\r\n"
#define DATA "DATA\r\n"
#define BODY "Subject: x\r\n\r\nHi\r\n"
#define DOT  ".\r\n"
#define RSET "RSET\r\n"
#define LAST "BDAT 18 LAST\r\n" BODY

enum { OUT_MAX = 65536 };

/* The dot may go at once, as when the mark was quick; in a script with
 * .holds_dot it never may. */
static const struct script {
    const char *name;
    bool pipelining;
    bool chunking; /* offered, and wanted always */
    bool holds_dot;
    const char *replies[6]; /* in order, NULL ends */
    const char *wire;
    enum smtp_stage stage;
    enum smtp_trouble trouble;
    unsigned code; /* with trouble 0: not decided */
    bool over;     /* the session may go on, or must_close */
    bool must_close;
    enum smtp_verdict verdict;
} SCRIPTS[] = {
    {
        .name = "accepted, one step at a time",
        .replies = {"250 a\r\n", "250 b\r\n", "354 c\r\n", "250 d\r\n"},
        .wire = MAIL RCPT DATA BODY DOT,
        .stage = SMTP_STAGE_DOT,
        .code = 250,
        .over = true,
        .verdict = SMTP_SENT,
    },
    {
        .name = "not pipelining: RCPT waits for MAIL's reply",
        .replies = {NULL},
        .wire = MAIL,
    },
    {
        .name = "pipelining: three in one flight, nothing behind DATA",
        .pipelining = true,
        .replies = {NULL},
        .wire = MAIL RCPT DATA,
    },
    {
        .name = "accepted, pipelined",
        .pipelining = true,
        .replies = {"250 a\r\n", "251 b\r\n", "354 c\r\n", "250 d\r\n"},
        .wire = MAIL RCPT DATA BODY DOT,
        .stage = SMTP_STAGE_DOT,
        .code = 250,
        .over = true,
        .verdict = SMTP_SENT,
    },
    {
        .name = "the dot waits for the mark, the body does not",
        .pipelining = true,
        .holds_dot = true,
        .replies = {"250 a\r\n", "250 b\r\n", "354 c\r\n"},
        .wire = MAIL RCPT DATA BODY,
    },
    {
        .name = "refused sender: no RSET is needed",
        .replies = {"550 no\r\n"},
        .wire = MAIL,
        .stage = SMTP_STAGE_MAIL,
        .code = 550,
        .over = true,
        .verdict = SMTP_HARD,
    },
    {
        .name = "refused sender, pipelined: all three replies are read",
        .pipelining = true,
        .replies = {"450 no\r\n", "503 no\r\n"},
        .wire = MAIL RCPT DATA,
        .stage = SMTP_STAGE_MAIL,
        .code = 450,
        .verdict = SMTP_SOFT,
    },
    {
        .name = "refused sender, pipelined, and yet 354: close, no dot",
        .pipelining = true,
        .replies = {"550 no\r\n", "250 b\r\n", "354 c\r\n"},
        .wire = MAIL RCPT DATA,
        .stage = SMTP_STAGE_MAIL,
        .code = 550,
        .over = true,
        .must_close = true,
        .verdict = SMTP_HARD,
    },
    {
        .name = "refused recipient: RSET",
        .replies = {"250 a\r\n", "550 5.1.1 no\r\n", "250 r\r\n"},
        .wire = MAIL RCPT RSET,
        .stage = SMTP_STAGE_RCPT,
        .code = 550,
        .over = true,
        .verdict = SMTP_HARD,
    },
    {
        .name = "refused recipient, pipelined: DATA is refused too",
        .pipelining = true,
        .replies = {"250 a\r\n", "550 5.1.1 no\r\n", "554 no valid\r\n",
                    "250 r\r\n"},
        .wire = MAIL RCPT DATA RSET,
        .stage = SMTP_STAGE_RCPT,
        .code = 550,
        .over = true,
        .verdict = SMTP_HARD,
    },
    {
        .name = "refused recipient, yet 354: pay the dot, send no body",
        .pipelining = true,
        .replies = {"250 a\r\n", "550 5.1.1 no\r\n", "354 c\r\n",
                    "554 no valid\r\n", "250 r\r\n"},
        .wire = MAIL RCPT DATA DOT RSET,
        .stage = SMTP_STAGE_RCPT,
        .code = 550,
        .over = true,
        .verdict = SMTP_HARD,
    },
    {
        .name = "and when the lone dot is accepted, close",
        .pipelining = true,
        .replies = {"250 a\r\n", "450 no\r\n", "354 c\r\n", "250 d\r\n"},
        .wire = MAIL RCPT DATA DOT,
        .stage = SMTP_STAGE_RCPT,
        .code = 450,
        .over = true,
        .must_close = true,
        .verdict = SMTP_SOFT,
    },
    {
        .name = "RSET refused: the session is done for",
        .replies = {"250 a\r\n", "550 no\r\n", "500 r\r\n"},
        .wire = MAIL RCPT RSET,
        .stage = SMTP_STAGE_RCPT,
        .code = 550,
        .over = true,
        .must_close = true,
        .verdict = SMTP_HARD,
    },
    {
        .name = "DATA answered by 250: never send the body",
        .replies = {"250 a\r\n", "250 b\r\n", "250 c\r\n"},
        .wire = MAIL RCPT DATA,
        .stage = SMTP_STAGE_DATA,
        .trouble = TROUBLE_PROTOCOL,
        .over = true,
        .must_close = true,
        .verdict = SMTP_SOFT,
    },
    {
        .name = "DATA refused for now",
        .replies = {"250 a\r\n", "250 b\r\n", "451 c\r\n", "250 r\r\n"},
        .wire = MAIL RCPT DATA RSET,
        .stage = SMTP_STAGE_DATA,
        .code = 451,
        .over = true,
        .verdict = SMTP_SOFT,
    },
    {
        .name = "RCPT answered by 354",
        .replies = {"250 a\r\n", "354 b\r\n"},
        .wire = MAIL RCPT,
        .stage = SMTP_STAGE_RCPT,
        .trouble = TROUBLE_PROTOCOL,
        .over = true,
        .must_close = true,
        .verdict = SMTP_SOFT,
    },
    {
        .name = "552 in mid-body",
        .holds_dot = true,
        .replies = {"250 a\r\n", "250 b\r\n", "354 c\r\n", "552 5.3.4 big\r\n"},
        .wire = MAIL RCPT DATA BODY,
        .stage = SMTP_STAGE_BODY,
        .code = 552,
        .over = true,
        .must_close = true,
        .verdict = SMTP_HARD,
    },
    {
        .name = "250 in mid-body is no success",
        .holds_dot = true,
        .replies = {"250 a\r\n", "250 b\r\n", "354 c\r\n", "250 d\r\n"},
        .wire = MAIL RCPT DATA BODY,
        .stage = SMTP_STAGE_BODY,
        .trouble = TROUBLE_PROTOCOL,
        .over = true,
        .must_close = true,
        .verdict = SMTP_SOFT,
    },
    {
        .name = "354 to the dot: nobody knows",
        .replies = {"250 a\r\n", "250 b\r\n", "354 c\r\n", "354 d\r\n"},
        .wire = MAIL RCPT DATA BODY DOT,
        .stage = SMTP_STAGE_DOT,
        .trouble = TROUBLE_PROTOCOL,
        .over = true,
        .must_close = true,
        .verdict = SMTP_UNKNOWN,
    },
    {
        .name = "refused after the dot",
        .replies = {"250 a\r\n", "250 b\r\n", "354 c\r\n", "554 5.7.1 spam\r\n",
                    "250 r\r\n"},
        .wire = MAIL RCPT DATA BODY DOT RSET,
        .stage = SMTP_STAGE_DOT,
        .code = 554,
        .over = true,
        .verdict = SMTP_HARD,
    },
    {
        .name = "put off after the dot",
        .replies = {"250 a\r\n", "250 b\r\n", "354 c\r\n", "451 later\r\n",
                    "250 r\r\n"},
        .wire = MAIL RCPT DATA BODY DOT RSET,
        .stage = SMTP_STAGE_DOT,
        .code = 451,
        .over = true,
        .verdict = SMTP_SOFT,
    },
    {
        .name = "one chunk, one step at a time",
        .chunking = true,
        .replies = {"250 a\r\n", "250 b\r\n", "250 d\r\n"},
        .wire = MAIL RCPT LAST,
        .stage = SMTP_STAGE_DOT,
        .code = 250,
        .over = true,
        .verdict = SMTP_SENT,
    },
    {
        .name = "one chunk, pipelined: all in one flight",
        .pipelining = true,
        .chunking = true,
        .replies = {NULL},
        .wire = MAIL RCPT LAST,
    },
    {
        .name = "one chunk, pipelined, accepted",
        .pipelining = true,
        .chunking = true,
        .replies = {"250 a\r\n", "250 b\r\n", "250 d\r\n"},
        .wire = MAIL RCPT LAST,
        .stage = SMTP_STAGE_DOT,
        .code = 250,
        .over = true,
        .verdict = SMTP_SENT,
    },
    {
        .name = "the chunk waits for the mark",
        .pipelining = true,
        .chunking = true,
        .holds_dot = true,
        .replies = {"250 a\r\n", "250 b\r\n"},
        .wire = MAIL RCPT,
    },
    {
        .name = "refused recipient before the chunk",
        .pipelining = true,
        .chunking = true,
        .holds_dot = true,
        .replies = {"250 a\r\n", "550 5.1.1 no\r\n", "250 r\r\n"},
        .wire = MAIL RCPT RSET,
        .stage = SMTP_STAGE_RCPT,
        .code = 550,
        .over = true,
        .verdict = SMTP_HARD,
    },
    {
        .name = "refused recipient behind the chunk: told when that is, too",
        .pipelining = true,
        .chunking = true,
        .replies = {"250 a\r\n", "550 5.1.1 no\r\n", "503 no\r\n", "250 r\r\n"},
        .wire = MAIL RCPT LAST RSET,
        .stage = SMTP_STAGE_RCPT,
        .code = 550,
        .over = true,
        .verdict = SMTP_HARD,
    },
    {
        .name = "refused recipient, yet the chunk is taken: close",
        .pipelining = true,
        .chunking = true,
        .replies = {"250 a\r\n", "450 no\r\n", "250 d\r\n"},
        .wire = MAIL RCPT LAST,
        .stage = SMTP_STAGE_RCPT,
        .code = 450,
        .over = true,
        .must_close = true,
        .verdict = SMTP_SOFT,
    },
    {
        .name = "refused sender behind the chunk",
        .pipelining = true,
        .chunking = true,
        .replies = {"550 no\r\n", "503 b\r\n", "503 c\r\n"},
        .wire = MAIL RCPT LAST,
        .stage = SMTP_STAGE_MAIL,
        .code = 550,
        .over = true,
        .verdict = SMTP_HARD,
    },
    {
        .name = "refused chunk: RSET",
        .chunking = true,
        .replies = {"250 a\r\n", "250 b\r\n", "554 5.7.1 d\r\n", "250 r\r\n"},
        .wire = MAIL RCPT LAST RSET,
        .stage = SMTP_STAGE_DOT,
        .code = 554,
        .over = true,
        .verdict = SMTP_HARD,
    },
    {
        .name = "354 to a chunk: nobody knows",
        .chunking = true,
        .replies = {"250 a\r\n", "250 b\r\n", "354 c\r\n"},
        .wire = MAIL RCPT LAST,
        .stage = SMTP_STAGE_DOT,
        .trouble = TROUBLE_PROTOCOL,
        .over = true,
        .must_close = true,
        .verdict = SMTP_UNKNOWN,
    },
    {
        .name = "354 to the sender, a chunk under way: nobody knows",
        .pipelining = true,
        .chunking = true,
        .replies = {"354 a\r\n"},
        .wire = MAIL RCPT LAST,
        .stage = SMTP_STAGE_DOT,
        .trouble = TROUBLE_PROTOCOL,
        .over = true,
        .must_close = true,
        .verdict = SMTP_UNKNOWN,
    },
};

static const struct txn_envelope ENVELOPE = {
    .mail_from = STR("a@me.example"),
    .rcpt_to = STR("b@you.example"),
    .message = {.frame = STR(BODY)},
};

static void write_on(struct txn *txn, struct buf *out, bool may_dot)
{
    txn_write(txn, out, OUT_MAX);
    if (!txn_awaits_dot(txn) || !may_dot)
        return;
    txn_allow_dot(txn);
    txn_write(txn, out, OUT_MAX);
}

static void run(const struct script *script)
{
    const struct smtp_offers offers = {.pipelining = script->pipelining,
                                       .chunking = script->chunking};
    struct txn_envelope envelope = ENVELOPE;
    struct txn txn;
    struct buf out;

    print_message("  %s\n", script->name);
    envelope.chunking = CHUNKING_ALWAYS;
    buf_init(&out, OUT_MAX * 2);
    txn_init(&txn, &envelope, &offers);
    write_on(&txn, &out, !script->holds_dot);
    for (size_t i = 0; script->replies[i] != NULL; i++) {
        assert_true(txn_reply(&txn, say(script->replies[i])));
        write_on(&txn, &out, !script->holds_dot);
    }
    assert_said(&out, script->wire);
    assert_int_equal(txn_is_over(&txn), script->over);
    assert_int_equal(txn.must_close, script->must_close);
    assert_int_equal(txn.is_decided, script->code != 0 || script->trouble != 0);
    if (txn.is_decided) {
        assert_int_equal(txn.finding.stage, script->stage);
        assert_int_equal(txn.finding.trouble, script->trouble);
        assert_int_equal(txn.finding.code, script->code);
        assert_int_equal(smtp_judge(&txn.finding).verdict, script->verdict);
    }
    buf_finish(&out);
}

static void scripts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SCRIPTS); i++)
        run(&SCRIPTS[i]);
}

/* MAIL for that envelope and those offers. */
static void assert_mail(struct txn_envelope envelope, struct smtp_offers offers,
                        const char *wire)
{
    struct txn txn;
    struct buf out;

    buf_init(&out, OUT_MAX);
    txn_init(&txn, &envelope, &offers);
    txn_write(&txn, &out, OUT_MAX);
    assert_said(&out, wire);
    buf_finish(&out);
}

static void parameters(void **state)
{
    struct txn_envelope envelope = ENVELOPE;
    struct smtp_offers offers = {0};

    (void)state;
    offers.size = true;
    assert_mail(envelope, offers, "MAIL FROM:<a@me.example> SIZE=18\r\n");
    envelope.message = octets_of(S("no end"));
    envelope.mail_from = S("");
    assert_mail(envelope, offers, "MAIL FROM:<> SIZE=8\r\n");
    offers.size_max = 8;
    assert_mail(envelope, offers, "MAIL FROM:<> SIZE=8\r\n");
    offers.size_max = 7;
    assert_mail(envelope, offers, "");
    offers = (struct smtp_offers){.smtputf8 = true, .eightbitmime = true};
    envelope.needs_smtputf8 = true;
    assert_mail(envelope, offers, "MAIL FROM:<> BODY=8BITMIME SMTPUTF8\r\n");
    offers.smtputf8 = false;
    assert_mail(envelope, offers, "");
}

static void dsn(void **state)
{
    struct txn_envelope envelope = ENVELOPE;
    const struct smtp_offers offers = {
        .pipelining = true, .dsn = true, .smtputf8 = true};

    (void)state;
    envelope.id = S("01a2:0");
    envelope.rcpt_to = S("b+tag=x@you.example");
    assert_mail(envelope, offers,
                "MAIL FROM:<a@me.example> RET=HDRS ENVID=01a2:0\r\n"
                "RCPT TO:<b+tag=x@you.example> "
                "ORCPT=rfc822;b+2Btag+3Dx@you.example\r\nDATA\r\n");
    envelope.rcpt_to = S("\xc3\xbc@you.example");
    envelope.needs_smtputf8 = true; /* RFC 6533 has other forms */
    assert_mail(envelope, offers,
                "MAIL FROM:<a@me.example> SMTPUTF8 RET=HDRS ENVID=01a2:0\r\n"
                "RCPT TO:<\xc3\xbc@you.example>\r\nDATA\r\n");
    envelope.notify = S("FAILURE,DELAY");
    assert_mail(envelope, offers,
                "MAIL FROM:<a@me.example> SMTPUTF8 RET=HDRS ENVID=01a2:0\r\n"
                "RCPT TO:<\xc3\xbc@you.example> NOTIFY=FAILURE,DELAY\r\n"
                "DATA\r\n");
    assert_mail(envelope, (struct smtp_offers){.smtputf8 = true},
                "MAIL FROM:<a@me.example> SMTPUTF8\r\n"); /* not offered */
}

static void deliverby(void **state)
{
    static const struct {
        unsigned by_s;
        bool offered;
        uint64_t min_s;
        const char *wire;
    } FACTS[] = {
        {60, true, 0, "MAIL FROM:<a@me.example> BY=60;R\r\n"},
        {60, true, 60, "MAIL FROM:<a@me.example> BY=60;R\r\n"},
        {59, true, 60, MAIL},
        {0, true, 0, MAIL},
        {60, false, 0, MAIL},
        {999999999, true, 0, "MAIL FROM:<a@me.example> BY=999999999;R\r\n"},
        {1000000000, true, 0, MAIL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(FACTS); i++) {
        struct txn_envelope envelope = ENVELOPE;
        const struct smtp_offers offers = {.deliverby = FACTS[i].offered,
                                           .by_min_s = FACTS[i].min_s};

        envelope.by_s = FACTS[i].by_s;
        assert_mail(envelope, offers, FACTS[i].wire);
    }
}

static void lacking_server(void **state)
{
    struct txn_envelope envelope = ENVELOPE;
    struct smtp_offers offers = {.size = true, .size_max = 17};
    struct txn txn;

    (void)state;
    txn_init(&txn, &envelope, &offers);
    assert_true(txn_is_over(&txn));
    assert_int_equal(smtp_judge(&txn.finding).bounce, SMTP_BOUNCE_TOO_LARGE);
    assert_string_equal(txn.finding.enhanced, "5.3.4");
    envelope.needs_smtputf8 = true;
    txn_init(&txn, &envelope, &offers);
    assert_true(txn_is_over(&txn));
    assert_int_equal(smtp_judge(&txn.finding).verdict, SMTP_HARD);
    assert_string_equal(txn.finding.enhanced, "5.6.7");
}

static const struct stuffing {
    const char *message;
    const char *wire;
} STUFFINGS[] = {
    {"", ".\r\n"},
    {"a\r\n", "a\r\n.\r\n"},
    {"a", "a\r\n.\r\n"},
    {".\r\n", "..\r\n.\r\n"},
    {"..\r\n", "...\r\n.\r\n"},
    {".", "..\r\n.\r\n"},
    {"a.\r\n.b\r\n\r\n.\r\n.", "a.\r\n..b\r\n\r\n..\r\n..\r\n.\r\n"},
    {"a\r\n.\r\n", "a\r\n..\r\n.\r\n"},
};

/* The message part of the wire, written in pieces of that size. */
static void assert_stuffed(const struct stuffing *it, size_t piece)
{
    const struct smtp_offers offers = {.pipelining = true};
    struct txn_envelope envelope = ENVELOPE;
    struct buf out;
    struct buf all;
    struct txn txn;

    envelope.message = octets_of(str_of(it->message));
    buf_init(&out, OUT_MAX);
    buf_init(&all, OUT_MAX);
    txn_init(&txn, &envelope, &offers);
    txn_write(&txn, &out, OUT_MAX);
    assert_true(txn_reply(&txn, say("250 a\r\n")));
    assert_true(txn_reply(&txn, say("250 b\r\n")));
    assert_true(txn_reply(&txn, say("354 c\r\n")));
    do {
        buf_clear(&out);
        txn_write(&txn, &out, piece);
        assert_in_range(out.len, 0, piece + 3);
        buf_add(&all, buf_str(&out));
    } while (txn_has_more(&txn));
    buf_clear(&out);
    txn_write(&txn, &out, piece);
    assert_int_equal(out.len, 0);
    assert_true(txn_awaits_dot(&txn));
    assert_int_equal(txn_stage(&txn), SMTP_STAGE_BODY);
    txn_allow_dot(&txn);
    txn_write(&txn, &out, piece);
    buf_add(&all, buf_str(&out));
    assert_int_equal(txn_stage(&txn), SMTP_STAGE_DOT);
    assert_said(&all, it->wire);
    buf_finish(&out);
    buf_finish(&all);
}

static void stuffing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(STUFFINGS); i++)
        for (size_t piece = 1; piece < 24; piece++)
            assert_stuffed(&STUFFINGS[i], piece);
}

/* Smuggling (CVE-2023-51764 and kin) needs a line end that is none. */
static void smuggling(void **state)
{
    static const struct str MESSAGES[] = {
        STR("a\n.\r\n"), STR("a\r.\r\n"), STR("a\r\n.\nb\r\n"), STR("\nb\r\n"),
        STR("a\r"),      STR("a\r\r\n"),  STR("nul\0here\r\n"),
    };
    const struct smtp_offers offers = {.pipelining = true};
    struct txn_envelope envelope = ENVELOPE;
    struct buf out;
    struct txn txn;

    (void)state;
    buf_init(&out, OUT_MAX);
    for (size_t i = 0; i < COUNT_OF(MESSAGES); i++) {
        envelope.message = octets_of(MESSAGES[i]);
        txn_init(&txn, &envelope, &offers);
        txn_write(&txn, &out, OUT_MAX);
        assert_true(txn_reply(&txn, say("250 a\r\n")));
        assert_true(txn_reply(&txn, say("250 b\r\n")));
        assert_true(txn_reply(&txn, say("354 c\r\n")));
        txn_allow_dot(&txn);
        txn_write(&txn, &out, OUT_MAX);
        assert_true(txn_is_over(&txn));
        assert_true(txn.must_close);
        assert_false(txn.is_dotted);
        assert_int_equal(smtp_judge(&txn.finding).verdict, SMTP_HARD);
        buf_clear(&out);
    }
    buf_finish(&out);
}

static void abandoned(void **state)
{
    struct smtp_offers offers = {0};
    struct buf out;
    struct txn txn;

    (void)state;
    buf_init(&out, OUT_MAX);
    txn_init(&txn, &ENVELOPE, &offers);
    txn_abandon(&txn);
    txn_write(&txn, &out, OUT_MAX);
    assert_said(&out, "");
    assert_true(txn_is_over(&txn));
    assert_false(txn.must_close);

    txn_init(&txn, &ENVELOPE, &offers);
    txn_write(&txn, &out, OUT_MAX);
    txn_abandon(&txn);
    assert_false(txn_is_over(&txn));
    assert_true(txn_reply(&txn, say("250 a\r\n")));
    txn_write(&txn, &out, OUT_MAX);
    assert_said(&out, MAIL RSET);
    assert_true(txn_reply(&txn, say("250 r\r\n")));
    assert_true(txn_is_over(&txn));
    assert_false(txn.must_close);

    buf_finish(&out);
}

/* Whether a message is expected shows when DATA is answered: an empty one, for
 * a recipient that was accepted, would be a mail. */
static void abandoned_behind_data(void **state)
{
    static const struct {
        const char *reply;
        const char *wire;
        bool must_close;
    } FACTS[] = {{"354 c\r\n", "", true}, {"451 c\r\n", RSET, false}};
    const struct smtp_offers offers = {.pipelining = true};
    struct buf out;
    struct txn txn;

    (void)state;
    buf_init(&out, OUT_MAX);
    for (size_t i = 0; i < COUNT_OF(FACTS); i++) {
        txn_init(&txn, &ENVELOPE, &offers);
        txn_write(&txn, &out, OUT_MAX);
        assert_said(&out, MAIL RCPT DATA);
        txn_abandon(&txn);
        assert_false(txn_is_over(&txn));
        assert_true(txn_reply(&txn, say("250 a\r\n")));
        assert_true(txn_reply(&txn, say("250 b\r\n")));
        assert_true(txn_reply(&txn, say(FACTS[i].reply)));
        txn_write(&txn, &out, OUT_MAX);
        assert_said(&out, FACTS[i].wire);
        assert_int_equal(txn.must_close, FACTS[i].must_close);
    }
    txn_init(&txn, &ENVELOPE, &offers);
    txn_write(&txn, &out, OUT_MAX);
    assert_true(txn_reply(&txn, say("250 a\r\n")));
    assert_true(txn_reply(&txn, say("250 b\r\n")));
    assert_true(txn_reply(&txn, say("354 c\r\n")));
    txn_abandon(&txn);
    assert_true(txn.must_close);
    buf_finish(&out);
}

/* --- a file that is encoded as it goes out --- */

/* Up to what follows the last accepting reply, in pieces of some step bytes. */
static void write_with_file(const struct smtp_offers *offers, size_t step,
                            struct buf *out)
{
    static char bytes[600];
    const struct octets_file file = {.at = 6, .bytes = {bytes, sizeof bytes}};
    struct txn_envelope envelope = ENVELOPE;
    struct txn txn;

    memset(bytes, 'x', sizeof bytes);
    envelope.chunking = CHUNKING_ALWAYS;
    envelope.message = (struct octets){S(".a\r\n\r\n\r\n.b\r\n"), &file, 1};
    txn_init(&txn, &envelope, offers);
    txn_write(&txn, out, OUT_MAX);
    assert_true(txn_reply(&txn, say("250 a\r\n")));
    assert_true(txn_reply(&txn, say("250 b\r\n")));
    if (!offers->chunking)
        assert_true(txn_reply(&txn, say("354 c\r\n")));
    buf_clear(out);
    do
        txn_write(&txn, out, out->len + step);
    while (txn_has_more(&txn));
    assert_false(txn.must_close);
}

static void a_file_is_encoded_as_it_goes_out(void **state)
{
    static const struct smtp_offers by_data = {.pipelining = true};
    static const struct smtp_offers by_chunk = {.pipelining = true,
                                                .chunking = true};
    struct buf out;

    (void)state;
    buf_init(&out, OUT_MAX);
    for (size_t step = 1; step < 1000; step += 7) {
        write_with_file(&by_data, step, &out);
        assert_int_equal(out.len, 7 + 820 + 7);
        assert_true(str_starts(buf_str(&out), S("..a\r\n\r\neHh4")));
        assert_true(str_ends(buf_str(&out), S("eHh4\r\n..b\r\n")));
        buf_clear(&out);
        write_with_file(&by_chunk, step, &out);
        assert_int_equal(out.len, strlen("BDAT 832\r\n") + 832);
        assert_true(str_starts(buf_str(&out), S("BDAT 832\r\n.a\r\n\r\neHh4")));
        assert_true(str_ends(buf_str(&out), S("eHh4\r\n.b\r\n")));
        buf_clear(&out);
    }
    buf_finish(&out);
}

/* --- a large message by BDAT --- */

enum { LARGE = TXN_ONE_CHUNK_MAX + 1 };

static char large[LARGE + 1];

static void begin_large(struct txn *txn, struct buf *out)
{
    static const struct smtp_offers offers = {.pipelining = true,
                                              .chunking = true};
    struct txn_envelope envelope = ENVELOPE;

    memset(large, '.', LARGE);
    envelope.message = octets_of(str_of(large));
    txn_init(txn, &envelope, &offers);
    txn_write(txn, out, 1000);
    assert_said(out, MAIL RCPT);
    assert_false(txn->mark_is_due);
    assert_true(txn_reply(txn, say("250 a\r\n")));
    txn_write(txn, out, 1000);
    assert_said(out, "");
    assert_true(txn_reply(txn, say("250 b\r\n")));
    txn_write(txn, out, 1000);
    assert_true(txn->mark_is_due);
    assert_true(str_starts(buf_str(out), S("BDAT 32771\r\n...")));
    assert_int_equal(out->len, 1000);
    assert_int_equal(txn_stage(txn), SMTP_STAGE_BODY);
    assert_int_equal(txn_wait(txn), WAIT_BLOCK);
}

static void write_large(struct txn *txn, struct buf *out)
{
    while (txn_has_more(txn))
        txn_write(txn, out, out->len + 1000);
    assert_int_equal(out->len, strlen("BDAT 32771\r\n") + 32771);
    assert_true(str_ends(buf_str(out), S(".\r\n")));
    buf_clear(out);
    txn_allow_dot(txn);
    txn_write(txn, out, 1000);
    assert_said(out, ""); /* the last one waits for the reply */
    assert_false(txn_awaits_dot(txn));
    assert_int_equal(txn_wait(txn), WAIT_DATA);
}

static void a_large_message_is_committed_apart(void **state)
{
    struct txn txn;
    struct buf out;

    (void)state;
    buf_init(&out, OUT_MAX);
    begin_large(&txn, &out);
    write_large(&txn, &out);
    assert_true(txn_reply(&txn, say("250 c\r\n")));
    assert_true(txn_awaits_dot(&txn));
    txn_write(&txn, &out, 1000);
    assert_said(&out, "BDAT 0 LAST\r\n");
    assert_int_equal(txn_stage(&txn), SMTP_STAGE_DOT);
    assert_int_equal(txn_wait(&txn), WAIT_DOT);
    assert_false(txn_may_be_followed(&txn));
    assert_true(txn_reply(&txn, say("250 d\r\n")));
    assert_true(txn_is_over(&txn));
    assert_false(txn.must_close);
    assert_int_equal(smtp_judge(&txn.finding).verdict, SMTP_SENT);
    buf_finish(&out);
}

static void a_refused_chunk_is_not_committed(void **state)
{
    struct txn txn;
    struct buf out;

    (void)state;
    buf_init(&out, OUT_MAX);
    begin_large(&txn, &out);
    write_large(&txn, &out);
    assert_true(txn_reply(&txn, say("552 5.3.4 c\r\n")));
    txn_write(&txn, &out, 1000);
    assert_said(&out, RSET);
    assert_true(txn_reply(&txn, say("250 r\r\n")));
    assert_true(txn_is_over(&txn));
    assert_false(txn.must_close);
    assert_int_equal(smtp_judge(&txn.finding).verdict, SMTP_HARD);
    buf_finish(&out);
}

/* What follows would be read as commands, or the other way round. */
static void a_chunk_that_is_cut_short_ends_the_session(void **state)
{
    static const char *const REPLIES[] = {"451 c\r\n", "250 c\r\n"};
    struct txn txn;
    struct buf out;

    (void)state;
    buf_init(&out, OUT_MAX);
    for (size_t i = 0; i < COUNT_OF(REPLIES); i++) {
        begin_large(&txn, &out);
        assert_true(txn_reply(&txn, say(REPLIES[i])));
        assert_true(txn_is_over(&txn));
        assert_true(txn.must_close);
        assert_int_equal(smtp_judge(&txn.finding).verdict, SMTP_SOFT);
        buf_clear(&out);
    }
    begin_large(&txn, &out);
    txn_abandon(&txn);
    assert_true(txn.must_close);
    buf_finish(&out);
}

static void an_abandoned_whole_chunk_is_reset(void **state)
{
    struct txn txn;
    struct buf out;

    (void)state;
    buf_init(&out, OUT_MAX);
    begin_large(&txn, &out);
    write_large(&txn, &out);
    assert_true(txn_reply(&txn, say("250 c\r\n")));
    txn_abandon(&txn);
    txn_write(&txn, &out, 1000);
    assert_said(&out, RSET);
    assert_false(txn.must_close);
    buf_finish(&out);
}

/* Behind the dot of another; replies come in order, and each is for the first
 * until that is over. */
static const struct pair {
    const char *name;
    const char *reply; /* to the first's dot */
    enum smtp_verdict verdict;
    bool must_close; /* then the second came to nothing */
} PAIRS[] = {
    {"accepted", "250 d\r\n", SMTP_SENT, false},
    {"refused: no RSET", "554 5.7.1 d\r\n", SMTP_HARD, false},
    {"put off: no RSET", "451 d\r\n", SMTP_SOFT, false},
    {"421", "421 d\r\n", SMTP_SOFT, true},
    {"no answer to a dot", "354 d\r\n", SMTP_UNKNOWN, true},
};

static void check_pair(const struct pair *pair)
{
    const struct smtp_offers offers = {.pipelining = true};
    struct txn first;
    struct txn second;
    struct buf out;

    print_message("  %s\n", pair->name);
    buf_init(&out, OUT_MAX);
    txn_init(&first, &ENVELOPE, &offers);
    txn_write(&first, &out, OUT_MAX);
    assert_true(txn_reply(&first, say("250 a\r\n")));
    assert_true(txn_reply(&first, say("250 b\r\n")));
    assert_true(txn_reply(&first, say("354 c\r\n")));
    txn_allow_dot(&first);
    txn_write(&first, &out, OUT_MAX);
    txn_init(&second, &ENVELOPE, &offers);
    txn_follow(&second, &first);
    txn_write(&second, &out, OUT_MAX);
    assert_said(&out, MAIL RCPT DATA BODY DOT MAIL RCPT DATA);
    assert_true(txn_is_paired(&first) && txn_is_paired(&second));
    assert_int_equal(txn_wait(&first), WAIT_DOT);
    assert_int_equal(txn_wait(&second), WAIT_FOLLOWER);

    assert_true(txn_reply(&first, say(pair->reply)));
    txn_write(&first, &out, OUT_MAX);
    assert_said(&out, "");
    assert_true(txn_is_over(&first));
    assert_int_equal(first.must_close, pair->must_close);
    assert_int_equal(smtp_judge(&first.finding).verdict, pair->verdict);

    assert_true(txn_reply(&second, say("250 a\r\n")));
    assert_int_equal(txn_wait(&second), WAIT_COMMAND);
    assert_true(txn_reply(&second, say("550 b\r\n")));
    assert_true(txn_reply(&second, say("554 c\r\n")));
    txn_write(&second, &out, OUT_MAX);
    assert_said(&out, RSET); /* nobody is behind that one */
    buf_finish(&out);
}

static void pairs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(PAIRS); i++)
        check_pair(&PAIRS[i]);
}

static void unasked(void **state)
{
    const struct smtp_offers offers = {0};
    struct buf out;
    struct txn txn;

    (void)state;
    buf_init(&out, OUT_MAX);
    txn_init(&txn, &ENVELOPE, &offers);
    assert_false(txn_reply(&txn, say("250 a\r\n")));
    txn_write(&txn, &out, OUT_MAX);
    assert_true(txn_reply(&txn, say("250 a\r\n")));
    assert_false(txn_reply(&txn, say("250 b\r\n")));
    buf_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripts),
        cmocka_unit_test(parameters),
        cmocka_unit_test(stuffing),
        cmocka_unit_test(dsn),
        cmocka_unit_test(deliverby),
        cmocka_unit_test(lacking_server),
        cmocka_unit_test(smuggling),
        cmocka_unit_test(a_file_is_encoded_as_it_goes_out),
        cmocka_unit_test(a_large_message_is_committed_apart),
        cmocka_unit_test(a_refused_chunk_is_not_committed),
        cmocka_unit_test(a_chunk_that_is_cut_short_ends_the_session),
        cmocka_unit_test(an_abandoned_whole_chunk_is_reset),
        cmocka_unit_test(abandoned),
        cmocka_unit_test(abandoned_behind_data),
        cmocka_unit_test(pairs),
        cmocka_unit_test(unasked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
