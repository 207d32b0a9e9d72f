#include "queue/chunks.h"
#include "queue/index.h"

#include "server/base/clock.h"
#include "server/base/fault.h"
#include "server/base/metrics.h"

enum {
    RECORD_MAX = 128 << 20,
    RECIPIENTS_MAX = 500,
    MARKS_MAX = 1024, /* of recipients and tags */
    ATTACHMENTS_MAX = 1000,
    BATCH_MAX = 64,              /* mails; others wait while they are stored */
    BATCH_BYTES_MAX = 256 << 10, /* but for the last one's */
};

/* --- enqueue --- */

/* What a queue_mail says, kept until it is stored. */
struct enqueue {
    struct queue_call call;
    struct id email;
    struct buf record; /* all of it; the script gets the first inline_len */
    size_t inline_len;
    struct chunk_part *parts; /* that travel in chunks: the job, attachments */
    size_t part_count;
    size_t chunks;
    size_t job_chunks;
    struct redis_command args; /* of the script, without the record's end */
    bool is_scheduled;
    struct str owner;
    unsigned lane;
    size_t recipients;
    struct list link;       /* of its batch */
    struct chunks_put *put; /* under way */
    struct timer patience;
    queue_answer_fn done; /* NULL: answered when patience ended */
    void *ctx;
    struct queue_answer answer;
};

static void enqueue_finish(struct queue_call *call)
{
    struct enqueue *enqueue = (struct enqueue *)call;

    list_remove(&enqueue->link);
    timer_clear(call->queue->loop, &enqueue->patience);
    buf_finish(&enqueue->record);
    command_finish(&enqueue->args);
}

static void enqueue_answer(void *ctx)
{
    struct enqueue *enqueue = ctx;

    timer_clear(enqueue->call.queue->loop, &enqueue->patience);
    if (enqueue->done != NULL)
        enqueue->done(enqueue->ctx, &enqueue->answer);
    queue_call_end(&enqueue->call);
}

/* The caller waits no longer: what comes now is for nobody. Upload and script
 * have a limit each, which end a connection; together they may take longer
 * than an answer may. */
static void on_impatient(void *ctx)
{
    struct enqueue *enqueue = ctx;
    queue_answer_fn done = enqueue->done;
    struct queue_answer answer = {.status = QUEUE_AWAY};

    enqueue->done = NULL;
    if (enqueue->put != NULL)
        chunks_put_stop(enqueue->put); /* its parts are the caller's */
    error_set(&answer.why, ERR_TIMEOUT, "redis: no answer in time");
    done(enqueue->ctx, &answer);
}

static void read_answer(const struct reply *reply, const struct error *why,
                        struct queue_answer *answer)
{
    struct str word = reply_str(reply_at(reply, 0));

    idempotency_read(reply, why, answer);
    if (str_eq(word, S("frozen"))) {
        answer->status = QUEUE_FROZEN;
        error_set(&answer->why, ERR_BUSY, "the owner is being moved");
    } else if (str_eq(word, S("moved"))) {
        answer->status = QUEUE_MOVED;
        error_set(&answer->why, ERR_BUSY, "the owner has moved");
    } else if (str_eq(word, S("full"))) {
        answer->status = QUEUE_FULL;
        error_set(&answer->why, ERR_BUSY,
                  "%lld recipients wait, which is the limit",
                  (long long)reply_int(reply_at(reply, 1)));
    } else if (str_eq(word, S("owner_full"))) {
        answer->status = QUEUE_OWNER_FULL;
        error_set(&answer->why, ERR_BUSY,
                  "%lld recipients wait, of at most %lld; what has gone makes "
                  "room",
                  (long long)reply_int(reply_at(reply, 1)),
                  (long long)reply_int(reply_at(reply, 2)));
    } else if (str_eq(word, S("missing"))) {
        answer->status = QUEUE_AWAY;
        error_set(&answer->why, ERR_TIMEOUT,
                  "the attachments took too long to be stored");
    }
}

/* suppressed: how many of its recipients have ended already. */
static void count_accepted(const struct enqueue *enqueue, int64_t suppressed)
{
    struct queue_owner owner = {enqueue->owner, id_partition(&enqueue->email)};

    metrics_count(METRIC_EMAIL_EVENTS,
                  event_type_name(enqueue->is_scheduled ? EVENT_SCHEDULED
                                                        : EVENT_QUEUED));
    traffic_count(enqueue->call.queue, owner, TRAFFIC_ACCEPTED, enqueue->lane,
                  enqueue->recipients);
    if (suppressed > 0)
        series_add(metrics_series(METRIC_EMAIL_EVENTS,
                                  (const char *const[]){
                                      event_type_name(EVENT_SUPPRESSED)}),
                   (uint64_t)suppressed);
}

static void on_enqueued(struct enqueue *enqueue, const struct reply *reply,
                        const struct error *why)
{
    FAULT_POINT("enqueue.done");
    read_answer(reply, why, &enqueue->answer);
    if (enqueue->answer.status == QUEUE_OK)
        count_accepted(enqueue, reply_int(reply_at(reply, 1)));
    enqueue_answer(enqueue);
}

