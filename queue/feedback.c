#include "queue/feedback.h"

#include "queue/claims_core.h"
#include "queue/core.h"
#include "queue/index.h"

enum { TEXT_MAX = 16 * 1024 };

/* First email.lua, which tells whose it is and which address; then
 * feedback.lua. */
struct telling {
    struct queue_call call;
    struct id email;
    unsigned number;
    char what; /* of scripts/feedback.lua */
    struct str fields;
    struct str outcome;
    struct str owner;      /* empty: whoever's it is, until that is known */
    unsigned home;         /* where it is looked for */
    unsigned asked;        /* partitions */
    struct str suppressed; /* as suppress.lua reads it; empty: nothing */
    queue_feedback_address_fn address;
    queue_feedback_fn done;
    void *ctx;
};

static void tell(struct telling *telling,
                 const struct queue_feedback_answer *answer)
{
    list_remove(&telling->call.link); /* the callback may close the queue */
    telling->done(telling->ctx, answer);
    queue_call_end(&telling->call);
}

static void tell_fate(struct telling *telling, enum feedback_fate fate)
{
    const struct queue_feedback_answer answer = {.fate = fate};

    tell(telling, &answer);
}

static void tell_failure(struct telling *telling, enum queue_status status,
                         const char *why)
{
    struct queue_feedback_answer answer = {.status = status};

    error_set(&answer.why, ERR_REMOTE, "%s", why);
    tell(telling, &answer);
}

/* --- feedback.lua --- */

static enum feedback_fate fate_named(struct str word)
{
    static const char *const NAMES[] = {
        [FEEDBACK_TAKEN] = "taken", [FEEDBACK_KNOWN] = "known",
        [FEEDBACK_OPEN] = "open",   [FEEDBACK_ENDED] = "ended",
        [FEEDBACK_GONE] = "gone",
    };
    unsigned fate = 0;

    while (fate < FEEDBACK_GONE && !str_eq(word, str_of(NAMES[fate])))
        fate++;
    return (enum feedback_fate)fate;
}

static void on_taken(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct telling *telling = ctx;
    struct queue_feedback_answer answer = {0};

    answer.status = reply_status(reply, why, &answer.why);
    if (answer.status == QUEUE_OK) {
        answer.fate = fate_named(reply_str(reply_at(reply, 0)));
        answer.suppressed = reply_int(reply_at(reply, 1)) != 0;
        claims_count_events(reply_at(reply, 2));
    }
    tell(telling, &answer);
}

/* "id hash address" */
static struct str suppressed_text(struct telling *telling, struct str mailbox)
{
    struct id id = id_new(telling->home);
    struct suppression_entry entry;
    char hash[ADDRESS_HASH_SIZE];

    if (telling->address == NULL ||
        !telling->address(telling->ctx, mailbox, telling->call.arena, &entry))
        return S("");
    address_hash(entry.key, hash);
    return arena_printf(telling->call.arena, "%s %s %.*s", id.text, hash,
                        STR_ARG(entry.address));
}

/* mailbox: of the delivery. */
static void take(struct telling *telling, struct str mailbox)
{
    struct redis_command command;

    telling->suppressed = suppressed_text(telling, mailbox);
    command_init_partition(&command, telling->call.queue, SCRIPT_FEEDBACK,
                           telling->home);
    command_add(&command, telling->owner);
    command_add(&command, id_str(&telling->email));
    command_add_int(&command, telling->number);
    command_add(&command, str_make(&telling->what, 1));
    command_add(&command, telling->fields);
    command_add(&command, telling->suppressed);
    command_add(&command, telling->outcome);
    redis_send(telling->call.queue->main, &command, REDIS_BUDGET_MS, on_taken,
               telling);
}

/* --- email.lua --- */

static void ask(struct telling *telling);

/* Whoever has moved has it elsewhere than its id says. */
static void look_further(struct telling *telling)
{
    unsigned count = telling->call.queue->partitions.count;

    if (telling->owner.len == 0 && ++telling->asked < count) {
        telling->home = (telling->home + 1) % count;
        ask(telling);
    } else {
        tell_fate(telling, FEEDBACK_GONE);
    }
}

