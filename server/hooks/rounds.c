#include "server/hooks/rounds.h"

#include "server/base/clock.h"
#include "server/base/fault.h"
#include "server/base/list.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"
#include "server/hooks/send.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHECKS_MAX = 16,    /* under way in one child */
    LEASE_MS = 30000,   /* a check takes 10 s at most */
    ROUND_MS = 1000,    /* between two rounds over all partitions */
    FETCH_MS = 15000,   /* the check itself has less patience */
    EVENTS_MAX = 2,     /* of one check */
    RESOLVER_MAX = 2048 /* bytes of the list for dns_open */
};
/* Records are cached for an hour where nothing else is said; two of these go
 * by before a new key signs, so that no verifier has an older answer. */
#define SWITCH_DELAY_MS  (INT64_C(2) * 3600 * 1000)
#define SWITCH_LOOK_MS   (INT64_C(5) * 60 * 1000)
#define SWITCHED_LOOK_MS (INT64_C(60) * 1000)

struct rounds {
    struct loop *loop;
    const struct config *config;
    struct queue *queue;
    struct dns *dns;
    struct dns *own_dns;           /* of domains.resolver; else NULL */
    struct config_webhook fetches; /* the rules for them */
    struct sender *sender;         /* of fetches */
    struct domain_fetcher fetcher;
    unsigned partition; /* to be asked next */
    bool is_asking;
    bool is_stopped;
    struct timer timer;
    struct list checks;
    size_t check_count;
};

/* One domain in hand: looked up, then put back. */
struct check {
    struct list link;
    struct rounds *rounds;
    struct arena *arena;
    struct queue_owner owner;
    struct sender_domain domain;
    struct domain_run *run; /* NULL: it is being put back */
};

/* --- fetching what a domain has on the web --- */

struct fetch {
    struct send *send;
    domain_fetched_fn fn;
    void *ctx;
};

static void on_sent(void *ctx, const struct send_result *result)
{
    struct fetch *fetch = ctx;
    const struct policy_reply reply = {
        .status = result->status,
        .why = result->error,
        .type = result->type,
        .body = result->response,
        .is_cut = result->is_cut,
    };
    domain_fetched_fn fn = fetch->fn;

    ctx = fetch->ctx;
    free(fetch);
    fn(ctx, &reply);
}

/* "https://host/path" with the port of tests, if there is one. */
static void add_url(struct buf *out, struct str url)
{
    static const size_t SCHEME = sizeof "https://" - 1;
    const char *port = fault_policy_port();
    ptrdiff_t path = str_index(url, '/', SCHEME);

    CHECK(path > 0);
    buf_add(out, str_slice(url, 0, (size_t)path));
    if (port != NULL)
        buf_addf(out, ":%s", port);
    buf_add(out, str_from(url, (size_t)path));
}

static void *fetch_start(void *self, struct str url, domain_fetched_fn fn,
                         void *ctx)
{
    struct rounds *rounds = self;
    struct fetch *fetch = xcalloc(1, sizeof *fetch);
    struct buf text;

    fetch->fn = fn;
    fetch->ctx = ctx;
    buf_init(&text, 2 * SENDER_NAME_MAX);
    add_url(&text, url);
    fetch->send =
        send_start(rounds->sender,
                   &(struct send_request){.url = buf_str(&text), .body = S("")},
                   on_sent, fetch);
    buf_finish(&text);
    return fetch;
}

static void fetch_cancel(void *self, void *handle)
{
    struct fetch *fetch = handle;

    (void)self;
    send_cancel(&fetch->send);
    free(fetch);
}

/* As webhooks are guarded, but for the port, which is given. */
static bool open_sender(struct rounds *rounds, struct error *err)
{
    rounds->fetches = (struct config_webhook){
        .timeout_ms = FETCH_MS,
        .allow_private = rounds->config->webhook.allow_private,
    };
    rounds->fetcher = (struct domain_fetcher){
        .start = fetch_start, .cancel = fetch_cancel, .self = rounds};
    rounds->sender =
        sender_open(rounds->loop, rounds->dns, &rounds->fetches, err);
    return rounds->sender != NULL;
}

/* --- between what is stored and what is checked --- */

static const enum domain_key_use USES[] = {
    [SENDER_KEY_NEXT] = DOMAIN_KEY_NEXT,
    [SENDER_KEY_SIGNS] = DOMAIN_KEY_SIGNS,
    [SENDER_KEY_OLD] = DOMAIN_KEY_PAST,
    [SENDER_KEY_REVOKED] = DOMAIN_KEY_PAST,
    [SENDER_KEY_COMPROMISED] = DOMAIN_KEY_COMPROMISED,
};

