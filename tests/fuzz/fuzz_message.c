/* The composer: whatever it is given, the message keeps its promises: CRLF
 * only, 7 bits, lines within 998, a bound that holds, the same bytes again.
 *
 * Input: pieces ended by 0x01: subject, text, html, then for each attachment
 * name, type, content id and content. A missing text is left to be made. */
#include "server/base/codec.h"
#include "smtp/message/message.h"

#include <stdint.h>

enum { ATTACHMENTS_MAX = 4, OUT_MAX = 1 << 22 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str take(struct str *rest)
{
    struct str piece = S("");

    str_cut(rest, '\x01', &piece);
    return piece;
}

static bool is_file(const struct attachment *file)
{
    return filename_check(file->name) == FLAW_NONE &&
           (file->type.len == 0 ||
            content_type_check(file->type) == FLAW_NONE) &&
           (file->content_id.len == 0 ||
            content_id_check(file->content_id) == FLAW_NONE);
}

static void check_message(struct str bytes, size_t header)
{
    struct str rest = bytes;
    struct str line = S("");

    CHECK(utf8_is_ascii(bytes) && str_ends(bytes, S("\r\n")));
    CHECK(str_eq(str_slice(bytes, header - 4, 4), S("\r\n\r\n")));
    CHECK(str_index(bytes, '\0', 0) < 0);
    while (str_cut(&rest, '\n', &line)) {
        if (rest.ptr == NULL)
            break;
        CHECK(line.len > 0 && line.len <= HEADER_LINE_MAX + 1);
        CHECK(str_index(line, '\r', 0) == (ptrdiff_t)line.len - 1);
    }
    CHECK(line.len == 0);
}

static void compose(const struct message *message, struct arena *arena)
{
    struct buf first;
    struct buf second;
    size_t header;

    buf_init(&first, OUT_MAX);
    buf_init(&second, OUT_MAX);
    header = message_compose(message, arena, &first, NULL);
    CHECK(!first.full && first.len <= message_size_bound(message));
    check_message(buf_str(&first), header);
    CHECK(message_compose(message, arena, &second, NULL) == header);
    CHECK(str_eq(buf_str(&first), buf_str(&second)));
    buf_finish(&first);
    buf_finish(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct attachment files[ATTACHMENTS_MAX];
    struct arena *arena = arena_create();
    struct str rest = str_make(data, size);
    struct message message = {
        .message_id = S("<1@example.com>"),
        .date_ms = 1795530247000,
        .seed = S("seed"),
        .attachments = files,
        .to = &message.from,
        .to_count = 1,
    };
    bool is_sound;

    CHECK(mailbox_parse(arena, S("ACME <a@example.com>"), &message.from) ==
          FLAW_NONE);
    message.subject = take(&rest);
    message.text = take(&rest);
    message.html = take(&rest);
    message.has_text = message.text.len > 0 || message.html.len == 0;
    is_sound = subject_check(message.subject) == FLAW_NONE &&
               utf8_is_valid(message.text) && utf8_is_valid(message.html);
    while (rest.len > 0 && message.attachment_count < ATTACHMENTS_MAX) {
        struct attachment *file = &files[message.attachment_count++];

        file->name = take(&rest);
        file->type = take(&rest);
        file->content_id = take(&rest);
        file->content = take(&rest);
        is_sound &= is_file(file);
    }
    if (is_sound)
        compose(&message, arena);
    arena_destroy(&arena);
    return 0;
}
