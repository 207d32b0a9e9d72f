#include "smtp/message/content_type.h"

#include "smtp/message/attachment.h"
#include "smtp/message/text.h"

static const struct {
    struct str extension;
    struct str type;
} TYPES[] = {
#define TYPE(extension, type) {STR(extension), STR(type)},
#include "smtp/message/content_types.def"
#undef TYPE
};

static bool read_essence(struct str text)
{
    struct str major = S("");

    return str_cut(&text, '/', &major) && is_token(major) && is_token(text);
}

static bool is_quotable(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < ' ' || text.ptr[i] >= 0x7f || text.ptr[i] == '"' ||
            text.ptr[i] == '\\')
            return false;
    return text.len > 0;
}

/* Takes a value off the front: a token, or text in quotation marks. */
static bool take_value(struct str *rest, struct str *value)
{
    ptrdiff_t end;

    if (rest->len == 0 || rest->ptr[0] != '"') {
        end = str_index(*rest, ';', 0);
        *value = str_slice(*rest, 0, end < 0 ? rest->len : (size_t)end);
        *rest = str_from(*rest, value->len);
        *value = str_trim(*value);
        return is_token(*value);
    }
    end = str_index(*rest, '"', 1);
    if (end < 0)
        return false;
    *value = str_slice(*rest, 1, (size_t)end - 1);
    *rest = str_trim(str_from(*rest, (size_t)end + 1));
    return is_quotable(*value);
}

/* No attribute*=value and attribute*0=value (RFC 2231): they could not be
 * written in quotation marks, and name*= would be a second name of a file. */
static bool is_attribute(struct str text)
{
    return is_token(text) && str_index(text, '*', 0) < 0;
}

static bool read_param(struct str *rest, struct content_type *type)
{
    struct str name = S("");
    struct str value = S("");

    if (type->param_count == CONTENT_TYPE_PARAMS || !str_cut(rest, '=', &name))
        return false;
    name = str_trim(name);
    *rest = str_trim(*rest);
    if (!is_attribute(name) || !take_value(rest, &value))
        return false;
    type->params[type->param_count].name = name;
    type->params[type->param_count].value = value;
    type->param_count++;
    return true;
}

bool content_type_read(struct str text, struct content_type *type)
{
    struct str rest = str_trim(text);
    ptrdiff_t end = str_index(rest, ';', 0);

    *type = (struct content_type){.param_count = 0};
    type->essence =
        str_trim(str_slice(rest, 0, end < 0 ? rest.len : (size_t)end));
    if (!read_essence(type->essence))
        return false;
    rest = end < 0 ? S("") : str_from(rest, (size_t)end);
    while (rest.len > 0) {
        if (rest.ptr[0] != ';')
            return false;
        rest = str_trim(str_from(rest, 1));
        if (rest.len > 0 && !read_param(&rest, type))
            return false;
    }
    return true;
}

bool content_type_is(struct str essence, struct str major)
{
    return str_starts_nocase(essence, major) && essence.len > major.len &&
           essence.ptr[major.len] == '/';
}

struct str content_type_extension(struct str essence)
{
    for (size_t i = 0; i < COUNT_OF(TYPES); i++)
        if (str_eq_nocase(TYPES[i].type, essence))
            return TYPES[i].extension;
    return S("bin");
}

struct str content_type_guess(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(TYPES); i++) {
        struct str extension = TYPES[i].extension;

        if (name.len > extension.len &&
            name.ptr[name.len - extension.len - 1] == '.' &&
            str_eq_nocase(str_from(name, name.len - extension.len), extension))
            return TYPES[i].type;
    }
    return S("application/octet-stream");
}
