#include "smtp/verdict.h"

#include "server/base/codec.h"

#include <string.h>

#define AT(stage) (1u << SMTP_STAGE_##stage)

enum {
    OPENING = AT(BANNER) | AT(EHLO) | AT(STARTTLS) | AT(AUTH),
    ENVELOPE = AT(MAIL) | AT(RCPT) | AT(DATA),
    PAYLOAD = AT(BODY) | AT(DOT),
    ANSWERS = ENVELOPE | PAYLOAD,
    ANYWHERE = (1u << SMTP_STAGE_COUNT) - 1,
};

enum { EITHER, ONLY_REUSED, ONLY_PAIRED };

/* Words of servers, in lower case, parted by bars. */
#define GREYLIST_WORDS                                                         \
    "greylist|graylist|grey-list|gray-list|grey list|postgrey|dt:spm"
#define RATE_WORDS                                                             \
    "too many|rate limit|rate-limit|ratelimit|rate exceed|too fast|"           \
    "throttl|too frequent|quota exceeded for sending|hl:icc|hl:ifc|hl:rep|"    \
    "mi:dmc|mi:sfq|rp:drc|mi:cel|mi:ccl|slow down|connection limit|"           \
    "thread limit|concurrent|submission rate"
#define FREQUENCY_WORDS                                                        \
    "frequency limited|too frequently sending|reject by behaviour spam"
#define FLOODED_WORDS                                                          \
    "at a rate that prevents|receiving mail too quickly|message receive limit"
#define SPENT_WORDS                                                            \
    "daily user sending|daily sending quota|daily smtp relay|"                 \
    "daily limit for message recipients|submission quota exceeded|"            \
    "submissionquotaexceeded"
#define FULL_WORDS                                                             \
    "mailbox full|mailbox is full|over quota|overquota|"                       \
    "quota exceeded|exceeded its quota|exceeded storage|"                      \
    "insufficient storage|mailbox size"
#define PIPELINING_WORDS                                                       \
    "pipelin|synchroni|out of sequence|bad sequence|out of order"
#define REPUTATION_WORDS                                                       \
    "blacklist|blocklist|block list|black list|blocked using|reputation|"      \
    "spamhaus|dnsbl| rbl|dt:rbl|barracuda|listed at|listed in|is listed"
#define CONTENT_WORDS                                                          \
    "spam|virus|malware|phish|content denied|content reject|attachment|"       \
    "dt:spm|bulk mail|message content"
#define AUTH_WORDS                                                             \
    "spf|dkim|dmarc|relay|not authenticated|unauthenticated|not permitted|"    \
    "not allowed|not authorized|ptr record|reverse dns"
#define SENDER_WORDS                                                           \
    "sender address|sender domain|sender rejected|sender denied|helo |"        \
    "your account|from addresses"
#define INACTIVE_WORDS                                                         \
    "disabled|inactive|suspended|deactivated|not active|account closed|"       \
    "account has been"
#define UNKNOWN_USER_WORDS                                                     \
    "user unknown|unknown user|no such user|no such recipient|no such "        \
    "mailbox|no mailbox|user not found|recipient not found|does not exist|"    \
    "doesn't exist|unknown recipient|recipient unknown|invalid recipient|"     \
    "unknown mailbox|mailbox not found|invalid mailbox|address unknown|"       \
    "unknown address|no such address|unknown local|not a valid mailbox|"       \
    "not a known user|user doesn't|no user|mailbox unavailable: no"

/* What becomes of the mail: the events of the catalogue. */
enum fate { FATE_D, FATE_R, FATE_U, FATE_X, FATE_F, FATE_C };

static const struct {
    enum smtp_verdict verdict;
    bool suppress;
} FATES[] = {
    [FATE_D] = {SMTP_SENT, false},    [FATE_R] = {SMTP_SOFT, false},
    [FATE_U] = {SMTP_UNKNOWN, false}, [FATE_X] = {SMTP_HARD, true},
    [FATE_F] = {SMTP_HARD, false},    [FATE_C] = {SMTP_UNSENT, false},
};

/* One rule: when all of the left half fits, the right half holds. */
struct rule {
    unsigned row;              /* of the catalogue */
    unsigned stages;           /* AT bits */
    enum smtp_trouble trouble; /* TROUBLE_NONE: a reply */
    unsigned low, high;        /* its code */
    const char *enhanced;      /* prefixes of its enhanced code, after the
                                  class digit, parted by bars; NULL: any */
    const char *words;         /* any of these is in its text; NULL: any */
    int reuse;
    enum fate fate;
    enum smtp_bounce bounce;
    unsigned then; /* THEN bits, and those below */
};

