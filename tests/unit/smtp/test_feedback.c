/* What real-looking reports say: the messages are the corpus of the fuzzer,
 * with TOKEN where a return path of the test's stands. */
#include "smtp/smtp.h"

#include "server/base/file.h"
#include "smtp/report.h"

#include "check_cmocka.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char EMAIL[] = "019ac3f2-7b1c-7d3e-8f4a-5b6c7d8e9f01";
static const char CORPUS[] = "tests/fuzz/corpus/fuzz_feedback";
enum { NUMBER = 3, FILE_MAX = 1 << 20 };

struct stand {
    struct keyring *keyring;
    struct arena *arena;
    struct str address; /* the return path */
};

static int set_up(void **state)
{
    static struct stand stand;
    struct return_path path;
    struct id email;
    char name[64];

    snprintf(name, sizeof name, "/tmp/posthaste-feedback-%d", getpid());
    assert_true(keyring_create(name, NULL));
    stand.keyring = keyring_load(name, NULL);
    unlink(name);
    assert_non_null(stand.keyring);
    stand.arena = arena_create();
    return_path_init(&path, stand.keyring);
    assert_true(id_parse(str_of(EMAIL), &email));
    stand.address = return_path_make(&path, S("bounce.example.com"), &email,
                                     NUMBER, stand.arena);
    *state = &stand;
    return 0;
}

static int tear_down(void **state)
{
    struct stand *stand = *state;

    keyring_destroy(&stand->keyring);
    arena_destroy(&stand->arena);
    return 0;
}

/* The file with the token in place. */
static struct str message_of(const struct stand *stand, const char *name)
{
    const char token[] = "b+TOKEN@bounce.example.com";
    struct buf message;
    struct str rest;
    struct str copy;
    char path[256];
    size_t size;
    char *text = calloc(1, FILE_MAX);
    FILE *file;
    ptrdiff_t at;

    snprintf(path, sizeof path, "%s/%s.eml", CORPUS, name);
    file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("%s: no such file", path);
    size = fread(text, 1, FILE_MAX, file);
    fclose(file);
    buf_init(&message, FILE_MAX);
    rest = str_make(text, size);
    while ((at = str_find(rest, str_of(token), 0)) >= 0) {
        buf_add(&message, str_slice(rest, 0, (size_t)at));
        buf_add(&message, stand->address);
        rest = str_from(rest, (size_t)at + strlen(token));
    }
    buf_add(&message, rest);
    copy = arena_copy(stand->arena, buf_str(&message));
    buf_finish(&message);
    free(text);
    return copy;
}

static const char *kind_name(enum smtp_feedback_kind kind)
{
    static const char *const NAMES[] = {
        [SMTP_FEEDBACK_NO_REPORT] = "no report",
        [SMTP_FEEDBACK_UNSIGNED] = "unsigned",
        [SMTP_FEEDBACK_NEWS] = "news",
        [SMTP_FEEDBACK_BOUNCED] = "bounced",
        [SMTP_FEEDBACK_DELIVERED] = "delivered",
        [SMTP_FEEDBACK_COMPLAINED] = "complained",
    };

    return NAMES[kind];
}

static const char *describe(const struct smtp_feedback *feedback)
{
    static char text[2048];

    snprintf(text, sizeof text, "%s %s%s %u %.*s \"%.60s\"",
             kind_name(feedback->kind),
             feedback->bounce == NULL ? "-" : feedback->bounce->name,
             feedback->suppress ? "!" : "", feedback->code,
             STR_ARG(feedback->enhanced),
             feedback->text.len == 0 ? "" : feedback->text.ptr);
    return text;
}

/* kind, class of the bounce ("!": the address is kept off), code, enhanced
 * code, the first 60 bytes of the text. */
static const struct {
    const char *name;
    const char *said;
} REPORTS[] = {
    /* clang-format off */
    {"postfix", "bounced invalid_recipient! 550 5.1.1 \"<ada@example.net>: Recipient address rejected: User unknown\""},
    {"postfix_local", "bounced invalid_recipient! 0 5.1.1 \"unknown user: \"ada\"\""},
    {"postfix_delayed", "news - 0  \"\""},
    {"postfix_expired", "bounced connection 0 4.4.1 \"connect to mx.example.net[198.51.100.4]:25: Connection timed\""},
    {"postfix_delivered", "delivered - 0 2.0.0 \"250 2.0.0 Ok: queued as 4F1\""},
    {"postfix_relayed", "news - 0  \"\""},
    {"exim", "bounced invalid_recipient! 550 5.0.0 \"No such user here\""},
    {"gmail", "bounced invalid_recipient! 550 5.1.1 \"The email account that you tried to reach does not exist. Pl\""},
    {"gmail_inactive", "bounced inactive! 550 5.2.1 \"The email account that you tried to reach is inactive. For 5\""},
    {"microsoft", "bounced invalid_recipient! 550 5.1.10 \"RESOLVER.ADR.RecipientNotFound; Recipient ada@contoso.exampl\""},
    {"microsoft_policy", "bounced auth_policy 550 5.7.1 \"TRANSPORT.RULES.RejectMessage; the message was rejected by o\""},
    {"qq", "bounced invalid_recipient! 550 5.0.0 \"No such user. https://open.work.weixin.qq.com\""},
    {"qq_frequency", "bounced rate_limited 550 5.0.0 \"Domain frequency limited.\""},
    {"netease_qp", "bounced content 554 5.0.0 \"DT:SPM 163 smtp1,D9GowAB,spam=yes, see http://mail.163.com\""},
    {"full", "bounced mailbox_full 552 5.2.2 \"mailbox full\""},
    {"smtputf8", "bounced invalid_recipient! 550 5.1.1 \"\xe6\xb2\xa1\xe6\x9c\x89\xe8\xbf\x99\xe4\xb8\xaa\xe7\x94\xa8\xe6\x88\xb7\""},
    {"alias_partly", "news - 0  \"\""},
    {"only_returned_path", "bounced inactive! 0 5.2.1 \"\""},
    {"cut_short", "bounced invalid_recipient! 0 5.1.1 \"\""},
    {"not_ours", "unsigned - 0  \"\""},
    {"yahoo", "complained -! 0  \"abuse\""},
    {"jmrp", "complained -! 0  \"abuse\""},
    {"not_spam", "news - 0  \"\""},
    {"auth_failure", "news - 0  \"\""},
    {"autoreply", "no report - 0  \"\""},
    {"vacation_multipart", "no report - 0  \"\""},
    {"disposition", "no report - 0  \"\""},
    {"no_boundary", "no report - 0  \"\""},
    /* clang-format on */
};

