/* What failures mean, one line for each kind of reply. */
#include "smtp/verdict.h"

#include "say.h"

static const struct fact {
    enum smtp_stage stage;
    bool reused;
    const char *reply;
    enum smtp_verdict verdict;
    enum smtp_bounce bounce;
    bool suppress;
    enum smtp_pace pace;
    unsigned then;
} REPLIES[] = {
#define ON(stage)           SMTP_STAGE_##stage, false
#define AGAIN(stage)        SMTP_STAGE_##stage, true
#define IS(verdict, bounce) SMTP_##verdict, SMTP_BOUNCE_##bounce
#define KEEP                false, SMTP_PACE_PLAN
#define DROP                true, SMTP_PACE_PLAN
#define SLOW(pace)          false, SMTP_PACE_##pace
#define SICK                (THEN_NEXT | THEN_BACK_OFF | THEN_CLOSE)
#define WRONG               (THEN_NEXT | THEN_PAUSE | THEN_ALARM | THEN_CLOSE)
#define GONE                (THEN_NEXT | THEN_CLOSE)
    /* clang-format off */
    {ON(BANNER), "421 busy\r\n", IS(SOFT, CONNECTION), KEEP, SICK},
    {ON(BANNER), "421 too many connections from you\r\n", IS(SOFT, RATE_LIMITED), SLOW(RATE), SICK | THEN_SLOW},
    {ON(BANNER), "554 go away\r\n", IS(UNSENT, CONNECTION), KEEP, WRONG},
    {ON(EHLO), "421 bye\r\n", IS(SOFT, CONNECTION), KEEP, SICK},
    {ON(EHLO), "550 no\r\n", IS(UNSENT, CONNECTION), KEEP, WRONG},
    {ON(STARTTLS), "454 no\r\n", IS(SOFT, CONNECTION), KEEP, SICK},
    {ON(STARTTLS), "501 no\r\n", IS(SOFT, CONNECTION), KEEP, SICK},
    {ON(AUTH), "535 5.7.8 bad\r\n", IS(UNSENT, CONNECTION), KEEP, WRONG},
    {ON(AUTH), "534 5.7.9 weak\r\n", IS(UNSENT, CONNECTION), KEEP, WRONG},
    {ON(AUTH), "432 4.7.12 transition\r\n", IS(UNSENT, CONNECTION), KEEP, WRONG},
    {ON(AUTH), "454 4.7.0 later\r\n", IS(SOFT, CONNECTION), KEEP, SICK},
    {ON(AUTH), "421 bye\r\n", IS(SOFT, CONNECTION), KEEP, SICK},

    {ON(MAIL), "530 5.7.0 log in first\r\n", IS(UNSENT, CONNECTION), KEEP, WRONG},
    {ON(MAIL), "538 5.7.11 encrypt\r\n", IS(UNSENT, CONNECTION), KEEP, WRONG},
    {AGAIN(MAIL), "421 idle too long\r\n", IS(UNSENT, CONNECTION), KEEP, THEN_AGAIN | THEN_CLOSE},
    {ON(MAIL), "421 bye\r\n", IS(SOFT, CONNECTION), KEEP, GONE},
    {ON(MAIL), "451 4.7.0 too many messages\r\n", IS(SOFT, RATE_LIMITED), SLOW(RATE), THEN_SLOW},
    {ON(MAIL), "535 5.7.8 log in\r\n", IS(UNSENT, CONNECTION), KEEP, WRONG},
    {ON(MAIL), "450 later\r\n", IS(SOFT, UNKNOWN), KEEP, 0},
    {ON(MAIL), "550 5.7.1 sender refused\r\n", IS(HARD, AUTH_POLICY), KEEP, 0},
    {ON(MAIL), "550 user unknown\r\n", IS(HARD, AUTH_POLICY), KEEP, 0},
    {ON(MAIL), "550 5.1.8 sender domain not found\r\n", IS(HARD, AUTH_POLICY), KEEP, 0},
    {ON(MAIL), "552 5.3.4 too big\r\n", IS(HARD, TOO_LARGE), KEEP, 0},
    {ON(MAIL), "501 5.5.4 bad parameter\r\n", IS(HARD, PROTOCOL), KEEP, 0},

    {ON(RCPT), "450 4.2.0 <a>: Greylisted, see http://x\r\n", IS(SOFT, REPUTATION), SLOW(GREYLIST), 0},
    {ON(RCPT), "451 4.7.1 please try again\r\n", IS(SOFT, REPUTATION), SLOW(GREYLIST), 0},
    {ON(RCPT), "450 4.2.1 mailbox busy\r\n", IS(SOFT, UNKNOWN), KEEP, 0},
    {ON(RCPT), "452 4.2.2 over quota\r\n", IS(SOFT, MAILBOX_FULL), KEEP, 0},
    {ON(RCPT), "452 4.3.1 Insufficient system storage\r\n", IS(SOFT, UNKNOWN), KEEP, 0},
    {ON(RCPT), "421 4.7.28 unusual rate\r\n", IS(SOFT, RATE_LIMITED), SLOW(RATE), GONE | THEN_SLOW},
    {AGAIN(RCPT), "421 bye\r\n", IS(SOFT, CONNECTION), KEEP, GONE},
    {ON(RCPT), "450 4.7.0 too many recipients\r\n", IS(SOFT, RATE_LIMITED), SLOW(RATE), 0},
    {ON(RCPT), "550 5.1.1 no such user\r\n", IS(HARD, INVALID_RECIPIENT), DROP, 0},
    {ON(RCPT), "550 5.1.10 null MX\r\n", IS(HARD, INVALID_RECIPIENT), DROP, 0},
    {ON(RCPT), "550 5.1.2 bad domain\r\n", IS(HARD, DNS), KEEP, 0},
    {ON(RCPT), "550 5.2.1 mailbox disabled\r\n", IS(HARD, INACTIVE), DROP, 0},
    {ON(RCPT), "552 5.2.2 mailbox full\r\n", IS(SOFT, MAILBOX_FULL), KEEP, 0},
    {ON(RCPT), "552 mailbox full\r\n", IS(SOFT, MAILBOX_FULL), KEEP, 0},
    {ON(RCPT), "550 5.7.1 relaying denied\r\n", IS(HARD, AUTH_POLICY), KEEP, 0},
    {ON(RCPT), "550 5.7.1 no such user here\r\n", IS(HARD, AUTH_POLICY), KEEP, 0},
    {ON(RCPT), "554 5.7.1 blocked using zen.spamhaus.org\r\n", IS(HARD, REPUTATION), KEEP, 0},
    {ON(RCPT), "550 5.7.26 unauthenticated, SPF and DKIM fail\r\n", IS(HARD, AUTH_POLICY), KEEP, 0},
    {ON(RCPT), "550 5.7.515 access denied\r\n", IS(HARD, AUTH_POLICY), KEEP, 0},
    {ON(RCPT), "551 user not local; try <x@y>\r\n", IS(HARD, INVALID_RECIPIENT), DROP, 0},
    {ON(RCPT), "550 No such user\r\n", IS(HARD, INVALID_RECIPIENT), DROP, 0},
    {ON(RCPT), "550 account disabled\r\n", IS(HARD, INACTIVE), DROP, 0},
    {ON(RCPT), "550 Relay not permitted\r\n", IS(HARD, AUTH_POLICY), KEEP, 0},
    {ON(RCPT), "550 rejected\r\n", IS(HARD, UNKNOWN), KEEP, 0},
    {ON(RCPT), "550\r\n", IS(HARD, UNKNOWN), KEEP, 0},
    /* The basic code rules: 4.x.x beside 550 counts as no enhanced code. */
    {ON(RCPT), "550 4.1.1 user unknown\r\n", IS(HARD, INVALID_RECIPIENT), DROP, 0},
    {ON(RCPT), "450 5.1.1 user unknown\r\n", IS(SOFT, UNKNOWN), KEEP, 0},
    /* QQ and its kin say 550 and mean later. */
    {ON(RCPT), "550 Domain frequency limited\r\n", IS(SOFT, RATE_LIMITED), SLOW(FREQUENCY), 0},
    {ON(RCPT), "550 Mailbox unavailable or access denied\r\n", IS(HARD, UNKNOWN), KEEP, 0},
    {ON(DOT), "451 DT:SPM 163 smtp1\r\n", IS(SOFT, REPUTATION), SLOW(GREYLIST), 0},
    {ON(DOT), "554 DT:SPM 163 smtp1\r\n", IS(HARD, CONTENT), KEEP, 0},
    {ON(RCPT), "451 MI:SFQ\r\n", IS(SOFT, RATE_LIMITED), SLOW(RATE), 0},
    /* What big receivers say: only of a mailbox that is not there, or is used
     * by nobody, does a reply keep its address off. */
    {ON(RCPT), "550 Connection frequency limited\r\n", IS(SOFT, RATE_LIMITED), SLOW(FREQUENCY), 0},
    {ON(RCPT), "550 Sender frequency limited. http://service.mail.qq.com\r\n", IS(SOFT, RATE_LIMITED), SLOW(FREQUENCY), 0},
    {ON(DOT), "550 Mail content denied. http://service.mail.qq.com\r\n", IS(HARD, CONTENT), KEEP, 0},
    {ON(RCPT), "550 User not found: ada@163.com\r\n", IS(HARD, INVALID_RECIPIENT), DROP, 0},
    {ON(RCPT), "550 5.1.1 The email account that you tried to reach does not exist\r\n", IS(HARD, INVALID_RECIPIENT), DROP, 0},
    {ON(RCPT), "550 5.2.1 The email account that you tried to reach is inactive\r\n", IS(HARD, INACTIVE), DROP, 0},
    {ON(RCPT), "452 4.2.2 The recipient's inbox is out of storage space\r\n", IS(SOFT, MAILBOX_FULL), KEEP, 0},
    {ON(DOT), "550 5.7.1 Our system has detected that this message is likely unsolicited mail\r\n", IS(HARD, AUTH_POLICY), KEEP, 0},
    {ON(RCPT), "550 5.4.1 Recipient address rejected: Access denied\r\n", IS(HARD, UNKNOWN), KEEP, 0},
    {ON(RCPT), "550 5.5.0 Requested action not taken: mailbox unavailable\r\n", IS(HARD, UNKNOWN), KEEP, 0},
    {ON(RCPT), "550 5.7.1 Service unavailable, client host blocked using Spamhaus\r\n", IS(HARD, REPUTATION), KEEP, 0},
    {ON(RCPT), "554 Reject by behaviour spam at Rcpt State\r\n", IS(SOFT, RATE_LIMITED), SLOW(FREQUENCY), 0},
    /* One mailbox gets too much: it is there, and no other is concerned. */
    {ON(RCPT), "550 5.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered\r\n", IS(SOFT, RATE_LIMITED), KEEP, 0},
    {ON(RCPT), "450 4.2.1 The user you are trying to contact is receiving mail too quickly\r\n", IS(SOFT, RATE_LIMITED), KEEP, 0},
    {ON(DOT), "550 5.2.121 Recipient's per hour message receive limit from specific sender exceeded\r\n", IS(SOFT, RATE_LIMITED), KEEP, 0},
    /* The account at a relay is used up, for whatever recipient. */
    {ON(MAIL), "550 5.4.5 Daily user sending limit exceeded\r\n", IS(UNSENT, RATE_LIMITED), KEEP, WRONG},
    {ON(RCPT), "550 5.4.5 Daily SMTP relay limit exceeded for user\r\n", IS(UNSENT, RATE_LIMITED), KEEP, WRONG},
    {ON(RCPT), "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients\r\n", IS(UNSENT, RATE_LIMITED), KEEP, WRONG},
    {ON(DOT), "550 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException\r\n", IS(UNSENT, RATE_LIMITED), KEEP, THEN_PAUSE | THEN_ALARM | THEN_CLOSE},
    {ON(MAIL), "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded\r\n", IS(SOFT, RATE_LIMITED), SLOW(RATE), THEN_SLOW},
    {ON(BANNER), "421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel\r\n", IS(SOFT, RATE_LIMITED), SLOW(RATE), SICK | THEN_SLOW},
    {ON(MAIL), "421 4.4.2 Message submission rate for this client has exceeded the configured limit\r\n", IS(SOFT, RATE_LIMITED), SLOW(RATE), GONE | THEN_SLOW},
    /* The sender is refused where the recipient was named. */
    {ON(RCPT), "550 5.1.0 <a@me.example>: Sender address rejected: User unknown in local recipient table\r\n", IS(HARD, AUTH_POLICY), KEEP, 0},
    {ON(RCPT), "550 5.1.20 Multiple From addresses are not allowed without Sender address\r\n", IS(HARD, AUTH_POLICY), KEEP, 0},
    {ON(RCPT), "550 Sender domain does not exist\r\n", IS(HARD, AUTH_POLICY), KEEP, 0},
    {ON(RCPT), "550 Your account has been suspended\r\n", IS(HARD, AUTH_POLICY), KEEP, 0},
    {ON(RCPT), "550 HELO name does not exist\r\n", IS(HARD, AUTH_POLICY), KEEP, 0},

    {ON(DATA), "451 later\r\n", IS(SOFT, UNKNOWN), KEEP, 0},
    {ON(DATA), "421 bye\r\n", IS(SOFT, CONNECTION), KEEP, GONE},
    {ON(DATA), "554 no\r\n", IS(HARD, UNKNOWN), KEEP, 0},
    {ON(BODY), "421 bye\r\n", IS(SOFT, CONNECTION), KEEP, GONE},
    {ON(BODY), "552 5.3.4 big\r\n", IS(HARD, TOO_LARGE), KEEP, 0},

    {ON(DOT), "250 2.0.0 queued as X\r\n", IS(SENT, NONE), KEEP, 0},
    {ON(DOT), "421 bye\r\n", IS(SOFT, CONNECTION), KEEP, THEN_CLOSE},
    {ON(DOT), "451 4.7.28 unusual rate\r\n", IS(SOFT, RATE_LIMITED), SLOW(RATE), THEN_SLOW},
    {ON(DOT), "452 later\r\n", IS(SOFT, UNKNOWN), KEEP, 0},
    {ON(DOT), "550 5.1.1 no such user\r\n", IS(HARD, INVALID_RECIPIENT), DROP, 0},
    {ON(DOT), "550 5.2.1 disabled\r\n", IS(HARD, INACTIVE), KEEP, 0},
    {ON(DOT), "550 no such user\r\n", IS(HARD, UNKNOWN), KEEP, 0},
    {ON(DOT), "552 big\r\n", IS(HARD, TOO_LARGE), KEEP, 0},
    {ON(DOT), "554 5.7.1 spam message\r\n", IS(HARD, CONTENT), KEEP, 0},
    {ON(DOT), "552 5.7.0 blocked attachment\r\n", IS(HARD, CONTENT), KEEP, 0},
    {ON(DOT), "550 5.6.0 broken MIME\r\n", IS(HARD, CONTENT), KEEP, 0},
    /* clang-format on */
};

