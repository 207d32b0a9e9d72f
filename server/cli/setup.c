#include "server/base/arena.h"
#include "server/base/config.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/base/seal.h"
#include "server/base/secret.h"
#include "server/base/toml.h"
#include "server/cli/verbs.h"
#include "smtp/smtp.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_MAX = 1 << 20, PRESETS_MAX = 12 };

/* --- config check, config show --- */

struct check {
    const struct config *config;
    struct buf *problems;
    bool has_failed;
};

static void tell(struct check *check, struct config_value_name value,
                 const char *text)
{
    config_add_problem(check->config, value, text, check->problems);
    check->has_failed = true;
}

static void check_keyring(struct check *check)
{
    const char *path = check->config->secrets.keyring_file;
    struct keyring *keyring;
    struct error err;

    if (*path == '\0')
        return;
    keyring = keyring_load(path, &err);
    if (keyring == NULL)
        tell(check,
             (struct config_value_name){.table = "secrets",
                                        .key = "keyring_file"},
             err.text);
    keyring_destroy(&keyring);
}

/* Where both halves are named, they must belong together. */
static void check_worker_key(struct check *check)
{
    const struct config_secrets *secrets = &check->config->secrets;
    const struct config_value_name value = {.table = "secrets",
                                            .key = "worker_key_file"};
    struct seal_public public;
    struct seal_keys *keys;
    struct error err;

    if (*secrets->worker_key_file == '\0')
        return;
    keys = seal_keys_load(secrets->worker_key_file, &err);
    if (keys != NULL &&
        seal_public_read(str_of(secrets->worker_public_key), &public) &&
        !seal_keys_have(keys, &public))
        error_set(&err, ERR_CONFIG,
                  "%s: holds no private half of secrets.worker_public_key, so "
                  "no worker could open what is sealed to it",
                  secrets->worker_key_file);
    else if (keys != NULL)
        error_clear(&err);
    if (err.text[0] != '\0')
        tell(check, value, err.text);
    seal_keys_destroy(&keys);
}

/* What the file names must be there, too: the roles would not start. */
static bool check_files(const struct config *config, struct buf *problems)
{
    struct check check = {.config = config, .problems = problems};
    struct error err;

    check_keyring(&check);
    check_worker_key(&check);
    for (size_t i = 0; i < config->upstream_count; i++) {
        const char *key = smtp_tls_misfit(&config->upstreams[i], &err);

        if (key != NULL)
            tell(&check, (struct config_value_name){"upstream", i, key},
                 err.text);
    }
    return !check.has_failed;
}

static void print_check(const char *path, bool valid,
                        const struct config *config, const struct buf *problems)
{
    struct json_out out;
    struct buf text;

    buf_init(&text, TEXT_MAX);
    json_out_init(&out, &text);
    json_open_map(&out);
    json_add_cstr(&out, "object", "config_check");
    json_add_cstr(&out, "file", path);
    json_add_bool(&out, "valid", valid);
    json_add_str(&out, "problems", buf_str(problems));
    if (config != NULL) {
        json_add_int(&out, "upstreams", (int64_t)config->upstream_count);
        json_add_int(&out, "routes", (int64_t)config->route_count);
    }
    json_close_map(&out);
    puts(text.data);
    buf_finish(&text);
}

static void say_check(const char *path, const struct config *config)
{
    printf("%s: good; %zu upstreams, %zu routes\n",
           *path == '\0' ? "no file, only defaults" : path,
           config->upstream_count, config->route_count);
    if (config->upstream_count == 0)
        puts("note: without an [[upstream]] mail is taken, but waits");
    if (*config->secrets.keyring_file == '\0')
        puts("note: without secrets.keyring_file webhooks and sensitive mail "
             "are refused");
    if (*config->secrets.worker_public_key == '\0')
        puts("note: without secrets.worker_public_key domains are refused, and "
             "no mail is signed");
}

static int run_check(const struct cli_args *args)
{
    const char *path = config_find(cli_option(args, "config"));
    struct config *config;
    struct buf problems;
    bool valid;

    buf_init(&problems, TEXT_MAX);
    config = config_load(path, &problems);
    valid = config != NULL && check_files(config, &problems);
    fprintf(stderr, "%.*s", STR_ARG(buf_str(&problems)));
    path = path == NULL ? "" : path;
    if (cli_wants_json(args))
        print_check(path, valid, config, &problems);
    else if (valid)
        say_check(path, config);
    config_destroy(&config);
    buf_finish(&problems);
    return valid ? EXIT_OK : EXIT_CONFIG;
}

