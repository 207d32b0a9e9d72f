#include "server/base/random.h"

#include "server/base/check.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

enum { STORE_SIZE = 1024 };

struct store {
    unsigned char bytes[STORE_SIZE];
    size_t left; /* of them, the last ones, still to be given out */
};

static _Thread_local struct store store;

static void forget(void)
{
    explicit_bzero(&store, sizeof store);
}

static void watch_forks(void)
{
    CHECK(pthread_atfork(NULL, NULL, forget) == 0);
}

static void fetch(unsigned char *out, size_t len)
{
    while (len > 0) {
        ssize_t got = getrandom(out, len, 0);

        CHECK(got > 0 || errno == EINTR);
        if (got > 0) {
            out += got;
            len -= (size_t)got;
        }
    }
}

static void refill(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    CHECK(pthread_once(&once, watch_forks) == 0);
    fetch(store.bytes, sizeof store.bytes);
    store.left = sizeof store.bytes;
}

void random_bytes(void *out, size_t len)
{
    unsigned char *from;

    if (len > STORE_SIZE) {
        fetch(out, len);
        return;
    }
    if (store.left < len)
        refill();
    from = store.bytes + STORE_SIZE - store.left;
    memcpy(out, from, len);
    explicit_bzero(from, len);
    store.left -= len;
}
