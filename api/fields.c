#include "api/fields.h"

#include "server/base/buf.h"
#include "server/base/nearest.h"

#include <stdarg.h>

enum { FIELDS_MAX = 40 };

bool field_is_there(const struct json *map, const char *name)
{
    enum json_type type = json_type_of(json_get(map, name));

    return type != JSON_MISSING && type != JSON_NULL_VALUE;
}

/* What is being looked at. Its pointer is made when there is a fault. */
struct check {
    const struct field *field;
    struct faults *faults;
    struct str base;
    bool in_list; /* an element of the field's list */
    size_t index;
    struct str member; /* a member of the field's map, if not empty */
};

static struct str where(const struct check *check)
{
    struct arena *arena = check->faults->arena;
    struct str pointer =
        pointer_member(arena, check->base, str_of(check->field->name));

    if (check->in_list)
        return pointer_index(arena, pointer, check->index);
    if (check->member.len > 0)
        return pointer_member(arena, pointer, check->member);
    return pointer;
}

static void complain(const struct check *check, const char *code,
                     const char *format, ...) PRINTF_LIKE(3, 4);
static void complain(const struct check *check, const char *code,
                     const char *format, ...)
{
    enum problem_kind kind = check->field->kind;
    struct buf text;
    va_list args;

    buf_init(&text, 512);
    va_start(args, format);
    buf_vaddf(&text, format, args);
    va_end(args);
    faults_add(check->faults,
               kind == PROBLEM_NONE ? PROBLEM_VALIDATION_ERROR : kind,
               where(check), code, "%.*s", STR_ARG(buf_str(&text)));
    buf_finish(&text);
}

static bool has_type(const struct check *check, const struct json *value,
                     enum json_type type)
{
    if (json_type_of(value) == type)
        return true;
    complain(check, "type", "must be of type %s, not %s", json_type_name(type),
             json_type_name(json_type_of(value)));
    return false;
}

static void check_text(const struct check *check, const struct json *value)
{
    if (has_type(check, value, JSON_TEXT) &&
        json_str(value).len > (uint64_t)check->field->max)
        complain(check, "too_long", "must be at most %lld bytes",
                 (long long)check->field->max);
}

static void check_word(const struct check *check, const struct json *value)
{
    const char *const *words = check->field->words;
    struct str all = S("");
    const char *nearest;
    size_t count = 0;

    if (!has_type(check, value, JSON_TEXT))
        return;
    for (; words[count] != NULL; count++) {
        if (str_eq(json_str(value), str_of(words[count])))
            return;
        all = arena_printf(check->faults->arena, "%.*s%s%s", STR_ARG(all),
                           all.len == 0 ? "" : ", ", words[count]);
    }
    nearest = nearest_name(json_str(value), words, count);
    if (nearest != NULL)
        complain(check, "unknown_value",
                 "must be one of %.*s; did you mean \"%s\"?", STR_ARG(all),
                 nearest);
    else
        complain(check, "unknown_value", "must be one of %.*s", STR_ARG(all));
}

static void check_int(const struct check *check, const struct json *value)
{
    if (has_type(check, value, JSON_INT) &&
        (json_int(value) < check->field->min ||
         json_int(value) > check->field->max))
        complain(check, "out_of_range", "must be between %lld and %lld",
                 (long long)check->field->min, (long long)check->field->max);
}

/* False: too many, and none of them is looked at. */
static bool count_fits(const struct check *check, const struct json *value)
{
    if (json_count(value) <= (uint64_t)check->field->max)
        return true;
    complain(check, "too_many", "must have at most %lld entries",
             (long long)check->field->max);
    return false;
}

