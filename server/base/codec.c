#include "server/base/codec.h"

#include <stdint.h>
#include <string.h>

static const char BASE64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char BASE64URL[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char HEX[] = "0123456789abcdef";

enum { NO_DIGIT = 0xff };

/* --- base64 --- */

static void encode_triple(const unsigned char *in, const char *alphabet,
                          char *out)
{
    out[0] = alphabet[in[0] >> 2];
    out[1] = alphabet[(in[0] & 0x03) << 4 | in[1] >> 4];
    out[2] = alphabet[(in[1] & 0x0f) << 2 | in[2] >> 6];
    out[3] = alphabet[in[2] & 0x3f];
}

static void encode(struct buf *out, struct str bytes, const char *alphabet,
                   bool padded)
{
    size_t triples = bytes.len / 3;
    size_t rest = bytes.len % 3;
    size_t tail = rest == 0 ? 0 : padded ? 4 : rest + 1;
    const unsigned char *in = (const unsigned char *)bytes.ptr;
    char *end = buf_space(out, triples * 4 + tail);

    if (end == NULL)
        return;
    for (size_t i = 0; i < triples; i++)
        encode_triple(in + 3 * i, alphabet, end + 4 * i);
    if (rest > 0) {
        unsigned char last[3] = {0};
        char quad[4];

        memcpy(last, in + 3 * triples, rest);
        encode_triple(last, alphabet, quad);
        memset(quad + rest + 1, '=', 3 - rest);
        memcpy(end + 4 * triples, quad, tail);
    }
    buf_grown(out, triples * 4 + tail);
}

void codec_base64_add(struct buf *out, struct str bytes)
{
    encode(out, bytes, BASE64, true);
}

void codec_base64url_add(struct buf *out, struct str bytes)
{
    encode(out, bytes, BASE64URL, false);
}

/* The value of each byte as a digit. On the stack of the caller: decoding
 * also happens in helper threads, and 64 stores are nothing beside it. */
static void fill_values(const char *alphabet, unsigned char values[256])
{
    memset(values, NO_DIGIT, 256);
    for (unsigned char i = 0; i < 64; i++)
        values[(unsigned char)alphabet[i]] = i;
}

/* Turns len digits (2 to 4) into len - 1 bytes. False: a byte that is no
 * digit, or bits left over that are not zero. */
static bool decode_quad(const unsigned char *in, size_t len,
                        const unsigned char values[256], char *out)
{
    uint32_t bits = 0;
    unsigned char bad = 0;

    for (size_t i = 0; i < 4; i++) {
        unsigned char value = i < len ? values[in[i]] : 0;

        bad |= value & 0x80;
        bits = bits << 6 | (value & 0x3fU);
    }
    for (size_t i = 0; i < len - 1; i++)
        out[i] = (char)(bits >> (16 - 8 * i));
    return bad == 0 && (bits & (0xffffffU >> (8 * (len - 1)))) == 0;
}

/* text comes without padding. */
static bool decode(struct str text, const char *alphabet, struct buf *out)
{
    unsigned char values[256];
    const unsigned char *in = (const unsigned char *)text.ptr;
    size_t quads = text.len / 4;
    size_t rest = text.len % 4;
    size_t size = quads * 3 + (rest == 0 ? 0 : rest - 1);
    char *end;

    if (rest == 1)
        return false;
    end = buf_space(out, size);
    if (end == NULL)
        return false;
    fill_values(alphabet, values);
    for (size_t i = 0; i < quads; i++)
        if (!decode_quad(in + 4 * i, 4, values, end + 3 * i))
            return false;
    if (rest > 0 && !decode_quad(in + 4 * quads, rest, values, end + 3 * quads))
        return false;
    buf_grown(out, size);
    return true;
}

bool codec_base64_decode(struct str text, struct buf *out)
{
    if (text.len % 4 != 0)
        return false;
    if (str_ends(text, S("==")))
        text.len -= 2;
    else if (str_ends(text, S("=")))
        text.len -= 1;
    return decode(text, BASE64, out);
}

bool codec_base64url_decode(struct str text, struct buf *out)
{
    return decode(text, BASE64URL, out);
}

/* --- hex and percent --- */

static int hex_value(char c)
{
    c = ascii_lower(c);
    if (ascii_is_digit(c))
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that two hex digits at the front of text stand for, or -1. */
static int hex_byte(struct str text)
{
    int high = text.len < 2 ? -1 : hex_value(text.ptr[0]);
    int low = text.len < 2 ? -1 : hex_value(text.ptr[1]);

    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

void codec_hex_add(struct buf *out, struct str bytes)
{
    char *end = buf_space(out, bytes.len * 2);

    if (end == NULL)
        return;
    for (size_t i = 0; i < bytes.len; i++) {
        end[2 * i] = HEX[(unsigned char)bytes.ptr[i] >> 4];
        end[2 * i + 1] = HEX[(unsigned char)bytes.ptr[i] & 15];
    }
    buf_grown(out, bytes.len * 2);
}

bool codec_hex_decode(struct str text, struct buf *out)
{
    char *end = text.len % 2 == 0 ? buf_space(out, text.len / 2) : NULL;

    if (end == NULL)
        return false;
    for (size_t i = 0; i < text.len / 2; i++) {
        int byte = hex_byte(str_from(text, 2 * i));

        if (byte < 0)
            return false;
        end[i] = (char)byte;
    }
    buf_grown(out, text.len / 2);
    return true;
}

bool codec_percent_decode(struct str text, struct buf *out)
{
    char *end = buf_space(out, text.len);
    size_t len = 0;

    if (end == NULL)
        return false;
    while (text.len > 0) {
        int byte = (unsigned char)text.ptr[0];
        size_t step = 1;

        if (byte == '%') {
            byte = hex_byte(str_from(text, 1));
            step = 3;
            if (byte < 0)
                return false;
        }
        end[len++] = (char)byte;
        text = str_from(text, step);
    }
    buf_grown(out, len);
    return true;
}

/* --- UTF-8 --- */

/* The code point at the front of s, and its length; 0: a bad byte. */
static size_t decode_point(struct str s, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = (unsigned char)s.ptr[0];
    size_t len = first < 0x80   ? 1
                 : first < 0xc2 ? 0
                 : first < 0xe0 ? 2
                 : first < 0xf0 ? 3
                 : first < 0xf5 ? 4
                                : 0;

    if (len == 0 || len > s.len)
        return 0;
    *code = len == 1 ? first : first & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        unsigned char next = (unsigned char)s.ptr[i];

        if ((next & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (next & 0x3fU);
    }
    if (*code < least[len] || *code > 0x10ffff ||
        (*code >= 0xd800 && *code <= 0xdfff))
        return 0;
    return len;
}

bool utf8_next(struct str *rest, uint32_t *code)
{
    size_t len = rest->len == 0 ? 0 : decode_point(*rest, code);

    if (len == 0)
        return false;
    *rest = str_from(*rest, len);
    return true;
}

void utf8_add(struct buf *out, uint32_t code)
{
    char utf8[4];
    size_t len = 0;

    if (code < 0x80) {
        utf8[len++] = (char)code;
    } else if (code < 0x800) {
        utf8[len++] = (char)(0xc0 | code >> 6);
    } else if (code < 0x10000) {
        utf8[len++] = (char)(0xe0 | code >> 12);
        utf8[len++] = (char)(0x80 | (code >> 6 & 0x3f));
    } else {
        utf8[len++] = (char)(0xf0 | code >> 18);
        utf8[len++] = (char)(0x80 | (code >> 12 & 0x3f));
        utf8[len++] = (char)(0x80 | (code >> 6 & 0x3f));
    }
    if (code >= 0x80)
        utf8[len++] = (char)(0x80 | (code & 0x3f));
    buf_add(out, str_make(utf8, len));
}

/* How many bytes at the front are ASCII; eight at a time, since most mail
 * is. */
static size_t ascii_run(struct str s)
{
    size_t at = 0;
    uint64_t word;

    for (; s.len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, s.ptr + at, sizeof word);
        if ((word & 0x8080808080808080U) != 0)
            break;
    }
    while (at < s.len && (unsigned char)s.ptr[at] < 0x80)
        at++;
    return at;
}

bool utf8_is_ascii(struct str text)
{
    return ascii_run(text) == text.len;
}

bool utf8_is_valid(struct str text)
{
    uint32_t code;

    for (;;) {
        text = str_from(text, ascii_run(text));
        if (text.len == 0)
            return true;
        if (!utf8_next(&text, &code))
            return false;
    }
}

size_t utf8_cut(struct str text, size_t max)
{
    size_t at = max;

    if (text.len <= max)
        return text.len;
    while (at > 0 && max - at < 4 &&
           ((unsigned char)text.ptr[at] & 0xc0) == 0x80)
        at--;
    return at;
}

void utf8_clean_add(struct buf *out, struct str text, size_t max)
{
    size_t room = max;

    while (text.len > 0) {
        uint32_t code = 0;
        size_t len = decode_point(text, &code);
        bool clean = len > 0 && code >= 0x20 && (code < 0x7f || code > 0x9f);
        struct str part = clean ? str_slice(text, 0, len) : S("?");

        if (part.len > room)
            return;
        buf_add(out, part);
        room -= part.len;
        text = str_from(text, len == 0 ? 1 : len);
    }
}
