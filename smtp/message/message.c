#include "smtp/message/message.h"

#include "server/base/codec.h"
#include "server/base/map.h"
#include "smtp/message/encode.h"
#include "smtp/message/html_text.h"
#include "smtp/message/part.h"

#include <string.h>

enum {
    /* Bounds for what frames the contents, in bytes. */
    MESSAGE_FRAME = 2048,
    MAILBOX_FRAME = 1300, /* a name of 320 bytes encoded, an address */
    HEADER_FRAME = 80,
    ATTACHMENT_FRAME = 2600, /* boundary, a name of 255 bytes two ways */
};

/* Inline images */

/* A cid: link ends where the attribute or style around it does. */
static bool ends_link(char c)
{
    return (unsigned char)c <= ' ' || strchr("\"'<>()\\", c) != NULL;
}

/* Finds the next cid:x in *rest, behind which *rest then stands. */
static bool next_cid(struct str *rest, struct str *cid)
{
    ptrdiff_t at;
    size_t len = 0;

    while ((at = str_index(*rest, ':', 0)) >= 0) {
        struct str before = str_slice(*rest, 0, (size_t)at);

        *rest = str_from(*rest, (size_t)at + 1);
        if (before.len < 3 ||
            !str_eq_nocase(str_from(before, before.len - 3), S("cid")))
            continue;
        while (len < rest->len && !ends_link(rest->ptr[len]))
            len++;
        *cid = str_slice(*rest, 0, len);
        *rest = str_from(*rest, len);
        return true;
    }
    return false;
}

static void mark_cid(const struct map *places, struct str cid)
{
    bool *place = map_get(places, cid);
    struct buf decoded;

    if (place == NULL && str_index(cid, '%', 0) >= 0) {
        buf_init(&decoded, cid.len);
        if (codec_percent_decode(cid, &decoded))
            place = map_get(places, buf_str(&decoded));
        buf_finish(&decoded);
    }
    if (place != NULL)
        *place = true;
}

/* Readers show inline text as part of the body (mailparser 3.14.2 and
 * postal-mime 4.0.0 append it), which nobody means by a cid: link. */
static bool can_be_inline(const struct attachment *attachment)
{
    struct str type = attachment->type;

    if (type.len == 0)
        type = content_type_guess(attachment->name);
    return attachment->content_id.len > 0 &&
           !str_starts_nocase(type, S("text/")) &&
           !str_starts_nocase(type, S("message/"));
}

/* For each attachment whether the html shows it. One pass over the html,
 * however many attachments there are. */
static bool *find_inline(const struct message *message, struct arena *arena)
{
    bool *shown = ARENA_ARRAY(arena, bool, message->attachment_count);
    struct map *places = map_create();
    struct str rest = message->html;
    struct str cid;

    for (size_t i = 0; i < message->attachment_count; i++) {
        const struct attachment *attachment = &message->attachments[i];
        struct str id = content_id_bare(attachment->content_id);

        if (can_be_inline(attachment) && map_get(places, id) == NULL)
            map_put(places, id, &shown[i]);
    }
    while (map_count(places) > 0 && next_cid(&rest, &cid))
        mark_cid(places, cid);
    map_destroy(&places);
    return shown;
}

/* The tree of parts */

static struct str body_text(const struct message *message, struct arena *arena)
{
    struct buf made;
    struct str text;

    if (message->has_text || message->html.len == 0)
        return message->text;
    buf_init(&made, HTML_TEXT_GROWTH_MAX * message->html.len);
    html_text_add(&made, message->html);
    CHECK(!made.full);
    text = arena_copy(arena, buf_str(&made));
    buf_finish(&made);
    return text;
}

static void add_files(const struct message *message, struct part_maker *maker,
                      const bool *shown, bool is_inline, struct part *multi)
{
    for (size_t i = 0; i < message->attachment_count; i++)
        if (shown[i] == is_inline)
            part_add(multi,
                     part_file(maker, &message->attachments[i], i, is_inline));
}

static size_t count_shown(const struct message *message, const bool *shown)
{
    size_t count = 0;

    for (size_t i = 0; i < message->attachment_count; i++)
        count += shown[i];
    return count;
}

static struct part *make_html(const struct message *message,
                              struct part_maker *maker, const bool *shown)
{
    struct part *html = part_text(maker, "html", message->html);
    struct part *related;

    if (count_shown(message, shown) == 0)
        return html;
    related = part_multi(maker, "related");
    part_add(related, html);
    add_files(message, maker, shown, true, related);
    return related;
}

static struct part *make_body(const struct message *message,
                              struct part_maker *maker, const bool *shown)
{
    struct str text = body_text(message, maker->arena);
    struct part *both;

    if (message->html.len == 0)
        return part_text(maker, "plain", text);
    if (text.len == 0)
        return make_html(message, maker, shown);
    both = part_multi(maker, "alternative");
    part_add(both, part_text(maker, "plain", text));
    part_add(both, make_html(message, maker, shown));
    return both;
}

static struct part *make_parts(const struct message *message,
                               struct part_maker *maker)
{
    bool *shown = find_inline(message, maker->arena);
    struct part *body = make_body(message, maker, shown);
    struct part *mixed;

    if (count_shown(message, shown) == message->attachment_count)
        return body;
    mixed = part_multi(maker, "mixed");
    part_add(mixed, body);
    add_files(message, maker, shown, false, mixed);
    return mixed;
}

