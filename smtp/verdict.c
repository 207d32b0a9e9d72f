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

enum { EITHER, ONLY_REUSED };

/* Words of servers, in lower case, parted by bars. */
#define GREYLIST_WORDS                                                         \
    "greylist|graylist|grey-list|gray-list|grey list|postgrey|dt:spm"
#define RATE_WORDS                                                             \
    "too many|rate limit|rate-limit|ratelimit|rate exceed|too fast|"           \
    "throttl|too frequent|quota exceeded for sending|hl:icc|hl:ifc|hl:rep|"    \
    "mi:dmc|mi:sfq|rp:drc|mi:cel|mi:ccl|slow down|connection limit"
#define FREQUENCY_WORDS                                                        \
    "frequency limited|too frequently sending|reject by behaviour spam"
#define FULL_WORDS                                                             \
    "mailbox full|mailbox is full|over quota|overquota|"                       \
    "quota exceeded|exceeded its quota|exceeded storage|"                      \
    "insufficient storage|mailbox size"
#define REPUTATION_WORDS                                                       \
    "blacklist|blocklist|block list|black list|blocked using|reputation|"      \
    "spamhaus|dnsbl| rbl|dt:rbl|barracuda|listed at|listed in|is listed"
#define CONTENT_WORDS                                                          \
    "spam|virus|malware|phish|content denied|content reject|attachment|"       \
    "dt:spm|bulk mail|message content"
#define AUTH_WORDS                                                             \
    "spf|dkim|dmarc|relay|not authenticated|unauthenticated|not permitted|"    \
    "not allowed|not authorized|ptr record|reverse dns"
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

/* One row: when all of the left half fits, the right half holds. */
struct rule {
    unsigned row;              /* of the catalogue */
    unsigned stages;           /* AT bits */
    enum smtp_trouble trouble; /* TROUBLE_NONE: a reply */
    unsigned low, high;        /* its code */
    const char *enhanced;      /* prefixes of its enhanced code, after the
                                  class digit, parted by bars; NULL: any */
    const char *words;         /* any of these is in its text; NULL: any */
    int reuse;
    enum smtp_verdict verdict;
    enum smtp_bounce bounce;
    unsigned then; /* THEN bits, and those below */
};

/* Beside the THEN bits of verdict.h. */
enum {
    SUPPRESS = 1 << 8,
    GREYLIST = 1 << 9,
    RATE = 1 << 10,
    FREQUENCY = 1 << 11
};

#define SICK  (THEN_NEXT | THEN_BACK_OFF | THEN_CLOSE)
#define WRONG (THEN_NEXT | THEN_PAUSE | THEN_ALARM | THEN_CLOSE)
#define REPLY(low, high, enhanced, words)                                      \
    TROUBLE_NONE, low, high, enhanced, words, EITHER
#define TROUBLE(kind) TROUBLE_##kind, 0, 0, NULL, NULL, EITHER
#define SENT          SMTP_SENT, SMTP_BOUNCE_NONE
#define SOFT(class)   SMTP_SOFT, SMTP_BOUNCE_##class
#define HARD(class)   SMTP_HARD, SMTP_BOUNCE_##class
#define WAITS(class)  SMTP_UNSENT, SMTP_BOUNCE_##class
#define UNKNOWN       SMTP_UNKNOWN, SMTP_BOUNCE_CONNECTION

