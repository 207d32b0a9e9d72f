/* walk_audit.h - looks at Redis behind each step of a walk: at all keys of
 * both partitions (walk_audit.lua), at what each delivery is against what it
 * may be (walk_model.h), and at the events that came.
 */
#ifndef TESTS_WALK_AUDIT_H
#define TESTS_WALK_AUDIT_H

#include "walk_audit_text.h"
#include "walk_model.h"

/* --- the script --- */

static inline const char *audit_sha(void)
{
    static char sha[41];
    struct buf text;
    redisReply *reply;

    if (sha[0] != '\0')
        return sha;
    audit_text(&text);
    reply = redis_raw("SCRIPT LOAD %b", text.data, text.len);
    snprintf(sha, sizeof sha, "%s", reply->str);
    freeReplyObject(reply);
    buf_finish(&text);
    return sha;
}

/* --- deliveries --- */

static inline void audit_state(struct walk *walk, size_t i, unsigned n,
                               char *const *fields)
{
    struct walk_delivery *d = &walk->emails[i].deliveries[n];
    char state = fields[3][0];

    if (strchr(d->allowed, state) == NULL)
        walk_fail(walk, i, "e%zu:%u was %c, is %c and may be \"%s\"", i, n,
                  d->state, state, d->allowed);
    if (d->may_be_lost && state == 'x') /* it waits for the grace */
        d->attempts--;
    if (strtoul(fields[4], NULL, 10) != d->generation)
        walk_fail(walk, i, "e%zu:%u is of generation %s, not %u", i, n,
                  fields[4], d->generation);
    if (strtoul(fields[5], NULL, 10) != d->attempts)
        walk_fail(walk, i, "e%zu:%u has %s attempts, not %u", i, n, fields[5],
                  d->attempts);
    if ((fields[6][0] == '1') != d->dup && !d->may_be_lost)
        walk_fail(walk, i, "e%zu:%u: a possible duplicate is %s", i, n,
                  fields[6]);
    d->dup = fields[6][0] == '1';
    d->state = state;
}

/* An age counts from a moment within the step. */
static inline void audit_end(struct walk *walk, size_t i, unsigned n,
                             int64_t ends_ms)
{
    struct walk_delivery *d = &walk->emails[i].deliveries[n];

    if (is_open_state(d->state) &&
        (ends_ms < d->ends_ms || ends_ms > d->ends_ms + TICK_MS / 8))
        walk_fail(walk, i, "e%zu:%u ends at %lld, not %lld", i, n,
                  (long long)ends_ms, (long long)d->ends_ms);
    if (is_open_state(d->state))
        d->ends_ms = ends_ms;
}

/* d email n state generation attempts dup packed crashes ends due place token
 * alone-token deadline no-route owner until */
static inline void audit_open(struct walk *walk, size_t i, char *const *fields)
{
    unsigned n = (unsigned)strtoul(fields[2], NULL, 10);
    struct walk_delivery *d = &walk->emails[i].deliveries[n];

    audit_state(walk, i, n, fields);
    d->is_packed = fields[7][0] == '1';
    d->crashes = fields[8][0] == '-' ? -1 : (int)strtol(fields[8], NULL, 10);
    audit_end(walk, i, n, strtoll(fields[9], NULL, 10));
    d->due_ms = strtoll(fields[10], NULL, 10);
    snprintf(d->place, sizeof d->place, "%s", fields[11]);
    snprintf(d->token, sizeof d->token, "%s", fields[12]);
    snprintf(d->alone_token, sizeof d->alone_token, "%s", fields[13]);
    d->exp_ms = strtoll(fields[14], NULL, 10);
    d->has_no_route = fields[15][0] == '1';
    d->till_ms = strtoll(fields[17], NULL, 10);
}

static inline void audit_closed(struct walk *walk, size_t i,
                                char *const *fields)
{
    unsigned n = (unsigned)strtoul(fields[2], NULL, 10);
    struct walk_delivery *d = &walk->emails[i].deliveries[n];

    audit_state(walk, i, n, fields);
    d->is_packed = false;
    d->crashes = -1;
    d->exp_ms = 0;
    d->has_no_route = false;
    d->place[0] = '\0';
}