static void take_known(struct telling *telling, const struct record *record)
{
    const struct summary *summary = &record->summary;
    struct str mailbox = S("");
    const char *kind;

    if ((telling->owner.len > 0 && !str_eq(telling->owner, summary->owner)) ||
        !summary_recipient(summary, telling->number, &mailbox, &kind)) {
        tell_fate(telling, FEEDBACK_GONE);
        return;
    }
    telling->owner = arena_copy(telling->call.arena, summary->owner);
    take(telling, mailbox);
}

/* A record, or the line of outcomes and the summary. */
static struct str summary_part(struct str record, struct str history)
{
    ptrdiff_t end = str_index(history, '\n', 0);

    if (record.len > 0)
        return str_slice(record, 0, record_summary_end(record));
    return end < 0 ? S("") : str_from(history, (size_t)end + 1);
}

enum { RECORD, HISTORY };

static void on_email(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct telling *telling = ctx;
    struct str record = reply_str(reply_at(reply, RECORD));
    struct str history = reply_str(reply_at(reply, HISTORY));
    struct queue_feedback_answer answer = {0};
    enum record_result result;
    struct record *summary;

    answer.status = reply_status(reply, why, &answer.why);
    if (answer.status != QUEUE_OK) {
        tell(telling, &answer);
        return;
    }
    if (record.len == 0 && history.len == 0) {
        look_further(telling);
        return;
    }
    summary = record_read(summary_part(record, history), &telling->email,
                          telling->call.queue->keyring, &result);
    if (summary != NULL)
        take_known(telling, summary);
    else if (result == RECORD_NO_KEY)
        tell_failure(telling, QUEUE_NO_KEYRING,
                     "the mail is sealed under a key that this process lacks");
    else
        tell_failure(telling, QUEUE_NOT_READY,
                     result == RECORD_NEWER
                         ? "the mail was stored by a newer release"
                         : "the stored mail is broken");
    record_destroy(&summary);
}

static void ask(struct telling *telling)
{
    struct redis_command command;

    command_init_partition(&command, telling->call.queue, SCRIPT_EMAIL,
                           telling->home);
    command_add(&command, id_str(&telling->email));
    command_add(&command, telling->owner);
    redis_send(telling->call.queue->main, &command, REDIS_BUDGET_MS, on_email,
               telling);
}

/* --- the door --- */

const struct keyring *queue_keyring(const struct queue *queue)
{
    return queue->keyring;
}

static char letter_of(enum event_type type)
{
    CHECK(type == EVENT_BOUNCED || type == EVENT_DELIVERED ||
          type == EVENT_COMPLAINED);
    if (type == EVENT_BOUNCED)
        return 'b';
    return type == EVENT_DELIVERED ? 'd' : 'c';
}

static struct str
written(struct arena *arena, const struct event_detail *detail,
        void (*write)(const struct event_detail *detail, struct buf *out))
{
    struct buf text;
    struct str copy;

    buf_init(&text, TEXT_MAX);
    write(detail, &text);
    CHECK(!text.full);
    copy = arena_copy(arena, buf_str(&text));
    buf_finish(&text);
    return copy;
}

void queue_feedback(struct queue *queue, const struct queue_owner *owner,
                    const struct queue_feedback *feedback,
                    queue_feedback_fn done, void *ctx)
{
    struct telling *telling = queue_call_new(queue, sizeof *telling);
    struct arena *arena = telling->call.arena;

    telling->email = feedback->email;
    telling->number = feedback->number;
    telling->what = letter_of(feedback->type);
    telling->fields = written(arena, &feedback->detail, event_detail_write);
    telling->outcome = written(arena, &feedback->detail, claim_outcome_write);
    telling->home = id_partition(&feedback->email);
    if (owner != NULL) {
        telling->owner = arena_copy(arena, owner->name);
        telling->home = owner->home;
    }
    telling->address = feedback->address;
    telling->done = done;
    telling->ctx = ctx;
    ask(telling);
}
