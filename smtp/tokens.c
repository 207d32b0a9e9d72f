#include "smtp/tokens.h"

#include "server/base/clock.h"
#include "server/base/codec.h"
#include "server/base/file.h"
#include "server/base/log.h"
#include "server/base/mask.h"
#include "server/base/mem.h"
#include "server/base/secret.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    FILE_LOOK_MS = 30 * 1000,
    COMMAND_LIMIT_MS = 30 * 1000,
    BACK_OFF_MS = 1000,
    BACK_OFF_MAX_MS = 60 * 1000,
    COMPLAINT_SHOWN_MAX = 200,
};

struct token_wait {
    struct list link; /* of tokens->waits */
    token_done_fn done;
    void *ctx;
};

/* --- what came of a fetch --- */

/* Whoever is told may ask again: that is for the next fetch. */
static void tell(struct tokens *tokens, const char *why)
{
    struct list told;
    struct token_wait *wait;

    list_init(&told);
    while (!list_is_empty(&tokens->waits)) {
        struct list *link = tokens->waits.next;

        list_remove(link);
        list_add_last(&told, link);
    }
    while ((wait = LIST_FIRST(&told, struct token_wait, link)) != NULL) {
        list_remove(&wait->link);
        wait->done(wait->ctx, tokens_find(tokens), why);
        free(wait);
    }
}

static void fetch_failed(struct tokens *tokens, const struct error *err)
{
    int64_t delay_ms = BACK_OFF_MS;

    for (unsigned i = 0; i < tokens->failures && delay_ms < BACK_OFF_MAX_MS;
         i++)
        delay_ms *= 2;
    if (delay_ms > BACK_OFF_MAX_MS)
        delay_ms = BACK_OFF_MAX_MS;
    tokens->failures++;
    timer_set(tokens->loop, &tokens->timer, delay_ms);
    log_write(LOG_WARN, LOG_UPSTREAM_TOKEN_FAILED,
              log_cstr("upstream", tokens->config->name),
              log_cstr("error", err->text), log_int("retry_ms", delay_ms));
    tell(tokens, err->text);
}

/* token's bytes are its own from now on. */
static void take(struct tokens *tokens, const struct token *token,
                 int64_t life_ms)
{
    int64_t next_ms = token_refresh_ms(life_ms);

    if (tokens->argv == NULL && next_ms > FILE_LOOK_MS)
        next_ms = FILE_LOOK_MS;
    token_finish(&tokens->now);
    tokens->now = *token;
    tokens->good_until_ms = clock_now_ms() + life_ms;
    tokens->failures = 0;
    timer_set(tokens->loop, &tokens->timer, next_ms);
    log_write(LOG_DEBUG, LOG_UPSTREAM_TOKEN,
              log_cstr("upstream", tokens->config->name),
              log_int("life_ms", life_ms), log_int("next_ms", next_ms));
    tell(tokens, NULL);
}

/* age_ms: since the text was written. */
static bool read_text(struct tokens *tokens, struct str text, int64_t age_ms,
                      struct error *err)
{
    struct token token;
    int64_t life_ms = (int64_t)TOKEN_LIFE_S * 1000;

    if (!token_read(text, &token, err))
        return false;
    if (token.life_s > 0)
        life_ms = token.life_s * 1000 - (age_ms > 0 ? age_ms : 0);
    if (life_ms <= 0) {
        error_set(err, ERR_REMOTE, "its token ended %lld s ago",
                  (long long)(-life_ms / 1000));
        token_finish(&token);
        return false;
    }
    take(tokens, &token, life_ms);
    return true;
}

/* --- a file --- */

/* On the helper thread. */
static void run_file(void *ctx)
{
    struct tokens *tokens = ctx;
    struct stat facts;
    const char *path = tokens->config->token_file;

    tokens->file.ok = file_read(path, &tokens->file.text, &tokens->file.err);
    tokens->file.written_ms =
        stat(path, &facts) == 0
            ? facts.st_mtim.tv_sec * 1000 + facts.st_mtim.tv_nsec / 1000000
            : INT64_MAX;
}

static void wipe(struct buf *buf)
{
    if (buf->data != NULL)
        secret_wipe(buf->data, buf->cap);
    buf_finish(buf);
}

static void on_file(void *ctx)
{
    struct tokens *tokens = ctx;
    struct error err = tokens->file.err;
    int64_t age_ms = tokens->file.written_ms == INT64_MAX
                         ? 0
                         : clock_wall_ms() - tokens->file.written_ms;
    bool ok = tokens->file.ok;

    tokens->is_fetching = false;
    if (ok) {
        ok = read_text(tokens, buf_str(&tokens->file.text), age_ms, &err);
        if (!ok)
            error_prefix(&err, "%s", tokens->config->token_file);
    }
    wipe(&tokens->file.text);
    if (!ok)
        fetch_failed(tokens, &err);
}

static void fetch_file(struct tokens *tokens)
{
    struct error err;

    buf_init(&tokens->file.text, TOKEN_TEXT_MAX);
    /* All of it now: what grows leaves copies behind. */
    CHECK(buf_space(&tokens->file.text, TOKEN_TEXT_MAX) != NULL);
    tokens->is_fetching = true;
    work_job_init(&tokens->job, run_file, on_file, tokens);
    if (helper_submit(tokens->helper, &tokens->job))
        return;
    tokens->is_fetching = false;
    error_set(&err, ERR_BUSY, "too much to do to read %s",
              tokens->config->token_file);
    fetch_failed(tokens, &err);
}

