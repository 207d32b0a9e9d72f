/* listeners.h - the listening sockets that generations of children share. */
#ifndef SUPERVISOR_LISTENERS_H
#define SUPERVISOR_LISTENERS_H

#include "server/base/config.h"
#include "server/base/error.h"

#include <stddef.h>

struct listeners;

struct listeners *listeners_create(unsigned children);
void listeners_destroy(struct listeners **listeners); /* closes all */

/* Opens what is new in where, keeps what stays, closes what is gone. False
 * and err: one could not be opened, and nothing has changed. */
MUST_USE bool listeners_set(struct listeners *listeners,
                            const struct config_list *where, struct error *err);

/* The sockets of one child, in the order of where. */
const int *listeners_of_child(const struct listeners *listeners, unsigned child,
                              size_t *count);

#endif
