#include "server/base/fault.h"
#include "server/base/id.h"
#include "server/base/json.h"
#include "server/cli/show.h"
#include "server/cli/tool.h"
#include "server/cli/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { OUTPUT_MAX = 1 << 20 };

/* --- partition list --- */

static void print_text(const struct queue_partitions *partitions)
{
    printf("%-10s %10s %10s  %s\n", "partition", "owners", "open", "node");
    for (size_t i = 0; i < partitions->count; i++) {
        const struct partition_info *info = &partitions->partitions[i];
        char node[300] = "away";

        if (info->is_up && info->port == 0)
            snprintf(node, sizeof node, "%s", info->host);
        else if (info->is_up)
            snprintf(node, sizeof node, "%s:%u", info->host, info->port);
        printf("%-10u %10" PRIu64 " %10" PRIu64 "  %s\n", info->number,
               info->owners, info->open, node);
    }
}

static void put_partition(struct json_out *out,
                          const struct partition_info *info)
{
    json_open_map(out);
    json_add_int(out, "partition", info->number);
    json_add_int(out, "owners", (int64_t)info->owners);
    json_add_bool(out, "up", info->is_up);
    if (info->is_up)
        json_add_int(out, "open", (int64_t)info->open);
    json_add_cstr(out, "host", info->host);
    json_add_int(out, "port", info->port);
    json_close_map(out);
}

static void print_json(const struct queue_partitions *partitions)
{
    struct json_out out;
    struct buf text;

    buf_init(&text, OUTPUT_MAX);
    json_out_init(&out, &text);
    show_list_open(&out);
    for (size_t i = 0; i < partitions->count; i++)
        put_partition(&out, &partitions->partitions[i]);
    show_list_close(&out);
    printf("%.*s\n", STR_ARG(buf_str(&text)));
    buf_finish(&text);
}

static void on_list(void *ctx, const struct queue_partitions *partitions)
{
    struct tool *tool = ctx;

    if (!tool_is_answered(tool, partitions->status, &partitions->why))
        return;
    if (cli_wants_json(tool->args))
        print_json(partitions);
    else
        print_text(partitions);
    tool_done(tool, EXIT_OK);
}

static int ask_list(struct tool *tool, void *ctx)
{
    (void)ctx;
    queue_partition_list(tool->queue, on_list, tool);
    return tool_wait(tool);
}

static int run_list(const struct cli_args *args)
{
    return tool_run(args, ask_list, NULL);
}

/* --- changes --- */

static int no_owner(const struct cli_args *args)
{
    return cli_fail(args, EXIT_NOT_FOUND, "there is no owner '%s'",
                    cli_operand(args, 0));
}

static void on_changed(void *ctx, const struct queue_answer *answer)
{
    struct tool *tool = ctx;

    if (answer->status == QUEUE_NOT_FOUND)
        tool_done(tool, no_owner(tool->args));
    else if (answer->status == QUEUE_FROZEN || answer->status == QUEUE_MOVED)
        tool_done(tool,
                  cli_fail(tool->args, EXIT_FAILED, "%s", answer->why.text));
    else if (tool_is_answered(tool, answer->status, &answer->why))
        tool_done(tool, EXIT_OK);
}

/* The word is printed when the change was made. */
static int wait_for_change(struct tool *tool, const char *word)
{
    int code = tool_wait(tool);

    if (code == EXIT_OK)
        puts(word);
    return code;
}

static int add(struct tool *tool, void *ctx)
{
    (void)ctx;
    queue_partition_add(tool->queue, on_changed, tool);
    return wait_for_change(tool, "added");
}

static int run_add(const struct cli_args *args)
{
    return tool_run(args, add, NULL);
}

static int set_frozen(struct tool *tool, void *ctx)
{
    const bool *frozen = ctx;
    struct str owner = str_of(cli_operand(tool->args, 0));

    queue_owner_freeze(tool->queue, owner, *frozen, on_changed, tool);
    return wait_for_change(tool, *frozen ? "frozen" : "thawed");
}

