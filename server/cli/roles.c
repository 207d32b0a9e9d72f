#include "server/cli/roles.h"

#include "api/api.h"
#include "queue/queue.h"
#include "server/base/fault.h"
#include "server/base/log.h"
#include "server/base/metrics.h"
#include "server/base/seal.h"
#include "server/cli/verbs.h"
#include "server/cli/version.h"
#include "server/hooks/hooks.h"
#include "server/http/httpd.h"
#include "server/io/dns.h"
#include "server/io/loop.h"
#include "server/worker/worker.h"
#include "smtp/smtp.h"

#include <signal.h>

enum {
    /* Beyond what a mail can take after its dot, work is given back, and
     * connections are answered. */
    DRAIN_SLACK_MS = 15000,

    /* How long a new child lets clients wait for its first connection to
     * Redis. Then it serves them as it can: 503 is due within a second. One
     * that relieves another leaves them to that one for longer. */
    FIRST_READY_MS = 500,
    RELIEF_READY_MS = 10 * 1000,
};

/* The frame of every child: a loop, a queue, and one thing that works. */
struct life {
    const struct child *child;
    const struct work_kind *kind;
    struct loop *loop;
    struct keyring *keyring;
    struct seal_keys *worker_keys; /* the worker's alone */
    struct queue *queue;
    struct dns *dns;
    struct signal_watch *signals[2];
    struct timer first_ready;
    void *work; /* api, worker or hooks; NULL before it began */
    bool was_ready;
    bool draining;
    int code;
};

/* What differs between roles. open: NULL and err on failure. owns_claims: it
 * claims work, as soon as it can; otherwise it is asked for answers, and
 * better not before Redis gives them. */
struct work_kind {
    const char *name;
    void *(*open)(struct life *life, struct error *err);
    void (*drain)(struct life *life); /* on_drained is called behind it */
    void (*close)(void *work);
    bool owns_claims;
    bool (*is_ready)(const void *work, struct error *why); /* NULL: always */
};

static void life_failed(struct life *life, const struct error *err)
{
    log_write(LOG_ERROR, LOG_CHILD_NOT_READY, log_error(err));
    life->code = err->kind == ERR_CONFIG ? EXIT_CONFIG : EXIT_FAILED;
    loop_stop(life->loop);
}

static void work_begin(struct life *life)
{
    struct error err;

    timer_clear(life->loop, &life->first_ready);
    life->work = life->kind->open(life, &err);
    if (life->work == NULL)
        life_failed(life, &err);
    else
        child_started(life->child);
}

static void on_first_ready_late(void *ctx)
{
    work_begin(ctx);
}

static void on_ready_changed(void *ctx)
{
    struct life *life = ctx;
    struct error why;
    bool ready;
    bool begins; /* nothing has answered yet */

    error_clear(&why);
    ready = queue_is_ready(life->queue, &why);
    if (ready && life->work == NULL && !life->draining)
        work_begin(life);
    if (ready && life->kind->is_ready != NULL && life->work != NULL)
        ready = life->kind->is_ready(life->work, &why);
    metrics_set_ready(ready, why.text);
    begins = !life->was_ready && why.kind == ERR_BUSY;
    life->was_ready = life->was_ready || ready;
    log_write(ready || begins ? LOG_INFO : LOG_WARN,
              ready ? LOG_CHILD_READY : LOG_CHILD_NOT_READY, log_error(&why));
    if (life->kind->owns_claims)
        child_owns(life->child, queue_worker_epoch(life->queue));
}

static void on_drained(void *ctx)
{
    struct life *life = ctx;

    loop_stop(life->loop);
}

static void on_signal(void *ctx, int number)
{
    struct life *life = ctx;

    (void)number;
    if (life->draining)
        return;
    life->draining = true;
    metrics_set_ready(false, "draining");
    queue_leave(life->queue);
    timer_clear(life->loop, &life->first_ready);
    if (life->work == NULL) {
        loop_stop(life->loop);
        return;
    }
    child_leaves(life->child);
    life->kind->drain(life);
}

static bool life_begin(struct life *life, struct error *err)
{
    const struct config *config = life->child->config;

    if (config->secrets.keyring_file[0] != '\0') {
        life->keyring = keyring_load(config->secrets.keyring_file, err);
        if (life->keyring == NULL)
            return false;
    }
    life->dns = dns_open(life->loop, fault_name_servers(), err);
    if (life->dns == NULL)
        return false;
    life->queue = queue_open(life->loop, config, life->keyring);
    metrics_set_ready(false, "connecting to Redis");
    queue_watch_ready(life->queue, on_ready_changed, life);
    queue_join(life->queue, life->kind->name);
    life->signals[0] = signal_watch_open(life->loop, SIGTERM, on_signal, life);
    life->signals[1] = signal_watch_open(life->loop, SIGINT, on_signal, life);
    if (life->kind->owns_claims)
        work_begin(life);
    else
        timer_set(life->loop, &life->first_ready,
                  life->child->is_relief ? RELIEF_READY_MS : FIRST_READY_MS);
    return true;
}

