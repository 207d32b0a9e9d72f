#include "smtp/message/octets.h"

#include "smtp/message/encode.h"

#include "check_cmocka.h"

enum { FILE_MAX = 1000, OUT_MAX = 1 << 16 };

static const size_t SIZES[] = {1, 56, 57, 58, 114, 115, 171, FILE_MAX};

static char bytes[FILE_MAX];

/* Reads it as who sends it does: pieces of at most max octets, or a line. */
static void read_all(const struct octets *octets, size_t max, struct buf *out)
{
    size_t len = octets_len(octets);

    for (size_t at = 0; at < len;) {
        struct octets_run run = octets_run_at(octets, at);
        struct str rest = str_slice(run.bytes, at - run.from, max);
        size_t before = out->len;
        size_t added = rest.len;

        assert_in_range(at, run.from, run.from + run.len - 1);
        if (run.is_file)
            added = octets_add_lines(&run, at - run.from, max, out);
        else
            buf_add(out, rest);
        assert_int_equal(out->len - before, added);
        assert_in_range(added, 1,
                        max > BASE64_LINE_OCTETS ? max : BASE64_LINE_OCTETS);
        at += added;
    }
    assert_int_equal(out->len, len);
}

static void pieces_of_any_size_make_the_whole(void **state)
{
    struct buf want;
    struct buf got;

    (void)state;
    buf_init(&want, OUT_MAX);
    buf_init(&got, OUT_MAX);
    for (size_t i = 0; i < COUNT_OF(SIZES); i++) {
        const struct octets_file files[] = {
            {.at = 3, .bytes = {bytes, SIZES[i]}},
            {.at = 3, .bytes = {bytes + 1, 1}},
            {.at = 8, .bytes = {bytes, SIZES[COUNT_OF(SIZES) - 1 - i]}},
        };
        const struct octets octets = {S("abcdefgh\r\n"), files,
                                      COUNT_OF(files)};

        buf_clear(&want);
        buf_add(&want, S("abc"));
        base64_lines_add(&want, files[0].bytes);
        base64_lines_add(&want, files[1].bytes);
        buf_add(&want, S("defgh"));
        base64_lines_add(&want, files[2].bytes);
        buf_add(&want, S("\r\n"));
        for (size_t max = 1; max < 400; max++) {
            buf_clear(&got);
            read_all(&octets, max, &got);
            assert_true(str_eq(buf_str(&got), buf_str(&want)));
        }
    }
    buf_finish(&want);
    buf_finish(&got);
}

static void only_the_frame_ends_a_line(void **state)
{
    struct octets_file file = {.at = 3, .bytes = {bytes, 57}};
    struct octets octets = {S("a\r\n"), &file, 0};

    (void)state;
    assert_true(octets_end_line(&octets));
    octets.file_count = 1;
    assert_false(octets_end_line(&octets));
    file.at = 1;
    assert_true(octets_end_line(&octets));
    file.at = 2;
    assert_false(octets_end_line(&octets));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_any_size_make_the_whole),
        cmocka_unit_test(only_the_frame_ends_a_line),
    };

    for (size_t i = 0; i < FILE_MAX; i++)
        bytes[i] = (char)(i * 7);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
