#include "queue/record.h"

#include "queue/levels.h"

#include "server/base/mem.h"

#include <stdlib.h>

/* Member names are short: the summary is kept for weeks, once per mail. */

enum {
    HEAD_MAX = 64,
    PLAIN_MAX = RECORD_MAIL_MAX + (1 << 20),
    MAILBOXES_MAX = 1000,
    ATTACHMENTS_MAX = 10000,
};

static const char SEAL_LABEL[] = "mail";

/* --- writing --- */

static void put_list(struct json_out *json, const char *name,
                     const struct str *items, size_t count)
{
    if (count == 0)
        return;
    json_name(json, name);
    json_open_list(json);
    for (size_t i = 0; i < count; i++)
        json_put_str(json, items[i]);
    json_close_list(json);
}

static void put_text(struct json_out *json, const char *name, struct str text)
{
    if (text.len > 0)
        json_add_str(json, name, text);
}

static void put_raw(struct json_out *json, const char *name, struct str text)
{
    if (text.len == 0)
        return;
    json_name(json, name);
    json_put_raw(json, text);
}

static void put_number(struct json_out *json, const char *name, int64_t value)
{
    if (value != 0)
        json_add_int(json, name, value);
}

/* What an ordinary mail says anyway is left out, since its history is kept
 * for long: the class, the time that its id tells, and the id in its
 * Message-ID, of which "@domain" is left. */
static void put_message_id(struct json_out *json, const struct summary *summary)
{
    struct str text = summary->message_id;

    if (text.len > ID_LEN + 2 && text.ptr[0] == '<' &&
        str_eq(str_slice(text, 1, ID_LEN), id_str(&summary->email)) &&
        text.ptr[1 + ID_LEN] == '@' && text.ptr[text.len - 1] == '>')
        text = str_slice(text, 1 + ID_LEN, text.len - ID_LEN - 2);
    put_text(json, "m", text);
}

static void write_summary(const struct summary *summary, struct buf *out)
{
    struct json_out json;

    json_out_init(&json, out);
    json_open_map(&json);
    put_text(&json, "o", summary->owner);
    put_text(&json, "f", summary->from);
    put_list(&json, "t", summary->to, summary->to_count);
    put_list(&json, "c", summary->cc, summary->cc_count);
    put_list(&json, "b", summary->bcc, summary->bcc_count);
    put_list(&json, "r", summary->reply_to, summary->reply_to_count);
    put_text(&json, "s", summary->subject);
    if (summary->mail_class != CLASS_TRANSACTIONAL)
        json_add_cstr(&json, "k", mail_class_name(summary->mail_class));
    put_raw(&json, "tg", summary->tags_json);
    put_raw(&json, "md", summary->metadata_json);
    put_text(&json, "ti", summary->template_id);
    put_text(&json, "tl", summary->locale);
    put_message_id(&json, summary);
    if (summary->created_ms != id_time_ms(&summary->email))
        json_add_int(&json, "at", summary->created_ms);
    put_number(&json, "sc", summary->scheduled_ms);
    put_number(&json, "ex", summary->expires_ms);
    json_close_map(&json);
}

static void write_attachment(struct json_out *json,
                             const struct job_attachment *attachment)
{
    json_open_map(json);
    put_text(json, "n", attachment->filename);
    put_text(json, "t", attachment->content_type);
    put_text(json, "i", attachment->content_id);
    json_add_int(json, "z", (int64_t)attachment->size_bytes);
    json_close_map(json);
}

static void write_job(struct str mail_json,
                      const struct job_attachment *attachments, size_t count,
                      int64_t date_ms, const struct job_signing *signing,
                      struct buf *out)
{
    struct json_out json;

