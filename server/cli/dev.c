#include "server/base/clock.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/base/log.h"
#include "server/base/seal.h"
#include "server/base/secret.h"
#include "server/cli/dev_greet.h"
#include "server/cli/dev_http.h"
#include "server/cli/dev_redis.h"
#include "server/cli/roles.h"
#include "server/cli/verbs.h"
#include "server/cli/version.h"
#include "server/io/listen.h"
#include "server/io/loop.h"
#include "server/io/tls.h"
#include "smtp/smtp.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CONFIG_MAX = 16 << 10,
    PORT_TRIES = 50,
    /* Where `dev` listens unless told otherwise or taken. */
    PORT_API = 8080,
    PORT_DEV = 8025,
    PORT_SMTP = 2525,
};

struct dev {
    struct dev_place place;
    int lock_fd;
    struct dev_redis redis;
    pid_t roles[DEV_ROLES];
    pid_t greeter;
    struct loop *loop;
    struct tls_server *tls;
    struct inbox *inbox;
    struct dev_http *http;
    int http_fd;
    struct signal_watch *signals[3];
    int smtp_port;
    int ports[8]; /* taken by parts of us that do not listen yet */
    size_t port_count;
    bool once;
    bool is_stopping;
    int code;
};

/* --- the folder --- */

static bool folder_open(struct dev *dev, const char *dir, struct error *err)
{
    char lock[PATH_MAX];

    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        error_set(err, ERR_SYSTEM, "%s: %s", dir, strerror(errno));
        return false;
    }
    if (realpath(dir, dev->place.dir) == NULL ||
        strlen(dev->place.dir) > PATH_MAX - 64) {
        error_set(err, ERR_SYSTEM, "%s: %s", dir, strerror(errno));
        return false;
    }
    dev_path(&dev->place, "lock", lock);
    dev->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (dev->lock_fd < 0) {
        error_set(err, ERR_SYSTEM, "%s: %s", lock, strerror(errno));
        return false;
    }
    if (flock(dev->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        error_set(err, ERR_BUSY, "another posthaste dev runs in %s",
                  dev->place.dir);
        return false;
    }
    return true;
}

static bool is_taken(const struct dev *dev, int port)
{
    for (size_t i = 0; i < dev->port_count; i++)
        if (dev->ports[i] == port)
            return true;
    return false;
}

/* The wanted port, or the next one that nobody has. */
static bool port_find(struct dev *dev, int64_t wanted, int *port,
                      struct error *err)
{
    const struct listen_options options = {0};
    char where[DEV_URL_SIZE];

    CHECK(dev->port_count < COUNT_OF(dev->ports));
    for (int at = (int)wanted; at < wanted + PORT_TRIES; at++) {
        int fd;

        if (is_taken(dev, at))
            continue;
        snprintf(where, sizeof where, "127.0.0.1:%d", at);
        fd = listen_open(where, &options, err);
        if (fd < 0)
            continue;
        close(fd);
        if (at != wanted)
            fprintf(stderr, "port %d is taken, so it is %d\n", (int)wanted, at);
        dev->ports[dev->port_count++] = at;
        *port = at;
        return true;
    }
    return false;
}

static bool url_find(struct dev *dev, int64_t wanted, char url[DEV_URL_SIZE],
                     struct error *err)
{
    int port;

    if (!port_find(dev, wanted, &port, err))
        return false;
    snprintf(url, DEV_URL_SIZE, "http://127.0.0.1:%d", port);
    return true;
}

static bool places_find(struct dev *dev, int64_t api_port, int64_t smtp_port,
                        struct error *err)
{
    struct dev_place *place = &dev->place;

    for (size_t i = 0; i <= DEV_ROLES; i++)
        if (!url_find(dev, api_port + (int64_t)i,
                      i == 0 ? place->api_url : place->admin_urls[i - 1], err))
            return false;
    if (!url_find(dev, PORT_DEV, place->dev_url, err) ||
        !port_find(dev, smtp_port, &dev->smtp_port, err))
        return false;
    snprintf(place->smtp_address, sizeof place->smtp_address,
             "capture inbox 127.0.0.1:%d", dev->smtp_port);
    return true;
}

