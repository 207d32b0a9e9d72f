/* inbox_store.h - the mails that an inbox keeps: the newest, within bounds. */
#ifndef SMTP_INBOX_STORE_H
#define SMTP_INBOX_STORE_H

#include "server/base/buf.h"
#include "smtp/inbox.h"
#include "smtp/inbox_session.h"

struct inbox_store;

struct inbox_store *inbox_store_create(size_t mails_max, size_t bytes_max);
void inbox_store_destroy(struct inbox_store **store);

/* Takes the bytes out of mail, copies the rest. NULL: larger than bytes_max
 * alone. The oldest make room. */
const struct inbox_mail *inbox_store_add(struct inbox_store *store,
                                         const struct inbox_envelope *envelope,
                                         struct buf *mail, struct str peer,
                                         int64_t at_ms);

/* As in inbox.h, except that a mail is valid until the next add or clear. */
const struct inbox_mail *inbox_store_newest(const struct inbox_store *store,
                                            struct str rcpt);
const struct inbox_mail *inbox_store_next(const struct inbox_store *store,
                                          struct str rcpt, uint64_t after);
size_t inbox_store_count(const struct inbox_store *store);
void inbox_store_clear(struct inbox_store *store);

#endif
