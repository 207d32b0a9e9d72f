#include "server/domain/dmarc.h"

#include "server/domain/names.h"
#include "server/domain/tags.h"

static const char *const POLICIES[] = {
    [DMARC_POLICY_NONE] = "none",
    [DMARC_QUARANTINE] = "quarantine",
    [DMARC_REJECT] = "reject",
};

const char *dmarc_policy_name(enum dmarc_policy policy)
{
    return POLICIES[policy];
}

/* --- one record --- */

static bool read_policy(struct str value, enum dmarc_policy *policy)
{
    for (size_t i = 0; i < COUNT_OF(POLICIES); i++) {
        if (!str_eq_nocase(value, str_of(POLICIES[i])))
            continue;
        *policy = (enum dmarc_policy)i;
        return true;
    }
    return false;
}

/* One of the letters, whatever its case. */
static bool read_letter(struct str value, const char *letters, char *letter)
{
    if (value.len != 1 ||
        str_index(str_of(letters), ascii_lower(value.ptr[0]), 0) < 0)
        return false;
    *letter = ascii_lower(value.ptr[0]);
    return true;
}

static bool knows(const struct dmarc_record *record, struct str domain)
{
    for (size_t i = 0; i < record->report_count; i++)
        if (name_eq(record->reports[i], domain))
            return true;
    return false;
}

/* "mailto:user@domain!10m, ...": other schemes are passed by, as receivers
 * do. */
static bool read_uris(struct str value, struct dmarc_record *record)
{
    struct str uri;

    while (str_cut(&value, ',', &uri)) {
        ptrdiff_t at;
        ptrdiff_t size;

        uri = str_trim(uri);
        if (!str_starts_nocase(uri, S("mailto:"))) {
            if (str_index(uri, ':', 0) <= 0)
                return false;
            continue;
        }
        size = str_index(uri, '!', 0);
        if (size >= 0)
            uri.len = (size_t)size;
        at = str_index(uri, '@', 0);
        uri = at < 0 ? S("") : str_from(uri, (size_t)at + 1);
        if (!name_is_valid(uri))
            return false;
        if (!knows(record, uri) && record->report_count < DMARC_URIS_MAX)
            record->reports[record->report_count++] = uri;
    }
    return true;
}

static bool read_percent(struct str value, unsigned *percent)
{
    uint64_t number;

    if (!str_to_u64(value, &number) || number > 100)
        return false;
    *percent = (unsigned)number;
    return true;
}

static bool read_tag(const struct tag *tag, struct dmarc_record *record)
{
    enum dmarc_policy of_no_names;
    char letter = 'r';
    bool is_good = true;

    if (str_eq(tag->name, S("p"))) {
        is_good = read_policy(tag->value, &record->policy);
    } else if (str_eq(tag->name, S("sp"))) {
        is_good = read_policy(tag->value, &record->sub_policy);
    } else if (str_eq(tag->name, S("np"))) {
        is_good = read_policy(tag->value, &of_no_names);
    } else if (str_eq(tag->name, S("pct"))) {
        is_good = read_percent(tag->value, &record->percent);
    } else if (str_eq(tag->name, S("psd"))) {
        is_good = read_letter(tag->value, "ynu", &record->psd);
    } else if (str_eq(tag->name, S("t"))) {
        is_good = read_letter(tag->value, "yn", &letter);
        record->is_testing = letter == 'y';
    } else if (str_eq(tag->name, S("adkim"))) {
        is_good = read_letter(tag->value, "rs", &letter);
        record->is_strict_dkim = letter == 's';
    } else if (str_eq(tag->name, S("aspf"))) {
        is_good = read_letter(tag->value, "rs", &letter);
        record->is_strict_spf = letter == 's';
    } else if (str_eq(tag->name, S("rua"))) {
        record->has_reports = true;
        is_good = read_uris(tag->value, record);
    } else if (str_eq(tag->name, S("ruf"))) {
        is_good = read_uris(tag->value, record);
    }
    return is_good;
}

bool dmarc_is_record(struct str text)
{
    return tags_claim(text, "DMARC1");
}

