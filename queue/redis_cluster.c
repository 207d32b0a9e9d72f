#include "queue/redis_core.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* A link to a cluster: one link for each master that holds slots, and each
 * command goes to the one that holds its key's.
 *
 * A node that answers MOVED, ASK, TRYAGAIN or CLUSTERDOWN has not executed the
 * command, so it is sent again: at once to where the first MOVED points, else
 * after a while, for two nodes may send us to each other until they agree. The
 * key of a script is a partition's prefix, which never exists: so a
 * slot that is on its way answers ASK to each of its scripts until all of it
 * has arrived, and none runs on half of its keys.
 *
 * Slots are learnt by CLUSTER SLOTS, from any node that answers: at first,
 * after a MOVED, quickly while a node is away, since a replica may have taken
 * its place, and every few seconds, since who sends nothing is told nothing.
 *
 * Source: https://redis.io/docs/reference/cluster-spec/ */

enum {
    SLOT_COUNT = 16384,
    NODES_MAX = 64,
    NO_NODE = 0xff,
    LEARN_EVERY_MS = 3000,
    LEARN_AGAIN_MS = 250,
    LEARN_BUDGET_MS = 800,
    CLOSE_AGAIN_MS = 2000,
    PAUSE_MIN_MS = 10,
    PAUSE_MAX_MS = 160,
};

struct node {
    struct cluster *cluster;
    struct redis_node where;
    struct redis_link *link;
    bool has_slots;
    bool is_away; /* it was tried, and there is no connection */
};

struct cluster {
    struct redis_link *owner;
    struct node *nodes[NODES_MAX]; /* some are NULL */
    unsigned char slots[SLOT_COUNT];
    bool knows_slots;
    bool is_learning;
    bool is_stale; /* a node says that slots have moved */
    struct timer learn;
    int64_t learn_at_ms;
    struct list sendings;
    size_t paused; /* of them; no more than may be under way */
};

/* A command until its answer. */
struct sending {
    struct list link; /* of cluster.sendings */
    struct cluster *cluster;
    struct redis_command command; /* kept, to be sent again */
    unsigned slot;
    const struct node *node; /* that was asked last */
    int64_t budget_ms;
    int64_t until_ms; /* it is sent again before that */
    int64_t pause_ms;
    bool has_followed; /* a MOVED, at once */
    struct timer pause;
    redis_fn fn;
    void *ctx;
};

/* --- slots --- */

