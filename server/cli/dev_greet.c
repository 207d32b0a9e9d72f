#include "server/cli/dev_greet.h"

#include "server/base/clock.h"
#include "server/base/codec.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/base/random.h"
#include "server/cli/client.h"
#include "server/cli/keys.h"
#include "server/hooks/hooks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    READY_MAX_MS = 15000,
    READY_AGAIN_MS = 5,
    ENV_MAX = 4096,
    BODY_MAX = 16 << 10,
    WAIT_S = 10,
};

static const char DEMO_TO[] = "ada@example.net";

/* What the demo needs on its way. */
struct demo {
    const struct dev_place *place;
    char token[API_TOKEN_SIZE];
    char secret[128]; /* of the webhook endpoint */
    char email[ID_SIZE];
    char message_id[256]; /* without its brackets */
    int64_t sent_ms;      /* monotonic: when the POST went out */
};

static int64_t now_ms(void)
{
    clock_tick();
    return clock_now_ms();
}

static bool fail(const char *what, const struct error *err)
{
    fprintf(stderr, "posthaste dev: %s: %s\n", what, err->text);
    return false;
}

/* --- asking --- */

/* NULL: no answer, or another status than wanted; the reason was said. */
static struct json *ask(const struct client_request *request, int wanted)
{
    struct client_answer answer;
    struct json *root;
    struct error err;

    if (!client_ask(request, &answer, &err)) {
        fail(request->path, &err);
        return NULL;
    }
    root = json_parse(buf_str(&answer.body), &err);
    if (answer.status != wanted || root == NULL) {
        fprintf(stderr, "posthaste dev: %s %s: %d %.*s\n", request->method,
                request->path, answer.status, STR_ARG(buf_str(&answer.body)));
        json_destroy(&root);
    }
    client_answer_finish(&answer);
    return root;
}

static bool is_ready(const char *admin_url)
{
    const struct client_request request = {
        .base = admin_url,
        .method = "GET",
        .path = "/readyz",
        .timeout_ms = 1000,
    };
    struct client_answer answer;
    bool ready;

    if (!client_ask(&request, &answer, NULL))
        return false;
    ready = answer.status == 200;
    client_answer_finish(&answer);
    return ready;
}

