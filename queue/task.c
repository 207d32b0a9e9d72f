#include "queue/task.h"

#include "server/base/clock.h"
#include "server/base/mem.h"

#include <stdlib.h>

enum { SECRET_MAX = 128, ATTEMPT_MAX = 8 * 1024 };

enum { ENDPOINT, EVENT, TOKEN, ATTEMPT, URL, SECRET, RECORD, SUMMARY };

static struct str copy(struct held *held, const struct reply *claim,
                       size_t index)
{
    return arena_copy(held->arena, reply_str(reply_at(claim, index)));
}

static enum held_result
open_secret(struct held *held, const struct keyring *keyring, struct str sealed)
{
    enum keyring_result result = KEYRING_UNKNOWN_ID;

    if (keyring != NULL)
        result = keyring_open(keyring, "webhook", id_str(&held->endpoint.id),
                              sealed, &held->secret);
    held->endpoint.secret = buf_str(&held->secret);
    return result == KEYRING_OK           ? HELD_READY
           : result == KEYRING_UNKNOWN_ID ? HELD_LATER
                                          : HELD_LOST;
}

/* The events of an email need its summary, all others none. */
static enum held_result build_payload(struct held *held,
                                      const struct keyring *keyring,
                                      const struct event *event,
                                      struct str summary)
{
    enum record_result result;
    struct record *record;

    if (!event_type_is_of_email(event->type)) {
        event_payload(event, NULL, &held->payload);
        return HELD_READY;
    }
    record = record_read(summary, &event->email, keyring, &result);
    if (record == NULL)
        return result == RECORD_BROKEN ? HELD_LOST : HELD_LATER;
    event_payload(event, &record->summary, &held->payload);
    record_destroy(&record);
    return held->payload.full ? HELD_LOST : HELD_READY;
}

static enum held_result build(struct held *held, const struct reply *claim,
                              const struct keyring *keyring)
{
    struct event event;
    struct buf name;
    enum held_result result;

    if (!event_read(reply_str(reply_at(claim, RECORD)), held->arena, &event))
        return HELD_LOST;
    result = open_secret(held, keyring, reply_str(reply_at(claim, SECRET)));
    if (result == HELD_READY)
        result = build_payload(held, keyring, &event,
                               reply_str(reply_at(claim, SUMMARY)));
    buf_init(&name, EVENT_WEBHOOK_ID_LEN);
    event_webhook_id(&event, &name);
    held->task.webhook_id = arena_copy(held->arena, buf_str(&name));
    buf_finish(&name);
    held->task.payload = buf_str(&held->payload);
    held->task.first_ms = event.at_ms;
    return result;
}

struct held *held_create(const struct reply *claim,
                         const struct keyring *keyring)
{
    struct held *held = xcalloc(1, sizeof *held);

    list_init(&held->link);
    held->arena = arena_create();
    buf_init(&held->secret, SECRET_MAX);
    buf_init(&held->payload, EVENT_PAYLOAD_MAX);
    CHECK(id_parse(reply_str(reply_at(claim, ENDPOINT)), &held->endpoint.id));
    held->endpoint.url = copy(held, claim, URL);
    held->endpoint.enabled = true;
    held->event = copy(held, claim, EVENT);
    held->token = copy(held, claim, TOKEN);
    held->task.endpoint = &held->endpoint;
    held->task.attempt = (unsigned)reply_int(reply_at(claim, ATTEMPT));
    held->result = build(held, claim, keyring);
    return held;
}

void held_destroy(struct held **held)
{
    if (*held == NULL)
        return;
    list_remove(&(*held)->link);
    if ((*held)->secret.data != NULL)
        secret_wipe((*held)->secret.data, (*held)->secret.cap);
    buf_finish(&(*held)->secret);
    buf_finish(&(*held)->payload);
    arena_destroy(&(*held)->arena);
    free(*held);
    *held = NULL;
}

/* --- the report --- */

static void write_attempt(const struct held *held,
                          const struct task_detail *detail, struct buf *out)
{
    struct json_out json;

    json_out_init(&json, out);
    json_open_map(&json);
    json_add_int(&json, "n", held->task.attempt);
    json_add_int(&json, "status", detail->http_status);
    if (detail->response.len > 0)
        json_add_str(&json, "response", detail->response);
    if (detail->error.len > 0)
        json_add_str(&json, "error", detail->error);
    json_add_int(&json, "at", detail->sent_ms);
    json_add_int(&json, "ms", detail->took_ms);
    json_close_map(&json);
    CHECK(!out->full);
}

void held_report(struct held *held, enum task_outcome outcome,
                 int64_t retry_at_ms, const struct task_detail *detail)
{
    struct buf attempt;

    held->outcome = outcome;
    held->retry_at_ms = retry_at_ms;
    if (outcome == TASK_UNSENT)
        return;
    CHECK(detail != NULL);
    buf_init(&attempt, ATTEMPT_MAX);
    write_attempt(held, detail, &attempt);
    held->attempt = arena_copy(held->arena, buf_str(&attempt));
    buf_finish(&attempt);
}

void held_add_name(const struct held *held, struct redis_command *command)
{
    command_addf(command, "%s %.*s", held->endpoint.id.text,
                 STR_ARG(held->event));
    command_add(command, held->token);
}

/* Times go as delays: the clocks of two hosts need not agree. */
void held_add_result(const struct held *held, struct redis_command *command)
{
    static const char *const names[] = {
        [TASK_DONE] = "done",     [TASK_AGAIN] = "again", [TASK_BUSY] = "busy",
        [TASK_FAILED] = "failed", [TASK_LOST] = "lost",   [TASK_GONE] = "gone",
        [TASK_UNSENT] = "unsent",
    };
    int64_t delay_ms = 0;

    if (held->retry_at_ms > clock_shared_ms())
        delay_ms = held->retry_at_ms - clock_shared_ms();
    command_add(command, id_str(&held->endpoint.id));
    command_add(command, held->event);
    command_add(command, held->token);
    command_add_cstr(command, names[held->outcome]);
    command_add_int(command, delay_ms);
    command_add(command, held->attempt);
}
