#include "smtp/upstream.h"

#include "server/base/clock.h"
#include "server/base/codec.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include <string.h>

enum {
    LOGIN_MAX = 2048, /* as base64 well within a session's output */

    /* Files and numbers have no lifetime; asking is cheap, but not for each
     * of a hundred sessions that open in one turn. */
    ADDRESS_TTL_MIN_S = 5,
    ADDRESS_TTL_MAX_S = 60 * 60,
    ADDRESS_STALE_MS = 60 * 60 * 1000,

    /* What waits behind a busy session waits for about this long at most. */
    AHEAD_MS = 50,
    AHEAD_MAX = 4, /* mails a session */

    /* A mail behind a dot is worth a round trip; it is stuck there while the
     * server thinks about the mail before. */
    PAIR_MS = 250,
    PAIR_AHEAD = 2, /* one behind the dot, one for the dot that follows */

    /* Half of the sessions at a time, one back for so many mails taken. */
    TAKEN_TO_RAISE = 32,
};

static const char *null_if_empty(const char *text)
{
    return text[0] == '\0' ? NULL : text;
}

static struct tls_client_options
tls_options(const struct config_upstream *config)
{
    return (struct tls_client_options){
        .trust = config->tls == TLS_OPPORTUNISTIC ? TLS_TRUST_ANY
                                                  : TLS_TRUST_VERIFIED,
        .ca_file = null_if_empty(config->tls_ca_file),
        .cert_file = null_if_empty(config->tls_cert_file),
        .key_file = null_if_empty(config->tls_key_file),
        .fingerprints = config->tls_fingerprints.items,
        .fingerprint_count = config->tls_fingerprints.count,
    };
}

static struct tls_client *open_tls(const struct config_upstream *config,
                                   struct error *err)
{
    const struct tls_client_options options = tls_options(config);
    struct tls_client *tls = tls_client_create(&options, err);

    if (tls == NULL)
        error_prefix(err, "upstream %s", config->name);
    return tls;
}

const char *smtp_tls_misfit(const struct config_upstream *config,
                            struct error *err)
{
    const struct tls_client_options options = tls_options(config);
    const char *file;

    if (config->tls == TLS_OFF ||
        (options.ca_file == NULL && options.cert_file == NULL))
        return NULL;
    file = tls_client_misfit(&options, err);
    if (file == NULL)
        return NULL;
    error_prefix(err, "upstream %s", config->name);
    if (file == options.ca_file)
        return "tls_ca_file";
    return file == options.key_file ? "tls_key_file" : "tls_cert_file";
}

static void init_series(struct smtp_upstream *upstream)
{
    static const char *const STATES[] = {
        [SESSION_OPENING] = "opening",
        [SESSION_BUSY] = "busy",
        [SESSION_IDLE] = "idle",
    };
    static const char *const PHASES[] = {"connect", "tls", "auth", "data"};
    const char *values[] = {upstream->config->name, NULL};

    for (size_t i = 0; i < COUNT_OF(STATES); i++) {
        values[1] = STATES[i];
        upstream->state_series[i] =
            metrics_series(METRIC_SMTP_SESSIONS, values);
    }
    for (size_t i = 0; i < COUNT_OF(PHASES); i++) {
        values[1] = PHASES[i];
        upstream->phase_series[i] =
            metrics_series(METRIC_SMTP_ATTEMPT_SECONDS, values);
    }
    upstream->messages_series =
        metrics_series(METRIC_SMTP_SESSION_MESSAGES, values);
    upstream->pairs_series = metrics_series(METRIC_SMTP_PAIRS, values);
    upstream->spilled_series = metrics_series(METRIC_UPSTREAM_SPILLED, values);
    upstream->slowed_series = metrics_series(METRIC_UPSTREAM_SLOWED, values);
    upstream->up_series = metrics_series(METRIC_UPSTREAM_UP, values);
    series_set(upstream->up_series, 1);
}

/* "FAILURE,DELAY": config_check.c has let each word through once. */
static void name_notify(struct smtp_upstream *upstream)
{
    const struct config_list *words = &upstream->config->dsn_notify;
    struct buf text;

    buf_init(&text, sizeof upstream->notify - 1);
    for (size_t i = 0; i < words->count; i++) {
        buf_add_cstr(&text, i == 0 ? "" : ",");
        for (const char *from = words->items[i]; *from != '\0'; from++)
            buf_add_char(&text, (char)(*from - 'a' + 'A'));
    }
    CHECK(!text.full);
    if (text.len > 0)
        memcpy(upstream->notify, text.data, text.len);
    buf_finish(&text);
}