static void replies(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(REPLIES); i++) {
        const struct fact *fact = &REPLIES[i];
        struct smtp_finding finding;
        struct smtp_ruling ruling;

        print_message("  %s %s", smtp_stage_name(fact->stage), fact->reply);
        finding_of_reply(&finding, fact->stage, say(fact->reply));
        finding.reused = fact->reused;
        ruling = smtp_judge(&finding);
        assert_int_equal(ruling.verdict, fact->verdict);
        assert_int_equal(ruling.bounce, fact->bounce);
        assert_int_equal(ruling.suppress, fact->suppress);
        assert_int_equal(ruling.pace, fact->pace);
        assert_int_equal(ruling.then, fact->then);
    }
}

static const struct {
    enum smtp_stage stage;
    bool reused;
    enum smtp_trouble trouble;
    enum smtp_verdict verdict;
    unsigned then;
} TROUBLES[] = {
    {ON(DNS), TROUBLE_NO_NAME, SMTP_UNSENT, WRONG},
    {ON(DNS), TROUBLE_NO_DNS, SMTP_SOFT, SICK},
    {ON(DNS), TROUBLE_LACKING, SMTP_UNSENT, SICK | THEN_ALARM},
    {ON(CONNECT), TROUBLE_REFUSED, SMTP_SOFT, SICK},
    {ON(CONNECT), TROUBLE_TIMEOUT, SMTP_SOFT, SICK},
    {ON(CONNECT), TROUBLE_LACKING, SMTP_UNSENT, SICK | THEN_ALARM},
    {ON(BANNER), TROUBLE_LOST, SMTP_SOFT, SICK},
    {ON(BANNER), TROUBLE_PROTOCOL, SMTP_SOFT, SICK},
    {ON(EHLO), TROUBLE_TIMEOUT, SMTP_SOFT, SICK},
    {ON(STARTTLS), TROUBLE_TLS_MISSING, SMTP_UNSENT, WRONG},
    {ON(TLS), TROUBLE_TLS_INJECTED, SMTP_SOFT, SICK | THEN_ALARM},
    {ON(TLS), TROUBLE_TLS_UNTRUSTED, SMTP_UNSENT, WRONG},
    {ON(TLS), TROUBLE_TLS_UNSHARED, SMTP_UNSENT, WRONG},
    {ON(TLS), TROUBLE_TLS_FAILED, SMTP_SOFT, SICK},
    {ON(AUTH), TROUBLE_AUTH_MISSING, SMTP_UNSENT, WRONG},
    {ON(AUTH), TROUBLE_AUTH_CHALLENGE, SMTP_UNSENT, WRONG},
    {ON(AUTH), TROUBLE_AUTH_TOKEN, SMTP_UNSENT, SICK | THEN_ALARM},
    {ON(MAIL), TROUBLE_LOST, SMTP_SOFT, GONE},
    {AGAIN(MAIL), TROUBLE_LOST, SMTP_UNSENT, THEN_AGAIN | THEN_CLOSE},
    {AGAIN(DATA), TROUBLE_LOST, SMTP_UNSENT, THEN_AGAIN | THEN_CLOSE},
    {AGAIN(DATA), TROUBLE_TIMEOUT, SMTP_SOFT, GONE},
    {ON(RCPT), TROUBLE_TIMEOUT, SMTP_SOFT, GONE},
    {ON(DATA), TROUBLE_PROTOCOL, SMTP_SOFT, GONE},
    {ON(BODY), TROUBLE_LOST, SMTP_SOFT, GONE},
    {AGAIN(BODY), TROUBLE_LOST, SMTP_SOFT, GONE},
    {ON(BODY), TROUBLE_TIMEOUT, SMTP_SOFT, GONE},
    {ON(DOT), TROUBLE_LOST, SMTP_UNKNOWN, THEN_CLOSE},
    {AGAIN(DOT), TROUBLE_LOST, SMTP_UNKNOWN, THEN_CLOSE},
    {ON(DOT), TROUBLE_TIMEOUT, SMTP_UNKNOWN, THEN_CLOSE},
    {ON(DOT), TROUBLE_PROTOCOL, SMTP_UNKNOWN, THEN_CLOSE},
};

