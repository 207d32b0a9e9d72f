/* queue held|dead list|requeue|drop: what waits for an operator. */
#include "server/base/codec.h"
#include "server/base/json.h"
#include "server/cli/show.h"
#include "server/cli/tool.h"
#include "server/cli/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    OUTPUT_MAX = 4 << 20,
    LIST_MAX = 1000,
    RECIPIENTS_MAX = 50, /* of one email */
    ID_SIZE_MAX = 64,
};

static const char *kind_word(enum parked kind)
{
    return kind == PARKED_HELD ? "held" : "dead";
}

/* "email:number", or "email": all its recipients. */
static bool read_id(struct str given, struct str *email, bool *has_number,
                    uint64_t *number)
{
    struct str rest = given;
    struct id id;

    *has_number = str_index(given, ':', 0) >= 0;
    return str_cut(&rest, ':', email) && id_parse(*email, &id) &&
           (!*has_number || (str_to_u64(rest, number) && *number < 100000));
}

/* --- list --- */

struct listing {
    struct tool *tool;
    enum parked kind;
    struct parked_cursor cursor;
    uint64_t total;
    uint64_t counted; /* of --owner's */
    int64_t left;     /* of --limit */
    bool has_more;
    struct buf text;
    struct json_out out;
};

static void add_reply(struct json_out *out,
                      const struct queue_delivery *delivery)
{
    json_name(out, "last_reply");
    json_open_map(out);
    json_add_int(out, "code", delivery->code);
    json_add_str(out, "enhanced_code", delivery->enhanced_code);
    json_add_str(out, "text", delivery->response);
    json_close_map(out);
}

static void add_delivery(struct json_out *out,
                         const struct parked_delivery *parked)
{
    static const char *const WHY[] = {
        [PARKED_NO_REPLY] = "no_reply",
        [PARKED_WORKER_LOST] = "worker_lost",
        [PARKED_POISON] = "poison",
    };

    json_open_map(out);
    json_add_str(out, "id", parked->id);
    json_add_str(out, "email_id", str_slice(parked->id, 0, ID_LEN));
    json_add_str(out, "owner", parked->owner);
    json_add_int(out, "lane", parked->lane);
    if (parked->class_is_known)
        json_add_cstr(out, "class", mail_class_name(parked->mail_class));
    else
        json_add_null(out, "class");
    json_add_time_or_null(out, "since", parked->since_ms);
    json_add_time_or_null(out, "until", parked->until_ms);
    json_add_cstr(out, "why", WHY[parked->why]);
    json_add_str(out, "upstream", parked->upstream);
    json_add_int(out, "attempts", parked->delivery.attempts);
    json_add_int(out, "crashes", parked->crashes);
    add_reply(out, &parked->delivery);
    json_close_map(out);
}

static void on_page(void *ctx, const struct parked_page *page)
{
    struct listing *listing = ctx;

    if (!tool_is_answered(listing->tool, page->status, &page->why))
        return;
    for (size_t i = 0; i < page->count; i++)
        add_delivery(&listing->out, &page->deliveries[i]);
    listing->left -= (int64_t)page->count;
    listing->total = page->total;
    listing->has_more = page->has_more;
    listing->cursor = page->next;
    tool_done(listing->tool, EXIT_OK);
}

static void print_table(const struct listing *listing)
{
    static const struct show_column COLUMNS[] = {
        {"id", "id"},
        {"owner", "owner"},
        {"class", "class"},
        {"since", "since"},
        {"until", "until"},
        {"why", "why"},
        {"upstream", "upstream"},
        {"code", "last_reply/code"},
        {"last reply", "last_reply/text"},
    };
    struct json *root = json_parse(buf_str(&listing->text), NULL);
    const struct json *data = json_get(root, "data");
    struct buf table;

    buf_init(&table, OUTPUT_MAX);
    show_table(data, COLUMNS, COUNT_OF(COLUMNS), &table);
    if (json_count(data) == 0)
        printf("nothing is %s\n", kind_word(listing->kind));
    else
        show_print(&table);
    if (listing->has_more)
        printf("there is more: %" PRIu64 " in all; go on with --after %" PRId64
               ":%s\n",
               listing->total, listing->cursor.end_ms, listing->cursor.id);
    buf_finish(&table);
    json_destroy(&root);
}

static int ask_page(struct listing *listing, unsigned max, parked_page_fn done)
{
    queue_parked_list(listing->tool->queue, listing->kind,
                      str_of(cli_option(listing->tool->args, "owner")),
                      &listing->cursor, max, done, listing);
    return tool_wait(listing->tool);
}

