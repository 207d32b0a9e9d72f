/* template - what rendering a template costs.
 *
 *   bench_template --template FILE --data FILE [--rounds 50000]
 *
 * A verification mail of 8 KiB with eight variables, compiled and rendered;
 * the copy of as many bytes is the limit. The built-in verification mail:
 * subject, text and html. Then inputs made to be slow, as
 * large as a template may be (512 KiB, 20 000 tags) with data of up to 1 MiB:
 * compiled and rendered, in milliseconds of one processor, and how many times
 * as long as a quarter of the same.
 */
#include "server/base/file.h"
#include "smtp/message/builtin.h"
#include "smtp/message/template.h"
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/report.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define OPEN_8 "{{#o}}{{#o}}{{#o}}{{#o}}{{#o}}{{#o}}{{#o}}{{#o}}"
#define BLOCK_8                                                                \
    "{{$a}}\n{{$a}}\n{{$a}}\n{{$a}}\n{{$a}}\n{{$a}}\n{{$a}}\n{{$a}}\n"
#define END_8   "{{/a}}\n{{/a}}\n{{/a}}\n{{/a}}\n{{/a}}\n{{/a}}\n{{/a}}\n{{/a}}\n"
#define CLOSE_8 "{{/o}}{{/o}}{{/o}}{{/o}}{{/o}}{{/o}}{{/o}}{{/o}}"
#define URLS    "{{d|url|date}}{{d|url|date}}{{d|url|date}}{{d|url|date}}"

enum { MIB = 1 << 20, RUNS = 5 };

static struct buf read_file(const char *path)
{
    struct error err = {0};
    struct buf text;

    buf_init(&text, MIB);
    CHECK(file_read(path, &text, &err));
    return text;
}

static struct template *compile(struct str source)
{
    struct error err = {0};
    struct template *program = template_compile(source, true, &err);

    CHECK(program != NULL);
    return program;
}

static void bench_mail(struct str source, const struct json *data,
                       size_t rounds)
{
    const struct template_options options = {0};
    struct template *program = compile(source);
    struct error err = {0};
    struct buf out;
    struct buf copy;
    uint64_t start;

    buf_init(&out, TEMPLATE_OUTPUT_MAX);
    buf_init(&copy, TEMPLATE_OUTPUT_MAX);
    start = now_ns();
    for (size_t i = 0; i < rounds; i++) {
        buf_clear(&out);
        CHECK(template_render(program, data, &options, &out, NULL, &err));
    }
    report("template", "render",
           (double)(now_ns() - start) / (double)rounds / 1000, "us");
    report("template", "render_bytes", (double)out.len, "bytes");
    start = now_ns();
    for (size_t i = 0; i < rounds; i++) {
        buf_clear(&copy);
        buf_add(&copy, buf_str(&out));
    }
    report("template", "copy",
           (double)(now_ns() - start) / (double)rounds / 1000, "us");
    template_destroy(&program);
    start = now_ns();
    for (size_t i = 0; i < rounds / 10; i++) {
        program = compile(source);
        template_destroy(&program);
    }
    report("template", "compile",
           (double)(now_ns() - start) / (double)(rounds / 10) / 1000, "us");
    buf_finish(&copy);
    buf_finish(&out);
}

static const struct template *find_partial(void *ctx, struct str name)
{
    (void)name;
    return ctx;
}

/* The three parts of one mail, as each mail made from it renders them. */
static void bench_builtin(const char *locale, size_t rounds)
{
    const struct builtin_template *builtin =
        builtin_template_find(S("verification-code"), str_of(locale));
    struct template *layout =
        compile(builtin_partial_find(S("builtin-layout")));
    struct template *parts[] = {compile(builtin->subject),
                                compile(builtin->text), compile(builtin->html)};
    struct template_options options = {
        .locale = builtin->locale, .find = find_partial, .find_ctx = layout};
    struct error err = {0};
    struct json *data =
        json_parse(S("{\"code\":\"483920\",\"expires_in\":10,"
                     "\"product_name\":\"Acme\",\"brand_color\":\"#1f5fbf\"}"),
                   &err);
    struct buf out;
    char name[32];
    uint64_t start;

    buf_init(&out, TEMPLATE_OUTPUT_MAX);
    start = now_ns();
    for (size_t i = 0; i < rounds; i++) {
        buf_clear(&out);
        for (size_t k = 0; k < COUNT_OF(parts); k++) {
            options.escape = k == 2 ? TEMPLATE_HTML : TEMPLATE_TEXT;
            CHECK(template_render(parts[k], data, &options, &out, NULL, &err));
        }
    }
    snprintf(name, sizeof name, "builtin_%s", locale);
    report("template", name, (double)(now_ns() - start) / (double)rounds / 1000,
           "us");
    buf_finish(&out);
    json_destroy(&data);
    for (size_t k = 0; k < COUNT_OF(parts); k++)
        template_destroy(&parts[k]);
    template_destroy(&layout);
}

