/* roam_work.h - who works on a cluster that has no rest
 * (test_cluster_walk.c): callers, worker children and hooks children, all by
 * the queue's door; and what became of each mail by what they were told.
 */
#ifndef TESTS_ROAM_WORK_H
#define TESTS_ROAM_WORK_H

#include "roam_servers.h"

#include "queue/queue.h"

enum {
    ROAM_MAILS_MAX = 20000,
    ROAM_OWNERS = 4,
    ROAM_CHILDREN = 2,
    ROAM_HELD = 16,
    ROAM_UNDER_WAY = 8,
    ROAM_SOON_MS = 400,
    ROAM_BLOB = 200000
};

struct roam;

enum answered_as { NOT_ANSWERED, STORED, NOT_STORED, MAY_BE_STORED };

struct roam_mail {
    struct roam *roam;
    struct id id;
    unsigned owner;
    enum answered_as answer;
    char key[SHA256_HEX_SIZE]; /* of its idempotency; "": none */
    size_t again_of;           /* another mail of that key; SIZE_MAX: none */
    int64_t due_ms; /* not before that, as far as it is known; 0: at once */
    bool is_asked;  /* a caller's question about it is under way */
    bool may_be_canceled;
    bool is_canceled;
    unsigned dots; /* of mail that may have been delivered */
    char told[64]; /* the webhook's id; "": not told yet */
    bool is_told;
    enum delivery_state state; /* at the end */
    bool is_found;
    bool is_unseen; /* nobody knows */
};

/* A claim of a child's. */
struct hold {
    struct roam_child *child;
    struct queue_claim *claim; /* NULL: free */
    struct roam_mail *mail;
    bool is_out; /* its dot is sent, and nothing is reported yet */
};

struct roam_child {
    struct roam *roam;
    struct queue *queue;
    struct queue_worker side;
    struct hold holds[ROAM_HELD];
    size_t held;
    bool is_drained;
};

struct roam_hooks {
    struct roam *roam;
    struct queue *queue;
    struct queue_hooks side;
    struct queue_task *held[ROAM_HELD];
    size_t held_count;
    bool is_drained;
};

struct roam {
    struct roam_servers servers;
    struct walk *walk; /* dice and words */
    struct loop *loop;
    struct keyring *keyring;
    struct queue *api;
    struct roam_child children[ROAM_CHILDREN];
    struct roam_hooks hooks;
    struct roam_mail *mails;
    size_t mail_count;
    size_t answered;
    size_t under_way;
    size_t asked; /* questions under way */
    size_t released;
    int64_t next_ms; /* when the next mail is posted */
    unsigned homes[ROAM_OWNERS];
    bool is_moving; /* one of them */
    unsigned mover; /* who moves, or moved last */
    bool is_half_moved;
};

static const struct str ROAM_ROUTES[] = {STR("main")};
static const char *const ROAM_OWNER[ROAM_OWNERS] = {"ann", "bob", "cid", "dan"};

static inline struct queue_owner owner_of_mail(const struct roam_mail *mail)
{
    return (struct queue_owner){.name = str_of(ROAM_OWNER[mail->owner]),
                                .home = mail->roam->homes[mail->owner]};
}

static inline struct roam_mail *mail_of(struct roam *roam, struct str id)
{
    for (size_t i = roam->mail_count; i-- > 0;)
        if (str_eq(id_str(&roam->mails[i].id), id))
            return &roam->mails[i];
    walk_fail(roam->walk, NO_EMAIL, "nobody sent %.*s", STR_ARG(id));
    return NULL;
}

static inline size_t index_of(const struct roam_mail *mail)
{
    return (size_t)(mail - mail->roam->mails);
}

static inline void mail_note(const struct roam_mail *mail, const char *text)
{
    note(mail->roam->walk, index_of(mail), "e%zu {%u}: %s", index_of(mail),
         mail->roam->homes[mail->owner], text);
}

