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

/* The place of a word in its table; count when it is not there. */
static size_t place_of(struct str name, const char *const *words, size_t count)
{
    size_t at = 0;

    while (at < count && !str_eq(name, str_of(words[at])))
        at++;
    return at;
}

bool domain_check_of(struct str name, enum domain_check *check)
{
    *check = (enum domain_check)place_of(name, CHECKS, DOMAIN_CHECK_COUNT);
    return *check < DOMAIN_CHECK_COUNT;
}

bool domain_state_of(struct str name, enum domain_state *state)
{
    *state = (enum domain_state)place_of(name, STATES, DOMAIN_STATE_COUNT);
    return *state < DOMAIN_STATE_COUNT;
}

bool domain_weight_of(struct str name, enum domain_weight *weight)
{
    *weight = (enum domain_weight)place_of(name, WEIGHTS, DOMAIN_WEIGHT_COUNT);
    return *weight < DOMAIN_WEIGHT_COUNT;
}

bool domain_status_of(struct str name, enum domain_status *status)
{
    size_t at = place_of(name, STATUSES, DOMAIN_STATUS_COUNT);

    if (at < DOMAIN_STATUS_COUNT)
        *status = (enum domain_status)at;
    return at < DOMAIN_STATUS_COUNT;
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