/* Commands of one mail behind the dot of another: the server may not like it.
 */
static const struct {
    enum smtp_stage stage;
    enum smtp_trouble trouble;
    const char *reply; /* NULL: trouble */
    enum smtp_verdict verdict;
    unsigned then;
} PAIRED[] = {
#define ASUNDER (THEN_AGAIN | THEN_CLOSE | THEN_APART)
    {SMTP_STAGE_MAIL, 0, "503 5.5.1 nested MAIL\r\n", SMTP_UNSENT, ASUNDER},
    {SMTP_STAGE_RCPT, 0, "503 no sender\r\n", SMTP_UNSENT, ASUNDER},
    {SMTP_STAGE_MAIL, 0, "554 5.5.0 improper use of pipelining\r\n",
     SMTP_UNSENT, ASUNDER},
    {SMTP_STAGE_MAIL, 0, "421 4.5.0 bad sequence\r\n", SMTP_UNSENT, ASUNDER},
    {SMTP_STAGE_MAIL, 0, "421 bye\r\n", SMTP_UNSENT, THEN_AGAIN | THEN_CLOSE},
    {SMTP_STAGE_MAIL, 0, "550 5.7.1 no\r\n", SMTP_HARD, 0},
    {SMTP_STAGE_RCPT, 0, "550 5.1.1 no\r\n", SMTP_HARD, 0},
    {SMTP_STAGE_RCPT, 0, "501 5.1.3 what?\r\n", SMTP_HARD, 0},
    {SMTP_STAGE_MAIL, TROUBLE_LOST, NULL, SMTP_UNSENT, ASUNDER},
    {SMTP_STAGE_MAIL, TROUBLE_TIMEOUT, NULL, SMTP_UNSENT, ASUNDER},
    {SMTP_STAGE_DATA, TROUBLE_PROTOCOL, NULL, SMTP_UNSENT, ASUNDER},
    {SMTP_STAGE_RCPT, TROUBLE_LOST, NULL, SMTP_UNSENT, THEN_AGAIN | THEN_CLOSE},
    {SMTP_STAGE_BODY, TROUBLE_LOST, NULL, SMTP_SOFT, GONE},
    {SMTP_STAGE_DOT, TROUBLE_LOST, NULL, SMTP_UNKNOWN, THEN_CLOSE | THEN_APART},
    {SMTP_STAGE_DOT, TROUBLE_TIMEOUT, NULL, SMTP_UNKNOWN,
     THEN_CLOSE | THEN_APART},
    {SMTP_STAGE_DOT, 0, "503 no\r\n", SMTP_HARD, 0},
    {SMTP_STAGE_DOT, 0, "250 ok\r\n", SMTP_SENT, 0},
};

