#include "queue/journal.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"
#include "server/base/random.h"

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
    CRC_LEN = 8,
    TOKEN_EPOCH_LEN = 16,
    TOKEN_MAX = 40,
    NUMBER_MAX = 100000, /* recipients of one email */
    FILE_MAX = 1 << 20,  /* then the other file's turn comes */
    FILE_SMALL = 64 << 10,
    COMPLAIN_EVERY_MS = 60000,
};

/* --- writing a line --- */

static void write_entry(const struct journal_entry *entry, struct buf *out)
{
    struct json_out json;

    json_out_init(&json, out);
    json_open_list(&json);
    json_put_str(&json, entry->id);
    json_put_int(&json, entry->partition);
    json_put_str(&json, entry->token);
    json_put_int(&json, entry->final_route);
    json_open_map(&json);
    event_detail_add(&entry->detail, &json);
    json_close_map(&json);
    json_close_list(&json);
}

void journal_write(const struct journal_entry *entry, struct buf *out)
{
    struct buf text;

    buf_init(&text, JOURNAL_LINE_MAX - CRC_LEN - 2);
    write_entry(entry, &text);
    if (!text.full) {
        buf_addf(out, "%08x ", secret_crc32(buf_str(&text)));
        buf_add(out, buf_str(&text));
        buf_add_char(out, '\n');
    }
    buf_finish(&text);
}

/* --- reading lines --- */

static bool is_id(struct str text)
{
    struct str email;
    struct id id;
    uint64_t number;

    return str_cut(&text, ':', &email) && id_parse(email, &id) &&
           str_to_u64(text, &number) && number < NUMBER_MAX;
}

static bool is_token(struct str text)
{
    uint64_t number;

    if (text.len > TOKEN_MAX || text.len < TOKEN_EPOCH_LEN + 2 ||
        text.ptr[TOKEN_EPOCH_LEN] != ':')
        return false;
    for (size_t i = 0; i < TOKEN_EPOCH_LEN; i++)
        if (!ascii_is_digit(text.ptr[i]) &&
            (text.ptr[i] < 'a' || text.ptr[i] > 'f'))
            return false;
    return str_to_u64(str_from(text, TOKEN_EPOCH_LEN + 1), &number);
}

static bool read_entry(const struct json *list, struct arena *arena,
                       struct journal_entry *entry)
{
    int64_t partition = json_int(json_at(list, 1));
    int64_t final_route = json_int(json_at(list, 3));

    entry->id = arena_copy(arena, json_str(json_at(list, 0)));
    entry->partition = (unsigned)partition;
    entry->token = arena_copy(arena, json_str(json_at(list, 2)));
    entry->final_route = final_route == 1;
    event_detail_read(json_at(list, 4), arena, &entry->detail);
    return json_count(list) == 5 && is_id(entry->id) && partition >= 0 &&
           partition <= ID_PARTITION_MAX && is_token(entry->token) &&
           (final_route == 0 || final_route == 1) &&
           entry->detail.code >= 200 && entry->detail.code < 300;
}

/* The text behind the checksum; empty: it does not fit. */
static struct str checked(struct str line)
{
    struct str text = str_from(line, CRC_LEN + 1);
    char crc[CRC_LEN + 1];

    if (line.len <= CRC_LEN + 1 || line.len > JOURNAL_LINE_MAX)
        return S("");
    snprintf(crc, sizeof crc, "%08x", secret_crc32(text));
    return str_eq(str_slice(line, 0, CRC_LEN), str_of(crc)) &&
                   line.ptr[CRC_LEN] == ' '
               ? text
               : S("");
}

static bool read_line(struct str line, struct arena *arena,
                      struct journal_entry *entry)
{
    struct str text = checked(line);
    struct json *list = text.len == 0 ? NULL : json_parse(text, NULL);
    bool good = list != NULL && read_entry(list, arena, entry);

    json_destroy(&list);
    return good;
}

size_t journal_read(struct str bytes, struct arena *arena, journal_fn fn,
                    void *ctx)
{
    size_t broken = 0;

    while (bytes.len > 0) {
        ptrdiff_t end = str_index(bytes, '\n', 0);
        struct journal_entry entry = {0};

        if (end < 0)
            return broken + 1;
        if (read_line(str_slice(bytes, 0, (size_t)end), arena, &entry))
            fn(ctx, &entry);
        else
            broken++;
        bytes = str_from(bytes, (size_t)end + 1);
    }
    return broken;
}

/* --- the folder --- */

static bool refuse(struct error *err, const char *dir, const char *why)
{
    error_set(err, ERR_CONFIG,
              "worker.state_dir: %s: %s; give a folder of the worker's own, "
              "mode 0700, or leave it empty",
              dir, why);
    return false;
}

