#include "api/api.h"

#include "server/base/random.h"
#include "server/base/secret.h"

#include <string.h>

enum { SECRET_SIZE = 32, SECRET_CHARS = 52, SUM_SIZE = 4, SUM_CHARS = 7 };

static const char LIVE[] = "ph_live_";
/* Crockford's: without i, l, o, u. */
static const char ALPHABET[] = "0123456789abcdefghjkmnpqrstvwxyz";

/* Most significant bits first; the last character is filled up with zeros. */
static void add_base32(char *out, const unsigned char *bytes, size_t count)
{
    unsigned bits = 0;
    unsigned held = 0;

    for (size_t i = 0; i < count; i++) {
        bits = bits << 8 | bytes[i];
        for (held += 8; held >= 5; held -= 5)
            *out++ = ALPHABET[bits >> (held - 5) & 31];
        bits &= (1u << held) - 1;
    }
    if (held > 0)
        *out = ALPHABET[bits << (5 - held) & 31];
}

static void add_sum(char *out, struct str before)
{
    uint32_t crc = secret_crc32(before);
    unsigned char bytes[SUM_SIZE] = {
        (unsigned char)(crc >> 24), (unsigned char)(crc >> 16),
        (unsigned char)(crc >> 8), (unsigned char)crc};

    add_base32(out, bytes, SUM_SIZE);
}

void api_token_create(char token[API_TOKEN_SIZE])
{
    unsigned char secret[SECRET_SIZE];
    size_t len = sizeof LIVE - 1;

    random_bytes(secret, sizeof secret);
    memcpy(token, LIVE, len);
    add_base32(token + len, secret, sizeof secret);
    len += SECRET_CHARS;
    add_sum(token + len, str_make(token, len));
    token[len + SUM_CHARS] = '\0';
    secret_wipe(secret, sizeof secret);
}

bool api_token_is_sound(struct str token)
{
    char sum[SUM_CHARS];
    size_t len = sizeof LIVE - 1 + SECRET_CHARS;

    if (token.len != len + SUM_CHARS || !str_starts(token, str_of(LIVE)))
        return false;
    for (size_t i = sizeof LIVE - 1; i < token.len; i++)
        if (memchr(ALPHABET, token.ptr[i], sizeof ALPHABET - 1) == NULL)
            return false;
    add_sum(sum, str_slice(token, 0, len));
    return str_eq(str_from(token, len), str_make(sum, SUM_CHARS));
}
