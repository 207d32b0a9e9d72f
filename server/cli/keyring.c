#include "server/base/json.h"
#include "server/base/seal.h"
#include "server/base/secret.h"
#include "server/cli/verbs.h"

#include <stdio.h>

enum { TEXT_MAX = 1 << 16 };

static const char *one_file(const struct cli_args *args)
{
    return cli_operand(args, 1) == NULL ? cli_operand(args, 0) : NULL;
}

/* public_key: NULL for none. */
static void print_json(const char *object, const char *path,
                       const char *public_key)
{
    struct json_out out;
    struct buf text;

    buf_init(&text, TEXT_MAX);
    json_out_init(&out, &text);
    json_open_map(&out);
    json_add_cstr(&out, "object", object);
    json_add_cstr(&out, "file", path);
    if (public_key != NULL)
        json_add_cstr(&out, "public_key", public_key);
    json_close_map(&out);
    puts(text.data);
    buf_finish(&text);
}

static int run_create(const struct cli_args *args)
{
    const char *path = one_file(args);
    struct error err;

    if (path == NULL)
        return cli_fail(args, EXIT_USAGE, "takes one file");
    if (!keyring_create(path, &err))
        return cli_fail(args, EXIT_FAILED, "%s", err.text);
    if (cli_wants_json(args))
        print_json("keyring", path, NULL);
    else
        printf("%s: made, for its owner alone. Set secrets.keyring_file to it "
               "on every host,\nand back it up: without it, what it encrypted "
               "is lost.\n",
               path);
    return EXIT_OK;
}

/* The text alone on standard output, so that $(...) can take it. */
static void print_public(const struct cli_args *args, const char *path,
                         const struct seal_public *key)
{
    struct buf text;

    buf_init(&text, TEXT_MAX);
    seal_public_add(key, &text);
    if (cli_flag(args, "json"))
        print_json("worker_key", path, text.data);
    else
        puts(text.data);
    buf_finish(&text);
}

static int run_create_worker(const struct cli_args *args)
{
    const char *path = one_file(args);
    struct seal_public key;
    struct error err;

    if (path == NULL)
        return cli_fail(args, EXIT_USAGE, "takes one file");
    if (!seal_keys_create(path, &key, &err))
        return cli_fail(args, EXIT_FAILED, "%s", err.text);
    fprintf(stderr,
            "%s: made, for its owner alone. Set secrets.worker_key_file to it "
            "on hosts with workers,\nand back it up: without it, domains need "
            "new DKIM keys. secrets.worker_public_key is:\n",
            path);
    print_public(args, path, &key);
    return EXIT_OK;
}

static int run_show_worker(const struct cli_args *args)
{
    const char *path = one_file(args);
    struct seal_public key;
    struct error err;

    if (path == NULL)
        return cli_fail(args, EXIT_USAGE, "takes one file");
    if (!seal_keys_public(path, &key, &err))
        return cli_fail(args, EXIT_CONFIG, "%s", err.text);
    print_public(args, path, &key);
    return EXIT_OK;
}

static const struct cli_option OPTIONS[] = {CLI_OPTION_JSON};

static const struct verb VERBS[] = {
    {
        .name = "keyring create",
        .operands = "FILE",
        .purpose = "Makes the keys that encrypt what is stored.",
        .examples = {"posthaste keyring create /etc/posthaste/keyring",
                     "posthaste keyring create keyring --json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_create,
    },
    {
        .name = "keyring create-worker",
        .operands = "FILE",
        .purpose = "Makes the workers' key; it opens DKIM keys. "
                   "Prints its public half.",
        .examples = {"posthaste keyring create-worker "
                     "/etc/posthaste/worker.key",
                     "posthaste keyring create-worker worker.key --json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_create_worker,
    },
    {
        .name = "keyring show-worker",
        .operands = "FILE",
        .purpose = "Prints the public half of a workers' key again.",
        .examples = {"posthaste keyring show-worker /etc/posthaste/worker.key",
                     "posthaste keyring show-worker worker.key --json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_show_worker,
    },
};

const struct verb_group VERBS_KEYRING = {VERBS, COUNT_OF(VERBS)};