static void add_keys(const struct sender_key *key, int64_t now_ms,
                     struct domain_key out[DKIM_ALGORITHMS])
{
    enum sender_key_state state = sender_key_state(key, now_ms);
    bool is_revoked = sender_key_is_revoked(state);

    out[0] =
        (struct domain_key){key->rsa_selector, DKIM_RSA,
                            is_revoked ? S("") : key->rsa_public, USES[state]};
    out[1] = (struct domain_key){key->ed25519_selector, DKIM_ED25519,
                                 is_revoked ? S("") : key->ed25519_public,
                                 USES[state]};
}

static const struct str *texts_of(const struct config_list *list,
                                  struct arena *arena)
{
    struct str *texts = ARENA_ARRAY(arena, struct str, list->count + 1);

    for (size_t i = 0; i < list->count; i++)
        texts[i] = str_of(list->items[i]);
    return texts;
}

struct domain_setup rounds_setup(const struct sender_domain *domain,
                                 const struct config *config, int64_t now_ms,
                                 struct arena *arena)
{
    struct domain_key *keys =
        ARENA_ARRAY(arena, struct domain_key, DOMAIN_KEYS_MAX);

    for (size_t i = 0; i < domain->key_count; i++)
        add_keys(&domain->keys[i], now_ms, &keys[i * DKIM_ALGORITHMS]);
    return (struct domain_setup){
        .name = domain->name,
        .return_path = domain->return_path,
        .keys = keys,
        .key_count = domain->key_count * DKIM_ALGORITHMS,
        .spf_include = str_of(config->sending.spf_include),
        .bounce_mx = str_of(config->sending.bounce_mx),
        .bounce_domain = str_of(config->sending.bounce_domain),
        .addresses = texts_of(&config->sending.addresses, arena),
        .address_count = config->sending.addresses.count,
        .zones = texts_of(&config->sending.dnsbl, arena),
        .zone_count = config->sending.dnsbl.count,
    };
}

static bool was_seen(const struct domain_report *report, struct str selector)
{
    for (size_t i = 0; i < report->count; i++)
        if (report->findings[i].check == DOMAIN_CHECK_DKIM &&
            report->findings[i].state == DOMAIN_VERIFIED &&
            str_starts(report->findings[i].name, selector) &&
            str_starts(str_from(report->findings[i].name, selector.len),
                       S("._domainkey.")))
            return true;
    return false;
}

/* Once both records of the next generation were seen, and as long as they
 * stay, it is to take over. Returns that time; 0: there is none. */
static int64_t plan_switch(struct sender_domain *domain,
                           const struct domain_report *report)
{
    const struct sender_key *next =
        sender_domain_next(domain, report->checked_ms);

    if (next == NULL)
        return 0;
    if (was_seen(report, next->rsa_selector) &&
        was_seen(report, next->ed25519_selector))
        sender_domain_switch(domain, report->checked_ms, SWITCH_DELAY_MS);
    else
        sender_domain_stay(domain, report->checked_ms);
    return next->signs_ms;
}

/* Whether the records are there is asked once more right before their keys
 * sign; right after, what weighs how much is another matter. */
static int64_t due_ms(const struct domain_report *report, int64_t signs_ms)
{
    int64_t look_ms = signs_ms - SWITCH_LOOK_MS;

    if (signs_ms == 0)
        return report->next_ms;
    if (look_ms <= report->checked_ms)
        look_ms = signs_ms + SWITCHED_LOOK_MS;
    return look_ms < report->next_ms ? look_ms : report->next_ms;
}

void rounds_apply(struct sender_domain *domain,
                  const struct domain_report *report, struct arena *arena)
{
    struct buf text;

    domain->due_ms = due_ms(report, plan_switch(domain, report));
    buf_init(&text, DOMAIN_REPORT_MAX);
    domain_report_write(report, &text);
    CHECK(!text.full);
    domain->report = arena_copy(arena, buf_str(&text));
    buf_finish(&text);
    domain->status = str_of(domain_status_name(report->status));
    domain->checked_ms = report->checked_ms;
    domain->since_ms = report->since_ms;
    domain->checks = report->checks;
}

/* --- what is told --- */

