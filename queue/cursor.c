#include "queue/cursor.h"

#include "server/base/codec.h"
#include "server/base/secret.h"

#include <inttypes.h>
#include <stdint.h>
#include <string.h>

/* Two numbers of eight bytes, then the check. */
enum { PLACE_SIZE = 16, CHECK_SIZE = 8, SIZE = PLACE_SIZE + CHECK_SIZE };

static void add_check(struct str owner, unsigned char bytes[SIZE])
{
    unsigned char hash[SHA256_SIZE];
    struct buf text;

    buf_init(&text, 1024);
    buf_add_cstr(&text, "cursor ");
    buf_add(&text, str_make((const char *)bytes, PLACE_SIZE));
    buf_add(&text, owner);
    secret_sha256(buf_str(&text), hash);
    buf_finish(&text);
    memcpy(bytes + PLACE_SIZE, hash, CHECK_SIZE);
}

static void put_number(unsigned char *out, uint64_t number)
{
    for (int i = 0; i < 8; i++)
        out[i] = (unsigned char)(number >> (56 - 8 * i));
}

static uint64_t get_number(const unsigned char *bytes)
{
    uint64_t number = 0;

    for (int i = 0; i < 8; i++)
        number = number << 8 | bytes[i];
    return number;
}

void cursor_write(struct str owner, struct str place, struct buf *out)
{
    unsigned char bytes[SIZE];
    struct str ms;
    uint64_t numbers[2];

    CHECK(str_cut(&place, '-', &ms));
    CHECK(str_to_u64(ms, &numbers[0]) && str_to_u64(place, &numbers[1]));
    put_number(bytes, numbers[0]);
    put_number(bytes + 8, numbers[1]);
    add_check(owner, bytes);
    codec_base64url_add(out, str_make((const char *)bytes, SIZE));
}

bool cursor_read(struct str owner, struct str cursor, struct buf *out)
{
    unsigned char bytes[SIZE];
    struct buf decoded;
    bool good;

    buf_init(&decoded, SIZE);
    good = cursor.len == CURSOR_LEN &&
           codec_base64url_decode(cursor, &decoded) && decoded.len == SIZE;
    if (good) {
        memcpy(bytes, decoded.data, SIZE);
        add_check(owner, bytes);
        good = memcmp(bytes, decoded.data, SIZE) == 0;
    }
    if (good)
        buf_addf(out, "%" PRIu64 "-%" PRIu64, get_number(bytes),
                 get_number(bytes + 8));
    buf_finish(&decoded);
    return good;
}
