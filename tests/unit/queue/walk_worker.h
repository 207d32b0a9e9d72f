/* walk_worker.h - children of a walk: they claim, mark, tell what became of
 * their claims (now and then late, or twice), come back under a new epoch,
 * and die, with or without a supervisor who says so.
 */
#ifndef TESTS_WALK_WORKER_H
#define TESTS_WALK_WORKER_H

#include "walk_mail.h"

enum {
    WALK_RESULTS_MAX = 60,
    ROOM_FOR_ALL = 300,
    CLAIMS_OF_A_TURN = 256,
    DEAD_OF_A_TURN = 4
};

struct walk_result {
    struct walk_claim claim;
    char kind;
    int64_t due_ms;
    bool final_route;
};

struct walk_turn {
    struct walk_child *child;
    unsigned partition;
    struct walk_result results[WALK_RESULTS_MAX];
    size_t result_count;
    unsigned refused; /* as the model has it */
    int room[WALK_ROUTES][LANE_COUNT];
    bool is_asked[WALK_ROUTES];
};

/* --- in hand --- */

static inline void keep_stale(struct walk *walk, const struct walk_claim *claim)
{
    size_t at = walk->stale_count < WALK_STALE_MAX ? walk->stale_count++
                                                   : roll(walk, WALK_STALE_MAX);

    walk->stale[at] = *claim;
}

static inline void let_go(struct walk *walk, struct walk_child *child, size_t i)
{
    if (one_in(walk, 3))
        keep_stale(walk, &child->held[i]);
    child->held[i] = child->held[--child->held_count];
}

static inline bool holds(const struct walk_child *child, unsigned partition)
{
    for (size_t i = 0; i < child->held_count; i++)
        if (child->held[i].partition == partition)
            return true;
    return false;
}

static inline bool is_of(const struct walk_delivery *d, const char *epoch)
{
    return strncmp(d->place, "own:", 4) == 0 &&
           strcmp(d->place + 4, epoch) == 0;
}

static inline void call_claim(const struct walk *walk,
                              const struct walk_claim *claim)
{
    char id[64];

    snprintf(id, sizeof id, "%s:%u", walk->emails[claim->email].id.text,
             claim->number);
    call_add(id);
}

/* Whoever takes tokens and dies costs their routes a heartbeat. */
static inline void lose_tokens(struct walk *walk, unsigned partition,
                               bool (*tokens)[WALK_ROUTES])
{
    for (unsigned lane = 0; lane < LANE_COUNT; lane++)
        for (unsigned route = 0; route < WALK_ROUTES; route++)
            if (tokens[lane][route])
                walk->is_untold[partition][lane][route] = true;
}

/* --- registering --- */

/* What of the old epoch is not in hand goes back. */
static inline void expect_registered(struct walk *walk,
                                     const struct walk_child *child,
                                     unsigned partition, const char *old)
{
    for (size_t i = 0; i < walk->email_count; i++) {
        for (unsigned n = 0; n < walk->emails[i].count; n++) {
            struct walk_delivery *d = &walk->emails[i].deliveries[n];
            bool in_hand = false;

            if (!lives_in(walk, &walk->emails[i], partition) || !is_of(d, old))
                continue;
            for (size_t k = 0; k < child->held_count; k++)
                in_hand =
                    in_hand ||
                    (child->held[k].email == i && child->held[k].number == n &&
                     strcmp(child->held[k].token, d->token) == 0);
            if (in_hand)
                continue;
            if (d->state == 'c')
                expect(d, 'q');
            else
                end_unknown(walk, d, 0);
        }
    }
}

static inline void new_epoch(struct walk_child *child, unsigned partition)
{
    snprintf(child->epoch[partition], sizeof child->epoch[partition], "w%u-%u",
             child->serial, ++child->epochs);
}

