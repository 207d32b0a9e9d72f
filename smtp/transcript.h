/* transcript.h - what both sides of a session said, and when.
 *
 * Kept raw while a mail is under way, since nearly all transcripts are thrown
 * away unread; made into text only for one that is wanted. What it must not
 * hold never comes in: a login is hidden here, txn.c tells of a message no
 * more than its size.
 *
 *      0 C: MAIL FROM:<a@b.example> SIZE=1204
 *     12 S: 250 2.1.0 Ok
 *     14 *: TLSv1.3 TLS_AES_256_GCM_SHA384
 *
 * Milliseconds since its first line; C the client, S the server, * neither.
 */
#ifndef SMTP_TRANSCRIPT_H
#define SMTP_TRANSCRIPT_H

#include "server/base/buf.h"
#include "server/base/str.h"

#include <stdint.h>

enum {
    TRANSCRIPT_RAW_MAX = 4096,
    TRANSCRIPT_LINE_MAX = 400, /* bytes; of a longer one the rest is cut */
    TRANSCRIPT_TEXT_MAX = 4096,
};

struct transcript {
    struct buf raw;
    int64_t since_ms; /* monotonic */
    bool is_full;     /* something did not fit */
};

/* No memory is taken before the first line. */
void transcript_init(struct transcript *transcript);
void transcript_finish(struct transcript *transcript);
/* Empty again, and the time begins anew. Keeps the memory. */
void transcript_begin(struct transcript *transcript, int64_t now_ms);

/* One command, without its line end. transcript NULL: nobody listens. */
void transcript_client(struct transcript *transcript, struct str line);
/* "[1204 bytes]": the message. */
void transcript_message(struct transcript *transcript, size_t size);
/* A reply; lines as in reply.h. */
void transcript_server(struct transcript *transcript, unsigned code,
                       struct str lines);
/* The same of the opening of a session: several commands with their line ends,
 * of a login no more than its mechanism; and a reply, a challenge hidden. */
void transcript_greeting(struct transcript *transcript, struct str written);
void transcript_greeting_reply(struct transcript *transcript, unsigned code,
                               struct str lines);
void transcript_note(struct transcript *transcript, const char *what,
                     const char *more);

/* Adds the text: valid UTF-8 without controls but line feeds, at most
 * TRANSCRIPT_TEXT_MAX bytes. What quotes the secret (server/base/mask.h) is
 * hidden; empty: nothing is secret. */
void transcript_add(const struct transcript *transcript, struct str secret,
                    struct buf *out);

#endif
