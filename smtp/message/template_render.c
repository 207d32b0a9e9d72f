#include "smtp/message/template_program.h"

#include "smtp/message/template_filter.h"

#include <string.h>

enum {
    STACK_MAX = 256, /* contexts, and sections, of all calls together */
    FRAMES_MAX = 64, /* calls, and bodies of blocks */
    INDENT_MAX = 4096,
    NUMBER_MAX = 64, /* bytes of one printed */
    /* What takes long counts as steps of some 50 ns. */
    NUMBER_STEPS = 40, /* a fraction becomes text */
    FILTER_STEPS = 10,
    STEP_BYTES = 4,   /* through a filter */
    NAMES_TOLD = 400, /* bytes of names in the text of an error */
};

/* The blocks that a parent tag brings along. */
struct override {
    const struct template *program;
    uint32_t op; /* of the parent tag */
    const struct override *outer;
};

/* A program that runs: a template, or the body of a block. */
struct frame {
    const struct template *program;
    uint32_t at;
    uint32_t end;
    size_t indent;          /* length of the margin behind this frame */
    size_t strip;           /* blanks that each line loses */
    unsigned sections;      /* open when it began */
    unsigned calls;         /* partials within partials */
    struct override brings; /* of a parent tag; on the chain of overrides */
    const struct override *overrides;
};

struct section {
    const struct json *list; /* NULL: not over a list */
    size_t index;
};

struct rendering {
    const struct template_options *options;
    struct buf *out;
    struct template_flaws *flaws;
    struct error *err;
    struct buf margin;
    struct buf number;   /* one that is printed */
    struct buf rooms[2]; /* what filters write */
    bool skips_margin;   /* the line has begun already */
    bool has_failed;
    size_t steps;
    size_t steps_max;
    template_use_fn used; /* NULL: it is no survey */
    void *use_ctx;
    bool leaves_out; /* in a survey: a partial whose name is not known */
    struct frame frames[FRAMES_MAX];
    unsigned depth;
    const struct json *contexts[STACK_MAX + 1];
    struct section sections[STACK_MAX];
    unsigned open; /* sections; there is one more context */
};

static void fail(struct rendering *r, const char *why)
{
    error_set(r->err, ERR_INPUT, "%s", why);
    r->has_failed = true;
}

static bool is_tired(const struct rendering *r)
{
    return r->steps > r->steps_max;
}

static struct frame *current(struct rendering *r)
{
    return &r->frames[r->depth - 1];
}

/* --- flaws --- */

static void add_flaw(struct rendering *r, enum template_flaw_kind kind,
                     struct str name, uint32_t at, const char *wanted)
{
    struct template_flaws *flaws = r->flaws;
    const struct template *where = current(r)->program;
    struct template_flaw *row;

    if (r->options->is_lenient)
        return;
    for (size_t i = 0; i < flaws->count; i++)
        if (flaws->rows[i].kind == kind && str_eq(flaws->rows[i].name, name))
            return;
    if (flaws->count == TEMPLATE_FLAWS_MAX) {
        flaws->more++;
        return;
    }
    row = &flaws->rows[flaws->count++];
    *row = (struct template_flaw){
        .kind = kind, .name = name, .where = where, .wanted = wanted};
    template_place(where->source, at, &row->line, &row->column);
}

static const char *flaw_words(enum template_flaw_kind kind)
{
    static const char *const words[] = {
        [TEMPLATE_MISSING] = "is missing",
        [TEMPLATE_NULL] = "is null",
        [TEMPLATE_NO_TEXT] = "is an array or object, not a text or number",
        [TEMPLATE_NO_PARTIAL] = "is no known partial",
        [TEMPLATE_BAD_VALUE] = "has a wrong value",
    };

    return words[kind];
}

bool template_flaws_have(const struct template_flaws *flaws,
                         const struct template_flaw *flaw)
{
    for (size_t i = 0; i < flaws->count; i++)
        if (str_eq(flaws->rows[i].name, flaw->name) &&
            (flaws->rows[i].kind == TEMPLATE_NO_PARTIAL) ==
                (flaw->kind == TEMPLATE_NO_PARTIAL))
            return true;
    return false;
}

