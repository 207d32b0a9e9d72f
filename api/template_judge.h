/* template_judge.h - what there is to say of the mail that a template makes:
 * who sends it, what it lacks, what lint finds. The same for a preview and for
 * `posthaste lint FOLDER`. Pure.
 */
#ifndef API_TEMPLATE_JUDGE_H
#define API_TEMPLATE_JUDGE_H

#include "api/faults.h"
#include "smtp/message/message.h"

/* Begins zeroed; all of it lives in the arena of the faults. */
struct template_senders {
    struct str from; /* empty: nobody */
    struct mailbox from_box;
    struct str *reply_to;
    struct mailbox *reply_to_boxes;
    size_t reply_to_count;
};

/* Of a request; what is wrong with it is added. value: a text, or a list. */
void template_senders_from(struct template_senders *senders, struct str text,
                           struct faults *faults);
void template_senders_reply_to(struct template_senders *senders,
                               const struct json *value, struct faults *faults);
/* What the template says where the request said nothing. */
void template_senders_fill(struct template_senders *senders,
                           const struct mail_template *mail,
                           struct faults *faults);

/* Adds what a rendering lacks: variables at base/variables/NAME, the rest at
 * base. */
void template_flaw_tell(const struct template_flaw *flaw, struct str base,
                        struct faults *faults);

/* Of a rendering that succeeded. What is found lives in arena and in mail. */
void template_judge(const struct mail_rendering *mail,
                    const struct template_senders *senders,
                    const struct lint_facts *facts, struct arena *arena,
                    struct lint_findings *findings);

#endif
