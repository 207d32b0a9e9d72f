#include "api/template_source.h"

#include "api/tables.h"
#include "server/base/id.h"

enum { ALIAS_MAX = 64 };

const struct field TEMPLATE_VARIABLE_FIELDS[] = {
    {.name = "key", .type = FIELD_TEXT, .max = ALIAS_MAX},
    {.name = "name", .type = FIELD_TEXT, .max = ALIAS_MAX},
    {.name = "type", .type = FIELD_TEXT, .required = true, .max = ALIAS_MAX},
    {.name = "fallback_value", .type = FIELD_ANY},
    {.name = "default", .type = FIELD_ANY},
    {.name = "required", .type = FIELD_BOOL},
    {.name = "sensitive", .type = FIELD_BOOL},
    {.name = "example", .type = FIELD_ANY},
    /* What Resend's answers have, so that they can be sent back. */
    {.name = "id", .type = FIELD_IGNORED},
    {.name = "created_at", .type = FIELD_IGNORED},
    {.name = "updated_at", .type = FIELD_IGNORED},
    {.name = NULL},
};

const struct field TEMPLATE_LOCALE_FIELDS[] = {
    {.name = "subject", .type = FIELD_TEXT, .max = SUBJECT_MAX},
    {.name = "html", .type = FIELD_TEXT, .max = TEMPLATE_SOURCE_MAX},
    {.name = "text", .type = FIELD_TEXT, .max = TEMPLATE_SOURCE_MAX},
    {.name = NULL},
};

#define CONTENT_FIELDS                                                         \
    {.name = "alias", .type = FIELD_TEXT, .max = ALIAS_MAX},                   \
        {.name = "from",                                                       \
         .type = FIELD_TEXT,                                                   \
         .max = ADDRESS_TEXT_MAX,                                              \
         .kind = PROBLEM_INVALID_FROM_ADDRESS},                                \
        {.name = "subject", .type = FIELD_TEXT, .max = SUBJECT_MAX},           \
        {.name = "reply_to", .type = FIELD_TEXTS, .max = 50},                  \
        {.name = "html", .type = FIELD_TEXT, .max = TEMPLATE_SOURCE_MAX},      \
        {.name = "text", .type = FIELD_TEXT, .max = TEMPLATE_SOURCE_MAX},      \
        {.name = "variables",                                                  \
         .type = FIELD_LIST,                                                   \
         .max = TEMPLATE_VARIABLES_MAX,                                        \
         .members = TEMPLATE_VARIABLE_FIELDS},                                 \
        {.name = "default_locale", .type = FIELD_TEXT, .max = LOCALE_TAG_MAX}, \
        {.name = "locales",                                                    \
         .type = FIELD_OBJECT,                                                 \
         .max = MAIL_TEMPLATE_LOCALES_MAX},                                    \
    {                                                                          \
        .name = "strict", .type = FIELD_BOOL                                   \
    }

const struct field TEMPLATE_FIELDS[] = {
    {.name = "name",
     .type = FIELD_TEXT,
     .required = true,
     .max = TEMPLATE_NAME_BYTES_MAX},
    CONTENT_FIELDS,
    {.name = NULL},
};

const struct field TEMPLATE_UPDATE_FIELDS[] = {
    {.name = "name", .type = FIELD_TEXT, .max = TEMPLATE_NAME_BYTES_MAX},
    CONTENT_FIELDS,
    {.name = "current_version_id", .type = FIELD_TEXT, .max = ID_LEN},
    {.name = NULL},
};

static void fault(struct template_source *source, struct str pointer,
                  const char *code, const char *text)
{
    faults_add(source->faults, PROBLEM_VALIDATION_ERROR, pointer, code, "%s",
               text);
}

static void flaw_at(struct template_source *source, enum problem_kind kind,
                    struct str pointer, enum flaw flaw)
{
    if (flaw != FLAW_NONE)
        faults_add(source->faults, kind, pointer, flaw_code(flaw), "%s",
                   flaw_text(flaw));
}

/* Of the body if it has it, else as it was. NULL: it has none. */
static const struct json *member(const struct template_source *source,
                                 const char *name)
{
    const struct json *value = json_get(source->root, name);

    if (value == NULL)
        value = json_get(source->old, name);
    return json_type_of(value) == JSON_NULL_VALUE ? NULL : value;
}

