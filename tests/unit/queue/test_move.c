#include "mail_fixture.h"
#include "script_fixture.h"
#include "worker_fixture.h"

#include "queue/owners.h"
#include "queue/reconcile.h"

/* An owner moves with everything that he can have in Redis: what stands under
 * {0}: before stands under {1}: behind it, key for key. */

enum { HOUR_MS = 3600000, EVENTS_A_CALL = 7 };

#define OWNER    "default"
#define ENDPOINT "0198c2f0-0000-7000-8000-000000000001"

/* All keys of a partition as sorted lines: name, whether it ends, content. Not
 * what belongs to children, what is compared by itself, and leftovers. */
static const char DUMP[] =
    "local out, P = {}, ARGV[1]\n"
    "local skip = { n = 1, ended = 1, arrived = 1, arrivedb = 1, hwake = 1,\n"
    "  workers = 1, beat = 1, alive = 1, whooks = 1, wake = 1, own = 1,\n"
    "  routes = 1, tr = 1 }\n"
    "local function flat(v)\n"
    "  if type(v) ~= 'table' then return tostring(v) end\n"
    "  local t = {}\n"
    "  for i, x in ipairs(v) do t[i] = flat(x) end\n"
    "  return '(' .. table.concat(t, ' ') .. ')'\n"
    "end\n"
    "local read = {\n"
    "  string = function(k) return redis.call('GET', k) end,\n"
    "  list = function(k)\n"
    "    local t = {}\n"
    "    for _, x in ipairs(redis.call('LRANGE', k, 0, -1)) do\n"
    "      if string.sub(k, #P + 1, #P + 2) ~= 'q:' or\n"
    "        redis.call('EXISTS', P .. 'd:' .. x) == 1 then\n"
    "        t[#t + 1] = x end\n"
    "    end\n"
    "    return t end,\n"
    "  zset = function(k)\n"
    "    return redis.call('ZRANGE', k, 0, -1, 'WITHSCORES') end,\n"
    "  set = function(k)\n"
    "    local v = redis.call('SMEMBERS', k) table.sort(v) return v end,\n"
    "  hash = function(k)\n"
    "    local v, t = redis.call('HGETALL', k), {}\n"
    "    for i = 1, #v, 2 do t[#t + 1] = v[i] .. '=' .. v[i + 1] end\n"
    "    table.sort(t) return t end,\n"
    "  stream = function(k)\n"
    "    local about = redis.call('XINFO', 'STREAM', k)\n"
    "    local last\n"
    "    for i = 1, #about, 2 do\n"
    "      if about[i] == 'last-generated-id' then last = about[i + 1] end\n"
    "    end\n"
    "    return { last, redis.call('XRANGE', k, '-', '+') } end }\n"
    "for _, k in ipairs(redis.call('KEYS', P .. '*')) do\n"
    "  local name = string.sub(k, #P + 1)\n"
    "  if not skip[string.match(name, '^[^:]*')] then\n"
    "    local kind = redis.call('TYPE', k).ok\n"
    "    local ttl = redis.call('PTTL', k) > 0 and ' ends ' or ' stays '\n"
    "    local text = flat(read[kind](k))\n"
    "    local head = string.gsub(string.sub(text, 1, 160), '[^ -~]', '.')\n"
    "    out[#out + 1] = name .. ttl .. redis.sha1hex(text) .. ' ' .. head\n"
    "  end\n"
    "end\n"
    "table.sort(out)\n"
    "return table.concat(out, '\\n')";

static const char *dump(unsigned partition, char *out, size_t size)
{
    redisReply *reply = redis_raw("EVAL %s 0 ph:{%u}:", DUMP, partition);

    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    assert_in_range(reply->len, 0, size - 1);
    memcpy(out, reply->str, reply->len + 1);
    freeReplyObject(reply);
    return out;
}

