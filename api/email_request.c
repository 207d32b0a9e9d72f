#include "api/email_request.h"

#include "api/schedule.h"
#include "api/tables.h"
#include "server/base/buf.h"
#include "server/base/codec.h"
#include "server/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ATTACHMENTS_MAX = 100,
    TEMPLATE_DATA_MAX = 1000, /* variables */
    METADATA_MAX = 2048,      /* bytes, as JSON */
    HEADERS_SIZE_MAX =
        HEADER_COUNT_MAX * 4 * (HEADER_NAME_MAX + HEADER_VALUE_MAX),
    EXPIRES_IN_MAX = 60 * 86400, /* s; message_ttl is the real limit */
};

const char *const EMAIL_CLASSES[] = {"verification",  "reset", "alert",
                                     "transactional", "bulk",  NULL};
static const char *const ON_UNKNOWN[] = {"retry", "hold", "fail", NULL};

const struct field TAG_FIELDS[] = {
    {.name = "name", .type = FIELD_TEXT, .required = true, .max = TAG_MAX},
    {.name = "value", .type = FIELD_TEXT, .required = true, .max = TAG_MAX},
    {.name = NULL},
};

#define OF_ATTACHMENT .kind = PROBLEM_INVALID_ATTACHMENT
const struct field ATTACHMENT_FIELDS[] = {
    {.name = "content", .type = FIELD_TEXT, .max = INT32_MAX, OF_ATTACHMENT},
    {.name = "path", .type = FIELD_LATER, OF_ATTACHMENT},
    {.name = "filename",
     .type = FIELD_TEXT,
     .max = FILENAME_MAX_BYTES,
     OF_ATTACHMENT},
    {.name = "content_type",
     .type = FIELD_TEXT,
     .max = CONTENT_TYPE_MAX,
     OF_ATTACHMENT},
    {.name = "content_id", .type = FIELD_TEXT, .max = 200, OF_ATTACHMENT},
    {.name = NULL},
};

const struct field EMAIL_TEMPLATE_FIELDS[] = {
    {.name = "id",
     .type = FIELD_TEXT,
     .required = true,
     .max = TEMPLATE_NAME_MAX},
    {.name = "variables", .type = FIELD_OBJECT, .max = TEMPLATE_DATA_MAX},
    {.name = "locale", .type = FIELD_TEXT, .max = LOCALE_TAG_MAX},
    {.name = NULL},
};

const struct field EMAIL_FIELDS[] = {
    {.name = "from",
     .type = FIELD_TEXT,
     .max = ADDRESS_TEXT_MAX,
     .kind = PROBLEM_INVALID_FROM_ADDRESS},
    {.name = "to",
     .type = FIELD_TEXTS,
     .required = true,
     .max = EMAIL_RECIPIENTS_MAX},
    {.name = "subject", .type = FIELD_TEXT, .max = SUBJECT_MAX},
    {.name = "cc", .type = FIELD_TEXTS, .max = EMAIL_RECIPIENTS_MAX},
    {.name = "bcc", .type = FIELD_TEXTS, .max = EMAIL_RECIPIENTS_MAX},
    {.name = "reply_to", .type = FIELD_TEXTS, .max = EMAIL_RECIPIENTS_MAX},
    {.name = "html", .type = FIELD_TEXT, .max = INT32_MAX},
    {.name = "text", .type = FIELD_TEXT, .max = INT32_MAX},
    {.name = "headers", .type = FIELD_MAP, .max = HEADER_COUNT_MAX},
    {.name = "attachments",
     .type = FIELD_LIST,
     .max = ATTACHMENTS_MAX,
     .members = ATTACHMENT_FIELDS,
     OF_ATTACHMENT},
    {.name = "tags",
     .type = FIELD_LIST,
     .max = EMAIL_TAGS_MAX,
     .members = TAG_FIELDS},
    {.name = "scheduled_at", .type = FIELD_TEXT, .max = TIME_TEXT_MAX},
    {.name = "class", .type = FIELD_WORD, .words = EMAIL_CLASSES},
    {.name = "expires_in", .type = FIELD_INT, .min = 1, .max = EXPIRES_IN_MAX},
    {.name = "expires_at", .type = FIELD_TEXT, .max = TIME_TEXT_MAX},
    {.name = "metadata", .type = FIELD_MAP, .max = 50},
    {.name = "sensitive", .type = FIELD_BOOL},
    {.name = "on_unknown", .type = FIELD_WORD, .words = ON_UNKNOWN},
    {.name = "topic_id", .type = FIELD_IGNORED},
    {.name = "template",
     .type = FIELD_STRUCT,
     .members = EMAIL_TEMPLATE_FIELDS},
    {.name = "collapse_key", .type = FIELD_LATER},
    {.name = "upstream", .type = FIELD_LATER},
    {.name = NULL},
};

