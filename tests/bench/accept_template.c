/* accept_template - what a stored template costs the API.
 *
 *   bench_accept_template --port P --key K --template FILE --data FILE
 *                         [--requests 5000] [--turns 5] [--pids API]
 *
 * The same verification mail, html of 7.5 KB and a line of text: as a
 * published template with eight variables, and as html and text that the
 * caller has rendered. In turns, closed loop with 64 connections; of the
 * turns, the medians. The ratios say how many times the rate, and the API's
 * CPU, of the mail without a template it is.
 */
#include "server/base/file.h"
#include "server/base/json.h"
#include "smtp/message/template.h"
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/report.h"
#include "tests/bench/lib/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 20, TURNS_MAX = 25 };

static const struct str TEXT =
    STR("{{code}} is your code for {{product_name}}. It is good for "
        "{{expires_minutes}} minutes.\n");
static const struct str SUBJECT = STR("{{code}} is your code");

enum kind { WITH_TEMPLATE, WITH_HTML, KINDS };

/* Everything a body is made of. */
struct mail {
    enum kind kind;
    struct buf source; /* of the html */
    struct buf data;   /* a JSON map */
    struct buf html;   /* rendered */
    struct buf text;
    struct buf subject;
};

struct figures {
    double rate[TURNS_MAX]; /* requests a second */
    double cpu[TURNS_MAX];  /* us each */
};

/* --- bodies --- */

static void add_template(void *ctx, size_t number, struct buf *out)
{
    const struct mail *mail = ctx;
    struct json_out json;

    (void)number;
    json_out_init(&json, out);
    json_open_map(&json);
    json_add_cstr(&json, "name", "Benchmark");
    json_add_cstr(&json, "alias", "bench");
    json_add_str(&json, "subject", SUBJECT);
    json_add_str(&json, "html", buf_str(&mail->source));
    json_add_str(&json, "text", TEXT);
    json_close_map(&json);
}

static void add_nothing(void *ctx, size_t number, struct buf *out)
{
    (void)ctx;
    (void)number;
    (void)out;
}

static void add_mail(void *ctx, size_t number, struct buf *out)
{
    const struct mail *mail = ctx;
    struct json_out json;
    char to[64];

    snprintf(to, sizeof to, "n%zu@sink.test", number);
    json_out_init(&json, out);
    json_open_map(&json);
    json_add_cstr(&json, "from", "Example <login@sender.test>");
    json_add_cstr(&json, "to", to);
    if (mail->kind == WITH_HTML) {
        json_add_str(&json, "subject", buf_str(&mail->subject));
        json_add_str(&json, "html", buf_str(&mail->html));
        json_add_str(&json, "text", buf_str(&mail->text));
    } else {
        json_name(&json, "template");
        json_open_map(&json);
        json_add_cstr(&json, "id", "bench");
        json_name(&json, "variables");
        json_put_raw(&json, buf_str(&mail->data));
        json_close_map(&json);
    }
    json_close_map(&json);
}

static struct buf read_file(const char *path)
{
    struct error err = {0};
    struct buf text;

    buf_init(&text, FILE_MAX);
    CHECK(file_read(path, &text, &err));
    return text;
}

static struct buf render(struct str source, bool is_html,
                         const struct json *data)
{
    const struct template_options options = {0};
    struct error err = {0};
    struct template *program = template_compile(source, is_html, &err);
    struct buf out;

    buf_init(&out, TEMPLATE_OUTPUT_MAX);
    CHECK(program != NULL);
    CHECK(template_render(program, data, &options, &out, NULL, &err));
    template_destroy(&program);
    return out;
}

static void mail_init(struct mail *mail, const char *source, const char *data)
{
    struct json *values;

    mail->source = read_file(source);
    mail->data = read_file(data);
    values = json_parse(buf_str(&mail->data), NULL);
    CHECK(values != NULL);
    mail->html = render(buf_str(&mail->source), true, values);
    mail->text = render(TEXT, false, values);
    mail->subject = render(SUBJECT, false, values);
    json_destroy(&values);
}

static void mail_finish(struct mail *mail)
{
    buf_finish(&mail->source);
    buf_finish(&mail->data);
    buf_finish(&mail->html);
    buf_finish(&mail->text);
    buf_finish(&mail->subject);
}

/* --- measuring --- */

static struct load_result run(const struct load_plan *plan)
{
    struct load_result result = load_run(plan);

    if (result.answered < plan->requests) {
        fprintf(stderr, "accept_template: %s: refused %zu (%u), broken %zu\n",
                plan->path, result.refused, result.last_refusal, result.broken);
        exit(1);
    }
    return result;
}

static void post_once(struct load_plan plan, const char *path,
                      void (*body)(void *, size_t, struct buf *))
{
    struct load_result result;

    plan.path = path;
    plan.body = body;
    plan.requests = 1;
    plan.connections = 1;
    result = run(&plan);
    load_result_finish(&result);
}

static void measure(const struct load_plan *plan, const char *pids,
                    double *rate, double *cpu)
{
    double before = tree_cpu_s(pids);
    struct load_result result = run(plan);

    *rate = (double)result.answered / result.seconds;
    *cpu = (tree_cpu_s(pids) - before) * 1e6 / (double)result.answered;
    load_result_finish(&result);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_size);
    return values[count / 2];
}

static void tell(struct figures *figures, size_t turns, bool has_cpu)
{
    static const char *const NAMES[KINDS] = {"template", "html"};
    double rate[KINDS];
    double cpu[KINDS];

    for (size_t kind = 0; kind < KINDS; kind++) {
        char name[32];

        rate[kind] = median(figures[kind].rate, turns);
        cpu[kind] = median(figures[kind].cpu, turns);
        snprintf(name, sizeof name, "%s_rate", NAMES[kind]);
        report("accept", name, rate[kind], "req/s");
        snprintf(name, sizeof name, "%s_cpu", NAMES[kind]);
        if (has_cpu)
            report("accept", name, cpu[kind], "us/req");
    }
    report("accept", "template_ratio", rate[WITH_TEMPLATE] / rate[WITH_HTML],
           "x");
    if (has_cpu)
        report("accept", "template_cpu_ratio",
               cpu[WITH_TEMPLATE] / cpu[WITH_HTML], "x");
}

int main(int argc, char **argv)
{
    const char *pids = arg_text(argc, argv, "--pids", "");
    size_t turns = (size_t)arg_number(argc, argv, "--turns", 5);
    struct mail mail = {.kind = WITH_TEMPLATE};
    struct load_plan plan = {
        .port = (uint16_t)arg_number(argc, argv, "--port", -1),
        .path = "/v1/emails",
        .key = arg_text(argc, argv, "--key", NULL),
        .connections = 64,
        .requests = (size_t)arg_number(argc, argv, "--requests", 5000),
        .body = add_mail,
        .ctx = &mail,
    };
    static struct figures figures[KINDS];

    CHECK(turns > 0 && turns <= TURNS_MAX);
    mail_init(&mail, arg_text(argc, argv, "--template", NULL),
              arg_text(argc, argv, "--data", NULL));
    post_once(plan, "/v1/templates", add_template);
    post_once(plan, "/v1/templates/bench/publish", add_nothing);
    for (size_t turn = 0; turn < turns; turn++)
        for (size_t kind = 0; kind < KINDS; kind++) {
            mail.kind = (enum kind)kind;
            measure(&plan, pids, &figures[kind].rate[turn],
                    &figures[kind].cpu[turn]);
            plan.first += plan.requests;
        }
    tell(figures, turns, pids[0] != '\0');
    mail_finish(&mail);
    return 0;
}
