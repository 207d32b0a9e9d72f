#include "server/io/dns.h"

#include "server/base/buf.h"

#include "stream_probe.h"

#include <stdio.h>
#include <sys/resource.h>

/* A name server on loopback that answers by the first label. */
static struct loop *loop;
static int server_fd;
static struct watch *server;
static struct dns *dns;
static unsigned queries;

enum { TYPE_A = 1, TYPE_AAAA = 28 };
enum { OK = 0, SERVFAIL = 2, NXDOMAIN = 3, SILENT = 99 };

static const struct zone {
    const char *label;
    unsigned a_code;
    unsigned a_count;
    unsigned aaaa_code;
    unsigned aaaa_count;
} ZONE[] = {
    {"both", OK, 2, OK, 1},
    {"four", OK, 1, OK, 0},
    {"six", OK, 0, OK, 1},
    {"none", OK, 0, OK, 0},
    {"many", OK, 20, OK, 20},
    {"half", SERVFAIL, 0, OK, 0},
    {"fail", SERVFAIL, 0, SERVFAIL, 0},
    {"lame", OK, 1, SERVFAIL, 0},
    {"silent", SILENT, 0, SILENT, 0},
};

static void add_record(struct buf *out, unsigned type, unsigned number)
{
    /* a pointer to the name in the question, class IN, 60 + number s */
    const char head[] = {'\xc0', 12, 0, (char)type, 0,
                         1,      0,  0, 0,          (char)(60 + number)};

    buf_add(out, str_make(head, sizeof head));
    buf_add(out, type == TYPE_A ? S("\0\x04\x7f\0\0")
                                : S("\0\x10\xfd\0\0\0\0\0\0"
                                    "\0\0\0\0\0\0\0\0"));
    buf_add_char(out, (char)(number + 1));
}

static void answer(struct buf *out, struct str query)
{
    size_t label_len = (size_t)query.ptr[12];
    struct str label = str_slice(query, 13, label_len);
    size_t end = 12 + strlen(query.ptr + 12) + 1; /* of the name */
    unsigned type = (unsigned)query.ptr[end + 1];
    unsigned code = NXDOMAIN;
    unsigned count = 0;

    for (size_t i = 0; i < COUNT_OF(ZONE); i++) {
        if (!str_eq(label, str_of(ZONE[i].label)))
            continue;
        code = type == TYPE_A ? ZONE[i].a_code : ZONE[i].aaaa_code;
        count = type == TYPE_A ? ZONE[i].a_count : ZONE[i].aaaa_count;
    }
    if (code == SILENT)
        return;
    buf_add(out, str_slice(query, 0, 2));
    buf_add_char(out, '\x81');
    buf_add_char(out, (char)(0x80 | code));
    buf_add(out, S("\0\x01\0"));
    buf_add_char(out, (char)count);
    buf_add(out, S("\0\0\0\0"));
    buf_add(out, str_slice(query, 12, end + 4 - 12));
    for (unsigned i = 0; i < count; i++)
        add_record(out, type, i);
}

static void on_query(void *ctx, int events)
{
    struct address from = {.len = sizeof from.at};
    struct buf out;
    char query[512];
    ssize_t got =
        recvfrom(server_fd, query, sizeof query, 0, &from.at.any, &from.len);

    (void)ctx;
    (void)events;
    assert_true(got > 16);
    queries++;
    buf_init(&out, 4096);
    answer(&out, str_make(query, (size_t)got));
    if (out.len > 0)
        sendto(server_fd, out.data, out.len, 0, &from.at.any, from.len);
    buf_finish(&out);
}

static int setup(void **state)
{
    struct address address;
    char text[ADDRESS_TEXT_SIZE];
    struct error err;

    (void)state;
    loop = loop_create();
    server_fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_true(address_parse(S("127.0.0.1"), 0, &address));
    assert_int_equal(bind(server_fd, &address.at.any, address.len), 0);
    assert_int_equal(getsockname(server_fd, &address.at.any, &address.len), 0);
    server = watch_open(loop, server_fd, on_query, NULL);
    watch_set(server, WATCH_READ);
    address_format(&address, text);
    dns = dns_open(loop, text, &err);
    assert_non_null(dns);
    queries = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dns_close(&dns);
    watch_close(&server);
    close(server_fd);
    loop_turn(loop, 0);
    loop_destroy(&loop);
    return 0;
}

struct result {
    unsigned calls;
    struct dns_answer answer;
    char reason[128];
    struct dns_lookup *cancels; /* another one, in the callback */
    bool closes;                /* dns, in the callback */
};

