#include "smtp/message/template_variables.h"

#include "smtp/message/template_filter.h"

#include <string.h>

enum { NAME_MAX_BYTES = 64 };

/* --- types --- */

static bool is_text(const struct json *value)
{
    return json_type_of(value) == JSON_TEXT;
}

static bool is_number(const struct json *value)
{
    return json_type_of(value) == JSON_INT ||
           json_type_of(value) == JSON_NUMBER;
}

static bool is_truth(const struct json *value)
{
    return json_type_of(value) == JSON_BOOL;
}

static bool is_list(const struct json *value)
{
    return json_type_of(value) == JSON_LIST;
}

static bool is_object(const struct json *value)
{
    return json_type_of(value) == JSON_MAP;
}

/* What the filter date takes. */
static bool is_date(const struct json *value)
{
    char room[DECIMAL_SIZE];
    struct str text = json_str(value);
    int64_t ms;

    if (json_type_of(value) == JSON_INT)
        text = str_decimal(json_int(value), room);
    return template_filter_time(text, &ms);
}

static const struct type {
    const char *name;
    bool (*fits)(const struct json *value);
    const char *wanted;
    const char *example;
} TYPES[] = {
    {"string", is_text, "a string", "\"text\""},
    {"number", is_number, "a number", "1"},
    {"boolean", is_truth, "true or false", "true"},
    {"date", is_date,
     "a date like \"2026-11-24\", a time like \"2026-11-24T09:30:00Z\", or "
     "seconds since 1970",
     "\"2026-11-24\""},
    {"list", is_list, "an array", "[]"},
    {"object", is_object, "an object", "{}"},
};

static bool find_type(struct str name, uint32_t *row)
{
    for (*row = 0; *row < COUNT_OF(TYPES); ++*row)
        if (str_eq(name, str_of(TYPES[*row].name)))
            return true;
    return false;
}

/* --- declarations --- */

static bool is_name(struct str name)
{
    if (name.len == 0 || name.len > NAME_MAX_BYTES ||
        ascii_is_digit(name.ptr[0]))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_alnum(name.ptr[i]) && name.ptr[i] != '_')
            return false;
    return true;
}

static const struct json *either(const struct json *map, const char *ours,
                                 const char *resends)
{
    const struct json *value = json_get(map, ours);

    return value != NULL ? value : json_get(map, resends);
}

static bool check_sample(const struct template_variable *variable,
                         const struct json *sample, const char *what,
                         struct error *err)
{
    const struct type *type = &TYPES[variable->type];

    if (sample == NULL || type->fits(sample))
        return true;
    error_set(err, ERR_INPUT, "the %s of %.*s is no %s; want %s", what,
              STR_ARG(variable->name), type->name, type->wanted);
    return false;
}

static bool is_declared(const struct template_variables *variables,
                        struct str name)
{
    for (size_t i = 0; i < variables->count; i++)
        if (str_eq(variables->rows[i].name, name))
            return true;
    return false;
}

static bool read_name(const struct json *row,
                      const struct template_variables *variables,
                      struct str *name, struct error *err)
{
    *name = json_str(either(row, "name", "key"));
    if (!is_name(*name)) {
        error_set(err, ERR_INPUT,
                  "has no right name; want 1 to %d letters, digits and "
                  "underscores, no digit first",
                  NAME_MAX_BYTES);
        return false;
    }
    if (is_declared(variables, *name)) {
        error_set(err, ERR_INPUT, "%.*s is declared twice", STR_ARG(*name));
        return false;
    }
    return true;
}

/* What is not there leaves truth as it is. */
static bool read_truth(const struct json *row, const char *member,
                       struct str name, bool *truth, struct error *err)
{
    const struct json *value = json_get(row, member);

    if (value != NULL && !is_truth(value)) {
        error_set(err, ERR_INPUT, "%s of %.*s is neither true nor false",
                  member, STR_ARG(name));
        return false;
    }
    if (value != NULL)
        *truth = json_bool(value);
    return true;
}

static bool read_row(const struct json *row,
                     const struct template_variables *variables,
                     struct template_variable *variable, struct error *err)
{
    bool is_required = true;