struct reader {
    struct email_request *request;
    struct arena *arena;
    const struct json *root;
    const struct config *config;
    int64_t now_ms;
    struct faults *faults;
};

static void flaw_add(struct reader *reader, enum problem_kind kind,
                     struct str pointer, enum flaw flaw)
{
    if (flaw != FLAW_NONE)
        faults_add(reader->faults, kind, pointer, flaw_code(flaw), "%s",
                   flaw_text(flaw));
}

/* Of the body, else of the template. */
static const struct json *member(const struct reader *reader, const char *name)
{
    const struct email_content *content = reader->request->content;

    if (field_is_there(reader->root, name))
        return json_get(reader->root, name);
    return content == NULL ? NULL : json_get(content->root, name);
}

/* A template that could not be rendered might have had it. */
static void miss(struct reader *reader, struct str pointer)
{
    if (!field_is_there(reader->root, "template") ||
        reader->request->content != NULL)
        faults_add_missing(reader->faults, pointer);
}

/* --- addresses --- */

static void read_from(struct reader *reader)
{
    struct email_request *request = reader->request;

    if (member(reader, "from") == NULL) {
        miss(reader, S("/from"));
        return;
    }
    request->from_text = json_str(member(reader, "from"));
    flaw_add(reader, PROBLEM_INVALID_FROM_ADDRESS, S("/from"),
             mailbox_parse(reader->arena, request->from_text, &request->from));
}

static void read_boxes(struct reader *reader, const char *name,
                       struct email_boxes *out)
{
    const struct json *value = member(reader, name);
    bool is_list = json_type_of(value) == JSON_LIST;

    out->count = is_list ? json_count(value) : value != NULL ? 1 : 0;
    out->texts = ARENA_ARRAY(reader->arena, struct str, out->count);
    out->boxes = ARENA_ARRAY(reader->arena, struct mailbox, out->count);
    for (size_t i = 0; i < out->count; i++) {
        struct str pointer;
        enum flaw flaw;

        out->texts[i] = json_str(is_list ? json_at(value, i) : value);
        flaw = mailbox_parse(reader->arena, out->texts[i], &out->boxes[i]);
        if (flaw == FLAW_NONE)
            continue;
        pointer = arena_printf(reader->arena, "/%s", name);
        if (is_list)
            pointer = pointer_index(reader->arena, pointer, i);
        flaw_add(reader, PROBLEM_VALIDATION_ERROR, pointer, flaw);
    }
}

static bool is_known(const struct email_request *request, struct str key)
{
    for (size_t i = 0; i < request->recipient_count; i++)
        if (str_eq(request->recipients[i].box->key, key))
            return true;
    return false;
}

/* Whoever is named twice gets one mail. */
static void add_recipients(struct email_request *request,
                           const struct email_boxes *boxes, unsigned *number)
{
    for (size_t i = 0; i < boxes->count; i++, ++*number)
        if (!is_known(request, boxes->boxes[i].key))
            request->recipients[request->recipient_count++] =
                (struct email_recipient){&boxes->boxes[i], *number};
}

static size_t texts_count(const struct reader *reader, const char *name)
{
    const struct json *value = member(reader, name);

    return json_type_of(value) == JSON_LIST ? json_count(value) : value != NULL;
}

