/* plain_head.h - the head of a request, as far as a probe's goes.
 *
 * Pure. Only the first line and the field Accept are understood; the others
 * are waited for and not looked at, since no answer here depends on them. A
 * line may end in LF alone (RFC 9112 section 2.2).
 *
 * Source: RFC 9112 sections 2, 3 and 5.
 */
#ifndef SUPERVISOR_PLAIN_HEAD_H
#define SUPERVISOR_PLAIN_HEAD_H

#include "server/base/str.h"

#include <stdbool.h>

enum { PLAIN_HEAD_MAX = 8 * 1024 };

struct plain_head {
    struct str method;
    struct str path;   /* not decoded, without the query */
    struct str accept; /* the first field of that name; empty: none */
};

/* 0: it is not there as a whole. 200: head holds it, within bytes. Otherwise
 * the status that refuses it: 400, 431 or 505. */
unsigned plain_head_read(struct str bytes, struct plain_head *head);

#endif
