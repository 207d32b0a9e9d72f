/* What is kept of what was said. */
#include "smtp/transcript.h"

#include "server/base/clock.h"
#include "server/base/codec.h"

#include "check_cmocka.h"

#include <string.h>

enum { NOW_MS = 5000 };

static struct transcript transcript;

static int begin(void **state)
{
    (void)state;
    clock_set(NOW_MS, NOW_MS);
    transcript_init(&transcript);
    transcript_begin(&transcript, NOW_MS);
    return 0;
}

static int end(void **state)
{
    (void)state;
    transcript_finish(&transcript);
    return 0;
}

static void expect(const char *secret, const char *wanted)
{
    struct buf out;

    buf_init(&out, TRANSCRIPT_TEXT_MAX);
    transcript_add(&transcript, str_of(secret), &out);
    assert_string_equal(out.data == NULL ? "" : out.data, wanted);
    buf_finish(&out);
}

static void both_sides_and_their_times(void **state)
{
    (void)state;
    expect("", "");
    transcript_client(&transcript, S("EHLO me"));
    clock_set(NOW_MS + 12, NOW_MS + 12);
    transcript_server(&transcript, 250, S("one\nPIPELINING"));
    transcript_note(&transcript, "TLSv1.3", "AES");
    transcript_message(&transcript, 1204);
    transcript_server(&transcript, 354, S(""));
    transcript_server(NULL, 354, S(""));
    expect("", "     0 C: EHLO me\n"
               "    12 S: 250-one\n"
               "    12 S: 250 PIPELINING\n"
               "    12 *: TLSv1.3 AES\n"
               "    12 C: [1204 bytes]\n"
               "    12 S: 354 \n");
    transcript_begin(&transcript, NOW_MS);
    expect("", "");
}

static void of_a_login_the_mechanism_is_shown(void **state)
{
    (void)state;
    transcript_greeting(&transcript, S("EHLO me\r\n"));
    transcript_greeting(&transcript, S("AUTH PLAIN AGpvZQBzZXNhbWU=\r\n"));
    transcript_greeting(&transcript, S("AUTH LOGIN\r\n"));
    transcript_greeting_reply(&transcript, 334, S("UGFzc3dvcmQ6"));
    transcript_greeting(&transcript, S("c2VzYW1l\r\n"));
    transcript_greeting(&transcript, S("\r\n")); /* an empty answer */
    transcript_greeting_reply(&transcript, 235, S("welcome"));
    expect("", "     0 C: EHLO me\n"
               "     0 C: AUTH PLAIN\n"
               "     0 C: ******\n"
               "     0 C: AUTH LOGIN\n"
               "     0 S: 334 ******\n"
               "     0 C: ******\n"
               "     0 C: ******\n"
               "     0 S: 235 welcome\n");
}

static void what_quotes_the_secret_is_hidden(void **state)
{
    (void)state;
    transcript_server(&transcript, 554, S("spam: 483921 is your code"));
    expect("", "     0 S: 554 spam: 483921 is your code\n");
    expect("483 921 is your code",
           "     0 S: 554 spam: \xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2"
           "\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2 is your code\n");
}

static void controls_and_bad_bytes_are_replaced(void **state)
{
    (void)state;
    transcript_server(&transcript, 250, str_make("a\x1b[2Jb\xff\0", 8));
    expect("", "     0 S: 250 a?[2Jb??\n");
}

static void it_is_bounded_and_says_so(void **state)
{
    char line[8192];
    struct buf out;

    (void)state;
    memset(line, 'x', sizeof line);
    buf_init(&out, 2 * TRANSCRIPT_TEXT_MAX);
    for (size_t i = 0; i < 40; i++)
        transcript_server(&transcript, 250, str_make(line, sizeof line));
    transcript_add(&transcript, S(""), &out);
    assert_in_range(out.len, TRANSCRIPT_LINE_MAX, TRANSCRIPT_TEXT_MAX);
    assert_true(str_ends(buf_str(&out), S("[...]\n[...]\n")));
    assert_int_equal(utf8_cut(buf_str(&out), out.len), out.len);
    buf_clear(&out);
    transcript_begin(&transcript, NOW_MS);
    for (size_t i = 0; i < 4000; i++)
        transcript_client(&transcript, S("a"));
    transcript_add(&transcript, S(""), &out);
    assert_in_range(out.len, 500, TRANSCRIPT_TEXT_MAX);
    assert_true(str_ends(buf_str(&out), S("C: a\n[...]\n")));
    buf_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_sides_and_their_times, begin, end),
        cmocka_unit_test_setup_teardown(of_a_login_the_mechanism_is_shown,
                                        begin, end),
        cmocka_unit_test_setup_teardown(what_quotes_the_secret_is_hidden, begin,
                                        end),
        cmocka_unit_test_setup_teardown(controls_and_bad_bytes_are_replaced,
                                        begin, end),
        cmocka_unit_test_setup_teardown(it_is_bounded_and_says_so, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
