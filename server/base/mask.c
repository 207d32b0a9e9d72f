#include "server/base/mask.h"

enum { RUN_MIN = 4, TOKEN_MIN = 20 };

/* Length of the digit at the front of text, 0 when there is none. The
 * full-width ones (U+FF10..FF19) are digits, too. */
static size_t digit_len(struct str text)
{
    if (text.len >= 1 && ascii_is_digit(text.ptr[0]))
        return 1;
    if (text.len >= 3 && (unsigned char)text.ptr[0] == 0xef &&
        (unsigned char)text.ptr[1] == 0xbc &&
        (unsigned char)text.ptr[2] >= 0x90 &&
        (unsigned char)text.ptr[2] <= 0x99)
        return 3;
    return 0;
}

struct run {
    size_t bytes;
    size_t characters;
    bool has_digit;
};

static struct run run_at(struct str text)
{
    struct run run = {0, 0, false};
    bool after_digit = false;

    while (run.bytes < text.len) {
        struct str rest = str_from(text, run.bytes);
        size_t digit = digit_len(rest);
        char c = rest.ptr[0];

        if (digit > 0) {
            run.bytes += digit;
            run.characters++;
            run.has_digit = true;
        } else if (c == ' ' && after_digit &&
                   digit_len(str_from(rest, 1)) > 0) {
            run.bytes++;
        } else if (ascii_is_alpha(c) || c == '-' || c == '_' || c == '.') {
            run.bytes++;
            run.characters++;
        } else {
            break;
        }
        after_digit = digit > 0;
    }
    return run;
}

/* The next run that is hidden, or the text before it: cut off the front. */
static bool next_part(struct str *subject, struct str *part)
{
    size_t plain = 0;

    while (plain < subject->len) {
        struct run run = run_at(str_from(*subject, plain));

        if (run.has_digit && run.characters >= RUN_MIN) {
            size_t len = plain > 0 ? plain : run.bytes;

            *part = str_slice(*subject, 0, len);
            *subject = str_from(*subject, len);
            return plain == 0;
        }
        plain += run.bytes > 0 ? run.bytes : 1;
    }
    *part = *subject;
    *subject = S("");
    return false;
}

void mask_add_dots(struct buf *out)
{
    buf_add_cstr(out, "\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2"
                      "\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2");
}

void mask_subject(struct str subject, struct buf *out)
{
    struct str part;

    while (subject.len > 0) {
        if (next_part(&subject, &part))
            mask_add_dots(out);
        else
            buf_add(out, part);
    }
}

/* How much of the front of text is that code; 0: it is not. */
static size_t quote_len(struct str text, struct str code)
{
    size_t at = 0;

    for (size_t i = 0; i < code.len; i++) {
        bool is_same = at < text.len && text.ptr[at] == code.ptr[i];

        if (!is_same && code.ptr[i] != ' ')
            return 0;
        at += is_same;
    }
    return at;
}

/* Of the longest code of the subject that text begins with. */
static size_t code_len(struct str text, struct str subject)
{
    size_t longest = 0;
    struct str part;

    while (subject.len > 0) {
        size_t len = next_part(&subject, &part) ? quote_len(text, part) : 0;

        longest = len > longest ? len : longest;
    }
    return longest;
}

void mask_quotes(struct str text, struct str subject, struct buf *out)
{
    while (text.len > 0) {
        size_t len = code_len(text, subject);

        if (len > 0)
            mask_add_dots(out);
        else
            buf_add_char(out, text.ptr[0]);
        text = str_from(text, len > 0 ? len : 1);
    }
}

static bool is_of_token(char c)
{
    return ascii_is_alnum(c) || str_index(S("-._~+/="), c, 0) >= 0;
}

void mask_tokens(struct str text, struct buf *out)
{
    while (text.len > 0) {
        bool has_digit = false;
        size_t len = 0;

        while (len < text.len && is_of_token(text.ptr[len]))
            has_digit |= ascii_is_digit(text.ptr[len++]);
        if (len >= TOKEN_MIN && has_digit)
            mask_add_dots(out);
        else
            buf_add(out, str_slice(text, 0, len > 0 ? len : 1));
        text = str_from(text, len > 0 ? len : 1);
    }
}
