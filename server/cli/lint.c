/* The verb lint: what may be wrong with a mail, without a server. */
#include "api/api.h"
#include "server/base/clock.h"
#include "server/base/json.h"
#include "server/cli/show.h"
#include "server/cli/source.h"
#include "server/cli/tool.h"
#include "server/cli/verbs.h"

#include <stdio.h>

enum {
    BODY_MAX = 40 << 20,
    ANSWER_MAX = 16 << 20,
    PROBLEMS_MAX = 64 << 10,
};

static bool has_error(const struct json *lint)
{
    for (size_t i = 0; i < json_count(lint); i++)
        if (str_eq(json_get_str(json_at(lint, i), "level"), S("error")))
            return true;
    return false;
}

/* 1 when there is an error. */
static int show(const struct cli_args *args, struct str answer)
{
    struct json *root = json_parse(answer, NULL);
    const struct json *lint = json_get(root, "lint");
    int code = has_error(lint) ? EXIT_FAILED : EXIT_OK;
    struct buf out;

    if (cli_wants_json(args)) {
        printf("%.*s\n", STR_ARG(answer));
    } else {
        buf_init(&out, ANSWER_MAX);
        if (json_count(lint) == 0)
            buf_add_cstr(&out, "nothing to say against it\n");
        show_lint(lint, &out);
        show_print(&out);
        buf_finish(&out);
    }
    json_destroy(&root);
    return code;
}

static int judge(const struct cli_args *args, struct str body,
                 const struct config *config)
{
    struct buf answer;
    struct buf problems;
    int code;

    buf_init(&answer, ANSWER_MAX);
    buf_init(&problems, PROBLEMS_MAX);
    if (api_dry_run(body, config, clock_wall_ms(), &answer, &problems)) {
        code = show(args, buf_str(&answer));
    } else {
        code = EXIT_FAILED;
        fprintf(stderr, "%.*s", STR_ARG(buf_str(&problems)));
    }
    buf_finish(&problems);
    buf_finish(&answer);
    return code;
}

static int run_lint(const struct cli_args *args)
{
    struct error err = {0};
    struct config *config;
    struct buf body;
    int code;

    if (cli_operand(args, 0) == NULL || cli_operand(args, 1) != NULL)
        return cli_fail(args, EXIT_USAGE,
                        "takes one file, or - for standard input");
    config = tool_read_config(args);
    if (config == NULL)
        return EXIT_CONFIG;
    buf_init(&body, BODY_MAX);
    code = cli_read_source(cli_operand(args, 0), &body, &err)
               ? judge(args, buf_str(&body), config)
               : cli_fail_error(args, &err);
    buf_finish(&body);
    config_destroy(&config);
    return code;
}

static const struct cli_option OPTIONS[] = {
    CLI_OPTION_CONFIG,
    CLI_OPTION_JSON,
};

static const struct verb VERBS[] = {
    {
        .name = "lint",
        .operands = "FILE|-",
        .purpose =
            "Says what may be wrong with a mail, given as a body of POST "
            "/v1/emails. Nothing is sent and no server is asked; exit "
            "code 1 when there is an error.",
        .examples = {"posthaste lint mail.json",
                     "posthaste lint --json - < mail.json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_lint,
    },
};

const struct verb_group VERBS_LINT = {VERBS, COUNT_OF(VERBS)};
