#include "server/worker/mails.h"

#include "server/base/fault.h"
#include "server/base/hand.h"
#include "server/base/mem.h"
#include "server/worker/compose.h"
#include "smtp/message/message.h"

#include <stdlib.h>

/* On the loop that is up to half a millisecond (docs/performance.md). */
enum { SMALL_EFFORT = 256 << 10 };

void mails_init(struct mails *mails, struct loop *loop)
{
    *mails = (struct mails){.loop = loop};
    list_init(&mails->all);
    list_init(&mails->line);
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

static struct mail *mail_create(struct mails *mails,
                                const struct queue_claim *claim)
{
    struct mail *mail = xcalloc(1, sizeof *mail);

    mail->mails = mails;
    mail->record = claim->record;
    mail->attachments = claim->attachments;
    mail->lane = claim->lane;
    mail->arena = arena_create();
    buf_init(&mail->bytes, MESSAGE_BYTES_MAX);
    list_init(&mail->turn);
    list_init(&mail->waiting);
    list_add_first(&mails->all, &mail->link);
    return mail;
}

static void mail_free(struct mail *mail)
{
    CHECK(mail != mail->mails->running);
    list_remove(&mail->link);
    list_remove(&mail->turn);
    buf_finish(&mail->bytes);
    arena_destroy(&mail->arena);
    free(mail);
}

/* Pure: what it reads is not changed by anybody meanwhile. */
static void mail_compose(struct mail *mail)
{
    mail->is_good =
        compose(mail->record, mail->attachments, mail->arena, &mail->bytes,
                &mail->from, &mail->needs_utf8, &mail->flaw);
    fault_poison(buf_str(&mail->bytes));
}

static void mail_drop(struct mail *mail)
{
    if (--mail->users == 0)
        mail_free(mail);
}

static void mail_tell(struct mail *mail)
{
    struct mail_user *user;

    mail->is_composed = true;
    mail->users++; /* a user who is told may leave */
    while ((user = LIST_FIRST(&mail->waiting, struct mail_user, link)) !=
           NULL) {
        list_remove(&user->link);
        user->ready(user->ctx);
    }
    mail_drop(mail);
}

/* --- beside the loop --- */

/* On the helper thread. */
static void run(void *ctx)
{
    const struct mails *mails = ctx;

    mail_compose(mails->running);
}

/* Should the thread crash on it, the mail is suspect. */
static void compose_next(struct mails *mails)
{
    struct mail *mail = LIST_FIRST(&mails->line, struct mail, turn);

    if (mail == NULL || mails->running != NULL)
        return;
    list_remove(&mail->turn);
    mails->running = mail;
    hand_hold(id_str(&mail->record->summary.email));
    CHECK(work_submit(mails->work, &mails->job));
}

static void on_composed(void *ctx)
{
    struct mails *mails = ctx;
    struct mail *mail = mails->running;

    mails->running = NULL;
    hand_release();
    compose_next(mails);
    mail_tell(mail);
}

static void line_up(struct mails *mails, struct mail *mail)
{
    struct list *at = mails->line.next;

    while (at != &mails->line &&
           LIST_MEMBER(at, struct mail, turn)->lane <= mail->lane)
        at = at->next;
    list_add_before(at, &mail->turn);
    if (mails->work == NULL) {
        mails->work = work_open(mails->loop, 1, 1);
        work_job_init(&mails->job, run, on_composed, mails);
    }
    compose_next(mails);
}

void mails_stop(struct mails *mails)
{
    work_close(&mails->work);
    if (mails->running != NULL)
        hand_release();
    mails->running = NULL;
}

/* --- its users --- */

bool mail_join(struct mails *mails, const struct queue_claim *claim,
               struct mail_user *user)
{
    struct mail *mail = mail_find(mails, claim->record);

    if (mail == NULL) {
        mail = mail_create(mails, claim);
        mail->is_composed = compose_effort(mail->record) <= SMALL_EFFORT;
        if (mail->is_composed)
            mail_compose(mail);
        else
            line_up(mails, mail);
    }
    mail->users++;
    user->mail = mail;
    list_init(&user->link);
    if (!mail->is_composed)
        list_add_last(&mail->waiting, &user->link);
    return mail->is_composed;
}

void mail_leave(struct mail_user *user)
{
    list_remove(&user->link);
    mail_drop(user->mail);
    user->mail = NULL;
}
