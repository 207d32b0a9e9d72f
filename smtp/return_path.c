#include "smtp/return_path.h"

#include "server/base/codec.h"

#include <stdio.h>

enum {
    ID_HEX = 32,
    SIGNED_HEX = ID_HEX + 4, /* and the number */
    MAC_SIZE = 8,
    TOKEN_LEN = SIGNED_HEX + 2 * MAC_SIZE,
};

static const char LABEL[] = "return path";

void return_path_init(struct return_path *path, const struct keyring *keyring)
{
    path->is_signed = keyring != NULL;
    if (path->is_signed)
        keyring_derive(keyring, 0, LABEL, path->key);
}

/* Adds the signature of what stands in it so far. */
static void token_sign(struct buf *token, const unsigned char key[SHA256_SIZE])
{
    unsigned char mac[SHA256_SIZE];

    secret_hmac_sha256(str_make(key, SHA256_SIZE), buf_str(token), mac);
    codec_hex_add(token, str_make(mac, MAC_SIZE));
}

static void token_make(struct buf *token, const unsigned char key[SHA256_SIZE],
                       const struct id *email, unsigned number)
{
    for (size_t i = 0; i < ID_LEN; i++)
        if (email->text[i] != '-')
            buf_add_char(token, email->text[i]);
    buf_addf(token, "%04x", number);
    token_sign(token, key);
}

struct str return_path_make(const struct return_path *path, struct str domain,
                            const struct id *email, unsigned number,
                            struct arena *arena)
{
    struct buf token;
    struct str address;

    buf_init(&token, TOKEN_LEN);
    token_make(&token, path->key, email, number);
    address = arena_printf(arena, "b+%.*s@%.*s", STR_ARG(buf_str(&token)),
                           STR_ARG(domain));
    buf_finish(&token);
    return address;
}

/* The letters of a token in lower case; false: it has not as many. */
static bool token_of(struct str text, struct buf *token)
{
    struct str local;

    text = str_trim(text);
    if (str_starts(text, S("<")))
        text = str_from(text, 1);
    if (!str_cut(&text, '@', &local) || !str_starts_nocase(local, S("b+")))
        return false;
    local = str_from(local, 2);
    for (size_t i = 0; i < local.len; i++)
        buf_add_char(token, ascii_lower(local.ptr[i]));
    return token->len == TOKEN_LEN && !token->full;
}

/* What the signed part says. */
static bool token_read(struct str text, struct id *email, unsigned *number)
{
    struct str id = str_slice(text, 0, ID_HEX);
    char dashed[ID_LEN + 1];
    struct str pair = str_slice(text, ID_HEX, SIGNED_HEX - ID_HEX);
    struct buf octets;
    bool ok;

    snprintf(dashed, sizeof dashed, "%.8s-%.4s-%.4s-%.4s-%.12s", id.ptr,
             id.ptr + 8, id.ptr + 12, id.ptr + 16, id.ptr + 20);
    buf_init(&octets, 2);
    ok = id_parse(str_of(dashed), email) && codec_hex_decode(pair, &octets);
    if (ok)
        *number = (unsigned)(unsigned char)octets.data[0] << 8 |
                  (unsigned char)octets.data[1];
    buf_finish(&octets);
    return ok;
}

/* Whether one of the keys signed it. */
static bool token_is_ours(const struct keyring *keyring, struct str text)
{
    unsigned char key[SHA256_SIZE];
    struct buf wanted;
    bool found = false;

    buf_init(&wanted, TOKEN_LEN);
    for (size_t i = 0; i < keyring_count(keyring); i++) {
        buf_clear(&wanted);
        buf_add(&wanted, str_slice(text, 0, SIGNED_HEX));
        keyring_derive(keyring, i, LABEL, key);
        token_sign(&wanted, key);
        found |= secret_equal(buf_str(&wanted), text);
    }
    secret_wipe(key, sizeof key);
    buf_finish(&wanted);
    return found;
}

bool return_path_read(const struct keyring *keyring, struct str text,
                      struct id *email, unsigned *number)
{
    struct buf token;
    bool ok;

    buf_init(&token, TOKEN_LEN);
    ok = token_of(text, &token) && token_is_ours(keyring, buf_str(&token)) &&
         token_read(buf_str(&token), email, number);
    buf_finish(&token);
    return ok;
}