/* --- the configuration --- */

static const char *host_of(const char *url)
{
    return url + strlen("http://");
}

/* A JSON string is one of TOML, too. */
static void add_string(const char *text, struct buf *out)
{
    struct json_out json;

    json_out_init(&json, out);
    json_put_str(&json, str_of(text));
    buf_add_char(out, '\n');
}

static void add_path(const struct dev_place *place, const char *name,
                     struct buf *out)
{
    char path[PATH_MAX];

    dev_path(place, name, path);
    add_string(path, out);
}

static void write_config(const struct dev *dev,
                         const struct seal_public *worker_key, struct buf *out)
{
    const struct dev_place *place = &dev->place;
    char url[PATH_MAX + 8];

    buf_addf(out,
             "# Written by posthaste dev at every start.\n"
             "[api]\nlisten = [\"%s\"]\nadmin_listen = \"%s\"\n",
             host_of(place->api_url), host_of(place->admin_urls[0]));
    buf_add_cstr(out, "[redis]\nurl = ");
    snprintf(url, sizeof url, "unix:%s", dev->redis.socket_path);
    add_string(url, out);
    buf_add_cstr(out, "[secrets]\nkeyring_file = ");
    add_path(place, "keyring", out);
    buf_add_cstr(out, "worker_key_file = ");
    add_path(place, "worker.key", out);
    buf_add_cstr(out, "worker_public_key = \"");
    seal_public_add(worker_key, out);
    buf_addf(out, "\"\n[worker]\nadmin_listen = \"%s\"\nstate_dir = ",
             host_of(place->admin_urls[1]));
    add_path(place, "state", out);
    buf_addf(out, "[hooks]\nadmin_listen = \"%s\"\n",
             host_of(place->admin_urls[2]));
    buf_addf(out,
             "[[upstream]]\nname = \"inbox\"\nhost = \"127.0.0.1\"\n"
             "port = %d\ntls = \"opportunistic\"\nauth = \"none\"\n",
             dev->smtp_port);
    buf_addf(out, "[[route]]\nname = \"inbox\"\nupstreams = [\"inbox\"]\n"
                  "final = true\n"
                  "[webhook]\nallow_private = true\nports = []\n");
}

/* Those of earlier runs stay: what is stored is sealed with them. */
static bool keys_make(const struct dev *dev, struct seal_public *worker_key,
                      struct error *err)
{
    char path[PATH_MAX];

    dev_path(&dev->place, "keyring", path);
    if (access(path, F_OK) != 0 && !keyring_create(path, err))
        return false;
    dev_path(&dev->place, "worker.key", path);
    return access(path, F_OK) == 0 ? seal_keys_public(path, worker_key, err)
                                   : seal_keys_create(path, worker_key, err);
}

static bool config_make(struct dev *dev, struct error *err)
{
    struct seal_public worker_key;
    struct buf text;
    bool good;

    if (!keys_make(dev, &worker_key, err))
        return false;
    dev_path(&dev->place, "posthaste.toml", dev->place.config_path);
    unlink(dev->place.config_path);
    buf_init(&text, CONFIG_MAX);
    write_config(dev, &worker_key, &text);
    good = file_create(dev->place.config_path, buf_str(&text), 0600, err);
    buf_finish(&text);
    return good;
}

/* --- processes --- */

static void signals_mask(int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    CHECK(sigprocmask(how, &set, NULL) == 0);
}

/* Standard error of a role goes into dir/NAME.log. */
static void log_to_file(const struct dev *dev, const char *name)
{
    char path[PATH_MAX];
    char file[32];
    int fd;

    snprintf(file, sizeof file, "%s.log", name);
    dev_path(&dev->place, file, path);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    dup2(fd, STDERR_FILENO);
    close(fd);
}

