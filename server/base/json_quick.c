#include "server/base/json_quick.h"

#include "server/base/codec.h"

#include <jansson.h>

enum { DIGITS_MAX = 18 }; /* of an integer that fits int64_t */

struct reader {
    struct str rest;
    struct buf text; /* of a string with escapes */
};

static json_t *read_value(struct reader *reader);

/* ---- tokens --------------------------------------------------------------
 */

static void skip(struct reader *reader, size_t count)
{
    reader->rest = str_from(reader->rest, count);
}

/* The first byte of the next token; NUL at the end. */
static char peek(struct reader *reader)
{
    size_t at = 0;
    struct str rest = reader->rest;

    while (at < rest.len && (rest.ptr[at] == ' ' || rest.ptr[at] == '\n' ||
                             rest.ptr[at] == '\r' || rest.ptr[at] == '\t'))
        at++;
    skip(reader, at);
    return at < rest.len ? rest.ptr[at] : '\0';
}

static bool take(struct reader *reader, char c)
{
    if (peek(reader) != c || reader->rest.len == 0)
        return false;
    skip(reader, 1);
    return true;
}

/* Bytes before the next one that is a quote, a backslash or a control. */
static size_t plain_run(struct str text)
{
    size_t at = 0;

    while (at < text.len && (unsigned char)text.ptr[at] >= 0x20 &&
           text.ptr[at] != '"' && text.ptr[at] != '\\')
        at++;
    return at;
}

/* A string without escapes, as it stands in the text. */
static bool read_name(struct reader *reader, struct str *name)
{
    if (!take(reader, '"'))
        return false;
    *name = str_slice(reader->rest, 0, plain_run(reader->rest));
    skip(reader, name->len);
    if (!str_starts(reader->rest, S("\"")))
        return false;
    skip(reader, 1);
    return true;
}

/* NUL: not one of a single letter. */
static char escaped_by(char letter)
{
    switch (letter) {
    case '"':
    case '\\':
    case '/':
        return letter;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return '\0';
    }
}

/* ---- values --------------------------------------------------------------
 */

static json_t *read_string(struct reader *reader)
{
    struct buf *text = &reader->text;

    buf_clear(text);
    skip(reader, 1);
    for (;;) {
        size_t run = plain_run(reader->rest);
        struct str piece = str_slice(reader->rest, 0, run);
        char escaped;

        skip(reader, run);
        if (reader->rest.len < 2 && !str_eq(reader->rest, S("\"")))
            return NULL;
        if (reader->rest.ptr[0] == '"') {
            skip(reader, 1);
            if (text->len == 0) /* the usual one */
                return json_stringn_nocheck(piece.ptr, piece.len);
            buf_add(text, piece);
            return json_stringn_nocheck(text->data, text->len);
        }
        escaped = escaped_by(reader->rest.ptr[1]);
        if (reader->rest.ptr[0] != '\\' || escaped == '\0')
            return NULL;
        buf_add(text, piece);
        buf_add_char(text, escaped);
        skip(reader, 2);
    }
}

/* What may follow an integer is looked at by whoever wants the next token: a
 * fraction or an exponent is none. */
static json_t *read_integer(struct reader *reader)
{
    bool negative = reader->rest.ptr[0] == '-';
    struct str digits = str_from(reader->rest, negative);
    size_t len = 0;
    uint64_t value;

    while (len < digits.len && ascii_is_digit(digits.ptr[len]))
        len++;
    if (len == 0 || len > DIGITS_MAX || (len > 1 && digits.ptr[0] == '0') ||
        !str_to_u64(str_slice(digits, 0, len), &value))
        return NULL;
    skip(reader, negative + len);
    return json_integer(negative ? -(json_int_t)value : (json_int_t)value);
}

static json_t *read_word(struct reader *reader, struct str word, json_t *value)
{
    if (!str_starts(reader->rest, word))
        return NULL;
    skip(reader, word.len);
    return value; /* the library's one of its kind: it is not counted */
}

static bool read_items(struct reader *reader, json_t *list)
{
    json_t *item;

    skip(reader, 1);
    if (take(reader, ']'))
        return true;
    do {
        item = read_value(reader);
        if (item == NULL || json_array_append_new(list, item) != 0)
            return false;
    } while (take(reader, ','));
    return take(reader, ']');
}

static bool read_members(struct reader *reader, json_t *map)
{
    struct str name;
    json_t *value;

    skip(reader, 1);
    if (take(reader, '}'))
        return true;
    do {
        if (!read_name(reader, &name) || !take(reader, ':') ||
            json_object_getn(map, name.ptr, name.len) != NULL)
            return false;
        value = read_value(reader);
        if (value == NULL ||
            json_object_setn_new_nocheck(map, name.ptr, name.len, value) != 0)
            return false;
    } while (take(reader, ','));
    return take(reader, '}');
}

static json_t *read_all(struct reader *reader, json_t *value,
                        bool (*read)(struct reader *reader, json_t *value))
{
    if (!read(reader, value)) {
        json_decref(value);
        return NULL;
    }
    return value;
}

static json_t *read_value(struct reader *reader)
{
    switch (peek(reader)) {
    case '"':
        return read_string(reader);
    case '{':
        return read_all(reader, json_object(), read_members);
    case '[':
        return read_all(reader, json_array(), read_items);
    case 't':
        return read_word(reader, S("true"), json_true());
    case 'f':
        return read_word(reader, S("false"), json_false());
    case 'n':
        return read_word(reader, S("null"), json_null());
    case '\0':
        return NULL;
    default:
        return read_integer(reader);
    }
}

struct json *json_quick(struct str text)
{
    struct reader reader = {.rest = text};
    json_t *root;

    if (!utf8_is_valid(text))
        return NULL;
    buf_init(&reader.text, text.len);
    root = read_value(&reader);
    (void)peek(&reader);
    if (root != NULL && reader.rest.len > 0) {
        json_decref(root);
        root = NULL;
    }
    buf_finish(&reader.text);
    return (struct json *)root;
}
