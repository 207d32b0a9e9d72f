/* delivery.h - a delivery as scripts/deliveries.lua keeps it, read in C. */
#ifndef QUEUE_DELIVERY_H
#define QUEUE_DELIVERY_H

#include "queue/mail.h"
#include "queue/redis_link.h"

#include <stdbool.h>

/* From HGETALL of a d:<email>:<n>; texts live in arena. False: broken. */
MUST_USE bool delivery_read(const struct reply *fields, unsigned number,
                            struct arena *arena,
                            struct queue_delivery *delivery);
/* The last reply from what the worker told of it: code,"enhanced","reply". */
void delivery_read_reply(struct str outcome, struct arena *arena,
                         struct queue_delivery *delivery);

/* All of an email; at most 500. */
struct deliveries {
    struct queue_delivery *items; /* in arena */
    size_t count;
    unsigned job_chunks; /* chunks of the email that hold its job */
    struct str summary;  /* of a history: a part of it; else empty */
};
/* From {number, HGETALL of d:<email>:<number>, ...}. False: broken. */
MUST_USE bool deliveries_of_fields(const struct reply *list,
                                   struct arena *arena,
                                   struct deliveries *deliveries);
/* From h:<email>, "{...}\n" and the summary (deliveries.lua, close_email). */
MUST_USE bool deliveries_of_history(struct str history, struct arena *arena,
                                    struct deliveries *deliveries);

#endif