/* Line by line, so that what differs is told. */
static void assert_same(const char *before, const char *after)
{
    struct str rest = str_of(after);
    struct str old = str_of(before);

    while (old.len > 0 || rest.len > 0) {
        struct str line = S("");
        struct str other = S("");

        if (!str_cut(&old, '\n', &line)) {
            line = old;
            old = S("");
        }
        if (!str_cut(&rest, '\n', &other)) {
            other = rest;
            rest = S("");
        }
        if (!str_eq(line, other))
            fail_msg("before: %.*s\nafter: %.*s", STR_ARG(line),
                     STR_ARG(other));
    }
}

static int64_t counter(unsigned partition, const char *name)
{
    return strtoll(redis_ask("HGET ph:{%u}:n %s", partition, name), NULL, 10);
}

static int64_t open_in(unsigned partition)
{
    return counter(partition, "accepted") - counter(partition, "final");
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    redis_do("FLUSHALL");
    redis_do("HSET ph:meta partitions 3");
    fixture.config.worker.lease_ms = NO_HEARTBEAT_MS;
    world->loop = loop_create();
    world->queue = queue_open(world->loop, &fixture.config, NULL);
    until(world->loop, queue_is_ready(world->queue, NULL));
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    fixture.config.worker.lease_ms = 10000;
    return world_teardown(state);
}

/* --- what an owner has --- */

static void on_key(void *ctx, const struct queue_answer *answer)
{
    *(int *)ctx = answer->status == QUEUE_OK ? 1 : -1;
}

static struct id make_key(struct world *world, const char *owner,
                          unsigned number)
{
    struct api_key key = {
        .id = id_new(0),
        .owner = str_of(owner),
        .name = S("shop"),
        .prefix = S("ph_live_abcd"),
        .created_ms = clock_wall_ms(),
    };
    char hash[SHA256_HEX_SIZE];
    int made = 0;

    snprintf(hash, sizeof hash, "%064u", number);
    queue_key_create(world->queue, &key, str_of(hash), NULL, S("{}"), on_key,
                     &made);
    until(world->loop, made == 1);
    redis_do("HSET ph:{%s}:used:%s %s 5",
             redis_ask("HGET ph:o:%s partition", owner), owner, key.id.text);
    return key.id;
}

static void on_email(void *ctx, const struct queue_email *email)
{
    *(enum queue_status *)ctx = email->status;
}

static enum queue_status cancel(struct world *world, struct queue_owner owner,
                                const struct id *email)
{
    enum queue_status status = QUEUE_REPLAY;

    queue_email_cancel(world->queue, owner, email, NULL, on_email, &status);
    until(world->loop, status != QUEUE_REPLAY);
    return status;
}

static void report_and_wait(struct world *world, struct worker *worker,
                            enum outcome outcome, int64_t at_ms)
{
    size_t i = worker->count - 1;

    worker_report(worker, i, outcome, at_ms);
    until(world->loop, redis_ask("KEYS ph:{0}:own:*")[0] == '\0');
}

/* Stored, claimed, marked and reported of. */
static void store_and_report(struct world *world, struct worker *worker,
                             struct mail mail, enum outcome outcome,
                             int64_t at_ms)
{
    size_t before = worker->count;

    mail_store(world, &mail);
    until(world->loop, worker->count > before);
    assert_true(worker_mark(world, worker, before));
    queue_report_attempt(
        worker->claims[before],
        &(struct attempt){.attempt = 1, .transcript = S("     0 S: 450\n")});
    report_and_wait(world, worker, outcome, at_ms);
}

static void make_tried_mails(struct world *world, struct worker *worker)
{
    int64_t later_ms = clock_wall_ms() + HOUR_MS;

    worker_start(worker, world->queue, 1);
    store_and_report(world, worker, (struct mail){.key = "one"}, OUTCOME_SENT,
                     0);
    store_and_report(world, worker, (struct mail){.body_size = 70000},
                     OUTCOME_BOUNCED, 0);
    store_and_report(world, worker, (struct mail){0}, OUTCOME_SOFT, later_ms);
    store_and_report(world, worker,
                     (struct mail){.on_unknown = ON_UNKNOWN_HOLD},
                     OUTCOME_UNKNOWN, 0);
    for (unsigned lane = 0; lane < LANE_COUNT; lane++)
        worker->room[lane] = 0;
    queue_worker_hungry(world->queue);
}

