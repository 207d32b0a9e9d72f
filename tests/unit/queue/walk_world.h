/* walk_world.h - what a walk through the queue (test_walk.c) stands on: dice,
 * a clock, scripts called one by one, and words that say what was done.
 *
 * A walk is the same whenever it has the same seed: all that it does comes
 * from its dice, and Redis' clock stands where it says. A step lasts a minute
 * of that clock, and all spans are so far from whole minutes that what the
 * machine takes for a step decides nothing.
 */
#ifndef TESTS_WALK_WORLD_H
#define TESTS_WALK_WORLD_H

#include "world_fixture.h"

#include "queue/index.h"

enum {
    WALK_OWNERS = 3,
    WALK_PARTITIONS = 2,
    WALK_CHILDREN = 3,
    WALK_ROUTES = 2,
    WALK_BOXES = 6, /* addresses that there are */
    WALK_EMAILS_MAX = 300,
    WALK_DELIVERIES_MAX = 50, /* of an email */
    WALK_TOLD_MAX = 40,       /* lines of a failure */
    WALK_LINE_MAX = 240,
    TICK_MS = 60000,
    WALK_LEASE_MS = 100 * TICK_MS + TICK_MS / 2,
};

#define WALK_HOUR_MS INT64_C(3600000)
#define WALK_DAY_MS  INT64_C(86400000)
/* 2100: ahead of all clocks, so that no key ends by one. */
#define WALK_BEGIN_MS     INT64_C(4102444800000)
#define WALK_MONOTONIC_MS 1000000

static const char *const WALK_OWNER[WALK_OWNERS] = {"ann", "bob", "cid"};
static const char *const WALK_ROUTE[WALK_ROUTES] = {"main", "other"};
static const char *const WALK_BOX[WALK_BOXES] = {
    "one@example.net",  "two@example.net",  "three@example.net",
    "four@example.net", "five@example.net", "six@example.net"};

/* One recipient. What stands behind `allowed` is as Redis had it when it was
 * looked at last. */
struct walk_delivery {
    char state;       /* a letter of deliveries.lua; '-': swept */
    char allowed[12]; /* what it may be behind this step */
    unsigned generation;
    unsigned attempts;
    bool dup;
    bool may_be_out;    /* an attempt may have been delivered */
    bool may_be_lost;   /* in this step, with its worker */
    bool is_ended;      /* an event told that this generation ended */
    unsigned delays;    /* that events told of in this generation */
    char follow_ups[4]; /* b, d, c: what came back of it behind its end */
    char token[64];     /* of its last claim */
    char alone_token[64];
    bool is_packed;
    int crashes; /* -1: it is no suspect */
    int64_t ends_ms;
    int64_t due_ms;
    int64_t exp_ms;  /* when it is looked at for its deadline; 0: never */
    int64_t till_ms; /* end of its worker's lease, or of its parking */
    bool has_no_route;
    char place[96];
    char on_unknown;
    unsigned owner;
    unsigned box;
    unsigned route;
};

struct walk_email {
    struct id id;
    unsigned owner;
    unsigned lane;
    unsigned count;
    enum on_unknown on_unknown;
    bool is_seen;      /* in this step */
    bool is_whole;     /* its content is there */
    unsigned sequence; /* of its last event */
    struct walk_delivery *deliveries;
};

/* What a child has in hand, or had: then it is told late, or twice. */
struct walk_claim {
    size_t email;
    unsigned number;
    unsigned partition;
    char token[64];
    bool is_marked;
};

enum { WALK_HELD_MAX = 400, WALK_STALE_MAX = 32 };

struct walk_child {
    unsigned serial; /* of its name */
    unsigned epochs;
    char epoch[WALK_PARTITIONS][32]; /* "": none */
    bool is_alone[WALK_PARTITIONS];
    struct walk_claim held[WALK_HELD_MAX];
    size_t held_count;
    /* Tokens of wake lists that it took, by lane and route. */
    bool tokens[WALK_PARTITIONS][LANE_COUNT][WALK_ROUTES];
};

struct walk_owner {
    unsigned home;
    char frozen[16];
    char last_event[40]; /* that was looked at */
};

/* The mover, as move.c goes about it. */
enum walk_move {
    MOVE_NONE,
    MOVE_PACK,
    MOVE_COPY,
    MOVE_FLIP,
    MOVE_UNPACK,
    MOVE_THAW,
    MOVE_WIPE,
    MOVE_END
};
struct walk_mover {
    enum walk_move step;
    unsigned owner;
    unsigned from;
    unsigned to;
    unsigned home;
    bool stays;
    char cursor[160];
};

