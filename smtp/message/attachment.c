#include "smtp/message/attachment.h"

#include "server/base/codec.h"
#include "smtp/message/content_type.h"
#include "smtp/message/text.h"

#include <string.h>

enum flaw filename_check(struct str name)
{
    if (name.len > FILENAME_MAX_BYTES)
        return FLAW_FILENAME_TOO_LONG;
    return text_check(name);
}

enum flaw content_type_check(struct str type)
{
    struct content_type read;

    if (type.len > CONTENT_TYPE_MAX || !content_type_read(type, &read))
        return FLAW_CONTENT_TYPE;
    if (content_type_is(read.essence, S("multipart")))
        return FLAW_CONTENT_TYPE_MULTIPART;
    return FLAW_NONE;
}

/* Without & and ', which html attributes write in other ways. */
static bool is_content_id_char(char c)
{
    return (is_atext(c) && c != '&' && c != '\'') || c == '.' || c == '@';
}

enum flaw content_id_check(struct str id)
{
    struct str bare = content_id_bare(id);

    if (bare.len == 0 || bare.len > CONTENT_ID_MAX)
        return FLAW_CONTENT_ID;
    for (size_t i = 0; i < bare.len; i++)
        if (!is_content_id_char(bare.ptr[i]))
            return FLAW_CONTENT_ID;
    return FLAW_NONE;
}

struct str content_id_bare(struct str id)
{
    id = str_trim(id);
    if (str_starts_nocase(id, S("cid:")))
        id = str_from(id, 4);
    if (id.len >= 2 && id.ptr[0] == '<' && id.ptr[id.len - 1] == '>')
        id = str_slice(id, 1, id.len - 2);
    return id;
}

static struct str last_component(struct str path)
{
    for (size_t i = path.len; i > 0; i--)
        if (path.ptr[i - 1] == '/' || path.ptr[i - 1] == '\\')
            return str_from(path, i);
    return path;
}

/* Controls of ASCII are refused before (filename_check), these dropped. */
static bool is_dropped(uint32_t code)
{
    return is_bidi_control(code) || (code >= 0x80 && code <= 0x9f);
}

static struct str without_controls(struct arena *arena, struct str name)
{
    char *kept = arena_alloc(arena, name.len);
    struct str rest = name;
    size_t len = 0;
    uint32_t code;

    while (rest.len > 0) {
        struct str before = rest;

        if (!utf8_next(&rest, &code))
            break;
        if (is_dropped(code))
            continue;
        memcpy(kept + len, before.ptr, before.len - rest.len);
        len += before.len - rest.len;
    }
    return str_make(kept, len);
}

static bool is_dots(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] != '.')
            return false;
    return true;
}

struct str filename_clean(struct arena *arena, struct str name, size_t index,
                          struct str type)
{
    struct str clean = str_trim(without_controls(arena, last_component(name)));
    struct content_type read;

    if (!is_dots(clean))
        return clean;
    if (!content_type_read(type, &read))
        read.essence = S("");
    return arena_printf(arena, "attachment-%zu.%.*s", index + 1,
                        STR_ARG(content_type_extension(read.essence)));
}