/* What nobody has tried, or found poisonous. */
static void make_waiting_mails(struct world *world)
{
    static char attachment[1200000];
    int64_t later_ms = clock_wall_ms() + HOUR_MS;
    struct mail canceled = {0};
    struct mail poison = {0};
    struct mail mails[] = {
        {.route = "other"},   {.mail_class = CLASS_BULK},
        {.due_ms = later_ms}, {.deadline_ms = later_ms, .key = "two"},
        {.recipients = 3},    {.attachment = {attachment, sizeof attachment}},
    };

    for (size_t i = 0; i < COUNT_OF(mails); i++)
        mail_store(world, &mails[i]);
    mail_store(world, &canceled);
    assert_int_equal(cancel(world, owner_of(OWNER), &canceled.id), QUEUE_OK);
    mail_store(world, &poison);
    redis_do("HSET ph:{0}:d:%s:0 sc 1", poison.id.text);
    redis_do("LREM ph:{0}:q:0:" OWNER ":main 1 %s:0", poison.id.text);
    redis_do("RPUSH ph:{0}:suspect %s:0", poison.id.text);
}

static void fan_out(struct world *world, unsigned partition)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_FANOUT, partition);
    command_add_cstr(&command, "email.sent");
    command_add_int(&command, EVENTS_A_CALL);
    script_send(world, &command);
    command_init_partition(&command, world->queue, SCRIPT_PROJECT, partition);
    command_add_cstr(&command, OWNER);
    command_add_int(&command, EVENTS_A_CALL);
    command_add_int(&command, HOUR_MS);
    script_send(world, &command);
}

/* Some of its events wait, one is due, one was delivered. */
static void make_endpoint(struct world *world)
{
    redis_do("SADD ph:{0}:r:webhook:" OWNER " " ENDPOINT);
    redis_do("HSET ph:{0}:we:" ENDPOINT " owner " OWNER
             " url http://a enabled 1 events * secret s");
    fan_out(world, 0);
    redis_do("HSET ph:{0}:wt:" ENDPOINT ":1-1 state due attempt 1");
    redis_do("PEXPIRE ph:{0}:wt:" ENDPOINT ":1-1 1000000");
    redis_do("ZADD ph:{0}:wdue 1895521600000 %b", ENDPOINT " 1-1",
             sizeof ENDPOINT + 3);
    redis_do("HINCRBY ph:{0}:n backlog 1");
    redis_do("XADD ph:{0}:wa:" ENDPOINT " * event 1-1 a {}");
}

/* So many that they go in parts. */
static void make_suppressions(void)
{
    static const char script[] =
        "local P = ARGV[1]\n"
        "for i = 1, 1200 do\n"
        "  local hash = string.format('%016d', i)\n"
        "  redis.call('HSET', P .. 'su:default', hash, 'id' .. i .. ' b 1 2 1 "
        "- - a' .. i .. '@example.net')\n"
        "  redis.call('ZADD', P .. 'slb:default', 0, 'id' .. i .. hash)\n"
        "  redis.call('ZADD', P .. 'sx:default', 1895521600000 + i, hash)\n"
        "end\n"
        "redis.call('ZADD', P .. 'slm:default', 0, 'one')\n"
        "redis.call('ZADD', P .. 'sold', 1895521600001, 'default')\n"
        "redis.call('HSET', P .. 'do:default', 'id1', '3 {}')\n"
        "redis.call('HSET', P .. 'dn:default', 'example.com', 'id1')\n"
        "redis.call('HSET', P .. 'dk:default', 'k1', 'example.com r e R E')\n"
        "redis.call('ZADD', P .. 'dx:default', 1895521600002, 'k1')\n"
        "redis.call('ZADD', P .. 'dxold', 1895521600002, 'default')\n"
        "redis.call('ZADD', P .. 'dd:default', 1895521600003, 'id1')\n"
        "redis.call('ZADD', P .. 'ddue', 1895521600003, 'default')\n"
        "redis.call('HSET', P .. 'o:default', 'sup', 1)";

    redis_do("EVAL %s 0 ph:{0}:", script);
}

