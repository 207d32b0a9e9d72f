#include "server/worker/compose.h"

#include "check_cmocka.h"

/* A record as the API stores it, and as a worker reads it back. */
static struct record *record_of(const char *mail_json,
                                const struct job_attachment *attachments,
                                size_t count)
{
    static struct str to[] = {STR("ada@example.net")};
    const struct id email = {"019ab000-0000-7000-8000-000000000001"};
    const struct summary summary = {
        .email = email,
        .owner = S("default"),
        .from = S("Shop <shop@example.com>"),
        .to = to,
        .to_count = 1,
        .subject = S("Hello"),
        .mail_class = CLASS_TRANSACTIONAL,
        .message_id = S("<019ab000@example.com>"),
        .created_ms = 1764000000000,
    };
    enum record_result result;
    struct record *record;
    struct buf bytes;

    buf_init(&bytes, 1 << 16);
    record_write(1, &summary, str_of(mail_json), attachments, count,
                 1764000000000, NULL, NULL, &bytes);
    record = record_read(buf_str(&bytes), &email, NULL, &result);
    assert_int_equal(result, RECORD_OK);
    buf_finish(&bytes);
    return record;
}

static bool make(struct record *record, const struct str *attachments,
                 struct buf *out, struct error *err)
{
    struct arena *arena = arena_create();
    struct composed composed = {.needs_utf8 = true};
    bool good = compose(record, attachments, arena, out, &composed, err);

    if (good) {
        assert_true(str_eq(composed.from, S("shop@example.com")));
        assert_false(composed.needs_utf8);
    }
    arena_destroy(&arena);
    record_destroy(&record);
    return good;
}

static void a_mail_is_the_same_each_time(void **state)
{
    static const char MAIL[] =
        "{\"from\":\"Shop <shop@example.com>\",\"to\":\"ada@example.net\","
        "\"bcc\":[\"boss@example.com\"],\"subject\":\"Hello\","
        "\"text\":\"Hi Ada\",\"html\":\"<p>Hi Ada</p>\","
        "\"headers\":{\"X-Order\":\"17\"}}";
    struct buf first;
    struct buf second;

    (void)state;
    buf_init(&first, 1 << 16);
    buf_init(&second, 1 << 16);
    assert_true(make(record_of(MAIL, NULL, 0), NULL, &first, NULL));
    assert_true(make(record_of(MAIL, NULL, 0), NULL, &second, NULL));
    assert_true(str_eq(buf_str(&first), buf_str(&second)));
    assert_true(str_contains(buf_str(&first), S("X-Order: 17\r\n")));
    assert_true(str_contains(buf_str(&first), S("Subject: Hello\r\n")));
    assert_true(str_contains(buf_str(&first),
                             S("Message-ID: <019ab000@example.com>\r\n")));
    assert_false(str_contains_nocase(buf_str(&first), S("boss")));
    buf_finish(&first);
    buf_finish(&second);
}

static void an_attachment_goes_along(void **state)
{
    static const char MAIL[] =
        "{\"from\":\"Shop <shop@example.com>\",\"to\":[\"ada@example.net\"],"
        "\"subject\":\"Hello\",\"text\":\"Hi\"}";
    const struct job_attachment attachment = {
        .filename = S("a.txt"),
        .content_type = S("text/plain"),
        .size_bytes = 5,
    };
    const struct str bytes = STR("12345");
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 16);
    assert_true(make(record_of(MAIL, &attachment, 1), &bytes, &out, NULL));
    assert_true(str_contains(buf_str(&out), S("MTIzNDU=\r\n")));
    assert_true(str_contains(buf_str(&out), S("a.txt")));
    buf_finish(&out);
}

static void what_was_never_validated_is_refused(void **state)
{
    static const char *const MAILS[] = {
        "{\"to\":\"ada@example.net\",\"subject\":\"x\",\"text\":\"y\"}",
        "{\"from\":\"two@@example.com\",\"to\":\"ada@example.net\"}",
        "{\"from\":\"shop@example.com\",\"to\":[\"ada@example.net\",7]}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(MAILS); i++) {
        struct error err;
        struct buf out;

        buf_init(&out, 1 << 16);
        assert_false(make(record_of(MAILS[i], NULL, 0), NULL, &out, &err));
        assert_int_equal(err.kind, ERR_INPUT);
        buf_finish(&out);
    }
}

/* The signatures stand on top of what was there, each time the same. */
static void signatures_stand_on_top(void **state)
{
    struct dkim_signer signer = {.selector = S("ph1e1")};
    const struct compose_signing signing = {S("example.com"), &signer, 1};
    struct composed composed[] = {{.body = 23}, {.body = 23}};
    struct str message = S("From: a@example.com\r\n\r\nHi\r\n");
    struct dkim_key *key;
    struct buf der;
    struct buf public_text;
    struct buf first;
    struct buf second;

    (void)state;
    buf_init(&der, DKIM_PRIVATE_MAX);
    buf_init(&public_text, DKIM_PUBLIC_MAX);
    buf_init(&first, 1 << 16);
    buf_init(&second, 1 << 16);
    dkim_key_make(DKIM_ED25519, &der, &public_text);
    key = dkim_key_load(DKIM_ED25519, buf_str(&der));
    signer.key = key;
    buf_add(&first, message);
    buf_add(&second, message);
    compose_sign(&signing, 1764000000999, &composed[0], &first);
    compose_sign(&signing, 1764000000999, &composed[1], &second);
    assert_true(str_eq(buf_str(&first), buf_str(&second)));
    assert_true(str_starts(buf_str(&first), S("DKIM-Signature: v=1; ")));
    assert_true(str_contains(buf_str(&first), S(" t=1764000000;")));
    assert_true(str_ends(buf_str(&first), message));
    assert_true(
        str_eq(str_from(buf_str(&first), composed[0].body), S("Hi\r\n")));
    dkim_key_destroy(&key);
    buf_finish(&der);
    buf_finish(&public_text);
    buf_finish(&first);
    buf_finish(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mail_is_the_same_each_time),
        cmocka_unit_test(an_attachment_goes_along),
        cmocka_unit_test(signatures_stand_on_top),
        cmocka_unit_test(what_was_never_validated_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
