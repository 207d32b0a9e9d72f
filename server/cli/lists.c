/* Verbs that read page by page: emails list, events. */
#include "server/cli/remote.h"
#include "server/cli/show.h"
#include "server/cli/verbs.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { OUTPUT_MAX = 64 << 20, PATH_MAX_SIZE = 8192, FOLLOW_PAUSE_S = 1 };

static int ask_page(const struct cli_args *args, const struct buf *path,
                    struct remote_answer *answer)
{
    const struct remote_request request = {
        .method = "GET", .path = path->data, .needs_key = true};

    if (cli_operand(args, 0) != NULL)
        return cli_fail(args, EXIT_USAGE, "takes no operand");
    if (path->full)
        return cli_fail(args, EXIT_USAGE, "the options are too long");
    return remote_ask(args, &request, answer);
}

static void print_table(const struct json *root,
                        const struct show_column *columns, size_t count)
{
    struct buf out;

    buf_init(&out, OUTPUT_MAX);
    show_table(json_get(root, "data"), columns, count, &out);
    show_print(&out);
    buf_finish(&out);
}

static void say_next(const char *option, const struct json *root)
{
    struct str next = json_get_str(root, "next");
    struct buf line;

    if (next.len == 0)
        return;
    buf_init(&line, 1024);
    show_text(next, &line);
    fprintf(stderr, "go on with --%s %.*s", option, STR_ARG(buf_str(&line)));
    buf_finish(&line);
}

/* --- emails list --- */

static int run_list(const struct cli_args *args)
{
    static const char *const names[] = {"limit",  "after", "before",
                                        "status", "to",    "tag",
                                        "class",  "since", "until"};
    static const struct show_column columns[] = {
        {"id", "id"},           {"created", "created_at"}, {"status", "status"},
        {"class", "class"},     {"from", "from"},          {"to", "to"},
        {"subject", "subject"},
    };
    struct remote_answer answer = {0};
    struct buf path;
    int code;

    buf_init(&path, PATH_MAX_SIZE);
    buf_add_cstr(&path, "/v1/emails");
    remote_add_query(args, names, COUNT_OF(names), &path);
    code = ask_page(args, &path, &answer);
    buf_finish(&path);
    if (code != EXIT_OK)
        return code;
    if (cli_wants_json(args)) {
        remote_print_json(&answer);
    } else {
        print_table(answer.root, columns, COUNT_OF(columns));
        say_next(cli_option(args, "before") != NULL ? "before" : "after",
                 answer.root);
    }
    remote_answer_finish(&answer);
    return EXIT_OK;
}

/* --- events --- */

static void print_events(const struct json *root)
{
    static const struct show_column columns[] = {
        {"time", "created_at"},
        {"event", "type"},
        {"id", "data/email_id|data/id"},
        {"sequence", "data/sequence"},
        {"of", "data/recipient|data/email|data/name|data/endpoint"},
        {"upstream", "data/delivery/upstream"},
        {"code", "data/delivery/code"},
    };

    print_table(root, columns, COUNT_OF(columns));
}

static void print_lines(const struct json *root)
{
    const struct json *events = json_get(root, "data");
    struct buf line;

    for (size_t i = 0; i < json_count(events); i++) {
        buf_init(&line, OUTPUT_MAX);
        json_dump(json_at(events, i), &line);
        printf("%.*s\n", STR_ARG(buf_str(&line)));
        buf_finish(&line);
    }
}

static int print_page(const struct cli_args *args,
                      const struct remote_answer *answer, bool follows)
{
    if (!cli_wants_json(args))
        print_events(answer->root);
    else if (follows)
        print_lines(answer->root);
    else
        remote_print_json(answer);
    return fflush(stdout) == 0 ? EXIT_OK
                               : cli_fail(args, EXIT_FAILED,
                                          "standard output does not take it");
}

/* Makes the path of the page behind the answer; false: it has no cursor. */
static bool next_path(const struct remote_answer *answer, struct buf *path)
{
    struct str next = json_get_str(answer->root, "next");

    buf_clear(path);
    buf_add_cstr(path, "/v1/events?limit=100&after=");
    remote_encode(next, path);
    return next.len > 0;
}