enum { WALK_HOOKS = 2, WALK_TASKS_MAX = 64 };
struct walk_task {
    char endpoint[64];
    char event[40];
    char token[64];
};
struct walk_hook {
    unsigned serial;
    unsigned partition;
    unsigned epochs;
    char epoch[32];
    struct walk_task held[WALK_TASKS_MAX];
    size_t held_count;
};

struct walk_line {
    unsigned step;
    size_t email; /* SIZE_MAX: of none */
    char text[WALK_LINE_MAX];
};

enum { WALK_KEYS_MAX = 64, WALK_LINES_MAX = 60000 };
struct walk_key {
    unsigned owner;
    char key[24];
    char fingerprint[24];
};

struct walk {
    uint32_t seed;
    uint32_t dice;
    unsigned step;
    unsigned ids;
    int64_t now_ms; /* of Redis */
    struct loop *loop;
    struct queue *queue;
    struct keyring *keyring;
    char sha[SCRIPT_COUNT][41];
    struct walk_owner owners[WALK_OWNERS];
    struct walk_email emails[WALK_EMAILS_MAX];
    size_t email_count;
    struct walk_child children[WALK_CHILDREN];
    unsigned child_serial;
    struct walk_claim stale[WALK_STALE_MAX];
    size_t stale_count;
    struct walk_hook hooks[WALK_HOOKS * WALK_PARTITIONS];
    struct walk_mover mover;
    struct walk_key keys[WALK_KEYS_MAX];
    size_t key_count;
    int64_t alone_ms; /* when the duty was taken last */
    /* Routes whose token died with its taker. */
    bool is_untold[WALK_PARTITIONS][LANE_COUNT][WALK_ROUTES];
    bool may_sweep;     /* in this step final mail may go */
    bool has_many_dead; /* more than a turn takes back from */
    unsigned next_token;
    struct walk_line *lines;
    size_t line_count;
};

/* --- dice --- */

static inline unsigned roll(struct walk *walk, unsigned sides)
{
    walk->dice = walk->dice * 1664525u + 1013904223u;
    return (walk->dice >> 8) % sides;
}

static inline bool one_in(struct walk *walk, unsigned sides)
{
    return roll(walk, sides) == 0;
}

/* Each step has dice of its own, whatever those before it took. */
static inline void new_dice(struct walk *walk)
{
    walk->dice = (walk->seed * 2654435761u) ^ (walk->step * 2246822519u);
    roll(walk, 2);
}

/* As id_new makes them, but the same in each walk of that seed. */
static inline struct id walk_id(struct walk *walk, unsigned partition)
{
    char text[64];
    struct id id;

    snprintf(text, sizeof text, "%08llx-%04llx-7%03x-80%02x-%012x",
             (unsigned long long)walk->now_ms >> 16,
             (unsigned long long)walk->now_ms & 0xffff, walk->ids & 0xfff,
             partition, walk->ids);
    walk->ids++;
    assert_true(id_parse(str_of(text), &id));
    return id;
}

/* --- words --- */

static inline void note(struct walk *walk, size_t email, const char *format,
                        ...) PRINTF_LIKE(3, 4);
static inline void note(struct walk *walk, size_t email, const char *format,
                        ...)
{
    struct walk_line *line;
    va_list args;

    if (walk->line_count == WALK_LINES_MAX)
        return;
    line = &walk->lines[walk->line_count++];
    line->step = walk->step;
    line->email = email;
    va_start(args, format);
    vsnprintf(line->text, sizeof line->text, format, args);
    va_end(args);
    if (getenv("WALK_TRACE") != NULL)
        fprintf(stderr, "%u %s\n", line->step, line->text);
}

#define NO_EMAIL SIZE_MAX

/* The last lines that tell of it, oldest first. */
static inline void print_lines(const struct walk *walk, size_t email)
{
    size_t from = walk->line_count;
    unsigned found = 0;

    while (from > 0 && found < WALK_TOLD_MAX) {
        from--;
        found += email == NO_EMAIL || walk->lines[from].email == email ||
                 walk->lines[from].email == NO_EMAIL;
    }
    for (; from < walk->line_count; from++)
        if (email == NO_EMAIL || walk->lines[from].email == email ||
            walk->lines[from].email == NO_EMAIL)
            fprintf(stderr, "  %4u  %s\n", walk->lines[from].step,
                    walk->lines[from].text);
}

static inline void walk_fail(struct walk *walk, size_t email,
                             const char *format, ...) PRINTF_LIKE(3, 4);
static inline void walk_fail(struct walk *walk, size_t email,
                             const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "WALK_SEED=%u, step %u: %s\n", walk->seed, walk->step,
            text);
    if (email != NO_EMAIL)
        fprintf(stderr, "  e%zu is %s\n", email, walk->emails[email].id.text);
    print_lines(walk, email);
    fail_msg("WALK_SEED=%u, step %u: %s", walk->seed, walk->step, text);
}

