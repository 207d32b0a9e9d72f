#include "zone.h"

#include "server/domain/names.h"

#include <stdlib.h>

enum { HOPS_MAX = 8 };

static bool cut_line(const char *line, struct str *name, struct str *type,
                     struct str *data)
{
    struct str rest = str_of(line);

    CHECK(str_cut(&rest, ' ', name) && str_cut(&rest, ' ', type));
    *data = rest;
    return true;
}

static const char *alias_of(const char *const *zone, struct str name,
                            struct arena *arena)
{
    struct str owner;
    struct str type;
    struct str data;

    for (; *zone != NULL; zone++)
        if (cut_line(*zone, &owner, &type, &data) && name_eq(owner, name) &&
            str_eq(type, S("ALIAS")))
            return arena_cstr(arena, data);
    return NULL;
}

static void add(struct dns_reply *reply, struct dns_record *records,
                enum dns_type type, struct str data)
{
    struct dns_record *record = &records[reply->records.count++];

    CHECK(reply->records.count <= DNS_RECORDS_MAX);
    record->preference = 0;
    if (type == DNS_MX) {
        record->preference = (unsigned)strtoul(data.ptr, NULL, 10);
        data = str_from(data, (size_t)str_index(data, ' ', 0) + 1);
    }
    record->data = data;
}

static void fill(const char *const *zone, struct str name, enum dns_type type,
                 struct dns_reply *reply, struct dns_record *records)
{
    struct str owner;
    struct str word;
    struct str data;

    for (; *zone != NULL; zone++) {
        if (!cut_line(*zone, &owner, &word, &data) || !name_eq(owner, name))
            continue;
        reply->has_no_name = false;
        if (str_eq(word, S("FAIL"))) {
            reply->status = DNS_FAILED;
            reply->reason = "it was told to fail";
            return;
        }
        if (str_eq(word, str_of(dns_type_name(type))))
            add(reply, records, type, data);
    }
}

void zone_answer(const char *const *zone, const char *name, enum dns_type type,
                 struct answers *answers)
{
    struct arena *arena = arena_create();
    struct dns_record records[DNS_RECORDS_MAX];
    struct dns_reply reply = {
        .status = DNS_NOT_FOUND,
        .has_no_name = true,
        .reason = "not there",
        .records = {.records = records, .ttl_s = 60},
    };
    struct str at = str_of(name);
    const char *alias;

    if (type == DNS_CNAME) {
        alias = alias_of(zone, at, arena);
        if (alias != NULL)
            add(&reply, records, type, str_of(alias));
    } else {
        for (unsigned hops = 0; hops < HOPS_MAX; hops++) {
            alias = alias_of(zone, at, arena);
            if (alias == NULL)
                break;
            reply.records.is_alias = true;
            at = str_of(alias);
        }
        fill(zone, at, type, &reply, records);
    }
    if (reply.records.count > 0 && reply.status != DNS_FAILED)
        reply.status = DNS_FOUND;
    answers_put(answers, name, type, &reply);
    arena_destroy(&arena);
}

static void answer_policy(const char *const *zone, struct str domain,
                          struct answers *answers)
{
    struct policy_reply reply = {.why = "no such host"};
    struct str owner;
    struct str type;
    struct str data;
    struct str status;

    for (; *zone != NULL; zone++) {
        cut_line(*zone, &owner, &type, &data);
        if (!str_eq(type, S("POLICY")) || !str_starts(owner, S("mta-sts.")) ||
            !name_eq(str_from(owner, 8), domain))
            continue;
        CHECK(str_cut(&data, ' ', &status));
        reply.is_cut = str_eq(status, S("long"));
        reply.status = reply.is_cut ? 200 : (int)strtol(status.ptr, NULL, 10);
        reply.why = reply.status == 0 ? data.ptr : "";
        reply.is_late = str_eq(str_of(reply.why), S("late"));
        if (reply.status > 0) {
            CHECK(str_cut(&data, ' ', &reply.type));
            reply.body = data;
        }
    }
    answers_put_policy(answers, &reply);
}

size_t zone_answer_all(const char *const *zone, struct answers *answers)
{
    const char *name;
    struct str domain;
    enum dns_type type;
    size_t count = 0;

    if (answers_take_policy(answers, &domain)) {
        answer_policy(zone, domain, answers);
        count++;
    }
    for (; answers_take_wanted(answers, &name, &type); count++)
        zone_answer(zone, name, type, answers);
    return count;
}