bool template_flaws_tell(const struct template_flaws *flaws, struct error *err)
{
    struct buf text;
    size_t told = 0;

    if (flaws->count == 0)
        return true;
    buf_init(&text, sizeof err->text * 2);
    while (told < flaws->count && text.len < NAMES_TOLD) {
        const struct template_flaw *flaw = &flaws->rows[told];

        buf_addf(&text, "%s%.*s %s", told == 0 ? "" : "; ",
                 (int)(flaw->name.len < 64 ? flaw->name.len : 64),
                 flaw->name.ptr, flaw_words(flaw->kind));
        if (flaw->wanted != NULL)
            buf_addf(&text, " (want %s)", flaw->wanted);
        told++;
    }
    if (told < flaws->count || flaws->more > 0)
        buf_addf(&text, "; and %zu more", flaws->count - told + flaws->more);
    error_set(err, ERR_INPUT, "%.*s", STR_ARG(buf_str(&text)));
    buf_finish(&text);
    return false;
}

/* --- looking up --- */

static const struct json *member(const struct json *value, const char *name)
{
    return json_type_of(value) == JSON_MAP ? json_get(value, name) : NULL;
}

/* The first part is sought from the innermost context to the outermost, the
 * others within what that gave. */
static const struct json *look_up(struct rendering *r,
                                  const struct template *program,
                                  const struct template_path *path)
{
    const char *part = template_word(program, path->parts);
    const struct json *value = NULL;
    unsigned at = r->open + 1;

    if (path->count == 0)
        return r->contexts[r->open];
    while (at > 0 && value == NULL) {
        value = member(r->contexts[--at], part);
        r->steps++;
    }
    for (uint32_t i = 1; i < path->count && value != NULL; i++) {
        part += strlen(part) + 1;
        value = member(value, part);
        r->steps++;
    }
    return value;
}

static bool is_yes(const struct json *value)
{
    switch (json_type_of(value)) {
    case JSON_MISSING:
    case JSON_NULL_VALUE:
        return false;
    case JSON_BOOL:
        return json_bool(value);
    case JSON_TEXT:
        return json_str(value).len > 0;
    case JSON_LIST:
        return json_count(value) > 0;
    case JSON_INT:
    case JSON_NUMBER:
    case JSON_MAP:
        return true;
    }
    return false;
}

/* --- writing --- */

static void add_html(struct buf *out, struct str text)
{
    static const struct str references[256] = {
        ['&'] = STR("&amp;"),  ['<'] = STR("&lt;"),   ['>'] = STR("&gt;"),
        ['"'] = STR("&quot;"), ['\''] = STR("&#39;"),
    };
    size_t from = 0;

    for (size_t i = 0; i < text.len; i++) {
        struct str reference = references[(unsigned char)text.ptr[i]];

        if (reference.len == 0)
            continue;
        buf_add(out, str_slice(text, from, i - from));
        buf_add(out, reference);
        from = i + 1;
    }
    buf_add(out, str_from(text, from));
}

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

static void add_line(struct buf *out, struct str text)
{
    size_t from = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (!is_control(text.ptr[i]))
            continue;
        buf_add(out, str_slice(text, from, i - from));
        buf_add_char(out, ' ');
        from = i + 1;
    }
    buf_add(out, str_from(text, from));
}

static void add_escaped(struct rendering *r, const struct template_op *op,
                        struct str text)
{
    if (r->options->escape == TEMPLATE_LINE)
        add_line(r->out, text);
    else if (r->options->escape == TEMPLATE_TEXT || (op->flags & OP_RAW) != 0)
        buf_add(r->out, text);
    else
        add_html(r->out, text);
}

static void add_margin(struct rendering *r)
{
    if (!r->skips_margin)
        buf_add(r->out, buf_str(&r->margin));
    r->skips_margin = false;
}

static struct str stripped(struct str line, size_t strip)
{
    while (strip-- > 0 && line.len > 0 &&
           (line.ptr[0] == ' ' || line.ptr[0] == '\t'))
        line = str_from(line, 1);
    return line;
}