static pid_t fork_part(struct dev *dev)
{
    pid_t parent = getpid();
    pid_t pid;

    fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(0);
        close(dev->lock_fd);
    }
    return pid;
}

static void roles_start(struct dev *dev)
{
    static const struct role *const ROLES[DEV_ROLES] = {&ROLE_API, &ROLE_WORKER,
                                                        &ROLE_HOOKS};

    for (size_t i = 0; i < DEV_ROLES; i++) {
        const struct supervisor_options options = {
            ROLES[i], dev->place.config_path, 1, version_commit()};

        dev->roles[i] = fork_part(dev);
        if (dev->roles[i] == 0) {
            setpgid(0, 0); /* Ctrl-C is dev's; it tells us in its order */
            log_to_file(dev, ROLES[i]->name);
            exit(supervisor_run(&options));
        }
    }
}

/* It only waits, and has no loop to hear of signals: they end it. */
static void greeter_start(struct dev *dev, bool send_demo)
{
    dev->greeter = fork_part(dev);
    if (dev->greeter == 0) {
        signals_mask(SIG_UNBLOCK);
        exit(dev_greet(&dev->place, send_demo));
    }
}

static void dev_stop(struct dev *dev)
{
    if (dev->is_stopping)
        return;
    dev->is_stopping = true;
    for (size_t i = 0; i < DEV_ROLES; i++)
        if (dev->roles[i] > 0)
            kill(dev->roles[i], SIGTERM);
    if (dev->greeter > 0)
        kill(dev->greeter, SIGTERM);
}

static bool is_alone(const struct dev *dev)
{
    for (size_t i = 0; i < DEV_ROLES; i++)
        if (dev->roles[i] > 0)
            return false;
    return dev->greeter == 0;
}

/* One that was stopped has not failed, unless it was all that was asked for. */
static void on_greeted(struct dev *dev, int status)
{
    dev->greeter = 0;
    if (dev->is_stopping && !dev->once)
        return;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        dev->code = EXIT_FAILED;
        dev_stop(dev);
    } else if (dev->once) {
        dev_stop(dev);
    }
}

/* One of the parts: without it dev is nothing, so all of it ends. */
static void on_part_ended(struct dev *dev, size_t i)
{
    static const char *const NAMES[DEV_ROLES] = {"api", "worker", "hooks"};

    dev->roles[i] = 0;
    if (!dev->is_stopping) {
        fprintf(stderr, "posthaste dev: %s ended; its log is %s/%s.log\n",
                NAMES[i], dev->place.dir, NAMES[i]);
        dev->code = EXIT_FAILED;
        dev_stop(dev);
    }
}

static void on_child(void *ctx, int number)
{
    struct dev *dev = ctx;
    int status;
    pid_t pid;

    (void)number;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == dev->greeter)
            on_greeted(dev, status);
        for (size_t i = 0; i < DEV_ROLES; i++)
            if (pid == dev->roles[i])
                on_part_ended(dev, i);
        if (pid == dev->redis.pid) {
            dev->redis.pid = 0;
            fprintf(stderr,
                    "posthaste dev: redis-server ended; its log is "
                    "%s/redis.log\n",
                    dev->place.dir);
            dev->code = EXIT_FAILED;
            dev_stop(dev);
        }
    }
    if (dev->is_stopping && is_alone(dev))
        loop_stop(dev->loop);
}

static void on_stop(void *ctx, int number)
{
    (void)number;
    dev_stop(ctx);
}

/* --- life --- */

static bool inbox_begin(struct dev *dev, struct error *err)
{
    char where[DEV_URL_SIZE];

    snprintf(where, sizeof where, "127.0.0.1:%d", dev->smtp_port);
    dev->tls = tls_server_create_self_signed("localhost", err);
    if (dev->tls == NULL)
        return false;
    dev->inbox = inbox_open(
        dev->loop, &(struct inbox_options){.listen = where, .tls = dev->tls},
        err);
    return dev->inbox != NULL;
}