bool upstream_init(struct smtp_upstream *upstream, struct smtp *smtp,
                   const struct config_upstream *config, const char *hello_name,
                   struct helper *helper, struct error *err)
{
    upstream->smtp = smtp;
    upstream->config = config;
    for (size_t i = 0; i < SESSION_STATE_COUNT; i++)
        list_init(&upstream->sessions[i]);
    for (size_t i = 0; i < LANE_COUNT; i++)
        list_init(&upstream->waiting[i]);
    slowed_init(&upstream->slowed);
    upstream->takes_pairs = config->pipeline_next;
    upstream->policy = (struct greet_policy){
        .hello_name = hello_name,
        .tls = config->tls,
        .auth = config->auth,
        .auth_in_clear = config->auth_in_clear,
        .login =
            {
                .username = str_of(config->username),
                .password = str_of(config->password),
                .has_token = tokens_are_to_be_had(config),
                .host = str_of(config->host),
                .port = (unsigned)config->port,
            },
    };
    if (config->source_address[0] != '\0')
        CHECK(address_parse(str_of(config->source_address), 0,
                            &upstream->source)); /* config_text.c saw to it */
    quotes_init(&upstream->quotes, &upstream->policy.login);
    keys_init(&upstream->keys, helper, upstream->policy.login.password);
    tokens_init(&upstream->tokens, helper->loop, helper, config);
    init_series(upstream);
    name_notify(upstream);
    if (upstream->policy.login.username.len +
            upstream->policy.login.password.len >
        LOGIN_MAX) {
        error_set(err, ERR_CONFIG,
                  "upstream %s: username and password are longer than %d bytes",
                  config->name, LOGIN_MAX);
        return false;
    }
    if (config->tls == TLS_OFF)
        return true;
    upstream->tls = open_tls(config, err);
    return upstream->tls != NULL;
}

void upstream_finish(struct smtp_upstream *upstream)
{
    CHECK(upstream_session_count(upstream) == 0);
    quotes_finish(&upstream->quotes);
    keys_finish(&upstream->keys);
    tokens_finish(&upstream->tokens);
    tls_client_destroy(&upstream->tls);
}

size_t upstream_share(int64_t max_sessions, unsigned child,
                      unsigned child_count)
{
    size_t all = (size_t)max_sessions;

    CHECK(max_sessions >= 0 && child < child_count);
    return all / child_count + (child < all % child_count ? 1 : 0);
}

bool upstream_addresses_fresh(const struct smtp_upstream *upstream)
{
    return upstream->address_count > 0 &&
           clock_now_ms() < upstream->addresses_until_ms;
}

static int64_t lifetime_ms(uint32_t ttl_s)
{
    if (ttl_s < ADDRESS_TTL_MIN_S)
        ttl_s = ADDRESS_TTL_MIN_S;
    if (ttl_s > ADDRESS_TTL_MAX_S)
        ttl_s = ADDRESS_TTL_MAX_S;
    return (int64_t)ttl_s * 1000;
}

static void find_first(struct smtp_upstream *upstream,
                       const struct address *address)
{
    for (size_t i = 0; i < upstream->address_count; i++)
        if (address_eq(&upstream->addresses[i], address))
            upstream->address_first = i;
}

/* Those that can be reached from the source, in the answer's order. */
static size_t usable(const struct smtp_upstream *upstream,
                     const struct dns_answer *answer,
                     struct address addresses[DNS_ADDRESSES_MAX])
{
    size_t count = 0;

    CHECK(answer->count > 0 && answer->count <= DNS_ADDRESSES_MAX);
    for (size_t i = 0; i < answer->count; i++)
        if (upstream->source.len == 0 ||
            upstream->source.at.any.sa_family ==
                answer->addresses[i].at.any.sa_family)
            addresses[count++] = answer->addresses[i];
    return count;
}

static void take_addresses(struct smtp_upstream *upstream,
                           const struct address *addresses, size_t count,
                           uint32_t ttl_s)
{
    int64_t now_ms = clock_now_ms();
    struct address worked = upstream->addresses[upstream->address_first];

    for (size_t i = 0; i < count; i++)
        upstream->addresses[i] = addresses[i];
    upstream->address_count = count;
    upstream->address_first = 0;
    find_first(upstream, &worked);
    upstream->addresses_until_ms = now_ms + lifetime_ms(ttl_s);
    upstream->addresses_stale_ms = now_ms + ADDRESS_STALE_MS;
}