static void make_template(void)
{
    redis_do("ZADD ph:{0}:tl:default 0 one");
    redis_do("HSET ph:{0}:ta:default hello one #bytes 3");
    redis_do("HSET ph:{0}:tp:default:one alias hello dv 1 pv 1 d1 abc");
}

static void make_owner(struct world *world, struct worker *worker)
{
    make_key(world, OWNER, 1);
    make_key(world, OWNER, 2);
    make_tried_mails(world, worker);
    make_waiting_mails(world);
    make_endpoint(world);
    make_suppressions();
    make_template();
    assert_true(open_in(0) == 11 && counter(0, "leftovers") == 1);
    assert_true(counter(0, "backlog") > 1);
    assert_true(counter(0, "history_bytes") > 1000);
}

/* --- moving --- */

struct moved {
    bool is_done;
    struct owner_moved result;
};

static void on_moved(void *ctx, const struct owner_moved *result)
{
    struct moved *moved = ctx;

    assert_false(moved->is_done);
    moved->is_done = true;
    moved->result = *result;
}

static struct owner_moved move_asked(struct world *world,
                                     struct owner_move wanted)
{
    struct moved moved = {0};

    wanted.owner = str_of(wanted.owner.len > 0 ? wanted.owner.ptr : OWNER);
    queue_owner_move(world->queue, &wanted, on_moved, &moved);
    assert_false(moved.is_done); /* never inside the call */
    until(world->loop, moved.is_done);
    return moved.result;
}

static void move_to(struct world *world, int to)
{
    struct owner_moved moved =
        move_asked(world, (struct owner_move){.to = to, .drain_ms = HOUR_MS});

    if (moved.status != QUEUE_OK)
        fail_msg("%d: %s", moved.status, moved.why.text);
    assert_int_equal(moved.to, to);
}

static void on_check(void *ctx, const struct queue_check *check)
{
    *(struct queue_check *)ctx = *check;
}

static void assert_even(struct world *world)
{
    struct queue_check check = {.status = QUEUE_REPLAY};

    queue_check_get(world->queue, on_check, &check);
    until(world->loop, check.status != QUEUE_REPLAY);
    assert_int_equal(check.status, QUEUE_OK);
    assert_true(check.is_even);
}

/* All that is left is the mark for those with an old view. */
static void assert_left(unsigned partition)
{
    static char text[65536];
    char mark[] = "o:" OWNER " stays ";

    dump(partition, text, sizeof text);
    assert_memory_equal(text, mark, sizeof mark - 1);
    assert_null(strchr(text, '\n'));
    assert_non_null(strstr(text, "(frozen=moved)"));
    assert_int_equal(open_in(partition), 0);
    assert_int_equal(counter(partition, "leftovers"), 0);
    assert_int_equal(counter(partition, "backlog"), 0);
    assert_int_equal(counter(partition, "history_bytes"), 0);
    assert_string_equal(redis_ask("EXISTS ph:{%u}:arrived ph:{%u}:arrivedb",
                                  partition, partition),
                        "0");
}

static void everything_goes_along(void **state)
{
    static char before[65536];
    static char after[65536];
    struct world *world = *state;
    struct worker worker;
    int64_t bytes;
    int64_t backlog;

    make_owner(world, &worker);
    bytes = counter(0, "history_bytes");
    backlog = counter(0, "backlog");
    dump(0, before, sizeof before);
    for (unsigned round = 0; round < 4; round++) {
        unsigned from = round % 2;
        unsigned to = 1 - from;

        move_to(world, (int)to);
        assert_same(before, dump(to, after, sizeof after));
        assert_int_equal(open_in(to), 11);
        assert_int_equal(counter(to, "leftovers"), 0);
        assert_int_equal(counter(to, "history_bytes"), bytes);
        assert_int_equal(counter(to, "backlog"), backlog);
        assert_string_equal(redis_ask("ZCARD ph:{%u}:arrived", to), "3");
        assert_left(from);
        assert_even(world);
        assert_string_equal(redis_ask("HGET ph:o:" OWNER " partition"),
                            to == 0 ? "0" : "1");
        assert_string_equal(redis_ask("HGET ph:k:%064u partition", 2),
                            to == 0 ? "0" : "1");
        assert_string_equal(redis_ask("HMGET ph:meta owners:0 owners:1"),
                            to == 0 ? "1 0" : "0 1");
        assert_string_equal(redis_ask("EXISTS ph:move:" OWNER), "0");
    }
}

