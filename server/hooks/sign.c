#include "server/hooks/sign.h"

#include "server/base/codec.h"
#include "server/base/secret.h"

#include <inttypes.h>
#include <stdio.h>

/* Key sizes that the standard allows. */
enum { KEY_MIN = 24, KEY_MAX = 64 };

static void add_mac(struct str key, struct str id, int64_t time_s,
                    struct str body, struct buf *out)
{
    unsigned char mac[SHA256_SIZE];
    struct buf text;

    buf_init(&text, id.len + body.len + 32);
    buf_addf(&text, "%.*s.%" PRId64 ".", STR_ARG(id), time_s);
    buf_add(&text, body);
    CHECK(!text.full);
    secret_hmac_sha256(key, buf_str(&text), mac);
    buf_finish(&text);
    buf_add_cstr(out, "v1,");
    codec_base64_add(out, str_make(mac, sizeof mac));
}

bool sign_webhook(struct str secret, struct str id, int64_t time_s,
                  struct str body, struct buf *out)
{
    static const struct str prefix = STR("whsec_");
    struct buf key;
    bool good;

    if (!str_starts(secret, prefix))
        return false;
    buf_init(&key, KEY_MAX);
    good = codec_base64_decode(str_from(secret, prefix.len), &key) &&
           !key.full && key.len >= KEY_MIN;
    if (good)
        add_mac(buf_str(&key), id, time_s, body, out);
    if (key.data != NULL)
        secret_wipe(key.data, key.cap);
    buf_finish(&key);
    return good;
}

static void set_line(char line[SIGN_HEADER_MAX], const char *name,
                     const char *part, struct str value)
{
    int len = snprintf(line, SIGN_HEADER_MAX, "%s-%s: %.*s", name, part,
                       STR_ARG(value));

    CHECK(len > 0 && len < SIGN_HEADER_MAX);
}

bool sign_headers(struct str secret, struct str id, int64_t time_s,
                  struct str body, struct sign_headers *headers)
{
    static const char *const names[] = {"webhook", "svix"};
    struct buf signature;
    char seconds[24];

    buf_init(&signature, SIGN_HEADER_MAX);
    if (!sign_webhook(secret, id, time_s, body, &signature)) {
        buf_finish(&signature);
        return false;
    }
    snprintf(seconds, sizeof seconds, "%" PRId64, time_s);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        set_line(headers->lines[i * 3], names[i], "id", id);
        set_line(headers->lines[i * 3 + 1], names[i], "timestamp",
                 str_of(seconds));
        set_line(headers->lines[i * 3 + 2], names[i], "signature",
                 buf_str(&signature));
    }
    buf_finish(&signature);
    return true;
}