static int list_pages(struct listing *listing)
{
    int code;

    do {
        code =
            ask_page(listing,
                     listing->left < PARKED_PAGE_MAX ? (unsigned)listing->left
                                                     : PARKED_PAGE_MAX,
                     on_page);
    } while (code == EXIT_OK && listing->has_more && listing->left > 0);
    return code;
}

static void on_page_to_count(void *ctx, const struct parked_page *page)
{
    struct listing *listing = ctx;

    listing->counted += page->count;
    listing->has_more = page->has_more;
    listing->cursor = page->next;
    if (tool_is_answered(listing->tool, page->status, &page->why))
        tool_done(listing->tool, EXIT_OK);
}

/* An owner's are not counted anywhere: they are gone through, from the
 * start. */
static int count_owners(const struct listing *listing, uint64_t *total)
{
    struct listing counting = {.tool = listing->tool, .kind = listing->kind};
    int code;

    do {
        code = ask_page(&counting, PARKED_PAGE_MAX, on_page_to_count);
    } while (code == EXIT_OK && counting.has_more);
    *total = counting.counted;
    return code;
}

static void add_next(struct listing *listing)
{
    char place[ID_SIZE_MAX + DECIMAL_SIZE + 1];

    if (listing->has_more) {
        snprintf(place, sizeof place, "%" PRId64 ":%s", listing->cursor.end_ms,
                 listing->cursor.id);
        json_add_cstr(&listing->out, "next", place);
    } else {
        json_add_null(&listing->out, "next");
    }
}

static int list_all(struct listing *listing)
{
    int code;

    show_list_open(&listing->out);
    code = list_pages(listing);
    if (code == EXIT_OK && cli_option(listing->tool->args, "owner")[0] != '\0')
        code = count_owners(listing, &listing->total);
    json_close_list(&listing->out);
    json_add_int(&listing->out, "total", (int64_t)listing->total);
    json_add_bool(&listing->out, "has_more", listing->has_more);
    add_next(listing);
    json_close_map(&listing->out);
    if (code != EXIT_OK)
        return code;
    if (cli_wants_json(listing->tool->args))
        puts(listing->text.data);
    else
        print_table(listing);
    return EXIT_OK;
}

static int list(struct tool *tool, void *ctx)
{
    struct listing *listing = ctx;
    int code;

    listing->tool = tool;
    buf_init(&listing->text, OUTPUT_MAX);
    json_out_init(&listing->out, &listing->text);
    code = list_all(listing);
    buf_finish(&listing->text);
    return code;
}

/* "end:email:number", as a list says where to go on; false: it is not. */
static bool read_after(const char *given, struct parked_cursor *cursor)
{
    struct str rest = str_of(given);
    struct str end;
    struct str email;
    uint64_t end_ms;
    uint64_t number;
    bool has_number;

    if (!str_cut(&rest, ':', &end) || !str_to_u64(end, &end_ms) ||
        end_ms > INT64_MAX || !read_id(rest, &email, &has_number, &number) ||
        !has_number || rest.len >= sizeof cursor->id)
        return false;
    cursor->end_ms = (int64_t)end_ms;
    snprintf(cursor->id, sizeof cursor->id, "%.*s", STR_ARG(rest));
    return true;
}

static int run_list(const struct cli_args *args, enum parked kind)
{
    const char *after = cli_option(args, "after");
    struct listing listing = {.kind = kind, .left = 100};

    if (!cli_number(args, "limit", 1, LIST_MAX, &listing.left))
        return EXIT_USAGE;
    if (after[0] != '\0' && !read_after(after, &listing.cursor))
        return cli_fail(args, EXIT_USAGE,
                        "--after: \"%s\" is no place in a list; queue %s list "
                        "names the next one",
                        after, kind_word(kind));
    return tool_run(args, list, &listing);
}

/* --- requeue and drop --- */

struct moving {
    struct tool *tool;
    enum parked kind;
    bool is_drop;
    struct parked_cursor cursor;
    bool has_more;
    char ids[PARKED_MOVE_MAX][ID_SIZE_MAX];
    size_t count;
    uint64_t moved;
};

static void on_moved(void *ctx, const struct parked_moved *moved)
{
    struct moving *moving = ctx;

    moving->moved += moved->moved;
    if (tool_is_answered(moving->tool, moved->status, &moved->why))
        tool_done(moving->tool, EXIT_OK);
}

