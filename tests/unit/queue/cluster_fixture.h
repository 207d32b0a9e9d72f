/* cluster_fixture.h - a real cluster of ours on loopback: masters with a
 * replica each (CLUSTER_REPLICAS says otherwise), made by redis-cli, for one
 * test program. */
#ifndef TESTS_CLUSTER_FIXTURE_H
#define TESTS_CLUSTER_FIXTURE_H

#include "free_port.h"
#include "mail_fixture.h"

#include <sys/stat.h>

#ifndef CLUSTER_REPLICAS
#define CLUSTER_REPLICAS 1
#endif

enum {
    MASTERS = 3,
    SERVERS = (1 + CLUSTER_REPLICAS) * MASTERS,
    PORT_MAX = 22000
};

/* What no replica has must be on the disk before it is acknowledged. */
#define CLUSTER_FSYNC (CLUSTER_REPLICAS > 0 ? "everysec" : "always")

static struct cluster_fixture {
    char dir[64];
    char url[256];
    struct server {
        unsigned port;
        pid_t pid;
        redisContext *redis;
    } servers[SERVERS];
} cluster;

/* Free, and so is the port of the cluster's bus behind it. */
static inline unsigned port_find(void)
{
    for (;;) {
        unsigned port = 12000 + arc4random_uniform(PORT_MAX - 12000);

        if (port_take(port) && port_take(port + 10000))
            return port;
    }
}

static inline void server_exec(const struct server *server, int out)
{
    char port[16];
    char dir[128];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out, 1);
    dup2(out, 2);
    snprintf(port, sizeof port, "%u", server->port);
    snprintf(dir, sizeof dir, "%s/%u", cluster.dir, server->port);
    execlp("redis-server", "redis-server", "--port", port, "--bind",
           "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "yes",
           "--appendfsync", CLUSTER_FSYNC, "--maxmemory", "256mb",
           "--maxmemory-policy", "noeviction", "--cluster-enabled", "yes",
           "--cluster-node-timeout", "1500", "--repl-ping-replica-period", "1",
           "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0",
           (char *)NULL);
    _exit(127);
}

static inline void server_start(struct server *server)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid == 0)
        server_exec(server, ends[1]);
    close(ends[1]);
    fixture_await_ready(ends[0]);
    server->redis = redisConnect("127.0.0.1", (int)server->port);
    assert_non_null(server->redis);
    assert_int_equal(server->redis->err, 0);
}

static inline void server_kill(struct server *server)
{
    if (server->redis != NULL)
        redisFree(server->redis);
    server->redis = NULL;
    if (server->pid > 0) {
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
    }
    server->pid = 0;
}

/* Its answer as text, valid until the next call. */
#define server_ask(server, ...)                                                \
    redis_text(redisCommand((server)->redis, __VA_ARGS__))

static inline void run_cli(const char *format, ...) PRINTF_LIKE(1, 2);

static inline void run_cli(const char *format, ...)
{
    char command[1024];
    size_t len = (size_t)snprintf(command, sizeof command, "redis-cli ");
    va_list args;

    va_start(args, format);
    len += (size_t)vsnprintf(command + len, sizeof command - len, format, args);
    va_end(args);
    snprintf(command + len, sizeof command - len,
             " > %s/cli.log 2>&1 < /dev/null", cluster.dir);
    if (system(command) != 0)
        fail_msg("%s", command);
}

/* In a child that is about to be redis-cli. */
static inline void run_cli_here(void)
{
    char path[128];
    int log;

    snprintf(path, sizeof path, "%s/cli.log", cluster.dir);
    log = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log, 1);
    dup2(log, 2);
    dup2(open("/dev/null", O_RDONLY), 0);
}

static inline bool is_healed(void)
{
    for (unsigned i = 0; i < SERVERS; i++)
        if (cluster.servers[i].redis != NULL &&
            strstr(server_ask(&cluster.servers[i], "CLUSTER INFO"),
                   "cluster_state:ok") == NULL)
            return false;
    return true;
}

static inline int cluster_group_setup(void **state)
{
    char nodes[256] = "";

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    fixture_folder("cluster", cluster.dir, sizeof cluster.dir);
    for (unsigned i = 0; i < SERVERS; i++) {
        struct server *server = &cluster.servers[i];
        char dir[128];

        server->port = port_find();
        snprintf(dir, sizeof dir, "%s/%u", cluster.dir, server->port);
        assert_int_equal(mkdir(dir, 0700), 0);
        server_start(server);
        snprintf(nodes + strlen(nodes), sizeof nodes - strlen(nodes),
                 " 127.0.0.1:%u", server->port);
    }
    run_cli("--cluster create%s --cluster-replicas %d --cluster-yes", nodes,
            CLUSTER_REPLICAS);
    snprintf(cluster.url, sizeof cluster.url,
             "cluster://127.0.0.1:%u,127.0.0.1:%u/", cluster.servers[0].port,
             cluster.servers[1].port);
    fixture.config = (struct config){
        .redis = {.url = cluster.url,
                  .username = "",
                  .password = "",
                  .prefix = "ph:"},
        .worker = {.lease_ms = 10000, .message_ttl_ms = 259200000},
        .privacy = {.keep_bodies_ms = 86400000,
                    .keep_events_ms = INT64_C(2592000000)},
        .limits = {.rate = 100, .rate_per_ms = 1000},
    };
    return 0;
}

static inline int cluster_group_teardown(void **state)
{
    char command[128];

    (void)state;
    for (unsigned i = 0; i < SERVERS; i++)
        server_kill(&cluster.servers[i]);
    snprintf(command, sizeof command, "rm -rf '%s'", cluster.dir);
    return getenv("KEEP") != NULL ? 0 : system(command);
}

/* The running master that holds a key's slot; NULL: nobody says so. */
static inline struct server *master_of(const char *key)
{
    for (unsigned i = 0; i < SERVERS; i++) {
        struct server *server = &cluster.servers[i];

        if (server->redis != NULL &&
            strncmp(server_ask(server, "ROLE"), "master", 6) == 0 &&
            strncmp(server_ask(server, "EXISTS %s", key), "MOVED", 5) != 0)
            return server;
    }
    return NULL;
}

#endif
