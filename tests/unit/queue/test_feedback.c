/* What came back of a delivery behind its end: once each, its state stays, and
 * nothing that is kept of it is lost or kept longer. */
#include "script_fixture.h"

#include "queue/index.h"

#include <stdlib.h>

static const struct queue_owner OWNER = {STR("default"), 0};
static const struct queue_owner OTHER = {STR("other"), 0};

/* --- mails --- */

static struct mail mail;

static void send(struct world *world, unsigned recipients)
{
    mail = (struct mail){.mail_class = CLASS_TRANSACTIONAL,
                         .recipients = recipients};
    mail_store(world, &mail);
    do_register(world, "e1", "", NULL, NULL);
    do_claim(world, "e1", "main", 10);
}

static void report(struct world *world, unsigned number, const char *kind,
                   const char *outcome)
{
    char id[80];
    char token[64];

    snprintf(id, sizeof id, "%s:%u", mail.id.text, number);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
    assert_string_not_equal(token, "nil");
    assert_true(do_mark(world, "e1", id, token));
    do_turn(world, &(struct turn){.epoch = "e1",
                                  .id = id,
                                  .token = token,
                                  .kind = kind,
                                  .outcome = outcome});
}

static void sent(struct world *world)
{
    send(world, 1);
    report(world, 0, "s", "250,\"2.0.0\",\"ok\"");
}

/* --- what came back --- */

static struct {
    bool done;
    struct queue_feedback_answer answer;
    char mailbox[64]; /* that the address was asked for; "-": it was not */
} told;

static bool give_address(void *ctx, struct str mailbox, struct arena *arena,
                         struct suppression_entry *entry)
{
    (void)ctx;
    (void)arena;
    snprintf(told.mailbox, sizeof told.mailbox, "%.*s", STR_ARG(mailbox));
    *entry =
        (struct suppression_entry){S("one@example.net"), S("one@example.net")};
    return true;
}

static void on_told(void *ctx, const struct queue_feedback_answer *answer)
{
    (void)ctx;
    told.answer = *answer;
    told.done = true;
}

/* "taken", or "taken suppressed" ... */
static const char *tell(struct world *world, const struct queue_owner *owner,
                        unsigned number, enum event_type type, bool suppress)
{
    static const char *const FATES[] = {"taken", "known", "open", "ended",
                                        "gone"};
    static char text[64];
    const struct queue_feedback feedback = {
        .email = mail.id,
        .number = number,
        .type = type,
        .detail = {.code = 550,
                   .enhanced_code = S("5.1.1"),
                   .response = S("no such user"),
                   .bounce_type = S("Permanent"),
                   .bounce_subtype = S("NoEmail")},
        .address = suppress ? give_address : NULL,
    };

    memset(&told, 0, sizeof told);
    snprintf(told.mailbox, sizeof told.mailbox, "-");
    queue_feedback(world->queue, owner, &feedback, on_told, NULL);
    assert_false(told.done);
    until(world->loop, told.done);
    if (told.answer.status != QUEUE_OK)
        fail_msg("%d %s", told.answer.status, told.answer.why.text);
    snprintf(text, sizeof text, "%s%s", FATES[told.answer.fate],
             told.answer.suppressed ? " suppressed" : "");
    return text;
}

#define BOUNCED   EVENT_BOUNCED
#define DELIVERED EVENT_DELIVERED
#define COMPLAIN  EVENT_COMPLAINED

/* --- what is known then --- */

/* "sent sequence", a word each. */
static const char *events(void)
{
    static char kinds[512];
    const char *at = redis_ask("XRANGE ph:{0}:ev:default - +");

    kinds[0] = '\0';
    while ((at = strstr(at, "{\"t\":\"")) != NULL) {
        const char *sequence = strstr(at, "\"s\":") + strlen("\"s\":");
        size_t len = strlen(kinds);

        at += strlen("{\"t\":\"");
        snprintf(kinds + len, sizeof kinds - len, "%.*s.%d ",
                 (int)strcspn(at, "\""), at, (int)strtol(sequence, NULL, 10));
    }
    return kinds;
}

static struct {
    bool done;
    char text[256];
} seen;