/* --- operations --- */

static void run_margin(struct rendering *r, const struct template_op *op)
{
    (void)op;
    add_margin(r);
}

static void run_text(struct rendering *r, const struct template_op *op)
{
    const struct frame *frame = current(r);
    struct str text = str_slice(frame->program->source, op->a, op->b);
    bool is_at_line = (op->flags & OP_AT_LINE) != 0;

    if (r->margin.len == 0 && frame->strip == 0) {
        r->skips_margin = false;
        buf_add(r->out, text);
        return;
    }
    while (text.len > 0) {
        ptrdiff_t line_end = str_index(text, '\n', 0);
        size_t len = line_end < 0 ? text.len : (size_t)line_end + 1;
        struct str line = str_slice(text, 0, len);

        if (is_at_line) {
            add_margin(r);
            line = stripped(line, frame->strip);
        }
        buf_add(r->out, line);
        text = str_from(text, len);
        is_at_line = true;
    }
}

/* The value as text: in room, or where it stands. False: there is none. */
static bool as_text(const struct json *value, struct buf *room,
                    struct str *text)
{
    switch (json_type_of(value)) {
    case JSON_TEXT:
        *text = json_str(value);
        return true;
    case JSON_BOOL:
    case JSON_INT:
    case JSON_NUMBER:
        json_dump(value, room);
        *text = buf_str(room);
        return true;
    case JSON_MISSING:
    case JSON_NULL_VALUE:
    case JSON_LIST:
    case JSON_MAP:
        return false;
    }
    return false;
}

/* The path that op names, as a text. */
static struct str path_name(struct rendering *r, const struct template_op *op)
{
    const struct template *program = current(r)->program;

    return str_of(template_word(program, program->paths[op->a].name));
}

static void flaw_of_value(struct rendering *r, const struct json *value,
                          const struct template_op *op)
{
    enum template_flaw_kind kind = TEMPLATE_NO_TEXT;

    if (json_type_of(value) == JSON_MISSING)
        kind = TEMPLATE_MISSING;
    else if (json_type_of(value) == JSON_NULL_VALUE)
        kind = TEMPLATE_NULL;
    add_flaw(r, kind, path_name(r, op), op->at, NULL);
}

/* It may have members that nobody knows of. */
static bool may_hold_names(const struct json *value)
{
    enum json_type type = json_type_of(value);

    return type == JSON_MAP || type == JSON_LIST || type == JSON_MISSING;
}

/* In a survey: the name of op is used, or is a flaw when it must be there. */
static void note_use(struct rendering *r, const struct template_op *op,
                     bool is_needed)
{
    const struct template *program = current(r)->program;
    const struct template_path *path = &program->paths[op->a];
    const char *part = template_word(program, path->parts);
    bool is_known = true;

    r->steps += r->open;
    for (unsigned i = 1; i <= r->open; i++)
        is_known = is_known && !may_hold_names(r->contexts[i]);
    if (path->count == 0)
        return;
    if (member(r->contexts[0], part) != NULL)
        r->used(r->use_ctx, str_of(part));
    else if (is_known && is_needed)
        add_flaw(r, TEMPLATE_MISSING, path_name(r, op), op->at, NULL);
}

/* Runs the filters of op over *text, by turns into two buffers. */
static bool filtered(struct rendering *r, const struct template_op *op,
                     struct str *text)
{
    const struct template *program = current(r)->program;

    for (uint32_t i = op->b; i < op->c && !is_tired(r); i++) {
        const struct template_filter *filter = &program->filters[i];
        struct buf *room = &r->rooms[(i - op->b) % 2];
        const char *wanted;

        r->steps += FILTER_STEPS + text->len / STEP_BYTES;
        buf_clear(room);
        wanted = template_filter_run(
            filter->row, *text,
            str_of(template_word(program, filter->argument)),
            r->options->locale, room);
        if (wanted != NULL) {
            add_flaw(r, TEMPLATE_BAD_VALUE, path_name(r, op), op->at, wanted);
            return false;
        }
        *text = buf_str(room);
    }
    return true;
}

