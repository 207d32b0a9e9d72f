#include "smtp/message/address.h"

#include "check_cmocka.h"

#define ROW(text, flaw, name, address)                                         \
    {                                                                          \
        STR(text), FLAW_##flaw, name, address                                  \
    }

static const struct {
    struct str text;
    enum flaw flaw;
    const char *name;
    const char *address;
} MAILBOXES[] = {
    ROW("jane@example.com", NONE, "", "jane@example.com"),
    ROW("  jane@example.com ", NONE, "", "jane@example.com"),
    ROW("<jane@example.com>", NONE, "", "jane@example.com"),
    ROW("Jane <jane@example.com>", NONE, "Jane", "jane@example.com"),
    ROW("Jane<jane@example.com>", NONE, "Jane", "jane@example.com"),
    ROW("Jane   van  Doe <j@x.io>", NONE, "Jane van Doe", "j@x.io"),
    ROW("\"Doe, Jane\" <j@x.io>", NONE, "Doe, Jane", "j@x.io"),
    ROW("Doe, Jane <j@x.io>", NONE, "Doe, Jane", "j@x.io"),
    ROW("\"say \\\"hi\\\" \\\\\" <j@x.io>", NONE, "say \"hi\" \\", "j@x.io"),
    ROW("\"<x@y>\" <j@x.io>", NONE, "<x@y>", "j@x.io"),
    ROW("evil@x.io <j@x.io>", NONE, "evil@x.io", "j@x.io"),
    ROW("ACME: Alerts [1] <j@x.io>", NONE, "ACME: Alerts [1]", "j@x.io"),
    ROW("=?utf-8?Q?J?= <j@x.io>", NONE, "=?utf-8?Q?J?=", "j@x.io"),
    ROW("\xe5\xbc\xa0\xe4\xbc\x9f <w@x.io>", NONE, "\xe5\xbc\xa0\xe4\xbc\x9f",
        "w@x.io"),
    ROW("Jane.Doe+tag!#$%&'*/=?^_`{|}~@Example.COM", NONE, "",
        "Jane.Doe+tag!#$%&'*/=?^_`{|}~@example.com"),
    ROW("\"jane\"@x.io", NONE, "", "jane@x.io"),
    ROW("a@localhost", NONE, "", "a@localhost"),
    ROW("a@stra\xc3\x9f"
        "e.de",
        NONE, "", "a@xn--strae-oqa.de"),
    ROW("a@B\xc3\x9c"
        "CHER.example",
        NONE, "", "a@xn--bcher-kva.example"),
    ROW("a@\xe4\xbe\x8b\xe5\xad\x90\xe3\x80\x82\xe4\xb8\xad\xe5\x9b\xbd", NONE,
        "", "a@xn--fsqu00a.xn--fiqs8s"),
    ROW("a@XN--BCHER-KVA.example", NONE, "", "a@xn--bcher-kva.example"),
    ROW("j\xc3\xb6rg@b\xc3\xbc"
        "cher.example",
        NONE, "",
        "j\xc3\xb6rg@b\xc3\xbc"
        "cher.example"),
    ROW("j\xc3\xb6rg@xn--bcher-kva.example", NONE, "",
        "j\xc3\xb6rg@b\xc3\xbc"
        "cher.example"),

    ROW("", EMPTY, "", ""),
    ROW("   ", EMPTY, "", ""),
    ROW("jane", ADDRESS_NO_AT, "", ""),
    ROW("Jane <>", ADDRESS_NO_AT, "", ""),
    ROW("jane\xef\xbc\xa0x.io", ADDRESS_WIDE_AT, "", ""),
    ROW("a\xef\xbc\xa0"
        "b@x.io",
        ADDRESS_WIDE_AT, "", ""),
    ROW("a@b@x.io", ADDRESS_TWO_AT, "", ""),
    ROW("a@x.io\r\nBcc: b@x.io", CONTROL, "", ""),
    ROW("J\nX <a@x.io>", CONTROL, "", ""),
    ROW("a@x.io\0", CONTROL, "", ""),
    ROW("a\t@x.io", CONTROL, "", ""),
    ROW("a\xff@x.io", NOT_UTF8, "", ""),
    ROW("\xed\xa0\xbd <a@x.io>", NOT_UTF8, "", ""),
    ROW("a@x.io, b@x.io", ADDRESS_SEVERAL, "", ""),
    ROW("a@x.io;b@x.io", ADDRESS_SEVERAL, "", ""),
    ROW("A <a@x.io>, B <b@x.io>", ADDRESS_SEVERAL, "", ""),
    ROW("<a@x.io>, <b@x.io>", ADDRESS_SEVERAL, "", ""),
    ROW("a@x.io, B <b@x.io>", ADDRESS_SEVERAL, "", ""),
    ROW("<a@x.io> ORCPT=rfc822;b@x.io", ADDRESS_SEVERAL, "", ""),
    ROW("<a@x.io> NOTIFY=NEVER", ADDRESS_BRACKETS, "", ""),
    ROW("<<a@x.io>>", ADDRESS_BRACKETS, "", ""),
    ROW("A <b <a@x.io>", ADDRESS_BRACKETS, "", ""),
    ROW("A > <a@x.io>", ADDRESS_BRACKETS, "", ""),
    ROW("a@x.io>", ADDRESS_BRACKETS, "", ""),
    ROW("team: a@x.io, b@x.io;", ADDRESS_GROUP, "", ""),
    ROW("team:;", ADDRESS_GROUP, "", ""),
    ROW("@y.io,@z.io:a@x.io", ADDRESS_ROUTE, "", ""),
    ROW("<@y.io:a@x.io>", ADDRESS_ROUTE, "", ""),
    ROW("a@x.io(evil.io)", ADDRESS_COMMENT, "", ""),
    ROW("(c) a@x.io", ADDRESS_COMMENT, "", ""),
    ROW("Jane (work) <a@x.io>", ADDRESS_COMMENT, "", ""),
    ROW("\"Jane <a@x.io>", ADDRESS_QUOTE, "", ""),
    ROW("\"jane@x.io", ADDRESS_QUOTE, "", ""),
    ROW("Jane a@x.io", ADDRESS_BLANK, "", ""),
    ROW("< a@x.io >", ADDRESS_BLANK, "", ""),
    ROW("a@[127.0.0.1]", ADDRESS_LITERAL, "", ""),
    ROW("a@[IPv6:::1]", ADDRESS_LITERAL, "", ""),
    ROW("a@127.0.0.1", ADDRESS_LITERAL, "", ""),
    ROW("@x.io", LOCAL_EMPTY, "", ""),
    ROW(".a@x.io", LOCAL_DOTS, "", ""),
    ROW("a.@x.io", LOCAL_DOTS, "", ""),
    ROW("a..b@x.io", LOCAL_DOTS, "", ""),
    ROW("a\\b@x.io", LOCAL_CHARACTER, "", ""),
    ROW("a[b]@x.io", LOCAL_CHARACTER, "", ""),
    ROW("a\"b\"@x.io", LOCAL_CHARACTER, "", ""),
    ROW("\"a b\"@x.io", LOCAL_QUOTED, "", ""),
    ROW("\"a@evil.io x\"@x.io", LOCAL_QUOTED, "", ""),
    ROW("\"a\\b\"@x.io", LOCAL_QUOTED, "", ""),
    ROW("\"a\".b@x.io", LOCAL_QUOTED, "", ""),
    ROW("\"\"@x.io", LOCAL_QUOTED, "", ""),
    ROW("=?utf-8?q?a=40x.io=3e?=@x.io", LOCAL_ENCODED, "", ""),
    ROW("a\xe2\x80\x8b"
        "b@x.io",
        LOCAL_INVISIBLE, "", ""),
    ROW("a\xe2\x80\xae"
        "b@x.io",
        LOCAL_INVISIBLE, "", ""),
    ROW("a@", DOMAIN_EMPTY, "", ""),
    ROW("a@.io", DOMAIN_LABEL_EMPTY, "", ""),
    ROW("a@x.io.", DOMAIN_LABEL_EMPTY, "", ""),
    ROW("a@x..io", DOMAIN_LABEL_EMPTY, "", ""),
    ROW("a@-x.io", DOMAIN_CHARACTER, "", ""),
    ROW("a@x-.io", DOMAIN_CHARACTER, "", ""),
    ROW("a@x_y.io", DOMAIN_CHARACTER, "", ""),
    ROW("a@x/y.io", DOMAIN_CHARACTER, "", ""),
    ROW("a@xn--a.io", DOMAIN_IDN, "", ""),
    ROW("a@\xe2\x80\xae.io", DOMAIN_IDN, "", ""),
};

