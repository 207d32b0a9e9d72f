#include "server/base/json.h"

#include "server/base/clock.h"
#include "server/base/json_quick.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- reading --- */

/* A struct json is a json_t by another name. The library's readers take
 * pointers that are not const, yet write nothing. */
static json_t *theirs(const struct json *value)
{
    return (json_t *)(uintptr_t)value;
}

static const struct json *ours(const json_t *value)
{
    return (const struct json *)value;
}

static void place_of(struct str text, size_t at, unsigned *line,
                     unsigned *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < at; i++) {
        if (text.ptr[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)text.ptr[i] & 0xc0) != 0x80) {
            ++*column;
        }
    }
}

static void refuse(struct error *err, struct str text, size_t at,
                   const char *why)
{
    unsigned line;
    unsigned column;

    place_of(text, at, &line, &column);
    error_set(err, ERR_INPUT, "line %u, column %u: %s", line, column, why);
}

/* Where the string that begins at at (behind its quote) ends: at its closing
 * quote, or at the end of the text. Mail is mostly long strings, so they are
 * crossed by memchr; every byte is looked at twice at most. */
static size_t string_end(struct str text, size_t at)
{
    ptrdiff_t quote = str_index(text, '"', at);

    while (quote >= 0) {
        ptrdiff_t escape =
            str_index(str_slice(text, 0, (size_t)quote), '\\', at);

        if (escape < 0)
            return (size_t)quote;
        at = (size_t)escape + 2;
        if (at > (size_t)quote)
            quote = str_index(text, '"', at);
    }
    return text.len;
}

/* What is refused before the library has it: it descends by recursion, 2,048
 * deep, and makes up to 230 bytes of two. Brackets need not match: it will see
 * to that. */
struct extent {
    unsigned depth;
    size_t values; /* the root, and one for each comma and each that opens */
};

/* NULL: c may come here. */
static const char *excess(struct extent *extent, char c)
{
    bool opens = c == '[' || c == '{';

    if (opens && ++extent->depth > JSON_DEPTH_MAX)
        return "nested too deep";
    if ((c == ']' || c == '}') && extent->depth > 0)
        extent->depth--;
    if ((opens || c == ',') && ++extent->values > JSON_VALUES_MAX)
        return "more than 262144 values";
    return NULL;
}

static bool is_bounded(struct str text, struct error *err)
{
    struct extent extent = {.values = 1};

    for (size_t i = 0; i < text.len; i++) {
        const char *why;

        if (text.ptr[i] == '"') {
            i = string_end(text, i + 1);
            continue;
        }
        why = excess(&extent, text.ptr[i]);
        if (why != NULL) {
            refuse(err, text, i, why);
            return false;
        }
    }
    return true;
}

/* The library's text without the piece of input that it quotes: that may be
 * a code or a password. A member's name is not, and helps. */
static void explain(struct error *err, const json_error_t *theirs_err)
{
    struct str text = str_of(theirs_err->text);
    ptrdiff_t near = str_find(text, S(" near "), 0);

    if (json_error_code(theirs_err) == json_error_null_character)
        text = S("\\u0000 is not allowed");
    else if (json_error_code(theirs_err) == json_error_invalid_utf8)
        text = S("not in UTF-8");
    else if (near >= 0 &&
             json_error_code(theirs_err) != json_error_duplicate_key)
        text = str_slice(text, 0, (size_t)near);
    error_set(err, ERR_INPUT, "line %d, column %d: %.*s", theirs_err->line,
              theirs_err->column, STR_ARG(text));
}

struct json *json_parse(struct str text, struct error *err)
{
    json_error_t theirs_err;
    struct json *quick;
    json_t *root;

    if (str_starts(text, S("\xef\xbb\xbf"))) {
        refuse(err, text, 0, "begins with a byte order mark");
        return NULL;
    }
    if (text.len == 0) {
        refuse(err, text, 0, "empty");
        return NULL;
    }
    if (!is_bounded(text, err))
        return NULL;
    quick = json_quick(text);
    if (quick != NULL)
        return quick;
    root = json_loadb(text.ptr, text.len,
                      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &theirs_err);
    if (root == NULL)
        explain(err, &theirs_err);
    return (struct json *)root;
}

void json_destroy(struct json **root)
{
    json_decref(theirs(*root));
    *root = NULL;
}

enum json_type json_type_of(const struct json *value)
{
    static const enum json_type types[] = {
        [JSON_OBJECT] = JSON_MAP,  [JSON_ARRAY] = JSON_LIST,
        [JSON_STRING] = JSON_TEXT, [JSON_INTEGER] = JSON_INT,
        [JSON_REAL] = JSON_NUMBER, [JSON_TRUE] = JSON_BOOL,
        [JSON_FALSE] = JSON_BOOL,  [JSON_NULL] = JSON_NULL_VALUE,
    };

    return value == NULL ? JSON_MISSING : types[json_typeof(theirs(value))];
}

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {
        [JSON_MISSING] = "nothing", [JSON_NULL_VALUE] = "null",
        [JSON_BOOL] = "boolean",    [JSON_INT] = "integer",
        [JSON_NUMBER] = "number",   [JSON_TEXT] = "string",
        [JSON_LIST] = "array",      [JSON_MAP] = "object",
    };

    return names[type];
}