static void read_recipients(struct reader *reader)
{
    struct email_request *request = reader->request;
    size_t count = texts_count(reader, "to") + texts_count(reader, "cc") +
                   texts_count(reader, "bcc");
    size_t before = reader->faults->count;
    unsigned number = 0;

    if (count > EMAIL_RECIPIENTS_MAX) {
        faults_add(reader->faults, PROBLEM_VALIDATION_ERROR, S("/to"),
                   "too_many_recipients",
                   "has, with cc and bcc, %zu recipients; at most %d are "
                   "taken",
                   count, EMAIL_RECIPIENTS_MAX);
        return;
    }
    read_boxes(reader, "to", &request->to);
    read_boxes(reader, "cc", &request->cc);
    read_boxes(reader, "bcc", &request->bcc);
    read_boxes(reader, "reply_to", &request->reply_to);
    if (reader->faults->count > before)
        return;
    add_recipients(request, &request->to, &number);
    add_recipients(request, &request->cc, &number);
    add_recipients(request, &request->bcc, &number);
}

/* --- what is in it --- */

static void read_subject(struct reader *reader)
{
    struct email_request *request = reader->request;

    if (member(reader, "subject") == NULL) {
        miss(reader, S("/subject"));
        return;
    }
    request->subject = json_str(member(reader, "subject"));
    if (request->content != NULL && !field_is_there(reader->root, "subject"))
        request->shown_subject = request->content->shown;
    flaw_add(reader, PROBLEM_VALIDATION_ERROR, S("/subject"),
             subject_check(request->subject));
}

static void read_text(struct reader *reader)
{
    static const char *const names[] = {"html", "text"};

    if (!field_is_there(reader->root, "template")) {
        if (member(reader, "html") == NULL && member(reader, "text") == NULL)
            faults_add(reader->faults, PROBLEM_MISSING_REQUIRED_FIELD,
                       S("/html"), "required", "or `text` must be given");
        return;
    }
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (field_is_there(reader->root, names[i]))
            faults_add(reader->faults, PROBLEM_VALIDATION_ERROR,
                       pointer_member(reader->arena, S(""), str_of(names[i])),
                       "either_or", "and `template` exclude each other");
}

static void read_headers(struct reader *reader)
{
    const struct json *map = member(reader, "headers");
    struct header headers[HEADER_COUNT_MAX];
    const struct json *value;
    size_t count = 0;
    void *at = NULL;

    while (json_next(map, &at, &headers[count].name, &value)) {
        struct header *header = &headers[count];
        enum flaw flaw = header_name_check(headers, count);

        header->value = json_str(value);
        if (flaw == FLAW_NONE)
            flaw = header_value_check(header);
        if (flaw != FLAW_NONE)
            flaw_add(reader, PROBLEM_VALIDATION_ERROR,
                     pointer_member(reader->arena, S("/headers"), header->name),
                     flaw);
        if (++count == HEADER_COUNT_MAX)
            break;
    }
    if (header_find(headers, count, "Message-ID", &reader->request->message_id))
        reader->request->message_id = str_trim(reader->request->message_id);
}

static struct str copy_out(struct reader *reader, struct buf *buf)
{
    struct str text = arena_copy(reader->arena, buf_str(buf));

    buf_finish(buf);
    return text;
}

static void read_tags(struct reader *reader)
{
    struct email_request *request = reader->request;
    const struct json *list = member(reader, "tags");
    struct json_out out;
    struct buf buf;

    request->tag_count = json_count(list);
    if (request->tag_count == 0)
        return;
    buf_init(&buf, 1 << 17);
    json_out_init(&out, &buf);
    json_open_list(&out);
    for (size_t i = 0; i < request->tag_count; i++) {
        struct smtp_tag *tag = &request->tags[i];
        struct str base = pointer_index(reader->arena, S("/tags"), i);

        tag->name = json_get_str(json_at(list, i), "name");
        tag->value = json_get_str(json_at(list, i), "value");
        flaw_add(reader, PROBLEM_VALIDATION_ERROR,
                 pointer_member(reader->arena, base, S("name")),
                 tag_check(tag->name));
        flaw_add(reader, PROBLEM_VALIDATION_ERROR,
                 pointer_member(reader->arena, base, S("value")),
                 tag_check(tag->value));
        json_open_map(&out);
        json_add_str(&out, "name", tag->name);
        json_add_str(&out, "value", tag->value);
        json_close_map(&out);
    }
    json_close_list(&out);
    request->tags_json = copy_out(reader, &buf);
}

