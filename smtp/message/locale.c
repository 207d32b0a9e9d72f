#include "smtp/message/locale.h"

#include <string.h>
#include <time.h>

enum {
    TAG_MAX = 35, /* of a tag that is looked for; what is longer is cut */
    DIGITS_MAX = 40,
    GROUP = 3,
};

struct locale {
    struct str tag;
    struct str point;
    struct str group;
    size_t group_from; /* digits; fewer are not grouped */
    struct str money;  /* # the number, ¤ the symbol */
    struct str symbols;
    struct str dates[LOCALE_STYLES];
    struct str time;
    struct str halves;
    struct str months;
    struct str short_months;
    struct str weekdays;
};

static const struct locale LOCALES[] = {
#define LOCALE(tag, point, group, from, money, symbols, short_date,            \
               medium_date, long_date, full_date, time, halves, months,        \
               short_months, weekdays)                                         \
    {STR(tag),                                                                 \
     STR(point),                                                               \
     STR(group),                                                               \
     from,                                                                     \
     STR(money),                                                               \
     STR(symbols),                                                             \
     {STR(short_date), STR(medium_date), STR(long_date), STR(full_date)},      \
     STR(time),                                                                \
     STR(halves),                                                              \
     STR(months),                                                              \
     STR(short_months),                                                        \
     STR(weekdays)},
#include "smtp/message/locale.def"
#undef LOCALE
};

static char folded(char c)
{
    return c == '_' ? '-' : ascii_lower(c);
}

bool locale_tag_is(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (folded(a.ptr[i]) != folded(b.ptr[i]))
            return false;
    return true;
}

struct str locale_tag_shorten(struct str tag)
{
    while (tag.len > 0 && folded(tag.ptr[tag.len - 1]) != '-')
        tag.len--;
    return str_slice(tag, 0, tag.len == 0 ? 0 : tag.len - 1);
}

const struct locale *locale_find(struct str tag)
{
    tag.len = tag.len < TAG_MAX ? tag.len : TAG_MAX;
    for (; tag.len > 0; tag = locale_tag_shorten(tag))
        for (size_t i = 0; i < COUNT_OF(LOCALES); i++)
            if (locale_tag_is(LOCALES[i].tag, tag))
                return &LOCALES[i];
    return &LOCALES[0];
}

/* --- dates --- */

/* The piece of "a|b|c" with that index; empty when there are fewer. */
static struct str piece_of(struct str list, unsigned index)
{
    struct str piece = {0};

    while (str_cut(&list, '|', &piece))
        if (index-- == 0)
            return piece;
    return (struct str){0};
}

static void add_month(struct buf *out, const struct locale *locale,
                      unsigned month, size_t letters)
{
    struct str list = letters == 3 ? locale->short_months : locale->months;

    if (letters < 3)
        buf_addf(out, letters == 2 ? "%02u" : "%u", month + 1);
    else
        buf_add(out, piece_of(list, month));
}

static void add_field(struct buf *out, const struct locale *locale, char field,
                      size_t letters, const struct tm *tm)
{
    int width = letters == 2 ? 2 : 1;

    switch (field) {
    case 'y':
        buf_addf(out, "%0*d", width,
                 letters == 2 ? tm->tm_year % 100 : tm->tm_year + 1900);
        break;
    case 'M':
        add_month(out, locale, (unsigned)tm->tm_mon, letters);
        break;
    case 'd':
        buf_addf(out, "%0*d", width, tm->tm_mday);
        break;
    case 'E':
        buf_add(out, piece_of(locale->weekdays, (unsigned)tm->tm_wday));
        break;
    case 'h':
        buf_addf(out, "%0*d", width,
                 tm->tm_hour % 12 == 0 ? 12 : tm->tm_hour % 12);
        break;
    case 'H':
        buf_addf(out, "%0*d", width, tm->tm_hour);
        break;
    case 'm':
        buf_addf(out, "%0*d", width, tm->tm_min);
        break;
    default: /* a */
        buf_add(out, piece_of(locale->halves, tm->tm_hour >= 12));
        break;
    }
}

static void add_pattern(struct buf *out, const struct locale *locale,
                        struct str pattern, int64_t local_ms)
{
    int64_t seconds = local_ms / 1000 - (local_ms % 1000 < 0);
    time_t when = (time_t)seconds;
    struct tm tm;

    CHECK(gmtime_r(&when, &tm) != NULL);
    for (size_t at = 0; at < pattern.len;) {
        char c = pattern.ptr[at];
        size_t run = 1;

        if (c == '\'') {
            ptrdiff_t end = str_index(pattern, '\'', at + 1);

            CHECK(end > 0);
            buf_add(out, str_slice(pattern, at + 1, (size_t)end - at - 1));
            at = (size_t)end + 1;
            continue;
        }
        while (at + run < pattern.len && pattern.ptr[at + run] == c)
            run++;
        if (ascii_is_alpha(c))
            add_field(out, locale, c, run, &tm);
        else
            buf_add(out, str_slice(pattern, at, run));
        at += run;
    }
}

void locale_add_date(struct buf *out, const struct locale *locale,
                     enum locale_style style, int64_t local_ms)
{
    add_pattern(out, locale, locale->dates[style], local_ms);
}

void locale_add_time(struct buf *out, const struct locale *locale,
                     int64_t local_ms)
{
    add_pattern(out, locale, locale->time, local_ms);
}

