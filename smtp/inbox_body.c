#include "smtp/inbox_body.h"

void inbox_body_init(struct inbox_body *body, struct buf *out)
{
    body->out = out;
    body->place = AT_LINE_START;
}

/* Up to the CR of the line, or all there is. Returns how many. */
static size_t take_text(struct inbox_body *body, struct str bytes)
{
    ptrdiff_t cr = str_index(bytes, '\r', 0);
    size_t len = cr < 0 ? bytes.len : (size_t)cr + 1;

    buf_add(body->out, str_slice(bytes, 0, len));
    body->place = cr < 0 ? IN_LINE : AFTER_CR;
    return len;
}

/* What stands at the front. Returns how many bytes it was. */
static size_t take_piece(struct inbox_body *body, struct str bytes)
{
    char c = bytes.ptr[0];

    switch (body->place) {
    case AT_LINE_START:
        if (c != '.')
            break;
        body->place = AFTER_DOT;
        return 1;
    case AFTER_DOT: /* a stuffed one, unless CRLF follows */
        if (c != '\r')
            break;
        body->place = AFTER_DOT_CR;
        return 1;
    case AFTER_DOT_CR: /* no LF follows: stuffed after all */
        buf_add_char(body->out, '\r');
        body->place = AFTER_CR;
        return 0;
    case AFTER_CR:
        if (c != '\n')
            break;
        buf_add_char(body->out, c);
        body->place = AT_LINE_START;
        return 1;
    case IN_LINE:
        break;
    }
    return take_text(body, bytes);
}

bool inbox_body_take(struct inbox_body *body, struct str *rest)
{
    while (rest->len > 0) {
        if (body->place == AFTER_DOT_CR && rest->ptr[0] == '\n') {
            *rest = str_from(*rest, 1);
            return true;
        }
        *rest = str_from(*rest, take_piece(body, *rest));
    }
    return false;
}