/* The mails of one turn of the loop are stored by one call a partition, since a
 * call of its own costs Redis a third of what a mail does. The answers have
 * their order. */
struct mail_batch {
    struct queue_call call;
    struct list link; /* of queue.mail_batches, until it is sent */
    struct list mails;
    size_t count;
    unsigned partition;
    struct redis_command script;
    bool script_is_ours; /* not yet sent */
};

static void batch_finish(struct queue_call *call)
{
    struct mail_batch *batch = (struct mail_batch *)call;

    list_remove(&batch->link);
    while (!list_is_empty(&batch->mails))
        list_remove(batch->mails.next);
    if (batch->script_is_ours)
        command_finish(&batch->script);
}

/* An answer may close the queue, and with it the batch and what waits. */
static void on_stored(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct mail_batch *batch = ctx;
    bool is_list = reply_type(reply) == REPLY_LIST;
    struct enqueue *enqueue;
    struct list mails;
    size_t i = 0;

    list_init(&mails);
    while ((enqueue = LIST_FIRST(&batch->mails, struct enqueue, link)) !=
           NULL) {
        list_remove(&enqueue->link);
        list_add_last(&mails, &enqueue->link);
    }
    queue_call_end(&batch->call);
    while ((enqueue = LIST_FIRST(&mails, struct enqueue, link)) != NULL) {
        list_remove(&enqueue->link);
        on_enqueued(enqueue, is_list ? reply_at(reply, i++) : reply, why);
    }
}

static void batch_send(void *ctx)
{
    struct mail_batch *batch = ctx;
    struct queue *queue = batch->call.queue;

    list_remove(&batch->link);
    task_cancel(&batch->call.later);
    batch->script_is_ours = false;
    COMMAND_SENT_POINT(&batch->script, "enqueue.sent");
    redis_send(queue->main, &batch->script, REDIS_BUDGET_MS, on_stored, batch);
}

/* Each partition has its part of the service's limit. */
static int64_t partition_limit(const struct queue *queue)
{
    int64_t count = queue->partitions.count > 0 ? queue->partitions.count : 1;

    return (queue->config->limits.queue + count - 1) / count;
}

static struct mail_batch *batch_new(struct queue *queue, unsigned partition)
{
    struct mail_batch *batch = queue_call_new(queue, sizeof *batch);

    batch->call.finish = batch_finish;
    batch->partition = partition;
    batch->script_is_ours = true;
    list_init(&batch->mails);
    list_add_last(&queue->mail_batches, &batch->link);
    command_init_partition(&batch->script, queue, SCRIPT_ENQUEUE, partition);
    command_add_int(&batch->script, partition_limit(queue));
    command_add_int(&batch->script, queue->config->limits.owner_queue);
    command_add_int(&batch->script, queue->config->privacy.keep_bodies_ms);
    queue_call_later(&batch->call, batch_send);
    return batch;
}

static struct mail_batch *batch_of(struct queue *queue, unsigned partition)
{
    list_each (at, &queue->mail_batches)
        if (LIST_MEMBER(at, struct mail_batch, link)->partition == partition)
            return LIST_MEMBER(at, struct mail_batch, link);
    return batch_new(queue, partition);
}

static void store(struct enqueue *enqueue)
{
    struct mail_batch *batch =
        batch_of(enqueue->call.queue, id_partition(&enqueue->email));

    FAULT_POINT("enqueue.begun");
    command_add_args(&batch->script, &enqueue->args);
    list_add_last(&batch->mails, &enqueue->link);
    if (++batch->count == BATCH_MAX ||
        batch->script.args.len >= BATCH_BYTES_MAX)
        batch_send(batch);
}

static void on_uploaded(void *ctx, enum queue_status status,
                        const struct error *err)
{
    struct enqueue *enqueue = ctx;

    enqueue->put = NULL;
    if (status == QUEUE_OK) {
        FAULT_POINT("chunks.done");
        store(enqueue);
        return;
    }
    enqueue->answer.status = status;
    enqueue->answer.why = *err;
    enqueue_answer(enqueue);
}

const char *on_unknown_letter(enum on_unknown on_unknown)
{
    static const char *const letters[] = {
        [ON_UNKNOWN_RETRY] = "r",
        [ON_UNKNOWN_HOLD] = "h",
        [ON_UNKNOWN_FAIL] = "f",
    };

    CHECK(on_unknown < COUNT_OF(letters));
    return letters[on_unknown];
}

static void add_marks(struct redis_command *args, const struct summary *summary)
{
    struct buf marks;

    buf_init(&marks, MARKS_MAX * INDEX_MARK_LEN);
    index_add_marks(summary, &marks);
    command_add(args, buf_str(&marks));
    buf_finish(&marks);
}

static void add_recipient(struct redis_command *args,
                          const struct queue_recipient *recipient)
{
    char hash[ADDRESS_HASH_SIZE] = "";

    if (recipient->key.len > 0)
        address_hash(recipient->key, hash);
    command_add_int(args, recipient->number);
    command_add(args, recipient->route);
    command_add_cstr(args, hash);
}

