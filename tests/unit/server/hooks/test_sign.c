#include "server/hooks/sign.h"

#include "check_cmocka.h"

/* The example of the standard's own libraries. */
#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define ID     "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define BODY   "{\"test\": 2432232314}"
#define SIGNED "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
static const int64_t time_s = 1614265330;

static void the_known_example_is_signed_so(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 256);
    assert_true(sign_webhook(S(SECRET), S(ID), time_s, S(BODY), &out));
    assert_true(str_eq(buf_str(&out), S(SIGNED)));
    buf_finish(&out);
}

static void other_secrets_are_refused(void **state)
{
    static const char *const SECRETS[] = {
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "whsec_AAAA", /* three bytes */
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
        "whsec_"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAAAAAAAAAAAAAAAAAAAA", /* 69 bytes */
    };
    struct buf out;

    (void)state;
    buf_init(&out, 256);
    for (size_t i = 0; i < COUNT_OF(SECRETS); i++) {
        assert_false(
            sign_webhook(str_of(SECRETS[i]), S(ID), time_s, S(BODY), &out));
        assert_int_equal(out.len, 0);
    }
    buf_finish(&out);
}

static void both_triples_carry_the_same(void **state)
{
    static const char *const LINES[SIGN_HEADERS] = {
        "webhook-id: " ID,
        "webhook-timestamp: 1614265330",
        "webhook-signature: " SIGNED,
        "svix-id: " ID,
        "svix-timestamp: 1614265330",
        "svix-signature: " SIGNED,
    };
    struct sign_headers headers;

    (void)state;
    assert_true(sign_headers(S(SECRET), S(ID), time_s, S(BODY), &headers));
    for (size_t i = 0; i < SIGN_HEADERS; i++)
        assert_string_equal(headers.lines[i], LINES[i]);
    assert_false(sign_headers(S("x"), S(ID), time_s, S(BODY), &headers));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_known_example_is_signed_so),
        cmocka_unit_test(other_secrets_are_refused),
        cmocka_unit_test(both_triples_carry_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
