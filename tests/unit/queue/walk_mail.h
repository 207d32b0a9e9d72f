/* walk_mail.h - what callers and operators do to mails in a walk, by the
 * queue's door: store, cancel, retry, reschedule, requeue and drop what is
 * parked, tell what came back, keep addresses off.
 */
#ifndef TESTS_WALK_MAIL_H
#define TESTS_WALK_MAIL_H

#include "walk_model.h"

static inline int64_t some_minutes(struct walk *walk, unsigned max)
{
    return (1 + (int64_t)roll(walk, max)) * TICK_MS;
}

/* Between two ticks of the clock. */
static inline int64_t later_ms(struct walk *walk, unsigned minutes_max)
{
    return walk->now_ms + some_minutes(walk, minutes_max) + TICK_MS / 2;
}

static inline bool pick_email(struct walk *walk, size_t *out)
{
    size_t recent = walk->email_count < 40 ? walk->email_count : 40;

    if (walk->email_count == 0)
        return false;
    *out = one_in(walk, 4)
               ? roll(walk, (unsigned)walk->email_count)
               : walk->email_count - 1 - roll(walk, (unsigned)recent);
    return true;
}

/* --- storing --- */

struct walk_mail {
    struct str to[WALK_DELIVERIES_MAX];
    struct queue_recipient recipients[WALK_DELIVERIES_MAX];
    struct summary summary;
    struct queue_mail mail;
    struct job_attachment attachment;
    struct queue_blob blob;
    char key[SHA256_HEX_SIZE];
    char fingerprint[SHA256_HEX_SIZE];
};

static inline unsigned pick_count(struct walk *walk)
{
    if (one_in(walk, 60))
        return WALK_DELIVERIES_MAX;
    return one_in(walk, 3) ? 2 + roll(walk, 3) : 1;
}

static inline void address_mail(struct walk *walk, struct walk_mail *mail,
                                struct walk_email *email)
{
    unsigned route = roll(walk, WALK_ROUTES);

    email->count = pick_count(walk);
    email->deliveries = calloc(email->count, sizeof *email->deliveries);
    for (unsigned n = 0; n < email->count; n++) {
        struct walk_delivery *d = &email->deliveries[n];

        d->box = roll(walk, WALK_BOXES);
        d->route = one_in(walk, 4) ? roll(walk, WALK_ROUTES) : route;
        d->owner = email->owner;
        d->generation = 1;
        d->crashes = -1;
        mail->to[n] = str_of(WALK_BOX[d->box]);
        mail->recipients[n] =
            (struct queue_recipient){.number = n,
                                     .route = str_of(WALK_ROUTE[d->route]),
                                     .key = mail->to[n]};
    }
    mail->summary.to = mail->to;
    mail->summary.to_count = email->count;
    mail->mail.recipients = mail->recipients;
    mail->mail.recipient_count = email->count;
}

static inline void time_mail(struct walk *walk, struct walk_mail *mail)
{
    int64_t due_ms = walk->now_ms;

    if (one_in(walk, 3))
        mail->mail.due_ms = due_ms = later_ms(walk, 180);
    else if (one_in(walk, 12))
        mail->mail.due_ms = walk->now_ms - WALK_HOUR_MS;
    if (one_in(walk, 3))
        mail->summary.expires_ms =
            due_ms + some_minutes(walk, one_in(walk, 2) ? 20 : 600) +
            TICK_MS / 4;
    else if (!one_in(walk, 6))
        mail->mail.max_age_ms =
            some_minutes(walk, one_in(walk, 3) ? 30 : 3000) + TICK_MS / 4;
}

