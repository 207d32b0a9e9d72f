#include "server/supervisor/instance.h"

#include "server/base/buf.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { NUMBERS = 64 };

__extension__ typedef unsigned __int128 u128;

/* FNV-1a of 128 bits (draft-eastlake-fnv): nobody gains by a collision, and
 * libcrypto, once it has begun, takes 3 MiB of a supervisor. */
static void hash_hex(struct str text, char hex[INSTANCE_SIZE])
{
    u128 prime = (u128)1 << 88 | 0x13b;
    u128 hash = (u128)0x6c62272e07bb0142 << 64 | 0x62b821756295c58d;

    for (size_t i = 0; i < text.len; i++) {
        hash ^= (unsigned char)text.ptr[i];
        hash *= prime;
    }
    snprintf(hex, INSTANCE_SIZE, "%016llx%016llx",
             (unsigned long long)(hash >> 64), (unsigned long long)hash);
}

static void name_make(const char *role, const char *path, const char *kind,
                      long number, char name[INSTANCE_SIZE])
{
    char host[HOST_NAME_MAX + 1] = "";
    struct buf all;

    (void)gethostname(host, sizeof host - 1);
    buf_init(&all, 2 * PATH_MAX);
    buf_addf(&all, "%s\n%s\n%s\n%s %ld", host, role, path, kind, number);
    hash_hex(buf_str(&all), name);
    buf_finish(&all);
}

/* An address that begins with a zero byte is a name, and no file. */
static bool name_hold(int fd, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf(address.sun_path + 1, sizeof address.sun_path - 1,
                       "posthaste-%s", name);

    return bind(fd, (const struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                            (size_t)len)) == 0;
}

int instance_take(const char *role, const char *config_path,
                  char name[INSTANCE_SIZE])
{
    char *path = realpath(config_path == NULL ? "" : config_path, NULL);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_held = false;

    for (long i = 0; i < NUMBERS && fd >= 0 && !is_held; i++) {
        name_make(role, path == NULL ? "" : path, "number", i, name);
        is_held = name_hold(fd, name);
    }
    if (!is_held) {
        name_make(role, path == NULL ? "" : path, "process", getpid(), name);
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    free(path);
    return fd;
}