static void run_value(struct rendering *r, const struct template_op *op)
{
    const struct template *program = current(r)->program;
    const struct json *value = look_up(r, program, &program->paths[op->a]);
    struct str text;

    buf_clear(&r->number);
    if (json_type_of(value) == JSON_NUMBER)
        r->steps += NUMBER_STEPS;
    if (!as_text(value, &r->number, &text))
        flaw_of_value(r, value, op);
    else if (filtered(r, op, &text))
        add_escaped(r, op, text);
}

static void push_section(struct rendering *r, const struct json *value)
{
    struct section *section = &r->sections[r->open];

    if (r->open == STACK_MAX) {
        fail(r, "sections nest too deep: a partial with a section around "
                "itself?");
        return;
    }
    *section = (struct section){0};
    if (json_type_of(value) == JSON_LIST) {
        section->list = value;
        value = json_at(value, 0);
    }
    r->contexts[++r->open] = value;
}

static void run_section(struct rendering *r, const struct template_op *op)
{
    struct frame *frame = current(r);
    const struct json *value =
        look_up(r, frame->program, &frame->program->paths[op->a]);

    if (is_yes(value))
        push_section(r, value);
    else
        frame->at = op->end;
}

static void run_inverted(struct rendering *r, const struct template_op *op)
{
    struct frame *frame = current(r);

    if (is_yes(look_up(r, frame->program, &frame->program->paths[op->a])))
        frame->at = op->end;
}

/* Again for the next of a list, or on. */
static void run_end(struct rendering *r, const struct template_op *op)
{
    struct section *section = &r->sections[r->open - 1];

    if (++section->index < json_count(section->list)) {
        r->contexts[r->open] = json_at(section->list, section->index);
        current(r)->at = op->a + 1;
    } else {
        r->open--;
    }
}

/* A frame upon the current one, whose margin grows by what is left of indent
 * when the current one's lines have lost their blanks. NULL: too many. */
static struct frame *push_frame(struct rendering *r,
                                const struct template *program,
                                struct str indent)
{
    const struct frame *from = current(r);
    struct frame *frame = &r->frames[r->depth];

    if (r->depth == FRAMES_MAX) {
        fail(r, "partials and blocks nest too deep: one within itself?");
        return NULL;
    }
    r->depth++;
    frame->program = program;
    frame->indent = r->margin.len;
    frame->strip = 0;
    frame->sections = r->open;
    frame->calls = from->calls;
    frame->overrides = from->overrides;
    buf_add(&r->margin, stripped(indent, from->strip));
    if (r->margin.full)
        fail(r, "lines are indented too deep: a partial within itself?");
    return frame;
}

static void pop_frame(struct rendering *r)
{
    buf_truncate(&r->margin, current(r)->indent);
    r->depth--;
}

/* The name that a partial or parent tag means; false: its variable is no
 * text. */
static bool target_name(struct rendering *r, const struct template_op *op,
                        struct str *name)
{
    const struct template *program = current(r)->program;
    const struct json *value;

    if ((op->flags & OP_DYNAMIC) == 0) {
        *name = str_of(template_word(program, op->a));
        return true;
    }
    if (r->used != NULL)
        note_use(r, op, true);
    value = look_up(r, program, &program->paths[op->a]);
    *name = json_str(value);
    if (json_type_of(value) != JSON_TEXT && r->used == NULL)
        flaw_of_value(r, value, op);
    return json_type_of(value) == JSON_TEXT;
}

/* NULL: it is not there. */
static const struct template *find_target(struct rendering *r,
                                          const struct template_op *op)
{
    const struct template_options *options = r->options;
    const struct template *program = NULL;
    struct str name;

    if (!target_name(r, op, &name)) {
        r->leaves_out = true;
        return NULL;
    }
    if (options->find != NULL)
        program = options->find(options->find_ctx, name);
    if (program == NULL)
        add_flaw(r, TEMPLATE_NO_PARTIAL, name, op->at, NULL);
    return program;
}