static bool has_state(const struct domain_report *past,
                      const struct domain_finding *finding)
{
    for (size_t i = 0; i < past->count; i++)
        if (past->findings[i].check == finding->check &&
            past->findings[i].state == finding->state &&
            str_eq(past->findings[i].name, finding->name))
            return true;
    return false;
}

/* Advice that comes and goes is nobody's event. */
static bool differs(const struct domain_report *past,
                    const struct domain_report *report)
{
    if (past->status != report->status)
        return true;
    for (size_t i = 0; i < report->count; i++)
        if (report->findings[i].weight != DOMAIN_ADVICE &&
            !has_state(past, &report->findings[i]))
            return true;
    return false;
}

static struct str members_of(const struct check *check,
                             const struct domain_report *report)
{
    const struct domain_setup setup =
        rounds_setup(&check->domain, check->rounds->config, report->checked_ms,
                     check->arena);
    struct json_out out;
    struct buf map;
    struct str members;

    buf_init(&map, DOMAIN_EVENT_MAX);
    json_out_init(&out, &map);
    json_open_map(&out);
    domain_show(&out,
                &(struct domain_shown){
                    .setup = &setup,
                    .report = report,
                    .status = check->domain.status,
                    .region = check->domain.region,
                    .created_ms = check->domain.created_ms,
                },
                check->arena);
    json_close_map(&out);
    CHECK(!map.full);
    members =
        arena_copy(check->arena, str_slice(buf_str(&map), 1, map.len - 2));
    buf_finish(&map);
    return members;
}

static size_t events_of(const struct check *check,
                        const struct domain_report *past,
                        const struct domain_report *report,
                        struct domain_event events[EVENTS_MAX])
{
    struct str members;
    size_t count = 0;

    if (!differs(past, report))
        return 0;
    members = members_of(check, report);
    events[count++] = (struct domain_event){EVENT_DOMAIN_UPDATED, members};
    if (past->status == report->status)
        return count;
    if (report->status == DOMAIN_STATUS_VERIFIED)
        events[count++] = (struct domain_event){EVENT_DOMAIN_VERIFIED, members};
    if (report->status == DOMAIN_STATUS_FAILED)
        events[count++] = (struct domain_event){EVENT_DOMAIN_FAILED, members};
    return count;
}

static void tell(const struct check *check, const struct domain_report *past,
                 const struct domain_report *report)
{
    bool has_changed = past->status != report->status;

    metrics_count(METRIC_DOMAIN_CHECKS, domain_status_name(report->status));
    log_write(has_changed ? LOG_INFO : LOG_DEBUG, LOG_DOMAIN_CHECKED,
              log_str("domain", check->domain.name),
              log_str("owner", check->owner.name),
              log_cstr("status", domain_status_name(report->status)),
              log_int("next_in_ms", report->next_ms - report->checked_ms));
}

/* --- one check --- */

static void check_end(struct check *check)
{
    struct rounds *rounds = check->rounds;

    domain_check_cancel(&check->run);
    list_remove(&check->link);
    rounds->check_count--;
    arena_destroy(&check->arena);
    free(check);
}

/* Refused, gone or not known: it is due again by its lease or its change. */
static void on_put(void *ctx, const struct queue_answer *answer)
{
    struct check *check = ctx;

    if (answer->status != QUEUE_OK)
        log_write(LOG_DEBUG, LOG_DOMAIN_NOT_STORED,
                  log_str("domain", check->domain.name),
                  log_error(&answer->why));
    check_end(check);
}

static void on_checked(void *ctx, const struct domain_report *report)
{
    struct check *check = ctx;
    struct domain_report *past = ARENA_NEW(check->arena, struct domain_report);
    struct domain_event events[EVENTS_MAX];
    struct domain_put put = {.domain = &check->domain, .events = events};

    check->run = NULL;
    domain_report_read(check->domain.report, check->arena, past);
    if (!domain_status_of(check->domain.status, &past->status))
        past->status = DOMAIN_STATUS_NOT_STARTED;
    rounds_apply(&check->domain, report, check->arena);
    put.event_count = events_of(check, past, report, events);
    tell(check, past, report);
    queue_domain_put(check->rounds->queue, check->owner, &put, on_put, check);
}

/* Its texts are valid during the call only. False: not one of ours. */
static bool copy_domain(struct check *check, const struct sender_domain *domain)
{
    struct buf text;
    bool is_good;

    buf_init(&text, SENDER_TEXT_MAX);
    sender_domain_write(domain, &text);
    is_good = !text.full &&
              sender_domain_read(buf_str(&text), check->arena, &check->domain);
    buf_finish(&text);
    check->domain.id = domain->id;
    check->domain.version = domain->version;
    return is_good;
}

