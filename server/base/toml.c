#include "server/base/toml.h"

#include "server/base/buf.h"
#include "server/base/codec.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    LIST_DEPTH_MAX = 4,
    MEMBERS_MAX = 1000, /* names are compared with all before them */
    TABLES_MAX = 1000,
    STRING_MAX = 64 * 1024,
    TEXT_MAX = 256, /* of a problem */
};

struct parser {
    struct str text;
    size_t at;
    struct toml_place place; /* of text[at] */
    unsigned depth;          /* of lists */
    struct arena *arena;
    struct toml_table *tables;
    struct toml_table *table; /* the one being filled */
    toml_problem_fn *problem;
    void *ctx;
};

/* --- characters and places --- */

/* 0 at the end; a NUL in the text was refused before. */
static char peek(const struct parser *p)
{
    return p->at < p->text.len ? p->text.ptr[p->at] : '\0';
}

static void step(struct parser *p)
{
    if (p->at == p->text.len)
        return;
    if (p->text.ptr[p->at] == '\n') {
        p->place.line++;
        p->place.column = 1;
    } else if (p->at + 1 == p->text.len ||
               ((unsigned char)p->text.ptr[p->at + 1] & 0xc0) != 0x80) {
        p->place.column++;
    }
    p->at++;
}

static bool take(struct parser *p, char c)
{
    if (p->at == p->text.len || peek(p) != c)
        return false;
    step(p);
    return true;
}

static bool take_text(struct parser *p, struct str text)
{
    if (!str_starts(str_from(p->text, p->at), text))
        return false;
    for (size_t i = 0; i < text.len; i++)
        step(p);
    return true;
}

static void skip_blanks(struct parser *p)
{
    while (peek(p) == ' ' || peek(p) == '\t')
        step(p);
}

static bool at_newline(const struct parser *p)
{
    return str_starts(str_from(p->text, p->at), S("\n")) ||
           str_starts(str_from(p->text, p->at), S("\r\n"));
}

static bool at_end(const struct parser *p)
{
    return p->at == p->text.len;
}

static bool is_key_char(char c)
{
    return ascii_is_alnum(c) || c == '_' || c == '-';
}

/* Always false, for the caller to pass on. */
PRINTF_LIKE(3, 4)
static bool refuse(struct parser *p, struct toml_place place,
                   const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    p->problem(p->ctx, place, text);
    return false;
}

/* --- values --- */

static bool parse_value(struct parser *p, struct toml_value *value);