/* In a survey: once is enough of one that is within itself. */
static bool is_open(const struct rendering *r, const struct template *program)
{
    for (unsigned i = 0; i < r->depth; i++)
        if (r->frames[i].program == program)
            return true;
    return false;
}

/* Goes into the partial or parent that op names. False: it does not. */
static bool call(struct rendering *r, const struct template_op *op)
{
    const struct frame *from = current(r);
    const struct template *program = find_target(r, op);
    struct frame *frame;

    if (program == NULL || (r->used != NULL && is_open(r, program)))
        return false;
    if (from->calls == TEMPLATE_CALLS_MAX) {
        fail(r, "partials nest too deep: one within itself?");
        return false;
    }
    frame =
        push_frame(r, program, str_slice(from->program->source, op->b, op->c));
    if (frame == NULL)
        return false;
    frame->at = 0;
    frame->end = (uint32_t)program->op_count;
    frame->calls++;
    return true;
}

static void run_partial(struct rendering *r, const struct template_op *op)
{
    call(r, op);
}

static void run_parent(struct rendering *r, const struct template_op *op)
{
    struct frame *from = current(r);
    struct frame *frame;

    from->at = op->end;
    if (!call(r, op))
        return;
    frame = current(r);
    frame->brings = (struct override){
        .program = from->program,
        .op = (uint32_t)(op - from->program->ops),
        .outer = from->overrides,
    };
    frame->overrides = &frame->brings;
}

/* The op of that block among those a parent tag brings, or NULL. */
static const struct template_op *
find_arg(struct rendering *r, const struct override *override, const char *name)
{
    const struct template *program = override->program;
    const struct template_op *parent = &program->ops[override->op];

    for (uint32_t at = override->op + 1; at < parent->end;
         at = program->ops[at].end) {
        r->steps++;
        if (strcmp(template_word(program, program->ops[at].a), name) == 0)
            return &program->ops[at];
    }
    return NULL;
}

/* The outermost of those who replace the block wins. */
static const struct template_op *find_override(struct rendering *r,
                                               const char *name,
                                               const struct override **found)
{
    const struct template_op *hit = NULL;

    for (const struct override *at = current(r)->overrides; at != NULL;
         at = at->outer) {
        const struct template_op *arg = find_arg(r, at, name);

        if (arg != NULL) {
            hit = arg;
            *found = at;
        }
    }
    return hit;
}

/* The default follows; a body that replaces it has a frame of its own, in
 * which the blocks of its own template are those that others replace. */
static void run_block(struct rendering *r, const struct template_op *op)
{
    struct frame *from = current(r);
    const struct override *found = NULL;
    const struct template_op *arg =
        find_override(r, template_word(from->program, op->a), &found);
    bool is_at_line = (op->flags & OP_AT_LINE) != 0;
    struct frame *frame;

    if (arg == NULL)
        return;
    from->at = op->end;
    frame = push_frame(r, found->program,
                       str_slice(from->program->source, op->b, op->c));
    if (frame == NULL)
        return;
    frame->at = (uint32_t)(arg - found->program->ops) + 1;
    frame->end = arg->end;
    frame->strip = arg->c;
    frame->overrides = found->outer;
    if (is_at_line && (arg->flags & OP_AT_LINE) == 0 && frame->at < frame->end)
        add_margin(r);
    else if (!is_at_line)
        r->skips_margin = (arg->flags & OP_AT_LINE) != 0;
}

typedef void (*const run_fn)(struct rendering *r, const struct template_op *op);

static run_fn RUN[OP_KINDS] = {
    [OP_TEXT] = run_text,         [OP_MARGIN] = run_margin,
    [OP_VALUE] = run_value,       [OP_SECTION] = run_section,
    [OP_INVERTED] = run_inverted, [OP_END] = run_end,
    [OP_PARTIAL] = run_partial,   [OP_PARENT] = run_parent,
    [OP_BLOCK] = run_block,
};

/* --- a survey: each section is gone into, once --- */

static void pass(struct rendering *r, const struct template_op *op)
{
    (void)r;
    (void)op;
}

