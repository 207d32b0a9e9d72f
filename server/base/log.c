#include "server/base/log.h"

#include "server/base/clock.h"
#include "server/base/codec.h"
#include "server/base/json.h"
#include "server/base/metrics.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = PIPE_BUF, /* so much a pipe takes whole or not at all */
    TAIL_RESERVE = 96,         /* truncated, log_dropped and the closing */
    VALUE_MAX = 1024,
};

static const char *const LEVELS[] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARN] = "warn",
    [LOG_ERROR] = "error",
};

static const char *const EVENTS[] = {
#define LOG_EVENT(id, name, text) [LOG_##id] = name,
#include "server/base/log.def"
#undef LOG_EVENT
};

static struct {
    enum log_level level;
    bool as_json;
    char role[16];
    int fd;         /* -1: not opened yet */
    bool is_socket; /* of the journal: send() can be told not to wait */
    bool may_wait;  /* a pipe or terminal that was not opened anew */
    uint64_t dropped;
} logger = {.level = LOG_INFO, .fd = -1};

/* --- fields --- */

struct log_field log_str(const char *key, struct str value)
{
    return (struct log_field){key, LOG_FIELD_STR, value, 0};
}

struct log_field log_cstr(const char *key, const char *value)
{
    return log_str(value == NULL ? NULL : key, str_of(value));
}

struct log_field log_int(const char *key, int64_t value)
{
    return (struct log_field){key, LOG_FIELD_INT, str_of(""), value};
}

struct log_field log_address(const char *key, struct str address)
{
    return (struct log_field){key, LOG_FIELD_ADDRESS, address, 0};
}

struct log_field log_error(const struct error *err)
{
    if (err == NULL || err->kind == ERR_NONE)
        return log_str(NULL, str_of(""));
    return log_cstr("error", err->text);
}

struct str log_mask_address(struct str address, char out[LOG_ADDRESS_SIZE])
{
    struct str rest = address;
    uint32_t code;
    size_t first;
    ptrdiff_t at = -1;
    int len;

    for (ptrdiff_t i = 0; (i = str_index(address, '@', (size_t)i)) >= 0; i++)
        at = i;
    if (at <= 0 || !utf8_next(&rest, &code) || address.len >= LOG_ADDRESS_SIZE)
        return S("***");
    first = address.len - rest.len;
    len = snprintf(out, LOG_ADDRESS_SIZE, "%.*s***%.*s", (int)first,
                   address.ptr, STR_ARG(str_from(address, (size_t)at)));
    if (len < 0 || len >= LOG_ADDRESS_SIZE)
        return S("***");
    return str_make(out, (size_t)len);
}

/* --- one line --- */

static bool is_bare(struct str value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] == ' ' || value.ptr[i] == '"' || value.ptr[i] == '=' ||
            value.ptr[i] == '\\')
            return false;
    return value.len > 0;
}

/* json is null where text is written; so it is in the next ones. */
static void put_str(struct buf *line, struct json_out *json, const char *key,
                    struct str value)
{
    struct json_out quoted;

    if (json != NULL) {
        json_add_str(json, key, value);
        return;
    }
    buf_addf(line, " %s=", key);
    if (is_bare(value)) {
        buf_add(line, value);
    } else {
        json_out_init(&quoted, line);
        json_put_str(&quoted, value);
    }
}

static void put_int(struct buf *line, struct json_out *json, const char *key,
                    int64_t value)
{
    if (json != NULL)
        json_add_int(json, key, value);
    else
        buf_addf(line, " %s=%" PRId64, key, value);
}

static void put_field(struct buf *line, struct json_out *json,
                      const struct log_field *field)
{
    char masked[LOG_ADDRESS_SIZE];
    struct str value = field->text;
    struct buf clean;

    if (field->kind == LOG_FIELD_INT) {
        put_int(line, json, field->key, field->number);
        return;
    }
    if (field->kind == LOG_FIELD_ADDRESS)
        value = log_mask_address(value, masked);
    buf_init(&clean, VALUE_MAX);
    utf8_clean_add(&clean, value, VALUE_MAX);
    put_str(line, json, field->key, buf_str(&clean));
    buf_finish(&clean);
}

