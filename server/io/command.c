#include "server/io/command.h"

#include "server/base/buf.h"
#include "server/base/mem.h"
#include "server/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What passes through. Nothing of POSTHASTE_: that may be our secrets. */
static const char *const VARIABLES[] = {
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "CREDENTIALS_DIRECTORY",
};

enum { PIECE = 4096 };

/* One of its two outputs. */
struct outlet {
    struct command *command;
    int fd; /* -1: it has ended */
    struct watch *watch;
    struct buf bytes;
};

struct command {
    struct loop *loop;
    struct command_options options;
    pid_t pid;
    int pid_fd;
    struct watch *death;
    struct timer limit;
    struct task tell; /* of one that was never started */
    struct outlet output;
    struct outlet complaint;
    struct command_result result;
    bool is_killed; /* result.end says why */
};

static void outlet_close(struct outlet *outlet)
{
    watch_close(&outlet->watch);
    if (outlet->fd >= 0)
        close(outlet->fd);
    outlet->fd = -1;
}

static void outlet_finish(struct outlet *outlet)
{
    outlet_close(outlet);
    if (outlet->bytes.data != NULL)
        secret_wipe(outlet->bytes.data, outlet->bytes.cap);
    buf_finish(&outlet->bytes);
}

static void command_free(struct command *command)
{
    timer_clear(command->loop, &command->limit);
    task_cancel(&command->tell);
    watch_close(&command->death);
    if (command->pid_fd >= 0)
        close(command->pid_fd);
    outlet_finish(&command->output);
    outlet_finish(&command->complaint);
    loop_free_later(command->loop, free, command);
}

static void tell(void *ctx)
{
    struct command *command = ctx;

    command->result.output = buf_str(&command->output.bytes);
    command->result.complaint = buf_str(&command->complaint.bytes);
    command->options.done(command->options.ctx, &command->result);
    command_free(command);
}

/* The whole group: a shell's children, too. */
static void kill_all(struct command *command, enum command_end end)
{
    if (command->is_killed)
        return;
    command->is_killed = true;
    command->result.end = end;
    kill(-command->pid, SIGKILL);
}

static void on_limit(void *ctx)
{
    kill_all(ctx, COMMAND_LATE);
}

/* --- what it prints --- */

static void keep_output(struct outlet *outlet, struct str piece)
{
    buf_add(&outlet->bytes, piece);
    if (outlet->bytes.full)
        kill_all(outlet->command, COMMAND_FLOODED);
}

/* The last ones say most. */
static void keep_complaint(struct outlet *outlet, struct str piece)
{
    struct buf *bytes = &outlet->bytes;

    if (piece.len > bytes->max)
        piece = str_from(piece, piece.len - bytes->max);
    if (piece.len > bytes->max - bytes->len)
        buf_consume(bytes, piece.len - (bytes->max - bytes->len));
    buf_add(bytes, piece);
}

/* False: there is nothing for now. */
static bool read_piece(struct outlet *outlet)
{
    char piece[PIECE];
    ssize_t got = read(outlet->fd, piece, sizeof piece);

    if (got > 0 && outlet == &outlet->command->output)
        keep_output(outlet, str_make(piece, (size_t)got));
    else if (got > 0)
        keep_complaint(outlet, str_make(piece, (size_t)got));
    else if (got == 0)
        outlet_close(outlet);
    secret_wipe(piece, sizeof piece);
    return got > 0;
}

static void on_printed(void *ctx, int events)
{
    (void)events;
    (void)read_piece(ctx);
}

/* --- its end --- */

static void on_death(void *ctx, int events)
{
    struct command *command = ctx;
    int status;

    (void)events;
    if (waitpid(command->pid, &status, WNOHANG) != command->pid)
        return;
    while (command->output.fd >= 0 && !command->output.bytes.full &&
           read_piece(&command->output))
        ;
    while (command->complaint.fd >= 0 && read_piece(&command->complaint))
        ;
    if (!command->is_killed && WIFEXITED(status))
        command->result.end = COMMAND_EXITED;
    else if (!command->is_killed)
        command->result.end = COMMAND_KILLED;
    command->result.status =
        WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    tell(command);
}

/* --- its start --- */