static inline void fill_mail(struct walk *walk, struct walk_mail *mail)
{
    static char bytes[700000];

    mail->summary.sensitive = one_in(walk, 6);
    if (one_in(walk, 15)) {
        mail->attachment = (struct job_attachment){
            .filename = S("a.bin"),
            .content_type = S("application/octet-stream"),
            .size_bytes = one_in(walk, 4) ? sizeof bytes : 100,
        };
        mail->blob.bytes = str_make(bytes, mail->attachment.size_bytes);
        mail->mail.attachments = &mail->attachment;
        mail->mail.attachment_bytes = &mail->blob;
        mail->mail.attachment_count = 1;
    }
}

/* A new key, or one that was seen. NULL: none. */
static inline struct walk_key *pick_key(struct walk *walk, unsigned owner,
                                        bool *is_other)
{
    struct walk_key *key;

    *is_other = false;
    if (!one_in(walk, 3))
        return NULL;
    if (walk->key_count > 0 && one_in(walk, 2)) {
        key = &walk->keys[roll(walk, (unsigned)walk->key_count)];
        *is_other = one_in(walk, 4);
        return key->owner == owner ? key : NULL;
    }
    if (walk->key_count == WALK_KEYS_MAX)
        return NULL;
    key = &walk->keys[walk->key_count];
    key->owner = owner;
    snprintf(key->key, sizeof key->key, "key %zu", walk->key_count);
    return key;
}

static inline void use_key(struct walk_mail *mail, const struct walk_key *key,
                           bool is_other)
{
    if (key == NULL)
        return;
    secret_sha256_hex(str_of(key->key), mail->key);
    secret_sha256_hex(is_other ? S("b") : S("a"), mail->fingerprint);
    mail->mail.idempotency.key_hash = str_of(mail->key);
    mail->mail.idempotency.fingerprint = str_of(mail->fingerprint);
}

static inline void complete_mail(struct walk *walk, struct walk_mail *mail,
                                 struct walk_email *email)
{
    static const enum mail_class CLASSES[LANE_COUNT] = {
        CLASS_VERIFICATION, CLASS_ALERT, CLASS_TRANSACTIONAL, CLASS_BULK};

    email->id = walk_id(walk, walk->owners[email->owner].home);
    email->lane = roll(walk, LANE_COUNT);
    mail->summary.email = email->id;
    mail->summary.owner = str_of(WALK_OWNER[email->owner]);
    mail->summary.from = S("Shop <shop@example.com>");
    mail->summary.subject = S("Your order");
    mail->summary.message_id = S("<m1@example.com>");
    mail->summary.mail_class = CLASSES[email->lane];
    mail->summary.created_ms = walk->now_ms;
    mail->mail.summary = &mail->summary;
    mail->mail.mail_json = S("{\"from\":\"shop@example.com\",\"text\":\"x\"}");
    mail->mail.date_ms = walk->now_ms;
    mail->mail.on_unknown = (enum on_unknown)roll(walk, 3);
    mail->mail.answer = S("{\"id\":\"first\"}");
}

static inline int64_t end_of(const struct walk *walk,
                             const struct walk_mail *mail)
{
    int64_t due_ms = mail->mail.due_ms;

    if (mail->summary.expires_ms > 0 || mail->mail.max_age_ms == 0)
        return mail->summary.expires_ms;
    return (due_ms > walk->now_ms ? due_ms : walk->now_ms) +
           mail->mail.max_age_ms;
}

static inline void expect_stored(struct walk *walk, struct walk_email *email,
                                 const struct walk_mail *mail)
{
    email->on_unknown = mail->mail.on_unknown;
    for (unsigned n = 0; n < email->count; n++) {
        struct walk_delivery *d = &email->deliveries[n];

        d->on_unknown = "rhf"[mail->mail.on_unknown];
        d->ends_ms = end_of(walk, mail);
        if (is_listed(walk, email->owner, d->box))
            expect(d, 'P');
        else
            expect(d, mail->mail.due_ms > walk->now_ms ? 'u' : 'q');
        d->state = d->allowed[0];
    }
}

