#include "smtp/message/template_program.h"

#include "server/base/codec.h"
#include "server/base/mem.h"
#include "smtp/message/template_filter.h"

#include <stdlib.h>
#include <string.h>

enum {
    DELIMITER_MAX = 16,
    ARGS_MAX = 64, /* blocks of one parent tag */
    FILTERS_MAX = 4,
    FOUND_MAX = 40, /* of a name that an error quotes */
    GROW_MIN = 32,
    RECENT_PATHS = 256,
};

struct delimiters {
    struct str open;
    struct str close;
};

/* A tag as it stands in the source, which is offsets all through. */
struct tag {
    char sigil; /* 0: a name */
    struct str name;
    size_t at;       /* of the opening delimiter */
    size_t end;      /* behind the closing one */
    size_t line_at;  /* where the blanks before it begin */
    size_t line_end; /* behind the blanks and line end that follow it */
    bool is_first;   /* only blanks stand before it on its line */
    bool is_last;    /* only blanks stand behind it */
};

/* A section, parent or block that waits for its end. */
struct open_tag {
    enum template_op_kind kind;
    uint32_t op;
    struct tag tag;
    size_t body_at; /* block: where its body begins in the source */
    unsigned args;
};

struct compiler {
    struct template *program;
    struct str source;
    struct delimiters delimiters;
    bool has_filters;
    size_t text_at; /* what was not yet made text begins here */
    struct open_tag open[TEMPLATE_DEPTH_MAX];
    unsigned depth;
    unsigned tags;
    size_t path_cap;
    size_t filter_cap;
    /* Paths that may be named again, by hash; 1 and up, 0 is none. A newcomer
     * takes the place of what stands there, so that no choice of names makes
     * a search long. */
    uint32_t recent[RECENT_PATHS];
    struct error *err;
};

const char *template_word(const struct template *program, uint32_t at)
{
    return program->pool.data + at;
}

void template_place(struct str source, size_t at, unsigned *line,
                    unsigned *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < at; i++) {
        if (source.ptr[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)source.ptr[i] & 0xc0) != 0x80) {
            ++*column;
        }
    }
}

/* --- errors --- */

/* What an error quotes: short, and on one line. */
struct quote {
    char text[FOUND_MAX + sizeof "..."];
};

static struct quote quote(struct str found)
{
    struct quote quote;
    size_t len = utf8_cut(found, FOUND_MAX);

    memcpy(quote.text, len == 0 ? "" : found.ptr, len);
    for (size_t i = 0; i < len; i++)
        if (quote.text[i] == '\n' || quote.text[i] == '\r')
            quote.text[i] = ' ';
    memcpy(quote.text + len, "...", sizeof "...");
    if (len == found.len)
        quote.text[len] = '\0';
    return quote;
}

static bool refuse(struct compiler *c, size_t at, const char *format, ...)
    PRINTF_LIKE(3, 4);

static bool refuse(struct compiler *c, size_t at, const char *format, ...)
{
    unsigned line;
    unsigned column;
    struct buf why;
    va_list args;

    template_place(c->source, at, &line, &column);
    buf_init(&why, sizeof c->err->text);
    va_start(args, format);
    buf_vaddf(&why, format, args);
    va_end(args);
    error_set(c->err, ERR_INPUT, "line %u, column %u: %.*s", line, column,
              STR_ARG(buf_str(&why)));
    buf_finish(&why);
    return false;
}

static struct str written(const struct compiler *c, const struct tag *tag)
{
    return str_slice(c->source, tag->at, tag->end - tag->at);
}

/* --- building --- */

static void *grown(void *rows, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return rows;
    *cap = *cap == 0 ? GROW_MIN : *cap * 2;
    return xrealloc(rows, *cap * size);
}

/* Each operation takes a byte of the source at least; and a tag makes three at
 * most: itself, the text before it and its margin. */
static size_t ops_most(struct str source)
{
    size_t most = 3 * (size_t)TEMPLATE_TAGS_MAX;

    return (source.len < most ? source.len : most) + 1;
}

static uint32_t add_op(struct compiler *c, struct template_op op)
{
    struct template *program = c->program;

    CHECK(program->op_count < ops_most(c->source));
    program->ops[program->op_count] = op;
    return (uint32_t)program->op_count++;
}

static uint32_t op_here(const struct compiler *c)
{
    return (uint32_t)c->program->op_count;
}