bool journal_check_dir(const char *dir, struct error *err)
{
    struct stat st;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return refuse(err, dir, strerror(errno));
    if (stat(dir, &st) != 0)
        return refuse(err, dir, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return refuse(err, dir, "not a folder");
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return refuse(err, dir, "others may write to it");
    if (access(dir, R_OK | W_OK | X_OK) != 0)
        return refuse(err, dir, strerror(errno));
    return true;
}

/* --- the files of a worker --- */

struct journal {
    struct journal_file {
        char path[PATH_MAX];
        int fd;
        off_t size;
        size_t open; /* lines that Redis has not taken */
    } files[2];
    unsigned current;
    int64_t complained_ms; /* monotonic; 0: never */
};

/* Locked before it has its name, so that nobody takes it for a dead one's. */
static bool file_open(struct journal_file *file, const char *dir,
                      const char *name, unsigned n)
{
    char fresh[PATH_MAX + 8];

    snprintf(file->path, sizeof file->path, "%s/%s.%u.journal", dir, name, n);
    snprintf(fresh, sizeof fresh, "%s.new", file->path);
    file->fd = open(
        fresh, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
        0600);
    return file->fd >= 0 && flock(file->fd, LOCK_EX | LOCK_NB) == 0 &&
           rename(fresh, file->path) == 0;
}

struct journal *journal_open(const char *dir, struct error *err)
{
    struct journal *journal;
    uint64_t random;
    char name[17];

    if (!journal_check_dir(dir, err))
        return NULL;
    if (strlen(dir) > PATH_MAX - 64) {
        (void)refuse(err, dir, "the name is too long");
        return NULL;
    }
    random_bytes(&random, sizeof random);
    snprintf(name, sizeof name, "%016llx", (unsigned long long)random);
    journal = xcalloc(1, sizeof *journal);
    journal->files[0].fd = journal->files[1].fd = -1;
    for (unsigned i = 0; i < 2; i++) {
        if (!file_open(&journal->files[i], dir, name, i)) {
            (void)refuse(err, dir, strerror(errno));
            journal_close(&journal);
            return NULL;
        }
    }
    return journal;
}

void journal_close(struct journal **ptr)
{
    struct journal *journal = *ptr;

    *ptr = NULL;
    if (journal == NULL)
        return;
    for (unsigned i = 0; i < 2; i++) {
        struct journal_file *file = &journal->files[i];

        if (file->fd < 0)
            continue;
        if (file->open == 0)
            unlink(file->path);
        close(file->fd);
    }
    free(journal);
}

static void complain(struct journal *journal, const char *why)
{
    const struct journal_file *file = &journal->files[journal->current];
    int64_t now_ms = clock_now_ms();

    series_add(metrics_series(METRIC_JOURNAL_ERRORS, NULL), 1);
    if (journal->complained_ms != 0 &&
        now_ms - journal->complained_ms < COMPLAIN_EVERY_MS)
        return;
    journal->complained_ms = now_ms;
    log_write(LOG_ERROR, LOG_JOURNAL_FAILED, log_cstr("file", file->path),
              log_cstr("error", why));
}

static void file_empty(struct journal_file *file)
{
    if (ftruncate(file->fd, 0) == 0)
        file->size = 0;
}

/* To the other file, once Redis has all that is in it. */
static void turn_page(struct journal *journal)
{
    struct journal_file *other = &journal->files[!journal->current];

    if (journal->files[journal->current].size < FILE_MAX || other->open > 0)
        return;
    file_empty(other);
    if (other->size == 0)
        journal->current = !journal->current;
}

/* A line that went in half is cut off again: the next one must be whole. */
static void write_line(struct journal *journal, struct str line)
{
    struct journal_file *file = &journal->files[journal->current];
    ssize_t put;

    do
        put = write(file->fd, line.ptr, line.len);
    while (put < 0 && errno == EINTR);
    if (put == (ssize_t)line.len) {
        file->size += put;
        return;
    }
    complain(journal, put < 0 ? strerror(errno) : "the disk is full");
    if (put > 0 && ftruncate(file->fd, file->size) != 0)
        file->size += put;
}

unsigned journal_append(struct journal *journal,
                        const struct journal_entry *entry)
{
    struct buf line;

    turn_page(journal);
    buf_init(&line, JOURNAL_LINE_MAX);
    journal_write(entry, &line);
    write_line(journal, buf_str(&line));
    buf_finish(&line);
    journal->files[journal->current].open++;
    return journal->current;
}

void journal_taken(struct journal *journal, unsigned n)
{
    struct journal_file *file = &journal->files[n];

    CHECK(file->open > 0);
    file->open--;
    if (file->open == 0 && file->size > FILE_SMALL)
        file_empty(file);
}