/* --- a command --- */

/* The last line of standard error; one whose beginning is lost may hold the
 * end of a token, which nobody would know for one. */
static struct str last_line(struct str complaint)
{
    struct str rest = complaint;
    struct str last = S("");
    struct str line;

    while (str_cut(&rest, '\n', &line))
        if (str_trim(line).len > 0)
            last = line;
    return complaint.len == COMMAND_COMPLAINT_MAX && last.ptr == complaint.ptr
               ? S("")
               : str_trim(last);
}

static void add_complaint(struct str complaint, struct buf *out)
{
    struct str last = last_line(complaint);
    struct buf clean;
    struct buf masked;

    if (last.len == 0)
        return;
    buf_init(&clean, COMMAND_COMPLAINT_MAX);
    buf_init(&masked, 8 * COMMAND_COMPLAINT_MAX);
    utf8_clean_add(&clean, last, COMMAND_COMPLAINT_MAX);
    mask_tokens(buf_str(&clean), &masked);
    buf_add_cstr(out, ": ");
    buf_add(out, str_slice(buf_str(&masked), 0,
                           utf8_cut(buf_str(&masked), COMPLAINT_SHOWN_MAX)));
    buf_finish(&clean);
    buf_finish(&masked);
}

static void add_end(const struct command_result *result, struct buf *out)
{
    switch (result->end) {
    case COMMAND_EXITED:
        buf_addf(out, "exited with %d", result->status);
        break;
    case COMMAND_KILLED:
        buf_addf(out, "was killed by signal %d", result->status);
        break;
    case COMMAND_LATE:
        buf_addf(out, "was not done within %d s", COMMAND_LIMIT_MS / 1000);
        break;
    case COMMAND_FLOODED:
        buf_addf(out, "printed more than %d bytes", TOKEN_TEXT_MAX);
        break;
    case COMMAND_UNSTARTED:
        buf_addf(out, "could not be started: %s", strerror(result->status));
        break;
    }
}

static void explain(const struct command_result *result, struct error *err)
{
    struct buf words;

    buf_init(&words, sizeof err->text - 1);
    add_end(result, &words);
    add_complaint(result->complaint, &words);
    error_set(err, ERR_REMOTE, "%.*s", STR_ARG(buf_str(&words)));
    buf_finish(&words);
}

static void on_command(void *ctx, const struct command_result *result)
{
    struct tokens *tokens = ctx;
    struct error err;

    tokens->command = NULL;
    tokens->is_fetching = false;
    if (result->end != COMMAND_EXITED || result->status != 0)
        explain(result, &err);
    else if (read_text(tokens, result->output, 0, &err))
        return;
    error_prefix(&err, "%s", tokens->argv[0]);
    fetch_failed(tokens, &err);
}

static void run_command(struct tokens *tokens)
{
    const struct command_options options = {
        .argv = tokens->argv,
        .output_max = TOKEN_TEXT_MAX,
        .limit_ms = COMMAND_LIMIT_MS,
        .done = on_command,
        .ctx = tokens,
    };

    tokens->is_fetching = true;
    tokens->command = command_run(tokens->loop, &options);
}

/* --- the door --- */

static void fetch(void *ctx)
{
    struct tokens *tokens = ctx;

    if (tokens->is_fetching)
        return;
    timer_clear(tokens->loop, &tokens->timer);
    if (tokens->argv != NULL)
        run_command(tokens);
    else
        fetch_file(tokens);
}

bool tokens_are_to_be_had(const struct config_upstream *config)
{
    return config->token_file[0] != '\0' || config->token_command.count > 0;
}

void tokens_init(struct tokens *tokens, struct loop *loop,
                 struct helper *helper, const struct config_upstream *config)
{
    size_t words = config->token_command.count;

    *tokens = (struct tokens){.config = config, .loop = loop, .helper = helper};
    list_init(&tokens->waits);
    timer_init(&tokens->timer, fetch, tokens);
    if (!tokens_are_to_be_had(config))
        return;
    if (words > 0) {
        tokens->argv = xcalloc(words + 1, sizeof *tokens->argv);
        memcpy(tokens->argv, config->token_command.items,
               words * sizeof *tokens->argv);
    }
    timer_set(loop, &tokens->timer, 0);
}

void tokens_finish(struct tokens *tokens)
{
    CHECK(list_is_empty(&tokens->waits));
    timer_clear(tokens->loop, &tokens->timer);
    command_cancel(&tokens->command);
    wipe(&tokens->file.text);
    token_finish(&tokens->now);
    free(tokens->argv);
}

struct str tokens_find(const struct tokens *tokens)
{
    return clock_now_ms() < tokens->good_until_ms ? buf_str(&tokens->now.text)
                                                  : S("");
}

void tokens_refuse(struct tokens *tokens, struct str token)
{
    if (str_eq(buf_str(&tokens->now.text), token))
        token_finish(&tokens->now);
}

struct token_wait *tokens_fetch(struct tokens *tokens, token_done_fn done,
                                void *ctx)
{
    struct token_wait *wait = xcalloc(1, sizeof *wait);

    wait->done = done;
    wait->ctx = ctx;
    list_init(&wait->link);
    list_add_last(&tokens->waits, &wait->link);
    if (!tokens->is_fetching)
        timer_set(tokens->loop, &tokens->timer, 0);
    return wait;
}

void tokens_cancel(struct token_wait **wait)
{
    if (*wait == NULL)
        return;
    list_remove(&(*wait)->link);
    free(*wait);
    *wait = NULL;
}
