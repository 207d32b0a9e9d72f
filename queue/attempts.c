#include "queue/attempts.h"

#include "server/base/codec.h"
#include "server/base/json.h"

#include <stdlib.h>

static const char *const OUTCOMES[ATTEMPT_OUTCOME_COUNT] = {
    [ATTEMPT_SENT] = "sent",       [ATTEMPT_DEFERRED] = "deferred",
    [ATTEMPT_BOUNCED] = "bounced", [ATTEMPT_UNSENT] = "unsent",
    [ATTEMPT_UNKNOWN] = "unknown",
};

static const char *attempt_outcome_name(enum attempt_outcome outcome)
{
    CHECK(outcome < ATTEMPT_OUTCOME_COUNT);
    return OUTCOMES[outcome];
}

/* --- records --- */

void attempt_write(const struct attempt *attempt, struct buf *out)
{
    struct str transcript = attempt->transcript;
    struct json_out json;

    transcript.len = utf8_cut(transcript, ATTEMPT_TRANSCRIPT_MAX);
    json_out_init(&json, out);
    json_open_map(&json);
    json_add_int(&json, "n", attempt->number);
    json_add_int(&json, "g", attempt->generation);
    json_add_int(&json, "a", attempt->attempt);
    json_add_int(&json, "at", attempt->started_ms);
    json_add_cstr(&json, "w", attempt_outcome_name(attempt->outcome));
    if (transcript.len > 0)
        json_add_str(&json, "tr", transcript);
    event_detail_add(&attempt->detail, &json);
    json_close_map(&json);
}

static bool outcome_parse(struct str name, enum attempt_outcome *outcome)
{
    for (size_t i = 0; i < ATTEMPT_OUTCOME_COUNT; i++) {
        if (str_eq(name, str_of(OUTCOMES[i]))) {
            *outcome = (enum attempt_outcome)i;
            return true;
        }
    }
    return false;
}

static bool fits(int64_t value)
{
    return value >= 0 && value <= INT32_MAX;
}

static bool read_map(const struct json *map, struct arena *arena,
                     struct attempt *attempt)
{
    int64_t number = json_get_int(map, "n");
    int64_t generation = json_get_int(map, "g");
    int64_t count = json_get_int(map, "a");

    *attempt = (struct attempt){0};
    if (!outcome_parse(json_get_str(map, "w"), &attempt->outcome) ||
        !fits(number) || !fits(generation) || !fits(count) ||
        !fits(json_get_int(map, "c")))
        return false;
    attempt->number = (unsigned)number;
    attempt->generation = (unsigned)generation;
    attempt->attempt = (unsigned)count;
    attempt->started_ms = json_get_int(map, "at");
    attempt->transcript = arena_copy(arena, json_get_str(map, "tr"));
    event_detail_read(map, arena, &attempt->detail);
    return true;
}

bool attempt_read(struct str bytes, struct arena *arena,
                  struct attempt *attempt)
{
    struct json *root = json_parse(bytes, NULL);
    bool good;

    if (root == NULL)
        return false;
    good = read_map(root, arena, attempt);
    json_destroy(&root);
    return good;
}

/* --- attempts that have no record --- */

/* Of what a worker reports; delivered follows sent. */
static const struct {
    enum event_type type;
    enum attempt_outcome outcome;
} TOLD_BY[] = {
    {EVENT_SENT, ATTEMPT_SENT},
    {EVENT_DELIVERY_DELAYED, ATTEMPT_DEFERRED},
    {EVENT_EXPIRED, ATTEMPT_DEFERRED},
    {EVENT_BOUNCED, ATTEMPT_BOUNCED},
    {EVENT_FAILED, ATTEMPT_UNKNOWN},
};

/* False: no upstream was asked, or another event tells of the same. */
static bool is_attempt(const struct event *event, enum attempt_outcome *outcome)
{
    if (event->number < 0 || event->attempt == 0 ||
        event->detail.upstream.len == 0)
        return false;
    for (size_t i = 0; i < COUNT_OF(TOLD_BY); i++) {
        *outcome = TOLD_BY[i].outcome;
        if (TOLD_BY[i].type == event->type)
            return true;
    }
    return false;
}

