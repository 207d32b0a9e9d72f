#include "server/worker/compose.h"

#include "server/base/json.h"

/* Bytes of attachments that take as long as a byte of a body, which may become
 * quoted-printable, or a text made from HTML (docs/performance.md). */
enum { BODY_EFFORT = 8 };

size_t compose_effort(const struct record *record)
{
    const struct json *mail = record->job.mail;
    size_t effort = BODY_EFFORT * (json_get_str(mail, "text").len +
                                   json_get_str(mail, "html").len);

    for (size_t i = 0; i < record->job.attachment_count; i++)
        effort += (size_t)record->job.attachments[i].size_bytes;
    return effort;
}

static void read_attachments(struct arena *arena, const struct job *job,
                             const struct str *bytes, struct message *message)
{
    struct attachment *list =
        ARENA_ARRAY(arena, struct attachment, job->attachment_count);

    for (size_t i = 0; i < job->attachment_count; i++)
        list[i] = (struct attachment){
            .content = bytes[i],
            .name = job->attachments[i].filename,
            .type = job->attachments[i].content_type,
            .content_id = job->attachments[i].content_id,
        };
    message->attachments = list;
    message->attachment_count = job->attachment_count;
}

static bool read_message(const struct record *record, const struct str *bytes,
                         struct arena *arena, struct message *message,
                         struct error *err)
{
    const struct summary *summary = &record->summary;

    if (!message_read_json(record->job.mail, arena, message, err))
        return false;
    message_identify(message, &(struct message_identity){
                                  .id = id_str(&summary->email),
                                  .message_id = summary->message_id,
                                  .date_ms = record->job.date_ms,
                                  .mail_class = summary->mail_class,
                              });
    read_attachments(arena, &record->job, bytes, message);
    return true;
}

bool compose(const struct record *record, const struct str *attachments,
             struct arena *arena, struct buf *out, struct composed *composed,
             struct error *err)
{
    struct message message = {0};
    struct octets octets;

    if (!read_message(record, attachments, arena, &message, err))
        return false;
    composed->body = message_compose(&message, arena, out, &composed->files);
    octets = composed_octets(composed, out);
    if (out->full || octets_len(&octets) > out->max) {
        error_set(err, ERR_INPUT, "the message is larger than %zu bytes",
                  out->max);
        return false;
    }
    composed->from = message.from.address;
    composed->needs_utf8 = message_needs_utf8(&message);
    return true;
}

struct octets composed_octets(const struct composed *composed,
                              const struct buf *message)
{
    return (struct octets){buf_str(message), composed->files.items,
                           composed->files.count};
}

void compose_sign(const struct compose_signing *signing, int64_t date_ms,
                  struct composed *composed, struct buf *message)
{
    struct octets octets = composed_octets(composed, message);
    struct str header = str_slice(octets.frame, 0, composed->body - 2);
    unsigned char body_hash[SHA256_SIZE];
    struct buf fields;

    buf_init(&fields, COMPOSE_SIGNED_MAX);
    dkim_body_hash(&octets, composed->body, body_hash);
    dkim_sign(header, body_hash, signing->domain, date_ms / 1000,
              signing->signers, signing->count, &fields);
    CHECK(!fields.full);
    buf_insert(message, 0, buf_str(&fields));
    composed->body += fields.len;
    for (size_t i = 0; i < composed->files.count; i++)
        composed->files.items[i].at += fields.len;
    buf_finish(&fields);
}
