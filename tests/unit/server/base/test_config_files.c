/* Where a configuration comes from: its file, conf.d beside it, credentials. */
#include "server/base/config.h"

#include "server/base/file.h"
#include "server/base/log.h"

#include "config_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void a_file_is_loaded_or_its_error_told(void **state)
{
    struct config *c;

    (void)state;
    assert_null(config_load("/nonexistent/p.toml", &out));
    assert_string_equal(out.data,
                        "/nonexistent/p.toml: No such file or directory\n");
    c = config_load(NULL, &out);
    assert_non_null(c);
    config_destroy(&c);
}

static char folder[] = "/tmp/posthaste-config-XXXXXX";

/* A path within the folder, valid until the next call but three. */
static const char *at(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % COUNT_OF(paths)];

    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text)
{
    struct error err;

    unlink(at(name));
    if (!file_create(at(name), str_of(text), 0600, &err))
        fail_msg("%s", err.text);
}

static int make_folder(void **state)
{
    (void)setup(state);
    if (mkdtemp(folder) == NULL || mkdir(at("conf.d"), 0700) != 0)
        return -1;
    return 0;
}

static int remove_folder(void **state)
{
    static const char *const FILES[] = {
        "posthaste.toml",    "conf.d/10-a.toml", "conf.d/9-b.toml",
        "conf.d/20-no.conf", "conf.d/.h.toml",   "redis.password",
        "other.thing",       "secrets.keyring",  "upstream.main.password",
    };

    for (size_t i = 0; i < COUNT_OF(FILES); i++)
        unlink(at(FILES[i]));
    rmdir(at("conf.d"));
    assert_int_equal(rmdir(folder), 0);
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    return teardown(state);
}

static struct config *good_file(void)
{
    struct config *config = config_load(at("posthaste.toml"), &out);

    if (config == NULL)
        fail_msg("%s", out.data);
    return config;
}

static bool shows(const char *before, const char *name, const char *after)
{
    char want[256];

    snprintf(want, sizeof want, "%s%s%s", before, name, after);
    return strstr(out.data, want) != NULL;
}

static void more_files_are_merged_in_the_order_of_names(void **state)
{
    struct config *c;

    (void)state;
    put("posthaste.toml", "[api]\nmax_body = \"1MiB\"\nconnections_per_ip = 9\n"
                          "[log]\nlevel = \"warn\"\n" UPSTREAM "port = 1\n");
    put("conf.d/10-a.toml", "[log]\nlevel = \"debug\"\n"
                            "[api]\nmax_body = \"2MiB\"\n");
    put("conf.d/9-b.toml", "[api]\nmax_body = \"3MiB\"\n"
                           "[[upstream]]\nname = \"other\"\nhost = \"o.test\"\n"
                           "[[upstream]]\nname = \"main\"\nport = 2\n");
    put("conf.d/20-no.conf", "no TOML");
    put("conf.d/.h.toml", "no TOML");
    c = good_file();
    assert_int_equal(c->api.max_body_bytes, 3 << 20);
    assert_int_equal(c->api.connections_per_ip, 9);
    assert_int_equal(c->log.level, LOG_DEBUG);
    assert_int_equal(c->upstream_count, 2);
    assert_string_equal(c->upstreams[0].name, "main");
    assert_string_equal(c->upstreams[0].host, "smtp.test");
    assert_int_equal(c->upstreams[0].port, 2);
    assert_string_equal(c->upstreams[1].name, "other");
    config_show(c, false, &out);
    assert_true(
        shows("max_body = \"3MiB\"  # ", at("conf.d/9-b.toml"), ":2\n"));
    assert_true(shows("level = \"debug\"  # ", at("conf.d/10-a.toml"), ":2\n"));
    assert_true(
        shows("host = \"smtp.test\"  # ", at("posthaste.toml"), ":8\n"));
    assert_true(shows("port = 2  # ", at("conf.d/9-b.toml"), ":8\n"));
    config_destroy(&c);
}