/* Beside the THEN bits of verdict.h. */
enum { GREYLIST = 1 << 8, RATE = 1 << 9, FREQUENCY = 1 << 10 };

#define SICK  (THEN_NEXT | THEN_BACK_OFF | THEN_CLOSE)
#define APART (THEN_AGAIN | THEN_CLOSE | THEN_APART)
#define WRONG (THEN_NEXT | THEN_PAUSE | THEN_ALARM | THEN_CLOSE)
#define GONE  (THEN_NEXT | THEN_CLOSE)
#define BUSY  (THEN_SLOW | RATE)
#define REPLY(low, high, enhanced, words)                                      \
    TROUBLE_NONE, low, high, enhanced, words, EITHER
#define TROUBLE(kind)      TROUBLE_##kind, 0, 0, NULL, NULL, EITHER
#define REUSED_REPLY(code) TROUBLE_NONE, code, code, NULL, NULL, ONLY_REUSED
#define REUSED(kind)       TROUBLE_##kind, 0, 0, NULL, NULL, ONLY_REUSED
#define PAIRED_REPLY(low, high, words)                                         \
    TROUBLE_NONE, low, high, NULL, words, ONLY_PAIRED
#define PAIRED(kind) TROUBLE_##kind, 0, 0, NULL, NULL, ONLY_PAIRED

#define D        FATE_D, SMTP_BOUNCE_NONE
#define R(class) FATE_R, SMTP_BOUNCE_##class
#define U        FATE_U, SMTP_BOUNCE_CONNECTION
#define X(class) FATE_X, SMTP_BOUNCE_##class
#define F(class) FATE_F, SMTP_BOUNCE_##class
#define C        FATE_C, SMTP_BOUNCE_CONNECTION
#define SPENT    FATE_C, SMTP_BOUNCE_RATE_LIMITED
#define AGAIN    FATE_C, SMTP_BOUNCE_CONNECTION

/* Each line begins with its row of the catalogue, and goes on with where it
 * was, what the server did, what becomes of the mail and what of the upstream.
 * Rows that are no failure (11, 12, 20 ...) have no line. */
