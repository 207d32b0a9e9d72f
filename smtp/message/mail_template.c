#include "smtp/message/mail_template.h"

#include "server/base/mask.h"
#include "server/base/mem.h"
#include "smtp/message/locale.h"
#include "smtp/message/template_program.h"
#include "smtp/message/template_variables.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SUBJECT_MAX_BYTES = 64 << 10,
    SHORT_OUTPUT = 200 << 10,
    POINTER_MAX = 256,
    TREE_GROWTH = 3, /* bytes of a tree for each of its text, about */
};

#define DOTS "\u2022\u2022\u2022\u2022\u2022\u2022"

enum part { PART_SUBJECT, PART_HTML, PART_TEXT, PART_COUNT };

static const struct {
    const char *name;
    enum template_escape escape;
    size_t max; /* bytes of output */
} PARTS[PART_COUNT] = {
    [PART_SUBJECT] = {"subject", TEMPLATE_LINE, SUBJECT_MAX_BYTES},
    [PART_HTML] = {"html", TEMPLATE_HTML, TEMPLATE_OUTPUT_MAX},
    [PART_TEXT] = {"text", TEMPLATE_TEXT, TEMPLATE_OUTPUT_MAX},
};

struct variant {
    struct str locale;
    struct template *parts[PART_COUNT]; /* NULL: it has none */
};

struct mail_template {
    struct json *root; /* owned */
    size_t source_len;
    struct variant *variants; /* the default one first */
    size_t variant_count;
    struct template_variables variables;
    bool is_lenient;
};

/* --- languages --- */

static char folded(char c)
{
    return c == '_' ? '-' : ascii_lower(c);
}

bool locale_tag_is_sound(struct str tag)
{
    size_t run = 0;

    if (tag.len == 0 || tag.len > LOCALE_TAG_MAX)
        return false;
    for (size_t i = 0; i <= tag.len; i++) {
        if (i < tag.len && ascii_is_alnum(tag.ptr[i])) {
            run++;
        } else if (i == tag.len || folded(tag.ptr[i]) == '-') {
            if (run == 0 || run > 8)
                return false;
            run = 0;
        } else {
            return false;
        }
    }
    return true;
}

/* NULL: none has that name, however short. */
static const struct variant *variant_named(const struct mail_template *mail,
                                           struct str tag)
{
    for (; tag.len > 0; tag = locale_tag_shorten(tag))
        for (size_t i = 0; i < mail->variant_count; i++)
            if (locale_tag_is(mail->variants[i].locale, tag))
                return &mail->variants[i];
    return NULL;
}

/* English is what most readers of another language know. */
static const struct variant *variant_for(const struct mail_template *mail,
                                         struct str tag)
{
    const struct variant *variant = variant_named(mail, tag);

    if (variant == NULL && tag.len > 0)
        variant = variant_named(mail, S("en"));
    return variant != NULL ? variant : &mail->variants[0];
}

/* Languages that are written from right to left. */
static const char *direction(struct str tag)
{
    static const char *const languages[] = {"ar", "he", "iw", "fa",  "ur", "ps",
                                            "sd", "ug", "yi", "ckb", "dv"};
    size_t len = 0;

    while (len < tag.len && folded(tag.ptr[len]) != '-')
        len++;
    for (size_t i = 0; i < COUNT_OF(languages); i++)
        if (locale_tag_is(str_slice(tag, 0, len), str_of(languages[i])))
            return "rtl";
    return "ltr";
}

/* --- compiling --- */

struct compiling {
    struct mail_template *mail;
    mail_template_flaw_fn tell;
    void *ctx;
    bool is_sound;
};

static void complain(struct compiling *at, struct str base, const char *member,
                     const char *text)
{
    struct buf pointer;

    buf_init(&pointer, POINTER_MAX);
    buf_addf(&pointer, "%.*s/%s", STR_ARG(base), member);
    at->is_sound = false;
    at->tell(at->ctx, buf_str(&pointer), text);
    buf_finish(&pointer);
}

static void compile_part(struct compiling *at, struct str base,
                         const struct json *map, enum part part,
                         struct variant *variant)
{
    const struct json *source = json_get(map, PARTS[part].name);
    struct error err;

    if (json_type_of(source) != JSON_TEXT)
        return;
    variant->parts[part] = template_compile(json_str(source), true, &err);
    if (variant->parts[part] == NULL)
        complain(at, base, PARTS[part].name, err.text);
}

static void compile_variant(struct compiling *at, struct str base,
                            struct str locale, const struct json *map)
{
    struct variant *variant = &at->mail->variants[at->mail->variant_count++];

