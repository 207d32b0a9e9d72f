#include "api/faults.h"

#include "server/base/buf.h"
#include "server/base/codec.h"

#include <stdarg.h>

enum { NAME_SHOWN_MAX = 64, MESSAGE_MAX = 1024 };

void faults_init(struct faults *faults, struct arena *arena)
{
    faults->arena = arena;
    faults->count = 0;
    faults->more = 0;
}

/* "/to/3/name" as "to[3].name". */
static void add_prose(struct buf *out, struct str pointer)
{
    struct str part;
    uint64_t index;
    bool is_first = true;

    pointer = str_from(pointer, 1);
    while (str_cut(&pointer, '/', &part)) {
        if (!is_first && str_to_u64(part, &index)) {
            buf_addf(out, "[%.*s]", STR_ARG(part));
            continue;
        }
        if (!is_first)
            buf_add_char(out, '.');
        is_first = false;
        for (size_t i = 0; i < part.len; i++) {
            char c = part.ptr[i];

            if (c == '~' && i + 1 < part.len)
                c = part.ptr[++i] == '1' ? '/' : '~';
            buf_add_char(out, c);
        }
    }
}

static void add(struct faults *faults, enum problem_kind kind,
                struct str pointer, const char *code, const struct buf *message)
{
    if (faults->count == FAULTS_MAX) {
        faults->more++;
        return;
    }
    faults->items[faults->count++] = (struct fault){
        .kind = kind,
        .pointer = arena_copy(faults->arena, pointer),
        .code = arena_copy(faults->arena, str_of(code)),
        .message = arena_copy(faults->arena, buf_str(message)),
    };
}

void faults_add(struct faults *faults, enum problem_kind kind,
                struct str pointer, const char *code, const char *format, ...)
{
    struct buf message;
    va_list args;

    buf_init(&message, MESSAGE_MAX);
    if (pointer.len == 0) {
        buf_add_cstr(&message, "The body");
    } else {
        buf_add_char(&message, '`');
        add_prose(&message, pointer);
        buf_add_char(&message, '`');
    }
    buf_add_char(&message, ' ');
    va_start(args, format);
    buf_vaddf(&message, format, args);
    va_end(args);
    if (!str_ends(buf_str(&message), S("?")))
        buf_add_char(&message, '.');
    add(faults, kind, pointer, code, &message);
    buf_finish(&message);
}

void faults_add_missing(struct faults *faults, struct str pointer)
{
    struct buf message;

    buf_init(&message, MESSAGE_MAX);
    buf_add_cstr(&message, "Missing `");
    add_prose(&message, pointer);
    buf_add_cstr(&message, "` field.");
    add(faults, PROBLEM_MISSING_REQUIRED_FIELD, pointer, "required", &message);
    buf_finish(&message);
}

bool faults_are_at(const struct faults *faults, const char *pointer)
{
    struct str at = str_of(pointer);

    for (size_t i = 0; i < faults->count; i++) {
        struct str rest = str_from(faults->items[i].pointer, at.len);

        if (str_starts(faults->items[i].pointer, at) &&
            (rest.len == 0 || rest.ptr[0] == '/'))
            return true;
    }
    return false;
}

struct str pointer_member(struct arena *arena, struct str base, struct str name)
{
    struct buf out;
    struct str pointer;

    name = str_slice(name, 0, utf8_cut(name, NAME_SHOWN_MAX));
    buf_init(&out, base.len + 1 + 2 * name.len);
    buf_add(&out, base);
    buf_add_char(&out, '/');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '~')
            buf_add_cstr(&out, "~0");
        else if (name.ptr[i] == '/')
            buf_add_cstr(&out, "~1");
        else
            buf_add_char(&out, name.ptr[i]);
    }
    pointer = arena_copy(arena, buf_str(&out));
    buf_finish(&out);
    return pointer;
}

struct str pointer_index(struct arena *arena, struct str base, size_t index)
{
    return arena_printf(arena, "%.*s/%zu", STR_ARG(base), index);
}
