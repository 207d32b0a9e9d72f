/* walk_model.h - what each delivery of a walk must be: the state table of
 * docs/queue.md once more, as far as a walk needs it.
 *
 * A step begins with allowed = what it is. What the step does says what it may
 * be behind it: one state where the table is exact, several where it depends
 * on what nobody outside of Redis can know (which flow a claim looks at).
 * walk_audit.h compares.
 */
#ifndef TESTS_WALK_MODEL_H
#define TESTS_WALK_MODEL_H

#include "walk_world.h"

#define LIFE_MAX_MS INT64_C(2592000000) /* of what is parked without an end */

static inline bool is_final_state(char state)
{
    return state != '\0' && strchr("SDBFPEUC", state) != NULL;
}

static inline bool is_open_state(char state)
{
    return state != '\0' && strchr("qucxhk", state) != NULL;
}

static inline void expect(struct walk_delivery *d, char state)
{
    d->allowed[0] = state;
    d->allowed[1] = '\0';
}

static inline void allow(struct walk_delivery *d, char state)
{
    size_t len = strlen(d->allowed);

    if (strchr(d->allowed, state) != NULL)
        return;
    assert_true(len + 1 < sizeof d->allowed);
    d->allowed[len] = state;
    d->allowed[len + 1] = '\0';
}

/* In the middle of a step: what it is by now, as long as that is sure. */
static inline char state_by_now(const struct walk_delivery *d)
{
    return d->allowed[0];
}

static inline bool is_late(const struct walk *walk,
                           const struct walk_delivery *d)
{
    return d->ends_ms > 0 && d->ends_ms <= walk->now_ms;
}

static inline bool is_frozen(const struct walk *walk, unsigned owner)
{
    return walk->owners[owner].frozen[0] != '\0';
}

static inline bool is_away(const struct walk *walk, unsigned owner)
{
    const char *frozen = walk->owners[owner].frozen;

    return strcmp(frozen, "leaving") == 0 || strcmp(frozen, "moved") == 0;
}

static inline bool lives_in(const struct walk *walk,
                            const struct walk_email *email, unsigned partition)
{
    return walk->owners[email->owner].home == partition;
}

static inline void begin_step(struct walk *walk)
{
    walk->may_sweep = false;
    for (size_t i = 0; i < walk->email_count; i++) {
        for (unsigned n = 0; n < walk->emails[i].count; n++) {
            struct walk_delivery *d = &walk->emails[i].deliveries[n];

            expect(d, d->state);
            d->may_be_lost = false;
        }
    }
}

/* Calls fn for each delivery that lives there and that scripts see. */
typedef void (*walk_fn)(struct walk *walk, struct walk_email *email,
                        struct walk_delivery *d);
static inline void each_delivery(struct walk *walk, unsigned partition,
                                 walk_fn fn)
{
    for (size_t i = 0; i < walk->email_count; i++) {
        struct walk_email *email = &walk->emails[i];

        if (!lives_in(walk, email, partition))
            continue;
        for (unsigned n = 0; n < email->count; n++)
            if (!email->deliveries[n].is_packed)
                fn(walk, email, &email->deliveries[n]);
    }
}

/* --- what became of an attempt --- */

static inline void set_final(struct walk_delivery *d, char state)
{
    expect(d, state);
}

/* Into its flow, or into the bag of one who moves. */
static inline void line_up(const struct walk *walk, struct walk_delivery *d)
{
    expect(d, 'q');
    d->is_packed = is_away(walk, d->owner);
}

static inline void wait_until(struct walk_delivery *d, int64_t due_ms)
{
    d->due_ms = due_ms;
    expect(d, 'u');
}

static inline void park(const struct walk *walk, struct walk_delivery *d)
{
    d->till_ms = d->ends_ms > 0 ? d->ends_ms : walk->now_ms + LIFE_MAX_MS;
    expect(d, 'h');
}

/* A try that is planned: who lived to tell of it is no suspect. */
static inline void try_again(struct walk_delivery *d, int64_t due_ms)
{
    d->crashes = -1;
    wait_until(d, due_ms);
}

static inline void end_unknown(const struct walk *walk, struct walk_delivery *d,
                               int64_t due_ms)
{
    int64_t next_ms = due_ms > walk->now_ms ? due_ms : walk->now_ms;

    d->attempts++;
    d->dup = true;
    if (d->on_unknown == 'f')
        set_final(d, 'F');
    else if (d->on_unknown == 'h')
        park(walk, d);
    else if (d->ends_ms > 0 && next_ms >= d->ends_ms)
        set_final(d, 'F');
    else if (due_ms == 0)
        line_up(walk, d);
    else
        try_again(d, due_ms);
}

static inline void end_soft(struct walk_delivery *d, int64_t due_ms)
{
    d->attempts++;
    d->may_be_out = false;
    if (d->ends_ms > 0 && due_ms >= d->ends_ms)
        set_final(d, 'E');
    else
        try_again(d, due_ms);
}

