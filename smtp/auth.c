#include "smtp/auth.h"

#include "server/base/codec.h"
#include "server/base/json.h"
#include "server/base/mask.h"
#include "server/base/secret.h"
#include "smtp/ehlo.h"

#include <string.h>

enum {
    /* RFC 4954 section 4: the initial response must not push the command
     * over the line's limit of RFC 5321, 512 bytes with CRLF. */
    COMMAND_MAX = 512 - 2,
    SAID_MAX = 32 * 1024,  /* the longest name, with every comma as three */
    CHALLENGE_MAX = 12288, /* RFC 4954 section 4 */
};

/* What mechanisms share that differ in a hash or a name alone. */
struct family {
    bool shows_secret;
    bool takes_token; /* and no password */
    bool proves;      /* the server must show that it knows the password */
    /* Adds the first response; NULL: the server talks first. */
    void (*add_first)(struct auth_exchange *exchange, struct buf *out);
    /* Takes the challenges behind it. */
    enum auth_turn (*answer)(struct auth_exchange *exchange,
                             struct str challenge, struct buf *out);
};

struct auth_mechanism {
    const char *name;
    const struct family *family;
    enum config_auth auth; /* what asks for it, beside auto */
    unsigned offer;
    enum secret_hash hash; /* of SCRAM */
    bool is_bound;         /* to the channel */
};

static enum auth_turn get_stuck(struct auth_exchange *exchange, const char *why)
{
    exchange->why = why;
    return AUTH_STUCK;
}

static enum auth_turn answer_none(struct auth_exchange *exchange,
                                  struct str challenge, struct buf *out)
{
    (void)challenge;
    (void)out;
    return get_stuck(exchange,
                     "the AUTH challenge of the server cannot be answered");
}

void auth_add_pair(const struct auth_login *login, struct buf *out)
{
    buf_add_char(out, '\0');
    buf_add(out, login->username);
    buf_add_char(out, '\0');
    buf_add(out, login->password);
}

static void add_plain(struct auth_exchange *exchange, struct buf *out)
{
    auth_add_pair(exchange->login, out);
}

static enum auth_turn answer_login(struct auth_exchange *exchange,
                                   struct str challenge, struct buf *out)
{
    if (exchange->challenges > 1)
        return answer_none(exchange, challenge, out);
    buf_add(out, exchange->challenges == 0 ? exchange->login->username
                                           : exchange->login->password);
    return AUTH_ANSWERED;
}

static enum auth_turn answer_cram_md5(struct auth_exchange *exchange,
                                      struct str challenge, struct buf *out)
{
    unsigned char digest[MD5_SIZE];

    if (exchange->challenges > 0 || challenge.len == 0)
        return answer_none(exchange, challenge, out);
    secret_hmac_md5(exchange->login->password, challenge, digest);
    buf_add(out, exchange->login->username);
    buf_add_char(out, ' ');
    codec_hex_add(out, str_make(digest, sizeof digest));
    return AUTH_ANSWERED;
}

/* auth_begin has made it. */
static void add_scram(struct auth_exchange *exchange, struct buf *out)
{
    scram_add_first(&exchange->scram, out);
}

static enum auth_turn end_scram(struct auth_exchange *exchange,
                                struct str challenge)
{
    switch (scram_read_last(&exchange->scram, challenge)) {
    case SCRAM_PROVED:
        exchange->is_proved = true;
        return AUTH_ANSWERED; /* by nothing */
    case SCRAM_REFUSED:
        return get_stuck(exchange, "the server refuses the SCRAM proof");
    case SCRAM_FORGED:
        break;
    }
    return AUTH_FORGED;
}

static enum auth_turn answer_scram(struct auth_exchange *exchange,
                                   struct str challenge, struct buf *out)
{
    const char *flaw;

    if (exchange->challenges == 1)
        return end_scram(exchange, challenge);
    if (exchange->challenges > 1)
        return answer_none(exchange, challenge, out);
    flaw = scram_read_first(&exchange->scram, challenge);
    return flaw == NULL ? AUTH_NEEDS_KEYS : get_stuck(exchange, flaw);
}