static void life_end(struct life *life)
{
    for (size_t i = 0; i < COUNT_OF(life->signals); i++)
        signal_watch_close(&life->signals[i]);
    timer_clear(life->loop, &life->first_ready);
    if (life->work != NULL)
        life->kind->close(life->work);
    queue_close(&life->queue);
    dns_close(&life->dns);
    loop_destroy(&life->loop);
    seal_keys_destroy(&life->worker_keys);
    keyring_destroy(&life->keyring);
}

static int live(const struct child *child, const struct work_kind *kind)
{
    struct life life = {.child = child, .kind = kind, .loop = loop_create()};
    struct error err;

    timer_init(&life.first_ready, on_first_ready_late, &life);
    if (!life_begin(&life, &err))
        life_failed(&life, &err);
    if (life.code == 0)
        loop_run(life.loop);
    life_end(&life);
    return life.code;
}

/* --- api --- */

static void *open_api(struct life *life, struct error *err)
{
    return api_open(life->loop, life->child->config, life->queue,
                    life->child->listen_fds, life->child->listen_count, err);
}

static void drain_api(struct life *life)
{
    api_drain(life->work, child_is_replaced(life->child), on_drained, life);
}

static void close_api(void *work)
{
    struct api *api = work;

    api_close(&api);
}

static int run_api(const struct child *child)
{
    static const struct work_kind KIND = {"api",     open_api, drain_api,
                                          close_api, false,    NULL};

    return live(child, &KIND);
}

static bool keyring_fits(const struct config *config, struct error *err)
{
    static const struct config_value_name NAME = {.table = "secrets",
                                                  .key = "keyring_file"};
    struct keyring *keyring;
    bool ok;

    if (config->secrets.keyring_file[0] == '\0')
        return true;
    keyring = keyring_load(config->secrets.keyring_file, err);
    ok = keyring != NULL;
    if (!ok)
        config_prefix_place(config, NAME, err);
    keyring_destroy(&keyring);
    return ok;
}

static const struct config_list *listen_api(const struct config *config)
{
    return &config->api.listen;
}

static const char *admin_api(const struct config *config)
{
    return config->api.admin_listen;
}

/* As long as a request may take that has just begun: its head, its body, and
 * an answer that may be as large. */
static int64_t drain_max_api(const struct config *config)
{
    int64_t full_s = config->api.max_body_bytes / HTTPD_BYTES_PER_SECOND;
    int64_t body_ms = config->api.body_timeout_ms + full_s * 1000;

    return config->api.header_timeout_ms + 2 * body_ms + DRAIN_SLACK_MS;
}

const struct role ROLE_API = {"api", listen_api,   admin_api, drain_max_api,
                              NULL,  keyring_fits, run_api};

/* --- worker --- */

static void *open_worker(struct life *life, struct error *err)
{
    const char *key_file = life->child->config->secrets.worker_key_file;
    struct worker_options options = {
        .config = life->child->config,
        .queue = life->queue,
        .dns = life->dns,
        .keyring = life->keyring,
        .on_ready = on_ready_changed,
        .ctx = life,
        .child = life->child->index,
        .count = life->child->count,
        .instance = life->child->instance,
    };

    if (*key_file != '\0') {
        life->worker_keys = seal_keys_load(key_file, err);
        if (life->worker_keys == NULL)
            return NULL;
    }
    options.worker_keys = life->worker_keys;
    return worker_open(life->loop, &options, err);
}

static bool is_ready_worker(const void *work, struct error *why)
{
    return worker_is_ready(work, why);
}

static void drain_worker(struct life *life)
{
    worker_drain(life->work, on_drained, life);
}

static void close_worker(void *work)
{
    struct worker *worker = work;

    worker_close(&worker);
}

static int run_worker(const struct child *child)
{
    static const struct work_kind KIND = {"worker",     open_worker,
                                          drain_worker, close_worker,
                                          true,         is_ready_worker};

    return live(child, &KIND);
}

static const char *admin_worker(const struct config *config)
{
    return config->worker.admin_listen;
}