/* CRC16, XModem. */
static unsigned crc16(struct str text)
{
    unsigned crc = 0;

    for (size_t i = 0; i < text.len; i++) {
        crc ^= (unsigned)(unsigned char)text.ptr[i] << 8;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = (crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1;
    }
    return crc & 0xffff;
}

/* Of what stands in the first braces, if something does. */
unsigned cluster_slot(struct str key)
{
    ptrdiff_t open = str_index(key, '{', 0);
    ptrdiff_t close = open < 0 ? -1 : str_index(key, '}', (size_t)open + 1);

    if (close > open + 1)
        key = str_slice(key, (size_t)open + 1, (size_t)(close - open - 1));
    return crc16(key) % SLOT_COUNT;
}

static struct node *node_of_slot(const struct cluster *cluster, unsigned slot)
{
    unsigned node = cluster->slots[slot];

    return node == NO_NODE ? NULL : cluster->nodes[node];
}

static bool node_is_up(const struct node *node)
{
    return node != NULL && redis_link_is_up(node->link);
}

/* --- nodes --- */

static void learn_soon(struct cluster *cluster, int64_t wait_ms)
{
    int64_t at_ms = clock_now_ms() + wait_ms;

    if (timer_is_set(&cluster->learn) && cluster->learn_at_ms <= at_ms)
        return;
    cluster->learn_at_ms = at_ms;
    timer_set_at(cluster->owner->loop, &cluster->learn, at_ms);
}

static bool is_any_up(const struct cluster *cluster)
{
    for (size_t i = 0; i < NODES_MAX; i++)
        if (cluster->nodes[i] != NULL && cluster->nodes[i]->has_slots &&
            node_is_up(cluster->nodes[i]))
            return true;
    return false;
}

static bool are_all_up(const struct cluster *cluster)
{
    for (size_t i = 0; i < NODES_MAX; i++)
        if (cluster->nodes[i] != NULL && cluster->nodes[i]->has_slots &&
            !node_is_up(cluster->nodes[i]))
            return false;
    return cluster->knows_slots;
}

static bool are_all_tried(const struct cluster *cluster)
{
    for (size_t i = 0; i < NODES_MAX; i++) {
        const struct node *node = cluster->nodes[i];

        if (node != NULL && node->has_slots && !node_is_up(node) &&
            !node->is_away)
            return false;
    }
    return cluster->knows_slots;
}

/* Up as long as some of it is; at first all of it gets its chance. */
static void look(struct cluster *cluster)
{
    struct redis_link *owner = cluster->owner;
    const struct redis_link_settings *settings = &owner->settings;
    bool was_up = owner->state == LINK_UP;
    bool up = is_any_up(cluster) && (was_up || are_all_tried(cluster));

    owner->state = up ? LINK_UP : LINK_DOWN;
    if (up && !was_up && settings->on_up != NULL)
        settings->on_up(settings->ctx);
    else if (!up && was_up && settings->on_down != NULL)
        settings->on_down(settings->ctx, &owner->lost);
    else if (settings->on_nodes != NULL)
        settings->on_nodes(settings->ctx);
}

static void on_node_up(void *ctx)
{
    struct node *node = ctx;

    node->is_away = false;
    learn_soon(node->cluster, 0); /* it may be another's replica now */
    look(node->cluster);
}

static void on_node_down(void *ctx, const struct error *why)
{
    struct node *node = ctx;
    struct cluster *cluster = node->cluster;
    const struct redis_link *owner = cluster->owner;
    bool was_up = owner->state == LINK_UP;

    node->is_away = true;
    cluster->owner->lost = *why;
    learn_soon(cluster, LEARN_AGAIN_MS);
    look(cluster);
    if (!was_up && owner->state != LINK_UP && owner->settings.on_down != NULL)
        owner->settings.on_down(owner->settings.ctx, why);
}

static void on_node_replicas(void *ctx)
{
    struct node *node = ctx;
    const struct redis_link_settings *settings =
        &node->cluster->owner->settings;

    if (settings->on_replicas != NULL)
        settings->on_replicas(settings->ctx);
}

static unsigned node_open(struct cluster *cluster,
                          const struct redis_node *where)
{
    struct redis_link_settings settings = cluster->owner->settings;
    const struct redis_address address = {.node = *where};
    struct node *node;
    unsigned i = 0;

    while (i < NODES_MAX && cluster->nodes[i] != NULL)
        i++;
    if (i == NODES_MAX)
        return NO_NODE;
    node = xcalloc(1, sizeof *node);
    node->cluster = cluster;
    node->where = *where;
    settings.address = &address;
    settings.on_up = on_node_up;
    settings.on_down = on_node_down;
    settings.on_replicas = on_node_replicas;
    settings.on_nodes = NULL;
    settings.family = NULL;
    settings.ctx = node;
    node->link = redis_link_open(cluster->owner->loop, &settings);
    node->link->whole = cluster->owner;
    cluster->nodes[i] = node;
    return i;
}

/* Its place, or NODES_MAX. */
static unsigned node_find(const struct cluster *cluster,
                          const struct redis_node *where)
{
    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct node *node = cluster->nodes[i];

        if (node != NULL && strcmp(node->where.host, where->host) == 0 &&
            node->where.port == where->port)
            return i;
    }
    return NODES_MAX;
}

static unsigned node_at(struct cluster *cluster, const struct redis_node *where)
{
    unsigned i = node_find(cluster, where);

    return i < NODES_MAX ? i : node_open(cluster, where);
}

static void sending_give_up(struct sending *sending, enum error_kind kind,
                            const char *text);

static void node_close(struct cluster *cluster, unsigned i)
{
    struct node *node = cluster->nodes[i];

    cluster->nodes[i] = NULL;
    list_each_safe (at, &cluster->sendings) {
        struct sending *sending = LIST_MEMBER(at, struct sending, link);

        if (sending->node == node)
            sending_give_up(sending, ERR_REMOTE, "the node left the cluster");
    }
    redis_link_close(&node->link);
    loop_free_later(cluster->owner->loop, free, node);
}

static void open_seeds(struct cluster *cluster)
{
    const struct redis_address *address = &cluster->owner->address;

    for (size_t i = 0; i < address->seed_count; i++)
        (void)node_at(cluster, &address->seeds[i]);
}

