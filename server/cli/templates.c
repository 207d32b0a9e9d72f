/* Verbs of templates. */
#include "server/base/file.h"
#include "server/cli/remote.h"
#include "server/cli/show.h"
#include "server/cli/template_folder.h"
#include "server/cli/verbs.h"

#include <stdio.h>
#include <string.h>

enum { BODY_MAX = TEMPLATE_FOLDER_MAX, PATH_SIZE = 4096, PAGES_MAX = 1000 };

/* "/v1/templates/NAME" and what follows. */
static void add_path(struct buf *path, struct str name, const char *rest)
{
    buf_add_cstr(path, "/v1/templates/");
    remote_encode(name, path);
    buf_add_cstr(path, rest);
}

/* Asks; an answer to be finished when it is EXIT_OK. */
static int ask(const struct cli_args *args, const char *method, struct str name,
               const char *rest, struct str body, struct remote_answer *answer)
{
    struct remote_request request = {
        .method = method, .body = body, .needs_key = true};
    struct buf path;
    int code;

    buf_init(&path, PATH_SIZE);
    add_path(&path, name, rest);
    request.path = path.data;
    code = path.full ? cli_fail(args, EXIT_USAGE, "the name is too long")
                     : remote_ask(args, &request, answer);
    buf_finish(&path);
    return code;
}

static int need_name(const struct cli_args *args)
{
    return cli_operand(args, 0) != NULL ? EXIT_OK
                                        : cli_fail(args, EXIT_USAGE,
                                                   "takes the id or alias of a "
                                                   "template");
}

/* --- list, show, publish --- */

static void show_templates(const struct json *root, struct buf *out)
{
    static const struct show_column columns[] = {
        {"id", "id"},
        {"alias", "alias"},
        {"name", "name"},
        {"status", "status"},
        {"updated", "updated_at"},
        {"published", "published_at"},
    };

    static const struct show_column built_in[] = {
        {"built in", "alias"},
        {"languages", "locales"},
    };

    if (json_count(json_get(root, "data")) > 0) {
        show_table(json_get(root, "data"), columns, COUNT_OF(columns), out);
        buf_add_char(out, '\n');
    }
    if (!json_get_bool(root, "has_more"))
        show_table(json_get(root, "built_in"), built_in, COUNT_OF(built_in),
                   out);
}

static int run_list(const struct cli_args *args)
{
    static const char *const names[] = {"limit", "after"};

    return remote_run_list(args, "/v1/templates", names, COUNT_OF(names),
                           show_templates);
}

static int run_show(const struct cli_args *args)
{
    struct remote_answer answer = {0};
    int code = need_name(args);

    if (code != EXIT_OK)
        return code;
    code = ask(args, "GET", str_of(cli_operand(args, 0)), "", S(""), &answer);
    if (code != EXIT_OK)
        return code;
    remote_print(args, &answer, show_value);
    remote_answer_finish(&answer);
    return EXIT_OK;
}

static int publish(const struct cli_args *args, struct str name)
{
    struct remote_answer answer = {0};
    int code = ask(args, "POST", name, "/publish", S(""), &answer);

    if (code == EXIT_OK)
        remote_answer_finish(&answer);
    return code;
}

static int run_publish(const struct cli_args *args)
{
    int code = need_name(args);

    for (size_t i = 0; code == EXIT_OK && cli_operand(args, i) != NULL; i++)
        code = publish(args, str_of(cli_operand(args, i)));
    return code;
}

/* --- render --- */

static void show_mail(const struct json *root, struct buf *out)
{
    static const char *const parts[] = {"text", "html"};

    const struct json *lint = json_get(root, "lint");

    if (json_get_str(root, "from").len > 0) {
        buf_add_cstr(out, "From: ");
        show_text(json_get_str(root, "from"), out);
    }
    buf_add_cstr(out, "Subject: ");
    show_text(json_get_str(root, "subject"), out);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        buf_addf(out, "\n--- %s\n", parts[i]);
        show_text(json_get_str(root, parts[i]), out);
    }
    if (json_count(lint) > 0)
        buf_add_cstr(out, "\n--- lint\n");
    show_lint(lint, out);
}

