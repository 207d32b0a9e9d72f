/* What may be wrong with templates, without a server: those of a folder are
 * all there is, beside the built-in ones. */
#include "api/api.h"
#include "api/template_judge.h"
#include "api/template_source.h"

#include <stdio.h>

struct entry {
    const struct api_template *given;
    struct mail_template *mail; /* NULL: faults say why */
    struct faults faults;
    struct str locale; /* of its first parts */
    bool is_named;     /* by another one */
};

struct built_in {
    struct str name;
    struct mail_template *mail;
};

struct linting {
    struct arena *arena;
    struct entry *entries;
    size_t count;
    struct built_in *built_in;
    size_t built_in_count;
    enum mail_class mail_class;
    api_finding_fn tell;
    void *ctx;
};

/* One of them, in one of its languages. */
struct judging {
    struct linting *lint;
    struct entry *entry;
    struct str locale;
    struct mail_rendering out;
    bool *used;       /* of its variables */
    bool is_all_seen; /* else some may be used that do not look so */
};

/* --- what there is --- */

static void ignore_flaw(void *ctx, struct str pointer, const char *text)
{
    (void)ctx;
    (void)pointer;
    (void)text;
}

static void ignore_named(void *ctx, const struct template_flaw *flaw)
{
    (void)ctx;
    (void)flaw;
}

static void read_entry(struct linting *lint, const struct api_template *given,
                       struct entry *entry)
{
    struct template_source source = {.faults = &entry->faults};
    struct str locale;

    entry->given = given;
    faults_init(&entry->faults, lint->arena);
    entry->mail = template_source_read(&source, given->body);
    locale = json_get_str(source.root, "default_locale");
    entry->locale = arena_copy(lint->arena, locale.len > 0 ? locale : S("en"));
    template_source_finish(&source);
}

static const struct mail_template *find_built_in(struct linting *lint,
                                                 struct str name)
{
    struct built_in *one = &lint->built_in[lint->built_in_count];
    struct buf source;

    for (size_t i = 0; i < lint->built_in_count; i++)
        if (str_eq(lint->built_in[i].name, name))
            return lint->built_in[i].mail;
    buf_init(&source, TEMPLATE_VERSION_MAX);
    if (builtin_source_add(name, &source)) {
        one->name = arena_copy(lint->arena, name);
        one->mail = mail_template_compile(buf_str(&source), ignore_flaw, NULL);
        lint->built_in_count++;
    }
    buf_finish(&source);
    return one->mail;
}

static struct entry *find_entry(struct linting *lint, struct str name)
{
    for (size_t i = 0; i < lint->count; i++)
        if (str_eq(lint->entries[i].given->alias, name))
            return &lint->entries[i];
    return NULL;
}

static const struct mail_template *find(void *ctx, struct str name)
{
    struct judging *at = ctx;
    struct entry *entry = find_entry(at->lint, name);

    if (entry == NULL)
        return find_built_in(at->lint, name);
    if (entry != at->entry)
        entry->is_named = true;
    return entry->mail;
}

static struct mail_template_request request_of(struct judging *at)
{
    return (struct mail_template_request){
        .mail = at->entry->mail,
        .locale = at->locale,
        .with_examples = true,
        .find = find,
        .find_ctx = at,
    };
}

/* --- findings --- */

static void tell(const struct judging *at, struct api_finding finding)
{
    finding.alias = at->entry->given->alias;
    finding.locale = at->locale;
    if (finding.source.len == 0)
        finding.source = finding.alias;
    at->lint->tell(at->lint->ctx, &finding);
}

/* Adds where a program stands; without one that is nowhere in the folder. */
static void find_place(struct linting *lint, const struct template *program,
                       struct api_finding *finding)
{
    struct buf pointer;

    buf_init(&pointer, 256);
    for (size_t i = 0; i < lint->count && finding->pointer.len == 0; i++) {
        const struct entry *entry = &lint->entries[i];

        if (entry->mail == NULL ||
            !mail_template_pointer(entry->mail, program, &pointer))
            continue;
        finding->source = entry->given->alias;
        finding->pointer = arena_copy(lint->arena, buf_str(&pointer));
    }
    buf_finish(&pointer);
}

static void place_flaw(struct linting *lint, const struct template_flaw *flaw,
                       struct api_finding *finding)
{
    find_place(lint, flaw->where, finding);
    if (finding->pointer.len == 0)
        return;
    finding->line = flaw->line;
    finding->column = flaw->column;
}

/* --- what is no template --- */

/* The engine says it in front (template.h). */
static void read_place(struct str message, struct api_finding *finding)
{
    static const struct str front = STR("` line ");
    ptrdiff_t at = str_find(message, front, 0);

    if (at < 0 || sscanf(message.ptr + at, "` line %u, column %u:",
                         &finding->line, &finding->column) != 2)
        finding->line = finding->column = 0;
}