static char **environment(void)
{
    char **entries = xcalloc(COUNT_OF(VARIABLES) + 1, sizeof *entries);
    size_t count = 0;

    for (size_t i = 0; i < COUNT_OF(VARIABLES); i++) {
        const char *value = getenv(VARIABLES[i]);
        struct buf entry;
        size_t len;

        if (value == NULL)
            continue;
        buf_init(&entry, SIZE_MAX / 2);
        buf_addf(&entry, "%s=%s", VARIABLES[i], value);
        entries[count++] = buf_take(&entry, &len);
    }
    return entries;
}

static void environment_free(char **entries)
{
    for (size_t i = 0; entries[i] != NULL; i++)
        free(entries[i]);
    free(entries);
}

static void set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t all;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &all);
    posix_spawnattr_setpgroup(attributes, 0);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK |
                                             POSIX_SPAWN_SETSIGDEF |
                                             POSIX_SPAWN_SETPGROUP);
}

/* 0, or the errno. */
static int spawn(struct command *command, int out, int complaint)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    char **variables = environment();
    char **argv = NULL;
    int failure;

    memcpy(&argv, &command->options.argv, sizeof argv); /* it writes to none */
    CHECK(posix_spawn_file_actions_init(&files) == 0 &&
          posix_spawnattr_init(&attributes) == 0);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_adddup2(&files, complaint, 2);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    set_attributes(&attributes);
    failure = posix_spawn(&command->pid, argv[0], &files, &attributes, argv,
                          variables);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    environment_free(variables);
    return failure;
}

/* The end for the program, or -1. */
static int outlet_open(struct outlet *outlet, size_t max)
{
    struct command *command = outlet->command;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    CHECK(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    outlet->fd = ends[0];
    buf_init(&outlet->bytes, max);
    /* All of it now: what grows leaves copies behind. */
    CHECK(buf_space(&outlet->bytes, max) != NULL);
    outlet->watch = watch_open(command->loop, ends[0], on_printed, outlet);
    watch_set(outlet->watch, WATCH_READ);
    return ends[1];
}

/* 0, or the errno. One that cannot be watched may not go on. */
static int watch_over(struct command *command)
{
    int failure;

    command->pid_fd = (int)syscall(SYS_pidfd_open, command->pid, 0);
    if (command->pid_fd < 0) {
        failure = errno;
        kill(-command->pid, SIGKILL);
        waitpid(command->pid, NULL, 0);
        return failure;
    }
    command->death =
        watch_open(command->loop, command->pid_fd, on_death, command);
    watch_set(command->death, WATCH_READ);
    timer_set(command->loop, &command->limit, command->options.limit_ms);
    return 0;
}

static int start(struct command *command)
{
    int out = outlet_open(&command->output, command->options.output_max);
    int complaint = outlet_open(&command->complaint, COMMAND_COMPLAINT_MAX);
    int failure =
        out < 0 || complaint < 0 ? errno : spawn(command, out, complaint);

    if (out >= 0)
        close(out);
    if (complaint >= 0)
        close(complaint);
    return failure != 0 ? failure : watch_over(command);
}

struct command *command_run(struct loop *loop,
                            const struct command_options *options)
{
    struct command *command = xcalloc(1, sizeof *command);
    int failure;

    CHECK(options->argv[0] != NULL && options->limit_ms > 0);
    command->loop = loop;
    command->options = *options;
    command->output = (struct outlet){.command = command, .fd = -1};
    command->complaint = (struct outlet){.command = command, .fd = -1};
    command->pid_fd = -1;
    timer_init(&command->limit, on_limit, command);
    task_init(&command->tell, tell, command);
    failure = start(command);
    if (failure == 0)
        return command;
    outlet_close(&command->output);
    outlet_close(&command->complaint);
    command->pid = 0;
    command->result.end = COMMAND_UNSTARTED;
    command->result.status = failure;
    task_run_soon(loop, &command->tell);
    return command;
}

void command_cancel(struct command **ptr)
{
    struct command *command = *ptr;

    *ptr = NULL;
    if (command == NULL)
        return;
    if (command->pid > 0) {
        kill(-command->pid, SIGKILL);
        waitpid(command->pid, NULL, 0);
    }
    command_free(command);
}