static int run_show(const struct cli_args *args)
{
    struct config *config;
    struct buf text;

    buf_init(&text, TEXT_MAX);
    config = config_load(config_find(cli_option(args, "config")), &text);
    if (config == NULL) {
        fprintf(stderr, "%.*s", STR_ARG(buf_str(&text)));
        buf_finish(&text);
        return EXIT_CONFIG;
    }
    config_show(config, cli_wants_json(args), &text);
    printf("%s%s", text.data, cli_wants_json(args) ? "\n" : "");
    config_destroy(&config);
    buf_finish(&text);
    return EXIT_OK;
}

static int run_docs(const struct cli_args *args)
{
    struct buf text;

    (void)args;
    buf_init(&text, TEXT_MAX);
    config_template(NULL, 0, &text);
    printf("%s", text.data);
    buf_finish(&text);
    return EXIT_OK;
}

/* --- init --- */

struct setup {
    const struct cli_args *args;
    struct arena *arena;
    char dir[PATH_MAX];
    struct config_preset presets[PRESETS_MAX];
    size_t preset_count;
    struct seal_public worker_key;
    unsigned made;
};

static const char *quoted(struct setup *setup, const char *text)
{
    const struct toml_value value = {.type = TOML_TEXT, .text = str_of(text)};
    const char *copy;
    struct buf out;

    buf_init(&out, TEXT_MAX);
    toml_write(&value, &out);
    copy = arena_cstr(setup->arena, buf_str(&out));
    buf_finish(&out);
    return copy;
}

static void preset(struct setup *setup, const char *table, const char *key,
                   const char *toml)
{
    CHECK(setup->preset_count < PRESETS_MAX);
    setup->presets[setup->preset_count++] =
        (struct config_preset){table, key, toml};
}

static const char *in_dir(struct setup *setup, const char *name)
{
    return arena_printf(setup->arena, "%s/%s", setup->dir, name).ptr;
}

static int check_upstream_options(const struct cli_args *args)
{
    static const char *const with_host[] = {"port", "tls", "username",
                                            "password-file"};

    for (size_t i = 0; i < COUNT_OF(with_host); i++)
        if (cli_option(args, with_host[i]) != NULL &&
            cli_option(args, "host") == NULL)
            return cli_fail(args, EXIT_USAGE, "--%s needs --host",
                            with_host[i]);
    if ((cli_option(args, "username") == NULL) !=
        (cli_option(args, "password-file") == NULL))
        return cli_fail(args, EXIT_USAGE,
                        "--username and --password-file go together");
    return EXIT_OK;
}

/* A password file is named by its whole path, since the roles may be started
 * from anywhere. */
static int choose_upstream(struct setup *setup)
{
    const struct cli_args *args = setup->args;
    const char *password_file = cli_option(args, "password-file");
    char path[PATH_MAX];
    int64_t port = 587;

    if (cli_option(args, "host") == NULL)
        return EXIT_OK;
    if (!cli_number(args, "port", 1, 65535, &port))
        return EXIT_USAGE;
    preset(setup, "upstream", "name", "\"main\"");
    preset(setup, "upstream", "host", quoted(setup, cli_option(args, "host")));
    preset(setup, "upstream", "port",
           arena_printf(setup->arena, "%d", (int)port).ptr);
    if (cli_option(args, "tls") != NULL)
        preset(setup, "upstream", "tls",
               quoted(setup, cli_option(args, "tls")));
    if (password_file == NULL)
        return EXIT_OK;
    if (realpath(password_file, path) == NULL)
        return cli_fail(args, EXIT_CONFIG, "%s: %s", password_file,
                        strerror(errno));
    preset(setup, "upstream", "username",
           quoted(setup, cli_option(args, "username")));
    preset(setup, "upstream", "password_file", quoted(setup, path));
    return EXIT_OK;
}

/* Before anything is made: what was asked for may be no host, or no word that
 * the configuration knows. */
