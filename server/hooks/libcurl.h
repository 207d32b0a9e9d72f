/* libcurl.h - libcurl, loaded by the first who needs it.
 *
 * Only a hooks child speaks HTTP as a client. Loaded with the program, libcurl
 * and the 18 libraries behind it (Kerberos, LDAP, SSH, ...) cost every process
 * of every role up to 1.6 MiB at rest, and every verb of the command line the
 * time to load them. So send.c calls its functions through this table, under
 * the names that they have in libcurl's manual.
 */
#ifndef HOOKS_LIBCURL_H
#define HOOKS_LIBCURL_H

#include "server/base/check.h"
#include "server/base/error.h"

#include <curl/curl.h>

#include <stdbool.h>

/* Its macros check types and call by name. */
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

#define LIBCURL_FUNCTIONS(X)                                                   \
    X(easy_cleanup)                                                            \
    X(easy_getinfo)                                                            \
    X(easy_init)                                                               \
    X(easy_setopt)                                                             \
    X(easy_strerror)                                                           \
    X(global_cleanup)                                                          \
    X(global_init)                                                             \
    X(multi_add_handle)                                                        \
    X(multi_assign)                                                            \
    X(multi_cleanup)                                                           \
    X(multi_info_read)                                                         \
    X(multi_init)                                                              \
    X(multi_remove_handle)                                                     \
    X(multi_setopt)                                                            \
    X(multi_socket_action)                                                     \
    X(slist_append)                                                            \
    X(slist_free_all)

struct libcurl {
#define LIBCURL_MEMBER(name) __typeof__(&curl_##name) name;
    LIBCURL_FUNCTIONS(LIBCURL_MEMBER)
#undef LIBCURL_MEMBER
};
extern struct libcurl libcurl;

/* Once a process, before any of them is called. False: it is not installed,
 * or too old. */
MUST_USE bool libcurl_load(struct error *err);

#define curl_easy_cleanup        libcurl.easy_cleanup
#define curl_easy_getinfo        libcurl.easy_getinfo
#define curl_easy_init           libcurl.easy_init
#define curl_easy_setopt         libcurl.easy_setopt
#define curl_easy_strerror       libcurl.easy_strerror
#define curl_global_cleanup      libcurl.global_cleanup
#define curl_global_init         libcurl.global_init
#define curl_multi_add_handle    libcurl.multi_add_handle
#define curl_multi_assign        libcurl.multi_assign
#define curl_multi_cleanup       libcurl.multi_cleanup
#define curl_multi_info_read     libcurl.multi_info_read
#define curl_multi_init          libcurl.multi_init
#define curl_multi_remove_handle libcurl.multi_remove_handle
#define curl_multi_setopt        libcurl.multi_setopt
#define curl_multi_socket_action libcurl.multi_socket_action
#define curl_slist_append        libcurl.slist_append
#define curl_slist_free_all      libcurl.slist_free_all

#endif