bool upstream_take_answer(struct smtp_upstream *upstream,
                          const struct dns_answer *answer,
                          enum smtp_trouble *trouble, const char **words)
{
    struct address addresses[DNS_ADDRESSES_MAX];
    size_t count;

    *words = answer->reason;
    if (answer->status == DNS_FOUND) {
        count = usable(upstream, answer, addresses);
        if (count > 0)
            take_addresses(upstream, addresses, count, answer->ttl_s);
        *trouble = TROUBLE_NO_NAME;
        *words = "no address of the host is of the family of source_address";
        return count > 0;
    }
    *trouble = answer->status == DNS_NOT_FOUND ? TROUBLE_NO_NAME
               : answer->is_lacking            ? TROUBLE_LACKING
                                               : TROUBLE_NO_DNS;
    return answer->status == DNS_FAILED && upstream->address_count > 0 &&
           clock_now_ms() < upstream->addresses_stale_ms;
}

size_t upstream_tries(const struct smtp_upstream *upstream,
                      struct address *tries, size_t max)
{
    struct address ordered[DNS_ADDRESSES_MAX];
    size_t count = race_order(
        &upstream->race, upstream->addresses, upstream->address_count,
        upstream->address_first, clock_now_ms(), ordered,
        max < DNS_ADDRESSES_MAX ? max : DNS_ADDRESSES_MAX);

    for (size_t i = 0; i < count; i++)
        tries[count - 1 - i] = ordered[i];
    return count;
}

void upstream_note_address(struct smtp_upstream *upstream,
                           const struct address *address,
                           const struct address *losers, size_t loser_count)
{
    find_first(upstream, address);
    race_note(&upstream->race, address, losers, loser_count, clock_now_ms());
}

/* Where there are more, the next session begins further on: by half of them,
 * since two families take turns. */
void upstream_note_unreached(struct smtp_upstream *upstream, size_t try_count)
{
    if (upstream->address_count > try_count)
        upstream->address_first =
            (upstream->address_first + (try_count + 1) / 2) %
            upstream->address_count;
}

size_t upstream_session_count(const struct smtp_upstream *upstream)
{
    return upstream->counts[SESSION_OPENING] + upstream->counts[SESSION_BUSY] +
           upstream->counts[SESSION_IDLE];
}

static enum smtp_health health_of(const struct smtp_upstream *upstream)
{
    const struct health *health = &upstream->health;
    int64_t now_ms = clock_now_ms();

    if (health->pauses > 0)
        return SMTP_HEALTH_ALARM;
    if (health_is_resting(health, now_ms))
        return SMTP_HEALTH_RESTING;
    return health_is_probed(health, now_ms) ? SMTP_HEALTH_PROBING
                                            : SMTP_HEALTH_UP;
}

void upstream_look(const struct smtp_upstream *upstream,
                   struct smtp_upstream_view *out)
{
    *out = (struct smtp_upstream_view){
        .health = health_of(upstream),
        .sessions = upstream_session_count(upstream),
        .busy = upstream->counts[SESSION_BUSY],
        .limit = upstream->limit,
        .share = upstream->share,
        .taken = upstream->taken,
        .slowed_domains = upstream->slowed.count,
        .not_after_ms = upstream->not_after_ms,
    };
    if (out->health != SMTP_HEALTH_UP)
        memcpy(out->why, upstream->why, sizeof out->why);
    for (size_t i = 0; i < LANE_COUNT; i++)
        out->waiting += upstream->waiting_count[i];
}

void upstream_note_why(struct smtp_upstream *upstream, struct str why)
{
    size_t len = utf8_cut(why, sizeof upstream->why - 1);

    if (len > 0)
        memcpy(upstream->why, why.ptr, len);
    upstream->why[len] = '\0';
}

void upstream_note_login(struct smtp_upstream *upstream,
                         const struct greet *greet)
{
    unsigned known = upstream->policy.passed;

    if (greet->mechanism == NULL)
        return;
    upstream->policy.passed = greet->terms.passed;
    if ((greet->terms.passed & ~known) != 0)
        log_write(LOG_WARN, LOG_UPSTREAM_PASSED_BY,
                  log_cstr("upstream", upstream->config->name),
                  log_cstr("host", upstream->config->host),
                  log_cstr("used", auth_name(greet->mechanism)));
}

/* While an operator has paused it nothing may be open. While it rests no
 * session is opened; after a rest, one as a probe. While an operator must mend
 * something, those that are open are not trusted either. */
