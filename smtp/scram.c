#include "smtp/scram.h"

#include "server/base/codec.h"

#include <string.h>

enum {
    SIGNED_MAX = 32 * 1024, /* the longest name and server's message: 20 KiB */
    SERVER_NONCE_MAX = 512,
};

static struct str hash_str(enum secret_hash hash,
                           const unsigned char bytes[SECRET_HASH_MAX])
{
    return str_make(bytes, secret_hash_size(hash));
}

bool scram_recipe_eq(const struct scram_recipe *a, const struct scram_recipe *b)
{
    return a->hash == b->hash && a->iterations == b->iterations &&
           str_eq(str_make(a->salt, a->salt_len),
                  str_make(b->salt, b->salt_len));
}

void scram_derive(const struct scram_recipe *recipe, struct str password,
                  struct scram_keys *keys)
{
    unsigned char salted[SECRET_HASH_MAX];

    secret_pbkdf2(recipe->hash, password,
                  str_make(recipe->salt, recipe->salt_len), recipe->iterations,
                  salted);
    secret_hmac(recipe->hash, hash_str(recipe->hash, salted), S("Client Key"),
                keys->client);
    secret_hmac(recipe->hash, hash_str(recipe->hash, salted), S("Server Key"),
                keys->server);
    secret_wipe(salted, sizeof salted);
}

/* The beginning of the first message, which the last one repeats. */
static void add_header(const struct scram *scram, struct buf *out)
{
    switch (scram->bound) {
    case SCRAM_UNABLE:
        buf_add_cstr(out, "n,,");
        break;
    case SCRAM_UNOFFERED:
        buf_add_cstr(out, "y,,");
        break;
    case SCRAM_BOUND:
        buf_addf(out, "p=%s,,", scram->binding.name);
        break;
    }
}

void scram_add_name(struct str name, struct buf *out)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == ',')
            buf_add_cstr(out, "=2C");
        else if (name.ptr[i] == '=')
            buf_add_cstr(out, "=3D");
        else
            buf_add_char(out, name.ptr[i]);
    }
}

void scram_init(struct scram *scram, const struct scram_client *client)
{
    *scram = (struct scram){
        .recipe = {.hash = client->hash},
        .bound = client->bound,
    };
    if (client->bound == SCRAM_BOUND)
        scram->binding = *client->binding;
    CHECK(strlen(client->nonce) < sizeof scram->nonce);
    memcpy(scram->nonce, client->nonce, strlen(client->nonce) + 1);
    buf_init(&scram->signed_text, SIGNED_MAX);
    buf_add_cstr(&scram->signed_text, "n=");
    scram_add_name(client->username, &scram->signed_text);
    buf_addf(&scram->signed_text, ",r=%s", scram->nonce);
}

/* The header is no part of what is signed. */
void scram_add_first(const struct scram *scram, struct buf *out)
{
    CHECK(scram->nonce_at == 0);
    add_header(scram, out);
    buf_add(out, buf_str(&scram->signed_text));
}

void scram_finish(struct scram *scram)
{
    buf_finish(&scram->signed_text);
    secret_wipe(scram->server_signature, sizeof scram->server_signature);
}

/* Cuts the attribute of that name off the front. */
static bool take(struct str *rest, char name, struct str *value)
{
    struct str piece;

    if (!str_cut(rest, ',', &piece) || piece.len < 2 || piece.ptr[0] != name ||
        piece.ptr[1] != '=')
        return false;
    *value = str_from(piece, 2);
    return true;
}

/* Printable, and no comma: RFC 5802 section 7. */
static bool is_printable(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '!' || text.ptr[i] > '~')
            return false;
    return true;
}

static bool read_salt(struct scram_recipe *recipe, struct str text)
{
    struct buf salt;
    bool is_read;

    buf_init(&salt, sizeof recipe->salt);
    is_read = codec_base64_decode(text, &salt) && salt.len > 0;
    if (is_read) {
        memcpy(recipe->salt, salt.data, salt.len);
        recipe->salt_len = salt.len;
    }
    buf_finish(&salt);
    return is_read;
}

