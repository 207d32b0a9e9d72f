#include "smtp/inbox_path.h"

#include <string.h>

enum { LOCAL_PART_MAX = 64, DOMAIN_MAX = 255 }; /* RFC 5321 4.5.3.1 */

/* RFC 5322 section 3.2.3, without the dot. */
static bool is_atext(char c)
{
    return ascii_is_alnum(c) || (unsigned char)c >= 0x80 ||
           (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Length of the quoted string at the front of s; 0: not a whole one. */
static size_t quoted_len(struct str s)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.ptr[i] == '"')
            return i + 1;
        if (s.ptr[i] == '\\')
            i++;
    }
    return 0;
}

static bool is_dot_string(struct str s)
{
    struct str atom;

    while (str_cut(&s, '.', &atom)) {
        if (atom.len == 0)
            return false;
        for (size_t i = 0; i < atom.len; i++)
            if (!is_atext(atom.ptr[i]))
                return false;
    }
    return true;
}

static bool is_domain(struct str s)
{
    if (s.len > 2 && s.ptr[0] == '[' && s.ptr[s.len - 1] == ']')
        s = str_slice(s, 1, s.len - 2);
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_is_alnum(s.ptr[i]) && (unsigned char)s.ptr[i] < 0x80 &&
            strchr(".-:_", s.ptr[i]) == NULL)
            return false;
    return s.len > 0 && s.len <= DOMAIN_MAX;
}

bool inbox_is_mailbox(struct str address)
{
    bool quoted = address.len > 0 && address.ptr[0] == '"';
    size_t local_len = quoted ? quoted_len(address) : 0;
    struct str local;

    if (!quoted) {
        ptrdiff_t at = str_index(address, '@', 0);

        local_len = at < 0 ? 0 : (size_t)at;
    }
    local = str_slice(address, 0, local_len);
    return local_len > 0 && local_len <= LOCAL_PART_MAX &&
           local_len < address.len && address.ptr[local_len] == '@' &&
           !str_has_control(address) && (quoted || is_dot_string(local)) &&
           is_domain(str_from(address, local_len + 1));
}

bool inbox_take_path(struct str *args, struct str *address)
{
    struct str s = str_trim(*args);
    ptrdiff_t colon;
    size_t i = 1;

    if (s.len == 0 || s.ptr[0] != '<')
        return false;
    while (i < s.len && s.ptr[i] != '>') {
        size_t skip = s.ptr[i] == '"' ? quoted_len(str_from(s, i)) : 1;

        if (skip == 0)
            return false;
        i += skip;
    }
    if (i >= s.len)
        return false;
    *address = str_slice(s, 1, i - 1);
    *args = str_from(s, i + 1);
    if (str_starts(*address, S("@"))) {
        colon = str_index(*address, ':', 0);
        *address = str_from(*address, colon < 0 ? 0 : (size_t)colon + 1);
    }
    return args->len == 0 || args->ptr[0] == ' ';
}
