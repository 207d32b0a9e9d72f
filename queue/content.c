#include "queue/content.h"

#include "queue/chunks.h"
#include "server/base/hand.h"
#include "server/base/mem.h"

#include <stdlib.h>

enum {
    BYTES_MAX = 256 << 20,
    HELD_MAX = 64 << 20, /* of all in chunks; a single one may be larger */
};

static void begin_waiting(struct queue *queue);

void contents_init(struct contents *contents, struct queue *queue,
                   unsigned partition)
{
    contents->queue = queue;
    contents->partition = partition;
    contents->by_email = map_create();
}

static void content_free(struct content *content)
{
    list_remove(&content->link);
    content->contents->queue->content_bytes -= content->held;
    record_destroy(&content->record);
    free(content->attachments);
    free(content->attachment_bytes);
    buf_finish(&content->bytes);
    free(content);
}

/* Nothing that is under way calls back any more. */
void contents_finish(struct contents *contents)
{
    size_t at = 0;
    struct str email;
    void *content;

    while (map_next(contents->by_email, &at, &email, &content)) {
        CHECK(((struct content *)content)->users == 0);
        content_free(content);
    }
    map_destroy(&contents->by_email);
}

static void content_drop(struct content *content)
{
    map_remove(content->contents->by_email, id_str(&content->email));
    content_free(content);
}

/* Loading goes on without users, since its callbacks hold the content. */
static void content_release(struct content *content)
{
    struct queue *queue = content->contents->queue;

    if (content->users > 0 || content->state == CONTENT_LOADING)
        return;
    content_drop(content);
    begin_waiting(queue);
}

static void loaded(struct content *content, enum content_state state)
{
    struct content_user *user;

    content->state = state;
    content->users++; /* a user who is told may leave */
    while ((user = LIST_FIRST(&content->waiting, struct content_user, link)) !=
           NULL) {
        list_remove(&user->link);
        user->ready(user->ctx);
    }
    content->users--;
    content_release(content);
}

static void failed(struct content *content, enum queue_status status,
                   const struct error *err)
{
    content->why = *err;
    loaded(content, status == QUEUE_NOT_FOUND ? CONTENT_LOST : CONTENT_LATER);
}

/* --- the record --- */

static enum content_state read_record(struct content *content)
{
    enum record_result result;

    content->record = record_read(buf_str(&content->bytes), &content->email,
                                  content->contents->queue->keyring, &result);
    switch (result) {
    case RECORD_OK:
        break;
    case RECORD_NEWER:
        error_set(&content->why, ERR_CONFIG,
                  "the record was written by a newer release");
        return CONTENT_LATER;
    case RECORD_NO_KEY:
        error_set(&content->why, ERR_CONFIG,
                  "the record is sealed under a key that the keyring lacks");
        return CONTENT_LATER;
    case RECORD_BROKEN:
    default:
        error_set(&content->why, ERR_REMOTE, "the record cannot be read");
        return CONTENT_LOST;
    }
    if (content->record->job.mail != NULL)
        return CONTENT_READY;
    error_set(&content->why, ERR_REMOTE, "the record has no body any more");
    return CONTENT_LOST;
}

/* --- attachments --- */

static bool slice_attachments(struct content *content, struct str bytes)
{
    const struct job *job = &content->record->job;
    size_t offset = 0;

    content->attachments =
        xcalloc(job->attachment_count + 1, sizeof *content->attachments);
    for (size_t i = 0; i < job->attachment_count; i++) {
        uint64_t size = job->attachments[i].size_bytes;

        if (size > bytes.len - offset)
            return false;
        content->attachments[i] = str_slice(bytes, offset, (size_t)size);
        offset += (size_t)size;
    }
    return offset == bytes.len;
}

static void on_attachments(void *ctx, enum queue_status status,
                           const struct error *err, struct buf *bytes)
{
    struct content *content = ctx;
    size_t len;

    if (status != QUEUE_OK) {
        failed(content, status, err);
        return;
    }
    content->attachment_bytes = buf_take(bytes, &len);
    if (slice_attachments(content, str_make(content->attachment_bytes, len))) {
        loaded(content, CONTENT_READY);
        return;
    }
    error_set(&content->why, ERR_REMOTE,
              "the attachments have not the length that the record says");
    loaded(content, CONTENT_LOST);
}

