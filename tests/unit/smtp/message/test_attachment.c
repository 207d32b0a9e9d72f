#include "smtp/message/attachment.h"

#include "check_cmocka.h"

#define A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    const char *name;
    const char *type;
    const char *clean;
} NAMES[] = {
    {"a.txt", "", "a.txt"},
    {"../../etc/passwd", "", "passwd"},
    {"C:\\temp\\a.txt", "", "a.txt"},
    {"a/", "image/png", "attachment-3.png"},
    {"", "application/pdf; x=y", "attachment-3.pdf"},
    {"", "", "attachment-3.bin"},
    {"..", "text/plain", "attachment-3.txt"},
    {" x ", "", "x"},
    {".profile", "", ".profile"},
    {"inv\xe2\x80\xae"
     "fdp.exe",
     "", "invfdp.exe"},
    {"a\xc2\x85\xc2\x9bz.txt", "", "az.txt"},
    {"\xc2\x80", "text/plain", "attachment-3.txt"},
    {"\xe5\x8f\x91\xe7\xa5\xa8.pdf", "", "\xe5\x8f\x91\xe7\xa5\xa8.pdf"},
};

static void names_are_cleaned(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        struct arena *arena = arena_create();
        struct str clean = filename_clean(arena, str_of(NAMES[i].name), 2,
                                          str_of(NAMES[i].type));

        if (!str_eq(clean, str_of(NAMES[i].clean)))
            fail_msg("row %zu: %.*s", i, STR_ARG(clean));
        assert_true(str_eq(
            filename_clean(arena, clean, 2, str_of(NAMES[i].type)), clean));
        arena_destroy(&arena);
    }
}

static void names_are_judged(void **state)
{
    (void)state;
    assert_int_equal(filename_check(S("")), FLAW_NONE);
    assert_int_equal(filename_check(S(A50 A50 A50 A50 A50 "aaaaa")), FLAW_NONE);
    assert_int_equal(filename_check(S(A50 A50 A50 A50 A50 "aaaaaa")),
                     FLAW_FILENAME_TOO_LONG);
    assert_int_equal(filename_check(S("a\r\nb")), FLAW_CONTROL);
    assert_int_equal(filename_check(S("a\0b")), FLAW_CONTROL);
    assert_int_equal(filename_check(S("\xed\xa0\x80")), FLAW_NOT_UTF8);
}

static const struct {
    struct str type;
    enum flaw flaw;
} TYPES[] = {
    {STR("image/png"), FLAW_NONE},
    {STR("IMAGE/PNG"), FLAW_NONE},
    {STR("text/plain; charset=utf-8"), FLAW_NONE},
    {STR("text/plain;charset=\"utf-8\" ; format = flowed;"), FLAW_NONE},
    {STR("application/vnd.api+json"), FLAW_NONE},
    {STR("message/rfc822"), FLAW_NONE},
    {STR(""), FLAW_CONTENT_TYPE},
    {STR("image"), FLAW_CONTENT_TYPE},
    {STR("image/"), FLAW_CONTENT_TYPE},
    {STR("/png"), FLAW_CONTENT_TYPE},
    {STR("image/png/x"), FLAW_CONTENT_TYPE},
    {STR("image/p ng"), FLAW_CONTENT_TYPE},
    {STR("image/png\r\nX: y"), FLAW_CONTENT_TYPE},
    {STR("image/png; x=\"a\r\nb\""), FLAW_CONTENT_TYPE},
    {STR("image/png; x"), FLAW_CONTENT_TYPE},
    {STR("image/png; x="), FLAW_CONTENT_TYPE},
    {STR("image/png; x=\"a"), FLAW_CONTENT_TYPE},
    {STR("image/png; x=\"a\" y"), FLAW_CONTENT_TYPE},
    {STR("image/png; x=a b"), FLAW_CONTENT_TYPE},
    {STR("image/\xc3\xa4"), FLAW_CONTENT_TYPE},
    {STR("image/png; name*=utf-8''x.exe"), FLAW_CONTENT_TYPE},
    {STR("image/png; name*0=x; name*1=.exe"), FLAW_CONTENT_TYPE},
    {STR("a/b;a=1;b=1;c=1;d=1;e=1;f=1;g=1;h=1"), FLAW_NONE},
    {STR("a/b;a=1;b=1;c=1;d=1;e=1;f=1;g=1;h=1;i=1"), FLAW_CONTENT_TYPE},
    {STR("a/" A50 A50 A50 A50 A50 A50), FLAW_CONTENT_TYPE},
    {STR("multipart/mixed"), FLAW_CONTENT_TYPE_MULTIPART},
    {STR("Multipart/Related; boundary=x"), FLAW_CONTENT_TYPE_MULTIPART},
};

static void types_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(TYPES); i++)
        if (content_type_check(TYPES[i].type) != TYPES[i].flaw)
            fail_msg("row %zu", i);
}

static void types_are_guessed_from_the_extension(void **state)
{
    (void)state;
    assert_true(str_eq(content_type_guess(S("a.PDF")), S("application/pdf")));
    assert_true(
        str_eq(content_type_guess(S("a.tar.gz")), S("application/gzip")));
    assert_true(str_eq(content_type_guess(S("a.unknown")),
                       S("application/octet-stream")));
    assert_true(
        str_eq(content_type_guess(S("pdf")), S("application/octet-stream")));
    assert_true(
        str_eq(content_type_guess(S("")), S("application/octet-stream")));
}

static const struct {
    const char *id;
    enum flaw flaw;
    const char *bare;
} IDS[] = {
    {"logo", FLAW_NONE, "logo"},
    {"<logo>", FLAW_NONE, "logo"},
    {"cid:logo", FLAW_NONE, "logo"},
    {"CID:<logo@x.io>", FLAW_NONE, "logo@x.io"},
    {"a b", FLAW_CONTENT_ID, "a b"},
    {"", FLAW_CONTENT_ID, ""},
    {"<>", FLAW_CONTENT_ID, ""},
    {"<a", FLAW_CONTENT_ID, "<a"},
    {"a\r\nb", FLAW_CONTENT_ID, "a\r\nb"},
    {"it's", FLAW_CONTENT_ID, "it's"},
    {A50 A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaa", FLAW_NONE,
     A50 A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    {A50 A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", FLAW_CONTENT_ID,
     A50 A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
};

static void content_ids_are_judged_and_bared(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(IDS); i++) {
        if (content_id_check(str_of(IDS[i].id)) != IDS[i].flaw)
            fail_msg("row %zu", i);
        assert_true(
            str_eq(content_id_bare(str_of(IDS[i].id)), str_of(IDS[i].bare)));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_cleaned),
        cmocka_unit_test(names_are_judged),
        cmocka_unit_test(types_are_judged),
        cmocka_unit_test(types_are_guessed_from_the_extension),
        cmocka_unit_test(content_ids_are_judged_and_bared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
