#include "queue/redis_core.h"

#include "server/base/mem.h"

#include <hiredis/hiredis.h>

/* A struct reply is a redisReply under a name of ours. */

static const redisReply *raw(const struct reply *reply)
{
    return (const redisReply *)(const void *)reply;
}

enum reply_type reply_type(const struct reply *reply)
{
    if (reply == NULL)
        return REPLY_NONE;
    switch (raw(reply)->type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        return REPLY_TEXT;
    case REDIS_REPLY_INTEGER:
        return REPLY_INT;
    case REDIS_REPLY_ARRAY:
        return REPLY_LIST;
    case REDIS_REPLY_ERROR:
        return REPLY_ERROR;
    default:
        return REPLY_NIL;
    }
}

struct str reply_str(const struct reply *reply)
{
    enum reply_type type = reply_type(reply);

    if (type != REPLY_TEXT && type != REPLY_ERROR)
        return S("");
    return str_make(raw(reply)->str, raw(reply)->len);
}

static int64_t decimal(struct str text)
{
    bool negative = str_starts(text, S("-"));
    uint64_t value;

    if (!str_to_u64(str_from(text, negative ? 1 : 0), &value) ||
        value > INT64_MAX)
        return 0;
    return negative ? -(int64_t)value : (int64_t)value;
}

int64_t reply_int(const struct reply *reply)
{
    if (reply_type(reply) == REPLY_INT)
        return raw(reply)->integer;
    return decimal(reply_str(reply));
}

size_t reply_count(const struct reply *reply)
{
    return reply_type(reply) == REPLY_LIST ? raw(reply)->elements : 0;
}

const struct reply *reply_at(const struct reply *reply, size_t index)
{
    if (index >= reply_count(reply))
        return NULL;
    return (const struct reply *)(const void *)raw(reply)->element[index];
}

bool reply_is_error(const struct reply *reply, const char *word)
{
    struct str text = reply_str(reply);
    struct str first;

    return reply_type(reply) == REPLY_ERROR && str_cut(&text, ' ', &first) &&
           str_eq(first, str_of(word));
}

struct reply *reply_take(void *reply)
{
    redisReply *from = reply;
    redisReply *taken = xmalloc(sizeof *taken);

    *taken = *from;
    *from = (redisReply){.type = REDIS_REPLY_NIL};
    return (struct reply *)(void *)taken;
}

void reply_destroy(struct reply **reply)
{
    freeReplyObject(*reply);
    *reply = NULL;
}