/* Those in ids. */
static int move_some(struct moving *moving)
{
    struct queue *queue = moving->tool->queue;
    struct str owner = str_of(cli_option(moving->tool->args, "owner"));
    struct str ids[PARKED_MOVE_MAX];

    for (size_t i = 0; i < moving->count; i++)
        ids[i] = str_of(moving->ids[i]);
    if (moving->is_drop)
        queue_parked_drop(queue, moving->kind, owner, ids, moving->count,
                          on_moved, moving);
    else
        queue_parked_requeue(queue, moving->kind, owner, ids, moving->count,
                             on_moved, moving);
    moving->count = 0;
    return tool_wait(moving->tool);
}

static void on_page_to_move(void *ctx, const struct parked_page *page)
{
    struct moving *moving = ctx;

    if (!tool_is_answered(moving->tool, page->status, &page->why))
        return;
    for (size_t i = 0; i < page->count; i++)
        snprintf(moving->ids[moving->count++], ID_SIZE_MAX, "%.*s",
                 STR_ARG(page->deliveries[i].id));
    moving->has_more = page->has_more;
    moving->cursor = page->next;
    tool_done(moving->tool, EXIT_OK);
}

static int move_all(struct moving *moving)
{
    struct tool *tool = moving->tool;
    int code;

    do {
        queue_parked_list(tool->queue, moving->kind,
                          str_of(cli_option(moving->tool->args, "owner")),
                          &moving->cursor, PARKED_PAGE_MAX, on_page_to_move,
                          moving);
        code = tool_wait(tool);
        if (code == EXIT_OK && moving->count > 0)
            code = move_some(moving);
    } while (code == EXIT_OK && moving->has_more);
    return code;
}

static int add_id(struct moving *moving, struct str email, uint64_t number)
{
    if (moving->count == PARKED_MOVE_MAX) {
        int code = move_some(moving);

        if (code != EXIT_OK)
            return code;
    }
    snprintf(moving->ids[moving->count++], ID_SIZE_MAX, "%.*s:%" PRIu64,
             STR_ARG(email), number);
    return EXIT_OK;
}

static int move_given(struct moving *moving)
{
    const char *given;
    int code = EXIT_OK;

    for (size_t i = 0; code == EXIT_OK &&
                       (given = cli_operand(moving->tool->args, i)) != NULL;
         i++) {
        struct str email;
        uint64_t number = 0;
        bool has_number;

        CHECK(read_id(str_of(given), &email, &has_number, &number));
        if (has_number)
            code = add_id(moving, email, number);
        for (; !has_number && code == EXIT_OK && number < RECIPIENTS_MAX;
             number++)
            code = add_id(moving, email, number);
    }
    return code == EXIT_OK && moving->count > 0 ? move_some(moving) : code;
}

static int check_ids(const struct cli_args *args, enum parked kind)
{
    const char *given = cli_operand(args, 0);
    bool is_all = cli_flag(args, "all");

    if (given == NULL && !is_all)
        return cli_fail(args, EXIT_USAGE,
                        "give ids, as queue %s list shows them, or --all",
                        kind_word(kind));
    if (given != NULL && is_all)
        return cli_fail(args, EXIT_USAGE, "give either ids or --all, not both");
    for (size_t i = 0; (given = cli_operand(args, i)) != NULL; i++) {
        struct str email;
        uint64_t number;
        bool has_number;

        if (!read_id(str_of(given), &email, &has_number, &number))
            return cli_fail(args, EXIT_USAGE,
                            "\"%s\" is no id: EMAIL:NUMBER, as queue %s list "
                            "shows it, or EMAIL for all its recipients",
                            given, kind_word(kind));
    }
    return EXIT_OK;
}

static int tell_moved(const struct moving *moving)
{
    const char *word = moving->is_drop ? "dropped" : "requeued";

    if (moving->moved == 0 && !cli_flag(moving->tool->args, "all"))
        return cli_fail(moving->tool->args, EXIT_NOT_FOUND,
                        "none of these is %s; see queue %s list",
                        kind_word(moving->kind), kind_word(moving->kind));
    if (cli_wants_json(moving->tool->args))
        printf("{\"%s\":%" PRIu64 "}\n", word, moving->moved);
    else
        printf("%" PRIu64 " %s\n", moving->moved, word);
    return EXIT_OK;
}

