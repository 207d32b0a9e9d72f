/* The state table of docs/queue.md, cell by cell: a delivery is brought into
 * a state, one operation is done to it, and its new state, the event and
 * every place where it may be listed are looked at. */
#include "script_fixture.h"

#include "queue/index.h"

static char email[64];
static char id[80]; /* of the delivery */
static char token[64];

enum op {
    OP_CLAIM,      /* its id comes up in its flow */
    OP_CLAIM_BAD,  /* the same; its address is on the list meanwhile */
    OP_MARK,       /* with the token of the last claim */
    OP_MARK_OTHER, /* with another one */
    OP_SENT,       /* with the token of the last claim */
    OP_SENT_OTHER, /* with another one */
    OP_SENT_FINAL, /* over a final route */
    OP_SOFT,       /* next try in time */
    OP_SOFT_LATE,  /* next try beyond its end */
    OP_GIVEN_UP,   /* soft, and the worker says expired */
    OP_BOUNCED,
    OP_BOUNCED_BAD, /* and its address goes on the list */
    OP_FAILED,
    OP_UNSENT,
    OP_UNSENT_LATER,
    OP_UNKNOWN,
    OP_UNKNOWN_LATER,
    OP_UNKNOWN_PASSED, /* that time has come before its word */
    OP_UNKNOWN_LATE,   /* the next try lies past its end */
    OP_CANCEL,
    OP_RETRY,              /* by hand */
    OP_RESCHEDULE,         /* to a later time */
    OP_RESCHEDULE_UNTRIED, /* the same, from due without an attempt */
    OP_RESCHEDULE_NOW,     /* from there, to a time in the past */
    OP_WORKER_DEAD,        /* its lease ran out */
    OP_RELEASED,           /* its supervisor says that it died */
    OP_END,                /* deadline, or end of its life */
};

