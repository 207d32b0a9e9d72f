#include "server/http/path.h"

#include "check_cmocka.h"

static void route(void *ctx, struct http_request *request)
{
    (void)ctx;
    (void)request;
}

static const struct http_route ROUTES[] = {
    {"GET", "/emails", route, NULL},
    {"POST", "/emails", route, "application/json"},
    {"GET", "/emails/{id}", route, NULL},
    {"POST", "/emails/{id}/cancel", route, NULL},
};

static const struct {
    const char *name;
    const char *target;
    const char *text; /* NULL: refused */
    size_t count;
} PATHS[] = {
    {"plain", "/emails/x", "/emails/x", 2},
    {"with the version", "/v1/emails/x", "/emails/x", 2},
    {"the version counts once", "/v1/v1/emails", "/v1/emails", 2},
    {"the version only in front", "/emails/v1", "/emails/v1", 2},
    {"duplicate slashes", "//v1///emails//x/", "/emails/x", 2},
    {"nothing", "/", "/", 0},
    {"the version alone", "/v1", "/", 0},
    {"escaped letters", "/%65mails/a%40b.c", "/emails/a@b.c", 2},
    {"an escaped slash stays inside", "/emails/a%2Fb", "/emails/a/b", 2},
    {"dots are nothing special", "/emails/../x", "/emails/../x", 3},
    {"whole URL", "http://h:1/v1/emails", "/emails", 1},
    {"whole URL without a path", "http://h", "/", 0},
    {"UTF-8", "/emails/%C3%A9", "/emails/\xc3\xa9", 2},
    {"more segments than any route", "/1/2/3/4/5/6/7/8/9/10",
     "/1/2/3/4/5/6/7/8/9/10", PATH_SEGMENTS_MAX + 1},
    {"NUL", "/emails/%00", NULL, 0},
    {"line end", "/emails/%0d%0aX", NULL, 0},
    {"half an escape", "/emails/%4", NULL, 0},
    {"no escape", "/emails/%zz", NULL, 0},
    {"not UTF-8", "/emails/%ff", NULL, 0},
    {"raw byte that is no UTF-8", "/emails/\xff", NULL, 0},
    {"star", "*", NULL, 0},
    {"empty", "", NULL, 0},
};

static void paths_are_canonical_or_refused(void **state)
{
    struct arena *arena = arena_create();
    struct path path;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(PATHS); i++) {
        bool ok = path_parse(arena, str_of(PATHS[i].target), &path);

        if (ok != (PATHS[i].text != NULL))
            fail_msg("%s", PATHS[i].name);
        if (!ok)
            continue;
        assert_true(str_eq(path.text, str_of(PATHS[i].text)));
        assert_int_equal(path.count, PATHS[i].count);
    }
    arena_destroy(&arena);
}

static const struct {
    const char *method;
    const char *target;
    int route; /* -1: none */
    const char *param;
    const char *allow;
} MATCHES[] = {
    {"GET", "/emails", 0, NULL, NULL},
    {"HEAD", "/emails", 0, NULL, NULL},
    {"POST", "/v1/emails", 1, NULL, NULL},
    {"GET", "/emails/7", 2, "7", NULL},
    {"POST", "/emails/7/cancel", 3, "7", NULL},
    {"PUT", "/emails", -1, NULL, "GET, HEAD, POST"},
    {"OPTIONS", "/emails/7", -1, NULL, "GET, HEAD"},
    {"get", "/emails", -1, NULL, "GET, HEAD, POST"},
    {"GET", "/emails/7/cancel", -1, NULL, "POST"},
    {"GET", "/emails/7/cancel/9", -1, NULL, ""},
    {"GET", "/mails", -1, NULL, ""},
    {"GET", "/", -1, NULL, ""},
    {"GET", "/1/2/3/4/5/6/7/8/9", -1, NULL, ""},
};

static void routes_are_found_by_method_and_path(void **state)
{
    struct arena *arena = arena_create();
    struct route_match match;
    struct path path;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(MATCHES); i++) {
        assert_true(path_parse(arena, str_of(MATCHES[i].target), &path));
        route_find(arena, ROUTES, COUNT_OF(ROUTES), str_of(MATCHES[i].method),
                   &path, &match);
        assert_ptr_equal(match.route, MATCHES[i].route < 0
                                          ? NULL
                                          : &ROUTES[MATCHES[i].route]);
        if (MATCHES[i].route < 0)
            assert_true(str_eq(match.allow, str_of(MATCHES[i].allow)));
        assert_int_equal(match.param_count, MATCHES[i].param != NULL);
        if (MATCHES[i].param != NULL)
            assert_true(str_eq(match.params[0], str_of(MATCHES[i].param)));
    }
    arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_canonical_or_refused),
        cmocka_unit_test(routes_are_found_by_method_and_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
