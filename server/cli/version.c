#include "server/cli/version.h"

#include "commit.inc"
#include "server/base/buf.h"
#include "server/base/fault.h"
#include "server/base/json.h"
#include "server/cli/verbs.h"

#include <stdio.h>

#ifdef FAULT_POINTS
static int print_fault_points(void)
{
    struct buf names;

    buf_init(&names, 64 << 10);
    fault_list(&names);
    printf("%.*s", STR_ARG(buf_str(&names)));
    buf_finish(&names);
    return EXIT_OK;
}
#endif

const char *version_commit(void)
{
    return POSTHASTE_COMMIT;
}

static int run_version(const struct cli_args *args)
{
    struct json_out out;
    struct buf text;

#ifdef FAULT_POINTS
    if (cli_flag(args, "fault-points"))
        return print_fault_points();
#endif
    if (!cli_wants_json(args)) {
        puts("posthaste " POSTHASTE_VERSION);
        return EXIT_OK;
    }
    buf_init(&text, 1024);
    json_out_init(&out, &text);
    json_open_map(&out);
    json_add_cstr(&out, "version", POSTHASTE_VERSION);
    json_add_cstr(&out, "commit", version_commit());
    json_close_map(&out);
    printf("%.*s\n", STR_ARG(buf_str(&text)));
    buf_finish(&text);
    return EXIT_OK;
}

static const struct cli_option OPTIONS[] = {
    CLI_OPTION_JSON,
#ifdef FAULT_POINTS
    {"fault-points", NULL, "lists what POSTHASTE_FAULT_POINT can name", NULL,
     NULL},
#endif
};

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
