#include "smtp/message/encode.h"

#include "server/base/codec.h"

#include <stdint.h>
#include <string.h>

enum {
    LINE_MAX_7BIT = 998,
    BASE64_LINE = 76,
    QP_LINE = 76,
    QP_UNIT_MAX = 4 * 3, /* a character of four bytes */
};

static const char HEX[] = "0123456789ABCDEF";

const char *encoding_name(enum encoding encoding)
{
    static const char *const names[] = {
        [ENCODING_7BIT] = "7bit",
        [ENCODING_QP] = "quoted-printable",
        [ENCODING_BASE64] = "base64",
    };

    return names[encoding];
}

/* Eight bytes at a time
 *
 * Most of a text is printable ASCII, and a byte at a time would be half of
 * what a mail of 8 KiB costs. */

enum { WORD = sizeof(uint64_t) };

static const uint64_t ONES = UINT64_C(0x0101010101010101);
static const uint64_t TOPS = UINT64_C(0x8080808080808080);

static uint64_t word_at(const char *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

static bool has_zero(uint64_t word)
{
    return ((word - ONES) & ~word & TOPS) != 0;
}

static bool has_line_end(uint64_t word)
{
    return has_zero(word ^ ONES * '\r') || has_zero(word ^ ONES * '\n');
}

/* No byte has its top bit, lacks 0x20, or is DEL. */
static bool is_printable_word(uint64_t word)
{
    return ((word | (word - ONES * ' ') | (word + ONES)) & TOPS) == 0;
}

static bool is_printable(char c)
{
    return c >= ' ' && c < 0x7f;
}

/* The bytes at the front that are no line end. */
static size_t line_len(struct str text)
{
    size_t len = 0;

    while (text.len - len >= WORD && !has_line_end(word_at(text.ptr + len)))
        len += WORD;
    while (len < text.len && text.ptr[len] != '\r' && text.ptr[len] != '\n')
        len++;
    return len;
}

/* The bytes at the front that are printable ASCII. */
static size_t printable_len(struct str text)
{
    size_t len = 0;

    while (text.len - len >= WORD && is_printable_word(word_at(text.ptr + len)))
        len += WORD;
    while (len < text.len && is_printable(text.ptr[len]))
        len++;
    return len;
}

/* Line ends */

/* Cuts the first line and its end off *rest. False when nothing is left;
 * *ended tells whether the line had an end. */
static bool cut_line(struct str *rest, struct str *line, bool *ended)
{
    size_t len = line_len(*rest);
    size_t end;

    if (rest->len == 0)
        return false;
    *line = str_slice(*rest, 0, len);
    *ended = len < rest->len;
    end = *ended ? 1 : 0;
    if (*ended && rest->ptr[len] == '\r' && len + 1 < rest->len &&
        rest->ptr[len + 1] == '\n')
        end = 2;
    *rest = str_from(*rest, len + end);
    return true;
}

size_t canonical_len(struct str text)
{
    size_t len = 0;
    struct str line;
    bool ended;

    while (cut_line(&text, &line, &ended))
        len += line.len + (ended ? 2 : 0);
    return len;
}

struct str canonical_copy(struct arena *arena, struct str text)
{
    size_t len = canonical_len(text);
    char *copy = arena_alloc(arena, len + 1);
    char *end = copy;
    struct str line;
    bool ended;

    while (cut_line(&text, &line, &ended)) {
        memcpy(end, line.ptr, line.len);
        end += line.len;
        if (ended) {
            *end++ = '\r';
            *end++ = '\n';
        }
    }
    return str_make(copy, len);
}

/* 7bit */

static bool is_plain_line(struct str line)
{
    return line.len <= LINE_MAX_7BIT && !str_starts(line, S("From "));
}

bool is_7bit(struct str canonical)
{
    size_t start = 0; /* of the line */
    size_t at = 0;

    while (true) {
        at += printable_len(str_from(canonical, at));
        if (at < canonical.len && canonical.ptr[at] == '\t') {
            at++;
            continue;
        }
        if (!is_plain_line(str_slice(canonical, start, at - start)))
            return false;
        if (at == canonical.len)
            return true;
        if (canonical.ptr[at] != '\r')
            return false;
        at += 2;
        start = at;
    }
}

/* base64 */

size_t base64_lines_len(size_t bytes_len)
{
    size_t digits = (bytes_len + 2) / 3 * 4;

    return digits == 0 ? 0 : digits + (digits - 1) / BASE64_LINE * 2;
}

void base64_lines_add(struct buf *out, struct str bytes)
{
    if (buf_space(out, base64_lines_len(bytes.len)) == NULL)
        return;
    for (size_t at = 0; at < bytes.len; at += BASE64_LINE_BYTES) {
        if (at > 0)
            buf_add(out, S("\r\n"));
        codec_base64_add(out, str_slice(bytes, at, BASE64_LINE_BYTES));
    }
}

/* quoted-printable */

struct qp {
    char *end; /* of what is written */
    size_t column;
};

static void qp_escape(struct qp *qp, struct str bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];

        *qp->end++ = '=';
        *qp->end++ = HEX[c >> 4];
        *qp->end++ = HEX[c & 0xf];
    }
    qp->column += 3 * bytes.len;
}