/* A letter or digit, then dots, dashes and underscores too. What looks like an
 * id would hide the one that has it. */
static bool is_alias(struct str alias)
{
    struct id id;

    if (!ascii_is_alnum(alias.ptr[0]) || id_parse(alias, &id))
        return false;
    for (size_t i = 0; i < alias.len; i++)
        if (!ascii_is_alnum(alias.ptr[i]) && alias.ptr[i] != '.' &&
            alias.ptr[i] != '-' && alias.ptr[i] != '_')
            return false;
    return true;
}

static void read_names(struct template_source *source)
{
    const struct json *alias = json_get(source->root, "alias");
    const struct json *name = json_get(source->root, "name");

    if (alias != NULL)
        source->alias = json_str(alias);
    if (source->alias.len > 0 && !is_alias(source->alias))
        fault(source, S("/alias"), "bad_alias",
              "must be letters, digits, dots, dashes and underscores, a letter "
              "or digit first, and no UUID");
    if (name != NULL)
        source->name = json_str(name);
    if (source->name.len == 0 || str_has_control(source->name))
        fault(source, S("/name"), "bad_name",
              "must not be empty, and have no control characters");
}

static void check_senders(struct template_source *source)
{
    struct arena *arena = source->faults->arena;
    const struct json *from = member(source, "from");
    const struct json *reply_to = member(source, "reply_to");
    bool is_list = json_type_of(reply_to) == JSON_LIST;
    struct mailbox box;

    if (from != NULL)
        flaw_at(source, PROBLEM_INVALID_FROM_ADDRESS, S("/from"),
                mailbox_parse(arena, json_str(from), &box));
    for (size_t i = 0; i < (is_list ? json_count(reply_to) : reply_to != NULL);
         i++)
        flaw_at(
            source, PROBLEM_VALIDATION_ERROR,
            is_list ? pointer_index(arena, S("/reply_to"), i) : S("/reply_to"),
            mailbox_parse(arena,
                          json_str(is_list ? json_at(reply_to, i) : reply_to),
                          &box));
}

static void check_subject(struct template_source *source, struct str base,
                          const struct json *subject)
{
    if (subject != NULL)
        flaw_at(source, PROBLEM_VALIDATION_ERROR,
                pointer_member(source->faults->arena, base, S("subject")),
                subject_check(json_str(subject)));
}

static void check_locales(struct template_source *source)
{
    const struct json *locales = member(source, "locales");
    struct arena *arena = source->faults->arena;
    const struct json *variant;
    struct str tag;
    void *at = NULL;

    while (json_next(locales, &at, &tag, &variant)) {
        struct str base = pointer_member(arena, S("/locales"), tag);

        if (json_type_of(variant) != JSON_MAP)
            fault(source, base, "type",
                  "must be an object with subject, html, text");
        else if (fields_check(TEMPLATE_LOCALE_FIELDS, variant, base,
                              source->faults))
            check_subject(source, base, json_get(variant, "subject"));
    }
}

static void check_members(struct template_source *source)
{
    const struct json *locale = member(source, "default_locale");

    read_names(source);
    check_senders(source);
    check_subject(source, S(""), member(source, "subject"));
    check_locales(source);
    if (locale != NULL && !locale_tag_is_sound(json_str(locale)))
        fault(source, S("/default_locale"), "bad_locale",
              "must be a tag like \"zh\" or \"pt-BR\" (BCP 47)");
}

/* --- the source, always in the same form --- */

static void put_member(struct json_out *out, const char *name,
                       const struct json *value)
{
    if (value == NULL || json_type_of(value) == JSON_NULL_VALUE)
        return;
    json_name(out, name);
    json_put_value(out, value);
}

static void put_parts(struct json_out *out, const struct json *variant)
{
    json_open_map(out);
    put_member(out, "subject", json_get(variant, "subject"));
    put_member(out, "html", json_get(variant, "html"));
    put_member(out, "text", json_get(variant, "text"));
    json_close_map(out);
}

static const struct json *either(const struct json *map, const char *one,
                                 const char *other)
{
    const struct json *value = json_get(map, one);

    return value != NULL ? value : json_get(map, other);
}

