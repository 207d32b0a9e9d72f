#include "server/cli/tool.h"

#include "server/base/clock.h"
#include "server/base/log.h"

#include <stdio.h>

enum { READY_MAX_MS = 5000, PROBLEMS_MAX = 64 << 10 };

struct config *tool_read_config(const struct cli_args *args)
{
    struct config *config;
    struct buf problems;

    buf_init(&problems, PROBLEMS_MAX);
    config = config_load(config_find(cli_option(args, "config")), &problems);
    if (config == NULL)
        fprintf(stderr, "%.*s", STR_ARG(buf_str(&problems)));
    buf_finish(&problems);
    return config;
}

static bool wait_until_ready(struct tool *tool, struct error *err)
{
    int64_t until_ms;

    clock_tick();
    until_ms = clock_now_ms() + READY_MAX_MS;
    while (!queue_is_ready(tool->queue, err)) {
        int64_t left_ms = until_ms - clock_now_ms();

        if (left_ms <= 0) {
            err->kind = ERR_REMOTE;
            return false;
        }
        loop_turn(tool->loop, left_ms);
    }
    return true;
}

bool tool_begin(struct tool *tool, struct config *config, struct error *err)
{
    *tool = (struct tool){.config = config, .loop = loop_create()};
    log_setup(LOG_ERROR, LOG_AUTO, "tool");
    if (config->secrets.keyring_file[0] != '\0') {
        tool->keyring = keyring_load(config->secrets.keyring_file, err);
        if (tool->keyring == NULL)
            return false;
    }
    tool->queue = queue_open(tool->loop, config, tool->keyring);
    return wait_until_ready(tool, err);
}

int tool_run(const struct cli_args *args, tool_work_fn work, void *ctx)
{
    struct config *config = tool_read_config(args);
    struct error err = {0};
    struct tool tool;
    int code;

    if (config == NULL)
        return EXIT_CONFIG;
    if (tool_begin(&tool, config, &err)) {
        tool.args = args;
        code = work(&tool, ctx);
    } else {
        code = cli_fail_error(args, &err);
    }
    tool_close(&tool);
    return code;
}

void tool_close(struct tool *tool)
{
    queue_close(&tool->queue);
    loop_destroy(&tool->loop);
    keyring_destroy(&tool->keyring);
    config_destroy(&tool->config);
}

void tool_done(struct tool *tool, int code)
{
    tool->is_done = true;
    tool->code = code;
}

bool tool_is_answered(struct tool *tool, enum queue_status status,
                      const struct error *why)
{
    if (status != QUEUE_OK)
        tool_done(tool, tool_fail(tool->args, status, why));
    return status == QUEUE_OK;
}

/* Every operation of the queue answers or gives up by itself. */
int tool_wait(struct tool *tool)
{
    while (!tool->is_done)
        loop_turn(tool->loop, -1);
    tool->is_done = false;
    return tool->code;
}

struct finding {
    struct tool *tool;
    struct queue_owner *owner;
    bool *found;
};

static void on_home(void *ctx, const struct queue_home *home)
{
    struct finding *finding = ctx;

    *finding->found = home->status == QUEUE_OK;
    finding->owner->home = *finding->found ? home->owner.home : 0;
    if (home->status == QUEUE_NOT_FOUND ||
        tool_is_answered(finding->tool, home->status, &home->why))
        tool_done(finding->tool, EXIT_OK);
}

int tool_find_owner(struct tool *tool, const char *name,
                    struct queue_owner *owner, bool *found)
{
    struct finding finding = {.tool = tool, .owner = owner, .found = found};

    owner->name = str_of(name);
    queue_home_find(tool->queue, owner->name, on_home, &finding);
    return tool_wait(tool);
}

int tool_fail(const struct cli_args *args, enum queue_status status,
              const struct error *why)
{
    if (status == QUEUE_NOT_FOUND)
        return cli_fail(args, EXIT_NOT_FOUND, "there is no such thing");
    return cli_fail(args, EXIT_UNREACHABLE, "%s", why->text);
}