/* --- learning --- */

/* What stands for a name that is to be told and is not known. */
static bool is_nameless(struct str host)
{
    return str_eq(host, S("?"));
}

/* Of the pairs behind a node's id. */
static struct str address_of(const struct reply *pairs)
{
    for (size_t i = 0; i + 1 < reply_count(pairs); i += 2)
        if (str_eq(reply_str(reply_at(pairs, i)), S("ip")))
            return reply_str(reply_at(pairs, i + 1));
    return S("");
}

/* A node that does not know its own address leaves it out. */
static bool read_node(const struct reply *reply, const struct redis_node *asked,
                      struct redis_node *out)
{
    struct str host = reply_str(reply_at(reply, 0));
    int64_t port = reply_int(reply_at(reply, 1));

    if (is_nameless(host))
        host = address_of(reply_at(reply, 3));
    *out = *asked;
    if (port <= 0 || port > UINT16_MAX || host.len >= sizeof out->host)
        return false;
    out->port = (uint16_t)port;
    if (host.len > 0) {
        memcpy(out->host, host.ptr, host.len);
        out->host[host.len] = '\0';
    }
    return true;
}

/* An entry: first slot, last slot, master, replicas. */
static void take_range(struct cluster *cluster, const struct reply *entry,
                       const struct redis_node *asked)
{
    int64_t first = reply_int(reply_at(entry, 0));
    int64_t last = reply_int(reply_at(entry, 1));
    struct redis_node where;
    unsigned node;

    if (first < 0 || last >= SLOT_COUNT ||
        !read_node(reply_at(entry, 2), asked, &where))
        return;
    node = node_at(cluster, &where);
    if (node == NO_NODE)
        return;
    cluster->nodes[node]->has_slots = true;
    for (int64_t slot = first; slot <= last; slot++)
        cluster->slots[slot] = (unsigned char)node;
}

/* One that still owes answers goes later: they say MOVED, which is certain. */
static void close_idle_nodes(struct cluster *cluster)
{
    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct node *node = cluster->nodes[i];

        if (node == NULL || node->has_slots)
            continue;
        if (node_is_up(node) && redis_link_in_flight(node->link) > 0)
            learn_soon(cluster, CLOSE_AGAIN_MS);
        else
            node_close(cluster, i);
    }
}

static void take_slots(struct cluster *cluster, const struct reply *reply,
                       const struct redis_node *asked)
{
    for (size_t i = 0; i < NODES_MAX; i++)
        if (cluster->nodes[i] != NULL)
            cluster->nodes[i]->has_slots = false;
    memset(cluster->slots, NO_NODE, sizeof cluster->slots);
    for (size_t i = 0; i < reply_count(reply); i++)
        take_range(cluster, reply_at(reply, i), asked);
    cluster->knows_slots = true;
    cluster->is_stale = false;
    close_idle_nodes(cluster);
}

static void on_slots(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct node *node = ctx;
    struct cluster *cluster = node->cluster;
    struct redis_node asked = node->where;

    (void)why;
    cluster->is_learning = false;
    if (reply_count(reply) > 0)
        take_slots(cluster, reply, &asked);
    else if (reply_type(reply) == REPLY_ERROR)
        error_set(&cluster->owner->lost, ERR_CONFIG, "redis: %.*s",
                  STR_ARG(reply_str(reply)));
    learn_soon(cluster, are_all_up(cluster) && !cluster->is_stale
                            ? LEARN_EVERY_MS
                            : LEARN_AGAIN_MS);
    look(cluster);
}

/* Any that is up will do; of several each gets its turn. */
static struct node *some_node(struct cluster *cluster)
{
    unsigned first = arc4random_uniform(NODES_MAX);

    for (unsigned i = 0; i < NODES_MAX; i++) {
        struct node *node = cluster->nodes[(first + i) % NODES_MAX];

        if (node_is_up(node))
            return node;
    }
    return NULL;
}

static void on_learn(void *ctx)
{
    struct cluster *cluster = ctx;
    struct node *node = some_node(cluster);
    struct redis_command command;

    if (cluster->is_learning)
        return;
    if (node == NULL) {
        open_seeds(cluster);
        learn_soon(cluster, LEARN_AGAIN_MS);
        return;
    }
    cluster->is_learning = true;
    command_init(&command, "CLUSTER");
    command_add_cstr(&command, "SLOTS");
    redis_send(node->link, &command, LEARN_BUDGET_MS, on_slots, node);
}

