#include "server/supervisor/accept.h"

#include "server/base/codec.h"

enum { WEIGHT_MAX = 1000, WEIGHT_DIGITS = 3 };

/* One of the types that are accepted. */
struct range {
    struct str type;
    struct str version; /* empty: any */
    unsigned weight;    /* of WEIGHT_MAX; 0: not wanted */
};

/* "0.75" in thousandths; what is no weight counts as none was given. */
static unsigned weight_read(struct str text)
{
    struct str whole = S("");
    unsigned weight = 0;
    unsigned unit = WEIGHT_MAX;

    if (!str_cut(&text, '.', &whole) || text.len > WEIGHT_DIGITS)
        return WEIGHT_MAX;
    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_digit(text.ptr[i]))
            return WEIGHT_MAX;
        unit /= 10;
        weight += unit * (unsigned)(text.ptr[i] - '0');
    }
    return str_eq(whole, S("0")) ? weight : WEIGHT_MAX;
}

static struct range range_read(struct str text)
{
    struct range range = {.version = S(""), .weight = WEIGHT_MAX};
    struct str name = S("");
    struct str value = S("");

    if (str_cut(&text, ';', &value))
        range.type = str_trim(value);
    while (str_cut(&text, ';', &value)) {
        str_cut(&value, '=', &name);
        name = str_trim(name);
        value = str_trim(value);
        if (str_eq_nocase(name, S("version")))
            range.version = value;
        else if (str_eq_nocase(name, S("q")))
            range.weight = weight_read(value);
    }
    return range;
}

/* How much a type of that version is wanted, by name. */
static unsigned weight_of(struct str accept, struct str type,
                          struct str version)
{
    struct str text = S("");
    unsigned weight = 0;

    while (str_cut(&accept, ',', &text)) {
        struct range range = range_read(text);

        if (str_eq_nocase(range.type, type) && range.weight > weight &&
            (range.version.len == 0 || str_eq(range.version, version)))
            weight = range.weight;
    }
    return weight;
}

enum metrics_form accept_metrics_form(struct str accept)
{
    unsigned open =
        weight_of(accept, S("application/openmetrics-text"), S("1.0.0"));
    unsigned plain = weight_of(accept, S("text/plain"), S("0.0.4"));

    return open > 0 && open >= plain ? METRICS_OPENMETRICS : METRICS_PROMETHEUS;
}
