#include "server/supervisor/supervisor.h"

#include "server/base/clock.h"
#include "server/base/fault.h"
#include "server/base/hand.h"
#include "server/base/list.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"
#include "server/io/loop.h"
#include "server/supervisor/admin.h"
#include "server/supervisor/files.h"
#include "server/supervisor/give_back.h"
#include "server/supervisor/instance.h"
#include "server/supervisor/listeners.h"
#include "server/supervisor/notify.h"
#include "server/supervisor/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    EPOCH_SIZE = 64,
    /* A child that dies young is started again after 100 ms, then twice as
     * long each time; one that lived for 10 s at once. At most 5 s, and 200 ms
     * if it did take work: connections wait in its socket. */
    RESTART_FIRST_MS = 100,
    RESTART_MAX_MS = 5000,
    RESTART_WORKED_MAX_MS = 200,
    RESTART_UNFORKED_MS = 1000,
    LIVED_LONG_MS = 10000,
    /* For addresses that somebody has. */
    ADDRESS_RETRY_MS = 20,
    ADDRESS_PATIENCE_MS = 2000,
    /* Slots for the children of this many generations at once. */
    GENERATIONS_MAX = 4,
    EXIT_CONFIG = 6,
};

/* What a child says in a pipe, a byte each. */
enum { SAYS_STARTED = 's', SAYS_LEAVES = 'l' };

/* What a child tells its parent, and is told, in a page that both see. */
struct child_shared {
    atomic_bool is_replaced;
    char epoch[EPOCH_SIZE];
    atomic_uint epoch_version; /* odd while it is being written */
    char hand[HAND_SIZE];      /* server/base/hand.h */
};

/* One process. Lives from the fork until it was waited for. */
struct process {
    struct list link; /* of supervisor.processes */
    struct supervisor *supervisor;
    pid_t pid;
    unsigned index;
    unsigned slot;
    unsigned generation;
    bool started;
    bool draining;
    int64_t born_ms;
    int says_fd;
    struct watch *says_watch;
    struct timer kill_timer;
};

/* Where a child of each index comes from, again and again. */
struct place {
    struct supervisor *supervisor;
    unsigned index;
    unsigned died_young;
    struct timer restart;
};

struct supervisor {
    const struct role *role;
    const char *config_path;
    const char *commit;
    char instance[INSTANCE_SIZE];
    int instance_fd;
    struct config *config;
    struct loop *loop;
    struct signal_watch *signals[4];
    struct listeners *listeners;
    struct metrics_region *region;
    struct child_shared *shared; /* one per slot */
    bool *slot_taken;
    unsigned slots;
    unsigned children;
    unsigned generation;
    struct place *places; /* one per index */
    struct list processes;
    struct give_back *give_back;
    struct admin *admin;
    struct watchdog *watchdog;
    struct task reload; /* whenever it may have become possible */
    bool reload_waits;
    bool is_stopping;
};

static void child_says(const struct child *child, char what)
{
    ssize_t told = write(child->says_fd, &what, 1);

    (void)told; /* a parent that is gone does not want to know */
}

void child_started(const struct child *child)
{
    child_says(child, SAYS_STARTED);
}

void child_leaves(const struct child *child)
{
    child_says(child, SAYS_LEAVES);
}

bool child_is_replaced(const struct child *child)
{
    return atomic_load(&child->shared->is_replaced);
}

void child_owns(const struct child *child, struct str epoch)
{
    struct child_shared *shared = child->shared;

    CHECK(epoch.len < EPOCH_SIZE);
    atomic_fetch_add(&shared->epoch_version, 1);
    memcpy(shared->epoch, epoch.ptr, epoch.len);
    shared->epoch[epoch.len] = '\0';
    atomic_fetch_add(&shared->epoch_version, 1);
}

