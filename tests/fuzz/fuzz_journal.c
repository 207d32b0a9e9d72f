/* A file in worker.state_dir is read as if a stranger had written it. */
#include "queue/journal.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A checksum is hard to guess, so the fuzzer's lines are given one. */
static void add_lines(struct str bytes, struct buf *out)
{
    struct str line;

    while (str_cut(&bytes, '\n', &line)) {
        buf_addf(out, "%08x ", secret_crc32(line));
        buf_add(out, line);
        buf_add_char(out, '\n');
    }
}

/* What was read is written and read again as the same. */
static void on_entry(void *ctx, const struct journal_entry *entry)
{
    struct buf *out = ctx;

    journal_write(entry, out);
}

static void read_all(struct str bytes, struct buf *out)
{
    struct arena *arena = arena_create();

    journal_read(bytes, arena, on_entry, out);
    CHECK(!out->full);
    arena_destroy(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_make(data, size);
    struct buf lines;
    struct buf once;
    struct buf twice;

    buf_init(&lines, 16 << 20);
    buf_init(&once, 16 << 20);
    buf_init(&twice, 16 << 20);
    read_all(bytes, &once);
    buf_clear(&once);
    add_lines(bytes, &lines);
    read_all(buf_str(&lines), &once);
    read_all(buf_str(&once), &twice);
    CHECK(str_eq(buf_str(&once), buf_str(&twice)));
    buf_finish(&lines);
    buf_finish(&once);
    buf_finish(&twice);
    return 0;
}
