/* octets.h - the octets of a message, its files encoded as they are read.
 *
 * In base64 lines a file takes 1.37 times its memory, and a message is read
 * piece by piece: so only its frame is there as it goes out.
 */
#ifndef SMTP_MESSAGE_OCTETS_H
#define SMTP_MESSAGE_OCTETS_H

#include "server/base/buf.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>

/* A file that stands before the octet of the frame at that offset. */
struct octets_file {
    size_t at;
    struct str bytes; /* not encoded, at least one */
};

/* Those of a message that is being composed. */
struct octets_files {
    struct octets_file *items;
    size_t count;
};

/* Belongs to the caller with all it points at; .frame alone is a message. */
struct octets {
    struct str frame;
    const struct octets_file *files; /* in the order of at */
    size_t file_count;
};

static inline struct octets octets_of(struct str frame)
{
    return (struct octets){.frame = frame};
}

/* As they go out; so are all offsets below. */
size_t octets_len(const struct octets *octets);
/* The last two are CRLF. */
bool octets_end_line(const struct octets *octets);

/* A file, or what stands in the frame between two. */
struct octets_run {
    size_t from; /* where it begins */
    size_t len;
    bool is_file;
    struct str bytes; /* of a file: not encoded */
};
/* That which holds the octet at: below octets_len. */
struct octets_run octets_run_at(const struct octets *octets, size_t at);

/* Adds whole lines of a file to out, from its octet at on, where a line
 * begins: at most max octets, but one line at least. Answers how many octets
 * were added: behind these, a line begins or the file ends. */
size_t octets_add_lines(const struct octets_run *file, size_t at, size_t max,
                        struct buf *out);

#endif