static const struct cell {
    const char *name;
    char state;
    enum op op;
    char after;        /* a letter of deliveries.lua */
    const char *event; /* raised; NULL: none */
    bool refused;      /* a result that is counted as refused */
    enum on_unknown on_unknown;
    bool is_late; /* its end has passed before the operation */
} CELLS[] = {
    {"queued is claimed", 'q', OP_CLAIM, 'c', NULL, false, 0, false},
    {"queued, too late", 'q', OP_CLAIM, 'E', "expired", false, 0, true},
    {"queued, on the list", 'q', OP_CLAIM_BAD, 'P', "suppressed", false, 0,
     false},
    {"queued, on the list, too late", 'q', OP_CLAIM_BAD, 'E', "expired", false,
     0, true},
    {"queued, mark", 'q', OP_MARK, 'q', NULL, false, 0, false},
    {"queued, late 250", 'q', OP_SENT, 'S', "sent", false, 0, false},
    {"queued, 250 of another", 'q', OP_SENT_OTHER, 'q', NULL, true, 0, false},
    {"queued, soft", 'q', OP_SOFT, 'q', NULL, true, 0, false},
    {"queued, given up", 'q', OP_GIVEN_UP, 'q', NULL, true, 0, false},
    {"queued, bounced", 'q', OP_BOUNCED, 'q', NULL, true, 0, false},
    {"queued, bad address", 'q', OP_BOUNCED_BAD, 'q', NULL, true, 0, false},
    {"queued, failed", 'q', OP_FAILED, 'q', NULL, true, 0, false},
    {"queued, unsent", 'q', OP_UNSENT, 'q', NULL, true, 0, false},
    {"queued, unknown", 'q', OP_UNKNOWN, 'q', NULL, true, 0, false},
    {"queued, cancel", 'q', OP_CANCEL, 'C', "canceled", false, 0, false},
    {"queued, retry", 'q', OP_RETRY, 'q', NULL, false, 0, false},
    {"queued, reschedule", 'q', OP_RESCHEDULE, 'q', NULL, false, 0, false},
    {"queued, worker dead", 'q', OP_WORKER_DEAD, 'q', NULL, false, 0, false},
    {"queued, end", 'q', OP_END, 'E', "expired", false, 0, true},

    {"due, leftover id", 'u', OP_CLAIM, 'u', NULL, false, 0, false},
    {"due, mark", 'u', OP_MARK, 'u', NULL, false, 0, false},
    {"due, late 250", 'u', OP_SENT, 'S', "sent", false, 0, false},
    {"due, 250 of another", 'u', OP_SENT_OTHER, 'u', NULL, true, 0, false},
    {"due, soft", 'u', OP_SOFT, 'u', NULL, true, 0, false},
    {"due, bounced", 'u', OP_BOUNCED, 'u', NULL, true, 0, false},
    {"due, on the list", 'u', OP_CLAIM_BAD, 'u', NULL, false, 0, false},
    {"due, bad address", 'u', OP_BOUNCED_BAD, 'u', NULL, true, 0, false},
    {"due, unsent", 'u', OP_UNSENT, 'u', NULL, true, 0, false},
    {"due, unknown", 'u', OP_UNKNOWN, 'u', NULL, true, 0, false},
    {"due, cancel", 'u', OP_CANCEL, 'C', "canceled", false, 0, false},
    {"due, retry", 'u', OP_RETRY, 'q', NULL, false, 0, false},
    {"due, reschedule after an attempt", 'u', OP_RESCHEDULE, 'u', NULL, false,
     0, false},
    {"due without an attempt, reschedule", 'u', OP_RESCHEDULE_UNTRIED, 'u',
     NULL, false, 0, false},
    {"due without an attempt, reschedule to the past", 'u', OP_RESCHEDULE_NOW,
     'q', NULL, false, 0, false},
    {"due, worker dead", 'u', OP_WORKER_DEAD, 'u', NULL, false, 0, false},
    {"due, end", 'u', OP_END, 'E', "expired", false, 0, true},

    {"claimed, leftover id", 'c', OP_CLAIM, 'c', NULL, false, 0, false},
    {"claimed is marked", 'c', OP_MARK, 'x', NULL, false, 0, false},
    {"claimed, mark of another", 'c', OP_MARK_OTHER, 'c', NULL, false, 0,
     false},
    {"claimed, mark past its end", 'c', OP_MARK, 'c', NULL, false, 0, true},
    {"claimed, sent: Redis lost the mark", 'c', OP_SENT, 'S', "sent", false, 0,
     false},
    {"claimed, 250 of another", 'c', OP_SENT_OTHER, 'c', NULL, true, 0, false},
    {"claimed, soft", 'c', OP_SOFT, 'u', "delivery_delayed", false, 0, false},
    {"claimed, soft beyond its end", 'c', OP_SOFT_LATE, 'E', "expired", false,
     0, false},
    {"claimed, given up", 'c', OP_GIVEN_UP, 'E', "expired", false, 0, false},
    {"claimed, bounced", 'c', OP_BOUNCED, 'B', "bounced", false, 0, false},
    {"claimed, on the list", 'c', OP_CLAIM_BAD, 'c', NULL, false, 0, false},
    {"claimed, bad address", 'c', OP_BOUNCED_BAD, 'B', "bounced", false, 0,
     false},
    {"claimed, failed", 'c', OP_FAILED, 'F', "failed", false, 0, false},
    {"claimed, unsent", 'c', OP_UNSENT, 'q', NULL, false, 0, false},
    {"claimed, unsent for now", 'c', OP_UNSENT_LATER, 'u', NULL, false, 0,
     false},
    {"claimed, unknown: Redis lost the mark", 'c', OP_UNKNOWN, 'q', NULL, false,
     ON_UNKNOWN_RETRY, false},
    {"the same, hold", 'c', OP_UNKNOWN, 'h', NULL, false, ON_UNKNOWN_HOLD,
     false},
    {"the same, fail", 'c', OP_UNKNOWN, 'F', "failed", false, ON_UNKNOWN_FAIL,
     false},
    {"claimed, cancel", 'c', OP_CANCEL, 'C', "canceled", false, 0, false},
    {"claimed, retry", 'c', OP_RETRY, 'c', NULL, false, 0, false},
    {"claimed, reschedule", 'c', OP_RESCHEDULE, 'c', NULL, false, 0, false},
    {"claimed, worker dead", 'c', OP_WORKER_DEAD, 'q', NULL, false, 0, false},
    {"claimed, released", 'c', OP_RELEASED, 'q', NULL, false, 0, false},
    {"claimed, end", 'c', OP_END, 'E', "expired", false, 0, true},

    {"dotted, leftover id", 'x', OP_CLAIM, 'x', NULL, false, 0, false},
    {"dotted is marked anew", 'x', OP_MARK, 'x', NULL, false, 0, false},
    {"dotted, mark of another", 'x', OP_MARK_OTHER, 'x', NULL, false, 0, false},
    {"dotted, mark past its end", 'x', OP_MARK, 'x', NULL, false, 0, true},
    {"dotted, sent", 'x', OP_SENT, 'S', "sent", false, 0, false},
    {"dotted, sent, its end has passed", 'x', OP_SENT, 'S', "sent", false, 0,
     true},
    {"dotted, 250 of another", 'x', OP_SENT_OTHER, 'x', NULL, true, 0, false},
    {"dotted, sent to the end", 'x', OP_SENT_FINAL, 'D', "delivered", false, 0,
     false},
    {"dotted, soft", 'x', OP_SOFT, 'u', "delivery_delayed", false, 0, false},
    {"dotted, soft beyond its end", 'x', OP_SOFT_LATE, 'E', "expired", false, 0,
     false},
    {"dotted, bounced", 'x', OP_BOUNCED, 'B', "bounced", false, 0, false},
    {"dotted, bad address", 'x', OP_BOUNCED_BAD, 'B', "bounced", false, 0,
     false},
    {"dotted, failed", 'x', OP_FAILED, 'F', "failed", false, 0, false},
    {"dotted, unsent", 'x', OP_UNSENT, 'q', NULL, false, 0, false},
    {"dotted, unknown: retry", 'x', OP_UNKNOWN, 'q', NULL, false,
     ON_UNKNOWN_RETRY, false},
    {"dotted, unknown: retry later", 'x', OP_UNKNOWN_LATER, 'u',
     "delivery_delayed", false, ON_UNKNOWN_RETRY, false},
    {"dotted, unknown: retry since a while", 'x', OP_UNKNOWN_PASSED, 'q',
     "delivery_delayed", false, ON_UNKNOWN_RETRY, false},
    {"dotted, unknown: no time to retry", 'x', OP_UNKNOWN_LATE, 'F', "failed",
     false, ON_UNKNOWN_RETRY, false},
    {"dotted, unknown: hold", 'x', OP_UNKNOWN, 'h', NULL, false,
     ON_UNKNOWN_HOLD, false},
    {"dotted, unknown: fail", 'x', OP_UNKNOWN, 'F', "failed", false,
     ON_UNKNOWN_FAIL, false},
    {"dotted, cancel", 'x', OP_CANCEL, 'x', NULL, false, 0, false},
    {"dotted, retry", 'x', OP_RETRY, 'x', NULL, false, 0, false},
    {"dotted, reschedule", 'x', OP_RESCHEDULE, 'x', NULL, false, 0, false},
    {"dotted, worker dead: retry", 'x', OP_WORKER_DEAD, 'q', NULL, false,
     ON_UNKNOWN_RETRY, false},
    {"dotted, worker dead: hold", 'x', OP_WORKER_DEAD, 'h', NULL, false,
     ON_UNKNOWN_HOLD, false},
    {"dotted, worker dead: no time to retry", 'x', OP_WORKER_DEAD, 'F',
     "failed", false, ON_UNKNOWN_RETRY, true},
    {"dotted, worker dead: fail", 'x', OP_WORKER_DEAD, 'F', "failed", false,
     ON_UNKNOWN_FAIL, false},
    {"dotted, released: waits", 'x', OP_RELEASED, 'x', NULL, false, 0, false},
    {"dotted, end", 'x', OP_END, 'x', NULL, false, 0, true},

    {"held, leftover id", 'h', OP_CLAIM, 'h', NULL, false, 0, false},
    {"held, mark", 'h', OP_MARK, 'h', NULL, false, 0, false},
    {"held, late 250", 'h', OP_SENT, 'S', "sent", false, 0, false},
    {"held, soft", 'h', OP_SOFT, 'h', NULL, true, 0, false},
    {"held, bounced", 'h', OP_BOUNCED, 'h', NULL, true, 0, false},
    {"held, bad address", 'h', OP_BOUNCED_BAD, 'h', NULL, true, 0, false},
    {"held, unsent", 'h', OP_UNSENT, 'h', NULL, true, 0, false},
    {"held, unknown", 'h', OP_UNKNOWN, 'h', NULL, true, 0, false},
    {"held, cancel", 'h', OP_CANCEL, 'C', "canceled", false, 0, false},
    {"held, retry", 'h', OP_RETRY, 'q', NULL, false, 0, false},
    {"held, reschedule", 'h', OP_RESCHEDULE, 'h', NULL, false, 0, false},
    {"held, worker dead", 'h', OP_WORKER_DEAD, 'h', NULL, false, 0, false},
    {"held, end", 'h', OP_END, 'F', "failed", false, 0, true},

    {"dead, leftover id", 'k', OP_CLAIM, 'k', NULL, false, 0, false},
    {"dead, mark", 'k', OP_MARK, 'k', NULL, false, 0, false},
    {"dead, late 250", 'k', OP_SENT, 'S', "sent", false, 0, false},
    {"dead, soft", 'k', OP_SOFT, 'k', NULL, true, 0, false},
    {"dead, bounced", 'k', OP_BOUNCED, 'k', NULL, true, 0, false},
    {"dead, unsent", 'k', OP_UNSENT, 'k', NULL, true, 0, false},
    {"dead, unknown", 'k', OP_UNKNOWN, 'k', NULL, true, 0, false},
    {"dead, cancel", 'k', OP_CANCEL, 'C', "canceled", false, 0, false},
    {"dead, retry", 'k', OP_RETRY, 'q', NULL, false, 0, false},
    {"dead, reschedule", 'k', OP_RESCHEDULE, 'k', NULL, false, 0, false},
    {"dead, end", 'k', OP_END, 'F', "failed", false, 0, true},

    {"final, leftover id", 'S', OP_CLAIM, 'S', NULL, false, 0, false},
    {"final, mark", 'S', OP_MARK, 'S', NULL, false, 0, false},
    {"final, sent again", 'S', OP_SENT, 'S', NULL, false, 0, false},
    {"final, soft", 'S', OP_SOFT, 'S', NULL, false, 0, false},
    {"final, bounced", 'S', OP_BOUNCED, 'S', NULL, false, 0, false},
    {"final, bad address", 'S', OP_BOUNCED_BAD, 'S', NULL, false, 0, false},
    {"final, unsent", 'S', OP_UNSENT, 'S', NULL, false, 0, false},
    {"final, unknown", 'S', OP_UNKNOWN, 'S', NULL, false, 0, false},
    {"final, cancel", 'S', OP_CANCEL, 'S', NULL, false, 0, false},
    {"final, reschedule", 'S', OP_RESCHEDULE, 'S', NULL, false, 0, false},
    {"canceled, reschedule", 'C', OP_RESCHEDULE, 'C', NULL, false, 0, false},
    {"sent, retry", 'S', OP_RETRY, 'S', NULL, false, 0, false},
    {"bounced, retry", 'B', OP_RETRY, 'q', NULL, false, 0, false},
    {"failed, retry", 'F', OP_RETRY, 'q', NULL, false, 0, false},
    {"expired, retry", 'E', OP_RETRY, 'q', NULL, false, 0, false},
    {"suppressed, retry", 'P', OP_RETRY, 'q', NULL, false, 0, false},
    {"superseded, retry", 'U', OP_RETRY, 'U', NULL, false, 0, false},
    {"canceled, retry", 'C', OP_RETRY, 'q', NULL, false, 0, false},
    {"final, worker dead", 'S', OP_WORKER_DEAD, 'S', NULL, false, 0, false},
};