static void build_args(struct enqueue *enqueue, const struct queue_mail *mail)
{
    const struct summary *summary = mail->summary;
    struct redis_command *args = &enqueue->args;

    command_add(args, summary->owner);
    command_add(args, id_str(&summary->email));
    command_add_int(args, mail_class_lane(summary->mail_class));
    command_add_int(args, mail->due_ms);
    command_add_int(args, mail->max_age_ms);
    command_add_int(args, summary->expires_ms);
    command_add_cstr(args, on_unknown_letter(mail->on_unknown));
    idempotency_add(args, &mail->idempotency);
    command_add(args, mail->answer);
    command_add(args,
                str_slice(buf_str(&enqueue->record), 0, enqueue->inline_len));
    command_add_int(args, (int64_t)enqueue->chunks);
    command_add_int(args, (int64_t)enqueue->job_chunks);
    command_add_int(args, (int64_t)summary_recipient_count(summary));
    add_marks(args, summary);
    command_add_int(args, (int64_t)mail->recipient_count);
    for (size_t i = 0; i < mail->recipient_count; i++)
        add_recipient(args, &mail->recipients[i]);
}

/* What goes inline, and what in chunks. */
static void split(struct enqueue *enqueue, const struct queue_mail *mail)
{
    struct str record = buf_str(&enqueue->record);

    enqueue->parts = ARENA_ARRAY(enqueue->call.arena, struct chunk_part,
                                 mail->attachment_count + 1);
    enqueue->inline_len = record.len;
    if (record.len > RECORD_INLINE_MAX) {
        enqueue->inline_len = record_summary_end(record);
        /* Sealed as a whole by then, if it is. */
        enqueue->parts[0] = (struct chunk_part){
            .bytes = str_from(record, enqueue->inline_len),
        };
        enqueue->part_count = 1;
        enqueue->job_chunks = chunk_count(enqueue->parts[0].bytes.len);
    }
    enqueue->chunks = enqueue->job_chunks;
    for (size_t i = 0; i < mail->attachment_count; i++) {
        CHECK(mail->attachment_bytes[i].bytes.len ==
              mail->attachments[i].size_bytes);
        enqueue->parts[enqueue->part_count++] = (struct chunk_part){
            .bytes = mail->attachment_bytes[i].bytes,
            .seal = mail->summary->sensitive,
        };
        enqueue->chunks += chunk_count(mail->attachment_bytes[i].bytes.len);
    }
}

static enum queue_status may_enqueue(const struct queue *queue,
                                     const struct queue_mail *mail,
                                     struct error *why)
{
    if (mail->summary->sensitive && queue->keyring == NULL) {
        error_set(why, ERR_CONFIG,
                  "a sensitive mail needs encryption at rest and there is no "
                  "keyring: run posthaste keyring create, and set "
                  "secrets.keyring_file");
        return QUEUE_NO_KEYRING;
    }
    return health_admits(queue, id_partition(&mail->summary->email), why);
}

void queue_enqueue(struct queue *queue, const struct queue_mail *mail,
                   queue_answer_fn done, void *ctx)
{
    struct enqueue *enqueue = queue_call_new(queue, sizeof *enqueue);

    CHECK(mail->recipient_count > 0 &&
          mail->recipient_count <= RECIPIENTS_MAX &&
          mail->recipients[0].number == 0 &&
          mail->attachment_count <= ATTACHMENTS_MAX);
    enqueue->call.finish = enqueue_finish;
    enqueue->email = mail->summary->email;
    enqueue->owner = arena_copy(enqueue->call.arena, mail->summary->owner);
    enqueue->lane = mail_class_lane(mail->summary->mail_class);
    enqueue->recipients = mail->recipient_count;
    enqueue->is_scheduled = mail->due_ms > clock_shared_ms();
    enqueue->done = done;
    enqueue->ctx = ctx;
    timer_init(&enqueue->patience, on_impatient, enqueue);
    list_init(&enqueue->link);
    command_init_args(&enqueue->args);
    buf_init(&enqueue->record, RECORD_MAX);
    enqueue->answer.status = may_enqueue(queue, mail, &enqueue->answer.why);
    if (enqueue->answer.status != QUEUE_OK) {
        queue_call_later(&enqueue->call, enqueue_answer);
        return;
    }
    record_write(queue->levels.write, mail->summary, mail->mail_json,
                 mail->attachments, mail->attachment_count, mail->date_ms,
                 &mail->signing, queue->keyring, &enqueue->record);
    CHECK(!enqueue->record.full);
    split(enqueue, mail);
    build_args(enqueue, mail);
    if (mail->patience_ms > 0)
        timer_set(queue->loop, &enqueue->patience, mail->patience_ms);
    if (enqueue->chunks == 0)
        store(enqueue);
    else
        enqueue->put = chunks_put(queue, id_partition(&enqueue->email),
                                  &enqueue->email, enqueue->parts,
                                  enqueue->part_count, on_uploaded, enqueue);
}
