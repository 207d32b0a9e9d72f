#include "server/cli/show.h"

#include "server/base/codec.h"

#include <stdio.h>
#include <string.h>

enum { CELL_MAX = 200, MEMBER_MAX = 1024, COLUMNS_MAX = 12, DEPTH_STEP = 2 };

void show_list_open(struct json_out *out)
{
    json_open_map(out);
    json_add_cstr(out, "object", "list");
    json_name(out, "data");
    json_open_list(out);
}

void show_list_close(struct json_out *out)
{
    json_close_list(out);
    json_close_map(out);
}

/* A scalar, or a list of scalars with commas, on one line. */
static void put_cell(const struct json *value, struct buf *out)
{
    struct buf dump;

    switch (json_type_of(value)) {
    case JSON_MISSING:
    case JSON_NULL_VALUE:
        return;
    case JSON_TEXT:
        utf8_clean_add(out, json_str(value), CELL_MAX);
        return;
    case JSON_LIST:
        for (size_t i = 0; i < json_count(value); i++) {
            if (i > 0)
                buf_add_cstr(out, ", ");
            put_cell(json_at(value, i), out);
        }
        return;
    case JSON_BOOL:
    case JSON_INT:
    case JSON_NUMBER:
    case JSON_MAP:
        buf_init(&dump, CELL_MAX * 4);
        json_dump(value, &dump);
        utf8_clean_add(out, buf_str(&dump), CELL_MAX);
        buf_finish(&dump);
        return;
    }
}

static bool holds_maps(const struct json *value)
{
    return json_type_of(value) == JSON_LIST && json_count(value) > 0 &&
           json_type_of(json_at(value, 0)) == JSON_MAP;
}

static void show_map(const struct json *map, int indent, struct buf *out);

static void show_list(const struct json *list, int indent, struct buf *out)
{
    for (size_t i = 0; i < json_count(list); i++) {
        if (i > 0)
            buf_add_char(out, '\n');
        show_map(json_at(list, i), indent, out);
    }
}

static bool is_empty(const struct json *value)
{
    switch (json_type_of(value)) {
    case JSON_MISSING:
    case JSON_NULL_VALUE:
        return true;
    case JSON_TEXT:
        return json_str(value).len == 0;
    case JSON_LIST:
    case JSON_MAP:
        return json_count(value) == 0;
    case JSON_BOOL:
    case JSON_INT:
    case JSON_NUMBER:
        break;
    }
    return false;
}

/* Text of several lines, each as deep as the rest. */
static void put_block(struct str text, int indent, struct buf *out)
{
    struct str line;

    buf_add_char(out, '\n');
    while (text.len > 0 && str_cut(&text, '\n', &line)) {
        buf_addf(out, "%*s", indent, "");
        show_text(line, out);
        if (line.len == 0)
            buf_add_char(out, '\n');
    }
}

static void show_map(const struct json *map, int indent, struct buf *out)
{
    const int deeper = indent + DEPTH_STEP;
    const struct json *value;
    struct str name;
    void *at = NULL;

    while (json_next(map, &at, &name, &value)) {
        if (is_empty(value))
            continue;
        buf_addf(out, "%*s%.*s:", indent, "", STR_ARG(name));
        if (holds_maps(value)) {
            buf_add_char(out, '\n');
            show_list(value, deeper, out);
        } else if (json_type_of(value) == JSON_MAP) {
            buf_add_char(out, '\n');
            show_map(value, deeper, out);
        } else if (str_contains(json_str(value), S("\n"))) {
            put_block(json_str(value), deeper, out);
        } else {
            buf_add_char(out, ' ');
            put_cell(value, out);
            buf_add_char(out, '\n');
        }
    }
}

void show_value(const struct json *value, struct buf *out)
{
    if (json_type_of(value) == JSON_MAP)
        show_map(value, 0, out);
    else
        show_list(value, 0, out);
}

/* --- tables --- */

static const struct json *find_one(const struct json *value, struct str pointer)
{
    struct str rest = pointer;
    struct str name;
    char text[64];

    while (value != NULL && str_cut(&rest, '/', &name)) {
        snprintf(text, sizeof text, "%.*s", STR_ARG(name));
        value = json_get(value, text);
    }
    return value;
}

static const struct json *find(const struct json *item, const char *pointers)
{
    const struct json *value = NULL;
    struct str rest = str_of(pointers);
    struct str pointer;

    while (value == NULL && str_cut(&rest, '|', &pointer))
        value = find_one(item, pointer);
    return value;
}

