#include "smtp/message/header.h"

#include "server/base/buf.h"

#include "check_cmocka.h"

#define A10  "aaaaaaaaaa"
#define A50  A10 A10 A10 A10 A10
#define A250 A50 A50 A50 A50 A50
#define A900 A250 A250 A250 A50 A50 A50

static const struct {
    const char *name;
    enum flaw flaw;
} NAMES[] = {
    {"X-Campaign", FLAW_NONE},
    {"Message-ID", FLAW_NONE},
    {"In-Reply-To", FLAW_NONE},
    {"List-Unsubscribe", FLAW_NONE},
    {"Auto-Submitted", FLAW_NONE},
    {"Keywords", FLAW_NONE},
    {"X!y(z)", FLAW_NONE},
    {"Tox", FLAW_NONE},
    {"X-Arc-1", FLAW_NONE},
    {A50 A10 "aaaa", FLAW_NONE},
    {A50 A10 "aaaaa", FLAW_HEADER_NAME},
    {"", FLAW_HEADER_NAME},
    {"X Y", FLAW_HEADER_NAME},
    {"X:", FLAW_HEADER_NAME},
    {"X\r\nBcc", FLAW_HEADER_NAME},
    {"X\x7f", FLAW_HEADER_NAME},
    {"X-\xc3\xa4", FLAW_HEADER_NAME},
    {"From", FLAW_HEADER_RESERVED},
    {"to", FLAW_HEADER_RESERVED},
    {"CC", FLAW_HEADER_RESERVED},
    {"bCC", FLAW_HEADER_RESERVED},
    {"Sender", FLAW_HEADER_RESERVED},
    {"Reply-To", FLAW_HEADER_RESERVED},
    {"Subject", FLAW_HEADER_RESERVED},
    {"Date", FLAW_HEADER_RESERVED},
    {"mime-version", FLAW_HEADER_RESERVED},
    {"content-type", FLAW_HEADER_RESERVED},
    {"Content-Anything", FLAW_HEADER_RESERVED},
    {"Return-Path", FLAW_HEADER_RESERVED},
    {"Received", FLAW_HEADER_RESERVED},
    {"received-spf", FLAW_HEADER_RESERVED},
    {"Resent-From", FLAW_HEADER_RESERVED},
    {"Delivered-To", FLAW_HEADER_RESERVED},
    {"DKIM-Signature", FLAW_HEADER_RESERVED},
    {"ARC-Seal", FLAW_HEADER_RESERVED},
    {"Authentication-Results", FLAW_HEADER_RESERVED},
    {"X-Posthaste-Id", FLAW_HEADER_RESERVED},
};

static void names_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        struct header header = {str_of(NAMES[i].name), S("x")};

        if (header_name_check(&header, 0) != NAMES[i].flaw)
            fail_msg("%s", NAMES[i].name);
    }
}

static void a_name_given_twice_is_refused_in_any_case(void **state)
{
    struct header headers[] = {
        {S("X-A"), S("1")}, {S("X-B"), S("2")}, {S("x-a"), S("3")}};

    (void)state;
    assert_int_equal(header_name_check(headers, 1), FLAW_NONE);
    assert_int_equal(header_name_check(headers, 2), FLAW_HEADER_TWICE);
}

static const struct {
    const char *name;
    struct str value;
    enum flaw flaw;
} VALUES[] = {
    {"X-A", STR(""), FLAW_NONE},
    {"X-A",
     STR("gr\xc3\xbc\xc3\x9f"
         "e"),
     FLAW_NONE},
    {"X-A", STR("a\rb"), FLAW_CONTROL},
    {"X-A", STR("a\nb"), FLAW_CONTROL},
    {"X-A", STR("a\0b"), FLAW_CONTROL},
    {"X-A", STR("a\tb"), FLAW_CONTROL},
    {"X-A", STR("a\x7f"), FLAW_CONTROL},
    {"X-A", STR("a\xc0\xaf"), FLAW_NOT_UTF8},
    {"X-A", STR(A900 A900 A50 A50 A50 A50), FLAW_NONE},
    {"X-A", STR(A900 A900 A50 A50 A50 A50 A50), FLAW_HEADER_TOO_LONG},
    {"Message-ID", STR("<a.b@c.d>"), FLAW_NONE},
    {"message-id", STR("a.b@c.d"), FLAW_HEADER_MSG_ID},
    {"Message-ID", STR("<<a@b>>"), FLAW_HEADER_MSG_ID},
    {"Message-ID", STR("<a@b> <c@d>"), FLAW_HEADER_MSG_ID},
    {"Message-ID", STR("<a b@c>"), FLAW_HEADER_MSG_ID},
    {"Message-ID", STR("<a@b@c>"), FLAW_HEADER_MSG_ID},
    {"Message-ID", STR("<a..b@c>"), FLAW_HEADER_MSG_ID},
    {"Message-ID", STR("<" A250 "@c>"), FLAW_HEADER_MSG_ID},
    {"In-Reply-To", STR("<a@b>"), FLAW_NONE},
    {"References", STR("<a@b>  <odd..$id:1@[x]>"), FLAW_NONE},
    {"References", STR("<a@b> c@d"), FLAW_HEADER_MSG_ID},
    {"References", STR(" "), FLAW_EMPTY},
    {"References", STR("<a@b><c@d>"), FLAW_HEADER_MSG_ID},
    {"List-Unsubscribe", STR("<https://x.io/u>, <mailto:u@x.io>"), FLAW_NONE},
    {"List-Unsubscribe", STR("<https://x.io/" A900 ">"),
     FLAW_HEADER_UNFOLDABLE},
    {"List-Id", STR("gr\xc3\xbc <x.io>"), FLAW_NOT_ASCII},
    {"Auto-Submitted", STR(""), FLAW_EMPTY},
};