static bool is_part(struct str pointer)
{
    return str_eq(pointer, S("/subject")) || str_eq(pointer, S("/html")) ||
           str_eq(pointer, S("/text"));
}

/* "/locales/zh/html" is "/html" in zh. */
static void tell_fault(struct judging *at, const struct fault *fault)
{
    struct api_finding finding = {
        .pointer = fault->pointer,
        .level = lint_level_name(LINT_ERROR),
        .code = fault->code,
        .where = fault->pointer,
        .text = fault->message,
    };
    struct str rest = str_from(fault->pointer, S("/locales/").len);
    struct str tag;

    at->locale = (struct str){0};
    if (is_part(fault->pointer)) {
        at->locale = at->entry->locale;
    } else if (str_starts(fault->pointer, S("/locales/")) &&
               str_cut(&rest, '/', &tag)) {
        at->locale = tag;
        finding.where = str_from(fault->pointer, S("/locales/").len + tag.len);
    }
    read_place(fault->message, &finding);
    tell(at, finding);
}

static void tell_faults(struct judging *at)
{
    for (size_t i = 0; i < at->entry->faults.count; i++)
        tell_fault(at, &at->entry->faults.items[i]);
}

/* --- what it lacks --- */

static void tell_no_partial(struct judging *at,
                            const struct template_flaw *flaw)
{
    const struct entry *entry = find_entry(at->lint, flaw->name);
    struct api_finding finding = {
        .level = lint_level_name(LINT_ERROR),
        .code = S("no_partial"),
        .text = S("needs a template that the folder has not, or not with such "
                  "a part"),
        .example = flaw->name,
    };

    at->is_all_seen = false;
    if (entry != NULL && entry->mail == NULL)
        return; /* it tells what is wrong with it */
    place_flaw(at->lint, flaw, &finding);
    tell(at, finding);
}

static void tell_flaw(struct judging *at, const struct template_flaw *flaw)
{
    struct api_finding finding = {.level = lint_level_name(LINT_ERROR)};
    struct faults faults;

    if (flaw->kind == TEMPLATE_NO_PARTIAL) {
        tell_no_partial(at, flaw);
        return;
    }
    faults_init(&faults, at->lint->arena);
    template_flaw_tell(flaw, S(""), &faults);
    finding.code = faults.items[0].code;
    finding.where = faults.items[0].pointer;
    finding.text = faults.items[0].message;
    place_flaw(at->lint, flaw, &finding);
    tell(at, finding);
}

static void tell_flaws(struct judging *at, const struct error *err)
{
    const struct template_flaws *flaws = &at->out.flaws;

    for (size_t i = 0; i < flaws->count; i++)
        tell_flaw(at, &flaws->rows[i]);
    if (at->out.has_failed)
        tell(at, (struct api_finding){
                     .level = lint_level_name(LINT_ERROR),
                     .code = S("not_rendered"),
                     .text = arena_printf(at->lint->arena,
                                          "cannot be rendered: %s", err->text),
                 });
}

/* --- what lint finds --- */

static bool is_body(struct str where)
{
    return where.len == 0 || str_eq(where, S("/html")) ||
           str_eq(where, S("/text"));
}

/* What that is made from: a text part that it has not, and all of the mail, is
 * made from the html, or else from the text. NULL: from no template. */
static const struct template *source_of(const struct judging *at,
                                        struct str where)
{
    const struct mail_template *mail = at->entry->mail;
    const struct template *program = NULL;

    if (is_part(where))
        program = mail_template_part(mail, at->locale, where.ptr + 1);
    if (program == NULL && is_body(where))
        program = mail_template_part(mail, at->locale, "html");
    if (program == NULL && is_body(where))
        program = mail_template_part(mail, at->locale, "text");
    return program;
}

static void tell_found(struct judging *at, const struct lint_finding *found)
{
    struct api_finding finding = {
        .level = lint_level_name(lint_level_of(found->code)),
        .code = str_of(lint_code_name(found->code)),
        .where = found->where,
        .text = str_of(lint_text(found->code)),
        .example = found->example,
    };

    find_place(at->lint, source_of(at, found->where), &finding);
    if (finding.pointer.len == 0)
        finding.pointer = found->where;
    tell(at, finding);
}

static void judge_mail(struct judging *at)
{
    const struct lint_facts facts = {.mail_class = at->lint->mail_class};
    struct template_senders senders = {.reply_to_count = 0};
    struct lint_findings findings;
    struct faults faults;

    faults_init(&faults, at->lint->arena);
    template_senders_fill(&senders, at->entry->mail, &faults);
    CHECK(faults.count == 0); /* template_source.c saw to it */
    template_judge(&at->out, &senders, &facts, at->lint->arena, &findings);
    for (size_t i = 0; i < findings.count; i++)
        tell_found(at, &findings.rows[i]);
}

