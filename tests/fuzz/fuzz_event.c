/* Event records: what is read is written so that it reads the same again. */
#include "queue/events.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create();
    struct event event;

    if (event_read(str_make(data, size), arena, &event))
        check_again(arena, &event);
    arena_destroy(&arena);
    return 0;
}