/* What was claimed at the old home is waited for, what was not stays there
 * until it can be claimed at the new one. */
static void mail_under_way_ends_first(void **state)
{
    struct world *world = *state;
    struct moved moved = {0};
    struct worker worker;
    struct owner_move wanted = {
        .owner = S(OWNER), .to = 1, .drain_ms = HOUR_MS};

    make_key(world, OWNER, 1);
    worker_start(&worker, world->queue, 1);
    mail_store(world, &(struct mail){0});
    mail_store(world, &(struct mail){0});
    until(world->loop, worker.count == 1);
    assert_true(worker_mark(world, &worker, 0));
    queue_owner_move(world->queue, &wanted, on_moved, &moved);
    until(world->loop, strcmp(redis_ask("LLEN ph:{0}:bag:" OWNER), "1") == 0);
    assert_int_equal(open_in(0), 1);
    assert_even(world);
    assert_false(moved.is_done);
    worker_report(&worker, 0, OUTCOME_BOUNCED, 0);
    until(world->loop, moved.is_done);
    assert_int_equal(moved.result.status, QUEUE_OK);
    queue_worker_hungry(world->queue);
    until(world->loop, worker.count == 2);
    assert_memory_equal(redis_ask("KEYS ph:*:own:*"), "ph:{1}:own:", 11);
    assert_left(0);
}

static void what_takes_too_long_undoes_it(void **state)
{
    static char before[65536];
    static char after[65536];
    struct world *world = *state;
    struct owner_moved moved;
    struct worker worker;

    make_key(world, OWNER, 1);
    worker_start(&worker, world->queue, 1);
    mail_store(world, &(struct mail){0});
    until(world->loop, worker.held == 1);
    mail_store(world, &(struct mail){0});
    mail_store(world, &(struct mail){.due_ms = clock_wall_ms() + HOUR_MS});
    make_endpoint(world);
    mail_store(world, &(struct mail){0});
    dump(0, before, sizeof before);
    moved = move_asked(world, (struct owner_move){.to = 2});
    assert_int_equal(moved.status, QUEUE_REFUSED);
    assert_true(moved.stayed);
    assert_same(before, dump(0, after, sizeof after));
    assert_left(2);
    assert_even(world);
    assert_string_equal(redis_ask("HEXISTS ph:meta move:" OWNER), "0");
    assert_string_equal(redis_ask("HGET ph:o:" OWNER " partition"), "0");
}

static void pack_step(struct world *world, const char *cursor)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_MOVE_PACK, 0);
    command_add_cstr(&command, OWNER);
    command_add_cstr(&command, cursor);
    script_send(world, &command);
}

/* Whoever began it was killed: some flows are packed, some only off their
 * rings. */
static void what_has_begun_is_undone(void **state)
{
    static char before[65536];
    static char after[65536];
    struct world *world = *state;
    struct owner_moved moved;

    for (unsigned steps = 1; steps < 4; steps++) {
        redis_do("FLUSHDB");
        redis_do("HSET ph:meta partitions 3");
        make_key(world, OWNER, 1);
        for (unsigned i = 0; i < 3; i++)
            mail_store(world, &(struct mail){.mail_class = CLASS_BULK});
        fan_out(world, 0);
        mail_store(world, &(struct mail){.route = "other"});
        dump(0, before, sizeof before);
        redis_do("HSET ph:meta move:" OWNER " %s", "0 2");
        pack_step(world, "");
        for (unsigned i = 1; i < steps; i++)
            pack_step(world, "f");
        moved = move_asked(world, (struct owner_move){.to = 0});
        assert_true(moved.status == QUEUE_OK && moved.stayed);
        assert_same(before, dump(0, after, sizeof after));
        assert_int_equal(open_in(0), 4);
        assert_left(2);
        assert_even(world);
    }
}