const struct json *json_get(const struct json *map, const char *name)
{
    return ours(json_object_get(theirs(map), name));
}

size_t json_count(const struct json *value)
{
    if (json_type_of(value) == JSON_MAP)
        return json_object_size(theirs(value));
    return json_array_size(theirs(value));
}

const struct json *json_at(const struct json *list, size_t index)
{
    return ours(json_array_get(theirs(list), index));
}

bool json_next(const struct json *map, void **at, struct str *name,
               const struct json **value)
{
    json_t *object = theirs(map);

    *at = *at == NULL ? json_object_iter(object)
                      : json_object_iter_next(object, *at);
    if (*at == NULL)
        return false;
    *name = str_of(json_object_iter_key(*at));
    *value = ours(json_object_iter_value(*at));
    return true;
}

struct str json_str(const struct json *value)
{
    return str_make(json_string_value(theirs(value)),
                    json_string_length(theirs(value)));
}

int64_t json_int(const struct json *value)
{
    return json_integer_value(theirs(value));
}

bool json_bool(const struct json *value)
{
    return json_is_true(theirs(value));
}

struct str json_get_str(const struct json *map, const char *name)
{
    return json_str(json_get(map, name));
}

int64_t json_get_int(const struct json *map, const char *name)
{
    return json_int(json_get(map, name));
}

bool json_get_bool(const struct json *map, const char *name)
{
    return json_bool(json_get(map, name));
}

void json_dump(const struct json *value, struct buf *out)
{
    struct json_out writer;

    json_out_init(&writer, out);
    json_put_value(&writer, value);
}

/* --- writing --- */

void json_out_init(struct json_out *out, struct buf *buf)
{
    *out = (struct json_out){.buf = buf};
}

static uint64_t level(const struct json_out *out)
{
    return (uint64_t)1 << out->depth;
}

static void separate(struct json_out *out)
{
    if ((out->has_member & level(out)) != 0)
        buf_add_char(out->buf, ',');
    out->has_member |= level(out);
}

/* What stands before a value. In a map that is its name. */
static void begin_value(struct json_out *out)
{
    if ((out->nesting & level(out)) != 0) {
        CHECK(out->after_name);
        out->after_name = false;
    } else {
        CHECK(out->depth > 0 || out->has_member == 0); /* one root */
        separate(out);
    }
}

static void open_level(struct json_out *out, bool is_map)
{
    begin_value(out);
    buf_add_char(out->buf, is_map ? '{' : '[');
    CHECK(++out->depth < 64);
    out->has_member &= ~level(out);
    out->nesting &= ~level(out);
    if (is_map)
        out->nesting |= level(out);
}

static void close_level(struct json_out *out, bool is_map)
{
    CHECK(out->depth > 0 && !out->after_name);
    CHECK(((out->nesting & level(out)) != 0) == is_map);
    buf_add_char(out->buf, is_map ? '}' : ']');
    out->depth--;
}

void json_open_map(struct json_out *out)
{
    open_level(out, true);
}

void json_close_map(struct json_out *out)
{
    close_level(out, true);
}

void json_open_list(struct json_out *out)
{
    open_level(out, false);
}

void json_close_list(struct json_out *out)
{
    close_level(out, false);
}

#define ONES UINT64_C(0x0101010101010101)

/* How a byte is written in a string: 0 as it is, 'u' as \u00XX, else behind a
 * backslash. */
static const char ESCAPES[256] = {
    'u', 'u', 'u', 'u', 'u', 'u',         'u',           'u',          'b',
    't', 'n', 'u', 'f', 'r', 'u',         'u',           'u',          'u',
    'u', 'u', 'u', 'u', 'u', 'u',         'u',           'u',          'u',
    'u', 'u', 'u', 'u', 'u', ['"'] = '"', ['\\'] = '\\', [0x7f] = 'u',
};

/* Bytes of a word that are zero, marked by their high bits. A mark may be
 * wrong only above a right one, which does for "none". */
static uint64_t zero_bytes(uint64_t word)
{
    return (word - ONES) & ~word & (ONES << 7);
}

/* How many bytes at the front need no escape; eight at a time. */
static size_t plain_run(struct str s)
{
    size_t at = 0;
    uint64_t word;

    for (; s.len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, s.ptr + at, sizeof word);
        if ((((word - ONES * 0x20) & ~word & (ONES << 7)) |
             zero_bytes(word ^ ONES * '"') | zero_bytes(word ^ ONES * '\\') |
             zero_bytes(word ^ ONES * 0x7f)) != 0)
            break;
    }
    while (at < s.len && ESCAPES[(unsigned char)s.ptr[at]] == 0)
        at++;
    return at;
}