size_t upstream_capacity(const struct smtp_upstream *upstream)
{
    int64_t now_ms = clock_now_ms();
    size_t all = upstream_session_count(upstream);

    if (upstream->is_paused)
        return 0;
    if (health_is_resting(&upstream->health, now_ms))
        return upstream->health.is_paused ? 0 : all;
    if (health_is_probed(&upstream->health, now_ms) &&
        upstream->counts[SESSION_OPENING] > 0)
        return all;
    if (health_is_probed(&upstream->health, now_ms) && all < upstream->limit)
        return all + 1;
    return upstream->limit;
}

size_t upstream_reserve(const struct smtp_upstream *upstream)
{
    if (upstream->limit < 2)
        return 0;
    return upstream->limit < 8 ? 1 : upstream->limit / 4;
}

bool upstream_takes_pairs(const struct smtp_upstream *upstream)
{
    return upstream->takes_pairs && upstream->average_ms > 0 &&
           upstream->average_ms <= PAIR_MS;
}

/* Mails to hand in beyond the free sessions, so that a session whose mail
 * takes no longer than a claim does not wait for the queue. */
static size_t ahead(const struct smtp_upstream *upstream, unsigned lane,
                    size_t capacity)
{
    double fit;

    if (upstream->average_ms <= 0)
        return 0;
    fit = AHEAD_MS / upstream->average_ms;
    if (fit < PAIR_AHEAD && lane >= 2 && upstream_takes_pairs(upstream))
        fit = PAIR_AHEAD;
    return capacity * (fit >= AHEAD_MAX ? AHEAD_MAX : (size_t)fit);
}

static size_t less(size_t from, size_t what)
{
    return from > what ? from - what : 0;
}

static size_t lower(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* What is in hand of the lanes from first up to end. */
static size_t in_hand(const struct smtp_upstream *upstream, unsigned first,
                      unsigned end)
{
    size_t count = 0;

    for (unsigned i = first; i < end; i++)
        count += upstream->waiting_count[i] + upstream->carried[i] +
                 upstream->following[i];
    return count;
}

/* more: beyond the sessions, of that lane. What lanes 2 and 3 were given
 * beyond that takes no room from the others. */
static size_t room_with(const struct smtp_upstream *upstream, unsigned lane,
                        size_t more)
{
    size_t capacity = less(upstream_capacity(upstream), upstream->owing);
    size_t late =
        lower(capacity, upstream->limit - upstream_reserve(upstream)) + more;
    size_t late_in_hand = in_hand(upstream, 2, LANE_COUNT);
    size_t room = less(capacity + more,
                       in_hand(upstream, 0, 2) + lower(late_in_hand, late));

    return quota_room(&upstream->quota, lane,
                      lane < 2 ? room : lower(room, less(late, late_in_hand)),
                      clock_now_ms());
}

size_t upstream_room(const struct smtp_upstream *upstream, unsigned lane)
{
    return room_with(upstream, lane,
                     ahead(upstream, lane, upstream_capacity(upstream)));
}

size_t upstream_room_once(const struct smtp_upstream *upstream, unsigned lane)
{
    size_t more =
        upstream->average_ms <= 0 ? 0 : upstream_capacity(upstream) * AHEAD_MAX;

    return room_with(upstream, lane, more);
}

void upstream_slow_down(struct smtp_upstream *upstream)
{
    size_t open = upstream_session_count(upstream);

    if (open < upstream->limit)
        upstream->limit = open;
    upstream->limit -= upstream->limit / 2;
    if (upstream->limit == 0 && upstream->share > 0)
        upstream->limit = 1;
    upstream->taken_since_slow = 0;
}

static void raise_limit(struct smtp_upstream *upstream)
{
    if (upstream->limit >= upstream->share ||
        ++upstream->taken_since_slow < TAKEN_TO_RAISE)
        return;
    upstream->limit++;
    upstream->taken_since_slow = 0;
}

void upstream_note_halt(struct smtp_upstream *upstream)
{
    upstream->average_ms = 0; /* not known any more */
}

/* A moving average over some sixteen mails. The clock counts whole
 * milliseconds, so what is faster counts as half of one. */
void upstream_note_taken(struct smtp_upstream *upstream, int64_t ms)
{
    double sample = ms > 0 ? (double)ms : 0.5;

    upstream->taken++;
    raise_limit(upstream);
    if (upstream->average_ms <= 0)
        upstream->average_ms = sample;
    else
        upstream->average_ms += (sample - upstream->average_ms) / 16;
}
