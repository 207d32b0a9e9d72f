#include "smtp/inbox_decode.h"

#include "server/base/codec.h"

#include <stdint.h>

static const char REPLACEMENT[] = "\xef\xbf\xbd"; /* U+FFFD */

/* windows-1252 where it differs from ISO-8859-1. What claims to be the
 * latter is most often the former, as browsers know too. */
static const uint16_t WINDOWS_1252[32] = {
    0x20ac, 0xfffd, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
    0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0xfffd, 0x017d, 0xfffd,
    0xfffd, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
    0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0xfffd, 0x017e, 0x0178,
};

/* --- charsets --- */

static void add_windows_1252(struct buf *out, struct str bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned code = (unsigned char)bytes.ptr[i];

        if (code >= 0x80 && code < 0xa0)
            code = WINDOWS_1252[code - 0x80];
        utf8_add(out, code);
    }
}

static void add_utf8(struct buf *out, struct str bytes)
{
    struct str rest = bytes;
    uint32_t code;

    while (rest.len > 0) {
        struct str before = rest;

        if (utf8_next(&rest, &code)) {
            buf_add(out, str_slice(before, 0, before.len - rest.len));
        } else {
            buf_add_cstr(out, REPLACEMENT);
            rest = str_from(before, 1);
        }
    }
}

static void add_ascii(struct buf *out, struct str bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        if ((unsigned char)bytes.ptr[i] < 0x80)
            buf_add_char(out, bytes.ptr[i]);
        else
            buf_add_cstr(out, REPLACEMENT);
}

static void add_charset(struct buf *out, struct str bytes, struct str charset)
{
    if (charset.len == 0 || str_eq_nocase(charset, S("utf-8")) ||
        str_eq_nocase(charset, S("utf8")) ||
        str_eq_nocase(charset, S("us-ascii")))
        add_utf8(out, bytes);
    else if (str_eq_nocase(charset, S("iso-8859-1")) ||
             str_eq_nocase(charset, S("windows-1252")))
        add_windows_1252(out, bytes);
    else
        add_ascii(out, bytes);
}

/* --- transfer encodings --- */