static void reports_are_read(void **state)
{
    const struct stand *stand = *state;

    for (size_t i = 0; i < COUNT_OF(REPORTS); i++) {
        struct smtp_feedback feedback;

        smtp_feedback_read(&feedback, stand->keyring, S(""),
                           message_of(stand, REPORTS[i].name), stand->arena);
        if (strcmp(describe(&feedback), REPORTS[i].said) != 0)
            fail_msg("%s:\n%s, want\n%s", REPORTS[i].name, describe(&feedback),
                     REPORTS[i].said);
        if (feedback.kind >= SMTP_FEEDBACK_NEWS) {
            assert_string_equal(feedback.email.text, EMAIL);
            assert_int_equal(feedback.number, NUMBER);
        }
    }
}

/* The envelope's address says whose it is, whatever the message says. */
static void the_envelope_says_whose_it_is(void **state)
{
    const struct stand *stand = *state;
    struct str message = message_of(stand, "not_ours");
    struct smtp_feedback feedback;

    smtp_feedback_read(&feedback, stand->keyring, stand->address, message,
                       stand->arena);
    assert_int_equal(feedback.kind, SMTP_FEEDBACK_BOUNCED);
    smtp_feedback_read(&feedback, NULL, stand->address, message, stand->arena);
    assert_int_equal(feedback.kind, SMTP_FEEDBACK_UNSIGNED);
}

static void forged_tokens_are_not_believed(void **state)
{
    const struct stand *stand = *state;
    struct str message = message_of(stand, "postfix");
    char *text = arena_cstr(stand->arena, message);
    struct smtp_feedback feedback;
    char *at = text;

    while ((at = strstr(at, "@bounce.example.com")) != NULL) {
        at[-1] = at[-1] == '0' ? '1' : '0';
        at++;
    }
    smtp_feedback_read(&feedback, stand->keyring, S(""), str_of(text),
                       stand->arena);
    assert_int_equal(feedback.kind, SMTP_FEEDBACK_UNSIGNED);
}

static double ms_of(const struct stand *stand, struct str message)
{
    struct smtp_feedback feedback;
    struct timespec from;
    struct timespec to;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    smtp_feedback_read(&feedback, stand->keyring, stand->address, message,
                       stand->arena);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    return (double)(to.tv_sec - from.tv_sec) * 1e3 +
           (double)(to.tv_nsec - from.tv_nsec) / 1e6;
}

/* A report of so many bytes of the same. */
static double ms_of_pieces(const struct stand *stand, const char *piece,
                           size_t bytes)
{
    struct buf message;
    double ms;

    buf_init(&message, bytes);
    buf_add_cstr(&message,
                 "Content-Type: multipart/report; boundary=b\r\n\r\n"
                 "--b\r\nContent-Type: message/delivery-status\r\n\r\n");
    while (!message.full)
        buf_add_cstr(&message, piece);
    ms = ms_of(stand, buf_str(&message));
    buf_finish(&message);
    return ms;
}

/* memmem of a sanitizer looks at all that is left, each time. */
#ifdef __SANITIZE_ADDRESS__
enum { TELLS_TIME = false };
#else
enum { TELLS_TIME = true };
#endif

/* Eight times as much takes eight times as long; what grows with the square
 * takes 64 times. Beyond the bound of what is looked at nothing takes longer.
 */
static void a_hostile_message_takes_no_longer(void **state)
{
    static const char *const PIECES[] = {
        "\r\n",
        "Action: failed\r\n\r\n",
        "--b\r\n",
        "=?utf-8?q?a?= ",
        "<",
        "Diagnostic-Code: smtp; ;;;\r\n",
        "Action: failed;\r\n ",
        ",",
        "--",
    };
    const struct stand *stand = *state;

    for (size_t i = 0; i < COUNT_OF(PIECES); i++) {
        double some = ms_of_pieces(stand, PIECES[i], REPORT_BYTES_MAX / 8);
        double all = ms_of_pieces(stand, PIECES[i], REPORT_BYTES_MAX);
        double more = ms_of_pieces(stand, PIECES[i], 4 * REPORT_BYTES_MAX);

        if (TELLS_TIME && all > 24 * some + 1)
            fail_msg("\"%s\": %.1f ms, and %.1f of an eighth", PIECES[i], all,
                     some);
        if (TELLS_TIME && more > 3 * all + 1)
            fail_msg("\"%s\": %.1f ms, and %.1f of a quarter", PIECES[i], more,
                     all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_are_read),
        cmocka_unit_test(the_envelope_says_whose_it_is),
        cmocka_unit_test(forged_tokens_are_not_believed),
        cmocka_unit_test(a_hostile_message_takes_no_longer),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