/* --- looking --- */

/* The state's letter, from the delivery or from the history. */
static char state_now(void)
{
    const char *text = redis_ask("HGET ph:{0}:d:%s s", id);

    if (strcmp(text, "nil") != 0)
        return text[0];
    text = strstr(redis_ask("GET ph:{0}:h:%s", email), "[[0,\"");
    return text == NULL ? '?' : text[5];
}

static unsigned event_count(void)
{
    return (unsigned)strtoul(redis_ask("XLEN ph:{0}:ev:default"), NULL, 10);
}

/* Of the last two, where an address comes on the list of suppressions. */
static bool last_event_is(const char *kind, bool is_listed)
{
    const char *last = redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT %d",
                                 is_listed ? 2 : 1);
    char member[64];

    snprintf(member, sizeof member, "\"t\":\"email.%s\"", kind);
    return strstr(last, member) != NULL &&
           (strstr(last, "\"t\":\"suppression.added\"") != NULL) == is_listed;
}

static bool is_in(const char *set)
{
    return strcmp(redis_ask("ZSCORE ph:{0}:%s %s", set, id), "nil") != 0;
}

/* Each state has its place, and is in no other. */
static void check_places(const char *name, char state)
{
    bool is_owned =
        strcmp(redis_ask("SISMEMBER ph:{0}:own:e1 %s", id), "1") == 0;
    bool is_queued =
        strcmp(redis_ask("LPOS ph:{0}:q:2:default:main %s", id), "nil") != 0;
    bool is_suspect = strcmp(redis_ask("LPOS ph:{0}:suspect %s", id), "nil") !=
                      0; /* what was dead is tried again alone */
    bool is_open = strchr("qucxhk", state) != NULL;

    if (is_owned != (state == 'c' || state == 'x'))
        fail_msg("%s: own", name);
    if (state == 'q' && !is_queued && !is_suspect)
        fail_msg("%s: flow", name);
    if (is_in("due:2") != (state == 'u'))
        fail_msg("%s: due", name);
    if (is_in("held") != (state == 'h'))
        fail_msg("%s: held", name);
    if (is_in("dead") != (state == 'k'))
        fail_msg("%s: dead", name);
    if (is_in("exp") && !is_open)
        fail_msg("%s: exp", name);
    if (strcmp(redis_ask("EXISTS ph:{0}:d:%s", id), is_open ? "1" : "0") != 0)
        fail_msg("%s: d", name);
    if (strcmp(redis_ask("EXISTS ph:{0}:h:%s", email), is_open ? "0" : "1") !=
        0)
        fail_msg("%s: h", name);
    if (strcmp(redis_ask("TTL ph:{0}:c:%s", email), "-1") != 0 && is_open)
        fail_msg("%s: the content is not kept", name);
    if (is_open &&
        strcmp(redis_ask("OBJECT ENCODING ph:{0}:d:%s", id), "listpack") != 0)
        fail_msg("%s: not a listpack", name);
}

