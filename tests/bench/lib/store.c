#include "tests/bench/lib/store.h"

#include "server/base/clock.h"
#include "server/base/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_SIZE = 700, TURN_MS = 100 };

struct storing {
    const struct store_plan *plan;
    size_t sent;
    size_t stored;
};

struct queue *store_open(struct loop *loop, long redis_port,
                         struct config *config)
{
    static char url[64];
    struct queue *queue;

    snprintf(url, sizeof url, "redis://127.0.0.1:%ld/0", redis_port);
    *config = (struct config){
        .redis = {.url = url, .username = "", .password = "", .prefix = "ph:"},
        .worker = {.lease_ms = 10000},
        .privacy = {.keep_bodies_ms = 0, .keep_events_ms = 2592000000},
    };
    queue = queue_open(loop, config, NULL);
    while (!queue_is_ready(queue, NULL))
        loop_turn(loop, TURN_MS);
    return queue;
}

static void on_stored(void *ctx, const struct queue_answer *answer)
{
    struct storing *storing = ctx;

    if (answer->status != QUEUE_OK) {
        fprintf(stderr, "store: %s\n", answer->why.text);
        exit(1);
    }
    storing->stored++;
}

/* The job as the API would store it. */
static void write_json(char *out, size_t size, const char *to)
{
    static char body[BODY_SIZE + 1];

    memset(body, 'x', BODY_SIZE);
    snprintf(out, size,
             "{\"from\":\"Shop <shop@sender.test>\",\"to\":\"%s\",\"subject\":"
             "\"Your order has been shipped\",\"html\":\"%s\"}",
             to, body);
}

static void store_one(struct storing *storing)
{
    const struct store_plan *plan = storing->plan;
    const struct queue_recipient recipient = {0, str_of(plan->route),
                                              S("ada@example.net")};
    char key[SHA256_HEX_SIZE];
    char json[BODY_SIZE + 300];
    char address[64];
    struct str to = str_of(address);
    struct summary summary = {
        .email = id_new(0),
        .owner = str_of(plan->owner),
        .from = S("Shop <shop@sender.test>"),
        .to = &to,
        .to_count = 1,
        .subject = S("Your order has been shipped"),
        .mail_class = plan->mail_class,
        .message_id = S("<0189c000-0000-7000-8000-000000000001@sender.test>"),
        .created_ms = clock_wall_ms(),
    };
    struct queue_mail mail = {
        .summary = &summary,
        .recipients = &recipient,
        .recipient_count = 1,
        .date_ms = summary.created_ms,
        .max_age_ms = 259200000,
        .answer = S("{\"id\":\"0189c000-0000-7000-8000-000000000001\","
                    "\"status\":\"queued\"}"),
    };

    snprintf(address, sizeof address, "n%zu@sink.test",
             plan->first + storing->sent);
    to = str_of(address);
    secret_sha256_hex(to, key);
    mail.idempotency.key_hash = mail.idempotency.fingerprint = str_of(key);
    write_json(json, sizeof json, address);
    mail.mail_json = str_of(json);
    storing->sent++;
    queue_enqueue(plan->queue, &mail, on_stored, storing);
}

void store_mails(const struct store_plan *plan)
{
    struct storing storing = {.plan = plan};

    while (storing.stored < plan->mails) {
        while (storing.sent < plan->mails &&
               storing.sent - storing.stored < plan->flight)
            store_one(&storing);
        loop_turn(plan->loop, TURN_MS);
    }
}