/* --- sending --- */

static void sending_end(struct sending *sending)
{
    list_remove(&sending->link);
    sending->cluster->paused -= timer_is_set(&sending->pause);
    timer_clear(sending->cluster->owner->loop, &sending->pause);
    command_finish(&sending->command);
    free(sending);
}

static void go(struct sending *sending);

static void on_pause_over(void *ctx)
{
    struct sending *sending = ctx;

    sending->cluster->paused--;
    go(sending);
}

static bool has_time(const struct sending *sending)
{
    return clock_now_ms() < sending->until_ms;
}

static bool may_pause(const struct sending *sending)
{
    const struct cluster *cluster = sending->cluster;

    return has_time(sending) &&
           cluster->paused < cluster->owner->settings.in_flight_max;
}

static void pause_it(struct sending *sending)
{
    sending->cluster->paused++;
    timer_set(sending->cluster->owner->loop, &sending->pause,
              sending->pause_ms);
    if (sending->pause_ms < PAUSE_MAX_MS)
        sending->pause_ms *= 2;
}

static ptrdiff_t last_colon(struct str text)
{
    ptrdiff_t last = -1;
    ptrdiff_t colon;

    while ((colon = str_index(text, ':', (size_t)(last + 1))) >= 0)
        last = colon;
    return last;
}

/* "MOVED 3999 127.0.0.1:6381": certain, whatever CLUSTER SLOTS said. Of
 * "?:6381" that alone has the address. */
static void follow(struct sending *sending, const struct reply *reply,
                   const struct redis_node *asked)
{
    struct cluster *cluster = sending->cluster;
    struct str text = reply_str(reply);
    struct redis_node where = *asked;
    struct str word;
    ptrdiff_t colon;
    uint64_t port;
    unsigned node;

    cluster->is_stale = true;
    learn_soon(cluster, 0);
    for (unsigned i = 0; i < 2; i++) /* "MOVED" and the slot */
        if (!str_cut(&text, ' ', &word))
            return;
    colon = last_colon(text);
    if (colon < 0 || (size_t)colon >= sizeof where.host ||
        !str_to_u64(str_from(text, (size_t)colon + 1), &port) || port == 0 ||
        port > UINT16_MAX || is_nameless(str_slice(text, 0, (size_t)colon)))
        return;
    if (colon > 0) {
        memcpy(where.host, text.ptr, (size_t)colon);
        where.host[colon] = '\0';
    }
    where.port = (uint16_t)port;
    node = node_at(cluster, &where);
    if (node != NO_NODE) {
        cluster->nodes[node]->has_slots = true;
        cluster->slots[sending->slot] = (unsigned char)node;
    }
}

static bool may_follow_at_once(struct sending *sending)
{
    bool is_first = !sending->has_followed;

    sending->has_followed = true;
    return is_first &&
           node_is_up(node_of_slot(sending->cluster, sending->slot));
}

static bool was_not_executed(const struct reply *reply)
{
    return reply_is_error(reply, "MOVED") || reply_is_error(reply, "ASK") ||
           reply_is_error(reply, "TRYAGAIN") ||
           reply_is_error(reply, "CLUSTERDOWN");
}

static void on_answer(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct sending *sending = ctx;
    const struct node *node = sending->node;
    redis_fn fn = sending->fn;
    void *its = sending->ctx;
    struct error later;

    sending->node = NULL;
    if (was_not_executed(reply)) {
        bool has_moved = reply_is_error(reply, "MOVED");

        if (has_moved)
            follow(sending, reply, &node->where);
        if (has_time(sending) && has_moved && may_follow_at_once(sending)) {
            go(sending);
            return;
        }
        if (may_pause(sending)) {
            pause_it(sending);
            return;
        }
        error_set(&later, ERR_BUSY, "redis: %.*s", STR_ARG(reply_str(reply)));
        reply = NULL;
        why = &later;
    }
    sending_end(sending);
    if (fn != NULL)
        fn(its, reply, why);
}

/* At the end of the turn. BUSY: it was certainly not executed. */
static void sending_give_up(struct sending *sending, enum error_kind kind,
                            const char *text)
{
    struct error why;

    error_set(&why, kind, "redis: %s", text);
    link_refuse(sending->cluster->owner, sending->fn, sending->ctx, &why);
    sending_end(sending);
}