static inline void end_certain(struct walk_delivery *d, char state)
{
    d->attempts += state != 'F';
    d->may_be_out = false;
    set_final(d, state);
}

/* A result that fits. */
static inline void apply_result(const struct walk *walk,
                                struct walk_delivery *d, char kind,
                                int64_t due_ms, bool final_route)
{
    switch (kind) {
    case 's':
        d->attempts++;
        set_final(d, final_route ? 'D' : 'S');
        break;
    case 'o':
        end_soft(d, due_ms);
        break;
    case 'e':
        end_certain(d, 'E');
        break;
    case 'b':
    case 'p':
        end_certain(d, 'B');
        break;
    case 'f':
        end_certain(d, 'F');
        break;
    case 'u':
        end_unknown(walk, d, due_ms);
        break;
    default: /* n, w, m */
        d->may_be_out = false;
        if (due_ms > walk->now_ms)
            wait_until(d, due_ms);
        else
            line_up(walk, d);
        d->has_no_route = d->has_no_route || kind == 'w';
        break;
    }
}

/* False: it is refused, which the turn counts. */
static inline bool take_result(const struct walk *walk,
                               const struct walk_email *email,
                               struct walk_delivery *d,
                               const struct walk_claim *claim, char kind,
                               int64_t due_ms, bool final_route)
{
    char state = state_by_now(d);

    if (!lives_in(walk, email, claim->partition) || d->is_packed ||
        !is_open_state(state))
        return true;
    if (strcmp(d->token, claim->token) != 0 ||
        (state != 'c' && state != 'x' && kind != 's'))
        return false;
    apply_result(walk, d, kind, due_ms, final_route);
    return true;
}

/* --- what time does, in a turn --- */

static inline char ended_by_time(const struct walk_delivery *d, char state)
{
    return state == 'h' || state == 'k' || d->has_no_route ? 'F' : 'E';
}

static inline void end_by_time(struct walk *walk, struct walk_email *email,
                               struct walk_delivery *d)
{
    char state = state_by_now(d);

    (void)email;
    if (state == 'u' && d->due_ms <= walk->now_ms) {
        state = 'q';
        line_up(walk, d);
    }
    if (!is_open_state(state) || state == 'x' || d->is_packed)
        return;
    if (d->exp_ms > 0 && d->exp_ms <= walk->now_ms)
        set_final(d, ended_by_time(d, state));
    else if ((state == 'h' || state == 'k') && d->till_ms <= walk->now_ms)
        set_final(d, 'F');
}

/* Its worker's lease is over: what was marked may wait for the grace. */
static inline void take_back(struct walk *walk, struct walk_email *email,
                             struct walk_delivery *d)
{
    char state = state_by_now(d);

    (void)email;
    if ((state != 'c' && state != 'x') || d->till_ms > walk->now_ms)
        return;
    if (state == 'c') {
        line_up(walk, d);
        if (walk->has_many_dead)
            allow(d, 'c');
        return;
    }
    end_unknown(walk, d, 0);
    allow(d, 'x');
    d->may_be_lost = true;
}

static inline void pass_turn(struct walk *walk, unsigned partition)
{
    each_delivery(walk, partition, end_by_time);
    each_delivery(walk, partition, take_back);
}

/* --- what claims find --- */

static inline bool is_listed(const struct walk *walk, unsigned owner,
                             unsigned box)
{
    char hash[ADDRESS_HASH_SIZE];
    const char *text;
    long long till;

    address_hash(str_of(WALK_BOX[box]), hash);
    text = redis_ask("HGET ph:{%u}:su:%s %s", walk->owners[owner].home,
                     WALK_OWNER[owner], hash);
    if (sscanf(text, "%*s %*s %*s %lld", &till) != 1)
        return false;
    return till == 0 || till > walk->now_ms;
}

/* What a look may end, at the head of a flow or at a claim. */
static inline void look_at_flow(struct walk *walk, struct walk_email *email,
                                struct walk_delivery *d)
{
    if (strchr(d->allowed, 'q') == NULL)
        return;
    if (is_late(walk, d))
        allow(d, ended_by_time(d, 'q'));
    if (is_listed(walk, email->owner, d->box))
        allow(d, 'P');
}

/* --- finding --- */

static inline size_t email_at(const struct walk *walk, const char *id)
{
    for (size_t i = walk->email_count; i > 0; i--)
        if (memcmp(walk->emails[i - 1].id.text, id, ID_LEN) == 0)
            return i - 1;
    return NO_EMAIL;
}

static inline struct walk_delivery *delivery_of(struct walk *walk,
                                                const struct walk_claim *claim)
{
    return &walk->emails[claim->email].deliveries[claim->number];
}

#endif