/* Tells what Redis has of it, too. */
static inline void mail_fail(const struct roam_mail *mail, const char *text)
{
    const struct server *home = all_are_there(&mail->roam->servers)
                                    ? home_of(mail->roam->homes[mail->owner])
                                    : NULL;

    fprintf(stderr, "e%zu is %s of {%u}: %s\n", index_of(mail), mail->id.text,
            mail->roam->homes[mail->owner],
            home == NULL
                ? "?"
                : server_ask(home, "HGETALL ph:{%u}:d:%s:0",
                             mail->roam->homes[mail->owner], mail->id.text));
    print_lines(mail->roam->walk, index_of(mail));
    fail_msg("WALK_SEED=%u: e%zu: %s", mail->roam->walk->seed, index_of(mail),
             text);
}

/* --- callers --- */

/* Behind a key there is one mail, whichever answer was lost. */
static inline void check_key(struct roam_mail *mail, enum queue_status status)
{
    struct roam_mail *before = &mail->roam->mails[mail->again_of];

    if (status == QUEUE_OK)
        before->answer = NOT_STORED;
    else
        before->answer = STORED;
    if (before->answer == NOT_STORED && before->dots > 0)
        mail_fail(before, "a second one of its key is stored");
}

static inline void on_posted(void *ctx, const struct queue_answer *answer)
{
    struct roam_mail *mail = ctx;

    mail->roam->under_way--;
    mail->roam->answered++;
    if (answer->status == QUEUE_OK)
        mail->answer = STORED;
    else if (answer->status == QUEUE_AWAY)
        mail->answer = MAY_BE_STORED;
    else
        mail->answer = NOT_STORED;
    if (mail->again_of != SIZE_MAX &&
        (answer->status == QUEUE_OK || answer->status == QUEUE_REPLAY))
        check_key(mail, answer->status);
    else if (answer->status == QUEUE_REPLAY || answer->status == QUEUE_CONFLICT)
        mail_fail(mail, "its key was never used");
    if (mail->answer == NOT_STORED && mail->dots > 0)
        mail_fail(mail, "it is sent, and was not stored");
    mail_note(mail, mail->answer == STORED       ? "stored"
                    : mail->answer == NOT_STORED ? answer->why.text
                                                 : "perhaps stored");
}

static inline void post(struct roam_mail *mail, int64_t due_ms, bool is_large)
{
    static const char zeros[ROAM_BLOB];
    static struct str to[] = {STR("one@example.net")};
    const struct queue_recipient recipient = {.route = S("main")};
    const struct job_attachment attachment = {.filename = S("a.bin"),
                                              .content_type =
                                                  S("application/octet-stream"),
                                              .size_bytes = sizeof zeros};
    const struct queue_blob blob = {str_make(zeros, sizeof zeros)};
    const struct summary summary = {.email = mail->id,
                                    .owner = str_of(ROAM_OWNER[mail->owner]),
                                    .from = S("Shop <shop@example.com>"),
                                    .to = to,
                                    .to_count = 1,
                                    .subject = S("Your order"),
                                    .mail_class = CLASS_TRANSACTIONAL,
                                    .message_id = S("<m1@example.com>"),
                                    .created_ms = clock_wall_ms()};
    const struct queue_mail job = {
        .summary = &summary,
        .mail_json = S("{\"from\":\"shop@example.com\",\"text\":\"x\"}"),
        .recipients = &recipient,
        .recipient_count = 1,
        .attachments = &attachment,
        .attachment_bytes = &blob,
        .attachment_count = is_large,
        .date_ms = summary.created_ms,
        .due_ms = due_ms,
        .max_age_ms = WALK_DAY_MS,
        .idempotency = {.key_hash = str_of(mail->key),
                        .fingerprint = str_of(mail->key)},
        .answer = S("{}")};

    mail->due_ms = due_ms;
    mail->roam->under_way++;
    queue_enqueue(mail->roam->api, &job, on_posted, mail);
}

