#include "server/domain/tags.h"

/* Folding white space may stand in a record, too. */
static struct str trim(struct str text)
{
    while (text.len > 0 && (unsigned char)text.ptr[0] <= ' ')
        text = str_from(text, 1);
    while (text.len > 0 && (unsigned char)text.ptr[text.len - 1] <= ' ')
        text.len--;
    return text;
}

static bool is_name(struct str name)
{
    if (name.len == 0 || !ascii_is_alpha(name.ptr[0]))
        return false;
    for (size_t i = 1; i < name.len; i++)
        if (!ascii_is_alnum(name.ptr[i]) && name.ptr[i] != '_')
            return false;
    return true;
}

static bool add(struct tags *tags, struct str part)
{
    ptrdiff_t equals = str_index(part, '=', 0);
    struct tag *tag = &tags->list[tags->count];

    if (equals < 0 || tags->count == TAGS_MAX)
        return false;
    tag->name = trim(str_slice(part, 0, (size_t)equals));
    tag->whole = part;
    tag->value = trim(str_from(part, (size_t)equals + 1));
    if (!is_name(tag->name))
        return false;
    for (size_t i = 0; i < tags->count; i++)
        if (str_eq(tags->list[i].name, tag->name))
            return false;
    tags->count++;
    return true;
}

bool tags_read(struct str text, struct tags *tags)
{
    struct str rest = text;
    struct str part;

    tags->count = 0;
    tags->bad = S("");
    while (str_cut(&rest, ';', &part)) {
        part = trim(part);
        if (part.len == 0 && rest.len == 0)
            break; /* the last ";" */
        if (!add(tags, part)) {
            tags->bad = part.len == 0 ? S(";;") : part;
            return false;
        }
    }
    return true;
}

const struct str *tags_get(const struct tags *tags, const char *name)
{
    for (size_t i = 0; i < tags->count; i++)
        if (str_eq(tags->list[i].name, str_of(name)))
            return &tags->list[i].value;
    return NULL;
}

bool tags_begin(const struct tags *tags, const char *version)
{
    return tags->count > 0 && str_eq(tags->list[0].name, S("v")) &&
           str_eq(tags->list[0].value, str_of(version));
}

bool tags_claim(struct str text, const char *version)
{
    struct str first;
    ptrdiff_t equals;

    if (!str_cut(&text, ';', &first))
        return false;
    equals = str_index(first, '=', 0);
    return equals > 0 &&
           str_eq(trim(str_slice(first, 0, (size_t)equals)), S("v")) &&
           str_eq(trim(str_from(first, (size_t)equals + 1)), str_of(version));
}

bool tags_has_item(struct str list, char between, struct str item)
{
    struct str piece;

    while (str_cut(&list, between, &piece))
        if (str_eq(trim(piece), item))
            return true;
    return false;
}