/* --- variables --- */

static void on_surveyed(void *ctx, const struct template_flaw *flaw)
{
    struct judging *at = ctx;
    struct api_finding finding = {
        .level = lint_level_name(LINT_WARNING),
        .code = S("undeclared"),
        .text = S("a variable that is not declared"),
        .example = flaw->name,
    };

    if (template_flaws_have(&at->out.flaws, flaw))
        return; /* the rendering lacked it */
    if (flaw->kind == TEMPLATE_NO_PARTIAL) {
        tell_no_partial(at, flaw);
        return;
    }
    place_flaw(at->lint, flaw, &finding);
    tell(at, finding);
}

static void survey(struct judging *at)
{
    const struct mail_template_request request = request_of(at);

    if (!mail_template_survey(&request, at->used, on_surveyed, at))
        at->is_all_seen = false;
}

static void tell_unused(struct judging *at)
{
    const struct mail_template *mail = at->entry->mail;

    at->locale = (struct str){0};
    for (size_t i = 0; i < mail_template_variable_count(mail); i++) {
        struct str pointer = pointer_index(at->lint->arena, S("/variables"), i);

        if (!at->used[i])
            tell(at, (struct api_finding){
                         .level = lint_level_name(LINT_ADVICE),
                         .code = S("unused"),
                         .pointer = pointer,
                         .where = pointer,
                         .text = S("a variable that is declared and not used"),
                         .example = mail_template_variable(mail, i),
                     });
    }
}

/* --- one after the other --- */

static void judge_locale(struct judging *at)
{
    const struct mail_template_request request = request_of(at);
    struct error err;

    if (mail_template_render(&request, &at->out, &err))
        judge_mail(at);
    else
        tell_flaws(at, &err);
    survey(at);
    mail_rendering_finish(&at->out);
}

/* Finds out whom it names. */
static void look_around(struct judging *at)
{
    const struct mail_template_request request = request_of(at);

    mail_template_survey(&request, at->used, ignore_named, NULL);
}

/* Without a subject, and named by another: it is no mail, but a part of some,
 * and judged there. */
static bool is_mail(const struct entry *entry)
{
    return !entry->is_named ||
           mail_template_part(entry->mail, entry->locale, "subject") != NULL;
}

static void each_locale(struct judging *at, void (*run)(struct judging *at))
{
    const struct mail_template *mail = at->entry->mail;

    for (size_t i = 0; i < mail_template_locale_count(mail); i++) {
        at->locale = mail_template_locale(mail, i);
        run(at);
    }
}

static void judge(struct judging *at)
{
    const struct entry *entry = at->entry;

    if (entry->mail == NULL && (entry->given->is_wanted || entry->is_named))
        tell_faults(at);
    if (entry->mail == NULL || !entry->given->is_wanted || !is_mail(entry))
        return;
    each_locale(at, judge_locale);
    if (at->is_all_seen)
        tell_unused(at);
}

static void name_others(struct judging *at)
{
    if (at->entry->mail != NULL && at->entry->given->is_wanted)
        each_locale(at, look_around);
}

static void each_entry(struct linting *lint, void (*run)(struct judging *at))
{
    for (size_t i = 0; i < lint->count; i++) {
        bool used[TEMPLATE_VARIABLES_MAX] = {false};
        struct judging at = {.lint = lint,
                             .entry = &lint->entries[i],
                             .used = used,
                             .is_all_seen = true};

        run(&at);
    }
}

static void finish(struct linting *lint)
{
    for (size_t i = 0; i < lint->count; i++)
        mail_template_destroy(&lint->entries[i].mail);
    for (size_t i = 0; i < lint->built_in_count; i++)
        mail_template_destroy(&lint->built_in[i].mail);
    arena_destroy(&lint->arena);
}

void api_lint_templates(const struct api_template *templates, size_t count,
                        enum mail_class mail_class, api_finding_fn tell_one,
                        void *ctx)
{
    struct linting lint = {
        .arena = arena_create(),
        .count = count,
        .mail_class = mail_class,
        .tell = tell_one,
        .ctx = ctx,
    };

    lint.entries = ARENA_ARRAY(lint.arena, struct entry, count);
    /* The parent of them all is one more; what there is not takes none. */
    lint.built_in =
        ARENA_ARRAY(lint.arena, struct built_in, BUILTIN_TEMPLATE_COUNT + 2);
    for (size_t i = 0; i < count; i++)
        read_entry(&lint, &templates[i], &lint.entries[i]);
    each_entry(&lint, name_others);
    each_entry(&lint, judge);
    finish(&lint);
}