    json_out_init(&json, out);
    json_open_map(&json);
    json_add_int(&json, "at", date_ms);
    if (signing != NULL && signing->key.len > 0) {
        json_name(&json, "dk");
        json_open_map(&json);
        json_add_str(&json, "d", signing->domain);
        json_add_str(&json, "g", signing->key);
        if (signing->return_path.len > 0)
            json_add_str(&json, "r", signing->return_path);
        json_close_map(&json);
    }
    if (count > 0) {
        json_name(&json, "a");
        json_open_list(&json);
        for (size_t i = 0; i < count; i++)
            write_attachment(&json, &attachments[i]);
        json_close_list(&json);
    }
    json_name(&json, "mail");
    json_put_raw(&json, mail_json);
    json_close_map(&json);
}

/* As it is, or sealed. */
static void add_part(const struct summary *summary,
                     const struct keyring *keyring, const struct buf *plain,
                     struct buf *out)
{
    CHECK(!plain->full);
    if (summary->sensitive)
        keyring_seal(keyring, SEAL_LABEL, id_str(&summary->email),
                     buf_str(plain), out);
    else
        buf_add(out, buf_str(plain));
}

void record_write_summary(unsigned level, const struct summary *summary,
                          const struct keyring *keyring, struct buf *out)
{
    struct buf plain;
    struct buf part;

    CHECK(keyring != NULL || !summary->sensitive);
    buf_init(&plain, PLAIN_MAX);
    buf_init(&part, PLAIN_MAX);
    write_summary(summary, &plain);
    add_part(summary, keyring, &plain, &part);
    buf_addf(out, "%u %s %zu\n", level, summary->sensitive ? "s" : "-",
             part.len);
    buf_add(out, buf_str(&part));
    secret_wipe(plain.data, plain.len);
    buf_finish(&plain);
    buf_finish(&part);
}

void record_write(unsigned level, const struct summary *summary,
                  struct str mail_json,
                  const struct job_attachment *attachments, size_t count,
                  int64_t date_ms, const struct job_signing *signing,
                  const struct keyring *keyring, struct buf *out)
{
    struct buf plain;

    record_write_summary(level, summary, keyring, out);
    buf_init(&plain, PLAIN_MAX);
    write_job(mail_json, attachments, count, date_ms, signing, &plain);
    add_part(summary, keyring, &plain, out);
    secret_wipe(plain.data, plain.len);
    buf_finish(&plain);
}

/* --- reading --- */

struct head {
    unsigned level;
    bool sealed;
    size_t summary_at;
    size_t summary_len;
};

static enum record_result read_head(struct str bytes, struct head *head)
{
    struct str rest = str_slice(bytes, 0, HEAD_MAX);
    struct str line;
    struct str level;
    struct str flags;
    uint64_t number;
    uint64_t len;

    if (str_index(rest, '\n', 0) < 0)
        return RECORD_BROKEN;
    str_cut(&rest, '\n', &line);
    head->summary_at = line.len + 1;
    if (!str_cut(&line, ' ', &level) || !str_to_u64(level, &number))
        return RECORD_BROKEN;
    if (number > level_newest())
        return RECORD_NEWER;
    if (number < LEVEL_OLDEST || !str_cut(&line, ' ', &flags) ||
        !str_to_u64(line, &len) || len > bytes.len - head->summary_at)
        return RECORD_BROKEN;
    head->level = (unsigned)number;
    head->sealed = str_eq(flags, S("s"));
    head->summary_len = (size_t)len;
    return head->sealed || str_eq(flags, S("-")) ? RECORD_OK : RECORD_BROKEN;
}

/* One part as JSON. */
static enum record_result open_part(struct str bytes, bool sealed,
                                    const struct id *email,
                                    const struct keyring *keyring,
                                    struct json **root)
{
    struct buf plain;
    enum keyring_result opened = KEYRING_UNKNOWN_ID;

    if (!sealed) {
        *root = json_parse(bytes, NULL);
        return *root == NULL ? RECORD_BROKEN : RECORD_OK;
    }
    buf_init(&plain, PLAIN_MAX);
    if (keyring != NULL)
        opened =
            keyring_open(keyring, SEAL_LABEL, id_str(email), bytes, &plain);
    if (opened == KEYRING_OK)
        *root = json_parse(buf_str(&plain), NULL);
    if (plain.data != NULL)
        secret_wipe(plain.data, plain.len);
    buf_finish(&plain);
    if (opened == KEYRING_UNKNOWN_ID)
        return RECORD_NO_KEY;
    return *root == NULL ? RECORD_BROKEN : RECORD_OK;
}

