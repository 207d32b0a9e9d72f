#include "smtp/message/template_filter.h"

#include "server/base/clock.h"
#include "server/base/nearest.h"
#include "smtp/message/address.h"
#include "smtp/message/locale.h"

#include <string.h>

enum {
    MINUTE_MS = 60 * 1000,
    PLACES_MAX = 9,
    SECONDS_MAX_DIGITS = 11, /* year 5138 */
};

/* --- arguments, as the compiler asks --- */

static const char *const STYLES[LOCALE_STYLES] = {"short", "medium", "long",
                                                  "full"};

static bool is_style(struct str argument)
{
    for (size_t i = 0; i < LOCALE_STYLES; i++)
        if (str_eq(argument, str_of(STYLES[i])))
            return true;
    return argument.len == 0;
}

static bool is_absent(struct str argument)
{
    return argument.len == 0;
}

static bool is_places(struct str argument)
{
    return argument.len == 0 ||
           (argument.len == 1 && ascii_is_digit(argument.ptr[0]));
}

static bool is_currency(struct str argument)
{
    bool is_upper = argument.len == 3;

    for (size_t i = 0; i < argument.len; i++)
        is_upper = is_upper && argument.ptr[i] >= 'A' && argument.ptr[i] <= 'Z';
    return is_upper;
}

/* Of choose: "1=minute,minutes". */
static bool is_choice(struct str argument)
{
    return argument.len > 0;
}

/* --- times --- */

/* The offset that a time in RFC 3339 ends with, in minutes; Z is 0. */
static int64_t offset_of(struct str text)
{
    struct str tail = str_from(text, text.len < 6 ? text.len : text.len - 6);
    int64_t minutes;

    if (tail.len < 6 || (tail.ptr[0] != '+' && tail.ptr[0] != '-'))
        return 0;
    minutes = (int64_t)(tail.ptr[1] - '0') * 600 + (tail.ptr[2] - '0') * 60 +
              (tail.ptr[4] - '0') * 10 + (tail.ptr[5] - '0');
    return tail.ptr[0] == '-' ? -minutes : minutes;
}

bool template_filter_time(struct str value, int64_t *local_ms)
{
    char day[sizeof "2026-11-24T00:00:00Z"];
    uint64_t seconds;

    if (value.len <= SECONDS_MAX_DIGITS && str_to_u64(value, &seconds)) {
        *local_ms = (int64_t)seconds * 1000;
        return true;
    }
    if (value.len == strlen("2026-11-24")) {
        memcpy(day, value.ptr, value.len);
        memcpy(day + value.len, "T00:00:00Z", sizeof "T00:00:00Z");
        return clock_parse(str_of(day), local_ms);
    }
    if (!clock_parse(value, local_ms))
        return false;
    *local_ms += offset_of(value) * MINUTE_MS;
    return true;
}

/* --- filters --- */

static bool run_date(struct str value, struct str argument,
                     const struct locale *locale, struct buf *out)
{
    int64_t local_ms;
    size_t style = 0;

    if (!template_filter_time(value, &local_ms))
        return false;
    if (argument.len == 0)
        argument = S("medium");
    while (!str_eq(argument, str_of(STYLES[style])))
        style++;
    locale_add_date(out, locale, (enum locale_style)style, local_ms);
    return true;
}

static bool run_time(struct str value, struct str argument,
                     const struct locale *locale, struct buf *out)
{
    int64_t local_ms;

    (void)argument;
    if (!template_filter_time(value, &local_ms))
        return false;
    locale_add_time(out, locale, local_ms);
    return true;
}

static bool run_number(struct str value, struct str argument,
                       const struct locale *locale, struct buf *out)
{
    int places = argument.len == 0 ? -1 : argument.ptr[0] - '0';

    return locale_add_number(out, locale, value, places);
}

static bool run_currency(struct str value, struct str argument,
                         const struct locale *locale, struct buf *out)
{
    return locale_add_money(out, locale, value, argument);
}

static void add_percent(struct buf *out, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";
    const char escape[] = {'%', digits[c >> 4], digits[c & 15]};

    buf_add(out, str_make(escape, sizeof escape));
}

/* RFC 3986 section 2.3: all but unreserved characters. */
static bool run_url(struct str value, struct str argument,
                    const struct locale *locale, struct buf *out)
{
    (void)argument;
    (void)locale;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (ascii_is_alnum(c) || (c != '\0' && strchr("-._~", c) != NULL))
            buf_add_char(out, c);
        else
            add_percent(out, (unsigned char)c);
    }
    return true;
}

