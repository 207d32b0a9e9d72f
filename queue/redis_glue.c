#include "queue/redis_core.h"

#include "server/base/mem.h"

#include <hiredis/async.h>
#include <stdlib.h>

/* hiredis on our loop: it asks for reading and writing, a watch tells it. */

struct glue {
    redisAsyncContext *ac; /* NULL once hiredis has let go */
    struct loop *loop;
    struct watch *watch;
    int events;
};

static void glue_set(struct glue *glue, int add, int drop)
{
    glue->events = (glue->events | add) & ~drop;
    watch_set(glue->watch, glue->events);
}

static void glue_add_read(void *ctx)
{
    glue_set(ctx, WATCH_READ, 0);
}

static void glue_drop_read(void *ctx)
{
    glue_set(ctx, 0, WATCH_READ);
}

static void glue_add_write(void *ctx)
{
    glue_set(ctx, WATCH_WRITE, 0);
}

static void glue_drop_write(void *ctx)
{
    glue_set(ctx, 0, WATCH_WRITE);
}

static void glue_cleanup(void *ctx)
{
    struct glue *glue = ctx;

    glue->ac = NULL;
    watch_close(&glue->watch);
    loop_free_later(glue->loop, free, glue);
}

static void on_socket(void *ctx, int events)
{
    struct glue *glue = ctx;

    if ((events & WATCH_READ) && glue->ac != NULL)
        redisAsyncHandleRead(glue->ac);
    if ((events & WATCH_WRITE) && glue->ac != NULL)
        redisAsyncHandleWrite(glue->ac);
    if ((events & WATCH_WRITE) && glue->ac != NULL)
        requests_written(glue->ac);
}

void redis_glue_attach(struct loop *loop, redisAsyncContext *ac)
{
    struct glue *glue = xcalloc(1, sizeof *glue);

    glue->ac = ac;
    glue->loop = loop;
    glue->watch = watch_open(loop, ac->c.fd, on_socket, glue);
    ac->ev.data = glue;
    ac->ev.addRead = glue_add_read;
    ac->ev.delRead = glue_drop_read;
    ac->ev.addWrite = glue_add_write;
    ac->ev.delWrite = glue_drop_write;
    ac->ev.cleanup = glue_cleanup;
    glue_set(glue, WATCH_WRITE, 0); /* tells when it is connected */
}
