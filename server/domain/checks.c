#include "server/domain/checks.h"

#include "server/base/codec.h"

/* Before it is cut to DOMAIN_TEXT_MAX: it may quote a line of a policy. */
enum { REASON_MAX = 80 * 1024 };

struct domain_finding checks_begin(enum domain_check check,
                                   enum domain_weight weight, struct str name,
                                   enum dns_type type)
{
    return (struct domain_finding){
        .check = check,
        .weight = weight,
        .name = name,
        .type = str_of(dns_type_name(type)),
    };
}

/* Fit for a page, a log and JSON, whatever strangers put into the DNS. */
static struct str clean(struct checks *checks, struct str text)
{
    struct buf out;
    struct str copy;

    buf_init(&out, DOMAIN_TEXT_MAX + 4);
    utf8_clean_add(&out, text,
                   text.len > DOMAIN_TEXT_MAX ? DOMAIN_TEXT_MAX - 3
                                              : DOMAIN_TEXT_MAX);
    if (text.len > DOMAIN_TEXT_MAX)
        buf_add_cstr(&out, "...");
    copy = arena_copy(checks->arena, buf_str(&out));
    buf_finish(&out);
    return copy;
}

static void end(struct checks *checks, struct domain_finding *finding)
{
    struct domain_report *report = checks->report;

    CHECK(report->count < DOMAIN_FINDINGS_MAX);
    finding->name = clean(checks, finding->name);
    finding->wanted = clean(checks, finding->wanted);
    report->findings[report->count++] = *finding;
}

static void set_reason(struct checks *checks, struct domain_finding *finding,
                       const char *format, va_list args) PRINTF_LIKE(3, 0);

static void set_reason(struct checks *checks, struct domain_finding *finding,
                       const char *format, va_list args)
{
    struct buf out;

    buf_init(&out, REASON_MAX);
    buf_vaddf(&out, format, args);
    finding->reason = clean(checks, buf_str(&out));
    buf_finish(&out);
}

void checks_say(struct checks *checks, struct domain_finding *finding,
                enum domain_state state, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set_reason(checks, finding, format, args);
    va_end(args);
    finding->state = state;
    end(checks, finding);
}

void checks_warn(struct checks *checks, struct domain_finding *finding,
                 const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set_reason(checks, finding, format, args);
    va_end(args);
    finding->state = DOMAIN_VERIFIED;
    finding->warns = true;
    end(checks, finding);
}

void checks_fine(struct checks *checks, struct domain_finding *finding)
{
    finding->state = DOMAIN_VERIFIED;
    end(checks, finding);
}

void checks_failed_for_now(struct checks *checks,
                           struct domain_finding *finding, struct str name,
                           struct str reason)
{
    checks_say(checks, finding, DOMAIN_TEMPORARY,
               "The name servers gave no answer for %.*s (%.*s). It is asked "
               "again by itself; if this lasts, look at the name servers of "
               "the domain.",
               STR_ARG(name), STR_ARG(reason));
}

const struct dns_reply *checks_ask(struct checks *checks,
                                   struct domain_finding *finding)
{
    enum dns_type type = str_eq(finding->type, S("MX")) ? DNS_MX : DNS_TXT;
    const struct dns_reply *reply =
        answers_get(checks->answers, finding->name, type);

    if (reply == NULL || reply->status != DNS_FAILED)
        return reply;
    checks_failed_for_now(checks, finding, finding->name,
                          str_of(reply->reason));
    return NULL;
}

void checks_found(struct checks *checks, struct domain_finding *finding,
                  const struct dns_reply *reply)
{
    bool is_mx = str_eq(finding->type, S("MX"));
    struct buf out;

    buf_init(&out, DNS_RECORDS_BYTES_MAX + DNS_RECORDS_MAX * 16);
    for (size_t i = 0; i < reply->records.count; i++) {
        const struct dns_record *record = &reply->records.records[i];

        if (i > 0)
            buf_add_cstr(&out, " | ");
        if (is_mx)
            buf_addf(&out, "%u ", record->preference);
        buf_add(&out, record->data);
    }
    checks_found_text(checks, finding, buf_str(&out));
    buf_finish(&out);
}

void checks_found_text(struct checks *checks, struct domain_finding *finding,
                       struct str text)
{
    finding->found = clean(checks, text);
}

void checks_run(const struct domain_setup *setup, struct answers *answers,
                struct arena *arena, struct domain_report *report)
{
    struct checks checks = {setup, answers, arena, report};

    report->count = 0;
    checks_dkim(&checks);
    checks_return_path(&checks);
    checks_spf(&checks);
    checks_dmarc(&checks);
    checks_advice(&checks);
    checks_hosts(&checks);
}