/* RFC 7628 section 3.1, with the GS2 header of RFC 5801 section 4: in the
 * name, a comma and an equals sign are escaped. */
static void add_oauthbearer(struct auth_exchange *exchange, struct buf *out)
{
    const struct auth_login *login = exchange->login;

    buf_add_cstr(out, login->username.len > 0 ? "n,a=" : "n,");
    scram_add_name(login->username, out);
    buf_addf(out, ",\1host=%.*s\1port=%u\1auth=Bearer ", STR_ARG(login->host),
             login->port);
    buf_add(out, login->token);
    buf_add_cstr(out, "\1\1");
}

static void add_xoauth2(struct auth_exchange *exchange, struct buf *out)
{
    buf_add_cstr(out, "user=");
    buf_add(out, exchange->login->username);
    buf_add_cstr(out, "\1auth=Bearer ");
    buf_add(out, exchange->login->token);
    buf_add_cstr(out, "\1\1");
}

/* {"status": "invalid_token", ...}, or a number. A server may quote anything
 * there, so it is cleaned and masked; what is no JSON says nothing. */
static void note_status(struct auth_exchange *exchange, struct str challenge)
{
    struct json *error = json_parse(challenge, NULL);
    struct str status = json_get_str(error, "status");
    struct buf clean;
    struct buf masked;

    buf_init(&clean, AUTH_STATUS_SIZE);
    buf_init(&masked, 8 * AUTH_STATUS_SIZE);
    utf8_clean_add(&clean, status, AUTH_STATUS_SIZE - 1);
    if (json_type_of(json_get(error, "status")) == JSON_INT)
        buf_addf(&clean, "%lld", (long long)json_get_int(error, "status"));
    mask_tokens(buf_str(&clean), &masked);
    masked.len = utf8_cut(buf_str(&masked), AUTH_STATUS_SIZE - 1);
    if (masked.len > 0)
        memcpy(exchange->status, masked.data, masked.len);
    exchange->status[masked.len] = '\0';
    buf_finish(&clean);
    buf_finish(&masked);
    json_destroy(&error);
}

/* The one challenge says why the token is not taken; the reply to the answer,
 * which says nothing, is the 535 (RFC 7628 section 3.2.3). */
static enum auth_turn answer_oauthbearer(struct auth_exchange *exchange,
                                         struct str challenge, struct buf *out)
{
    if (exchange->challenges > 0)
        return answer_none(exchange, challenge, out);
    note_status(exchange, challenge);
    buf_add_char(out, '\1');
    return AUTH_ANSWERED;
}

static enum auth_turn answer_xoauth2(struct auth_exchange *exchange,
                                     struct str challenge, struct buf *out)
{
    if (exchange->challenges > 0)
        return answer_none(exchange, challenge, out);
    note_status(exchange, challenge);
    return AUTH_ANSWERED;
}

static const struct family PLAIN = {
    .shows_secret = true,
    .add_first = add_plain,
    .answer = answer_none,
};
static const struct family LOGIN = {
    .shows_secret = true,
    .answer = answer_login,
};
static const struct family CRAM_MD5 = {.answer = answer_cram_md5};
static const struct family SCRAM = {
    .proves = true,
    .add_first = add_scram,
    .answer = answer_scram,
};
static const struct family BEARER = {
    .shows_secret = true,
    .takes_token = true,
    .add_first = add_oauthbearer,
    .answer = answer_oauthbearer,
};
static const struct family XOAUTH2 = {
    .shows_secret = true,
    .takes_token = true,
    .add_first = add_xoauth2,
    .answer = answer_xoauth2,
};

/* A token was configured for these two, of which the first is the standard.
 * Channel binding keeps out whoever sits between, so it goes next; then the
 * better hash. */
