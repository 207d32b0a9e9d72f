#include "server/http/head.h"

#include "check_cmocka.h"

enum { BODY_MAX = 1000 };

struct field {
    const char *name;
    const char *value;
    bool is_cut;
};

static const struct {
    const char *name;
    struct field fields[4];
    bool is_http_1_0;
    unsigned status;
    uint64_t body_length;
} HEADS[] = {
    {"least of all", {{"Host", "h", false}}, false, 0, 0},
    {"no Host", {{"Accept", "*/*", false}}, false, 400, 0},
    {"no Host in 1.0", {{"Accept", "*/*", false}}, true, 0, 0},
    {"two Hosts", {{"Host", "a", false}, {"host", "b", false}}, false, 400, 0},
    {"two keys",
     {{"Host", "h", false},
      {"Authorization", "Bearer a", false},
      {"AUTHORIZATION", "Bearer a", false}},
     false,
     400,
     0},
    {"two equal lengths",
     {{"Host", "h", false},
      {"Content-Length", "3", false},
      {"Content-Length", "3", false}},
     false,
     400,
     0},
    {"two idempotency keys",
     {{"Host", "h", false},
      {"Idempotency-Key", "a", false},
      {"Idempotency-Key", "b", false}},
     false,
     400,
     0},
    {"two of what nobody reads",
     {{"Host", "h", false}, {"X-A", "1", false}, {"X-A", "2", false}},
     false,
     0,
     0},
    {"lists may be split",
     {{"Host", "h", false}, {"Accept", "a", false}, {"Accept", "b", false}},
     false,
     0,
     0},
    {"cut by NUL",
     {{"Host", "h", false}, {"Authorization", "Bearer KEY", true}},
     false,
     400,
     0},
    {"bare CR",
     {{"Host", "h", false}, {"Authorization", "Bearer\rKEY", false}},
     false,
     400,
     0},
    {"DEL",
     {{"Host", "h", false}, {"Idempotency-Key", "a\x7f", false}},
     false,
     400,
     0},
    {"blank before the colon",
     {{"Host", "h", false}, {"Transfer-Encoding ", "chunked", false}},
     false,
     400,
     0},
    {"body",
     {{"Host", "h", false}, {"Content-Length", "1000", false}},
     false,
     0,
     1000},
    {"body too big",
     {{"Host", "h", false}, {"Content-Length", "1001", false}},
     false,
     413,
     0},
    {"4 GiB and 2 bytes",
     {{"Host", "h", false}, {"Content-Length", "4294967298", false}},
     false,
     413,
     0},
    {"length over 64 bits",
     {{"Host", "h", false}, {"Content-Length", "99999999999999999999", false}},
     false,
     400,
     0},
    {"chunked",
     {{"Host", "h", false}, {"Transfer-Encoding", "Chunked", false}},
     false,
     0,
     0},
    {"unknown coding",
     {{"Host", "h", false}, {"Transfer-Encoding", "gzip", false}},
     false,
     501,
     0},
    {"looks like chunked",
     {{"Host", "h", false}, {"Transfer-Encoding", "xchunked", false}},
     false,
     501,
     0},
    {"two codings",
     {{"Host", "h", false}, {"Transfer-Encoding", "gzip, chunked", false}},
     false,
     501,
     0},
    {"chunked in 1.0",
     {{"Host", "h", false}, {"Transfer-Encoding", "chunked", false}},
     true,
     400,
     0},
    {"chunked and a length",
     {{"Host", "h", false},
      {"Transfer-Encoding", "chunked", false},
      {"Content-Length", "3", false}},
     false,
     400,
     0},
    {"packed body",
     {{"Host", "h", false}, {"Content-Encoding", "gzip", false}},
     false,
     415,
     0},
    {"not packed",
     {{"Host", "h", false}, {"Content-Encoding", "identity", false}},
     false,
     0,
     0},
    {"Expect",
     {{"Host", "h", false}, {"Expect", "100-Continue", false}},
     false,
     0,
     0},
    {"Expect something else",
     {{"Host", "h", false}, {"Expect", "200-ok", false}},
     false,
     417,
     0},
};

static void heads_are_taken_or_refused(void **state)
{
    struct arena *arena = arena_create();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(HEADS); i++) {
        struct head head = {.doubled = NULL};
        struct head_verdict verdict;

        for (const struct field *field = HEADS[i].fields;
             field < HEADS[i].fields + 4 && field->name != NULL; field++)
            head_add(&head, arena, str_of(field->name), str_of(field->value),
                     field->is_cut);
        verdict = head_check(&head, arena, HEADS[i].is_http_1_0, BODY_MAX);
        if (verdict.status != HEADS[i].status)
            fail_msg("%s: %u", HEADS[i].name, verdict.status);
        assert_int_equal(verdict.body_length, HEADS[i].body_length);
        assert_int_equal(verdict.detail != NULL, verdict.status != 0);
    }
    arena_destroy(&arena);
}

static void split_lists_are_joined(void **state)
{
    struct arena *arena = arena_create();
    struct head head = {.doubled = NULL};

    (void)state;
    head_add(&head, arena, S("X-Forwarded-For"), S(" 192.0.2.1 "), false);
    head_add(&head, arena, S("x-forwarded-for"), S("192.0.2.2"), false);
    assert_true(
        str_eq(head.fields[HEAD_X_FORWARDED_FOR], S("192.0.2.1, 192.0.2.2")));
    assert_null(head.fields[HEAD_HOST].ptr);
    head_add(&head, arena, S("Host"), S(""), false);
    assert_non_null(head.fields[HEAD_HOST].ptr);
    arena_destroy(&arena);
}

static void media_types_are_compared_without_parameters(void **state)
{
    (void)state;
    assert_true(head_type_is(S("application/json"), "application/json"));
    assert_true(head_type_is(S("Application/JSON ; charset=utf-8"),
                             "application/json"));
    assert_false(head_type_is(S("application/jsonp"), "application/json"));
    assert_false(head_type_is(S("text/plain"), "application/json"));
    assert_false(head_type_is(S(""), "application/json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_taken_or_refused),
        cmocka_unit_test(split_lists_are_joined),
        cmocka_unit_test(media_types_are_compared_without_parameters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
