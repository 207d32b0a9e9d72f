#include "server/base/id.h"

#include "server/base/clock.h"
#include "server/base/random.h"

#include <string.h>

/* Bytes: 0-5 milliseconds, 6-7 version and a 12-bit counter that rises
 * within a millisecond, 8-9 variant and partition (14 bits, the lower ten
 * used), 10-15 random. */
static struct {
    int64_t ms;
    unsigned counter;
} last;

static const char DIGITS[] = "0123456789abcdef";

static void next_time(void)
{
    int64_t now_ms = clock_shared_ms();

    if (now_ms > last.ms) {
        last.ms = now_ms;
        last.counter = 0;
    } else if (++last.counter > 0xfff) {
        last.ms++;
        last.counter = 0;
    }
}

static void format(const unsigned char bytes[16], struct id *id)
{
    char *out = id->text;

    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = DIGITS[bytes[i] >> 4];
        *out++ = DIGITS[bytes[i] & 15];
    }
    *out = '\0';
}

struct id id_new(unsigned partition)
{
    unsigned char bytes[16];
    struct id id;

    CHECK(partition <= ID_PARTITION_MAX);
    random_bytes(bytes + 8, 8);
    next_time();
    for (int i = 0; i < 6; i++)
        bytes[i] = (unsigned char)((uint64_t)last.ms >> (40 - 8 * i));
    bytes[6] = (unsigned char)(0x70 | (last.counter >> 8));
    bytes[7] = (unsigned char)last.counter;
    bytes[8] = (unsigned char)(0x80 | (bytes[8] & 0x3c) | (partition >> 8));
    bytes[9] = (unsigned char)partition;
    format(bytes, &id);
    return id;
}

struct str id_str(const struct id *id)
{
    return str_make(id->text, ID_LEN);
}

static int hex_value(char c)
{
    const char *at = c == '\0' ? NULL : strchr(DIGITS, ascii_lower(c));

    return at == NULL ? -1 : (int)(at - DIGITS);
}

bool id_parse(struct str text, struct id *id)
{
    if (text.len != ID_LEN)
        return false;
    for (size_t i = 0; i < ID_LEN; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? text.ptr[i] != '-' : hex_value(text.ptr[i]) < 0)
            return false;
        id->text[i] = ascii_lower(text.ptr[i]);
    }
    id->text[ID_LEN] = '\0';
    return true;
}

static uint64_t hex_field(const char *at, size_t digits)
{
    uint64_t value = 0;

    for (size_t i = 0; i < digits; i++)
        value = value << 4 | (uint64_t)hex_value(at[i]);
    return value;
}

unsigned id_partition(const struct id *id)
{
    return (unsigned)hex_field(id->text + 19, 4) & ID_PARTITION_MAX;
}

int64_t id_time_ms(const struct id *id)
{
    return (int64_t)(hex_field(id->text, 8) << 16 | hex_field(id->text + 9, 4));
}
