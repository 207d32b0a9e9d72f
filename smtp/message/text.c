#include "smtp/message/text.h"

#include "server/base/codec.h"

#include <string.h>

bool is_ascii(char c)
{
    return (unsigned char)c < 0x80;
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

bool is_atext(char c)
{
    return ascii_is_alnum(c) || is_one_of(c, "!#$%&'*+-/=?^_`{|}~");
}

bool is_token(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] == 0x7f ||
            !is_ascii(text.ptr[i]) ||
            is_one_of(text.ptr[i], "()<>@,;:\\\"/[]?="))
            return false;
    return text.len > 0;
}

bool is_field_name(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f || text.ptr[i] == ':')
            return false;
    return text.len > 0;
}

bool is_bidi_control(uint32_t code)
{
    return code == 0x061c || code == 0x200e || code == 0x200f ||
           (code >= 0x202a && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

bool is_invisible(uint32_t code)
{
    return (code >= 0x80 && code <= 0xa0) || code == 0xad ||
           (code >= 0x2000 && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202f) ||
           (code >= 0x205f && code <= 0x206f) || code == 0x061c ||
           code == 0x1680 || code == 0x3000 || code == 0x3164 ||
           (code >= 0xfe00 && code <= 0xfe0f) || code == 0xfeff ||
           code >= 0xe0000;
}

enum flaw text_check(struct str text)
{
    if (str_has_control(text))
        return FLAW_CONTROL;
    return utf8_is_valid(text) ? FLAW_NONE : FLAW_NOT_UTF8;
}

void ascii_lower_copy(struct str text, char *out)
{
    for (size_t i = 0; i < text.len; i++)
        out[i] = ascii_lower(text.ptr[i]);
}