static struct str copy_text(struct record *record, const struct json *map,
                            const char *name)
{
    return arena_copy(record->arena, json_get_str(map, name));
}

static struct str copy_raw(struct record *record, const struct json *map,
                           const char *name)
{
    const struct json *value = json_get(map, name);
    struct buf text;
    struct str copy = {0};

    if (value == NULL)
        return copy;
    buf_init(&text, PLAIN_MAX);
    json_dump(value, &text);
    copy = arena_copy(record->arena, buf_str(&text));
    buf_finish(&text);
    return copy;
}

static bool copy_list(struct record *record, const struct json *map,
                      const char *name, struct str **items, size_t *count)
{
    const struct json *list = json_get(map, name);

    *count = json_count(list);
    if (*count > MAILBOXES_MAX ||
        (list != NULL && json_type_of(list) != JSON_LIST))
        return false;
    *items = ARENA_ARRAY(record->arena, struct str, *count);
    for (size_t i = 0; i < *count; i++)
        (*items)[i] = arena_copy(record->arena, json_str(json_at(list, i)));
    return true;
}

static struct str read_message_id(struct record *record, const struct json *map,
                                  const struct id *email)
{
    struct str text = copy_text(record, map, "m");

    if (text.len == 0 || text.ptr[0] != '@')
        return text;
    return arena_printf(record->arena, "<%s%.*s>", email->text, STR_ARG(text));
}

static int64_t read_created(const struct json *map, const struct id *email)
{
    const struct json *at = json_get(map, "at");

    return json_type_of(at) == JSON_MISSING ? id_time_ms(email) : json_int(at);
}

static bool read_class(const struct json *map, enum mail_class *mail_class)
{
    const struct json *name = json_get(map, "k");

    *mail_class = CLASS_TRANSACTIONAL;
    return json_type_of(name) == JSON_MISSING ||
           mail_class_parse(json_str(name), mail_class);
}

static bool read_summary(struct record *record, const struct json *map,
                         const struct id *email, bool sealed)
{
    struct summary *to = &record->summary;

    to->email = *email;
    to->sensitive = sealed;
    to->owner = copy_text(record, map, "o");
    to->from = copy_text(record, map, "f");
    to->subject = copy_text(record, map, "s");
    to->message_id = read_message_id(record, map, email);
    to->tags_json = copy_raw(record, map, "tg");
    to->metadata_json = copy_raw(record, map, "md");
    to->template_id = copy_text(record, map, "ti");
    to->locale = copy_text(record, map, "tl");
    to->created_ms = read_created(map, email);
    to->scheduled_ms = json_get_int(map, "sc");
    to->expires_ms = json_get_int(map, "ex");
    return json_type_of(map) == JSON_MAP && to->owner.len > 0 &&
           read_class(map, &to->mail_class) &&
           copy_list(record, map, "t", &to->to, &to->to_count) &&
           copy_list(record, map, "c", &to->cc, &to->cc_count) &&
           copy_list(record, map, "b", &to->bcc, &to->bcc_count) &&
           copy_list(record, map, "r", &to->reply_to, &to->reply_to_count);
}

static bool read_attachments(struct record *record, const struct json *list)
{
    struct job *job = &record->job;
    size_t count = json_count(list);

    if (count > ATTACHMENTS_MAX)
        return false;
    job->attachments = ARENA_ARRAY(record->arena, struct job_attachment, count);
    job->attachment_count = count;
    for (size_t i = 0; i < count; i++) {
        const struct json *map = json_at(list, i);
        int64_t size = json_get_int(map, "z");

        if (size < 0)
            return false;
        job->attachments[i] = (struct job_attachment){
            .filename = copy_text(record, map, "n"),
            .content_type = copy_text(record, map, "t"),
            .content_id = copy_text(record, map, "i"),
            .size_bytes = (uint64_t)size,
        };
    }
    return true;
}

