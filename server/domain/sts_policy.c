#include "server/domain/sts_policy.h"

#include "server/domain/names.h"

/* The next line that is not empty, without its end. False: there is none. */
static bool next_line(struct str *rest, struct str *line)
{
    while (str_cut(rest, '\n', line)) {
        if (str_ends(*line, S("\r")))
            line->len--;
        if (str_trim(*line).len > 0)
            return true;
    }
    return false;
}

/* 1 to 32 letters, digits, "_", "-" and "."; the first is one of the former. */
static bool is_key(struct str text)
{
    if (text.len == 0 || text.len > 32 || !ascii_is_alnum(text.ptr[0]))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.ptr[i]) &&
            str_index(S("_-."), text.ptr[i], 0) < 0)
            return false;
    return true;
}

static bool read_line(struct str line, struct str *key, struct str *value)
{
    *value = line;
    if (str_index(line, ':', 0) < 0 || !str_cut(value, ':', key) ||
        !is_key(*key))
        return false;
    *value = str_trim(*value);
    return true;
}

/* --- its fields --- */

struct fields {
    struct str version;
    struct str mode;
    struct str max_age;
    bool has_version;
    bool has_mode;
    bool has_max_age;
};

static void keep_first(struct str *kept, bool *has, struct str value)
{
    if (!*has)
        *kept = value;
    *has = true;
}

static struct str without_star(struct str pattern)
{
    return str_starts(pattern, S("*.")) ? str_from(pattern, 2) : pattern;
}

static enum sts_flaw read_fields(struct str text, struct fields *fields,
                                 struct sts_policy *policy)
{
    struct str line;
    struct str key;
    struct str value;

    while (next_line(&text, &line)) {
        policy->detail = line;
        if (!read_line(line, &key, &value))
            return STS_BAD_LINE;
        if (str_eq(key, S("version"))) {
            keep_first(&fields->version, &fields->has_version, value);
        } else if (str_eq(key, S("mode"))) {
            keep_first(&fields->mode, &fields->has_mode, value);
        } else if (str_eq(key, S("max_age"))) {
            keep_first(&fields->max_age, &fields->has_max_age, value);
        } else if (str_eq(key, S("mx"))) {
            policy->detail = value;
            policy->mx_count++;
            if (!name_is_valid(without_star(value)))
                return STS_BAD_MX;
        }
    }
    policy->detail = S("");
    return STS_GOOD;
}

static bool read_mode(struct str word, enum sts_mode *mode)
{
    static const struct str WORDS[] = {
        [STS_ENFORCE] = STR("enforce"),
        [STS_TESTING] = STR("testing"),
        [STS_NONE] = STR("none"),
    };

    for (size_t i = 0; i < COUNT_OF(WORDS); i++) {
        *mode = (enum sts_mode)i;
        if (str_eq(word, WORDS[i]))
            return true;
    }
    return false;
}

static bool read_max_age(struct str text, int64_t *seconds)
{
    uint64_t number;

    if (text.len > 10 || !str_to_u64(text, &number) || number > STS_MAX_AGE_MAX)
        return false;
    *seconds = (int64_t)number;
    return true;
}

enum sts_flaw sts_policy_read(struct str text, struct sts_policy *policy)
{
    struct fields fields = {0};
    enum sts_flaw flaw;

    *policy = (struct sts_policy){.text = text};
    flaw = read_fields(text, &fields, policy);
    if (flaw != STS_GOOD)
        return flaw;
    policy->detail = fields.version;
    if (!str_eq(fields.version, S("STSv1")))
        return STS_NO_VERSION;
    policy->detail = fields.mode;
    if (!read_mode(fields.mode, &policy->mode))
        return STS_NO_MODE;
    policy->detail = fields.max_age;
    if (!read_max_age(fields.max_age, &policy->max_age_s))
        return STS_NO_MAX_AGE;
    policy->detail = S("");
    return policy->mx_count == 0 && policy->mode != STS_NONE ? STS_NO_MX
                                                             : STS_GOOD;
}

bool sts_policy_allows(const struct sts_policy *policy, struct str host)
{
    struct str rest = policy->text;
    struct str line;
    struct str key;
    struct str pattern;

    while (next_line(&rest, &line)) {
        if (!read_line(line, &key, &pattern) || !str_eq(key, S("mx")))
            continue;
        if (name_eq(without_star(pattern),
                    str_starts(pattern, S("*.")) ? name_parent(host) : host))
            return true;
    }
    return false;
}
