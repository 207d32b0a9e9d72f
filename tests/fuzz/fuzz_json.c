/* Any bytes as JSON: what is read is written, and reads as the same again.
 * What the quick reader takes, the library reads as the same. */
#include "server/base/json.h"
#include "server/base/json_quick.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 64 * 1024, OUT_MAX = 1024 * 1024 };

/* Within a list that the quick reader leaves to the library. */
static struct json *by_library(struct str text, struct error *err)
{
    struct json *root;
    struct buf buf;

    buf_init(&buf, OUT_MAX);
    buf_add_cstr(&buf, "[0.5,");
    buf_add(&buf, text);
    buf_add_cstr(&buf, "]");
    root = json_parse(buf_str(&buf), err);
    buf_finish(&buf);
    return root;
}

static void compare_readers(struct str text)
{
    struct json *quick = json_quick(text);
    struct error err = {0};
    struct json *root;
    struct buf ours;
    struct buf theirs;

    if (quick == NULL)
        return;
    root = by_library(text, &err);
    /* The list is one level more. */
    CHECK(json_count(root) == 2 ||
          str_find(str_of(err.text), S("nested too deep"), 0) >= 0);
    buf_init(&ours, OUT_MAX);
    buf_init(&theirs, OUT_MAX);
    json_dump(quick, &ours);
    json_dump(json_at(root, 1), &theirs);
    CHECK(root == NULL || str_eq(buf_str(&ours), buf_str(&theirs)));
    json_destroy(&quick);
    json_destroy(&root);
    buf_finish(&ours);
    buf_finish(&theirs);
}

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
    compare_readers(str_make(data, size));
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