/* The job is whole. True: nothing more is to be fetched. */
static bool have_job(struct content *content, enum content_state *state)
{
    *state = read_record(content);
    buf_finish(&content->bytes);
    if (*state != CONTENT_READY)
        return true;
    if (content->chunks > content->job_chunks) {
        chunks_get(content->contents->queue, content->contents->partition,
                   &content->email, content->job_chunks,
                   content->chunks - content->job_chunks,
                   content->record->summary.sensitive, on_attachments, content);
        return false;
    }
    if (!slice_attachments(content, S(""))) {
        error_set(&content->why, ERR_REMOTE, "the attachments are gone");
        *state = CONTENT_LOST;
    }
    return true;
}

/* --- the job in chunks --- */

static void on_job(void *ctx, enum queue_status status, const struct error *err,
                   struct buf *bytes)
{
    struct content *content = ctx;
    enum content_state state;

    if (status != QUEUE_OK) {
        failed(content, status, err);
        return;
    }
    buf_add(&content->bytes, buf_str(bytes));
    hand_take(id_str(&content->email)); /* all its deliveries here */
    if (have_job(content, &state))
        loaded(content, state);
    hand_drop();
}

static bool have_head(struct content *content, enum content_state *state)
{
    if (content->job_chunks == 0)
        return have_job(content, state);
    chunks_get(content->contents->queue, content->contents->partition,
               &content->email, 0, content->job_chunks, false, on_job, content);
    return false;
}

/* --- what did not fit into the turn's answer --- */

static void on_head(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct content *content = ctx;
    struct error err;
    enum queue_status status = reply_status(reply, why, &err);
    enum content_state state;

    if (status == QUEUE_OK && reply_type(reply) != REPLY_TEXT) {
        status = QUEUE_NOT_FOUND;
        error_set(&err, ERR_REMOTE, "the record is gone");
    }
    if (status != QUEUE_OK) {
        failed(content, status, &err);
        return;
    }
    buf_add(&content->bytes, reply_str(reply));
    if (have_head(content, &state))
        loaded(content, state);
}

static void fetch_head(struct content *content)
{
    struct queue *queue = content->contents->queue;
    struct redis_command command;
    char key[KEY_MAX];

    command_init(&command, "GET");
    command_add(&command, queue_key(queue, content->contents->partition, key,
                                    KEY_CONTENT "%s", content->email.text));
    redis_send(queue->bulk, &command, 5000, on_head, content);
}

/* --- how much at a time --- */

static size_t size_of(const struct content *content)
{
    return (size_t)content->chunks * CHUNK_SIZE;
}

static bool may_hold(const struct content *content)
{
    const struct queue *queue = content->contents->queue;

    return content->chunks == 0 || queue->content_bytes == 0 ||
           queue->content_bytes + size_of(content) <= HELD_MAX;
}

/* True: it has come to that state at once. */
static bool content_begin(struct content *content, enum content_state *state)
{
    content->held = size_of(content);
    content->contents->queue->content_bytes += content->held;
    if (content->bytes.len > 0)
        return have_head(content, state);
    fetch_head(content);
    return false;
}

/* Of those whose users are gone nothing is fetched. */
static void begin_waiting(struct queue *queue)
{
    struct content *content;
    enum content_state state;

    while ((content = LIST_FIRST(&queue->contents_waiting, struct content,
                                 link)) != NULL &&
           may_hold(content)) {
        list_remove(&content->link);
        if (content->users == 0)
            content_drop(content);
        else if (content_begin(content, &state))
            loaded(content, state);
    }
}

/* --- joining --- */

static struct content *content_create(struct contents *contents,
                                      const struct id *email, unsigned chunks,
                                      unsigned job_chunks)
{
    struct content *content = xcalloc(1, sizeof *content);

    content->contents = contents;
    content->email = *email;
    content->chunks = chunks;
    content->job_chunks = job_chunks;
    list_init(&content->waiting);
    list_init(&content->link);
    buf_init(&content->bytes, BYTES_MAX);
    map_put(contents->by_email, id_str(email), content);
    return content;
}

bool content_join(struct contents *contents, const struct id *email,
                  struct str inline_bytes, unsigned chunks, unsigned job_chunks,
                  struct content_user *user)
{
    struct content *content = map_get(contents->by_email, id_str(email));
    enum content_state state;

    if (content == NULL) {
        content = content_create(contents, email, chunks, job_chunks);
        buf_add(&content->bytes, inline_bytes);
        if (!may_hold(content))
            list_add_last(&contents->queue->contents_waiting, &content->link);
        else if (content_begin(content, &state))
            content->state = state;
    }
    content->users++;
    user->content = content;
    list_init(&user->link);
    if (content->state != CONTENT_LOADING)
        return true;
    list_add_last(&content->waiting, &user->link);
    return false;
}

void content_leave(struct content_user *user)
{
    struct content *content = user->content;

    list_remove(&user->link);
    user->content = NULL;
    content->users--;
    content_release(content);
}