static inline void register_child(struct walk *walk, struct walk_child *child,
                                  unsigned partition)
{
    char old[32];

    memcpy(old, child->epoch[partition], sizeof old);
    new_epoch(child, partition);
    call_begin(walk, SCRIPT_REGISTER, partition);
    call_add(child->epoch[partition]);
    call_add(old);
    call_int(WALK_LEASE_MS);
    call_int(WALK_DAY_MS);
    call_add("");
    for (size_t i = 0; i < child->held_count; i++) {
        if (child->held[i].partition != partition)
            continue;
        call_claim(walk, &child->held[i]);
        call_add(child->held[i].token);
    }
    call_only(walk);
    note(walk, NO_EMAIL, "{%u}: %s registers behind %s", partition,
         child->epoch[partition], old);
    if (old[0] != '\0')
        expect_registered(walk, child, partition, old);
}

static inline struct walk_child *pick_child(struct walk *walk)
{
    return &walk->children[roll(walk, WALK_CHILDREN)];
}

/* A connection was lost, and with it what its last turn had claimed. */
static inline void op_register(struct walk *walk)
{
    struct walk_child *child = pick_child(walk);
    unsigned partition = roll(walk, WALK_PARTITIONS);

    for (size_t i = child->held_count; i > 0; i--)
        if (child->held[i - 1].partition == partition && one_in(walk, 4))
            let_go(walk, child, i - 1);
    register_child(walk, child, partition);
}

/* --- results --- */

static inline char pick_kind(struct walk *walk, bool is_marked)
{
    static const char MARKED[] = "ssssssssoooobbpefnuuuu";
    static const char CLAIMED[] = "nnnnnnoooobpefwmmus";

    return is_marked ? MARKED[roll(walk, sizeof MARKED - 1)]
                     : CLAIMED[roll(walk, sizeof CLAIMED - 1)];
}

static inline void add_result(struct walk *walk, struct walk_turn *turn,
                              const struct walk_claim *claim)
{
    struct walk_result *result = &turn->results[turn->result_count];

    *result = (struct walk_result){
        .claim = *claim,
        .kind = pick_kind(walk, claim->is_marked),
        .final_route = one_in(walk, 3),
    };
    if (strchr("owu", result->kind) != NULL ||
        (result->kind == 'n' && one_in(walk, 3)))
        result->due_ms = later_ms(walk, one_in(walk, 3) ? 300 : 10);
    if (result->kind == 'u' && one_in(walk, 2))
        result->due_ms = 0;
    if (result->kind == 'o' && one_in(walk, 10))
        result->due_ms = walk->now_ms - TICK_MS;
    turn->result_count++;
    if (one_in(walk, 12) && turn->result_count < WALK_RESULTS_MAX) {
        turn->results[turn->result_count] = *result; /* told twice */
        turn->result_count++;
    }
}

static inline void pick_results(struct walk *walk, struct walk_turn *turn)
{
    struct walk_child *child = turn->child;

    for (size_t i = child->held_count; i > 0; i--) {
        if (child->held[i - 1].partition != turn->partition ||
            one_in(walk, 2) || turn->result_count + 4 > WALK_RESULTS_MAX)
            continue;
        add_result(walk, turn, &child->held[i - 1]);
        let_go(walk, child, i - 1);
    }
    for (size_t i = 0; i < walk->stale_count; i++)
        if (walk->stale[i].partition == turn->partition && one_in(walk, 12))
            add_result(walk, turn, &walk->stale[i]);
}

static inline void call_suppressed(struct walk *walk,
                                   const struct walk_claim *claim)
{
    struct id id = walk_id(walk, claim->partition);
    const char *box = WALK_BOX[delivery_of(walk, claim)->box];
    char hash[ADDRESS_HASH_SIZE];
    char text[128];

    address_hash(str_of(box), hash);
    snprintf(text, sizeof text, "%s %s %s", id.text, hash, box);
    call_add(text);
}

static inline void call_results(struct walk *walk, struct walk_turn *turn)
{
    call_int((int64_t)turn->result_count);
    for (size_t i = 0; i < turn->result_count; i++) {
        struct walk_result *result = &turn->results[i];
        char kind[] = {result->kind, '\0'};
        struct walk_delivery *d = delivery_of(walk, &result->claim);

        call_claim(walk, &result->claim);
        call_add(result->claim.token);
        call_add(kind);
        call_int(result->due_ms);
        call_int(result->final_route);
        call_add(result->kind == 'm' ? WALK_ROUTE[1 - d->route]
                                     : "450,\"4.2.0\",\"later\"");
        call_add(result->kind == 'm' ? "" : ",\"c\":450,\"u\":\"main\"");
        call_add(strchr("obpu", result->kind) != NULL ? "{\"at\":1}" : "");
        if (result->kind == 'p')
            call_suppressed(walk, &result->claim);
    }
}

