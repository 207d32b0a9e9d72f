#include "smtp/message/message.h"

#include <string.h>

/* Cuts a line with its CRLF off *rest; the last may lack it. */
static struct str take_line(struct str *rest)
{
    const char *end = memchr(rest->ptr, '\r', rest->len);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->ptr);
    struct str line = str_slice(*rest, 0, len);

    CHECK(str_index(line, '\n', 0) < 0);
    if (end != NULL) {
        CHECK(len + 1 < rest->len && end[1] == '\n');
        line = str_slice(*rest, 0, len + 2);
    }
    *rest = str_from(*rest, line.len);
    return line;
}

void message_stuff(struct str bytes, struct buf *out)
{
    struct str rest = bytes;
    size_t copied = 0;

    /* What lies between two dots at line starts is added in one piece. */
    while (rest.len > 0) {
        size_t at = bytes.len - rest.len;

        if (rest.ptr[0] == '.') {
            buf_add(out, str_slice(bytes, copied, at - copied));
            buf_add_char(out, '.');
            copied = at;
        }
        take_line(&rest);
    }
    buf_add(out, str_from(bytes, copied));
}
