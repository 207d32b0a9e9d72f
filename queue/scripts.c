#include "queue/scripts.h"

#include "server/base/check.h"

/* Longer than C11 promises; gcc and clang have no such limit. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverlength-strings"
static const struct {
    const char *name;
    struct str text;
} SCRIPTS[SCRIPT_COUNT] = {
#define SCRIPT(id, text) [SCRIPT_##id] = {#id, STR(text)},
#include "queue_scripts.inc"
#undef SCRIPT
};
#pragma GCC diagnostic pop

const char *script_name(enum script script)
{
    CHECK(script < SCRIPT_COUNT);
    return SCRIPTS[script].name;
}

static bool is_script(unsigned i)
{
    return str_starts(SCRIPTS[i].text, S("#!lua"));
}

unsigned script_next(unsigned i)
{
    while (i < SCRIPT_COUNT && !is_script(i))
        i++;
    return i;
}

bool script_writes(enum script script)
{
    struct str text = SCRIPTS[script].text;
    struct str line;

    CHECK(script < SCRIPT_COUNT && str_cut(&text, '\n', &line));
    return !str_contains(line, S("no-writes"));
}

static struct str library_text(struct str name)
{
    for (unsigned i = 0; i < SCRIPT_COUNT; i++)
        if (!is_script(i) && str_eq_nocase(str_of(SCRIPTS[i].name), name))
            return SCRIPTS[i].text;
    check_failed("a library of that name", __FILE__, __LINE__);
}

static void add_libraries(struct str names, struct buf *out)
{
    struct str name;

    while (str_cut(&names, ' ', &name))
        buf_add(out, library_text(name));
}

/* True: the line says so, and is taken off; rest: what stands behind. */
static bool cut_line(struct str *body, struct str word, struct str *rest)
{
    if (!str_starts(*body, word) || !str_cut(body, '\n', rest))
        return false;
    *rest = str_from(*rest, word.len);
    return true;
}

/* The line of the interpreter must stay the first one. Builds with fault
 * points let tests move Redis' clock (queue.md 1.6). */
void script_add_text(enum script script, struct buf *out)
{
    struct str body = SCRIPTS[script].text;
    struct str line;
    struct str name;

    CHECK(script < SCRIPT_COUNT && is_script(script));
    CHECK(str_cut(&body, '\n', &line));
    buf_add(out, line);
#ifdef FAULT_POINTS
    buf_add_cstr(out, "\nlocal FAULT_POINTS = true\n");
#else
    buf_add_cstr(out, "\nlocal FAULT_POINTS = false\n");
#endif
    CHECK(cut_line(&body, S("-- needs: "), &line));
    add_libraries(line, out);
    while (cut_line(&body, S("-- function "), &line)) {
        CHECK(str_cut(&line, ':', &name));
        buf_addf(out, "local function %.*s(...)\n", STR_ARG(name));
        add_libraries(str_from(line, 1), out);
        buf_add_cstr(out, "end\n");
    }
    buf_add(out, body);
    CHECK(!out->full);
}