/* --- into a state --- */

static void result(struct world *world, const char *kind, const char *with,
                   int64_t due_ms)
{
    do_turn(world, &(struct turn){.epoch = "e1",
                                  .id = id,
                                  .token = with,
                                  .kind = kind,
                                  .due_ms = due_ms,
                                  .outcome = "450,\"4.2.0\",\"later\""});
}

/* Nothing suppresses or supersedes yet: the history is made to say so. */
static void end_as(struct world *world, char state)
{
    const char letter[] = {state, '\0'};

    result(world, state == 'F' ? "f" : state == 'E' ? "e" : "b", token, 0);
    if (strchr("PUC", state) == NULL)
        return;
    redis_do("EVAL %s 1 ph:{0}:h:%s %s",
             "redis.call('SET', KEYS[1], (string.gsub(redis.call('GET', "
             "KEYS[1]), '0,\"B\"', '0,\"' .. ARGV[1] .. '\"')))",
             email, letter);
}

static bool is_untried(enum op op)
{
    return op == OP_RESCHEDULE_UNTRIED || op == OP_RESCHEDULE_NOW;
}

static void into(struct world *world, const struct cell *cell)
{
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL,
                        .on_unknown = cell->on_unknown};
    int64_t later_ms = clock_wall_ms() + 60000;

    redis_do("FLUSHDB");
    mail.deadline_ms = clock_wall_ms() + 3600000;
    if (cell->state == 'h')
        mail.on_unknown = ON_UNKNOWN_HOLD;
    mail_store(world, &mail);
    snprintf(email, sizeof email, "%s", mail.id.text);
    snprintf(id, sizeof id, "%s:0", email);
    do_register(world, "e1", "", NULL, NULL);
    do_claim(world, "e1", "main", 10);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
    if (cell->state == 'c')
        return;
    if (cell->state == 'q' || cell->state == 'k')
        result(world, "n", token, 0);
    else if (cell->state == 'u')
        result(world, is_untried(cell->op) ? "n" : "o", token, later_ms);
    else
        assert_true(do_mark(world, "e1", id, token));
    if (cell->state == 'h')
        result(world, "u", token, 0);
    if (cell->state == 'S')
        result(world, "s", token, 0);
    if (strchr("BFEPUC", cell->state) != NULL)
        end_as(world, cell->state);
    if (cell->state == 'k') { /* nothing makes poison yet */
        redis_do("HSET ph:{0}:d:%s s k", id);
        redis_do("ZADD ph:{0}:dead %lld %s", (long long)mail.deadline_ms, id);
        redis_do("DEL ph:{0}:q:2:default:main ph:{0}:ring:2:main");
    }
}

/* Its end was a second ago. */
static void make_late(const struct cell *cell)
{
    long long past_ms = (long long)clock_wall_ms() - 1000;

    redis_do("HSET ph:{0}:d:%s x %lld", id, past_ms);
    if (cell->op != OP_END)
        return;
    redis_do("ZADD ph:{0}:exp XX %lld %s", past_ms, id);
    redis_do("ZADD ph:{0}:held XX %lld %s", past_ms, id);
    redis_do("ZADD ph:{0}:dead XX %lld %s", past_ms, id);
}

/* --- the operations --- */

/* Another child's turn finds the lease of e1 in the past. */
static void let_worker_die(struct world *world)
{
    redis_do("ZADD ph:{0}:workers 1 e1");
    if (state_now() == 'S') /* a leftover, which goes too */
        redis_do("SADD ph:{0}:own:e1 %s", id);
    do_register(world, "e2", "", NULL, NULL);
    do_turn(world, &(struct turn){.epoch = "e2"});
    assert_string_equal(redis_ask("ZSCORE ph:{0}:workers e1"), "nil");
}

static void come_up_in_flow(struct world *world, const struct cell *cell)
{
    if (cell->state != 'q') {
        redis_do("RPUSH ph:{0}:q:2:default:main %s", id);
        redis_do("RPUSH ph:{0}:ring:2:main default");
    }
    do_claim(world, "e1", "main", 10);
    assert_string_equal(redis_ask("EXISTS ph:{0}:q:2:default:main"), "0");
    assert_string_equal(redis_ask("EXISTS ph:{0}:ring:2:main"), "0");
}

static void put_on_list(void)
{
    char hash[ADDRESS_HASH_SIZE];

    address_hash(S("one@example.net"), hash);
    redis_do("HSET ph:{0}:su:default %s %s", hash,
             "019300a0-0000-7000-8000-000000000001 m 1 0 0 - - "
             "one@example.net");
    redis_do("HSET ph:{0}:o:default sup %lld", (long long)clock_wall_ms());
}

