#include "queue/claims_core.h"
#include "queue/index.h"

#include "server/base/clock.h"
#include "server/base/codec.h"
#include "server/base/hand.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
    LATER_MS = 5000, /* a mail that this process cannot read */
    AWAY_MS = 200,   /* or not now: the connection broke */
    NO_ROUTE_MS = 60000,
    FIELDS_MAX = 4096,
    REPLY_KEPT_MAX = 120,
    SUPPRESSED_MAX = 2048,     /* an address, and what stands before it */
    ATTEMPTS_MAX = 128 * 1024, /* bytes of what one claim tells: what does not
                                  fit is left out */
};

/* --- claims and results --- */

void claim_destroy(struct claim *claim)
{
    if (claim->mark != NULL)
        claim->mark->claim = NULL;
    if (!claim->is_told && claim->slot != NO_SLOT)
        claim->claims->claimer->untold[claim->slot]--;
    list_remove(&claim->link);
    content_leave(&claim->content);
    buf_finish(&claim->attempts);
    buf_finish(&claim->suppressed);
    free(claim->route);
    free(claim);
}

void result_destroy(struct result *result)
{
    list_remove(&result->link);
    buf_finish(&result->outcome);
    buf_finish(&result->fields);
    buf_finish(&result->attempts);
    buf_finish(&result->suppressed);
    free(result);
}

/* Ends the claim. */
static struct result *result_create(struct claim *claim, char kind,
                                    int64_t due_ms)
{
    struct result *result = xcalloc(1, sizeof *result);

    memcpy(result->id, claim->id, sizeof result->id);
    memcpy(result->token, claim->token, sizeof result->token);
    result->kind = kind;
    result->due_ms = due_ms;
    result->journal_file = NO_JOURNAL;
    buf_init(&result->outcome, FIELDS_MAX);
    buf_init(&result->fields, FIELDS_MAX);
    result->attempts = claim->attempts;
    buf_init(&claim->attempts, ATTEMPTS_MAX);
    result->suppressed = claim->suppressed;
    buf_init(&claim->suppressed, SUPPRESSED_MAX);
    if (result->suppressed.len > 0)
        result->kind = 'p';
    list_add_last(&claim->claims->results, &result->link);
    claims_plan_turn(claim->claims);
    claim_destroy(claim);
    return result;
}

void claim_outcome_write(const struct event_detail *detail, struct buf *out)
{
    struct str reply = detail->response;
    struct json_out json;

    if (detail->code == 0 && detail->response.len == 0)
        return;
    reply.len = utf8_cut(reply, REPLY_KEPT_MAX);
    json_out_init(&json, out);
    json_open_list(&json);
    json_put_int(&json, detail->code);
    json_put_str(&json, detail->enhanced_code);
    json_put_str(&json, reply);
    json_close_list(&json);
    buf_truncate(out, out->len - 1);
    buf_consume(out, 1);
}

static void result_tell(struct result *result,
                        const struct event_detail *detail)
{
    if (detail == NULL)
        return;
    claim_outcome_write(detail, &result->outcome);
    event_detail_write(detail, &result->fields);
    CHECK(!result->outcome.full && !result->fields.full);
}

/* Before its turn leaves: a 250 that nobody was told of is what it is for. */
static void result_note(struct claims *claims, struct result *result,
                        const struct event_detail *detail)
{
    const struct journal_entry entry = {
        .id = str_of(result->id),
        .partition = claims->partition,
        .token = str_of(result->token),
        .final_route = result->final_route,
        .detail = *detail,
    };

    result->journal_file = journal_append(claims->claimer->journal, &entry);
}

void result_taken(struct claims *claims, struct result *result)
{
    if (result->journal_file != NO_JOURNAL)
        journal_taken(claims->claimer->journal, result->journal_file);
    result_destroy(result);
}

static char outcome_kind(enum outcome outcome)
{
    static const char kinds[] = {
        [OUTCOME_SENT] = 's',    [OUTCOME_SOFT] = 'o',
        [OUTCOME_EXPIRED] = 'e', [OUTCOME_BOUNCED] = 'b',
        [OUTCOME_FAILED] = 'f',  [OUTCOME_UNSENT] = 'n',
        [OUTCOME_UNKNOWN] = 'u',
    };

    CHECK(outcome < COUNT_OF(kinds));
    return kinds[outcome];
}

void queue_report_attempt(struct queue_claim *pub,
                          const struct attempt *attempt)
{
    struct claim *claim = CONTAINER_OF(pub, struct claim, pub);
    struct buf record;

    buf_init(&record, ATTEMPT_RECORD_MAX);
    attempt_write(attempt, &record);
    buf_add_char(&record, '\n');
    CHECK(!record.full);
    buf_add(&claim->attempts, buf_str(&record));
    buf_finish(&record);
}