static inline void expect_results(struct walk *walk, struct walk_turn *turn)
{
    for (size_t i = 0; i < turn->result_count; i++) {
        const struct walk_result *result = &turn->results[i];
        const struct walk_claim *claim = &result->claim;
        struct walk_delivery *d = delivery_of(walk, claim);
        char before = state_by_now(d);
        bool fits = strcmp(d->token, claim->token) == 0;

        turn->refused +=
            !take_result(walk, &walk->emails[claim->email], d, claim,
                         result->kind, result->due_ms, result->final_route);
        if (result->kind == 'm' && fits && (before == 'c' || before == 'x') &&
            state_by_now(d) == 'q')
            d->route = 1 - d->route;
        note(walk, claim->email, "{%u}: %s tells %c of e%zu:%u, due %+lld",
             turn->partition, turn->child->epoch[turn->partition], result->kind,
             claim->email, claim->number,
             (long long)(result->due_ms == 0 ? 0
                                             : result->due_ms - walk->now_ms));
    }
}

/* --- wants --- */

static inline void pick_wants(struct walk *walk, struct walk_turn *turn)
{
    for (unsigned route = 0; route < WALK_ROUTES; route++) {
        bool is_large = one_in(walk, 2);

        turn->is_asked[route] =
            !one_in(walk, 4) && !turn->child->is_alone[turn->partition];
        if (!turn->is_asked[route])
            continue;
        for (unsigned lane = 0; lane < LANE_COUNT; lane++) {
            int above = lane == 0 ? 4 : turn->room[route][lane - 1];

            turn->room[route][lane] =
                is_large ? ROOM_FOR_ALL : (int)roll(walk, (unsigned)above + 1);
        }
        turn->is_asked[route] = turn->room[route][0] > 0;
    }
}

static inline bool asks(const struct walk_turn *turn, unsigned lane,
                        unsigned route)
{
    return turn->is_asked[route] && turn->room[route][lane] > 0;
}

/* Tokens that the child took, and cannot use. */
static inline void call_unused(struct walk_turn *turn)
{
    bool(*tokens)[WALK_ROUTES] = turn->child->tokens[turn->partition];
    unsigned count = 0;

    for (unsigned i = 0; i < LANE_COUNT * WALK_ROUTES; i++)
        count += tokens[i / WALK_ROUTES][i % WALK_ROUTES] &&
                 !asks(turn, i / WALK_ROUTES, i % WALK_ROUTES);
    call_int(count);
    for (unsigned i = 0; i < LANE_COUNT * WALK_ROUTES; i++) {
        if (!tokens[i / WALK_ROUTES][i % WALK_ROUTES] ||
            asks(turn, i / WALK_ROUTES, i % WALK_ROUTES))
            continue;
        call_int(i / WALK_ROUTES);
        call_add(WALK_ROUTE[i % WALK_ROUTES]);
    }
    memset(tokens, 0, sizeof(bool[LANE_COUNT][WALK_ROUTES]));
}

static inline void call_wants(struct walk *walk, struct walk_turn *turn)
{
    unsigned count = 0;

    for (unsigned route = 0; route < WALK_ROUTES; route++)
        count += turn->is_asked[route];
    call_int(count);
    for (unsigned route = 0; route < WALK_ROUTES; route++) {
        if (!turn->is_asked[route])
            continue;
        call_add(WALK_ROUTE[route]);
        call_int(roll(walk, 3));
        for (unsigned lane = 0; lane < LANE_COUNT; lane++) {
            call_int(turn->room[route][lane]);
            if (turn->room[route][lane] > 0)
                walk->is_untold[turn->partition][lane][route] = false;
        }
    }
}

/* --- claims --- */

enum { CLAIM_WORDS_MAX = 13 };

