#include "server/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_STEP = 4096 };

static void refuse(struct error *err, const char *path)
{
    error_set(err, ERR_CONFIG, "%s: %s", path, strerror(errno));
}

static bool is_folder(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Until the end of the file. False: errno says why. */
static bool read_all(int fd, struct buf *out)
{
    char chunk[READ_STEP];

    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);

        if (got == 0)
            return true;
        if (got > 0)
            buf_add(out, str_make(chunk, (size_t)got));
        else if (errno != EINTR)
            return false;
        if (out->full) {
            errno = EFBIG;
            return false;
        }
    }
}

bool file_read(const char *path, struct buf *out, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok;

    if (fd < 0) {
        refuse(err, path);
        return false;
    }
    if (is_folder(fd)) {
        errno = EISDIR;
        ok = false;
    } else {
        ok = read_all(fd, out);
    }
    if (!ok)
        refuse(err, path);
    close(fd);
    return ok;
}

static int is_in_sight(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int compare_entries(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

bool file_is_folder(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

bool file_names(const char *folder, struct arena *arena, const char ***names,
                size_t *count, struct error *err)
{
    struct dirent **entries = NULL;
    int found = scandir(folder, &entries, is_in_sight, compare_entries);

    *count = 0;
    if (found < 0 && errno == ENOENT)
        return true;
    if (found < 0) {
        refuse(err, folder);
        return false;
    }
    *names = ARENA_ARRAY(arena, const char *, (size_t)found);
    for (int i = 0; i < found; i++) {
        (*names)[(*count)++] = arena_cstr(arena, str_of(entries[i]->d_name));
        free(entries[i]);
    }
    free(entries);
    return true;
}

bool file_folders(const char *folder, struct arena *arena, const char ***names,
                  size_t *count, struct error *err)
{
    size_t all;

    if (!file_names(folder, arena, names, &all, err))
        return false;
    *count = 0;
    for (size_t i = 0; i < all; i++)
        if (file_is_folder(
                arena_printf(arena, "%s/%s", folder, (*names)[i]).ptr))
            (*names)[(*count)++] = (*names)[i];
    return true;
}

static bool write_all(int fd, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t put = write(fd, bytes.ptr, bytes.len);

        if (put < 0 && errno != EINTR)
            return false;
        if (put > 0)
            bytes = str_from(bytes, (size_t)put);
    }
    return true;
}

bool file_create(const char *path, struct str bytes, mode_t mode,
                 struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    bool ok;

    if (fd < 0) {
        refuse(err, path);
        return false;
    }
    ok = fchmod(fd, mode) == 0 && write_all(fd, bytes) && fsync(fd) == 0;
    if (!ok) {
        refuse(err, path);
        unlink(path);
    }
    close(fd);
    return ok;
}
