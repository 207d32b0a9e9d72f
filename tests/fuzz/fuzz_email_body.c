/* The body of POST /emails: whatever comes in is refused with a reason or
 * becomes a job that can be stored, read again and composed. */
#include "api/email_request.h"
#include "server/base/codec.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COMPOSED_MAX = 64 * 1024 * 1024 };

#define NOW_MS     INT64_C(1795521600000)
#define TTL_MS     (INT64_C(72) * 3600000)
#define DAYS_30_MS (INT64_C(30) * 86400000)

static const struct config CONFIG = {.worker = {.message_ttl_ms = TTL_MS}};

static void check_faults(const struct faults *faults)
{
    CHECK(faults->count > 0 && faults->count <= FAULTS_MAX);
    for (size_t i = 0; i < faults->count; i++) {
        const struct fault *fault = &faults->items[i];

        CHECK(fault->kind > PROBLEM_NONE && fault->kind < PROBLEM_COUNT);
        CHECK(fault->message.len > 0 && utf8_is_valid(fault->message));
        CHECK(utf8_is_valid(fault->pointer) && fault->code.len > 0);
        CHECK(fault->pointer.len == 0 || fault->pointer.ptr[0] == '/');
    }
}

static void check_values(const struct email_request *request)
{
    size_t named = request->to.count + request->cc.count + request->bcc.count;
    int64_t due_ms =
        request->scheduled_ms == 0 ? NOW_MS : request->scheduled_ms;

    CHECK(request->to.count > 0 && request->recipient_count > 0);
    CHECK(request->recipient_count <= named && named <= EMAIL_RECIPIENTS_MAX);
    for (size_t i = 0; i < request->recipient_count; i++) {
        CHECK(request->recipients[i].number < named);
        CHECK(!str_has_control(request->recipients[i].box->address));
    }
    CHECK(!str_has_control(request->subject));
    CHECK(due_ms >= NOW_MS && due_ms <= NOW_MS + DAYS_30_MS);
    CHECK((request->expires_ms == 0) == (request->max_age_ms > 0));
    CHECK(request->expires_ms == 0 || (request->expires_ms > due_ms &&
                                       request->expires_ms <= due_ms + TTL_MS));
    for (size_t i = 0; i < request->attachment_count; i++)
        CHECK(request->attachments[i].size_bytes ==
              request->attachment_bytes[i].bytes.len);
}

static size_t headers_of(const struct json *map, struct header *headers)
{
    const struct json *value;
    size_t count = 0;
    void *at = NULL;

    while (json_next(map, &at, &headers[count].name, &value)) {
        headers[count++].value = json_str(value);
        if (count == HEADER_COUNT_MAX)
            break;
    }
    return count;
}

static void check_composed(struct arena *arena,
                           const struct email_request *request,
                           const struct json *stored)
{
    struct header headers[HEADER_COUNT_MAX];
    struct message message = {
        .from = request->from,
        .to = request->to.boxes,
        .to_count = request->to.count,
        .cc = request->cc.boxes,
        .cc_count = request->cc.count,
        .reply_to = request->reply_to.boxes,
        .reply_to_count = request->reply_to.count,
        .subject = json_get_str(stored, "subject"),
        .has_text = field_is_there(stored, "text"),
        .text = json_get_str(stored, "text"),
        .html = json_get_str(stored, "html"),
        .headers = headers,
        .header_count = headers_of(json_get(stored, "headers"), headers),
        .message_id = S("<1@sender.test>"),
        .date_ms = NOW_MS,
        .seed = S("seed"),
    };
    struct attachment *attachments =
        ARENA_ARRAY(arena, struct attachment, request->attachment_count + 1);
    struct buf out;

    for (size_t i = 0; i < request->attachment_count; i++)
        attachments[i] = (struct attachment){
            .content = request->attachment_bytes[i].bytes,
            .name = request->attachments[i].filename,
            .type = request->attachments[i].content_type,
            .content_id = request->attachments[i].content_id,
        };
    message.attachments = attachments;
    message.attachment_count = request->attachment_count;
    buf_init(&out, COMPOSED_MAX);
    message_compose(&message, arena, &out, NULL);
    CHECK(!out.full && str_ends(buf_str(&out), S("\r\n")));
    for (size_t i = 0; i < out.len; i++)
        CHECK(out.data[i] != '\0' &&
              (out.data[i] != '\n' || (i > 0 && out.data[i - 1] == '\r')) &&
              (out.data[i] != '\r' || out.data[i + 1] == '\n'));
    buf_finish(&out);
}

/* A template is there, whatever its name. */
static bool read_body(struct email_request *request, struct arena *arena,
                      struct str body, struct faults *faults)
{
    static struct email_content content;

    if (content.root == NULL)
        content.root = json_parse(
            S("{\"from\":\"a@b.test\",\"subject\":\"s\",\"html\":\"<p>h\"}"),
            NULL);
    return email_request_open(request, arena, body, faults) &&
           email_request_read(request, body,
                              request->template_name.len > 0 ? &content : NULL,
                              &CONFIG, NOW_MS, faults);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create();
    struct email_request request;
    struct faults faults;
    struct json *stored;
    struct error err;

    faults_init(&faults, arena);
    if (read_body(&request, arena, str_make(data, size), &faults)) {
        CHECK(faults.count == 0);
        stored = json_parse(request.mail_json, &err);
        CHECK(json_type_of(stored) == JSON_MAP);
        check_values(&request);
        check_composed(arena, &request, stored);
        json_destroy(&stored);
    } else {
        check_faults(&faults);
    }
    email_request_finish(&request);
    arena_destroy(&arena);
    return 0;
}