static void on_seen(void *ctx, const struct queue_email *email)
{
    static const char *const SEQUELS[] = {"", "bounced", "delivered",
                                          "complained"};

    (void)ctx;
    assert_int_equal(email->status, QUEUE_OK);
    seen.text[0] = '\0';
    for (size_t i = 0; i < email->delivery_count; i++) {
        const struct queue_delivery *one = &email->deliveries[i];
        size_t len = strlen(seen.text);

        snprintf(seen.text + len, sizeof seen.text - len, "%u %d %s;",
                 one->number, one->state, SEQUELS[one->sequel]);
        assert_true((one->sequel_ms > 0) == (one->sequel != SEQUEL_NONE));
    }
    seen.done = true;
}

/* Number, state and what came back last of each. */
static void assert_seen(struct world *world, const char *format, ...)
    PRINTF_LIKE(2, 3);

static void assert_seen(struct world *world, const char *format, ...)
{
    char wanted[256];
    va_list args;

    va_start(args, format);
    vsnprintf(wanted, sizeof wanted, format, args);
    va_end(args);
    seen.done = false;
    queue_email_get(world->queue, OWNER, &mail.id, NULL, on_seen, NULL);
    until(world->loop, seen.done);
    assert_string_equal(seen.text, wanted);
}

static const char *listed(void)
{
    static char text[256];
    const char *found = redis_ask("HVALS ph:{0}:su:default");
    const char *origin = strchr(found, ' ');

    if (origin == NULL)
        return "";
    snprintf(text, sizeof text, "%.2s%s", origin + 1,
             strstr(found, mail.id.text) != NULL ? "of it" : "of none");
    return text;
}

/* --- tests --- */

static void a_late_bounce_is_told_once(void **state)
{
    struct world *world = *state;

    sent(world);
    assert_string_equal(tell(world, NULL, 0, BOUNCED, true),
                        "taken suppressed");
    assert_string_equal(told.mailbox, "one@example.net");
    assert_string_equal(events(), "email.queued.1 email.sent.2 "
                                  "email.bounced.3 suppression.added.0 ");
    assert_non_null(strstr(redis_ask("XRANGE ph:{0}:ev:default - +"),
                           "\"g\":1,\"o\":1,\"s\":3,\"at\":"));
    assert_non_null(strstr(redis_ask("XRANGE ph:{0}:ev:default - +"),
                           "\"c\":550,\"ec\":\"5.1.1\",\"r\":\"no such user\","
                           "\"bt\":\"Permanent\",\"bs\":\"NoEmail\"}"));
    assert_string_equal(listed(), "b of it");
    assert_seen(world, "0 %d bounced;", DELIVERY_SENT);
    for (unsigned i = 0; i < 3; i++)
        assert_string_equal(tell(world, NULL, 0, BOUNCED, true), "known");
    assert_string_equal(events(), "email.queued.1 email.sent.2 "
                                  "email.bounced.3 suppression.added.0 ");
    assert_string_equal(redis_ask("HGET ph:{0}:n final"), "1");
}

static void what_was_taken_off_the_list_stays_off_it(void **state)
{
    struct world *world = *state;

    sent(world);
    tell(world, NULL, 0, BOUNCED, true);
    redis_do("DEL ph:{0}:su:default ph:{0}:slb:default ph:{0}:sx:default");
    assert_string_equal(tell(world, NULL, 0, BOUNCED, true), "known");
    assert_string_equal(listed(), "");
}

static void each_kind_comes_once(void **state)
{
    struct world *world = *state;

    sent(world);
    assert_string_equal(tell(world, NULL, 0, DELIVERED, false), "taken");
    assert_string_equal(told.mailbox, "-");
    assert_seen(world, "0 %d delivered;", DELIVERY_SENT);
    assert_string_equal(tell(world, &OWNER, 0, COMPLAIN, true),
                        "taken suppressed");
    assert_string_equal(listed(), "c of it");
    assert_seen(world, "0 %d complained;", DELIVERY_SENT);
    assert_string_equal(tell(world, NULL, 0, DELIVERED, false), "known");
    assert_string_equal(tell(world, NULL, 0, BOUNCED, false), "taken");
    assert_string_equal(tell(world, NULL, 0, COMPLAIN, true), "known");
    assert_seen(world, "0 %d bounced;", DELIVERY_SENT);
    assert_string_equal(events(),
                        "email.queued.1 email.sent.2 email.delivered.3 "
                        "email.complained.4 suppression.added.0 "
                        "email.bounced.5 ");
}

