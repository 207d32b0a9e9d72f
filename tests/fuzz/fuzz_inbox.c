/* fuzz_inbox.c - bytes of a client against the inbox, and what it captured
 * against the reader of mails.
 *
 * The first byte says how large the pieces are that the bytes come in; the
 * outcome must not depend on that.
 */
#include "server/base/arena.h"
#include "server/base/check.h"
#include "server/base/codec.h"
#include "smtp/inbox_session.h"
#include "smtp/inbox_view.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct inbox_policy POLICY = {
    .name = STR("inbox.test"), .mail_max = 16 * 1024, .offers_tls = true};

static void look(struct str raw)
{
    struct arena *arena = arena_create();
    struct inbox_view view;

    inbox_view_read(&view, raw, arena);
    CHECK(utf8_is_valid(view.subject) && utf8_is_valid(view.from));
    CHECK(utf8_is_valid(view.text) && utf8_is_valid(view.html));
    CHECK(view.code.len <= 10);
    arena_destroy(&arena);
}

static void take(struct inbox_session *session, unsigned long long number,
                 struct buf *out)
{
    struct inbox_envelope envelope;
    struct str raw = buf_str(inbox_session_mail(session));

    inbox_session_envelope(session, &envelope);
    CHECK(envelope.rcpt_count > 0 && envelope.hello.len > 0);
    CHECK(raw.len <= POLICY.mail_max);
    look(raw);
    inbox_session_answer(session, number, out);
}

/* All that the server says. False: it closed. */
static bool feed(struct inbox_session *session, struct buf *in, struct buf *out,
                 unsigned long long *number)
{
    struct str rest = buf_str(in);
    enum inbox_event event = INBOX_ON;
    size_t said;

    while (event == INBOX_ON || event == INBOX_MAIL) {
        said = out->len;
        event = inbox_session_step(session, &rest, out);
        CHECK(out->len - said <= INBOX_REPLY_MAX);
        if (event == INBOX_MAIL)
            take(session, ++*number, out);
        if (event == INBOX_START_TLS) {
            inbox_session_secured(session);
            event = INBOX_ON;
        }
    }
    buf_consume(in, in->len - rest.len);
    return event != INBOX_CLOSE;
}

static void converse(struct str bytes, size_t piece, struct buf *out)
{
    struct inbox_session *session = inbox_session_create(&POLICY, false);
    unsigned long long number = 0;
    struct buf in;

    buf_init(&in, bytes.len);
    inbox_session_greet(session, out);
    while (bytes.len > 0) {
        buf_add(&in, str_slice(bytes, 0, piece));
        bytes = str_from(bytes, piece);
        if (!feed(session, &in, out, &number))
            break;
    }
    buf_finish(&in);
    inbox_session_destroy(&session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_make(data, size);
    struct buf whole;
    struct buf pieces;

    if (size < 2)
        return 0;
    bytes = str_from(bytes, 1);
    look(bytes);
    /* a reply to each byte at most, and none is longer */
    buf_init(&whole, size * INBOX_REPLY_MAX);
    buf_init(&pieces, size * INBOX_REPLY_MAX);
    converse(bytes, size, &whole);
    converse(bytes, data[0] % 64 + 1U, &pieces);
    CHECK(str_eq(buf_str(&whole), buf_str(&pieces)));
    buf_finish(&whole);
    buf_finish(&pieces);
    return 0;
}