static bool is_on_list(void)
{
    return strcmp(redis_ask("HLEN ph:{0}:su:default"), "0") != 0;
}

static void bounce_for_address(struct world *world)
{
    char hash[ADDRESS_HASH_SIZE];
    char suppressed[128];

    address_hash(S("one@example.net"), hash);
    snprintf(suppressed, sizeof suppressed, "%s %s one@example.net",
             "019300a0-0000-7000-8000-000000000001", hash);
    do_turn(world, &(struct turn){.epoch = "e1",
                                  .id = id,
                                  .token = token,
                                  .kind = "p",
                                  .outcome = "550,\"5.1.1\",\"gone\"",
                                  .suppressed = suppressed});
}

static bool may_be_marked(const struct cell *cell)
{
    return cell->op == OP_MARK && (cell->state == 'c' || cell->state == 'x') &&
           !cell->is_late;
}

static void operate(struct world *world, const struct cell *cell)
{
    int64_t soon_ms = clock_wall_ms() + 60000;
    bool marked;

    switch (cell->op) {
    case OP_CLAIM:
        come_up_in_flow(world, cell);
        break;
    case OP_CLAIM_BAD:
        put_on_list();
        come_up_in_flow(world, cell);
        break;
    case OP_MARK:
    case OP_MARK_OTHER:
        marked =
            do_mark(world, "e1", id, cell->op == OP_MARK ? token : "e1:999999");
        if (marked != may_be_marked(cell))
            fail_msg("%s: marked %d", cell->name, marked);
        break;
    case OP_SENT:
        result(world, "s", token, 0);
        break;
    case OP_SENT_OTHER:
        result(world, "s", "e1:999999", 0);
        break;
    case OP_SENT_FINAL:
        do_turn(world, &(struct turn){.epoch = "e1",
                                      .id = id,
                                      .token = token,
                                      .kind = "s",
                                      .final_route = true});
        break;
    case OP_SOFT:
        result(world, "o", token, soon_ms);
        break;
    case OP_SOFT_LATE:
        result(world, "o", token, soon_ms + 36000000);
        break;
    case OP_GIVEN_UP:
        result(world, "e", token, 0);
        break;
    case OP_BOUNCED:
        result(world, "b", token, 0);
        break;
    case OP_BOUNCED_BAD:
        bounce_for_address(world);
        if (is_on_list() != (cell->after == 'B'))
            fail_msg("%s: the list", cell->name);
        break;
    case OP_FAILED:
        result(world, "f", token, 0);
        break;
    case OP_UNSENT:
        result(world, "n", token, 0);
        break;
    case OP_UNSENT_LATER:
        result(world, "n", token, soon_ms);
        break;
    case OP_UNKNOWN:
        result(world, "u", token, 0);
        break;
    case OP_UNKNOWN_PASSED:
        result(world, "u", token, 1);
        break;
    case OP_UNKNOWN_LATER:
        result(world, "u", token, soon_ms);
        break;
    case OP_UNKNOWN_LATE:
        result(world, "u", token, soon_ms + 36000000);
        break;
    case OP_CANCEL:
        do_cancel(world, email);
        break;
    case OP_RETRY:
        do_retry(world, email);
        break;
    case OP_RESCHEDULE:
    case OP_RESCHEDULE_UNTRIED:
        do_reschedule(world, email, soon_ms, "record");
        break;
    case OP_RESCHEDULE_NOW:
        do_reschedule(world, email, 0, "record");
        break;
    case OP_WORKER_DEAD:
        let_worker_die(world);
        break;
    case OP_RELEASED:
        do_release(world, "e1");
        break;
    case OP_END:
    default:
        do_turn(world, &(struct turn){.epoch = "e1"});
        break;
    }
}

static bool is_result(enum op op)
{
    return op >= OP_SENT && op <= OP_UNKNOWN_LATE;
}

static void run_cell(struct world *world, const struct cell *cell)
{
    bool is_listed = cell->op == OP_BOUNCED_BAD && cell->event != NULL;
    unsigned events;
    unsigned more;

    into(world, cell);
    if (state_now() != cell->state)
        fail_msg("%s: begins as %c", cell->name, state_now());
    check_places(cell->name, cell->state);
    if (cell->is_late)
        make_late(cell);
    events = event_count();
    operate(world, cell);
    if (is_result(cell->op) &&
        strcmp(script_answer.parts[T_REFUSED], cell->refused ? "1" : "0") != 0)
        fail_msg("%s: refused", cell->name);
    if (state_now() != cell->after)
        fail_msg("%s: ends as %c", cell->name, state_now());
    check_places(cell->name, cell->after);
    more = cell->event == NULL ? 0 : cell->after == 'D' || is_listed ? 2 : 1;
    if (event_count() != events + more ||
        (cell->event != NULL && !last_event_is(cell->event, is_listed)))
        fail_msg("%s: events: %s", cell->name,
                 redis_ask("XRANGE ph:{0}:ev:default - +"));
}

static void every_cell(void **state)
{
    for (size_t i = 0; i < COUNT_OF(CELLS); i++)
        run_cell(*state, &CELLS[i]);
}

/* --- what the cells do besides --- */

static void setup_state(struct world *world, char state,
                        enum on_unknown on_unknown)
{
    struct cell cell = {.state = state, .on_unknown = on_unknown};

    into(world, &cell);
}

static void attempts_count_what_was_tried(void **state)
{
    struct world *world = *state;

    setup_state(world, 'c', 0);
    result(world, "n", token, 0);
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s a dup", id), "nil nil");
    setup_state(world, 'c', 0);
    result(world, "o", token, clock_wall_ms() + 1000);
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s a dd p1", id),
                        "1 1 450,\"4.2.0\",\"later\"\n");
    setup_state(world, 'x', 0);
    result(world, "u", token, 0);
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s a dup", id), "1 1");
    /* The next one to have it is told. */
    do_claim(world, "e1", "main", 1);
    assert_non_null(strstr(script_answer.parts[T_CLAIMS], " 2 2 1 1 r "));
}

