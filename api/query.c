/* The query of a call: which members there may be, and those of all lists. */
#include "api/call.h"
#include "server/base/nearest.h"

enum { PAGE_DEFAULT = 20, PAGE_MAX = 100 };

static void add_fault(struct call *call, struct str member, const char *code,
                      const char *text)
{
    struct faults *faults = call->query_faults;

    if (faults == NULL) {
        faults = call->query_faults = ARENA_NEW(call->arena, struct faults);
        faults_init(faults, call->arena);
    }
    faults_add(faults, PROBLEM_INVALID_PARAMETER,
               pointer_member(call->arena, S(""), member), code, "%s", text);
}

void query_fault(struct call *call, const char *member, const char *code,
                 const char *text)
{
    add_fault(call, str_of(member), code, text);
}

bool query_is_good(struct call *call)
{
    if (call->query_faults == NULL)
        return true;
    call_fail_faults(call, call->query_faults);
    return false;
}

/* --- which members? --- */

static bool is_known(const char *const *known, size_t count, struct str name)
{
    size_t i = 0;

    while (i < count && !str_eq(name, str_of(known[i])))
        i++;
    return i < count;
}

/* What would be right, for a name that is not known. */
static struct str advice(struct call *call, const char *const *known,
                         size_t count, struct str name)
{
    const char *nearest = nearest_name(name, known, count);
    struct str all = S("");

    if (nearest != NULL)
        return arena_printf(call->arena, "; did you mean `%s`?", nearest);
    if (count == 0)
        return S(": this request takes none");
    for (size_t i = 0; i < count; i++)
        all = arena_printf(call->arena, "%.*s%s%s", STR_ARG(all),
                           i == 0 ? "" : ", ", known[i]);
    return arena_printf(call->arena, ": there is %.*s", STR_ARG(all));
}

static void refuse_unknown(struct call *call, struct str name)
{
    const char *const *known = call->row->query;
    size_t count = 0;

    while (known != NULL && known[count] != NULL)
        count++;
    if (is_known(known, count, name))
        return;
    add_fault(call, name, "unknown_field",
              arena_printf(call->arena,
                           "is not a known parameter of the query%.*s",
                           STR_ARG(advice(call, known, count, name)))
                  .ptr);
}

/* How often the name stands in the query, up to the member at that place. */
static size_t times_up_to(const struct call *call, struct str name,
                          const void *place)
{
    const void *at = NULL;
    struct str other;
    size_t times = 0;

    while (at != place && http_query_next(call->request, &at, &other))
        times += str_eq(other, name);
    return times;
}

/* "?a=1&" has a last member that is nothing, which is no fault. */
static bool is_nothing(const struct call *call, struct str name)
{
    struct str value;

    return name.len == 0 &&
           (!http_query(call->request, "", &value) || value.len == 0);
}

void query_check_names(struct call *call)
{
    const void *at = NULL;
    struct str name;

    call->query_faults = NULL;
    while (http_query_next(call->request, &at, &name)) {
        size_t times = times_up_to(call, name, at);

        if (is_nothing(call, name))
            continue;
        if (times == 1)
            refuse_unknown(call, name);
        else if (times == 2)
            add_fault(call, name, "repeated",
                      "is given more than once in the query; once is enough");
    }
}

/* --- those of lists --- */

bool call_limit(struct call *call, unsigned *limit)
{
    struct str text;
    uint64_t count = PAGE_DEFAULT;

    if (http_query(call->request, "limit", &text) &&
        (!str_to_u64(text, &count) || count < 1 || count > PAGE_MAX))
        query_fault(call, "limit", "out_of_range",
                    "must be a number from 1 to 100");
    *limit = (unsigned)count;
    return query_is_good(call);
}

/* In lower case, as ids are stored and sorted. */
static struct str read_cursor(struct call *call, const char *name)
{
    struct str cursor;
    struct id id;

    if (!http_query(call->request, name, &cursor))
        return S("");
    if (id_parse(cursor, &id))
        return arena_copy(call->arena, id_str(&id));
    query_fault(call, name, "invalid_id",
                "must be the id of an entry of the list");
    return cursor;
}

bool call_page(struct call *call, struct queue_page *page)
{
    page->after = read_cursor(call, "after");
    page->before = read_cursor(call, "before");
    if (page->after.len > 0 && page->before.len > 0)
        query_fault(call, "before", "excluded",
                    "cannot stand beside `after`: one of them");
    return call_limit(call, &page->limit);
}