/* clang-format off */
static const struct rule RULES[] = {
    /* The way to the server. */
    {1,  AT(DNS) | AT(CONNECT), TROUBLE(LACKING), C, SICK | THEN_ALARM},
    {1,  AT(CONNECT), TROUBLE(REFUSED), R(CONNECTION), SICK},
    {2,  AT(CONNECT), TROUBLE(TIMEOUT), R(CONNECTION), SICK},
    {3,  AT(CONNECT) | OPENING, TROUBLE(LOST), R(CONNECTION), SICK},
    {5,  AT(DNS), TROUBLE(NO_NAME), C, WRONG},
    {6,  AT(DNS), TROUBLE(NO_DNS), R(DNS), SICK},

    /* Banner and EHLO. */
    {86, AT(BANNER) | AT(EHLO), REPLY(400, 499, NULL, RATE_WORDS), R(RATE_LIMITED), SICK | BUSY},
    {9,  AT(BANNER), REPLY(400, 499, NULL, NULL), R(CONNECTION), SICK},
    {10, AT(BANNER), REPLY(500, 599, NULL, NULL), C, WRONG},
    {13, OPENING, TROUBLE(TIMEOUT), R(CONNECTION), SICK},
    {15, OPENING, TROUBLE(PROTOCOL), R(PROTOCOL), SICK},
    {18, AT(EHLO), REPLY(400, 499, NULL, NULL), R(CONNECTION), SICK},
    {19, AT(EHLO), REPLY(500, 599, NULL, NULL), C, WRONG},

    /* What the mail needs and the server lacks. */
    {27, AT(MAIL), TROUBLE(UTF8_MISSING), F(PROTOCOL), 0},
    {28, AT(MAIL), TROUBLE(TOO_LARGE), F(TOO_LARGE), 0},

    /* TLS. */
    {31, AT(STARTTLS), TROUBLE(TLS_MISSING), C, WRONG},
    {32, AT(STARTTLS), REPLY(400, 599, NULL, NULL), R(CONNECTION), SICK},
    {33, AT(TLS), TROUBLE(LOST), R(CONNECTION), SICK},
    {33, AT(TLS), TROUBLE(TIMEOUT), R(CONNECTION), SICK},
    {33, AT(TLS), TROUBLE(TLS_FAILED), R(CONNECTION), SICK},
    {34, AT(STARTTLS) | AT(TLS), TROUBLE(TLS_INJECTED), R(CONNECTION), SICK | THEN_ALARM},
    {36, AT(TLS), TROUBLE(TLS_UNTRUSTED), C, WRONG},
    {37, AT(TLS), TROUBLE(TLS_UNSHARED), C, WRONG},

    /* Login: no fault of any mail. */
    {44, AT(AUTH), TROUBLE(AUTH_MISSING), C, WRONG},
    {47, AT(AUTH), TROUBLE(AUTH_CHALLENGE), C, WRONG},
    {47, AT(AUTH), TROUBLE(AUTH_FORGED), C, WRONG},
    {43, AT(AUTH), TROUBLE(AUTH_TOKEN), C, SICK | THEN_ALARM},
    {48, ENVELOPE, REPLY(530, 530, NULL, NULL), C, WRONG},
    {49, AT(AUTH), REPLY(432, 432, NULL, NULL), C, WRONG},
    {49, AT(AUTH) | ENVELOPE, REPLY(534, 534, NULL, NULL), C, WRONG},
    {49, AT(AUTH) | ENVELOPE, REPLY(538, 538, NULL, NULL), C, WRONG},
    {46, AT(AUTH), REPLY(400, 499, NULL, NULL), R(CONNECTION), SICK},
    {45, AT(AUTH), REPLY(500, 599, NULL, NULL), C, WRONG},
    {45, ENVELOPE, REPLY(535, 537, NULL, NULL), C, WRONG},

    /* What came behind a dot was not understood: it never will be there. */
    {23, ENVELOPE, PAIRED_REPLY(503, 503, NULL), AGAIN, APART},
    {23, ENVELOPE, PAIRED_REPLY(400, 599, PIPELINING_WORDS), AGAIN, APART},
    {23, AT(MAIL), PAIRED(LOST), AGAIN, APART},
    {23, AT(MAIL), PAIRED(TIMEOUT), AGAIN, APART},
    {23, ENVELOPE, PAIRED(PROTOCOL), AGAIN, APART},
    {23, AT(DOT), PAIRED(LOST), U, THEN_CLOSE | THEN_APART},
    {23, AT(DOT), PAIRED(TIMEOUT), U, THEN_CLOSE | THEN_APART},
    {23, AT(DOT), PAIRED(PROTOCOL), U, THEN_CLOSE | THEN_APART},

    /* A session that served others before, and is gone now. */
    {77, AT(MAIL), REUSED(PROTOCOL), AGAIN, THEN_AGAIN | THEN_CLOSE},
    {80, AT(MAIL), REUSED_REPLY(421), AGAIN, THEN_AGAIN | THEN_CLOSE},
    {81, ENVELOPE, REUSED(LOST), AGAIN, THEN_AGAIN | THEN_CLOSE},

    /* Lost, silent or absurd: before the dot surely unsent, behind it not. */
    {59, ENVELOPE, TROUBLE(LOST), R(CONNECTION), GONE},
    {63, ENVELOPE, TROUBLE(TIMEOUT), R(CONNECTION), GONE},
    {62, ENVELOPE, TROUBLE(PROTOCOL), R(PROTOCOL), GONE},
    {64, AT(BODY), TROUBLE(LOST), R(CONNECTION), GONE},
    {66, AT(BODY), TROUBLE(TIMEOUT), R(CONNECTION), GONE},
    {78, AT(BODY), TROUBLE(PROTOCOL), R(PROTOCOL), GONE},
    {87, AT(BODY), TROUBLE(BAD_MESSAGE), F(PROTOCOL), THEN_CLOSE},
    {69, AT(DOT), TROUBLE(LOST), U, THEN_CLOSE},
    {70, AT(DOT), TROUBLE(TIMEOUT), U, THEN_CLOSE},
    {78, AT(DOT), TROUBLE(PROTOCOL), U, THEN_CLOSE},

    /* Taken. */
    {67, AT(DOT), REPLY(200, 299, NULL, NULL), D, 0},

    /* Too much for the account that a relay knows us by, whatever the mail;
     * for one mailbox, which says nothing of its neighbours. */
    {86, ENVELOPE | AT(BODY), REPLY(400, 599, NULL, SPENT_WORDS), SPENT, WRONG},
    {86, AT(DOT), REPLY(400, 599, NULL, SPENT_WORDS), SPENT, WRONG & ~THEN_NEXT},
    {86, ANSWERS, REPLY(400, 599, NULL, FLOODED_WORDS), R(RATE_LIMITED), 0},

    /* Too much, too often. Of a recipient: his own server's limit, which says
     * nothing of the others; of a code that is 550 and means later: QQ's. */
    {52, ANSWERS, REPLY(450, 451, NULL, GREYLIST_WORDS), R(REPUTATION), GREYLIST},
    {86, ENVELOPE | AT(BODY), REPLY(421, 421, "7.28|7.0", NULL), R(RATE_LIMITED), GONE | BUSY},
    {86, ENVELOPE | AT(BODY), REPLY(421, 421, NULL, RATE_WORDS), R(RATE_LIMITED), GONE | BUSY},
    {86, AT(RCPT), REPLY(400, 499, NULL, RATE_WORDS "|" FREQUENCY_WORDS), R(RATE_LIMITED), RATE},
    {86, AT(RCPT), REPLY(400, 499, "7.28", NULL), R(RATE_LIMITED), RATE},
    {86, ANSWERS, REPLY(400, 499, NULL, FREQUENCY_WORDS), R(RATE_LIMITED), RATE},
    {86, ANSWERS, REPLY(400, 499, NULL, RATE_WORDS), R(RATE_LIMITED), BUSY},
    {86, ANSWERS, REPLY(400, 499, "7.28", NULL), R(RATE_LIMITED), BUSY},
    {86, ANSWERS, REPLY(500, 599, NULL, FREQUENCY_WORDS), R(RATE_LIMITED), FREQUENCY},

    /* Not now. */
    {59, ENVELOPE, REPLY(421, 421, NULL, NULL), R(CONNECTION), GONE},
    {65, AT(BODY), REPLY(421, 421, NULL, NULL), R(CONNECTION), GONE},
    {72, AT(DOT), REPLY(421, 421, NULL, NULL), R(CONNECTION), THEN_CLOSE},
    {52, AT(RCPT), REPLY(450, 451, "7.1", NULL), R(REPUTATION), GREYLIST},
    {29, ANSWERS, REPLY(400, 499, "2.2", NULL), R(MAILBOX_FULL), 0},
    {29, ANSWERS, REPLY(400, 499, NULL, FULL_WORDS), R(MAILBOX_FULL), 0},
    {29, ANSWERS, REPLY(550, 554, "2.2", NULL), R(MAILBOX_FULL), 0},
    {29, ENVELOPE, REPLY(552, 552, "", FULL_WORDS), R(MAILBOX_FULL), 0},
    {72, ANSWERS, REPLY(400, 499, "4.3|1.2|1.8", NULL), R(DNS), 0},
    {72, ANSWERS, REPLY(400, 499, "4.", NULL), R(CONNECTION), 0},
    {72, ANSWERS, REPLY(400, 499, "7.", NULL), R(REPUTATION), 0},
    {72, ANSWERS, REPLY(400, 499, NULL, NULL), R(UNKNOWN), 0},

    /* Never: the mail is too large. */
    {29, ANSWERS, REPLY(500, 599, "3.4|2.3", NULL), F(TOO_LARGE), 0},

    /* Never, for what the mail or its sender is. No address is at fault. */
    {54, ANSWERS, REPLY(500, 599, "7.20|7.21|7.22|7.23|7.24|7.25|7.26|7.27|7.29|7.30|7.515", NULL), F(AUTH_POLICY), 0},
    {54, ANSWERS, REPLY(500, 599, "7.", REPUTATION_WORDS), F(REPUTATION), 0},
    {54, ANSWERS, REPLY(500, 599, "7.", AUTH_WORDS), F(AUTH_POLICY), 0},
    {54, ANSWERS, REPLY(500, 599, "7.|6.", CONTENT_WORDS), F(CONTENT), 0},
    {54, ANSWERS, REPLY(552, 552, "7.", NULL), F(CONTENT), 0},
    {54, ANSWERS, REPLY(500, 599, "7.", NULL), F(AUTH_POLICY), 0},
    {54, ANSWERS, REPLY(500, 599, "6.", NULL), F(CONTENT), 0},
    {50, ANSWERS, REPLY(500, 599, "1.7|1.8|1.20|1.90", NULL), F(AUTH_POLICY), 0},
    {50, AT(RCPT) | PAYLOAD, REPLY(500, 599, NULL, SENDER_WORDS), F(AUTH_POLICY), 0},
    {50, AT(MAIL), REPLY(500, 504, NULL, NULL), F(PROTOCOL), 0},

    /* Never, and the recipient's address is why. */
    {53, AT(RCPT), REPLY(500, 599, "1.2", NULL), F(DNS), 0},
    {53, AT(RCPT), REPLY(500, 599, "1.", NULL), X(INVALID_RECIPIENT), 0},
    {73, PAYLOAD, REPLY(500, 599, "1.", NULL), X(INVALID_RECIPIENT), 0},
    {53, AT(RCPT), REPLY(500, 599, "2.1", NULL), X(INACTIVE), 0},
    {73, PAYLOAD, REPLY(500, 599, "2.1", NULL), F(INACTIVE), 0},
    {55, AT(RCPT), REPLY(551, 551, NULL, NULL), X(INVALID_RECIPIENT), 0},

    /* No enhanced code, or one that says little (or of another class than the
     * basic code's, row 60): by the words. */
    {61, ANSWERS, REPLY(500, 599, NULL, REPUTATION_WORDS), F(REPUTATION), 0},
    {61, ANSWERS, REPLY(500, 599, NULL, AUTH_WORDS), F(AUTH_POLICY), 0},
    {61, ANSWERS, REPLY(500, 599, NULL, CONTENT_WORDS), F(CONTENT), 0},
    {61, AT(RCPT), REPLY(550, 554, NULL, UNKNOWN_USER_WORDS), X(INVALID_RECIPIENT), 0},
    {61, AT(RCPT), REPLY(550, 554, NULL, INACTIVE_WORDS), X(INACTIVE), 0},
    {29, ANSWERS, REPLY(552, 552, NULL, NULL), F(TOO_LARGE), 0},
    {50, AT(MAIL), REPLY(550, 599, NULL, NULL), F(AUTH_POLICY), 0},
    {61, ANSWERS, REPLY(500, 504, NULL, NULL), F(PROTOCOL), 0},
    {73, ANSWERS, REPLY(500, 599, NULL, NULL), F(UNKNOWN), 0},
};
/* clang-format on */