static int move(struct tool *tool, void *ctx)
{
    struct moving *moving = ctx;
    int code;

    moving->tool = tool;
    code = cli_flag(tool->args, "all") ? move_all(moving) : move_given(moving);
    return code == EXIT_OK ? tell_moved(moving) : code;
}

static int run_move(const struct cli_args *args, enum parked kind, bool is_drop)
{
    struct moving moving = {.kind = kind, .is_drop = is_drop};
    int code = check_ids(args, kind);

    return code == EXIT_OK ? tool_run(args, move, &moving) : code;
}

/* --- the verbs --- */

static int run_held_list(const struct cli_args *args)
{
    return run_list(args, PARKED_HELD);
}

static int run_held_requeue(const struct cli_args *args)
{
    return run_move(args, PARKED_HELD, false);
}

static int run_held_drop(const struct cli_args *args)
{
    return run_move(args, PARKED_HELD, true);
}

static int run_dead_list(const struct cli_args *args)
{
    return run_list(args, PARKED_DEAD);
}

static int run_dead_requeue(const struct cli_args *args)
{
    return run_move(args, PARKED_DEAD, false);
}

static int run_dead_drop(const struct cli_args *args)
{
    return run_move(args, PARKED_DEAD, true);
}

#define OPTION_OWNER                                                           \
    {                                                                          \
        "owner", "OWNER", "only this workspace's mail", NULL, ""               \
    }

static const struct cli_option LIST[] = {
    OPTION_OWNER,
    {"limit", "N", "how many at most, 1 to 1000", NULL, "100"},
    {"after", "PLACE", "go on where a list ended (its \"next\")", NULL, ""},
    CLI_OPTION_CONFIG,
    CLI_OPTION_JSON,
};

static const struct cli_option MOVE[] = {
    {"all", NULL, "all there are", NULL, NULL},
    OPTION_OWNER,
    CLI_OPTION_CONFIG,
    CLI_OPTION_JSON,
};

static const struct verb VERBS[] = {
    {
        .name = "queue held list",
        .purpose = "Lists mail that may have been delivered and must not be "
                   "sent twice.",
        .examples = {"posthaste queue held list",
                     "posthaste queue held list --owner acme --json"},
        .options = LIST,
        .option_count = COUNT_OF(LIST),
        .run = run_held_list,
    },
    {
        .name = "queue held requeue",
        .operands = "[ID...]",
        .purpose = "Sends held mail again, flagged possible_duplicate.",
        .examples = {"posthaste queue held requeue "
                     "019ab2c4-0d5e-7f00-8000-5a1c00000001:0",
                     "posthaste queue held requeue --all --owner acme"},
        .options = MOVE,
        .option_count = COUNT_OF(MOVE),
        .run = run_held_requeue,
    },
    {
        .name = "queue held drop",
        .operands = "[ID...]",
        .purpose = "Ends held mail as canceled.",
        .examples = {"posthaste queue held drop "
                     "019ab2c4-0d5e-7f00-8000-5a1c00000001:0",
                     "posthaste queue held drop --all"},
        .options = MOVE,
        .option_count = COUNT_OF(MOVE),
        .warning = "this mail is canceled for good",
        .run = run_held_drop,
    },
    {
        .name = "queue dead list",
        .purpose = "Lists mail that crashed its worker again and again.",
        .examples = {"posthaste queue dead list",
                     "posthaste queue dead list --json"},
        .options = LIST,
        .option_count = COUNT_OF(LIST),
        .run = run_dead_list,
    },
    {
        .name = "queue dead requeue",
        .operands = "[ID...]",
        .purpose = "Tries dead mail again, alone in its worker.",
        .examples = {"posthaste queue dead requeue "
                     "019ab2c4-0d5e-7f00-8000-5a1c00000001:0",
                     "posthaste queue dead requeue --all"},
        .options = MOVE,
        .option_count = COUNT_OF(MOVE),
        .run = run_dead_requeue,
    },
    {
        .name = "queue dead drop",
        .operands = "[ID...]",
        .purpose = "Ends dead mail as canceled.",
        .examples = {"posthaste queue dead drop "
                     "019ab2c4-0d5e-7f00-8000-5a1c00000001:0",
                     "posthaste queue dead drop --all"},
        .options = MOVE,
        .option_count = COUNT_OF(MOVE),
        .warning = "this mail is canceled for good",
        .run = run_dead_drop,
    },
};

const struct verb_group VERBS_PARKED = {VERBS, COUNT_OF(VERBS)};
