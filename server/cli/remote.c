#include "server/cli/remote.h"

#include "server/base/file.h"
#include "server/base/secret.h"
#include "server/cli/client.h"
#include "server/cli/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KEY_MAX = 512,
    SHOWN_MAX = 64 << 20,
    TARGET_MAX = 4096,
    PATIENCE_S = 30,
};

/* --- the key --- */

static int no_key(const struct cli_args *args)
{
    return cli_fail(args, EXIT_AUTH,
                    "no API key: set POSTHASTE_API_KEY, or give --key-file; "
                    "`posthaste keys create` makes one");
}

/* Into key, without the line's end. */
static int read_key(const struct cli_args *args, struct buf *key)
{
    const char *path = cli_option(args, "key-file");
    const char *from_env = getenv("POSTHASTE_API_KEY");
    struct error err;

    if (path != NULL && !file_read(path, key, &err))
        return cli_fail_error(args, &err);
    if (path == NULL && from_env != NULL)
        buf_add_cstr(key, from_env);
    while (key->len > 0 &&
           (key->data[key->len - 1] == '\n' || key->data[key->len - 1] == '\r'))
        buf_truncate(key, key->len - 1);
    if (key->len == 0 || key->full)
        return no_key(args);
    if (str_has_control(buf_str(key)))
        return cli_fail(args, EXIT_AUTH,
                        "the API key holds control characters");
    return EXIT_OK;
}

/* --- answers --- */

static enum exit_code code_of(int status)
{
    switch (status) {
    case 401:
    case 403:
        return EXIT_AUTH;
    case 404:
        return EXIT_NOT_FOUND;
    case 408:
    case 504:
        return EXIT_TIMED_OUT;
    default:
        return EXIT_FAILED;
    }
}

/* "to[0]: not an address", one line each. */
static void say_faults(const struct json *root)
{
    const struct json *errors = json_get(root, "errors");
    struct buf line;

    buf_init(&line, 4096);
    for (size_t i = 0; i < json_count(errors); i++) {
        struct str pointer = json_get_str(json_at(errors, i), "pointer");
        struct str message = json_get_str(json_at(errors, i), "message");

        buf_clear(&line);
        show_text(pointer, &line);
        if (line.len > 0)
            line.data[line.len - 1] = ' ';
        show_text(message, &line);
        fprintf(stderr, "  %.*s", STR_ARG(buf_str(&line)));
    }
    buf_finish(&line);
}

static int say_refusal(const struct cli_args *args, int status,
                       const struct json *root)
{
    struct str message = json_get_str(root, "message");
    struct buf line;

    buf_init(&line, 4096);
    show_text(message.len == 0 ? S("no reason given") : message, &line);
    if (line.len > 0)
        buf_truncate(&line, line.len - 1);
    cli_fail(args, code_of(status), "the server answered %d: %.*s", status,
             STR_ARG(buf_str(&line)));
    buf_finish(&line);
    say_faults(root);
    return (int)code_of(status);
}

static int take_answer(const struct cli_args *args, struct client_answer *from,
                       struct remote_answer *to)
{
    struct error err;
    int code = EXIT_OK;

    to->body = from->body;
    to->root = json_parse(buf_str(&to->body), &err);
    if (from->status < 200 || from->status > 299)
        code = say_refusal(args, from->status, to->root);
    else if (to->root == NULL)
        code = cli_fail(args, EXIT_FAILED,
                        "the server's answer is not JSON (%s); is --url right?",
                        err.text);
    if (code != EXIT_OK)
        remote_answer_finish(to);
    return code;
}

/* Of the key's requests, not of what it may keep. */
static bool is_too_fast(const struct client_answer *got)
{
    return got->status == 429 && got->retry_after_s > 0 &&
           str_contains(buf_str(&got->body), S("\"rate_limit_exceeded\""));
}

/* Asks again when the key may, so that a verb of many requests ends. */
static bool ask_at_pace(const struct client_request *ask,
                        struct client_answer *got, struct error *err)
{
    uint64_t waited_s = 0;
    bool is_answered;

    while ((is_answered = client_ask(ask, got, err)) && is_too_fast(got) &&
           got->retry_after_s <= PATIENCE_S - waited_s) {
        const struct timespec pause = {.tv_sec = (time_t)got->retry_after_s};

        waited_s += got->retry_after_s;
        client_answer_finish(got);
        nanosleep(&pause, NULL);
    }
    return is_answered;
}

int remote_ask(const struct cli_args *args,
               const struct remote_request *request,
               struct remote_answer *answer)
{
    struct client_request ask = {
        .base = request->url != NULL ? request->url : cli_option(args, "url"),
        .method = request->method,
        .path = request->path,
        .body = request->body,
        .key = request->idempotency,
        .timeout_ms = request->timeout_ms,
    };
    struct client_answer got;
    struct error err;
    struct buf key;
    int code = EXIT_OK;

    buf_init(&key, KEY_MAX);
    if (request->needs_key)
        code = read_key(args, &key);
    ask.token = request->needs_key ? key.data : NULL;
    if (code == EXIT_OK)
        code = ask_at_pace(&ask, &got, &err) ? take_answer(args, &got, answer)
                                             : cli_fail_error(args, &err);
    if (key.data != NULL)
        secret_wipe(key.data, key.cap);
    buf_finish(&key);
    return code;
}

void remote_answer_finish(struct remote_answer *answer)
{
    json_destroy(&answer->root);
    buf_finish(&answer->body);
}

void remote_print_json(const struct remote_answer *answer)
{
    printf("%.*s\n", STR_ARG(buf_str(&answer->body)));
}

void remote_print(const struct cli_args *args,
                  const struct remote_answer *answer, remote_show_fn show)
{
    struct buf out;

    if (cli_wants_json(args)) {
        remote_print_json(answer);
        return;
    }
    buf_init(&out, SHOWN_MAX);
    show(answer->root, &out);
    show_print(&out);
    buf_finish(&out);
}

int remote_run(const struct cli_args *args,
               const struct remote_request *request, remote_show_fn show)
{
    struct remote_answer answer = {0};
    int code = remote_ask(args, request, &answer);

    if (code != EXIT_OK)
        return code;
    remote_print(args, &answer, show);
    remote_answer_finish(&answer);
    return EXIT_OK;
}

int remote_run_list(const struct cli_args *args, const char *path,
                    const char *const *names, size_t count, remote_show_fn show)
{
    struct remote_request request = {.method = "GET", .needs_key = true};
    struct buf target;
    int code;

    buf_init(&target, TARGET_MAX);
    buf_add_cstr(&target, path);
    remote_add_query(args, names, count, &target);
    request.path = target.data;
    code = target.full ? cli_fail(args, EXIT_USAGE, "the options are too long")
                       : remote_run(args, &request, show);
    buf_finish(&target);
    return code;
}

void remote_add_query(const struct cli_args *args, const char *const *names,
                      size_t count, struct buf *path)
{
    char sign = '?';

    for (size_t i = 0; i < count; i++) {
        const char *value = cli_option(args, names[i]);

        if (value == NULL)
            continue;
        buf_addf(path, "%c%s=", sign, names[i]);
        remote_encode(str_of(value), path);
        sign = '&';
    }
}

void remote_encode(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (ascii_is_alnum(c) || (c != '\0' && strchr("-._~", c) != NULL))
            buf_add_char(out, c);
        else
            buf_addf(out, "%%%02X", (unsigned char)c);
    }
}