static uint32_t add_word(struct compiler *c, struct str word)
{
    uint32_t at = (uint32_t)c->program->pool.len;

    buf_add(&c->program->pool, word);
    buf_add_char(&c->program->pool, '\0');
    return at;
}

/* A name without dots is its own only part. */
static struct template_path make_path(struct compiler *c, struct str name)
{
    struct template_path path = {.name = add_word(c, name)};
    struct str part;

    path.parts = path.name;
    if (str_eq(name, S(".")))
        return path;
    if (str_index(name, '.', 0) < 0) {
        path.count = 1;
        return path;
    }
    path.parts = (uint32_t)c->program->pool.len;
    while (str_cut(&name, '.', &part)) {
        add_word(c, part);
        path.count++;
    }
    return path;
}

/* FNV-1a. */
static size_t recent_slot(struct str name)
{
    uint32_t hash = 2166136261U;

    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (unsigned char)name.ptr[i]) * 16777619U;
    return (hash ^ hash >> 16) % RECENT_PATHS;
}

/* The path of that name, a new one or one that was recently named. */
static uint32_t add_path(struct compiler *c, struct str name)
{
    struct template *program = c->program;
    uint32_t *recent = &c->recent[recent_slot(name)];

    if (*recent != 0 &&
        str_eq(name, str_of(template_word(program,
                                          program->paths[*recent - 1].name))))
        return *recent - 1;
    program->paths = grown(program->paths, program->path_count, &c->path_cap,
                           sizeof *program->paths);
    program->paths[program->path_count] = make_path(c, name);
    *recent = (uint32_t)++program->path_count;
    return *recent - 1;
}

static uint32_t place_of(const struct compiler *c, struct str name)
{
    return (uint32_t)(name.ptr - c->source.ptr);
}

static bool begins_line(const struct compiler *c, size_t at)
{
    return at == 0 || c->source.ptr[at - 1] == '\n';
}

/* Makes what lies before at text. */
static void add_text(struct compiler *c, size_t at)
{
    if (at <= c->text_at)
        return;
    add_op(c, (struct template_op){
                  .kind = OP_TEXT,
                  .flags = begins_line(c, c->text_at) ? OP_AT_LINE : 0,
                  .a = (uint32_t)c->text_at,
                  .b = (uint32_t)(at - c->text_at),
              });
}

static struct open_tag *innermost(struct compiler *c)
{
    return c->depth == 0 ? NULL : &c->open[c->depth - 1];
}

static bool is_within_parent(struct compiler *c)
{
    return c->depth > 0 && innermost(c)->kind == OP_PARENT;
}

/* The text before a tag that shares its line with other things. */
static void text_before(struct compiler *c, const struct tag *tag)
{
    add_text(c, tag->at);
    if (begins_line(c, tag->at) && !is_within_parent(c))
        add_op(c, (struct template_op){.kind = OP_MARGIN});
    c->text_at = tag->end;
}

/* The text before a tag that may have its line for itself, which then leaves
 * no trace. */
static bool text_around(struct compiler *c, const struct tag *tag)
{
    if (!tag->is_first || !tag->is_last) {
        text_before(c, tag);
        return false;
    }
    add_text(c, tag->line_at);
    c->text_at = tag->line_end;
    return true;
}

static bool push_open(struct compiler *c, enum template_op_kind kind,
                      uint32_t op, const struct tag *tag)
{
    if (c->depth == TEMPLATE_DEPTH_MAX)
        return refuse(c, tag->at,
                      "%s is nested deeper than %d; a partial ({{>name}}) can "
                      "hold the inner ones",
                      quote(written(c, tag)).text, TEMPLATE_DEPTH_MAX);
    c->open[c->depth++] = (struct open_tag){
        .kind = kind,
        .op = op,
        .tag = *tag,
        .body_at = c->text_at,
    };
    return true;
}

