/* microhttpd.h - libmicrohttpd, loaded by the first who serves with it.
 *
 * Only an API child does. Loaded with the program, libmicrohttpd and the TLS
 * library that Debian links to it, with all that that one brings, cost every
 * process of every role 2.4 MiB at rest. So this room calls its functions
 * through this table, under the names that they have in its manual.
 */
#ifndef HTTP_MICROHTTPD_H
#define HTTP_MICROHTTPD_H

#include "server/base/check.h"
#include "server/base/error.h"

#include <microhttpd.h>

#include <stdbool.h>

#define MICROHTTPD_FUNCTIONS(X)                                                \
    X(add_connection)                                                          \
    X(add_response_header)                                                     \
    X(create_response_from_buffer)                                             \
    X(destroy_response)                                                        \
    X(get_connection_info)                                                     \
    X(get_connection_values_n)                                                 \
    X(get_daemon_info)                                                         \
    X(get_reason_phrase_for)                                                   \
    X(get_timeout)                                                             \
    X(queue_response)                                                          \
    X(resume_connection)                                                       \
    X(run)                                                                     \
    X(start_daemon)                                                            \
    X(stop_daemon)                                                             \
    X(suspend_connection)

struct microhttpd {
#define MICROHTTPD_MEMBER(name) __typeof__(&MHD_##name) name;
    MICROHTTPD_FUNCTIONS(MICROHTTPD_MEMBER)
#undef MICROHTTPD_MEMBER
};
extern struct microhttpd microhttpd;

/* Before any of them is called. False: it is not installed, or too old. */
MUST_USE bool microhttpd_load(struct error *err);

#define MHD_add_connection              microhttpd.add_connection
#define MHD_add_response_header         microhttpd.add_response_header
#define MHD_create_response_from_buffer microhttpd.create_response_from_buffer
#define MHD_destroy_response            microhttpd.destroy_response
#define MHD_get_connection_info         microhttpd.get_connection_info
#define MHD_get_connection_values_n     microhttpd.get_connection_values_n
#define MHD_get_daemon_info             microhttpd.get_daemon_info
#define MHD_get_reason_phrase_for       microhttpd.get_reason_phrase_for
#define MHD_get_timeout                 microhttpd.get_timeout
#define MHD_queue_response              microhttpd.queue_response
#define MHD_resume_connection           microhttpd.resume_connection
#define MHD_run                         microhttpd.run
#define MHD_start_daemon                microhttpd.start_daemon
#define MHD_stop_daemon                 microhttpd.stop_daemon
#define MHD_suspend_connection          microhttpd.suspend_connection

#endif
