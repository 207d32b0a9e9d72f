#include "server/base/log.h"

#include "server/base/clock.h"

#include "check_cmocka.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Standard error is a pipe while a test runs; what came out is in text. */
static struct {
    int saved_stderr;
    int read_end;
    char text[1 << 17];
} out;

static void begin(enum log_level level, enum log_format format)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    out.saved_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    out.read_end = ends[0];
    assert_int_equal(fcntl(out.read_end, F_SETFL, O_NONBLOCK), 0);
    clock_set(1000, 1795521600123);
    log_setup(level, format, "test");
}

static const char *written(void)
{
    size_t len = 0;
    ssize_t got;

    while ((got = read(out.read_end, out.text + len,
                       sizeof out.text - 1 - len)) > 0)
        len += (size_t)got;
    out.text[len] = '\0';
    return out.text;
}

static void end(void)
{
    dup2(out.saved_stderr, STDERR_FILENO);
    close(out.saved_stderr);
    close(out.read_end);
    log_setup(LOG_INFO, LOG_AUTO, "test");
    clock_set(-1, -1);
}

/* The line with this process' id in the place of %d. */
static void assert_written(const char *format)
{
    char want[4096];
    const char *at = strstr(format, "PID");

    assert_non_null(at);
    snprintf(want, sizeof want, "%.*s%d%s", (int)(at - format), format,
             (int)getpid(), at + 3);
    assert_string_equal(written(), want);
}

static void a_line_of_text(void **state)
{
    struct error err;

    (void)state;
    begin(LOG_INFO, LOG_TEXT);
    error_set(&err, ERR_REMOTE, "redis: gone");
    log_write(LOG_WARN, LOG_PROCESS_STOPPED, log_cstr("job", "7"),
              log_int("ms", -184), log_str("step", S("RCPT TO")),
              log_address("to", S("ada@example.net")), log_cstr("none", NULL),
              log_str("empty", S("")), log_str("odd", S("a=\"b\\\x1b\n\xff")),
              log_error(&err), log_error(NULL));
    assert_written("2026-11-24T12:00:00.123Z warn  test[PID] process.stopped "
                   "job=7 ms=-184 step=\"RCPT TO\" to=a***@example.net "
                   "empty=\"\" odd=\"a=\\\"b\\\\???\" error=\"redis: gone\"\n");
    end();
}

static void a_line_of_json(void **state)
{
    (void)state;
    begin(LOG_INFO, LOG_AUTO);
    log_write(LOG_INFO, LOG_PROCESS_STARTED, log_cstr("job", "7"),
              log_int("ms", 184), log_address("to", S("ada@example.net")),
              log_str("odd", S("\"\r\n\xc3\xa9\xc3")));
    assert_written("{\"ts\":\"2026-11-24T12:00:00.123Z\",\"level\":\"info\","
                   "\"role\":\"test\",\"pid\":PID,\"event\":\"process.started\""
                   ",\"job\":\"7\",\"ms\":184,\"to\":\"a***@example.net\","
                   "\"odd\":\"\\\"??\xc3\xa9?\"}\n");
    end();
}

static void what_is_below_the_level_is_not_written(void **state)
{
    (void)state;
    begin(LOG_WARN, LOG_TEXT);
    log_write(LOG_INFO, LOG_PROCESS_STARTED, log_int("a", 1));
    log_write(LOG_DEBUG, LOG_PROCESS_STARTED, log_int("a", 1));
    assert_string_equal(written(), "");
    log_write(LOG_ERROR, LOG_PROCESS_STARTED, log_int("a", 1));
    assert_non_null(strstr(written(), "a=1\n"));
    end();
}

static void long_lines_stay_whole(void **state)
{
    char big[3000];

    (void)state;
    memset(big, '"', sizeof big);
    begin(LOG_INFO, LOG_JSON);
    log_write(LOG_INFO, LOG_PROCESS_STARTED, log_int("first", 1),
              log_str("a", str_make(big, sizeof big)),
              log_str("b", str_make(big, sizeof big)), log_int("last", 2));
    written();
    assert_true(strlen(out.text) <= 4096);
    assert_null(strstr(out.text, "\"b\""));
    assert_non_null(strstr(out.text, "\\\"\",\"last\":2,\"truncated\":1}\n"));
    end();
}

