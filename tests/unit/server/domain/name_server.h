/* name_server.h - a real name server (unbound) on loopback, with one zone. */
#ifndef TESTS_DOMAIN_NAME_SERVER_H
#define TESTS_DOMAIN_NAME_SERVER_H

#include <stdint.h>
#include <sys/types.h>

struct name_server {
    char dir[64];
    char address[32]; /* for dns_open */
    pid_t pid;
};

/* zone: lines of a zone file below "test."; names without a final dot are
 * within it. broken.test answers SERVFAIL, silent.test not at all. */
void name_server_start(struct name_server *server, const char *zone);
void name_server_stop(struct name_server *server);

#endif
