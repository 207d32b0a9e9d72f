#include "server/base/config_loading.h"

#include "server/base/codec.h"
#include "server/base/nearest.h"

#include <string.h>

/* So that a line that holds it beside the longest token is none too long:
 * smtp/token.h. */
enum { NAME_WITH_TOKEN_MAX = 255 };

/* The nth table of that name. */
static const struct config_block *nth_block(const struct config *config,
                                            const char *name, size_t n)
{
    const struct config_block *b = config->blocks;

    for (;; b = b->next) {
        CHECK(b != NULL);
        if (strcmp(b->section->name, name) == 0 && n-- == 0)
            return b;
    }
}

/* Where a key was set, or else where its table begins. */
static struct config_origin origin_of(const struct config_block *block,
                                      const char *name)
{
    ptrdiff_t key = config_key_find(block->section, str_of(name));

    CHECK(key >= 0);
    return block->settings[key].is_set ? block->settings[key].origin
                                       : block->origin;
}

struct config_origin config_origin_of(const struct config *config,
                                      struct config_value_name value)
{
    return origin_of(nth_block(config, value.table, value.index), value.key);
}

/* What was set, but wrongly, has had its problem told. */
static bool is_missing(const struct config_block *block, const char *name)
{
    ptrdiff_t key = config_key_find(block->section, str_of(name));
    const struct config_setting *setting = &block->settings[key];

    CHECK(key >= 0);
    return !setting->is_set ||
           (setting->value.text.len == 0 && setting->value.count == 0);
}

static bool is_scram(enum config_auth auth)
{
    return auth == AUTH_SCRAM_SHA_1 || auth == AUTH_SCRAM_SHA_256;
}

/* What SASLprep (RFC 4013), which is not built here, leaves as it is. */
static bool is_plain(const char *text)
{
    return utf8_is_ascii(str_of(text)) && !str_has_control(str_of(text));
}

static bool is_of_token(enum config_auth auth)
{
    return auth == AUTH_OAUTHBEARER || auth == AUTH_XOAUTH2;
}

/* Or would have one, if it were not wrong. */
static bool has_token(const struct config_block *block)
{
    return !is_missing(block, "token_file") ||
           !is_missing(block, "token_command");
}

static bool has_password(const struct config_block *block)
{
    return !is_missing(block, "password_file");
}

static void check_token(struct config_loading *l,
                        const struct config_upstream *u,
                        const struct config_block *block)
{
    struct config_origin auth = origin_of(block, "auth");
    bool is_of_file = !is_missing(block, "token_file");
    struct config_origin token =
        origin_of(block, is_of_file ? "token_file" : "token_command");

    if (is_of_file && !is_missing(block, "token_command"))
        config_problem(l, origin_of(block, "token_command"),
                       "there is a token_file, too: set one of the two");
    if (is_of_token(u->auth) && !has_token(block))
        config_problem(l, auth, "auth needs a token_file or a token_command");
    if (u->auth == AUTH_XOAUTH2 && *u->username == '\0')
        config_problem(l, auth,
                       "XOAUTH2 needs a username: the mailbox that the token "
                       "is for");
    if (!has_token(block))
        return;
    if (!is_of_token(u->auth) && u->auth != AUTH_AUTO)
        config_problem(l, token,
                       "a token is of use with auth = \"auto\", "
                       "\"oauthbearer\" or \"xoauth2\"");
    if (strlen(u->username) > NAME_WITH_TOKEN_MAX)
        config_problem(l, origin_of(block, "username"),
                       "with a token, a username has at most %d bytes",
                       NAME_WITH_TOKEN_MAX);
}

static void check_password(struct config_loading *l,
                           const struct config_upstream *u,
                           const struct config_block *block)
{
    bool has_login = *u->username != '\0' && has_password(block);
    struct config_origin auth = origin_of(block, "auth");

    if (*u->username != '\0' && !has_password(block) && !has_token(block))
        config_problem(l, origin_of(block, "username"),
                       "username needs a password_file, or a token_file or "
                       "token_command");
    if (*u->username == '\0' && has_password(block))
        config_problem(l, origin_of(block, "password_file"),
                       "password_file needs a username");
    if (u->auth != AUTH_AUTO && u->auth != AUTH_NONE && !is_of_token(u->auth) &&
        !has_login)
        config_problem(l, auth, "auth needs a username and a password_file");
    if (is_scram(u->auth) && !(is_plain(u->username) && is_plain(u->password)))
        config_problem(l, auth,
                       "SCRAM is for a username and a password of printable "
                       "ASCII: take another auth, or another password");
}