static void check_texts(const struct check *check, const struct json *value)
{
    struct check element = *check;

    if (json_type_of(value) == JSON_TEXT)
        return;
    if (json_type_of(value) != JSON_LIST) {
        complain(check, "type",
                 "must be a string or an array of strings, not of type %s",
                 json_type_name(json_type_of(value)));
        return;
    }
    if (!count_fits(check, value))
        return;
    if (check->field->required && json_count(value) == 0)
        complain(check, "empty", "must have at least one entry");
    element.in_list = true;
    for (size_t i = 0; i < json_count(value); i++) {
        element.index = i;
        (void)has_type(&element, json_at(value, i), JSON_TEXT);
    }
}

static void check_list(const struct check *check, const struct json *value)
{
    struct check element = *check;

    if (!has_type(check, value, JSON_LIST) || !count_fits(check, value))
        return;
    element.in_list = true;
    for (size_t i = 0; i < json_count(value); i++) {
        element.index = i;
        if (has_type(&element, json_at(value, i), JSON_MAP))
            fields_check(check->field->members, json_at(value, i),
                         where(&element), check->faults);
    }
}

static void check_map(const struct check *check, const struct json *value)
{
    struct check member = *check;
    const struct json *text;
    void *at = NULL;

    if (!has_type(check, value, JSON_MAP) || !count_fits(check, value))
        return;
    while (json_next(value, &at, &member.member, &text))
        (void)has_type(&member, text, JSON_TEXT);
}

static void check_struct(const struct check *check, const struct json *value)
{
    if (has_type(check, value, JSON_MAP))
        fields_check(check->field->members, value, where(check), check->faults);
}

static void check_object(const struct check *check, const struct json *value)
{
    if (has_type(check, value, JSON_MAP))
        (void)count_fits(check, value);
}

static void check_field(const struct check *check, const struct json *value)
{
    switch (check->field->type) {
    case FIELD_TEXT:
        check_text(check, value);
        break;
    case FIELD_WORD:
        check_word(check, value);
        break;
    case FIELD_BOOL:
        (void)has_type(check, value, JSON_BOOL);
        break;
    case FIELD_INT:
        check_int(check, value);
        break;
    case FIELD_TEXTS:
        check_texts(check, value);
        break;
    case FIELD_LIST:
        check_list(check, value);
        break;
    case FIELD_MAP:
        check_map(check, value);
        break;
    case FIELD_STRUCT:
        check_struct(check, value);
        break;
    case FIELD_OBJECT:
        check_object(check, value);
        break;
    case FIELD_LATER:
        complain(check, "not_supported", "is not supported yet");
        break;
    case FIELD_ANY:
    case FIELD_IGNORED:
        break;
    }
}

static void check_unknown(const struct field *table, struct str name,
                          struct str pointer, struct faults *faults)
{
    const char *names[FIELDS_MAX];
    const char *nearest;
    size_t count = 0;

    for (const struct field *field = table; field->name != NULL; field++) {
        if (str_eq(name, str_of(field->name)))
            return;
        CHECK(count < FIELDS_MAX);
        if (field->type != FIELD_IGNORED && field->type != FIELD_LATER)
            names[count++] = field->name;
    }
    nearest = nearest_name(name, names, count);
    pointer = pointer_member(faults->arena, pointer, name);
    if (nearest != NULL)
        faults_add(faults, PROBLEM_VALIDATION_ERROR, pointer, "unknown_field",
                   "is not a known field; did you mean `%s`?", nearest);
    else
        faults_add(faults, PROBLEM_VALIDATION_ERROR, pointer, "unknown_field",
                   "is not a known field");
}

bool fields_check(const struct field *table, const struct json *map,
                  struct str base, struct faults *faults)
{
    size_t before = faults->count + faults->more;
    struct check check = {.faults = faults, .base = base};
    const struct json *value;
    struct str name;
    void *at = NULL;

    for (check.field = table; check.field->name != NULL; check.field++) {
        if (field_is_there(map, check.field->name))
            check_field(&check, json_get(map, check.field->name));
        else if (check.field->required)
            faults_add_missing(faults, where(&check));
    }
    while (faults->more == 0 && json_next(map, &at, &name, &value))
        check_unknown(table, name, base, faults);
    return faults->count + faults->more == before;
}