static inline void check_claim(struct walk *walk, size_t i, unsigned n,
                               char *const *words)
{
    struct walk_delivery *d = &walk->emails[i].deliveries[n];

    if (strchr(d->allowed, 'q') == NULL)
        walk_fail(walk, i, "e%zu:%u is claimed, and may be \"%s\"", i, n,
                  d->allowed);
    if (is_late(walk, d))
        walk_fail(walk, i, "e%zu:%u is claimed late", i, n);
    if (is_away(walk, walk->emails[i].owner))
        walk_fail(walk, i, "e%zu:%u is claimed of one who moves", i, n);
    if (d->generation == 1 && is_listed(walk, d->owner, d->box))
        walk_fail(walk, i, "e%zu:%u is claimed, and no mail goes there", i, n);
    if ((words[5][0] == '1') != d->dup || (d->may_be_out && !d->dup))
        walk_fail(walk, i, "e%zu:%u is claimed, a possible duplicate: %s", i, n,
                  words[5]);
    if (strtoul(words[3], NULL, 10) != d->attempts + 1 ||
        strtoul(words[4], NULL, 10) != d->generation)
        walk_fail(walk, i, "e%zu:%u is claimed as attempt %s of %s", i, n,
                  words[3], words[4]);
}

static inline void take_claim(struct walk *walk, struct walk_child *child,
                              unsigned partition, const char *text,
                              bool is_alone)
{
    struct walk_claim *claim = &child->held[child->held_count];
    struct walk_delivery *d;
    char line[512];
    char *words[LINE_FIELDS_MAX];

    assert_true(child->held_count++ < WALK_HELD_MAX);
    snprintf(line, sizeof line, "%s", text);
    assert_true(split_line(line, words) >= CLAIM_WORDS_MAX);
    *claim = (struct walk_claim){
        .email = email_at(walk, words[0]),
        .number = (unsigned)strtoul(words[0] + ID_LEN + 1, NULL, 10),
        .partition = partition};
    assert_true(claim->email != NO_EMAIL);
    snprintf(claim->token, sizeof claim->token, "%s", words[1]);
    note(walk, claim->email, "{%u}: %s claims e%zu:%u%s", partition,
         child->epoch[partition], claim->email, claim->number,
         is_alone ? " alone" : "");
    check_claim(walk, claim->email, claim->number, words);
    d = delivery_of(walk, claim);
    if ((d->crashes >= 0) != is_alone)
        walk_fail(walk, claim->email, "e%zu:%u is %s suspect", claim->email,
                  claim->number, is_alone ? "no" : "a");
    expect(d, 'c');
}

/* A turn with room for all leaves nothing that it may claim. */
static inline void check_left(struct walk *walk, const struct walk_turn *turn,
                              size_t claims)
{
    for (size_t i = 0; i < walk->email_count; i++) {
        const struct walk_email *email = &walk->emails[i];

        if (!lives_in(walk, email, turn->partition) ||
            is_away(walk, email->owner) || claims >= CLAIMS_OF_A_TURN)
            continue;
        for (unsigned n = 0; n < email->count; n++) {
            struct walk_delivery *d = &email->deliveries[n];
            size_t len = strlen(d->allowed);

            if (strchr(d->allowed, 'q') == NULL || d->is_packed ||
                d->crashes >= 0 || !turn->is_asked[d->route] ||
                turn->room[d->route][LANE_COUNT - 1] < ROOM_FOR_ALL)
                continue;
            if (len == 1)
                walk_fail(walk, i, "e%zu:%u waits, and is not claimed", i, n);
            memmove(strchr(d->allowed, 'q'), strchr(d->allowed, 'q') + 1,
                    strlen(strchr(d->allowed, 'q')));
        }
    }
}

static inline void take_turn(struct walk *walk, struct walk_turn *turn,
                             const redisReply *reply)
{
    const redisReply *claims = reply->element[4];

    if ((long long)turn->refused != reply->element[3]->integer)
        walk_fail(walk, NO_EMAIL, "%lld results were refused, not %u",
                  reply->element[3]->integer, turn->refused);
    pass_turn(walk, turn->partition);
    for (size_t i = 0; i < claims->elements; i++)
        take_claim(walk, turn->child, turn->partition, claims->element[i]->str,
                   false);
    qsort(turn->child->held, turn->child->held_count, sizeof *turn->child->held,
          compare_claims);
    each_delivery(walk, turn->partition, look_at_flow);
    check_left(walk, turn, claims->elements);
}

