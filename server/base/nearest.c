#include "server/base/nearest.h"

enum { NAME_MAX_BYTES = 64 };

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;

    return least < c ? least : c;
}

/* Optimal string alignment distance, in three rows. */
static size_t distance(struct str a, struct str b)
{
    size_t rows[3][NAME_MAX_BYTES + 1];
    size_t *two_ago = rows[0];
    size_t *ago = rows[1];
    size_t *row = rows[2];

    for (size_t j = 0; j <= b.len; j++)
        ago[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *oldest = two_ago;

        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            char x = ascii_lower(a.ptr[i - 1]);
            char y = ascii_lower(b.ptr[j - 1]);

            row[j] = min3(ago[j] + 1, row[j - 1] + 1, ago[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == ascii_lower(b.ptr[j - 2]) &&
                ascii_lower(a.ptr[i - 2]) == y && two_ago[j - 2] + 1 < row[j])
                row[j] = two_ago[j - 2] + 1;
        }
        two_ago = ago;
        ago = row;
        row = oldest;
    }
    return ago[b.len];
}

/* "password" of "password_file", "key" of "key-file". */
static bool lacks_words(struct str wrong, struct str name)
{
    return name.len > wrong.len && str_starts(name, wrong) &&
           (name.ptr[wrong.len] == '_' || name.ptr[wrong.len] == '-');
}

const char *nearest_name(struct str wrong, const char *const *names,
                         size_t count)
{
    const char *nearest = NULL;
    size_t least = NAME_MAX_BYTES;

    if (wrong.len == 0 || wrong.len > NAME_MAX_BYTES)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        struct str name = str_of(names[i]);
        size_t allowed = name.len < 6 ? 1 : name.len / 3;
        size_t errors;

        if (name.len == 0 || name.len > NAME_MAX_BYTES)
            continue;
        errors = lacks_words(wrong, name) ? 1 : distance(wrong, name);
        if (errors <= allowed && errors < least) {
            least = errors;
            nearest = names[i];
        }
    }
    return nearest;
}
