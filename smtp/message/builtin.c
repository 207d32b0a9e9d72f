#include "smtp/message/builtin.h"

#include "server/base/json.h"
#include "smtp/message/locale.h"

/* Longer than C11 promises; gcc and clang have no such limit. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverlength-strings"
#define TEMPLATE(id, text) static const char id[] = text;
#include "message_builtin.inc"
#undef TEMPLATE
#pragma GCC diagnostic pop

/* A file without the line end behind it. */
#define FILE_OF(id)                                                            \
    {                                                                          \
        id, sizeof(id) - 2                                                     \
    }
#define ROW(alias, id, locale, LOCALE)                                         \
    {                                                                          \
        STR(alias), STR(locale), FILE_OF(LOCALE##_##id##_SUBJECT),             \
            FILE_OF(LOCALE##_##id##_TXT), FILE_OF(LOCALE##_##id##_HTML),       \
            FILE_OF(id##_JSON)                                                 \
    }
#define ROWS(alias, id) ROW(alias, id, "en", EN), ROW(alias, id, "zh", ZH)

const struct builtin_template BUILTIN_TEMPLATES[] = {
    ROWS("verification-code", VERIFICATION_CODE),
    ROWS("verification-link", VERIFICATION_LINK),
    ROWS("password-reset", PASSWORD_RESET),
    ROWS("alert", ALERT),
};
const size_t BUILTIN_TEMPLATE_COUNT = COUNT_OF(BUILTIN_TEMPLATES);

static const struct builtin_template *find(struct str alias, struct str locale)
{
    for (size_t i = 0; i < BUILTIN_TEMPLATE_COUNT; i++)
        if (str_eq(BUILTIN_TEMPLATES[i].alias, alias) &&
            locale_tag_is(BUILTIN_TEMPLATES[i].locale, locale))
            return &BUILTIN_TEMPLATES[i];
    return NULL;
}

const struct builtin_template *builtin_template_find(struct str alias,
                                                     struct str locale)
{
    const struct builtin_template *found = NULL;

    for (; found == NULL && locale.len > 0; locale = locale_tag_shorten(locale))
        found = find(alias, locale);
    return found != NULL ? found : find(alias, S("en"));
}

struct str builtin_partial_find(struct str name)
{
    static const struct str layout = FILE_OF(LAYOUT_HTML);

    return str_eq(name, S("builtin-layout")) ? layout : (struct str){0};
}

static void add_parts(struct json_out *json,
                      const struct builtin_template *builtin)
{
    json_add_str(json, "subject", builtin->subject);
    json_add_str(json, "html", builtin->html);
    json_add_str(json, "text", builtin->text);
}

static void add_locales(struct json_out *json, struct str alias)
{
    json_name(json, "locales");
    json_open_map(json);
    for (size_t i = 0; i < BUILTIN_TEMPLATE_COUNT; i++) {
        const struct builtin_template *builtin = &BUILTIN_TEMPLATES[i];

        if (!str_eq(builtin->alias, alias) || str_eq(builtin->locale, S("en")))
            continue;
        json_name_str(json, builtin->locale);
        json_open_map(json);
        add_parts(json, builtin);
        json_close_map(json);
    }
    json_close_map(json);
}

bool builtin_source_add(struct str name, struct buf *out)
{
    const struct builtin_template *builtin =
        builtin_template_find(name, (struct str){0});
    struct str partial = builtin_partial_find(name);
    struct json_out json;

    if (builtin == NULL && partial.len == 0)
        return false;
    json_out_init(&json, out);
    json_open_map(&json);
    if (builtin == NULL) {
        json_add_str(&json, "html", partial);
    } else {
        add_parts(&json, builtin);
        add_locales(&json, name);
        json_name(&json, "variables");
        json_put_raw(&json, builtin->variables);
    }
    json_close_map(&json);
    return true;
}