/* What it holds is not taken back by its own turn. */
static inline void renew_lease(struct walk *walk, const char *epoch)
{
    for (size_t i = 0; i < walk->email_count; i++)
        for (unsigned n = 0; n < walk->emails[i].count; n++)
            if (is_of(&walk->emails[i].deliveries[n], epoch))
                walk->emails[i].deliveries[n].till_ms =
                    walk->now_ms + WALK_LEASE_MS;
}

static inline unsigned count_dead(struct walk *walk, unsigned partition)
{
    return (unsigned)strtoul(redis_ask("ZCOUNT ph:{%u}:workers -inf %lld",
                                       partition, (long long)walk->now_ms),
                             NULL, 10);
}

static inline void send_turn(struct walk *walk, struct walk_turn *turn)
{
    const char *epoch = turn->child->epoch[turn->partition];
    bool lost[LANE_COUNT][WALK_ROUTES];
    bool untold[LANE_COUNT][WALK_ROUTES];
    redisReply *reply;

    walk->has_many_dead = count_dead(walk, turn->partition) > DEAD_OF_A_TURN;
    memcpy(untold, walk->is_untold[turn->partition], sizeof untold);
    memcpy(lost, turn->child->tokens[turn->partition], sizeof lost);
    walk->next_token += 1000;
    call_begin(walk, SCRIPT_TURN, turn->partition);
    call_add(epoch);
    call_int(WALK_LEASE_MS);
    call_int(WALK_DAY_MS);
    call_int(walk->next_token);
    call_int(one_in(walk, 3));
    call_results(walk, turn);
    call_unused(turn);
    call_wants(walk, turn);
    reply = call_end(walk);
    note(walk, NO_EMAIL, "{%u}: turn of %s: %s", turn->partition, epoch,
         word_of(reply));
    if (strcmp(word_of(reply), "ok") == 0) {
        renew_lease(walk, epoch);
        expect_results(walk, turn);
        take_turn(walk, turn, reply);
    } else { /* its lease ran out, and its next turn asks for all */
        memcpy(walk->is_untold[turn->partition], untold, sizeof untold);
        lose_tokens(walk, turn->partition, lost);
        register_child(walk, turn->child, turn->partition);
    }
    freeReplyObject(reply);
}

static inline void turn_of(struct walk *walk, struct walk_child *child,
                           unsigned partition)
{
    struct walk_turn turn = {.child = child, .partition = partition};

    pick_results(walk, &turn);
    pick_wants(walk, &turn);
    send_turn(walk, &turn);
}

static inline void op_turn(struct walk *walk)
{
    struct walk_child *child = pick_child(walk);
    unsigned partition = roll(walk, WALK_PARTITIONS);

    if (child->epoch[partition][0] == '\0')
        register_child(walk, child, partition);
    else
        turn_of(walk, child, partition);
}

/* --- marks --- */

static inline bool has_lease(struct walk *walk, const char *epoch,
                             unsigned partition)
{
    return strtoll(redis_ask("ZSCORE ph:{%u}:workers %s", partition, epoch),
                   NULL, 10) > walk->now_ms;
}

static inline bool may_go(struct walk *walk, const struct walk_claim *claim)
{
    const struct walk_delivery *d = delivery_of(walk, claim);

    return lives_in(walk, &walk->emails[claim->email], claim->partition) &&
           (d->allowed[0] == 'c' || d->allowed[0] == 'x') &&
           strcmp(d->token, claim->token) == 0 && !is_late(walk, d);
}

static inline void expect_mark(struct walk *walk, struct walk_claim *claim,
                               bool leased, bool answer)
{
    struct walk_delivery *d = delivery_of(walk, claim);
    bool may = leased && may_go(walk, claim);

    note(walk, claim->email, "{%u}: mark e%zu:%u: %d", claim->partition,
         claim->email, claim->number, answer);
    if (may != answer)
        walk_fail(walk, claim->email, "e%zu:%u: the mark is %d", claim->email,
                  claim->number, answer);
    if (!answer)
        return;
    expect(d, 'x');
    d->may_be_out = true;
    claim->is_marked = true;
}