    variant->locale = locale;
    for (unsigned part = 0; part < PART_COUNT; part++)
        compile_part(at, base, map, part, variant);
    if (json_get(map, "html") == NULL && json_get(map, "text") == NULL)
        complain(at, base, "html", "or `text` must be given");
}

static void compile_locale(struct compiling *at, struct str locale,
                           const struct json *map)
{
    struct buf base;

    for (size_t i = 0; i < at->mail->variant_count; i++)
        if (locale_tag_is(at->mail->variants[i].locale, locale)) {
            complain(at, S(""), "locales",
                     "names a language twice, or the default one");
            return;
        }
    buf_init(&base, POINTER_MAX);
    buf_addf(&base, "/locales/%.*s", STR_ARG(locale));
    compile_variant(at, buf_str(&base), locale, map);
    buf_finish(&base);
}

static void compile_variants(struct compiling *at)
{
    const struct json *root = at->mail->root;
    const struct json *locales = json_get(root, "locales");
    struct str locale = json_get_str(root, "default_locale");
    const struct json *map;
    void *next = NULL;

    at->mail->variants =
        xcalloc(json_count(locales) + 1, sizeof *at->mail->variants);
    compile_variant(at, S(""), locale.len > 0 ? locale : S("en"), root);
    while (json_next(locales, &next, &locale, &map)) {
        if (locale_tag_is_sound(locale))
            compile_locale(at, locale, map);
        else
            complain(at, S(""), "locales",
                     "must have names like \"zh\" or \"pt-BR\" (BCP 47)");
    }
}

/* "variables[2]: what": the pointer says where. */
static void complain_of_variables(struct compiling *at, struct error *err)
{
    struct str text = str_of(err->text);
    struct str head;
    char member[32] = "variables";
    unsigned row;

    if (sscanf(err->text, "variables[%u]:", &row) == 1)
        snprintf(member, sizeof member, "variables/%u", row);
    str_cut(&text, ':', &head);
    complain(at, S(""), member, str_trim(text).ptr);
}

static void compile_variables(struct compiling *at)
{
    const struct json *list = json_get(at->mail->root, "variables");
    struct error err;

    if (list != NULL &&
        !template_variables_read(list, &at->mail->variables, &err))
        complain_of_variables(at, &err);
}

struct mail_template *
mail_template_compile(struct str source, mail_template_flaw_fn tell, void *ctx)
{
    struct mail_template *mail = xcalloc(1, sizeof *mail);
    struct compiling at = {mail, tell, ctx, true};
    const struct json *strict;
    struct error err;

    mail->source_len = source.len;
    mail->root = json_parse(source, &err);
    if (json_type_of(mail->root) == JSON_MAP) {
        strict = json_get(mail->root, "strict");
        mail->is_lenient =
            json_type_of(strict) == JSON_BOOL && !json_bool(strict);
        compile_variants(&at);
        compile_variables(&at);
    } else {
        complain(&at, S(""), "", "is no template");
    }
    if (!at.is_sound)
        mail_template_destroy(&mail);
    return mail;
}

void mail_template_destroy(struct mail_template **mail_at)
{
    struct mail_template *mail = *mail_at;

    if (mail == NULL)
        return;
    for (size_t i = 0; i < mail->variant_count; i++)
        for (unsigned part = 0; part < PART_COUNT; part++)
            template_destroy(&mail->variants[i].parts[part]);
    free(mail->variants);
    json_destroy(&mail->root);
    free(mail);
    *mail_at = NULL;
}

/* --- what it says --- */

static size_t program_bytes(const struct template *program)
{
    if (program == NULL)
        return 0;
    return sizeof *program + program->source.len + program->pool.cap +
           program->op_count * sizeof *program->ops +
           program->path_count * sizeof *program->paths +
           program->filter_count * sizeof *program->filters;
}

size_t mail_template_bytes(const struct mail_template *mail)
{
    size_t bytes = sizeof *mail + TREE_GROWTH * mail->source_len;

    for (size_t i = 0; i < mail->variant_count; i++)
        for (unsigned part = 0; part < PART_COUNT; part++)
            bytes += program_bytes(mail->variants[i].parts[part]);
    return bytes;
}

struct str mail_template_from(const struct mail_template *mail)
{
    return json_get_str(mail->root, "from");
}

const struct json *mail_template_reply_to(const struct mail_template *mail)
{
    return json_get(mail->root, "reply_to");
}

