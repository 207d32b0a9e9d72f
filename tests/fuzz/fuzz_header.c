/* Header fields: what the checks accept is written in lines of proper length,
 * in ASCII, without a way out of the field, and decodes to what went in.
 *
 * Input: a name, a line feed, a value. */
#include "server/base/codec.h"
#include "smtp/message/message.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lines(struct str field, bool is_text)
{
    struct str rest = field;
    struct str line;
    size_t count = 0;

    CHECK(utf8_is_ascii(field) && str_ends(field, S("\r\n")));
    rest.len -= 2;
    for (; str_cut(&rest, '\n', &line); count++) {
        CHECK(rest.ptr == NULL || str_ends(line, S("\r")));
        if (rest.ptr != NULL)
            line.len--;
        CHECK(line.len <= HEADER_LINE_MAX && !str_has_control(line));
        CHECK(count == 0 || str_starts(line, S(" ")));
        CHECK(str_trim(line).len > 0);
        if (is_text && str_contains(line, S("=?UTF-8?")))
            CHECK(line.len <= 76);
    }
}

static bool take_encoded(struct str *rest, struct str *inner, bool *is_q)
{
    ptrdiff_t end;

    if (!str_starts(*rest, S("=?UTF-8?Q?")) &&
        !str_starts(*rest, S("=?UTF-8?B?")))
        return false;
    *is_q = rest->ptr[8] == 'Q';
    end = str_find(*rest, S("?="), 10);
    CHECK(end >= 0 && end + 2 <= 75);
    *inner = str_slice(*rest, 10, (size_t)end - 10);
    *rest = str_from(*rest, (size_t)end + 2);
    return true;
}

static void decode_q(struct str inner, struct buf *out)
{
    for (size_t i = 0; i < inner.len; i++) {
        if (inner.ptr[i] == '_') {
            buf_add_char(out, ' ');
        } else if (inner.ptr[i] == '=') {
            CHECK(codec_hex_decode(str_slice(inner, i + 1, 2), out));
            i += 2;
        } else {
            buf_add_char(out, inner.ptr[i]);
        }
    }
}

/* A small reader of RFC 2047, written apart from the writer. */
static void decode(struct str value, struct buf *out)
{
    bool after_encoded = false;

    while (value.len > 0) {
        struct str text = str_trim(value);
        struct str inner;
        bool is_q;

        if (take_encoded(&text, &inner, &is_q)) {
            size_t start;

            if (!after_encoded && out->len > 0)
                buf_add_char(out, ' ');
            start = out->len;
            if (is_q)
                decode_q(inner, out);
            else
                CHECK(codec_base64_decode(inner, out));
            CHECK(utf8_is_valid(str_from(buf_str(out), start)));
            after_encoded = true;
            value = text;
            continue;
        }
        if (out->len > 0)
            buf_add_char(out, ' ');
        text.len = str_index(text, ' ', 0) < 0
                       ? text.len
                       : (size_t)str_index(text, ' ', 0);
        buf_add(out, text);
        value = str_from(value, (size_t)(text.ptr - value.ptr) + text.len);
        after_encoded = false;
    }
}

static struct str unfold(struct arena *arena, struct str field, size_t name_len)
{
    struct buf out;
    struct str copy;

    buf_init(&out, field.len);
    for (size_t i = name_len + 1; i < field.len; i++)
        if (field.ptr[i] != '\r' && field.ptr[i] != '\n')
            buf_add_char(&out, field.ptr[i]);
    copy = arena_copy(arena, buf_str(&out));
    buf_finish(&out);
    return str_trim(copy);
}

static void check_decoded(struct arena *arena, const struct header *header,
                          struct str field)
{
    struct buf out;

    buf_init(&out, field.len);
    decode(unfold(arena, field, header->name.len), &out);
    CHECK(str_eq(buf_str(&out), header->value));
    buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create();
    struct str rest = str_make(data, size);
    struct header header = {S(""), S("")};
    struct buf out;

    if (size > 0)
        str_cut(&rest, '\n', &header.name);
    header.value = rest;
    buf_init(&out, 1 << 16);
    if (header_name_check(&header, 0) == FLAW_NONE &&
        header_value_check(&header) == FLAW_NONE) {
        header_add(&out, &header);
        check_lines(buf_str(&out), false);
        buf_clear(&out);
        header_add_text(&out, "Subject", header.value);
        check_lines(buf_str(&out), true);
        header.name = S("Subject");
        check_decoded(arena, &header, buf_str(&out));
    }
    buf_finish(&out);
    arena_destroy(&arena);
    return 0;
}
