#include "queue/redis_link.h"

#include <stdio.h>
#include <string.h>

/* RESP, the protocol of Redis: https://redis.io/topics/protocol */

enum {
    COMMAND_MAX = 64 << 20, /* 500 events of a domain, at most */
    /* Room before the arguments for "*N", EVALSHA and the hash. */
    HEAD_SIZE = 96,
};

/* What only looks, or concerns the connection alone. Everything else is taken
 * for a write: a look that is missing here waits for replicas, which costs
 * time; a write that stood here could be lost behind its answer. */
static const char *const LOOKS[] = {
    "AUTH", "CLIENT", "CLUSTER",  "GET",         "HGET",           "HMGET",
    "INFO", "LRANGE", "PING",     "ROLE",        "SCRIPT",         "SELECT",
    "TIME", "WAIT",   "SENTINEL", "ZRANGEBYLEX", "ZREVRANGEBYLEX",
};

static bool only_looks(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(LOOKS); i++)
        if (strcmp(name, LOOKS[i]) == 0)
            return true;
    return false;
}

static void command_begin(struct redis_command *command)
{
    *command = (struct redis_command){.script = -1, .slot = -1};
    buf_init(&command->args, COMMAND_MAX);
    CHECK(buf_space(&command->args, HEAD_SIZE) != NULL);
    buf_grown(&command->args, HEAD_SIZE);
}

void command_init(struct redis_command *command, const char *name)
{
    command_begin(command);
    command->lasts = !only_looks(name);
    command_add_cstr(command, name);
}

void command_init_script(struct redis_command *command, enum script script,
                         struct str partition_prefix)
{
    command_begin(command);
    command->script = (int)script;
    command->lasts = script_writes(script);
    command_add_int(command, 1);
    command_add(command, partition_prefix);
}

void command_init_args(struct redis_command *args)
{
    command_begin(args);
}

void command_add_args(struct redis_command *command,
                      const struct redis_command *args)
{
    buf_add(&command->args, str_from(buf_str(&args->args), HEAD_SIZE));
    command->count += args->count;
}

void command_add(struct redis_command *command, struct str arg)
{
    char room[DECIMAL_SIZE];

    buf_add_char(&command->args, '$');
    buf_add(&command->args, str_decimal((int64_t)arg.len, room));
    buf_add_cstr(&command->args, "\r\n");
    buf_add(&command->args, arg);
    buf_add_cstr(&command->args, "\r\n");
    command->count++;
}

void command_add_cstr(struct redis_command *command, const char *arg)
{
    command_add(command, str_of(arg));
}

void command_add_int(struct redis_command *command, int64_t arg)
{
    char room[DECIMAL_SIZE];

    command_add(command, str_decimal(arg, room));
}

void command_addf(struct redis_command *command, const char *format, ...)
{
    struct buf text;
    va_list args;

    buf_init(&text, COMMAND_MAX);
    va_start(args, format);
    buf_vaddf(&text, format, args);
    va_end(args);
    CHECK(!text.full);
    command_add(command, buf_str(&text));
    buf_finish(&text);
}

/* The next bulk string of what is left; empty: that was all. */
static struct str next_arg(struct str *rest)
{
    struct str line;
    struct str arg;
    uint64_t len;

    if (!str_cut(rest, '\n', &line) || line.len < 3 ||
        !str_to_u64(str_slice(line, 1, line.len - 2), &len))
        return S("");
    arg = str_slice(*rest, 0, (size_t)len);
    *rest = str_from(*rest, (size_t)len + 2);
    return arg;
}

struct str command_key(const struct redis_command *command)
{
    struct str rest = str_from(buf_str(&command->args), HEAD_SIZE);

    (void)next_arg(&rest); /* the name, or the number of keys */
    return next_arg(&rest);
}

void command_copy(const struct redis_command *from, struct redis_command *to)
{
    *to = *from;
    buf_init(&to->args, COMMAND_MAX);
    buf_add(&to->args, buf_str(&from->args));
}

void command_finish(struct redis_command *command)
{
    buf_finish(&command->args);
}

/* The head is written into the room that was left before the arguments. */
struct str command_bytes(struct redis_command *command, const char *sha)
{
    char head[HEAD_SIZE];
    size_t len;

    CHECK(!command->args.full && (sha != NULL) == (command->script >= 0));
    if (sha == NULL)
        len = (size_t)snprintf(head, sizeof head, "*%zu\r\n", command->count);
    else
        len = (size_t)snprintf(head, sizeof head,
                               "*%zu\r\n$7\r\nEVALSHA\r\n$%d\r\n%s\r\n",
                               command->count + 2, SCRIPT_SHA_LEN, sha);
    CHECK(len < sizeof head);
    memcpy(command->args.data + HEAD_SIZE - len, head, len);
    return str_from(buf_str(&command->args), HEAD_SIZE - len);
}