/* "id hash address", as suppress.lua reads it. */
void queue_suppress(struct queue_claim *pub, struct str key)
{
    struct claim *claim = CONTAINER_OF(pub, struct claim, pub);
    struct id id = id_new(claim->claims->partition);
    char hash[ADDRESS_HASH_SIZE];
    struct str mailbox;
    const char *kind;

    CHECK(
        summary_recipient(&pub->record->summary, pub->number, &mailbox, &kind));
    address_hash(key, hash);
    buf_truncate(&claim->suppressed, 0);
    buf_addf(&claim->suppressed, "%s %s %.*s", id.text, hash,
             STR_ARG(mailbox_address(mailbox)));
    CHECK(!claim->suppressed.full);
}

void queue_report(const struct queue *queue, struct queue_claim *pub,
                  enum outcome outcome, int64_t retry_at_ms, bool final_route,
                  const struct event_detail *detail)
{
    struct claim *claim = CONTAINER_OF(pub, struct claim, pub);
    struct claims *claims = claim->claims;
    struct result *result;

    CHECK(claim->claims->queue == queue && claim->is_told);
    CHECK(outcome == OUTCOME_BOUNCED || claim->suppressed.len == 0);
    if (outcome == OUTCOME_SENT)
        traffic_count(
            claims->queue,
            (struct queue_owner){pub->record->summary.owner, claims->partition},
            TRAFFIC_DELIVERED, pub->lane, 1);
    result = result_create(claim, outcome_kind(outcome), retry_at_ms);
    result->final_route = final_route;
    if (outcome == OUTCOME_SENT && claims->claimer->journal != NULL &&
        detail != NULL)
        result_note(claims, result, detail);
    result_tell(result, detail);
}

/* --- what was claimed --- */

size_t claims_slot(const struct claims *claims, struct str route, unsigned lane)
{
    for (size_t i = 0; i < claims->worker->route_count; i++)
        if (str_eq(claims->worker->routes[i], route))
            return i * LANE_COUNT + lane;
    return NO_SLOT;
}

/* The mail is on a route of an older configuration. */
static void reroute(struct claim *claim)
{
    struct claims *claims = claim->claims;
    const struct queue_worker *worker = claims->worker;
    struct str route =
        worker->reroute(worker->ctx, claim->pub.record, claim->pub.number);
    struct result *result;

    if (route.len > 0) {
        result = result_create(claim, 'm', 0);
        buf_add(&result->outcome, route);
        return;
    }
    log_write(LOG_ERROR, LOG_QUEUE_NO_ROUTE,
              log_str("email", id_str(&claim->pub.email)),
              log_str("route", claim->pub.route));
    result_create(claim, 'w', clock_shared_ms() + NO_ROUTE_MS);
}

static void unreadable(struct claim *claim)
{
    const struct content *content = claim->content.content;
    bool is_lost = content->state == CONTENT_LOST;
    bool is_ours = !is_lost && content->why.kind == ERR_CONFIG;
    struct event_detail detail = {.reason = S("content_lost")};

    /* A mail that was canceled meanwhile looks like a lost one: the turn
     * knows, and refuses the result. */
    log_write(is_ours ? LOG_ERROR : LOG_WARN, LOG_QUEUE_UNREADABLE,
              log_str("email", id_str(&claim->pub.email)),
              log_error(&content->why));
    if (is_lost)
        result_tell(result_create(claim, 'f', 0), &detail);
    else
        result_create(claim, 'n',
                      clock_shared_ms() + (is_ours ? LATER_MS : AWAY_MS));
}

static void tell_worker(struct claim *claim)
{
    struct claims *claims = claim->claims;
    const struct content *content = claim->content.content;

    if (content->state != CONTENT_READY) {
        unreadable(claim);
        return;
    }
    claim->pub.record = content->record;
    claim->pub.attachments = content->attachments;
    if (claim->slot == NO_SLOT) {
        reroute(claim);
        return;
    }
    claims->claimer->untold[claim->slot]--;
    claim->is_told = true;
    if (claims->claimer->is_stopping)
        queue_report(claims->queue, &claim->pub, OUTCOME_UNSENT, 0, false,
                     NULL);
    else
        claims->worker->claimed(claims->worker->ctx, &claim->pub);
}

static void on_content(void *ctx)
{
    struct claim *claim = ctx;

    hand_take(str_of(claim->id));
    tell_worker(claim);
    hand_drop();
}

/* The fields of turn.lua's claim, one text with a space between them. */
enum {
    CLAIM_ID,
    CLAIM_TOKEN,
    CLAIM_LANE,
    CLAIM_ATTEMPT,
    CLAIM_GENERATION,
    CLAIM_DUP,
    CLAIM_ON_UNKNOWN,
    CLAIM_FIRST,
    CLAIM_EXPIRES,
    CLAIM_HAS_DEADLINE,
    CLAIM_CHUNKS,
    CLAIM_JOB_CHUNKS,
    CLAIM_ROUTE, /* last, since it may hold spaces */
    CLAIM_FIELDS
};

