/* The head of an API request: a target, then "name: value" a line. What is let
 * through is clean, and says in one way only where the body ends. */
#include "server/base/codec.h"
#include "server/http/head.h"
#include "server/http/path.h"
#include "server/http/peer.h"

#include <stdint.h>

enum { BODY_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_route ROUTES[] = {
    {.method = "GET", .path = "/emails"},
    {.method = "POST", .path = "/emails"},
    {.method = "GET", .path = "/emails/{id}"},
    {.method = "POST", .path = "/emails/{id}/cancel"},
};

static void check_clean(struct str text)
{
    CHECK(utf8_is_valid(text) && !str_has_control(text));
}

/* Its text is that of its segments, none of them empty. */
static void check_path(const struct path *path)
{
    size_t len = 0;

    check_clean(path->text);
    CHECK(str_starts(path->text, S("/")));
    CHECK(path->count <= PATH_SEGMENTS_MAX + 1);
    if (path->count > PATH_SEGMENTS_MAX)
        return;
    for (size_t i = 0; i < path->count; i++) {
        CHECK(path->segments[i].len > 0);
        CHECK(str_starts(str_from(path->text, len + 1), path->segments[i]));
        len += 1 + path->segments[i].len;
    }
    CHECK(path->text.len == (path->count == 0 ? 1 : len));
}

static void read_target(struct arena *arena, struct str target)
{
    struct route_match match;
    struct str decoded;
    struct path path;

    if (path_decode(arena, target, &decoded))
        check_clean(decoded);
    if (!path_parse(arena, target, &path))
        return;
    check_path(&path);
    route_find(arena, ROUTES, COUNT_OF(ROUTES), S("POST"), &path, &match);
    for (size_t i = 0; i < match.param_count; i++)
        check_clean(match.params[i]);
    CHECK(match.route == NULL || match.allow.len == 0 || path.count == 1);
}

static void check_head(const struct head *head, struct arena *arena,
                       bool is_http_1_0)
{
    struct head_verdict verdict =
        head_check(head, arena, is_http_1_0, BODY_MAX);
    bool has_encoding = head->fields[HEAD_TRANSFER_ENCODING].ptr != NULL;

    if (verdict.status != 0) {
        CHECK(verdict.status >= 400 && verdict.detail != NULL);
        return;
    }
    CHECK(verdict.is_chunked == has_encoding);
    CHECK(!verdict.is_chunked ||
          (!is_http_1_0 && head->fields[HEAD_CONTENT_LENGTH].ptr == NULL));
    CHECK(verdict.body_length <= BODY_MAX);
    for (size_t i = 0; i < HEAD_FIELD_COUNT; i++)
        CHECK(str_index(head->fields[i], '\r', 0) < 0 &&
              str_index(head->fields[i], '\0', 0) < 0);
}

/* An address, and none of a trusted proxy unless all are. */
static void check_client(struct str field)
{
    static const char *const TRUSTED[] = {"10.0.0.0/8", "2001:db8::/32"};
    struct peer_nets nets;
    struct address address;
    struct str client;

    CHECK(peer_nets_init(&nets, TRUSTED, COUNT_OF(TRUSTED), NULL));
    client = peer_forwarded(&nets, field);
    CHECK(client.len == 0 || address_parse(client, 0, &address));
    peer_nets_finish(&nets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_make(data, size);
    struct arena *arena = arena_create();
    struct head head = {.doubled = NULL};
    struct str line;

    if (str_cut(&rest, '\n', &line))
        read_target(arena, line);
    while (str_cut(&rest, '\n', &line)) {
        struct str value = line;
        struct str name;

        if (str_cut(&value, ':', &name))
            head_add(&head, arena, name, value, false);
    }
    check_head(&head, arena, size % 2 == 0);
    check_client(head.fields[HEAD_X_FORWARDED_FOR]);
    arena_destroy(&arena);
    return 0;
}
