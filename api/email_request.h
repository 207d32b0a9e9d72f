/* email_request.h - the body of POST /emails, from bytes to values. Pure,
 * and fit for a helper thread. What a template gives is rendered in between, by
 * the caller.
 *
 * Everything that can be wrong with a mail is found here, so that what is
 * stored can be composed and sent. The composer's own checks (message.h)
 * decide about addresses, headers and attachments.
 *
 * Source: docs/api.md; Resend's POST /emails.
 */
#ifndef API_EMAIL_REQUEST_H
#define API_EMAIL_REQUEST_H

#include "api/fields.h"
#include "queue/queue.h"
#include "server/base/arena.h"
#include "server/base/config.h"
#include "server/base/json.h"
#include "server/base/mail_class.h"
#include "smtp/message/message.h"
#include "smtp/smtp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EMAIL_RECIPIENTS_MAX = 50, EMAIL_TAGS_MAX = 50 };

/* Mailboxes of one field, as the caller wrote them and parsed. */
struct email_boxes {
    struct str *texts;
    struct mailbox *boxes;
    size_t count;
};

struct email_recipient {
    const struct mailbox *box;
    unsigned number; /* over to, cc, bcc (record.h) */
};

/* What a template made: takes the place of what the body lacks. */
struct email_content {
    struct json *root; /* from, reply_to, subject, html, text */
    struct str shown;  /* the subject without what is sensitive */
    bool is_sensitive; /* unless the body says otherwise */
    struct str locale; /* that was chosen */
    struct str id;     /* of the template; of a built-in one its alias */
};

struct email_request {
    struct str template_name;            /* id or alias; empty: none is used */
    const struct json *variables;        /* for it; a map, or NULL */
    struct str locale;                   /* that is asked for; may be empty */
    const struct email_content *content; /* NULL: no template */
    struct str from_text;
    struct mailbox from;
    struct email_boxes to;
    struct email_boxes cc;
    struct email_boxes bcc;
    struct email_boxes reply_to;
    struct email_recipient recipients[EMAIL_RECIPIENTS_MAX]; /* each once */
    size_t recipient_count;
    struct str subject;
    struct str shown_subject; /* empty: masked when it is sensitive */
    enum mail_class mail_class;
    bool sensitive;
    enum on_unknown on_unknown;
    int64_t scheduled_ms; /* 0: now */
    int64_t expires_ms;   /* deadline; 0: none */
    int64_t max_age_ms;   /* from the due time; 0 when there is a deadline */
    struct smtp_tag tags[EMAIL_TAGS_MAX];
    size_t tag_count;
    struct str tags_json;     /* empty: none */
    struct str metadata_json; /* empty: none */
    struct str message_id;    /* from headers; empty: make one */
    struct job_attachment *attachments;
    struct queue_blob *attachment_bytes;
    size_t attachment_count;
    struct str mail_json; /* what is stored: the body, without contents */

    struct arena *arena; /* the caller's: holds everything but the next two */
    struct json *root;
    struct buf *contents; /* of attachments, decoded; attachment_count */
};

/* First half: its members have their types; says which template it needs. body
 * must outlive request. False: no more can be said of it. Either way request is
 * to be finished. */
MUST_USE bool email_request_open(struct email_request *request,
                                 struct arena *arena, struct str body,
                                 struct faults *faults);
/* Second half. content: NULL without a template, and when it could not be
 * rendered; must outlive request. False: faults, of both halves, say why. */
MUST_USE bool email_request_read(struct email_request *request, struct str body,
                                 const struct email_content *content,
                                 const struct config *config, int64_t now_ms,
                                 struct faults *faults);
void email_request_finish(struct email_request *request);

#endif