static void unpack_step(struct world *world, enum script script)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, script, 0);
    command_add_cstr(&command, OWNER);
    script_send(world, &command);
}

/* Nobody looks into the bag any more, so nothing is put there. */
static void what_comes_back_when_he_is_unpacked_stays(void **state)
{
    struct world *world = *state;
    struct mail mail = {.due_ms = clock_wall_ms() + HOUR_MS};
    char id[80];

    make_key(world, OWNER, 1);
    mail_store(world, &mail);
    snprintf(id, sizeof id, "%s:0", mail.id.text);
    pack_step(world, "");
    unpack_step(world, SCRIPT_MOVE_UNPACK);
    assert_string_equal(script_answer.parts[0], "0");
    redis_do("ZADD ph:{0}:due:0 1 %s", id);
    do_register(world, "e1", "", NULL, NULL);
    do_turn(world, &(struct turn){.epoch = "e1"});
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s s mv", id), "q nil");
    assert_string_equal(redis_ask("EXISTS ph:{0}:bag:" OWNER), "0");
    assert_string_not_equal(redis_ask("HGET ph:{0}:o:" OWNER " frozen"), "nil");
    unpack_step(world, SCRIPT_MOVE_THAW);
    assert_string_equal(redis_ask("HGET ph:{0}:o:" OWNER " frozen"), "nil");
    assert_int_equal(open_in(0), 1);
}

static void pack_all(struct world *world)
{
    char cursor[160] = "";

    do {
        pack_step(world, cursor);
        snprintf(cursor, sizeof cursor, "%.150s", script_answer.parts[0]);
    } while (cursor[0] != '\0');
}

/* Its time comes between two steps: it is counted once. */
static void a_task_that_is_due_while_he_arrives_counts_once(void **state)
{
    struct world *world = *state;
    struct redis_command command;

    make_key(world, OWNER, 1);
    mail_store(world, &(struct mail){0});
    make_endpoint(world);
    assert_int_equal(counter(0, "backlog"), 2);
    redis_do("ZADD ph:{0}:wdue 1 %b", ENDPOINT " 1-1", sizeof ENDPOINT + 3);
    pack_all(world);
    assert_int_equal(counter(0, "backlog"), 0);
    unpack_step(world, SCRIPT_MOVE_UNPACK);
    assert_string_equal(script_answer.parts[0], "1");
    redis_do("ZADD ph:{0}:whooks 9999999999999 h1");
    command_init_partition(&command, world->queue, SCRIPT_TASK_TURN, 0);
    command_add_cstr(&command, "h1");
    command_add_int(&command, LEASE_MS);
    command_add_int(&command, 0);
    command_add_int(&command, 0);
    script_send(world, &command);
    assert_string_equal(redis_ask("LLEN ph:{0}:w:" ENDPOINT), "2");
    unpack_step(world, SCRIPT_MOVE_UNPACK);
    assert_string_equal(script_answer.parts[0], "0");
    assert_int_equal(counter(0, "backlog"), 2);
}

/* The ring has him only as long as his flag says so. */
static void who_has_no_events_is_in_no_ring(void **state)
{
    struct world *world = *state;

    make_key(world, OWNER, 1);
    mail_store(world, &(struct mail){0});
    redis_do("XTRIM ph:{0}:ev:" OWNER " MAXLEN 0");
    unpack_step(world, SCRIPT_MOVE_UNPACK);
    assert_string_equal(redis_ask("HEXISTS ph:{0}:o:" OWNER " ev"), "0");
    assert_string_equal(redis_ask("LLEN ph:{0}:evring"), "0");
}

/* Of a domain one may have tens of thousands of bytes; they are read by the
 * hundreds. */
