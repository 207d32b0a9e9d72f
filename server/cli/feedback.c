/* The verb feedback: what a mail server's pipe hands in. */
#include "api/api.h"
#include "server/base/json.h"
#include "server/cli/tool.h"
#include "server/cli/verbs.h"
#include "smtp/smtp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { ANSWER_MAX = 4096 };

struct handed_in {
    struct tool tool;
    struct api_feedback feedback;
};

/* Whatever went wrong, a mail server shall keep the message and try again: a
 * bounce of a bounce helps nobody. */
static int keep_it(int code)
{
    return code == EXIT_OK ? EXIT_OK : EX_TEMPFAIL;
}

/* All is read, so that the writer does not fail; the beginning is kept. */
static bool read_all(int fd, struct buf *message)
{
    char chunk[65536];
    ssize_t got;

    while ((got = read(fd, chunk, sizeof chunk)) > 0)
        buf_add(message, str_slice(str_make(chunk, (size_t)got), 0,
                                   message->max - message->len));
    return got == 0;
}

static bool read_message(const char *path, struct buf *message)
{
    bool is_file = path != NULL && strcmp(path, "-") != 0;
    int fd = is_file ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    bool good = fd >= 0 && read_all(fd, message);

    if (!good)
        fprintf(stderr, "posthaste feedback: %s: %s\n",
                is_file ? path : "standard input", strerror(errno));
    if (is_file && fd >= 0)
        close(fd);
    return good;
}

static void print_answer(const struct cli_args *args,
                         const struct api_feedback *feedback)
{
    struct buf text;
    struct json *root;

    buf_init(&text, ANSWER_MAX);
    api_feedback_write(feedback, &text);
    if (cli_wants_json(args)) {
        puts(text.data);
    } else {
        root = json_parse(buf_str(&text), NULL);
        printf("%.*s %.*s%.*s%s\n", STR_ARG(json_get_str(root, "outcome")),
               STR_ARG(json_get_str(root, "type")),
               STR_ARG(json_get_str(root, "reason")),
               feedback->answer.suppressed ? ", address suppressed" : "");
        json_destroy(&root);
    }
    buf_finish(&text);
}

static void on_done(void *ctx)
{
    struct handed_in *in = ctx;
    const struct queue_feedback_answer *answer = &in->feedback.answer;

    if (!tool_is_answered(&in->tool, answer->status, &answer->why))
        return;
    if (answer->fate == FEEDBACK_OPEN) {
        tool_done(&in->tool, cli_fail(in->tool.args, EXIT_FAILED,
                                      "email %s: the delivery has not ended "
                                      "yet, try again later",
                                      in->feedback.said.email.text));
        return;
    }
    print_answer(in->tool.args, &in->feedback);
    tool_done(&in->tool, EXIT_OK);
}

/* Takes the configuration over. */
static int hand_in(struct handed_in *in, const struct cli_args *args,
                   struct config *config)
{
    struct error err = {0};
    int code;

    if (tool_begin(&in->tool, config, &err)) {
        in->tool.args = args;
        CHECK(api_feedback_take(&in->feedback, in->tool.queue, NULL));
        code = tool_wait(&in->tool);
    } else {
        code = cli_fail_error(args, &err);
    }
    tool_close(&in->tool);
    return code;
}

/* What is of no concern needs no Redis. */
static int take(const struct cli_args *args, struct config *config,
                const struct keyring *keyring, struct arena *arena)
{
    struct handed_in in = {.feedback = {.done = on_done}};
    const char *recipient = cli_option(args, "recipient");
    struct buf message;
    int code = EXIT_FAILED;

    in.feedback.ctx = &in;
    buf_init(&message, SMTP_FEEDBACK_BYTES_MAX);
    if (read_message(cli_operand(args, 0), &message)) {
        smtp_feedback_read(&in.feedback.said, keyring, str_of(recipient),
                           buf_str(&message), arena);
        code = EXIT_OK;
    }
    if (code == EXIT_OK && in.feedback.said.kind >= SMTP_FEEDBACK_BOUNCED) {
        code = hand_in(&in, args, config);
    } else {
        config_destroy(&config);
        if (code == EXIT_OK)
            print_answer(args, &in.feedback);
    }
    buf_finish(&message);
    return code;
}

static int take_with_keyring(const struct cli_args *args, struct config *config)
{
    struct error err = {0};
    struct keyring *keyring = NULL;
    struct arena *arena;
    int code;

    if (*config->secrets.keyring_file == '\0')
        error_set(&err, ERR_CONFIG,
                  "return paths are signed: set secrets.keyring_file");
    else
        keyring = keyring_load(config->secrets.keyring_file, &err);
    if (keyring == NULL) {
        config_destroy(&config);
        return cli_fail_error(args, &err);
    }
    arena = arena_create();
    code = take(args, config, keyring, arena);
    arena_destroy(&arena);
    keyring_destroy(&keyring);
    return code;
}

static int run_feedback(const struct cli_args *args)
{
    struct config *config;

    if (cli_operand(args, 1) != NULL)
        return cli_fail(args, EXIT_USAGE, "takes one message");
    config = tool_read_config(args);
    if (config == NULL)
        return keep_it(EXIT_CONFIG);
    return keep_it(take_with_keyring(args, config));
}

static const struct cli_option OPTIONS[] = {
    CLI_OPTION_CONFIG,
    {"recipient", "ADDRESS", "that the message came to, as the envelope has it",
     NULL, NULL},
    CLI_OPTION_JSON,
};

static const struct verb VERBS[] = {
    {
        .name = "feedback",
        .operands = "[FILE|-]",
        .purpose = "Takes a bounce, a delivery report or a complaint that came "
                   "to a return path (sending.bounce_domain), from standard "
                   "input without FILE: for the pipe of a mail server. Exit "
                   "code 0: the message is done with; 75: try again later.",
        .examples = {"posthaste feedback --config /etc/posthaste.toml "
                     "--recipient \"$RECIPIENT\" -",
                     "posthaste feedback --json bounce.eml"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_feedback,
    },
};

const struct verb_group VERBS_FEEDBACK = {VERBS, COUNT_OF(VERBS)};
