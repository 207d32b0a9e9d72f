/* A supervisor with a role of two children that tell their pid to whoever
 * connects, their instance to who sends an i, and die when they are sent a k.
 */
#include "server/supervisor/supervisor.h"

#include "server/base/mem.h"
#include "server/io/listen.h"

#include "check_cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHILDREN = 2, HELD_MAX = 3 * CHILDREN, PATIENCE_MS = 10000 };

static char folder[] = "/tmp/posthaste-test-XXXXXX";
static char config_path[64];
static char hold_path[64];
static char log_path[64];
static char admin_path[64];
static char sick_path[64]; /* while it is there, children die at once */
static char full_path[64]; /* while it is there, nobody can fork */
static char look_path[64]; /* while it is there, files are looked at for long */
static struct address door;
static pid_t running; /* a supervisor that has not ended */

/* The role -------------------------------------------------------------- */

static void serve(const struct child *child, int fd)
{
    char request = '\0';
    pid_t pid = getpid();

    if (read(fd, &request, 1) == 1 && request == 'k')
        _exit(9);
    if (request == 'i')
        (void)!write(fd, child->instance, strlen(child->instance));
    else
        (void)!write(fd, &pid, sizeof pid);
    close(fd);
}

/* While the pipe is there, until somebody opens its other end. */
static void drain(void)
{
    (void)open(hold_path, O_RDONLY | O_CLOEXEC);
}

static int run_child(const struct child *child)
{
    struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (access(sick_path, F_OK) == 0)
        _exit(8);
    fds[0].fd = signalfd(-1, &set, 0);
    fds[1].fd = child->listen_fds[0];
    child_started(child);
    for (;;) {
        poll(fds, 2, -1);
        if (fds[0].revents != 0) {
            child_leaves(child);
            drain();
            return 0;
        }
        serve(child, accept4(fds[1].fd, NULL, NULL, SOCK_CLOEXEC));
    }
}

static const struct config_list *listen_of(const struct config *config)
{
    return &config->api.listen;
}

static const char *admin_of(const struct config *config)
{
    return config->api.admin_listen;
}

static int64_t drain_max_ms(const struct config *config)
{
    (void)config;
    return PATIENCE_MS;
}

/* While the pipe is there, until somebody opens its other end. */
static bool files_fit(const struct config *config, struct error *err)
{
    (void)config;
    (void)err;
    (void)open(look_path, O_RDONLY | O_CLOEXEC);
    return true;
}

static const struct role ROLE = {
    "test", listen_of, admin_of, drain_max_ms, NULL, files_fit, run_child,
};

/* In the place of the C library's: limits do not bind root. */
pid_t fork(void)
{
    if (access(full_path, F_OK) != 0)
        return _Fork();
    errno = EAGAIN;
    return -1;
}

/* The test's side --------------------------------------------------------- */

/* A port that was free a moment ago. */
static void find_door(void)
{
    const struct listen_options options = {.reuse_port = true};
    int fd = listen_open("127.0.0.1:0", &options, NULL);

    assert_true(fd >= 0);
    listen_address(fd, &door);
    close(fd);
}

static pid_t start(void)
{
    const struct supervisor_options options = {&ROLE, config_path, CHILDREN,
                                               "unknown"};
    char where[ADDRESS_TEXT_SIZE];
    FILE *file = fopen(config_path, "w");
    pid_t pid;

    find_door();
    address_format(&door, where);
    assert_non_null(file);
    fprintf(file, "[api]\nlisten = [\"%s\"]\nadmin_listen = \"unix:%s\"\n",
            where, admin_path);
    fclose(file);
    fflush(NULL);
    pid = _Fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close_range(3, ~0U, 0); /* what the test holds is the test's */
        assert_non_null(freopen(log_path, "w", stderr));
        exit(supervisor_run(&options));
    }
    running = pid;
    return pid;
}

/* How often its log names the event. */
static unsigned logged(const char *event)
{
    FILE *file = fopen(log_path, "r");
    char line[1024];
    unsigned count = 0;

    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        count += strstr(line, event) != NULL;
    fclose(file);
    return count;
}

/* The longest delay that its log names. */
static long longest_delay_ms(void)
{
    FILE *file = fopen(log_path, "r");
    char line[1024];
    long longest = 0;

    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        const char *said = strstr(line, "delay_ms");

        if (said != NULL) {
            long delay = strtol(said + strcspn(said, "0123456789"), NULL, 10);

            longest = delay > longest ? delay : longest;
        }
    }
    fclose(file);
    return longest;
}