static bool wait_until_ready(const char *admin_url)
{
    const struct timespec pause = {0, READY_AGAIN_MS * 1000000};
    int64_t until_ms = now_ms() + READY_MAX_MS;

    while (!is_ready(admin_url)) {
        if (now_ms() >= until_ms)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

/* --- the key --- */

/* The token that an earlier run left, if it is still good. */
static bool key_from_before(struct demo *demo)
{
    const struct client_request request = {
        .base = demo->place->api_url,
        .method = "GET",
        .path = "/v1/api-keys",
        .token = demo->token,
    };
    struct client_answer answer;
    char path[PATH_MAX];
    struct str line;
    struct str rest;
    struct buf text;
    bool good = false;

    dev_path(demo->place, "env", path);
    buf_init(&text, ENV_MAX);
    rest = file_read(path, &text, NULL) ? buf_str(&text) : S("");
    while (str_cut(&rest, '\n', &line))
        if (str_starts(line, S("POSTHASTE_API_KEY=")))
            snprintf(demo->token, sizeof demo->token, "%.*s",
                     STR_ARG(str_from(line, 18)));
    buf_finish(&text);
    if (demo->token[0] != '\0' && client_ask(&request, &answer, NULL)) {
        good = answer.status == 200;
        client_answer_finish(&answer);
    }
    return good;
}

static bool key_make(struct demo *demo)
{
    const struct key_wish wish = {.owner = S("default"), .name = S("dev")};
    struct tool tool;
    struct buf problems;
    struct config *config;
    struct error err;
    struct id id;
    bool good = false;

    buf_init(&problems, BODY_MAX);
    config = config_load(demo->place->config_path, &problems);
    buf_finish(&problems);
    CHECK(config != NULL); /* dev wrote it itself */
    if (tool_begin(&tool, config, &err))
        good = keys_make(&tool, &wish, demo->token, &id, &err) == QUEUE_OK;
    tool_close(&tool);
    return good || fail("the API key", &err);
}

static bool key_keep(const struct demo *demo)
{
    char path[PATH_MAX];
    struct error err;
    struct buf text;
    bool good;

    dev_path(demo->place, "env", path);
    unlink(path);
    buf_init(&text, ENV_MAX);
    buf_addf(&text,
             "POSTHASTE_URL=%s\nPOSTHASTE_API_KEY=%s\n"
             "POSTHASTE_INBOX_URL=%s\nRESEND_BASE_URL=%s\n"
             "RESEND_API_KEY=%s\n",
             demo->place->api_url, demo->token, demo->place->dev_url,
             demo->place->api_url, demo->token);
    good = file_create(path, buf_str(&text), 0600, &err);
    buf_finish(&text);
    return good || fail("the env file", &err);
}

static bool key_ready(struct demo *demo)
{
    return key_from_before(demo) || (key_make(demo) && key_keep(demo));
}

/* --- the webhook --- */

static void hook_url(const struct demo *demo, char url[DEV_URL_SIZE + 8])
{
    snprintf(url, DEV_URL_SIZE + 8, "%s/hook", demo->place->dev_url);
}

/* Endpoints of earlier runs go first: their secrets are not known any more. */
static bool hooks_clear(const struct demo *demo)
{
    struct client_request request = {
        .base = demo->place->api_url,
        .method = "GET",
        .path = "/v1/webhooks?limit=100",
        .token = demo->token,
    };
    struct json *list = ask(&request, 200);
    const struct json *data = json_get(list, "data");
    char url[DEV_URL_SIZE + 8];
    bool good = list != NULL;

    hook_url(demo, url);
    for (size_t i = 0; good && i < json_count(data); i++) {
        const struct json *hook = json_at(data, i);
        char path[64];
        struct json *answer;

        if (!str_ends(json_get_str(hook, "endpoint"), S("/hook")))
            continue;
        snprintf(path, sizeof path, "/v1/webhooks/%.*s",
                 STR_ARG(json_get_str(hook, "id")));
        request.method = "DELETE";
        request.path = path;
        answer = ask(&request, 200);
        good = answer != NULL;
        json_destroy(&answer);
    }
    json_destroy(&list);
    return good;
}

static bool hook_create(struct demo *demo)
{
    char url[DEV_URL_SIZE + 8];
    struct client_request request = {
        .base = demo->place->api_url,
        .method = "POST",
        .path = "/v1/webhooks",
        .token = demo->token,
    };
    struct json *answer;
    struct buf body;

    hook_url(demo, url);
    buf_init(&body, BODY_MAX);
    buf_addf(&body,
             "{\"endpoint\":\"%s\",\"events\":[\"email.sent\","
             "\"email.delivered\",\"email.bounced\",\"email.failed\","
             "\"email.delivery_delayed\"]}",
             url);
    request.body = buf_str(&body);
    answer = ask(&request, 201);
    buf_finish(&body);
    if (answer == NULL)
        return false;
    snprintf(demo->secret, sizeof demo->secret, "%.*s",
             STR_ARG(json_get_str(answer, "signing_secret")));
    json_destroy(&answer);
    return true;
}

/* The receiver keeps what came; here it is checked as a customer would. */
static bool hook_check(const struct demo *demo, const struct json *hook)
{
    struct str id = json_get_str(hook, "id");
    struct str signature = json_get_str(hook, "signature");
    uint64_t time_s = 0;
    struct buf expected;
    bool good;

    buf_init(&expected, BODY_MAX);
    good = str_to_u64(json_get_str(hook, "timestamp"), &time_s) &&
           sign_webhook(str_of(demo->secret), id, (int64_t)time_s,
                        json_get_str(hook, "body"), &expected) &&
           secret_equal(signature, buf_str(&expected));
    buf_finish(&expected);
    return good;
}

static bool hook_show(const struct demo *demo)
{
    char path[128];
    const struct client_request request = {
        .base = demo->place->dev_url,
        .method = "GET",
        .path = path,
        .timeout_ms = (WAIT_S + 1) * 1000,
    };
    struct json *hook;
    struct json *body;
    bool good;

    snprintf(path, sizeof path,
             "/hook/wait?type=email.delivered&email=%s&timeout=%d", demo->email,
             WAIT_S);
    hook = ask(&request, 200);
    if (hook == NULL)
        return false;
    good = hook_check(demo, hook);
    body = json_parse(json_get_str(hook, "body"), NULL);
    printf("  webhook   %.*s to %s  %s  %lld ms\n",
           STR_ARG(json_get_str(body, "type")), DEMO_TO,
           good ? "signature verified" : "BAD SIGNATURE",
           (long long)(now_ms() - demo->sent_ms));
    json_destroy(&body);
    json_destroy(&hook);
    return good;
}

/* --- the mail --- */

static bool mail_send(struct demo *demo)
{
    unsigned char bytes[4];
    uint32_t number;
    struct client_request request = {
        .base = demo->place->api_url,
        .method = "POST",
        .path = "/v1/emails",
        .token = demo->token,
    };
    struct json *answer;
    struct str message_id;
    struct buf body;

    random_bytes(bytes, sizeof bytes);
    memcpy(&number, bytes, sizeof number);
    buf_init(&body, BODY_MAX);
    buf_addf(&body,
             "{\"from\":\"Demo Shop <codes@shop.example>\",\"to\":\"%s\","
             "\"class\":\"verification\","
             "\"subject\":\"%06u is your code\","
             "\"text\":\"Hello Ada,\\n\\nyour code is %06u. It is good for "
             "ten minutes.\\n\\nDemo Shop\\n\"}",
             DEMO_TO, number % 1000000, number % 1000000);
    request.body = buf_str(&body);
    printf("sending a verification mail to %s\n", DEMO_TO);
    demo->sent_ms = now_ms();
    answer = ask(&request, 200);
    secret_wipe(body.data, body.len);
    buf_finish(&body);
    if (answer == NULL)
        return false;
    snprintf(demo->email, sizeof demo->email, "%.*s",
             STR_ARG(json_get_str(answer, "id")));
    message_id = json_get_str(answer, "message_id"); /* <left@right> */
    snprintf(demo->message_id, sizeof demo->message_id, "%.*s",
             STR_ARG(str_slice(message_id, 1, message_id.len - 2)));
    json_destroy(&answer);
    printf("  accepted  200 %s  %lld ms\n", demo->email,
           (long long)(now_ms() - demo->sent_ms));
    return true;
}

static bool mail_show(const struct demo *demo)
{
    char path[512];
    const struct client_request request = {
        .base = demo->place->dev_url,
        .method = "GET",
        .path = path,
        .timeout_ms = (WAIT_S + 1) * 1000,
    };
    struct json *mail;
    struct str text;
    struct str line;

    snprintf(path, sizeof path, "/inbox/wait?to=%s&message_id=%s&timeout=%d",
             DEMO_TO, demo->message_id, WAIT_S);
    mail = ask(&request, 200);
    if (mail == NULL)
        return false;
    printf("  delivered to the inbox  %lld ms\n\n",
           (long long)(now_ms() - demo->sent_ms));
    printf("    From:    %.*s\n    To:      %s\n    Subject: %.*s\n\n",
           STR_ARG(json_get_str(mail, "from")), DEMO_TO,
           STR_ARG(json_get_str(mail, "subject")));
    text = json_get_str(mail, "text");
    while (str_cut(&text, '\n', &line))
        printf("    %.*s\n", STR_ARG(line));
    printf("\n");
    json_destroy(&mail);
    return true;
}

/* The events, as GET /v1/emails/{id}/events tells them. */
static bool timeline_show(const struct demo *demo)
{
    char path[96];
    const struct client_request request = {
        .base = demo->place->api_url,
        .method = "GET",
        .path = path,
        .token = demo->token,
    };
    struct json *answer;
    const struct json *data;

    snprintf(path, sizeof path, "/v1/emails/%s/events", demo->email);
    answer = ask(&request, 200);
    if (answer == NULL)
        return false;
    data = json_get(answer, "data");
    printf("  timeline ");
    for (size_t i = 0; i < json_count(data); i++)
        printf("%s %.*s %lld ms", i > 0 ? " >" : "",
               STR_ARG(json_get_str(json_at(data, i), "type")),
               (long long)json_get_int(json_at(data, i), "ms"));
    printf("\n");
    json_destroy(&answer);
    return true;
}

static bool demo_run(struct demo *demo)
{
    return hooks_clear(demo) && hook_create(demo) && mail_send(demo) &&
           mail_show(demo) && hook_show(demo) && timeline_show(demo);
}

/* --- the greeting --- */

static bool show_ready(const struct dev_place *place)
{
    static const char *const NAMES[DEV_ROLES] = {"api", "worker", "hooks"};
    const char *const wheres[DEV_ROLES] = {
        place->api_url, "pooled sessions to the capture inbox",
        "webhooks to anywhere, this machine too"};

    printf("posthaste " POSTHASTE_VERSION
           "  dev mode: no mail leaves this machine\n");
    printf("  %-9s %-40s ready %5lld ms\n", "redis", "private, unix socket",
           (long long)place->redis_ms);
    printf("  %-9s %-40s ready\n", "smtp", place->smtp_address);
    for (size_t i = 0; i < DEV_ROLES; i++) {
        if (!wait_until_ready(place->admin_urls[i])) {
            fprintf(stderr,
                    "posthaste dev: %s is not ready after %d s; its log is "
                    "%s/%s.log\n",
                    NAMES[i], READY_MAX_MS / 1000, place->dir, NAMES[i]);
            return false;
        }
        printf("  %-9s %-40s ready %5lld ms\n", NAMES[i], wheres[i],
               (long long)(now_ms() - place->started_ms));
    }
    return true;
}

/* As a shell takes it for one word. */
static void shell_word_add(struct str word, struct buf *out)
{
    buf_add_char(out, '\'');
    for (size_t i = 0; i < word.len; i++)
        if (word.ptr[i] == '\'')
            buf_add_cstr(out, "'\\''");
        else
            buf_add_char(out, word.ptr[i]);
    buf_add_char(out, '\'');
}

static void show_hints(const struct demo *demo)
{
    char env[PATH_MAX];
    struct buf word;

    dev_path(demo->place, "env", env);
    buf_init(&word, 4 * PATH_MAX + 2);
    shell_word_add(str_of(env), &word);
    printf("\n  key       %s\n            (also in %s)\n\n", demo->token, env);
    printf("try:  set -a; . %.*s; set +a\n"
           "      posthaste send --from app@example.com --to ada@example.net "
           "--subject Hello --text Hi\n"
           "      posthaste inbox show latest\n"
           "Ctrl-C stops all; state is kept in %s\n",
           STR_ARG(buf_str(&word)), demo->place->dir);
    buf_finish(&word);
}

int dev_greet(const struct dev_place *place, bool send_demo)
{
    struct demo demo = {.place = place};
    bool good = show_ready(place) && key_ready(&demo) &&
                (!send_demo || demo_run(&demo));

    if (good)
        show_hints(&demo);
    fflush(stdout);
    return good ? EXIT_OK : EXIT_FAILED;
}