static void check_login(struct config_loading *l,
                        const struct config_upstream *u,
                        const struct config_block *block)
{
    bool has_login = *u->username != '\0' && has_password(block);

    check_password(l, u, block);
    check_token(l, u, block);
    if ((has_login || has_token(block)) && u->auth != AUTH_NONE &&
        u->tls == TLS_OFF && !u->auth_in_clear)
        config_problem(l, origin_of(block, "tls"),
                       "the %s would go in the clear: use TLS, or set "
                       "auth_in_clear = true",
                       has_token(block) ? "token" : "password");
}

static void check_tls(struct config_loading *l, const struct config_upstream *u,
                      const struct config_block *block)
{
    if (u->tls_fingerprints.count > 0 && u->tls != TLS_STARTTLS &&
        u->tls != TLS_IMPLICIT)
        config_problem(l, origin_of(block, "tls_fingerprint"),
                       "tls_fingerprint needs tls = \"starttls\" or "
                       "\"implicit\"");
    if (*u->tls_cert_file != '\0' && u->tls == TLS_OFF)
        config_problem(l, origin_of(block, "tls_cert_file"),
                       "tls_cert_file is of no use with tls = \"off\"");
    if (*u->tls_key_file != '\0' && *u->tls_cert_file == '\0')
        config_problem(l, origin_of(block, "tls_key_file"),
                       "tls_key_file needs a tls_cert_file");
}

/* RFC 3461 section 4.1: each once, and NEVER alone. */
static void check_notify(struct config_loading *l,
                         const struct config_list *words,
                         struct config_origin origin)
{
    static const char *const WORDS[] = {"never", "success", "failure", "delay"};
    unsigned seen = 0;

    for (size_t i = 0; i < words->count; i++) {
        unsigned at = 0;

        while (at < COUNT_OF(WORDS) && strcmp(words->items[i], WORDS[at]) != 0)
            at++;
        if (at == COUNT_OF(WORDS))
            config_problem(l, origin,
                           "dsn_notify is \"never\", or any of \"success\", "
                           "\"failure\", \"delay\"");
        else if ((seen & 1u << at) != 0)
            config_problem(l, origin, "dsn_notify has \"%s\" twice", WORDS[at]);
        seen |= 1u << at;
    }
    if ((seen & 1u) != 0 && words->count > 1)
        config_problem(l, origin, "\"never\" stands alone in dsn_notify");
}

static void check_upstreams(struct config_loading *l)
{
    const struct config_upstream *all = l->config->upstreams;

    for (size_t i = 0; i < l->config->upstream_count; i++) {
        const struct config_block *block = nth_block(l->config, "upstream", i);

        if (i == CONFIG_UPSTREAMS_MAX)
            config_problem(l, origin_of(block, "name"),
                           "there are more than %d [[upstream]]",
                           CONFIG_UPSTREAMS_MAX);
        if (is_missing(block, "name"))
            config_problem(l, origin_of(block, "name"),
                           "[[upstream]] needs a name");
        if (is_missing(block, "host"))
            config_problem(l, origin_of(block, "host"),
                           "[[upstream]] needs a host");
        for (size_t k = 0; k < i && *all[i].name != '\0'; k++)
            if (strcmp(all[i].name, all[k].name) == 0)
                config_problem(l, origin_of(block, "name"),
                               "there is an [[upstream]] \"%s\" already",
                               all[i].name);
        check_login(l, &all[i], block);
        check_tls(l, &all[i], block);
        check_notify(l, &all[i].dsn_notify, origin_of(block, "dsn_notify"));
    }
}

static bool is_upstream(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->upstream_count; i++)
        if (strcmp(config->upstreams[i].name, name) == 0)
            return true;
    return false;
}

