#include "smtp/inbox_view.h"

#include "server/base/buf.h"
#include "smtp/inbox_code.h"
#include "smtp/inbox_decode.h"
#include "smtp/message/message.h"

#include <stdbool.h>

/* Deeper or wider mails are not made by those who write to people. */
enum { DEPTH_MAX = 8, PARTS_MAX = 200 };
/* What is looked at of a body, and of a field. */
enum { BODY_MAX = 1024 * 1024, FIELD_MAX = 8 * 1024 };

struct reader {
    struct inbox_view *view;
    struct arena *arena;
    size_t parts;
    bool has_text;
    bool has_html;
};

struct part {
    struct str header;
    struct str body;
};

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

static struct part part_split(struct str bytes)
{
    struct str rest = bytes;
    struct str line;

    while (take_line(&rest, &line))
        if (line.len == 0)
            return (struct part){
                str_slice(bytes, 0, (size_t)(line.ptr - bytes.ptr)), rest};
    return (struct part){bytes, S("")};
}

static bool is_folded(struct str rest)
{
    return rest.len > 0 && (rest.ptr[0] == ' ' || rest.ptr[0] == '\t');
}

/* The value of the first such field, still folded; empty: none. */
static struct str field(struct str header, struct str name)
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
        return str_slice(str_from(line, name.len + 1), 0, FIELD_MAX);
    }
    return S("");
}

static struct str field_text(const struct reader *reader, struct str header,
                             const char *name)
{
    struct buf text;
    struct str copy;

    buf_init(&text, (size_t)FIELD_MAX * 3); /* windows-1252 grows so */
    inbox_decode_header(&text, field(header, str_of(name)));
    copy = arena_copy(reader->arena, buf_str(&text));
    buf_finish(&text);
    return copy;
}

static struct str trim_value(struct str s)
{
    while (s.len > 0 && (unsigned char)s.ptr[0] <= ' ')
        s = str_from(s, 1);
    while (s.len > 0 && (unsigned char)s.ptr[s.len - 1] <= ' ')
        s.len--;
    return s;
}

/* What stands before the first ";": "text/plain", "attachment". */
static struct str main_value(struct str value)
{
    ptrdiff_t end = str_index(value, ';', 0);

    return trim_value(str_slice(value, 0, end < 0 ? value.len : (size_t)end));
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
    *param = trim_value(str_slice(*rest, 0, i));
    *rest = str_from(*rest, i + 1);
    return true;
}

/* The value of name=value or name="value". Backslashes in it are kept: no
 * boundary and no charset has any. */
static struct str param_value(struct str value, struct str name)
{
    struct str param;
    struct str found;

    while (take_param(&value, &param)) {
        found = trim_value(str_from(param, name.len));
        if (!str_starts_nocase(param, name) || !str_starts(found, S("=")))
            continue;
        found = trim_value(str_from(found, 1));
        if (found.len >= 2 && found.ptr[0] == '"' &&
            found.ptr[found.len - 1] == '"')
            found = str_slice(found, 1, found.len - 2);
        return found;
    }
    return S("");
}

/* --- parts --- */

static void read_part(struct reader *reader, struct str bytes, unsigned depth);

static struct str body_text(const struct reader *reader,
                            const struct part *part, struct str type)
{
    struct str body = str_slice(part->body, 0, BODY_MAX);
    struct buf text;
    struct str copy;

    buf_init(&text, (size_t)BODY_MAX * 3);
    inbox_decode_body(
        &text, body,
        main_value(field(part->header, S("Content-Transfer-Encoding"))),
        param_value(type, S("charset")));
    copy = arena_copy(reader->arena, buf_str(&text));
    buf_finish(&text);
    return copy;
}

static void read_leaf(struct reader *reader, const struct part *part,
                      struct str type)
{
    struct str kind = main_value(type);
    bool attached =
        str_eq_nocase(main_value(field(part->header, S("Content-Disposition"))),
                      S("attachment"));

    if (!attached && !reader->has_text &&
        (kind.len == 0 || str_eq_nocase(kind, S("text/plain")))) {
        reader->has_text = true;
        reader->view->text = body_text(reader, part, type);
    } else if (!attached && !reader->has_html &&
               str_eq_nocase(kind, S("text/html"))) {
        reader->has_html = true;
        reader->view->html = body_text(reader, part, type);
    } else {
        reader->view->attachments++;
    }
}

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

static void read_multipart(struct reader *reader, struct str body,
                           struct str boundary, unsigned depth)
{
    struct str rest = body;
    const char *start = NULL; /* of the part under way */
    struct str line;
    enum line_kind kind;

    while (take_line(&rest, &line)) {
        kind = line_kind(line, boundary);
        if (kind == LINE_CONTENT)
            continue;
        if (start != NULL)
            read_part(reader, between(start, line.ptr), depth);
        start = rest.ptr;
        if (kind == LINE_LAST || start == NULL)
            return;
    }
    if (start != NULL) /* cut short: the last part has no end */
        read_part(reader, between(start, body.ptr + body.len), depth);
}

static void read_part(struct reader *reader, struct str bytes, unsigned depth)
{
    struct part part = part_split(bytes);
    struct str type = field(part.header, S("Content-Type"));
    struct str boundary = param_value(type, S("boundary"));

    if (++reader->parts > PARTS_MAX || depth > DEPTH_MAX)
        return;
    if (str_starts_nocase(main_value(type), S("multipart/")) &&
        boundary.len > 0)
        read_multipart(reader, part.body, boundary, depth + 1);
    else
        read_leaf(reader, &part, type);
}

/* --- the mail --- */

static struct str searchable(const struct reader *reader)
{
    struct str html = reader->view->html;
    struct buf text;
    struct str copy;

    if (reader->view->text.len > 0 || html.len == 0)
        return reader->view->text;
    buf_init(&text, html.len * HTML_TEXT_GROWTH_MAX + 1);
    html_text_add(&text, html);
    copy = arena_copy(reader->arena, buf_str(&text));
    buf_finish(&text);
    return copy;
}

void inbox_view_read(struct inbox_view *view, struct str raw,
                     struct arena *arena)
{
    struct reader reader = {.view = view, .arena = arena};
    struct str header = part_split(raw).header;
    struct str text;

    *view = (struct inbox_view){
        .from = field_text(&reader, header, "From"),
        .to = field_text(&reader, header, "To"),
        .subject = field_text(&reader, header, "Subject"),
        .message_id = field_text(&reader, header, "Message-ID"),
    };
    read_part(&reader, raw, 0);
    text = searchable(&reader);
    view->code = inbox_code_find(view->subject, text);
    view->link = inbox_link_find(text);
}