/* The digits of \uXXXX and \UXXXXXXXX. */
static bool take_code(struct parser *p, size_t digits, struct buf *out)
{
    struct toml_place place = p->place;
    unsigned char utf8[4];
    uint32_t code = 0;

    for (size_t i = 0; i < digits; i++) {
        char c = ascii_lower(peek(p));

        if (!ascii_is_digit(c) && (c < 'a' || c > 'f'))
            return refuse(p, p->place, "expected %zu hex digits", digits);
        code =
            code << 4 | (uint32_t)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
        step(p);
    }
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return refuse(p, place, "not a character that may stand here");
    if (code < 0x80) {
        buf_add_char(out, (char)code);
        return true;
    }
    digits = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = digits - 1; i > 0; i--) {
        utf8[i] = (unsigned char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    utf8[0] = (unsigned char)((0xf0U << (4 - digits)) | code);
    buf_add(out, str_make(utf8, digits));
    return true;
}

static bool take_escape(struct parser *p, struct buf *out)
{
    static const char letters[] = "btnfr\"\\";
    static const char meanings[] = "\b\t\n\f\r\"\\";
    struct toml_place place = p->place;

    step(p); /* the backslash */
    if (take(p, 'u'))
        return take_code(p, 4, out);
    if (take(p, 'U'))
        return take_code(p, 8, out);
    for (size_t i = 0; i < sizeof letters - 1; i++) {
        if (take(p, letters[i])) {
            buf_add_char(out, meanings[i]);
            return true;
        }
    }
    return refuse(p, place, "unknown escape; write \\\\ for a backslash");
}

/* Up to the closing quote; the opening one was taken. */
static bool take_string(struct parser *p, char quote, struct toml_value *value,
                        struct buf *out)
{
    for (;;) {
        char c = peek(p);

        if (at_end(p) || at_newline(p))
            return refuse(p, value->place, "string without closing %c", quote);
        if (take(p, quote))
            return true;
        if (((unsigned char)c < 0x20 && c != '\t') || c == 0x7f)
            return refuse(p, p->place, "control character in a string");
        if (c == '\\' && quote == '"') {
            if (!take_escape(p, out))
                return false;
        } else {
            buf_add_char(out, c);
            step(p);
        }
        if (out->full)
            return refuse(p, value->place, "string too long");
    }
}

static bool parse_string(struct parser *p, struct toml_value *value)
{
    struct buf out;
    char quote = peek(p);
    bool ok;

    value->type = TOML_TEXT;
    if (take_text(p, S("\"\"\"")) || take_text(p, S("'''")))
        return refuse(p, value->place,
                      "multi-line strings are not supported here");
    step(p);
    buf_init(&out, STRING_MAX);
    ok = take_string(p, quote, value, &out);
    if (ok)
        value->text = arena_copy(p->arena, buf_str(&out));
    buf_finish(&out);
    return ok;
}

/* The run of characters that could be a number, a word or a date. */
static struct str take_word(struct parser *p)
{
    size_t from = p->at;

    while (is_key_char(peek(p)) || peek(p) == '+' || peek(p) == '.' ||
           peek(p) == ':')
        step(p);
    return str_slice(p->text, from, p->at - from);
}

static bool to_int(struct str word, int64_t *number)
{
    bool negative = str_starts(word, S("-"));
    struct str digits = str_from(word, negative || str_starts(word, S("+")));
    uint64_t sum = 0;
    char before = '_';

    if (digits.len == 0 || (digits.len > 1 && digits.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.ptr[i];

        if (c == '_' ? before == '_' : !ascii_is_digit(c))
            return false;
        if (c != '_' &&
            (__builtin_mul_overflow(sum, 10U, &sum) ||
             __builtin_add_overflow(sum, (uint64_t)(c - '0'), &sum)))
            return false;
        before = c;
    }
    if (before == '_' || sum > (uint64_t)INT64_MAX)
        return false;
    *number = negative ? -(int64_t)sum : (int64_t)sum;
    return true;
}

static bool parse_word(struct parser *p, struct toml_value *value)
{
    struct str word = take_word(p);

    value->type = TOML_BOOL;
    value->truth = str_eq(word, S("true"));
    if (value->truth || str_eq(word, S("false")))
        return true;
    value->type = TOML_INT;
    if (to_int(word, &value->number))
        return true;
    if (word.len == 0)
        return refuse(p, value->place, "expected a value");
    if (ascii_is_digit(word.ptr[0]) || word.ptr[0] == '-' || word.ptr[0] == '+')
        return refuse(p, value->place,
                      "not a decimal integer; durations, sizes and the like "
                      "are written in quotes");
    return refuse(p, value->place, "text is written in quotes");
}

/* A comment, if one begins here, up to the end of its line. */
static bool skip_comment(struct parser *p)
{
    if (peek(p) != '#')
        return true;
    for (; !at_end(p) && !at_newline(p); step(p))
        if (((unsigned char)peek(p) < 0x20 && peek(p) != '\t') ||
            peek(p) == 0x7f)
            return refuse(p, p->place, "control character in a comment");
    return true;
}

/* Blanks, line ends and comments between the items of a list. */
static bool skip_filler(struct parser *p)
{
    for (;;) {
        skip_blanks(p);
        if (!skip_comment(p))
            return false;
        if (!at_newline(p))
            return true;
        take(p, '\r');
        step(p);
    }
}

/* Items up to the closing bracket, as a list in *first. */
static bool take_items(struct parser *p, struct toml_value *list,
                       struct toml_value **first)
{
    struct toml_value **end = first;

    for (;;) {
        if (!skip_filler(p))
            return false;
        if (take(p, ']'))
            return true;
        if (at_end(p))
            return refuse(p, list->place, "array without closing ]");
        *end = ARENA_NEW(p->arena, struct toml_value);
        if (!parse_value(p, *end))
            return false;
        end = &(*end)->next;
        list->count++;
        if (!skip_filler(p))
            return false;
        if (!take(p, ',') && peek(p) != ']')
            return refuse(p, p->place, "expected , or ] after an item");
    }
}

static bool parse_list(struct parser *p, struct toml_value *value)
{
    struct toml_value *item = NULL;

    value->type = TOML_LIST;
    step(p);
    if (++p->depth > LIST_DEPTH_MAX)
        return refuse(p, value->place, "arrays nested too deep");
    if (!take_items(p, value, &item))
        return false;
    p->depth--;
    value->items = ARENA_ARRAY(p->arena, struct toml_value, value->count);
    for (size_t i = 0; i < value->count; i++, item = item->next) {
        CHECK(item != NULL);
        value->items[i] = *item;
    }
    return true;
}

static bool parse_value(struct parser *p, struct toml_value *value)
{
    value->place = p->place;
    switch (peek(p)) {
    case '"':
    case '\'':
        return parse_string(p, value);
    case '[':
        return parse_list(p, value);
    case '{':
        return refuse(p, value->place, "inline tables are not supported here");
    default:
        return parse_word(p, value);
    }
}

/* --- lines --- */

static bool take_key(struct parser *p, struct str *name)
{
    size_t from = p->at;

    if (peek(p) == '"' || peek(p) == '\'')
        return refuse(p, p->place, "quoted keys are not supported here");
    while (is_key_char(peek(p)))
        step(p);
    *name = str_slice(p->text, from, p->at - from);
    if (name->len == 0)
        return refuse(p, p->place, "expected a key");
    skip_blanks(p);
    if (peek(p) == '.')
        return refuse(p, p->place, "dotted keys are not supported here");
    return true;
}

static bool take_line_end(struct parser *p)
{
    skip_blanks(p);
    if (!skip_comment(p))
        return false;
    if (!at_end(p) && !at_newline(p))
        return refuse(p, p->place, "expected the end of the line");
    take(p, '\r');
    take(p, '\n');
    return true;
}

static bool parse_member(struct parser *p)
{
    struct toml_member *member = ARENA_NEW(p->arena, struct toml_member);
    struct toml_member **end = &p->table->members;

    member->place = p->place;
    if (!take_key(p, &member->name))
        return false;
    if (!take(p, '='))
        return refuse(p, p->place, "expected = after \"%.*s\"",
                      STR_ARG(member->name));
    skip_blanks(p);
    p->depth = 0;
    if (!parse_value(p, &member->value) || !take_line_end(p))
        return false;
    for (unsigned count = 0; *end != NULL; end = &(*end)->next) {
        if (str_eq((*end)->name, member->name))
            return refuse(p, member->place,
                          "\"%.*s\" was already set in line %u",
                          STR_ARG(member->name), (*end)->place.line);
        if (++count == MEMBERS_MAX)
            return refuse(p, member->place, "too many keys in one table");
    }
    *end = member;
    return true;
}

static bool add_table(struct parser *p, struct toml_table *table)
{
    struct toml_table **end = &p->tables;

    for (unsigned count = 0; *end != NULL; end = &(*end)->next) {
        struct toml_table *former = *end;

        if (++count == TABLES_MAX)
            return refuse(p, table->place, "too many tables");
        if (former->place.line == 0 || !str_eq(former->name, table->name) ||
            (former->is_repeated && table->is_repeated))
            continue;
        return refuse(p, table->place, "[%.*s] was already defined in line %u",
                      STR_ARG(table->name), former->place.line);
    }
    *end = table;
    return true;
}

/* The members below a refused header are read, for their own problems, into
 * a table that nobody sees. */
static bool parse_header(struct parser *p)
{
    struct toml_table *table = ARENA_NEW(p->arena, struct toml_table);

    p->table = table;
    step(p);
    table->is_repeated = take(p, '[');
    skip_blanks(p);
    table->place = p->place;
    if (!take_key(p, &table->name))
        return false;
    if (!take_text(p, table->is_repeated ? S("]]") : S("]")))
        return refuse(p, p->place, "expected %s",
                      table->is_repeated ? "]]" : "]");
    if (!take_line_end(p))
        return false;
    return add_table(p, table);
}

/* Whether a line begins here that has the looks of a header or of a key. */
static bool at_fresh_start(const struct parser *p)
{
    struct parser ahead = *p;
    struct str rest;
    size_t len = 0;

    if (p->place.column != 1)
        return false;
    skip_blanks(&ahead);
    rest = str_from(ahead.text, ahead.at);
    if (str_starts(rest, S("["))) {
        rest = str_from(rest, str_starts(rest, S("[[")) ? 2 : 1);
        return rest.len > 0 && ascii_is_alpha(rest.ptr[0]);
    }
    while (len < rest.len && is_key_char(rest.ptr[len]))
        len++;
    ahead.at += len;
    skip_blanks(&ahead);
    return len > 0 && peek(&ahead) == '=';
}

/* Goes on at the next fresh start behind from. The line of the problem may
 * be one itself: the one that an open list ran into. */
static void recover(struct parser *p, size_t from)
{
    size_t line = p->at;

    while (line > from && p->text.ptr[line - 1] != '\n')
        line--;
    if (line > from) {
        p->at = line;
        p->place.column = 1;
    }
    while (!at_end(p) && (p->at == from || !at_fresh_start(p)))
        step(p);
}

static void parse_line(struct parser *p)
{
    size_t from = p->at;
    bool ok;

    skip_blanks(p);
    if (peek(p) == '#' || at_newline(p) || at_end(p))
        ok = take_line_end(p);
    else if (peek(p) == '[')
        ok = parse_header(p);
    else
        ok = parse_member(p);
    if (!ok)
        recover(p, from);
}

/* What no place of the text may hold. */
static bool is_clean(struct parser *p)
{
    struct str rest = p->text;
    uint32_t code;

    if (str_starts(rest, S("\xef\xbb\xbf")))
        return refuse(p, p->place, "begins with a byte order mark");
    while (rest.len > 0) {
        if (!utf8_next(&rest, &code) || code == 0)
            return refuse(p, p->place, "not UTF-8 text");
        p->at = p->text.len - rest.len - 1;
        step(p);
    }
    p->at = 0;
    p->place = (struct toml_place){1, 1};
    return true;
}

struct toml_table *toml_parse(struct str text, struct arena *arena,
                              toml_problem_fn *problem, void *ctx)
{
    struct parser p = {
        .text = text,
        .place = {1, 1},
        .arena = arena,
        .tables = ARENA_NEW(arena, struct toml_table),
        .problem = problem,
        .ctx = ctx,
    };

    p.table = p.tables;
    if (is_clean(&p))
        while (!at_end(&p))
            parse_line(&p);
    return p.tables;
}

bool toml_parse_value(struct str text, struct arena *arena,
                      struct toml_value *value, toml_problem_fn *problem,
                      void *ctx)
{
    struct parser p = {
        .text = text,
        .place = {1, 1},
        .arena = arena,
        .problem = problem,
        .ctx = ctx,
    };

    if (!is_clean(&p))
        return false;
    skip_blanks(&p);
    if (!parse_value(&p, value))
        return false;
    skip_blanks(&p);
    return at_end(&p) || refuse(&p, p.place, "expected the end of the value");
}

/* --- writing --- */

static void write_text(struct str text, struct buf *out)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '"' || c == '\\')
            buf_addf(out, "\\%c", c);
        else if ((unsigned char)c < 0x20 || c == 0x7f)
            buf_addf(out, "\\u%04x", (unsigned char)c);
        else
            buf_add_char(out, c);
    }
    buf_add_char(out, '"');
}

void toml_write(const struct toml_value *value, struct buf *out)
{
    switch (value->type) {
    case TOML_TEXT:
        write_text(value->text, out);
        return;
    case TOML_INT:
        buf_addf(out, "%" PRId64, value->number);
        return;
    case TOML_BOOL:
        buf_add_cstr(out, value->truth ? "true" : "false");
        return;
    case TOML_LIST:
        buf_add_char(out, '[');
        for (size_t i = 0; i < value->count; i++) {
            if (i > 0)
                buf_add_cstr(out, ", ");
            toml_write(&value->items[i], out);
        }
        buf_add_char(out, ']');
        return;
    }
}
