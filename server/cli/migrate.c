/* Raises the level at which records are written (queue/levels.h). */
#include "server/base/json.h"
#include "server/cli/tool.h"
#include "server/cli/verbs.h"

#include <inttypes.h>
#include <stdio.h>

enum { OUTPUT_MAX = 1 << 20 };

struct migration {
    struct tool *tool;
    bool is_due;       /* records could be written at our own level */
    unsigned blockers; /* processes that could not read them */
};

static bool blocks(const struct level_process *process)
{
    return process->newest < level_newest();
}

static void print_processes(const struct queue_levels *levels)
{
    if (levels->count > 0)
        printf("%-8s %-10s %-20s %8s %12s\n", "role", "version", "host", "pid",
               "reads up to");
    for (size_t i = 0; i < levels->count; i++) {
        const struct level_process *process = &levels->processes[i];

        printf("%-8.*s %-10.*s %-20.*s %8" PRId64 " %12u%s\n",
               STR_ARG(process->role), STR_ARG(process->version),
               STR_ARG(process->host), process->pid, process->newest,
               blocks(process) ? "  too old" : "");
    }
}

static void print_text(const struct migration *migration,
                       const struct queue_levels *levels)
{
    printf("records are written at level %u, this release writes %u\n",
           levels->write, level_newest());
    print_processes(levels);
    if (!migration->is_due)
        puts("nothing to do");
    else if (migration->blockers > 0)
        printf("%u of %zu processes are too old: stop or update them first\n",
               migration->blockers, levels->count);
}

static void add_processes(struct json_out *out,
                          const struct queue_levels *levels)
{
    json_name(out, "processes");
    json_open_list(out);
    for (size_t i = 0; i < levels->count; i++) {
        const struct level_process *process = &levels->processes[i];

        json_open_map(out);
        json_add_str(out, "role", process->role);
        json_add_str(out, "version", process->version);
        json_add_str(out, "host", process->host);
        json_add_int(out, "pid", process->pid);
        json_add_int(out, "newest_level", process->newest);
        json_close_map(out);
    }
    json_close_list(out);
}

static void print_json(const struct migration *migration,
                       const struct queue_levels *levels)
{
    struct json_out out;
    struct buf text;

    buf_init(&text, OUTPUT_MAX);
    json_out_init(&out, &text);
    json_open_map(&out);
    json_add_int(&out, "write_level", levels->write);
    json_add_int(&out, "newest_level", level_newest());
    json_add_bool(&out, "due", migration->is_due);
    json_add_int(&out, "too_old", migration->blockers);
    add_processes(&out, levels);
    json_close_map(&out);
    puts(text.data);
    buf_finish(&text);
}

static void on_raised(void *ctx, const struct queue_answer *answer)
{
    struct migration *migration = ctx;

    if (!tool_is_answered(migration->tool, answer->status, &answer->why))
        return;
    if (!cli_wants_json(migration->tool->args))
        printf("records are written at level %u from now on\n", level_newest());
    tool_done(migration->tool, EXIT_OK);
}

static void on_levels(void *ctx, const struct queue_levels *levels)
{
    struct migration *migration = ctx;
    const struct cli_args *args = migration->tool->args;

    if (!tool_is_answered(migration->tool, levels->status, &levels->why))
        return;
    migration->is_due = levels->write < level_newest();
    for (size_t i = 0; i < levels->count; i++)
        migration->blockers += blocks(&levels->processes[i]);
    if (cli_wants_json(args))
        print_json(migration, levels);
    else
        print_text(migration, levels);
    if (!migration->is_due)
        tool_done(migration->tool, EXIT_OK);
    else if (migration->blockers > 0 || cli_flag(args, "check"))
        tool_done(migration->tool, EXIT_FAILED);
    else
        queue_levels_raise(migration->tool->queue, level_newest(), on_raised,
                           migration);
}

static int migrate(struct tool *tool, void *ctx)
{
    struct migration migration = {.tool = tool};

    (void)ctx;
    queue_levels_get(tool->queue, on_levels, &migration);
    return tool_wait(tool);
}

static int run_migrate(const struct cli_args *args)
{
    return tool_run(args, migrate, NULL);
}

static const struct cli_option OPTIONS[] = {
    CLI_OPTION_CONFIG,
    {"check", NULL, "change nothing; exit 1 when there is something to do",
     NULL, NULL},
    CLI_OPTION_JSON,
};

static const struct verb VERBS[] = {
    {
        .name = "migrate",
        .purpose = "Lets a new release write what an old one cannot read.",
        .examples = {"posthaste migrate --check", "posthaste migrate"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_migrate,
    },
};

const struct verb_group VERBS_MIGRATE = {VERBS, COUNT_OF(VERBS)};
