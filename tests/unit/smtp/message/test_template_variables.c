#include "smtp/message/template_variables.h"

#include "check_cmocka.h"

static const struct {
    const char *list;
    const char *error;
} BROKEN[] = {
    {"{}", "variables: want an array of at most 50"},
    {"[{}]", "variables[0]: has no right name; want 1 to 64 letters, digits "
             "and underscores, no digit first"},
    {"[{\"name\":\"1a\",\"type\":\"string\"}]",
     "variables[0]: has no right name; want 1 to 64 letters, digits and "
     "underscores, no digit first"},
    {"[{\"name\":\"a\",\"type\":\"text\"}]",
     "variables[0]: a has no right type; want string, number, boolean, date, "
     "list or object"},
    {"[{\"name\":\"a\",\"type\":\"string\"},{\"key\":\"a\",\"type\":"
     "\"number\"}]",
     "variables[1]: a is declared twice"},
    {"[{\"name\":\"a\",\"type\":\"number\",\"default\":\"1\"}]",
     "variables[0]: the default of a is no number; want a number"},
    {"[{\"name\":\"a\",\"type\":\"boolean\",\"example\":0}]",
     "variables[0]: the example of a is no boolean; want true or false"},
    {"[{\"name\":\"a\",\"type\":\"boolean\",\"required\":1}]",
     "variables[0]: required of a is neither true nor false"},
};

static void broken_declarations_are_explained(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BROKEN); i++) {
        struct template_variables variables;
        struct error err = {0};
        struct json *list = json_parse(str_of(BROKEN[i].list), &err);

        assert_non_null(list);
        assert_false(template_variables_read(list, &variables, &err));
        assert_string_equal(err.text, BROKEN[i].error);
        json_destroy(&list);
    }
}

static const char DECLARED[] =
    "[{\"name\":\"code\",\"type\":\"string\",\"example\":\"483920\"},"
    "{\"key\":\"minutes\",\"type\":\"number\",\"fallback_value\":10},"
    "{\"name\":\"due\",\"type\":\"date\",\"required\":false},"
    "{\"name\":\"items\",\"type\":\"list\",\"default\":[1]},"
    "{\"name\":\"user\",\"type\":\"object\",\"required\":false},"
    "{\"name\":\"again\",\"type\":\"boolean\",\"default\":false}]";

static const struct {
    const char *data;
    const char *filled; /* NULL: refused */
    const char *error;
} DATA[] = {
    {"{\"code\":\"1\"}",
     "{\"code\":\"1\",\"minutes\":10,\"due\":null,\"items\":[1],\"user\":null,"
     "\"again\":false}",
     ""},
    {"{\"code\":\"1\",\"minutes\":null,\"due\":\"2026-11-24\",\"items\":[],"
     "\"user\":{\"x\":1},\"again\":true,\"more\":2}",
     "{\"code\":\"1\",\"due\":\"2026-11-24\",\"items\":[],\"user\":{\"x\":1},"
     "\"again\":true,\"more\":2,\"minutes\":10}",
     ""},
    {"{}", NULL, "code is missing"},
    {"[]", NULL, "code is missing"},
    {"{\"code\":null,\"minutes\":\"5\",\"due\":\"soon\",\"items\":{},"
     "\"user\":[],\"again\":1}",
     NULL,
     "code is null; minutes has a wrong value (want a number); due has a "
     "wrong value (want a date like \"2026-11-24\", a time like "
     "\"2026-11-24T09:30:00Z\", or seconds since 1970); items has a wrong "
     "value (want an array); user has a wrong value (want an object); again "
     "has a wrong value (want true or false)"},
    {"{\"code\":\"1\",\"due\":\"1764000000\",\"items\":[]}",
     "{\"code\":\"1\",\"due\":\"1764000000\",\"items\":[],\"minutes\":10,"
     "\"user\":null,\"again\":false}",
     ""},
    {"{\"code\":\"1\",\"due\":1764000000000}", NULL,
     "due has a wrong value (want a date like \"2026-11-24\", a time like "
     "\"2026-11-24T09:30:00Z\", or seconds since 1970)"},
    {"{\"code\":5}", NULL, "code has a wrong value (want a string)"},
};

static void data_are_checked_and_filled(void **state)
{
    struct template_variables variables;
    struct error err = {0};
    struct json *list = json_parse(str_of(DECLARED), &err);

    (void)state;
    assert_true(template_variables_read(list, &variables, &err));
    for (size_t i = 0; i < COUNT_OF(DATA); i++) {
        struct json *data = json_parse(str_of(DATA[i].data), &err);
        struct template_flaws flaws;
        struct buf out;

        err = (struct error){0};
        buf_init(&out, 4096);
        assert_int_equal(
            template_variables_fill(&variables, data, &out, &flaws, &err),
            DATA[i].filled != NULL);
        assert_string_equal(err.text, DATA[i].error);
        if (DATA[i].filled != NULL)
            assert_string_equal(out.data, DATA[i].filled);
        buf_finish(&out);
        json_destroy(&data);
    }
    json_destroy(&list);
}

static void examples_fill_a_preview(void **state)
{
    struct template_variables variables;
    struct error err = {0};
    struct json *list = json_parse(str_of(DECLARED), &err);
    struct buf out;

    (void)state;
    assert_true(template_variables_read(list, &variables, &err));
    buf_init(&out, 4096);
    template_variables_example(&variables, &out);
    assert_string_equal(out.data,
                        "{\"code\":\"483920\",\"minutes\":10,\"due\":"
                        "null,\"items\":[1],\"user\":null,\"again\":false}");
    buf_finish(&out);
    json_destroy(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_declarations_are_explained),
        cmocka_unit_test(data_are_checked_and_filled),
        cmocka_unit_test(examples_fill_a_preview),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