/* The piece behind value=; else the last one, when it is bare. */
static bool run_choose(struct str value, struct str argument,
                       const struct locale *locale, struct buf *out)
{
    struct str other = {0};
    struct str piece;

    (void)locale;
    while (str_cut(&argument, ',', &piece)) {
        ptrdiff_t sign = str_index(piece, '=', 0);

        other = sign < 0 ? piece : (struct str){0};
        if (sign >= 0 && str_eq(str_slice(piece, 0, (size_t)sign), value)) {
            buf_add(out, str_from(piece, (size_t)sign + 1));
            return true;
        }
    }
    buf_add(out, other);
    return other.len > 0;
}

/* A mail with a blank where the code should be is worse than none. */
static bool run_filled(struct str value, struct str argument,
                       const struct locale *locale, struct buf *out)
{
    size_t blanks = 0;

    (void)argument;
    (void)locale;
    while (blanks < value.len && (unsigned char)value.ptr[blanks] <= ' ')
        blanks++;
    buf_add(out, value);
    return blanks < value.len;
}

/* --- for html --- */

static int hex_value(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* #rrggbb or #rgb as red, green and blue. */
static bool read_color(struct str value, unsigned rgb[3])
{
    size_t digits = value.len == 7 ? 2 : 1;

    if ((value.len != 7 && value.len != 4) || value.ptr[0] != '#')
        return false;
    for (size_t i = 0; i < 3; i++) {
        int high = hex_value(value.ptr[1 + i * digits]);
        int low = hex_value(value.ptr[i * digits + digits]);

        if (high < 0 || low < 0)
            return false;
        rgb[i] = (unsigned)(high * 16 + low);
    }
    return true;
}

/* Mail programs know six digits better than three. */
static bool run_color(struct str value, struct str argument,
                      const struct locale *locale, struct buf *out)
{
    unsigned rgb[3];

    (void)argument;
    (void)locale;
    if (!read_color(value, rgb))
        return false;
    buf_addf(out, "#%02x%02x%02x", rgb[0], rgb[1], rgb[2]);
    return true;
}

/* x^2.4 of 0 to 1, as x^2 times the fifth root of x^2, by Newton's steps: libm
 * would be a third of a MiB of each process. */
static double power_2_4(double x)
{
    double square = x * x;
    double root = 1;

    for (unsigned i = 0; i < 32; i++)
        root = (4 * root + square / (root * root * root * root)) / 5;
    return square * root;
}

/* White or black, whichever is easier to read on that color: at least 4.5 to
 * 1. WCAG 2.2, relative luminance. */
static bool run_contrast(struct str value, struct str argument,
                         const struct locale *locale, struct buf *out)
{
    static const double weights[3] = {0.2126, 0.7152, 0.0722};
    static const double even = 0.1791; /* as far from white as from black */
    double luminance = 0;
    unsigned rgb[3];

    (void)argument;
    (void)locale;
    if (!read_color(value, rgb))
        return false;
    for (size_t i = 0; i < 3; i++) {
        double part = rgb[i] / 255.0;

        luminance +=
            weights[i] * (part <= 0.04045 ? part / 12.92
                                          : power_2_4((part + 0.055) / 1.055));
    }
    buf_add_cstr(out, luminance > even ? "#000000" : "#ffffff");
    return true;
}

/* What may stand in an address of the web without being escaped, and what of
 * it is not ASCII, which mail programs escape. */
static bool is_link_char(char c)
{
    return (unsigned char)c > 0x20 && c != 0x7f &&
           strchr("\"<>\\^`{|}", c) == NULL;
}

/* Whole addresses: a scheme that runs no code, and somewhere to go. */
static bool run_link(struct str value, struct str argument,
                     const struct locale *locale, struct buf *out)
{
    static const struct str schemes[] = {STR("https://"), STR("http://"),
                                         STR("mailto:")};
    size_t row = 0;

    (void)argument;
    (void)locale;
    while (row < COUNT_OF(schemes) && !str_starts_nocase(value, schemes[row]))
        row++;
    if (row == COUNT_OF(schemes) || value.len == schemes[row].len ||
        strchr("/?#:", value.ptr[schemes[row].len]) != NULL)
        return false;
    for (size_t i = 0; i < value.len; i++)
        if (!is_link_char(value.ptr[i]))
            return false;
    buf_add(out, value);
    return true;
}

/* The address of a link to write to someone. What is not plain is escaped,
 * so that it cannot become a subject or a second recipient (RFC 6068). */
static bool run_mailto(struct str value, struct str argument,
                       const struct locale *locale, struct buf *out)
{
    ptrdiff_t at = str_index(value, '@', 0);

    if (at <= 0 || (size_t)at + 1 == value.len || value.len > ADDRESS_MAX ||
        str_index(value, '@', (size_t)at + 1) >= 0 || str_has_control(value))
        return false;
    for (size_t i = 0; i < value.len; i++)
        if (strchr(" ()<>[]:;,\\\"", value.ptr[i]) != NULL)
            return false;
    buf_add_cstr(out, "mailto:");
    if (!run_url(str_slice(value, 0, (size_t)at), argument, locale, out))
        return false;
    buf_add_char(out, '@');
    return run_url(str_from(value, (size_t)at + 1), argument, locale, out);
}

static const struct filter {
    const char *name;
    bool (*takes)(struct str argument);
    const char *arguments; /* of an error: what it takes */
    bool (*run)(struct str value, struct str argument,
                const struct locale *locale, struct buf *out);
    const char *wanted;
} FILTERS[] = {
    {"date", is_style, "short, medium, long, full or nothing", run_date,
     "a date like 2026-11-24, a time like 2026-11-24T09:30:00Z, or seconds "
     "since 1970"},
    {"time", is_absent, "nothing", run_time,
     "a time like 2026-11-24T09:30:00Z, or seconds since 1970"},
    {"number", is_places, "the digits behind the point (0 to 9) or nothing",
     run_number, "a number like 1234.5"},
    {"currency", is_currency, "three capital letters like \"EUR\"",
     run_currency, "a number like 1234.5"},
    {"url", is_absent, "nothing", run_url, "a text"},
    {"choose", is_choice,
     "pairs and what else to take, like "
     "\"1=minute,minutes\"",
     run_choose, "one of the values that its filter choose lists"},
    {"filled", is_absent, "nothing", run_filled, "a text that is not blank"},
    {"link", is_absent, "nothing", run_link,
     "an address that begins with https://, http:// or mailto:, without "
     "blanks and quotation marks"},
    {"mailto", is_absent, "nothing", run_mailto,
     "an e-mail address like help@example.com"},
    {"color", is_absent, "nothing", run_color, "a color like #1f5fbf"},
    {"contrast", is_absent, "nothing", run_contrast, "a color like #1f5fbf"},
};

static const char *const NAMES[] = {"date",   "time",   "number",  "currency",
                                    "url",    "choose", "filled",  "link",
                                    "mailto", "color",  "contrast"};

static bool refuse_name(struct str name, struct error *err)
{
    const char *near = nearest_name(name, NAMES, COUNT_OF(NAMES));

    error_set(err, ERR_INPUT,
              "there is no filter \"%.*s\"%s%s%s; want date, time, number, "
              "currency, url, choose, filled, link, mailto, color or contrast",
              (int)(name.len < 40 ? name.len : 40),
              name.len == 0 ? "" : name.ptr,
              near == NULL ? "" : " (did you mean ", near == NULL ? "" : near,
              near == NULL ? "" : "?)");
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct str trimmed(struct str text)
{
    while (text.len > 0 && is_blank(text.ptr[0]))
        text = str_from(text, 1);
    while (text.len > 0 && is_blank(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

static struct str unquoted(struct str text)
{
    text = trimmed(text);
    if (text.len >= 2 && text.ptr[0] == text.ptr[text.len - 1] &&
        (text.ptr[0] == '"' || text.ptr[0] == '\''))
        return str_slice(text, 1, text.len - 2);
    return text;
}

bool template_filter_parse(struct str text, uint32_t *row, struct str *argument,
                           struct error *err)
{
    struct str name;
    struct str rest = text;

    if (!str_cut(&rest, ':', &name))
        name = (struct str){0};
    name = trimmed(name);
    *argument = unquoted(rest);
    *row = 0;
    while (*row < COUNT_OF(FILTERS) &&
           !str_eq(name, str_of(FILTERS[*row].name)))
        ++*row;
    if (*row == COUNT_OF(FILTERS))
        return refuse_name(name, err);
    if (!FILTERS[*row].takes(*argument)) {
        error_set(err, ERR_INPUT,
                  "found \"%.*s\" behind the filter %s:; it "
                  "takes %s",
                  (int)(argument->len < 40 ? argument->len : 40),
                  argument->len == 0 ? "" : argument->ptr, FILTERS[*row].name,
                  FILTERS[*row].arguments);
        return false;
    }
    return true;
}

const char *template_filter_run(uint32_t row, struct str value,
                                struct str argument, struct str locale,
                                struct buf *out)
{
    const struct filter *filter = &FILTERS[row];

    return filter->run(value, argument, locale_find(locale), out)
               ? NULL
               : filter->wanted;
}
