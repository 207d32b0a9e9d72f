#include "server/base/str.h"

#include <string.h>

struct str str_of(const char *text)
{
    return (struct str){text, text == NULL ? 0 : strlen(text)};
}

struct str str_make(const void *ptr, size_t len)
{
    return (struct str){ptr, len};
}

bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool str_eq_nocase(struct str a, struct str b)
{
    return a.len == b.len && str_starts_nocase(a, b);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq(str_slice(s, 0, prefix.len), prefix);
}

bool str_starts_nocase(struct str s, struct str prefix)
{
    if (s.len < prefix.len)
        return false;
    for (size_t i = 0; i < prefix.len; i++)
        if (ascii_lower(s.ptr[i]) != ascii_lower(prefix.ptr[i]))
            return false;
    return true;
}

bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len &&
           str_eq(str_from(s, s.len - suffix.len), suffix);
}

int str_compare(struct str a, struct str b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter == 0 ? 0 : memcmp(a.ptr, b.ptr, shorter);

    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

ptrdiff_t str_index(struct str s, char c, size_t from)
{
    const char *hit;

    if (from >= s.len)
        return -1;
    hit = memchr(s.ptr + from, c, s.len - from);
    return hit == NULL ? -1 : hit - s.ptr;
}

ptrdiff_t str_find(struct str s, struct str part, size_t from)
{
    const char *hit;

    if (from > s.len)
        return -1;
    if (part.len == 0)
        return (ptrdiff_t)from;
    if (s.len - from < part.len)
        return -1;
    hit = memmem(s.ptr + from, s.len - from, part.ptr, part.len);
    return hit == NULL ? -1 : hit - s.ptr;
}

bool str_contains(struct str s, struct str part)
{
    return str_find(s, part, 0) >= 0;
}

bool str_contains_nocase(struct str s, struct str part)
{
    for (size_t i = 0; i + part.len <= s.len; i++)
        if (str_starts_nocase(str_from(s, i), part))
            return true;
    return false;
}

bool str_has_control(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return true;
    return false;
}

struct str str_from(struct str s, size_t start)
{
    if (start >= s.len)
        return (struct str){NULL, 0};
    return (struct str){s.ptr + start, s.len - start};
}

struct str str_slice(struct str s, size_t start, size_t len)
{
    struct str rest = str_from(s, start);

    if (rest.len > len)
        rest.len = len;
    return rest;
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = str_from(s, 1);
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

bool str_cut(struct str *rest, char c, struct str *piece)
{
    ptrdiff_t at;

    if (rest->ptr == NULL)
        return false;
    at = str_index(*rest, c, 0);
    if (at < 0) {
        *piece = *rest;
        *rest = (struct str){NULL, 0};
        return true;
    }
    *piece = str_make(rest->ptr, (size_t)at);
    *rest = str_make(rest->ptr + at + 1, rest->len - (size_t)at - 1);
    return true;
}

struct str str_decimal(int64_t number, char room[DECIMAL_SIZE])
{
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    size_t at = DECIMAL_SIZE;

    do {
        room[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0)
        room[--at] = '-';
    return str_make(room + at, DECIMAL_SIZE - at);
}

bool str_to_u64(struct str s, uint64_t *value)
{
    uint64_t sum = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_digit(s.ptr[i]))
            return false;
        if (__builtin_mul_overflow(sum, 10U, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(s.ptr[i] - '0'), &sum))
            return false;
    }
    *value = sum;
    return true;
}

char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool ascii_is_alpha(char c)
{
    c = ascii_lower(c);
    return c >= 'a' && c <= 'z';
}

bool ascii_is_alnum(char c)
{
    return ascii_is_digit(c) || ascii_is_alpha(c);
}
