#include "server/base/buf.h"

#include "server/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 128 };

void buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf){.max = max};
}

void buf_finish(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){.max = buf->max};
}

char *buf_space(struct buf *buf, size_t want)
{
    size_t cap = buf->cap == 0 ? FIRST_CAP : buf->cap;

    if (want > buf->max - buf->len) {
        buf->full = true;
        return NULL;
    }
    if (buf->len + want + 1 > buf->cap) {
        while (cap < buf->len + want + 1)
            cap *= 2;
        buf->data = xrealloc(buf->data, cap);
        buf->cap = cap;
    }
    return buf->data + buf->len;
}

void buf_grown(struct buf *buf, size_t added)
{
    CHECK(buf->len + added < buf->cap);
    buf->len += added;
    buf->data[buf->len] = '\0';
}

void buf_add(struct buf *buf, struct str bytes)
{
    char *end = buf_space(buf, bytes.len);

    if (end == NULL)
        return;
    if (bytes.len > 0)
        memcpy(end, bytes.ptr, bytes.len);
    buf_grown(buf, bytes.len);
}

void buf_add_char(struct buf *buf, char c)
{
    buf_add(buf, str_make(&c, 1));
}

void buf_add_cstr(struct buf *buf, const char *text)
{
    buf_add(buf, str_of(text));
}

void buf_addf(struct buf *buf, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    buf_vaddf(buf, format, args);
    va_end(args);
}

void buf_vaddf(struct buf *buf, const char *format, va_list args)
{
    va_list again;
    int need;
    char *end;

    va_copy(again, args);
    need = vsnprintf(NULL, 0, format, args);
    CHECK(need >= 0);
    end = buf_space(buf, (size_t)need);
    if (end != NULL) {
        vsnprintf(end, (size_t)need + 1, format, again);
        buf_grown(buf, (size_t)need);
    }
    va_end(again);
}

void buf_insert(struct buf *buf, size_t at, struct str bytes)
{
    size_t behind = buf->len - at;

    CHECK(at <= buf->len);
    if (buf_space(buf, bytes.len) == NULL || bytes.len == 0)
        return;
    memmove(buf->data + at + bytes.len, buf->data + at, behind);
    memcpy(buf->data + at, bytes.ptr, bytes.len);
    buf_grown(buf, bytes.len);
}

void buf_consume(struct buf *buf, size_t count)
{
    CHECK(count <= buf->len);
    if (count == 0)
        return;
    buf->len -= count;
    memmove(buf->data, buf->data + count, buf->len + 1);
}

void buf_truncate(struct buf *buf, size_t len)
{
    CHECK(len <= buf->len);
    if (buf->data == NULL)
        return;
    buf->len = len;
    buf->data[len] = '\0';
}

void buf_clear(struct buf *buf)
{
    buf_truncate(buf, 0);
    buf->full = false;
}

struct str buf_str(const struct buf *buf)
{
    return str_make(buf->data, buf->len);
}

char *buf_take(struct buf *buf, size_t *len)
{
    char *data = buf->data;

    if (data == NULL)
        data = xmemdup0("", 0);
    *len = buf->len;
    *buf = (struct buf){.max = buf->max};
    return data;
}
