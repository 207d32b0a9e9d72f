#include "smtp/message/html.h"

#include "server/base/codec.h"

#include <stdlib.h>
#include <string.h>

enum {
    REPLACEMENT = 0xfffd,
    ENTITY_NAME_MAX = 10, /* the longest that is decoded, &#x10ffff; too */
};

static const struct entity {
    const char *name;
    uint32_t code;
} ENTITIES[] = {
#define ENTITY(name, code) {name, code},
#include "smtp/message/entities.def"
#undef ENTITY
};

bool html_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Character references */

static int entity_compare(const void *key, const void *row)
{
    const struct entity *entity = row;

    return strcmp(key, entity->name);
}

/* References to 0x80-0x9f are meant as Windows-1252 (HTML standard, 13.2.5.80
 * numeric character reference end state). */
static uint32_t repair_code(uint32_t code)
{
    static const uint16_t windows[32] = {
        0x20ac, 0x81,   0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
        0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d,   0x017d, 0x8f,
        0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
        0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d,   0x017e, 0x0178,
    };

    if (code >= 0x80 && code <= 0x9f)
        return windows[code - 0x80];
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return REPLACEMENT;
    return code;
}

static bool digit_value(char c, unsigned base, uint32_t *value)
{
    char lower = ascii_lower(c);

    if (ascii_is_digit(c))
        *value = (uint32_t)(c - '0');
    else if (lower >= 'a' && lower <= 'f')
        *value = (uint32_t)(lower - 'a') + 10;
    else
        return false;
    return *value < base;
}

static bool numeric_reference(struct str digits, uint32_t *code)
{
    unsigned base = 10;
    uint32_t value = 0;

    if (digits.len > 0 && ascii_lower(digits.ptr[0]) == 'x') {
        base = 16;
        digits = str_from(digits, 1);
    }
    if (digits.len == 0 || digits.len > 8)
        return false;
    *code = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (!digit_value(digits.ptr[i], base, &value))
            return false;
        *code = *code * base + value;
    }
    *code = repair_code(*code);
    return true;
}

static bool named_reference(struct str text, uint32_t *code)
{
    char name[ENTITY_NAME_MAX + 1];
    const struct entity *hit;

    if (text.len > ENTITY_NAME_MAX)
        return false;
    memcpy(name, text.ptr, text.len);
    name[text.len] = '\0';
    hit = bsearch(name, ENTITIES, COUNT_OF(ENTITIES), sizeof ENTITIES[0],
                  entity_compare);
    if (hit != NULL)
        *code = hit->code;
    return hit != NULL;
}

/* Takes a character reference off the front of *rest, which begins with an
 * ampersand; false when it is just an ampersand. */
static bool take_reference(struct str *rest, uint32_t *code)
{
    ptrdiff_t end = str_index(str_slice(*rest, 0, ENTITY_NAME_MAX + 2), ';', 0);
    struct str name;

    if (end < 2)
        return false;
    name = str_slice(*rest, 1, (size_t)end - 1);
    if (name.ptr[0] == '#' ? !numeric_reference(str_from(name, 1), code)
                           : !named_reference(name, code))
        return false;
    *rest = str_from(*rest, (size_t)end + 1);
    return true;
}

bool html_take_char(struct str *rest, uint32_t *code)
{
    while (rest->len > 0) {
        if (rest->ptr[0] == '&' && take_reference(rest, code))
            return true;
        if (utf8_next(rest, code))
            return true;
        *rest = str_from(*rest, 1);
    }
    return false;
}

/* Tags */

enum tag_place {
    OUTSIDE_VALUE,
    BEFORE_VALUE,
    IN_VALUE, /* without quotation marks */
    IN_QUOTES,
};

/* Where in a tag the character behind c stands. */
static enum tag_place place_behind(char c, enum tag_place place, char *quote)
{
    switch (place) {
    case OUTSIDE_VALUE:
        return c == '=' ? BEFORE_VALUE : OUTSIDE_VALUE;
    case IN_VALUE:
        return html_is_space(c) ? OUTSIDE_VALUE : IN_VALUE;
    case IN_QUOTES:
        return c == *quote ? OUTSIDE_VALUE : IN_QUOTES;
    case BEFORE_VALUE:
        break;
    }
    if (html_is_space(c))
        return BEFORE_VALUE;
    *quote = c;
    return c == '"' || c == '\'' ? IN_QUOTES : IN_VALUE;
}