static bool read_job(struct record *record)
{
    const struct json *root = record->job_root;
    const struct json *signing = json_get(root, "dk");

    record->job.signing = (struct job_signing){
        .domain = copy_text(record, signing, "d"),
        .key = copy_text(record, signing, "g"),
        .return_path = copy_text(record, signing, "r"),
    };
    record->job.date_ms = record->summary.scheduled_ms != 0
                              ? record->summary.scheduled_ms
                              : json_get_int(root, "at");
    record->job.mail = json_get(root, "mail");
    return json_type_of(record->job.mail) == JSON_MAP &&
           read_attachments(record, json_get(root, "a"));
}

static enum record_result read_parts(struct record *record, struct str bytes,
                                     const struct id *email,
                                     const struct keyring *keyring)
{
    struct head head;
    enum record_result result = read_head(bytes, &head);
    struct json *map = NULL;
    struct str job;
    bool good;

    if (result != RECORD_OK)
        return result;
    result = open_part(str_slice(bytes, head.summary_at, head.summary_len),
                       head.sealed, email, keyring, &map);
    if (result != RECORD_OK)
        return result;
    record->level = head.level;
    good = read_summary(record, map, email, head.sealed);
    json_destroy(&map);
    if (!good)
        return RECORD_BROKEN;
    job = str_from(bytes, head.summary_at + head.summary_len);
    if (job.len == 0)
        return RECORD_OK;
    result = open_part(job, head.sealed, email, keyring, &record->job_root);
    if (result == RECORD_OK && !read_job(record))
        result = RECORD_BROKEN;
    return result;
}

struct record *record_read(struct str bytes, const struct id *email,
                           const struct keyring *keyring,
                           enum record_result *result)
{
    struct record *record = xcalloc(1, sizeof *record);

    record->arena = arena_create();
    *result = read_parts(record, bytes, email, keyring);
    if (*result != RECORD_OK)
        record_destroy(&record);
    return record;
}

void record_destroy(struct record **record)
{
    if (*record == NULL)
        return;
    json_destroy(&(*record)->job_root);
    arena_destroy(&(*record)->arena);
    free(*record);
    *record = NULL;
}

size_t record_summary_end(struct str bytes)
{
    struct head head;

    if (read_head(bytes, &head) != RECORD_OK)
        return 0;
    return head.summary_at + head.summary_len;
}

/* --- recipients --- */

size_t summary_recipient_count(const struct summary *summary)
{
    return summary->to_count + summary->cc_count + summary->bcc_count;
}

/* Quoted strings are skipped: what the API stored is well formed. */
struct str mailbox_address(struct str mailbox)
{
    bool quoted = false;

    for (size_t i = 0; i < mailbox.len; i++) {
        char c = mailbox.ptr[i];

        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && c == '<')
            return str_slice(mailbox, i + 1, mailbox.len - i - 2);
    }
    return mailbox;
}

bool summary_recipient(const struct summary *summary, unsigned number,
                       struct str *mailbox, const char **kind)
{
    const struct {
        const char *kind;
        const struct str *items;
        size_t count;
    } lists[] = {
        {"to", summary->to, summary->to_count},
        {"cc", summary->cc, summary->cc_count},
        {"bcc", summary->bcc, summary->bcc_count},
    };

    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        if (number < lists[i].count) {
            *mailbox = lists[i].items[number];
            *kind = lists[i].kind;
            return true;
        }
        number -= (unsigned)lists[i].count;
    }
    return false;
}

enum on_unknown on_unknown_named(struct str name)
{
    if (str_eq(name, S("hold")))
        return ON_UNKNOWN_HOLD;
    return str_eq(name, S("fail")) ? ON_UNKNOWN_FAIL : ON_UNKNOWN_RETRY;
}
