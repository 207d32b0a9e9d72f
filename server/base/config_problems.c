#include "server/base/config_loading.h"

#include "server/base/codec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINE_SHOWN_MAX = 200, PLACE_MAX = 8192 };

void config_problem(struct config_loading *l, struct config_origin origin,
                    const char *format, ...)
{
    char text[512];
    va_list args;

    if (l->problem_count++ >= CONFIG_PROBLEMS_MAX)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    l->problems[l->problem_count - 1] = (struct config_problem){
        .origin = origin,
        .number = l->problem_count,
        .text = arena_cstr(l->arena, str_of(text)),
    };
}

void config_toml_problem(void *ctx, struct toml_place place, const char *text)
{
    struct config_loading *l = ctx;

    config_problem(l,
                   (struct config_origin){.source = l->source, .place = place},
                   "%s", text);
}

/* Those that belong to no place come first. */
static unsigned rank_of(const struct config_origin *origin)
{
    return origin->source == NULL ? 0 : origin->source->rank + 1;
}

/* The files' first, by their places. */
static int compare_problems(const void *a, const void *b)
{
    const struct config_problem *x = a;
    const struct config_problem *y = b;
    bool x_later = x->origin.variable != NULL;
    bool y_later = y->origin.variable != NULL;

    if (x_later != y_later)
        return x_later - y_later;
    if (rank_of(&x->origin) != rank_of(&y->origin))
        return rank_of(&x->origin) < rank_of(&y->origin) ? -1 : 1;
    if (x->origin.place.line != y->origin.place.line)
        return x->origin.place.line < y->origin.place.line ? -1 : 1;
    if (x->origin.place.column != y->origin.place.column)
        return x->origin.place.column < y->origin.place.column ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

static struct str line_of(struct str text, unsigned number)
{
    struct str line = S("");

    while (number-- > 0)
        if (!str_cut(&text, '\n', &line))
            return S("");
    return str_ends(line, S("\r")) ? str_slice(line, 0, line.len - 1) : line;
}

/* The line with a caret below the column. A line that is very long, or holds
 * a URL with a password, is better not shown. */
static void print_line(struct arena *arena, struct str line, unsigned column,
                       struct buf *out)
{
    ptrdiff_t url = str_find(line, S("://"), 0);
    char *shown;

    if (line.len > LINE_SHOWN_MAX ||
        (url >= 0 && str_index(line, '@', (size_t)url) >= 0))
        return;
    shown = arena_cstr(arena, line);
    for (size_t i = 0; i < line.len; i++)
        if (shown[i] == '\t')
            shown[i] = ' '; /* as wide as it is counted */
    utf8_clean_add(out, str_make(shown, line.len), LINE_SHOWN_MAX);
    buf_addf(out, "\n%*s^\n", (int)column - 1, "");
}

static void add_place(const struct config *config,
                      const struct config_origin *origin, struct buf *out)
{
    if (origin->variable != NULL)
        buf_add_cstr(out, origin->variable);
    else if (origin->source == NULL)
        buf_add_cstr(out, config->file);
    else
        buf_addf(out, "%s:%u:%u", origin->source->name, origin->place.line,
                 origin->place.column);
}

static void print_problem(const struct config *config,
                          const struct config_origin *origin, const char *text,
                          struct buf *out)
{
    add_place(config, origin, out);
    buf_addf(out, ": %s\n", text);
    if (origin->variable == NULL && origin->source != NULL)
        print_line(config->arena,
                   line_of(origin->source->text, origin->place.line),
                   origin->place.column, out);
}

void config_add_problem(const struct config *config,
                        struct config_value_name value, const char *text,
                        struct buf *problems)
{
    struct config_origin origin = config_origin_of(config, value);

    print_problem(config, &origin, text, problems);
}

void config_prefix_place(const struct config *config,
                         struct config_value_name value, struct error *err)
{
    struct config_origin origin = config_origin_of(config, value);
    struct buf place;

    buf_init(&place, PLACE_MAX);
    add_place(config, &origin, &place);
    error_prefix(err, "%.*s", STR_ARG(buf_str(&place)));
    buf_finish(&place);
}

void config_print_problems(struct config_loading *l, struct buf *out)
{
    size_t count = l->problem_count < CONFIG_PROBLEMS_MAX ? l->problem_count
                                                          : CONFIG_PROBLEMS_MAX;

    qsort(l->problems, count, sizeof l->problems[0], compare_problems);
    for (size_t i = 0; i < count; i++)
        print_problem(l->config, &l->problems[i].origin, l->problems[i].text,
                      out);
    if (count < l->problem_count)
        buf_addf(out, "%s: %zu more problems\n", l->config->file,
                 l->problem_count - count);
}