static void each_text_is_read_or_refused_for_its_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(MAILBOXES); i++) {
        struct arena *arena = arena_create();
        struct mailbox box = {.name = S("untouched")};
        enum flaw flaw = mailbox_parse(arena, MAILBOXES[i].text, &box);

        if (flaw != MAILBOXES[i].flaw)
            fail_msg("row %zu (%.*s): %s", i, STR_ARG(MAILBOXES[i].text),
                     flaw == FLAW_NONE ? "accepted" : flaw_code(flaw));
        if (flaw != FLAW_NONE) {
            assert_true(str_eq(box.name, S("untouched")));
        } else if (!str_eq(box.name, str_of(MAILBOXES[i].name)) ||
                   !str_eq(box.address, str_of(MAILBOXES[i].address))) {
            fail_msg("row %zu: [%.*s] [%.*s]", i, STR_ARG(box.name),
                     STR_ARG(box.address));
        }
        arena_destroy(&arena);
    }
}

static void a_box_knows_its_pieces(void **state)
{
    struct arena *arena = arena_create();
    struct mailbox box;

    (void)state;
    assert_int_equal(mailbox_parse(arena,
                                   S("\xe9\x99\xb3 <Chen+A@B\xc3\xbc"
                                     "cher.Example>"),
                                   &box),
                     FLAW_NONE);
    assert_true(str_eq(box.local, S("Chen+A")));
    assert_true(str_eq(box.domain, S("xn--bcher-kva.example")));
    assert_true(str_eq(box.key, S("chen+a@xn--bcher-kva.example")));
    assert_false(box.needs_utf8);

    assert_int_equal(mailbox_parse(arena,
                                   S("\xe9\x99\xb3@b\xc3\xbc"
                                     "cher.example"),
                                   &box),
                     FLAW_NONE);
    assert_true(box.needs_utf8);
    assert_true(str_eq(box.domain, S("xn--bcher-kva.example")));
    assert_true(str_eq(box.key, S("\xe9\x99\xb3@xn--bcher-kva.example")));
    arena_destroy(&arena);
}