static void values_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(VALUES); i++) {
        struct header header = {str_of(VALUES[i].name), VALUES[i].value};

        if (header_value_check(&header) != VALUES[i].flaw)
            fail_msg("row %zu, %s", i, VALUES[i].name);
    }
}

static const struct {
    const char *value;
    const char *field;
} TEXTS[] = {
    {"", "Subject:\r\n"},
    {"Hello", "Subject: Hello\r\n"},
    {"Hello brave new world, this is a line that has to be folded once, not "
     "twice",
     "Subject: Hello brave new world, this is a line that has to be folded "
     "once,\r\n not twice\r\n"},
    {"x " A50 A50 " y", "Subject: x\r\n " A50 A50 "\r\n y\r\n"},
    {"Gr\xc3\xbc\xc3\x9f"
     "e aus K\xc3\xb6ln, Anna",
     "Subject: =?UTF-8?B?R3LDvMOfZSBhdXMgS8O2bG4s?= Anna\r\n"},
    {"Your code for K\xc3\xb6ln",
     "Subject: Your code for =?UTF-8?B?S8O2bG4=?=\r\n"},
    {"=?utf-8?q?x?= is literal",
     "Subject: =?UTF-8?B?PT91dGYtOD9xP3g/PQ==?= is literal\r\n"},
    {" leading", "Subject: =?UTF-8?Q?_leading?=\r\n"},
    {"trailing ", "Subject: =?UTF-8?Q?trailing_?=\r\n"},
    {"two  blanks", "Subject: =?UTF-8?Q?two__blanks?=\r\n"},
    {"next\xc2\x85line", "Subject: =?UTF-8?Q?next=C2=85line?=\r\n"},
    /* 45 bytes a word in the second line, the family kept whole */
    {"\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7"
     "\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7"
     "\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa",
     "Subject: =?UTF-8?B?8J+RqOKAjfCfkanigI3wn5Gn8J+RqOKAjfCfkanigI3wn5Gn?=\r"
     "\n =?UTF-8?B?8J+HqfCfh6o=?=\r\n"},
};

static void unstructured_text_is_folded_and_encoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(TEXTS); i++) {
        struct buf out;

        buf_init(&out, 65536);
        header_add_text(&out, "Subject", str_of(TEXTS[i].value));
        assert_string_equal(out.data, TEXTS[i].field);
        buf_finish(&out);
    }
}

static void a_word_that_no_line_holds_is_encoded(void **state)
{
    struct buf out;
    struct str rest;
    struct str line;

    (void)state;
    buf_init(&out, 65536);
    header_add_text(&out, "X-Long", S(A900 A10 A10 A10 A10 A10 A10 A10));
    rest = buf_str(&out);
    while (str_cut(&rest, '\n', &line)) {
        assert_true(line.len <= 77);
        assert_true(line.len == 0 || str_contains(line, S("=?UTF-8?")));
    }
    buf_finish(&out);
}

static const struct {
    const char *value;
    const char *field;
} STRUCTURED[] = {
    {"<a@b>  <c@d>", "References: <a@b> <c@d>\r\n"},
    {"<https://x.io/" A50 ">, <mailto:unsubscribe@x.io>",
     "References: <https://x.io/" A50 ">,\r\n <mailto:unsubscribe@x.io>\r\n"},
    {"<" A50 A50 "@b>", "References: <" A50 A50 "@b>\r\n"},
    {"\"" A50 " " A50 "\" x", "References: \"" A50 " " A50 "\"\r\n x\r\n"},
    {"<a b c " A50 " " A10 "> x",
     "References: <a b c " A50 " " A10 ">\r\n x\r\n"},
};

static void structured_values_break_at_outer_blanks_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(STRUCTURED); i++) {
        struct buf out;

        buf_init(&out, 65536);
        header_add_structured(&out, "References", str_of(STRUCTURED[i].value));
        assert_string_equal(out.data, STRUCTURED[i].field);
        buf_finish(&out);
    }
}

