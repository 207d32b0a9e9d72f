#include "smtp/auth.h"

#include "server/base/codec.h"
#include "server/base/secret.h"
#include "smtp/ehlo.h"

enum {
    /* RFC 4954 section 4: the initial response must not push the command
     * over the line's limit of RFC 5321, 512 bytes with CRLF. */
    COMMAND_MAX = 512 - 2,
    SECRET_MAX = 4096,
    CHALLENGE_MAX = 12288, /* RFC 4954 section 4 */
};

static const struct mechanism {
    enum config_auth auth;
    const char *name;
    unsigned offer;
    bool shows_password;
} BEST_FIRST[] = {
    {AUTH_PLAIN, "PLAIN", OFFERS_PLAIN, true},
    {AUTH_LOGIN, "LOGIN", OFFERS_LOGIN, true},
    {AUTH_CRAM_MD5, "CRAM-MD5", OFFERS_CRAM_MD5, false},
};

enum config_auth auth_choose(enum config_auth wanted, unsigned offered,
                             bool secured, bool in_clear)
{
    for (size_t i = 0; i < COUNT_OF(BEST_FIRST); i++) {
        const struct mechanism *it = &BEST_FIRST[i];

        if (wanted != AUTH_AUTO && wanted != it->auth)
            continue;
        if ((offered & it->offer) == 0)
            continue;
        if (secured || in_clear || !it->shows_password)
            return it->auth;
    }
    return AUTH_NONE;
}

static const char *name_of(enum config_auth mechanism)
{
    size_t i = 0;

    while (i < COUNT_OF(BEST_FIRST) && BEST_FIRST[i].auth != mechanism)
        i++;
    CHECK(i < COUNT_OF(BEST_FIRST));
    return BEST_FIRST[i].name;
}

static void wipe(struct buf *buf)
{
    if (buf->data != NULL)
        secret_wipe(buf->data, buf->cap);
    buf_finish(buf);
}

static void add_plain(const struct auth_login *login, struct buf *out)
{
    struct buf plain;

    buf_init(&plain, SECRET_MAX);
    buf_add_char(&plain, '\0');
    buf_add(&plain, login->username);
    buf_add_char(&plain, '\0');
    buf_add(&plain, login->password);
    codec_base64_add(out, buf_str(&plain));
    wipe(&plain);
}

static size_t base64_len(size_t len)
{
    return (len + 2) / 3 * 4;
}

static bool fits_command(const struct auth_login *login)
{
    return sizeof "AUTH PLAIN" +
               base64_len(login->username.len + login->password.len + 2) <=
           COMMAND_MAX;
}

void auth_add_command(enum config_auth mechanism,
                      const struct auth_login *login, struct buf *out)
{
    buf_add_cstr(out, "AUTH ");
    buf_add_cstr(out, name_of(mechanism));
    if (mechanism == AUTH_PLAIN && fits_command(login)) {
        buf_add_char(out, ' ');
        add_plain(login, out);
    }
    buf_add_cstr(out, "\r\n");
}

static void add_cram_md5(const struct auth_login *login, struct str challenge,
                         struct buf *out)
{
    unsigned char digest[MD5_SIZE];
    struct buf answer;

    secret_hmac_md5(login->password, challenge, digest);
    buf_init(&answer, SECRET_MAX);
    buf_add(&answer, login->username);
    buf_add_char(&answer, ' ');
    codec_hex_add(&answer, str_make(digest, sizeof digest));
    codec_base64_add(out, buf_str(&answer));
    wipe(&answer);
}

/* What the mechanism says to its challenge; false: it knows no such one. */
static bool add_answer(enum config_auth mechanism, unsigned number,
                       struct str challenge, const struct auth_login *login,
                       struct buf *out)
{
    if (mechanism == AUTH_PLAIN && number == 0 && !fits_command(login))
        add_plain(login, out);
    else if (mechanism == AUTH_LOGIN && number == 0)
        codec_base64_add(out, login->username);
    else if (mechanism == AUTH_LOGIN && number == 1)
        codec_base64_add(out, login->password);
    else if (mechanism == AUTH_CRAM_MD5 && number == 0 && challenge.len > 0)
        add_cram_md5(login, challenge, out);
    else
        return false;
    return true;
}

bool auth_add_answer(enum config_auth mechanism, unsigned number,
                     struct str challenge, const struct auth_login *login,
                     struct buf *out)
{
    struct buf plain;
    bool is_known;

    buf_init(&plain, CHALLENGE_MAX);
    is_known = codec_base64_decode(str_trim(challenge), &plain) &&
               !plain.full &&
               add_answer(mechanism, number, buf_str(&plain), login, out);
    buf_finish(&plain);
    if (is_known)
        buf_add_cstr(out, "\r\n");
    return is_known;
}
