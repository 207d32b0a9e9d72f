/* The journal of 250s: lines, files, the folder, and what Redis makes of it
 * when their worker is dead. */
#include "queue/journal.h"

#include "script_fixture.h"

#include "worker_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ID    "019ab4f2-7c1e-7d3a-9a53-0b7f3e6c2d11:3"
#define TOKEN "00112233445566ff:1000"

static char dir[64];

static void folder_make(void)
{
    snprintf(dir, sizeof dir, "/tmp/posthaste-journal-XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static void folder_remove(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

static unsigned file_count(void)
{
    DIR *folder = opendir(dir);
    struct dirent *entry;
    unsigned count = 0;

    while ((entry = readdir(folder)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* Of all files together. */
static off_t bytes_on_disk(void)
{
    DIR *folder = opendir(dir);
    struct dirent *entry;
    struct stat st;
    off_t bytes = 0;

    while ((entry = readdir(folder)) != NULL)
        if (fstatat(dirfd(folder), entry->d_name, &st, 0) == 0 &&
            S_ISREG(st.st_mode))
            bytes += st.st_size;
    closedir(folder);
    return bytes;
}

/* --- lines --- */

static const struct journal_entry ENTRY = {
    .id = STR(ID),
    .partition = 2,
    .token = STR(TOKEN),
    .final_route = true,
    .detail = {.code = 250,
               .enhanced_code = STR("2.0.0"),
               .response = STR("queued \"as\" 123\\"),
               .upstream = STR("relay"),
               .total_ms = 12},
};

struct entries {
    struct journal_entry last;
    size_t count;
};

static void on_entry(void *ctx, const struct journal_entry *entry)
{
    struct entries *entries = ctx;

    entries->last = *entry;
    entries->count++;
}

static void a_line_is_read_as_it_was_written(void **state)
{
    struct arena *arena = arena_create();
    struct entries entries = {0};
    struct buf out;

    (void)state;
    buf_init(&out, 65536);
    journal_write(&ENTRY, &out);
    journal_write(&ENTRY, &out);
    assert_int_equal(journal_read(buf_str(&out), arena, on_entry, &entries), 0);
    assert_int_equal(entries.count, 2);
    assert_true(str_eq(entries.last.id, ENTRY.id));
    assert_int_equal(entries.last.partition, 2);
    assert_true(str_eq(entries.last.token, ENTRY.token));
    assert_true(entries.last.final_route);
    assert_int_equal(entries.last.detail.code, 250);
    assert_true(str_eq(entries.last.detail.response, ENTRY.detail.response));
    assert_int_equal(entries.last.detail.total_ms, 12);
    buf_finish(&out);
    arena_destroy(&arena);
}

/* A line with a checksum that fits. */
static void add_line(struct buf *out, const char *text)
{
    buf_addf(out, "%08x %s\n", secret_crc32(str_of(text)), text);
}

static void what_is_no_line_is_counted(void **state)
{
    static const char *const BAD[] = {
        "",
        "[]",
        "{}",
        "[\"" ID "\",0,\"" TOKEN "\",0]",
        "[\"" ID "\",0,\"" TOKEN "\",2,{\"c\":250}]",
        "[\"" ID "\",0,\"" TOKEN "\",0,{\"c\":450}]",
        "[\"" ID "\",0,\"" TOKEN "\",0,{}]",
        "[\"" ID "\",0,\"" TOKEN "\",0,{\"c\":250},1]",
        "[\"" ID "\",-1,\"" TOKEN "\",0,{\"c\":250}]",
        "[\"" ID "\",1024,\"" TOKEN "\",0,{\"c\":250}]",
        "[\"" ID "x\",0,\"" TOKEN "\",0,{\"c\":250}]",
        "[\"nothing:0\",0,\"" TOKEN "\",0,{\"c\":250}]",
        "[\"019ab4f2-7c1e-7d3a-9a53-0b7f3e6c2d11\",0,\"" TOKEN
        "\",0,{\"c\":250}]",
        "[\"" ID "\",0,\"00112233445566FF:1\",0,{\"c\":250}]",
        "[\"" ID "\",0,\"00112233445566ff:\",0,{\"c\":250}]",
        "[\"" ID "\",0,\"00112233445566ff\",0,{\"c\":250}]",
    };
    struct arena *arena = arena_create();
    struct entries entries = {0};
    struct buf out;

    (void)state;
    buf_init(&out, 65536);
    for (size_t i = 0; i < COUNT_OF(BAD); i++)
        add_line(&out, BAD[i]);
    assert_int_equal(journal_read(buf_str(&out), arena, on_entry, &entries),
                     COUNT_OF(BAD));
    assert_int_equal(entries.count, 0);
    buf_clear(&out);
    journal_write(&ENTRY, &out);
    out.data[20] ^= 1; /* the disk says something else */
    journal_write(&ENTRY, &out);
    journal_write(&ENTRY, &out);
    buf_truncate(&out, out.len - 1); /* cut short */
    assert_int_equal(journal_read(buf_str(&out), arena, on_entry, &entries), 2);
    assert_int_equal(entries.count, 1);
    buf_finish(&out);
    arena_destroy(&arena);
}

/* --- the folder --- */

static void a_folder_that_is_not_fit_is_told(void **state)
{
    char path[128];
    struct error err;

    (void)state;
    folder_make();
    snprintf(path, sizeof path, "%s/fresh", dir);
    assert_true(journal_check_dir(path, &err)); /* it is made */
    assert_int_equal(chmod(path, 0777), 0);
    assert_false(journal_check_dir(path, &err));
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_non_null(strstr(err.text, "others may write to it"));
    snprintf(path, sizeof path, "%s/missing/deep", dir);
    assert_null(journal_open(path, &err));
    assert_non_null(strstr(err.text, "No such file or directory"));
    snprintf(path, sizeof path, "%s/plain", dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_false(journal_check_dir(path, &err));
    assert_non_null(strstr(err.text, "not a folder"));
    folder_remove();
}

static void files_stay_small(void **state)
{
    struct journal *journal;
    struct error err;
    unsigned in[64];

    (void)state;
    folder_make();
    journal = journal_open(dir, &err);
    assert_non_null(journal);
    assert_int_equal(file_count(), 2);
    /* 64 are always under way, so no file is ever empty by itself. */
    for (unsigned i = 0; i < 64; i++)
        in[i] = journal_append(journal, &ENTRY);
    for (unsigned i = 0; i < 40000; i++) {
        journal_taken(journal, in[i % 64]);
        in[i % 64] = journal_append(journal, &ENTRY);
    }
    assert_in_range(bytes_on_disk(), 1, 3 << 20);
    for (unsigned i = 0; i < 64; i++)
        journal_taken(journal, in[i]);
    journal_close(&journal);
    assert_int_equal(file_count(), 0);
    folder_remove();
}

static void what_redis_lacks_outlives_its_worker(void **state)
{
    struct journal *journal;
    struct error err;

    (void)state;
    folder_make();
    journal = journal_open(dir, &err);
    assert_false(queue_journal_is_due(dir)); /* somebody lives behind it */
    journal_append(journal, &ENTRY);
    journal_close(&journal);
    assert_int_equal(file_count(), 1);
    assert_true(queue_journal_is_due(dir));
    folder_remove();
}

/* --- replay --- */

static char email[64];
static char id[80];
static char token[64];
static unsigned partition; /* that the journal names */

static void on_replayed(void *ctx, bool ok)
{
    *(int *)ctx = ok ? 1 : -1;
}

static int replay(struct world *world)
{
    int result = 0;

    queue_journal_replay(world->queue, dir, on_replayed, &result);
    assert_int_equal(result, 0);
    until(world->loop, result != 0);
    return result;
}

/* A mail that is marked, and whose worker is gone; its 250 is in the journal
 * of a process that is dead by now. */
static void die_behind_the_reply(struct world *world,
                                 enum on_unknown on_unknown)
{
    struct mail mail = {.on_unknown = on_unknown};
    pid_t pid;

    mail_store(world, &mail);
    snprintf(email, sizeof email, "%s", mail.id.text);
    snprintf(id, sizeof id, "%s:0", email);
    do_register(world, "00000000000000e1", "", NULL, NULL);
    do_claim(world, "00000000000000e1", "main", 1);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
    assert_true(do_mark(world, "00000000000000e1", id, token));
    pid = fork();
    if (pid == 0) {
        struct journal_entry entry = ENTRY;
        struct error err;
        struct journal *journal = journal_open(dir, &err);

        entry.id = str_of(id);
        entry.partition = partition;
        entry.token = str_of(token);
        entry.final_route = false;
        journal_append(journal, &entry);
        _exit(137);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_marked_mail_is_sent(void **state)
{
    struct world *world = *state;

    folder_make();
    die_behind_the_reply(world, ON_UNKNOWN_RETRY);
    do_release(world, "00000000000000e1");
    assert_int_equal(replay(world), 1);
    assert_int_equal(file_count(), 0);
    assert_non_null(
        strstr(redis_ask("GET ph:{0}:h:%s", email), "[[0,\"S\",1,1,"));
    assert_non_null(strstr(redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"),
                           "\"r\":\"queued \\\"as\\\" 123\\\\\""));
    assert_null(strstr(redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"),
                       "\"dup\":1"));
    assert_string_equal(redis_ask("EXISTS ph:{0}:own:00000000000000e1"), "0");
    folder_remove();
}

/* Taken back already, held or about to be sent again: the 250 is believed. */
static void a_late_250_is_believed(void **state)
{
    static const enum on_unknown WAYS[] = {ON_UNKNOWN_RETRY, ON_UNKNOWN_HOLD};
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(WAYS); i++) {
        folder_make();
        redis_do("FLUSHDB");
        die_behind_the_reply(world, WAYS[i]);
        redis_do("ZADD ph:{0}:workers 1 00000000000000e1");
        do_register(world, "00000000000000e2", "", NULL, NULL);
        do_turn(world, &(struct turn){.epoch = "00000000000000e2"});
        assert_string_equal(redis_ask("HGET ph:{0}:d:%s s", id),
                            i == 0 ? "q" : "h");
        assert_int_equal(replay(world), 1);
        assert_string_equal(redis_ask("EXISTS ph:{0}:d:%s ph:{0}:held", id),
                            "0");
        folder_remove();
    }
}

/* Its owner lives elsewhere than its id says. */
static void a_250_goes_where_its_mail_was_claimed(void **state)
{
    struct world *world = *state;

    folder_make();
    partition = 1;
    die_behind_the_reply(world, ON_UNKNOWN_RETRY);
    partition = 0;
    redis_do("RENAME ph:{0}:d:%s ph:{1}:d:%s", id, id);
    redis_do("RENAME ph:{0}:c:%s ph:{1}:c:%s", email, email);
    assert_int_equal(replay(world), 1);
    assert_non_null(
        strstr(redis_ask("GET ph:{1}:h:%s", email), "[[0,\"S\",1,1,"));
    folder_remove();
}

/* Somebody else has it by now, and his word counts. */
static void another_claim_fences_it(void **state)
{
    struct world *world = *state;

    folder_make();
    die_behind_the_reply(world, ON_UNKNOWN_RETRY);
    redis_do("ZADD ph:{0}:workers 1 00000000000000e1");
    do_register(world, "00000000000000e2", "", NULL, NULL);
    do_claim(world, "00000000000000e2", "main", 1);
    assert_int_equal(replay(world), 1);
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s s", id), "c");
    assert_int_equal(file_count(), 0);
    folder_remove();
}

/* What is not ours to read stays away from Redis. */
static void other_files_are_left_alone(void **state)
{
    struct world *world = *state;
    char path[160];
    char link[160];

    folder_make();
    snprintf(path, sizeof path, "%s/notes.txt", dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    snprintf(link, sizeof link, "%s/link.journal", dir);
    assert_int_equal(symlink(path, link), 0);
    snprintf(path, sizeof path, "%s/fifo.journal", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(queue_journal_is_due(dir));
    assert_int_equal(replay(world), 1);
    assert_int_equal(file_count(), 3);
    folder_remove();
}

static void redis_away_leaves_it_there(void **state)
{
    struct world *world = *state;

    folder_make();
    die_behind_the_reply(world, ON_UNKNOWN_RETRY);
    redis_do("CLIENT PAUSE 1500 ALL");
    assert_int_equal(replay(world), -1);
    assert_true(queue_journal_is_due(dir));
    until(world->loop, queue_is_ready(world->queue, NULL));
    assert_int_equal(replay(world), 1);
    assert_int_equal(file_count(), 0);
    folder_remove();
}

/* --- a worker with a journal --- */

static void a_worker_writes_before_it_reports(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {0};
    struct error err;
    struct journal *journal;

    folder_make();
    journal = journal_open(dir, &err);
    worker_start(&worker, world->queue, 1);
    queue_worker_journal(world->queue, journal);
    mail_store(world, &mail);
    until(world->loop, worker.held == 1);
    assert_true(worker_mark(world, &worker, 0));
    assert_int_equal(bytes_on_disk(), 0);
    worker_report(&worker, 0, OUTCOME_SENT, 0);
    assert_in_range(bytes_on_disk(), 100, 1000); /* in the call itself */
    queue_worker_stop(world->queue, on_drained, &worker);
    until(world->loop, worker.drained > 0);
    queue_close(&world->queue);
    assert_int_equal(file_count(), 0);
    world->queue = queue_open(world->loop, &fixture.config, NULL);
    folder_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_read_as_it_was_written),
        cmocka_unit_test(what_is_no_line_is_counted),
        cmocka_unit_test(a_folder_that_is_not_fit_is_told),
        cmocka_unit_test(files_stay_small),
        cmocka_unit_test(what_redis_lacks_outlives_its_worker),
        WORLD_TEST(a_marked_mail_is_sent),
        WORLD_TEST(a_late_250_is_believed),
        WORLD_TEST(a_250_goes_where_its_mail_was_claimed),
        WORLD_TEST(another_claim_fences_it),
        WORLD_TEST(other_files_are_left_alone),
        WORLD_TEST(redis_away_leaves_it_there),
        WORLD_TEST(a_worker_writes_before_it_reports),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
