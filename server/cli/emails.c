#include "server/base/file.h"
#include "server/base/id.h"
#include "server/cli/remote.h"
#include "server/cli/show.h"
#include "server/cli/source.h"
#include "server/cli/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BODY_MAX = 40 << 20, PATH_SIZE = 256 };

/* --- send --- */

static void put_option(const struct cli_args *args, struct json_out *out,
                       const char *option, const char *member)
{
    const char *value = cli_option(args, option);

    if (value != NULL)
        json_add_cstr(out, member, value);
}

/* Addresses with commas between them; one with a comma in its name must come
 * by the JSON form. */
static void put_addresses(const struct cli_args *args, struct json_out *out,
                          const char *option)
{
    const char *value = cli_option(args, option);
    struct str rest = str_of(value);
    struct str address;

    if (value == NULL)
        return;
    json_name(out, option);
    json_open_list(out);
    while (rest.len > 0 && str_cut(&rest, ',', &address))
        json_put_str(out, str_trim(address));
    json_close_list(out);
}

/* --text or --text-file, and so for html. */
static bool put_part(const struct cli_args *args, struct json_out *out,
                     const char *member, struct error *err)
{
    char file_option[32];
    const char *path;
    struct buf text;
    bool ok;

    put_option(args, out, member, member);
    snprintf(file_option, sizeof file_option, "%s-file", member);
    path = cli_option(args, file_option);
    if (path == NULL)
        return true;
    buf_init(&text, BODY_MAX);
    ok = cli_read_source(path, &text, err);
    if (ok)
        json_add_str(out, member, buf_str(&text));
    buf_finish(&text);
    return ok;
}

static int check_options(const struct cli_args *args)
{
    static const char *const needed[] = {"from", "to", "subject"};
    static const char *const parts[] = {"text", "html"};
    char file_option[32];

    for (size_t i = 0; i < COUNT_OF(needed); i++)
        if (cli_option(args, needed[i]) == NULL)
            return cli_fail(args, EXIT_USAGE,
                            "--%s is missing; - takes the whole request as "
                            "JSON from standard input",
                            needed[i]);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        snprintf(file_option, sizeof file_option, "%s-file", parts[i]);
        if (cli_option(args, parts[i]) != NULL &&
            cli_option(args, file_option) != NULL)
            return cli_fail(args, EXIT_USAGE, "give --%s or --%s, not both",
                            parts[i], file_option);
    }
    return EXIT_OK;
}

static int write_mail(const struct cli_args *args, struct buf *body)
{
    struct json_out out;
    struct error err = {0};
    int64_t expires_in = 0;
    int code = check_options(args);

    if (code != EXIT_OK)
        return code;
    if (!cli_number(args, "expires-in", 1, INT32_MAX, &expires_in))
        return EXIT_USAGE;
    json_out_init(&out, body);
    json_open_map(&out);
    put_option(args, &out, "from", "from");
    put_addresses(args, &out, "to");
    put_addresses(args, &out, "cc");
    put_addresses(args, &out, "bcc");
    put_option(args, &out, "reply-to", "reply_to");
    put_option(args, &out, "subject", "subject");
    put_option(args, &out, "class", "class");
    put_option(args, &out, "scheduled-at", "scheduled_at");
    if (expires_in > 0)
        json_add_int(&out, "expires_in", expires_in);
    if (!put_part(args, &out, "text", &err) ||
        !put_part(args, &out, "html", &err))
        return cli_fail_error(args, &err);
    json_close_map(&out);
    return EXIT_OK;
}

static int write_body(const struct cli_args *args, struct buf *body)
{
    const char *operand = cli_operand(args, 0);
    struct error err = {0};

    if (operand == NULL)
        return write_mail(args, body);
    if (strcmp(operand, "-") != 0)
        return cli_fail(args, EXIT_USAGE,
                        "the only operand is -, which takes the whole request "
                        "as JSON from standard input");
    return cli_read_source("-", body, &err) ? EXIT_OK
                                            : cli_fail_error(args, &err);
}

/* A fresh key, so that asking again after a lost answer is safe to do by
 * hand: it is told when no answer came. */
static int send_mail(const struct cli_args *args, struct str body)
{
    const char *given = cli_option(args, "idempotency-key");
    const struct id fresh = id_new(0);
    const struct remote_request request = {
        .method = "POST",
        .path = "/v1/emails",
        .body = body,
        .needs_key = true,
        .idempotency = given != NULL ? given : fresh.text,
    };
    struct remote_answer answer = {0};
    int code = remote_ask(args, &request, &answer);

    if (code == EXIT_UNREACHABLE || code == EXIT_TIMED_OUT)
        fprintf(stderr,
                "it may have been accepted; to ask again without a second "
                "mail: --idempotency-key %s\n",
                request.idempotency);
    if (code != EXIT_OK)
        return code;
    if (cli_wants_json(args))
        remote_print_json(&answer);
    else
        printf("%.*s  %.*s\n", STR_ARG(json_get_str(answer.root, "id")),
               STR_ARG(json_get_str(answer.root, "status")));
    remote_answer_finish(&answer);
    return EXIT_OK;
}