/* How many columns a terminal needs for it; wide characters count once. */
static size_t width_of(struct str text)
{
    size_t width = 0;

    for (size_t i = 0; i < text.len; i++)
        width += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
    return width;
}

static void cell_of(const struct json *item, const struct show_column *column,
                    struct buf *cell)
{
    buf_clear(cell);
    put_cell(find(item, column->pointer), cell);
}

static void measure(const struct json *list, const struct show_column *columns,
                    size_t count, size_t *widths)
{
    struct buf cell;

    buf_init(&cell, CELL_MAX * 8);
    for (size_t c = 0; c < count; c++) {
        widths[c] = 0;
        for (size_t i = 0; i < json_count(list); i++) {
            size_t width;

            cell_of(json_at(list, i), &columns[c], &cell);
            width = width_of(buf_str(&cell));
            if (width > widths[c])
                widths[c] = width;
        }
        if (widths[c] > 0 && widths[c] < strlen(columns[c].title))
            widths[c] = strlen(columns[c].title);
    }
    buf_finish(&cell);
}

static void put_padded(struct str text, size_t width, struct buf *out)
{
    buf_add(out, text);
    buf_addf(out, "%*s", (int)(width - width_of(text) + 2), "");
}

static void end_line(struct buf *out)
{
    while (out->len > 0 && out->data[out->len - 1] == ' ')
        buf_truncate(out, out->len - 1);
    buf_add_char(out, '\n');
}

void show_table(const struct json *list, const struct show_column *columns,
                size_t count, struct buf *out)
{
    size_t widths[COLUMNS_MAX];
    struct buf cell;

    CHECK(count <= COLUMNS_MAX);
    if (json_count(list) == 0) {
        buf_add_cstr(out, "none\n");
        return;
    }
    measure(list, columns, count, widths);
    for (size_t c = 0; c < count; c++)
        if (widths[c] > 0)
            put_padded(str_of(columns[c].title), widths[c], out);
    end_line(out);
    buf_init(&cell, CELL_MAX * 8);
    for (size_t i = 0; i < json_count(list); i++) {
        for (size_t c = 0; c < count; c++) {
            if (widths[c] == 0)
                continue;
            cell_of(json_at(list, i), &columns[c], &cell);
            put_padded(buf_str(&cell), widths[c], out);
        }
        end_line(out);
    }
    buf_finish(&cell);
}

void show_text(struct str text, struct buf *out)
{
    struct str line;

    while (text.len > 0 && str_cut(&text, '\n', &line)) {
        if (str_ends(line, S("\r")))
            line.len--;
        utf8_clean_add(out, line, line.len);
        buf_add_char(out, '\n');
    }
}

/* A member, as wide as needed, and something on both sides unless it is empty.
 */
static void put_member(const struct json *finding, const char *name, int width,
                       const char *before, const char *behind, struct buf *out)
{
    struct str value = json_get_str(finding, name);
    size_t start;

    if (value.len > 0)
        buf_add_cstr(out, before);
    start = out->len;
    utf8_clean_add(out, value, MEMBER_MAX);
    if (value.len > 0)
        buf_add_cstr(out, behind);
    while (out->len < start + (size_t)width && !out->full)
        buf_add_char(out, ' ');
}

/* "where: ", or of a finding within a folder "file:line:column (locale): ". */
static void put_place(const struct json *finding, struct buf *out)
{
    int64_t line = json_get_int(finding, "line");

    if (json_get(finding, "file") == NULL) {
        put_member(finding, "where", 0, "", ": ", out);
        return;
    }
    put_member(finding, "file", 0, "", "", out);
    if (line > 0)
        buf_addf(out, ":%lld:%lld", (long long)line,
                 (long long)json_get_int(finding, "column"));
    put_member(finding, "locale", 0, " (", ")", out);
    buf_add_cstr(out, ": ");
}

void show_lint(const struct json *findings, struct buf *out)
{
    for (size_t i = 0; i < json_count(findings); i++) {
        const struct json *finding = json_at(findings, i);

        put_member(finding, "level", 9, "", "", out);
        put_member(finding, "code", 21, "", "", out);
        put_place(finding, out);
        put_member(finding, "text", 0, "", "", out);
        put_member(finding, "example", 0, " (", ")", out);
        buf_add_char(out, '\n');
    }
}

void show_print(const struct buf *out)
{
    fwrite(out->data, 1, out->len, stdout);
    fflush(stdout);
}