    if (!read_name(row, variables, &variable->name, err))
        return false;
    if (!find_type(json_get_str(row, "type"), &variable->type)) {
        error_set(err, ERR_INPUT,
                  "%.*s has no right type; want string, number, boolean, "
                  "date, list or object",
                  STR_ARG(variable->name));
        return false;
    }
    variable->is_sensitive = false;
    if (!read_truth(row, "required", variable->name, &is_required, err) ||
        !read_truth(row, "sensitive", variable->name, &variable->is_sensitive,
                    err))
        return false;
    variable->is_optional = !is_required;
    variable->fallback = either(row, "default", "fallback_value");
    if (json_type_of(variable->fallback) == JSON_NULL_VALUE)
        variable->fallback = NULL;
    variable->example = json_get(row, "example");
    return check_sample(variable, variable->fallback, "default", err) &&
           check_sample(variable, variable->example, "example", err);
}

bool template_variables_read(const struct json *list,
                             struct template_variables *variables,
                             struct error *err)
{
    size_t count = json_count(list);

    variables->count = 0;
    if (!is_list(list) || count > TEMPLATE_VARIABLES_MAX) {
        error_set(err, ERR_INPUT, "variables: want an array of at most %d",
                  TEMPLATE_VARIABLES_MAX);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!read_row(json_at(list, i), variables, &variables->rows[i], err)) {
            error_prefix(err, "variables[%zu]", i);
            return false;
        }
        variables->count++;
    }
    return true;
}

/* --- data --- */

static void add_flaw(struct template_flaws *flaws, enum template_flaw_kind kind,
                     const struct template_variable *variable)
{
    struct template_flaw flaw = {.kind = kind, .name = variable->name};

    if (kind == TEMPLATE_BAD_VALUE)
        flaw.wanted = TYPES[variable->type].wanted;
    flaws->rows[flaws->count++] = flaw; /* fewer variables than room */
}

static const struct json *given(const struct json *data, struct str name)
{
    char key[NAME_MAX_BYTES + 1] = {0};

    memcpy(key, name.ptr, name.len);
    return is_object(data) ? json_get(data, key) : NULL;
}

static bool is_absent(const struct json *value)
{
    return json_type_of(value) == JSON_MISSING ||
           json_type_of(value) == JSON_NULL_VALUE;
}

static void check_variable(const struct template_variable *variable,
                           const struct json *data,
                           struct template_flaws *flaws)
{
    const struct json *value = given(data, variable->name);

    if (!is_absent(value)) {
        if (!TYPES[variable->type].fits(value))
            add_flaw(flaws, TEMPLATE_BAD_VALUE, variable);
    } else if (variable->fallback == NULL && !variable->is_optional) {
        add_flaw(flaws, value == NULL ? TEMPLATE_MISSING : TEMPLATE_NULL,
                 variable);
    }
}

/* What the data have themselves, but for a null that has a default. */
static void put_given(const struct template_variables *wanted,
                      const struct json *data, struct json_out *json)
{
    void *at = NULL;
    struct str name;
    const struct json *value;

    while (is_object(data) && json_next(data, &at, &name, &value)) {
        if (is_absent(value) && is_declared(wanted, name))
            continue;
        json_name_str(json, name);
        json_put_value(json, value);
    }
}

bool template_variables_fill(const struct template_variables *wanted,
                             const struct json *data, struct buf *out,
                             struct template_flaws *flaws, struct error *err)
{
    struct json_out json;

    flaws->count = 0;
    flaws->more = 0;
    json_out_init(&json, out);
    json_open_map(&json);
    put_given(wanted, data, &json);
    for (size_t i = 0; i < wanted->count; i++) {
        const struct template_variable *variable = &wanted->rows[i];

        check_variable(variable, data, flaws);
        if (is_absent(given(data, variable->name))) {
            json_name_str(&json, variable->name);
            json_put_value(&json, variable->fallback);
        }
    }
    json_close_map(&json);
    return template_flaws_tell(flaws, err);
}

static void put_samples(const struct template_variables *wanted, bool has_nulls,
                        struct buf *out)
{
    struct json_out json;

    json_out_init(&json, out);
    json_open_map(&json);
    for (size_t i = 0; i < wanted->count; i++) {
        const struct template_variable *variable = &wanted->rows[i];
        const struct json *sample =
            variable->example != NULL ? variable->example : variable->fallback;

        json_name_str(&json, variable->name);
        if (sample != NULL || (has_nulls && variable->is_optional))
            json_put_value(&json, sample);
        else
            json_put_raw(&json, str_of(TYPES[variable->type].example));
    }
    json_close_map(&json);
}

void template_variables_example(const struct template_variables *wanted,
                                struct buf *out)
{
    put_samples(wanted, true, out);
}

void template_variables_sample(const struct template_variables *wanted,
                               struct buf *out)
{
    put_samples(wanted, false, out);
}
