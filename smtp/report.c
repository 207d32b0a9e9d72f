#include "smtp/report.h"

#include "server/base/codec.h"
#include "smtp/feedback.h"
#include "smtp/inbox_decode.h"
#include "smtp/mime_part.h"
#include "smtp/reply.h"

#include <stdbool.h>

/* Parts that are looked at; what follows the returned mail is of no use. */
enum { PARTS_MAX = 8, TEXT_MAX = REPLY_TEXT_MAX, LIST_MAX = 16 };

struct reader {
    struct report *report;
    struct arena *arena;
};

/* --- fields --- */

/* A fold may leave a run of blanks: one of them stays. */
static void add_squeezed(struct buf *out, struct str text)
{
    char before = 'x';

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i] == '\t' ? ' ' : text.ptr[i];

        if (c != ' ' || before != ' ')
            buf_add_char(out, c);
        before = c;
    }
}

/* Unfolded, decoded, fit to be shown. */
static struct str clean_text(const struct reader *reader, struct str value)
{
    struct buf decoded;
    struct buf line;
    struct buf text;
    struct str copy;

    buf_init(&decoded, (size_t)MIME_FIELD_MAX * 3);
    buf_init(&line, (size_t)MIME_FIELD_MAX * 3);
    buf_init(&text, TEXT_MAX);
    inbox_decode_header(&decoded, mime_trim(value));
    add_squeezed(&line, buf_str(&decoded));
    utf8_clean_add(&text, buf_str(&line), TEXT_MAX);
    buf_finish(&line);
    copy = arena_copy(reader->arena, buf_str(&text));
    buf_finish(&text);
    buf_finish(&decoded);
    return copy;
}

static struct str field_text(const struct reader *reader, struct str block,
                             struct str name)
{
    return clean_text(reader, mime_field(block, name));
}

/* "smtp; 550 no", "rfc822;a@b": what stands behind the type, which may be left
 * out. */
static struct str untyped(struct str value)
{
    struct str rest = value;
    struct str type;

    if (str_index(value, ';', 0) < 0 || !str_cut(&rest, ';', &type))
        return value;
    type = str_trim(type);
    if (type.len == 0 || !ascii_is_alpha(type.ptr[0]))
        return value;
    for (size_t i = 0; i < type.len; i++)
        if (!ascii_is_alnum(type.ptr[i]) && type.ptr[i] != '-')
            return value;
    return str_trim(rest);
}

/* Without name and angle brackets. */
static struct str bare_address(struct str text)
{
    ptrdiff_t open = str_index(text, '<', 0);
    ptrdiff_t close = str_index(text, '>', open < 0 ? 0 : (size_t)open);

    if (open < 0)
        return mime_trim(text);
    if (close < 0)
        close = (ptrdiff_t)text.len;
    return mime_trim(
        str_slice(text, (size_t)open + 1, (size_t)(close - open - 1)));
}

/* --- addresses that may be a return path --- */

static void add_address(const struct reader *reader, struct str text)
{
    struct report *report = reader->report;
    struct str address = bare_address(text);

    if (address.len > 0 && report->address_count < REPORT_ADDRESSES_MAX)
        report->addresses[report->address_count++] = address;
}

/* All of a list of addresses. */
static void add_field(const struct reader *reader, struct str header,
                      struct str name)
{
    struct str rest = mime_field(header, name);
    struct str one;

    for (unsigned i = 0; i < LIST_MAX && str_cut(&rest, ',', &one); i++)
        add_address(reader, one);
}

/* --- message/delivery-status --- */

static enum report_action action_of(struct str text)
{
    static const char *const NAMES[REPORT_ACTION_UNKNOWN] = {
        [REPORT_FAILED] = "failed",       [REPORT_DELAYED] = "delayed",
        [REPORT_DELIVERED] = "delivered", [REPORT_RELAYED] = "relayed",
        [REPORT_EXPANDED] = "expanded",
    };
    unsigned action = 0;

    /* Some add a comment. */
    while (action < REPORT_ACTION_UNKNOWN &&
           !str_starts_nocase(text, str_of(NAMES[action])))
        action++;
    return (enum report_action)action;
}

