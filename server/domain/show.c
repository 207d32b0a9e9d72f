#include "server/domain/domain.h"

static void put_finding(struct json_out *out,
                        const struct domain_finding *finding)
{
    if (finding == NULL)
        return;
    json_add_str_or_null(out, "found", finding->found);
    if (finding->reason.len > 0)
        json_add_str(out, "reason", finding->reason);
}

static void put_record(struct json_out *out, const struct domain_record *record,
                       const struct domain_finding *finding)
{
    json_open_map(out);
    json_add_cstr(out, "record", record->record);
    json_add_str(out, "name", record->name);
    json_add_cstr(out, "type", record->type);
    json_add_cstr(out, "ttl", "Auto");
    json_add_cstr(out, "status",
                  domain_state_name(finding == NULL ? DOMAIN_NOT_STARTED
                                                    : finding->state));
    json_add_str(out, "value", record->value);
    if (record->priority > 0)
        json_add_int(out, "priority", record->priority);
    json_add_str(out, "fqdn", record->fqdn);
    json_add_str(out, "value_split", record->split);
    json_add_cstr(out, "weight", domain_weight_name(record->weight));
    put_finding(out, finding);
    json_close_map(out);
}

void domain_show(struct json_out *out, const struct domain_shown *shown,
                 struct arena *arena)
{
    struct domain_record records[DOMAIN_RECORDS_MAX];
    size_t count = domain_records(shown->setup, arena, records);

    json_add_str(out, "name", shown->setup->name);
    json_add_str(out, "status", shown->status);
    json_add_time(out, "created_at", shown->created_ms);
    json_add_str(out, "region", shown->region);
    json_name(out, "records");
    json_open_list(out);
    for (size_t i = 0; i < count; i++)
        put_record(out, &records[i],
                   shown->report == NULL
                       ? NULL
                       : domain_report_find(shown->report, &records[i]));
    json_close_list(out);
}
