#include "server/http/head.h"

#include <string.h>

static const struct {
    const char *name;
    bool is_list; /* may come twice, as one list (RFC 9110 section 5.3) */
} FIELDS[HEAD_FIELD_COUNT] = {
    [HTTP_ACCEPT] = {"Accept", true},
    [HTTP_AUTHORIZATION] = {"Authorization", false},
    [HTTP_IDEMPOTENCY_KEY] = {"Idempotency-Key", false},
    [HTTP_WEBHOOK_ID] = {"Webhook-Id", false},
    [HTTP_WEBHOOK_SIGNATURE] = {"Webhook-Signature", false},
    [HTTP_WEBHOOK_TIMESTAMP] = {"Webhook-Timestamp", false},
    [HEAD_CONTENT_ENCODING] = {"Content-Encoding", true},
    [HEAD_CONTENT_LENGTH] = {"Content-Length", false},
    [HEAD_CONTENT_TYPE] = {"Content-Type", false},
    [HEAD_EXPECT] = {"Expect", true},
    [HEAD_HOST] = {"Host", false},
    [HEAD_TRANSFER_ENCODING] = {"Transfer-Encoding", false},
    [HEAD_X_FORWARDED_FOR] = {"X-Forwarded-For", true},
    [HEAD_X_REQUEST_ID] = {"X-Request-Id", false},
};

static bool value_is_clean(struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* RFC 9110 section 5.6.2. */
static bool name_is_token(struct str name)
{
    static const char OTHERS[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_alnum(name.ptr[i]) &&
            memchr(OTHERS, name.ptr[i], sizeof OTHERS - 1) == NULL)
            return false;
    return name.len > 0;
}

void head_add(struct head *head, struct arena *arena, struct str name,
              struct str value, bool is_cut)
{
    size_t field = 0;

    /* "Transfer-Encoding :" is read differently by different servers, which
     * is how requests are smuggled (RFC 9112 section 5.1). */
    if (!name_is_token(name))
        head->unclean = "with a malformed name";
    while (field < HEAD_FIELD_COUNT &&
           !str_eq_nocase(name, str_of(FIELDS[field].name)))
        field++;
    if (field == HEAD_FIELD_COUNT)
        return;
    if (is_cut || !value_is_clean(value))
        head->unclean = FIELDS[field].name;
    value = arena_copy(arena, str_trim(value));
    if (head->fields[field].ptr == NULL)
        head->fields[field] = value;
    else if (FIELDS[field].is_list)
        head->fields[field] = arena_printf(
            arena, "%.*s, %.*s", STR_ARG(head->fields[field]), STR_ARG(value));
    else
        head->doubled = FIELDS[field].name;
}

bool head_type_is(struct str content_type, const char *type)
{
    struct str rest = content_type;
    struct str media = {NULL, 0};

    return str_cut(&rest, ';', &media) &&
           str_eq_nocase(str_trim(media), str_of(type));
}

static struct head_verdict refuse(unsigned status, const char *detail)
{
    return (struct head_verdict){.status = status, .detail = detail};
}

static struct head_verdict framing_check(const struct head *head,
                                         bool is_http_1_0, size_t body_max)
{
    struct head_verdict verdict = {.status = 0};
    struct str length = head->fields[HEAD_CONTENT_LENGTH];
    struct str encoding = head->fields[HEAD_TRANSFER_ENCODING];

    if (encoding.ptr != NULL) {
        if (is_http_1_0)
            return refuse(400, "HTTP/1.0 has no Transfer-Encoding.");
        if (!str_eq_nocase(encoding, S("chunked")))
            return refuse(501, "The only Transfer-Encoding is chunked.");
        if (length.ptr != NULL)
            return refuse(400, "Content-Length and Transfer-Encoding exclude "
                               "each other.");
        verdict.is_chunked = true;
    }
    if (length.ptr == NULL)
        return verdict;
    if (!str_to_u64(length, &verdict.body_length))
        return refuse(400, "Content-Length is not a number of bytes.");
    if (verdict.body_length > body_max)
        return refuse(413, "The body is larger than this server takes.");
    return verdict;
}

struct head_verdict head_check(const struct head *head, struct arena *arena,
                               bool is_http_1_0, size_t body_max)
{
    struct head_verdict verdict;
    struct str expect = head->fields[HEAD_EXPECT];
    struct str coding = head->fields[HEAD_CONTENT_ENCODING];

    if (head->unclean != NULL)
        return refuse(
            400,
            arena_printf(arena,
                         "A header field (%s) holds a character that it may "
                         "not.",
                         head->unclean)
                .ptr);
    if (head->doubled != NULL)
        return refuse(400,
                      arena_printf(arena, "The header field %s came twice.",
                                   head->doubled)
                          .ptr);
    if (head->fields[HEAD_HOST].len == 0 && !is_http_1_0)
        return refuse(400, "The Host header field is missing.");
    verdict = framing_check(head, is_http_1_0, body_max);
    if (verdict.status != 0)
        return verdict;
    if (expect.len > 0) {
        if (!str_eq_nocase(expect, S("100-continue")))
            return refuse(417, "The only Expect is 100-continue.");
        verdict.wants_continue = !is_http_1_0;
    }
    if (coding.len > 0 && !str_eq_nocase(coding, S("identity")))
        return refuse(415, "A body with a Content-Encoding is not taken.");
    return verdict;
}
