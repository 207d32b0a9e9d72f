#include "name_server.h"

#include "free_port.h"
#include "server/base/check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char CONFIG[] =
    "server:\n"
    "  directory: \"%s\"\n"
    "  chroot: \"\"\n"
    "  username: \"\"\n"
    "  pidfile: \"\"\n"
    "  use-syslog: no\n"
    "  do-daemonize: no\n"
    "  interface: 127.0.0.1@%u\n"
    "  do-ip6: no\n"
    "  do-not-query-localhost: no\n"
    "  do-not-query-address: 127.0.0.2/32\n"
    "  local-zone: \"test.\" nodefault\n" /* or it is empty: RFC 6761 */
    "  module-config: \"iterator\"\n"
    "  num-threads: 1\n"
    "  verbosity: 1\n"
    "auth-zone:\n"
    "  name: \"test.\"\n"
    "  zonefile: \"test.zone\"\n"
    "  for-downstream: no\n" /* so that aliases are followed */
    "  for-upstream: yes\n"
    "  fallback-enabled: no\n"
    "forward-zone:\n"
    "  name: \"broken.test.\"\n"
    "  forward-addr: 127.0.0.2@1\n"
    "forward-zone:\n"
    "  name: \"silent.test.\"\n"
    "  forward-addr: 127.0.0.1@1\n"
    "remote-control:\n"
    "  control-enable: no\n";

static const char HEAD[] = "$ORIGIN test.\n"
                           "$TTL 60\n"
                           "@ SOA ns me 1 3600 600 86400 5\n"
                           "@ NS ns\n"
                           "ns A 127.0.0.1\n";

static FILE *open_file(const struct name_server *server, const char *name)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", server->dir, name);
    file = fopen(path, "we");
    CHECK(file != NULL);
    return file;
}

static void write_files(const struct name_server *server, unsigned port,
                        const char *zone)
{
    FILE *file = open_file(server, "unbound.conf");

    fprintf(file, CONFIG, server->dir, port);
    fclose(file);
    file = open_file(server, "test.zone");
    fputs(HEAD, file);
    fputs(zone, file);
    fclose(file);
}

static void run(const struct name_server *server, int out)
{
    char path[128];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out, 1);
    dup2(out, 2);
    snprintf(path, sizeof path, "%s/unbound.conf", server->dir);
    execlp("unbound", "unbound", "-d", "-c", path, (char *)NULL);
    execl("/usr/sbin/unbound", "unbound", "-d", "-c", path, (char *)NULL);
    _exit(127);
}

static void await_start(int out)
{
    FILE *log = fdopen(out, "r");
    char line[512] = "";

    CHECK(log != NULL);
    while (fgets(line, sizeof line, log) != NULL)
        if (strstr(line, "start of service") != NULL)
            return; /* left open: it would get SIGPIPE from a closed one */
    check_failed(line, __FILE__, __LINE__);
}

void name_server_start(struct name_server *server, const char *zone)
{
    unsigned port = free_port();
    int ends[2];

    snprintf(server->dir, sizeof server->dir, "/tmp/posthaste-dns-XXXXXX");
    CHECK(mkdtemp(server->dir) != NULL);
    snprintf(server->address, sizeof server->address, "127.0.0.1:%u", port);
    write_files(server, port, zone);
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    server->pid = fork();
    CHECK(server->pid >= 0);
    if (server->pid == 0)
        run(server, ends[1]);
    close(ends[1]);
    await_start(ends[0]);
}

void name_server_stop(struct name_server *server)
{
    char command[128];

    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    snprintf(command, sizeof command, "rm -rf '%s'", server->dir);
    CHECK(system(command) == 0);
}