/* clang-format off */
static const struct rule RULES[] = {
    /* Before any server is reached. */
    {5, AT(DNS), TROUBLE(NO_NAME), WAITS(DNS), WRONG},
    {6, AT(DNS), TROUBLE(NO_DNS), SOFT(DNS), SICK},
    {1, AT(CONNECT), TROUBLE(REFUSED), SOFT(CONNECTION), SICK},
    {2, AT(CONNECT), TROUBLE(TIMEOUT), SOFT(CONNECTION), SICK},
    {3, AT(CONNECT), TROUBLE(LOST), SOFT(CONNECTION), SICK},

    /* From the banner to the first MAIL FROM. */
    {3, OPENING, TROUBLE(LOST), SOFT(CONNECTION), SICK},
    {13, OPENING, TROUBLE(TIMEOUT), SOFT(CONNECTION), SICK},
    {15, OPENING, TROUBLE(PROTOCOL), SOFT(PROTOCOL), SICK},
    {86, AT(BANNER) | AT(EHLO), REPLY(400, 499, NULL, RATE_WORDS), SOFT(RATE_LIMITED), SICK | THEN_SLOW | RATE},
    {9, AT(BANNER), REPLY(400, 499, NULL, NULL), SOFT(CONNECTION), SICK},
    {10, AT(BANNER), REPLY(500, 599, NULL, NULL), WAITS(CONNECTION), WRONG},
    {18, AT(EHLO), REPLY(400, 499, NULL, NULL), SOFT(CONNECTION), SICK},
    {19, AT(EHLO), REPLY(500, 599, NULL, NULL), WAITS(CONNECTION), WRONG},
    {31, AT(STARTTLS), TROUBLE(TLS_MISSING), WAITS(CONNECTION), WRONG},
    {32, AT(STARTTLS), REPLY(400, 599, NULL, NULL), SOFT(CONNECTION), SICK},
    {33, AT(TLS), TROUBLE(LOST), SOFT(CONNECTION), SICK},
    {33, AT(TLS), TROUBLE(TIMEOUT), SOFT(CONNECTION), SICK},
    {34, AT(STARTTLS) | AT(TLS), TROUBLE(TLS_INJECTED), SOFT(CONNECTION), SICK | THEN_ALARM},
    {36, AT(TLS), TROUBLE(TLS_UNTRUSTED), WAITS(CONNECTION), WRONG},
    {37, AT(TLS), TROUBLE(TLS_FAILED), SOFT(CONNECTION), SICK | THEN_ALARM},
    {44, AT(AUTH), TROUBLE(AUTH_MISSING), WAITS(CONNECTION), WRONG},
    {47, AT(AUTH), TROUBLE(AUTH_CHALLENGE), WAITS(CONNECTION), WRONG},
    {49, AT(AUTH), REPLY(432, 432, NULL, NULL), WAITS(CONNECTION), WRONG},
    {46, AT(AUTH), REPLY(400, 499, NULL, NULL), SOFT(CONNECTION), SICK},
    {45, AT(AUTH), REPLY(500, 599, NULL, NULL), WAITS(CONNECTION), WRONG},

    /* A session that served others before, and is gone now. */
    {80, AT(MAIL), TROUBLE_NONE, 421, 421, NULL, NULL, ONLY_REUSED, WAITS(CONNECTION), THEN_AGAIN | THEN_CLOSE},
    {81, ENVELOPE, TROUBLE_LOST, 0, 0, NULL, NULL, ONLY_REUSED, WAITS(CONNECTION), THEN_AGAIN | THEN_CLOSE},
    {77, AT(MAIL), TROUBLE_PROTOCOL, 0, 0, NULL, NULL, ONLY_REUSED, WAITS(CONNECTION), THEN_AGAIN | THEN_CLOSE},

    /* Lost, silent or absurd: before the dot surely unsent, behind it not. */
    {59, ENVELOPE, TROUBLE(LOST), SOFT(CONNECTION), THEN_NEXT | THEN_CLOSE},
    {63, ENVELOPE, TROUBLE(TIMEOUT), SOFT(CONNECTION), THEN_NEXT | THEN_CLOSE},
    {62, ENVELOPE, TROUBLE(PROTOCOL), SOFT(PROTOCOL), THEN_NEXT | THEN_CLOSE},
    {64, AT(BODY), TROUBLE(LOST), SOFT(CONNECTION), THEN_NEXT | THEN_CLOSE},
    {66, AT(BODY), TROUBLE(TIMEOUT), SOFT(CONNECTION), THEN_NEXT | THEN_CLOSE},
    {78, AT(BODY), TROUBLE(PROTOCOL), SOFT(PROTOCOL), THEN_NEXT | THEN_CLOSE},
    {69, AT(DOT), TROUBLE(LOST), UNKNOWN, THEN_CLOSE},
    {70, AT(DOT), TROUBLE(TIMEOUT), UNKNOWN, THEN_CLOSE},
    {78, AT(DOT), TROUBLE(PROTOCOL), UNKNOWN, THEN_CLOSE},
    {67, AT(DOT), REPLY(200, 299, NULL, NULL), SENT, 0},

    /* What the mail needs and the server lacks. */
    {27, AT(MAIL), TROUBLE(UTF8_MISSING), HARD(PROTOCOL), 0},
    {28, AT(MAIL), TROUBLE(TOO_LARGE), HARD(TOO_LARGE), 0},
    {87, AT(BODY), TROUBLE(BAD_MESSAGE), HARD(PROTOCOL), THEN_CLOSE},

    /* The server wants us to log in: no fault of the mail. */
    {48, ENVELOPE, REPLY(530, 530, NULL, NULL), WAITS(CONNECTION), WRONG},
    {49, ENVELOPE, REPLY(534, 538, NULL, NULL), WAITS(CONNECTION), WRONG},

    /* Not now. */
    {52, ANSWERS, REPLY(450, 451, NULL, GREYLIST_WORDS), SOFT(REPUTATION), GREYLIST},
    {86, ENVELOPE | AT(BODY), REPLY(421, 421, "7.28|7.0", NULL), SOFT(RATE_LIMITED), THEN_NEXT | THEN_CLOSE | THEN_SLOW | RATE},
    {86, ENVELOPE | AT(BODY), REPLY(421, 421, NULL, RATE_WORDS), SOFT(RATE_LIMITED), THEN_NEXT | THEN_CLOSE | THEN_SLOW | RATE},
    {86, ANSWERS, REPLY(400, 499, NULL, RATE_WORDS "|" FREQUENCY_WORDS), SOFT(RATE_LIMITED), RATE},
    {86, ANSWERS, REPLY(400, 499, "7.28", NULL), SOFT(RATE_LIMITED), RATE},
    {86, ANSWERS, REPLY(500, 599, NULL, FREQUENCY_WORDS), SOFT(RATE_LIMITED), FREQUENCY},
    {59, ENVELOPE | AT(BODY), REPLY(421, 421, NULL, NULL), SOFT(CONNECTION), THEN_NEXT | THEN_CLOSE},
    {72, AT(DOT), REPLY(421, 421, NULL, NULL), SOFT(CONNECTION), THEN_CLOSE},
    {52, AT(RCPT), REPLY(450, 451, "7.1", NULL), SOFT(REPUTATION), GREYLIST},
    {29, ANSWERS, REPLY(400, 499, "2.2", NULL), SOFT(MAILBOX_FULL), 0},
    {29, ANSWERS, REPLY(400, 499, NULL, FULL_WORDS), SOFT(MAILBOX_FULL), 0},
    {29, ANSWERS, REPLY(550, 554, "2.2", NULL), SOFT(MAILBOX_FULL), 0},
    {29, ENVELOPE, REPLY(552, 552, "", FULL_WORDS), SOFT(MAILBOX_FULL), 0},
    {72, ANSWERS, REPLY(400, 499, "4.3|1.2|1.8", NULL), SOFT(DNS), 0},
    {72, ANSWERS, REPLY(400, 499, "7.", NULL), SOFT(REPUTATION), 0},
    {72, ANSWERS, REPLY(400, 499, NULL, NULL), SOFT(UNKNOWN), 0},

    /* Never: the mail is too large. */
    {29, ANSWERS, REPLY(500, 599, "3.4|2.3", NULL), HARD(TOO_LARGE), 0},

    /* Never, for what the mail or its sender is. No address is at fault. */
    {54, ANSWERS, REPLY(500, 599, "7.20|7.21|7.22|7.23|7.24|7.25|7.26|7.27|7.29|7.30|7.515", NULL), HARD(AUTH_POLICY), 0},
    {54, ANSWERS, REPLY(500, 599, "7.", REPUTATION_WORDS), HARD(REPUTATION), 0},
    {54, ANSWERS, REPLY(500, 599, "7.", AUTH_WORDS), HARD(AUTH_POLICY), 0},
    {54, ANSWERS, REPLY(500, 599, "7.|6.", CONTENT_WORDS), HARD(CONTENT), 0},
    {54, ANSWERS, REPLY(552, 552, "7.", NULL), HARD(CONTENT), 0},
    {54, ANSWERS, REPLY(500, 599, "7.", NULL), HARD(AUTH_POLICY), 0},
    {54, ANSWERS, REPLY(500, 599, "6.", NULL), HARD(CONTENT), 0},
    {50, ANSWERS, REPLY(500, 599, "1.7|1.8", NULL), HARD(AUTH_POLICY), 0},
    {50, AT(MAIL), REPLY(500, 504, NULL, NULL), HARD(PROTOCOL), 0},

    /* Never, and the recipient's address is why. */
    {53, AT(RCPT), REPLY(500, 599, "1.2", NULL), HARD(DNS), 0},
    {53, AT(RCPT) | PAYLOAD, REPLY(500, 599, "1.", NULL), HARD(INVALID_RECIPIENT), SUPPRESS},
    {53, AT(RCPT), REPLY(500, 599, "2.1", NULL), HARD(INACTIVE), SUPPRESS},
    {73, PAYLOAD, REPLY(500, 599, "2.1", NULL), HARD(INACTIVE), 0},
    {55, AT(RCPT), REPLY(551, 551, NULL, NULL), HARD(INVALID_RECIPIENT), SUPPRESS},

    /* No enhanced code, or one that says little: by the words. */
    {61, ANSWERS, REPLY(500, 599, NULL, REPUTATION_WORDS), HARD(REPUTATION), 0},
    {61, ANSWERS, REPLY(500, 599, NULL, AUTH_WORDS), HARD(AUTH_POLICY), 0},
    {61, ANSWERS, REPLY(500, 599, NULL, CONTENT_WORDS), HARD(CONTENT), 0},
    {61, AT(RCPT), REPLY(550, 554, NULL, UNKNOWN_USER_WORDS), HARD(INVALID_RECIPIENT), SUPPRESS},
    {61, AT(RCPT), REPLY(550, 554, NULL, INACTIVE_WORDS), HARD(INACTIVE), SUPPRESS},
    {29, ANSWERS, REPLY(552, 552, NULL, NULL), HARD(TOO_LARGE), 0},
    {50, AT(MAIL), REPLY(550, 599, NULL, NULL), HARD(AUTH_POLICY), 0},
    {61, ANSWERS, REPLY(500, 504, NULL, NULL), HARD(PROTOCOL), 0},
    {73, ANSWERS, REPLY(500, 599, NULL, NULL), HARD(UNKNOWN), 0},
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
        .verdict = rule->verdict,
        .bounce = rule->bounce,
        .suppress = (rule->then & SUPPRESS) != 0,
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