static bool http_begin(struct dev *dev, struct error *err)
{
    const struct listen_options options = {0};

    dev->http_fd = listen_open(host_of(dev->place.dev_url), &options, err);
    if (dev->http_fd < 0)
        return false;
    dev->http = dev_http_open(dev->loop, dev->http_fd, dev->inbox, err);
    return dev->http != NULL;
}

static bool redis_begin(struct dev *dev, struct error *err)
{
    int64_t from_ms;

    clock_tick();
    from_ms = clock_now_ms();
    if (!dev_redis_start(&dev->redis, dev->place.dir, err))
        return false;
    clock_tick();
    dev->place.redis_ms = clock_now_ms() - from_ms;
    return true;
}

static void signals_begin(struct dev *dev)
{
    dev->signals[0] = signal_watch_open(dev->loop, SIGCHLD, on_child, dev);
    dev->signals[1] = signal_watch_open(dev->loop, SIGTERM, on_stop, dev);
    dev->signals[2] = signal_watch_open(dev->loop, SIGINT, on_stop, dev);
}

static void dev_end(struct dev *dev)
{
    dev_http_close(&dev->http);
    inbox_close(&dev->inbox);
    tls_server_destroy(&dev->tls);
    for (size_t i = 0; i < COUNT_OF(dev->signals); i++)
        signal_watch_close(&dev->signals[i]);
    loop_destroy(&dev->loop);
    dev_redis_stop(&dev->redis);
    if (dev->http_fd >= 0)
        close(dev->http_fd);
    if (dev->lock_fd >= 0)
        close(dev->lock_fd);
}

/* The roles are forked before dev has anything of its own to share. */
static bool dev_begin(struct dev *dev, const struct cli_args *args,
                      struct error *err)
{
    int64_t port = PORT_API;
    int64_t smtp_port = PORT_SMTP;

    if (!cli_number(args, "port", 1, 65000, &port) ||
        !cli_number(args, "smtp-port", 1, 65000, &smtp_port)) {
        error_set(err, ERR_INPUT, "see posthaste dev --help");
        return false;
    }
    clock_tick();
    dev->place.started_ms = clock_now_ms();
    if (!folder_open(dev, cli_option(args, "dir"), err) ||
        !redis_begin(dev, err) || !places_find(dev, port, smtp_port, err) ||
        !config_make(dev, err))
        return false;
    signals_mask(SIG_BLOCK); /* so that no death goes unseen */
    roles_start(dev);
    dev->loop = loop_create();
    if (!inbox_begin(dev, err) || !http_begin(dev, err))
        return false;
    signals_begin(dev);
    greeter_start(dev, cli_flag(args, "send-demo"));
    return true;
}

static int run_dev(const struct cli_args *args)
{
    struct dev dev = {.lock_fd = -1, .http_fd = -1};
    struct error err;

    signal(SIGPIPE, SIG_IGN);
    log_setup(LOG_WARN, LOG_AUTO, "dev");
    error_clear(&err);
    dev.once = cli_flag(args, "once");
    if (dev_begin(&dev, args, &err))
        loop_run(dev.loop);
    else
        dev.code = cli_fail_error(args, &err);
    dev_end(&dev);
    return dev.code;
}

static const struct cli_option OPTIONS[] = {
    {"send-demo", NULL, "send a verification mail and show what happens", NULL,
     NULL},
    {"once", NULL, "stop behind that; the exit code says whether all went well",
     NULL, NULL},
    {"dir", "DIR", "where state, logs and keys are kept", NULL,
     ".posthaste-dev"},
    {"port", "P", "of the API; the admin listeners take the next ones", NULL,
     "8080"},
    {"smtp-port", "P", "of the capture inbox", NULL, "2525"},
};

static const struct verb VERBS[] = {
    {
        .name = "dev",
        .purpose = "Runs all of it on this machine, with a capturing inbox.",
        .examples = {"posthaste dev", "posthaste dev --send-demo --once"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_dev,
    },
};

const struct verb_group VERBS_DEV = {VERBS, COUNT_OF(VERBS)};
