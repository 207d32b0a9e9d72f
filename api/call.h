/* call.h - one authenticated call of the API, on its way through.
 *
 * A request becomes a call when it is whole: the key is looked up, its
 * permission and its rate are checked, then the row of the endpoint runs
 * with all of that at hand. Every call ends in exactly one reply.
 */
#ifndef API_CALL_H
#define API_CALL_H

#include "api/api.h"
#include "api/fields.h"
#include "api/problem.h"
#include "server/base/json.h"
#include "server/base/list.h"
#include "server/io/work.h"

struct call;
struct key_cache;
struct signing_cache;
struct template_cache;

/* Whom an endpoint lets in, beside keys with full access. */
enum call_need {
    NEED_FULL,
    NEED_READ, /* read_access, too */
    NEED_SEND, /* sending_access, too */
};

struct endpoint_row {
    const char *method;
    const char *path;
    enum call_need need;
    bool takes_body;
    bool takes_large_body; /* over CALL_SMALL_BODY: read by a helper thread */
    void (*run)(struct call *call);
    /* Members that its query may have, NULL at the end; NULL: none. */
    const char *const *query;
};

/* A JSON body up to here is parsed on the loop: 64 KiB cost about a
 * millisecond. */
enum { CALL_SMALL_BODY = 64 * 1024 };

struct api {
    struct loop *loop;
    const struct config *config;
    struct queue *queue;
    struct httpd *httpd;
    struct work *work;
    struct key_cache *keys;
    struct signing_cache *signings;
    struct template_cache *templates;
    struct http_route *routes; /* one per endpoint row */
    struct list calls;
};

struct call {
    struct list link; /* of api.calls, until the reply */
    struct api *api;
    struct http_request *request;
    struct arena *arena; /* of the request */
    const struct endpoint_row *row;
    struct api_key key;          /* a copy in arena */
    struct faults *query_faults; /* NULL: none yet */
    unsigned rate_asks;
    bool was_sent_on;               /* its owner had moved: it began anew */
    bool is_late;                   /* was answered, for want of time */
    int64_t ends_ms;                /* monotonic: answered by then */
    struct idempotency idempotency; /* key_hash empty: none given */
    void *own;                      /* of the endpoint */
    void (*release)(void *own);     /* when the call ends; or NULL */
};

/* api.c: the row of a route. */
size_t api_endpoint_count(void);
const struct endpoint_row *api_endpoint(size_t row);

/* Whose data a call is about. */
struct queue_owner call_owner(const struct call *call);

/* Handlers of httpd. */
bool call_vet_head(void *ctx, struct http_request *request);
void call_begin(void *ctx, struct http_request *request);
/* All that are left, with a 503. */
void calls_end(struct api *api);

/* What is left until its caller is answered, whatever Redis does; 1 at
 * least. */
int64_t call_patience_ms(const struct call *call);
/* It waits for more than Redis: so long from now at most. */
void call_extend(struct call *call, int64_t ms);
/* Asked behind each wait that more work follows. False: its caller has heard
 * that it took too long, nothing new shall be begun, and the call is gone. */
MUST_USE bool call_goes_on(struct call *call);

/* A field of the answer. */
void call_add_field(struct call *call, const char *name, struct str value);

/* Replies; the call is gone afterwards. Of a late call nobody hears. */
void call_reply(struct call *call, unsigned status, struct buf *body);
void call_fail(struct call *call, enum problem_kind kind, const char *message);
void call_fail_faults(struct call *call, const struct faults *faults);
/* Fails for what may have been otherwise before: what the same request was
 * answered then, under its Idempotency-Key, it is answered again. faults and
 * message live in the call. */
void call_refuse(struct call *call, const struct problem *problem);
void call_refuse_faults(struct call *call, const struct faults *faults);
/* An owner who has moved is looked up again, and the endpoint runs once more
 * instead. */
void call_fail_queue(struct call *call, enum queue_status status,
                     const struct error *why, const char *missing);
/* What a POST with an Idempotency-Key was answered the first time. */
void call_replay(struct call *call, const struct queue_answer *answer);

/* Of method, path and body, into call->idempotency. Done already for small
 * bodies; for a large one it belongs on the helper thread. */
void call_fingerprint(struct call *call);

/* The {id} of the path. False: replied, since it is no UUID. */
MUST_USE bool call_id(struct call *call, struct id *id);
/* The body against a table; the caller destroys it. NULL: replied. */
MUST_USE struct json *call_json(struct call *call, const struct field *table,
                                struct faults *faults);

/* The body of what takes none, which SDKs send as {}, [] or null. False:
 * replied, since there is more in it. */
MUST_USE bool call_no_body(struct call *call);

/* query.c: what stands behind the question mark. All that is wrong with it is
 * told at once, so an endpoint reads every member before it asks whether the
 * query is good; lists end with call_limit or call_page, which do ask. */

/* Members that the endpoint does not know, and those given twice. */
void query_check_names(struct call *call);
/* text completes a sentence that begins with the member, without full stop. */
void query_fault(struct call *call, const char *member, const char *code,
                 const char *text);
/* False: replied. */
MUST_USE bool query_is_good(struct call *call);
/* limit of the query: 1..100, 20 without. False: replied. */
MUST_USE bool call_limit(struct call *call, unsigned *limit);
/* limit, after, before of the query. False: replied. */
MUST_USE bool call_page(struct call *call, struct queue_page *page);

/* key_cache.c: what was looked up lately. */
struct key_cache *key_cache_create(void);
void key_cache_destroy(struct key_cache **cache);
/* Copies into arena. False: not there, or too long ago. */
MUST_USE bool key_cache_get(struct key_cache *cache, struct str hash,
                            struct arena *arena, struct api_key *key);
void key_cache_put(struct key_cache *cache, struct str hash,
                   const struct api_key *key);
void key_cache_forget(struct key_cache *cache, const struct id *id);
void api_key_copy(struct arena *arena, const struct api_key *from,
                  struct api_key *to);

/* Endpoints. */
void emails_send(struct call *call);
void emails_list(struct call *call);
void emails_get(struct call *call);
void emails_events(struct call *call);
void emails_attempts(struct call *call);
void emails_reschedule(struct call *call);
void emails_cancel(struct call *call);
void emails_retry(struct call *call);
void events_list(struct call *call);
void queue_show(struct call *call);
void upstreams_list(struct call *call);
void upstreams_pause(struct call *call);
void upstreams_resume(struct call *call);
void upstreams_test(struct call *call);
void webhooks_create(struct call *call);
void webhooks_list(struct call *call);
void webhooks_get(struct call *call);
void webhooks_update(struct call *call);
void webhooks_delete(struct call *call);
void suppressions_add(struct call *call);
void suppressions_add_batch(struct call *call);
void suppressions_remove(struct call *call);
void suppressions_remove_batch(struct call *call);
void suppressions_list(struct call *call);
void suppressions_get(struct call *call);
void feedback_take(struct call *call);
void templates_create(struct call *call);
void templates_list(struct call *call);
void templates_get(struct call *call);
void templates_update(struct call *call);
void templates_delete(struct call *call);
void templates_publish(struct call *call);
void templates_duplicate(struct call *call);
void templates_preview(struct call *call);
void domains_create(struct call *call);
void domains_list(struct call *call);
void domains_get(struct call *call);
void domains_update(struct call *call);
void domains_delete(struct call *call);
void domains_verify(struct call *call);
void domains_rotate(struct call *call);
void keys_create(struct call *call);
void keys_list(struct call *call);
void keys_update(struct call *call);
void keys_delete(struct call *call);

#endif
