/* Transfer encodings of a text: what is written decodes to what went in, is
 * clean for any relay, and is the smallest form. */
#include "server/base/codec.h"
#include "smtp/message/encode.h"

#include <stdint.h>

enum { LINE_MAX_CODED = 76 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_clean(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '\t' && (text.ptr[i] < ' ' || text.ptr[i] > '~'))
            return false;
    return true;
}

/* A line of quoted-printable (RFC 2045 section 6.7), its soft break gone. */
static void decode_line(struct str line, struct buf *out)
{
    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] != '=') {
            buf_add_char(out, line.ptr[i]);
            continue;
        }
        CHECK(i + 2 < line.len);
        CHECK(codec_hex_decode(str_slice(line, i + 1, 2), out));
        i += 2;
    }
}

static void check_line(struct str line)
{
    CHECK(line.len <= LINE_MAX_CODED && is_clean(line));
    CHECK(!str_ends(line, S(" ")) && !str_ends(line, S("\t")));
    CHECK(!str_starts(line, S(".")) && !str_starts(line, S("From ")));
}

static void check_quoted(struct str encoded, struct str text)
{
    bool is_utf8 = utf8_is_valid(text);
    struct str line = S("");
    struct buf out;

    buf_init(&out, encoded.len);
    while (str_cut(&encoded, '\n', &line)) {
        bool is_last = encoded.ptr == NULL;
        size_t start = out.len;

        CHECK(is_last || str_ends(line, S("\r")));
        line.len -= is_last ? 0 : 1;
        check_line(line);
        if (str_ends(line, S("="))) {
            CHECK(!is_last);
            decode_line(str_slice(line, 0, line.len - 1), &out);
        } else {
            decode_line(line, &out);
            buf_add(&out, is_last ? S("") : S("\r\n"));
        }
        CHECK(!is_utf8 || utf8_is_valid(str_from(buf_str(&out), start)));
    }
    CHECK(str_eq(buf_str(&out), text));
    buf_finish(&out);
}

static void check_base64(struct str encoded, struct str text)
{
    struct str line = S("");
    struct buf out;

    buf_init(&out, encoded.len);
    while (str_cut(&encoded, '\n', &line)) {
        line.len -= encoded.ptr == NULL ? 0 : 1;
        CHECK(line.len <= LINE_MAX_CODED);
        CHECK(codec_base64_decode(line, &out));
    }
    CHECK(str_eq(buf_str(&out), text));
    buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create();
    struct str text = canonical_copy(arena, str_make(data, size));
    struct buf quoted;
    struct buf out;

    buf_init(&quoted, 4 * text.len + 32);
    buf_init(&out, 4 * text.len + 32);
    CHECK(qp_add(&quoted, text, 4 * text.len));
    check_quoted(buf_str(&quoted), text);
    switch (encode_text(&out, text)) {
    case ENCODING_7BIT:
        CHECK(str_eq(buf_str(&out), text));
        break;
    case ENCODING_QP:
        CHECK(str_eq(buf_str(&out), buf_str(&quoted)));
        CHECK(out.len <= base64_lines_len(text.len));
        break;
    case ENCODING_BASE64:
        check_base64(buf_str(&out), text);
        CHECK(out.len < quoted.len);
        break;
    }
    buf_finish(&quoted);
    buf_finish(&out);
    arena_destroy(&arena);
    return 0;
}