/* What a connection is told, and how much. Waits until somebody listens. */
static size_t talk(char request, void *answer, size_t size)
{
    struct pollfd watched = {.events = POLLIN};
    ssize_t len;

    watched.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (connect(watched.fd, &door.at.any, door.len) != 0)
        sched_yield();
    assert_int_equal(write(watched.fd, &request, 1), 1);
    assert_int_equal(poll(&watched, 1, PATIENCE_MS), 1);
    len = read(watched.fd, answer, size);
    close(watched.fd);
    return len > 0 ? (size_t)len : 0;
}

/* The pid that a connection is told; 0: nothing. */
static pid_t ask(char request)
{
    pid_t answer = 0;

    return talk(request, &answer, sizeof answer) == sizeof answer ? answer : 0;
}

static bool is_among(pid_t pid, const pid_t *pids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

/* Also of a test that failed: it must not stand in the way of the next. */
static int end_running(void **state)
{
    (void)state;
    if (running != 0) {
        kill(running, SIGKILL);
        waitpid(running, NULL, 0);
        running = 0;
    }
    unlink(full_path);
    return 0;
}

static int wait_for_end(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    running = 0;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void wait_until_gone(pid_t pid)
{
    struct pollfd watched = {.events = POLLIN};

    watched.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (watched.fd < 0)
        return; /* already */
    assert_int_equal(poll(&watched, 1, PATIENCE_MS), 1);
    close(watched.fd);
}

static void a_dead_child_is_replaced(void **state)
{
    pid_t supervisor = start();
    pid_t first = ask('?');

    (void)state;
    assert_int_not_equal(first, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(ask('k'), 0);
    for (int i = 0; i < 20; i++)
        assert_int_not_equal(ask('?'), 0);
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for_end(supervisor), 0);
    assert_in_range(logged("child.delayed"), 2, 4);
}

/* What waits in the socket of a child that somebody asks to end waits for the
 * next one, and that is no child that cannot live. */
static void a_child_that_is_asked_to_end_is_replaced_at_once(void **state)
{
    pid_t supervisor = start();

    (void)state;
    for (int i = 0; i < 16; i++) {
        assert_int_equal(kill(ask('?'), SIGTERM), 0);
        for (int j = 0; j < 8; j++) /* of either socket */
            assert_int_not_equal(ask('?'), 0);
    }
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for_end(supervisor), 0);
    assert_in_range(logged("child.stopped"), 16, 18);
    assert_int_equal(logged("child.delayed"), 0);
}

/* As many as drain for long have a successor; the next waits for one of them
 * to end. */
static void who_is_asked_to_end_drains_beside_its_successor(void **state)
{
    pid_t supervisor = start();
    pid_t old[HELD_MAX + 4];
    int fd = -1;

    (void)state;
    assert_int_equal(mkfifo(hold_path, 0600), 0);
    for (size_t i = 0; i < COUNT_OF(old); i++) {
        if (i == HELD_MAX + 1)
            fd = open(hold_path, O_RDWR | O_CLOEXEC); /* they may end */
        old[i] = ask('?');
        assert_false(is_among(old[i], old, i));
        assert_int_equal(kill(old[i], SIGTERM), 0);
        for (int j = 0; i < HELD_MAX && j < 8; j++) /* of either socket */
            assert_false(is_among(ask('?'), old, i + 1));
    }
    for (int j = 0; j < 20; j++)
        assert_false(is_among(ask('?'), old, COUNT_OF(old)));
    unlink(hold_path);
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for_end(supervisor), 0);
    assert_int_equal(logged("child.died"), 0);
    close(fd);
}

/* Connections wait in the socket of a child that is away. */
static void a_child_that_worked_is_replaced_soon(void **state)
{
    pid_t supervisor = start();

    (void)state;
    for (int i = 0; i < 16; i++)
        assert_int_equal(ask('k'), 0);
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for_end(supervisor), 0);
    assert_in_range(logged("child.delayed"), 10, 14);
    assert_int_equal(longest_delay_ms(), 200);
}

static void a_child_that_cannot_work_is_replaced_ever_later(void **state)
{
    FILE *sick = fopen(sick_path, "w");
    pid_t supervisor = start();

    (void)state;
    assert_non_null(sick);
    fclose(sick);
    while (access(log_path, F_OK) != 0 || longest_delay_ms() < 800)
        sched_yield();
    unlink(sick_path);
    assert_int_not_equal(ask('?'), 0);
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for_end(supervisor), 0);
}