/* "5.1.1" of "5.1.1 (bad mailbox)". */
static struct str status_of(struct str text)
{
    return str_slice(text, 0, reply_enhanced_len(text));
}

static void read_recipient(const struct reader *reader, struct str block,
                           struct str action)
{
    struct report *report = reader->report;

    report->recipients[report->recipient_count++] = (struct report_recipient){
        .action = action_of(action),
        .status = status_of(field_text(reader, block, S("Status"))),
        .diagnostic = untyped(field_text(reader, block, S("Diagnostic-Code"))),
    };
}

/* Blocks of fields with empty lines between: the first is of the message, each
 * other one of a recipient. Some leave the first one out. */
static void read_status(const struct reader *reader, struct str body)
{
    while (body.len > 0 &&
           reader->report->recipient_count < REPORT_RECIPIENTS_MAX) {
        struct mime_part part = mime_part_split(body);
        struct str action = mime_trim(mime_field(part.header, S("Action")));

        if (action.len > 0)
            read_recipient(reader, part.header, action);
        body = part.body;
    }
}

/* --- message/feedback-report --- */

static void read_feedback(const struct reader *reader, struct str body)
{
    struct report *report = reader->report;

    report->feedback_type = field_text(reader, body, S("Feedback-Type"));
    add_address(reader, field_text(reader, body, S("Original-Mail-From")));
}

/* --- the message --- */

/* Slices of what was decoded live in arena. */
static struct str body_text(const struct reader *reader,
                            const struct mime_part *part)
{
    struct buf text;
    struct str copy;

    buf_init(&text, (size_t)REPORT_BYTES_MAX * 3);
    inbox_decode_body(&text, part->body,
                      mime_main_value(mime_field(
                          part->header, S("Content-Transfer-Encoding"))),
                      S("utf-8"));
    copy = arena_copy(reader->arena, buf_str(&text));
    buf_finish(&text);
    return copy;
}

static bool is_one_of(struct str type, const char *const *names)
{
    for (; *names != NULL; names++)
        if (str_eq_nocase(type, str_of(*names)))
            return true;
    return false;
}

static const char *const STATUS_TYPES[] = {
    "message/delivery-status", "message/global-delivery-status", NULL};
static const char *const RETURNED_TYPES[] = {
    "message/rfc822", "text/rfc822-headers", "message/global",
    "message/global-headers", NULL};

/* A second part of a kind says nothing any more. */
static void read_part(const struct reader *reader, struct str bytes)
{
    struct mime_part part = mime_part_split(bytes);
    struct str type =
        mime_main_value(mime_field(part.header, S("Content-Type")));
    struct report *report = reader->report;

    if (is_one_of(type, RETURNED_TYPES)) {
        add_field(reader, mime_part_split(body_text(reader, &part)).header,
                  S("Return-Path"));
    } else if (report->kind != REPORT_NONE) {
        return;
    } else if (is_one_of(type, STATUS_TYPES)) {
        report->kind = REPORT_DELIVERY;
        read_status(reader, body_text(reader, &part));
    } else if (str_eq_nocase(type, S("message/feedback-report"))) {
        report->kind = REPORT_FEEDBACK;
        read_feedback(reader, body_text(reader, &part));
    }
}

_Static_assert((int)REPORT_BYTES_MAX == SMTP_FEEDBACK_BYTES_MAX,
               "the door promises as much");

void report_read(struct report *report, struct str message, struct arena *arena)
{
    struct reader reader = {.report = report, .arena = arena};
    struct mime_part whole =
        mime_part_split(str_slice(message, 0, REPORT_BYTES_MAX));
    struct str type = mime_field(whole.header, S("Content-Type"));
    struct str boundary = mime_param(type, S("boundary"));
    struct mime_parts parts;
    struct str bytes;

    *report = (struct report){0};
    if (!str_eq_nocase(mime_main_value(type), S("multipart/report")) ||
        boundary.len == 0)
        return;
    add_field(&reader, whole.header, S("Delivered-To"));
    add_field(&reader, whole.header, S("X-Original-To"));
    add_field(&reader, whole.header, S("To"));
    mime_parts_init(&parts, whole.body, boundary);
    for (unsigned i = 0; i < PARTS_MAX && mime_parts_next(&parts, &bytes); i++)
        read_part(&reader, bytes);
}