static void unknown_upstream(struct config_loading *l, const char *name,
                             struct config_origin origin)
{
    size_t count = l->config->upstream_count;
    const char **names = ARENA_ARRAY(l->arena, const char *, count);
    const char *nearest;

    for (size_t i = 0; i < count; i++)
        names[i] = l->config->upstreams[i].name;
    nearest = nearest_name(str_of(name), names, count);
    config_problem(l, origin, "there is no [[upstream]] \"%s\"%s%s%s", name,
                   nearest == NULL ? "" : "; did you mean \"",
                   nearest == NULL ? "" : nearest,
                   nearest == NULL ? "" : "\"?");
}

static void check_route(struct config_loading *l,
                        const struct config_route *route,
                        const struct config_block *block)
{
    struct config_origin origin = origin_of(block, "upstreams");

    if (is_missing(block, "upstreams"))
        config_problem(l, origin, "[[route]] needs upstreams");
    if (strlen(route->name) > CONFIG_ROUTE_NAME_MAX)
        config_problem(l, origin_of(block, "name"),
                       "the name of a [[route]] has at most %d bytes",
                       CONFIG_ROUTE_NAME_MAX);
    for (size_t i = 0; i < route->upstreams.count; i++) {
        const char *name = route->upstreams.items[i];

        if (!is_upstream(l->config, name))
            unknown_upstream(l, name, origin);
        for (size_t k = 0; k < i; k++)
            if (strcmp(name, route->upstreams.items[k]) == 0)
                config_problem(l, origin, "\"%s\" stands here twice", name);
    }
}

static bool is_default(const struct config_route *route)
{
    return *route->class == '\0' && *route->from_domain == '\0' &&
           *route->to_domain == '\0' && *route->tag == '\0';
}

static void check_routes(struct config_loading *l)
{
    const struct config_route *all = l->config->routes;

    for (size_t i = 0; i < l->config->route_count; i++) {
        const struct config_block *block = nth_block(l->config, "route", i);

        check_route(l, &all[i], block);
        if (i > 0 && is_default(&all[i - 1]))
            config_problem(
                l, block->origin,
                "never used: the [[route]] before it takes all mail");
        for (size_t k = 0; k < i && *all[i].name != '\0'; k++)
            if (strcmp(all[i].name, all[k].name) == 0)
                config_problem(l, origin_of(block, "name"),
                               "there is a [[route]] \"%s\" already",
                               all[i].name);
    }
}

static void check_one_domain(struct config_loading *l, const char *name,
                             const char *domain)
{
    if (str_starts(str_of(domain), S("*.")))
        config_problem(l, origin_of(nth_block(l->config, "sending", 0), name),
                       "%s must be one domain", name);
}

static void check_sending(struct config_loading *l)
{
    const char *domain = l->config->sending.bounce_domain;
    struct config_origin origin =
        origin_of(nth_block(l->config, "sending", 0), "bounce_domain");

    check_one_domain(l, "bounce_domain", domain);
    check_one_domain(l, "spf_include", l->config->sending.spf_include);
    check_one_domain(l, "bounce_mx", l->config->sending.bounce_mx);
    if (*domain != '\0' && *l->config->secrets.keyring_file == '\0')
        config_problem(l, origin,
                       "bounce_domain needs secrets.keyring_file, which signs "
                       "the return paths");
}

/* Without one it would run, say that it is ready, and be there for nobody. */
static void check_api(struct config_loading *l)
{
    const struct config_block *block = nth_block(l->config, "api", 0);
    ptrdiff_t key = config_key_find(block->section, S("listen"));

    if (block->settings[key].is_set && is_missing(block, "listen"))
        config_problem(l, origin_of(block, "listen"),
                       "[api] needs an address to listen on");
}

static void check_webhook(struct config_loading *l)
{
    const struct config_duration_list *retry = &l->config->webhook.retry;

    if (retry->count > 0 && retry->items_ms[0] != 0)
        config_problem(l,
                       origin_of(nth_block(l->config, "webhook", 0), "retry"),
                       "the first attempt is made at once: retry begins with "
                       "\"0s\"");
}

void config_check(struct config_loading *l)
{
    check_webhook(l);
    check_api(l);
    check_sending(l);
    check_upstreams(l);
    check_routes(l);
}