static inline void op_mark(struct walk *walk)
{
    struct walk_child *child = pick_child(walk);
    unsigned partition = roll(walk, WALK_PARTITIONS);
    const char *epoch = child->epoch[partition];
    struct walk_claim *claims[WALK_RESULTS_MAX];
    bool leased = has_lease(walk, epoch, partition);
    redisReply *reply;
    size_t count = 0;

    for (size_t i = 0; i < child->held_count; i++)
        if (child->held[i].partition == partition && !one_in(walk, 4) &&
            count < WALK_RESULTS_MAX)
            claims[count++] = &child->held[i];
    if (walk->stale_count > 0 && one_in(walk, 4) && count < WALK_RESULTS_MAX)
        claims[count++] = &walk->stale[roll(walk, (unsigned)walk->stale_count)];
    call_begin(walk, SCRIPT_MARK, partition);
    call_add(epoch);
    call_int(WALK_LEASE_MS);
    for (size_t i = 0; i < count; i++) {
        claims[i]->partition = partition;
        call_claim(walk, claims[i]);
        call_add(claims[i]->token);
    }
    reply = call_end(walk);
    for (size_t i = 0; i < count; i++)
        expect_mark(walk, claims[i], leased, reply->element[i]->integer == 1);
    freeReplyObject(reply);
}

/* --- death --- */

enum { CRASHES_MAX = 5 };

/* False: it is dead. */
static inline bool suspect(struct walk *walk, struct walk_delivery *d)
{
    d->crashes = (d->crashes < 0 ? 0 : d->crashes) +
                 (strcmp(d->alone_token, d->token) == 0);
    if (d->crashes < CRASHES_MAX)
        return true;
    d->dup = d->dup || d->state == 'x';
    park(walk, d);
    expect(d, 'k');
    return false;
}

static inline void expect_release(struct walk *walk, unsigned partition,
                                  const char *child, const char *victim)
{
    char name[64];

    for (size_t i = 0; i < walk->email_count; i++) {
        struct walk_email *email = &walk->emails[i];

        for (unsigned n = 0; n < email->count; n++) {
            struct walk_delivery *d = &email->deliveries[n];
            bool is_suspect;

            if (!lives_in(walk, email, partition) ||
                strncmp(d->place, "own:", 4) != 0 ||
                strncmp(d->place + 4, child, strlen(child)) != 0)
                continue;
            snprintf(name, sizeof name, "%s:%u", email->id.text, n);
            is_suspect = strcmp(victim, name) == 0 ||
                         strcmp(victim, email->id.text) == 0;
            if (is_suspect && !suspect(walk, d))
                continue;
            if (d->state == 'c')
                expect(d, 'q');
        }
    }
}

static inline void release(struct walk *walk, const char *child,
                           const char *victim)
{
    for (unsigned i = 0; i < WALK_PARTITIONS; i++) {
        call_begin(walk, SCRIPT_RELEASE, i);
        call_add(child);
        call_add(victim);
        call_add("");
        call_only(walk);
        expect_release(walk, i, child, victim);
    }
}

/* What a new process begins with. */
static inline void child_begin(struct walk *walk, struct walk_child *child)
{
    *child = (struct walk_child){.serial = ++walk->child_serial};
}

static inline void op_die(struct walk *walk)
{
    struct walk_child *child = pick_child(walk);
    char victim[64] = "";
    char name[32];
    bool is_told = !one_in(walk, 3);

    snprintf(name, sizeof name, "w%u-", child->serial);
    if (child->held_count > 0 && !one_in(walk, 3)) {
        const struct walk_claim *claim =
            &child->held[roll(walk, (unsigned)child->held_count)];

        snprintf(victim, sizeof victim, "%s",
                 walk->emails[claim->email].id.text);
        if (one_in(walk, 2))
            snprintf(victim + ID_LEN, sizeof victim - ID_LEN, ":%u",
                     claim->number);
    }
    note(walk, NO_EMAIL, "%s dies%s, with its hands on %s", name,
         is_told ? "" : " untold", victim);
    while (child->held_count > 0)
        let_go(walk, child, child->held_count - 1);
    for (unsigned i = 0; i < WALK_PARTITIONS; i++)
        lose_tokens(walk, i, child->tokens[i]);
    if (is_told)
        release(walk, name, victim);
    child_begin(walk, child);
}