/* What it had is found again by the one that is started in its place. */
static void a_killed_supervisor_comes_back_as_the_same(void **state)
{
    char before[80] = "";
    char after[80] = "";
    pid_t supervisor;

    start();
    assert_in_range(talk('i', before, sizeof before - 1), 1, sizeof before);
    end_running(state);
    supervisor = start();
    assert_in_range(talk('i', after, sizeof after - 1), 1, sizeof after);
    assert_string_equal(after, before);

    unlink(admin_path); /* one beside it is another */
    start();
    assert_in_range(talk('i', after, sizeof after - 1), 1, sizeof after);
    assert_string_not_equal(after, before);
    end_running(state);
    running = supervisor;
}

/* Each connection is answered, by the old generation or by the new. */
static void a_reload_loses_no_connection(void **state)
{
    pid_t supervisor = start();
    pid_t old[32];
    unsigned fresh = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(old); i++)
        old[i] = ask('?');
    kill(supervisor, SIGHUP);
    while (fresh < 20) {
        pid_t answer = ask('?');

        assert_int_not_equal(answer, 0);
        fresh = is_among(answer, old, COUNT_OF(old)) ? 0 : fresh + 1;
    }
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for_end(supervisor), 0);
}

static void a_reload_while_it_begins_comes_then(void **state)
{
    pid_t supervisor;
    int fd;

    (void)state;
    assert_int_equal(mkfifo(look_path, 0600), 0);
    supervisor = start();
    fd = open(look_path, O_WRONLY | O_CLOEXEC); /* it looks */
    unlink(look_path);
    assert_int_equal(kill(supervisor, SIGHUP), 0);
    close(fd);
    while (logged("config.reloaded") == 0)
        assert_int_equal(waitpid(supervisor, NULL, WNOHANG), 0);
    assert_int_not_equal(ask('?'), 0);
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for_end(supervisor), 0);
}

static void a_wrong_configuration_changes_nothing(void **state)
{
    pid_t supervisor = start();
    pid_t before = ask('?');
    FILE *file = fopen(config_path, "a");

    (void)state;
    fputs("[apy]\n", file);
    fclose(file);
    kill(supervisor, SIGHUP);
    for (int i = 0; i < 20; i++)
        assert_int_not_equal(ask('?'), 0);
    assert_int_not_equal(before, 0);
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for_end(supervisor), 0);
}

/* Until only children answer that are not among those seen; adds them. */
static void see_next_generation(pid_t *seen, size_t *count)
{
    size_t from = *count;

    for (unsigned fresh = 0; fresh < 20; fresh++) {
        pid_t answer = ask('?');

        assert_int_not_equal(answer, 0);
        if (is_among(answer, seen, from)) {
            fresh = 0;
        } else if (!is_among(answer, seen, *count)) {
            fresh = 0;
            seen[(*count)++] = answer;
        }
    }
}

static void make_file(const char *path)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fclose(file);
}

/* Until its log names the event. */
static void await_logged(const char *event)
{
    struct timespec begin, now;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    while (logged(event) == 0) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        assert_true(now.tv_sec - begin.tv_sec <= PATIENCE_MS / 1000);
        sched_yield();
    }
}

static void a_reload_without_a_process_to_look_is_refused(void **state)
{
    pid_t supervisor = start();
    pid_t seen[HELD_MAX];
    size_t count = 0;

    (void)state;
    see_next_generation(seen, &count);
    assert_int_equal(count, CHILDREN);
    make_file(full_path);
    kill(supervisor, SIGHUP);
    await_logged("config.refused");
    assert_int_not_equal(ask('?'), 0);
    assert_int_equal(logged("Resource temporarily unavailable"), 1);
    unlink(full_path);
    kill(supervisor, SIGHUP);
    await_logged("config.reloaded");
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for_end(supervisor), 0);
}

static void a_start_without_a_process_to_look_is_refused(void **state)
{
    (void)state;
    make_file(full_path);
    assert_int_equal(wait_for_end(start()), 1);
    assert_int_equal(logged("Resource temporarily unavailable"), 1);
}

/* The other child goes on, and the dead one comes back once it can. */
static void a_child_that_cannot_be_started_is_tried_again(void **state)
{
    pid_t supervisor = start();
    pid_t seen[HELD_MAX];
    size_t count = 0;

    (void)state;
    see_next_generation(seen, &count);
    assert_int_equal(count, CHILDREN);
    make_file(full_path);
    kill(seen[0], SIGKILL);
    await_logged("child.not_started");
    unlink(full_path);
    while (count == CHILDREN) {
        pid_t answer = ask('?');

        if (!is_among(answer, seen, count))
            seen[count++] = answer;
    }
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for_end(supervisor), 0);
}

