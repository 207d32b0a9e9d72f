#include "server/domain/answers.h"

#include "server/base/map.h"
#include "server/base/mem.h"
#include "server/domain/names.h"

#include <stdlib.h>

struct answer {
    const char *name;
    enum dns_type type;
    bool is_taken; /* somebody asks for it */
    bool is_known;
    struct dns_reply reply;
};

struct answers {
    struct arena *arena;
    struct {
        struct str domain; /* empty: it is not wanted */
        bool is_taken;
        bool is_known;
        struct policy_reply reply;
    } policy;
    struct map *map; /* "type name" to struct answer */
    struct answer *list[ANSWERS_MAX];
    size_t count;
    size_t known_count;
    struct dns_reply given_up; /* reason NULL: not yet */
    struct policy_reply late;  /* likewise */
};

static const struct dns_reply TOO_MANY = {
    .status = DNS_FAILED,
    .reason = "too many look-ups for one domain",
};
static const struct dns_reply NO_NAME = {
    .status = DNS_NOT_FOUND,
    .has_no_name = true,
    .reason = "not a name that can be looked up",
};

struct answers *answers_create(void)
{
    struct answers *answers = xcalloc(1, sizeof *answers);

    answers->arena = arena_create();
    answers->map = map_create();
    return answers;
}

void answers_destroy(struct answers **handle)
{
    struct answers *answers = *handle;

    if (answers == NULL)
        return;
    *handle = NULL;
    map_destroy(&answers->map);
    arena_destroy(&answers->arena);
    free(answers);
}

enum { KEY_MAX = 300 };

static struct str key_of(struct str name, enum dns_type type,
                         char room[KEY_MAX])
{
    size_t len = 0;

    room[len++] = (char)type;
    for (size_t i = 0; i < name.len; i++)
        room[len++] = ascii_lower(name.ptr[i]);
    return str_make(room, len);
}

static struct answer *add(struct answers *answers, struct str key,
                          struct str name, enum dns_type type)
{
    struct answer *answer = ARENA_NEW(answers->arena, struct answer);

    answer->name = arena_cstr(answers->arena, name);
    answer->type = type;
    answers->list[answers->count++] = answer;
    map_put(answers->map, key, answer);
    return answer;
}

const struct dns_reply *answers_get(struct answers *answers, struct str name,
                                    enum dns_type type)
{
    char room[KEY_MAX];
    struct answer *answer;
    struct str key;

    if (!name_is_valid(name))
        return &NO_NAME;
    if (str_ends(name, S(".")))
        name.len--;
    key = key_of(name, type, room);
    answer = map_get(answers->map, key);
    if (answer == NULL) {
        if (answers->count == ANSWERS_MAX)
            return &TOO_MANY;
        answer = add(answers, key, name, type);
    }
    if (answer->is_known)
        return &answer->reply;
    return answers->given_up.reason == NULL ? NULL : &answers->given_up;
}

bool answers_take_wanted(struct answers *answers, const char **name,
                         enum dns_type *type)
{
    for (size_t i = 0; i < answers->count; i++) {
        struct answer *answer = answers->list[i];

        if (answer->is_taken)
            continue;
        answer->is_taken = true;
        *name = answer->name;
        *type = answer->type;
        return true;
    }
    return false;
}

static void copy_records(struct arena *arena, struct dns_records *records)
{
    struct dns_record *list;

    if (records->count == 0)
        return;
    list = ARENA_ARRAY(arena, struct dns_record, records->count);
    for (size_t i = 0; i < records->count; i++) {
        list[i] = records->records[i];
        list[i].data = arena_copy(arena, list[i].data);
    }
    records->records = list;
}

void answers_put(struct answers *answers, const char *name, enum dns_type type,
                 const struct dns_reply *reply)
{
    char room[KEY_MAX];
    struct answer *answer =
        map_get(answers->map, key_of(str_of(name), type, room));

    CHECK(answer != NULL && !answer->is_known);
    answer->reply = *reply;
    answer->reply.reason = arena_cstr(answers->arena, str_of(reply->reason));
    copy_records(answers->arena, &answer->reply.records);
    answer->is_known = true;
    answers->known_count++;
}

struct str policy_url(struct arena *arena, struct str domain)
{
    return arena_printf(arena, "https://mta-sts.%.*s/.well-known/mta-sts.txt",
                        STR_ARG(domain));
}

const struct policy_reply *answers_get_policy(struct answers *answers,
                                              struct str domain)
{
    if (answers->policy.domain.len == 0)
        answers->policy.domain = arena_copy(answers->arena, domain);
    CHECK(str_eq(answers->policy.domain, domain));
    if (answers->policy.is_known)
        return &answers->policy.reply;
    return answers->given_up.reason == NULL ? NULL : &answers->late;
}

bool answers_take_policy(struct answers *answers, struct str *domain)
{
    if (answers->policy.domain.len == 0 || answers->policy.is_taken)
        return false;
    answers->policy.is_taken = true;
    *domain = answers->policy.domain;
    return true;
}

void answers_put_policy(struct answers *answers,
                        const struct policy_reply *reply)
{
    struct policy_reply *kept = &answers->policy.reply;

    CHECK(answers->policy.domain.len > 0 && !answers->policy.is_known);
    *kept = *reply;
    kept->why = arena_cstr(answers->arena, str_of(reply->why));
    kept->type = arena_copy(answers->arena, reply->type);
    kept->body = arena_copy(answers->arena, reply->body);
    answers->policy.is_known = true;
}

bool answers_are_missing(const struct answers *answers)
{
    bool wants_policy =
        answers->policy.domain.len > 0 && !answers->policy.is_known;

    return (answers->known_count < answers->count || wants_policy) &&
           answers->given_up.reason == NULL;
}

void answers_give_up(struct answers *answers, const char *reason)
{
    answers->given_up = (struct dns_reply){
        .status = DNS_FAILED,
        .reason = arena_cstr(answers->arena, str_of(reason)),
    };
    answers->late = (struct policy_reply){
        .why = answers->given_up.reason,
        .is_late = true,
    };
}
