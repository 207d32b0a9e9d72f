#include "server/domain/dkim_record.h"

#include "server/domain/tags.h"

/* Some DNS panels keep what was pasted as it came out of a zone file. */
static bool is_quoted(struct str text)
{
    return str_index(text, '"', 0) >= 0 || str_contains(text, S("\\;"));
}

/* Blanks may stand within base64 (RFC 6376 section 3.2). */
static void strip(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] > ' ')
            buf_add_char(out, text.ptr[i]);
}

static void compare(struct str type, struct str found, struct str wanted,
                    struct dkim_reading *reading)
{
    struct dkim_public other;

    if (found.len == 0) {
        reading->flaw = DKIM_REVOKED;
    } else if (str_eq(found, wanted)) {
        reading->flaw = DKIM_GOOD;
    } else if (found.len < wanted.len && str_starts(wanted, found)) {
        reading->flaw = DKIM_CUT_OFF;
    } else if (dkim_public_read(type, found, &other)) {
        reading->flaw = DKIM_OTHER_KEY;
        reading->bits = other.bits;
    } else {
        reading->flaw = DKIM_BROKEN_KEY;
    }
}

static struct str value_or(const struct tags *tags, const char *name,
                           struct str otherwise)
{
    const struct str *value = tags_get(tags, name);

    return value == NULL ? otherwise : *value;
}

static void read_key(const struct tags *tags, struct str value,
                     const struct domain_key *key, struct dkim_reading *reading)
{
    struct str type = value_or(tags, "k", S("rsa"));
    struct buf found;

    buf_init(&found, value.len + 1);
    strip(value, &found);
    reading->key_chars = found.len;
    reading->detail = str_slice(value, 0, 24);
    compare(type, buf_str(&found), key->public_key, reading);
    buf_finish(&found);
    if (reading->flaw == DKIM_REVOKED ||
        str_eq(type, str_of(dkim_algorithm_name(key->algorithm))))
        return;
    reading->flaw = DKIM_OTHER_TYPE;
    reading->detail = type;
}

static void read_limits(const struct tags *tags, struct dkim_reading *reading)
{
    struct str hashes = value_or(tags, "h", S("sha256"));
    struct str services = value_or(tags, "s", S("*"));

    reading->is_testing =
        tags_has_item(value_or(tags, "t", S("")), ':', S("y"));
    if (!tags_has_item(hashes, ':', S("sha256"))) {
        reading->flaw = DKIM_NO_SHA256;
        reading->detail = hashes;
    } else if (!tags_has_item(services, ':', S("*")) &&
               !tags_has_item(services, ':', S("email"))) {
        reading->flaw = DKIM_NOT_FOR_MAIL;
        reading->detail = services;
    }
}

/* v= may be absent, but where it is it stands first and is DKIM1. */
static bool is_key(const struct tags *tags)
{
    return tags_get(tags, "v") == NULL ? tags_get(tags, "p") != NULL
                                       : tags_begin(tags, "DKIM1");
}

struct dkim_reading dkim_record_read(struct str text,
                                     const struct domain_key *key)
{
    struct dkim_reading reading = {0};
    struct tags tags;
    const struct str *p;

    if (is_quoted(text)) {
        reading.flaw = DKIM_QUOTED;
        return reading;
    }
    if (!tags_read(text, &tags)) {
        bool claims =
            tags_claim(text, "DKIM1") || str_starts(text, S("v=DKIM1"));

        reading.flaw = claims ? DKIM_MALFORMED : DKIM_NOT_A_KEY;
        reading.detail = tags.bad;
        return reading;
    }
    if (!is_key(&tags)) {
        reading.flaw = DKIM_NOT_A_KEY;
        return reading;
    }
    p = tags_get(&tags, "p");
    if (p == NULL) {
        reading.flaw = DKIM_MALFORMED;
        reading.detail = S("p=");
        return reading;
    }
    read_key(&tags, *p, key, &reading);
    if (reading.flaw == DKIM_GOOD)
        read_limits(&tags, &reading);
    return reading;
}
