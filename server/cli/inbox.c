#include "server/cli/remote.h"
#include "server/cli/show.h"
#include "server/cli/verbs.h"

#include <stdio.h>
#include <string.h>

enum {
    PATH_MAX_BYTES = 4096,
    WAIT_MAX_S = 60,      /* the longest that the inbox lets anybody wait */
    WAIT_GRACE_MS = 5000, /* and then it still has to answer */
};

static const char *inbox_url(const struct cli_args *args)
{
    return cli_option(args, "inbox-url");
}

/* "?to=ada%40example.net", or "&to=..." behind a first one. */
static void put_query(struct buf *path, const char *name, const char *value)
{
    if (value == NULL)
        return;
    buf_addf(path, "%c%s=", str_index(buf_str(path), '?', 0) < 0 ? '?' : '&',
             name);
    remote_encode(str_of(value), path);
}

static int ask(const struct cli_args *args, const char *method,
               struct buf *path, int64_t timeout_ms,
               struct remote_answer *answer)
{
    const struct remote_request request = {
        .url = inbox_url(args),
        .method = method,
        .path = path->data,
        .timeout_ms = timeout_ms,
    };

    if (path->full)
        return cli_fail(args, EXIT_USAGE, "too long");
    return remote_ask(args, &request, answer);
}

static void show_head(const struct json *mail, const char *title,
                      const char *name, struct buf *out)
{
    struct str value = json_get_str(mail, name);

    if (value.len == 0)
        return;
    buf_addf(out, "%-9s", title);
    show_text(value, out);
}

static void show_mail(const struct json *mail, struct buf *out)
{
    const struct json *to = json_get(mail, "to");
    struct str text = json_get_str(mail, "text");

    show_head(mail, "From:", "from", out);
    for (size_t i = 0; i < json_count(to); i++) {
        buf_addf(out, "%-9s", "To:");
        show_text(json_str(json_at(to, i)), out);
    }
    show_head(mail, "Date:", "received_at", out);
    show_head(mail, "Subject:", "subject", out);
    show_head(mail, "Code:", "code", out);
    show_head(mail, "Link:", "link", out);
    buf_add_char(out, '\n');
    show_text(text.len > 0 ? text : json_get_str(mail, "html"), out);
}

/* One member alone, for scripts: a code, a link, the raw mail. */
static int print_member(const struct cli_args *args, const struct json *mail,
                        const char *name)
{
    struct str value = json_get_str(mail, name);

    if (value.len == 0)
        return cli_fail(args, EXIT_NOT_FOUND, "the mail has no %s", name);
    fwrite(value.ptr, 1, value.len, stdout);
    if (strcmp(name, "raw") != 0)
        fputc('\n', stdout);
    return EXIT_OK;
}

static int print_mail(const struct cli_args *args, struct remote_answer *answer,
                      const char *member)
{
    int code = EXIT_OK;

    if (member != NULL)
        code = print_member(args, answer->root, member);
    else
        remote_print(args, answer, show_mail);
    remote_answer_finish(answer);
    return code;
}

static void show_mails(const struct json *root, struct buf *out)
{
    static const struct show_column columns[] = {
        {"id", "id"}, {"received", "received_at"}, {"from", "from"},
        {"to", "to"}, {"subject", "subject"},      {"bytes", "size"},
    };

    show_table(json_get(root, "data"), columns, COUNT_OF(columns), out);
}

static int run_list(const struct cli_args *args)
{
    struct remote_answer answer = {0};
    struct buf path;
    int code;

    buf_init(&path, PATH_MAX_BYTES);
    buf_add_cstr(&path, "/inbox");
    put_query(&path, "to", cli_option(args, "to"));
    code = ask(args, "GET", &path, 0, &answer);
    buf_finish(&path);
    if (code != EXIT_OK)
        return code;
    remote_print(args, &answer, show_mails);
    remote_answer_finish(&answer);
    return EXIT_OK;
}

static int run_show(const struct cli_args *args)
{
    const char *which = cli_operand(args, 0);
    struct remote_answer answer = {0};
    struct buf path;
    uint64_t number;
    int code;

    if (which == NULL || cli_operand(args, 1) != NULL ||
        (strcmp(which, "latest") != 0 && !str_to_u64(str_of(which), &number)))
        return cli_fail(args, EXIT_USAGE, "takes one number, or latest");
    buf_init(&path, PATH_MAX_BYTES);
    buf_addf(&path, "/inbox/%s", which);
    put_query(&path, "to", cli_option(args, "to"));
    code = ask(args, "GET", &path, 0, &answer);
    buf_finish(&path);
    if (code != EXIT_OK)
        return code;
    return print_mail(args, &answer, cli_flag(args, "raw") ? "raw" : NULL);
}

