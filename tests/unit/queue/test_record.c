#include "queue/record.h"

#include "check_cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct str to[] = {STR("Ann <ann@example.net>"), STR("bob@example.net")};
static struct str cc[] = {STR("c@example.net")};
static struct str bcc[] = {STR("d@example.net"), STR("e@example.net")};

static struct summary summary_of(bool sensitive)
{
    struct summary summary = {
        .owner = S("default"),
        .from = S("Shop <shop@example.com>"),
        .to = to,
        .to_count = 2,
        .cc = cc,
        .cc_count = 1,
        .bcc = bcc,
        .bcc_count = 2,
        .subject = S("Your code is \xe2\x80\xa2\xe2\x80\xa2"),
        .mail_class = CLASS_VERIFICATION,
        .sensitive = sensitive,
        .tags_json = S("[{\"name\":\"a\",\"value\":\"b\"}]"),
        .metadata_json = S("{\"order\":\"7\"}"),
        .message_id = S("<1@example.com>"),
        .created_ms = 1700000000123,
        .scheduled_ms = 1700000060000,
        .expires_ms = 1700000600000,
    };

    assert_true(
        id_parse(S("0189c000-0000-7000-8000-000000000001"), &summary.email));
    return summary;
}

static const struct job_attachment ATTACHMENTS[] = {
    {STR("a.pdf"), STR("application/pdf"), {0}, 1000},
    {STR("logo.png"), STR("image/png"), STR("logo"), 0},
};

static const struct job_signing SIGNING = {
    STR("example.com"), STR("0195f0a4-7000-7000-8000-000000000001"),
    STR("send.example.com")};

static struct buf written(const struct summary *summary,
                          const struct keyring *keyring)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    record_write(1, summary, S("{\"subject\":\"Your code is 123456\"}"),
                 ATTACHMENTS, 2, 1700000060000, &SIGNING, keyring, &out);
    assert_false(out.full);
    return out;
}

static struct keyring *a_keyring(void)
{
    char path[64];
    struct error err;
    struct keyring *keyring;

    snprintf(path, sizeof path, "/tmp/posthaste-ring-%d", (int)getpid());
    assert_true(keyring_create(path, &err));
    keyring = keyring_load(path, &err);
    assert_non_null(keyring);
    unlink(path);
    return keyring;
}

static bool same(struct str a, const char *b)
{
    return str_eq(a, str_of(b));
}

static void check_summary(const struct summary *summary)
{
    assert_true(same(summary->owner, "default"));
    assert_true(same(summary->from, "Shop <shop@example.com>"));
    assert_int_equal(summary->to_count, 2);
    assert_true(str_eq(summary->to[0], to[0]));
    assert_int_equal(summary->bcc_count, 2);
    assert_true(str_eq(summary->bcc[1], bcc[1]));
    assert_int_equal(summary->reply_to_count, 0);
    assert_int_equal(summary->mail_class, CLASS_VERIFICATION);
    assert_true(same(summary->tags_json, "[{\"name\":\"a\",\"value\":\"b\"}]"));
    assert_true(same(summary->metadata_json, "{\"order\":\"7\"}"));
    assert_int_equal(summary->created_ms, 1700000000123);
    assert_int_equal(summary->expires_ms, 1700000600000);
}

static void comes_back_as_it_was(void **state)
{
    struct summary summary = summary_of(false);
    struct buf bytes = written(&summary, NULL);
    enum record_result result;
    struct record *record =
        record_read(buf_str(&bytes), &summary.email, NULL, &result);

    (void)state;
    assert_int_equal(result, RECORD_OK);
    check_summary(&record->summary);
    assert_true(
        same(json_get_str(record->job.mail, "subject"), "Your code is 123456"));
    assert_int_equal(record->job.date_ms, 1700000060000);
    assert_true(same(record->job.signing.domain, "example.com"));
    assert_true(str_eq(record->job.signing.key, SIGNING.key));
    assert_true(same(record->job.signing.return_path, "send.example.com"));
    assert_int_equal(record->job.attachment_count, 2);
    assert_int_equal(record->job.attachments[0].size_bytes, 1000);
    assert_true(same(record->job.attachments[1].content_id, "logo"));
    record_destroy(&record);
    assert_null(record);
    buf_finish(&bytes);
}

static void a_summary_may_stand_alone(void **state)
{
    struct summary summary = summary_of(false);
    struct buf bytes = written(&summary, NULL);
    size_t end = record_summary_end(buf_str(&bytes));
    enum record_result result;
    struct record *record = record_read(str_slice(buf_str(&bytes), 0, end),
                                        &summary.email, NULL, &result);

    (void)state;
    assert_int_equal(result, RECORD_OK);
    check_summary(&record->summary);
    assert_null(record->job.mail);
    record_destroy(&record);
    buf_finish(&bytes);
}