/* --- the clock --- */

/* That of this process stands still but for this: no answer comes too late,
 * however slow the machine is. */
static inline void set_clock(const struct walk *walk)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    clock_set(WALK_MONOTONIC_MS, walk->now_ms);
    redis_do("HSET ph:meta test_offset_ms %lld",
             (long long)(walk->now_ms - (int64_t)now.tv_sec * 1000 -
                         now.tv_nsec / 1000000));
}

/* What nobody looks after in a walk: it ends by the real clock. */
static inline void pass_time(struct walk *walk, int64_t ms)
{
    walk->now_ms += ms;
    set_clock(walk);
    for (unsigned i = 0; i < WALK_PARTITIONS; i++)
        if (walk->now_ms - walk->alone_ms > 2 * WALK_LEASE_MS)
            redis_do("DEL ph:{%u}:alone", i);
}

/* --- scripts --- */

enum { CALL_ARGS_MAX = 4096, CALL_BYTES_MAX = 1 << 20 };

static struct walk_call {
    const char *args[CALL_ARGS_MAX];
    size_t lens[CALL_ARGS_MAX];
    size_t count;
    char bytes[CALL_BYTES_MAX];
    size_t used;
} walk_call;

static inline void call_add_bytes(const char *bytes, size_t len)
{
    assert_true(walk_call.count < CALL_ARGS_MAX &&
                walk_call.used + len < CALL_BYTES_MAX);
    memcpy(walk_call.bytes + walk_call.used, bytes, len);
    walk_call.args[walk_call.count] = walk_call.bytes + walk_call.used;
    walk_call.lens[walk_call.count++] = len;
    walk_call.used += len;
}

static inline void call_add(const char *text)
{
    call_add_bytes(text, strlen(text));
}

static inline void call_int(int64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)number);
    call_add(text);
}

static inline void load_script(struct walk *walk, enum script script)
{
    redisReply *reply;
    struct buf text;

    buf_init(&text, 1 << 20);
    script_add_text(script, &text);
    reply = redis_raw("SCRIPT LOAD %b", text.data, text.len);
    snprintf(walk->sha[script], sizeof walk->sha[script], "%s", reply->str);
    freeReplyObject(reply);
    buf_finish(&text);
}

static inline void call_begin_key(struct walk *walk, enum script script,
                                  const char *key)
{
    if (walk->sha[script][0] == '\0')
        load_script(walk, script);
    walk_call.count = 0;
    walk_call.used = 0;
    call_add("EVALSHA");
    call_add(walk->sha[script]);
    call_add("1");
    call_add(key);
}

static inline void call_begin(struct walk *walk, enum script script,
                              unsigned partition)
{
    char key[32];

    snprintf(key, sizeof key, "ph:{%u}:", partition);
    call_begin_key(walk, script, key);
}

/* The reply is the caller's. */
static inline redisReply *call_end(struct walk *walk)
{
    redisReply *reply = redisCommandArgv(fixture.redis, (int)walk_call.count,
                                         walk_call.args, walk_call.lens);

    if (reply == NULL)
        walk_fail(walk, NO_EMAIL, "no answer: %s", fixture.redis->errstr);
    if (reply->type == REDIS_REPLY_ERROR)
        walk_fail(walk, NO_EMAIL, "a script failed: %s", reply->str);
    return reply;
}

static inline void call_only(struct walk *walk)
{
    freeReplyObject(call_end(walk));
}

static inline const char *word_of(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY ? reply->element[0]->str
                                            : reply->str;
}

/* Words by blanks; cuts the line. */
enum { LINE_FIELDS_MAX = 20 };

static inline size_t split_line(char *line, char *fields[LINE_FIELDS_MAX])
{
    size_t count = 0;

    for (char *at = line; at != NULL && count < LINE_FIELDS_MAX; count++) {
        fields[count] = at;
        at = strchr(at, ' ');
        if (at != NULL)
            *at++ = '\0';
    }
    return count;
}

/* Of a set, whose order is Redis' secret. */
static inline int compare_claims(const void *a, const void *b)
{
    const struct walk_claim *one = a;
    const struct walk_claim *other = b;

    if (one->email != other->email)
        return one->email < other->email ? -1 : 1;
    return (int)one->number - (int)other->number;
}

/* Waits for a callback of the queue. */
#define walk_until(walk, condition) until((walk)->loop, condition)

static inline struct queue_owner walk_owner(const struct walk *walk,
                                            unsigned owner)
{
    return (struct queue_owner){.name = str_of(WALK_OWNER[owner]),
                                .home = walk->owners[owner].home};
}

#endif
