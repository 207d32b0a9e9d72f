#include "server/base/str.h"

#include "check_cmocka.h"

static const struct str NOTHING = {NULL, 0};

static void equality_is_of_bytes(void **state)
{
    (void)state;
    assert_true(str_eq(S("a\0b"), S("a\0b")));
    assert_false(str_eq(S("a\0b"), S("a\0c")));
    assert_false(str_eq(S("ab"), S("abc")));
    assert_true(str_eq(NOTHING, S("")));
    assert_true(str_eq(str_of(NULL), NOTHING));
    assert_true(str_eq_nocase(S("Straße"), S("sTRAße")));
    assert_false(str_eq_nocase(S("\xc3\x84"), S("\xc3\xa4"))); /* ASCII only */
    assert_false(str_eq_nocase(S("@"), S("`"))); /* differ in bit 5 only */
    assert_false(str_eq_nocase(S("ab"), S("abc")));
}

static void order_is_that_of_bytes_then_length(void **state)
{
    (void)state;
    assert_true(str_compare(S("a"), S("b")) < 0);
    assert_true(str_compare(S("ab"), S("a")) > 0);
    assert_true(str_compare(S("\xff"), S("a")) > 0);
    assert_int_equal(str_compare(S("a"), S("a")), 0);
    assert_true(str_compare(NOTHING, S("a")) < 0);
    assert_int_equal(str_compare(NOTHING, S("")), 0);
}

static void beginnings_and_ends(void **state)
{
    (void)state;
    assert_true(str_starts(S("abc"), S("ab")));
    assert_true(str_starts(S("abc"), S("")));
    assert_true(str_starts(NOTHING, NOTHING));
    assert_false(str_starts(S("a"), S("ab")));
    assert_true(str_starts_nocase(S("X-Header"), S("x-")));
    assert_true(str_ends(S("abc"), S("bc")));
    assert_true(str_ends(S("abc"), S("")));
    assert_false(str_ends(S("c"), S("bc")));
}

static void search_gives_the_first_at_or_after(void **state)
{
    (void)state;
    assert_int_equal(str_index(S("abcabc"), 'b', 0), 1);
    assert_int_equal(str_index(S("abcabc"), 'b', 1), 1);
    assert_int_equal(str_index(S("abcabc"), 'b', 2), 4);
    assert_int_equal(str_index(S("abcabc"), 'b', 5), -1);
    assert_int_equal(str_index(S("abc"), 'b', 99), -1);
    assert_int_equal(str_index(NOTHING, 'b', 0), -1);
    assert_int_equal(str_find(S("abcabc"), S("ca"), 0), 2);
    assert_int_equal(str_find(S("abcabc"), S("bc"), 2), 4);
    assert_int_equal(str_find(S("abc"), S("abcd"), 0), -1);
    assert_int_equal(str_find(S("abc"), S(""), 3), 3);
    assert_int_equal(str_find(S("abc"), S(""), 4), -1);
    assert_int_equal(str_find(S("a\0b"), S("\0b"), 0), 1);
    assert_true(str_contains_nocase(S("Content-TYPE: x"), S("type")));
    assert_false(str_contains_nocase(S("ab"), S("abc")));
    assert_true(str_contains(NOTHING, S("")));
}

static void controls_are_found(void **state)
{
    (void)state;
    assert_false(str_has_control(S("a \xc3\xa9~")));
    assert_true(str_has_control(S("a\r")));
    assert_true(str_has_control(S("\0")));
    assert_true(str_has_control(S("\x7f")));
    assert_true(str_has_control(S("a\tb")));
}

static void slices_are_clamped(void **state)
{
    (void)state;
    assert_true(str_eq(str_from(S("abc"), 1), S("bc")));
    assert_true(str_eq(str_from(S("abc"), 3), S("")));
    assert_true(str_eq(str_from(S("abc"), 99), S("")));
    assert_true(str_eq(str_slice(S("abc"), 1, 1), S("b")));
    assert_true(str_eq(str_slice(S("abc"), 1, SIZE_MAX), S("bc")));
    assert_true(str_eq(str_slice(S("abc"), 9, 1), S("")));
    assert_true(str_eq(str_trim(S(" \ta b\t ")), S("a b")));
    assert_true(str_eq(str_trim(S(" \t ")), S("")));
    assert_true(str_eq(str_trim(S("\r\na")), S("\r\na"))); /* blanks, tabs */
}

static void cutting_gives_every_piece(void **state)
{
    static const char *const want[] = {"a", "", "b", ""};
    struct str rest = S("a,,b,");
    struct str piece;
    size_t count = 0;

    (void)state;
    while (str_cut(&rest, ',', &piece))
        assert_true(str_eq(piece, str_of(want[count++])));
    assert_int_equal(count, 4);
    rest = S("");
    assert_true(str_cut(&rest, ',', &piece));
    assert_int_equal(piece.len, 0);
    assert_false(str_cut(&rest, ',', &piece));
}

static void decimals_are_written(void **state)
{
    static const struct {
        int64_t number;
        struct str text;
    } FACTS[] = {
        {0, STR("0")},
        {7, STR("7")},
        {-10, STR("-10")},
        {1795521600123, STR("1795521600123")},
        {INT64_MAX, STR("9223372036854775807")},
        {INT64_MIN, STR("-9223372036854775808")},
    };
    char room[DECIMAL_SIZE];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(FACTS); i++)
        assert_true(str_eq(str_decimal(FACTS[i].number, room), FACTS[i].text));
}

static void numbers_are_exact(void **state)
{
    static const struct str bad[] = {
        STR(""),
        STR("-1"),
        STR("+1"),
        STR(" 1"),
        STR("1 "),
        STR("1a"),
        STR("0x1"),
        STR("1\0"),
        STR("18446744073709551616"),
        STR("99999999999999999999"),
    };
    uint64_t value = 7;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(str_to_u64(bad[i], &value));
    assert_int_equal(value, 7);
    assert_true(str_to_u64(S("0"), &value));
    assert_int_equal(value, 0);
    assert_true(str_to_u64(S("007"), &value));
    assert_int_equal(value, 7);
    assert_true(str_to_u64(S("18446744073709551615"), &value));
    assert_true(value == UINT64_MAX);
}

static void letters_and_digits_are_ascii(void **state)
{
    (void)state;
    for (int c = -128; c < 128; c++) {
        bool digit = c >= '0' && c <= '9';
        bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        assert_int_equal(ascii_is_digit((char)c), digit);
        assert_int_equal(ascii_is_alpha((char)c), alpha);
        assert_int_equal(ascii_is_alnum((char)c), digit || alpha);
    }
    assert_int_equal(ascii_lower('A'), 'a');
    assert_int_equal(ascii_lower('['), '[');
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(decimals_are_written),
        cmocka_unit_test(equality_is_of_bytes),
        cmocka_unit_test(order_is_that_of_bytes_then_length),
        cmocka_unit_test(beginnings_and_ends),
        cmocka_unit_test(search_gives_the_first_at_or_after),
        cmocka_unit_test(controls_are_found),
        cmocka_unit_test(slices_are_clamped),
        cmocka_unit_test(cutting_gives_every_piece),
        cmocka_unit_test(numbers_are_exact),
        cmocka_unit_test(letters_and_digits_are_ascii),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