static void many_long_events_go_along(void **state)
{
    static const char script[] = "for i = 1, 120 do redis.call('XADD', "
                                 "ARGV[1], '*', 'e', ('x'):rep(40000)) end";
    struct world *world = *state;

    make_key(world, OWNER, 1);
    mail_store(world, &(struct mail){0});
    assert_string_equal(redis_ask("XLEN ph:{0}:ev:" OWNER), "1");
    redis_do("EVAL %s 0 ph:{0}:ev:" OWNER, script);
    move_to(world, 2);
    assert_string_equal(redis_ask("XLEN ph:{2}:ev:" OWNER), "121");
}

static enum queue_status freeze(struct world *world, bool frozen)
{
    struct answered answered = {0};

    queue_owner_freeze(world->queue, S(OWNER), frozen, on_answered, &answered);
    until(world->loop, answered.count == 1);
    return answered.status;
}

static void a_frozen_owner_stays_frozen(void **state)
{
    struct world *world = *state;

    make_key(world, OWNER, 1);
    assert_int_equal(freeze(world, true), QUEUE_OK);
    move_to(world, 2);
    assert_string_equal(redis_ask("HGET ph:{2}:o:" OWNER " frozen"), "1");
    redis_do("HSET ph:{2}:o:" OWNER " frozen leaving");
    assert_int_equal(freeze(world, false), QUEUE_FROZEN);
    assert_int_equal(freeze(world, true), QUEUE_FROZEN);
}

static void what_cannot_be_is_refused(void **state)
{
    struct world *world = *state;
    struct owner_moved moved;
    char name[1024];

    moved = move_asked(world, (struct owner_move){.to = 1});
    assert_int_equal(moved.status, QUEUE_NOT_FOUND);
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    moved = move_asked(world, (struct owner_move){.owner = str_of(name)});
    assert_int_equal(moved.status, QUEUE_NOT_FOUND);
    make_key(world, OWNER, 1);
    moved = move_asked(world, (struct owner_move){.to = 3});
    assert_int_equal(moved.status, QUEUE_REFUSED);
    assert_string_equal(moved.why.text, "there is no partition 3, but 0 to 2");
    moved = move_asked(world, (struct owner_move){.to = 0});
    assert_int_equal(moved.status, QUEUE_OK);
    assert_true(moved.from == 0 && moved.to == 0);
    moved = move_asked(world, (struct owner_move){.to = -1, .only_looks = 1});
    assert_int_equal(moved.status, QUEUE_OK);
    assert_true(moved.from == 0 && moved.to == 1);
    redis_do("HSET ph:meta move:" OWNER " %s", "0 1");
    moved = move_asked(world, (struct owner_move){.to = 2});
    assert_int_equal(moved.status, QUEUE_REFUSED);
    moved = move_asked(world, (struct owner_move){.to = -1});
    assert_int_equal(moved.status, QUEUE_OK);
    assert_int_equal(moved.to, 1);
}

static void on_keys(void *ctx, const struct queue_keys *keys)
{
    *(enum queue_status *)ctx = keys->status;
}

static void on_key_changed(void *ctx, const struct queue_answer *answer)
{
    *(enum queue_status *)ctx = answer->status;
}

static enum queue_status
rename_key(struct world *world, struct queue_owner owner, const struct id *id)
{
    enum queue_status status = QUEUE_REPLAY;

    queue_key_rename(world->queue, owner, id, S("new"), on_key_changed,
                     &status);
    until(world->loop, status != QUEUE_REPLAY);
    return status;
}

static enum queue_status
delete_key(struct world *world, struct queue_owner owner, const struct id *id)
{
    enum queue_status status = QUEUE_REPLAY;

    queue_key_delete(world->queue, owner, id, on_key_changed, &status);
    until(world->loop, status != QUEUE_REPLAY);
    return status;
}

static void keys_are_changed_where_their_owner_lives(void **state)
{
    const struct queue_owner there = {.name = S(OWNER), .home = 1};
    struct world *world = *state;
    struct id unknown = id_new(0);
    struct id id = make_key(world, OWNER, 1);

    move_to(world, 1);
    assert_int_equal(rename_key(world, owner_of(OWNER), &id), QUEUE_MOVED);
    assert_int_equal(delete_key(world, owner_of(OWNER), &id), QUEUE_MOVED);
    assert_int_equal(rename_key(world, there, &unknown), QUEUE_NOT_FOUND);
    assert_int_equal(rename_key(world, there, &id), QUEUE_OK);
    assert_int_equal(delete_key(world, there, &id), QUEUE_OK);
    assert_int_equal(delete_key(world, there, &id), QUEUE_NOT_FOUND);
}

