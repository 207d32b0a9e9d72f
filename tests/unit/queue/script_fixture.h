/* script_fixture.h - scripts called one by one, as a worker of the test's. */
#ifndef TESTS_SCRIPT_FIXTURE_H
#define TESTS_SCRIPT_FIXTURE_H

#include "mail_fixture.h"

/* The answer of the last script: its parts by index, lists joined. */
static struct script_answer {
    bool done;
    char parts[12][4096];
    size_t count;
} script_answer;

static inline void flatten(const struct reply *reply, char *out, size_t size)
{
    size_t len = strlen(out);

    if (reply_type(reply) == REPLY_INT)
        snprintf(out + len, size - len, "%lld", (long long)reply_int(reply));
    else
        snprintf(out + len, size - len, "%.*s", STR_ARG(reply_str(reply)));
    for (size_t i = 0; i < reply_count(reply); i++) {
        len = strlen(out);
        snprintf(out + len, size - len, "%s", i == 0 ? "" : " ");
        flatten(reply_at(reply, i), out, size);
    }
}

static inline void on_script(void *ctx, const struct reply *reply,
                             const struct error *why)
{
    (void)ctx;
    if (reply == NULL)
        fail_msg("no answer: %s", why->text);
    if (reply_type(reply) == REPLY_ERROR)
        fail_msg("%.*s", STR_ARG(reply_str(reply)));
    memset(&script_answer, 0, sizeof script_answer);
    script_answer.count = reply_count(reply);
    for (size_t i = 0; i < reply_count(reply) && i < 12; i++)
        flatten(reply_at(reply, i), script_answer.parts[i],
                sizeof script_answer.parts[i]);
    script_answer.done = true;
}

static inline void script_send(struct world *world,
                               struct redis_command *command)
{
    script_answer.done = false;
    redis_send(world->queue->main, command, 5000, on_script, NULL);
    until(world->loop, script_answer.done);
}

enum { LEASE_MS = 10000, KEEP_BODIES_MS = 3600000 };

static const char *script_master = ""; /* as the Sentinels say */

static inline void do_register(struct world *world, const char *epoch,
                               const char *old, const char *id,
                               const char *token)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_REGISTER, 0);
    command_add_cstr(&command, epoch);
    command_add_cstr(&command, old);
    command_add_int(&command, LEASE_MS);
    command_add_int(&command, KEEP_BODIES_MS);
    command_add_cstr(&command, script_master);
    if (id != NULL) {
        command_add_cstr(&command, id);
        command_add_cstr(&command, token);
    }
    script_send(world, &command);
}

/* One turn, with at most one result and one want. */
struct turn {
    const char *epoch;
    bool looks_after_all;
    const char *id; /* of the result; NULL: none */
    const char *token;
    const char *kind;
    int64_t due_ms;
    bool final_route;
    const char *outcome;
    const char *fields;
    const char *attempts;     /* records, a line each */
    const char *suppressed;   /* of kind p */
    const char *unused_route; /* a token that is handed back, of lane 2 */
    const char *route;        /* of the want; NULL: none */
    unsigned share;
    int room[LANE_COUNT];
};

/* Parts of the answer. */
enum {
    T_WORD,
    T_NOW,
    T_NEXT,
    T_REFUSED,
    T_CLAIMS,
    T_CONTENTS,
    T_ROUTES,
    T_COUNTS
};

static inline void turn_command(const struct world *world,
                                const struct turn *turn,
                                struct redis_command *command)
{
    static unsigned next_token;

