/* compose - composes mails for tests that read them back with other readers.
 *
 * Reads one JSON object a line from standard input, with the members of a
 * POST /v1/emails plus message_id, date_ms and seed. For each it writes the
 * line "LENGTH" and so many bytes of the message, or "refused FIELD CODE".
 */
#include "server/base/codec.h"
#include "server/base/json.h"
#include "smtp/message/message.h"

#include <stdio.h>
#include <stdlib.h>

enum { MESSAGE_MAX = 64 << 20 };

struct reader {
    struct arena *arena;
    const char *field; /* of the first flaw */
    enum flaw flaw;
};

static void note(struct reader *reader, const char *field, enum flaw flaw)
{
    if (reader->flaw != FLAW_NONE)
        return;
    reader->field = field;
    reader->flaw = flaw;
}

static struct mailbox *read_boxes(struct reader *reader,
                                  const struct json *mail, const char *field,
                                  size_t *count)
{
    const struct json *list = json_get(mail, field);
    struct mailbox *boxes;

    *count = json_count(list);
    boxes = ARENA_ARRAY(reader->arena, struct mailbox, *count);
    for (size_t i = 0; i < *count; i++)
        note(reader, field,
             mailbox_parse(reader->arena, json_str(json_at(list, i)),
                           &boxes[i]));
    return boxes;
}

static struct str decode(struct reader *reader, struct str base64)
{
    struct buf bytes;
    struct str copy;

    buf_init(&bytes, base64.len);
    CHECK(codec_base64_decode(base64, &bytes));
    copy = arena_copy(reader->arena, buf_str(&bytes));
    buf_finish(&bytes);
    return copy;
}

static void read_attachments(struct reader *reader, const struct json *mail,
                             struct message *message)
{
    const struct json *list = json_get(mail, "attachments");
    size_t count = json_count(list);
    struct attachment *files =
        ARENA_ARRAY(reader->arena, struct attachment, count);

    for (size_t i = 0; i < count; i++) {
        const struct json *file = json_at(list, i);

        files[i].content = decode(reader, json_get_str(file, "content"));
        files[i].name = json_get_str(file, "filename");
        files[i].type = json_get_str(file, "content_type");
        files[i].content_id = json_get_str(file, "content_id");
        note(reader, "filename", filename_check(files[i].name));
        if (files[i].type.len > 0)
            note(reader, "content_type", content_type_check(files[i].type));
        if (files[i].content_id.len > 0)
            note(reader, "content_id", content_id_check(files[i].content_id));
    }
    message->attachments = files;
    message->attachment_count = count;
}

static void read_headers(struct reader *reader, const struct json *mail,
                         struct message *message)
{
    const struct json *map = json_get(mail, "headers");
    struct header *headers =
        ARENA_ARRAY(reader->arena, struct header, json_count(map));
    const struct json *value;
    struct str name;
    void *at = NULL;
    size_t count = 0;

    while (json_next(map, &at, &name, &value)) {
        headers[count] = (struct header){name, json_str(value)};
        note(reader, "headers", header_name_check(headers, count));
        note(reader, "headers", header_value_check(&headers[count]));
        count++;
    }
    message->headers = headers;
    message->header_count = count;
}

static void read_message(struct reader *reader, const struct json *mail,
                         struct message *message)
{
    note(reader, "from",
         mailbox_parse(reader->arena, json_get_str(mail, "from"),
                       &message->from));
    message->to = read_boxes(reader, mail, "to", &message->to_count);
    message->cc = read_boxes(reader, mail, "cc", &message->cc_count);
    message->reply_to =
        read_boxes(reader, mail, "reply_to", &message->reply_to_count);
    message->subject = json_get_str(mail, "subject");
    note(reader, "subject", subject_check(message->subject));
    message->has_text = json_get(mail, "text") != NULL;
    message->text = json_get_str(mail, "text");
    message->html = json_get_str(mail, "html");
    read_attachments(reader, mail, message);
    read_headers(reader, mail, message);
    message->message_id = json_get_str(mail, "message_id");
    message->date_ms = json_get_int(mail, "date_ms");
    message->seed = json_get_str(mail, "seed");
}

static void compose_line(struct str line)
{
    struct reader reader = {.arena = arena_create()};
    struct error err = {.kind = ERR_NONE};
    struct json *mail = json_parse(line, &err);
    struct message message = {.has_text = false};
    struct buf out;

    if (mail == NULL) {
        fprintf(stderr, "compose: %s\n", err.text);
        exit(1);
    }
    read_message(&reader, mail, &message);
    buf_init(&out, MESSAGE_MAX);
    if (reader.flaw == FLAW_NONE) {
        message_compose(&message, reader.arena, &out, NULL);
        CHECK(!out.full && out.len <= message_size_bound(&message));
        printf("%zu\n", out.len);
        fwrite(out.data, 1, out.len, stdout);
    } else {
        printf("refused %s %s\n", reader.field, flaw_code(reader.flaw));
    }
    buf_finish(&out);
    json_destroy(&mail);
    arena_destroy(&reader.arena);
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;

    while ((len = getline(&line, &cap, stdin)) > 0)
        compose_line(str_make(line, (size_t)len));
    free(line);
    return fflush(stdout) == 0 ? 0 : 1;
}