/* What it held goes back; died while writing its epoch: the lease tells. */
static void release_epoch(struct supervisor *supervisor, unsigned slot)
{
    struct child_shared *shared = &supervisor->shared[slot];
    bool is_whole = atomic_load(&shared->epoch_version) % 2 == 0;

    shared->hand[HAND_SIZE - 1] = '\0'; /* whatever its end left there */
    give_back_died(supervisor->give_back, str_of(is_whole ? shared->epoch : ""),
                   str_of(shared->hand));
}

/* Forking ----------------------------------------------------------------- */

static unsigned slot_take(struct supervisor *supervisor)
{
    for (unsigned i = 0; i < supervisor->slots; i++) {
        if (!supervisor->slot_taken[i]) {
            supervisor->slot_taken[i] = true;
            return i;
        }
    }
    return supervisor->slots;
}

static int compare_ints(const void *a, const void *b)
{
    int left = *(const int *)a;
    int right = *(const int *)b;

    return (left > right) - (left < right);
}

/* Closes everything that the child does not need: the parent's loop, its
 * admin listener, the sockets of other children. */
static void close_all_but(const int *keep, size_t count)
{
    int *sorted = xcalloc(count + 1, sizeof *sorted);
    unsigned from = 3;

    if (count > 0)
        memcpy(sorted, keep, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_ints);
    for (size_t i = 0; i < count; i++) {
        if ((unsigned)sorted[i] > from)
            close_range(from, (unsigned)sorted[i] - 1, 0);
        from = (unsigned)sorted[i] + 1;
    }
    close_range(from, ~0U, 0);
    free(sorted);
}

/* Another one works in its place until it has started. */
static bool is_relief(const struct supervisor *supervisor,
                      const struct process *process)
{
    list_each (link, &supervisor->processes) {
        const struct process *other = LIST_MEMBER(link, struct process, link);

        if (other->index == process->index && other->started &&
            !other->draining)
            return true;
    }
    return false;
}

NORETURN static void child_run(struct supervisor *supervisor,
                               const struct process *process, int says_fd,
                               pid_t parent)
{
    struct child child = {
        .config = supervisor->config,
        .index = process->index,
        .count = supervisor->children,
        .instance = supervisor->instance,
        .is_relief = is_relief(supervisor, process),
        .says_fd = says_fd,
        .shared = &supervisor->shared[process->slot],
    };
    int *keep;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(0); /* it died before we asked */
    child.listen_fds = listeners_of_child(supervisor->listeners, child.index,
                                          &child.listen_count);
    keep = xcalloc(child.listen_count + 1, sizeof *keep);
    if (child.listen_count > 0)
        memcpy(keep, child.listen_fds, child.listen_count * sizeof *keep);
    keep[child.listen_count] = says_fd;
    close_all_but(keep, child.listen_count + 1);
    free(keep);
    /* The log's descriptor is gone with the others. */
    log_setup((enum log_level)child.config->log.level,
              (enum log_format)child.config->log.format,
              supervisor->role->name);
    metrics_use(supervisor->region, process->slot);
    hand_use(supervisor->shared[process->slot].hand);
    fault_arm();
    exit(supervisor->role->run(&child));
}

static void generation_check(struct supervisor *supervisor);

static bool is_newest(const struct process *process)
{
    return process->generation == process->supervisor->generation;
}

/* Another one takes its place. */
static void place_refill(const struct process *process, int64_t delay_ms)
{
    struct supervisor *supervisor = process->supervisor;

    timer_set(supervisor->loop, &supervisor->places[process->index].restart,
              delay_ms);
}

static void process_close_says(struct process *process)
{
    if (process->says_fd < 0)
        return;
    watch_close(&process->says_watch);
    close(process->says_fd);
    process->says_fd = -1;
}

static void on_kill_time(void *ctx)
{
    struct process *process = ctx;

    log_write(LOG_WARN, LOG_CHILD_KILLED, log_int("child", process->pid));
    kill(process->pid, SIGKILL);
}

static void process_leaves(struct process *process)
{
    struct supervisor *supervisor = process->supervisor;

    process->draining = true;
    timer_set(supervisor->loop, &process->kill_timer,
              supervisor->role->drain_max_ms(supervisor->config));
}

