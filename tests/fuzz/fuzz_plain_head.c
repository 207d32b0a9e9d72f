/* The head of a probe's request: what it says lies within the bytes, and more
 * bytes behind a whole head change nothing. */
#include "server/supervisor/plain_head.h"

#include "server/base/check.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_within(struct str part, struct str all)
{
    return part.ptr >= all.ptr && part.ptr + part.len <= all.ptr + all.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_make(data, size);
    struct plain_head head;
    struct plain_head first;
    unsigned status = plain_head_read(bytes, &head);
    unsigned before = 0;

    CHECK(status == 0 || status == 200 || status == 400 || status == 431 ||
          status == 505);
    if (status != 200)
        return 0;
    CHECK(lies_within(head.method, bytes) && head.path.ptr[0] == '/');
    CHECK(head.accept.len == 0 || lies_within(head.accept, bytes));
    for (size_t len = 0; len < size && before == 0; len++)
        before = plain_head_read(str_slice(bytes, 0, len), &first);
    if (before == 200)
        CHECK(str_eq(first.method, head.method) &&
              str_eq(first.path, head.path));
    return 0;
}