static int write_preview(const struct cli_args *args, struct buf *body)
{
    static const char *const names[] = {"locale", "version", "from", "class"};
    const char *path = cli_option(args, "variables");
    struct json_out out;
    struct error err;
    struct buf variables;
    struct json *root = NULL;

    buf_init(&variables, BODY_MAX);
    if (path != NULL && file_read(path, &variables, &err)) {
        root = json_parse(buf_str(&variables), &err);
        if (root == NULL)
            error_prefix(&err, "%s", path);
    }
    buf_finish(&variables);
    if (path != NULL && root == NULL)
        return cli_fail_error(args, &err);
    json_out_init(&out, body);
    json_open_map(&out);
    if (root != NULL) {
        json_name(&out, "variables");
        json_put_value(&out, root);
    }
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (cli_option(args, names[i]) != NULL)
            json_add_cstr(&out, names[i], cli_option(args, names[i]));
    json_close_map(&out);
    json_destroy(&root);
    return EXIT_OK;
}

static int run_render(const struct cli_args *args)
{
    struct remote_answer answer = {0};
    struct buf body;
    int code = need_name(args);

    if (code != EXIT_OK)
        return code;
    buf_init(&body, BODY_MAX);
    code = write_preview(args, &body);
    if (code == EXIT_OK)
        code = ask(args, "POST", str_of(cli_operand(args, 0)), "/preview",
                   buf_str(&body), &answer);
    buf_finish(&body);
    if (code != EXIT_OK)
        return code;
    remote_print(args, &answer, show_mail);
    remote_answer_finish(&answer);
    return EXIT_OK;
}

/* --- all there are --- */

typedef int (*each_fn)(const struct cli_args *args, const struct json *head,
                       void *ctx);

/* One page; after: the last id, of ID_SIZE bytes. */
static int each_of_page(const struct cli_args *args, char *after,
                        bool *has_more, each_fn each, void *ctx)
{
    struct remote_request request = {.method = "GET", .needs_key = true};
    struct remote_answer answer = {0};
    const struct json *data;
    char path[128];
    int code;

    snprintf(path, sizeof path, "/v1/templates?limit=100%s%s",
             after[0] == '\0' ? "" : "&after=", after);
    request.path = path;
    code = remote_ask(args, &request, &answer);
    if (code != EXIT_OK)
        return code;
    data = json_get(answer.root, "data");
    for (size_t i = 0; code == EXIT_OK && i < json_count(data); i++) {
        snprintf(after, 64, "%.*s",
                 STR_ARG(json_get_str(json_at(data, i), "id")));
        code = each(args, json_at(data, i), ctx);
    }
    *has_more = json_get_bool(answer.root, "has_more");
    remote_answer_finish(&answer);
    return code;
}

static int each_template(const struct cli_args *args, each_fn each, void *ctx)
{
    char after[64] = "";
    bool has_more = true;
    int code = EXIT_OK;

    for (unsigned i = 0; code == EXIT_OK && has_more && i < PAGES_MAX; i++)
        code = each_of_page(args, after, &has_more, each, ctx);
    return code;
}

/* --- export --- */

static int export_named(const struct cli_args *args, struct str name)
{
    struct remote_answer answer = {0};
    struct error err;
    int code = ask(args, "GET", name, "", S(""), &answer);

    if (code != EXIT_OK)
        return code;
    if (!template_folder_write(cli_operand(args, 0), answer.root, &err))
        code = cli_fail_error(args, &err);
    remote_answer_finish(&answer);
    return code;
}

static int export_one(const struct cli_args *args, const struct json *head,
                      void *ctx)
{
    unsigned *count = ctx;

    if (json_get_str(head, "alias").len == 0) {
        fprintf(stderr,
                "posthaste templates export: left out, since it has "
                "no alias: %.*s\n",
                STR_ARG(json_get_str(head, "id")));
        return EXIT_OK;
    }
    ++*count;
    return export_named(args, json_get_str(head, "id"));
}

