#include "server/worker/mails.h"

#include "server/base/fault.h"
#include "server/base/hand.h"
#include "server/base/mem.h"
#include "smtp/message/message.h"

#include <stdlib.h>

/* On the loop that is up to half a millisecond (docs/performance.md). */
enum { SMALL_EFFORT = 256 << 10 };

enum { WAIT_LOCKED_MS = 5000, WAIT_AWAY_MS = 1000 };

/* Mails that are signed one by one wake the loop one by one, which costs it
 * more than all that it does for them otherwise (docs/performance.md). */
enum { SIGNED_AT_ONCE = 8 };

static void run(void *ctx);
static void on_done(void *ctx);

static void beside_init(struct beside *beside, struct mails *mails,
                        bool composes)
{
    *beside = (struct beside){.mails = mails, .composes = composes};
    list_init(&beside->line);
    list_init(&beside->running);
    work_job_init(&beside->job, run, on_done, beside);
    task_init(&beside->done, on_done, beside);
}

void mails_init(struct mails *mails, struct loop *loop,
                struct keyholder *keyholder)
{
    *mails = (struct mails){.loop = loop, .keyholder = keyholder};
    list_init(&mails->all);
    beside_init(&mails->composer, mails, true);
    beside_init(&mails->signer, mails, false);
}

/* --- one of them --- */

/* Only a mail to several people can be there already; the usual one is spared
 * the walk along all that are in hand. */
static struct mail *mail_find(const struct mails *mails,
                              const struct record *record)
{
    if (summary_recipient_count(&record->summary) < 2)
        return NULL;
    list_each (link, &mails->all) {
        struct mail *mail = LIST_MEMBER(link, struct mail, link);

        if (mail->record == record)
            return mail;
    }
    return NULL;
}

static void on_keys(void *ctx);

static struct mail *mail_create(struct mails *mails,
                                const struct queue_claim *claim)
{
    struct mail *mail = xcalloc(1, sizeof *mail);

    mail->mails = mails;
    mail->record = claim->record;
    mail->attachments = claim->attachments;
    mail->lane = claim->lane;
    mail->arena = arena_create();
    mail->keys.ready = on_keys;
    mail->keys.ctx = mail;
    buf_init(&mail->bytes, MESSAGE_BYTES_MAX + COMPOSE_SIGNED_MAX);
    list_init(&mail->turn);
    list_init(&mail->waiting);
    list_add_first(&mails->all, &mail->link);
    return mail;
}

static void mail_free(struct mail *mail)
{
    CHECK(!mail->is_running);
    list_remove(&mail->link);
    list_remove(&mail->turn);
    dkim_keys_leave(&mail->keys);
    buf_finish(&mail->bytes);
    arena_destroy(&mail->arena);
    free(mail);
}

/* Pure: what it reads is not changed by anybody meanwhile. */
static void mail_compose(struct mail *mail)
{
    mail->is_good = compose(mail->record, mail->attachments, mail->arena,
                            &mail->bytes, &mail->composed, &mail->flaw);
    fault_poison(buf_str(&mail->bytes));
}

static void mail_sign(struct mail *mail)
{
    if (mail->is_good && mail->keys.keys != NULL)
        compose_sign(&mail->keys.keys->signing, mail->record->job.date_ms,
                     &mail->composed, &mail->bytes);
}

static void mail_drop(struct mail *mail)
{
    if (--mail->users == 0)
        mail_free(mail);
}

static void mail_tell(struct mail *mail)
{
    struct mail_user *user;

    mail->is_done = true;
    mail->users++; /* a user who is told may leave */
    while ((user = LIST_FIRST(&mail->waiting, struct mail_user, link)) !=
           NULL) {
        list_remove(&user->link);
        user->ready(user->ctx);
    }
    mail_drop(mail);
}

/* --- beside the loop --- */

/* On the helper thread. Who is more urgent than these waits for one of them,
 * not for all. */
static void run(void *ctx)
{
    struct beside *beside = ctx;

    list_each (link, &beside->running) {
        struct mail *mail = LIST_MEMBER(link, struct mail, turn);

        if (beside->composes)
            mail_compose(mail);
        mail_sign(mail);
        mail->is_made = true;
        if (atomic_load(&beside->is_urged))
            return;
    }
}

/* Should the thread crash on what came from outside, the mail is suspect. */
static void take(struct beside *beside, struct mail *mail)
{
    list_remove(&mail->turn);
    list_add_last(&beside->running, &mail->turn);
    mail->is_running = true;
    if (beside->composes)
        hand_hold(id_str(&mail->record->summary.email));
}