static int run_send(const struct cli_args *args)
{
    struct buf body;
    int code;

    buf_init(&body, BODY_MAX);
    code = write_body(args, &body);
    if (code == EXIT_OK && body.full)
        code = cli_fail(args, EXIT_USAGE, "the mail is more than %d MiB",
                        BODY_MAX >> 20);
    if (code == EXIT_OK)
        code = send_mail(args, buf_str(&body));
    buf_finish(&body);
    return code;
}

/* --- emails show, events, cancel, retry, reschedule --- */

/* The path of the mail whose id is the first operand. */
static int email_path(const struct cli_args *args, const char *behind,
                      char path[PATH_SIZE])
{
    const char *given = cli_operand(args, 0);
    struct id id;

    if (given == NULL)
        return cli_fail(args, EXIT_USAGE, "takes an id");
    if (!id_parse(str_of(given), &id))
        return cli_fail(args, EXIT_USAGE, "\"%s\" is not an id", given);
    snprintf(path, PATH_SIZE, "/v1/emails/%s%s", id.text, behind);
    return EXIT_OK;
}

static int ask_email(const struct cli_args *args, const char *method,
                     const char *behind, remote_show_fn show)
{
    char path[PATH_SIZE];
    const struct remote_request request = {
        .method = method, .path = path, .needs_key = true};
    int code;

    if (cli_operand(args, 1) != NULL)
        return cli_fail(args, EXIT_USAGE, "takes one id");
    code = email_path(args, behind, path);
    return code == EXIT_OK ? remote_run(args, &request, show) : code;
}

static int run_show(const struct cli_args *args)
{
    return ask_email(args, "GET", "", show_value);
}

static void show_events(const struct json *root, struct buf *out)
{
    static const struct show_column columns[] = {
        {"ms", "ms"},
        {"event", "type"},
        {"recipient", "data/recipient"},
        {"upstream", "data/delivery/upstream"},
        {"code", "data/delivery/code"},
        {"response", "data/delivery/response"},
    };

    show_table(json_get(root, "data"), columns, COUNT_OF(columns), out);
}

static int run_events(const struct cli_args *args)
{
    return ask_email(args, "GET", "/events", show_events);
}

static void show_attempts(const struct json *root, struct buf *out)
{
    static const struct show_column columns[] = {
        {"attempt", "attempt"},     {"started", "started_at"},
        {"recipient", "recipient"}, {"upstream", "upstream"},
        {"address", "address"},     {"outcome", "outcome"},
        {"code", "code"},           {"queue", "phases/queue_ms"},
        {"dot", "phases/dot_ms"},   {"response", "response"},
    };
    const struct json *list = json_get(root, "data");

    show_table(list, columns, COUNT_OF(columns), out);
    for (size_t i = 0; i < json_count(list); i++) {
        const struct json *attempt = json_at(list, i);
        struct str transcript = json_get_str(attempt, "transcript");

        if (transcript.len == 0)
            continue;
        buf_addf(out, "\nattempt %lld, in milliseconds of its session:\n",
                 (long long)json_get_int(attempt, "attempt"));
        show_text(transcript, out);
    }
}

static int run_attempts(const struct cli_args *args)
{
    return ask_email(args, "GET", "/attempts", show_attempts);
}

static int run_cancel(const struct cli_args *args)
{
    return ask_email(args, "POST", "/cancel", show_value);
}

static int run_retry(const struct cli_args *args)
{
    return ask_email(args, "POST", "/retry", show_value);
}

static int run_reschedule(const struct cli_args *args)
{
    const char *time = cli_operand(args, 1);
    char path[PATH_SIZE];
    struct remote_request request = {
        .method = "PATCH", .path = path, .needs_key = true};
    struct json_out json;
    struct buf body;
    int code;

    if (time == NULL || cli_operand(args, 2) != NULL)
        return cli_fail(args, EXIT_USAGE, "takes an id and a time");
    code = email_path(args, "", path);
    if (code != EXIT_OK)
        return code;
    buf_init(&body, BODY_MAX);
    json_out_init(&json, &body);
    json_open_map(&json);
    json_add_cstr(&json, "scheduled_at", time);
    json_close_map(&json);
    request.body = buf_str(&body);
    code = remote_run(args, &request, show_value);
    buf_finish(&body);
    return code;
}