static const struct auth_mechanism BEST_FIRST[] = {
    {"OAUTHBEARER", &BEARER, AUTH_OAUTHBEARER, OFFERS_OAUTHBEARER, 0, false},
    {"XOAUTH2", &XOAUTH2, AUTH_XOAUTH2, OFFERS_XOAUTH2, 0, false},
    {"SCRAM-SHA-256-PLUS", &SCRAM, AUTH_SCRAM_SHA_256,
     OFFERS_SCRAM_SHA_256_PLUS, SECRET_SHA256, true},
    {"SCRAM-SHA-1-PLUS", &SCRAM, AUTH_SCRAM_SHA_1, OFFERS_SCRAM_SHA_1_PLUS,
     SECRET_SHA1, true},
    {"SCRAM-SHA-256", &SCRAM, AUTH_SCRAM_SHA_256, OFFERS_SCRAM_SHA_256,
     SECRET_SHA256, false},
    {"SCRAM-SHA-1", &SCRAM, AUTH_SCRAM_SHA_1, OFFERS_SCRAM_SHA_1, SECRET_SHA1,
     false},
    {"PLAIN", &PLAIN, AUTH_PLAIN, OFFERS_PLAIN, 0, false},
    {"LOGIN", &LOGIN, AUTH_LOGIN, OFFERS_LOGIN, 0, false},
    {"CRAM-MD5", &CRAM_MD5, AUTH_CRAM_MD5, OFFERS_CRAM_MD5, 0, false},
};

const char *auth_name(const struct auth_mechanism *mechanism)
{
    return mechanism->name;
}

bool auth_needs_token(const struct auth_mechanism *mechanism)
{
    return mechanism->family->takes_token;
}

static bool is_printable_ascii(struct str text)
{
    return utf8_is_ascii(text) && !str_has_control(text);
}

bool auth_fits_scram(const struct auth_login *login)
{
    return is_printable_ascii(login->username) &&
           is_printable_ascii(login->password);
}

/* Whether there is what it takes to say. XOAUTH2 has no form without a name. */
static bool has_words(const struct auth_mechanism *mechanism,
                      const struct auth_login *login)
{
    bool has_name = login->username.len > 0;

    if (mechanism->family == &SCRAM && !auth_fits_scram(login))
        return false;
    if (mechanism->family->takes_token)
        return login->has_token && (has_name || mechanism->family == &BEARER);
    return has_name && login->password.len > 0;
}

static bool may_use(const struct auth_mechanism *mechanism,
                    const struct auth_terms *terms,
                    const struct auth_login *login)
{
    if (terms->wanted != AUTH_AUTO && terms->wanted != mechanism->auth)
        return false;
    if ((terms->offered & ~terms->passed & mechanism->offer) == 0)
        return false;
    if (mechanism->is_bound && !terms->has_binding)
        return false;
    if (!has_words(mechanism, login))
        return false;
    return terms->may_show || !mechanism->family->shows_secret;
}

const struct auth_mechanism *auth_choose(const struct auth_terms *terms,
                                         const struct auth_login *login)
{
    for (size_t i = 0; i < COUNT_OF(BEST_FIRST); i++)
        if (may_use(&BEST_FIRST[i], terms, login))
            return &BEST_FIRST[i];
    return NULL;
}

static void wipe(struct buf *buf)
{
    if (buf->data != NULL)
        secret_wipe(buf->data, buf->cap);
    buf_finish(buf);
}

static size_t base64_len(size_t len)
{
    return (len + 2) / 3 * 4;
}

/* RFC 5802 section 6: "y" would be refused by a server that offers any
 * -PLUS. */
static enum scram_bound bound_of(const struct auth_mechanism *mechanism,
                                 const struct auth_terms *terms)
{
    if (mechanism->is_bound)
        return SCRAM_BOUND;
    if (!terms->has_binding || (terms->offered & OFFERS_ANY_PLUS) != 0)
        return SCRAM_UNABLE;
    return SCRAM_UNOFFERED;
}

static void say(struct auth_exchange *exchange, const struct buf *words,
                struct buf *out)
{
    size_t from = out->len;