static void put_variable(struct json_out *out, const struct json *variable)
{
    const struct json *required = json_get(variable, "required");

    json_open_map(out);
    put_member(out, "key", either(variable, "key", "name"));
    put_member(out, "type", json_get(variable, "type"));
    put_member(out, "fallback_value",
               either(variable, "fallback_value", "default"));
    if (json_type_of(required) == JSON_BOOL && !json_bool(required))
        json_add_bool(out, "required", false);
    if (json_get_bool(variable, "sensitive"))
        json_add_bool(out, "sensitive", true);
    put_member(out, "example", json_get(variable, "example"));
    json_close_map(out);
}

static void put_variables(struct json_out *out, const struct json *list)
{
    if (json_count(list) == 0)
        return;
    json_name(out, "variables");
    json_open_list(out);
    for (size_t i = 0; i < json_count(list); i++)
        put_variable(out, json_at(list, i));
    json_close_list(out);
}

static void put_locales(struct json_out *out, const struct json *locales)
{
    const struct json *variant;
    struct str tag;
    void *at = NULL;

    if (json_count(locales) == 0)
        return;
    json_name(out, "locales");
    json_open_map(out);
    while (json_next(locales, &at, &tag, &variant)) {
        json_name_str(out, tag);
        put_parts(out, variant);
    }
    json_close_map(out);
}

static void put_reply_to(struct json_out *out, const struct json *reply_to)
{
    if (reply_to == NULL)
        return;
    json_name(out, "reply_to");
    if (json_type_of(reply_to) == JSON_LIST) {
        json_put_value(out, reply_to);
        return;
    }
    json_open_list(out);
    json_put_value(out, reply_to);
    json_close_list(out);
}

static void write_source(struct template_source *source)
{
    const struct json *strict = member(source, "strict");
    struct json_out out;

    json_out_init(&out, &source->text);
    json_open_map(&out);
    put_member(&out, "from", member(source, "from"));
    put_reply_to(&out, member(source, "reply_to"));
    put_member(&out, "subject", member(source, "subject"));
    put_member(&out, "html", member(source, "html"));
    put_member(&out, "text", member(source, "text"));
    put_member(&out, "default_locale", member(source, "default_locale"));
    put_locales(&out, member(source, "locales"));
    put_variables(&out, member(source, "variables"));
    if (strict != NULL && !json_bool(strict))
        json_add_bool(&out, "strict", false);
    json_close_map(&out);
}

/* --- all of it --- */

static void on_flaw(void *ctx, struct str pointer, const char *text)
{
    fault(ctx, pointer, "bad_template", text);
}

static struct mail_template *compile(struct template_source *source)
{
    if (!source->text.full)
        return mail_template_compile(buf_str(&source->text), on_flaw, source);
    faults_add(source->faults, PROBLEM_VALIDATION_ERROR, S(""), "too_large",
               "makes a template of over %d KiB as JSON",
               TEMPLATE_VERSION_MAX >> 10);
    return NULL;
}

static void parse(struct template_source *source, struct str body)
{
    bool is_new = source->was.len == 0;
    struct error err;

    source->root = json_parse(body, &err);
    if (source->root == NULL)
        faults_add(source->faults, PROBLEM_BAD_JSON, S(""), "bad_json",
                   "is not valid JSON: %s", err.text);
    else if (json_type_of(source->root) != JSON_MAP)
        fault(source, S(""), "type", "must be a JSON object");
    else
        fields_check(is_new ? TEMPLATE_FIELDS : TEMPLATE_UPDATE_FIELDS,
                     source->root, S(""), source->faults);
    if (!is_new)
        source->old = json_parse(source->was, NULL);
}

struct mail_template *template_source_read(struct template_source *source,
                                           struct str body)
{
    template_source_finish(source);
    buf_init(&source->text, TEMPLATE_VERSION_MAX);
    parse(source, body);
    if (source->faults->count > 0)
        return NULL;
    check_members(source);
    if (source->faults->count > 0)
        return NULL;
    write_source(source);
    return compile(source);
}

void template_source_finish(struct template_source *source)
{
    json_destroy(&source->old);
    json_destroy(&source->root);
    buf_finish(&source->text);
}