static int freeze(const struct cli_args *args, bool frozen)
{
    if (cli_operand(args, 0) == NULL)
        return cli_fail(args, EXIT_USAGE, "give the name of an owner");
    return tool_run(args, set_frozen, &frozen);
}

static int run_freeze(const struct cli_args *args)
{
    return freeze(args, true);
}

static int run_thaw(const struct cli_args *args)
{
    return freeze(args, false);
}

static int set_limit(struct tool *tool, void *ctx)
{
    const int64_t *limit = ctx;
    struct str owner = str_of(cli_operand(tool->args, 0));

    queue_owner_limit(tool->queue, owner, *limit, on_changed, tool);
    return wait_for_change(tool, "set");
}

static int run_limit(const struct cli_args *args)
{
    const char *given =
        cli_operand(args, 0) == NULL ? NULL : cli_operand(args, 1);
    int64_t limit = OWNER_LIMIT_DEFAULT;
    uint64_t number;

    if (given == NULL)
        return cli_fail(
            args, EXIT_USAGE,
            "give the name of an owner, and a number or \"default\"");
    if (strcmp(given, "default") != 0) {
        if (!str_to_u64(str_of(given), &number) || number > OWNER_LIMIT_MAX)
            return cli_fail(args, EXIT_USAGE,
                            "\"%s\" is no limit: 0 to %d recipients (0: any "
                            "number), or \"default\" for limits.owner_queue",
                            given, OWNER_LIMIT_MAX);
        limit = (int64_t)number;
    }
    return tool_run(args, set_limit, &limit);
}

/* --- partition move --- */

enum { WAIT_S = 120, WAIT_MAX_S = 86400 };

static void on_step(void *ctx, const char *step)
{
    struct tool *tool = ctx;

    if (!cli_wants_json(tool->args))
        fprintf(stderr, "%s\n", step);
}

static void print_moved(const struct cli_args *args,
                        const struct owner_moved *moved)
{
    const char *owner = cli_operand(args, 0);
    bool only_looks = cli_flag(args, "check");

    if (moved->stayed)
        printf("%s stays in partition %u\n", owner, moved->from);
    else if (moved->from == moved->to)
        printf("%s lives in partition %u already\n", owner, moved->to);
    else if (only_looks)
        printf("%s would move from partition %u to %u\n", owner, moved->from,
               moved->to);
    else
        printf("%s moved from partition %u to %u, %" PRIu64 " keys\n", owner,
               moved->from, moved->to, moved->keys);
}

static void print_moved_json(const struct cli_args *args,
                             const struct owner_moved *moved)
{
    bool has_moved =
        moved->from != moved->to && !moved->stayed && !cli_flag(args, "check");
    struct json_out out;
    struct buf text;

    buf_init(&text, OUTPUT_MAX);
    json_out_init(&out, &text);
    json_open_map(&out);
    json_add_cstr(&out, "owner", cli_operand(args, 0));
    json_add_int(&out, "from", moved->from);
    json_add_int(&out, "to", moved->stayed ? moved->from : moved->to);
    json_add_bool(&out, "moved", has_moved);
    json_add_int(&out, "keys", (int64_t)moved->keys);
    json_close_map(&out);
    printf("%.*s\n", STR_ARG(buf_str(&text)));
    buf_finish(&text);
}

static int move_failed(const struct cli_args *args,
                       const struct owner_moved *moved)
{
    if (moved->status == QUEUE_REFUSED)
        return cli_fail(args, moved->stayed ? EXIT_TIMED_OUT : EXIT_FAILED,
                        "%s", moved->why.text);
    if (moved->status == QUEUE_NOT_FOUND)
        return no_owner(args);
    return cli_fail(args, EXIT_UNREACHABLE,
                    "%s; run it again, it goes on where it was",
                    moved->why.text);
}

static void on_moved(void *ctx, const struct owner_moved *moved)
{
    struct tool *tool = ctx;

    if (moved->status != QUEUE_OK) {
        tool_done(tool, move_failed(tool->args, moved));
        return;
    }
    if (cli_wants_json(tool->args))
        print_moved_json(tool->args, moved);
    else
        print_moved(tool->args, moved);
    tool_done(tool, EXIT_OK);
}

