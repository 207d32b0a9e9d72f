/* instance.h - which supervisor of its kind on this host one is.
 *
 * The one that is started after another was killed is the same instance, so
 * that it takes over at once what that one had. Those of a host, a role and a
 * configuration file are numbered; a number is held by the name of an abstract
 * Unix socket (unix(7)), which the kernel frees with the process.
 */
#ifndef SUPERVISOR_INSTANCE_H
#define SUPERVISOR_INSTANCE_H

enum { INSTANCE_SIZE = 32 + 1 }; /* 128 bits in hex */

/* Fills in the name of the lowest free instance. Answers the descriptor that
 * holds it; -1: none is to be had, and the name is this process's alone. */
int instance_take(const char *role, const char *config_path,
                  char name[INSTANCE_SIZE]);

#endif
