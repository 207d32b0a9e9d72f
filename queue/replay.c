/* Replays what dead workers left in the journal: reads their files, tells
 * Redis, removes them. */
#include "queue/claims_core.h"
#include "queue/journal.h"
#include "server/base/list.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILES_MAX = 256,      /* at a time; the rest stay for the next */
    FILE_BYTES = 8 << 20, /* a worker's own end far below */
    BATCH = 128,
    OUT_MAX = 16 << 10,
};

/* A dead worker's file, locked by us until it is removed. */
struct dead_file {
    struct list link; /* of replay.files */
    int fd;
    char path[PATH_MAX];
};

struct replay {
    struct queue_call call;
    struct list files;
    struct journal_entry *entries; /* owned; texts in the call's arena */
    size_t count;
    size_t room;
    size_t done_count; /* that Redis was told */
    size_t file_count;
    size_t broken;
    uint64_t sent;
    void (*done)(void *ctx, bool ok);
    void *ctx;
};

static void replay_finish(struct queue_call *call)
{
    struct replay *replay = (struct replay *)call;

    list_each_safe (at, &replay->files) {
        struct dead_file *file = LIST_MEMBER(at, struct dead_file, link);

        close(file->fd);
        free(file);
    }
    free(replay->entries);
}

/* --- reading --- */

static void on_entry(void *ctx, const struct journal_entry *entry)
{
    struct replay *replay = ctx;

    if (replay->count == replay->room) {
        replay->room = replay->room == 0 ? 64 : replay->room * 2;
        replay->entries =
            xrealloc(replay->entries, replay->room * sizeof *replay->entries);
    }
    replay->entries[replay->count++] = *entry;
}

static bool read_whole(int fd, struct buf *out)
{
    char chunk[16384];
    ssize_t got;

    while ((got = read(fd, chunk, sizeof chunk)) > 0 && !out->full)
        buf_add(out, str_make(chunk, (size_t)got));
    return got == 0;
}

/* Ours, a plain file, with nobody alive behind it, and still there. */
static bool is_dead_file(int fd)
{
    struct stat st;

    return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 &&
           S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_nlink > 0;
}

static int open_dead(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0 || is_dead_file(fd))
        return fd;
    close(fd);
    return -1;
}

static void take_file(struct replay *replay, const char *path)
{
    struct dead_file *file;
    struct buf bytes;
    int fd = open_dead(path);

    if (fd < 0)
        return;
    file = xcalloc(1, sizeof *file);
    file->fd = fd;
    snprintf(file->path, sizeof file->path, "%s", path);
    list_add_last(&replay->files, &file->link);
    replay->file_count++;
    buf_init(&bytes, FILE_BYTES);
    if (!read_whole(fd, &bytes))
        log_write(LOG_ERROR, LOG_JOURNAL_FAILED, log_cstr("file", path),
                  log_cstr("error", bytes.full ? "too long" : strerror(errno)));
    replay->broken +=
        journal_read(buf_str(&bytes), replay->call.arena, on_entry, replay);
    buf_finish(&bytes);
}

static void take_files(struct replay *replay, const char *dir)
{
    DIR *folder = opendir(dir);
    struct dirent *entry;
    char path[PATH_MAX];

    if (folder == NULL)
        return;
    while ((entry = readdir(folder)) != NULL &&
           replay->file_count < FILES_MAX) {
        if (!str_ends(str_of(entry->d_name), S(".journal")))
            continue;
        if (snprintf(path, sizeof path, "%s/%s", dir, entry->d_name) <
            (int)sizeof path)
            take_file(replay, path);
    }
    closedir(folder);
}

bool queue_journal_is_due(const char *dir)
{
    DIR *folder = opendir(dir);
    struct dirent *entry;
    char path[PATH_MAX];
    bool found = false;

    if (folder == NULL)
        return false;
    while (!found && (entry = readdir(folder)) != NULL) {
        int fd = -1;

        if (str_ends(str_of(entry->d_name), S(".journal")) &&
            snprintf(path, sizeof path, "%s/%s", dir, entry->d_name) <
                (int)sizeof path)
            fd = open_dead(path);
        found = fd >= 0;
        if (found)
            close(fd);
    }
    closedir(folder);
    return found;
}

/* --- telling --- */

static void remove_files(struct replay *replay)
{
    list_each (at, &replay->files)
        unlink(LIST_MEMBER(at, struct dead_file, link)->path);
}

static void replay_end(struct replay *replay, bool ok)
{
    if (ok)
        remove_files(replay);
    if (replay->count + replay->broken > 0 || !ok)
        log_write(ok ? LOG_INFO : LOG_WARN, LOG_JOURNAL_REPLAYED,
                  log_int("files", (int64_t)replay->file_count),
                  log_int("lines", (int64_t)replay->count),
                  log_int("broken", (int64_t)replay->broken),
                  log_int("sent", (int64_t)replay->sent),
                  log_cstr("outcome", ok ? "ok" : "tried again later"));
    replay->done(replay->ctx, ok);
    queue_call_end(&replay->call);
}

static void send_batch(struct replay *replay);

static void on_batch(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct replay *replay = ctx;
    uint64_t sent;

    /* With a reply: too few replicas have it, and a failover may undo it. */
    if (why != NULL || !str_eq(reply_str(reply_at(reply, 0)), S("ok"))) {
        replay_end(replay, false);
        return;
    }
    sent = (uint64_t)reply_int(reply_at(reply, 1));
    replay->sent += sent;
    series_add(metrics_series(METRIC_JOURNAL_REPLAYED, NULL), sent);
    claims_count_events(reply_at(reply, 2));
    send_batch(replay);
}

static void add_entry(const struct journal_entry *entry,
                      struct redis_command *command)
{
    struct buf text;

    buf_init(&text, OUT_MAX);
    command_add(command, entry->id);
    command_add(command, entry->token);
    command_add_int(command, entry->final_route);
    claim_outcome_write(&entry->detail, &text);
    command_add(command, buf_str(&text));
    buf_clear(&text);
    event_detail_write(&entry->detail, &text);
    command_add(command, buf_str(&text));
    CHECK(!text.full);
    buf_finish(&text);
}

/* The next ones of one partition. */
static void send_batch(struct replay *replay)
{
    struct redis_command command;
    unsigned partition;
    size_t size = 0;

    if (replay->done_count == replay->count) {
        replay_end(replay, true);
        return;
    }
    partition = replay->entries[replay->done_count].partition;
    command_init_partition(&command, replay->call.queue, SCRIPT_REPLAY,
                           partition);
    command_add_int(&command,
                    replay->call.queue->config->privacy.keep_bodies_ms);
    for (; size < BATCH && replay->done_count < replay->count; size++) {
        const struct journal_entry *entry =
            &replay->entries[replay->done_count];

        if (entry->partition != partition)
            break;
        add_entry(entry, &command);
        replay->done_count++;
    }
    COMMAND_SENT_POINT(&command, "supervisor.replay_sent");
    redis_send(replay->call.queue->main, &command, REDIS_BUDGET_MS, on_batch,
               replay);
}

static void begin(void *call)
{
    send_batch(call);
}

void queue_journal_replay(struct queue *queue, const char *dir,
                          void (*done)(void *ctx, bool ok), void *ctx)
{
    struct replay *replay = queue_call_new(queue, sizeof *replay);

    list_init(&replay->files);
    replay->call.finish = replay_finish;
    replay->done = done;
    replay->ctx = ctx;
    take_files(replay, dir);
    queue_call_later(&replay->call, begin);
}