/* False: said. */
static bool read_move(const struct cli_args *args, struct owner_move *move)
{
    int64_t to = -1;
    int64_t wait_s = WAIT_S;

    if (cli_operand(args, 0) == NULL) {
        cli_fail(args, EXIT_USAGE, "give the name of an owner");
        return false;
    }
    if (!cli_number(args, "to", 0, ID_PARTITION_MAX, &to) ||
        !cli_number(args, "wait", 0, WAIT_MAX_S, &wait_s))
        return false;
    *move = (struct owner_move){
        .owner = str_of(cli_operand(args, 0)),
        .to = (int)to,
        .only_looks = cli_flag(args, "check"),
        .drain_ms = wait_s * 1000,
        .progress = on_step,
    };
    return true;
}

static int ask_move(struct tool *tool, void *ctx)
{
    queue_owner_move(tool->queue, ctx, on_moved, tool);
    return tool_wait(tool);
}

static int run_move(const struct cli_args *args)
{
    struct owner_move move;
    struct error err;

    if (!read_move(args, &move))
        return EXIT_USAGE;
    if (!fault_prepare(&err))
        return cli_fail_error(args, &err);
    fault_arm();
    return tool_run(args, ask_move, &move);
}

/* --- the verbs --- */

static const struct cli_option LIST[] = {CLI_OPTION_CONFIG, CLI_OPTION_JSON};
static const struct cli_option CHANGE[] = {CLI_OPTION_CONFIG};

static const struct cli_option MOVE[] = {
    {"to", "N", "partition (default: where the fewest owners live)", NULL,
     NULL},
    {"wait", "SECONDS", "for mail under way; then nothing moves (default: 120)",
     NULL, NULL},
    {"check", NULL, "say what would be done, do nothing", NULL, NULL},
    CLI_OPTION_CONFIG,
    CLI_OPTION_JSON,
};

static const struct verb VERBS[] = {
    {
        .name = "partition list",
        .purpose = "Says what partitions there are, who lives in them, where.",
        .examples = {"posthaste partition list",
                     "posthaste partition list --json"},
        .options = LIST,
        .option_count = COUNT_OF(LIST),
        .run = run_list,
    },
    {
        .name = "partition add",
        .purpose = "Adds a partition, which new owners go to first.",
        .examples = {"posthaste partition add",
                     "posthaste partition add --config posthaste.toml"},
        .options = CHANGE,
        .option_count = COUNT_OF(CHANGE),
        .run = run_add,
    },
    {
        .name = "partition limit",
        .operands = "OWNER N|default",
        .purpose = "Sets how many recipients an owner may have open at once.",
        .examples = {"posthaste partition limit acme 50000",
                     "posthaste partition limit acme default"},
        .options = CHANGE,
        .option_count = COUNT_OF(CHANGE),
        .run = run_limit,
    },
    {
        .name = "partition freeze",
        .operands = "OWNER",
        .purpose = "Refuses what is new from an owner; what is stored goes on.",
        .examples = {"posthaste partition freeze acme",
                     "posthaste partition freeze acme --config p.toml"},
        .options = CHANGE,
        .option_count = COUNT_OF(CHANGE),
        .run = run_freeze,
    },
    {
        .name = "partition thaw",
        .operands = "OWNER",
        .purpose = "Takes mail from a frozen owner again.",
        .examples = {"posthaste partition thaw acme",
                     "posthaste partition thaw acme --config p.toml"},
        .options = CHANGE,
        .option_count = COUNT_OF(CHANGE),
        .run = run_thaw,
    },
    {
        .name = "partition move",
        .operands = "OWNER",
        .purpose = "Moves an owner and all that is his to another partition.",
        .examples = {"posthaste partition move acme",
                     "posthaste partition move acme --to 2"},
        .options = MOVE,
        .option_count = COUNT_OF(MOVE),
        .run = run_move,
    },
};

const struct verb_group VERBS_PARTITION = {VERBS, COUNT_OF(VERBS)};
