#include "server/io/listen.h"

#include "stream_probe.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

static struct loop *loop;
static char dir[64];

static int setup(void **state)
{
    (void)state;
    loop = loop_create();
    snprintf(dir, sizeof dir, "/tmp/posthaste-listen-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    rmdir(dir);
    loop_turn(loop, 0);
    loop_destroy(&loop);
    return 0;
}

static int open_here(const char *where, bool reuse_port)
{
    struct error err;
    int fd = listen_open(
        where, &(struct listen_options){.reuse_port = reuse_port}, &err);

    if (fd == -1)
        fail_msg("%s", err.text);
    return fd;
}

static int connect_to(const struct address *address)
{
    int fd = socket(address->at.any.sa_family, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, &address->at.any, address->len), 0);
    return fd;
}

static void every_form_of_address_listens(void **state)
{
    static const struct {
        const char *where;
        const char *starts;
    } cases[] = {
        {"127.0.0.1:0", "127.0.0.1:"},
        {"localhost:0", "127.0.0.1:"},
        {"*:0", "0.0.0.0:"},
    };
    char text[ADDRESS_TEXT_SIZE];
    struct address address;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int fd = open_here(cases[i].where, false);

        listen_address(fd, &address);
        assert_int_not_equal(address_port(&address), 0);
        address_format(&address, text);
        assert_memory_equal(text, cases[i].starts, strlen(cases[i].starts));
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        close(connect_to(&address));
        close(fd);
    }
}

static void malformed_ones_say_what_is_wanted(void **state)
{
    static const struct {
        const char *where;
        enum error_kind kind;
        const char *text;
    } cases[] = {
        {"", ERR_CONFIG, ": want host:port, [ipv6]:port or unix:/path"},
        {":80", ERR_CONFIG, ":80: want host:port, [ipv6]:port or unix:/path"},
        {"1.2.3.4", ERR_CONFIG,
         "1.2.3.4: want host:port, [ipv6]:port or unix:/path"},
        {"1.2.3.4:x", ERR_CONFIG,
         "1.2.3.4:x: want host:port, [ipv6]:port or unix:/path"},
        {"1.2.3.4:65536", ERR_CONFIG,
         "1.2.3.4:65536: want host:port, [ipv6]:port or unix:/path"},
        {"unix:", ERR_CONFIG, "unix:: want a path of 1 to 107 bytes"},
        {"no such host:80", ERR_CONFIG,
         "no such host:80: no address for the host"},
        {"192.0.2.1:0", ERR_SYSTEM,
         "cannot listen on 192.0.2.1:0: Cannot assign requested address"},
        {"unix:/nonexistent/s", ERR_SYSTEM,
         "cannot listen on unix:/nonexistent/s: No such file or directory"},
    };
    struct error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(
            listen_open(cases[i].where, &(struct listen_options){0}, &err), -1);
        assert_string_equal(err.text, cases[i].text);
        assert_int_equal(err.kind, cases[i].kind);
    }
}

static void a_shared_port_is_asked_for(void **state)
{
    char where[ADDRESS_TEXT_SIZE];
    struct address address;
    struct error err;
    int first = open_here("127.0.0.1:0", true);
    int second;

    (void)state;
    listen_address(first, &address);
    address_format(&address, where);
    second = open_here(where, true);
    assert_int_equal(listen_open(where, &(struct listen_options){0}, &err), -1);
    assert_non_null(strstr(err.text, "Address already in use"));
    close(first);
    close(second);
}

static void a_stale_socket_file_is_replaced(void **state)
{
    char where[96];
    struct stat info;
    struct error err;
    struct listen_options options = {.unix_mode = 0600};
    int fd;

    (void)state;
    snprintf(where, sizeof where, "unix:%s/s", dir);
    fd = listen_open(where, &options, &err);
    assert_int_not_equal(fd, -1);
    assert_int_equal(stat(where + 5, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(listen_open(where, &options, &err), -1); /* in use */
    close(fd);
    fd = listen_open(where, &options, &err);
    assert_int_not_equal(fd, -1);
    close(fd);
    unlink(where + 5);

    fd = open(where + 5, O_CREAT | O_WRONLY, 0600); /* no socket: stays */
    assert_int_equal(listen_open(where, &options, &err), -1);
    close(fd);
    unlink(where + 5);
}

struct guests {
    struct acceptor *acceptor;
    unsigned count;
    bool closes;
    bool pauses;
    struct address peer;
};

static void on_guest(void *ctx, int fd, const struct address *peer)
{
    struct guests *guests = ctx;

    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    guests->count++;
    guests->peer = *peer;
    if (guests->closes)
        acceptor_close(&guests->acceptor);
    if (guests->pauses)
        acceptor_pause(guests->acceptor);
    close(fd);
}

static void an_acceptor_takes_pauses_and_closes(void **state)
{
    struct guests guests = {0};
    struct address address;
    struct address own = {.len = sizeof own.at};
    int listener = open_here("127.0.0.1:0", false);
    int fds[3];

    (void)state;
    listen_address(listener, &address);
    guests.acceptor = acceptor_open(loop, listener, on_guest, &guests);
    fds[0] = connect_to(&address);
    turn_until(loop, guests.count == 1);
    assert_int_equal(getsockname(fds[0], &own.at.any, &own.len), 0);
    assert_true(address_eq(&guests.peer, &own));

    guests.pauses = true;
    fds[1] = connect_to(&address);
    fds[2] = connect_to(&address);
    turn_until(loop, guests.count == 2);
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 0);
    assert_int_equal(guests.count, 2);
    guests.pauses = false;
    guests.closes = true;
    acceptor_resume(guests.acceptor);
    turn_until(loop, guests.count == 3);
    assert_null(guests.acceptor);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    close(listener);
}

/* No descriptor is left: the acceptor rests, then takes the one that waits. */
static void without_descriptors_it_rests(void **state)
{
    struct guests guests = {0};
    struct rlimit before;
    struct rlimit none;
    struct address address;
    int listener = open_here("127.0.0.1:0", false);
    int client;
    int turns = 0;

    (void)state;
    listen_address(listener, &address);
    guests.acceptor = acceptor_open(loop, listener, on_guest, &guests);
    client = connect_to(&address);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 20; i++)
        loop_turn(loop, 0);
    assert_int_equal(guests.count, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (; guests.count == 0; turns++)
        loop_turn(loop, 10000);
    assert_true(turns <= 3); /* it slept, and did not spin */
    acceptor_close(&guests.acceptor);
    close(client);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(every_form_of_address_listens),
        TEST(malformed_ones_say_what_is_wanted),
        TEST(a_shared_port_is_asked_for),
        TEST(a_stale_socket_file_is_replaced),
        TEST(an_acceptor_takes_pauses_and_closes),
        TEST(without_descriptors_it_rests),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