static void pause_if_all_was_told(const struct remote_answer *answer)
{
    const struct timespec pause = {.tv_sec = FOLLOW_PAUSE_S};

    if (json_get_bool(answer->root, "has_more"))
        return;
    nanosleep(&pause, NULL);
}

/* Until something fails; then the last page's cursor is told. */
static int follow(const struct cli_args *args, struct buf *path)
{
    struct remote_answer answer = {0};
    bool has_page = false;
    int code;

    while ((code = ask_page(args, path, &answer)) == EXIT_OK) {
        has_page = true;
        code = print_page(args, &answer, true);
        if (code == EXIT_OK && !next_path(&answer, path))
            code = cli_fail(args, EXIT_FAILED, "the answer has no cursor");
        if (code == EXIT_OK)
            pause_if_all_was_told(&answer);
        remote_answer_finish(&answer);
        if (code != EXIT_OK)
            return code;
    }
    if (has_page)
        fprintf(stderr, "go on with --after %s\n",
                strstr(path->data, "after=") + strlen("after="));
    return code;
}

static int run_events(const struct cli_args *args)
{
    static const char *const names[] = {"limit", "after"};
    struct remote_answer answer = {0};
    struct buf path;
    int code;

    buf_init(&path, PATH_MAX_SIZE);
    buf_add_cstr(&path, "/v1/events");
    remote_add_query(args, names, COUNT_OF(names), &path);
    if (cli_flag(args, "follow")) {
        code = follow(args, &path);
        buf_finish(&path);
        return code;
    }
    code = ask_page(args, &path, &answer);
    buf_finish(&path);
    if (code != EXIT_OK)
        return code;
    code = print_page(args, &answer, false);
    if (!cli_wants_json(args))
        say_next("after", answer.root);
    remote_answer_finish(&answer);
    return code;
}

/* --- the table --- */

#define OPTION_LIMIT                                                           \
    {                                                                          \
        "limit", "N", "how many, 1 to 100; else 20", NULL, NULL                \
    }

static const struct cli_option LIST_OPTIONS[] = {
    {"status", "STATUS", "sent, deferred, bounced, ...", NULL, NULL},
    {"to", "ADDRESS", "among to, cc and bcc", NULL, NULL},
    {"tag", "NAME[:VALUE]", "a tag, with that value", NULL, NULL},
    {"class", "CLASS", "verification, reset, alert, transactional or bulk",
     NULL, NULL},
    {"since", "TIME", "accepted then or later; RFC 3339", NULL, NULL},
    {"until", "TIME", "accepted then or earlier", NULL, NULL},
    OPTION_LIMIT,
    {"after", "ID", "older than that mail", NULL, NULL},
    {"before", "ID", "newer than that mail", NULL, NULL},
    REMOTE_OPTION_URL,
    REMOTE_OPTION_KEY_FILE,
    CLI_OPTION_JSON,
};

static const struct cli_option EVENTS_OPTIONS[] = {
    {"after", "CURSOR", "behind that place; else from the oldest kept", NULL,
     NULL},
    OPTION_LIMIT,
    {"follow", NULL, "go on as events come; JSON is one event a line", NULL,
     NULL},
    REMOTE_OPTION_URL,
    REMOTE_OPTION_KEY_FILE,
    CLI_OPTION_JSON,
};

static const struct verb VERBS[] = {
    {
        .name = "emails list",
        .purpose = "Lists mails, the newest first.",
        .examples = {"posthaste emails list --status bounced --limit 100",
                     "posthaste emails list --to ada@example.net --since "
                     "2026-11-24T00:00:00Z"},
        .options = LIST_OPTIONS,
        .option_count = COUNT_OF(LIST_OPTIONS),
        .run = run_list,
    },
    {
        .name = "events",
        .purpose = "Shows what happened to all mails, the oldest first.",
        .examples = {"posthaste events --follow",
                     "posthaste events --after CURSOR --json"},
        .options = EVENTS_OPTIONS,
        .option_count = COUNT_OF(EVENTS_OPTIONS),
        .run = run_events,
    },
};

const struct verb_group VERBS_LISTS = {VERBS, COUNT_OF(VERBS)};
