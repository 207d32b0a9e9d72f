#include "queue/chunks.h"

enum {
    WINDOW = 4, /* chunks under way of one email, each way */
    CHUNK_LIFE_S = 900,
    BULK_BUDGET_MS = 5000,
    UPLOAD_MAX = 96 << 20, /* of this process */
    DOWNLOAD_MAX = 256 << 20,
    SEALED_MAX = CHUNK_SIZE / 3 * 4 + 1024, /* base64url, key id, nonce, tag */
};

static const char SEAL_LABEL[] = "chunk";

struct chunks_put {
    struct queue_call call;
    unsigned partition;
    struct id email;
    const struct chunk_part *parts;
    size_t part_count;
    size_t part;   /* whose bytes go next */
    size_t offset; /* in it */
    unsigned next; /* number of the next chunk */
    size_t total_bytes;
    size_t in_flight;
    enum queue_status status;
    struct error err;
    chunks_put_fn done;
    void *ctx;
};

struct chunks_get {
    struct queue_call call;
    unsigned partition;
    struct id email;
    unsigned next;
    unsigned arriving; /* number of the chunk whose reply comes next */
    unsigned end;
    bool sealed;
    size_t in_flight;
    struct buf bytes;
    enum queue_status status;
    struct error err;
    chunks_get_fn done;
    void *ctx;
};

size_t chunk_count(uint64_t bytes)
{
    return (size_t)((bytes + CHUNK_SIZE - 1) / CHUNK_SIZE);
}

/* --- put --- */

static void put_finish(struct queue_call *call)
{
    struct chunks_put *put = (struct chunks_put *)call;

    call->queue->upload_bytes -= put->total_bytes;
}

static void put_done(void *ctx)
{
    struct chunks_put *put = ctx;

    put->done(put->ctx, put->status, &put->err);
    queue_call_end(&put->call);
}

static bool put_is_sent(struct chunks_put *put)
{
    while (put->part < put->part_count &&
           put->offset == put->parts[put->part].bytes.len) {
        put->part++;
        put->offset = 0;
    }
    return put->part == put->part_count;
}

static void put_more(struct chunks_put *put);

static void on_put(void *ctx, const struct reply *reply,
                   const struct error *why)
{
    struct chunks_put *put = ctx;
    enum queue_status status = reply_status(reply, why, &put->err);

    put->in_flight--;
    if (put->status == QUEUE_OK)
        put->status = status;
    if (put->status == QUEUE_OK)
        put_more(put);
    if (put->in_flight == 0)
        put_done(put);
}

/* Where a sealed chunk belongs: no other one opens in its place. */
static struct str place_of(const struct id *email, unsigned number,
                           char out[KEY_MAX])
{
    snprintf(out, KEY_MAX, "%s:%u", email->text, number);
    return str_of(out);
}

static void add_sealed(struct redis_command *command,
                       const struct chunks_put *put, struct str bytes)
{
    char place[KEY_MAX];
    struct buf sealed;

    buf_init(&sealed, SEALED_MAX);
    keyring_seal(put->call.queue->keyring, SEAL_LABEL,
                 place_of(&put->email, put->next, place), bytes, &sealed);
    CHECK(!sealed.full);
    command_add(command, buf_str(&sealed));
    buf_finish(&sealed);
}

static void put_chunk(struct chunks_put *put)
{
    struct redis_command command;
    char key[KEY_MAX];
    const struct chunk_part *part = &put->parts[put->part];
    struct str bytes = str_slice(part->bytes, put->offset, CHUNK_SIZE);

    command_init(&command, "SET");
    command_add(&command,
                queue_key(put->call.queue, put->partition, key,
                          KEY_CHUNK "%s:%u", put->email.text, put->next));
    if (part->seal)
        add_sealed(&command, put, bytes);
    else
        command_add(&command, bytes);
    command_add_cstr(&command, "EX");
    command_add_int(&command, CHUNK_LIFE_S);
    COMMAND_SENT_POINT(&command, "chunks.sent");
    redis_send(put->call.queue->bulk, &command, BULK_BUDGET_MS, on_put, put);
    put->offset += bytes.len;
    put->next++;
    put->in_flight++;
}

static void put_more(struct chunks_put *put)
{
    while (put->in_flight < WINDOW && !put_is_sent(put))
        put_chunk(put);
}

