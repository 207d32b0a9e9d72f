/* A report as text. */
#include "server/base/clock.h"
#include "server/base/json.h"
#include "server/domain/domain.h"
#include "server/domain/names.h"

static void write_finding(struct json_out *out,
                          const struct domain_finding *finding)
{
    json_open_map(out);
    json_add_cstr(out, "check", domain_check_name(finding->check));
    json_add_cstr(out, "weight", domain_weight_name(finding->weight));
    json_add_cstr(out, "status", domain_state_name(finding->state));
    json_add_bool(out, "warning", finding->warns);
    json_add_str(out, "name", finding->name);
    json_add_str(out, "type", finding->type);
    json_add_str_or_null(out, "found", finding->found);
    json_add_str_or_null(out, "wanted", finding->wanted);
    json_add_str_or_null(out, "reason", finding->reason);
    json_add_time(out, "since", finding->since_ms);
    json_add_time_or_null(out, "verified_at", finding->verified_ms);
    json_add_int(out, "misses", finding->misses);
    json_close_map(out);
}

void domain_report_write(const struct domain_report *report, struct buf *out)
{
    struct json_out json;

    json_out_init(&json, out);
    json_open_map(&json);
    json_add_cstr(&json, "status", domain_status_name(report->status));
    json_add_time_or_null(&json, "checked_at", report->checked_ms);
    json_add_time_or_null(&json, "next_check_at", report->next_ms);
    json_name(&json, "checks");
    json_open_list(&json);
    for (size_t i = 0; i < report->count; i++)
        write_finding(&json, &report->findings[i]);
    json_close_list(&json);
    json_close_map(&json);
}

static int64_t read_time(const struct json *map, const char *name)
{
    int64_t time_ms = 0;

    return clock_parse(json_get_str(map, name), &time_ms) ? time_ms : 0;
}

/* False: a word of another release. */
static bool read_words(const struct json *map, struct domain_finding *finding)
{
    return domain_check_of(json_get_str(map, "check"), &finding->check) &&
           domain_weight_of(json_get_str(map, "weight"), &finding->weight) &&
           domain_state_of(json_get_str(map, "status"), &finding->state);
}

static void read_finding(const struct json *map, struct arena *arena,
                         struct domain_report *report)
{
    struct domain_finding *finding = &report->findings[report->count];
    int64_t misses = json_get_int(map, "misses");

    *finding = (struct domain_finding){0};
    if (!read_words(map, finding))
        return;
    finding->warns = json_get_bool(map, "warning");
    finding->name = arena_copy(arena, json_get_str(map, "name"));
    finding->type = arena_copy(arena, json_get_str(map, "type"));
    finding->found = arena_copy(arena, json_get_str(map, "found"));
    finding->wanted = arena_copy(arena, json_get_str(map, "wanted"));
    finding->reason = arena_copy(arena, json_get_str(map, "reason"));
    finding->since_ms = read_time(map, "since");
    finding->verified_ms = read_time(map, "verified_at");
    finding->misses = misses < 0 || misses > 1000 ? 1000 : (unsigned)misses;
    report->count++;
}

void domain_report_read(struct str text, struct arena *arena,
                        struct domain_report *report)
{
    struct error err;
    struct json *json;
    const struct json *list;

    *report = (struct domain_report){.status = DOMAIN_STATUS_NOT_STARTED};
    json = json_parse(text, &err);
    if (json == NULL)
        return;
    if (!domain_status_of(json_get_str(json, "status"), &report->status))
        report->status = DOMAIN_STATUS_NOT_STARTED;
    report->checked_ms = read_time(json, "checked_at");
    report->next_ms = read_time(json, "next_check_at");
    list = json_get(json, "checks");
    for (size_t i = 0;
         i < json_count(list) && report->count < DOMAIN_FINDINGS_MAX; i++)
        read_finding(json_at(list, i), arena, report);
    json_destroy(&json);
}

const struct domain_finding *
domain_report_find(const struct domain_report *report,
                   const struct domain_record *record)
{
    for (size_t i = 0; i < report->count; i++)
        if (report->findings[i].check == record->check &&
            name_eq(report->findings[i].name, record->fqdn))
            return &report->findings[i];
    return NULL;
}

bool domain_takes_bounces(const struct domain_report *report, struct str host)
{
    bool has_mx = false;

    for (size_t i = 0; i < report->count; i++) {
        const struct domain_finding *finding = &report->findings[i];
        bool is_mx = finding->check == DOMAIN_CHECK_RETURN_PATH_MX;

        if ((!is_mx && finding->check != DOMAIN_CHECK_RETURN_PATH_SPF) ||
            !name_eq(finding->name, host))
            continue;
        if (finding->state != DOMAIN_VERIFIED &&
            (finding->state != DOMAIN_TEMPORARY || finding->verified_ms == 0))
            return false;
        has_mx |= is_mx;
    }
    return has_mx;
}