static int check_choice(struct setup *setup)
{
    struct config *config;
    struct buf problems;
    struct buf text;
    bool valid;

    buf_init(&text, TEXT_MAX);
    buf_init(&problems, TEXT_MAX);
    config_template(setup->presets, setup->preset_count, &text);
    config = config_parse(buf_str(&text), in_dir(setup, "posthaste.toml"),
                          &problems);
    valid = config != NULL;
    fprintf(stderr, "%.*s", STR_ARG(buf_str(&problems)));
    config_destroy(&config);
    buf_finish(&problems);
    buf_finish(&text);
    return valid ? EXIT_OK : EXIT_USAGE;
}

static int open_dir(struct setup *setup)
{
    const char *dir = cli_option(setup->args, "dir");

    if (mkdir(dir, 0755) != 0 && errno != EEXIST)
        return cli_fail(setup->args, EXIT_FAILED, "%s: %s", dir,
                        strerror(errno));
    if (realpath(dir, setup->dir) == NULL)
        return cli_fail(setup->args, EXIT_FAILED, "%s: %s", dir,
                        strerror(errno));
    return EXIT_OK;
}

/* What is there is left alone. */
static bool is_there(const char *path)
{
    if (access(path, F_OK) != 0)
        return false;
    fprintf(stderr, "%s: is there already, left as it is\n", path);
    return true;
}

static bool make_file(struct setup *setup, const char *name, struct str text,
                      mode_t mode, struct error *err)
{
    const char *path = in_dir(setup, name);

    if (is_there(path))
        return true;
    if (!file_create(path, text, mode, err))
        return false;
    fprintf(stderr, "%s: made\n", path);
    setup->made++;
    return true;
}

static bool make_keyring(struct setup *setup, struct error *err)
{
    const char *path = in_dir(setup, "keyring");

    if (is_there(path))
        return true;
    if (!keyring_create(path, err))
        return false;
    fprintf(stderr, "%s: made; back it up\n", path);
    setup->made++;
    return true;
}

static bool make_worker_key(struct setup *setup, struct error *err)
{
    const char *path = in_dir(setup, "worker.key");

    if (is_there(path))
        return seal_keys_public(path, &setup->worker_key, err);
    if (!seal_keys_create(path, &setup->worker_key, err))
        return false;
    fprintf(stderr, "%s: made, for hosts with workers; back it up\n", path);
    setup->made++;
    return true;
}

static const char *public_text(struct setup *setup)
{
    const char *copy;
    struct buf text;

    buf_init(&text, TEXT_MAX);
    seal_public_add(&setup->worker_key, &text);
    copy = arena_cstr(setup->arena, buf_str(&text));
    buf_finish(&text);
    return copy;
}

static bool make_config(struct setup *setup, struct error *err)
{
    struct buf text;
    bool ok;

    preset(
        setup, "redis", "url",
        quoted(
            setup,
            arena_printf(setup->arena, "unix:%s/redis.sock", setup->dir).ptr));
    preset(setup, "secrets", "keyring_file",
           quoted(setup, in_dir(setup, "keyring")));
    preset(setup, "secrets", "worker_key_file",
           quoted(setup, in_dir(setup, "worker.key")));
    preset(setup, "secrets", "worker_public_key",
           quoted(setup, public_text(setup)));
    buf_init(&text, TEXT_MAX);
    config_template(setup->presets, setup->preset_count, &text);
    ok = make_file(setup, "posthaste.toml", buf_str(&text), 0644, err);
    buf_finish(&text);
    return ok;
}

/* The same profile as deploy/redis/posthaste.conf, with this folder's paths
 * and without a user of its own: only the socket leads there. */
static bool make_redis_conf(struct setup *setup, struct error *err)
{
    struct str text = arena_printf(
        setup->arena,
        "# Start it with: redis-server %s/redis.conf\n"
        "# Posthaste refuses to store on a Redis without these settings.\n"
        "port 0\n"
        "unixsocket %s/redis.sock\n"
        "unixsocketperm 770\n"
        "dir %s\n"
        "\n"
        "# Every accepted mail is in this file before its sender gets an "
        "answer.\n"
        "appendonly yes\n"
        "appendfsync always\n"
        "save \"\"\n"
        "auto-aof-rewrite-percentage 100\n"
        "auto-aof-rewrite-min-size 2gb\n"
        "\n"
        "# A full Redis refuses new mail and keeps the old.\n"
        "maxmemory 2gb\n"
        "maxmemory-policy noeviction\n",
        setup->dir, setup->dir, setup->dir);

    return make_file(setup, "redis.conf", text, 0644, err);
}