/* The header */

/* Fields that stand before the caller's others, in this order. */
static const char *const PLACED[] = {
    "Message-ID",      "In-Reply-To",      "References",
    "List-Id",         "List-Unsubscribe", "List-Unsubscribe-Post",
    "Feedback-ID",     "Auto-Submitted",   "X-Auto-Response-Suppress",
    "X-Entity-Ref-ID",
};

static bool is_placed(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(PLACED); i++)
        if (str_eq_nocase(name, str_of(PLACED[i])))
            return true;
    return false;
}

/* What a field holds when the caller does not set it; empty: left out. */
static struct str default_value(const struct message *message, const char *name)
{
    if (strcmp(name, "Message-ID") == 0)
        return message->message_id;
    if (strcmp(name, "X-Entity-Ref-ID") == 0)
        return message->entity_ref;
    if (message->is_bulk)
        return S("");
    if (strcmp(name, "Auto-Submitted") == 0)
        return S("auto-generated"); /* RFC 3834 section 5 */
    /* Not DR, NDR or RN: Exchange would keep bounces from us. */
    if (strcmp(name, "X-Auto-Response-Suppress") == 0)
        return S("OOF, AutoReply");
    return S("");
}

static void add_placed(const struct message *message, struct buf *out)
{
    for (size_t i = 0; i < COUNT_OF(PLACED); i++) {
        struct header header = {str_of(PLACED[i]), S("")};

        if (!header_find(message->headers, message->header_count, PLACED[i],
                         &header.value))
            header.value = default_value(message, PLACED[i]);
        if (header.value.len > 0)
            header_add(out, &header);
    }
}

static void add_others(const struct message *message, struct buf *out)
{
    for (size_t i = 0; i < message->header_count; i++)
        if (!is_placed(message->headers[i].name))
            header_add(out, &message->headers[i]);
}

static void add_lists(const struct message *message, struct buf *out)
{
    header_add_mailboxes(out, "From", &message->from, 1);
    if (message->to_count > 0)
        header_add_mailboxes(out, "To", message->to, message->to_count);
    if (message->cc_count > 0)
        header_add_mailboxes(out, "Cc", message->cc, message->cc_count);
    if (message->to_count == 0 && message->cc_count == 0)
        header_add_structured(out, "To", S("undisclosed-recipients:;"));
    if (message->reply_to_count > 0)
        header_add_mailboxes(out, "Reply-To", message->reply_to,
                             message->reply_to_count);
}

static void add_header(const struct message *message, struct buf *out)
{
    CHECK(is_msg_id(message->message_id));
    add_lists(message, out);
    header_add_text(out, "Subject", message->subject);
    header_add_date(out, message->date_ms);
    add_placed(message, out);
    add_others(message, out);
    buf_add(out, S("MIME-Version: 1.0\r\n"));
}

/* The whole */

size_t message_compose(const struct message *message, struct arena *arena,
                       struct buf *out, struct octets_files *files)
{
    struct part_maker maker = {.arena = arena, .seed = message->seed};
    struct part *root = make_parts(message, &maker);
    size_t start = out->len;
    size_t body_start;

    if (files != NULL)
        *files = (struct octets_files){
            .items = ARENA_ARRAY(arena, struct octets_file,
                                 message->attachment_count)};
    add_header(message, out);
    part_add_header(root, out);
    buf_add(out, S("\r\n"));
    body_start = out->len;
    part_add_body(root, out, files);
    if (!out->full && !str_ends(buf_str(out), S("\r\n")))
        buf_add(out, S("\r\n"));
    return body_start - start;
}

/* A message in a message goes as text, whose line ends may grow. */
static size_t attachment_bound(const struct attachment *attachment)
{
    struct str type = attachment->type;
    size_t base64 = base64_lines_len(attachment->content.len);
    size_t text = 0;

    if (type.len == 0)
        type = content_type_guess(attachment->name);
    if (str_starts_nocase(type, S("message/")))
        text = canonical_len(attachment->content);
    return ATTACHMENT_FRAME + (text > base64 ? text : base64);
}

size_t message_size_bound(const struct message *message)
{
    size_t boxes =
        1 + message->to_count + message->cc_count + message->reply_to_count;
    size_t text = canonical_len(message->text);
    size_t size =
        MESSAGE_FRAME + boxes * MAILBOX_FRAME + 4 * message->subject.len;

    if (!message->has_text)
        text = HTML_TEXT_GROWTH_MAX * message->html.len;
    size += base64_lines_len(text);
    size += base64_lines_len(canonical_len(message->html));
    for (size_t i = 0; i < message->header_count; i++)
        size += HEADER_FRAME + message->headers[i].name.len +
                4 * message->headers[i].value.len;
    for (size_t i = 0; i < message->attachment_count; i++)
        size += attachment_bound(&message->attachments[i]);
    return size;
}

static bool any_needs_utf8(const struct mailbox *boxes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (boxes[i].needs_utf8)
            return true;
    return false;
}

bool message_needs_utf8(const struct message *message)
{
    return any_needs_utf8(&message->from, 1) ||
           any_needs_utf8(message->to, message->to_count) ||
           any_needs_utf8(message->cc, message->cc_count) ||
           any_needs_utf8(message->reply_to, message->reply_to_count);
}
