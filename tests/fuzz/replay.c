/* Runs a fuzz target over every file of a corpus folder: a plain test. */
#include "server/base/buf.h"
#include "server/base/check.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_MAX = 1 << 20 };

static void run_file(const char *folder, const char *name)
{
    char path[4096];
    struct buf bytes;
    FILE *file;
    char *space;
    size_t got;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "rb");
    CHECK(file != NULL);
    buf_init(&bytes, FILE_MAX);
    space = buf_space(&bytes, FILE_MAX);
    CHECK(space != NULL);
    got = fread(space, 1, FILE_MAX, file);
    buf_grown(&bytes, got);
    fclose(file);
    LLVMFuzzerTestOneInput((const uint8_t *)bytes.data, bytes.len);
    buf_finish(&bytes);
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    struct dirent *entry;
    DIR *folder;

    CHECK(argc == 2);
    folder = opendir(argv[1]);
    CHECK(folder != NULL);
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        run_file(argv[1], entry->d_name);
        count++;
    }
    closedir(folder);
    printf("%u inputs\n", count);
    return count > 0 ? 0 : 1;
}
