/* log.h - one line per change that an operator would ask about.
 *
 * A line is an event of log.def with fields: JSON when standard error is not
 * a terminal (or log.format says so), "event key=value" text on one. The
 * identity comes first, units are in the keys. Renaming an event or a field
 * is a change of contract. Writing never blocks: a line that standard error
 * does not take at once is dropped and counted (posthaste_log_dropped_total),
 * and the count is told with the next line that goes through, as
 * log_dropped. A line has at most 4 KiB: values are cut at 1 KiB, fields that
 * do not fit are left out, and the line then says truncated.
 *
 * Never put a code, a body, a key or a password into a field; addresses go
 * in by log_address, which masks them.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "server/base/check.h"
#include "server/base/error.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_AUTO, LOG_TEXT, LOG_JSON };

enum log_event {
#define LOG_EVENT(id, name, text) LOG_##id,
#include "server/base/log.def"
#undef LOG_EVENT
    LOG_EVENT_COUNT
};

struct log_field {
    const char *key; /* NULL: left out */
    enum { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_ADDRESS } kind;
    struct str text;
    int64_t number;
};

struct log_field log_str(const char *key, struct str value);
struct log_field log_cstr(const char *key, const char *value);
struct log_field log_int(const char *key, int64_t value);
struct log_field log_address(const char *key, struct str address);
/* error=...; left out when err is NULL or no error. */
struct log_field log_error(const struct error *err);

/* log_write(LOG_INFO, LOG_SMTP_REJECTED, log_str("job", id), ...); */
#define log_write(level, event, ...)                                           \
    log_write_fields(level, event, (const struct log_field[]){__VA_ARGS__},    \
                     sizeof((const struct log_field[]){__VA_ARGS__}) /         \
                         sizeof(struct log_field))
void log_write_fields(enum log_level level, enum log_event event,
                      const struct log_field *fields, size_t count);

/* Once per process, and again in a child that has a role of its own. role
 * ("api", "worker", ...) and the process id are put into every line. */
void log_setup(enum log_level level, enum log_format format, const char *role);

/* a***@example.net; what is no address becomes ***. */
enum { LOG_ADDRESS_SIZE = 400 };
struct str log_mask_address(struct str address, char out[LOG_ADDRESS_SIZE]);

#endif