static const struct {
    const char *text;
    const char *field;
} NAMED[] = {
    {"a@x.io", "To: a@x.io\r\n"},
    {"Jane Doe <a@x.io>", "To: Jane Doe <a@x.io>\r\n"},
    {"Doe, Jane <a@x.io>", "To: \"Doe, Jane\" <a@x.io>\r\n"},
    {"J. Doe <a@x.io>", "To: \"J. Doe\" <a@x.io>\r\n"},
    {"\"a \\\"b\\\" \\\\c\" <a@x.io>",
     "To: \"a \\\"b\\\" \\\\c\" <a@x.io>\r\n"},
    {"=?utf-8?q?x?= <a@x.io>",
     "To: =?UTF-8?B?PT91dGYtOD9xP3g/PQ==?= <a@x.io>\r\n"},
    {"J\xc3\xb6rg (x) <a@x.io>", ""},
    {"\"J\xc3\xb6rg (x), y\" <a@x.io>",
     "To: =?UTF-8?B?SsO2cmcgKHgpLCB5?= <a@x.io>\r\n"},
    {"\xe5\xbc\xa0\xe4\xbc\x9f <w@x.io>",
     "To: =?UTF-8?B?5byg5Lyf?= <w@x.io>\r\n"},
    {"\"two  blanks\" <a@x.io>", "To: =?UTF-8?Q?two__blanks?= <a@x.io>\r\n"},
    {"j\xc3\xb6rg@x.io", "To: j\xc3\xb6rg@x.io\r\n"},
};

static void display_names_are_bare_quoted_or_encoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(NAMED); i++) {
        struct arena *arena = arena_create();
        struct mailbox box;
        struct buf out;

        buf_init(&out, 4096);
        if (mailbox_parse(arena, str_of(NAMED[i].text), &box) == FLAW_NONE)
            header_add_mailboxes(&out, "To", &box, 1);
        assert_true(str_eq(buf_str(&out), str_of(NAMED[i].field)));
        buf_finish(&out);
        arena_destroy(&arena);
    }
}

static void lists_are_folded_between_mailboxes(void **state)
{
    struct arena *arena = arena_create();
    struct mailbox boxes[3];
    struct buf out;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(mailbox_parse(arena,
                                       S("Doe, Jane <jane.doe@example.com>"),
                                       &boxes[i]),
                         FLAW_NONE);
    buf_init(&out, 4096);
    header_add_mailboxes(&out, "To", boxes, 3);
    assert_string_equal(
        out.data, "To: \"Doe, Jane\" <jane.doe@example.com>, \"Doe, Jane\" "
                  "<jane.doe@example.com>,\r\n"
                  " \"Doe, Jane\" <jane.doe@example.com>\r\n");
    buf_finish(&out);
    arena_destroy(&arena);
}

static const struct {
    int64_t ms;
    const char *field;
} DATES[] = {
    {0, "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"},
    {1795530247999, "Date: Tue, 24 Nov 2026 14:24:07 +0000\r\n"},
    {951782400000, "Date: Tue, 29 Feb 2000 00:00:00 +0000\r\n"},
};

static void dates_are_in_utc(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(DATES); i++) {
        struct buf out;

        buf_init(&out, 128);
        header_add_date(&out, DATES[i].ms);
        assert_string_equal(out.data, DATES[i].field);
        buf_finish(&out);
    }
}

static void subjects_and_tags_are_judged(void **state)
{
    (void)state;
    assert_int_equal(subject_check(S(A900 A50 A10 A10 A10 A10 "aaaaaaaa")),
                     FLAW_NONE);
    assert_int_equal(subject_check(S(A900 A50 A10 A10 A10 A10 "aaaaaaaaa")),
                     FLAW_SUBJECT_TOO_LONG);
    assert_int_equal(subject_check(S("a\nb")), FLAW_CONTROL);
    assert_int_equal(subject_check(S("\xff")), FLAW_NOT_UTF8);
    assert_int_equal(tag_check(S("Az_0-9")), FLAW_NONE);
    assert_int_equal(tag_check(S("")), FLAW_TAG);
    assert_int_equal(tag_check(S("a b")), FLAW_TAG);
    assert_int_equal(tag_check(S("\xc3\xa4")), FLAW_TAG);
    assert_int_equal(tag_check(S(A250 "aaaaaa")), FLAW_NONE);
    assert_int_equal(tag_check(S(A250 "aaaaaaa")), FLAW_TAG);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_judged),
        cmocka_unit_test(a_name_given_twice_is_refused_in_any_case),
        cmocka_unit_test(values_are_judged),
        cmocka_unit_test(unstructured_text_is_folded_and_encoded),
        cmocka_unit_test(a_word_that_no_line_holds_is_encoded),
        cmocka_unit_test(structured_values_break_at_outer_blanks_only),
        cmocka_unit_test(display_names_are_bare_quoted_or_encoded),
        cmocka_unit_test(lists_are_folded_between_mailboxes),
        cmocka_unit_test(dates_are_in_utc),
        cmocka_unit_test(subjects_and_tags_are_judged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