/* The length up to the > that ends a tag, quoted ones passed over. */
static size_t tag_len(struct str text)
{
    enum tag_place place = OUTSIDE_VALUE;
    char quote = '\0';
    size_t len = 0;

    for (; len < text.len && (place == IN_QUOTES || text.ptr[len] != '>');
         len++)
        place = place_behind(text.ptr[len], place, &quote);
    return len;
}

struct html_tag html_take_tag(struct str *rest)
{
    struct html_tag tag = {.is_closing = rest->ptr[1] == '/'};
    size_t at = tag.is_closing ? 2 : 1;
    size_t len = tag_len(*rest);
    struct str inner = str_slice(*rest, at, len - at);
    size_t name_len = 0;

    while (name_len < inner.len && !html_is_space(inner.ptr[name_len]) &&
           inner.ptr[name_len] != '/')
        name_len++;
    tag.name = str_slice(inner, 0, name_len);
    tag.attributes = str_from(inner, name_len);
    *rest = str_from(*rest, len + 1);
    return tag;
}

static struct str skip_spaces(struct str text)
{
    while (text.len > 0 && (html_is_space(text.ptr[0]) || text.ptr[0] == '/'))
        text = str_from(text, 1);
    return text;
}

static struct str take_value(struct str *rest)
{
    struct str value;
    size_t len = 0;
    ptrdiff_t end;

    if (rest->len > 0 && (rest->ptr[0] == '"' || rest->ptr[0] == '\'')) {
        end = str_index(*rest, rest->ptr[0], 1);
        len = end < 0 ? rest->len : (size_t)end;
        value = str_slice(*rest, 1, len - 1);
        *rest = str_from(*rest, len + 1);
        return value;
    }
    while (len < rest->len && !html_is_space(rest->ptr[len]))
        len++;
    value = str_slice(*rest, 0, len);
    *rest = str_from(*rest, len);
    return value;
}

static bool take_attribute(struct str *rest, struct str *name,
                           struct str *value)
{
    size_t len = 0;

    *rest = skip_spaces(*rest);
    while (len < rest->len && !html_is_space(rest->ptr[len]) &&
           rest->ptr[len] != '=' && rest->ptr[len] != '/')
        len++;
    *name = str_slice(*rest, 0, len);
    *value = S("");
    *rest = str_from(*rest, len);
    while (rest->len > 0 && html_is_space(rest->ptr[0]))
        *rest = str_from(*rest, 1);
    if (rest->len > 0 && rest->ptr[0] == '=') {
        *rest = str_from(*rest, 1);
        while (rest->len > 0 && html_is_space(rest->ptr[0]))
            *rest = str_from(*rest, 1);
        *value = take_value(rest);
        return true;
    }
    return len > 0;
}

bool html_attribute(const struct html_tag *tag, struct str wanted,
                    struct str *value)
{
    struct str rest = tag->attributes;
    struct str name;

    while (take_attribute(&rest, &name, value))
        if (str_eq_nocase(name, wanted))
            return true;
    *value = S("");
    return false;
}

/* What is passed over */

bool html_begins_tag(struct str text)
{
    struct str behind = str_from(text, 1);

    if (str_starts(behind, S("/")))
        behind = str_from(behind, 1);
    return behind.len > 0 && ascii_is_alpha(behind.ptr[0]);
}

bool html_begins_declaration(struct str text)
{
    return text.len > 1 && (text.ptr[1] == '!' || text.ptr[1] == '?');
}

void html_skip_declaration(struct str *rest)
{
    bool is_comment = str_starts(*rest, S("<!--"));
    struct str end = is_comment ? S("-->") : S(">");
    ptrdiff_t at = str_find(*rest, end, 2);

    *rest = at < 0 ? S("") : str_from(*rest, (size_t)at + end.len);
}

void html_skip_raw(struct str *rest, struct str name)
{
    ptrdiff_t at;

    while ((at = str_find(*rest, S("</"), 0)) >= 0) {
        *rest = str_from(*rest, (size_t)at + 2);
        if (!str_starts_nocase(*rest, name))
            continue;
        *rest = str_from(*rest, tag_len(*rest) + 1);
        return;
    }
    *rest = S("");
}