static void given_back_goes_to_the_head(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL};

    setup_state(world, 'c', 0);
    mail_store(world, &mail);
    result(world, "n", token, 0);
    assert_string_equal(redis_ask("LINDEX ph:{0}:q:2:default:main 0"), id);
}

static void store_many(struct world *world, char *ids, size_t size)
{
    ids[0] = '\0';
    for (unsigned i = 0; i < 20; i++) {
        struct mail mail = {.mail_class = CLASS_TRANSACTIONAL};

        mail_store(world, &mail);
        snprintf(ids + strlen(ids), size - strlen(ids), "%s%s:0",
                 i == 0 ? "" : " ", mail.id.text);
    }
}

/* Whether its supervisor says it, a new epoch or the end of the lease. */
static void what_comes_back_stands_as_it_was_accepted(void **state)
{
    static char ids[4096];
    struct world *world = *state;

    store_many(world, ids, sizeof ids);
    do_register(world, "e1", "", NULL, NULL);
    do_claim(world, "e1", "main", 100);
    do_release(world, "e1");
    assert_string_equal(redis_ask("LRANGE ph:{0}:q:2:default:main 0 -1"), ids);
    do_register(world, "e2", "", NULL, NULL);
    do_claim(world, "e2", "main", 100);
    do_register(world, "e3", "e2", NULL, NULL);
    assert_string_equal(redis_ask("LRANGE ph:{0}:q:2:default:main 0 -1"), ids);
    do_claim(world, "e3", "main", 100);
    do_register(world, "e4", "", NULL, NULL);
    redis_do("ZADD ph:{0}:workers 1 e3");
    do_turn(world, &(struct turn){.epoch = "e4"});
    assert_string_equal(redis_ask("LRANGE ph:{0}:q:2:default:main 0 -1"), ids);
}

/* In one turn, so it must not be let go when it was just taken. */
static void given_back_and_claimed_again(void **state)
{
    struct world *world = *state;

    setup_state(world, 'c', 0);
    do_turn(world, &(struct turn){.epoch = "e1",
                                  .id = id,
                                  .token = token,
                                  .kind = "n",
                                  .route = "main",
                                  .room = {1, 1, 1, 1}});
    assert_int_equal(state_now(), 'c');
    check_places("claimed again", 'c');
}

static void a_released_child_keeps_what_it_marked(void **state)
{
    struct world *world = *state;

    setup_state(world, 'x', 0);
    do_release(world, "e1");
    assert_string_equal(script_answer.parts[1], "0");
    assert_string_equal(script_answer.parts[2], "1");
    assert_string_not_equal(redis_ask("ZSCORE ph:{0}:workers e1"), "nil");
    setup_state(world, 'c', 0);
    do_release(world, "e1");
    assert_string_equal(script_answer.parts[1], "1");
    assert_string_equal(redis_ask("ZSCORE ph:{0}:workers e1"), "nil");
}

static void a_new_epoch_keeps_what_is_in_hand(void **state)
{
    struct world *world = *state;

    setup_state(world, 'c', 0);
    do_register(world, "e2", "e1", id, token);
    assert_string_equal(redis_ask("SMEMBERS ph:{0}:own:e2"), id);
    assert_string_equal(redis_ask("ZSCORE ph:{0}:workers e1"), "nil");
    assert_true(do_mark(world, "e2", id, token)); /* the token stays valid */
    do_turn(world, &(struct turn){
                       .epoch = "e2", .id = id, .token = token, .kind = "s"});
    assert_int_equal(state_now(), 'S');
    assert_string_equal(redis_ask("EXISTS ph:{0}:own:e2"), "0");
}

/* The answer of a claim was lost: the child does not know of it. */
static void a_new_epoch_gives_back_the_rest(void **state)
{
    struct world *world = *state;

    setup_state(world, 'c', 0);
    do_register(world, "e2", "e1", NULL, NULL);
    assert_int_equal(state_now(), 'q');
    assert_string_equal(redis_ask("EXISTS ph:{0}:own:e1 ph:{0}:own:e2"), "0");
    setup_state(world, 'x', ON_UNKNOWN_RETRY);
    do_register(world, "e2", "e1", NULL, NULL);
    assert_int_equal(state_now(), 'q');
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s dup", id), "1");
}

static void an_unregistered_epoch_does_nothing(void **state)
{
    struct world *world = *state;
    struct redis_command command;

    setup_state(world, 'q', 0);
    redis_do("ZREM ph:{0}:workers e1");
    assert_false(do_mark(world, "e1", id, token));
    command_init_partition(&command, world->queue, SCRIPT_TURN, 0);
    command_add_cstr(&command, "e1");
    for (unsigned i = 0; i < 20; i++)
        command_add_int(&command, 0);
    script_send(world, &command);
    assert_string_equal(script_answer.parts[0], "unregistered");
    assert_int_equal(state_now(), 'q');
}

/* Its claims may be taken back at any moment, so it marks none. One that has
 * little left is given the time that the answer is good for. */
static void a_child_without_a_lease_marks_nothing(void **state)
{
    struct world *world = *state;
    long long now_ms;

    setup_state(world, 'c', 0);
    redis_do("ZADD ph:{0}:workers %lld e1", (long long)clock_wall_ms() - 1);
    assert_false(do_mark(world, "e1", id, token));
    assert_int_equal(state_now(), 'c');
    redis_do("ZADD ph:{0}:workers %lld e1", (long long)clock_wall_ms() + 2000);
    now_ms = clock_wall_ms();
    assert_true(do_mark(world, "e1", id, token));
    assert_true(strtoll(redis_ask("ZSCORE ph:{0}:workers e1"), NULL, 10) >=
                now_ms + LEASE_MS);
}