bool mail_template_is_sensitive(const struct mail_template *mail)
{
    for (size_t i = 0; i < mail->variables.count; i++)
        if (mail->variables.rows[i].is_sensitive)
            return true;
    return false;
}

size_t mail_template_locale_count(const struct mail_template *mail)
{
    return mail->variant_count;
}

struct str mail_template_locale(const struct mail_template *mail, size_t i)
{
    CHECK(i < mail->variant_count);
    return mail->variants[i].locale;
}

size_t mail_template_variable_count(const struct mail_template *mail)
{
    return mail->variables.count;
}

struct str mail_template_variable(const struct mail_template *mail, size_t i)
{
    CHECK(i < mail->variables.count);
    return mail->variables.rows[i].name;
}

static const struct template *program_of(const struct mail_template *mail,
                                         const struct variant *variant,
                                         enum part part)
{
    const struct template *program = variant->parts[part];

    if (program == NULL && part == PART_SUBJECT)
        program = mail->variants[0].parts[part];
    return program;
}

const struct template *mail_template_part(const struct mail_template *mail,
                                          struct str locale, const char *name)
{
    const struct variant *variant = variant_for(mail, locale);
    const struct template *program = NULL;

    for (unsigned part = 0; part < PART_COUNT; part++)
        if (str_eq(str_of(name), str_of(PARTS[part].name)))
            program = program_of(mail, variant, part);
    return program;
}

bool mail_template_pointer(const struct mail_template *mail,
                           const struct template *program, struct buf *out)
{
    for (size_t i = 0; i < mail->variant_count; i++)
        for (unsigned part = 0; part < PART_COUNT; part++) {
            const struct variant *variant = &mail->variants[i];

            if (program == NULL || variant->parts[part] != program)
                continue;
            if (i > 0)
                buf_addf(out, "/locales/%.*s", STR_ARG(variant->locale));
            buf_addf(out, "/%s", PARTS[part].name);
            return true;
        }
    return false;
}

/* --- flaws --- */

static void add_flaws(struct template_flaws *to,
                      const struct template_flaws *from)
{
    to->more += from->more;
    for (size_t i = 0; i < from->count; i++) {
        if (template_flaws_have(to, &from->rows[i]))
            continue;
        if (to->count < TEMPLATE_FLAWS_MAX)
            to->rows[to->count++] = from->rows[i];
        else
            to->more++;
    }
}

/* --- data --- */

struct rendering {
    const struct mail_template_request *request;
    const struct variant *variant;
    struct str filters_locale;
    enum part part;
    struct mail_rendering *out;
    struct error *err;
};

static void fail(struct rendering *r, const char *what, const struct error *err)
{
    if (!r->out->has_failed)
        error_set(r->err, ERR_INPUT, "%s: %s", what, err->text);
    r->out->has_failed = true;
}

/* A lenient template takes what is missing, but nothing of a wrong type. */
static void add_data_flaws(struct rendering *r, struct template_flaws *flaws)
{
    size_t kept = 0;

    for (size_t i = 0; i < flaws->count; i++)
        if (!r->request->mail->is_lenient ||
            flaws->rows[i].kind == TEMPLATE_BAD_VALUE)
            flaws->rows[kept++] = flaws->rows[i];
    flaws->count = kept;
    add_flaws(&r->out->flaws, flaws);
}

static bool is_declared(const struct mail_template *mail, const char *name)
{
    for (size_t i = 0; i < mail->variables.count; i++)
        if (str_eq(mail->variables.rows[i].name, str_of(name)))
            return true;
    return false;
}

/* data is a map's text: one member more, unless the template or its user has
 * one of that name. */
static void add_own(struct rendering *r, struct buf *data, const char *name,
                    struct str value)
{
    const struct json *given = r->request->variables;

    if (is_declared(r->request->mail, name) ||
        (given != NULL && json_get(given, name) != NULL))
        return;
    buf_truncate(data, data->len - 1);
    buf_addf(data, "%s\"%s\":\"%.*s\"}", data->len > 1 ? "," : "", name,
             STR_ARG(value));
}