static void process_drain(struct process *process)
{
    if (process->draining)
        return;
    kill(process->pid, SIGTERM);
    process_leaves(process);
}

/* Reads all that it has said by now. True: it leaves. */
static bool process_hear(struct process *process)
{
    char said[8];
    ssize_t len = -1;

    if (process->says_fd >= 0)
        len = read(process->says_fd, said, sizeof said);
    if (len == 0)
        process_close_says(process);
    if (len <= 0)
        return false;
    if (memchr(said, SAYS_STARTED, (size_t)len) != NULL)
        process->started = true;
    return memchr(said, SAYS_LEAVES, (size_t)len) != NULL;
}

/* Who leaves though it was not told to was told by somebody else: what waits in
 * its socket is its successor's from now on. */
static void on_says(void *ctx, int events)
{
    struct process *process = ctx;
    struct supervisor *supervisor = process->supervisor;
    bool had_started = process->started;

    (void)events;
    if (process_hear(process) && !process->draining) {
        process_leaves(process);
        if (is_newest(process))
            place_refill(process, 0);
    }
    if (process->started && !had_started)
        generation_check(supervisor);
}

static void close_keeping_errno(int fd)
{
    int kept = errno;

    close(fd);
    errno = kept;
}

/* False and errno: the system has no process for it, or no pipe. */
static bool process_fork(struct process *process)
{
    pid_t parent = getpid();
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    fflush(NULL); /* what is buffered must not leave twice */
    process->pid = fork();
    if (process->pid == 0)
        child_run(process->supervisor, process, ends[1], parent);
    process->says_fd = ends[0];
    close_keeping_errno(ends[1]);
    if (process->pid < 0)
        close_keeping_errno(ends[0]);
    return process->pid > 0;
}

/* Its place stays empty for a while; those that live go on. */
static void process_give_up(struct process *process)
{
    struct supervisor *supervisor = process->supervisor;

    log_write(LOG_ERROR, LOG_CHILD_NOT_STARTED,
              log_int("index", process->index),
              log_str("error", str_of(strerror(errno))));
    supervisor->slot_taken[process->slot] = false;
    place_refill(process, RESTART_UNFORKED_MS);
    free(process);
}

static void process_start(struct supervisor *supervisor, unsigned index)
{
    struct process *process = xcalloc(1, sizeof *process);

    process->supervisor = supervisor;
    process->index = index;
    process->slot = slot_take(supervisor);
    process->generation = supervisor->generation;
    process->born_ms = clock_now_ms();
    CHECK(process->slot < supervisor->slots);
    metrics_slot_reset_gauges(supervisor->region, process->slot);
    memset(&supervisor->shared[process->slot], 0, sizeof(struct child_shared));
    if (!process_fork(process)) {
        process_give_up(process);
        return;
    }
    process->says_watch =
        watch_open(supervisor->loop, process->says_fd, on_says, process);
    watch_set(process->says_watch, WATCH_READ);
    timer_init(&process->kill_timer, on_kill_time, process);
    list_add_last(&supervisor->processes, &process->link);
    log_write(LOG_INFO, LOG_CHILD_STARTED, log_int("child", process->pid),
              log_int("index", index),
              log_int("generation", process->generation));
}

/* Once every child of the newest generation works, the older ones drain. */
static void generation_check(struct supervisor *supervisor)
{
    unsigned started = 0;

    list_each (link, &supervisor->processes) {
        struct process *process = LIST_MEMBER(link, struct process, link);

        if (is_newest(process) && process->started && !process->draining)
            started++;
    }
    if (started < supervisor->children || supervisor->is_stopping)
        return;
    list_each (link, &supervisor->processes) {
        struct process *process = LIST_MEMBER(link, struct process, link);

        if (is_newest(process))
            continue;
        atomic_store(&supervisor->shared[process->slot].is_replaced, true);
        process_drain(process);
    }
    notify_ready();
    if (supervisor->watchdog == NULL)
        supervisor->watchdog = watchdog_open(supervisor->loop);
}

