/* Mailbox parsing: what is accepted is fit for MAIL, RCPT and headers, and is
 * read again as the same mailbox. */
#include "server/base/codec.h"
#include "smtp/message/message.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(const struct mailbox *box)
{
    CHECK(box->address.len > 0 && box->address.len <= ADDRESS_MAX);
    CHECK(!str_has_control(box->address));
    CHECK(utf8_is_valid(box->address) && utf8_is_valid(box->name));
    CHECK(utf8_is_ascii(box->address) == !box->needs_utf8);
    CHECK(utf8_is_ascii(box->domain) && box->domain.len > 0);
    CHECK(str_index(box->address, ' ', 0) < 0);
    CHECK(str_index(box->address, '>', 0) < 0);
    CHECK(str_index(box->address, '@', 0) == (ptrdiff_t)box->local.len);
    CHECK(str_index(box->address, '@', box->local.len + 1) < 0);
    CHECK(box->name.len <= ADDRESS_NAME_MAX && !str_has_control(box->name));
}

static void check_again(struct arena *arena, const struct mailbox *box)
{
    struct mailbox again;

    CHECK(mailbox_parse(arena, box->address, &again) == FLAW_NONE);
    CHECK(str_eq(again.address, box->address));
    CHECK(str_eq(again.domain, box->domain));
    CHECK(str_eq(again.key, box->key));
}

/* The field it makes is one line group: no line end but before a blank. */
static void check_field(const struct mailbox *box)
{
    struct buf out;
    struct str rest;
    struct str line;

    buf_init(&out, 1 << 16);
    header_add_mailboxes(&out, "To", box, 1);
    CHECK(!out.full && str_ends(buf_str(&out), S("\r\n")));
    rest = str_slice(buf_str(&out), 0, out.len - 2);
    CHECK(str_cut(&rest, '\n', &line));
    do
        CHECK(line.len <= HEADER_LINE_MAX + 1);
    while (str_starts(rest, S(" ")) && str_cut(&rest, '\n', &line));
    CHECK(rest.len == 0);
    buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create();
    struct mailbox box;

    if (mailbox_parse(arena, str_make(data, size), &box) == FLAW_NONE) {
        check_address(&box);
        check_again(arena, &box);
        check_field(&box);
    }
    arena_destroy(&arena);
    return 0;
}
