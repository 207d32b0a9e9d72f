#include "smtp/inbox_store.h"

#include "server/base/arena.h"
#include "server/base/list.h"
#include "server/base/mem.h"

#include <stdlib.h>

struct kept {
    struct list link;
    struct inbox_mail mail;
    struct arena *arena; /* of all but raw */
    char *raw;
};

struct inbox_store {
    struct list mails; /* the oldest first */
    size_t count;
    size_t count_max;
    size_t bytes;
    size_t bytes_max;
    uint64_t last_number;
};

struct inbox_store *inbox_store_create(size_t mails_max, size_t bytes_max)
{
    struct inbox_store *store = xcalloc(1, sizeof *store);

    CHECK(mails_max > 0);
    list_init(&store->mails);
    store->count_max = mails_max;
    store->bytes_max = bytes_max;
    return store;
}

static void drop(struct inbox_store *store, struct kept *kept)
{
    list_remove(&kept->link);
    store->count--;
    store->bytes -= kept->mail.raw.len;
    arena_destroy(&kept->arena);
    free(kept->raw);
    free(kept);
}

void inbox_store_clear(struct inbox_store *store)
{
    list_each_safe (link, &store->mails)
        drop(store, LIST_MEMBER(link, struct kept, link));
}

void inbox_store_destroy(struct inbox_store **store)
{
    if (*store == NULL)
        return;
    inbox_store_clear(*store);
    free(*store);
    *store = NULL;
}

static void make_room(struct inbox_store *store, size_t bytes)
{
    struct kept *oldest;

    while (store->count == store->count_max ||
           store->bytes + bytes > store->bytes_max) {
        oldest = LIST_FIRST(&store->mails, struct kept, link);
        CHECK(oldest != NULL);
        drop(store, oldest);
    }
}

static struct str *copy_all(struct arena *arena, const struct str *from,
                            size_t count)
{
    struct str *to = ARENA_ARRAY(arena, struct str, count);

    for (size_t i = 0; i < count; i++)
        to[i] = arena_copy(arena, from[i]);
    return to;
}

const struct inbox_mail *inbox_store_add(struct inbox_store *store,
                                         const struct inbox_envelope *envelope,
                                         struct buf *mail, struct str peer,
                                         int64_t at_ms)
{
    struct kept *kept;
    size_t len;

    if (mail->len > store->bytes_max)
        return NULL;
    make_room(store, mail->len);
    kept = xcalloc(1, sizeof *kept);
    kept->arena = arena_create();
    kept->raw = buf_take(mail, &len);
    kept->mail = (struct inbox_mail){
        .number = ++store->last_number,
        .at_ms = at_ms,
        .peer = arena_copy(kept->arena, peer),
        .hello = arena_copy(kept->arena, envelope->hello),
        .username = arena_copy(kept->arena, envelope->username),
        .tls = envelope->tls,
        .smtputf8 = envelope->smtputf8,
        .mail_from = arena_copy(kept->arena, envelope->mail_from),
        .rcpt_to =
            copy_all(kept->arena, envelope->rcpt_to, envelope->rcpt_count),
        .rcpt_count = envelope->rcpt_count,
        .raw = str_make(kept->raw, len),
    };
    list_add_last(&store->mails, &kept->link);
    store->count++;
    store->bytes += len;
    return &kept->mail;
}

static bool went_to(const struct inbox_mail *mail, struct str rcpt)
{
    for (size_t i = 0; i < mail->rcpt_count; i++)
        if (str_eq_nocase(mail->rcpt_to[i], rcpt))
            return true;
    return rcpt.len == 0;
}

const struct inbox_mail *inbox_store_next(const struct inbox_store *store,
                                          struct str rcpt, uint64_t after)
{
    list_each (link, &store->mails) {
        const struct inbox_mail *mail =
            &LIST_MEMBER(link, struct kept, link)->mail;

        if (mail->number > after && went_to(mail, rcpt))
            return mail;
    }
    return NULL;
}

const struct inbox_mail *inbox_store_newest(const struct inbox_store *store,
                                            struct str rcpt)
{
    for (struct list *link = store->mails.prev; link != &store->mails;
         link = link->prev) {
        const struct inbox_mail *mail =
            &LIST_MEMBER(link, struct kept, link)->mail;

        if (went_to(mail, rcpt))
            return mail;
    }
    return NULL;
}

size_t inbox_store_count(const struct inbox_store *store)
{
    return store->count;
}
