#include "server/base/buf.h"
#include "server/base/json.h"
#include "server/cli/verbs.h"

#include <stdio.h>

static int run_version(const struct cli_args *args)
{
    struct json_out out;
    struct buf text;

    if (!cli_wants_json(args)) {
        puts("posthaste " POSTHASTE_VERSION);
        return EXIT_OK;
    }
    buf_init(&text, 1024);
    json_out_init(&out, &text);
    json_open_map(&out);
    json_add_cstr(&out, "version", POSTHASTE_VERSION);
    json_close_map(&out);
    printf("%.*s\n", STR_ARG(buf_str(&text)));
    buf_finish(&text);
    return EXIT_OK;
}

static const struct cli_option OPTIONS[] = {CLI_OPTION_JSON};

static const struct verb VERBS[] = {
    {
        .name = "version",
        .purpose = "Says which version this is.",
        .examples = {"posthaste version", "posthaste version --json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_version,
    },
};

const struct verb_group VERBS_VERSION = {VERBS, COUNT_OF(VERBS)};