static void paired(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(PAIRED); i++) {
        struct smtp_finding finding;
        struct smtp_ruling ruling;

        print_message("  %zu\n", i);
        if (PAIRED[i].reply != NULL)
            finding_of_reply(&finding, PAIRED[i].stage, say(PAIRED[i].reply));
        else
            finding_of_trouble(&finding, PAIRED[i].stage, PAIRED[i].trouble,
                               "x");
        finding.reused = true;
        finding.paired = true;
        ruling = smtp_judge(&finding);
        assert_int_equal(ruling.verdict, PAIRED[i].verdict);
        assert_int_equal(ruling.then, PAIRED[i].then);
    }
}

static void troubles(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(TROUBLES); i++) {
        struct smtp_finding finding;
        struct smtp_ruling ruling;

        finding_of_trouble(&finding, TROUBLES[i].stage, TROUBLES[i].trouble,
                           "x");
        finding.reused = TROUBLES[i].reused;
        ruling = smtp_judge(&finding);
        print_message("  %zu: row %u\n", i, ruling.row);
        assert_int_equal(ruling.verdict, TROUBLES[i].verdict);
        assert_int_equal(ruling.then, TROUBLES[i].then);
    }
}

/* Whatever code a server thinks of, from MAIL on there is a rule, nothing but
 * 2xx behind the dot is a success, and no NEXT follows the dot. */
static void every_code_has_a_rule(void **state)
{
    (void)state;
    for (unsigned stage = SMTP_STAGE_MAIL; stage <= SMTP_STAGE_DOT; stage++) {
        for (unsigned code = 400; code < 600; code++) {
            struct smtp_finding finding = {.stage = stage, .code = code};
            struct smtp_ruling ruling = smtp_judge(&finding);

            assert_int_not_equal(ruling.verdict, SMTP_SENT);
            assert_int_not_equal(ruling.verdict, SMTP_UNKNOWN);
            if (stage == SMTP_STAGE_DOT)
                assert_int_equal(ruling.then & (THEN_NEXT | THEN_AGAIN), 0);
        }
    }
}

static void bounces_have_words(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SMTP_BOUNCE_COUNT; i++) {
        assert_non_null(smtp_bounce_words((enum smtp_bounce)i)->name);
        assert_non_null(smtp_bounce_words((enum smtp_bounce)i)->type);
        assert_non_null(smtp_bounce_words((enum smtp_bounce)i)->subtype);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies),
        cmocka_unit_test(troubles),
        cmocka_unit_test(paired),
        cmocka_unit_test(every_code_has_a_rule),
        cmocka_unit_test(bounces_have_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