/* Four generations are alive, and nobody wants a fifth to be forgotten. */
static void a_reload_waits_for_those_who_drain(void **state)
{
    pid_t supervisor = start();
    pid_t seen[16] = {0};
    size_t count = 0;
    int fd;

    (void)state;
    assert_int_equal(mkfifo(hold_path, 0600), 0);
    see_next_generation(seen, &count);
    for (unsigned generation = 2; generation <= 4; generation++) {
        kill(supervisor, SIGHUP);
        see_next_generation(seen, &count);
    }
    kill(supervisor, SIGHUP);
    assert_true(is_among(ask('?'), seen, count));
    fd = open(hold_path, O_RDWR | O_CLOEXEC); /* they may end */
    see_next_generation(seen, &count);
    unlink(hold_path);
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for_end(supervisor), 0);
    close(fd);
}

/* Listens where the admin listener is to be. */
static int hold_admin_address(void)
{
    const struct listen_options options = {0};
    char where[80];
    int fd;

    snprintf(where, sizeof where, "unix:%s", admin_path);
    fd = listen_open(where, &options, NULL);
    assert_true(fd >= 0);
    return fd;
}

/* Of a killed supervisor, say, whose children have yet to notice. */
static void an_address_that_is_let_go_is_taken(void **state)
{
    struct pollfd held = {.events = POLLIN};
    pid_t supervisor;

    (void)state;
    unlink(admin_path);
    held.fd = hold_admin_address();
    supervisor = start();
    assert_int_equal(poll(&held, 1, PATIENCE_MS), 1); /* it has tried */
    close(held.fd);
    assert_int_not_equal(ask('?'), 0);
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for_end(supervisor), 0);
}

/* It would take connections of the one that serves them, and reset them. */
static void one_that_cannot_begin_never_listens(void **state)
{
    int held;

    (void)state;
    unlink(admin_path);
    held = hold_admin_address();
    assert_int_equal(wait_for_end(start()), 1);
    assert_int_equal(logged("process.listening"), 0);
    close(held);
}

/* Waits until somebody answers at the admin listener's path. */
static void knock(const char *name)
{
    struct address address;
    char path[80];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_true(address_of_path(str_of(path), &address));
    while (connect(fd, &address.at.any, address.len) != 0)
        sched_yield();
    close(fd);
    unlink(path);
}

static void the_admin_listener_moves_with_a_reload(void **state)
{
    pid_t supervisor = start();
    char where[ADDRESS_TEXT_SIZE];
    FILE *file;

    (void)state;
    ask('?'); /* it has read its configuration */
    address_format(&door, where);
    file = fopen(config_path, "w");
    assert_non_null(file);
    fprintf(file,
            "[api]\nlisten = [\"%s\"]\nadmin_listen = \"unix:%s/b.sock\"\n",
            where, folder);
    fclose(file);
    kill(supervisor, SIGHUP);
    knock("b.sock");
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for_end(supervisor), 0);
}

/* Either of the two goes once. */
static void an_address_may_stand_there_twice(void **state)
{
    pid_t supervisor = start();
    char where[ADDRESS_TEXT_SIZE];
    FILE *file;

    (void)state;
    ask('?'); /* it has read its configuration */
    address_format(&door, where);
    file = fopen(config_path, "w");
    assert_non_null(file);
    fprintf(file,
            "[api]\nlisten = [\"%s\", \"%s\"]\nadmin_listen = \"unix:%s\"\n",
            where, where, admin_path);
    fclose(file);
    kill(supervisor, SIGHUP);
    await_logged("config.reloaded");
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for_end(supervisor), 0);
}

/* A disposition outlives exec, and children that nobody waits for leave no
 * trace. */
static void one_that_was_to_ignore_its_children_waits_for_them(void **state)
{
    pid_t supervisor;
    int fd;

    (void)state;
    assert_int_equal(mkfifo(look_path, 0600), 0);
    signal(SIGCHLD, SIG_IGN);
    supervisor = start();
    signal(SIGCHLD, SIG_DFL);
    fd = open(look_path, O_WRONLY | O_CLOEXEC); /* it looks */
    unlink(look_path);
    close(fd);
    while (logged("child.started") == 0)
        assert_int_equal(waitpid(supervisor, NULL, WNOHANG), 0);
    ask('k');
    await_logged("child.died");
    assert_int_not_equal(ask('?'), 0);
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for_end(supervisor), 0);
}

