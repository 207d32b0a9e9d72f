/* openapi.yaml says of each request body what the tables say.
 *
 * The file is read by its layout, which is that of all schemas in it: a
 * schema's name stands four blanks deep, its members' names eight, what is
 * said of a member ten. */
#include "api/tables.h"
#include "server/base/file.h"

#include "check_cmocka.h"

#include <stdio.h>

enum { FILE_MAX = 4 * 1024 * 1024 };

static struct buf text;

static int setup(void **state)
{
    struct error err;

    (void)state;
    buf_init(&text, FILE_MAX);
    if (!file_read("openapi.yaml", &text, &err)) /* where ctest runs it */
        fail_msg("%s", err.text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_finish(&text);
    return 0;
}

static size_t depth_of(struct str line)
{
    size_t depth = 0;

    while (depth < line.len && line.ptr[depth] == ' ')
        depth++;
    return depth;
}

/* What stands below the line that is head, up to the next line that is not
 * deeper. Empty: no such line. */
static struct str below(struct str all, const char *head)
{
    struct str rest = all;
    struct str line;
    const char *begin = NULL;
    size_t depth = depth_of(str_of(head));

    while (str_cut(&rest, '\n', &line)) {
        if (begin == NULL && str_eq(line, str_of(head)))
            begin = rest.ptr;
        else if (begin != NULL && line.len > 0 && depth_of(line) <= depth)
            return str_make(begin, (size_t)(line.ptr - begin));
    }
    return begin == NULL ? S("")
                         : str_make(begin, (size_t)(all.ptr + all.len - begin));
}

/* What stands behind "name: " at that depth. */
static bool value_of(struct str all, size_t depth, const char *name,
                     struct str *value)
{
    struct str line;
    size_t len = strlen(name);

    while (str_cut(&all, '\n', &line)) {
        if (depth_of(line) != depth)
            continue;
        line = str_from(line, depth);
        if (str_starts(line, str_of(name)) && line.len > len + 2 &&
            line.ptr[len] == ':') {
            *value = str_from(line, len + 2);
            return true;
        }
    }
    return false;
}

/* "[a, b]" holds word. */
static bool list_holds(struct str list, const char *word)
{
    struct str item;

    list = str_slice(list, 1, list.len - 2);
    while (str_cut(&list, ',', &item))
        if (str_eq(str_trim(item), str_of(word)))
            return true;
    return false;
}

static size_t list_count(struct str list)
{
    struct str item;
    size_t count = 0;

    list = str_slice(list, 1, list.len - 2);
    while (str_cut(&list, ',', &item))
        count++;
    return count;
}

static void expect_number(const char *schema, const struct field *field,
                          struct str said, const char *name, int64_t wanted)
{
    struct str value;
    uint64_t number;

    if (!value_of(said, 10, name, &value))
        return; /* said elsewhere, by a $ref */
    assert_true(str_to_u64(value, &number));
    if (number != (uint64_t)wanted)
        fail_msg("%s.%s: %s is %.*s, the table has %lld", schema, field->name,
                 name, STR_ARG(value), (long long)wanted);
}

static void check_member(const char *schema, const struct field *field,
                         struct str properties)
{
    char head[128];
    struct str said, words;
    size_t count = 0;

    snprintf(head, sizeof head, "        %s:", field->name);
    said = below(properties, head);
    if (field->type == FIELD_LATER) {
        if (said.len > 0)
            fail_msg("%s.%s is not supported yet", schema, field->name);
        return;
    }
    if (said.len == 0)
        fail_msg("%s.%s is missing", schema, field->name);
    expect_number(schema, field, said, "maxLength", field->max);
    expect_number(schema, field, said, "maxItems", field->max);
    expect_number(schema, field, said, "maxProperties", field->max);
    expect_number(schema, field, said, "minimum", field->min);
    expect_number(schema, field, said, "maximum", field->max);
    if (field->type == FIELD_WORD && value_of(said, 10, "enum", &words)) {
        for (; field->words[count] != NULL; count++)
            if (!list_holds(words, field->words[count]))
                fail_msg("%s.%s: no %s", schema, field->name,
                         field->words[count]);
        assert_int_equal(list_count(words), count);
    }
}

static void check_schema(const char *schema, const struct field *table)
{
    char head[128];
    struct str all, properties, line, required;
    size_t named = 0, known = 0, needed = 0;

    snprintf(head, sizeof head, "    %s:", schema);
    all = below(buf_str(&text), head);
    if (all.len == 0)
        fail_msg("openapi.yaml has no schema %s", schema);
    properties = below(all, "      properties:");
    if (!value_of(all, 6, "required", &required))
        required = S("[]");
    for (const struct field *field = table; field->name != NULL; field++) {
        check_member(schema, field, properties);
        known += field->type != FIELD_LATER;
        /* An attachment needs content, too; there it has a better fault. */
        if (field->required && !list_holds(required, field->name))
            fail_msg("%s.%s is required", schema, field->name);
        needed += field->required;
    }
    while (str_cut(&properties, '\n', &line))
        named += depth_of(line) == 8;
    if (named != known)
        fail_msg("%s has %zu members, the table %zu", schema, named, known);
    if (str_eq(required, S("[content]")))
        needed++;
    if (needed > 0)
        assert_int_equal(list_count(required), needed);
}

static void requests_are_what_the_tables_say(void **state)
{
    static const struct {
        const char *schema;
        const struct field *table;
    } ALL[] = {
        {"EmailRequest", EMAIL_FIELDS},
        {"EmailUpdate", EMAIL_UPDATE_FIELDS},
        {"Attachment", ATTACHMENT_FIELDS},
        {"Tag", TAG_FIELDS},
        {"WebhookRequest", WEBHOOK_CREATE_FIELDS},
        {"WebhookChange", WEBHOOK_UPDATE_FIELDS},
        {"ApiKeyRequest", KEY_FIELDS},
        {"ApiKeyChange", KEY_UPDATE_FIELDS},
        {"SuppressionRequest", SUPPRESSION_FIELDS},
        {"SuppressionBatch", SUPPRESSION_ADD_FIELDS},
        {"SuppressionRemoval", SUPPRESSION_REMOVE_FIELDS},
        {"FeedbackRequest", FEEDBACK_FIELDS},
        {"EmailTemplate", EMAIL_TEMPLATE_FIELDS},
        {"TemplateRequest", TEMPLATE_FIELDS},
        {"TemplateChange", TEMPLATE_UPDATE_FIELDS},
        {"TemplateVariable", TEMPLATE_VARIABLE_FIELDS},
        {"TemplateLocale", TEMPLATE_LOCALE_FIELDS},
        {"TemplatePreview", TEMPLATE_PREVIEW_FIELDS},
        {"DomainRequest", DOMAIN_FIELDS},
        {"DomainChange", DOMAIN_UPDATE_FIELDS},
        {"DomainRotation", DOMAIN_ROTATION_FIELDS},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ALL); i++)
        check_schema(ALL[i].schema, ALL[i].table);
}

/* SDKs know a closed set of names; a new one breaks them. */
static void problems_have_names_that_are_documented(void **state)
{
    static const char *const NAMES[] = {
#define PROBLEM(id, status, name, code) name,
#include "api/problem.def"
#undef PROBLEM
    };
    struct str schema = below(buf_str(&text), "    Problem:");
    struct str names = below(schema, "        name:");

    (void)state;
    assert_true(names.len > 0);
    for (size_t i = 0; i < COUNT_OF(NAMES); i++)
        if (!str_contains(names, str_of(NAMES[i])))
            fail_msg("%s", NAMES[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_what_the_tables_say),
        cmocka_unit_test(problems_have_names_that_are_documented),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
