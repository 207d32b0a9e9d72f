/* A template of a whole mail, as it is stored, and a mail from it. The input is
 * the locale, a NUL, the variables as JSON, a NUL, and the source. */
#include "server/base/codec.h"
#include "smtp/message/mail_template.h"
#include "smtp/message/template_variables.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count_flaw(void *ctx, struct str pointer, const char *text)
{
    size_t *count = ctx;

    CHECK(pointer.len > 0 && pointer.ptr[0] == '/' && text[0] != '\0');
    ++*count;
}

static const struct mail_template *find_itself(void *ctx, struct str name)
{
    (void)name;
    return ctx;
}

static void check_part(bool is_there, const struct buf *part)
{
    CHECK(!is_there || (!part->full && utf8_is_valid(buf_str(part))));
}

static void render(struct mail_template_request request)
{
    struct mail_rendering out;
    struct error err = {0};

    if (mail_template_render(&request, &out, &err)) {
        CHECK(out.flaws.count == 0 && !out.has_failed);
        check_part(out.has_subject, &out.subject);
        check_part(out.has_subject, &out.shown);
        check_part(out.has_html, &out.html);
        check_part(out.has_text, &out.text);
    } else {
        CHECK(out.flaws.count > 0 || (out.has_failed && err.text[0] != '\0'));
    }
    mail_rendering_finish(&out);
}

static void check_named(void *ctx, const struct template_flaw *flaw)
{
    (void)ctx;
    CHECK(flaw->kind == TEMPLATE_MISSING || flaw->kind == TEMPLATE_NO_PARTIAL);
    CHECK(flaw->where != NULL && flaw->line > 0 && flaw->column > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool used[TEMPLATE_VARIABLES_MAX];
    struct str rest = str_make(data, size);
    struct mail_template_request request = {.find = find_itself};
    struct mail_template *mail;
    struct json *variables;
    struct str text = {0};
    size_t flaws = 0;

    if (!str_cut(&rest, '\0', &request.locale) || !str_cut(&rest, '\0', &text))
        return 0;
    mail = mail_template_compile(rest, count_flaw, &flaws);
    CHECK((mail == NULL) == (flaws > 0));
    if (mail == NULL)
        return 0;
    variables = json_parse(text, NULL);
    request.mail = mail;
    request.find_ctx = mail;
    request.variables = json_type_of(variables) == JSON_MAP ? variables : NULL;
    render(request);
    request.with_examples = true;
    request.steps_max = 1000;
    render(request);
    request.variables = NULL;
    mail_template_survey(&request, used, check_named, NULL);
    json_destroy(&variables);
    mail_template_destroy(&mail);
    return 0;
}