static void a_full_pipe_drops_and_counts(void **state)
{
    char block[4096];
    int pipe_end;

    (void)state;
    memset(block, 'x', sizeof block);
    begin(LOG_INFO, LOG_TEXT);
    pipe_end = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK);
    assert_true(pipe_end >= 0);
    while (write(pipe_end, block, sizeof block) > 0)
        ;
    log_write(LOG_INFO, LOG_PROCESS_STARTED, log_int("a", 1));
    log_write(LOG_INFO, LOG_PROCESS_STARTED, log_int("a", 2));
    assert_null(strstr(written(), "process"));
    log_write(LOG_INFO, LOG_PROCESS_STARTED, log_int("a", 3));
    assert_non_null(strstr(written(), "a=3 log_dropped=2\n"));
    log_write(LOG_INFO, LOG_PROCESS_STARTED, log_int("a", 4));
    assert_non_null(strstr(written(), "a=4\n"));
    assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
    close(pipe_end);
    end();
}

/* As under a service manager that gives a pipe of its own to another user. */
static void a_full_pipe_of_somebody_else_drops_too(void **state)
{
    char block[4096];
    int flags;

    (void)state;
    memset(block, 'x', sizeof block);
    begin(LOG_INFO, LOG_TEXT);
    assert_int_equal(fchmod(STDERR_FILENO, 0), 0);
    if (getuid() == 0)
        assert_int_equal(seteuid(65534), 0);
    assert_true(open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK) < 0);
    log_setup(LOG_INFO, LOG_TEXT, "test");
    flags = fcntl(STDERR_FILENO, F_GETFL);
    fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
    while (write(STDERR_FILENO, block, sizeof block) > 0)
        ;
    fcntl(STDERR_FILENO, F_SETFL, flags);
    alarm(10); /* for one that waits */
    log_write(LOG_INFO, LOG_PROCESS_STARTED, log_int("a", 1));
    alarm(0);
    assert_null(strstr(written(), "process"));
    log_write(LOG_INFO, LOG_PROCESS_STARTED, log_int("a", 2));
    assert_non_null(strstr(written(), "a=2 log_dropped=1\n"));
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    end();
}

/* A file that others write too: nothing is overwritten. */
static void a_file_is_shared(void **state)
{
    char path[] = "/tmp/posthaste-log-XXXXXX";
    int file = mkstemp(path);
    int saved = dup(STDERR_FILENO);
    char text[512] = {0};

    (void)state;
    assert_true(file >= 0);
    dup2(file, STDERR_FILENO);
    log_setup(LOG_INFO, LOG_TEXT, "test");
    assert_int_equal(write(STDERR_FILENO, "before\n", 7), 7);
    log_write(LOG_INFO, LOG_PROCESS_STARTED, log_int("a", 1));
    assert_int_equal(write(STDERR_FILENO, "after\n", 6), 6);
    dup2(saved, STDERR_FILENO);
    close(saved);
    log_setup(LOG_INFO, LOG_AUTO, "test");
    assert_true(pread(file, text, sizeof text - 1, 0) > 0);
    assert_memory_equal(text, "before\n", 7);
    assert_non_null(strstr(text, "a=1\nafter\n"));
    close(file);
    unlink(path);
}

static void addresses_are_masked(void **state)
{
    static const struct mask_case {
        struct str address;
        const char *masked;
    } cases[] = {
        {STR("ada@example.net"), "a***@example.net"},
        {STR("a@b"), "a***@b"},
        {STR("\"a@b\"@example.net"), "\"***@example.net"},
        {STR("\xe9\x98\xbf\xe5\xa7\xa8@example.cn"),
         "\xe9\x98\xbf***@example.cn"},
        {STR("ada"), "***"},
        {STR("@example.net"), "***"},
        {STR("\xff@example.net"), "***"},
        {STR(""), "***"},
    };
    char out_text[LOG_ADDRESS_SIZE];
    char big[500];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_true(str_eq(log_mask_address(cases[i].address, out_text),
                           str_of(cases[i].masked)));
    memset(big, '@', sizeof big);
    big[0] = 'a';
    assert_true(
        str_eq(log_mask_address(str_make(big, 500), out_text), S("***")));
    memset(big + 1, 'a', sizeof big - 1);
    big[1] = '@';
    assert_int_equal(log_mask_address(str_make(big, 396), out_text).len, 399);
    assert_true(
        str_eq(log_mask_address(str_make(big, 397), out_text), S("***")));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_of_text),
        cmocka_unit_test(a_line_of_json),
        cmocka_unit_test(what_is_below_the_level_is_not_written),
        cmocka_unit_test(long_lines_stay_whole),
        cmocka_unit_test(a_full_pipe_drops_and_counts),
        cmocka_unit_test(a_full_pipe_of_somebody_else_drops_too),
        cmocka_unit_test(a_file_is_shared),
        cmocka_unit_test(addresses_are_masked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