static void on_answer(void *ctx, const struct dns_answer *answer)
{
    struct result *result = ctx;

    result->calls++;
    result->answer = *answer;
    snprintf(result->reason, sizeof result->reason, "%s", answer->reason);
    dns_cancel(&result->cancels);
    if (result->closes)
        dns_close(&dns);
}

static void look_up(const char *host, struct result *result)
{
    *result = (struct result){0};
    dns_lookup(dns, host, 25, on_answer, result);
    assert_int_equal(result->calls, 0); /* never inside the call */
    turn_until(loop, result->calls > 0);
    loop_turn(loop, 0);
    assert_int_equal(result->calls, 1);
}

static const struct {
    const char *host;
    enum dns_status status;
    size_t count;
    uint32_t ttl_s;
    const char *first; /* NULL: any order will do */
} CASES[] = {
    {"127.0.0.1", DNS_FOUND, 1, 0, "127.0.0.1:25"},
    {"[::1]", DNS_FOUND, 1, 0, "[::1]:25"},
    {"localhost", DNS_FOUND, 1, 0, NULL},
    {"both.test", DNS_FOUND, 3, 60, NULL},
    {"four.test", DNS_FOUND, 1, 60, "127.0.0.1:25"},
    {"six.test", DNS_FOUND, 1, 60, "[fd00::1]:25"},
    {"many.test", DNS_FOUND, DNS_ADDRESSES_MAX, 60, NULL},
    {"lame.test", DNS_FOUND, 1, 60, "127.0.0.1:25"},
    {"none.test", DNS_NOT_FOUND, 0, 0, NULL},
    {"nosuch.test", DNS_NOT_FOUND, 0, 0, NULL},
    {"half.test", DNS_FAILED, 0, 0, NULL},
    {"fail.test", DNS_FAILED, 0, 0, NULL},
    {"bad..test", DNS_NOT_FOUND, 0, 0, NULL},
};

static void names_are_found_or_not_or_not_now(void **state)
{
    char text[ADDRESS_TEXT_SIZE];
    struct result result;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        look_up(CASES[i].host, &result);
        if (result.answer.status != CASES[i].status ||
            (CASES[i].first == NULL ? result.answer.count < CASES[i].count
                                    : result.answer.count != CASES[i].count))
            fail_msg("%s: status %u (%s), %zu addresses", CASES[i].host,
                     result.answer.status, result.reason, result.answer.count);
        assert_true(result.answer.count <= DNS_ADDRESSES_MAX);
        if (CASES[i].count > 0 && CASES[i].ttl_s > 0)
            assert_true(result.answer.ttl_s >= CASES[i].ttl_s);
        if (CASES[i].first == NULL)
            continue;
        address_format(&result.answer.addresses[0], text);
        assert_string_equal(text, CASES[i].first);
    }
}

static void numbers_and_files_ask_nobody(void **state)
{
    struct result result;

    (void)state;
    look_up("192.0.2.1", &result);
    look_up("localhost", &result);
    assert_int_equal(queries, 0);
}

/* The name servers may be well: this process has no descriptor left. */
static void a_shortage_of_ours_is_told_apart(void **state)
{
    struct rlimit before;
    struct rlimit none;
    struct result result = {0};

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    dns_lookup(dns, "four.test", 25, on_answer, &result);
    turn_until(loop, result.calls > 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(result.answer.status, DNS_FAILED);
    assert_true(result.answer.is_lacking);
    assert_string_equal(result.reason, "Too many open files");
    look_up("fail.test", &result);
    assert_false(result.answer.is_lacking);
    look_up("four.test", &result);
    assert_int_equal(result.answer.status, DNS_FOUND);
}

static void cancelled_ones_are_never_told(void **state)
{
    struct result told = {0};
    struct result cancelled = {0};
    struct dns_lookup *silent;
    struct dns_lookup *number;
    struct dns_lookup *name;

    (void)state;
    silent = dns_lookup(dns, "silent.test", 25, on_answer, &cancelled);
    number = dns_lookup(dns, "127.0.0.1", 25, on_answer, &cancelled);
    dns_cancel(&number);
    assert_null(number);
    dns_cancel(&number);
    name = dns_lookup(dns, "four.test", 25, on_answer, &cancelled);
    dns_cancel(&name);
    told.cancels = silent;
    dns_lookup(dns, "both.test", 25, on_answer, &told);
    turn_until(loop, told.calls > 0 && queries >= 6);
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 0);
    assert_int_equal(cancelled.calls, 0);
}

