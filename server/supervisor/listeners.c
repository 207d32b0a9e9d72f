#include "server/supervisor/listeners.h"

#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/io/listen.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One address: a socket a child, or the same one for all (Unix sockets know
 * no SO_REUSEPORT). */
struct listener {
    char *where;
    int *fds;
};

struct listeners {
    unsigned children;
    struct listener *items;
    size_t count;
    int *by_child; /* fds once more, child by child */
};

struct listeners *listeners_create(unsigned children)
{
    struct listeners *listeners = xcalloc(1, sizeof *listeners);

    listeners->children = children;
    return listeners;
}

static bool is_shared(const struct listener *listener)
{
    return str_starts(str_of(listener->where), S("unix:"));
}

static void listener_close(const struct listeners *listeners,
                           struct listener *listener)
{
    unsigned own = is_shared(listener) ? 1 : listeners->children;

    for (unsigned i = 0; i < own; i++)
        if (listener->fds[i] >= 0)
            close(listener->fds[i]);
    free(listener->fds);
    free(listener->where);
}

/* With port 0 the first socket learns the port that all the others take. */
static bool listener_open(const struct listeners *listeners, const char *where,
                          struct listener *listener, struct error *err)
{
    const struct listen_options options = {.reuse_port = true};
    char actual[ADDRESS_TEXT_SIZE];
    struct address address;

    *listener = (struct listener){xstrdup(where), NULL};
    listener->fds = xcalloc(listeners->children, sizeof *listener->fds);
    for (unsigned i = 0; i < listeners->children; i++)
        listener->fds[i] = -1;
    listener->fds[0] = listen_open(where, &options, err);
    if (listener->fds[0] < 0)
        goto failed;
    listen_address(listener->fds[0], &address);
    address_format(&address, actual);
    for (unsigned i = 1; i < listeners->children; i++) {
        listener->fds[i] = is_shared(listener)
                               ? listener->fds[0]
                               : listen_open(actual, &options, err);
        if (listener->fds[i] < 0)
            goto failed;
    }
    log_write(LOG_INFO, LOG_PROCESS_LISTENING, log_cstr("address", actual));
    return true;
failed:
    listener_close(listeners, listener);
    return false;
}

static bool is_among(const struct listener *items, size_t count,
                     const struct listener *listener)
{
    for (size_t i = 0; i < count; i++)
        if (items[i].fds == listener->fds)
            return true;
    return false;
}

/* The listener at where that is open already, taken out of the old set: each
 * but once, though an address may stand there twice. */
static bool listener_keep(const struct listeners *listeners, const char *where,
                          struct listener *fresh, size_t count)
{
    for (size_t i = 0; i < listeners->count; i++) {
        const struct listener *old = &listeners->items[i];

        if (strcmp(old->where, where) == 0 && !is_among(fresh, count, old)) {
            fresh[count] = *old;
            return true;
        }
    }
    return false;
}

/* Closes those of from that are not in kept. */
static void close_others(const struct listeners *listeners,
                         struct listener *from, size_t from_count,
                         const struct listener *kept, size_t kept_count)
{
    for (size_t i = 0; i < from_count; i++)
        if (!is_among(kept, kept_count, &from[i]))
            listener_close(listeners, &from[i]);
}

static void index_by_child(struct listeners *listeners)
{
    free(listeners->by_child);
    listeners->by_child = xcalloc(listeners->children * listeners->count,
                                  sizeof *listeners->by_child);
    for (unsigned child = 0; child < listeners->children; child++)
        for (size_t i = 0; i < listeners->count; i++)
            listeners->by_child[child * listeners->count + i] =
                listeners->items[i].fds[child];
}

bool listeners_set(struct listeners *listeners, const struct config_list *where,
                   struct error *err)
{
    struct listener *fresh = xcalloc(where->count, sizeof *fresh);

    for (size_t i = 0; i < where->count; i++) {
        if (listener_keep(listeners, where->items[i], fresh, i))
            continue;
        if (!listener_open(listeners, where->items[i], &fresh[i], err)) {
            close_others(listeners, fresh, i, listeners->items,
                         listeners->count);
            free(fresh);
            return false;
        }
    }
    close_others(listeners, listeners->items, listeners->count, fresh,
                 where->count);
    free(listeners->items);
    listeners->items = fresh;
    listeners->count = where->count;
    index_by_child(listeners);
    return true;
}

const int *listeners_of_child(const struct listeners *listeners, unsigned child,
                              size_t *count)
{
    *count = listeners->count;
    return listeners->by_child + child * listeners->count;
}

void listeners_destroy(struct listeners **listeners)
{
    if (*listeners == NULL)
        return;
    close_others(*listeners, (*listeners)->items, (*listeners)->count, NULL, 0);
    free((*listeners)->items);
    free((*listeners)->by_child);
    free(*listeners);
    *listeners = NULL;
}
