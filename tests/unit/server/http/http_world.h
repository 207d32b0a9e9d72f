/* http_world.h - a server of the test's own routes. The clock stands still
 * unless a test moves it.
 *
 *   GET, POST, PATCH /echo, DELETE /echo/{id}   what it was asked
 *   POST /bytes    how many
 *   GET, POST /hold   held, for the test to answer
 *   GET /second    held, with a deadline of a second
 *   GET /large     LARGE bytes
 *   GET /who       the client's address
 */
#ifndef TESTS_HTTP_WORLD_H
#define TESTS_HTTP_WORLD_H

#include "server/http/httpd.h"

#include "raw_client.h"

enum { HELD_MAX = 600, BODY_MAX = 100000, LARGE = 32 << 20 };

struct world {
    struct loop *loop;
    struct httpd *httpd;
    int listen_fd;
    struct address address;
    struct http_request *held[HELD_MAX]; /* asked, not answered */
    size_t held_count;
    size_t asked;
    unsigned deadlines;
    bool drained;
    int64_t now_ms;
};

/* Of each test; *state is a struct world. */
int setup(void **state);
int teardown(void **state);
#define HTTP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* For a test that wants other options, or another address. */
struct httpd_options options_for(struct world *world);
/* options: NULL for those of options_for; where: as listen_open's. */
struct world *world_open(const struct httpd_options *options,
                         const char *where);
void world_close(struct world *world);

/* Moves both clocks, and lets the loop turn. */
void pass_ms(struct world *world, int64_t ms);
struct client *enter(const struct world *world);
void turn_until_asked(struct world *world, size_t count);
void reply_text(struct http_request *request, unsigned status, struct str text);

#define GET(path) S("GET " path " HTTP/1.1\r\nHost: h\r\n\r\n")
#define JSON      "Content-Type: application/json\r\n"

#endif
