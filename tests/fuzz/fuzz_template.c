/* A template with everything that data may do to it. The input is a flag (a
 * digit: 1 filters, 2 lenient, 4 text), the template, a NUL, the data as JSON,
 * a NUL, and the one partial, which every name finds. */
#include "server/base/codec.h"
#include "smtp/message/template.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct template *find_the_one(void *ctx, struct str name)
{
    (void)name;
    return ctx;
}

static void render(const struct template *program, const struct json *data,
                   struct template_options options)
{
    struct template_flaws flaws;
    struct error err = {0};
    struct buf out;
    bool is_right;

    buf_init(&out, 1 << 16);
    is_right = template_render(program, data, &options, &out, &flaws, &err);
    CHECK(is_right == (err.kind == ERR_NONE));
    CHECK(!is_right || utf8_is_valid(buf_str(&out)));
    CHECK(!is_right || flaws.count == 0);
    for (size_t i = 0; i < flaws.count; i++)
        CHECK(flaws.rows[i].line >= 1 && flaws.rows[i].column >= 1);
    buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_make(data, size);
    char flag = size == 0 ? '0' : rest.ptr[0];
    struct template_options options = {
        .is_lenient = (flag & 2) != 0,
        .escape = (flag & 4) != 0 ? TEMPLATE_TEXT : TEMPLATE_HTML,
        .find = find_the_one,
    };
    struct error err = {0};
    struct str source = {0};
    struct str text = {0};
    struct template *program;
    struct template *partial;
    struct json *root;

    rest = str_from(rest, 1);
    if (!str_cut(&rest, '\0', &source))
        return 0;
    if (!str_cut(&rest, '\0', &text))
        text = S("{}");
    program = template_compile(source, (flag & 1) != 0, &err);
    CHECK((program == NULL) == (err.kind == ERR_INPUT));
    partial = template_compile(rest, (flag & 1) != 0, &err);
    root = json_parse(text, &err);
    options.find_ctx = partial;
    if (program != NULL && root != NULL)
        render(program, root, options);
    json_destroy(&root);
    template_destroy(&partial);
    template_destroy(&program);
    return 0;
}
