#include "smtp/route.h"

#include "server/base/arena.h"
#include "server/base/json.h"
#include "smtp/message/message.h"
#include "smtp/smtp.h"

#include <string.h>

/* "" fits all; "*.example.com" what lies below it, and not itself. */
static bool domain_fits(const char *matcher, struct str domain)
{
    struct str want = str_of(matcher);
    struct str tail;

    if (want.len == 0)
        return true;
    if (!str_starts(want, S("*.")))
        return str_eq_nocase(want, domain);
    tail = str_from(want, 1);
    return domain.len > tail.len &&
           str_eq_nocase(str_from(domain, domain.len - tail.len), tail);
}

/* "name" fits any value of it, "name=value" that one. */
static bool tag_fits(const char *matcher, const struct smtp_route_query *query)
{
    struct str want = str_of(matcher);

    if (want.len == 0)
        return true;
    for (size_t i = 0; i < query->tag_count; i++) {
        const struct smtp_tag *tag = &query->tags[i];

        if (str_eq(want, tag->name))
            return true;
        if (want.len == tag->name.len + 1 + tag->value.len &&
            str_starts(want, tag->name) && want.ptr[tag->name.len] == '=' &&
            str_ends(want, tag->value))
            return true;
    }
    return false;
}

const struct config_route *smtp_route_find(const struct config *config,
                                           const struct smtp_route_query *query)
{
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];

        if (route->class[0] != '\0' &&
            strcmp(route->class, mail_class_name(query->mail_class)) != 0)
            continue;
        if (domain_fits(route->from_domain, query->from_domain) &&
            domain_fits(route->to_domain, query->to_domain) &&
            tag_fits(route->tag, query))
            return route;
    }
    return NULL;
}

static size_t read_tags(struct arena *arena, const struct json *list,
                        struct smtp_tag **tags)
{
    size_t count = json_count(list);

    *tags = ARENA_ARRAY(arena, struct smtp_tag, count);
    for (size_t i = 0; i < count; i++)
        (*tags)[i] = (struct smtp_tag){
            json_get_str(json_at(list, i), "name"),
            json_get_str(json_at(list, i), "value"),
        };
    return count;
}

const struct config_route *smtp_route_for(const struct config *config,
                                          const struct smtp_route_mail *mail)
{
    struct arena *arena = arena_create();
    struct json *list =
        mail->tags_json.len == 0 ? NULL : json_parse(mail->tags_json, NULL);
    struct smtp_tag *tags;
    size_t count = read_tags(arena, list, &tags);
    const struct config_route *route = NULL;
    struct mailbox from;
    struct mailbox to;

    if (mailbox_parse(arena, mail->from, &from) == FLAW_NONE &&
        mailbox_parse(arena, mail->to, &to) == FLAW_NONE)
        route = smtp_route_find(config, &(struct smtp_route_query){
                                            .mail_class = mail->mail_class,
                                            .from_domain = from.domain,
                                            .to_domain = to.domain,
                                            .tags = tags,
                                            .tag_count = count,
                                        });
    json_destroy(&list);
    arena_destroy(&arena);
    return route;
}

static bool is_in_front(const struct route_choice *choice, int64_t priority)
{
    return choice->is_usable && choice->priority == priority;
}

int route_choose(const struct route_choice *choices, size_t count,
                 uint32_t random)
{
    int64_t priority = INT64_MAX;
    uint64_t total = 0;
    uint64_t at;
    int last = ROUTE_NO_CHOICE;

    for (size_t i = 0; i < count; i++)
        if (choices[i].is_usable && choices[i].priority < priority)
            priority = choices[i].priority;
    for (size_t i = 0; i < count; i++)
        if (is_in_front(&choices[i], priority))
            total += (uint64_t)choices[i].weight;
    at = total == 0 ? 0 : random % total;
    for (size_t i = 0; i < count; i++) {
        if (!is_in_front(&choices[i], priority))
            continue;
        last = (int)i;
        if (at < (uint64_t)choices[i].weight)
            break;
        at -= (uint64_t)choices[i].weight;
    }
    return last;
}