    command_init_partition(command, world->queue, SCRIPT_TURN, 0);
    command_add_cstr(command, turn->epoch);
    command_add_int(command, LEASE_MS);
    command_add_int(command, KEEP_BODIES_MS);
    next_token += 1000;
    command_add_int(command, next_token);
    command_add_int(command, turn->looks_after_all);
    command_add_int(command, turn->id != NULL);
    if (turn->id != NULL) {
        command_add_cstr(command, turn->id);
        command_add_cstr(command, turn->token);
        command_add_cstr(command, turn->kind);
        command_add_int(command, turn->due_ms);
        command_add_int(command, turn->final_route);
        command_add_cstr(command, turn->outcome == NULL ? "" : turn->outcome);
        command_add_cstr(command, turn->fields == NULL ? "" : turn->fields);
        command_add_cstr(command, turn->attempts == NULL ? "" : turn->attempts);
        if (turn->suppressed != NULL)
            command_add_cstr(command, turn->suppressed);
    }
    command_add_int(command, turn->unused_route != NULL);
    if (turn->unused_route != NULL) {
        command_add_int(command, 2);
        command_add_cstr(command, turn->unused_route);
    }
    command_add_int(command, turn->route != NULL);
    if (turn->route != NULL) {
        command_add_cstr(command, turn->route);
        command_add_int(command, turn->share);
        for (unsigned lane = 0; lane < LANE_COUNT; lane++)
            command_add_int(command, turn->room[lane]);
    }
}

static inline void do_turn(struct world *world, const struct turn *turn)
{
    struct redis_command command;

    turn_command(world, turn, &command);
    script_send(world, &command);
    assert_string_equal(script_answer.parts[T_WORD], "ok");
}

/* Claims what is there for all lanes of a route. */
static inline void do_claim(struct world *world, const char *epoch,
                            const char *route, int room)
{
    do_turn(world, &(struct turn){.epoch = epoch,
                                  .route = route,
                                  .room = {room, room, room, room}});
}

static inline bool do_mark(struct world *world, const char *epoch,
                           const char *id, const char *token)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_MARK, 0);
    command_add_cstr(&command, epoch);
    command_add_int(&command, LEASE_MS);
    command_add_cstr(&command, id);
    command_add_cstr(&command, token);
    script_send(world, &command);
    return strcmp(script_answer.parts[0], "1") == 0;
}

static inline void do_release_suspect(struct world *world, const char *epoch,
                                      const char *suspect)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_RELEASE, 0);
    command_add_cstr(&command, epoch);
    command_add_cstr(&command, suspect);
    command_add_cstr(&command, script_master);
    script_send(world, &command);
}

static inline void do_release(struct world *world, const char *epoch)
{
    do_release_suspect(world, epoch, "");
}

/* How many deliveries were stopped. */
static inline void do_cancel(struct world *world, const char *email)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_CANCEL, 0);
    command_add_cstr(&command, "default");
    command_add_cstr(&command, email);
    command_add_int(&command, KEEP_BODIES_MS);
    idempotency_add(&command, NULL);
    script_send(world, &command);
}

/* How many deliveries go at another time; they live for an hour then. */
static inline void do_reschedule(struct world *world, const char *email,
                                 int64_t due_ms, const char *record)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_RESCHEDULE, 0);
    command_add_cstr(&command, "default");
    command_add_cstr(&command, email);
    command_add_int(&command, due_ms);
    command_add_int(&command, due_ms + 3600000);
    command_add_cstr(&command, record);
    script_send(world, &command);
}

/* Of the first recipient; what had ended has an hour to live. */
static inline void do_retry_of(struct world *world, const char *email,
                               int mailboxes)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_RETRY, 0);
    command_add_cstr(&command, "default");
    command_add_cstr(&command, email);
    command_add_cstr(&command, "2"); /* lane */
    command_add_int(&command, mailboxes);
    command_add_cstr(&command, "r");
    command_add_int(&command, clock_wall_ms() + 3600000);
    command_add_cstr(&command, "1");
    idempotency_add(&command, NULL);
    command_add_cstr(&command, "0");
    command_add_cstr(&command, "main");
    script_send(world, &command);
}

static inline void do_retry(struct world *world, const char *email)
{
    do_retry_of(world, email, 1);
}

#endif
