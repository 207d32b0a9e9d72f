#include "server/base/json.h"
#include "server/cli/tool.h"
#include "server/cli/verbs.h"
#include "smtp/smtp.h"

#include <stdio.h>

enum { TEXT_MAX = 1024 };

static void print_delivery(const struct cli_args *args, const struct id *email,
                           unsigned number)
{
    struct json_out out;
    struct buf text;

    if (!cli_wants_json(args)) {
        printf("email %s, recipient %u\n", email->text, number);
        return;
    }
    buf_init(&text, TEXT_MAX);
    json_out_init(&out, &text);
    json_open_map(&out);
    json_add_cstr(&out, "object", "return_path");
    json_add_str(&out, "email_id", id_str(email));
    json_add_int(&out, "recipient", number);
    json_close_map(&out);
    puts(text.data);
    buf_finish(&text);
}

static int look_up(const struct cli_args *args, const struct config *config)
{
    struct str address = str_of(cli_operand(args, 0));
    struct error err = {0};
    struct keyring *keyring;
    struct id email;
    unsigned number;
    bool found;

    if (*config->secrets.keyring_file == '\0')
        return cli_fail(args, EXIT_CONFIG,
                        "return paths are signed: set secrets.keyring_file");
    keyring = keyring_load(config->secrets.keyring_file, &err);
    if (keyring == NULL)
        return cli_fail_error(args, &err);
    found = return_path_read(keyring, address, &email, &number);
    keyring_destroy(&keyring);
    if (!found)
        return cli_fail(args, EXIT_NOT_FOUND,
                        "%.*s: not made by this service, or under a key that "
                        "its keyring no longer has",
                        STR_ARG(address));
    print_delivery(args, &email, number);
    return EXIT_OK;
}

static int run_return_path(const struct cli_args *args)
{
    struct config *config;
    int code;

    if (cli_operand(args, 0) == NULL || cli_operand(args, 1) != NULL)
        return cli_fail(args, EXIT_USAGE, "takes one address");
    config = tool_read_config(args);
    if (config == NULL)
        return EXIT_CONFIG;
    code = look_up(args, config);
    config_destroy(&config);
    return code;
}

static const struct cli_option OPTIONS[] = {
    CLI_OPTION_CONFIG,
    CLI_OPTION_JSON,
};

static const struct verb VERBS[] = {
    {
        .name = "return-path",
        .operands = "ADDRESS",
        .purpose = "Says which delivery a bounce is of, by the address that it "
                   "came to (sending.bounce_domain).",
        .examples = {"posthaste return-path \"$RECIPIENT\" --config "
                     "/etc/posthaste.toml",
                     "posthaste return-path --json "
                     "b+019ac3f27b1c7d3e8f4a5b6c7d8e9f010000e1a3c5d7f9021324"
                     "@bounce.example.com"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_return_path,
    },
};

const struct verb_group VERBS_RETURN_PATH = {VERBS, COUNT_OF(VERBS)};
