#include "server/cli/keys.h"

#include "server/base/clock.h"
#include "server/base/codec.h"
#include "server/base/json.h"
#include "server/cli/show.h"
#include "server/cli/verbs.h"
#include "smtp/message/message.h"

#include <stdio.h>
#include <string.h>

enum { OUTPUT_MAX = 1 << 20, OWNER_MAX = 32, NAME_MAX_BYTES = 50 };

/* --- making one --- */

struct making {
    struct tool *tool;
    enum queue_status status;
    struct error why;
};

static void on_made(void *ctx, const struct queue_answer *answer)
{
    struct making *making = ctx;

    making->status = answer->status;
    making->why = answer->why;
    tool_done(making->tool, EXIT_OK);
}

enum queue_status keys_make(struct tool *tool, const struct key_wish *wish,
                            char token[API_TOKEN_SIZE], struct id *id,
                            struct error *err)
{
    struct making making = {.tool = tool};
    char hash[SHA256_HEX_SIZE];
    struct api_key key = {
        .owner = wish->owner,
        .name = wish->name,
        .permission = wish->permission,
        .domain_id = wish->domain_id,
        .domain = str_of(wish->domain),
        .created_ms = clock_wall_ms(),
    };

    api_token_create(token);
    secret_sha256_hex(str_of(token), hash);
    *id = id_new(0);
    key.id = *id;
    key.prefix = str_make(token, API_TOKEN_PREFIX_LEN);
    queue_key_create(tool->queue, &key, str_of(hash), NULL, S(""), on_made,
                     &making);
    tool_wait(tool);
    *err = making.why;
    return making.status;
}

/* --- keys create --- */

static bool is_owner(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_digit(name.ptr[i]) && name.ptr[i] != '-' &&
            (name.ptr[i] < 'a' || name.ptr[i] > 'z'))
            return false;
    return name.len > 0 && name.len <= OWNER_MAX;
}

static int read_name(const struct cli_args *args, struct str *out)
{
    const char *name = cli_option(args, "name");

    if (name == NULL || name[0] == '\0' || strlen(name) > NAME_MAX_BYTES)
        return cli_fail(args, EXIT_USAGE,
                        "--name: give a name of 1 to %d bytes", NAME_MAX_BYTES);
    if (!utf8_is_valid(str_of(name)) || str_has_control(str_of(name)))
        return cli_fail(args, EXIT_USAGE, "--name: not printable text");
    *out = str_of(name);
    return EXIT_OK;
}

static int read_wish(const struct cli_args *args, struct key_wish *wish)
{
    const char *permission = cli_option(args, "permission");
    int code;

    if (cli_flag(args, "test"))
        return cli_fail(args, EXIT_USAGE,
                        "--test: test keys are not supported yet");
    code = read_name(args, &wish->name);
    if (code != EXIT_OK)
        return code;
    wish->owner = str_of(cli_option(args, "owner"));
    if (!is_owner(wish->owner))
        return cli_fail(args, EXIT_USAGE, "--owner: 1 to %d of a-z, 0-9 and -",
                        OWNER_MAX);
    if (!key_permission_parse(str_of(permission), &wish->permission))
        return cli_fail(args, EXIT_USAGE,
                        "--permission: full_access, sending_access or "
                        "read_access, not \"%s\"",
                        permission);
    if (cli_option(args, "domain") != NULL &&
        wish->permission != KEY_SENDING_ACCESS)
        return cli_fail(args, EXIT_USAGE,
                        "--domain: is for keys of --permission sending_access "
                        "alone");
    return EXIT_OK;
}

/* --- its domain --- */

struct finding {
    struct tool *tool;
    struct key_wish *wish;
};

static void on_domain(void *ctx, const struct queue_domains *found)
{
    struct finding *finding = ctx;
    struct tool *tool = finding->tool;
    struct key_wish *wish = finding->wish;

    if (found->status == QUEUE_NOT_FOUND) {
        tool_done(tool, cli_fail(tool->args, EXIT_NOT_FOUND,
                                 "--domain: the owner has no such domain; "
                                 "`posthaste domains add` adds one"));
    } else if (tool_is_answered(tool, found->status, &found->why)) {
        wish->domain_id = found->domains[0].id;
        snprintf(wish->domain, sizeof wish->domain, "%.*s",
                 STR_ARG(found->domains[0].name));
        tool_done(tool, EXIT_OK);
    }
}

static int find_named(struct tool *tool, struct key_wish *wish,
                      struct arena *arena)
{
    struct finding finding = {.tool = tool, .wish = wish};
    struct str given = str_of(cli_option(tool->args, "domain"));
    struct domain_name name = {0};
    struct queue_owner owner;
    struct id id;
    bool found;
    int code;

