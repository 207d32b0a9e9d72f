#include "api/template_judge.h"

/* --- who sends it --- */

static void flaw_add(struct faults *faults, enum problem_kind kind,
                     struct str pointer, enum flaw flaw)
{
    if (flaw != FLAW_NONE)
        faults_add(faults, kind, pointer, flaw_code(flaw), "%s",
                   flaw_text(flaw));
}

void template_senders_from(struct template_senders *senders, struct str text,
                           struct faults *faults)
{
    senders->from = arena_copy(faults->arena, text);
    flaw_add(faults, PROBLEM_INVALID_FROM_ADDRESS, S("/from"),
             mailbox_parse(faults->arena, senders->from, &senders->from_box));
}

void template_senders_reply_to(struct template_senders *senders,
                               const struct json *value, struct faults *faults)
{
    struct arena *arena = faults->arena;
    bool is_list = json_type_of(value) == JSON_LIST;
    size_t count = is_list ? json_count(value) : 1;

    senders->reply_to = ARENA_ARRAY(arena, struct str, count);
    senders->reply_to_boxes = ARENA_ARRAY(arena, struct mailbox, count);
    senders->reply_to_count = count;
    for (size_t i = 0; i < count; i++) {
        senders->reply_to[i] =
            arena_copy(arena, json_str(is_list ? json_at(value, i) : value));
        flaw_add(faults, PROBLEM_VALIDATION_ERROR,
                 is_list ? pointer_index(arena, S("/reply_to"), i)
                         : S("/reply_to"),
                 mailbox_parse(arena, senders->reply_to[i],
                               &senders->reply_to_boxes[i]));
    }
}

void template_senders_fill(struct template_senders *senders,
                           const struct mail_template *mail,
                           struct faults *faults)
{
    const struct json *reply_to = mail_template_reply_to(mail);

    if (senders->from.len == 0 && mail_template_from(mail).len > 0)
        template_senders_from(senders, mail_template_from(mail), faults);
    if (senders->reply_to_count == 0 && reply_to != NULL)
        template_senders_reply_to(senders, reply_to, faults);
}

/* --- what it lacks --- */

void template_flaw_tell(const struct template_flaw *flaw, struct str base,
                        struct faults *faults)
{
    struct str variables = pointer_member(faults->arena, base, S("variables"));
    struct str pointer = pointer_member(faults->arena, variables, flaw->name);

    switch (flaw->kind) {
    case TEMPLATE_MISSING:
        faults_add(faults, PROBLEM_VALIDATION_ERROR, pointer,
                   "missing_variable", "is missing: the template needs it");
        break;
    case TEMPLATE_NULL:
        faults_add(faults, PROBLEM_VALIDATION_ERROR, pointer,
                   "missing_variable", "is null: the template needs a value");
        break;
    case TEMPLATE_NO_TEXT:
        faults_add(faults, PROBLEM_VALIDATION_ERROR, pointer, "bad_variable",
                   "is an array or an object, where the template prints it");
        break;
    case TEMPLATE_BAD_VALUE:
        faults_add(faults, PROBLEM_VALIDATION_ERROR, pointer, "bad_variable",
                   "will not do: want %s",
                   flaw->wanted != NULL ? flaw->wanted : "another type");
        break;
    case TEMPLATE_NO_PARTIAL:
        faults_add(faults, PROBLEM_VALIDATION_ERROR, base, "no_partial",
                   "needs the template `%.*s`, and none of that name is "
                   "published with such a part",
                   STR_ARG(flaw->name));
        break;
    }
}

/* --- what lint finds --- */

void template_judge(const struct mail_rendering *mail,
                    const struct template_senders *senders,
                    const struct lint_facts *facts, struct arena *arena,
                    struct lint_findings *findings)
{
    const struct message message = {
        .subject = buf_str(&mail->subject),
        .has_text = mail->has_text,
        .text = buf_str(&mail->text),
        .html = buf_str(&mail->html),
        .from = senders->from_box,
        .reply_to = senders->reply_to_boxes,
        .reply_to_count = senders->reply_to_count,
    };

    lint_message(&message, facts, arena, findings);
}
