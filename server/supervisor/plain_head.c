#include "server/supervisor/plain_head.h"

/* Takes a line off the front, without its end. */
static bool take_line(struct str *rest, struct str *line)
{
    ptrdiff_t end = str_index(*rest, '\n', 0);

    if (end < 0)
        return false;
    *line = str_slice(*rest, 0, (size_t)end);
    *rest = str_from(*rest, (size_t)end + 1);
    if (str_ends(*line, S("\r")))
        *line = str_slice(*line, 0, line->len - 1);
    return true;
}

/* Of "/livez?x" as of "http://host/livez" (RFC 9112 section 3.2). */
static struct str path_of(struct str target)
{
    struct str path = {NULL, 0};
    ptrdiff_t slash;

    if (str_starts_nocase(target, S("http://"))) {
        slash = str_index(target, '/', S("http://").len);
        target = slash < 0 ? S("/") : str_from(target, (size_t)slash);
    }
    str_cut(&target, '?', &path);
    return path;
}

static unsigned first_line_read(struct str line, struct plain_head *head)
{
    struct str target = {NULL, 0};
    struct str version = {NULL, 0};

    if (str_has_control(line) || !str_cut(&line, ' ', &head->method) ||
        !str_cut(&line, ' ', &target) || !str_cut(&line, ' ', &version) ||
        line.len > 0)
        return 400;
    head->path = path_of(target);
    if (head->method.len == 0 || !str_starts(head->path, S("/")) ||
        !str_starts(version, S("HTTP/")))
        return 400;
    return str_starts(version, S("HTTP/1.")) ? 200 : 505;
}

static void field_read(struct str line, struct plain_head *head)
{
    struct str name = {NULL, 0};

    if (head->accept.len == 0 && str_cut(&line, ':', &name) &&
        str_eq_nocase(name, S("Accept")))
        head->accept = str_trim(line);
}

unsigned plain_head_read(struct str bytes, struct plain_head *head)
{
    struct str rest = bytes;
    struct str first = {NULL, 0};
    struct str line = {NULL, 0};

    /* Empty lines may stand before it (RFC 9112 section 2.2). */
    while (first.len == 0)
        if (!take_line(&rest, &first))
            return bytes.len < PLAIN_HEAD_MAX ? 0 : 431;
    head->accept = S("");
    do {
        if (!take_line(&rest, &line))
            return bytes.len < PLAIN_HEAD_MAX ? 0 : 431;
        field_read(line, head);
    } while (line.len > 0);
    return first_line_read(first, head);
}