    if (id_parse(given, &id))
        name.id = &id;
    else if (domain_parse(arena, given, &name.name) != FLAW_NONE)
        return cli_fail(tool->args, EXIT_USAGE,
                        "--domain: give the name of a domain, or its id");
    code =
        tool_find_owner(tool, cli_option(tool->args, "owner"), &owner, &found);
    if (code != EXIT_OK)
        return code;
    queue_domain_get(tool->queue, owner, name, on_domain, &finding);
    return tool_wait(tool);
}

static int find_domain(struct tool *tool, struct key_wish *wish)
{
    struct arena *arena;
    int code;

    if (cli_option(tool->args, "domain") == NULL)
        return EXIT_OK;
    arena = arena_create();
    code = find_named(tool, wish, arena);
    arena_destroy(&arena);
    return code;
}

/* --- all of it --- */

/* The token alone on standard output, so that $(...) can take it. */
static void print_made(const struct cli_args *args, const struct key_wish *wish,
                       const struct id *id, const char *token)
{
    struct json_out out;
    struct buf text;

    if (!cli_flag(args, "json")) {
        puts(token);
        return;
    }
    buf_init(&text, OUTPUT_MAX);
    json_out_init(&out, &text);
    json_open_map(&out);
    json_add_str(&out, "id", id_str(id));
    json_add_str(&out, "name", wish->name);
    json_add_str(&out, "owner", wish->owner);
    json_add_cstr(&out, "permission", key_permission_name(wish->permission));
    json_add_str_or_null(&out, "domain_id", str_of(wish->domain_id.text));
    json_add_str_or_null(&out, "domain", str_of(wish->domain));
    json_add_cstr(&out, "token", token);
    json_close_map(&out);
    puts(text.data);
    buf_finish(&text);
}

static int create(struct tool *tool, void *ctx)
{
    struct key_wish *wish = ctx;
    char token[API_TOKEN_SIZE];
    enum queue_status status;
    struct error err;
    struct id id;
    int code = find_domain(tool, wish);

    if (code != EXIT_OK)
        return code;
    status = keys_make(tool, wish, token, &id, &err);
    if (status == QUEUE_OK)
        print_made(tool->args, wish, &id, token);
    else
        code = tool_fail(tool->args, status, &err);
    secret_wipe(token, sizeof token);
    return code;
}

static int run_create(const struct cli_args *args)
{
    struct key_wish wish = {0};
    int code = read_wish(args, &wish);

    return code == EXIT_OK ? tool_run(args, create, &wish) : code;
}

/* --- keys list --- */

struct listing {
    struct tool *tool;
    struct buf text;
    struct json_out out;
    bool as_json;
    char last[ID_SIZE]; /* where the next page begins */
    bool has_more;
};

static void print_key(struct listing *listing, const struct api_key *key)
{
    char created[CLOCK_RFC3339_SIZE];

    if (!listing->as_json) {
        clock_format(key->created_ms, created);
        printf("%s  %-14.*s  %-14s  %s  %.*s", key->id.text,
               STR_ARG(key->prefix), key_permission_name(key->permission),
               created, STR_ARG(key->name));
        if (key->domain.len > 0)
            printf("  only from %.*s", STR_ARG(key->domain));
        putchar('\n');
        return;
    }
    json_open_map(&listing->out);
    json_add_str(&listing->out, "id", id_str(&key->id));
    json_add_str(&listing->out, "name", key->name);
    json_add_str(&listing->out, "prefix", key->prefix);
    json_add_cstr(&listing->out, "permission",
                  key_permission_name(key->permission));
    json_add_time(&listing->out, "created_at", key->created_ms);
    json_add_time_or_null(&listing->out, "last_used_at", key->last_used_ms);
    json_add_str_or_null(&listing->out, "domain_id",
                         str_of(key->domain_id.text));
    json_add_str_or_null(&listing->out, "domain", key->domain);
    json_close_map(&listing->out);
}

static void on_listed(void *ctx, const struct queue_keys *keys)
{
    struct listing *listing = ctx;

    listing->has_more = keys->has_more;
    if (!tool_is_answered(listing->tool, keys->status, &keys->why))
        return;
    for (size_t i = 0; i < keys->count; i++) {
        print_key(listing, &keys->keys[i]);
        memcpy(listing->last, keys->keys[i].id.text, ID_SIZE);
    }
    tool_done(listing->tool, EXIT_OK);
}

static int list_pages(struct listing *listing)
{
    struct tool *tool = listing->tool;
    const char *name = cli_option(tool->args, "owner");
    struct queue_owner owner;
    bool found;
    int code = tool_find_owner(tool, name, &owner, &found);

    if (code != EXIT_OK)
        return code;
    do {
        const struct queue_page page = {
            .limit = 100,
            .after = str_of(listing->last),
        };

        queue_key_list(tool->queue, owner, &page, on_listed, listing);
        code = tool_wait(tool);
    } while (code == EXIT_OK && listing->has_more);
    return code;
}

