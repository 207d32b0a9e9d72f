/* Html to text: never fails, keeps to UTF-8 and to its bound. */
#include "server/base/codec.h"
#include "smtp/message/html_text.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out;

    buf_init(&out, HTML_TEXT_GROWTH_MAX * size);
    html_text_add(&out, str_make(data, size));
    CHECK(!out.full && utf8_is_valid(buf_str(&out)));
    for (size_t i = 0; i < out.len; i++)
        CHECK(out.data[i] == '\n' || out.data[i] == '\t' ||
              (unsigned char)out.data[i] >= ' ');
    buf_finish(&out);
    return 0;
}