static void put_quoted(struct buf *buf, struct str text)
{
    buf_add_char(buf, '"');
    for (;;) {
        size_t run = plain_run(text);
        unsigned char c;

        buf_add(buf, str_slice(text, 0, run));
        if (run == text.len)
            break;
        c = (unsigned char)text.ptr[run];
        if (ESCAPES[c] == 'u')
            buf_addf(buf, "\\u%04x", c);
        else
            buf_add(buf, str_make((const char[]){'\\', ESCAPES[c]}, 2));
        text = str_from(text, run + 1);
    }
    buf_add_char(buf, '"');
}

void json_name_str(struct json_out *out, struct str name)
{
    CHECK((out->nesting & level(out)) != 0 && !out->after_name);
    separate(out);
    put_quoted(out->buf, name);
    buf_add_char(out->buf, ':');
    out->after_name = true;
}

void json_name(struct json_out *out, const char *name)
{
    json_name_str(out, str_of(name));
}

void json_put_str(struct json_out *out, struct str text)
{
    begin_value(out);
    put_quoted(out->buf, text);
}

void json_put_int(struct json_out *out, int64_t value)
{
    char room[DECIMAL_SIZE];

    begin_value(out);
    buf_add(out->buf, str_decimal(value, room));
}

void json_put_bool(struct json_out *out, bool value)
{
    json_put_raw(out, value ? S("true") : S("false"));
}

void json_put_null(struct json_out *out)
{
    json_put_raw(out, S("null"));
}

void json_put_raw(struct json_out *out, struct str json)
{
    begin_value(out);
    buf_add(out->buf, json);
}

static bool reads_back(struct str text, double value)
{
    json_t *again = json_loadb(text.ptr, text.len, JSON_DECODE_ANY, NULL);
    bool is_same = json_real_value(again) == value;

    json_decref(again);
    return is_same;
}

/* The shortest text that reads back as the same number, whatever the locale:
 * 1.1, not 1.1000000000000001. 17 digits always do. */
static void put_real(struct json_out *out, const struct json *value)
{
    double real = json_real_value(theirs(value));
    char text[64];
    size_t digits = 15;
    size_t len;

    do {
        len = json_dumpb(theirs(value), text, sizeof text,
                         JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
        CHECK(len > 0 && len <= sizeof text);
    } while (digits++ < 17 && !reads_back(str_make(text, len), real));
    json_put_raw(out, str_make(text, len));
}

static void put_map(struct json_out *out, const struct json *map)
{
    void *at = NULL;
    struct str name;
    const struct json *member;

    json_open_map(out);
    while (json_next(map, &at, &name, &member)) {
        json_name_str(out, name);
        json_put_value(out, member);
    }
    json_close_map(out);
}

static void put_list(struct json_out *out, const struct json *list)
{
    json_open_list(out);
    for (size_t i = 0; i < json_count(list); i++)
        json_put_value(out, json_at(list, i));
    json_close_list(out);
}

void json_put_value(struct json_out *out, const struct json *value)
{
    switch (json_type_of(value)) {
    case JSON_MISSING:
    case JSON_NULL_VALUE:
        json_put_null(out);
        return;
    case JSON_BOOL:
        json_put_bool(out, json_bool(value));
        return;
    case JSON_INT:
        json_put_int(out, json_int(value));
        return;
    case JSON_NUMBER:
        put_real(out, value);
        return;
    case JSON_TEXT:
        json_put_str(out, json_str(value));
        return;
    case JSON_LIST:
        put_list(out, value);
        return;
    case JSON_MAP:
        put_map(out, value);
        return;
    }
}

void json_add_str(struct json_out *out, const char *name, struct str text)
{
    json_name(out, name);
    json_put_str(out, text);
}

void json_add_cstr(struct json_out *out, const char *name, const char *text)
{
    json_add_str(out, name, str_of(text));
}

void json_add_int(struct json_out *out, const char *name, int64_t value)
{
    json_name(out, name);
    json_put_int(out, value);
}

void json_add_milli(struct json_out *out, const char *name, int64_t value)
{
    char text[DECIMAL_SIZE + 8];
    int len;

    CHECK(value >= 0);
    len = snprintf(text, sizeof text, "%" PRId64 ".%03d", value / 1000,
                   (int)(value % 1000));
    json_name(out, name);
    json_put_raw(out, str_make(text, (size_t)len));
}

void json_add_bool(struct json_out *out, const char *name, bool value)
{
    json_name(out, name);
    json_put_bool(out, value);
}

void json_add_null(struct json_out *out, const char *name)
{
    json_name(out, name);
    json_put_null(out);
}

void json_add_time(struct json_out *out, const char *name, int64_t wall_ms)
{
    char text[CLOCK_RFC3339_SIZE];

    clock_format(wall_ms, text);
    json_add_cstr(out, name, text);
}

void json_add_str_or_null(struct json_out *out, const char *name,
                          struct str text)
{
    if (text.len > 0)
        json_add_str(out, name, text);
    else
        json_add_null(out, name);
}

void json_add_time_or_null(struct json_out *out, const char *name,
                           int64_t wall_ms)
{
    if (wall_ms > 0)
        json_add_time(out, name, wall_ms);
    else
        json_add_null(out, name);
}
