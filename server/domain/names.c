#include "server/domain/names.h"

#define WORD(member, name) name,
static const char *const CHECKS[] = {DOMAIN_CHECKS(WORD)};
static const char *const STATES[] = {DOMAIN_STATES(WORD)};
static const char *const STATUSES[] = {DOMAIN_STATUSES(WORD)};
static const char *const WEIGHTS[] = {DOMAIN_WEIGHTS(WORD)};
#undef WORD

const char *domain_check_name(enum domain_check check)
{
    return CHECKS[check];
}

const char *domain_state_name(enum domain_state state)
{
    return STATES[state];
}

const char *domain_status_name(enum domain_status status)
{
    return STATUSES[status];
}

const char *domain_weight_name(enum domain_weight weight)
{
    return WEIGHTS[weight];
}

bool domain_status_of(struct str name, enum domain_status *status)
{
    for (size_t i = 0; i < DOMAIN_STATUS_COUNT; i++) {
        if (!str_eq(name, str_of(STATUSES[i])))
            continue;
        *status = (enum domain_status)i;
        return true;
    }
    return false;
}

struct str name_below(struct arena *arena, struct str label, struct str domain)
{
    if (label.len == 0)
        return domain;
    return arena_printf(arena, "%.*s.%.*s", STR_ARG(label), STR_ARG(domain));
}

static struct str without_dot(struct str name)
{
    return str_ends(name, S(".")) ? str_slice(name, 0, name.len - 1) : name;
}

struct str name_parent(struct str name)
{
    ptrdiff_t dot = str_index(name, '.', 0);

    return dot < 0 ? S("") : str_from(name, (size_t)dot + 1);
}

size_t name_labels(struct str name)
{
    size_t count = 0;

    for (name = without_dot(name); name.len > 0; name = name_parent(name))
        count++;
    return count;
}

bool name_eq(struct str a, struct str b)
{
    return str_eq_nocase(without_dot(a), without_dot(b));
}

bool name_is_within(struct str name, struct str base)
{
    name = without_dot(name);
    base = without_dot(base);
    if (name.len <= base.len)
        return str_eq_nocase(name, base);
    return name.ptr[name.len - base.len - 1] == '.' &&
           str_eq_nocase(str_from(name, name.len - base.len), base);
}

static bool label_is_valid(struct str label)
{
    if (label.len == 0 || label.len > 63)
        return false;
    for (size_t i = 0; i < label.len; i++)
        if (!ascii_is_alnum(label.ptr[i]) && label.ptr[i] != '-' &&
            label.ptr[i] != '_')
            return false;
    return true;
}

bool name_is_valid(struct str name)
{
    struct str rest = without_dot(name);
    struct str label;

    if (rest.len == 0 || rest.len > 253 || str_ends(rest, S(".")))
        return false;
    while (str_cut(&rest, '.', &label))
        if (!label_is_valid(label))
            return false;
    return true;
}