/* What is given, and behind it the examples of what is not. */
static struct json *with_examples(const struct mail_template *mail,
                                  const struct json *given)
{
    struct json_out out;
    struct json *all;
    struct buf examples, buf;
    struct str name;
    const struct json *value;
    struct json *samples;
    void *at = NULL;

    buf_init(&examples, 2 * MAIL_VARIABLES_MAX);
    template_variables_example(&mail->variables, &examples);
    samples = json_parse(buf_str(&examples), NULL);
    buf_init(&buf, 4 * MAIL_VARIABLES_MAX);
    json_out_init(&out, &buf);
    json_open_map(&out);
    while (given != NULL && json_next(given, &at, &name, &value)) {
        json_name_str(&out, name);
        json_put_value(&out, value);
    }
    at = NULL;
    while (json_next(samples, &at, &name, &value)) {
        char key[TEMPLATE_NAME_MAX + 1];

        snprintf(key, sizeof key, "%.*s", STR_ARG(name));
        if (given != NULL && json_get(given, key) != NULL)
            continue;
        json_name_str(&out, name);
        json_put_value(&out, value);
    }
    json_close_map(&out);
    all = json_parse(buf_str(&buf), NULL);
    json_destroy(&samples);
    buf_finish(&examples);
    buf_finish(&buf);
    return all;
}

static void fill_data(struct rendering *r, const struct json *given)
{
    const struct mail_template *mail = r->request->mail;
    struct template_flaws flaws;
    struct error err;
    struct buf data;

    buf_init(&data, 2 * MAIL_VARIABLES_MAX);
    if (!template_variables_fill(&mail->variables, given, &data, &flaws, &err))
        add_data_flaws(r, &flaws);
    add_own(r, &data, "locale", r->variant->locale);
    add_own(r, &data, "dir", str_of(r->out->dir));
    if (data.full || data.len > MAIL_VARIABLES_MAX)
        error_set(&err, ERR_INPUT, "are over %d bytes as JSON",
                  MAIL_VARIABLES_MAX);
    else
        r->out->data = json_parse(buf_str(&data), &err);
    if (r->out->data == NULL)
        fail(r, "variables", &err);
    buf_finish(&data);
}

static void make_data(struct rendering *r)
{
    struct json *all;

    if (!r->request->with_examples) {
        fill_data(r, r->request->variables);
        return;
    }
    all = with_examples(r->request->mail, r->request->variables);
    fill_data(r, all);
    json_destroy(&all);
}

/* --- rendering --- */

static const struct template *find_part(void *ctx, struct str name)
{
    const struct rendering *r = ctx;
    const struct mail_template *mail =
        r->request->find == NULL ? NULL
                                 : r->request->find(r->request->find_ctx, name);
    const struct variant *variant;

    if (mail == NULL)
        return NULL;
    variant = variant_named(mail, r->request->locale);
    if (variant == NULL)
        variant = variant_for(mail, r->variant->locale);
    return variant->parts[r->part == PART_HTML ? PART_HTML : PART_TEXT];
}

static struct template_options options_of(struct rendering *r, enum part part)
{
    return (struct template_options){
        .escape = PARTS[part].escape,
        .is_lenient = r->request->mail->is_lenient,
        .locale = r->filters_locale,
        .steps_max = r->request->steps_max,
        .find = find_part,
        .find_ctx = r,
    };
}

/* False: it has no such part, or it was of no use. */
static bool render_part(struct rendering *r, enum part part,
                        const struct json *data, struct buf *out)
{
    const struct template *program =
        program_of(r->request->mail, r->variant, part);
    struct template_options options = options_of(r, part);
    struct template_flaws flaws = {.count = 0};
    struct error err;

    if (program == NULL)
        return false;
    r->part = part;
    if (template_render(program, data, &options, out, &flaws, &err))
        return true;
    add_flaws(&r->out->flaws, &flaws);
    if (flaws.count == 0)
        fail(r, PARTS[part].name, &err);
    return false;
}

/* The data with dots for what is sensitive. */
static struct json *hidden_data(const struct rendering *r)
{
    const struct template_variables *variables = &r->request->mail->variables;
    const struct json *value;
    struct json_out out;
    struct json *hidden;
    struct str name;
    struct buf buf;
    void *at = NULL;

    buf_init(&buf, 4 * MAIL_VARIABLES_MAX);
    json_out_init(&out, &buf);
    json_open_map(&out);
    while (json_next(r->out->data, &at, &name, &value)) {
        bool is_hidden = false;

        for (size_t i = 0; i < variables->count; i++)
            is_hidden = is_hidden || (variables->rows[i].is_sensitive &&
                                      str_eq(variables->rows[i].name, name));
        json_name_str(&out, name);
        if (is_hidden && json_type_of(value) != JSON_NULL_VALUE)
            json_put_str(&out, S(DOTS));
        else
            json_put_value(&out, value);
    }
    json_close_map(&out);
    hidden = json_parse(buf_str(&buf), NULL);
    buf_finish(&buf);
    return hidden;
}

