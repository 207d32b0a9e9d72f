#include "smtp/mime_part.h"

/* --- header --- */

/* A line off the front of *rest, its end cut off. */
static bool take_line(struct str *rest, struct str *line)
{
    if (rest->len == 0 || !str_cut(rest, '\n', line))
        return false;
    if (str_ends(*line, S("\r")))
        *line = str_slice(*line, 0, line->len - 1);
    return true;
}

struct mime_part mime_part_split(struct str bytes)
{
    struct str rest = bytes;
    struct str line;

    while (take_line(&rest, &line))
        if (line.len == 0)
            return (struct mime_part){
                str_slice(bytes, 0, (size_t)(line.ptr - bytes.ptr)), rest};
    return (struct mime_part){bytes, S("")};
}

static bool is_folded(struct str rest)
{
    return rest.len > 0 && (rest.ptr[0] == ' ' || rest.ptr[0] == '\t');
}

struct str mime_field(struct str header, struct str name)
{
    struct str rest = header;
    struct str line;

    while (take_line(&rest, &line)) {
        struct str value = str_from(line, name.len);
        struct str more;

        if (!str_starts_nocase(line, name) || !str_starts(value, S(":")))
            continue;
        while (is_folded(rest))
            take_line(&rest, &more);
        if (rest.ptr != NULL)
            line.len = (size_t)(rest.ptr - line.ptr);
        else
            line.len = (size_t)(header.ptr + header.len - line.ptr);
        return str_slice(str_from(line, name.len + 1), 0, MIME_FIELD_MAX);
    }
    return S("");
}

struct str mime_trim(struct str s)
{
    while (s.len > 0 && (unsigned char)s.ptr[0] <= ' ')
        s = str_from(s, 1);
    while (s.len > 0 && (unsigned char)s.ptr[s.len - 1] <= ' ')
        s.len--;
    return s;
}

struct str mime_main_value(struct str value)
{
    ptrdiff_t end = str_index(value, ';', 0);

    return mime_trim(str_slice(value, 0, end < 0 ? value.len : (size_t)end));
}

/* Off *rest up to the next ";" that stands in no quotes. */
static bool take_param(struct str *rest, struct str *param)
{
    bool quoted = false;
    size_t i = 0;

    if (rest->len == 0)
        return false;
    while (i < rest->len && (quoted || rest->ptr[i] != ';')) {
        if (rest->ptr[i] == '"')
            quoted = !quoted;
        i += quoted && rest->ptr[i] == '\\' ? 2 : 1;
    }
    *param = mime_trim(str_slice(*rest, 0, i));
    *rest = str_from(*rest, i + 1);
    return true;
}

struct str mime_param(struct str value, struct str name)
{
    struct str param;
    struct str found;

    while (take_param(&value, &param)) {
        found = mime_trim(str_from(param, name.len));
        if (!str_starts_nocase(param, name) || !str_starts(found, S("=")))
            continue;
        found = mime_trim(str_from(found, 1));
        if (found.len >= 2 && found.ptr[0] == '"' &&
            found.ptr[found.len - 1] == '"')
            found = str_slice(found, 1, found.len - 2);
        return found;
    }
    return S("");
}

/* --- parts --- */

enum line_kind { LINE_CONTENT, LINE_BOUNDARY, LINE_LAST };

static enum line_kind line_kind(struct str line, struct str boundary)
{
    struct str tail;

    if (!str_starts(line, S("--")) || !str_starts(str_from(line, 2), boundary))
        return LINE_CONTENT;
    tail = str_from(line, 2 + boundary.len);
    if (str_trim(tail).len == 0)
        return LINE_BOUNDARY;
    return str_starts(tail, S("--")) ? LINE_LAST : LINE_CONTENT;
}

/* The line end before a boundary belongs to the boundary. */
static struct str between(const char *from, const char *to)
{
    struct str bytes = str_make(from, (size_t)(to - from));

    if (str_ends(bytes, S("\n")))
        bytes.len--;
    if (str_ends(bytes, S("\r")))
        bytes.len--;
    return bytes;
}

void mime_parts_init(struct mime_parts *parts, struct str body,
                     struct str boundary)
{
    *parts = (struct mime_parts){
        .boundary = boundary,
        .rest = body,
        .end = body.len > 0 ? body.ptr + body.len : NULL,
    };
}

/* Ends the part under way. False: none was. */
static bool end_part(struct mime_parts *parts, const char *at,
                     struct str *bytes)
{
    if (parts->start == NULL)
        return false;
    *bytes = between(parts->start, at);
    parts->start = NULL;
    return true;
}

bool mime_parts_next(struct mime_parts *parts, struct str *bytes)
{
    struct str line;

    while (take_line(&parts->rest, &line)) {
        enum line_kind kind = line_kind(line, parts->boundary);
        bool ended;

        if (kind == LINE_CONTENT)
            continue;
        if (kind == LINE_LAST)
            parts->rest = S("");
        ended = end_part(parts, line.ptr, bytes);
        parts->start = parts->rest.len > 0 ? parts->rest.ptr : NULL;
        if (ended)
            return true;
    }
    return end_part(parts, parts->end, bytes); /* cut short: it has no end */
}