static void over_a_final_route_it_was_delivered_already(void **state)
{
    struct world *world = *state;
    char id[80];
    char token[64];

    send(world, 1);
    snprintf(id, sizeof id, "%s:0", mail.id.text);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
    assert_true(do_mark(world, "e1", id, token));
    do_turn(world, &(struct turn){.epoch = "e1",
                                  .id = id,
                                  .token = token,
                                  .kind = "s",
                                  .final_route = true});
    assert_string_equal(tell(world, NULL, 0, DELIVERED, false), "known");
    assert_string_equal(tell(world, NULL, 0, BOUNCED, false), "taken");
    assert_string_equal(events(), "email.queued.1 email.sent.2 "
                                  "email.delivered.3 email.bounced.4 ");
}

static void what_is_open_is_asked_for_again(void **state)
{
    struct world *world = *state;

    send(world, 1);
    assert_string_equal(tell(world, NULL, 0, BOUNCED, true), "open");
    assert_string_equal(tell(world, NULL, 0, COMPLAIN, true), "open");
    report(world, 0, "s", "");
    assert_string_equal(listed(), "");
    assert_string_equal(tell(world, NULL, 0, BOUNCED, true),
                        "taken suppressed");
}

static void what_bounced_does_not_bounce_again(void **state)
{
    struct world *world = *state;

    send(world, 1);
    report(world, 0, "b", "550,\"5.7.1\",\"no\"");
    assert_string_equal(tell(world, NULL, 0, BOUNCED, true), "ended");
    assert_string_equal(tell(world, NULL, 0, DELIVERED, false), "ended");
    assert_string_equal(listed(), "");
    assert_string_equal(tell(world, NULL, 0, COMPLAIN, true),
                        "taken suppressed");
    assert_seen(world, "0 %d complained;", DELIVERY_BOUNCED);
}

static void of_several_recipients_each_has_its_own(void **state)
{
    struct world *world = *state;

    send(world, 3);
    report(world, 0, "s", "250,\"\",\"a \\\"quote\\\" [1,\\\"B\\\",2,\"");
    report(world, 1, "s", "250,\"\",\"ok\"");
    assert_string_equal(tell(world, NULL, 1, DELIVERED, false), "taken");
    assert_seen(world, "0 %d ;1 %d delivered;2 %d ;", DELIVERY_SENT,
                DELIVERY_SENT, DELIVERY_CLAIMED);
    report(world, 2, "s", "");
    assert_seen(world, "0 %d ;1 %d delivered;2 %d ;", DELIVERY_SENT,
                DELIVERY_SENT, DELIVERY_SENT);
    assert_string_equal(redis_ask("EXISTS ph:{0}:d:%s:0", mail.id.text), "0");
    assert_string_equal(tell(world, NULL, 1, DELIVERED, false), "known");
    assert_string_equal(tell(world, NULL, 0, BOUNCED, false), "taken");
    assert_string_equal(tell(world, NULL, 1, COMPLAIN, false), "taken");
    assert_string_equal(tell(world, NULL, 2, BOUNCED, false), "taken");
    assert_seen(world, "0 %d bounced;1 %d complained;2 %d bounced;",
                DELIVERY_SENT, DELIVERY_SENT, DELIVERY_SENT);
    assert_string_equal(tell(world, NULL, 0, BOUNCED, false), "known");
    assert_string_equal(tell(world, NULL, 9, BOUNCED, false), "gone");
    assert_string_equal(events(),
                        "email.queued.1 email.sent.2 email.sent.3 "
                        "email.delivered.4 email.sent.5 email.bounced.6 "
                        "email.complained.7 email.bounced.8 ");
}

/* Its next life begins where all that was known of it ended. */
static void a_retry_by_hand_forgets_nothing(void **state)
{
    struct world *world = *state;

    send(world, 2);
    report(world, 0, "b", "550,\"5.7.1\",\"no\"");
    report(world, 1, "s", "250,\"\",\"ok\"");
    assert_string_equal(tell(world, NULL, 1, BOUNCED, false), "taken");
    do_retry_of(world, mail.id.text, 2);
    assert_string_equal(tell(world, NULL, 1, BOUNCED, false), "known");
    assert_string_equal(tell(world, NULL, 1, DELIVERED, false), "taken");
    do_claim(world, "e1", "main", 10);
    report(world, 0, "s", "250,\"\",\"ok\"");
    assert_string_equal(tell(world, NULL, 1, BOUNCED, false), "known");
    assert_string_equal(tell(world, NULL, 1, DELIVERED, false), "known");
    assert_string_equal(tell(world, NULL, 0, BOUNCED, false), "taken");
    assert_string_equal(events(),
                        "email.queued.1 email.bounced.2 email.sent.3 "
                        "email.bounced.4 email.delivered.5 email.sent.6 "
                        "email.bounced.7 ");
    assert_non_null(strstr(redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"),
                           "\"g\":2,\"o\":1,"));
}