static struct str repeat(struct arena *arena, char c, size_t count,
                         const char *tail)
{
    char *text = arena_alloc(arena, count + strlen(tail));

    memset(text, c, count);
    memcpy(text + count, tail, strlen(tail));
    return str_make(text, count + strlen(tail));
}

static void lengths_are_bounded_to_the_byte(void **state)
{
    struct arena *arena = arena_create();
    struct mailbox box;

    (void)state;
    assert_int_equal(
        mailbox_parse(arena, repeat(arena, 'a', 64, "@x.io"), &box), FLAW_NONE);
    assert_int_equal(
        mailbox_parse(arena, repeat(arena, 'a', 65, "@x.io"), &box),
        FLAW_LOCAL_TOO_LONG);
    assert_int_equal(
        mailbox_parse(arena, repeat(arena, 'n', 320, " <a@x.io>"), &box),
        FLAW_NONE);
    assert_int_equal(
        mailbox_parse(arena, repeat(arena, 'n', 321, " <a@x.io>"), &box),
        FLAW_NAME_TOO_LONG);
    assert_int_equal(
        mailbox_parse(arena, repeat(arena, ' ', 5000, "a@x.io"), &box),
        FLAW_NONE);
    assert_int_equal(
        mailbox_parse(arena, repeat(arena, 'a', 5000, "@x.io"), &box),
        FLAW_TOO_LONG);
    arena_destroy(&arena);
}

static void labels_and_domains_are_bounded_too(void **state)
{
    struct arena *arena = arena_create();
    struct str label = repeat(arena, 'l', 63, "");
    struct str domain = arena_printf(
        arena, "%.*s.%.*s.%.*s.%.*s", STR_ARG(label), STR_ARG(label),
        STR_ARG(label), STR_ARG(str_slice(label, 0, 61)));
    struct mailbox box;
    struct str parsed;

    (void)state;
    assert_int_equal(domain.len, 253);
    assert_int_equal(domain_parse(arena, domain, &parsed), FLAW_NONE);
    assert_int_equal(domain_parse(arena,
                                  arena_printf(arena, "x%.*s", STR_ARG(domain)),
                                  &parsed),
                     FLAW_DOMAIN_TOO_LONG);
    assert_int_equal(
        domain_parse(arena, repeat(arena, 'l', 64, ".io"), &parsed),
        FLAW_DOMAIN_TOO_LONG);
    assert_int_equal(
        mailbox_parse(arena, arena_printf(arena, "a@%.*s", STR_ARG(domain)),
                      &box),
        FLAW_ADDRESS_TOO_LONG);
    arena_destroy(&arena);
}

/* A wall clock would make this a timed test; what it guards against is a
 * parser whose time grows with the square: that one would run for minutes. */
static void a_million_characters_are_no_work(void **state)
{
    static const char *const tails[] = {"@x.io", " <a@x.io>", "\" <a@x.io>",
                                        ">", "(a@x.io)"};
    static const char fillers[] = "a,\"\\<(@ .;:";
    struct mailbox box;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(tails); i++) {
        for (size_t j = 0; fillers[j] != '\0'; j++) {
            struct arena *arena = arena_create();
            struct str text = repeat(arena, fillers[j], 1000000, tails[i]);
            enum flaw flaw = mailbox_parse(arena, text, &box);

            assert_true(flaw != FLAW_NONE || fillers[j] == ' ');
            arena_destroy(&arena);
        }
    }
}

static void every_flaw_has_a_text_and_a_code(void **state)
{
    (void)state;
    assert_null(flaw_text(FLAW_NONE));
    assert_null(flaw_code(FLAW_NONE));
    for (enum flaw flaw = FLAW_NONE + 1; flaw < FLAW_COUNT; flaw++) {
        assert_true(strlen(flaw_text(flaw)) > 0);
        assert_true(strlen(flaw_code(flaw)) > 0);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_text_is_read_or_refused_for_its_reason),
        cmocka_unit_test(a_box_knows_its_pieces),
        cmocka_unit_test(lengths_are_bounded_to_the_byte),
        cmocka_unit_test(labels_and_domains_are_bounded_too),
        cmocka_unit_test(a_million_characters_are_no_work),
        cmocka_unit_test(every_flaw_has_a_text_and_a_code),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