static void read_metadata(struct reader *reader)
{
    const struct json *map = member(reader, "metadata");
    struct buf buf;

    if (json_count(map) == 0)
        return;
    buf_init(&buf, METADATA_MAX);
    json_dump(map, &buf);
    if (buf.full)
        faults_add(reader->faults, PROBLEM_VALIDATION_ERROR, S("/metadata"),
                   "too_long", "must be at most %d bytes as JSON",
                   METADATA_MAX);
    reader->request->metadata_json = copy_out(reader, &buf);
}

/* --- attachments --- */

static void attachment_flaw(struct reader *reader, size_t index,
                            const char *name, enum flaw flaw)
{
    struct str base = pointer_index(reader->arena, S("/attachments"), index);

    flaw_add(reader, PROBLEM_INVALID_ATTACHMENT,
             pointer_member(reader->arena, base, str_of(name)), flaw);
}

static void read_content(struct reader *reader, size_t index,
                         const struct json *from)
{
    struct email_request *request = reader->request;
    struct str pointer = pointer_index(reader->arena, S("/attachments"), index);
    struct str content = json_get_str(from, "content");
    struct buf *bytes = &request->contents[index];

    if (!field_is_there(from, "content")) {
        faults_add(reader->faults, PROBLEM_INVALID_ATTACHMENT, pointer,
                   "no_content", "needs `content`, in base64");
        return;
    }
    buf_init(bytes, content.len + 1);
    if (!codec_base64_decode(content, bytes))
        faults_add(reader->faults, PROBLEM_INVALID_ATTACHMENT,
                   pointer_member(reader->arena, pointer, S("content")),
                   "bad_base64",
                   "is not base64 (RFC 4648, padded, without line ends)");
    request->attachment_bytes[index].bytes = buf_str(bytes);
}

static void read_attachment(struct reader *reader, size_t index,
                            const struct json *from)
{
    struct job_attachment *attachment = &reader->request->attachments[index];

    attachment->filename = json_get_str(from, "filename");
    attachment->content_type = json_get_str(from, "content_type");
    attachment->content_id = json_get_str(from, "content_id");
    if (attachment->filename.len > 0)
        attachment_flaw(reader, index, "filename",
                        filename_check(attachment->filename));
    if (attachment->content_type.len > 0)
        attachment_flaw(reader, index, "content_type",
                        content_type_check(attachment->content_type));
    if (attachment->content_id.len > 0)
        attachment_flaw(reader, index, "content_id",
                        content_id_check(attachment->content_id));
    read_content(reader, index, from);
    attachment->size_bytes = reader->request->attachment_bytes[index].bytes.len;
}

static void read_attachments(struct reader *reader)
{
    struct email_request *request = reader->request;
    const struct json *list = member(reader, "attachments");
    size_t count = json_count(list);

    if (count == 0)
        return;
    request->attachments =
        ARENA_ARRAY(reader->arena, struct job_attachment, count);
    request->attachment_bytes =
        ARENA_ARRAY(reader->arena, struct queue_blob, count);
    request->contents = ARENA_ARRAY(reader->arena, struct buf, count);
    request->attachment_count = count;
    for (size_t i = 0; i < count; i++)
        read_attachment(reader, i, json_at(list, i));
}

/* --- how and when --- */

static void read_schedule(struct reader *reader)
{
    reader->request->scheduled_ms =
        schedule_read_start(reader->root, reader->now_ms, reader->faults);
}

static void check_deadline(struct reader *reader, struct str pointer,
                           int64_t due_ms)
{
    int64_t ttl_ms = reader->config->worker.message_ttl_ms;
    int64_t at_ms = reader->request->expires_ms;

    if (at_ms <= reader->now_ms)
        faults_add(reader->faults, PROBLEM_VALIDATION_ERROR, pointer,
                   "in_the_past", "must be in the future");
    else if (at_ms <= due_ms)
        faults_add(reader->faults, PROBLEM_VALIDATION_ERROR, pointer,
                   "before_schedule", "must be behind `scheduled_at`");
    else if (at_ms > due_ms + ttl_ms)
        faults_add(reader->faults, PROBLEM_VALIDATION_ERROR, pointer,
                   "too_late",
                   "is beyond the %lld hours for which this server tries",
                   (long long)(ttl_ms / 3600000));
}

