/* tables.h - the request bodies of the API, as tables (fields.h). The test of
 * openapi.yaml holds each against the schema of the same name. */
#ifndef API_TABLES_H
#define API_TABLES_H

#include "api/fields.h"

extern const struct field EMAIL_FIELDS[];              /* EmailRequest */
extern const struct field EMAIL_UPDATE_FIELDS[];       /* EmailUpdate */
extern const struct field ATTACHMENT_FIELDS[];         /* Attachment */
extern const struct field TAG_FIELDS[];                /* Tag */
extern const struct field WEBHOOK_CREATE_FIELDS[];     /* WebhookRequest */
extern const struct field WEBHOOK_UPDATE_FIELDS[];     /* WebhookChange */
extern const struct field KEY_FIELDS[];                /* ApiKeyRequest */
extern const struct field KEY_UPDATE_FIELDS[];         /* ApiKeyChange */
extern const struct field SUPPRESSION_FIELDS[];        /* SuppressionRequest */
extern const struct field SUPPRESSION_ADD_FIELDS[];    /* SuppressionBatch */
extern const struct field SUPPRESSION_REMOVE_FIELDS[]; /* SuppressionRemoval */
extern const struct field FEEDBACK_FIELDS[];           /* FeedbackRequest */
extern const struct field EMAIL_TEMPLATE_FIELDS[];     /* EmailTemplate */
extern const struct field TEMPLATE_FIELDS[];           /* TemplateRequest */
extern const struct field TEMPLATE_UPDATE_FIELDS[];    /* TemplateChange */
extern const struct field TEMPLATE_VARIABLE_FIELDS[];  /* TemplateVariable */
extern const struct field TEMPLATE_LOCALE_FIELDS[];    /* TemplateLocale */
extern const struct field TEMPLATE_PREVIEW_FIELDS[];   /* TemplatePreview */
extern const struct field DOMAIN_FIELDS[];             /* DomainRequest */
extern const struct field DOMAIN_UPDATE_FIELDS[];      /* DomainChange */
extern const struct field DOMAIN_ROTATION_FIELDS[];    /* DomainRotation */

extern const char *const EMAIL_CLASSES[]; /* Class; NULL at the end */

#endif