/* Compiles and renders, whatever comes of it; the processor's seconds. */
static double try(struct str source, const struct json *data, bool is_strict)
{
    struct template *partial = compile(S("x\n"));
    struct template_options options = {
        .is_lenient = !is_strict, .find = find_partial, .find_ctx = partial};
    struct effort effort = effort_begin();
    struct error err = {0};
    struct template *program = template_compile(source, true, &err);
    struct buf out;
    bool is_right = program != NULL;

    buf_init(&out, TEMPLATE_OUTPUT_MAX);
    if (is_right)
        is_right = template_render(program, data, &options, &out, NULL, &err);
    CHECK(is_right || err.kind == ERR_INPUT);
    template_destroy(&program);
    buf_finish(&out);
    effort_end(&effort);
    template_destroy(&partial);
    return effort.cpu_s;
}

/* The best of some runs, in milliseconds. */
static double measure(struct str source, const struct json *data,
                      bool is_strict)
{
    double best = try(source, data, is_strict);

    for (int i = 1; i < RUNS; i++) {
        double now = try(source, data, is_strict);

        best = now < best ? now : best;
    }
    return best * 1000;
}

/* What four times the input takes: four times as long when time is linear. */
static void report_growth(const char *name, double quarter, double whole)
{
    char ratio[32];

    snprintf(ratio, sizeof ratio, "%s_x4", name);
    report("template_worst", name, whole, "ms");
    report("template_worst", ratio, whole / quarter, "times");
}

#define TEN(n)                                                                 \
    "{{b" n "0}}{{b" n "1}}{{b" n "2}}{{b" n "3}}{{b" n "4}}"                  \
    "{{b" n "5}}{{b" n "6}}{{b" n "7}}{{b" n "8}}{{b" n "9}}"

/* Sources of one piece, over and over; # in it becomes a number. */
static const struct source {
    const char *name;
    const char *before;
    const char *piece;
    const char *behind;
    unsigned tags; /* of a piece */
    bool is_strict;
} SOURCES[] = {
    {"text", "", "some text\n", "", 0, false},
    {"tags", "", "{{a}}", "", 1, false},
    {"dense", "{{=< >=}}", "<a>\n", "", 1, false},
    {"names", "", "{{a#}}", "", 1, false},
    {"reals", "", "{{r}}", "", 1, false},
    {"flaws", "", "{{b#}}", "", 1, true},
    {"late", "", "x\n", TEN("1") TEN("2") TEN("3") TEN("4") TEN("5"), 0, true},
    {"misses", "", "{{b.c.d}}", "", 1, false},
    {"deep", OPEN_8 OPEN_8 OPEN_8, "{{b}}", CLOSE_8 CLOSE_8 CLOSE_8, 1, false},
    {"indents", BLOCK_8 BLOCK_8 BLOCK_8, " x\n", END_8 END_8 END_8, 0, false},
    {"open", "", "{{ ", "", 0, false},
    {"comments", "", "{{!}}\n", "", 1, false},
    {"blanks", "", "                \n", "", 0, false},
    {"sections", "", "{{#a}}\n{{.}}\n{{/a}}\n", "", 3, false},
    {"partials", "", "  {{>p}}\n", "", 1, false},
    {"blocks", "", "{{$a}}b{{/a}}", "", 2, false},
    {"parents", "", "{{<p}}{{$a}}b{{/a}}{{/p}}\n", "", 4, false},
    {"filters", "", "{{n|number:2}}", "", 1, false},
};