static unsigned processes_alive(const struct supervisor *supervisor)
{
    unsigned alive = 0;

    list_each (link, &supervisor->processes)
        alive++;
    return alive;
}

/* Those who drain for long may have all the slots. */
static void on_restart(void *ctx)
{
    struct place *place = ctx;
    struct supervisor *supervisor = place->supervisor;

    if (supervisor->is_stopping)
        return;
    if (processes_alive(supervisor) < supervisor->slots)
        process_start(supervisor, place->index);
    else
        timer_set(supervisor->loop, &place->restart, RESTART_WORKED_MAX_MS);
}

/* Who cannot live is started ever more slowly; who ended when somebody asked
 * for it can, and connections wait in its socket. */
static int64_t restart_delay_ms(const struct process *ended, int64_t lived_ms,
                                int status)
{
    struct place *place = &ended->supervisor->places[ended->index];
    bool was_asked = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    int64_t max_ms = ended->started ? RESTART_WORKED_MAX_MS : RESTART_MAX_MS;
    int64_t delay_ms = 0;

    if (lived_ms >= LIVED_LONG_MS || was_asked || fault_was_hit(status))
        place->died_young = 0;
    else if (place->died_young++ > 0)
        delay_ms = RESTART_FIRST_MS
                   << (place->died_young > 8 ? 8 : place->died_young - 2);
    if (delay_ms > max_ms)
        delay_ms = max_ms;
    if (delay_ms > 0)
        log_write(LOG_WARN, LOG_CHILD_DELAYED, log_int("index", place->index),
                  log_int("delay_ms", delay_ms));
    return delay_ms;
}

static void process_ended(struct process *process, int status)
{
    struct supervisor *supervisor = process->supervisor;
    int64_t lived_ms = clock_now_ms() - process->born_ms;
    bool expected = process->draining || supervisor->is_stopping;
    bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;

    log_write(clean ? LOG_INFO : LOG_ERROR,
              clean ? LOG_CHILD_STOPPED : LOG_CHILD_DIED,
              log_int("child", process->pid), log_int("index", process->index),
              log_int("exit", WIFEXITED(status) ? WEXITSTATUS(status) : -1),
              log_int("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0),
              log_int("lived_ms", lived_ms));
    if (!clean)
        release_epoch(supervisor, process->slot);
    metrics_slot_reset_gauges(supervisor->region, process->slot);
    supervisor->slot_taken[process->slot] = false;
    timer_clear(supervisor->loop, &process->kill_timer);
    (void)process_hear(process);
    process_close_says(process);
    list_remove(&process->link);
    if (!expected && is_newest(process))
        place_refill(process, restart_delay_ms(process, lived_ms, status));
    task_run_soon(supervisor->loop, &supervisor->reload);
    free(process);
}

/* Signals ----------------------------------------------------------------- */

static struct process *process_of(struct supervisor *supervisor, pid_t pid)
{
    list_each (link, &supervisor->processes) {
        struct process *process = LIST_MEMBER(link, struct process, link);

        if (process->pid == pid)
            return process;
    }
    return NULL;
}

static void on_child_signal(void *ctx, int number)
{
    struct supervisor *supervisor = ctx;
    struct process *process;
    int status;
    pid_t pid;

    (void)number;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        process = process_of(supervisor, pid);
        if (process != NULL)
            process_ended(process, status);
    }
    if (supervisor->is_stopping && list_is_empty(&supervisor->processes))
        loop_stop(supervisor->loop);
}

