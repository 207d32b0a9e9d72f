/* reply.h - SMTP replies, read as they arrive.
 *
 * Takes bytes in any pieces and gives whole replies, one at a time. What is
 * no reply, or grows past the bounds, is bad, and the session ends: nobody
 * can know which command the next line answers.
 *
 * Tolerant where servers are known to differ: a line may end in LF alone, a
 * code may stand without text, text may hold any byte.
 *
 * Source: RFC 5321 section 4.2, RFC 2034 (enhanced codes).
 */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "server/base/buf.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    REPLY_LINE_MAX = 8 * 1024, /* RFC 5321 says 512; some say more */
    REPLY_LINES_MAX = 128,
    REPLY_SIZE_MAX = 64 * 1024,
    REPLY_TEXT_MAX = 1024,
    REPLY_ENHANCED_SIZE = sizeof "5.999.999",
};

struct smtp_reply {
    unsigned code;                      /* 200 to 599 */
    char enhanced[REPLY_ENHANCED_SIZE]; /* "" when there is none */
    struct str lines; /* the text of each, raw, joined by LF; belongs to the
                         parser, until it is fed again */
};

struct reply_parser {
    struct buf line;  /* what has come of the current one */
    struct buf lines; /* the text of those before */
    unsigned code;
    unsigned count;
    size_t size; /* bytes of this reply so far */
    bool ended;  /* the reply was given out: the next byte begins another */
};

enum reply_status { REPLY_MORE, REPLY_WHOLE, REPLY_BAD };

void reply_parser_init(struct reply_parser *parser);
void reply_parser_finish(struct reply_parser *parser);

/* Takes bytes off the front of *input, up to the end of one reply. After
 * REPLY_BAD the parser must not be fed any more. */
MUST_USE enum reply_status reply_parse(struct reply_parser *parser,
                                       struct str *input,
                                       struct smtp_reply *reply);

/* Bytes of the enhanced code that line begins with, which is the whole of it or
 * has a blank behind; 0: none. Below REPLY_ENHANCED_SIZE. */
size_t reply_enhanced_len(struct str line);

/* Adds the text for people: lines joined by blanks, enhanced codes left out,
 * valid UTF-8 without controls, at most REPLY_TEXT_MAX bytes. */
void reply_text_add(const struct smtp_reply *reply, struct buf *out);

#endif