/* Marked sessions linger up to the dot's timeout. */
static int64_t drain_max_worker(const struct config *config)
{
    int64_t max_ms = 0;

    for (size_t i = 0; i < config->upstream_count; i++)
        if (config->upstreams[i].dot_timeout_ms > max_ms)
            max_ms = config->upstreams[i].dot_timeout_ms;
    if (config->worker.stop_timeout_ms > 0 &&
        config->worker.stop_timeout_ms < max_ms)
        max_ms = config->worker.stop_timeout_ms;
    return max_ms + DRAIN_SLACK_MS;
}

static const char *state_dir_worker(const struct config *config)
{
    return config->worker.state_dir;
}

static bool worker_key_fits(const struct config *config, struct error *err)
{
    static const struct config_value_name NAME = {.table = "secrets",
                                                  .key = "worker_key_file"};
    struct seal_keys *keys;
    bool ok;

    if (config->secrets.worker_key_file[0] == '\0')
        return true;
    keys = seal_keys_load(config->secrets.worker_key_file, err);
    ok = keys != NULL;
    if (!ok)
        config_prefix_place(config, NAME, err);
    seal_keys_destroy(&keys);
    return ok;
}

static bool files_fit_worker(const struct config *config, struct error *err)
{
    if (!keyring_fits(config, err) || !worker_key_fits(config, err))
        return false;
    for (size_t i = 0; i < config->upstream_count; i++) {
        const char *key = smtp_tls_misfit(&config->upstreams[i], err);

        if (key == NULL)
            continue;
        config_prefix_place(
            config, (struct config_value_name){"upstream", i, key}, err);
        return false;
    }
    return true;
}

const struct role ROLE_WORKER = {"worker",         NULL,
                                 admin_worker,     drain_max_worker,
                                 state_dir_worker, files_fit_worker,
                                 run_worker};

/* --- hooks --- */

static void *open_hooks(struct life *life, struct error *err)
{
    return hooks_open(life->loop, life->child->config, life->queue, life->dns,
                      err);
}

static void drain_hooks(struct life *life)
{
    hooks_drain(life->work, on_drained, life);
}

static void close_hooks(void *work)
{
    struct hooks *hooks = work;

    hooks_close(&hooks);
}

static int run_hooks(const struct child *child)
{
    static const struct work_kind KIND = {"hooks",     open_hooks, drain_hooks,
                                          close_hooks, true,       NULL};

    return live(child, &KIND);
}

static const char *admin_hooks(const struct config *config)
{
    return config->hooks.admin_listen;
}

static int64_t drain_max_hooks(const struct config *config)
{
    return config->webhook.timeout_ms + DRAIN_SLACK_MS;
}

const struct role ROLE_HOOKS = {
    "hooks", NULL, admin_hooks, drain_max_hooks, NULL, keyring_fits, run_hooks};

/* --- the verbs --- */

static int run_role(const struct cli_args *args, const struct role *role)
{
    struct supervisor_options options = {.role = role,
                                         .commit = version_commit()};
    int64_t children = 0;

    if (!cli_number(args, "children", 1, 256, &children))
        return EXIT_USAGE;
    options.config_path = config_find(cli_option(args, "config"));
    options.children = (unsigned)children;
    return supervisor_run(&options);
}

static int run_api_verb(const struct cli_args *args)
{
    return run_role(args, &ROLE_API);
}

static int run_worker_verb(const struct cli_args *args)
{
    return run_role(args, &ROLE_WORKER);
}

static int run_hooks_verb(const struct cli_args *args)
{
    return run_role(args, &ROLE_HOOKS);
}

static const struct cli_option OPTIONS[] = {
    CLI_OPTION_CONFIG,
    {"children", "N", "processes that share the work (default: one per core)",
     NULL, NULL},
};

static const struct verb VERBS[] = {
    {
        .name = "api",
        .purpose = "Takes mail over HTTP and stores it.",
        .examples = {"posthaste api --config /etc/posthaste/posthaste.toml",
                     "posthaste api --children 4"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_api_verb,
    },
    {
        .name = "worker",
        .purpose = "Brings stored mail to the upstream servers.",
        .examples = {"posthaste worker --config /etc/posthaste/posthaste.toml",
                     "posthaste worker --children 2"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_worker_verb,
    },
    {
        .name = "hooks",
        .purpose = "Tells customers what happened, by signed webhooks.",
        .examples = {"posthaste hooks --config /etc/posthaste/posthaste.toml",
                     "posthaste hooks --children 1"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_hooks_verb,
    },
};

const struct verb_group VERBS_ROLES = {VERBS, COUNT_OF(VERBS)};
