#include "queue/core.h"

#include "server/base/codec.h"
#include "server/base/mem.h"
#include "server/base/random.h"
#include "server/base/secret.h"
#include "server/io/work.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN_FLIGHT_MAX = 4096 };

static void on_main_up(void *ctx)
{
    health_link_is_up(ctx);
}

static void on_main_down(void *ctx, const struct error *why)
{
    health_link_is_down(ctx, why);
}

static void on_bulk_up(void *ctx)
{
    health_look(ctx);
}

static void on_bulk_down(void *ctx, const struct error *why)
{
    (void)why; /* the main link's tells */
    health_look(ctx);
}

static void on_main_nodes(void *ctx)
{
    partitions_look(ctx);
    health_nodes_changed(ctx);
}

/* Where there are enough of them again, what waited for that may go on. */
static void on_replicas(void *ctx)
{
    struct queue *queue = ctx;

    health_look(queue);
    queue_worker_hungry(queue);
}

static struct redis_link *link_open(struct queue *queue,
                                    struct redis_link_settings settings)
{
    settings.config = &queue->config->redis;
    settings.in_flight_max = IN_FLIGHT_MAX;
    return redis_link_open(queue->loop, &settings);
}

struct redis_link *queue_link_open(struct queue *queue, const char *name,
                                   void (*on_up)(void *ctx),
                                   void (*on_nodes)(void *ctx), void *ctx)
{
    return link_open(queue, (struct redis_link_settings){
                                .name = name,
                                .family = queue->main,
                                .on_up = on_up,
                                .on_nodes = on_nodes,
                                .ctx = ctx,
                            });
}

struct queue *queue_open(struct loop *loop, const struct config *config,
                         const struct keyring *keyring)
{
    struct queue *queue = xcalloc(1, sizeof *queue);

    queue->loop = loop;
    queue->config = config;
    queue->keyring = keyring;
    list_init(&queue->parts);
    list_init(&queue->calls);
    list_init(&queue->mail_batches);
    list_init(&queue->contents_waiting);
    health_open(queue);
    levels_open(queue);
    partitions_open(queue);
    queue->main = link_open(queue, (struct redis_link_settings){
                                       .name = "main",
                                       .loads_scripts = true,
                                       .on_up = on_main_up,
                                       .on_down = on_main_down,
                                       .on_nodes = on_main_nodes,
                                       .on_replicas = on_replicas,
                                       .ctx = queue,
                                   });
    queue->bulk = link_open(queue, (struct redis_link_settings){
                                       .name = "bulk",
                                       .family = queue->main,
                                       .on_up = on_bulk_up,
                                       .on_down = on_bulk_down,
                                       .ctx = queue,
                                   });
    return queue;
}

void queue_close(struct queue **queue_ptr)
{
    struct queue *queue = *queue_ptr;

    if (queue == NULL)
        return;
    *queue_ptr = NULL;
    list_each_safe (at, &queue->parts) {
        struct queue_part *part = LIST_MEMBER(at, struct queue_part, link);

        list_remove(at);
        part->close(part->ctx);
    }
    levels_close(queue);
    health_close(queue);
    redis_link_close(&queue->main);
    redis_link_close(&queue->bulk);
    work_close(&queue->helper);
    list_each_safe (at, &queue->calls)
        queue_call_end(LIST_MEMBER(at, struct queue_call, link));
    loop_free_later(queue->loop, free, queue);
}

void queue_part_add(struct queue *queue, struct queue_part *part)
{
    list_add_last(&queue->parts, &part->link);
    partitions_tell(queue, part);
}

/* --- callers --- */

void *queue_call_new(struct queue *queue, size_t size)
{
    struct arena *arena = arena_create();
    struct queue_call *call = arena_alloc(arena, size);

    CHECK(size >= sizeof *call);
    call->queue = queue;
    call->arena = arena;
    task_init(&call->later, NULL, NULL);
    list_add_last(&queue->calls, &call->link);
    return call;
}