/* Within one attempt each upstream is asked once. */
static bool is_recorded(const struct attempt *attempts, size_t count,
                        const struct event *event)
{
    for (size_t i = 0; i < count; i++)
        if (attempts[i].number == (unsigned)event->number &&
            attempts[i].generation == event->generation &&
            attempts[i].attempt == event->attempt &&
            str_eq(attempts[i].detail.upstream, event->detail.upstream))
            return true;
    return false;
}

/* An event is raised behind the last phase. */
static int64_t start_of(const struct event *event)
{
    const struct event_detail *detail = &event->detail;
    int64_t took_ms = 0;

    for (size_t i = 0; i < PHASES_MAX; i++)
        took_ms += detail->phase_ms[i];
    if (detail->phase_count == 0)
        took_ms = detail->total_ms - detail->queued_ms;
    return event->at_ms - took_ms;
}

static int by_start(const void *a, const void *b)
{
    const struct attempt *left = a;
    const struct attempt *right = b;

    if (left->started_ms != right->started_ms)
        return left->started_ms < right->started_ms ? -1 : 1;
    return left->number < right->number ? -1 : left->number > right->number;
}

size_t attempts_merge(struct attempt *attempts, size_t count,
                      const struct event *events, size_t event_count)
{
    size_t records = count;

    for (size_t i = 0; i < event_count; i++) {
        const struct event *event = &events[i];
        enum attempt_outcome outcome;

        if (!is_attempt(event, &outcome) ||
            is_recorded(attempts, records, event))
            continue;
        attempts[count++] = (struct attempt){
            .number = (unsigned)event->number,
            .generation = event->generation,
            .attempt = event->attempt,
            .started_ms = start_of(event),
            .outcome = outcome,
            .detail = event->detail,
        };
    }
    qsort(attempts, count, sizeof *attempts, by_start);
    return count;
}

/* --- for people --- */

static void add_number(struct json_out *out, const char *name, int64_t number,
                       bool is_known)
{
    if (is_known)
        json_add_int(out, name, number);
    else
        json_add_null(out, name);
}

/* Of a reused session the opening took no time of this mail. */
static void add_phases(const struct event_detail *detail, struct json_out *out)
{
    static const char *const NAMES[PHASES_MAX] = {
        "connect_ms", "tls_ms",  "auth_ms", "mail_ms",
        "rcpt_ms",    "data_ms", "dot_ms",
    };

    json_name(out, "phases");
    json_open_map(out);
    add_number(out, "queue_ms", detail->queued_ms, detail->queued_ms >= 0);
    for (size_t i = 0; i < PHASES_MAX; i++)
        add_number(out, NAMES[i], detail->phase_ms[i],
                   i >= PHASES_MAX - detail->phase_count);
    json_close_map(out);
}

void attempt_show_tls(const struct event_detail *detail, struct json_out *out)
{
    struct str rest = detail->tls;
    struct str version = S("");
    struct str cipher = S("");

    if (detail->tls.len == 0) {
        json_add_null(out, "tls");
        return;
    }
    if (str_cut(&rest, ' ', &version))
        (void)str_cut(&rest, ' ', &cipher);
    json_name(out, "tls");
    json_open_map(out);
    json_add_str(out, "version", version);
    json_add_str(out, "cipher", cipher);
    json_add_bool(out, "verified", rest.len == 0);
    json_add_str_or_null(out, "certificate_subject", detail->tls_subject);
    json_add_time_or_null(out, "certificate_expires_at",
                          detail->tls_not_after_ms);
    json_close_map(out);
}

void attempt_show(const struct attempt *attempt, struct json_out *out)
{
    const struct event_detail *detail = &attempt->detail;

    json_add_cstr(out, "outcome", attempt_outcome_name(attempt->outcome));
    json_add_time(out, "started_at", attempt->started_ms);
    json_add_str_or_null(out, "upstream", detail->upstream);
    json_add_str_or_null(out, "host", detail->mx);
    json_add_str_or_null(out, "address", detail->address);
    json_add_str_or_null(out, "hedged_with", detail->hedge);
    json_add_bool(out, "session_reused", detail->phase_count == PHASES_REUSED);
    attempt_show_tls(detail, out);
    add_phases(detail, out);
    add_number(out, "code", detail->code, detail->code != 0);
    json_add_str_or_null(out, "enhanced_code", detail->enhanced_code);
    json_add_str_or_null(out, "response", detail->response);
    json_add_str_or_null(out, "transcript", attempt->transcript);
}
