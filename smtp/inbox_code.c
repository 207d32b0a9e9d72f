#include "smtp/inbox_code.h"

#include "server/base/check.h"

#include <stdbool.h>
#include <string.h>

enum { CODE_MIN = 4, CODE_MAX = 10, DIGITS_MAX = 8 };
/* How far from its word a code may stand, in bytes. */
enum { REACH = 80 };

static const struct str CODE_WORDS[] = {
    STR("code"), STR("passcode"),     STR("otp"),
    STR("pin"),  STR("\xe7\xa0\x81"), /* U+7801, the last character of all the
                                         words for it in Chinese */
};

static const struct str LINK_WORDS[] = {
    STR("verify"), STR("confirm"),  STR("reset"), STR("token"),
    STR("code"),   STR("activate"), STR("login"), STR("magic"),
};

/* --- runs --- */

/* A run of letters and digits that is as long as it can be. */
struct run {
    size_t start;
    size_t len;
    size_t digits;
};

static char at(struct str s, size_t i)
{
    return i < s.len ? s.ptr[i] : ' ';
}

static bool next_run(struct str s, size_t from, struct run *run)
{
    while (from < s.len && !ascii_is_alnum(s.ptr[from]))
        from++;
    *run = (struct run){.start = from};
    while (ascii_is_alnum(at(s, run->start + run->len))) {
        if (ascii_is_digit(s.ptr[run->start + run->len]))
            run->digits++;
        run->len++;
    }
    return run->len > 0;
}

/* Dates, times, amounts, addresses and links hold runs that are no codes. */
static bool stands_alone(struct str s, const struct run *run)
{
    char before = run->start == 0 ? ' ' : s.ptr[run->start - 1];
    char before_that = run->start < 2 ? ' ' : s.ptr[run->start - 2];
    char after = at(s, run->start + run->len);
    char after_that = at(s, run->start + run->len + 1);

    if (strchr("/=&?@%_$#+", before) != NULL || strchr("/=&@%_", after) != NULL)
        return false;
    if (strchr("-:.,", before) != NULL && ascii_is_digit(before_that))
        return false;
    return strchr("-:.,", after) == NULL || !ascii_is_alnum(after_that);
}

static bool is_year(struct str s, const struct run *run)
{
    struct str text = str_slice(s, run->start, run->len);

    return run->len == 4 &&
           (str_starts(text, S("19")) || str_starts(text, S("20")));
}

/* --- beside a word --- */

static bool may_be_code(struct str s, const struct run *run)
{
    return run->len >= CODE_MIN && run->len <= CODE_MAX && run->digits > 0 &&
           stands_alone(s, run);
}

/* "PIN-free" and "decode" speak of no code. */
static bool stands_as_word(struct str s, size_t i, size_t len)
{
    char after = at(s, i + len);

    return (i == 0 || !ascii_is_alnum(s.ptr[i - 1])) &&
           !ascii_is_alnum(after) && after != '-';
}

/* Length of a code word that stands at i; 0: none. */
static size_t code_word_at(struct str s, size_t i)
{
    for (size_t w = 0; w < COUNT_OF(CODE_WORDS); w++) {
        struct str word = CODE_WORDS[w];

        if (str_starts_nocase(str_from(s, i), word) &&
            (!ascii_is_alpha(word.ptr[0]) || stands_as_word(s, i, word.len)))
            return word.len;
    }
    return 0;
}

/* The code nearest to the word at from..until, within reach. */
static struct str code_near(struct str s, size_t from, size_t until)
{
    size_t i = from < REACH ? 0 : from - REACH;
    size_t best = REACH + 1;
    struct str code = S("");
    struct run run;

    while (i > 0 && ascii_is_alnum(s.ptr[i - 1]))
        i--; /* not into the middle of a run */
    for (; next_run(s, i, &run) && run.start <= until + REACH;
         i = run.start + run.len) {
        size_t away =
            run.start >= until ? run.start - until : from - run.start - run.len;

        if (run.start < until && run.start + run.len > from)
            continue; /* the word itself */
        if (away >= best || !may_be_code(s, &run))
            continue;
        best = away;
        code = str_slice(s, run.start, run.len);
    }
    return code;
}

static struct str code_by_word(struct str s)
{
    struct str code;

    for (size_t i = 0; i < s.len; i++) {
        size_t len = code_word_at(s, i);

        if (len == 0)
            continue;
        code = code_near(s, i, i + len);
        if (code.len > 0)
            return code;
    }
    return S("");
}

static struct str first_digits(struct str s)
{
    struct run run;

    for (size_t i = 0; next_run(s, i, &run); i = run.start + run.len)
        if (run.digits == run.len && run.len >= CODE_MIN &&
            run.len <= DIGITS_MAX && stands_alone(s, &run) && !is_year(s, &run))
            return str_slice(s, run.start, run.len);
    return S("");
}

struct str inbox_code_find(struct str subject, struct str text)
{
    struct str code = code_by_word(subject);

    if (code.len == 0)
        code = code_by_word(text);
    if (code.len == 0)
        code = first_digits(subject);
    if (code.len == 0)
        code = first_digits(text);
    return code;
}

/* --- links --- */

static bool is_url_char(char c)
{
    return c > ' ' && c < 0x7f && strchr("<>\"'`\\^{}|", c) == NULL;
}

/* The link that begins at the front of s; empty: none. */
static struct str link_at(struct str s)
{
    size_t scheme = str_starts_nocase(s, S("https://"))  ? 8
                    : str_starts_nocase(s, S("http://")) ? 7
                                                         : 0;
    size_t len = scheme;

    if (scheme == 0)
        return S("");
    while (len < s.len && is_url_char(s.ptr[len]))
        len++;
    while (len > scheme && strchr(".,;:!?)]", s.ptr[len - 1]) != NULL)
        len--; /* of the sentence around it */
    return len > scheme ? str_slice(s, 0, len) : S("");
}

static bool looks_wanted(struct str link)
{
    for (size_t i = 0; i < COUNT_OF(LINK_WORDS); i++)
        if (str_contains_nocase(link, LINK_WORDS[i]))
            return true;
    return false;
}

struct str inbox_link_find(struct str text)
{
    struct str first = S("");
    struct str link;

    for (size_t i = 0; i < text.len; i++) {
        link = link_at(str_from(text, i));
        if (link.len == 0)
            continue;
        if (looks_wanted(link))
            return link;
        if (first.len == 0)
            first = link;
        i += link.len - 1;
    }
    return first;
}