static bool has_word(const char *words, struct str text)
{
    struct str rest = str_of(words);
    struct str word;

    if (words == NULL)
        return true;
    while (str_cut(&rest, '|', &word))
        if (str_contains_nocase(text, word))
            return true;
    return false;
}

/* The basic code's first digit rules (row 60): an enhanced code of another
 * class counts as none. "1." fits all of 1.x, "2.2" that one alone, and ""
 * none at all. */
static bool has_enhanced(const char *wanted, const struct smtp_finding *finding)
{
    struct str rest = str_of(wanted);
    struct str code = str_of(finding->enhanced);
    struct str one;

    if (wanted == NULL)
        return true;
    if (code.len < 5 || (unsigned)(code.ptr[0] - '0') != finding->code / 100)
        code = (struct str){NULL, 0};
    code = str_from(code, 2);
    if (rest.len == 0)
        return code.len == 0;
    while (str_cut(&rest, '|', &one))
        if (str_eq(code, one) ||
            (str_ends(one, S(".")) && str_starts(code, one)))
            return true;
    return false;
}

static bool fits(const struct rule *rule, const struct smtp_finding *finding)
{
    if ((rule->stages & 1u << finding->stage) == 0 ||
        rule->trouble != finding->trouble)
        return false;
    if (rule->reuse == ONLY_REUSED && !finding->reused)
        return false;
    if (rule->reuse == ONLY_PAIRED && !finding->paired)
        return false;
    if (rule->trouble != TROUBLE_NONE)
        return true;
    return finding->code >= rule->low && finding->code <= rule->high &&
           has_enhanced(rule->enhanced, finding) &&
           has_word(rule->words, str_of(finding->text));
}