static void sensitive_mail_is_sealed(void **state)
{
    struct summary summary = summary_of(true);
    struct keyring *keyring = a_keyring();
    struct keyring *other = a_keyring();
    struct buf bytes = written(&summary, keyring);
    struct id another = summary.email;
    enum record_result result;
    struct record *record =
        record_read(buf_str(&bytes), &summary.email, keyring, &result);

    (void)state;
    another.text[35] = '2';
    assert_int_equal(result, RECORD_OK);
    assert_true(record->summary.sensitive);
    check_summary(&record->summary);
    record_destroy(&record);
    assert_false(str_contains(buf_str(&bytes), S("123456")));
    assert_false(str_contains(buf_str(&bytes), S("ann@")));
    assert_null(record_read(buf_str(&bytes), &summary.email, NULL, &result));
    assert_int_equal(result, RECORD_NO_KEY);
    assert_null(record_read(buf_str(&bytes), &summary.email, other, &result));
    assert_int_equal(result, RECORD_NO_KEY);
    /* The place is authenticated: no mail passes for another. */
    assert_null(record_read(buf_str(&bytes), &another, keyring, &result));
    assert_int_equal(result, RECORD_BROKEN);
    keyring_destroy(&keyring);
    keyring_destroy(&other);
    buf_finish(&bytes);
}

static void what_is_no_record(void **state)
{
    static const struct {
        const char *bytes;
        enum record_result result;
    } cases[] = {
        {"", RECORD_BROKEN},
        {"1 - 2", RECORD_BROKEN},
        {"2 - 2\n{}", RECORD_NEWER},
        {"99 ? what\n", RECORD_NEWER},
        {"0 - 2\n{}", RECORD_BROKEN},
        {"x - 2\n{}", RECORD_BROKEN},
        {"1 - 3\n{}", RECORD_BROKEN},
        {"1 - 18446744073709551615\n{}", RECORD_BROKEN},
        {"1 z 2\n{}", RECORD_BROKEN},
        {"1 - 2\n{}", RECORD_BROKEN}, /* nobody's */
        {"1 - 9\n{\"o\":\"a\"}", RECORD_OK},
        {"1 - 2\n[]", RECORD_BROKEN},
        {"1 - 22\n{\"o\":\"a\",\"k\":\"urgent\"}", RECORD_BROKEN},
        {"1 - 20\n{\"o\":\"a\",\"k\":\"bulk\"}", RECORD_OK},
        {"1 - 20\n{\"o\":\"a\",\"k\":\"bulk\"}[]", RECORD_BROKEN},
        {"1 - 20\n{\"o\":\"a\",\"k\":\"bulk\"}{\"mail\":{}}", RECORD_OK},
        {"1 - 20\n{\"o\":\"a\",\"k\":\"bulk\"}{\"mail\":{},\"a\":[{\"z\":-1}]}",
         RECORD_BROKEN},
        {"1 - 26\n{\"o\":\"a\",\"k\":\"bulk\",\"t\":1}", RECORD_BROKEN},
        {"1 s 3\nabc", RECORD_NO_KEY},
    };
    struct id email = summary_of(false).email;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        enum record_result result;
        struct record *record =
            record_read(str_of(cases[i].bytes), &email, NULL, &result);

        if (result != cases[i].result ||
            (record != NULL) != (result == RECORD_OK))
            fail_msg("%s: %d", cases[i].bytes, result);
        record_destroy(&record);
    }
}

/* What the id of an ordinary mail tells is not stored again. */
static void what_is_ordinary_takes_no_room(void **state)
{
    struct summary summary = summary_of(false);
    struct buf bytes;
    enum record_result result;
    struct record *record;

    (void)state;
    summary.mail_class = CLASS_TRANSACTIONAL;
    summary.created_ms = id_time_ms(&summary.email);
    summary.message_id =
        S("<0189c000-0000-7000-8000-000000000001@example.com>");
    bytes = written(&summary, NULL);
    assert_true(str_contains(buf_str(&bytes), S("\"m\":\"@example.com\"")));
    assert_false(str_contains(buf_str(&bytes), S("\"k\":")));
    assert_false(str_contains(buf_str(&bytes), S("0189c000")));
    record = record_read(buf_str(&bytes), &summary.email, NULL, &result);
    assert_int_equal(result, RECORD_OK);
    assert_true(str_eq(record->summary.message_id, summary.message_id));
    assert_int_equal(record->summary.created_ms, summary.created_ms);
    assert_int_equal(record->summary.mail_class, CLASS_TRANSACTIONAL);
    record_destroy(&record);
    buf_finish(&bytes);
}

static void recipients_are_numbered_over_the_lists(void **state)
{
    struct summary summary = summary_of(false);
    struct str mailbox;
    const char *kind;

    (void)state;
    assert_int_equal(summary_recipient_count(&summary), 5);
    assert_true(summary_recipient(&summary, 1, &mailbox, &kind));
    assert_true(same(mailbox, "bob@example.net"));
    assert_string_equal(kind, "to");
    assert_true(summary_recipient(&summary, 2, &mailbox, &kind));
    assert_string_equal(kind, "cc");
    assert_true(summary_recipient(&summary, 4, &mailbox, &kind));
    assert_true(same(mailbox, "e@example.net"));
    assert_string_equal(kind, "bcc");
    assert_false(summary_recipient(&summary, 5, &mailbox, &kind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_as_it_was),
        cmocka_unit_test(a_summary_may_stand_alone),
        cmocka_unit_test(sensitive_mail_is_sealed),
        cmocka_unit_test(what_is_no_record),
        cmocka_unit_test(what_is_ordinary_takes_no_room),
        cmocka_unit_test(recipients_are_numbered_over_the_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