/* --- names --- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_space(char c)
{
    return is_blank(c) || c == '\n' || c == '\r';
}

static struct str trimmed(struct str text)
{
    while (text.len > 0 && is_space(text.ptr[0]))
        text = str_from(text, 1);
    while (text.len > 0 && is_space(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

static bool check_name(struct compiler *c, const struct tag *tag,
                       struct str name)
{
    if (name.len == 0)
        return refuse(c, tag->at,
                      "found %s, which has no name; want %.*s%s%.*s",
                      quote(written(c, tag)).text, STR_ARG(c->delimiters.open),
                      "name", STR_ARG(c->delimiters.close));
    if (name.len > TEMPLATE_NAME_MAX)
        return refuse(c, tag->at,
                      "found %s, whose name has %zu bytes; want at most %d",
                      quote(written(c, tag)).text, name.len, TEMPLATE_NAME_MAX);
    for (size_t i = 0; i < name.len; i++)
        if (is_space(name.ptr[i]) || name.ptr[i] == '\0')
            return refuse(c, tag->at,
                          "found %s; a name holds no blanks: write "
                          "first_name, or user.name for a name in an object",
                          quote(written(c, tag)).text);
    return true;
}

/* A dotted name: no part of it may be empty. */
static bool check_path(struct compiler *c, const struct tag *tag,
                       struct str name)
{
    if (!check_name(c, tag, name))
        return false;
    if (name.len > 1 && (str_starts(name, S(".")) || str_ends(name, S(".")) ||
                         str_contains(name, S(".."))))
        return refuse(c, tag->at,
                      "found %s, with nothing before or behind a dot; want "
                      "names joined by single dots, like user.name",
                      quote(written(c, tag)).text);
    return true;
}

/* The name of a partial or parent: itself, or behind an asterisk the path to
 * it in the data. */
static bool add_target(struct compiler *c, const struct tag *tag,
                       struct template_op *op)
{
    struct str name = tag->name;

    if (!str_starts(name, S("*"))) {
        if (!check_name(c, tag, name))
            return false;
        op->a = add_word(c, name);
        return true;
    }
    name = trimmed(str_from(name, 1));
    if (!check_path(c, tag, name))
        return false;
    op->flags |= OP_DYNAMIC;
    op->at = place_of(c, name);
    op->a = add_path(c, name);
    return true;
}

/* --- tags --- */

static bool add_filter(struct compiler *c, const struct tag *tag,
                       struct str text)
{
    struct template *program = c->program;
    struct template_filter filter = {0};
    struct str argument = {0};
    struct error why;

    if (!template_filter_parse(text, &filter.row, &argument, &why))
        return refuse(c, tag->at, "%s", why.text);
    filter.argument = add_word(c, argument);
    program->filters = grown(program->filters, program->filter_count,
                             &c->filter_cap, sizeof *program->filters);
    program->filters[program->filter_count++] = filter;
    return true;
}

static bool compile_value(struct compiler *c, const struct tag *tag)
{
    struct template_op op = {
        .kind = OP_VALUE,
        .flags = tag->sigil == 0 ? 0 : OP_RAW,
        .b = (uint32_t)c->program->filter_count,
    };
    struct str rest = tag->name;
    struct str piece = rest;

    if (c->has_filters && str_cut(&rest, '|', &piece))
        piece = trimmed(piece);
    else
        rest = (struct str){0};
    if (!check_path(c, tag, piece))
        return false;
    op.a = add_path(c, piece);
    op.at = place_of(c, piece);
    while (str_cut(&rest, '|', &piece)) {
        if (c->program->filter_count - op.b == FILTERS_MAX)
            return refuse(c, tag->at, "more than %d filters for one value",
                          FILTERS_MAX);
        if (!add_filter(c, tag, trimmed(piece)))
            return false;
    }
    op.c = (uint32_t)c->program->filter_count;
    text_before(c, tag);
    add_op(c, op);
    return true;
}

static bool compile_comment(struct compiler *c, const struct tag *tag)
{
    text_around(c, tag);
    return true;
}

static bool is_delimiter(struct str text)
{
    if (text.len == 0 || text.len > DELIMITER_MAX || str_contains(text, S("=")))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (is_space(text.ptr[i]) || text.ptr[i] == '\0')
            return false;
    return true;
}

static bool compile_delimiters(struct compiler *c, const struct tag *tag)
{
    size_t blank = 0;
    struct delimiters wanted;

    while (blank < tag->name.len && !is_space(tag->name.ptr[blank]))
        blank++;
    wanted.open = str_slice(tag->name, 0, blank);
    wanted.close = trimmed(str_from(tag->name, blank));
    if (!is_delimiter(wanted.open) || !is_delimiter(wanted.close))
        return refuse(c, tag->at,
                      "found %s; want two delimiters with a blank between "
                      "them, of 1 to %d characters without = and blanks: "
                      "{{=<%% %%>=}}",
                      quote(written(c, tag)).text, DELIMITER_MAX);
    text_around(c, tag);
    c->delimiters = wanted;
    return true;
}

