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
/* How many chunks of the email hold its job: from the fields of number 0. */
unsigned delivery_job_chunks(const struct reply *fields);
/* From an element of "d" in the history of a final email (close_email). */
MUST_USE bool delivery_read_outcome(const struct json *outcome,
                                    struct arena *arena,
                                    struct queue_delivery *delivery);

#endif