static void check_start(struct rounds *rounds, struct queue_owner owner,
                        const struct sender_domain *domain)
{
    struct check *check = xcalloc(1, sizeof *check);
    struct domain_setup setup;
    struct domain_past past;

    check->rounds = rounds;
    check->arena = arena_create();
    check->owner.name = arena_copy(check->arena, owner.name);
    check->owner.home = owner.home;
    list_add_last(&rounds->checks, &check->link);
    rounds->check_count++;
    if (!copy_domain(check, domain)) {
        check_end(check);
        return;
    }
    setup = rounds_setup(&check->domain, rounds->config, clock_shared_ms(),
                         check->arena);
    past = (struct domain_past){.report = check->domain.report,
                                .since_ms = check->domain.since_ms,
                                .checks = check->domain.checks};
    check->run = domain_check(rounds->loop, rounds->dns, &rounds->fetcher,
                              &setup, &past, on_checked, check);
}

/* --- the rounds --- */

static void go_on(struct rounds *rounds, bool has_more)
{
    int64_t wait_ms = 0;

    if (!has_more) {
        rounds->partition++;
        if (rounds->partition >= queue_partition_count(rounds->queue)) {
            rounds->partition = 0;
            wait_ms = ROUND_MS;
        }
    }
    if (rounds->check_count == CHECKS_MAX)
        wait_ms = ROUND_MS;
    timer_set(rounds->loop, &rounds->timer, wait_ms);
}

static void on_due(void *ctx, const struct queue_due_domains *due)
{
    struct rounds *rounds = ctx;

    rounds->is_asking = false;
    if (rounds->is_stopped)
        return;
    for (size_t i = 0; i < due->count; i++)
        check_start(rounds, due->owner, &due->domains[i]);
    go_on(rounds, due->status == QUEUE_OK && due->count > 0);
}

static void look(void *ctx)
{
    struct rounds *rounds = ctx;

    if (rounds->check_count == CHECKS_MAX) {
        go_on(rounds, true);
        return;
    }
    rounds->is_asking = true;
    queue_domains_due(rounds->queue, rounds->partition,
                      (unsigned)(CHECKS_MAX - rounds->check_count), LEASE_MS,
                      on_due, rounds);
}

static bool open_resolver(struct rounds *rounds, struct error *err)
{
    const struct config_list *servers = &rounds->config->domains.resolver;
    struct buf list;

    if (servers->count == 0)
        return true;
    buf_init(&list, RESOLVER_MAX);
    for (size_t i = 0; i < servers->count; i++)
        buf_addf(&list, "%s%s", i > 0 ? "," : "", servers->items[i]);
    rounds->own_dns = dns_open(rounds->loop, list.data, err);
    buf_finish(&list);
    if (rounds->own_dns == NULL)
        return false;
    rounds->dns = rounds->own_dns;
    return true;
}

struct rounds *rounds_open(struct loop *loop, const struct config *config,
                           struct queue *queue, struct dns *dns,
                           struct error *err)
{
    struct rounds *rounds = xcalloc(1, sizeof *rounds);

    rounds->loop = loop;
    rounds->config = config;
    rounds->queue = queue;
    rounds->dns = dns;
    list_init(&rounds->checks);
    timer_init(&rounds->timer, look, rounds);
    if (!open_resolver(rounds, err)) {
        error_prefix(err, "domains.resolver");
        free(rounds);
        return NULL;
    }
    if (!open_sender(rounds, err)) {
        dns_close(&rounds->own_dns);
        loop_free_later(loop, free, rounds);
        return NULL;
    }
    timer_set(loop, &rounds->timer, 0);
    return rounds;
}

void rounds_stop(struct rounds *rounds)
{
    rounds->is_stopped = true;
    timer_clear(rounds->loop, &rounds->timer);
}

void rounds_close(struct rounds **handle)
{
    struct rounds *rounds = *handle;

    if (rounds == NULL)
        return;
    *handle = NULL;
    rounds_stop(rounds);
    list_each_safe (link, &rounds->checks)
        check_end(LIST_MEMBER(link, struct check, link));
    sender_close(&rounds->sender);
    dns_close(&rounds->own_dns);
    loop_free_later(rounds->loop, free, rounds);
}
