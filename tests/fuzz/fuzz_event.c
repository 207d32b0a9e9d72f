/* Records of events and attempts: what is read is written so that it reads
 * the same again. */
#include "queue/attempts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORD_MAX = 1024 * 1024 };

static void check_again(struct arena *arena, const struct event *event)
{
    struct buf first;
    struct buf second;
    struct event again;

    buf_init(&first, RECORD_MAX);
    buf_init(&second, RECORD_MAX);
    event_write(event, &first);
    CHECK(event_read(buf_str(&first), arena, &again));
    event_write(&again, &second);
    CHECK(str_eq(buf_str(&first), buf_str(&second)));
    buf_finish(&first);
    buf_finish(&second);
}

static void check_attempt(struct arena *arena, const struct attempt *attempt)
{
    struct buf first;
    struct buf second;
    struct attempt again;

    buf_init(&first, RECORD_MAX);
    buf_init(&second, RECORD_MAX);
    attempt_write(attempt, &first);
    CHECK(attempt_read(buf_str(&first), arena, &again));
    attempt_write(&again, &second);
    CHECK(str_eq(buf_str(&first), buf_str(&second)));
    buf_finish(&first);
    buf_finish(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create();
    struct attempt attempt;
    struct event event;

    if (event_read(str_make(data, size), arena, &event))
        check_again(arena, &event);
    if (attempt_read(str_make(data, size), arena, &attempt))
        check_attempt(arena, &attempt);
    arena_destroy(&arena);
    return 0;
}