static enum smtp_pace pace_of(unsigned then)
{
    if (then & FREQUENCY)
        return SMTP_PACE_FREQUENCY;
    if (then & GREYLIST)
        return SMTP_PACE_GREYLIST;
    return then & RATE ? SMTP_PACE_RATE : SMTP_PACE_PLAN;
}

struct smtp_ruling smtp_judge(const struct smtp_finding *finding)
{
    const struct rule *rule = RULES;

    while (rule < RULES + COUNT_OF(RULES) && !fits(rule, finding))
        rule++;
    CHECK(rule < RULES + COUNT_OF(RULES));
    return (struct smtp_ruling){
        .row = rule->row,
        .verdict = FATES[rule->fate].verdict,
        .bounce = rule->bounce,
        .suppress = FATES[rule->fate].suppress,
        .pace = pace_of(rule->then),
        .then = rule->then & THEN_ALL,
    };
}

void finding_of_reply(struct smtp_finding *finding, enum smtp_stage stage,
                      const struct smtp_reply *reply)
{
    struct buf text;

    *finding = (struct smtp_finding){.stage = stage, .code = reply->code};
    memcpy(finding->enhanced, reply->enhanced, sizeof finding->enhanced);
    buf_init(&text, REPLY_TEXT_MAX);
    reply_text_add(reply, &text);
    if (text.len > 0)
        memcpy(finding->text, text.data, text.len);
    buf_finish(&text);
}