static void on_stop_signal(void *ctx, int number)
{
    struct supervisor *supervisor = ctx;

    (void)number;
    if (supervisor->is_stopping)
        return;
    supervisor->is_stopping = true;
    notify_stopping();
    /* Nobody is to come: a client that connects now would wait in a backlog
     * that nobody takes, and be reset. Children take what waits in theirs. */
    listeners_destroy(&supervisor->listeners);
    list_each (link, &supervisor->processes)
        process_drain(LIST_MEMBER(link, struct process, link));
    if (list_is_empty(&supervisor->processes))
        loop_stop(supervisor->loop);
}

/* problems begins here; the caller finishes it. */
static struct config *config_read(const struct supervisor *supervisor,
                                  struct buf *problems)
{
    buf_init(problems, 64 << 10);
    return config_load(supervisor->config_path, problems);
}

static const struct config_list *role_listen(const struct role *role,
                                             const struct config *config)
{
    static const struct config_list none;

    return role->listen == NULL ? &none : role->listen(config);
}

static const char *state_dir_of(const struct role *role,
                                const struct config *config)
{
    return role->state_dir == NULL ? "" : role->state_dir(config);
}

static void on_scrape(void *ctx)
{
    struct supervisor *supervisor = ctx;
    struct usage usage = {0};

    usage_add(&usage, getpid());
    list_each (link, &supervisor->processes)
        usage_add(&usage, LIST_MEMBER(link, struct process, link)->pid);
    usage_tell(&usage);
}

/* The admin listener of a configuration; the one that is there when its
 * address is the same. */
static struct admin *admin_of(struct supervisor *supervisor,
                              const struct config *config, struct error *err)
{
    const struct role *role = supervisor->role;
    const struct admin_options options = {
        .role = role->name,
        .region = supervisor->region,
        .slot_taken = supervisor->slot_taken,
        .slots = supervisor->slots,
        .sample = on_scrape,
        .ctx = supervisor,
    };

    if (supervisor->admin != NULL &&
        strcmp(role->admin_listen(config),
               role->admin_listen(supervisor->config)) == 0)
        return supervisor->admin;
    return admin_open(supervisor->loop, role->admin_listen(config), &options,
                      err);
}

/* What the configuration in force is used by goes with it. */
static void config_replace(struct supervisor *supervisor, struct config *config,
                           struct admin *admin)
{
    give_back_close(&supervisor->give_back);
    if (admin != supervisor->admin)
        admin_close(&supervisor->admin);
    supervisor->admin = admin;
    config_destroy(&supervisor->config);
    supervisor->config = config;
    supervisor->give_back = give_back_open(
        supervisor->loop, config, state_dir_of(supervisor->role, config),
        &supervisor->reload);
    log_setup((enum log_level)config->log.level,
              (enum log_format)config->log.format, supervisor->role->name);
}

/* The old configuration stays in force unless all of the new one can be. */
static bool config_take(struct supervisor *supervisor, struct error *err)
{
    struct buf problems;
    struct config *config = config_read(supervisor, &problems);
    struct admin *admin = NULL;

    if (config == NULL)
        error_set(err, ERR_CONFIG, "%.*s", STR_ARG(buf_str(&problems)));
    buf_finish(&problems);
    if (config == NULL)
        return false;
    if (give_back_is_awaited(supervisor->give_back)) {
        error_set(err, ERR_BUSY, "work of a dead child is being given back");
        goto refused;
    }
    if (!files_are_fit(supervisor->role, config,
                       state_dir_of(supervisor->role, config), err))
        goto refused;
    admin = admin_of(supervisor, config, err);
    if (admin == NULL ||
        !listeners_set(supervisor->listeners,
                       role_listen(supervisor->role, config), err))
        goto refused;
    config_replace(supervisor, config, admin);
    return true;
refused:
    if (admin != supervisor->admin)
        admin_close(&admin);
    config_destroy(&config);
    return false;
}

static void generation_start(struct supervisor *supervisor)
{
    supervisor->generation++;
    for (unsigned i = 0; i < supervisor->children; i++) {
        timer_clear(supervisor->loop, &supervisor->places[i].restart);
        supervisor->places[i].died_young = 0;
        process_start(supervisor, i);
    }
}