static inline void check_refusal(struct walk *walk,
                                 const struct walk_email *email,
                                 const struct walk_key *key, bool is_other,
                                 bool is_seen, enum queue_status status)
{
    bool frozen = is_frozen(walk, email->owner);

    if (status == QUEUE_FROZEN || status == QUEUE_MOVED) {
        if (!frozen)
            walk_fail(walk, NO_EMAIL, "not stored: %d", status);
    } else if (status == QUEUE_REPLAY || status == QUEUE_CONFLICT) {
        if (!is_seen || key == NULL || is_other != (status == QUEUE_CONFLICT))
            walk_fail(walk, NO_EMAIL, "not stored: %d", status);
    } else if (status != QUEUE_OWNER_FULL) {
        walk_fail(walk, NO_EMAIL, "not stored: %d", status);
    }
}

static inline void op_store(struct walk *walk)
{
    struct walk_email *email = &walk->emails[walk->email_count];
    struct answered answered = {0};
    struct walk_mail mail = {0};
    struct walk_key *key;
    bool is_other;
    bool is_seen;

    if (walk->email_count == WALK_EMAILS_MAX)
        return;
    *email = (struct walk_email){.owner = roll(walk, WALK_OWNERS)};
    complete_mail(walk, &mail, email);
    address_mail(walk, &mail, email);
    time_mail(walk, &mail);
    fill_mail(walk, &mail);
    key = pick_key(walk, email->owner, &is_other);
    is_seen = key != NULL && key < &walk->keys[walk->key_count];
    use_key(&mail, key, is_other && is_seen);
    queue_enqueue(walk->queue, &mail.mail, on_answered, &answered);
    walk_until(walk, answered.count > 0);
    note(walk, walk->email_count,
         "store e%zu of %s: %u recipients, lane %u, due %+lld, deadline %+lld, "
         "key %s: %d",
         walk->email_count, WALK_OWNER[email->owner], email->count, email->lane,
         (long long)(mail.mail.due_ms == 0 ? 0
                                           : mail.mail.due_ms - walk->now_ms),
         (long long)(mail.summary.expires_ms == 0
                         ? 0
                         : mail.summary.expires_ms - walk->now_ms),
         key == NULL ? "-" : key->key, answered.status);
    if (answered.status != QUEUE_OK) {
        check_refusal(walk, email, key, is_other && is_seen, is_seen,
                      answered.status);
        free(email->deliveries);
        return;
    }
    if (is_frozen(walk, email->owner) || is_seen)
        walk_fail(walk, NO_EMAIL, "stored");
    expect_stored(walk, email, &mail);
    walk->email_count++;
    walk->key_count += key != NULL;
}

/* --- cancel --- */

struct walk_found {
    bool done;
    enum queue_status status;
};

static inline void on_found(void *ctx, const struct queue_email *email)
{
    struct walk_found *found = ctx;

    found->status = email->status;
    found->done = true;
}

/* Changes nothing: its owner is on his way, or it is gone. */
static inline bool is_out_of_reach(const struct walk *walk,
                                   const struct walk_email *email)
{
    return is_frozen(walk, email->owner) || email->deliveries[0].state == '-';
}

static inline void check_changed(struct walk *walk, size_t i,
                                 enum queue_status status, unsigned changed)
{
    bool ok = is_out_of_reach(walk, &walk->emails[i]) ||
              status == (changed > 0 ? QUEUE_OK : QUEUE_REFUSED);

    if (!ok)
        walk_fail(walk, i, "e%zu: %u were to change: %d", i, changed, status);
}

