/* random.h - bytes of the kernel's generator, for keys, ids and jitter.
 *
 * They are fetched by the page, since a system call costs more than hashing a
 * kilobyte; what was given out is wiped, and a forked child never sees what
 * its parent had in store.
 */
#ifndef SERVER_BASE_RANDOM_H
#define SERVER_BASE_RANDOM_H

#include <stddef.h>

/* Fills len bytes. Any thread may ask. */
void random_bytes(void *out, size_t len);

#endif
