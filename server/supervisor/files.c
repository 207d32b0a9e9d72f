#include "server/supervisor/files.h"

#include "queue/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void look(const struct role *role, const struct config *config,
                           int says_fd)
{
    struct error told;

    if (role->files_fit(config, &told))
        _exit(0);
    told.kind = ERR_CONFIG;
    _exit(write(says_fd, &told, sizeof told) == sizeof told ? 1 : 2);
}

static void tell_unseen(struct error *err)
{
    error_set(err, ERR_SYSTEM, "its files could not be looked at: %s",
              strerror(errno));
}

/* The process that looks, and where it tells what will not do; -1, and err:
 * the system has none. */
static pid_t look_begin(const struct role *role, const struct config *config,
                        int *told_fd, struct error *err)
{
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        tell_unseen(err);
        return -1;
    }
    fflush(NULL); /* what is buffered must not leave twice */
    pid = fork();
    if (pid == 0)
        look(role, config, ends[1]);
    if (pid < 0) {
        tell_unseen(err);
        close(ends[0]);
    }
    close(ends[1]);
    *told_fd = ends[0];
    return pid;
}

/* In a process of its own: neither the megabytes of libcrypto, which reads keys
 * and certificates, nor any secret are to stay with a supervisor. */
static bool role_files_fit(const struct role *role, const struct config *config,
                           struct error *err)
{
    struct error told;
    int told_fd;
    int status;
    ssize_t len;
    pid_t pid = look_begin(role, config, &told_fd, err);

    if (pid < 0)
        return false;
    len = read(told_fd, &told, sizeof told);
    close(told_fd);
    CHECK(waitpid(pid, &status, 0) == pid);
    if (len == sizeof told)
        *err = told;
    else
        error_set(err, ERR_SYSTEM, "its files could not be looked at");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool files_are_fit(const struct role *role, const struct config *config,
                   const char *state_dir, struct error *err)
{
    if (state_dir[0] != '\0' && !journal_check_dir(state_dir, err)) {
        err->kind = ERR_CONFIG;
        return false;
    }
    return role->files_fit == NULL || role_files_fit(role, config, err);
}