static void read_deadline(struct reader *reader)
{
    struct email_request *request = reader->request;
    struct schedule_end end;
    int64_t due_ms =
        request->scheduled_ms == 0 ? reader->now_ms : request->scheduled_ms;
    const struct json *in = member(reader, "expires_in");

    if (in != NULL && member(reader, "expires_at") != NULL) {
        faults_add(reader->faults, PROBLEM_VALIDATION_ERROR, S("/expires_at"),
                   "either_or", "and `expires_in` exclude each other");
    } else if (schedule_read_time(reader->root, "expires_at", reader->now_ms,
                                  reader->faults, &request->expires_ms)) {
        check_deadline(reader, S("/expires_at"), due_ms);
    } else {
        end = schedule_end_of(request->mail_class, &reader->config->worker,
                              due_ms, in == NULL ? 0 : json_int(in));
        request->expires_ms = end.expires_ms;
        request->max_age_ms = end.max_age_ms;
        if (in != NULL)
            check_deadline(reader, S("/expires_in"), due_ms);
    }
}

static void read_choices(struct reader *reader)
{
    struct email_request *request = reader->request;
    request->mail_class = CLASS_TRANSACTIONAL;
    if (member(reader, "class") != NULL)
        CHECK(mail_class_parse(json_get_str(reader->root, "class"),
                               &request->mail_class));
    request->sensitive = request->mail_class == CLASS_VERIFICATION ||
                         request->mail_class == CLASS_RESET;
    if (request->content != NULL && request->content->is_sensitive)
        request->sensitive = true;
    if (member(reader, "sensitive") != NULL)
        request->sensitive = json_get_bool(reader->root, "sensitive");
    request->on_unknown =
        on_unknown_named(json_get_str(reader->root, "on_unknown"));
}

/* --- how large --- */

static const struct attachment *files_of(struct reader *reader)
{
    const struct email_request *request = reader->request;
    struct attachment *files = ARENA_ARRAY(reader->arena, struct attachment,
                                           request->attachment_count);

    for (size_t i = 0; i < request->attachment_count; i++)
        files[i] = (struct attachment){
            .content = request->attachment_bytes[i].bytes,
            .name = request->attachments[i].filename,
            .type = request->attachments[i].content_type,
        };
    return files;
}

/* What the worker could not compose must not be accepted. Headers are too
 * small to matter. */
static bool is_size_good(struct reader *reader)
{
    const struct email_request *request = reader->request;
    struct message message = {
        .from = request->from,
        .to_count = request->to.count,
        .cc_count = request->cc.count,
        .reply_to_count = request->reply_to.count,
        .subject = request->subject,
        .has_text = member(reader, "text") != NULL,
        .text = json_str(member(reader, "text")),
        .html = json_str(member(reader, "html")),
        .attachments = files_of(reader),
        .attachment_count = request->attachment_count,
    };

    if (message_size_bound(&message) + HEADERS_SIZE_MAX <= MESSAGE_BYTES_MAX)
        return true;
    faults_add(reader->faults, PROBLEM_VALIDATION_ERROR, S(""),
               "message_too_large",
               "makes a mail that may be over %d MiB, encoded as it must be",
               MESSAGE_BYTES_MAX >> 20);
    return false;
}

/* --- all of it --- */

/* null is absent: beside what a template gives, its name would stand twice. */
static void put_members(const struct json *from, const struct json *not_in,
                        struct json_out *out)
{
    const struct json *value;
    struct str name;
    void *at = NULL;

    while (json_next(from, &at, &name, &value)) {
        char key[32]; /* of what a template gives */

        if (json_type_of(value) == JSON_NULL_VALUE ||
            str_eq(name, S("attachments")) || str_eq(name, S("template")))
            continue;
        snprintf(key, sizeof key, "%.*s", STR_ARG(name));
        if (field_is_there(not_in, key))
            continue;
        json_name_str(out, name);
        json_put_value(out, value);
    }
}

/* The body itself, unless it holds files, which are stored apart, or names a
 * template, whose texts take its place. False: it is too long. */
