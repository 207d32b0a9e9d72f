#include "smtp/message/message_json.h"

#include "smtp/message/message.h"

/* A member that is one text or a list of them, as mailboxes. */
static bool read_mailboxes(struct arena *arena, const struct json *mail,
                           const char *name, const struct mailbox **boxes,
                           size_t *count, struct error *err)
{
    const struct json *value = json_get(mail, name);
    bool single = json_type_of(value) == JSON_TEXT;
    size_t items = single ? 1 : json_count(value);
    struct mailbox *list = ARENA_ARRAY(arena, struct mailbox, items);

    for (size_t i = 0; i < items; i++) {
        struct str text = json_str(single ? value : json_at(value, i));
        enum flaw flaw = mailbox_parse(arena, text, &list[i]);

        if (flaw != FLAW_NONE) {
            error_set(err, ERR_INPUT, "%s[%zu] %s", name, i, flaw_text(flaw));
            return false;
        }
    }
    *boxes = list;
    *count = items;
    return true;
}

static void read_headers(struct arena *arena, const struct json *mail,
                         struct message *message)
{
    const struct json *map = json_get(mail, "headers");
    const struct json *value;
    struct header *headers = ARENA_ARRAY(arena, struct header, json_count(map));
    struct str name;
    void *at = NULL;

    while (json_next(map, &at, &name, &value))
        headers[message->header_count++] =
            (struct header){name, json_str(value)};
    message->headers = headers;
}

bool message_read_json(const struct json *mail, struct arena *arena,
                       struct message *message, struct error *err)
{
    const struct mailbox *from;
    size_t from_count;

    if (!read_mailboxes(arena, mail, "from", &from, &from_count, err) ||
        !read_mailboxes(arena, mail, "to", &message->to, &message->to_count,
                        err) ||
        !read_mailboxes(arena, mail, "cc", &message->cc, &message->cc_count,
                        err) ||
        !read_mailboxes(arena, mail, "reply_to", &message->reply_to,
                        &message->reply_to_count, err))
        return false;
    if (from_count != 1) {
        error_set(err, ERR_INPUT, "from is missing");
        return false;
    }
    message->from = from[0];
    message->subject = json_get_str(mail, "subject");
    message->has_text = json_type_of(json_get(mail, "text")) == JSON_TEXT;
    message->text = json_get_str(mail, "text");
    message->html = json_get_str(mail, "html");
    read_headers(arena, mail, message);
    return true;
}

void message_identify(struct message *message,
                      const struct message_identity *identity)
{
    message->message_id = identity->message_id;
    message->date_ms = identity->date_ms;
    message->seed = identity->id;
    message->is_bulk = identity->mail_class == CLASS_BULK;
    if (identity->mail_class == CLASS_VERIFICATION)
        message->entity_ref = identity->id;
}