static bool compile_section(struct compiler *c, const struct tag *tag)
{
    enum template_op_kind kind = tag->sigil == '#' ? OP_SECTION : OP_INVERTED;
    struct template_op op = {.kind = (uint8_t)kind};

    if (!check_path(c, tag, tag->name))
        return false;
    op.a = add_path(c, tag->name);
    op.at = place_of(c, tag->name);
    text_around(c, tag);
    return push_open(c, kind, add_op(c, op), tag);
}

static void set_indent(const struct tag *tag, struct template_op *op)
{
    op->b = (uint32_t)tag->line_at;
    op->c = (uint32_t)(tag->at - tag->line_at);
}

static bool compile_partial(struct compiler *c, const struct tag *tag)
{
    struct template_op op = {.kind = OP_PARTIAL, .at = (uint32_t)tag->at};

    if (!add_target(c, tag, &op))
        return false;
    if (text_around(c, tag))
        set_indent(tag, &op);
    add_op(c, op);
    return true;
}

/* Whether it stands alone is known at its end only. */
static bool compile_parent(struct compiler *c, const struct tag *tag)
{
    struct template_op op = {.kind = OP_PARENT, .at = (uint32_t)tag->at};

    if (!add_target(c, tag, &op))
        return false;
    text_before(c, tag);
    return push_open(c, OP_PARENT, add_op(c, op), tag);
}

/* A block within a parent tag replaces one of the parent's. What surrounds it
 * there counts for nothing. */
static bool compile_arg(struct compiler *c, const struct tag *tag)
{
    struct template_op op = {.kind = OP_ARG};

    if (++innermost(c)->args > ARGS_MAX)
        return refuse(c, tag->at, "more than %d blocks within one parent",
                      ARGS_MAX);
    op.flags = tag->is_last ? OP_AT_LINE : 0;
    op.a = add_word(c, tag->name);
    c->text_at = tag->is_last ? tag->line_end : tag->end;
    return push_open(c, OP_ARG, add_op(c, op), tag);
}

static bool compile_block(struct compiler *c, const struct tag *tag)
{
    struct template_op op = {.kind = OP_BLOCK};

    if (!check_name(c, tag, tag->name))
        return false;
    if (is_within_parent(c))
        return compile_arg(c, tag);
    op.a = add_word(c, tag->name);
    if (text_around(c, tag))
        op.flags = OP_AT_LINE;
    if (tag->is_first)
        set_indent(tag, &op);
    return push_open(c, OP_BLOCK, add_op(c, op), tag);
}

/* --- ends --- */

static void end_section(struct compiler *c, const struct open_tag *open,
                        const struct tag *tag)
{
    text_around(c, tag);
    if (open->kind == OP_SECTION)
        add_op(c, (struct template_op){.kind = OP_END, .a = open->op});
}

/* The parent and all within it are one tag that stands alone or not. */
static void end_parent(struct compiler *c, const struct open_tag *open,
                       const struct tag *tag)
{
    struct template_op *op = &c->program->ops[open->op];

    c->text_at = tag->end;
    if (!open->tag.is_first || !tag->is_last)
        return;
    c->text_at = tag->line_end;
    set_indent(&open->tag, op);
    /* What stands before it is its blanks, or without them its margin. */
    if (op->c == 0)
        op[-1] = (struct template_op){.kind = OP_TEXT};
    else
        op[-1].b -= op->c;
    if (op[-1].b == 0)
        op[-1].flags = 0;
}

static size_t blanks_at(struct str source, size_t at)
{
    size_t count = 0;

    while (at + count < source.len && is_blank(source.ptr[at + count]))
        count++;
    return count;
}

static size_t common(struct str source, size_t a, size_t b, size_t len)
{
    size_t same = 0;

    while (same < len && source.ptr[a + same] == source.ptr[b + same])
        same++;
    return same;
}

/* The blanks that begin every line from at to end, empty lines apart. False:
 * there is no line. */
static bool shared_indent(struct str source, size_t at, size_t end,
                          size_t *indent, size_t *len)
{
    bool has_line = false;

    while (at < end) {
        size_t blanks = blanks_at(source, at);
        ptrdiff_t line_end = str_index(source, '\n', at);
        size_t next = line_end < 0 ? source.len : (size_t)line_end + 1;

        if (at + blanks < source.len && source.ptr[at + blanks] != '\n' &&
            source.ptr[at + blanks] != '\r') {
            if (!has_line) {
                *indent = at;
                *len = blanks;
            }
            *len = common(source, *indent, at, *len < blanks ? *len : blanks);
            has_line = true;
        }
        at = next;
    }
    return has_line;
}

