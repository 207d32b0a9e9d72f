#include "smtp/inbox_view.h"

#include "server/base/buf.h"
#include "smtp/inbox_code.h"
#include "smtp/inbox_decode.h"
#include "smtp/message/message.h"
#include "smtp/mime_part.h"

#include <stdbool.h>

/* Deeper or wider mails are not made by those who write to people. */
enum { DEPTH_MAX = 8, PARTS_MAX = 200 };
enum { BODY_MAX = 1024 * 1024 }; /* what is looked at of a body */

struct reader {
    struct inbox_view *view;
    struct arena *arena;
    size_t parts;
    bool has_text;
    bool has_html;
};

static struct str field_text(const struct reader *reader, struct str header,
                             const char *name)
{
    struct buf text;
    struct str copy;

    buf_init(&text, (size_t)MIME_FIELD_MAX * 3); /* windows-1252 grows so */
    inbox_decode_header(&text, mime_field(header, str_of(name)));
    copy = arena_copy(reader->arena, buf_str(&text));
    buf_finish(&text);
    return copy;
}

/* --- parts --- */

static void read_part(struct reader *reader, struct str bytes, unsigned depth);

static struct str body_text(const struct reader *reader,
                            const struct mime_part *part, struct str type)
{
    struct str body = str_slice(part->body, 0, BODY_MAX);
    struct buf text;
    struct str copy;

    buf_init(&text, (size_t)BODY_MAX * 3);
    inbox_decode_body(&text, body,
                      mime_main_value(mime_field(
                          part->header, S("Content-Transfer-Encoding"))),
                      mime_param(type, S("charset")));
    copy = arena_copy(reader->arena, buf_str(&text));
    buf_finish(&text);
    return copy;
}

static void read_leaf(struct reader *reader, const struct mime_part *part,
                      struct str type)
{
    struct str kind = mime_main_value(type);
    bool attached = str_eq_nocase(
        mime_main_value(mime_field(part->header, S("Content-Disposition"))),
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

static void read_multipart(struct reader *reader, struct str body,
                           struct str boundary, unsigned depth)
{
    struct mime_parts parts;
    struct str bytes;

    mime_parts_init(&parts, body, boundary);
    while (mime_parts_next(&parts, &bytes))
        read_part(reader, bytes, depth);
}

static void read_part(struct reader *reader, struct str bytes, unsigned depth)
{
    struct mime_part part = mime_part_split(bytes);
    struct str type = mime_field(part.header, S("Content-Type"));
    struct str boundary = mime_param(type, S("boundary"));

    if (++reader->parts > PARTS_MAX || depth > DEPTH_MAX)
        return;
    if (str_starts_nocase(mime_main_value(type), S("multipart/")) &&
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
    struct str header = mime_part_split(raw).header;
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
