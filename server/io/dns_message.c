#include "server/io/dns_message.h"

#include <arpa/inet.h>
#include <string.h>

enum {
    HEAD_SIZE = 12,
    CLASS_IN = 1,
    NAME_MAX_BYTES = 255,
    HOPS_MAX = 64, /* compression pointers of one name */
};

struct reading {
    struct str message;
    size_t at;
    enum dns_type type;
    struct arena *arena;
    struct dns_record *list;
    size_t bytes;
    struct dns_records *out;
};

const char *dns_type_name(enum dns_type type)
{
    switch (type) {
    case DNS_A:
        return "A";
    case DNS_CNAME:
        return "CNAME";
    case DNS_PTR:
        return "PTR";
    case DNS_MX:
        return "MX";
    case DNS_TXT:
        return "TXT";
    case DNS_AAAA:
        return "AAAA";
    }
    return "?";
}

static unsigned byte_at(struct str message, size_t at)
{
    return (unsigned char)message.ptr[at];
}

static bool has(const struct reading *reading, size_t count)
{
    return reading->message.len - reading->at >= count;
}

static unsigned take16(struct reading *reading)
{
    unsigned value = byte_at(reading->message, reading->at) << 8 |
                     byte_at(reading->message, reading->at + 1);

    reading->at += 2;
    return value;
}

static uint32_t take32(struct reading *reading)
{
    uint32_t high = take16(reading);

    return high << 16 | take16(reading);
}

static char printable(char c)
{
    return c > ' ' && c < 0x7f && c != '.' ? c : '?';
}

/* One name that begins at at: its text, and where what follows it begins.
 * Pointers may only go back, so there is no circle. */
static bool read_name(struct str message, size_t at, char text[NAME_MAX_BYTES],
                      size_t *len, size_t *end)
{
    size_t floor = at;
    unsigned hops = 0;

    *end = 0;
    *len = 0;
    while (at < message.len && byte_at(message, at) != 0) {
        unsigned size = byte_at(message, at);

        if (size >= 0xc0) {
            if (message.len - at < 2 || ++hops > HOPS_MAX)
                return false;
            if (*end == 0)
                *end = at + 2;
            at = (size - 0xc0) << 8 | byte_at(message, at + 1);
            if (at >= floor)
                return false;
            floor = at;
            continue;
        }
        if (size > 63 || message.len - at <= size ||
            *len + size + 1 > NAME_MAX_BYTES)
            return false;
        if (*len > 0)
            text[(*len)++] = '.';
        for (unsigned i = 1; i <= size; i++)
            text[(*len)++] = printable(message.ptr[at + i]);
        at += size + 1;
    }
    if (at >= message.len)
        return false;
    if (*end == 0)
        *end = at + 1;
    if (*len == 0)
        text[(*len)++] = '.';
    return true;
}

static bool skip_name(struct reading *reading)
{
    char text[NAME_MAX_BYTES];
    size_t len;

    return read_name(reading->message, reading->at, text, &len, &reading->at);
}

static bool add(struct reading *reading, struct str data, unsigned preference)
{
    struct dns_records *out = reading->out;

    if (out->count == DNS_RECORDS_MAX ||
        data.len > DNS_RECORDS_BYTES_MAX - reading->bytes) {
        out->has_more = true;
        return true;
    }
    reading->bytes += data.len;
    reading->list[out->count++] =
        (struct dns_record){arena_copy(reading->arena, data), preference};
    return true;
}

/* RFC 1035 section 3.3.14: one or more strings, each behind its length. */
static bool add_txt(struct reading *reading, struct str data)
{
    char *joined = arena_alloc(reading->arena, data.len + 1);
    size_t len = 0;

    for (size_t at = 0; at < data.len;) {
        unsigned size = byte_at(data, at++);

        if (data.len - at < size)
            return false;
        memcpy(joined + len, data.ptr + at, size);
        len += size;
        at += size;
    }
    return add(reading, str_make(joined, len), 0);
}

static bool add_address(struct reading *reading, struct str data, int family,
                        size_t size)
{
    char text[INET6_ADDRSTRLEN];

    return data.len == size &&
           inet_ntop(family, data.ptr, text, sizeof text) != NULL &&
           add(reading, str_of(text), 0);
}

/* A name may point to what stands before it in the message. */
static bool add_name(struct reading *reading, size_t at, size_t end,
                     unsigned preference)
{
    char text[NAME_MAX_BYTES];
    size_t len;
    size_t name_end;

    return read_name(reading->message, at, text, &len, &name_end) &&
           name_end == end && add(reading, str_make(text, len), preference);
}

static bool add_data(struct reading *reading, struct str data)
{
    size_t end = reading->at + data.len;

    switch (reading->type) {
    case DNS_TXT:
        return add_txt(reading, data);
    case DNS_A:
        return add_address(reading, data, AF_INET, 4);
    case DNS_AAAA:
        return add_address(reading, data, AF_INET6, 16);
    case DNS_MX:
        return data.len > 2 &&
               add_name(reading, reading->at + 2, end,
                        byte_at(data, 0) << 8 | byte_at(data, 1));
    case DNS_CNAME:
    case DNS_PTR:
        return add_name(reading, reading->at, end, 0);
    }
    return false;
}

static bool read_record(struct reading *reading)
{
    unsigned type;
    unsigned class;
    uint32_t ttl_s;
    struct str data;
    bool good = true;

    if (!skip_name(reading) || !has(reading, 10))
        return false;
    type = take16(reading);
    class = take16(reading);
    ttl_s = take32(reading);
    data.len = take16(reading);
    if (!has(reading, data.len))
        return false;
    data.ptr = reading->message.ptr + reading->at;
    if (class == CLASS_IN && type == DNS_CNAME && reading->type != DNS_CNAME)
        reading->out->is_alias = true;
    if (class == CLASS_IN && type == (unsigned)reading->type) {
        if (reading->out->count == 0 || ttl_s < reading->out->ttl_s)
            reading->out->ttl_s = ttl_s;
        good = add_data(reading, data);
    }
    reading->at += data.len;
    return good;
}

static bool skip_question(struct reading *reading)
{
    if (!skip_name(reading) || !has(reading, 4))
        return false;
    reading->at += 4;
    return true;
}

bool dns_message_read(struct str message, enum dns_type type,
                      struct arena *arena, struct dns_records *records)
{
    struct reading reading = {
        .message = message,
        .at = 4,
        .type = type,
        .arena = arena,
        .out = records,
    };
    unsigned questions;
    unsigned answers;

    *records = (struct dns_records){0};
    if (message.len < HEAD_SIZE)
        return false;
    questions = take16(&reading);
    answers = take16(&reading);
    reading.at = HEAD_SIZE;
    reading.list = ARENA_ARRAY(arena, struct dns_record, DNS_RECORDS_MAX);
    records->records = reading.list;
    while (questions-- > 0)
        if (!skip_question(&reading))
            return false;
    while (answers-- > 0)
        if (!read_record(&reading))
            return false;
    return true;
}