static inline void audit_owner(struct walk *walk, unsigned partition,
                               char *const *fields)
{
    for (unsigned i = 0; i < WALK_OWNERS; i++) {
        struct walk_owner *owner = &walk->owners[i];

        if (strcmp(WALK_OWNER[i], fields[1]) != 0 || owner->home != partition)
            continue;
        snprintf(owner->frozen, sizeof owner->frozen, "%s",
                 fields[2][0] == '-' ? "" : fields[2]);
    }
}

static inline void audit_line(struct walk *walk, unsigned partition,
                              const char *text)
{
    char line[512];
    char *fields[LINE_FIELDS_MAX];
    size_t i;

    snprintf(line, sizeof line, "%s", text);
    assert_true(split_line(line, fields) >= 3);
    if (line[0] == 'o') {
        audit_owner(walk, partition, fields);
        return;
    }
    i = email_at(walk, fields[1]);
    if (i == NO_EMAIL)
        walk_fail(walk, NO_EMAIL, "nobody stored it: %s", text);
    if (!lives_in(walk, &walk->emails[i], partition))
        return;
    if (line[0] == 'c') {
        walk->emails[i].is_whole = fields[2][0] == '1';
        return;
    }
    walk->emails[i].is_seen = true;
    if (line[0] == 'd')
        audit_open(walk, i, fields);
    else
        audit_closed(walk, i, fields);
}

/* Only what is final may go, and only when it is swept. */
static inline void audit_unseen(struct walk *walk)
{
    for (size_t i = 0; i < walk->email_count; i++) {
        struct walk_email *email = &walk->emails[i];

        if (email->is_seen)
            continue;
        for (unsigned n = 0; n < email->count; n++) {
            struct walk_delivery *d = &email->deliveries[n];

            if (d->state != '-' &&
                (!walk->may_sweep || !is_final_state(d->state)))
                walk_fail(walk, i, "e%zu:%u was %c, and is gone", i, n,
                          d->state);
            d->state = '-';
            expect(d, '-');
        }
    }
}

/* --- who was woken --- */

static inline bool has_token(const struct walk *walk, unsigned partition,
                             unsigned lane, unsigned route)
{
    for (unsigned i = 0; i < WALK_CHILDREN; i++)
        if (walk->children[i].tokens[partition][lane][route])
            return true;
    return walk->is_untold[partition][lane][route];
}

static inline void audit_tokens(struct walk *walk, unsigned partition,
                                const redisReply *slots)
{
    for (size_t i = 0; i < slots->elements; i++) {
        const char *slot = slots->element[i]->str;
        unsigned lane = (unsigned)(slot[0] - '0');

        for (unsigned route = 0; route < WALK_ROUTES; route++)
            if (strcmp(slot + 2, WALK_ROUTE[route]) == 0 &&
                !has_token(walk, partition, lane, route))
                walk_fail(walk, NO_EMAIL, "{%u}: nobody is woken for %s",
                          partition, slot);
    }
}

/* --- events --- */

static inline bool ends_generation(const char *kind)
{
    static const char *const KINDS[] = {"sent",    "bounced",  "failed",
                                        "expired", "canceled", "suppressed"};

    for (size_t i = 0; i < COUNT_OF(KINDS); i++)
        if (strcmp(kind, KINDS[i]) == 0)
            return true;
    return false;
}

static inline void audit_event_of(struct walk *walk, size_t i, const char *kind,
                                  int number, unsigned generation,
                                  unsigned ordinal)
{
    struct walk_delivery *d;

    if (number < 0)
        return;
    if ((unsigned)number >= walk->emails[i].count)
        walk_fail(walk, i, "e%zu has no recipient %d", i, number);
    d = &walk->emails[i].deliveries[number];
    if (generation != d->generation)
        walk_fail(walk, i, "e%zu:%d: %s of generation %u in %u", i, number,
                  kind, generation, d->generation);
    if (strcmp(kind, "delivery_delayed") == 0) {
        if (ordinal != ++d->delays)
            walk_fail(walk, i, "e%zu:%d: delay %u, not %u", i, number, ordinal,
                      d->delays);
    } else if (ends_generation(kind) && !d->is_ended) {
        d->is_ended = true;
    } else if (strchr(d->follow_ups, kind[0]) == NULL &&
               strcmp(kind, "delivered") != 0) {
        walk_fail(walk, i, "e%zu:%d ended twice", i, number);
    }
}

