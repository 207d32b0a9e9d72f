/* fold.h - writes one header field, word by word, in lines of proper length.
 *
 * A line is broken only where a blank stands between two words; a word that
 * is longer than a line keeps a line of its own. Lines end at 78 characters
 * where that can be had, at 76 when they hold an encoded word.
 *
 * Source: RFC 5322 section 2.2.3, RFC 2047 sections 2 and 5.
 */
#ifndef SMTP_MESSAGE_FOLD_H
#define SMTP_MESSAGE_FOLD_H

#include "server/base/buf.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct fold {
    struct buf *out;
    size_t column;    /* bytes of the current line */
    bool has_encoded; /* the current line holds an encoded word */
    bool is_first;    /* no word was written yet */
};

enum fold_context {
    FOLD_TEXT,   /* unstructured: RFC 2047 section 5 (1) */
    FOLD_PHRASE, /* a display name: (3) */
};

/* Words longer than this belong into encoded words. */
enum { FOLD_WORD_MAX = 900 };

void fold_begin(struct fold *fold, struct buf *out, struct str name);
/* A blank or a line break, then word. */
void fold_word(struct fold *fold, struct str word);
/* Right behind the last word, for a comma or semicolon. */
void fold_glue(struct fold *fold, char c);
/* A blank or a line break, then text, UTF-8, as encoded words. */
void fold_encoded(struct fold *fold, struct str text,
                  enum fold_context context);
void fold_end(struct fold *fold);

#endif