/* Frozen beyond its lease and woken: what it held is another's by now. */
static void a_woken_child_marks_nothing_that_was_taken(void **state)
{
    struct world *world = *state;

    setup_state(world, 'x', 0);
    redis_do("ZADD ph:{0}:workers 1 e1");
    do_register(world, "e2", "", NULL, NULL);
    do_claim(world, "e2", "main", 1);
    assert_int_equal(state_now(), 'c');
    do_register(world, "e1", "", NULL, NULL);
    assert_false(do_mark(world, "e1", id, token));
    assert_int_equal(state_now(), 'c');
    result(world, "n", token, 0);
    assert_string_equal(script_answer.parts[T_REFUSED], "1");
    assert_string_equal(redis_ask("SMEMBERS ph:{0}:own:e2"), id);
}

/* An outage kept living children from renewing their leases: nothing that
 * may have been sent is taken from them before they had time to. */
static void an_outage_gives_grace(void **state)
{
    struct world *world = *state;
    char beat[64];

    setup_state(world, 'x', ON_UNKNOWN_RETRY);
    redis_do("ZADD ph:{0}:workers 1 e1");
    snprintf(beat, sizeof beat, "%lld 0", (long long)clock_wall_ms() - 60000);
    redis_do("SET ph:{0}:beat %s", beat);
    do_register(world, "e2", "", NULL, NULL);
    do_turn(world, &(struct turn){.epoch = "e2"});
    assert_int_equal(state_now(), 'x');
    assert_string_not_equal(redis_ask("ZSCORE ph:{0}:workers e1"), "nil");
    /* What was only claimed needs no grace: the mark fences it. */
    redis_do("HSET ph:{0}:d:%s s c", id);
    do_turn(world, &(struct turn){.epoch = "e2"});
    assert_int_equal(state_now(), 'q');
}

static void the_end_of_an_email_is_the_last_recipients(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL, .recipients = 2};
    char other[80];
    const char *history;

    mail_store(world, &mail);
    snprintf(email, sizeof email, "%s", mail.id.text);
    snprintf(id, sizeof id, "%s:0", email);
    snprintf(other, sizeof other, "%s:1", email);
    do_register(world, "e1", "", NULL, NULL);
    do_claim(world, "e1", "main", 10);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
    do_turn(world, &(struct turn){
                       .epoch = "e1",
                       .id = id,
                       .token = token,
                       .kind = "b",
                       .outcome = "550,\"5.1.1\",\"no such user here, and a "
                                  "long text about it that needs pieces\""});
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s s left", id), "B 1");
    assert_string_equal(redis_ask("OBJECT ENCODING ph:{0}:d:%s", id),
                        "listpack");
    assert_string_equal(redis_ask("TTL ph:{0}:c:%s", email), "-1");
    do_cancel(world, email);
    assert_string_equal(redis_ask("EXISTS ph:{0}:d:%s ph:{0}:d:%s", id, other),
                        "0");
    history = redis_ask("GET ph:{0}:h:%s", email);
    assert_non_null(strstr(history, "{\"q\":3,\"d\":[[0,\"B\",1,1,"));
    assert_non_null(strstr(history, "that needs pieces\"],[1,\"C\",1,0,"));
    assert_in_range(strtol(redis_ask("TTL ph:{0}:c:%s", email), NULL, 10), 1,
                    KEEP_BODIES_MS / 1000);
    assert_string_equal(redis_ask("HMGET ph:{0}:n accepted final"), "2 2");
}

static void a_retry_is_a_new_generation(void **state)
{
    struct world *world = *state;
    char text[64];

    setup_state(world, 'B', 0);
    assert_string_equal(redis_ask("HMGET ph:{0}:n accepted final"), "1 1");
    do_retry(world, email);
    assert_string_equal(
        redis_ask("HMGET ph:{0}:d:%s g a dd e t p1 dup m left sq", id),
        "2 nil nil nil nil nil nil 1 1 2");
    assert_string_equal(redis_ask("HMGET ph:{0}:n accepted final"), "1 0");
    snprintf(text, sizeof text, "%.60s", redis_ask("HGET ph:{0}:d:%s x", id));
    assert_string_equal(redis_ask("ZSCORE ph:{0}:exp %s", id), text);
    /* What the worker of the first one still says is not believed. */
    result(world, "s", token, 0);
    assert_string_equal(script_answer.parts[T_REFUSED], "1");
    do_claim(world, "e1", "main", 1);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
    result(world, "b", token, 0);
    assert_non_null(strstr(redis_ask("GET ph:{0}:h:%s", email),
                           "{\"q\":3,\"d\":[[0,\"B\",2,1,"));
    assert_non_null(strstr(redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"),
                           "\"g\":2,\"o\":1,\"s\":3"));
}

/* Failed, since nobody knows whether it was delivered: that stays true. */
static void a_retry_remembers_a_possible_duplicate(void **state)
{
    struct world *world = *state;

    setup_state(world, 'h', 0);
    do_retry(world, email);
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s dup", id), "1");
    setup_state(world, 'x', ON_UNKNOWN_FAIL);
    result(world, "u", token, 0);
    assert_int_equal(state_now(), 'F');
    do_retry(world, email);
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s s dup", id), "q 1");
}

/* Each for itself: number 1 was certainly not delivered. */
static void one_of_several_remembers_it_too(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL,
                        .recipients = 2,
                        .on_unknown = ON_UNKNOWN_FAIL};

    mail_store(world, &mail);
    snprintf(email, sizeof email, "%s", mail.id.text);
    snprintf(id, sizeof id, "%s:0", email);
    do_register(world, "e1", "", NULL, NULL);
    do_claim(world, "e1", "main", 10);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
    assert_true(do_mark(world, "e1", id, token));
    result(world, "u", token, 0);
    do_cancel(world, email);
    assert_int_equal(state_now(), 'F');
    assert_non_null(
        strstr(redis_ask("GET ph:{0}:h:%s", email), "\"dup\":[0],\"d\":"));
    do_retry_of(world, email, 2);
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s s dup", id), "q 1");
}

