/* Replies in whole, in pieces, broken and beyond the bounds. */
#include "smtp/reply.h"

#include "check_cmocka.h"

static const struct fact {
    const char *name;
    const char *bytes;
    unsigned code; /* 0: bad; 1: more is wanted */
    const char *enhanced;
    const char *text;
} FACTS[] = {
    {"one line", "250 ok\r\n", 250, "", "ok"},
    {"several lines", "250-mx.example\r\n250-SIZE 10\r\n250 HELP\r\n", 250, "",
     "mx.example SIZE 10 HELP"},
    {"LF alone ends a line", "250-a\n250 b\n", 250, "", "a b"},
    {"no text, with and without a blank", "250-\r\n250\r\n", 250, "", ""},
    {"bare code", "354\r\n", 354, "", ""},
    {"enhanced code", "550 5.1.1 no such user\r\n", 550, "5.1.1",
     "no such user"},
    {"enhanced code on each line", "550-5.7.26 a\r\n550 5.7.26 b\r\n", 550,
     "5.7.26", "a b"},
    {"enhanced code alone", "250 2.0.0\r\n", 250, "2.0.0", ""},
    {"enhanced code behind a mark", "550 #5.1.0 Address rejected.\r\n", 550,
     "5.1.0", "#5.1.0 Address rejected."},
    {"enhanced code in brackets",
     "550-sorry, #1 of\r\n550 no mailbox (#5.1.1)\r\n", 550, "5.1.1",
     "sorry, #1 of no mailbox (#5.1.1)"},
    {"no enhanced code: a mark before an address", "550 #5.1.1.1 x\r\n", 550,
     "", "#5.1.1.1 x"},
    {"no enhanced code: four digits", "550 5.1.1111 x\r\n", 550, "",
     "5.1.1111 x"},
    {"no enhanced code: an address", "550 5.1.1.1 x\r\n", 550, "", "5.1.1.1 x"},
    {"no enhanced code: class 3", "550 3.1.1 x\r\n", 550, "", "3.1.1 x"},
    {"control bytes do not reach people", "550 a\x1b[31mb\tc\r\n", 550, "",
     "a?[31mb?c"},
    {"bytes that are no UTF-8 neither", "550 \xff\xc3\xa9\r\n", 550, "",
     "?\xc3\xa9"},
    {"half a line", "250 o", 1, NULL, NULL},
    {"half a reply", "250-a\r\n", 1, NULL, NULL},
    {"199 is none", "199 x\r\n", 0, NULL, NULL},
    {"600 is none", "600 x\r\n", 0, NULL, NULL},
    {"999 is none", "999 x\r\n", 0, NULL, NULL},
    {"two digits", "25 ok\r\n", 0, NULL, NULL},
    {"four digits", "2500 ok\r\n", 0, NULL, NULL},
    {"an HTTP answer", "HTTP/1.1 400 Bad Request\r\n", 0, NULL, NULL},
    {"an empty line", "\r\n", 0, NULL, NULL},
    {"codes that differ", "250-a\r\n550 b\r\n", 0, NULL, NULL},
};

/* piece: how many bytes are fed at a time. */
static void check_fact(const struct fact *fact, size_t piece)
{
    struct reply_parser parser;
    struct smtp_reply reply;
    struct buf text;
    enum reply_status status = REPLY_MORE;
    struct str rest = str_of(fact->bytes);
    struct str input;

    buf_init(&text, REPLY_TEXT_MAX);
    reply_parser_init(&parser);
    while (status == REPLY_MORE && rest.len > 0) {
        input = str_slice(rest, 0, piece);
        rest = str_from(rest, input.len);
        status = reply_parse(&parser, &input, &reply);
        assert_true(status == REPLY_BAD || input.len == 0);
    }
    print_message("  %s, %zu\n", fact->name, piece);
    if (fact->code < 200) {
        assert_int_equal(status, fact->code == 0 ? REPLY_BAD : REPLY_MORE);
    } else {
        assert_int_equal(status, REPLY_WHOLE);
        assert_int_equal(reply.code, fact->code);
        assert_string_equal(reply.enhanced, fact->enhanced);
        reply_text_add(&reply, &text);
        assert_true(str_eq(buf_str(&text), str_of(fact->text)));
    }
    reply_parser_finish(&parser);
    buf_finish(&text);
}

static void facts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(FACTS); i++) {
        check_fact(&FACTS[i], 1);
        check_fact(&FACTS[i], 3);
        check_fact(&FACTS[i], 1000);
    }
}

static void one_reply_at_a_time(void **state)
{
    struct reply_parser parser;
    struct smtp_reply reply;
    struct str input = S("250 a\r\n550 b\r\n354");

    (void)state;
    reply_parser_init(&parser);
    assert_int_equal(reply_parse(&parser, &input, &reply), REPLY_WHOLE);
    assert_int_equal(reply.code, 250);
    assert_int_equal(reply_parse(&parser, &input, &reply), REPLY_WHOLE);
    assert_int_equal(reply.code, 550);
    assert_true(str_eq(reply.lines, S("b")));
    assert_int_equal(reply_parse(&parser, &input, &reply), REPLY_MORE);
    assert_int_equal(input.len, 0);
    reply_parser_finish(&parser);
}

/* Feeds line again and again; how many it takes to be bad. */
static size_t lines_until_bad(struct str line, size_t most)
{
    struct reply_parser parser;
    struct smtp_reply reply;
    size_t count = 0;

    reply_parser_init(&parser);
    while (count < most) {
        struct str input = line;

        if (reply_parse(&parser, &input, &reply) == REPLY_BAD)
            break;
        count++;
    }
    reply_parser_finish(&parser);
    return count;
}

static void bounds(void **state)
{
    struct buf line;

    (void)state;
    assert_int_equal(lines_until_bad(S("250-x\r\n"), 1000), REPLY_LINES_MAX);
    /* A line that never ends is cut off at its bound. */
    assert_in_range(lines_until_bad(S("250 xxxxxxxxxxxx"), 100000), 500, 512);
    buf_init(&line, 8192);
    buf_add_cstr(&line, "250-");
    while (line.len < 4096)
        buf_add_char(&line, 'x');
    buf_add_cstr(&line, "\r\n");
    assert_int_equal(lines_until_bad(buf_str(&line), 1000),
                     REPLY_SIZE_MAX / line.len);
    buf_finish(&line);
}

static void text_is_cut(void **state)
{
    struct reply_parser parser;
    struct smtp_reply reply;
    struct buf bytes;
    struct buf text;
    struct str input;

    (void)state;
    buf_init(&bytes, 65536);
    for (int i = 0; i < 10; i++) {
        buf_add_cstr(&bytes, i < 9 ? "550-" : "550 ");
        for (int j = 0; j < 500; j++)
            buf_add_cstr(&bytes, "\xc3\xa9");
        buf_add_cstr(&bytes, "\r\n");
    }
    input = buf_str(&bytes);
    reply_parser_init(&parser);
    assert_int_equal(reply_parse(&parser, &input, &reply), REPLY_WHOLE);
    buf_init(&text, 65536);
    reply_text_add(&reply, &text);
    assert_in_range(text.len, REPLY_TEXT_MAX - 2, REPLY_TEXT_MAX);
    buf_finish(&text);
    reply_parser_finish(&parser);
    buf_finish(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts),
        cmocka_unit_test(one_reply_at_a_time),
        cmocka_unit_test(bounds),
        cmocka_unit_test(text_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