static inline void op_cancel(struct walk *walk)
{
    struct walk_found found = {0};
    struct walk_email *email;
    unsigned stopped = 0;
    size_t i;

    if (!pick_email(walk, &i))
        return;
    email = &walk->emails[i];
    queue_email_cancel(walk->queue, walk_owner(walk, email->owner), &email->id,
                       NULL, on_found, &found);
    walk_until(walk, found.done);
    note(walk, i, "cancel e%zu: %d", i, found.status);
    for (unsigned n = 0; !is_out_of_reach(walk, email) && n < email->count;
         n++) {
        struct walk_delivery *d = &email->deliveries[n];

        if (!is_open_state(d->state) || d->state == 'x')
            continue;
        set_final(d, 'C');
        stopped++;
    }
    check_changed(walk, i, found.status, stopped);
}

/* --- retry --- */

struct walk_retry {
    struct walk_found found;
    struct walk_email *email;
    struct queue_recipient recipients[WALK_DELIVERIES_MAX];
    struct queue_retry plan;
};

static inline bool on_retry(void *ctx, const struct queue_email *email,
                            struct queue_retry *out)
{
    struct walk_retry *retry = CONTAINER_OF(ctx, struct walk_retry, found);

    *out = retry->plan;
    out->recipient_count = email->delivery_count;
    for (size_t i = 0; i < email->delivery_count; i++)
        retry->recipients[i].number = email->deliveries[i].number;
    return true;
}

static inline bool may_reopen(const struct walk_email *email,
                              const struct walk_delivery *d)
{
    return strchr("BFPEC", d->state) != NULL && email->is_whole;
}

static inline void reopen(struct walk_delivery *d, const struct queue_retry *by)
{
    d->generation++;
    d->attempts = 0;
    d->is_ended = false;
    d->delays = 0;
    d->follow_ups[0] = '\0';
    d->ends_ms = by->ends_ms;
    d->crashes = -1;
    d->has_no_route = false;
    expect(d, 'q');
}

static inline unsigned expect_retry(struct walk_email *email,
                                    const struct walk_retry *retry)
{
    unsigned queued = 0;

    for (unsigned n = 0; n < email->count; n++) {
        struct walk_delivery *d = &email->deliveries[n];

        queued += d->state == 'q';
        if (strchr("uhk", d->state) != NULL) {
            d->crashes = d->state == 'k' ? 0 : d->crashes;
            expect(d, 'q');
            queued++;
        } else if (may_reopen(email, d)) {
            reopen(d, &retry->plan);
            queued++;
        }
    }
    return queued;
}

static inline void op_retry(struct walk *walk)
{
    struct walk_retry retry = {0};
    unsigned queued = 0;
    size_t i;

    if (!pick_email(walk, &i))
        return;
    retry.email = &walk->emails[i];
    for (unsigned n = 0; n < retry.email->count; n++)
        retry.recipients[n].route =
            str_of(WALK_ROUTE[retry.email->deliveries[n].route]);
    retry.plan = (struct queue_retry){
        .recipients = retry.recipients,
        .ends_ms = later_ms(walk, 600),
        .is_deadline = one_in(walk, 2),
        .on_unknown = retry.email->on_unknown,
    };
    queue_email_retry(walk->queue, walk_owner(walk, retry.email->owner),
                      &retry.email->id, NULL, on_retry, on_found, &retry.found);
    walk_until(walk, retry.found.done);
    note(walk, i, "retry e%zu: %d", i, retry.found.status);
    if (!is_out_of_reach(walk, retry.email))
        queued = expect_retry(retry.email, &retry);
    check_changed(walk, i, retry.found.status, queued);
}

/* --- reschedule --- */

struct walk_reschedule {
    struct walk_found found;
    struct queue_reschedule plan;
};

static inline bool on_reschedule(void *ctx, const struct queue_email *email,
                                 struct queue_reschedule *out)
{
    (void)email;
    *out = CONTAINER_OF(ctx, struct walk_reschedule, found)->plan;
    return true;
}

static inline bool is_untouched(const struct walk_delivery *d)
{
    return d->state == 'u' && d->attempts == 0 && d->generation == 1 && !d->dup;
}

