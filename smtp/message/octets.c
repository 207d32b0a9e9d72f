#include "smtp/message/octets.h"

#include "server/base/mem.h"
#include "smtp/message/encode.h"

size_t octets_len(const struct octets *octets)
{
    size_t len = octets->frame.len;

    for (size_t i = 0; i < octets->file_count; i++)
        len += base64_lines_len(octets->files[i].bytes.len);
    return len;
}

bool octets_end_line(const struct octets *octets)
{
    size_t behind_files =
        octets->file_count == 0 ? 0 : octets->files[octets->file_count - 1].at;

    return str_ends(str_from(octets->frame, behind_files), S("\r\n"));
}

struct octets_run octets_run_at(const struct octets *octets, size_t at)
{
    struct octets_run run = {0};
    size_t frame_at = 0;

    for (size_t i = 0; i < octets->file_count; i++) {
        const struct octets_file *file = &octets->files[i];

        run.is_file = false;
        run.bytes = str_slice(octets->frame, frame_at, file->at - frame_at);
        run.len = run.bytes.len;
        if (at < run.from + run.len)
            return run;
        frame_at = file->at;
        run.from += run.len;
        run.is_file = true;
        run.bytes = file->bytes;
        run.len = base64_lines_len(file->bytes.len);
        if (at < run.from + run.len)
            return run;
        run.from += run.len;
    }
    run.is_file = false;
    run.bytes = str_from(octets->frame, frame_at);
    run.len = run.bytes.len;
    CHECK(at < run.from + run.len);
    return run;
}

size_t octets_add_lines(const struct octets_run *file, size_t at, size_t max,
                        struct buf *out)
{
    size_t before = out->len;
    size_t from = at / BASE64_LINE_OCTETS * BASE64_LINE_BYTES;
    size_t lines = max / BASE64_LINE_OCTETS;
    struct str bytes = str_slice(file->bytes, from,
                                 (lines > 0 ? lines : 1) * BASE64_LINE_BYTES);

    CHECK(file->is_file && at % BASE64_LINE_OCTETS == 0);
    base64_lines_add(out, bytes);
    if (from + bytes.len < file->bytes.len)
        buf_add(out, S("\r\n"));
    return out->len - before;
}
