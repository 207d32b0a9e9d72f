#include "queue/cursor.h"

#include "check_cmocka.h"

static struct str write_cursor(const char *owner, const char *place,
                               struct buf *out)
{
    buf_init(out, 256);
    cursor_write(str_of(owner), str_of(place), out);
    return buf_str(out);
}

static bool reads_as(const char *owner, struct str cursor, const char *place)
{
    struct buf out;
    bool good;

    buf_init(&out, CURSOR_PLACE_MAX);
    good = cursor_read(str_of(owner), cursor, &out) &&
           str_eq(buf_str(&out), str_of(place));
    buf_finish(&out);
    return good;
}

static void a_place_comes_back(void **state)
{
    static const char *const PLACES[] = {
        "0-0", "1795521600000-0", "1795521600000-4711",
        "18446744073709551615-18446744073709551615"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(PLACES); i++) {
        struct buf out;
        struct str cursor = write_cursor("default", PLACES[i], &out);

        assert_int_equal(cursor.len, CURSOR_LEN);
        assert_true(reads_as("default", cursor, PLACES[i]));
        buf_finish(&out);
    }
}

static void anothers_is_refused(void **state)
{
    struct buf out;
    struct str cursor = write_cursor("default", "1795521600000-0", &out);

    (void)state;
    assert_false(reads_as("default2", cursor, "1795521600000-0"));
    assert_false(reads_as("", cursor, "1795521600000-0"));
    buf_finish(&out);
}

static void every_changed_letter_is_seen(void **state)
{
    struct buf out;
    struct str cursor = write_cursor("default", "1795521600000-0", &out);
    struct buf read;

    (void)state;
    for (size_t i = 0; i < cursor.len; i++) {
        char kept = out.data[i];

        out.data[i] = kept == 'A' ? 'B' : 'A';
        buf_init(&read, CURSOR_PLACE_MAX);
        assert_false(cursor_read(S("default"), cursor, &read));
        assert_int_equal(read.len, 0);
        buf_finish(&read);
        out.data[i] = kept;
    }
    assert_false(reads_as("default", str_from(cursor, 1), "1795521600000-0"));
    assert_false(reads_as("default", S(""), "0-0"));
    assert_false(reads_as("default", S("1795521600000-0"), "1795521600000-0"));
    buf_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_place_comes_back),
        cmocka_unit_test(anothers_is_refused),
        cmocka_unit_test(every_changed_letter_is_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