/* The bytes of the character at the front. */
static size_t character_len(struct str text)
{
    size_t len = 1;

    if ((unsigned char)text.ptr[0] < 0xc0)
        return 1;
    while (len < text.len && len < 4 &&
           ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
        len++;
    return len;
}

static bool at_line_end(struct str rest)
{
    return rest.len == 0 || rest.ptr[0] == '\r';
}

/* Some relays take a leading dot or "From " for something else. */
static bool is_risky_start(struct str text)
{
    return text.ptr[0] == '.' || str_starts(text, S("From "));
}

static bool qp_needs_escape(struct str text, size_t column)
{
    unsigned char c = (unsigned char)text.ptr[0];

    if (c == ' ' || c == '\t')
        return at_line_end(str_from(text, 1));
    return c < 0x20 || c >= 0x7f || c == '=' ||
           (column == 0 && is_risky_start(text));
}

/* Writes the character at the front, which is no line end, behind a soft
 * line break where it would not fit. Returns its bytes. */
static size_t qp_character(struct qp *qp, struct str text)
{
    size_t bytes = character_len(text);
    bool last = at_line_end(str_from(text, bytes));
    size_t room = last ? QP_LINE : QP_LINE - 1;
    size_t width = qp_needs_escape(text, qp->column) ? 3 * bytes : bytes;

    if (qp->column + width > room) {
        memcpy(qp->end, "=\r\n", 3);
        qp->end += 3;
        qp->column = 0;
    }
    if (qp_needs_escape(text, qp->column)) {
        qp_escape(qp, str_slice(text, 0, bytes));
    } else {
        *qp->end++ = text.ptr[0];
        qp->column++;
    }
    return bytes;
}

bool qp_add(struct buf *out, struct str canonical, size_t len_max)
{
    size_t slack = QP_UNIT_MAX + 3;
    char *start = buf_space(out, len_max + slack);
    struct qp qp = {.end = start};

    if (start == NULL)
        return false;
    while (canonical.len > 0) {
        size_t bytes = 2;

        if (str_starts(canonical, S("\r\n"))) {
            memcpy(qp.end, "\r\n", 2);
            qp.end += 2;
            qp.column = 0;
        } else {
            bytes = qp_character(&qp, canonical);
        }
        if ((size_t)(qp.end - start) > len_max)
            return false;
        canonical = str_from(canonical, bytes);
    }
    buf_grown(out, (size_t)(qp.end - start));
    return true;
}

enum encoding encode_text(struct buf *out, struct str canonical)
{
    if (is_7bit(canonical)) {
        buf_add(out, canonical);
        return ENCODING_7BIT;
    }
    if (qp_add(out, canonical, base64_lines_len(canonical.len)))
        return ENCODING_QP;
    base64_lines_add(out, canonical);
    return ENCODING_BASE64;
}
