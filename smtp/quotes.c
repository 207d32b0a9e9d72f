#include "smtp/quotes.h"

#include "server/base/codec.h"
#include "server/base/mask.h"
#include "server/base/secret.h"

enum { LOGIN_SIZE_MAX = 4096, LETTERS = 8 };

/* Its end depends on what a server leaves of it. */
static void encode(struct str secret, struct buf *out)
{
    codec_base64_add(out, secret);
    while (str_ends(buf_str(out), S("=")))
        buf_truncate(out, out->len - 1);
}

void quotes_init(struct quotes *quotes, const struct auth_login *login)
{
    struct buf pair;

    *quotes = (struct quotes){.password = login->password};
    buf_init(&quotes->encoded, 2 * LOGIN_SIZE_MAX);
    buf_init(&quotes->plain, 2 * LOGIN_SIZE_MAX);
    if (login->password.len == 0)
        return;
    buf_init(&pair, LOGIN_SIZE_MAX);
    auth_add_pair(login, &pair);
    encode(login->password, &quotes->encoded);
    encode(buf_str(&pair), &quotes->plain);
    if (pair.data != NULL)
        secret_wipe(pair.data, pair.cap);
    buf_finish(&pair);
}

static void forget(struct buf *secret)
{
    if (secret->data != NULL)
        secret_wipe(secret->data, secret->cap);
    buf_finish(secret);
}

void quotes_finish(struct quotes *quotes)
{
    forget(&quotes->encoded);
    forget(&quotes->plain);
    quotes->password = S("");
}

static struct str head_of(const struct buf *encoded)
{
    return str_slice(buf_str(encoded), 0,
                     encoded->len < LETTERS ? encoded->len : LETTERS);
}

static bool is_in(struct str words, struct str quote)
{
    return quote.len >= QUOTES_MIN && str_contains(words, quote);
}

bool quotes_are_in(const struct quotes *quotes, struct str words)
{
    return quotes->password.len > 0 &&
           (is_in(words, quotes->password) ||
            is_in(words, head_of(&quotes->encoded)) ||
            is_in(words, head_of(&quotes->plain)));
}

/* How much of the front of words is of that base64; 0: it is another word. */
static size_t encoded_len(struct str words, const struct buf *encoded)
{
    struct str head = head_of(encoded);
    size_t len = head.len;

    if (head.len < QUOTES_MIN || !str_starts(words, head))
        return 0;
    while (len < words.len && (ascii_is_alnum(words.ptr[len]) ||
                               str_index(S("+/="), words.ptr[len], 0) >= 0))
        len++;
    return len;
}

static size_t quote_len(const struct quotes *quotes, struct str words)
{
    size_t len = encoded_len(words, &quotes->plain);

    if (len == 0)
        len = encoded_len(words, &quotes->encoded);
    if (len == 0 && quotes->password.len >= QUOTES_MIN &&
        str_starts(words, quotes->password))
        len = quotes->password.len;
    return len;
}

void quotes_hide(const struct quotes *quotes, struct str words, struct buf *out)
{
    while (words.len > 0) {
        size_t len = quote_len(quotes, words);

        if (len > 0)
            mask_add_dots(out);
        else
            buf_add_char(out, words.ptr[0]);
        words = str_from(words, len > 0 ? len : 1);
    }
}
