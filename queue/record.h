/* record.h - the content of an email as Redis holds it. Pure.
 *
 * A record is a summary and a job. The summary (who, masked subject, class,
 * tags, times) outlives the mail as its history; the job is what the worker
 * composes from. Layout, so that scripts can copy the summary unread:
 *
 *     "LEVEL FLAGS SUMMARY_LENGTH\n" SUMMARY JOB
 *
 * LEVEL is 1 (levels.h). FLAGS is "-" or "s": sensitive, then SUMMARY and JOB
 * are each sealed under the keyring (label "mail", context email id). Both are
 * JSON.
 *
 * Recipients are numbered from 0 over to, then cc, then bcc. A mailbox that
 * came before in that order has no delivery of its own, but keeps its number.
 */
#ifndef QUEUE_RECORD_H
#define QUEUE_RECORD_H

#include "server/base/arena.h"
#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/error.h"
#include "server/base/id.h"
#include "server/base/json.h"
#include "server/base/mail_class.h"
#include "server/base/secret.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes of a mail's JSON; what else stands in its job needs less than a MiB. */
enum { RECORD_MAIL_MAX = 63 << 20 };

enum on_unknown { ON_UNKNOWN_RETRY, ON_UNKNOWN_HOLD, ON_UNKNOWN_FAIL };
/* "hold" or "fail", as a request says it; all else is retry. */
enum on_unknown on_unknown_named(struct str name);

struct summary {
    struct id email;
    struct str owner;
    struct str from; /* as the caller wrote it: "Name <a@b>" */
    struct str *to;  /* likewise */
    size_t to_count;
    struct str *cc;
    size_t cc_count;
    struct str *bcc;
    size_t bcc_count;
    struct str *reply_to;
    size_t reply_to_count;
    struct str subject; /* masked when sensitive */
    enum mail_class mail_class;
    bool sensitive;
    struct str tags_json;     /* [{"name":..,"value":..}] or empty */
    struct str metadata_json; /* {"k":"v"} or empty */
    struct str template_id;   /* that it was made from; empty: none */
    struct str locale;        /* of the template's languages; empty: none */
    struct str message_id;    /* with its angle brackets */
    int64_t created_ms;
    int64_t scheduled_ms; /* 0: was sent at once */
    int64_t expires_ms;   /* deadline; 0: none */
};

/* The DKIM keys that sign it (domains.h), pinned when it was accepted, so that
 * each attempt has the same bytes. All empty: it is not signed. */
struct job_signing {
    struct str domain;      /* d= */
    struct str key;         /* id of the generation */
    struct str return_path; /* host that its bounces go to; empty: none */
};

/* One attachment: metadata in the job, bytes in chunks (mail.h). */
struct job_attachment {
    struct str filename;
    struct str content_type;
    struct str content_id; /* empty: not inline */
    uint64_t size_bytes;
};

struct job {
    /* What the API validated, members as Resend names them (from, to, cc,
     * reply_to, subject, html, text, headers), without the attachments'
     * content: read with json.h. */
    const struct json *mail;
    struct job_attachment *attachments;
    size_t attachment_count;
    /* First due time: Date of every attempt. The summary's scheduled_ms
     * where there is one, since a mail can be rescheduled. */
    int64_t date_ms;
    struct job_signing signing;
    /* Mailboxes are parsed from mail again by the composer. */
};

struct record {
    unsigned level;
    struct summary summary;
    struct job job;        /* job.mail NULL when only the summary is kept */
    struct json *job_root; /* owned */
    struct arena *arena;   /* owned */
};

/* level: one that this release knows. mail_json: the request as validated; put
 * in as it is, so it must be one JSON object. attachments, signing: NULL for
 * none. With summary->sensitive, keyring must not be NULL. */
void record_write(unsigned level, const struct summary *summary,
                  struct str mail_json,
                  const struct job_attachment *attachments, size_t count,
                  int64_t date_ms, const struct job_signing *signing,
                  const struct keyring *keyring, struct buf *out);

/* The beginning of a record, up to where the job begins; level: the job's. */
void record_write_summary(unsigned level, const struct summary *summary,
                          const struct keyring *keyring, struct buf *out);

enum record_result {
    RECORD_OK,
    RECORD_NEWER,  /* level above ours: give it back */
    RECORD_NO_KEY, /* sealed under a key that we lack: give it back */
    RECORD_BROKEN,
};
/* bytes are copied; NULL unless RECORD_OK. Also reads a summary alone (the
 * history of a final mail). */
struct record *record_read(struct str bytes, const struct id *email,
                           const struct keyring *keyring,
                           enum record_result *result);
void record_destroy(struct record **record);
/* Where the job begins: a record cut here is one with the summary alone.
 * 0: not a record. */
size_t record_summary_end(struct str bytes);

/* The mailbox of a recipient number, as the caller wrote it; kind is "to",
 * "cc" or "bcc". False: no such number. */
bool summary_recipient(const struct summary *summary, unsigned number,
                       struct str *mailbox, const char **kind);
size_t summary_recipient_count(const struct summary *summary);
/* The address in "Name <address>"; a slice of mailbox. */
struct str mailbox_address(struct str mailbox);

#endif