static enum on_unknown on_unknown_of(struct str letter)
{
    if (str_eq(letter, S("h")))
        return ON_UNKNOWN_HOLD;
    return str_eq(letter, S("f")) ? ON_UNKNOWN_FAIL : ON_UNKNOWN_RETRY;
}

static bool put_text(char *out, size_t size, struct str text)
{
    if (text.len >= size)
        return false;
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    return true;
}

static bool claim_split(struct str text, struct str fields[CLAIM_FIELDS])
{
    for (unsigned i = 0; i < CLAIM_ROUTE; i++)
        if (!str_cut(&text, ' ', &fields[i]))
            return false;
    fields[CLAIM_ROUTE] = text;
    return text.len > 0;
}

static uint64_t number_of(struct str field)
{
    uint64_t number;

    return str_to_u64(field, &number) ? number : 0;
}

static bool claim_read(struct claim *claim,
                       const struct str fields[CLAIM_FIELDS])
{
    struct queue_claim *pub = &claim->pub;
    struct str id = fields[CLAIM_ID];
    struct str route = fields[CLAIM_ROUTE];
    uint64_t number;

    if (!put_text(claim->id, sizeof claim->id, id) ||
        !put_text(claim->token, sizeof claim->token, fields[CLAIM_TOKEN]) ||
        !id_parse(str_slice(id, 0, ID_LEN), &pub->email) ||
        !str_to_u64(str_from(id, ID_LEN + 1), &number) || number > UINT16_MAX)
        return false;
    pub->home = claim->claims->partition;
    pub->number = (unsigned)number;
    pub->lane = (unsigned)number_of(fields[CLAIM_LANE]) % LANE_COUNT;
    claim->route = xmemdup0(route.ptr, route.len);
    pub->route = str_make(claim->route, route.len);
    pub->attempt = (unsigned)number_of(fields[CLAIM_ATTEMPT]);
    pub->generation = (unsigned)number_of(fields[CLAIM_GENERATION]);
    pub->possible_duplicate = number_of(fields[CLAIM_DUP]) != 0;
    pub->on_unknown = on_unknown_of(fields[CLAIM_ON_UNKNOWN]);
    pub->accepted_ms = (int64_t)number_of(fields[CLAIM_FIRST]);
    pub->expires_ms = (int64_t)number_of(fields[CLAIM_EXPIRES]);
    if (number_of(fields[CLAIM_HAS_DEADLINE]) != 0)
        pub->deadline_ms = pub->expires_ms;
    return true;
}

unsigned claim_lane(const struct reply *entry)
{
    struct str fields[CLAIM_FIELDS];

    CHECK(claim_split(reply_str(entry), fields));
    return (unsigned)number_of(fields[CLAIM_LANE]) % LANE_COUNT;
}

/* The record that the turn brought along; empty: none. */
static struct str find_content(const struct reply *contents,
                               const struct id *email)
{
    for (size_t i = 0; i + 1 < reply_count(contents); i += 2)
        if (str_eq(reply_str(reply_at(contents, i)), id_str(email)))
            return reply_str(reply_at(contents, i + 1));
    return S("");
}

/* It takes of the room of its lane and of those before it. */
static void use_room(struct claims *claims, size_t slot)
{
    for (size_t at = slot - slot % LANE_COUNT; at <= slot; at++)
        if (claims->asked[at] > 0)
            claims->asked[at]--;
}

void claim_take(struct claims *claims, const struct reply *entry,
                const struct reply *contents)
{
    struct claim *claim = xcalloc(1, sizeof *claim);
    struct str fields[CLAIM_FIELDS];

    claim->claims = claims;
    buf_init(&claim->attempts, ATTEMPTS_MAX);
    buf_init(&claim->suppressed, SUPPRESSED_MAX);
    CHECK(claim_split(reply_str(entry), fields) &&
          claim_read(claim, fields)); /* our own script wrote it */
    list_add_last(&claims->held, &claim->link);
    claim->slot = claims_slot(claims, claim->pub.route, claim->pub.lane);
    if (claim->slot != NO_SLOT) {
        claims->claimer->untold[claim->slot]++;
        use_room(claims, claim->slot);
    }
    claim->content.ready = on_content;
    claim->content.ctx = claim;
    hand_take(str_of(claim->id));
    if (content_join(&claims->contents, &claim->pub.email,
                     find_content(contents, &claim->pub.email),
                     (unsigned)number_of(fields[CLAIM_CHUNKS]),
                     (unsigned)number_of(fields[CLAIM_JOB_CHUNKS]),
                     &claim->content))
        on_content(claim);
    hand_drop();
}
