#include "smtp/reply.h"

#include "server/base/codec.h"

#include <string.h>

void reply_parser_init(struct reply_parser *parser)
{
    *parser = (struct reply_parser){.ended = true};
    buf_init(&parser->line, REPLY_LINE_MAX);
    buf_init(&parser->lines, REPLY_SIZE_MAX);
}

void reply_parser_finish(struct reply_parser *parser)
{
    buf_finish(&parser->line);
    buf_finish(&parser->lines);
}

static void begin(struct reply_parser *parser)
{
    buf_clear(&parser->line);
    buf_clear(&parser->lines);
    parser->code = 0;
    parser->count = 0;
    parser->size = 0;
    parser->ended = false;
}

/* The digits of one part of an enhanced code, at most three. */
static size_t digits(struct str s, size_t from)
{
    size_t count = 0;

    while (count < 4 && from + count < s.len &&
           ascii_is_digit(s.ptr[from + count]))
        count++;
    return count;
}

/* Of the code that text begins with, whatever is behind it. */
static size_t code_len(struct str line)
{
    size_t subject;
    size_t detail;

    if (line.len < 5 || strchr("245", line.ptr[0]) == NULL ||
        line.ptr[0] == '\0' || line.ptr[1] != '.')
        return 0;
    subject = digits(line, 2);
    if (subject < 1 || subject > 3 || 2 + subject >= line.len ||
        line.ptr[2 + subject] != '.')
        return 0;
    detail = digits(line, 3 + subject);
    if (detail < 1 || detail > 3)
        return 0;
    return 3 + subject + detail;
}

size_t reply_enhanced_len(struct str line)
{
    size_t len = code_len(line);

    return len == line.len || line.ptr[len] == ' ' ? len : 0;
}

/* As qmail and IronPort write it: "no such mailbox. (#5.1.1)", "#5.1.0
 * Address rejected". */
static struct str marked_code(struct str text)
{
    ptrdiff_t mark = str_index(text, '#', 0);
    size_t len;

    for (; mark >= 0; mark = str_index(text, '#', (size_t)mark + 1)) {
        struct str code = str_from(text, (size_t)mark + 1);

        len = code_len(code);
        if (len > 0 &&
            (len == code.len || strchr(") \n", code.ptr[len]) != NULL))
            return str_slice(code, 0, len);
    }
    return S("");
}

static void find_enhanced(struct smtp_reply *reply)
{
    struct str rest = reply->lines;
    struct str code = S("");
    struct str line;

    while (code.len == 0 && str_cut(&rest, '\n', &line))
        code = str_slice(line, 0, reply_enhanced_len(line));
    if (code.len == 0)
        code = marked_code(reply->lines);
    CHECK(code.len < sizeof reply->enhanced);
    if (code.len > 0)
        memcpy(reply->enhanced, code.ptr, code.len);
    reply->enhanced[code.len] = '\0';
}

/* 200 to 599; 0: the line does not begin with a code. */
static unsigned code_of(struct str line)
{
    unsigned code;

    if (line.len < 3 || !ascii_is_digit(line.ptr[0]) ||
        !ascii_is_digit(line.ptr[1]) || !ascii_is_digit(line.ptr[2]))
        return 0;
    if (line.len > 3 && line.ptr[3] != ' ' && line.ptr[3] != '-')
        return 0;
    code = (unsigned)(line.ptr[0] - '0') * 100 +
           (unsigned)(line.ptr[1] - '0') * 10 + (unsigned)(line.ptr[2] - '0');
    return code >= 200 && code <= 599 ? code : 0;
}

/* One line without its end. All lines of a reply have the same code. */
static enum reply_status take_line(struct reply_parser *parser, struct str line)
{
    unsigned code;

    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    code = code_of(line);
    if (code == 0 || (parser->count > 0 && code != parser->code) ||
        parser->count == REPLY_LINES_MAX)
        return REPLY_BAD;
    parser->code = code;
    if (parser->count++ > 0)
        buf_add_char(&parser->lines, '\n');
    buf_add(&parser->lines, str_from(line, 4));
    return line.len > 3 && line.ptr[3] == '-' ? REPLY_MORE : REPLY_WHOLE;
}

/* The next line of input, together with what came of it before. False: its
 * end has not come yet. */
static bool next_line(struct reply_parser *parser, struct str *input,
                      struct str *line)
{
    ptrdiff_t end = str_index(*input, '\n', 0);
    size_t taken = end < 0 ? input->len : (size_t)end;

    if (end >= 0 && parser->line.len == 0) {
        *line = str_slice(*input, 0, taken);
    } else {
        buf_add(&parser->line, str_slice(*input, 0, taken));
        *line = buf_str(&parser->line);
    }
    parser->size += taken + (end >= 0);
    *input = str_from(*input, taken + (end >= 0));
    return end >= 0;
}

enum reply_status reply_parse(struct reply_parser *parser, struct str *input,
                              struct smtp_reply *reply)
{
    enum reply_status status = REPLY_MORE;
    struct str line;

    if (parser->ended && input->len > 0)
        begin(parser);
    while (status == REPLY_MORE && input->len > 0) {
        bool is_whole = next_line(parser, input, &line);

        if (parser->line.full || line.len > REPLY_LINE_MAX ||
            parser->size > REPLY_SIZE_MAX)
            return REPLY_BAD;
        if (!is_whole)
            return REPLY_MORE;
        status = take_line(parser, line);
        buf_clear(&parser->line);
    }
    if (status == REPLY_WHOLE) {
        parser->ended = true;
        reply->code = parser->code;
        reply->lines = buf_str(&parser->lines);
        find_enhanced(reply);
    }
    return status;
}

void reply_text_add(const struct smtp_reply *reply, struct buf *out)
{
    struct str rest = reply->lines;
    size_t room = REPLY_TEXT_MAX;
    struct str line;
    size_t before;

    while (room > 1 && str_cut(&rest, '\n', &line)) {
        line = str_trim(str_from(line, reply_enhanced_len(line)));
        if (line.len == 0)
            continue;
        before = out->len;
        if (room < REPLY_TEXT_MAX) {
            buf_add_char(out, ' ');
            room--;
        }
        utf8_clean_add(out, line, room);
        room -= out->len - before > room ? room : out->len - before;
    }
}