/* Some of one lane. */
static void take_next(struct beside *beside)
{
    unsigned room = beside->composes ? 1 : SIGNED_AT_ONCE;
    const struct mail *first = LIST_FIRST(&beside->line, struct mail, turn);
    struct mail *mail;

    if (first == NULL || !list_is_empty(&beside->running))
        return;
    while (room-- > 0 &&
           (mail = LIST_FIRST(&beside->line, struct mail, turn)) != NULL &&
           mail->lane == first->lane)
        take(beside, mail);
    atomic_store(&beside->is_urged, false);
    if (work_submit(beside->work, &beside->job))
        return;
    run(beside); /* there is no thread to be had */
    task_run_soon(beside->mails->loop, &beside->done);
}

/* Behind those who are as urgent; or before them, where it has stood. */
static void stand(struct beside *beside, struct mail *mail, bool is_back)
{
    struct list *at = beside->line.next;

    while (at != &beside->line &&
           LIST_MEMBER(at, struct mail, turn)->lane + is_back <= mail->lane)
        at = at->next;
    list_add_before(at, &mail->turn);
}

/* The thread has left them alone. */
static void let_go(struct beside *beside, struct list *made)
{
    while (!list_is_empty(&beside->running)) {
        struct mail *mail =
            LIST_MEMBER(beside->running.prev, struct mail, turn);

        list_remove(&mail->turn);
        mail->is_running = false;
        if (beside->composes)
            hand_release();
        if (mail->is_made)
            list_add_first(made, &mail->turn);
        else
            stand(beside, mail, true);
    }
}

static void on_done(void *ctx)
{
    struct beside *beside = ctx;
    struct list made;
    struct mail *mail;

    list_init(&made);
    let_go(beside, &made);
    take_next(beside);
    while ((mail = LIST_FIRST(&made, struct mail, turn)) != NULL) {
        list_remove(&mail->turn);
        mail_tell(mail);
    }
}

static void line_up(struct beside *beside, struct mail *mail)
{
    const struct mail *running =
        LIST_FIRST(&beside->running, struct mail, turn);

    stand(beside, mail, false);
    if (running != NULL && mail->lane < running->lane)
        atomic_store(&beside->is_urged, true);
    if (beside->work == NULL)
        beside->work = work_open(beside->mails->loop, 1, 1);
    take_next(beside);
}

static void beside_stop(struct beside *beside)
{
    work_close(&beside->work);
    task_cancel(&beside->done);
    let_go(beside, &beside->line);
}

void mails_stop(struct mails *mails)
{
    beside_stop(&mails->composer);
    beside_stop(&mails->signer);
}

/* --- their keys --- */

/* True: those that it needs are there, or it needs none. */
static bool has_keys(struct mail *mail)
{
    const struct dkim_keys *keys = mail->keys.keys;

    if (keys == NULL || keys->state == DKIM_KEYS_READY)
        return true;
    mail->flaw = keys->why;
    if (keys->state == DKIM_KEYS_LOCKED)
        mail->wait_ms = WAIT_LOCKED_MS;
    else if (keys->state == DKIM_KEYS_AWAY)
        mail->wait_ms = WAIT_AWAY_MS;
    return false;
}

/* True: nothing more is to be done. */
static bool mail_begin(struct mail *mail)
{
    struct mails *mails = mail->mails;

    if (!has_keys(mail))
        return true;
    if (compose_effort(mail->record) > SMALL_EFFORT) {
        line_up(&mails->composer, mail);
        return false;
    }
    mail_compose(mail);
    if (!mail->is_good || mail->keys.keys == NULL)
        return true;
    line_up(&mails->signer, mail);
    return false;
}

static void on_keys(void *ctx)
{
    struct mail *mail = ctx;

    hand_take(id_str(&mail->record->summary.email));
    if (mail_begin(mail))
        mail_tell(mail);
    hand_drop();
}

static bool mail_ask(struct mail *mail, const struct queue_claim *claim)
{
    const struct record *record = mail->record;
    const struct queue_owner owner = {record->summary.owner, claim->home};

    if (record->job.signing.key.len > 0 &&
        !dkim_keys_join(mail->mails->keyholder, owner, &record->job.signing,
                        &mail->keys))
        return false;
    return mail_begin(mail);
}

/* --- its users --- */

bool mail_join(struct mails *mails, const struct queue_claim *claim,
               struct mail_user *user)
{
    struct mail *mail = mail_find(mails, claim->record);

    if (mail == NULL) {
        mail = mail_create(mails, claim);
        mail->is_done = mail_ask(mail, claim);
    }
    mail->users++;
    user->mail = mail;
    list_init(&user->link);
    if (!mail->is_done)
        list_add_last(&mail->waiting, &user->link);
    return mail->is_done;
}

void mail_leave(struct mail_user *user)
{
    list_remove(&user->link);
    mail_drop(user->mail);
    user->mail = NULL;
}