static int run_export(const struct cli_args *args)
{
    unsigned count = 0;
    int code = EXIT_OK;

    if (cli_operand(args, 0) == NULL)
        return cli_fail(args, EXIT_USAGE, "takes a folder");
    if (cli_operand(args, 1) == NULL)
        code = each_template(args, export_one, &count);
    for (; code == EXIT_OK && cli_operand(args, count + 1) != NULL; count++)
        code = export_named(args, str_of(cli_operand(args, count + 1)));
    if (code == EXIT_OK)
        fprintf(stderr, "%u written to %s\n", count, cli_operand(args, 0));
    return code;
}

/* --- import --- */

struct search {
    const char *alias;
    struct buf *version; /* empty: there is none */
};

static int look_at(const struct cli_args *args, const struct json *head,
                   void *ctx)
{
    struct search *search = ctx;

    (void)args;
    if (str_eq(json_get_str(head, "alias"), str_of(search->alias))) {
        buf_clear(search->version);
        buf_add(search->version, json_get_str(head, "current_version_id"));
    }
    return EXIT_OK;
}

/* What is there of that alias now. */
static int find_version(const struct cli_args *args, const char *alias,
                        struct buf *version)
{
    struct search search = {alias, version};

    buf_clear(version);
    return each_template(args, look_at, &search);
}

static int store(const struct cli_args *args, const char *alias, bool is_new,
                 struct str body)
{
    struct remote_request request = {.method = "POST",
                                     .path = "/v1/templates",
                                     .body = body,
                                     .needs_key = true};
    struct remote_answer answer = {0};
    int code;

    if (is_new)
        code = remote_ask(args, &request, &answer);
    else
        code = ask(args, "PATCH", str_of(alias), "", body, &answer);
    if (code == EXIT_OK)
        remote_answer_finish(&answer);
    else
        fprintf(stderr, "posthaste templates import: this was %s\n", alias);
    return code;
}

static int finish_import(const struct cli_args *args, const char *alias,
                         struct str before)
{
    struct remote_answer answer = {0};
    const char *what = "changed";
    int code = ask(args, "GET", str_of(alias), "", S(""), &answer);

    if (code != EXIT_OK)
        return code;
    if (before.len == 0)
        what = "created";
    else if (str_eq(before, json_get_str(answer.root, "current_version_id")))
        what = "as it was";
    if (cli_flag(args, "publish") &&
        json_get_bool(answer.root, "has_unpublished_versions"))
        code = publish(args, str_of(alias));
    if (code == EXIT_OK)
        fprintf(stderr, "%s: %s\n", alias, what);
    remote_answer_finish(&answer);
    return code;
}

static int import_one(const struct cli_args *args, const char *folder,
                      const char *alias)
{
    struct buf body, before;
    struct error err;
    int code;

    buf_init(&body, BODY_MAX);
    buf_init(&before, 64);
    if (template_folder_read(folder, alias, &body, &err))
        code = find_version(args, alias, &before);
    else
        code = cli_fail_error(args, &err);
    if (code == EXIT_OK)
        code = store(args, alias, before.len == 0, buf_str(&body));
    if (code == EXIT_OK)
        code = finish_import(args, alias, buf_str(&before));
    buf_finish(&body);
    buf_finish(&before);
    return code;
}

static int run_import(const struct cli_args *args)
{
    const char *folder = cli_operand(args, 0);
    struct arena *arena;
    const char **names;
    struct error err;
    size_t count;
    int code = EXIT_OK;

    if (folder == NULL)
        return cli_fail(args, EXIT_USAGE, "takes a folder");
    arena = arena_create();
    if (!file_folders(folder, arena, &names, &count, &err))
        code = cli_fail_error(args, &err);
    else if (count == 0)
        code = cli_fail(args, EXIT_NOT_FOUND, "%s has no templates", folder);
    for (size_t i = 0; code == EXIT_OK && i < count; i++)
        if (cli_wants(args, 1, str_of(names[i])))
            code = import_one(args, folder, names[i]);
    arena_destroy(&arena);
    return code;
}

