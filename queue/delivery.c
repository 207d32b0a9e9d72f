#include "queue/delivery.h"

#include <stdio.h>
#include <string.h>

static const struct {
    char letter; /* in field s */
    bool is_final;
} STATES[DELIVERY_STATE_COUNT] = {
    [DELIVERY_QUEUED] = {'q', false},  [DELIVERY_DUE] = {'u', false},
    [DELIVERY_CLAIMED] = {'c', false}, [DELIVERY_DOTTED] = {'x', false},
    [DELIVERY_HELD] = {'h', false},    [DELIVERY_DEAD] = {'k', false},
    [DELIVERY_SENT] = {'S', true},     [DELIVERY_BOUNCED] = {'B', true},
    [DELIVERY_FAILED] = {'F', true},   [DELIVERY_SUPPRESSED] = {'P', true},
    [DELIVERY_EXPIRED] = {'E', true},  [DELIVERY_SUPERSEDED] = {'U', true},
    [DELIVERY_CANCELED] = {'C', true},
};
enum { SENT_AND_DELIVERED = 'D', DELIVERIES_MAX = 500 };

bool delivery_is_final(enum delivery_state state)
{
    CHECK(state < DELIVERY_STATE_COUNT);
    return STATES[state].is_final;
}

static bool read_state(struct str text, struct queue_delivery *delivery)
{
    char letter = text.len == 1 ? text.ptr[0] : '\0';

    if (letter == SENT_AND_DELIVERED) {
        delivery->sequel = SEQUEL_DELIVERED;
        letter = STATES[DELIVERY_SENT].letter;
    }
    for (unsigned i = 0; i < DELIVERY_STATE_COUNT; i++) {
        if (STATES[i].letter == letter) {
            delivery->state = (enum delivery_state)i;
            return true;
        }
    }
    return false;
}

/* "db1764000000000": what came back of it, and when the last one did. */
static void read_sequel(struct str text, struct queue_delivery *delivery)
{
    size_t letters = 0;
    uint64_t at_ms;

    while (letters < text.len && ascii_is_alpha(text.ptr[letters]))
        letters++;
    if (letters == 0 || !str_to_u64(str_from(text, letters), &at_ms))
        return;
    delivery->sequel_ms = (int64_t)at_ms;
    if (text.ptr[letters - 1] == 'b')
        delivery->sequel = SEQUEL_BOUNCED;
    else if (text.ptr[letters - 1] == 'd')
        delivery->sequel = SEQUEL_DELIVERED;
    else if (text.ptr[letters - 1] == 'c')
        delivery->sequel = SEQUEL_COMPLAINED;
}

static struct str field(const struct reply *fields, const char *name)
{
    for (size_t i = 0; i + 1 < reply_count(fields); i += 2)
        if (str_eq(reply_str(reply_at(fields, i)), str_of(name)))
            return reply_str(reply_at(fields, i + 1));
    return S("");
}

static int64_t number_of(const struct reply *fields, const char *name)
{
    uint64_t value;

    return str_to_u64(field(fields, name), &value) ? (int64_t)value : 0;
}

/* Code, enhanced code and reply are the last three of the list. */
static void read_outcome(const struct json *list, struct arena *arena,
                         struct queue_delivery *delivery)
{
    size_t count = json_count(list);

    if (count < 3)
        return;
    delivery->code = (int)json_int(json_at(list, count - 3));
    delivery->enhanced_code =
        arena_copy(arena, json_str(json_at(list, count - 2)));
    delivery->response = arena_copy(arena, json_str(json_at(list, count - 1)));
}

void delivery_read_reply(struct str outcome, struct arena *arena,
                         struct queue_delivery *delivery)
{
    struct json *list;
    struct buf text;

    buf_init(&text, 1024);
    buf_add_char(&text, '[');
    buf_add(&text, outcome);
    buf_add_char(&text, ']');
    list = json_parse(buf_str(&text), NULL);
    read_outcome(list, arena, delivery);
    json_destroy(&list);
    buf_finish(&text);
}

/* p1, p2, ... joined are the outcome without its brackets, up to a line's
 * end: a longer one may have stood there before. */
static void read_pieces(const struct reply *fields, struct arena *arena,
                        struct queue_delivery *delivery)
{
    char name[] = "p1";
    struct buf text;
    struct str rest;
    struct str outcome;