bool dmarc_read(struct str text, struct dmarc_record *record, struct str *bad)
{
    struct tags tags;

    *record = (struct dmarc_record){.percent = 100, .psd = 'u'};
    if (!tags_read(text, &tags)) {
        *bad = tags.bad;
        return false;
    }
    *bad = S("v=");
    if (!tags_begin(&tags, "DMARC1"))
        return false;
    for (size_t i = 1; i < tags.count; i++) {
        *bad = tags.list[i].whole;
        if (!read_tag(&tags.list[i], record))
            return false;
    }
    *bad = S("no p=");
    if (tags_get(&tags, "sp") == NULL)
        record->sub_policy = record->policy;
    return tags_get(&tags, "p") != NULL;
}

/* --- which one counts --- */

struct place {
    struct str domain;
    struct str at;
    struct str text;
    size_t count; /* of records */
    struct dmarc_record record;
    bool is_good;
    struct str bad;
};

struct search {
    struct answers *answers;
    struct arena *arena;
    struct dmarc_result result;
};

static struct str dmarc_name(struct arena *arena, struct str domain)
{
    return arena_printf(arena, "_dmarc.%.*s", STR_ARG(domain));
}

/* False: nothing can be said yet, or for now. */
static bool look_at(struct search *search, struct str domain,
                    struct place *place)
{
    const struct dns_reply *reply;

    *place = (struct place){
        .domain = domain,
        .at = dmarc_name(search->arena, domain),
    };
    reply = answers_get(search->answers, place->at, DNS_TXT);
    if (reply == NULL || reply->status == DNS_FAILED) {
        search->result.outcome = reply == NULL ? DMARC_UNKNOWN : DMARC_FAILED;
        search->result.at = place->at;
        search->result.detail = reply == NULL ? S("") : str_of(reply->reason);
        return false;
    }
    for (size_t i = 0; i < reply->records.count; i++)
        if (dmarc_is_record(reply->records.records[i].data) &&
            place->count++ == 0)
            place->text = reply->records.records[i].data;
    if (place->count == 1)
        place->is_good = dmarc_read(place->text, &place->record, &place->bad);
    return true;
}

static void take(struct search *search, const struct place *place)
{
    struct dmarc_result *result = &search->result;

    result->at = place->at;
    result->text = place->text;
    result->record = place->record;
    result->detail = place->bad;
    if (place->count == 0)
        result->outcome = DMARC_NONE;
    else if (place->count > 1)
        result->outcome = DMARC_SEVERAL;
    else
        result->outcome = place->is_good ? DMARC_GOOD : DMARC_MALFORMED;
}

/* The first step up: names of more than 8 labels go down to 7 at once. */
static struct str step_up(struct str domain)
{
    size_t labels = name_labels(domain);

    do {
        domain = name_parent(domain);
        labels--;
    } while (labels >= DMARC_WALK_MAX);
    return domain;
}

/* psd=y: the organization is the name below, and without a record of its own
 * it has that of the public suffix. */
static bool find_below(struct search *search, const struct place *suffix,
                       struct str below, struct place *org)
{
    if (!look_at(search, below, org))
        return false;
    if (org->count > 0)
        return true;
    *org = *suffix;
    org->domain = below;
    return true;
}

/* From the domain upwards: the organizational domain is where psd=n stands,
 * the one below psd=y, or the highest with a record. False: not known. */
static bool find_org(struct search *search, const struct place *own,
                     struct place *org)
{
    struct place place = *own;
    struct str below;

    *org = *own;
    while (place.record.psd != 'n') {
        struct str up = step_up(place.domain);

        if (up.len == 0)
            break;
        below = place.domain;
        if (!look_at(search, up, &place))
            return false;
        if (!place.is_good)
            continue;
        if (place.record.psd == 'y')
            return find_below(search, &place, below, org);
        *org = place;
    }
    return true;
}

struct dmarc_result dmarc_find(struct answers *answers, struct arena *arena,
                               struct str domain)
{
    struct search search = {.answers = answers, .arena = arena};
    struct place own;
    struct place org;
    struct str up = domain;

    while ((up = step_up(up)).len > 0) /* all at once, not one by one */
        (void)answers_get(answers, dmarc_name(arena, up), DNS_TXT);
    if (!look_at(&search, domain, &own) || !find_org(&search, &own, &org))
        return search.result;
    take(&search, own.count > 0 ? &own : &org);
    search.result.org = org.domain;
    search.result.is_inherited = own.count == 0 && org.count > 0;
    if (search.result.outcome == DMARC_NONE)
        search.result.at = own.at;
    return search.result;
}