static bool mail_of(struct reader *reader, struct str body)
{
    struct email_request *request = reader->request;
    const struct email_content *content = request->content;
    struct json_out out;
    struct buf buf;
    bool fits;

    request->mail_json = body;
    if (request->attachment_count == 0 && content == NULL)
        return body.len <= RECORD_MAIL_MAX;
    buf_init(&buf, RECORD_MAIL_MAX);
    json_out_init(&out, &buf);
    json_open_map(&out);
    put_members(reader->root, NULL, &out);
    if (content != NULL)
        put_members(content->root, reader->root, &out);
    json_close_map(&out);
    fits = !buf.full;
    request->mail_json = copy_out(reader, &buf);
    return fits;
}

/* Escapes may come out longer than they went in, by a factor of six, and what
 * is ignored is stored all the same. */
static void read_mail(struct reader *reader, struct str body)
{
    if (!mail_of(reader, body))
        faults_add(reader->faults, PROBLEM_VALIDATION_ERROR, S(""),
                   "message_too_large",
                   "is over %d MiB as it is stored, without its attachments",
                   RECORD_MAIL_MAX >> 20);
}

enum { READS_MAX = 4 };

/* What reads which members: a reader needs them to be of their type. */
static const struct {
    void (*read)(struct reader *reader);
    const char *members[READS_MAX];
} READERS[] = {
    {read_from, {"/from"}},
    {read_recipients, {"/to", "/cc", "/bcc", "/reply_to"}},
    {read_subject, {"/subject"}},
    {read_text, {"/html", "/text"}},
    {read_headers, {"/headers"}},
    {read_tags, {"/tags"}},
    {read_metadata, {"/metadata"}},
    {read_attachments, {"/attachments"}},
    {read_choices, {"/class", "/sensitive", "/on_unknown"}},
    {read_schedule, {"/scheduled_at"}},
    {read_deadline, {"/class", "/scheduled_at", "/expires_in", "/expires_at"}},
};

/* Everything that is wrong is told at once, so a member that is no good only
 * keeps those readers away that need it. */
static void read_members(struct reader *reader)
{
    for (size_t i = 0; i < COUNT_OF(READERS); i++) {
        bool is_sound = true;

        for (size_t j = 0; j < READS_MAX && READERS[i].members[j]; j++)
            is_sound = is_sound &&
                       !faults_are_at(reader->faults, READERS[i].members[j]);
        if (is_sound)
            READERS[i].read(reader);
    }
}

static void read_template(struct email_request *request, struct faults *faults)
{
    const struct json *template = json_get(request->root, "template");

    if (!field_is_there(request->root, "template") ||
        faults_are_at(faults, "/template"))
        return;
    request->template_name = json_get_str(template, "id");
    if (field_is_there(template, "variables"))
        request->variables = json_get(template, "variables");
    request->locale = json_get_str(template, "locale");
    if (request->template_name.len == 0)
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/template/id"), "empty",
                   "must be the id or the alias of a template");
}

bool email_request_open(struct email_request *request, struct arena *arena,
                        struct str body, struct faults *faults)
{
    struct error err;

    memset(request, 0, sizeof *request);
    request->arena = arena;
    request->root = json_parse(body, &err);
    if (request->root == NULL) {
        faults_add(faults, PROBLEM_BAD_JSON, S(""), "bad_json",
                   "is not valid JSON: %s", err.text);
        return false;
    }
    if (json_type_of(request->root) != JSON_MAP) {
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S(""), "type",
                   "must be a JSON object, not of type %s",
                   json_type_name(json_type_of(request->root)));
        return false;
    }
    fields_check(EMAIL_FIELDS, request->root, S(""), faults);
    read_template(request, faults);
    return faults->more == 0; /* else not all of them are known */
}

bool email_request_read(struct email_request *request, struct str body,
                        const struct email_content *content,
                        const struct config *config, int64_t now_ms,
                        struct faults *faults)
{
    struct reader reader = {.request = request,
                            .arena = request->arena,
                            .root = request->root,
                            .config = config,
                            .now_ms = now_ms,
                            .faults = faults};

    request->content = content;
    read_members(&reader);
    if (faults->count == 0 && is_size_good(&reader))
        read_mail(&reader, body);
    return faults->count == 0;
}

void email_request_finish(struct email_request *request)
{
    for (size_t i = 0; i < request->attachment_count; i++)
        buf_finish(&request->contents[i]);
    json_destroy(&request->root);
}
