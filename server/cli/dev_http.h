/* dev_http.h - dev's own HTTP: the inbox as JSON, and a webhook receiver.
 *
 *   GET /inbox                 the newest mails
 *   GET /inbox/wait            the first mail that fits ?to= and ?message_id=
 *                              (?code=1: that has a code), within ?timeout=
 *                              seconds; else 408
 *   GET /inbox/{number|latest} one of them, with its text, code and link
 *   DELETE /inbox              empties it
 *   POST /hook                 takes any webhook and keeps the newest
 *   GET /hook                  what is kept
 *   GET /hook/wait             the first that fits ?type= and ?email=
 *
 * For this machine alone: it asks for no key.
 */
#ifndef CLI_DEV_HTTP_H
#define CLI_DEV_HTTP_H

#include "server/base/error.h"
#include "server/io/loop.h"
#include "smtp/smtp.h"

struct dev_http;

/* listen_fd stays the caller's; inbox outlives it. */
MUST_USE struct dev_http *dev_http_open(struct loop *loop, int listen_fd,
                                        struct inbox *inbox, struct error *err);
void dev_http_close(struct dev_http **http);

#endif
