/* What a file or a command gives for an OAuth token, and what a log shows of
 * such text. */
#include "server/base/mask.h"
#include "smtp/token.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DOTS = 18 }; /* bytes that may stand for one */

static void check_good(const struct token *token)
{
    struct str text = buf_str(&token->text);

    CHECK(text.len > 0 && text.len <= TOKEN_MAX);
    for (size_t i = 0; i < text.len; i++)
        CHECK(text.ptr[i] > ' ' && text.ptr[i] <= '~');
    CHECK(token->life_s >= 0 && token->life_s <= TOKEN_LIFE_MAX_S);
    CHECK(token->life_s == 0 ||
          (token_refresh_ms(token->life_s * 1000) > 0 &&
           token_refresh_ms(token->life_s * 1000) <= token->life_s * 1000));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make(data, size);
    struct token token;
    struct error err = {0};
    struct buf masked;

    if (token_read(text, &token, &err))
        check_good(&token);
    else
        CHECK(err.kind == ERR_REMOTE && token.text.len == 0);
    token_finish(&token);
    buf_init(&masked, size * DOTS + 1);
    mask_tokens(text, &masked);
    CHECK(!masked.full && (masked.len > 0) == (size > 0));
    buf_finish(&masked);
    return 0;
}
