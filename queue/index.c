#include "queue/index.h"

#include "server/base/codec.h"

#include <string.h>

/* Bytes of a hash: 4 letters each 3. */
enum {
    MARK_BYTES = 6,
    HALF_BYTES = 3,
    ADDRESS_BYTES = 12,
    ADDRESS_MAX = 1024,
};

static void add_hash(struct buf *mark, struct str text, size_t bytes)
{
    unsigned char hash[SHA256_SIZE];

    secret_sha256(text, hash);
    codec_base64url_add(mark, str_make((const char *)hash, bytes));
}

static void take_mark(struct buf *mark, char *out, size_t size)
{
    CHECK(!mark->full && mark->len < size);
    memcpy(out, mark->data, mark->len);
    out[mark->len] = '\0';
    buf_finish(mark);
}

void index_recipient_mark(struct str address, char out[INDEX_MARK_SIZE])
{
    struct buf small;
    struct buf mark;

    buf_init(&small, ADDRESS_MAX);
    for (size_t i = 0; i < address.len; i++)
        buf_add_char(&small, ascii_lower(address.ptr[i]));
    buf_init(&mark, INDEX_MARK_LEN);
    buf_add_char(&mark, 'r');
    add_hash(&mark, buf_str(&small), MARK_BYTES);
    buf_finish(&small);
    take_mark(&mark, out, INDEX_MARK_SIZE);
}

void index_tag_mark(struct str name, struct str value,
                    char out[INDEX_MARK_SIZE])
{
    struct buf mark;

    buf_init(&mark, INDEX_MARK_LEN);
    buf_add_char(&mark, 'g');
    add_hash(&mark, name, HALF_BYTES);
    if (value.ptr != NULL)
        add_hash(&mark, value, HALF_BYTES);
    take_mark(&mark, out, INDEX_MARK_SIZE);
}

void address_hash(struct str key, char out[ADDRESS_HASH_SIZE])
{
    struct buf hash;

    buf_init(&hash, ADDRESS_HASH_LEN);
    add_hash(&hash, key, ADDRESS_BYTES);
    take_mark(&hash, out, ADDRESS_HASH_SIZE);
}

/* --- all of a mail --- */

static void add_once(struct buf *marks, const char mark[INDEX_MARK_SIZE])
{
    for (size_t at = 0; at < marks->len; at += INDEX_MARK_LEN)
        if (memcmp(marks->data + at, mark, INDEX_MARK_LEN) == 0)
            return;
    buf_add(marks, str_make(mark, INDEX_MARK_LEN));
}

static struct str text_of(const struct json *tag, const char *name)
{
    struct str text = json_get_str(tag, name);

    return text.ptr == NULL ? S("") : text;
}

static void add_recipients(const struct summary *summary, struct buf *out)
{
    char mark[INDEX_MARK_SIZE];
    struct str mailbox;
    const char *kind;

    for (unsigned i = 0; summary_recipient(summary, i, &mailbox, &kind); i++) {
        index_recipient_mark(mailbox_address(mailbox), mark);
        add_once(out, mark);
    }
}

static void add_tags(const struct summary *summary, struct buf *out)
{
    struct json *tags = json_parse(summary->tags_json, NULL);
    char mark[INDEX_MARK_SIZE];

    for (size_t i = 0; i < json_count(tags); i++) {
        const struct json *tag = json_at(tags, i);

        index_tag_mark(text_of(tag, "name"), text_of(tag, "value"), mark);
        add_once(out, mark);
    }
    json_destroy(&tags);
}

void index_add_marks(const struct summary *summary, struct buf *out)
{
    add_recipients(summary, out);
    if (summary->tags_json.len > 0)
        add_tags(summary, out);
}

/* --- whether it is what was asked for --- */

bool index_has_recipient(const struct summary *summary, struct str address)
{
    struct str mailbox;
    const char *kind;

    for (unsigned i = 0; summary_recipient(summary, i, &mailbox, &kind); i++)
        if (str_eq_nocase(mailbox_address(mailbox), address))
            return true;
    return false;
}

bool index_has_tag(const struct summary *summary, struct str name,
                   struct str value)
{
    struct json *tags = summary->tags_json.len == 0
                            ? NULL
                            : json_parse(summary->tags_json, NULL);
    bool found = false;

    for (size_t i = 0; !found && i < json_count(tags); i++) {
        const struct json *tag = json_at(tags, i);

        found = str_eq(text_of(tag, "name"), name) &&
                (value.ptr == NULL || str_eq(text_of(tag, "value"), value));
    }
    json_destroy(&tags);
    return found;
}