static void say_next(const struct setup *setup)
{
    const char *dir = setup->dir;

    if (cli_option(setup->args, "host") == NULL)
        printf("next: name your SMTP server below [[upstream]] in "
               "%s/posthaste.toml\n",
               dir);
    printf("      posthaste config check --config %s/posthaste.toml\n"
           "      redis-server %s/redis.conf\n"
           "      posthaste api|worker|hooks --config %s/posthaste.toml\n"
           "      posthaste keys create --config %s/posthaste.toml --name "
           "web\n",
           dir, dir, dir, dir);
}

static void print_made(const struct setup *setup)
{
    struct json_out out;
    struct buf text;

    buf_init(&text, TEXT_MAX);
    json_out_init(&out, &text);
    json_open_map(&out);
    json_add_cstr(&out, "object", "init");
    json_add_cstr(&out, "dir", setup->dir);
    json_add_int(&out, "made", setup->made);
    json_close_map(&out);
    puts(text.data);
    buf_finish(&text);
}

static int make_all(struct setup *setup)
{
    struct error err;
    int code = check_upstream_options(setup->args);

    if (code == EXIT_OK)
        code = open_dir(setup);
    if (code == EXIT_OK)
        code = choose_upstream(setup);
    if (code == EXIT_OK)
        code = check_choice(setup);
    if (code != EXIT_OK)
        return code;
    if (!make_keyring(setup, &err) || !make_worker_key(setup, &err) ||
        !make_redis_conf(setup, &err) || !make_config(setup, &err))
        return cli_fail(setup->args, EXIT_FAILED, "%s", err.text);
    if (cli_wants_json(setup->args))
        print_made(setup);
    else
        say_next(setup);
    return EXIT_OK;
}

static int run_init(const struct cli_args *args)
{
    struct setup setup = {.args = args, .arena = arena_create()};
    int code = make_all(&setup);

    arena_destroy(&setup.arena);
    return code;
}

static const struct cli_option CONFIG_OPTIONS[] = {CLI_OPTION_CONFIG,
                                                   CLI_OPTION_JSON};
static const struct cli_option INIT_OPTIONS[] = {
    {"dir", "DIR", "where the files go; made if needed", NULL, "."},
    {"host", "HOST", "your SMTP server", NULL, NULL},
    {"port", "PORT", "its port; 587 unless given", NULL, NULL},
    {"tls", "WORD", "starttls (unless given), implicit, opportunistic, off",
     NULL, NULL},
    {"username", "NAME", "the account there", NULL, NULL},
    {"password-file", "FILE", "file that holds its password", NULL, NULL},
    CLI_OPTION_JSON,
};

static const struct verb VERBS[] = {
    {
        .name = "init",
        .purpose =
            "Writes posthaste.toml, keys and a redis.conf to start from; "
            "overwrites nothing.",
        .examples = {"posthaste init --dir /etc/posthaste",
                     "posthaste init --host smtp.example.com --username app "
                     "--password-file app.pass"},
        .options = INIT_OPTIONS,
        .option_count = COUNT_OF(INIT_OPTIONS),
        .run = run_init,
    },
    {
        .name = "config check",
        .purpose = "Finds all mistakes in the configuration.",
        .examples = {"posthaste config check",
                     "posthaste config check --config /etc/posthaste/"
                     "posthaste.toml"},
        .options = CONFIG_OPTIONS,
        .option_count = COUNT_OF(CONFIG_OPTIONS),
        .run = run_check,
    },
    {
        .name = "config show",
        .purpose = "Shows every key, its value and who set it; no secrets.",
        .examples = {"posthaste config show",
                     "posthaste config show --json | jq ."},
        .options = CONFIG_OPTIONS,
        .option_count = COUNT_OF(CONFIG_OPTIONS),
        .run = run_show,
    },
    {
        .name = "config docs",
        .purpose = "Prints a posthaste.toml that explains every key.",
        .examples = {"posthaste config docs | less",
                     "posthaste config docs > posthaste.toml"},
        .run = run_docs,
    },
};

const struct verb_group VERBS_SETUP = {VERBS, COUNT_OF(VERBS)};