/* Whoever has an old view is told so, and does not find nothing. */
static void the_old_home_sends_on(void **state)
{
    struct queue_page page = {.limit = 10};
    enum queue_status status = QUEUE_REPLAY;
    struct answered answered = {0};
    struct world *world = *state;
    struct mail mail = {0};

    make_key(world, OWNER, 1);
    mail_store(world, &mail);
    move_to(world, 1);
    queue_key_list(world->queue, owner_of(OWNER), &page, on_keys, &status);
    until(world->loop, status != QUEUE_REPLAY);
    assert_int_equal(status, QUEUE_MOVED);
    assert_int_equal(cancel(world, owner_of(OWNER), &mail.id), QUEUE_MOVED);
    mail_send(world->queue, &(struct mail){0}, &answered);
    until(world->loop, answered.count == 1);
    assert_int_equal(answered.status, QUEUE_MOVED);
    assert_int_equal(cancel(world,
                            (struct queue_owner){.name = S(OWNER), .home = 1},
                            &mail.id),
                     QUEUE_OK);
    assert_even(world);
}

static void run_sweep(struct world *world, unsigned partition, int64_t keep_ms)
{
    struct redis_command command;

    do {
        command_init_partition(&command, world->queue, SCRIPT_SWEEP, partition);
        command_add_int(&command, keep_ms);
        command_add_int(&command, keep_ms);
        command_add_int(&command, 0);
        script_send(world, &command);
    } while (strcmp(script_answer.parts[1], "1") == 0);
}

/* Also what came between those who lived there. */
static void what_arrived_is_swept_by_its_time(void **state)
{
    struct world *world = *state;
    struct worker worker;

    make_key(world, OWNER, 1);
    worker_start(&worker, world->queue, 1);
    store_and_report(world, &worker, (struct mail){0}, OUTCOME_BOUNCED, 0);
    fan_out(world, 0);
    move_to(world, 1);
    fan_out(world, 1);
    run_sweep(world, 1, HOUR_MS);
    assert_string_equal(redis_ask("ZCARD ph:{1}:arrived"), "1");
    assert_true(counter(1, "history_bytes") > 0);
    redis_do("HSET ph:meta test_offset_ms %d", 2 * HOUR_MS);
    run_sweep(world, 1, HOUR_MS);
    assert_string_equal(redis_ask("EXISTS ph:{1}:arrived ph:{1}:arrivedb"),
                        "0");
    assert_string_equal(redis_ask("KEYS ph:{1}:[hct]:*"), "");
    assert_int_equal(counter(1, "history_bytes"), 0);
    redis_do("HDEL ph:meta test_offset_ms");
    run_sweep(world, 0, 0);
    assert_string_equal(redis_ask("EXISTS ph:{0}:ended"), "0");
    assert_int_equal(counter(0, "history_bytes"), 0);
}

#define MOVE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MOVE_TEST(everything_goes_along),
        MOVE_TEST(mail_under_way_ends_first),
        MOVE_TEST(what_takes_too_long_undoes_it),
        MOVE_TEST(what_has_begun_is_undone),
        MOVE_TEST(what_comes_back_when_he_is_unpacked_stays),
        MOVE_TEST(a_task_that_is_due_while_he_arrives_counts_once),
        MOVE_TEST(who_has_no_events_is_in_no_ring),
        MOVE_TEST(many_long_events_go_along),
        MOVE_TEST(a_frozen_owner_stays_frozen),
        MOVE_TEST(what_cannot_be_is_refused),
        MOVE_TEST(keys_are_changed_where_their_owner_lives),
        MOVE_TEST(the_old_home_sends_on),
        MOVE_TEST(what_arrived_is_swept_by_its_time),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