static void problems_of_more_files_are_told_with_their_names(void **state)
{
    char want[1024];

    (void)state;
    put("posthaste.toml", "[api]\nmax_bdoy = \"1MiB\"\n" UPSTREAM);
    put("conf.d/10-a.toml", "[log]\nlevel = \"loud\"\n"
                            "[[upstream]]\nname = \"main\"\nport = 1\n"
                            "[[upstream]]\nname = \"main\"\n");
    put("conf.d/9-b.toml", "[redis\n");
    assert_null(config_load(at("posthaste.toml"), &out));
    snprintf(want, sizeof want,
             "%s:2:1: unknown key \"max_bdoy\" in [api]; did you mean "
             "\"max_body\"?\nmax_bdoy = \"1MiB\"\n^\n",
             at("posthaste.toml"));
    assert_non_null(strstr(out.data, want));
    snprintf(want, sizeof want, "%s:2:9: level: ", at("conf.d/10-a.toml"));
    assert_non_null(strstr(out.data, want));
    assert_non_null(strstr(out.data, "\nlevel = \"loud\"\n        ^\n"));
    snprintf(want, sizeof want, "%s:6:3: [[upstream]] needs a host\n",
             at("conf.d/10-a.toml"));
    assert_non_null(strstr(out.data, want));
    snprintf(want, sizeof want, "%s:1:7: ", at("conf.d/9-b.toml"));
    assert_non_null(strstr(out.data, want));
}

static void credentials_stand_for_files(void **state)
{
    struct config *c;

    (void)state;
    put("posthaste.toml",
        UPSTREAM "username = \"u\"\npassword_file = \"/no\"\n");
    put("redis.password", "hunter2\n");
    put("secrets.keyring", "");
    put("upstream.main.password", "swordfish");
    put("other.thing", "");
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    c = good_file();
    assert_string_equal(c->redis.password, "hunter2");
    assert_string_equal(c->upstreams[0].password, "swordfish");
    assert_string_equal(c->secrets.keyring_file, at("secrets.keyring"));
    config_show(c, false, &out);
    assert_true(shows("password_file = \"", at("redis.password"),
                      "\"  # credential redis.password\n"));
    assert_null(strstr(out.data, "hunter2"));
    config_destroy(&c);

    setenv("POSTHASTE_REDIS__PASSWORD", "other", 1); /* wins */
    c = good_file();
    assert_string_equal(c->redis.password, "other");
    config_destroy(&c);
    unsetenv("POSTHASTE_REDIS__PASSWORD");
    unsetenv("CREDENTIALS_DIRECTORY");
}

static const struct {
    const char *name;
    const char *problem;
} BAD_CREDENTIALS[] = {
    {"redis.pasword", "unknown key \"pasword_file\" in [redis]; did you mean "
                      "\"password_file\"?"},
    {"upstream.none.password", "there is no [[upstream]] \"none\""},
    {"redis.password", "the secret is empty"},
};

static void bad_credentials_are_told_by_name(void **state)
{
    char want[256];

    (void)state;
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    for (size_t i = 0; i < COUNT_OF(BAD_CREDENTIALS); i++) {
        buf_clear(&out);
        put(BAD_CREDENTIALS[i].name, "");
        assert_null(config_parse(S(""), "posthaste.toml", &out));
        unlink(at(BAD_CREDENTIALS[i].name));
        snprintf(want, sizeof want, "credential %s: %s\n",
                 BAD_CREDENTIALS[i].name, BAD_CREDENTIALS[i].problem);
        assert_string_equal(out.data, want);
    }
    buf_clear(&out);
    put("posthaste.toml", "");
    setenv("CREDENTIALS_DIRECTORY", at("posthaste.toml"), 1);
    assert_null(config_parse(S(""), "posthaste.toml", &out));
    assert_true(shows("CREDENTIALS_DIRECTORY: ", at("posthaste.toml"),
                      ": Not a directory\n"));
    unsetenv("CREDENTIALS_DIRECTORY");
}

static void the_file_is_found_by_flag_then_variable(void **state)
{
    (void)state;
    setenv("POSTHASTE_CONFIG", "/env.toml", 1);
    assert_string_equal(config_find("/flag.toml"), "/flag.toml");
    assert_string_equal(config_find(NULL), "/env.toml");
    unsetenv("POSTHASTE_CONFIG");
}

#define FOLDER_TEST(name)                                                      \
    cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(a_file_is_loaded_or_its_error_told),
        FOLDER_TEST(more_files_are_merged_in_the_order_of_names),
        FOLDER_TEST(problems_of_more_files_are_told_with_their_names),
        FOLDER_TEST(credentials_stand_for_files),
        FOLDER_TEST(bad_credentials_are_told_by_name),
        TEST(the_file_is_found_by_flag_then_variable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
