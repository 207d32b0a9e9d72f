/* part.h - the tree of MIME parts: what stands in it, and its bytes.
 *
 * Source: RFC 2045, RFC 2046 section 5.1, RFC 2183, RFC 2231, RFC 2387.
 */
#ifndef SMTP_MESSAGE_PART_H
#define SMTP_MESSAGE_PART_H

#include "server/base/arena.h"
#include "server/base/buf.h"
#include "server/base/str.h"
#include "smtp/message/attachment.h"
#include "smtp/message/encode.h"
#include "smtp/message/octets.h"

#include <stdbool.h>
#include <stddef.h>

struct part;

/* Makes parts. Boundaries are HMACs of seed and a counter. */
struct part_maker {
    struct arena *arena;
    struct str seed;
    unsigned count;
};

/* A body of the message; subtype is "plain" or "html". */
struct part *part_text(struct part_maker *maker, const char *subtype,
                       struct str text);
/* attachment must outlive the part. index is its place, for the name of one
 * without a name. */
struct part *part_file(struct part_maker *maker,
                       const struct attachment *attachment, size_t index,
                       bool is_inline);
/* subtype is "mixed", "alternative" or "related". */
struct part *part_multi(struct part_maker *maker, const char *subtype);
void part_add(struct part *multi, struct part *child);

/* The Content-* fields, without the empty line. */
void part_add_header(const struct part *part, struct buf *out);
/* What stands behind the empty line, without a line end of its own. Large
 * files go into files (NULL: out as well). */
void part_add_body(const struct part *part, struct buf *out,
                   struct octets_files *files);

#endif
