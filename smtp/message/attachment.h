/* attachment.h - files that go with a message: names, types, content ids.
 *
 * Source: RFC 2045 section 5.1, RFC 2046 section 5.2.1, RFC 2183, RFC 2231,
 * RFC 2392 (cid).
 */
#ifndef SMTP_MESSAGE_ATTACHMENT_H
#define SMTP_MESSAGE_ATTACHMENT_H

#include "server/base/arena.h"
#include "server/base/buf.h"
#include "server/base/str.h"
#include "smtp/message/flaw.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    FILENAME_MAX_BYTES = 255,
    CONTENT_TYPE_MAX = 255, /* bytes, parameters and all */
    CONTENT_ID_MAX = 127,   /* bytes */
};

/* What a message needs to know of one file. name, type and content_id have
 * passed the checks below; each of the three may be empty. */
struct attachment {
    struct str content; /* raw bytes */
    struct str name;
    struct str type; /* "image/png", with parameters or without */
    struct str content_id;
};

enum flaw filename_check(struct str name);
enum flaw content_type_check(struct str type);
enum flaw content_id_check(struct str id); /* <x>, cid:x and x are the same */

/* The name that is sent: the last component of a path, without controls and
 * bidi overrides. When nothing is left, attachment-N with an extension that
 * fits the type. index counts from 0, N from 1. */
struct str filename_clean(struct arena *arena, struct str name, size_t index,
                          struct str type);

/* From the extension; application/octet-stream when it is unknown. */
struct str content_type_guess(struct str name);

/* Without brackets and cid:. Points into id. */
struct str content_id_bare(struct str id);

#endif