static inline struct roam_mail *mail_new(struct roam *roam, unsigned owner)
{
    struct roam_mail *mail = &roam->mails[roam->mail_count++];

    assert_true(roam->mail_count < ROAM_MAILS_MAX);
    *mail = (struct roam_mail){.roam = roam,
                               .id = id_new(roam->homes[owner]),
                               .owner = owner,
                               .again_of = SIZE_MAX};
    return mail;
}

static inline void post_new(struct roam *roam)
{
    struct walk *walk = roam->walk;
    struct roam_mail *mail = mail_new(roam, roll(walk, ROAM_OWNERS));
    int64_t due_ms = 0;
    char key[32];

    if (one_in(walk, 4))
        due_ms = clock_wall_ms() + 1 + roll(walk, ROAM_SOON_MS);
    if (one_in(walk, 3)) {
        snprintf(key, sizeof key, "key %zu", index_of(mail));
        secret_sha256_hex(str_of(key), mail->key);
    }
    post(mail, due_ms, one_in(walk, 10));
}

/* As a caller does who got no answer. */
static inline bool post_again(struct roam *roam)
{
    for (size_t i = roam->mail_count; i-- > 0;) {
        struct roam_mail *before = &roam->mails[i];
        struct roam_mail *mail;

        if (before->answer != MAY_BE_STORED || before->key[0] == '\0' ||
            before->again_of != SIZE_MAX)
            continue;
        mail = mail_new(roam, before->owner);
        memcpy(mail->key, before->key, sizeof mail->key);
        before->again_of = index_of(before); /* asked once */
        mail->again_of = i;
        mail_note(mail, "posted again");
        post(mail, 0, false);
        return true;
    }
    return false;
}

static inline void on_canceled(void *ctx, const struct queue_email *email)
{
    struct roam_mail *mail = ctx;

    mail->roam->asked--;
    mail->is_asked = false;
    if (email->status == QUEUE_NOT_FOUND)
        mail_fail(mail, "it is lost");
    mail->may_be_canceled |=
        email->status == QUEUE_OK || email->status == QUEUE_AWAY;
    mail->is_canceled |= email->status == QUEUE_OK;
    mail_note(mail, email->status == QUEUE_OK     ? "canceled"
                    : email->status == QUEUE_AWAY ? "perhaps canceled"
                                                  : "not canceled");
}

/* The earlier of the two counts: the answer may be lost. */
static inline bool plan_reschedule(void *ctx, const struct queue_email *email,
                                   struct queue_reschedule *out)
{
    struct roam_mail *mail = ctx;
    int64_t due_ms =
        clock_wall_ms() + 1 + (int64_t)(index_of(mail) % ROAM_SOON_MS);

    (void)email;
    if (due_ms < mail->due_ms)
        mail->due_ms = due_ms;
    *out = (struct queue_reschedule){.due_ms = due_ms,
                                     .ends_ms = due_ms + WALK_DAY_MS};
    return true;
}

static inline void on_rescheduled(void *ctx, const struct queue_email *email)
{
    struct roam_mail *mail = ctx;

    mail->roam->asked--;
    mail->is_asked = false;
    if (email->status == QUEUE_NOT_FOUND)
        mail_fail(mail, "it is lost");
    mail_note(mail, "rescheduled, or not");
}

static inline void change_one(struct roam *roam)
{
    struct walk *walk = roam->walk;
    unsigned recent = roam->mail_count < 20 ? (unsigned)roam->mail_count : 20;
    struct roam_mail *mail;

    if (recent == 0 || roam->asked >= ROAM_UNDER_WAY)
        return;
    mail = &roam->mails[roam->mail_count - 1 - roll(walk, recent)];
    if (mail->answer != STORED || mail->is_asked)
        return;
    mail->is_asked = true;
    roam->asked++;
    if (mail->due_ms > 0 && one_in(walk, 2))
        queue_email_reschedule(roam->api, owner_of_mail(mail), &mail->id,
                               plan_reschedule, on_rescheduled, mail);
    else
        queue_email_cancel(roam->api, owner_of_mail(mail), &mail->id, NULL,
                           on_canceled, mail);
}

