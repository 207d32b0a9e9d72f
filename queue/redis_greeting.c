#include "queue/redis_core.h"

#include <stdio.h>
#include <string.h>

/* Log in, choose the database, see that it is the master, load the scripts:
 * one flight, whose last reply says that the link is up. */

static void greeting_failed(struct redis_link *link, struct str text)
{
    char why[256];

    snprintf(why, sizeof why, "%.*s", STR_ARG(text));
    redis_link_reset(link, why);
}

static void on_greeted(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct redis_link *link = ctx;

    (void)why;
    if (reply_type(reply) == REPLY_ERROR)
        greeting_failed(link, reply_str(reply));
}

/* A Sentinel may be behind, and name a master that is none any more. */
static void on_role(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct str role = reply_str(reply_at(reply, 0));

    if (reply_type(reply) == REPLY_LIST && !str_eq(role, S("master")))
        greeting_failed(ctx, S("the Sentinels' master is a replica yet"));
    else
        on_greeted(ctx, reply, why);
}

static void on_script_loaded(void *ctx, const struct reply *reply,
                             const struct error *why)
{
    struct redis_link *link = ctx;
    struct str sha = reply_str(reply);

    if (link->state != LINK_GREETING || reply == NULL)
        return;
    if (sha.len != SCRIPT_SHA_LEN) {
        on_greeted(link, reply, why);
        return;
    }
    memcpy(link->sha[link->loading], sha.ptr, SCRIPT_SHA_LEN);
    link->loading = script_next(link->loading + 1);
}

static void on_ping(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct redis_link *link = ctx;

    if (reply_type(reply) != REPLY_TEXT)
        on_greeted(link, reply, why);
    else if (link->state == LINK_GREETING)
        link_is_up(link);
}

static void greet_with(struct redis_link *link, struct redis_command *command,
                       redis_fn fn)
{
    link_send(link, command, CONNECT_BUDGET_MS, fn, link);
}

static void send_login(struct redis_link *link)
{
    const struct config_redis *config = link->settings.config;
    struct redis_command command;

    /* A user of an ACL may have no password. */
    if (config->username[0] != '\0' || config->password[0] != '\0') {
        command_init(&command, "AUTH");
        if (config->username[0] != '\0')
            command_add_cstr(&command, config->username);
        command_add_cstr(&command, config->password);
        greet_with(link, &command, on_greeted);
    }
    if (link->address.database != 0) {
        command_init(&command, "SELECT");
        command_add_int(&command, link->address.database);
        greet_with(link, &command, on_greeted);
    }
    if (link->address.sentinel_count > 0) {
        command_init(&command, "ROLE");
        greet_with(link, &command, on_role);
    }
}

/* Replies come in order, so the hashes need no names. */
static void send_scripts(struct redis_link *link)
{
    struct redis_command command;

    link->loading = script_next(0);
    for (unsigned i = script_next(0); i < SCRIPT_COUNT;
         i = script_next(i + 1)) {
        command_init_load(&command, i);
        greet_with(link, &command, on_script_loaded);
    }
}

void link_greet(struct redis_link *link)
{
    struct redis_command command;

    link->state = LINK_GREETING;
    send_login(link);
    if (link->settings.loads_scripts)
        send_scripts(link);
    command_init(&command, "PING");
    greet_with(link, &command, on_ping);
}
