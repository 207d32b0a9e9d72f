#include "queue/redis_core.h"

#include "server/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Each Sentinel tells of a failover as soon as it knows of it, on the channel
 * +switch-master: "name old-host old-port new-host new-port". Whoever hears of
 * it need not wait for the old master to die, or to say READONLY: in a planned
 * failover, and when a frozen one wakes, that still takes commands for
 * seconds.
 *
 * All of them are listened to, since each knows on its own; the first one
 * counts. A Sentinel that is away, or whose ACL forbids it, is no failure:
 * whoever looks for the master asks (redis_sentinel.c).
 *
 * Source: https://redis.io/docs/reference/sentinel-clients/ */

enum { SUBSCRIBE_BUDGET_MS = 800 };

static const char CHANNEL[] = "+switch-master";

struct teller {
    struct master_watch *watch;
    struct redis_link *link;
};

struct master_watch {
    struct redis_link *owner;
    struct config_redis config; /* a Sentinel's user and password */
    struct teller tellers[REDIS_SENTINELS_MAX];
};

static bool read_switch(struct str text, const char *master,
                        struct redis_node *out)
{
    enum { NAME, OLD_HOST, OLD_PORT, NEW_HOST, NEW_PORT, WORDS };
    struct str words[WORDS];
    uint64_t port;

    for (unsigned i = 0; i < WORDS; i++)
        if (!str_cut(&text, ' ', &words[i]))
            return false;
    if (!str_eq(words[NAME], str_of(master)) ||
        words[NEW_HOST].len >= sizeof out->host ||
        !str_to_u64(words[NEW_PORT], &port) || port == 0 || port > UINT16_MAX)
        return false;
    *out = (struct redis_node){.port = (uint16_t)port};
    memcpy(out->host, words[NEW_HOST].ptr, words[NEW_HOST].len);
    return true;
}

/* ["message", channel, text] */
static void on_message(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    const struct teller *teller = ctx;
    struct redis_link *owner = teller->watch->owner;
    struct redis_node master;

    (void)why;
    if (str_eq(reply_str(reply_at(reply, 0)), S("message")) &&
        read_switch(reply_str(reply_at(reply, 2)), owner->address.master,
                    &master))
        link_follow(owner, &master);
}

static void on_up(void *ctx)
{
    struct teller *teller = ctx;

    redis_subscribe(teller->link, CHANNEL, SUBSCRIBE_BUDGET_MS, on_message,
                    teller);
}

/* Asking again would not help. */
static void on_down(void *ctx, const struct error *why)
{
    struct teller *teller = ctx;

    if (strstr(why->text, "NOPERM") != NULL)
        redis_link_close(&teller->link);
}

struct master_watch *master_watch_open(struct redis_link *owner)
{
    struct master_watch *watch = xcalloc(1, sizeof *watch);
    const struct redis_address *address = &owner->address;

    watch->owner = owner;
    watch->config = sentinel_config(owner->settings.config);
    for (size_t i = 0; i < address->sentinel_count; i++) {
        struct teller *teller = &watch->tellers[i];
        const struct redis_address where = {.node = address->sentinels[i]};

        teller->watch = watch;
        teller->link =
            redis_link_open(owner->loop, &(struct redis_link_settings){
                                             .config = &watch->config,
                                             .address = &where,
                                             .name = "sentinel",
                                             .in_flight_max = 4,
                                             .on_up = on_up,
                                             .on_down = on_down,
                                             .ctx = teller,
                                         });
    }
    return watch;
}

void master_watch_close(struct master_watch **watch_ptr)
{
    struct master_watch *watch = *watch_ptr;

    if (watch == NULL)
        return;
    *watch_ptr = NULL;
    for (size_t i = 0; i < REDIS_SENTINELS_MAX; i++)
        redis_link_close(&watch->tellers[i].link);
    loop_free_later(watch->owner->loop, free, watch);
}