static int run_wait(const struct cli_args *args)
{
    const bool wants_code = cli_flag(args, "code");
    const bool wants_link = cli_flag(args, "link");
    int64_t timeout_s = 0;
    struct remote_answer answer = {0};
    struct buf path;
    int code;

    if (wants_code && wants_link)
        return cli_fail(args, EXIT_USAGE, "give --code or --link, not both");
    if (!cli_number(args, "timeout", 1, WAIT_MAX_S, &timeout_s))
        return EXIT_USAGE;
    buf_init(&path, PATH_MAX_BYTES);
    buf_addf(&path, "/inbox/wait?timeout=%d", (int)timeout_s);
    put_query(&path, "to", cli_option(args, "to"));
    put_query(&path, "code", wants_code ? "1" : NULL);
    code = ask(args, "GET", &path, timeout_s * 1000 + WAIT_GRACE_MS, &answer);
    buf_finish(&path);
    if (code != EXIT_OK)
        return code;
    return print_mail(args, &answer,
                      cli_flag(args, "json") ? NULL
                      : wants_code           ? "code"
                      : wants_link           ? "link"
                                             : NULL);
}

static int run_clear(const struct cli_args *args)
{
    struct remote_answer answer = {0};
    struct buf path;
    int code;

    buf_init(&path, PATH_MAX_BYTES);
    buf_add_cstr(&path, "/inbox");
    code = ask(args, "DELETE", &path, 0, &answer);
    buf_finish(&path);
    if (code != EXIT_OK)
        return code;
    if (cli_wants_json(args))
        remote_print_json(&answer);
    else
        printf("%lld deleted\n",
               (long long)json_get_int(answer.root, "deleted"));
    remote_answer_finish(&answer);
    return EXIT_OK;
}

#define OPTION_INBOX_URL                                                       \
    {                                                                          \
        "inbox-url", "URL", "where `posthaste dev` shows its inbox",           \
            "POSTHASTE_INBOX_URL", "http://127.0.0.1:8025"                     \
    }
#define OPTION_TO                                                              \
    {                                                                          \
        "to", "ADDRESS", "only mail to this recipient", NULL, NULL             \
    }

static const struct cli_option LIST_OPTIONS[] = {OPTION_TO, OPTION_INBOX_URL,
                                                 CLI_OPTION_JSON};
static const struct cli_option SHOW_OPTIONS[] = {
    OPTION_TO,
    {"raw", NULL, "the mail as it came, byte by byte", NULL, NULL},
    OPTION_INBOX_URL,
    CLI_OPTION_JSON,
};
static const struct cli_option WAIT_OPTIONS[] = {
    OPTION_TO,
    {"code", NULL, "wait for a mail with a code, and print it alone", NULL,
     NULL},
    {"link", NULL, "print the mail's link alone", NULL, NULL},
    {"timeout", "SECONDS", "how long", NULL, "30"},
    OPTION_INBOX_URL,
    CLI_OPTION_JSON,
};
static const struct cli_option CLEAR_OPTIONS[] = {OPTION_INBOX_URL,
                                                  CLI_OPTION_JSON};

static const struct verb VERBS[] = {
    {
        .name = "inbox list",
        .purpose = "Lists the mails that `posthaste dev` captured.",
        .examples = {"posthaste inbox list",
                     "posthaste inbox list --to ada@example.net --json"},
        .options = LIST_OPTIONS,
        .option_count = COUNT_OF(LIST_OPTIONS),
        .run = run_list,
    },
    {
        .name = "inbox show",
        .operands = "NUMBER|latest",
        .purpose = "Shows a captured mail.",
        .examples = {"posthaste inbox show latest",
                     "posthaste inbox show 3 --raw > mail.eml"},
        .options = SHOW_OPTIONS,
        .option_count = COUNT_OF(SHOW_OPTIONS),
        .run = run_show,
    },
    {
        .name = "inbox wait",
        .purpose = "Waits for a mail; made for tests that need the code in it.",
        .examples = {"posthaste inbox wait --to ada@example.net --code",
                     "posthaste inbox wait --to ada@example.net --timeout 5"},
        .options = WAIT_OPTIONS,
        .option_count = COUNT_OF(WAIT_OPTIONS),
        .run = run_wait,
    },
    {
        .name = "inbox clear",
        .purpose = "Forgets all captured mails.",
        .examples = {"posthaste inbox clear", "posthaste inbox clear --json"},
        .options = CLEAR_OPTIONS,
        .option_count = COUNT_OF(CLEAR_OPTIONS),
        .run = run_clear,
    },
};

const struct verb_group VERBS_INBOX = {VERBS, COUNT_OF(VERBS)};