static void without_content_there_is_no_retry(void **state)
{
    struct world *world = *state;

    setup_state(world, 'B', 0);
    redis_do("DEL ph:{0}:c:%s", email);
    do_retry(world, email);
    assert_int_equal(state_now(), 'B');
}

static void a_sensitive_mail_is_wiped_at_once(void **state)
{
    struct world *world = *state;

    setup_state(world, 'x', 0);
    redis_do("SET ph:{0}:c:%s %b", email, "1 s 3\nabcJOB", (size_t)13);
    result(world, "s", token, 0);
    assert_string_equal(redis_ask("EXISTS ph:{0}:c:%s", email), "0");
    assert_non_null(
        strstr(redis_ask("GET ph:{0}:h:%s", email), "]}\n1 s 3\nabc"));
}

static void an_expired_mail_tells_its_last_reply(void **state)
{
    struct world *world = *state;
    struct cell cell = {.state = 'u', .op = OP_END};

    setup_state(world, 'u', 0);
    make_late(&cell);
    do_turn(world, &(struct turn){.epoch = "e1"});
    assert_int_equal(state_now(), 'E');
    assert_non_null(strstr(redis_ask("GET ph:{0}:h:%s", email),
                           ",450,\"4.2.0\",\"later\"]"));
}

static const char *last_event(void)
{
    return redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1");
}

/* Two attempts of 40 ms each, with a minute planned behind each; the second
 * one had waited half of its minute. */
static void an_expired_mail_tells_where_its_time_went(void **state)
{
    static const char FIELDS[] = ",\"p\":[10,10,10,10]";
    struct world *world = *state;
    struct turn soft = {.epoch = "e1",
                        .id = id,
                        .token = token,
                        .kind = "o",
                        .outcome = "450,\"4.2.0\",\"later\"",
                        .fields = FIELDS};
    const char *told;

    setup_state(world, 'c', 0);
    soft.due_ms = clock_wall_ms() + 60000;
    do_turn(world, &soft);
    redis_do("HSET ph:meta test_offset_ms 60000");
    do_claim(world, "e1", "main", 10);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
    soft.due_ms = clock_wall_ms() + 120000;
    do_turn(world, &soft);
    redis_do("HSET ph:{0}:d:%s x %lld", id, (long long)clock_wall_ms() + 90000);
    redis_do("ZADD ph:{0}:exp %lld %s", (long long)clock_wall_ms() + 90000, id);
    redis_do("HSET ph:meta test_offset_ms 90000");
    do_turn(world, &(struct turn){.epoch = "e1"});
    assert_int_equal(state_now(), 'E');
    told = last_event();
    assert_non_null(strstr(told, "\"c\":450,\"ec\":\"4.2.0\",\"r\":\"later\""));
    assert_non_null(strstr(told, "\"tu\":80"));
    assert_in_range(strtol(strstr(told, "\"tr\":") + 5, NULL, 10), 88000,
                    91000);
    assert_in_range(strtol(strstr(told, "\"tq\":") + 5, NULL, 10), 0, 2000);
}

/* No route fitted it, then one did, and its server said later and later. */
static void a_route_that_is_back_is_no_reason(void **state)
{
    struct world *world = *state;
    struct cell cell = {.state = 'u', .op = OP_END};

    setup_state(world, 'c', 0);
    result(world, "w", token, clock_wall_ms() + 60000);
    assert_int_equal(state_now(), 'u');
    redis_do("HSET ph:meta test_offset_ms 60000");
    do_claim(world, "e1", "main", 10);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
    result(world, "o", token, clock_wall_ms() + 120000);
    assert_int_equal(state_now(), 'u');
    make_late(&cell);
    do_turn(world, &(struct turn){.epoch = "e1"});
    assert_int_equal(state_now(), 'E');
    assert_non_null(strstr(last_event(), "\"t\":\"email.expired\""));
}

static void a_full_redis_still_empties(void **state)
{
    struct world *world = *state;

    setup_state(world, 'c', 0);
    redis_do("CONFIG SET maxmemory 1mb");
    assert_true(do_mark(world, "e1", id, token));
    result(world, "s", token, 0);
    assert_int_equal(state_now(), 'S');
    redis_do("CONFIG SET maxmemory 256mb");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(every_cell),
        WORLD_TEST(attempts_count_what_was_tried),
        WORLD_TEST(given_back_goes_to_the_head),
        WORLD_TEST(what_comes_back_stands_as_it_was_accepted),
        WORLD_TEST(given_back_and_claimed_again),
        WORLD_TEST(a_released_child_keeps_what_it_marked),
        WORLD_TEST(a_new_epoch_keeps_what_is_in_hand),
        WORLD_TEST(a_new_epoch_gives_back_the_rest),
        WORLD_TEST(an_unregistered_epoch_does_nothing),
        WORLD_TEST(a_child_without_a_lease_marks_nothing),
        WORLD_TEST(a_woken_child_marks_nothing_that_was_taken),
        WORLD_TEST(an_outage_gives_grace),
        WORLD_TEST(the_end_of_an_email_is_the_last_recipients),
        WORLD_TEST(a_retry_is_a_new_generation),
        WORLD_TEST(a_retry_remembers_a_possible_duplicate),
        WORLD_TEST(one_of_several_remembers_it_too),
        WORLD_TEST(without_content_there_is_no_retry),
        WORLD_TEST(a_sensitive_mail_is_wiped_at_once),
        WORLD_TEST(an_expired_mail_tells_its_last_reply),
        WORLD_TEST(an_expired_mail_tells_where_its_time_went),
        WORLD_TEST(a_route_that_is_back_is_no_reason),
        WORLD_TEST(a_full_redis_still_empties),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
