/* template - what rendering a template costs.
 *
 *   bench_template --template FILE --data FILE [--rounds 50000]
 *
 * A verification mail of 8 KiB with eight variables, compiled and rendered;
 * the copy of as many bytes is the limit. Then that time is linear: inputs
 * made to be slow, as large as they may be, in milliseconds for a MiB.
 */
#include "server/base/file.h"
#include "smtp/message/template.h"
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/report.h"

enum { MIB = 1 << 20 };

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

/* Compiles and renders, whatever comes of it. */
static double measure(struct str source, const struct json *data)
{
    struct template *partial = compile(S("x\n"));
    struct template_options options = {
        .is_lenient = true, .find = find_partial, .find_ctx = partial};
    uint64_t start = now_ns();
    struct error err = {0};
    struct template *program = template_compile(source, true, &err);
    struct buf out;
    bool is_right = true;

    buf_init(&out, TEMPLATE_OUTPUT_MAX);
    if (program != NULL)
        is_right = template_render(program, data, &options, &out, NULL, &err);
    CHECK(is_right || err.kind == ERR_INPUT);
    start = now_ns() - start;
    template_destroy(&program);
    template_destroy(&partial);
    buf_finish(&out);
    return (double)start / 1e6;
}

/* Sources of one piece, over and over. */
static const struct {
    const char *name;
    const char *piece;
} SOURCES[] = {
    {"text", "some text\n"},
    {"tags", "{{a}}"},
    {"misses", "{{b.c.d}}"},
    {"open", "{{ "},
    {"comments", "{{!}}\n"},
    {"blanks", "                \n"},
    {"sections", "{{#a}}\n{{.}}\n{{/a}}\n"},
    {"partials", "  {{>p}}\n"},
    {"blocks", "{{$a}}b{{/a}}"},
    {"parents", "{{<p}}{{$a}}b{{/a}}{{/p}}\n"},
    {"filters", "{{n|number:2}}"},
};

static void bench_sources(void)
{
    struct error err = {0};
    struct json *data = json_parse(S("{\"a\":1,\"n\":1234.5}"), &err);
    struct buf source;

    for (size_t i = 0; i < COUNT_OF(SOURCES); i++) {
        struct str piece = str_of(SOURCES[i].piece);

        buf_init(&source, TEMPLATE_SOURCE_MAX);
        while (source.len + piece.len <= TEMPLATE_SOURCE_MAX)
            buf_add(&source, piece);
        report("template_linear", SOURCES[i].name,
               measure(buf_str(&source), data) * MIB / (double)source.len,
               "ms/MiB");
        buf_finish(&source);
    }
    json_destroy(&data);
}

/* A text of one MiB that is escaped, and a list of one MiB. */
static void bench_data(void)
{
    struct error err = {0};
    struct json *data;
    struct buf text;

    buf_init(&text, 2 * MIB);
    buf_add_cstr(&text, "{\"text\":\"");
    while (text.len < MIB)
        buf_add_cstr(&text, "<a href=x>y</a>");
    buf_add_cstr(&text, "\"}");
    data = json_parse(buf_str(&text), &err);
    report("template_linear", "value", measure(S("{{text}}"), data), "ms/MiB");
    json_destroy(&data);
    buf_clear(&text);
    buf_add_cstr(&text, "{\"list\":[0");
    while (text.len < MIB)
        buf_add_cstr(&text, ",12345");
    buf_add_cstr(&text, "]}");
    data = json_parse(buf_str(&text), &err);
    report("template_linear", "list",
           measure(S("{{#list}}{{.}}{{/list}}"), data), "ms/MiB");
    json_destroy(&data);
    buf_finish(&text);
}

int main(int argc, char **argv)
{
    size_t rounds = (size_t)arg_number(argc, argv, "--rounds", 50000);
    struct buf source = read_file(arg_text(argc, argv, "--template", NULL));
    struct buf text = read_file(arg_text(argc, argv, "--data", NULL));
    struct error err = {0};
    struct json *data = json_parse(buf_str(&text), &err);

    CHECK(data != NULL);
    bench_mail(buf_str(&source), data, rounds);
    bench_sources();
    bench_data();
    json_destroy(&data);
    buf_finish(&text);
    buf_finish(&source);
    return 0;
}
