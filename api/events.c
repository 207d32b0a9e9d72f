/* GET /events: the owner's events in their order, for a reader that asks. */
#include "api/call.h"
#include "api/email_view.h"

enum { PAGE_SPARE = 64 * 1024 };

static void refuse_old(struct call *call, struct str oldest)
{
    struct str why = arena_printf(
        call->arena,
        "lies before the oldest event that is kept: some are gone. Go on with "
        "after=%.*s",
        STR_ARG(oldest));

    query_fault(call, "after", "cursor_too_old", why.ptr);
    CHECK(!query_is_good(call)); /* replied */
}

static void on_pulled(void *ctx, const struct queue_pull *pull)
{
    struct call *call = ctx;
    struct buf body;

    if (pull->status == QUEUE_NOT_FOUND) {
        refuse_old(call, pull->next);
        return;
    }
    if (pull->status != QUEUE_OK) {
        call_fail_queue(call, pull->status, &pull->why, NULL);
        return;
    }
    buf_init(&body, PAGE_SPARE + pull->count * EMAIL_ITEM_MAX);
    events_view(pull, &body);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

void events_list(struct call *call)
{
    struct str after = S("");
    unsigned limit;

    if (http_query(call->request, "after", &after) &&
        !queue_cursor_is_good(call->key.owner, after))
        query_fault(call, "after", "invalid_cursor",
                    "must be the `next` of an earlier page");
    if (!call_limit(call, &limit))
        return;
    queue_events_pull(call->api->queue, call_owner(call), after, limit,
                      on_pulled, call);
}