static void close_ends_all_quietly(void **state)
{
    struct result first = {.closes = true};
    struct result second = {0};

    (void)state;
    dns_lookup(dns, "silent.test", 25, on_answer, &second);
    dns_lookup(dns, "127.0.0.1", 25, on_answer, &first);
    dns_lookup(dns, "127.0.0.2", 25, on_answer, &second);
    turn_until(loop, first.calls > 0);
    assert_null(dns);
    loop_turn(loop, 0);
    assert_int_equal(second.calls, 0);
}

struct told {
    unsigned calls;
    enum dns_status status;
    bool has_no_name;
    size_t count;
    uint32_t ttl_s;
    char first[64];
    struct dns_query *cancels;
};

static void on_reply(void *ctx, const struct dns_reply *reply)
{
    struct told *told = ctx;

    told->calls++;
    told->status = reply->status;
    told->has_no_name = reply->has_no_name;
    told->count = reply->records.count;
    told->ttl_s = reply->records.ttl_s;
    assert_true(reply->reason[0] != '\0');
    if (told->count > 0)
        snprintf(told->first, sizeof told->first, "%.*s",
                 STR_ARG(reply->records.records[0].data));
    dns_query_cancel(&told->cancels);
}

static const struct {
    const char *name;
    enum dns_type type;
    enum dns_status status;
    bool has_no_name;
    size_t count;
    const char *first;
} QUERIES[] = {
    {"both.test", DNS_A, DNS_FOUND, false, 2, "127.0.0.1"},
    {"six.test", DNS_AAAA, DNS_FOUND, false, 1, "fd00::1"},
    {"six.test", DNS_A, DNS_NOT_FOUND, false, 0, ""},
    {"nosuch.test", DNS_A, DNS_NOT_FOUND, true, 0, ""},
    {"fail.test", DNS_AAAA, DNS_FAILED, false, 0, ""},
    {"bad..test", DNS_A, DNS_NOT_FOUND, true, 0, ""},
};

static void records_are_found_or_not_or_not_now(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(QUERIES); i++) {
        struct told told = {0};

        dns_query(dns, QUERIES[i].name, QUERIES[i].type, on_reply, &told);
        assert_int_equal(told.calls, 0); /* never inside the call */
        turn_until(loop, told.calls > 0);
        loop_turn(loop, 0);
        assert_int_equal(told.calls, 1);
        if (told.status != QUERIES[i].status ||
            told.has_no_name != QUERIES[i].has_no_name ||
            told.count != QUERIES[i].count)
            fail_msg("%s: status %u, %zu records", QUERIES[i].name, told.status,
                     told.count);
        assert_string_equal(told.first, QUERIES[i].first);
        assert_int_equal(told.ttl_s, told.count > 0 ? 60 : 0);
    }
}

static void cancelled_queries_are_never_told(void **state)
{
    struct told told = {0};
    struct told cancelled = {0};
    struct dns_query *query;

    (void)state;
    query = dns_query(dns, "bad..test", DNS_A, on_reply, &cancelled);
    dns_query_cancel(&query);
    assert_null(query);
    dns_query_cancel(&query);
    query = dns_query(dns, "four.test", DNS_A, on_reply, &cancelled);
    dns_query_cancel(&query);
    told.cancels = dns_query(dns, "silent.test", DNS_A, on_reply, &cancelled);
    dns_query(dns, "both.test", DNS_A, on_reply, &told);
    dns_query(dns, "silent.test", DNS_A, on_reply, &cancelled);
    turn_until(loop, told.calls > 0 && queries >= 4);
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 0);
    dns_close(&dns); /* with one under way */
    loop_turn(loop, 0);
    assert_int_equal(cancelled.calls, 0);
}

static void servers_that_are_none_are_refused(void **state)
{
    struct error err;

    (void)state;
    assert_null(dns_open(loop, "not an address", &err));
    assert_int_equal(err.kind, ERR_CONFIG);
}

static void the_systems_servers_are_the_default(void **state)
{
    struct error err;
    struct dns *other = dns_open(loop, NULL, &err);

    (void)state;
    assert_non_null(other);
    dns_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(names_are_found_or_not_or_not_now),
        TEST(numbers_and_files_ask_nobody),
        TEST(cancelled_ones_are_never_told),
        TEST(a_shortage_of_ours_is_told_apart),
        TEST(close_ends_all_quietly),
        TEST(records_are_found_or_not_or_not_now),
        TEST(cancelled_queries_are_never_told),
        TEST(servers_that_are_none_are_refused),
        TEST(the_systems_servers_are_the_default),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
