#include "server/cli/lint_folder.h"

#include "api/api.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/cli/template_folder.h"

#include <string.h>

struct folder {
    struct str path; /* without a slash behind it */
    struct arena *arena;
    struct api_template *templates;
    size_t count;
    struct json_out out;
};

static int read_one(const struct cli_args *args, struct folder *folder,
                    const char *alias)
{
    struct api_template *one = &folder->templates[folder->count];
    struct error err = {0};
    struct buf body;
    int code = EXIT_OK;

    one->alias = str_of(alias);
    one->is_wanted = cli_wants(args, 1, one->alias);
    buf_init(&body, TEMPLATE_FOLDER_MAX);
    if (template_folder_read(cli_operand(args, 0), alias, &body, &err)) {
        one->body = arena_copy(folder->arena, buf_str(&body));
        folder->count++;
    } else if (one->is_wanted) {
        code = cli_fail_error(args, &err);
    }
    buf_finish(&body);
    return code;
}

static bool is_among(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* All of them, whatever becomes of one; the code of the first that failed. */
static int read_all(const struct cli_args *args, struct folder *folder)
{
    const char *path = cli_operand(args, 0);
    const char **names;
    struct error err = {0};
    size_t count;
    int code = EXIT_OK;

    if (!file_folders(path, folder->arena, &names, &count, &err))
        return cli_fail_error(args, &err);
    if (count == 0)
        return cli_fail(args, EXIT_NOT_FOUND, "%s has no templates", path);
    for (size_t i = 1; cli_operand(args, i) != NULL; i++)
        if (!is_among(names, count, cli_operand(args, i)))
            return cli_fail(args, EXIT_NOT_FOUND, "%s has no template %s", path,
                            cli_operand(args, i));
    folder->templates = ARENA_ARRAY(folder->arena, struct api_template, count);
    for (size_t i = 0; i < count; i++) {
        int one = read_one(args, folder, names[i]);

        code = code == EXIT_OK ? one : code;
    }
    return code;
}

static void put_file(struct folder *folder, const struct api_finding *finding)
{
    struct buf path;

    buf_init(&path, 8192);
    buf_addf(&path, "%.*s/%.*s/", STR_ARG(folder->path),
             STR_ARG(finding->source));
    template_folder_file(finding->pointer, &path);
    json_add_str(&folder->out, "file", buf_str(&path));
    buf_finish(&path);
}

static void put_finding(void *ctx, const struct api_finding *finding)
{
    struct folder *folder = ctx;
    struct json_out *out = &folder->out;

    json_open_map(out);
    json_add_str(out, "alias", finding->alias);
    json_add_str_or_null(out, "locale", finding->locale);
    put_file(folder, finding);
    if (finding->line > 0) {
        json_add_int(out, "line", finding->line);
        json_add_int(out, "column", finding->column);
    } else {
        json_add_null(out, "line");
        json_add_null(out, "column");
    }
    json_add_str(out, "code", finding->code);
    json_add_cstr(out, "level", finding->level);
    json_add_str(out, "where", finding->where);
    json_add_str(out, "text", finding->text);
    json_add_str_or_null(out, "example", finding->example);
    json_close_map(out);
}

int lint_folder(const struct cli_args *args, enum mail_class mail_class,
                struct buf *answer)
{
    struct folder folder = {.path = str_of(cli_operand(args, 0)),
                            .arena = arena_create()};
    int code = read_all(args, &folder);

    while (folder.path.len > 1 && str_ends(folder.path, S("/")))
        folder.path.len--;
    if (folder.count > 0) {
        json_out_init(&folder.out, answer);
        json_open_map(&folder.out);
        json_add_cstr(&folder.out, "object", "template_lint");
        json_name(&folder.out, "lint");
        json_open_list(&folder.out);
        api_lint_templates(folder.templates, folder.count, mail_class,
                           put_finding, &folder);
        json_close_list(&folder.out);
        json_close_map(&folder.out);
    }
    arena_destroy(&folder.arena);
    return code;
}
