/* api_world.h - the API over real sockets, in front of the fake queue. */
#ifndef TESTS_API_WORLD_H
#define TESTS_API_WORLD_H

#include "fake_queue.h"
#include "raw_client.h"

struct world {
    struct loop *loop;
    struct api *api;
    struct config config;
    struct config_route route;
    struct config_upstream upstream;
    int listen_fd;
    struct address address;
    struct client *client;
    int64_t now_ms;
    bool drained;
};

/* Of each test; *state is a struct world. */
int setup(void **state);
int teardown(void **state);
#define API_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Moves both clocks, and lets the loop turn. */
void pass_ms(struct world *world, int64_t ms);

/* The first half of ask_with: nothing is waited for. */
void say_call(struct world *world, const char *request_line, const char *fields,
              const char *body);
/* One call over the world's connection; what was heard before is dropped.
 * fields: header lines; body: JSON, or NULL. Gives the status. */
unsigned ask_with(struct world *world, const char *request_line,
                  const char *fields, const char *body);
/* The same with the key. */
unsigned ask(struct world *world, const char *request_line, const char *body);
/* The header line with the key. */
const char *key_field(void);
/* The answer has that text in it. */
void expect(const struct world *world, const char *text);

#define MAIL                                                                   \
    "{\"from\":\"App <app@sender.test>\",\"to\":\"ada@inbox.test\","           \
    "\"subject\":\"Hello\",\"text\":\"Hello.\"}"

#endif
