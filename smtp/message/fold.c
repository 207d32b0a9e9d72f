#include "smtp/message/fold.h"

#include "server/base/codec.h"
#include "smtp/message/text.h"

#include <string.h>

enum {
    LINE_SOFT = 78,
    LINE_ENCODED = 76, /* RFC 2047 section 2, for the whole line */
    LINE_HARD = 998,
    WORD_MAX = 75,   /* an encoded word */
    WORD_FRAME = 12, /* =?UTF-8?B?...?= */
    /* Below that a word is hardly worth its frame: take a new line. */
    WORD_ROOM_MIN = 24,
};

void fold_begin(struct fold *fold, struct buf *out, struct str name)
{
    *fold = (struct fold){.out = out, .is_first = true};
    CHECK(is_field_name(name));
    buf_add(out, name);
    buf_add_char(out, ':');
    fold->column = name.len + 1;
}

static void line_break(struct fold *fold)
{
    CHECK(fold->column <= LINE_HARD);
    buf_add(fold->out, S("\r\n "));
    fold->column = 1;
    fold->has_encoded = false;
}

static void blank(struct fold *fold)
{
    buf_add_char(fold->out, ' ');
    fold->column++;
}

static void put(struct fold *fold, struct str bytes)
{
    CHECK(!str_has_control(bytes));
    buf_add(fold->out, bytes);
    fold->column += bytes.len;
}

void fold_word(struct fold *fold, struct str word)
{
    /* One column is left for a comma or semicolon to come. */
    size_t limit = (fold->has_encoded ? LINE_ENCODED : LINE_SOFT) - 1;

    if (!fold->is_first && fold->column + 1 + word.len > limit)
        line_break(fold);
    else
        blank(fold);
    put(fold, word);
    fold->is_first = false;
}

void fold_glue(struct fold *fold, char c)
{
    put(fold, str_make(&c, 1));
}

void fold_end(struct fold *fold)
{
    CHECK(fold->column <= LINE_HARD);
    buf_add(fold->out, S("\r\n"));
}

/* Encoded words */

static bool is_bare_in_q(unsigned char c, enum fold_context context)
{
    if (ascii_is_alnum((char)c))
        return true;
    if (context == FOLD_PHRASE)
        return c != '\0' && strchr("!*+-/", c) != NULL;
    return c > ' ' && c < 0x7f && c != '=' && c != '?' && c != '_';
}

static size_t q_len(struct str text, enum fold_context context)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        len += c == ' ' || is_bare_in_q(c, context) ? 1 : 3;
    }
    return len;
}

static size_t b_len(size_t bytes)
{
    return (bytes + 2) / 3 * 4;
}

static void q_add(struct fold *fold, struct str text, enum fold_context context)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c == ' ')
            buf_add_char(fold->out, '_');
        else if (is_bare_in_q(c, context))
            buf_add_char(fold->out, (char)c);
        else
            buf_addf(fold->out, "=%02X", c);
    }
}

struct encoder {
    enum fold_context context;
    bool is_q;
};

static size_t encoded_len(const struct encoder *encoder, struct str text)
{
    return encoder->is_q ? q_len(text, encoder->context) : b_len(text.len);
}

/* Code points that belong to the one before them on the screen. */
static bool is_extender(uint32_t code)
{
    return (code >= 0x0300 && code <= 0x036f) || code == 0x200d ||
           (code >= 0x20d0 && code <= 0x20ff) ||
           (code >= 0xfe00 && code <= 0xfe0f) ||
           (code >= 0x1f3fb && code <= 0x1f3ff) ||
           (code >= 0xe0020 && code <= 0xe007f);
}

static bool is_regional(uint32_t code)
{
    return code >= 0x1f1e6 && code <= 0x1f1ff;
}

/* Takes one code point; of text that is not UTF-8 one byte. */
static uint32_t next_code(struct str *rest)
{
    uint32_t code = 0;

    if (!utf8_next(rest, &code))
        *rest = str_from(*rest, 1);
    return code;
}

/* The bytes of what stands at the front and should not be torn: a character
 * with its marks, a joined emoji, a flag. At most room characters encoded;
 * when it is longer, what fits of it, yet one code point at least. */
static size_t cluster_len(const struct encoder *encoder, struct str text,
                          size_t room)
{
    struct str rest = text;
    uint32_t code = next_code(&rest);
    bool joined = false;
    bool half_flag = is_regional(code);

    while (rest.len > 0) {
        struct str before = rest;

        code = next_code(&rest);
        if (!joined && !is_extender(code) && !(half_flag && is_regional(code)))
            return text.len - before.len;
        if (encoded_len(encoder, str_slice(text, 0, text.len - rest.len)) >
            room)
            return text.len - before.len;
        joined = code == 0x200d;
        half_flag = false;
    }
    return text.len;
}

/* The bytes at the front that make an encoded word of at most room
 * characters between its question marks. What is longer than whole_max is
 * torn. */
static size_t word_len(const struct encoder *encoder, struct str text,
                       size_t room, size_t whole_max)
{
    size_t len = 0;

    while (len < text.len) {
        size_t more = cluster_len(encoder, str_from(text, len), whole_max);

        if (encoded_len(encoder, str_slice(text, 0, len + more)) > room)
            break;
        len += more;
    }
    return len;
}

static void word_add(struct fold *fold, const struct encoder *encoder,
                     struct str text)
{
    buf_add_cstr(fold->out, encoder->is_q ? "=?UTF-8?Q?" : "=?UTF-8?B?");
    if (encoder->is_q)
        q_add(fold, text, encoder->context);
    else
        codec_base64_add(fold->out, text);
    buf_add_cstr(fold->out, "?=");
    fold->column += WORD_FRAME + encoded_len(encoder, text);
    fold->has_encoded = true;
}

/* What an encoded word may hold on the rest of this line, behind a blank. */
static size_t word_room(const struct fold *fold)
{
    size_t used = fold->column + 1 + WORD_FRAME;
    size_t room = used < LINE_ENCODED ? LINE_ENCODED - used : 0;

    return room > WORD_MAX - WORD_FRAME ? WORD_MAX - WORD_FRAME : room;
}

void fold_encoded(struct fold *fold, struct str text, enum fold_context context)
{
    struct encoder encoder = {context, q_len(text, context) < b_len(text.len)};

    CHECK(!str_has_control(text));
    while (text.len > 0) {
        size_t room_max = WORD_MAX - WORD_FRAME;
        size_t room = word_room(fold);
        size_t len = 0;

        /* Python 3.11 takes a line break right behind the colon for a blank
         * of the value, so rather tear than break there. */
        if (room >= WORD_ROOM_MIN)
            len = word_len(&encoder, text, room,
                           fold->is_first ? room : room_max);
        if (len > 0) {
            blank(fold);
        } else {
            line_break(fold);
            len = word_len(&encoder, text, room_max, room_max);
        }
        word_add(fold, &encoder, str_slice(text, 0, len));
        fold->is_first = false;
        text = str_from(text, len);
    }
}