static void go(struct sending *sending)
{
    struct node *node = node_of_slot(sending->cluster, sending->slot);
    struct redis_command copy;

    if (node_is_up(node)) {
        sending->node = node;
        command_copy(&sending->command, &copy);
#ifdef FAULT_POINTS
        sending->command.sent_point = NULL; /* passed once */
#endif
        redis_send(node->link, &copy, sending->budget_ms, on_answer, sending);
    } else if (sending->pause_ms > PAUSE_MIN_MS && may_pause(sending)) {
        pause_it(sending); /* on its way to a node that is not there yet */
    } else {
        sending_give_up(sending, ERR_BUSY,
                        "not connected to the node that holds the slot");
    }
}

void cluster_send(struct cluster *cluster, struct redis_command *command,
                  int64_t budget_ms, redis_fn fn, void *ctx)
{
    struct sending *sending = xcalloc(1, sizeof *sending);

    sending->cluster = cluster;
    sending->command = *command;
    *command = (struct redis_command){0};
    sending->slot = sending->command.slot >= 0
                        ? (unsigned)sending->command.slot
                        : cluster_slot(command_key(&sending->command));
    sending->budget_ms = budget_ms;
    sending->until_ms = clock_now_ms() + budget_ms;
    sending->pause_ms = PAUSE_MIN_MS;
    timer_init(&sending->pause, on_pause_over, sending);
    sending->fn = fn;
    sending->ctx = ctx;
    list_add_last(&cluster->sendings, &sending->link);
    go(sending);
}

/* --- what is asked of the link --- */

void command_route(struct redis_command *command, struct str key)
{
    command->slot = (int)cluster_slot(key);
}

const struct redis_node *cluster_place(const struct cluster *cluster,
                                       struct str key)
{
    const struct node *node = node_of_slot(cluster, cluster_slot(key));

    return node == NULL ? NULL : &node->where;
}

bool cluster_serves(const struct cluster *cluster, struct str key)
{
    return node_is_up(node_of_slot(cluster, cluster_slot(key)));
}

struct redis_link *cluster_node(const struct cluster *cluster, size_t *at)
{
    while (*at < NODES_MAX) {
        const struct node *node = cluster->nodes[(*at)++];

        if (node != NULL && node->has_slots)
            return node->link;
    }
    return NULL;
}

bool cluster_lacks_replicas(const struct cluster *cluster, struct str key)
{
    const struct node *node = node_of_slot(cluster, cluster_slot(key));

    return node != NULL && redis_link_lacks_replicas(node->link, key);
}

void cluster_reset(struct cluster *cluster, const char *why)
{
    size_t at = 0;
    struct redis_link *link;

    while ((link = cluster_node(cluster, &at)) != NULL)
        redis_link_reset(link, why);
}

void cluster_drop_soon(struct cluster *cluster, const struct redis_node *where)
{
    unsigned i = node_find(cluster, where);

    if (i < NODES_MAX)
        link_drop_soon(cluster->nodes[i]->link);
}

size_t cluster_in_flight(const struct cluster *cluster)
{
    size_t count = cluster->paused;

    for (size_t i = 0; i < NODES_MAX; i++)
        if (cluster->nodes[i] != NULL)
            count += redis_link_in_flight(cluster->nodes[i]->link);
    return count;
}

/* --- life --- */

struct cluster *cluster_open(struct redis_link *owner)
{
    struct cluster *cluster = xcalloc(1, sizeof *cluster);

    cluster->owner = owner;
    memset(cluster->slots, NO_NODE, sizeof cluster->slots);
    list_init(&cluster->sendings);
    timer_init(&cluster->learn, on_learn, cluster);
    learn_soon(cluster, 0);
    return cluster;
}

void cluster_close(struct cluster **cluster_ptr)
{
    struct cluster *cluster = *cluster_ptr;

    if (cluster == NULL)
        return;
    *cluster_ptr = NULL;
    timer_clear(cluster->owner->loop, &cluster->learn);
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (cluster->nodes[i] != NULL)
            node_close(cluster, i);
    list_each_safe (at, &cluster->sendings)
        sending_end(LIST_MEMBER(at, struct sending, link));
    loop_free_later(cluster->owner->loop, free, cluster);
}
