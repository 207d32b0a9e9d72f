#include "server/base/fault.h"

#include "check_cmocka.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void pass_twice(void)
{
    FAULT_POINT("supervisor.test");
    FAULT_POINT("test.other");
    FAULT_POINT("test.step");
    FAULT_POINT("test.step");
}

#ifdef FAULT_POINTS

/* A supervisor whose children pass the point twice each, one after the other.
 * How each of them ended, as "..!" where ! was the point. */
static void life_of_role(const char *setting, size_t children, char *ends)
{
    int pipe_ends[2];
    ssize_t got;

    assert_int_equal(pipe(pipe_ends), 0);
    if (fork() == 0) {
        struct error err;

        setenv("POSTHASTE_FAULT_POINT", setting, 1);
        if (!fault_prepare(&err))
            _exit(1);
        pass_twice(); /* the supervisor survives */
        for (size_t i = 0; i < children; i++) {
            int status;

            if (fork() == 0) {
                fault_arm();
                pass_twice();
                _exit(0);
            }
            wait(&status);
            if (write(pipe_ends[1], fault_was_hit(status) ? "!" : ".", 1) != 1)
                _exit(1);
        }
        _exit(0);
    }
    close(pipe_ends[1]);
    wait(NULL);
    got = read(pipe_ends[0], ends, children);
    assert_int_equal(got, children);
    ends[got] = '\0';
    close(pipe_ends[0]);
}

static void it_fires_over_all_children(void **state)
{
    static const struct {
        const char *setting;
        const char *ends; /* of children that pass it twice each */
    } CASES[] = {
        {"", "......"},
        {"test.other:1", "!....."},
        {"test.step:1", "!....."},
        {"test.step:3", ".!...."},
        {"test.step:3:1", ".!...."},
        {"test.step:1:3", "!!!..."},
        {"test.step:3:2", ".!.!.."},
        {"test.step:100", "......"},
    };
    char ends[8];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        life_of_role(CASES[i].setting, 6, ends);
        assert_string_equal(ends, CASES[i].ends);
    }
}

/* Its own points are no child's. */
static void a_supervisor_has_its_own(void **state)
{
    int status;

    (void)state;
    if (fork() == 0) {
        struct error err;

        setenv("POSTHASTE_FAULT_POINT", "supervisor.test:2", 1);
        if (!fault_prepare(&err))
            _exit(1);
        if (fork() == 0) {
            fault_arm();
            pass_twice();
            pass_twice();
            _exit(0);
        }
        wait(&status);
        if (fault_was_hit(status))
            _exit(2);
        pass_twice();
        pass_twice();
        _exit(0);
    }
    wait(&status);
    assert_true(fault_was_hit(status));
}

static void what_makes_no_sense_is_refused(void **state)
{
    static const struct {
        const char *setting;
        const char *why;
    } CASES[] = {
        {"test.stpe:1", "there is no point 'test.stpe', but 'test.step'"},
        {"x", "there is no point 'x'; posthaste version"},
        {"test.step", "'test.step' is not name:n"},
        {"test.step:", "is not name:n"},
        {"test.step:0", "is not name:n"},
        {"test.step:1:0", "is not name:n"},
        {"test.step:1:x", "is not name:n"},
        {"test.step:-1", "is not name:n"},
        {"test.step:9999999999", "is not name:n"},
    };
    struct error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        setenv("POSTHASTE_FAULT_POINT", CASES[i].setting, 1);
        assert_false(fault_prepare(&err));
        assert_int_equal(err.kind, ERR_CONFIG);
        assert_non_null(strstr(err.text, CASES[i].why));
    }
    unsetenv("POSTHASTE_FAULT_POINT");
}

static void each_name_is_listed_once(void **state)
{
    struct buf names;

    (void)state;
    buf_init(&names, 1024);
    fault_list(&names);
    assert_string_equal(names.data, "supervisor.test\ntest.other\ntest.step\n");
    buf_finish(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_fires_over_all_children),
        cmocka_unit_test(a_supervisor_has_its_own),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(each_name_is_listed_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void nothing_is_left_of_it(void **state)
{
    struct error err;

    (void)state;
    setenv("POSTHASTE_FAULT_POINT", "test.step:1", 1);
    assert_true(fault_prepare(&err));
    fault_arm();
    pass_twice();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_left_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
