#include "api/mask.h"

enum { RUN_MIN = 4 };

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

void mask_subject(struct str subject, struct buf *out)
{
    while (subject.len > 0) {
        struct run run = run_at(subject);

        if (run.bytes == 0) {
            buf_add_char(out, subject.ptr[0]);
            subject = str_from(subject, 1);
            continue;
        }
        if (run.has_digit && run.characters >= RUN_MIN)
            buf_add_cstr(out, "\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2"
                              "\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2");
        else
            buf_add(out, str_slice(subject, 0, run.bytes));
        subject = str_from(subject, run.bytes);
    }
}