/* A filter may not take dots: then all of it is hidden. */
static void render_hidden(struct rendering *r)
{
    struct mail_rendering *out = r->out;
    struct template_flaws flaws = out->flaws;
    struct json *hidden = hidden_data(r);
    struct error *err = r->err;
    struct error ignored;

    r->err = &ignored;
    if (!render_part(r, PART_SUBJECT, hidden, &out->shown)) {
        buf_clear(&out->shown);
        buf_add_cstr(&out->shown, DOTS);
    }
    json_destroy(&hidden);
    out->flaws = flaws;
    out->has_failed = false;
    r->err = err;
}

static void render_shown(struct rendering *r)
{
    if (mail_template_is_sensitive(r->request->mail))
        render_hidden(r);
    else
        mask_subject(buf_str(&r->out->subject), &r->out->shown);
}

static void init_part(const struct rendering *r, enum part part,
                      struct buf *out)
{
    bool is_short = r->request->steps_max > 0 && PARTS[part].max > SHORT_OUTPUT;

    buf_init(out, is_short ? SHORT_OUTPUT : PARTS[part].max);
}

bool mail_template_render(const struct mail_template_request *request,
                          struct mail_rendering *rendering, struct error *err)
{
    struct rendering r = {.request = request, .out = rendering, .err = err};

    *rendering = (struct mail_rendering){.has_subject = false};
    init_part(&r, PART_SUBJECT, &rendering->subject);
    init_part(&r, PART_HTML, &rendering->html);
    init_part(&r, PART_TEXT, &rendering->text);
    buf_init(&rendering->shown, 3 * PARTS[PART_SUBJECT].max);
    r.variant = variant_for(request->mail, request->locale);
    r.filters_locale = variant_named(request->mail, request->locale) == NULL
                           ? r.variant->locale
                           : request->locale;
    rendering->locale = r.variant->locale;
    rendering->dir = direction(r.variant->locale);
    make_data(&r);
    if (rendering->has_failed)
        return false;
    rendering->has_subject =
        render_part(&r, PART_SUBJECT, rendering->data, &rendering->subject);
    rendering->has_html =
        render_part(&r, PART_HTML, rendering->data, &rendering->html);
    rendering->has_text =
        render_part(&r, PART_TEXT, rendering->data, &rendering->text);
    if (rendering->has_failed || rendering->flaws.count > 0)
        return false;
    if (rendering->has_subject)
        render_shown(&r);
    return true;
}

void mail_rendering_finish(struct mail_rendering *rendering)
{
    buf_finish(&rendering->subject);
    buf_finish(&rendering->html);
    buf_finish(&rendering->text);
    buf_finish(&rendering->shown);
    json_destroy(&rendering->data);
}

/* --- a survey --- */

struct use {
    const struct mail_template *mail;
    bool *used;
};

static void on_use(void *ctx, struct str name)
{
    const struct use *use = ctx;
    const struct template_variables *variables = &use->mail->variables;

    for (size_t i = 0; i < variables->count; i++)
        if (str_eq(variables->rows[i].name, name))
            use->used[i] = true;
}

/* Each name that a template may see, with a value. */
static struct json *sample_data(struct rendering *r)
{
    struct json *samples;
    struct buf data;

    buf_init(&data, 2 * MAIL_VARIABLES_MAX);
    template_variables_sample(&r->request->mail->variables, &data);
    add_own(r, &data, "locale", r->variant->locale);
    add_own(r, &data, "dir", str_of(direction(r->variant->locale)));
    samples = json_parse(buf_str(&data), NULL);
    buf_finish(&data);
    return samples;
}

bool mail_template_survey(
    const struct mail_template_request *request, bool *used,
    void (*tell)(void *ctx, const struct template_flaw *flaw), void *ctx)
{
    struct rendering r = {.request = request,
                          .variant =
                              variant_for(request->mail, request->locale)};
    struct template_flaws all = {.count = 0};
    struct use use = {request->mail, used};
    struct json *data = sample_data(&r);
    bool is_all = true;

    for (r.part = 0; r.part < PART_COUNT; r.part++) {
        const struct template *program =
            program_of(request->mail, r.variant, r.part);
        struct template_options options = options_of(&r, r.part);
        struct template_flaws flaws;

        options.is_lenient = false;
        if (program == NULL)
            continue;
        if (!template_survey(program, data, &options, on_use, &use, &flaws))
            is_all = false;
        add_flaws(&all, &flaws);
    }
    for (size_t i = 0; i < all.count; i++)
        tell(ctx, &all.rows[i]);
    json_destroy(&data);
    return is_all;
}