static const struct cli_option SEND_OPTIONS[] = {
    {"from", "ADDRESS", "sender, as \"Name <user@domain>\"", "POSTHASTE_FROM",
     NULL},
    {"to", "LIST", "recipients, with commas", NULL, NULL},
    {"cc", "LIST", "further recipients", NULL, NULL},
    {"bcc", "LIST", "recipients that others do not see", NULL, NULL},
    {"reply-to", "ADDRESS", "where answers go", NULL, NULL},
    {"subject", "TEXT", "subject", NULL, NULL},
    {"text", "TEXT", "the plain text", NULL, NULL},
    {"text-file", "FILE", "the same from a file; - is standard input", NULL,
     NULL},
    {"html", "HTML", "the HTML", NULL, NULL},
    {"html-file", "FILE", "the same from a file; - is standard input", NULL,
     NULL},
    {"class", "CLASS", "verification, reset, alert, transactional or bulk",
     NULL, NULL},
    {"expires-in", "SECONDS", "do not deliver later than that", NULL, NULL},
    {"scheduled-at", "TIME", "RFC 3339; not before", NULL, NULL},
    {"idempotency-key", "KEY", "of equal keys one mail is made", NULL, NULL},
    REMOTE_OPTION_URL,
    REMOTE_OPTION_KEY_FILE,
    CLI_OPTION_JSON,
};

static const struct cli_option ID_OPTIONS[] = {
    REMOTE_OPTION_URL, REMOTE_OPTION_KEY_FILE, CLI_OPTION_JSON};

static const struct verb VERBS[] = {
    {
        .name = "send",
        .operands = "[-]",
        .purpose = "Sends a mail through a running server.",
        .examples = {"posthaste send --from app@example.com --to "
                     "ada@example.net --subject Hello --text Hi",
                     "posthaste send - < request.json"},
        .options = SEND_OPTIONS,
        .option_count = COUNT_OF(SEND_OPTIONS),
        .run = run_send,
    },
    {
        .name = "emails show",
        .operands = "ID",
        .purpose = "Shows a mail and what became of each recipient.",
        .examples = {"posthaste emails show "
                     "019ab4f2-7c1e-7d3a-9a53-0b7f3e6c2d11",
                     "posthaste emails show ID --json"},
        .options = ID_OPTIONS,
        .option_count = COUNT_OF(ID_OPTIONS),
        .run = run_show,
    },
    {
        .name = "emails events",
        .operands = "ID",
        .purpose = "Lists what happened to a mail, in milliseconds since it "
                   "was accepted.",
        .examples = {"posthaste emails events "
                     "019ab4f2-7c1e-7d3a-9a53-0b7f3e6c2d11",
                     "posthaste emails events ID --json"},
        .options = ID_OPTIONS,
        .option_count = COUNT_OF(ID_OPTIONS),
        .run = run_events,
    },
    {
        .name = "emails attempts",
        .operands = "ID",
        .purpose = "Lists what upstreams did with a mail, and what was said "
                   "where one refused it.",
        .examples = {"posthaste emails attempts "
                     "019ab4f2-7c1e-7d3a-9a53-0b7f3e6c2d11",
                     "posthaste emails attempts ID --json"},
        .options = ID_OPTIONS,
        .option_count = COUNT_OF(ID_OPTIONS),
        .run = run_attempts,
    },
    {
        .name = "emails cancel",
        .operands = "ID",
        .purpose = "Stops a mail that has not been handed over yet.",
        .examples = {"posthaste emails cancel "
                     "019ab4f2-7c1e-7d3a-9a53-0b7f3e6c2d11",
                     "posthaste emails cancel ID --json"},
        .options = ID_OPTIONS,
        .option_count = COUNT_OF(ID_OPTIONS),
        .run = run_cancel,
    },
    {
        .name = "emails retry",
        .operands = "ID",
        .purpose = "Sends again what waits, or ended without being sent.",
        .examples = {"posthaste emails retry "
                     "019ab4f2-7c1e-7d3a-9a53-0b7f3e6c2d11",
                     "posthaste emails retry ID --json"},
        .options = ID_OPTIONS,
        .option_count = COUNT_OF(ID_OPTIONS),
        .run = run_retry,
    },
    {
        .name = "emails reschedule",
        .operands = "ID TIME",
        .purpose = "Sends a scheduled mail at another time.",
        .examples = {"posthaste emails reschedule "
                     "019ab4f2-7c1e-7d3a-9a53-0b7f3e6c2d11 \"in 10 minutes\"",
                     "posthaste emails reschedule ID 2026-11-24T12:00:00Z"},
        .options = ID_OPTIONS,
        .option_count = COUNT_OF(ID_OPTIONS),
        .run = run_reschedule,
    },
};

const struct verb_group VERBS_EMAILS = {VERBS, COUNT_OF(VERBS)};