static inline void audit_event(struct walk *walk, const char *record)
{
    char kind[32];
    char id[40];
    int number;
    unsigned generation;
    unsigned ordinal;
    unsigned sequence;
    size_t i;

    if (sscanf(record,
               "{\"t\":\"email.%31[a-z_]\",\"e\":\"%36[0-9a-f-]\",\"n\":%d,"
               "\"g\":%u,\"o\":%u,\"s\":%u,",
               kind, id, &number, &generation, &ordinal, &sequence) != 6)
        return;
    i = email_at(walk, id);
    if (i == NO_EMAIL)
        walk_fail(walk, NO_EMAIL, "an event of no email: %s", record);
    note(walk, i, "  e%zu: %s of %d, generation %u, sequence %u", i, kind,
         number, generation, sequence);
    if (sequence != walk->emails[i].sequence + 1)
        walk_fail(walk, i, "e%zu: event %u behind %u", i, sequence,
                  walk->emails[i].sequence);
    walk->emails[i].sequence = sequence;
    audit_event_of(walk, i, kind, number, generation, ordinal);
}

static inline void audit_events(struct walk *walk, unsigned owner)
{
    struct walk_owner *who = &walk->owners[owner];
    redisReply *reply;

    reply =
        redis_raw("XRANGE ph:{%u}:ev:%s (%s +", who->home, WALK_OWNER[owner],
                  who->last_event[0] == '\0' ? "0-0" : who->last_event);
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *entry = reply->element[i];

        audit_event(walk, entry->element[1]->element[1]->str);
        snprintf(who->last_event, sizeof who->last_event, "%s",
                 entry->element[0]->str);
    }
    freeReplyObject(reply);
}

/* One terminal event in each generation that has ended, none before. */
static inline void audit_ends(struct walk *walk)
{
    for (size_t i = 0; i < walk->email_count; i++) {
        for (unsigned n = 0; n < walk->emails[i].count; n++) {
            const struct walk_delivery *d = &walk->emails[i].deliveries[n];

            if (d->state != '-' && d->is_ended != is_final_state(d->state))
                walk_fail(walk, i, "e%zu:%u is %c, and %s", i, n, d->state,
                          d->is_ended ? "its end was told"
                                      : "nothing tells of its end");
        }
    }
}

/* --- all of it --- */

static inline void audit_partition(struct walk *walk, unsigned partition)
{
    redisReply *reply =
        redis_raw("EVALSHA %s 1 ph:{%u}:", audit_sha(), partition);
    const redisReply *complaints = reply->element[0];
    const redisReply *lines = reply->element[1];

    for (size_t i = 0; i < lines->elements; i++)
        audit_line(walk, partition, lines->element[i]->str);
    if (complaints->elements > 0) {
        const char *first = complaints->element[0]->str;
        size_t email = NO_EMAIL;

        for (size_t i = 0; i < walk->email_count; i++)
            if (strstr(first, walk->emails[i].id.text) != NULL)
                email = i;
        walk_fail(walk, email, "{%u}: %s (of %zu)", partition, first,
                  complaints->elements);
    }
    audit_tokens(walk, partition, reply->element[2]);
    freeReplyObject(reply);
}

static inline void audit(struct walk *walk)
{
    for (unsigned i = 0; i < WALK_OWNERS; i++) {
        walk->owners[i].home = (unsigned)strtoul(
            redis_ask("HGET ph:o:%s partition", WALK_OWNER[i]), NULL, 10);
        walk->owners[i].frozen[0] = '\0';
    }
    for (size_t i = 0; i < walk->email_count; i++)
        walk->emails[i].is_seen = false;
    for (unsigned i = 0; i < WALK_OWNERS; i++)
        audit_events(walk, i);
    for (unsigned i = 0; i < WALK_PARTITIONS; i++)
        audit_partition(walk, i);
    audit_unseen(walk);
    audit_ends(walk);
}

#endif