/* --- worker children --- */

static inline size_t child_room(void *ctx, struct str route, unsigned lane)
{
    const struct roam_child *child = ctx;

    (void)route;
    (void)lane;
    return ROAM_HELD - child->held;
}

static inline void hold_end(struct hold *hold, enum outcome outcome,
                            int64_t retry_at_ms)
{
    static const struct event_detail detail = {.code = 250,
                                               .response = STR("Ok")};
    static const char *const NAMES[] = {
        "sent", "soft", "expired", "bounced", "failed", "unsent", "unknown"};
    struct queue_claim *claim = hold->claim;

    mail_note(hold->mail, NAMES[outcome]);
    hold->claim = NULL;
    hold->child->held--;
    queue_report(hold->child->queue, claim, outcome, retry_at_ms, false,
                 &detail);
}

/* The server may have taken it. */
static inline void send_dot(struct hold *hold)
{
    struct roam_mail *mail = hold->mail;

    if (mail->is_canceled)
        mail_fail(mail, "it is sent, and was canceled");
    if (mail->answer == NOT_STORED)
        mail_fail(mail, "it is sent, and was not stored");
    if (mail->dots > 0 && !hold->claim->possible_duplicate)
        mail_fail(mail, "it is sent twice, and nothing says so");
    mail->dots++;
    mail_note(mail,
              hold->claim->possible_duplicate ? "a dot, flagged" : "a dot");
}

static inline void on_roam_marked(void *ctx, bool may_go,
                                  int64_t valid_until_ms)
{
    struct hold *hold = ctx;
    struct walk *walk = hold->child->roam->walk;
    unsigned dice = roll(walk, 20);

    if (!may_go || clock_now_ms() > valid_until_ms || dice == 0) {
        hold_end(hold, OUTCOME_UNSENT, 0);
    } else if (dice < 3) { /* refused: certainly not delivered */
        hold_end(hold, OUTCOME_SOFT, clock_wall_ms() + 1 + roll(walk, 50));
    } else {
        send_dot(hold);
        hold->is_out = dice < 9;
        if (dice == 9)
            hold_end(hold, OUTCOME_UNKNOWN, 0);
        else if (!hold->is_out)
            hold_end(hold, OUTCOME_SENT, 0);
    }
}

static inline void child_claimed(void *ctx, struct queue_claim *claim)
{
    struct roam_child *child = ctx;
    struct hold *hold = child->holds;

    while (hold->claim != NULL)
        hold++;
    assert_true(hold < child->holds + ROAM_HELD);
    *hold = (struct hold){.child = child,
                          .claim = claim,
                          .mail = mail_of(child->roam, id_str(&claim->email))};
    child->held++;
    mail_note(hold->mail, "claimed");
    if (clock_wall_ms() < hold->mail->due_ms)
        mail_fail(hold->mail, "it is claimed before it is due");
    queue_mark(child->queue, claim, on_roam_marked, hold);
}

static inline struct str child_reroute(void *ctx, const struct record *record,
                                       unsigned number)
{
    (void)ctx;
    (void)record;
    (void)number;
    return S("main");
}

static inline void child_start(struct roam_child *child)
{
    struct roam *roam = child->roam;

    *child = (struct roam_child){
        .roam = roam,
        .queue = queue_open(roam->loop, &fixture.config, roam->keyring),
        .side = {.ctx = child,
                 .room = child_room,
                 .claimed = child_claimed,
                 .reroute = child_reroute,
                 .routes = ROAM_ROUTES,
                 .route_count = COUNT_OF(ROAM_ROUTES)}};
    queue_worker_start(child->queue, &child->side);
}

/* One that was sent a while ago. */
static inline void child_tell(struct roam_child *child)
{
    size_t first = roll(child->roam->walk, ROAM_HELD);

    for (size_t i = 0; i < ROAM_HELD; i++) {
        struct hold *hold = &child->holds[(first + i) % ROAM_HELD];

        if (hold->claim == NULL || !hold->is_out)
            continue;
        hold_end(hold, OUTCOME_SENT, 0);
        queue_worker_hungry(child->queue);
        return;
    }
}