/* --- numbers --- */

struct decimal {
    bool is_negative;
    char digits[DIGITS_MAX + 1]; /* the first is a zero that may carry */
    size_t whole;                /* of them before the point */
    size_t count;
};

static bool take_digits(struct str *rest, struct decimal *decimal)
{
    size_t from = decimal->count;

    while (rest->len > 0 && ascii_is_digit(rest->ptr[0])) {
        if (decimal->count == sizeof decimal->digits)
            return false;
        decimal->digits[decimal->count++] = rest->ptr[0];
        *rest = str_from(*rest, 1);
    }
    return decimal->count > from;
}

static bool decimal_parse(struct str text, struct decimal *decimal)
{
    *decimal = (struct decimal){.digits = "0", .count = 1};
    decimal->is_negative = str_starts(text, S("-"));
    if (decimal->is_negative)
        text = str_from(text, 1);
    while (text.len > 1 && text.ptr[0] == '0' && ascii_is_digit(text.ptr[1]))
        text = str_from(text, 1);
    if (!take_digits(&text, decimal))
        return false;
    decimal->whole = decimal->count;
    if (text.len == 0)
        return true;
    if (text.ptr[0] != '.')
        return false;
    text = str_from(text, 1);
    return take_digits(&text, decimal) && text.len == 0;
}

static void round_up(struct decimal *decimal)
{
    size_t at = decimal->count;

    while (decimal->digits[--at] == '9')
        decimal->digits[at] = '0';
    decimal->digits[at]++;
}

/* False: it would grow too long. */
static bool set_places(struct decimal *decimal, size_t places)
{
    size_t wanted = decimal->whole + places;

    if (wanted > sizeof decimal->digits)
        return false;
    while (decimal->count < wanted)
        decimal->digits[decimal->count++] = '0';
    if (decimal->count > wanted) {
        bool goes_up = decimal->digits[wanted] >= '5';

        decimal->count = wanted;
        if (goes_up)
            round_up(decimal);
    }
    return true;
}

/* -0.00 has lost what made it negative. */
static bool is_zero(const struct decimal *decimal)
{
    return strspn(decimal->digits, "0") >= decimal->count;
}

static void add_whole(struct buf *out, const struct locale *locale,
                      const char *digits, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && (count - i) % GROUP == 0 && count >= locale->group_from)
            buf_add(out, locale->group);
        buf_add_char(out, digits[i]);
    }
}

/* Without the sign. */
static void add_decimal(struct buf *out, const struct locale *locale,
                        const struct decimal *decimal)
{
    size_t from = decimal->digits[0] == '0' ? 1 : 0;

    add_whole(out, locale, decimal->digits + from, decimal->whole - from);
    if (decimal->count > decimal->whole) {
        buf_add(out, locale->point);
        buf_add(out, str_make(decimal->digits + decimal->whole,
                              decimal->count - decimal->whole));
    }
}

bool locale_add_number(struct buf *out, const struct locale *locale,
                       struct str number, int places)
{
    struct decimal decimal;

    if (!decimal_parse(number, &decimal) ||
        (places >= 0 && !set_places(&decimal, (size_t)places)))
        return false;
    if (decimal.is_negative && !is_zero(&decimal))
        buf_add_char(out, '-');
    add_decimal(out, locale, &decimal);
    return true;
}

/* --- money --- */

static const struct str NAMED = STR("USD|EUR|GBP|JPY|CNY");

/* ISO 4217: those whose minor unit is not a hundredth. */
static const char NO_PLACES[] =
    "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF";
static const char THREE_PLACES[] = "BHD IQD JOD KWD LYD OMR TND";

static size_t places_of(struct str currency)
{
    if (str_contains(str_of(NO_PLACES), currency))
        return 0;
    return str_contains(str_of(THREE_PLACES), currency) ? 3 : 2;
}

static struct str symbol_of(const struct locale *locale, struct str currency)
{
    struct str list = NAMED;
    struct str name;

    for (unsigned i = 0; str_cut(&list, '|', &name); i++)
        if (str_eq(name, currency))
            return piece_of(locale->symbols, i);
    return currency;
}

static bool ends_in_letter(struct str text)
{
    return text.len > 0 && ascii_is_alpha(text.ptr[text.len - 1]);
}

bool locale_add_money(struct buf *out, const struct locale *locale,
                      struct str number, struct str currency)
{
    static const struct str sign = STR("¤");
    struct str pattern = locale->money;
    struct str symbol = symbol_of(locale, currency);
    struct decimal decimal;

    if (!decimal_parse(number, &decimal) ||
        !set_places(&decimal, places_of(currency)))
        return false;
    if (decimal.is_negative && !is_zero(&decimal))
        buf_add_char(out, '-');
    while (pattern.len > 0) {
        if (pattern.ptr[0] == '#') {
            add_decimal(out, locale, &decimal);
            pattern = str_from(pattern, 1);
        } else if (str_starts(pattern, sign)) {
            buf_add(out, symbol);
            pattern = str_from(pattern, sign.len);
            /* Letters and digits need a blank between them. */
            if (str_starts(pattern, S("#")) && ends_in_letter(symbol))
                buf_add_cstr(out, "\u00a0");
        } else {
            buf_add_char(out, pattern.ptr[0]);
            pattern = str_from(pattern, 1);
        }
    }
    return true;
}