    buf_init(&text, 1024);
    for (; name[1] <= '9' && !str_contains(buf_str(&text), S("\n")); name[1]++)
        buf_add(&text, field(fields, name));
    rest = buf_str(&text);
    outcome = rest;
    (void)str_cut(&rest, '\n', &outcome);
    delivery_read_reply(outcome, arena, delivery);
    buf_finish(&text);
}

bool delivery_read(const struct reply *fields, unsigned number,
                   struct arena *arena, struct queue_delivery *delivery)
{
    *delivery = (struct queue_delivery){.number = number};
    if (!read_state(field(fields, "s"), delivery))
        return false;
    delivery->generation = (unsigned)number_of(fields, "g");
    if (delivery->generation == 0)
        delivery->generation = 1; /* left out */
    delivery->attempts = (unsigned)number_of(fields, "a");
    delivery->ended_ms = number_of(fields, "e");
    if (delivery->state == DELIVERY_DUE)
        delivery->next_attempt_ms = number_of(fields, "du");
    read_sequel(field(fields, "fu"), delivery);
    read_pieces(fields, arena, delivery);
    return true;
}

enum { NUMBER, STATE, GENERATION, ATTEMPTS, ENDED, OUTCOME_FIELDS = 8 };

static bool read_final(const struct json *outcome, struct arena *arena,
                       struct queue_delivery *delivery)
{
    *delivery = (struct queue_delivery){0};
    if (json_count(outcome) != OUTCOME_FIELDS ||
        !read_state(json_str(json_at(outcome, STATE)), delivery))
        return false;
    delivery->number = (unsigned)json_int(json_at(outcome, NUMBER));
    delivery->generation = (unsigned)json_int(json_at(outcome, GENERATION));
    delivery->attempts = (unsigned)json_int(json_at(outcome, ATTEMPTS));
    delivery->ended_ms = json_int(json_at(outcome, ENDED));
    read_outcome(outcome, arena, delivery);
    return true;
}

/* Of fu in a history (scripts/feedback.lua) what is of one delivery. */
static struct str sequel_of(struct str all, unsigned number)
{
    char name[16];
    struct str one;

    snprintf(name, sizeof name, "%u", number);
    while (str_cut(&all, ' ', &one)) {
        struct str rest = str_from(one, strlen(name));

        if (str_starts(one, str_of(name)) && rest.len > 0 &&
            ascii_is_alpha(rest.ptr[0]))
            return rest;
    }
    return S("");
}

/* --- all of an email --- */

bool deliveries_of_fields(const struct reply *list, struct arena *arena,
                          struct deliveries *deliveries)
{
    size_t count = reply_count(list) / 2;

    *deliveries = (struct deliveries){.count = count};
    if (count > DELIVERIES_MAX)
        return false;
    deliveries->items = ARENA_ARRAY(arena, struct queue_delivery, count);
    for (size_t i = 0; i < count; i++) {
        const struct reply *fields = reply_at(list, 2 * i + 1);
        int64_t number = reply_int(reply_at(list, 2 * i));

        if (number == 0)
            deliveries->job_chunks = (unsigned)number_of(fields, "bj");
        if (!delivery_read(fields, (unsigned)number, arena,
                           &deliveries->items[i]))
            return false;
    }
    return true;
}

bool deliveries_of_history(struct str history, struct arena *arena,
                           struct deliveries *deliveries)
{
    ptrdiff_t end = str_index(history, '\n', 0);
    struct json *root =
        end < 0 ? NULL : json_parse(str_slice(history, 0, (size_t)end), NULL);
    const struct json *list = json_get(root, "d");
    size_t count = json_count(list);
    bool good = root != NULL && count > 0 && count <= DELIVERIES_MAX;

    *deliveries = (struct deliveries){0};
    if (good) {
        deliveries->items = ARENA_ARRAY(arena, struct queue_delivery, count);
        deliveries->job_chunks = (unsigned)json_get_int(root, "bj");
        deliveries->summary = str_from(history, (size_t)end + 1);
    }
    for (size_t i = 0; good && i < count; i++) {
        struct queue_delivery *delivery =
            &deliveries->items[deliveries->count++];

        good = read_final(json_at(list, i), arena, delivery);
        read_sequel(sequel_of(json_get_str(root, "fu"), delivery->number),
                    delivery);
    }
    json_destroy(&root);
    return good;
}
