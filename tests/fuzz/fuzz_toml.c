/* Any bytes as posthaste.toml: problems are told, or what is shown of the
 * configuration is a valid file that means the same. */
#include "server/base/config.h"
#include "server/base/json.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 64 * 1024, OUT_MAX = 16 * 1024 * 1024 };

static void check_shown(const struct config *config)
{
    struct config *again;
    struct json *root;
    struct buf shown;
    struct buf problems;

    buf_init(&shown, OUT_MAX);
    buf_init(&problems, OUT_MAX);
    config_show(config, true, &shown);
    root = json_parse(buf_str(&shown), NULL);
    CHECK(root != NULL);
    json_destroy(&root);
    buf_clear(&shown);
    config_show(config, false, &shown);
    again = config_parse(buf_str(&shown), "again", &problems);
    CHECK(again != NULL);
    CHECK(again->upstream_count == config->upstream_count);
    CHECK(again->route_count == config->route_count);
    CHECK(again->api.max_body_bytes == config->api.max_body_bytes);
    config_destroy(&again);
    buf_finish(&shown);
    buf_finish(&problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make(data, size);
    struct config *config;
    struct buf problems;

    /* No file of this machine is to be opened. */
    if (size > TEXT_MAX || str_contains(text, S("password_file")))
        return 0;
    buf_init(&problems, OUT_MAX);
    config = config_parse(text, "fuzz.toml", &problems);
    CHECK((config == NULL) == (problems.len > 0));
    if (config != NULL)
        check_shown(config);
    config_destroy(&config);
    buf_finish(&problems);
    return 0;
}