    CHECK(!words->full);
    codec_base64_add(out, buf_str(words));
    if (out->len < from + AUTH_HEAD || exchange->head_count == AUTH_LINES_MAX)
        return;
    memcpy(exchange->heads[exchange->head_count++], out->data + from,
           AUTH_HEAD);
}

void auth_begin(struct auth_exchange *exchange,
                const struct auth_mechanism *mechanism,
                const struct auth_terms *terms, const struct auth_login *login,
                const struct tls_binding *binding, const char *nonce,
                struct buf *out)
{
    struct buf first;

    auth_finish(exchange);
    *exchange = (struct auth_exchange){
        .mechanism = mechanism,
        .login = login,
        .is_proved = !mechanism->family->proves,
    };
    if (mechanism->family == &SCRAM)
        scram_init(&exchange->scram, &(struct scram_client){
                                         .hash = mechanism->hash,
                                         .username = login->username,
                                         .bound = bound_of(mechanism, terms),
                                         .binding = binding,
                                         .nonce = nonce,
                                     });
    buf_addf(out, "AUTH %s", mechanism->name);
    buf_init(&first, SAID_MAX);
    if (mechanism->family->add_first != NULL)
        mechanism->family->add_first(exchange, &first);
    CHECK(!first.full);
    exchange->owes_first =
        str_of(mechanism->name).len + sizeof "AUTH " + base64_len(first.len) >
        COMMAND_MAX;
    if (first.len > 0 && !exchange->owes_first) {
        buf_add_char(out, ' ');
        say(exchange, &first, out);
    }
    buf_add_cstr(out, "\r\n");
    wipe(&first);
}

void auth_finish(struct auth_exchange *exchange)
{
    secret_wipe(exchange->heads, sizeof exchange->heads);
    scram_finish(&exchange->scram);
}

static enum auth_turn answer(struct auth_exchange *exchange,
                             struct str challenge, struct buf *out)
{
    const struct family *family = exchange->mechanism->family;
    enum auth_turn turn;

    if (exchange->owes_first) {
        exchange->owes_first = false;
        family->add_first(exchange, out);
        return AUTH_ANSWERED;
    }
    turn = family->answer(exchange, challenge, out);
    exchange->challenges++;
    return turn;
}

static void add_line(struct auth_exchange *exchange, const struct buf *said,
                     struct buf *out)
{
    say(exchange, said, out);
    buf_add_cstr(out, "\r\n");
}

enum auth_turn auth_answer(struct auth_exchange *exchange, struct str challenge,
                           struct buf *out)
{
    enum auth_turn turn;
    struct buf heard;
    struct buf said;

    buf_init(&heard, CHALLENGE_MAX);
    buf_init(&said, SAID_MAX);
    turn = codec_base64_decode(str_trim(challenge), &heard)
               ? answer(exchange, buf_str(&heard), &said)
               : answer_none(exchange, challenge, out);
    if (turn == AUTH_ANSWERED)
        add_line(exchange, &said, out);
    buf_finish(&heard);
    wipe(&said);
    return turn;
}

void auth_take_keys(struct auth_exchange *exchange,
                    const struct scram_keys *keys, struct buf *out)
{
    struct buf said;

    buf_init(&said, SAID_MAX);
    scram_add_proof(&exchange->scram, keys, &said);
    add_line(exchange, &said, out);
    buf_finish(&said);
}

bool auth_is_unfit(const struct auth_exchange *exchange)
{
    return exchange->mechanism->family->proves && exchange->challenges == 0;
}

unsigned auth_offer(const struct auth_mechanism *mechanism)
{
    return mechanism->offer;
}

bool auth_may_end(const struct auth_exchange *exchange)
{
    return exchange->is_proved;
}

bool auth_is_quoted(const struct auth_exchange *exchange, struct str words)
{
    const struct auth_login *login = exchange->login;

    if (login == NULL || login->password.len == 0)
        return false;
    for (unsigned i = 0; i < exchange->head_count; i++)
        if (str_contains(words, str_make(exchange->heads[i], AUTH_HEAD)))
            return true;
    return str_contains(words, login->password);
}