/* --- tokens --- */

/* The first that there is, from somewhere on; it asks then, unless it is slow.
 */
static inline void op_token(struct walk *walk)
{
    struct walk_child *child = pick_child(walk);
    unsigned partition = roll(walk, WALK_PARTITIONS);
    unsigned from = roll(walk, LANE_COUNT * WALK_ROUTES);

    for (unsigned i = 0; i < LANE_COUNT * WALK_ROUTES; i++) {
        unsigned at = (from + i) % (LANE_COUNT * WALK_ROUTES);
        unsigned lane = at / WALK_ROUTES;
        unsigned route = at % WALK_ROUTES;

        if (child->epoch[partition][0] == '\0' ||
            strcmp(redis_ask("LPOP ph:{%u}:wake:%u:%s", partition, lane,
                             WALK_ROUTE[route]),
                   "1") != 0)
            continue;
        note(walk, NO_EMAIL, "{%u}: %s takes the token of %u:%s", partition,
             child->epoch[partition], lane, WALK_ROUTE[route]);
        child->tokens[partition][lane][route] = true;
        if (!one_in(walk, 4))
            turn_of(walk, child, partition);
        return;
    }
}

/* --- suspects --- */

static inline void look_at_suspect(struct walk *walk, struct walk_email *email,
                                   struct walk_delivery *d)
{
    if (d->crashes >= 0)
        look_at_flow(walk, email, d);
}

/* Whether it got what it asked for. */
static inline bool ask_alone(struct walk *walk, struct walk_child *child,
                             unsigned partition, const char *what)
{
    redisReply *reply;
    bool is_claim;
    bool is_quiet;

    call_begin(walk, SCRIPT_ALONE, partition);
    call_add(child->epoch[partition]);
    call_int(WALK_LEASE_MS);
    call_int(WALK_DAY_MS);
    call_add(what);
    walk->next_token += 1000;
    call_int(walk->next_token);
    reply = call_end(walk);
    is_claim = strcmp(word_of(reply), "claim") == 0;
    is_quiet = strcmp(word_of(reply), "quiet") == 0;
    note(walk, NO_EMAIL, "{%u}: %s, alone: %s, %s", partition,
         child->epoch[partition], what, word_of(reply));
    if (is_claim)
        take_claim(walk, child, partition, reply->element[1]->str, true);
    if (strcmp(what, "leave") != 0)
        each_delivery(walk, partition, look_at_suspect);
    if (is_claim || is_quiet)
        walk->alone_ms = walk->now_ms;
    freeReplyObject(reply);
    return is_claim || is_quiet;
}

static inline void op_alone(struct walk *walk)
{
    struct walk_child *child = pick_child(walk);
    unsigned partition = roll(walk, WALK_PARTITIONS);

    if (child->epoch[partition][0] == '\0' || child->held_count > 0)
        return;
    if (child->is_alone[partition]) {
        child->is_alone[partition] = false;
        ask_alone(walk, child, partition, "leave");
    } else if (ask_alone(walk, child, partition, "look")) {
        child->is_alone[partition] = ask_alone(walk, child, partition, "claim");
    }
}

/* --- the journal of the dead --- */

static inline void op_replay(struct walk *walk)
{
    const struct walk_claim *claim;
    struct walk_delivery *d;

    if (walk->stale_count == 0)
        return;
    claim = &walk->stale[roll(walk, (unsigned)walk->stale_count)];
    if (!claim->is_marked)
        return;
    d = delivery_of(walk, claim);
    call_begin(walk, SCRIPT_REPLAY, claim->partition);
    call_int(WALK_DAY_MS);
    call_claim(walk, claim);
    call_add(claim->token);
    call_add("0");
    call_add("250,\"2.0.0\",\"Ok\"");
    call_add(",\"c\":250");
    call_only(walk);
    note(walk, claim->email, "{%u}: the journal tells of e%zu:%u",
         claim->partition, claim->email, claim->number);
    take_result(walk, &walk->emails[claim->email], d, claim, 's', 0, false);
}

#endif
