/* The rules of Mustache, as data: cases of our own, and those of the public
 * specification where MUSTACHE_SPEC_DIR names the folder of its JSON files.
 * Rendered leniently, as the specification has it. */
#include "smtp/message/template.h"

#include "server/base/file.h"

#include "check_cmocka.h"

#include <stdio.h>
#include <stdlib.h>

enum { FILE_MAX = 1 << 20 };

/* Partials of a case, each compiled when it is asked for. */
struct partials {
    const struct json *sources;
    struct template *compiled[8];
    struct str names[8];
    size_t count;
};

static const struct template *find_partial(void *ctx, struct str name)
{
    struct partials *partials = ctx;
    struct error err = {0};
    char key[64];

    for (size_t i = 0; i < partials->count; i++)
        if (str_eq(partials->names[i], name))
            return partials->compiled[i];
    snprintf(key, sizeof key, "%.*s", STR_ARG(name));
    if (json_get(partials->sources, key) == NULL)
        return NULL;
    CHECK(partials->count < COUNT_OF(partials->compiled));
    partials->names[partials->count] = name;
    partials->compiled[partials->count] =
        template_compile(json_get_str(partials->sources, key), false, &err);
    CHECK(partials->compiled[partials->count] != NULL);
    return partials->compiled[partials->count++];
}

static bool check_case(const struct json *row, const char *file)
{
    struct partials partials = {.sources = json_get(row, "partials")};
    struct template_options options = {
        .is_lenient = true,
        .find = find_partial,
        .find_ctx = &partials,
    };
    struct error err = {0};
    struct buf out;
    struct str wanted = json_get_str(row, "expected");
    struct template *program =
        template_compile(json_get_str(row, "template"), false, &err);
    bool is_right;

    buf_init(&out, TEMPLATE_OUTPUT_MAX);
    is_right = program != NULL &&
               template_render(program, json_get(row, "data"), &options, &out,
                               NULL, &err) &&
               str_eq(buf_str(&out), wanted);
    if (!is_right)
        print_error("%s: %.*s\n got: %.*s\nwant: %.*s\n err: %s\n", file,
                    STR_ARG(json_get_str(row, "name")), STR_ARG(buf_str(&out)),
                    STR_ARG(wanted), err.text);
    buf_finish(&out);
    for (size_t i = 0; i < partials.count; i++)
        template_destroy(&partials.compiled[i]);
    template_destroy(&program);
    return is_right;
}

/* Runs the file's cases; says how many there were. */
static size_t check_file(const char *folder, const char *name)
{
    char path[4096];
    struct error err = {0};
    struct buf text;
    struct json *root;
    const struct json *tests;
    size_t wrong = 0;
    size_t count;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    buf_init(&text, FILE_MAX);
    assert_true(file_read(path, &text, &err));
    root = json_parse(buf_str(&text), &err);
    assert_non_null(root);
    tests = json_get(root, "tests");
    count = json_count(tests);
    for (size_t i = 0; i < count; i++)
        if (!check_case(json_at(tests, i), name))
            wrong++;
    assert_int_equal(wrong, 0);
    json_destroy(&root);
    buf_finish(&text);
    return count;
}

static void test_own(void **state)
{
    (void)state;
    assert_true(check_file("tests/unit/smtp/vectors", "template.json") > 100);
}

static void test_public(void **state)
{
    static const struct {
        const char *file;
        size_t count;
    } files[] = {
        {"comments.json", 12},       {"delimiters.json", 14},
        {"interpolation.json", 42},  {"inverted.json", 22},
        {"partials.json", 12},       {"sections.json", 34},
        {"~dynamic-names.json", 21}, {"~inheritance.json", 27},
    };
    const char *folder = getenv("MUSTACHE_SPEC_DIR");

    (void)state;
    if (folder == NULL)
        skip();
    for (size_t i = 0; i < COUNT_OF(files); i++)
        assert_int_equal(check_file(folder, files[i].file), files[i].count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_public),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