static bool read_iterations(struct scram_recipe *recipe, struct str text)
{
    uint64_t count;

    if (!str_to_u64(text, &count) || count < SCRAM_ITERATIONS_MIN ||
        count > SCRAM_ITERATIONS_MAX)
        return false;
    recipe->iterations = (unsigned)count;
    return true;
}

/* Ours, and something of the server's behind it. */
static bool is_nonce(const struct scram *scram, struct str nonce)
{
    struct str ours = str_of(scram->nonce);

    return str_starts(nonce, ours) && nonce.len > ours.len &&
           nonce.len <= SERVER_NONCE_MAX && is_printable(nonce);
}

const char *scram_read_first(struct scram *scram, struct str message)
{
    struct buf *text = &scram->signed_text;
    struct str rest = message;
    struct str nonce;
    struct str salt;
    struct str iterations;

    if (!take(&rest, 'r', &nonce) || !take(&rest, 's', &salt) ||
        !take(&rest, 'i', &iterations))
        return "the SCRAM challenge of the server is not understood";
    if (!is_nonce(scram, nonce))
        return "the SCRAM challenge of the server answers another login";
    if (!read_salt(&scram->recipe, salt))
        return "the SCRAM challenge of the server has no salt";
    if (!read_iterations(&scram->recipe, iterations))
        return "the SCRAM challenge of the server asks for too few or too "
               "many iterations";
    buf_add_char(text, ',');
    scram->nonce_at = text->len + 2;
    scram->nonce_len = nonce.len;
    buf_add(text, message);
    return text->full ? "the SCRAM challenge of the server is too long" : NULL;
}

/* Adds the client's last message, but for its proof. */
static void add_unproved(const struct scram *scram, struct buf *out)
{
    struct str nonce = str_slice(buf_str(&scram->signed_text), scram->nonce_at,
                                 scram->nonce_len);
    struct buf channel;

    buf_init(&channel, sizeof "p=tls-server-end-point,," + TLS_BINDING_MAX);
    add_header(scram, &channel);
    if (scram->bound == SCRAM_BOUND)
        buf_add(&channel, str_make(scram->binding.bytes, scram->binding.len));
    buf_add_cstr(out, "c=");
    codec_base64_add(out, buf_str(&channel));
    buf_add_cstr(out, ",r=");
    buf_add(out, nonce);
    buf_finish(&channel);
}

void scram_add_proof(struct scram *scram, const struct scram_keys *keys,
                     struct buf *out)
{
    enum secret_hash hash = scram->recipe.hash;
    struct buf *text = &scram->signed_text;
    unsigned char stored[SECRET_HASH_MAX];
    unsigned char proof[SECRET_HASH_MAX];
    struct buf unproved;

    buf_init(&unproved, SIGNED_MAX);
    add_unproved(scram, &unproved);
    buf_add_char(text, ',');
    buf_add(text, buf_str(&unproved));
    CHECK(!text->full); /* SIGNED_MAX has room for it */
    secret_digest(hash, hash_str(hash, keys->client), stored);
    secret_hmac(hash, hash_str(hash, stored), buf_str(text), proof);
    for (size_t i = 0; i < secret_hash_size(hash); i++)
        proof[i] ^= keys->client[i];
    secret_hmac(hash, hash_str(hash, keys->server), buf_str(text),
                scram->server_signature);
    buf_add(out, buf_str(&unproved));
    buf_add_cstr(out, ",p=");
    codec_base64_add(out, hash_str(hash, proof));
    buf_finish(&unproved);
    secret_wipe(stored, sizeof stored);
}

enum scram_end scram_read_last(const struct scram *scram, struct str message)
{
    struct str rest = message;
    struct str value;
    struct buf signature;
    bool is_proved;

    if (str_starts(message, S("e=")))
        return SCRAM_REFUSED;
    if (!take(&rest, 'v', &value))
        return SCRAM_FORGED;
    buf_init(&signature, SECRET_HASH_MAX);
    is_proved =
        codec_base64_decode(value, &signature) &&
        secret_equal(buf_str(&signature),
                     hash_str(scram->recipe.hash, scram->server_signature));
    buf_finish(&signature);
    return is_proved ? SCRAM_PROVED : SCRAM_FORGED;
}
