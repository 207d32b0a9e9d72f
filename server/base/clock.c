#include "server/base/clock.h"

#include <stdio.h>
#include <time.h>

static struct {
    int64_t now_ms;
    int64_t wall_ms;
    int64_t ahead_ms; /* shared - monotonic */
    bool is_shared;
    bool is_set;
} cached;

static int64_t read_ms(clockid_t id)
{
    struct timespec ts;

    CHECK(clock_gettime(id, &ts) == 0);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void clock_tick(void)
{
    if (cached.is_set)
        return;
    cached.now_ms = read_ms(CLOCK_MONOTONIC);
    cached.wall_ms = read_ms(CLOCK_REALTIME);
    if (cached.wall_ms < 1)
        cached.wall_ms = 1; /* the first that has a form; 0: never read */
}

int64_t clock_now_ms(void)
{
    if (cached.now_ms == 0)
        clock_tick();
    return cached.now_ms;
}

int64_t clock_wall_ms(void)
{
    if (cached.wall_ms == 0)
        clock_tick();
    return cached.wall_ms;
}

int64_t clock_shared_ms(void)
{
    if (cached.is_set || !cached.is_shared)
        return clock_wall_ms();
    return clock_now_ms() + cached.ahead_ms;
}

void clock_share(int64_t shared_ms, int64_t at_now_ms)
{
    cached.ahead_ms = shared_ms - at_now_ms;
    cached.is_shared = true;
}

void clock_set(int64_t now_ms, int64_t wall_ms)
{
    cached.is_set = now_ms >= 0;
    if (cached.is_set) {
        cached.now_ms = now_ms;
        cached.wall_ms = wall_ms;
    } else {
        clock_tick();
    }
}

void clock_format(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    char day[32];

    CHECK(wall_ms >= 0 && wall_ms < 253402300800000); /* year 9999 */
    gmtime_r(&seconds, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, CLOCK_RFC3339_SIZE, "%.19s.%03dZ", day,
             (int)(wall_ms % 1000));
}

void clock_format_http(int64_t wall_ms, char out[CLOCK_HTTP_SIZE])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;

    gmtime_r(&seconds, &tm);
    CHECK(strftime(out, CLOCK_HTTP_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0);
}

/* Takes count digits off the front. */
static bool take_number(struct str *s, size_t count, int *value)
{
    uint64_t number;

    if (s->len < count || !str_to_u64(str_slice(*s, 0, count), &number))
        return false;
    *value = (int)number;
    *s = str_from(*s, count);
    return true;
}

static bool take_char(struct str *s, const char *set)
{
    for (; s->len > 0 && *set != '\0'; set++) {
        if (s->ptr[0] == *set) {
            *s = str_from(*s, 1);
            return true;
        }
    }
    return false;
}

static int take_fraction_ms(struct str *s)
{
    int ms = 0;
    int scale = 100;

    while (s->len > 0 && ascii_is_digit(s->ptr[0])) {
        ms += (s->ptr[0] - '0') * scale;
        scale /= 10;
        *s = str_from(*s, 1);
    }
    return ms;
}

static bool take_offset(struct str *s, int *minutes)
{
    int hour;
    int minute;
    int sign;

    *minutes = 0;
    if (take_char(s, "Zz"))
        return s->len == 0;
    if (s->len == 0 || (s->ptr[0] != '+' && s->ptr[0] != '-'))
        return false;
    sign = s->ptr[0] == '-' ? -1 : 1;
    *s = str_from(*s, 1);
    if (!take_number(s, 2, &hour) || !take_char(s, ":") ||
        !take_number(s, 2, &minute) || s->len != 0 || hour > 23 || minute > 59)
        return false;
    *minutes = sign * (hour * 60 + minute);
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : days[month - 1];
}

bool clock_parse(struct str s, int64_t *wall_ms)
{
    int year, month, day, hour, minute, second, offset;
    int fraction_ms = 0;
    struct tm tm = {0};

    if (!take_number(&s, 4, &year) || !take_char(&s, "-") ||
        !take_number(&s, 2, &month) || !take_char(&s, "-") ||
        !take_number(&s, 2, &day) || !take_char(&s, "Tt ") ||
        !take_number(&s, 2, &hour) || !take_char(&s, ":") ||
        !take_number(&s, 2, &minute) || !take_char(&s, ":") ||
        !take_number(&s, 2, &second))
        return false;
    if (take_char(&s, ".")) {
        if (s.len == 0 || !ascii_is_digit(s.ptr[0]))
            return false;
        fraction_ms = take_fraction_ms(&s);
    }
    if (!take_offset(&s, &offset))
        return false;
    if (year < 1970 || month < 1 || month > 12 || day < 1 ||
        day > days_in_month(year, month) || hour > 23 || minute > 59 ||
        second > 59)
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;
    tm.tm_hour = hour;
    tm.tm_min = minute;
    tm.tm_sec = second;
    *wall_ms = ((int64_t)timegm(&tm) - offset * 60) * 1000 + fraction_ms;
    return *wall_ms >= 0;
}