struct chunks_put *chunks_put(struct queue *queue, unsigned partition,
                              const struct id *email,
                              const struct chunk_part *parts, size_t count,
                              chunks_put_fn done, void *ctx)
{
    struct chunks_put *put = queue_call_new(queue, sizeof *put);

    put->partition = partition;
    put->email = *email;
    put->parts = parts;
    put->part_count = count;
    put->done = done;
    put->ctx = ctx;
    for (size_t i = 0; i < count; i++)
        put->total_bytes += parts[i].bytes.len;
    queue->upload_bytes += put->total_bytes;
    put->call.finish = put_finish;
    if (queue->upload_bytes > UPLOAD_MAX) {
        put->status = QUEUE_FULL;
        error_set(&put->err, ERR_BUSY, "too many large mails are being stored");
        queue_call_later(&put->call, put_done);
        return put;
    }
    put_more(put);
    if (put->in_flight == 0)
        queue_call_later(&put->call, put_done); /* nothing but empty parts */
    return put;
}

void chunks_put_stop(struct chunks_put *put)
{
    if (put->status != QUEUE_OK)
        return;
    put->status = QUEUE_AWAY;
    error_set(&put->err, ERR_TIMEOUT, "given up");
}

/* --- get --- */

static void get_finish(struct queue_call *call)
{
    buf_finish(&((struct chunks_get *)call)->bytes);
}

static void get_done(void *ctx)
{
    struct chunks_get *get = ctx;

    if (get->status != QUEUE_OK)
        buf_clear(&get->bytes);
    get->done(get->ctx, get->status, &get->err, &get->bytes);
    queue_call_end(&get->call);
}

static void get_failed(struct chunks_get *get, enum queue_status status)
{
    if (get->status == QUEUE_OK)
        get->status = status;
}

static void get_more(struct chunks_get *get);

static void open_chunk(struct chunks_get *get, struct str sealed)
{
    const struct keyring *keyring = get->call.queue->keyring;
    enum keyring_result opened = KEYRING_UNKNOWN_ID;
    char place[KEY_MAX];

    if (keyring != NULL)
        opened = keyring_open(keyring, SEAL_LABEL,
                              place_of(&get->email, get->arriving, place),
                              sealed, &get->bytes);
    if (opened == KEYRING_UNKNOWN_ID) {
        error_set(&get->err, ERR_CONFIG,
                  "a chunk is sealed under a key that the keyring lacks");
        get_failed(get, QUEUE_NO_KEYRING);
    } else if (opened != KEYRING_OK) {
        error_set(&get->err, ERR_REMOTE, "a chunk of the mail cannot be read");
        get_failed(get, QUEUE_NOT_FOUND);
    }
}

static void take_chunk(struct chunks_get *get, struct str bytes)
{
    if (get->sealed) {
        open_chunk(get, bytes);
        return;
    }
    buf_add(&get->bytes, bytes);
    if (get->bytes.full) {
        error_set(&get->err, ERR_REMOTE, "the mail is too large");
        get_failed(get, QUEUE_NOT_FOUND);
    }
}

/* Replies of one link come in order, so the chunks only need appending. */
static void on_get(void *ctx, const struct reply *reply,
                   const struct error *why)
{
    struct chunks_get *get = ctx;
    enum queue_status status = reply_status(reply, why, &get->err);

    get->in_flight--;
    if (status != QUEUE_OK) {
        get_failed(get, status);
    } else if (reply_type(reply) != REPLY_TEXT) {
        error_set(&get->err, ERR_REMOTE, "a chunk of the mail is gone");
        get_failed(get, QUEUE_NOT_FOUND);
    } else if (get->status == QUEUE_OK) {
        take_chunk(get, reply_str(reply));
    }
    get->arriving++;
    if (get->status == QUEUE_OK)
        get_more(get);
    if (get->in_flight == 0)
        get_done(get);
}

/* In a cluster one that is sent again may come behind the next one. */
static size_t get_window(const struct chunks_get *get)
{
    return redis_link_is_cluster(get->call.queue->bulk) ? 1 : WINDOW;
}

static void get_more(struct chunks_get *get)
{
    struct redis_command command;
    char key[KEY_MAX];

    while (get->in_flight < get_window(get) && get->next < get->end) {
        command_init(&command, "GET");
        command_add(&command,
                    queue_key(get->call.queue, get->partition, key,
                              KEY_CHUNK "%s:%u", get->email.text, get->next));
        redis_send(get->call.queue->bulk, &command, BULK_BUDGET_MS, on_get,
                   get);
        get->next++;
        get->in_flight++;
    }
}

void chunks_get(struct queue *queue, unsigned partition, const struct id *email,
                unsigned first, unsigned count, bool sealed, chunks_get_fn done,
                void *ctx)
{
    struct chunks_get *get = queue_call_new(queue, sizeof *get);

    get->partition = partition;
    get->email = *email;
    get->next = first;
    get->arriving = first;
    get->sealed = sealed;
    get->end = first + count;
    get->done = done;
    get->ctx = ctx;
    get->call.finish = get_finish;
    buf_init(&get->bytes, DOWNLOAD_MAX);
    if (count == 0)
        queue_call_later(&get->call, get_done);
    else
        get_more(get);
}
