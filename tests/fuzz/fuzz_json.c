/* Any bytes as JSON: what is read is written, and reads as the same again. */
#include "server/base/json.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 64 * 1024, OUT_MAX = 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct json *root;
    struct json *again;
    struct buf once;
    struct buf twice;

    if (size > TEXT_MAX)
        return 0;
    root = json_parse(str_make(data, size), &err);
    CHECK((root == NULL) == (err.kind == ERR_INPUT));
    if (root == NULL)
        return 0;
    buf_init(&once, OUT_MAX);
    buf_init(&twice, OUT_MAX);
    json_dump(root, &once);
    again = json_parse(buf_str(&once), &err);
    CHECK(again != NULL);
    json_dump(again, &twice);
    CHECK(str_eq(buf_str(&once), buf_str(&twice)));
    json_destroy(&root);
    json_destroy(&again);
    buf_finish(&once);
    buf_finish(&twice);
    return 0;
}
