/* chunks.h - big values in pieces over the bulk link.
 *
 * 30 MiB in the arguments of a script hold up Redis, and so everybody, for
 * 350 ms. So what is big travels in chunks of at most 512 KiB on a link of
 * its own: b:<email>:<k>, numbered over all parts of an email, each part
 * beginning with a chunk of its own. A chunk lives 15 minutes; the script
 * that stores the email makes it stay. Attachments of sensitive mail are sealed
 * chunk by chunk, since a whole one would hold up the loop.
 */
#ifndef QUEUE_CHUNKS_H
#define QUEUE_CHUNKS_H

#include "queue/core.h"

enum {
    CHUNK_SIZE = 512 << 10,
    RECORD_INLINE_MAX = 64 << 10, /* larger: its job goes in chunks */
};

size_t chunk_count(uint64_t bytes); /* of one part */

/* Exactly once, later, unless the queue is closed before. */
typedef void (*chunks_put_fn)(void *ctx, enum queue_status status,
                              const struct error *err);
struct chunk_part {
    struct str bytes; /* stay until done */
    bool seal;        /* each chunk, under the queue's keyring */
};
struct chunks_put;
/* FULL while too much is under way already. The result is valid until done. */
struct chunks_put *chunks_put(struct queue *queue, unsigned partition,
                              const struct id *email,
                              const struct chunk_part *parts, size_t count,
                              chunks_put_fn done, void *ctx);
/* No more of the parts is read; done comes with AWAY. */
void chunks_put_stop(struct chunks_put *put);

/* bytes: the chunks in one run, empty when it failed; buf_take may keep
 * them. NOT_FOUND: a chunk is missing, or is not what was sealed. NO_KEYRING:
 * its key is lacking. */
typedef void (*chunks_get_fn)(void *ctx, enum queue_status status,
                              const struct error *err, struct buf *bytes);
/* Chunks first .. first + count - 1, all of them sealed or none. */
void chunks_get(struct queue *queue, unsigned partition, const struct id *email,
                unsigned first, unsigned count, bool sealed, chunks_get_fn done,
                void *ctx);

#endif