static void end_block(struct compiler *c, const struct open_tag *open,
                      const struct tag *tag)
{
    struct template_op *op;
    size_t indent = 0;
    size_t len = 0;

    if (open->kind == OP_BLOCK) {
        text_around(c, tag);
    } else {
        add_text(c, tag->is_first ? tag->line_at : tag->at);
        c->text_at = tag->end;
    }
    op = &c->program->ops[open->op];
    if ((op->flags & OP_AT_LINE) != 0 &&
        shared_indent(c->source, open->body_at,
                      tag->is_first ? tag->line_at : tag->at, &indent, &len)) {
        op->b = (uint32_t)indent;
        op->c = (uint32_t)len;
    }
}

static bool refuse_end(struct compiler *c, const struct tag *tag)
{
    const struct open_tag *open = innermost(c);
    unsigned line;
    unsigned column;

    if (open == NULL)
        return refuse(c, tag->at,
                      "found %s, but nothing is open here; take it away, or "
                      "open it before",
                      quote(written(c, tag)).text);
    template_place(c->source, open->tag.at, &line, &column);
    return refuse(c, tag->at,
                  "found %s; want %.*s/%s%.*s, which ends %s of line %u",
                  quote(written(c, tag)).text, STR_ARG(c->delimiters.open),
                  quote(open->tag.name).text, STR_ARG(c->delimiters.close),
                  quote(written(c, &open->tag)).text, line);
}

/* "*name" and "* name" are the same. */
static bool is_same_name(struct str a, struct str b)
{
    if (str_starts(a, S("*")) && str_starts(b, S("*"))) {
        a = trimmed(str_from(a, 1));
        b = trimmed(str_from(b, 1));
    }
    return str_eq(a, b);
}

static bool compile_end(struct compiler *c, const struct tag *tag)
{
    struct open_tag *open = innermost(c);

    if (open == NULL || !is_same_name(open->tag.name, tag->name))
        return refuse_end(c, tag);
    if (open->kind == OP_PARENT)
        end_parent(c, open, tag);
    else if (open->kind == OP_ARG || open->kind == OP_BLOCK)
        end_block(c, open, tag);
    else
        end_section(c, open, tag);
    c->program->ops[open->op].end = op_here(c);
    c->depth--;
    return true;
}

/* --- the way through the source --- */

static const struct {
    char sigil;
    bool may_stand_in_parent;
    bool (*compile)(struct compiler *c, const struct tag *tag);
} TAGS[] = {
    {'!', true, compile_comment},  {'=', true, compile_delimiters},
    {'$', true, compile_block},    {'/', true, compile_end},
    {'#', false, compile_section}, {'^', false, compile_section},
    {'>', false, compile_partial}, {'<', false, compile_parent},
    {'&', false, compile_value},   {'{', false, compile_value},
    {0, false, compile_value},
};

static size_t row_of(char sigil)
{
    size_t row = 0;

    while (TAGS[row].sigil != sigil && TAGS[row].sigil != 0)
        row++;
    return row;
}

/* What ends the tag: "}" and "=" belong to those that begin with { and =. */
static struct str end_of_tag(const struct compiler *c, char sigil,
                             char room[DELIMITER_MAX + 1])
{
    size_t len = c->delimiters.close.len;
    size_t extra = sigil == '{' || sigil == '=' ? 1 : 0;

    room[0] = sigil == '{' ? '}' : '=';
    memcpy(room + extra, c->delimiters.close.ptr, len);
    return str_make(room, len + extra);
}

/* Whether the tag has its line for itself, and where that begins and ends. */
static void look_around(struct str source, struct tag *tag)
{
    tag->line_at = tag->at;
    while (tag->line_at > 0 && is_blank(source.ptr[tag->line_at - 1]))
        tag->line_at--;
    tag->is_first = tag->line_at == 0 || source.ptr[tag->line_at - 1] == '\n';
    tag->line_end = tag->end + blanks_at(source, tag->end);
    tag->is_last = true;
    if (tag->line_end == source.len)
        return;
    if (str_starts(str_from(source, tag->line_end), S("\r\n")))
        tag->line_end += 2;
    else if (source.ptr[tag->line_end] == '\n')
        tag->line_end++;
    else
        tag->is_last = false;
}