static int list(struct tool *tool, void *ctx)
{
    struct listing listing = {.tool = tool,
                              .as_json = cli_wants_json(tool->args)};
    int code;

    (void)ctx;
    buf_init(&listing.text, OUTPUT_MAX);
    json_out_init(&listing.out, &listing.text);
    show_list_open(&listing.out);
    code = list_pages(&listing);
    show_list_close(&listing.out);
    if (code == EXIT_OK && listing.as_json)
        puts(listing.text.data);
    buf_finish(&listing.text);
    return code;
}

static int run_list(const struct cli_args *args)
{
    return tool_run(args, list, NULL);
}

/* --- keys rename, keys revoke --- */

struct key_change {
    struct id id;
    struct str name; /* its new one; of one that is revoked empty */
};

static void on_changed(void *ctx, const struct queue_answer *answer)
{
    struct tool *tool = ctx;

    if (tool_is_answered(tool, answer->status, &answer->why))
        tool_done(tool, EXIT_OK);
}

static int change(struct tool *tool, void *ctx)
{
    const struct key_change *wish = ctx;
    struct queue_owner owner;
    bool found;
    int code =
        tool_find_owner(tool, cli_option(tool->args, "owner"), &owner, &found);

    if (code != EXIT_OK)
        return code;
    if (wish->name.len > 0)
        queue_key_rename(tool->queue, owner, &wish->id, wish->name, on_changed,
                         tool);
    else
        queue_key_delete(tool->queue, owner, &wish->id, on_changed, tool);
    return tool_wait(tool);
}

static int change_given(const struct cli_args *args, struct key_change *wish)
{
    const char *given = cli_operand(args, 0);

    if (given == NULL || !id_parse(str_of(given), &wish->id))
        return cli_fail(args, EXIT_USAGE,
                        "give the id of a key, as keys list shows it");
    return tool_run(args, change, wish);
}

static int run_rename(const struct cli_args *args)
{
    struct key_change wish = {.name = S("")};
    int code = read_name(args, &wish.name);

    return code == EXIT_OK ? change_given(args, &wish) : code;
}

static int run_revoke(const struct cli_args *args)
{
    struct key_change wish = {.name = S("")};

    return change_given(args, &wish);
}

#define OPTION_OWNER                                                           \
    {                                                                          \
        "owner", "OWNER", "the workspace that the key belongs to", NULL,       \
            "default"                                                          \
    }

static const struct cli_option CREATE[] = {
    {"name", "NAME", "what the key is for", NULL, NULL},
    OPTION_OWNER,
    {"permission", "WORD", "full_access, sending_access or read_access", NULL,
     "full_access"},
    {"domain", "NAME", "may send from that domain only, by its name or id",
     NULL, NULL},
    {"test", NULL, "a key whose mail goes nowhere (not supported yet)", NULL,
     NULL},
    CLI_OPTION_CONFIG,
    CLI_OPTION_JSON,
};

static const struct cli_option RENAME[] = {
    {"name", "NAME", "its new name", NULL, NULL},
    OPTION_OWNER,
    CLI_OPTION_CONFIG,
    CLI_OPTION_JSON,
};

static const struct cli_option OTHERS[] = {
    OPTION_OWNER,
    CLI_OPTION_CONFIG,
    CLI_OPTION_JSON,
};

static const struct verb VERBS[] = {
    {
        .name = "keys create",
        .purpose = "Makes an API key and prints its token, once.",
        .examples = {"posthaste keys create --name shop",
                     "posthaste keys create --name ci --permission "
                     "sending_access --domain example.com"},
        .options = CREATE,
        .option_count = COUNT_OF(CREATE),
        .run = run_create,
    },
    {
        .name = "keys list",
        .purpose = "Lists an owner's API keys, newest first.",
        .examples = {"posthaste keys list", "posthaste keys list --json"},
        .options = OTHERS,
        .option_count = COUNT_OF(OTHERS),
        .run = run_list,
    },
    {
        .name = "keys rename",
        .operands = "ID",
        .purpose = "Gives an API key another name.",
        .examples =
            {"posthaste keys rename 019ab2c4-0d5e-7f00-8000-5a1c00000001 "
             "--name shop",
             "posthaste keys rename ID --name shop --owner acme"},
        .options = RENAME,
        .option_count = COUNT_OF(RENAME),
        .run = run_rename,
    },
    {
        .name = "keys revoke",
        .operands = "ID",
        .purpose = "Revokes an API key; it is refused within 5 s.",
        .examples =
            {"posthaste keys revoke 019ab2c4-0d5e-7f00-8000-5a1c00000001",
             "posthaste keys revoke ID --owner acme"},
        .options = OTHERS,
        .option_count = COUNT_OF(OTHERS),
        .warning = "a key that was revoked never comes back",
        .run = run_revoke,
    },
};

const struct verb_group VERBS_KEYS = {VERBS, COUNT_OF(VERBS)};