void child_name_make(struct child_name *name)
{
    unsigned char random[CHILD_NAME_LEN / 2];
    struct buf hex;

    random_bytes(random, sizeof random);
    buf_init(&hex, sizeof name->text);
    codec_hex_add(&hex, str_make(random, sizeof random));
    *name = (struct child_name){0};
    memcpy(name->text, hex.data, CHILD_NAME_LEN);
    buf_finish(&hex);
}

void child_name_epoch(struct child_name *name, char epoch[EPOCH_SIZE])
{
    snprintf(epoch, EPOCH_SIZE, "%s%04x", name->text, name->epochs++ & 0xffff);
}

void queue_call_end(struct queue_call *call)
{
    struct arena *arena = call->arena;

    list_remove(&call->link);
    task_cancel(&call->later);
    if (call->finish != NULL)
        call->finish(call);
    arena_destroy(&arena);
}

void queue_call_later(struct queue_call *call, task_fn fn)
{
    task_init(&call->later, fn, call);
    task_run_soon(call->queue->loop, &call->later);
}

/* --- keys --- */

static struct str key_format(char *out, size_t len, const char *format,
                             va_list args) PRINTF_LIKE(3, 0);

static struct str key_format(char *out, size_t len, const char *format,
                             va_list args)
{
    int more = vsnprintf(out + len, KEY_MAX - len, format, args);

    CHECK(more >= 0 && len + (size_t)more < KEY_MAX);
    return str_make(out, len + (size_t)more);
}

struct str queue_partition_prefix(const struct queue *queue, unsigned partition,
                                  char *out)
{
    int len = snprintf(out, KEY_MAX, "%s{%u}:", queue->config->redis.prefix,
                       partition);

    CHECK(len > 0 && len < KEY_MAX);
    return str_make(out, (size_t)len);
}

struct str queue_key(const struct queue *queue, unsigned partition, char *out,
                     const char *format, ...)
{
    struct str prefix = queue_partition_prefix(queue, partition, out);
    struct str key;
    va_list args;

    va_start(args, format);
    key = key_format(out, prefix.len, format, args);
    va_end(args);
    return key;
}

struct str queue_global_key(const struct queue *queue, char *out,
                            const char *format, ...)
{
    int len = snprintf(out, KEY_MAX, "%s", queue->config->redis.prefix);
    struct str key;
    va_list args;

    CHECK(len >= 0 && len < KEY_MAX);
    va_start(args, format);
    key = key_format(out, (size_t)len, format, args);
    va_end(args);
    return key;
}

void command_init_partition(struct redis_command *command,
                            const struct queue *queue, enum script script,
                            unsigned partition)
{
    char prefix[KEY_MAX];

    command_init_script(command, script,
                        queue_partition_prefix(queue, partition, prefix));
}

/* --- replies --- */

enum queue_status reply_status(const struct reply *reply,
                               const struct error *why, struct error *err)
{
    struct str text = reply_str(reply);

    if (reply == NULL && why == NULL) {
        error_set(err, ERR_REMOTE, "redis: an answer that no script gives");
        return QUEUE_AWAY;
    }
    if (reply == NULL) {
        *err = *why;
        return why->kind == ERR_BUSY ? QUEUE_NOT_READY : QUEUE_AWAY;
    }
    if (why != NULL) { /* done, but a failover may undo it */
        *err = *why;
        return QUEUE_AWAY;
    }
    if (reply_type(reply) != REPLY_ERROR)
        return QUEUE_OK;
    error_set(err, ERR_REMOTE, "redis: %.*s", STR_ARG(text));
    if (reply_is_error(reply, "FROZEN"))
        return QUEUE_FROZEN;
    if (reply_is_error(reply, "ELSEWHERE"))
        return QUEUE_MOVED;
    return reply_is_error(reply, "OOM") ? QUEUE_FULL : QUEUE_NOT_READY;
}

void reply_refuse(const struct reply *reply, const struct error *why,
                  struct error *err)
{
    if (reply_status(reply, why, err) == QUEUE_OK)
        (void)reply_status(NULL, NULL, err);
}

bool reply_is_lost(const struct reply *reply, const struct error *why)
{
    return reply == NULL && why != NULL && why->kind != ERR_BUSY;
}