/* Reads the tag at tag->at. */
static bool take_tag(struct compiler *c, struct tag *tag)
{
    char room[DELIMITER_MAX + 1];
    size_t begin = tag->at + c->delimiters.open.len;
    struct str end;
    ptrdiff_t found;

    while (begin < c->source.len && is_space(c->source.ptr[begin]))
        begin++;
    if (begin < c->source.len)
        tag->sigil = TAGS[row_of(c->source.ptr[begin])].sigil;
    if (tag->sigil != 0)
        begin++;
    end = end_of_tag(c, tag->sigil, room);
    found = str_find(c->source, end, begin);
    if (found < 0)
        return refuse(c, tag->at, "found %s, which is never closed; want %.*s",
                      quote(str_from(c->source, tag->at)).text, STR_ARG(end));
    tag->name = trimmed(str_slice(c->source, begin, (size_t)found - begin));
    tag->end = (size_t)found + end.len;
    look_around(c->source, tag);
    return true;
}

static bool compile_tag(struct compiler *c, size_t at)
{
    struct tag tag = {.at = at};
    size_t row;

    if (++c->tags > TEMPLATE_TAGS_MAX)
        return refuse(c, at,
                      "more than %d tags; a section over a list "
                      "({{#items}}) or a partial ({{>name}}) needs fewer",
                      TEMPLATE_TAGS_MAX);
    if (!take_tag(c, &tag))
        return false;
    row = row_of(tag.sigil);
    if (is_within_parent(c)) {
        if (!TAGS[row].may_stand_in_parent)
            return refuse(c, tag.at,
                          "found %s within %s; only blocks ({{$name}}) may "
                          "stand there",
                          quote(written(c, &tag)).text,
                          quote(written(c, &innermost(c)->tag)).text);
        c->text_at = tag.end; /* the text before it counts for nothing */
    }
    return TAGS[row].compile(c, &tag);
}

/* The text within a parent tag is passed over, not made text. */
static bool compile_all(struct compiler *c)
{
    ptrdiff_t at;

    while ((at = str_find(c->source, c->delimiters.open, c->text_at)) >= 0)
        if (!compile_tag(c, (size_t)at))
            return false;
    if (c->depth > 0) {
        const struct tag *tag = &innermost(c)->tag;

        return refuse(c, tag->at,
                      "found %s, which is never ended; want "
                      "%.*s/%s%.*s",
                      quote(written(c, tag)).text, STR_ARG(c->delimiters.open),
                      quote(tag->name).text, STR_ARG(c->delimiters.close));
    }
    add_text(c, c->source.len);
    return true;
}

static bool check_source(struct str source, struct error *err)
{
    if (source.len > TEMPLATE_SOURCE_MAX) {
        error_set(err, ERR_INPUT, "has %zu bytes; want at most %d", source.len,
                  TEMPLATE_SOURCE_MAX);
        return false;
    }
    if (!utf8_is_valid(source)) {
        error_set(err, ERR_INPUT, "is not valid UTF-8");
        return false;
    }
    return true;
}

/* Gives back what the rows have no need of: a program may live long. */
static void fit(struct template *program)
{
    program->ops =
        xrealloc(program->ops, program->op_count * sizeof *program->ops);
    program->paths =
        xrealloc(program->paths, program->path_count * sizeof *program->paths);
}

struct template *template_compile(struct str source, bool has_filters,
                                  struct error *err)
{
    struct compiler c = {
        .has_filters = has_filters,
        .delimiters = {STR("{{"), STR("}}")},
        .err = err,
    };

    if (!check_source(source, err))
        return NULL;
    c.program = xcalloc(1, sizeof *c.program);
    c.program->source = str_make(xmemdup0(source.ptr, source.len), source.len);
    c.source = c.program->source;
    /* Each byte of a name stands there twice at most, with its NULs. */
    buf_init(&c.program->pool, 4 * source.len + 1);
    /* What of it is not written to takes no memory, and none is copied. */
    c.program->ops = xmalloc(ops_most(source) * sizeof *c.program->ops);
    if (compile_all(&c))
        fit(c.program);
    else
        template_destroy(&c.program);
    return c.program;
}

void template_destroy(struct template **program)
{
    struct template *old = *program;

    *program = NULL;
    if (old == NULL)
        return;
    free((char *)(uintptr_t)old->source.ptr);
    free(old->ops);
    free(old->paths);
    free(old->filters);
    buf_finish(&old->pool);
    free(old);
}
