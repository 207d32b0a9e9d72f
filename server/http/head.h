/* head.h - the header fields of a request, and whether its head will do.
 *
 * Pure: closes what libmicrohttpd 0.9.75 leaves open (measured): doubled
 * fields, control characters, unknown Transfer-Encoding, sizes over any
 * limit, a missing Host.
 *
 * Source: RFC 9112 sections 3.2, 5 and 6; RFC 9110 sections 8.4, 10.1.1.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "server/base/arena.h"
#include "server/base/str.h"
#include "server/http/httpd.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The public ones of httpd.h, then those that only this room reads. */
enum head_field {
    HEAD_CONTENT_ENCODING = HTTP_FIELDS_PUBLIC,
    HEAD_CONTENT_LENGTH,
    HEAD_CONTENT_TYPE,
    HEAD_EXPECT,
    HEAD_HOST,
    HEAD_TRANSFER_ENCODING,
    HEAD_X_FORWARDED_FOR,
    HEAD_X_REQUEST_ID,
    HEAD_FIELD_COUNT
};

struct head {
    struct str fields[HEAD_FIELD_COUNT]; /* trimmed; null ptr: absent */
    const char *doubled; /* name of a field that came twice, or NULL */
    const char *unclean; /* name of a field with a character it may not hold */
};

/* Takes note of a field; its value is copied. Of a list field that comes twice
 * the values are joined. is_cut: the value goes on behind a NUL. */
void head_add(struct head *head, struct arena *arena, struct str name,
              struct str value, bool is_cut);

struct head_verdict {
    unsigned status; /* 0: go on */
    const char *detail;
    uint64_t body_length; /* 0 without, and when chunked */
    bool is_chunked;
    bool wants_continue;
};

/* What can be said before route and body are known. */
struct head_verdict head_check(const struct head *head, struct arena *arena,
                               bool is_http_1_0, size_t body_max);

/* The media type before any parameter, by RFC 9110 section 8.3.1. */
bool head_type_is(struct str content_type, const char *type);

#endif