/* Whose address it was is not known any more: what a report says of that may
 * be made up by whoever got the mail. */
static void what_is_swept_keeps_nobody_off(void **state)
{
    struct world *world = *state;

    sent(world);
    redis_do("DEL ph:{0}:h:%s ph:{0}:c:%s", mail.id.text, mail.id.text);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(
            tell(world, i == 0 ? NULL : &OWNER, 0, BOUNCED, true), "gone");
        assert_string_equal(told.mailbox, "-");
    }
    assert_string_equal(listed(), "");
    assert_string_equal(events(), "email.queued.1 email.sent.2 ");
}

static void nobody_tells_of_the_mail_of_others(void **state)
{
    struct world *world = *state;

    sent(world);
    assert_string_equal(tell(world, &OTHER, 0, BOUNCED, true), "gone");
    assert_string_equal(told.mailbox, "-");
    assert_string_equal(events(), "email.queued.1 email.sent.2 ");
    assert_int_equal(strtol(redis_ask("HLEN ph:{0}:su:other"), NULL, 10), 0);
    assert_seen(world, "0 %d ;", DELIVERY_SENT);
    redis_do("HSET ph:{0}:o:default frozen leaving");
    told.done = false;
    queue_feedback(
        world->queue, NULL,
        &(struct queue_feedback){.email = mail.id, .type = EVENT_BOUNCED},
        on_told, NULL);
    until(world->loop, told.done);
    assert_int_equal(told.answer.status, QUEUE_FROZEN);
}

/* The line in ended is still that of the history, and all is refunded. */
static void it_is_swept_as_if_nothing_had_come_back(void **state)
{
    struct world *world = *state;
    struct redis_command command;

    sent(world);
    tell(world, NULL, 0, BOUNCED, false);
    tell(world, NULL, 0, COMPLAIN, false);
    command_init_partition(&command, world->queue, SCRIPT_FANOUT, 0);
    command_add_cstr(&command, "email.sent");
    command_add_cstr(&command, "200");
    script_send(world, &command);
    command_init_partition(&command, world->queue, SCRIPT_PROJECT, 0);
    command_add_cstr(&command, "default");
    command_add_cstr(&command, "200");
    command_add_cstr(&command, "86400000");
    redis_send(world->queue->main, &command, 5000, NULL, NULL);
    redis_do("HSET ph:meta test_offset_ms 7201000");
    for (unsigned i = 0; i < 2; i++) {
        command_init_partition(&command, world->queue, SCRIPT_SWEEP, 0);
        command_add_int(&command, KEEP_BODIES_MS);
        command_add_cstr(&command, "7200000");
        command_add_int(&command, 0);
        script_send(world, &command);
    }
    assert_string_equal(
        redis_ask("EXISTS ph:{0}:h:%s ph:{0}:t:%s", mail.id.text, mail.id.text),
        "0");
    assert_string_equal(redis_ask("HGET ph:{0}:n history_bytes"), "0");
    assert_string_equal(redis_ask("XLEN ph:{0}:ev:default"), "0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_late_bounce_is_told_once),
        WORLD_TEST(what_was_taken_off_the_list_stays_off_it),
        WORLD_TEST(each_kind_comes_once),
        WORLD_TEST(over_a_final_route_it_was_delivered_already),
        WORLD_TEST(what_is_open_is_asked_for_again),
        WORLD_TEST(what_bounced_does_not_bounce_again),
        WORLD_TEST(of_several_recipients_each_has_its_own),
        WORLD_TEST(a_retry_by_hand_forgets_nothing),
        WORLD_TEST(what_is_swept_keeps_nobody_off),
        WORLD_TEST(nobody_tells_of_the_mail_of_others),
        WORLD_TEST(it_is_swept_as_if_nothing_had_come_back),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