/* As many pieces as the share (of 4) of the limits allows. */
static void fill(struct buf *out, const struct source *source, size_t share)
{
    size_t end = TEMPLATE_SOURCE_MAX / 4 * share - strlen(source->behind);
    size_t most = ((size_t)TEMPLATE_TAGS_MAX - 64) / 4 * share;
    struct str piece = str_of(source->piece);
    ptrdiff_t mark = str_index(piece, '#', 3);
    size_t tags = 0;

    buf_clear(out);
    buf_add_cstr(out, source->before);
    for (unsigned i = 0; out->len + piece.len + 8 <= end && tags < most; i++) {
        buf_add(out, mark < 0 ? piece : str_slice(piece, 0, (size_t)mark));
        if (mark >= 0)
            buf_addf(out, "%u%s", i, source->piece + mark + 1);
        tags += source->tags;
    }
    buf_add_cstr(out, source->behind);
}

static void bench_sources(void)
{
    struct error err = {0};
    struct json *data =
        json_parse(S("{\"a\":1,\"n\":1234.5,\"r\":0.30000000000000004,"
                     "\"o\":{\"x\":1}}"),
                   &err);
    struct buf text;

    buf_init(&text, TEMPLATE_SOURCE_MAX);
    for (size_t i = 0; i < COUNT_OF(SOURCES); i++) {
        const struct source *source = &SOURCES[i];
        double quarter;
        double whole;

        fill(&text, source, 1);
        quarter = measure(buf_str(&text), data, source->is_strict);
        fill(&text, source, 4);
        whole = measure(buf_str(&text), data, source->is_strict);
        report_growth(source->name, quarter, whole);
    }
    buf_finish(&text);
    json_destroy(&data);
}

/* Data of size bytes: a text that is escaped, or a list. */
static double measure_data(const char *source, const char *before,
                           const char *piece, const char *behind, size_t size)
{
    struct error err = {0};
    struct json *data;
    struct buf text;
    double ms;

    buf_init(&text, size + MIB);
    buf_add_cstr(&text, before);
    while (text.len < size)
        buf_add_cstr(&text, piece);
    buf_add_cstr(&text, behind);
    data = json_parse(buf_str(&text), &err);
    CHECK(data != NULL);
    ms = measure(str_of(source), data, false);
    json_destroy(&data);
    buf_finish(&text);
    return ms;
}

static void bench_data(void)
{
    static const struct {
        const char *name, *source, *before, *piece, *behind;
    } rows[] = {
        {"value", "{{d}}", "{\"d\":\"", "<a href=x>y</a>", "\"}"},
        {"url", "{{d|url}}", "{\"d\":\"", "<<<<", "\"}"},
        {"url_again", URLS URLS URLS URLS, "{\"d\":\"", "<<<<", "\"}"},
        {"list", "{{#d}}{{.}}{{/d}}", "{\"d\":[0", ",12345", "]}"},
        {"list_reals", "{{#d}}{{.}}{{/d}}", "{\"d\":[0", ",0.30000000000000004",
         "]}"},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        double quarter = measure_data(rows[i].source, rows[i].before,
                                      rows[i].piece, rows[i].behind, MIB / 4);
        double whole = measure_data(rows[i].source, rows[i].before,
                                    rows[i].piece, rows[i].behind, MIB);

        report_growth(rows[i].name, quarter, whole);
    }
}

int main(int argc, char **argv)
{
    size_t rounds = (size_t)arg_number(argc, argv, "--rounds", 50000);
    struct buf source = read_file(arg_text(argc, argv, "--template", NULL));
    struct buf text = read_file(arg_text(argc, argv, "--data", NULL));
    struct error err = {0};
    struct json *data = json_parse(buf_str(&text), &err);

    CHECK(data != NULL);
    /* Memory stays with the process, as it does in one that runs for long. */
    CHECK(mallopt(M_MMAP_THRESHOLD, 32 * MIB) == 1);
    CHECK(mallopt(M_TRIM_THRESHOLD, 512 * MIB) == 1);
    bench_mail(buf_str(&source), data, rounds);
    bench_builtin("en", rounds);
    bench_builtin("zh", rounds);
    bench_sources();
    bench_data();
    json_destroy(&data);
    buf_finish(&text);
    buf_finish(&source);
    return 0;
}