static inline unsigned expect_reschedule(struct walk *walk,
                                         struct walk_email *email,
                                         const struct queue_reschedule *plan)
{
    unsigned moved = 0;

    for (unsigned n = 0; n < email->count; n++)
        if (!is_untouched(&email->deliveries[n]) &&
            email->deliveries[n].state != 'P')
            return 0;
    for (unsigned n = 0; n < email->count; n++) {
        struct walk_delivery *d = &email->deliveries[n];

        if (!is_untouched(d))
            continue;
        d->ends_ms = plan->ends_ms;
        if (plan->due_ms > walk->now_ms)
            wait_until(d, plan->due_ms);
        else
            expect(d, 'q');
        moved++;
    }
    return moved;
}

static inline void op_reschedule(struct walk *walk)
{
    struct walk_reschedule reschedule = {0};
    struct walk_email *email;
    unsigned moved = 0;
    size_t i;

    if (!pick_email(walk, &i))
        return;
    email = &walk->emails[i];
    reschedule.plan.due_ms =
        one_in(walk, 4) ? walk->now_ms - TICK_MS : later_ms(walk, 300);
    reschedule.plan.ends_ms = later_ms(walk, 600) + 300 * TICK_MS;
    if (email->deliveries[0].exp_ms > 0)
        reschedule.plan.expires_ms = reschedule.plan.ends_ms;
    queue_email_reschedule(walk->queue, walk_owner(walk, email->owner),
                           &email->id, on_reschedule, on_found,
                           &reschedule.found);
    walk_until(walk, reschedule.found.done);
    note(walk, i, "reschedule e%zu to %+lld: %d", i,
         (long long)(reschedule.plan.due_ms - walk->now_ms),
         reschedule.found.status);
    if (!is_out_of_reach(walk, email))
        moved = expect_reschedule(walk, email, &reschedule.plan);
    check_changed(walk, i, reschedule.found.status, moved);
}

/* --- held and dead --- */

struct walk_parked {
    bool done;
    enum queue_status status;
    uint64_t moved;
};

static inline void on_parked_moved(void *ctx, const struct parked_moved *moved)
{
    struct walk_parked *parked = ctx;

    parked->status = moved->status;
    parked->moved = moved->moved;
    parked->done = true;
}

static inline void op_parked(struct walk *walk)
{
    enum parked kind = one_in(walk, 2) ? PARKED_HELD : PARKED_DEAD;
    bool drop = one_in(walk, 3);
    char letter = kind == PARKED_HELD ? 'h' : 'k';
    struct str ids[WALK_DELIVERIES_MAX];
    char names[WALK_DELIVERIES_MAX][64];
    struct walk_parked parked = {0};
    size_t count = 0;
    size_t moved = 0;

    for (size_t i = 0; i < walk->email_count; i++) {
        for (unsigned n = 0; n < walk->emails[i].count; n++) {
            struct walk_delivery *d = &walk->emails[i].deliveries[n];

            if ((d->state != letter && !one_in(walk, 200)) ||
                count == WALK_DELIVERIES_MAX || one_in(walk, 3))
                continue;
            snprintf(names[count], sizeof names[count], "%s:%u",
                     walk->emails[i].id.text, n);
            ids[count] = str_of(names[count]);
            count++;
            if (d->state != letter || d->is_packed ||
                is_frozen(walk, walk->emails[i].owner))
                continue;
            d->crashes = d->state == 'k' ? 0 : d->crashes;
            expect(d, drop ? 'C' : 'q');
            note(walk, i, "%s e%zu:%u", drop ? "drop" : "requeue", i, n);
            moved++;
        }
    }
    if (count == 0)
        return;
    if (drop)
        queue_parked_drop(walk->queue, kind, S(""), ids, count, on_parked_moved,
                          &parked);
    else
        queue_parked_requeue(walk->queue, kind, S(""), ids, count,
                             on_parked_moved, &parked);
    walk_until(walk, parked.done);
    if (parked.moved != moved)
        walk_fail(walk, NO_EMAIL, "%u parked were moved, not %zu: %d",
                  (unsigned)parked.moved, moved, parked.status);
}