/* Makes the socket of a service manager; where: what NOTIFY_SOCKET holds. */
static int manage(const char *where)
{
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    struct sockaddr_un manager = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    size_t len = strlen(where);

    memcpy(manager.sun_path, where, len);
    if (where[0] == '@')
        manager.sun_path[0] = '\0';
    assert_int_equal(
        bind(fd, (struct sockaddr *)&manager,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
        0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setenv("NOTIFY_SOCKET", where, 1);
    return fd;
}

/* The next thing that the manager is told begins with want. */
static void hear(int manager, const char *want)
{
    char told[256] = "";

    assert_true(recv(manager, told, sizeof told - 1, 0) > 0);
    if (strncmp(told, want, strlen(want)) != 0)
        fail_msg("wanted %s, heard %s", want, told);
}

static void the_manager_hears_of_each_turn_of_life(void **state)
{
    char where[80];
    int manager;
    pid_t supervisor;
    FILE *file;

    (void)state;
    snprintf(where, sizeof where, "%s/notify", folder);
    manager = manage(where);
    supervisor = start();
    hear(manager, "READY=1");
    kill(supervisor, SIGHUP);
    hear(manager, "RELOADING=1\nMONOTONIC_USEC=");
    hear(manager, "READY=1");
    file = fopen(config_path, "a");
    fputs("[apy]\n", file);
    fclose(file);
    kill(supervisor, SIGHUP); /* refused, and over */
    hear(manager, "RELOADING=1\nMONOTONIC_USEC=");
    hear(manager, "READY=1");
    kill(supervisor, SIGTERM);
    hear(manager, "STOPPING=1");
    assert_int_equal(wait_for_end(supervisor), 0);
    close(manager);
    unlink(where);
    unsetenv("NOTIFY_SOCKET");
}

static void a_watchdog_is_told_that_the_loop_turns(void **state)
{
    char where[80];
    int manager;
    pid_t supervisor;

    (void)state;
    snprintf(where, sizeof where, "@posthaste-test-%d", (int)getpid());
    manager = manage(where);
    setenv("WATCHDOG_USEC", "2000", 1);
    supervisor = start();
    hear(manager, "READY=1");
    hear(manager, "WATCHDOG=1");
    hear(manager, "WATCHDOG=1");
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for_end(supervisor), 0);
    close(manager);

    /* Meant for another process: not a word before the end. */
    snprintf(where, sizeof where, "@posthaste-test-%d", (int)getpid());
    manager = manage(where);
    setenv("WATCHDOG_PID", "1", 1);
    supervisor = start();
    hear(manager, "READY=1");
    kill(supervisor, SIGTERM);
    hear(manager, "STOPPING=1");
    assert_int_equal(wait_for_end(supervisor), 0);
    close(manager);
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
    unsetenv("NOTIFY_SOCKET");
}

static void children_of_a_dead_supervisor_drain(void **state)
{
    pid_t child;

    start();
    child = ask('?');
    end_running(state);
    wait_until_gone(child);
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(config_path, sizeof config_path, "%s/posthaste.toml", folder);
    snprintf(hold_path, sizeof hold_path, "%s/hold", folder);
    snprintf(log_path, sizeof log_path, "%s/log", folder);
    snprintf(admin_path, sizeof admin_path, "%s/admin.sock", folder);
    snprintf(look_path, sizeof look_path, "%s/look", folder);
    snprintf(sick_path, sizeof sick_path, "%s/sick", folder);
    snprintf(full_path, sizeof full_path, "%s/full", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(admin_path);
    unlink(config_path);
    unlink(log_path);
    unlink(sick_path);
    unlink(full_path);
    return rmdir(folder);
}

#define TEST(name) cmocka_unit_test_teardown(name, end_running)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_dead_child_is_replaced),
        TEST(a_child_that_worked_is_replaced_soon),
        TEST(a_child_that_cannot_work_is_replaced_ever_later),
        TEST(a_child_that_is_asked_to_end_is_replaced_at_once),
        TEST(who_is_asked_to_end_drains_beside_its_successor),
        TEST(a_killed_supervisor_comes_back_as_the_same),
        TEST(a_reload_loses_no_connection),
        TEST(a_reload_waits_for_those_who_drain),
        TEST(a_reload_while_it_begins_comes_then),
        TEST(a_wrong_configuration_changes_nothing),
        TEST(a_reload_without_a_process_to_look_is_refused),
        TEST(a_start_without_a_process_to_look_is_refused),
        TEST(a_child_that_cannot_be_started_is_tried_again),
        TEST(an_address_that_is_let_go_is_taken),
        TEST(one_that_cannot_begin_never_listens),
        TEST(the_admin_listener_moves_with_a_reload),
        TEST(an_address_may_stand_there_twice),
        TEST(one_that_was_to_ignore_its_children_waits_for_them),
        TEST(the_manager_hears_of_each_turn_of_life),
        TEST(a_watchdog_is_told_that_the_loop_turns),
        TEST(children_of_a_dead_supervisor_drain),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