static inline void on_roam_released(void *ctx, bool ok)
{
    struct roam *roam = ctx;

    (void)ok; /* then the lease ends */
    roam->released++;
}

/* A supervisor gives back what it held, or nobody notices. */
static inline void child_crash(struct roam_child *child)
{
    struct roam *roam = child->roam;
    struct str epoch = queue_worker_epoch(child->queue);
    char text[64];

    snprintf(text, sizeof text, "%.*s", STR_ARG(epoch));
    note(roam->walk, NO_EMAIL, "a child dies with %zu in hand", child->held);
    queue_close(&child->queue);
    if (text[0] != '\0' && !one_in(roam->walk, 3))
        queue_release(roam->api, str_of(text), S(""), on_roam_released, roam);
    child_start(child);
}

/* --- hooks --- */

static inline size_t hooks_room(void *ctx)
{
    return ROAM_HELD - ((const struct roam_hooks *)ctx)->held_count;
}

static inline struct roam_mail *mail_of_payload(struct roam *roam,
                                                struct str payload)
{
    static const struct str WORD = STR("\"email_id\":\"");
    ptrdiff_t at = str_find(payload, WORD, 0);

    assert_true(at >= 0);
    return mail_of(roam, str_slice(payload, (size_t)at + WORD.len, ID_LEN));
}

/* It goes by one name, however often it is told. */
static inline void task_end(struct roam_hooks *hooks, struct queue_task *task)
{
    static const struct task_detail detail = {.http_status = 200};
    struct roam_mail *mail = mail_of_payload(hooks->roam, task->payload);
    char id[sizeof mail->told];

    snprintf(id, sizeof id, "%.*s", STR_ARG(task->webhook_id));
    if (mail->told[0] != '\0' && strcmp(mail->told, id) != 0)
        mail_fail(mail, "its end is told under two names");
    memcpy(mail->told, id, sizeof id);
    mail->is_told = true;
    mail_note(mail, "told");
    queue_task_report(hooks->queue, task, TASK_DONE, 0, &detail);
}

static inline void hooks_claimed(void *ctx, struct queue_task *task)
{
    static const struct task_detail detail = {.http_status = 503};
    struct roam_hooks *hooks = ctx;
    struct walk *walk = hooks->roam->walk;
    unsigned dice = roll(walk, 8);

    mail_note(mail_of_payload(hooks->roam, task->payload), "to be told");
    if (dice == 0)
        queue_task_report(hooks->queue, task, TASK_AGAIN,
                          clock_wall_ms() + 1 + roll(walk, 50), &detail);
    else if (dice == 1)
        queue_task_report(hooks->queue, task, TASK_UNSENT, 0, NULL);
    else if (dice < 4 && hooks->held_count < ROAM_HELD)
        hooks->held[hooks->held_count++] = task;
    else
        task_end(hooks, task);
}

static inline void hooks_tell(struct roam_hooks *hooks)
{
    if (hooks->held_count == 0)
        return;
    task_end(hooks, hooks->held[--hooks->held_count]);
    queue_hooks_hungry(hooks->queue);
}

static inline void hooks_start(struct roam_hooks *hooks)
{
    struct roam *roam = hooks->roam;

    *hooks = (struct roam_hooks){
        .roam = roam,
        .queue = queue_open(roam->loop, &fixture.config, roam->keyring),
        .side = {.ctx = hooks, .room = hooks_room, .claimed = hooks_claimed}};
    queue_hooks_start(hooks->queue, &hooks->side);
}

static inline void hooks_crash(struct roam_hooks *hooks)
{
    note(hooks->roam->walk, NO_EMAIL, "hooks die with %zu in hand",
         hooks->held_count);
    queue_close(&hooks->queue);
    hooks_start(hooks);
}

#endif