/* --- what came back --- */

struct walk_feedback {
    bool done;
    struct queue_feedback_answer answer;
};

static inline void on_feedback(void *ctx,
                               const struct queue_feedback_answer *answer)
{
    struct walk_feedback *feedback = ctx;

    feedback->answer = *answer;
    feedback->done = true;
}

static inline enum feedback_fate expect_feedback(struct walk_delivery *d,
                                                 char what)
{
    size_t len = strlen(d->follow_ups);

    if (d->state == '-')
        return FEEDBACK_GONE;
    if (strchr(d->follow_ups, what) != NULL || (what == 'd' && d->state == 'D'))
        return FEEDBACK_KNOWN;
    if (!is_final_state(d->state))
        return FEEDBACK_OPEN;
    if (what != 'c' && d->state != 'S' && d->state != 'D')
        return FEEDBACK_ENDED;
    d->follow_ups[len] = what;
    d->follow_ups[len + 1] = '\0';
    return FEEDBACK_TAKEN;
}

static inline void op_feedback(struct walk *walk)
{
    static const enum event_type TYPES[] = {EVENT_BOUNCED, EVENT_DELIVERED,
                                            EVENT_COMPLAINED};
    static const char LETTERS[] = {'b', 'd', 'c'};
    struct walk_feedback feedback = {0};
    unsigned what = roll(walk, 3);
    enum feedback_fate fate;
    struct queue_owner owner;
    struct queue_feedback told;
    unsigned n;
    size_t i;

    if (!pick_email(walk, &i) || is_frozen(walk, walk->emails[i].owner))
        return;
    n = roll(walk, walk->emails[i].count);
    owner = walk_owner(walk, walk->emails[i].owner);
    told = (struct queue_feedback){
        .email = walk->emails[i].id, .number = n, .type = TYPES[what]};
    fate = expect_feedback(&walk->emails[i].deliveries[n], LETTERS[what]);
    queue_feedback(walk->queue, &owner, &told, on_feedback, &feedback);
    walk_until(walk, feedback.done);
    note(walk, i, "e%zu:%u came back, %c: %d", i, n, LETTERS[what],
         feedback.answer.fate);
    if (feedback.answer.status != QUEUE_OK || feedback.answer.fate != fate)
        walk_fail(walk, i, "e%zu:%u came back: %d, not %d", i, n,
                  feedback.answer.fate, fate);
}

/* --- addresses --- */

static inline void op_keep_off(struct walk *walk)
{
    unsigned owner = roll(walk, WALK_OWNERS);
    struct str box = str_of(WALK_BOX[roll(walk, WALK_BOXES)]);
    struct suppression_entry entry = {box, box};
    struct answered answered = {0};

    queue_suppression_add(
        walk->queue, walk_owner(walk, owner), &entry, 1,
        (enum suppression_origin)roll(walk, SUPPRESSION_ORIGIN_COUNT), false,
        NULL, on_answered, &answered);
    walk_until(walk, answered.count > 0);
    note(walk, NO_EMAIL, "keep %.*s off for %s: %d", STR_ARG(box),
         WALK_OWNER[owner], answered.status);
}

static inline void op_let_in(struct walk *walk)
{
    unsigned owner = roll(walk, WALK_OWNERS);
    struct suppression_name name = {
        .key = str_of(WALK_BOX[roll(walk, WALK_BOXES)])};
    struct answered answered = {0};

    queue_suppression_remove(walk->queue, walk_owner(walk, owner), &name, 1,
                             false, NULL, on_answered, &answered);
    walk_until(walk, answered.count > 0);
    note(walk, NO_EMAIL, "let %.*s in for %s: %d", STR_ARG(name.key),
         WALK_OWNER[owner], answered.status);
}

#endif
