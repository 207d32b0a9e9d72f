#include "smtp/token.h"

#include "server/base/codec.h"
#include "server/base/json.h"
#include "server/base/mask.h"
#include "server/base/secret.h"

enum { MARGIN_MIN_MS = 60 * 1000, REASON_MAX = 200 };

static bool take_token(struct str text, struct token *token, struct error *err)
{
    if (text.len == 0) {
        error_set(err, ERR_REMOTE, "there is no token in it");
        return false;
    }
    if (text.len > TOKEN_MAX) {
        error_set(err, ERR_REMOTE,
                  "the token has %zu bytes, and %d are the most", text.len,
                  TOKEN_MAX);
        return false;
    }
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~') {
            error_set(err, ERR_REMOTE,
                      "a token is of printable ASCII without blanks");
            return false;
        }
    buf_init(&token->text, TOKEN_MAX);
    buf_add(&token->text, text);
    return true;
}

/* A number, or its digits as text, which some servers write. */
static bool read_life(const struct json *answer, int64_t *life_s)
{
    const struct json *value = json_get(answer, "expires_in");
    uint64_t seconds = 0;

    if (json_type_of(value) == JSON_MISSING) {
        *life_s = 0;
        return true;
    }
    if (json_type_of(value) == JSON_INT && json_int(value) > 0)
        seconds = (uint64_t)json_int(value);
    else if (!str_to_u64(json_str(value), &seconds))
        return false;
    *life_s = seconds > TOKEN_LIFE_MAX_S ? TOKEN_LIFE_MAX_S : (int64_t)seconds;
    return seconds > 0;
}

/* RFC 6749 section 5.2: {"error": "invalid_grant", ...}. */
static void tell_error(struct str code, struct error *err)
{
    struct buf clean;
    struct buf masked;

    buf_init(&clean, REASON_MAX);
    buf_init(&masked, 8 * REASON_MAX);
    utf8_clean_add(&clean, code, REASON_MAX);
    mask_tokens(buf_str(&clean), &masked);
    error_set(err, ERR_REMOTE, "no token, but the error \"%.*s\"",
              STR_ARG(buf_str(&masked)));
    buf_finish(&clean);
    buf_finish(&masked);
}

static bool read_answer(const struct json *answer, struct token *token,
                        struct error *err)
{
    struct str type = json_get_str(answer, "token_type");

    if (json_type_of(answer) != JSON_MAP) {
        error_set(err, ERR_REMOTE, "that is no JSON object");
        return false;
    }
    if (json_type_of(json_get(answer, "error")) == JSON_TEXT) {
        tell_error(json_get_str(answer, "error"), err);
        return false;
    }
    if (json_type_of(json_get(answer, "access_token")) != JSON_TEXT) {
        error_set(err, ERR_REMOTE, "the JSON has no access_token");
        return false;
    }
    if (type.len > 0 && !str_eq_nocase(type, S("bearer"))) {
        error_set(err, ERR_REMOTE, "its token_type is not Bearer");
        return false;
    }
    if (!read_life(answer, &token->life_s)) {
        error_set(err, ERR_REMOTE,
                  "its expires_in is no number of seconds above 0");
        return false;
    }
    return take_token(json_get_str(answer, "access_token"), token, err);
}

static bool read_json(struct str text, struct token *token, struct error *err)
{
    struct json *answer = json_parse(text, NULL);
    bool ok = answer != NULL && read_answer(answer, token, err);

    if (answer == NULL)
        error_set(err, ERR_REMOTE, "begins with { and is no JSON");
    json_destroy(&answer);
    return ok;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct str trim(struct str text)
{
    while (text.len > 0 && is_blank(text.ptr[0]))
        text = str_from(text, 1);
    while (text.len > 0 && is_blank(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

bool token_read(struct str text, struct token *token, struct error *err)
{
    struct str inner = trim(text);

    *token = (struct token){0};
    return str_starts(inner, S("{")) ? read_json(inner, token, err)
                                     : take_token(inner, token, err);
}

void token_finish(struct token *token)
{
    if (token->text.data != NULL)
        secret_wipe(token->text.data, token->text.cap);
    buf_finish(&token->text);
    *token = (struct token){0};
}

int64_t token_refresh_ms(int64_t life_ms)
{
    int64_t margin_ms = life_ms / 10;

    if (margin_ms < MARGIN_MIN_MS)
        margin_ms = MARGIN_MIN_MS;
    if (margin_ms > life_ms / 2)
        margin_ms = life_ms / 2;
    return life_ms - margin_ms;
}