static void survey_value(struct rendering *r, const struct template_op *op)
{
    note_use(r, op, true);
}

/* A partial may ask for what only some of its users have. */
static void note_question(struct rendering *r, const struct template_op *op)
{
    note_use(r, op, current(r)->program == r->frames[0].program);
}

static void survey_section(struct rendering *r, const struct template_op *op)
{
    const struct template *program = current(r)->program;

    note_question(r, op);
    push_section(r, look_up(r, program, &program->paths[op->a]));
}

static void survey_end(struct rendering *r, const struct template_op *op)
{
    (void)op;
    r->open--;
}

static run_fn SURVEY[OP_KINDS] = {
    [OP_TEXT] = pass,
    [OP_MARGIN] = pass,
    [OP_VALUE] = survey_value,
    [OP_SECTION] = survey_section,
    [OP_INVERTED] = note_question,
    [OP_END] = survey_end,
    [OP_PARTIAL] = run_partial,
    [OP_PARENT] = run_parent,
    [OP_BLOCK] = run_block,
};

/* --- all of it --- */

static void run(struct rendering *r)
{
    run_fn *table = r->used == NULL ? RUN : SURVEY;

    while (r->depth > 0 && !r->has_failed) {
        struct frame *frame = current(r);
        const struct template_op *op;

        if (frame->at == frame->end) {
            CHECK(r->open == frame->sections);
            pop_frame(r);
            continue;
        }
        op = &frame->program->ops[frame->at++];
        table[op->kind](r, op);
        r->steps++;
        if (is_tired(r))
            fail(r, "takes too many steps: over a million tags, look-ups and "
                    "filters");
        else if (r->out->full)
            fail(r, "the output is too big");
    }
}

static void begin(struct rendering *r, const struct template *program,
                  const struct json *data,
                  const struct template_options *options)
{
    r->options = options;
    r->skips_margin = false;
    r->has_failed = false;
    r->leaves_out = false;
    r->steps = 0;
    r->steps_max =
        options->steps_max > 0 ? options->steps_max : TEMPLATE_STEPS_MAX;
    r->open = 0;
    r->contexts[0] = data;
    r->depth = 1;
    r->frames[0] = (struct frame){
        .program = program,
        .end = (uint32_t)program->op_count,
    };
    r->flaws->count = 0;
    r->flaws->more = 0;
    buf_init(&r->margin, INDENT_MAX);
    buf_init(&r->number, NUMBER_MAX);
    for (size_t i = 0; i < COUNT_OF(r->rooms); i++)
        buf_init(&r->rooms[i], TEMPLATE_OUTPUT_MAX);
}

static void finish(struct rendering *r)
{
    buf_finish(&r->margin);
    buf_finish(&r->number);
    for (size_t i = 0; i < COUNT_OF(r->rooms); i++)
        buf_finish(&r->rooms[i]);
}

bool template_render(const struct template *program, const struct json *data,
                     const struct template_options *options, struct buf *out,
                     struct template_flaws *flaws, struct error *err)
{
    struct template_flaws own = {0};
    struct rendering r;

    r.out = out;
    r.flaws = flaws == NULL ? &own : flaws;
    r.err = err;
    r.used = NULL;
    begin(&r, program, data, options);
    run(&r);
    finish(&r);
    if (r.has_failed) {
        r.flaws->count = 0;
        r.flaws->more = 0;
        return false;
    }
    return template_flaws_tell(r.flaws, err);
}

bool template_survey(const struct template *program, const struct json *data,
                     const struct template_options *options,
                     template_use_fn used, void *ctx,
                     struct template_flaws *flaws)
{
    struct rendering r;
    struct error err;
    struct buf nothing;

    r.out = &nothing;
    r.flaws = flaws;
    r.err = &err;
    r.used = used;
    r.use_ctx = ctx;
    buf_init(&nothing, TEMPLATE_OUTPUT_MAX); /* margins of blocks */
    begin(&r, program, data, options);
    run(&r);
    finish(&r);
    buf_finish(&nothing);
    return !r.has_failed && !r.leaves_out;
}