void finding_of_trouble(struct smtp_finding *finding, enum smtp_stage stage,
                        enum smtp_trouble trouble, const char *words)
{
    struct buf text;

    *finding = (struct smtp_finding){.stage = stage, .trouble = trouble};
    buf_init(&text, REPLY_TEXT_MAX);
    utf8_clean_add(&text, str_of(words), REPLY_TEXT_MAX);
    if (text.len > 0)
        memcpy(finding->text, text.data, text.len);
    buf_finish(&text);
    if (trouble == TROUBLE_UTF8_MISSING)
        memcpy(finding->enhanced, "5.6.7", sizeof "5.6.7");
    else if (trouble == TROUBLE_TOO_LARGE)
        memcpy(finding->enhanced, "5.3.4", sizeof "5.3.4");
}

const char *smtp_stage_name(enum smtp_stage stage)
{
    static const char *const NAMES[SMTP_STAGE_COUNT] = {
        [SMTP_STAGE_NONE] = "none",          [SMTP_STAGE_DNS] = "DNS",
        [SMTP_STAGE_CONNECT] = "connect",    [SMTP_STAGE_BANNER] = "banner",
        [SMTP_STAGE_EHLO] = "EHLO",          [SMTP_STAGE_STARTTLS] = "STARTTLS",
        [SMTP_STAGE_TLS] = "TLS handshake",  [SMTP_STAGE_AUTH] = "AUTH",
        [SMTP_STAGE_MAIL] = "MAIL FROM",     [SMTP_STAGE_RCPT] = "RCPT TO",
        [SMTP_STAGE_DATA] = "DATA",          [SMTP_STAGE_BODY] = "message",
        [SMTP_STAGE_DOT] = "end of message",
    };

    CHECK(stage < SMTP_STAGE_COUNT);
    return NAMES[stage];
}

/* Resend's "Permanent" reads as "never write to this address again", so only
 * faults of the address are that. */
const struct smtp_bounce_words *smtp_bounce_words(enum smtp_bounce bounce)
{
    static const struct smtp_bounce_words WORDS[SMTP_BOUNCE_COUNT] = {
        [SMTP_BOUNCE_NONE] = {"none", "Undetermined", "Undetermined"},
        [SMTP_BOUNCE_INVALID_RECIPIENT] = {"invalid_recipient", "Permanent",
                                           "NoEmail"},
        [SMTP_BOUNCE_INACTIVE] = {"inactive", "Permanent", "General"},
        [SMTP_BOUNCE_MAILBOX_FULL] = {"mailbox_full", "Transient",
                                      "MailboxFull"},
        [SMTP_BOUNCE_RATE_LIMITED] = {"rate_limited", "Transient", "General"},
        [SMTP_BOUNCE_REPUTATION] = {"reputation", "Transient", "General"},
        [SMTP_BOUNCE_CONTENT] = {"content", "Transient", "ContentRejected"},
        [SMTP_BOUNCE_AUTH_POLICY] = {"auth_policy", "Transient", "General"},
        [SMTP_BOUNCE_DNS] = {"dns", "Permanent", "General"},
        [SMTP_BOUNCE_CONNECTION] = {"connection", "Transient", "General"},
        [SMTP_BOUNCE_TOO_LARGE] = {"too_large", "Transient", "MessageTooLarge"},
        [SMTP_BOUNCE_PROTOCOL] = {"protocol", "Undetermined", "Undetermined"},
        [SMTP_BOUNCE_UNKNOWN] = {"unknown", "Undetermined", "Undetermined"},
    };

    CHECK(bounce < SMTP_BOUNCE_COUNT);
    return &WORDS[bounce];
}