/* --- the verbs --- */

static const struct cli_option LIST_OPTIONS[] = {
    {"limit", "N", "how many, up to 100", NULL, "20"},
    {"after", "ID", "older than that one", NULL, NULL},
    REMOTE_OPTION_URL,
    REMOTE_OPTION_KEY_FILE,
    CLI_OPTION_JSON,
};

static const struct cli_option RENDER_OPTIONS[] = {
    {"variables", "FILE", "JSON object; examples for what it lacks", NULL,
     NULL},
    {"locale", "TAG", "the language that is wanted", NULL, NULL},
    {"version", "VERSION", "draft or published", NULL, "draft"},
    {"from", "MAILBOX", "instead of the template's own", NULL, NULL},
    {"class", "CLASS", "verification, reset, alert, bulk", NULL,
     "transactional"},
    REMOTE_OPTION_URL,
    REMOTE_OPTION_KEY_FILE,
    CLI_OPTION_JSON,
};

static const struct cli_option IMPORT_OPTIONS[] = {
    {"publish", NULL, "publishes what is not", NULL, NULL},
    REMOTE_OPTION_URL,
    REMOTE_OPTION_KEY_FILE,
};

static const struct cli_option SHOW_OPTIONS[] = {
    REMOTE_OPTION_URL, REMOTE_OPTION_KEY_FILE, CLI_OPTION_JSON};

static const struct cli_option OPTIONS[] = {REMOTE_OPTION_URL,
                                            REMOTE_OPTION_KEY_FILE};

static const struct verb VERBS[] = {
    {
        .name = "templates list",
        .purpose = "Lists the templates, newest first, and the built-in ones.",
        .examples = {"posthaste templates list",
                     "posthaste templates list --limit 100 --json"},
        .options = LIST_OPTIONS,
        .option_count = COUNT_OF(LIST_OPTIONS),
        .run = run_list,
    },
    {
        .name = "templates show",
        .operands = "TEMPLATE",
        .purpose = "Shows the newest version of a template, by id or alias, "
                   "or a built-in one.",
        .examples = {"posthaste templates show welcome",
                     "posthaste templates show welcome --json"},
        .options = SHOW_OPTIONS,
        .option_count = COUNT_OF(SHOW_OPTIONS),
        .run = run_show,
    },
    {
        .name = "templates render",
        .operands = "TEMPLATE",
        .purpose = "Shows the mail that a template makes, and what may be "
                   "wrong with it, without sending it.",
        .examples = {"posthaste templates render welcome --locale zh",
                     "posthaste templates render welcome --variables "
                     "ada.json"},
        .options = RENDER_OPTIONS,
        .option_count = COUNT_OF(RENDER_OPTIONS),
        .run = run_render,
    },
    {
        .name = "templates publish",
        .operands = "TEMPLATE...",
        .purpose = "Lets the newest version be what is sent.",
        .examples = {"posthaste templates publish welcome",
                     "posthaste templates publish welcome reset"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_publish,
    },
    {
        .name = "templates import",
        .operands = "FOLDER [ALIAS...]",
        .purpose = "Makes or changes templates as the files of a folder say.",
        .examples = {"posthaste templates import templates --publish",
                     "posthaste templates import templates welcome"},
        .options = IMPORT_OPTIONS,
        .option_count = COUNT_OF(IMPORT_OPTIONS),
        .run = run_import,
    },
    {
        .name = "templates export",
        .operands = "FOLDER [ALIAS...]",
        .purpose = "Writes templates as files, for import and for git; "
                   "built-in ones that are named, too.",
        .examples = {"posthaste templates export templates",
                     "posthaste templates export templates welcome"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_export,
    },
};

const struct verb_group VERBS_TEMPLATES = {VERBS, COUNT_OF(VERBS)};
