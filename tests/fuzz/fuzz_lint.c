/* Findings are within the mail, and are written as JSON, whatever it is. The
 * first byte is the class; a line of subject; a text up to NUL; html. */
#include "server/base/codec.h"
#include "server/base/json.h"
#include "smtp/message/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_make(data, size);
    struct lint_facts facts = {.mail_class = CLASS_TRANSACTIONAL};
    struct message message = {0};
    struct lint_findings findings;
    struct error err = {0};
    struct json_out out;
    struct arena *arena;
    struct json *read;
    struct buf json;

    if (size == 0 || !utf8_is_valid(rest))
        return 0;
    facts.mail_class = (enum mail_class)(data[0] % CLASS_COUNT);
    rest = str_from(rest, 1);
    if (!str_cut(&rest, '\n', &message.subject) ||
        !str_cut(&rest, '\0', &message.text))
        return 0;
    message.has_text = message.text.len > 0;
    message.html = rest;
    arena = arena_create();
    lint_message(&message, &facts, arena, &findings);
    buf_init(&json, 1 << 20);
    json_out_init(&out, &json);
    lint_put(&findings, &out);
    CHECK(!json.full);
    read = json_parse(buf_str(&json), &err);
    CHECK(read != NULL && json_count(read) == findings.count);
    json_destroy(&read);
    buf_finish(&json);
    arena_destroy(&arena);
    return 0;
}
