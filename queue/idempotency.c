/* Idempotency of POSTs: what the scripts answer, and the two steps of a POST
 * whose answer no single script makes. */
#include "queue/core.h"

/* If the process dies between the two steps, the key is free again then. */
enum { RUNNING_MS = 30000, KEPT_MS = 86400000 };

void idempotency_add(struct redis_command *command,
                     const struct idempotency *idempotency)
{
    static const struct idempotency none;

    if (idempotency == NULL)
        idempotency = &none;
    command_add(command, idempotency->key_hash);
    command_add(command, idempotency->fingerprint);
}

void idempotency_read(const struct reply *reply, const struct error *why,
                      struct queue_answer *answer)
{
    struct str word = reply_str(reply_at(reply, 0));

    *answer = (struct queue_answer){0};
    answer->status = reply_status(reply, why, &answer->why);
    if (answer->status != QUEUE_OK || str_eq(word, S("ok")))
        return;
    if (str_eq(word, S("replay"))) {
        answer->status = QUEUE_REPLAY;
        answer->http_status = (int)reply_int(reply_at(reply, 1));
        answer->answer = reply_str(reply_at(reply, 2));
        return;
    }
    if (str_eq(word, S("running"))) {
        answer->status = QUEUE_RUNNING;
    } else if (str_eq(word, S("conflict"))) {
        answer->status = QUEUE_CONFLICT;
    } else {
        answer->status = QUEUE_AWAY;
        error_set(&answer->why, ERR_REMOTE,
                  "redis: an answer that no script gives");
    }
}

struct beginning {
    struct queue_call call;
    queue_answer_fn done;
    void *ctx;
};

static void on_begun(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct beginning *beginning = ctx;
    struct queue_answer answer;

    idempotency_read(reply, why, &answer);
    beginning->done(beginning->ctx, &answer);
    queue_call_end(&beginning->call);
}

void queue_idempotency_begin(struct queue *queue, struct queue_owner owner,
                             const struct idempotency *idempotency,
                             queue_answer_fn done, void *ctx)
{
    struct beginning *beginning = queue_call_new(queue, sizeof *beginning);
    struct redis_command command;

    beginning->done = done;
    beginning->ctx = ctx;
    command_init_partition(&command, queue, SCRIPT_IDEMPOTENCY_BEGIN,
                           owner.home);
    command_add(&command, owner.name);
    idempotency_add(&command, idempotency);
    command_add_int(&command, RUNNING_MS);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_begun, beginning);
}

void queue_idempotency_finish(struct queue *queue, struct queue_owner owner,
                              const struct idempotency *idempotency,
                              int http_status, struct str answer)
{
    struct redis_command command;
    char name[KEY_MAX];

    command_init(&command, "SET");
    command_add(&command,
                queue_key(queue, owner.home, name, KEY_IDEMPOTENCY "%.*s:%.*s",
                          STR_ARG(owner.name), STR_ARG(idempotency->key_hash)));
    command_addf(&command, "%.*s %d %.*s", STR_ARG(idempotency->fingerprint),
                 http_status, STR_ARG(answer));
    command_add_cstr(&command, "PX");
    command_add_int(&command, KEPT_MS);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, NULL, NULL);
}