/* Room for one more generation? */
static bool generation_fits(const struct supervisor *supervisor,
                            struct error *err)
{
    unsigned alive = processes_alive(supervisor);

    if (alive + supervisor->children <= supervisor->slots)
        return true;
    error_set(err, ERR_BUSY, "%u children are still draining",
              alive - supervisor->children);
    return false;
}

static void reload(struct supervisor *supervisor)
{
    struct error err;

    error_clear(&err);
    supervisor->reload_waits = false;
    notify_reloading();
    if (generation_fits(supervisor, &err) && config_take(supervisor, &err)) {
        log_write(LOG_INFO, LOG_CONFIG_RELOADED,
                  log_int("generation", supervisor->generation + 1));
        generation_start(supervisor);
        return;
    }
    supervisor->reload_waits = err.kind == ERR_BUSY;
    if (supervisor->reload_waits)
        log_write(LOG_WARN, LOG_CONFIG_WAITS, log_error(&err));
    else
        log_write(LOG_ERROR, LOG_CONFIG_REFUSED, log_error(&err));
    notify_ready();
}

static bool may_reload(const struct supervisor *supervisor)
{
    struct error why;

    return generation_fits(supervisor, &why) &&
           !give_back_is_awaited(supervisor->give_back);
}

static void on_reload_task(void *ctx)
{
    struct supervisor *supervisor = ctx;

    if (supervisor->reload_waits && !supervisor->is_stopping &&
        may_reload(supervisor))
        reload(supervisor);
}

static void on_reload_signal(void *ctx, int number)
{
    struct supervisor *supervisor = ctx;

    (void)number;
    if (!supervisor->is_stopping)
        reload(supervisor);
}

/* Life -------------------------------------------------------------------- */