static int hex_value(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* =XX at the front of s; -1: it is not. */
static int escaped_byte(struct str s)
{
    int high = s.len >= 3 ? hex_value(s.ptr[1]) : -1;
    int low = s.len >= 3 ? hex_value(s.ptr[2]) : -1;

    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Length of a soft line break behind the "=": blanks and a line end. 0:
 * there is none. */
static size_t soft_break_len(struct str s)
{
    size_t i = 1;

    while (i < s.len && (s.ptr[i] == ' ' || s.ptr[i] == '\t'))
        i++;
    if (i + 1 < s.len && s.ptr[i] == '\r' && s.ptr[i + 1] == '\n')
        return i + 2;
    if (i < s.len && s.ptr[i] == '\n')
        return i + 1;
    return i == s.len ? i : 0;
}

/* Takes what one "=" begins off the front of *s. */
static void take_escape(struct buf *out, struct str *s)
{
    int byte = escaped_byte(*s);
    size_t gone = byte >= 0 ? 3 : soft_break_len(*s);

    if (byte >= 0)
        buf_add_char(out, (char)byte);
    else if (gone == 0)
        buf_add_char(out, '='); /* as it stands */
    *s = str_from(*s, gone == 0 ? 1 : gone);
}

static void undo_quoted_printable(struct buf *out, struct str s)
{
    while (s.len > 0) {
        ptrdiff_t at = str_index(s, '=', 0);
        size_t plain = at < 0 ? s.len : (size_t)at;

        buf_add(out, str_slice(s, 0, plain));
        s = str_from(s, plain);
        if (s.len > 0)
            take_escape(out, &s);
    }
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_is_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Skips whatever is not of the alphabet (RFC 2045 section 6.8). */
static void undo_base64(struct buf *out, struct str s)
{
    unsigned bits = 0;
    unsigned held = 0;

    for (size_t i = 0; i < s.len && s.ptr[i] != '='; i++) {
        int value = base64_value(s.ptr[i]);

        if (value < 0)
            continue;
        held = (held << 6 | (unsigned)value) & 0xfff;
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        buf_add_char(out, (char)(held >> bits & 0xff));
    }
}

static void add_lf_lines(struct buf *out, struct str s)
{
    ptrdiff_t at;

    while ((at = str_find(s, S("\r\n"), 0)) >= 0) {
        buf_add(out, str_slice(s, 0, (size_t)at));
        buf_add_char(out, '\n');
        s = str_from(s, (size_t)at + 2);
    }
    buf_add(out, s);
}

void inbox_decode_body(struct buf *out, struct str body, struct str encoding,
                       struct str charset)
{
    struct buf bytes;
    struct buf lines;

    buf_init(&bytes, body.len);
    buf_init(&lines, body.len);
    if (str_eq_nocase(encoding, S("quoted-printable")))
        undo_quoted_printable(&bytes, body);
    else if (str_eq_nocase(encoding, S("base64")))
        undo_base64(&bytes, body);
    else
        buf_add(&bytes, body);
    add_lf_lines(&lines, buf_str(&bytes));
    add_charset(out, buf_str(&lines), charset);
    buf_finish(&bytes);
    buf_finish(&lines);
}

/* --- encoded words --- */

struct encoded_word {
    struct str charset;
    char encoding; /* 'b' or 'q' */
    struct str text;
};

/* "=?charset?encoding?text?=" off the front of *s. */
static bool take_word(struct str *s, struct encoded_word *word)
{
    struct str rest = str_from(*s, 2);
    struct str encoding;
    ptrdiff_t end;

    if (!str_starts(*s, S("=?")) || !str_cut(&rest, '?', &word->charset) ||
        !str_cut(&rest, '?', &encoding) || encoding.len != 1)
        return false;
    end = str_find(rest, S("?="), 0);
    word->encoding = ascii_lower(encoding.ptr[0]);
    if (end < 0 || (word->encoding != 'b' && word->encoding != 'q'))
        return false;
    word->text = str_slice(rest, 0, (size_t)end);
    if (str_contains(word->text, S(" ")) || str_contains(word->charset, S(" ")))
        return false;
    *s = str_from(rest, (size_t)end + 2);
    return true;
}

/* Quoted-printable, and "_" for a blank. */
static void undo_q(struct buf *out, struct str text)
{
    struct buf blanked;

    buf_init(&blanked, text.len);
    for (size_t i = 0; i < text.len; i++)
        buf_add_char(&blanked, text.ptr[i] == '_' ? ' ' : text.ptr[i]);
    undo_quoted_printable(out, buf_str(&blanked));
    buf_finish(&blanked);
}

static void add_word(struct buf *out, const struct encoded_word *word)
{
    struct buf bytes;
    ptrdiff_t star = str_index(word->charset, '*', 0); /* RFC 2231: language */
    struct str charset =
        star < 0 ? word->charset : str_slice(word->charset, 0, (size_t)star);

    buf_init(&bytes, word->text.len);
    if (word->encoding == 'b')
        undo_base64(&bytes, word->text);
    else
        undo_q(&bytes, word->text);
    add_charset(out, buf_str(&bytes), charset);
    buf_finish(&bytes);
}

static struct str skip_blanks(struct str s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = str_from(s, 1);
    return s;
}

/* The word, and those that follow with nothing but blanks between, which
 * are none then (section 6.2). */
static void add_row_of_words(struct buf *out, struct str *s,
                             struct encoded_word *word)
{
    struct str next;

    add_word(out, word);
    while (next = skip_blanks(*s), take_word(&next, word)) {
        add_word(out, word);
        *s = next;
    }
}

static void add_words(struct buf *out, struct str s)
{
    struct encoded_word word;
    ptrdiff_t at;

    while ((at = str_find(s, S("=?"), 0)) >= 0) {
        add_utf8(out, str_slice(s, 0, (size_t)at));
        s = str_from(s, (size_t)at);
        if (take_word(&s, &word)) {
            add_row_of_words(out, &s, &word);
        } else {
            buf_add(out, S("=?"));
            s = str_from(s, 2);
        }
    }
    add_utf8(out, s);
}

void inbox_decode_header(struct buf *out, struct str value)
{
    struct buf line;

    buf_init(&line, value.len);
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] != '\r' && value.ptr[i] != '\n')
            buf_add_char(&line, value.ptr[i]);
    add_words(out, str_trim(buf_str(&line)));
    buf_finish(&line);
}
