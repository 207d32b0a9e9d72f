/* Idempotency of POSTs: what the scripts answer, and the steps before and
 * behind an action whose answer its script cannot make. */
#include "queue/core.h"

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
    if (answer->status != QUEUE_OK)
        return;
    answer->changed = reply_int(reply_at(reply, 1));
    if (str_eq(word, S("ok")))
        return;
    if (str_eq(word, S("replay"))) {
        answer->status = QUEUE_REPLAY;
        answer->http_status = (int)reply_int(reply_at(reply, 1));
        answer->answer = reply_str(reply_at(reply, 2));
        return;
    }
    if (str_eq(word, S("done"))) {
        answer->status = QUEUE_DONE;
    } else if (str_eq(word, S("conflict"))) {
        answer->status = QUEUE_CONFLICT;
    } else {
        answer->status = QUEUE_AWAY;
        error_set(&answer->why, ERR_REMOTE,
                  "redis: an answer that no script gives");
    }
}

struct looking {
    struct queue_call call;
    queue_answer_fn done;
    void *ctx;
};

static void on_looked(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct looking *looking = ctx;
    struct queue_answer answer;

    idempotency_read(reply, why, &answer);
    looking->done(looking->ctx, &answer);
    queue_call_end(&looking->call);
}

void queue_idempotency_look(struct queue *queue, struct queue_owner owner,
                            const struct idempotency *idempotency,
                            queue_answer_fn done, void *ctx)
{
    struct looking *looking = queue_call_new(queue, sizeof *looking);
    struct redis_command command;

    looking->done = done;
    looking->ctx = ctx;
    command_init_partition(&command, queue, SCRIPT_IDEMPOTENCY_LOOK,
                           owner.home);
    command_add(&command, owner.name);
    idempotency_add(&command, idempotency);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_looked, looking);
}

void queue_idempotency_finish(struct queue *queue, struct queue_owner owner,
                              const struct idempotency *idempotency,
                              int http_status, struct str answer)
{
    struct redis_command command;
    struct buf value;
    char name[KEY_MAX];

    buf_init(&value, idempotency->fingerprint.len + answer.len + 32);
    buf_addf(&value, "%.*s %d ", STR_ARG(idempotency->fingerprint),
             http_status);
    buf_add(&value, answer); /* of many recipients it is long */
    command_init(&command, "SET");
    command_add(&command,
                queue_key(queue, owner.home, name, KEY_IDEMPOTENCY "%.*s:%.*s",
                          STR_ARG(owner.name), STR_ARG(idempotency->key_hash)));
    command_add(&command, buf_str(&value));
    buf_finish(&value);
    command_add_cstr(&command, "XX"); /* the action put it there */
    command_add_cstr(&command, "KEEPTTL");
    redis_send(queue->main, &command, REDIS_BUDGET_MS, NULL, NULL);
}