static struct supervisor *
supervisor_create(const struct supervisor_options *options)
{
    struct supervisor *supervisor = xcalloc(1, sizeof *supervisor);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    supervisor->role = options->role;
    supervisor->config_path = options->config_path;
    supervisor->commit = options->commit;
    supervisor->instance_fd = instance_take(
        options->role->name, options->config_path, supervisor->instance);
    supervisor->children = options->children > 0
                               ? options->children
                               : (unsigned)(cores > 0 ? cores : 1);
    supervisor->slots = supervisor->children * GENERATIONS_MAX;
    supervisor->slot_taken =
        xcalloc(supervisor->slots, sizeof *supervisor->slot_taken);
    supervisor->region = metrics_region_create(supervisor->slots + 1);
    metrics_use(supervisor->region, supervisor->slots); /* the parent's own */
    supervisor->shared =
        mmap(NULL, supervisor->slots * sizeof(struct child_shared),
             PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(supervisor->shared != MAP_FAILED);
    supervisor->listeners = listeners_create(supervisor->children);
    supervisor->loop = loop_create();
    supervisor->places =
        xcalloc(supervisor->children, sizeof *supervisor->places);
    for (unsigned i = 0; i < supervisor->children; i++) {
        struct place *place = &supervisor->places[i];

        place->supervisor = supervisor;
        place->index = i;
        timer_init(&place->restart, on_restart, place);
    }
    list_init(&supervisor->processes);
    task_init(&supervisor->reload, on_reload_task, supervisor);
    return supervisor;
}

static void supervisor_destroy(struct supervisor *supervisor)
{
    watchdog_close(&supervisor->watchdog);
    admin_close(&supervisor->admin);
    give_back_close(&supervisor->give_back);
    for (size_t i = 0; i < COUNT_OF(supervisor->signals); i++)
        signal_watch_close(&supervisor->signals[i]);
    for (unsigned i = 0; i < supervisor->children; i++)
        timer_clear(supervisor->loop, &supervisor->places[i].restart);
    free(supervisor->places);
    task_cancel(&supervisor->reload);
    loop_destroy(&supervisor->loop);
    listeners_destroy(&supervisor->listeners);
    munmap(supervisor->shared, supervisor->slots * sizeof(struct child_shared));
    metrics_region_destroy(&supervisor->region);
    free(supervisor->slot_taken);
    config_destroy(&supervisor->config);
    if (supervisor->instance_fd >= 0)
        close(supervisor->instance_fd);
    free(supervisor);
}

static void watch_signals(struct supervisor *supervisor)
{
    static const struct {
        int number;
        signal_fn fn;
    } SIGNALS[] = {
        {SIGCHLD, on_child_signal},
        {SIGTERM, on_stop_signal},
        {SIGINT, on_stop_signal},
        {SIGHUP, on_reload_signal},
    };

    for (size_t i = 0; i < COUNT_OF(SIGNALS); i++)
        supervisor->signals[i] = signal_watch_open(
            supervisor->loop, SIGNALS[i].number, SIGNALS[i].fn, supervisor);
}

/* The admin listener's address first, which is nobody else's: those for the
 * children may be shared, and clients of another supervisor of this role would
 * be taken by one that cannot serve them. */
static bool addresses_open(struct supervisor *supervisor, struct error *err)
{
    if (supervisor->admin == NULL)
        supervisor->admin = admin_of(supervisor, supervisor->config, err);
    return supervisor->admin != NULL &&
           listeners_set(supervisor->listeners,
                         role_listen(supervisor->role, supervisor->config),
                         err);
}

/* The children of one that was killed let go of its addresses in a moment. */
static bool addresses_take(struct supervisor *supervisor, struct error *err)
{
    const struct timespec pause = {0, ADDRESS_RETRY_MS * 1000000};

    for (int waited_ms = 0; !addresses_open(supervisor, err);
         waited_ms += ADDRESS_RETRY_MS) {
        if (err->kind != ERR_SYSTEM || waited_ms >= ADDRESS_PATIENCE_MS)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

static bool supervisor_begin(struct supervisor *supervisor, struct error *err)
{
    const struct role *role = supervisor->role;

    if (!files_are_fit(role, supervisor->config,
                       state_dir_of(role, supervisor->config), err) ||
        !addresses_take(supervisor, err))
        return false;
    series_set(metrics_series(METRIC_BUILD_INFO,
                              (const char *const[]){POSTHASTE_VERSION,
                                                    supervisor->commit}),
               1);
    on_scrape(supervisor);
    watch_signals(supervisor);
    supervisor->give_back = give_back_open(
        supervisor->loop, supervisor->config,
        state_dir_of(role, supervisor->config), &supervisor->reload);
    generation_start(supervisor);
    return true;
}

/* A reload that is asked for before the loop turns is no reason to end: it
 * comes then. */
static void hold_reloads(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
}

int supervisor_run(const struct supervisor_options *options)
{
    struct supervisor *supervisor = supervisor_create(options);
    struct buf problems;
    struct error err;
    int code = 0;

    hold_reloads();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* ignored, as some start us: none to wait for */
    supervisor->config = config_read(supervisor, &problems);
    if (supervisor->config == NULL)
        fprintf(stderr, "%.*s", STR_ARG(buf_str(&problems)));
    buf_finish(&problems);
    if (supervisor->config == NULL) {
        supervisor_destroy(supervisor);
        return EXIT_CONFIG;
    }
    log_setup((enum log_level)supervisor->config->log.level,
              (enum log_format)supervisor->config->log.format,
              options->role->name);
    log_write(LOG_INFO, LOG_PROCESS_STARTED,
              log_int("children", supervisor->children));
    if (fault_prepare(&err) && supervisor_begin(supervisor, &err)) {
        loop_run(supervisor->loop);
        log_write(LOG_INFO, LOG_PROCESS_STOPPED,
                  log_int("children", supervisor->children));
    } else {
        fprintf(stderr, "posthaste %s: %s\n", options->role->name, err.text);
        code = err.kind == ERR_CONFIG ? EXIT_CONFIG : 1;
    }
    supervisor_destroy(supervisor);
    return code;
}