static void put_head(struct buf *line, struct json_out *json,
                     enum log_level level, enum log_event event)
{
    char ts[CLOCK_RFC3339_SIZE];

    clock_format(clock_wall_ms(), ts);
    if (json == NULL) {
        buf_addf(line, "%s %-5s %s[%d] %s", ts, LEVELS[level], logger.role,
                 (int)getpid(), EVENTS[event]);
        return;
    }
    json_open_map(json);
    json_add_cstr(json, "ts", ts);
    json_add_cstr(json, "level", LEVELS[level]);
    json_add_cstr(json, "role", logger.role);
    json_add_int(json, "pid", getpid());
    json_add_cstr(json, "event", EVENTS[event]);
}

static void put_tail(struct buf *line, struct json_out *json, bool truncated)
{
    if (truncated)
        put_int(line, json, "truncated", 1);
    if (logger.dropped > 0)
        put_int(line, json, "log_dropped", (int64_t)logger.dropped);
    if (json != NULL)
        json_close_map(json);
    buf_add_char(line, '\n');
}

static void render(struct buf *line, enum log_level level, enum log_event event,
                   const struct log_field *fields, size_t count)
{
    struct json_out writer = {0};
    struct json_out *json = logger.as_json ? &writer : NULL;
    bool truncated = false;

    json_out_init(&writer, line);
    put_head(line, json, level, event);
    for (size_t i = 0; i < count; i++) {
        struct json_out before = writer;
        size_t len = line->len;

        if (fields[i].key == NULL)
            continue;
        put_field(line, json, &fields[i]);
        if (line->full || line->len > LINE_MAX_BYTES - TAIL_RESERVE) {
            buf_truncate(line, len);
            line->full = false;
            writer = before;
            truncated = true;
        }
    }
    put_tail(line, json, truncated);
    CHECK(!line->full);
}

/* --- where it goes --- */

/* Standard error belongs to others too, so its own flags are left alone:
 * a pipe or terminal is opened a second time, without waiting. That of another
 * user may not be (nor any without /proc): it is asked before each line. A
 * regular file never makes anybody wait, and a second opening would have its
 * own position and write over what others wrote. */
static void open_sink(void)
{
    struct stat st;

    logger.fd = STDERR_FILENO;
    logger.is_socket = false;
    logger.may_wait = false;
    if (fstat(STDERR_FILENO, &st) != 0)
        return;
    logger.is_socket = S_ISSOCK(st.st_mode);
    if (!S_ISFIFO(st.st_mode) && !isatty(STDERR_FILENO))
        return;
    logger.fd =
        open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    logger.may_wait = logger.fd < 0;
    if (logger.may_wait)
        logger.fd = STDERR_FILENO;
}

/* A pipe that takes anything takes a whole line. */
static bool takes_a_line(void)
{
    struct pollfd sink = {.fd = logger.fd, .events = POLLOUT};

    return poll(&sink, 1, 0) == 1;
}

static bool emit(struct str line)
{
    ssize_t put;

    if (logger.fd < 0)
        open_sink();
    if (logger.may_wait && !takes_a_line())
        return false;
    if (logger.is_socket)
        put = send(logger.fd, line.ptr, line.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    else
        put = write(logger.fd, line.ptr, line.len);
    return put >= 0;
}

void log_write_fields(enum log_level level, enum log_event event,
                      const struct log_field *fields, size_t count)
{
    static struct buf line = {.max = LINE_MAX_BYTES};

    CHECK(event < LOG_EVENT_COUNT);
    if (level < logger.level)
        return;
    buf_clear(&line);
    render(&line, level, event, fields, count);
    if (emit(buf_str(&line))) {
        logger.dropped = 0;
        return;
    }
    logger.dropped++;
    series_add(metrics_series(METRIC_LOG_DROPPED, NULL), 1);
}

void log_setup(enum log_level level, enum log_format format, const char *role)
{
    if (logger.fd > STDERR_FILENO)
        close(logger.fd);
    open_sink();
    logger.level = level;
    logger.as_json =
        format == LOG_JSON || (format == LOG_AUTO && !isatty(STDERR_FILENO));
    snprintf(logger.role, sizeof logger.role, "%s", role);
}
