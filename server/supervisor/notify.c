#include "server/supervisor/notify.h"

#include "server/io/address.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void notify_send(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct address address;
    int fd;

    if (path == NULL || !address_of_path(str_of(path), &address))
        return;
    if (address.at.local.sun_path[0] == '@') /* abstract namespace */
        address.at.local.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    /* Best effort by design: a manager that is gone is no reason to stop. */
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, &address.at.any,
                 address.len);
    close(fd);
}
