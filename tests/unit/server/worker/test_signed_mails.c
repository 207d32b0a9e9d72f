/* Mails that a worker signs, over a Redis of its own: in which order, how many
 * at a time. Those that are not signed: test_mails.c. */
#include "server/worker/mails.h"

#include "dkim_fixture.h"

static struct keyholder *holder;
static char told[64]; /* names of mails, as they were told */

static void on_ready_changed(void *ctx)
{
    (void)ctx;
}

static int setup(void **state)
{
    struct world *world = world_create();

    *state = world;
    redis_do("HSET ph:o:anne partition 0");
    memset(told, 0, sizeof told);
    holder = keyholder_open(world->loop, world->queue, all.ours,
                            on_ready_changed, NULL);
    return 0;
}

static int teardown(void **state)
{
    keyholder_close(&holder);
    return world_teardown(state);
}

struct signing {
    struct mail_user user;
    struct queue_claim claim;
    char name;
    struct signing *brings; /* who comes when this one is told */
};

static struct mails in_hand;

static void come(struct signing *mail)
{
    assert_false(mail_join(&in_hand, &mail->claim, &mail->user));
}

static void on_signed(void *ctx)
{
    struct signing *mail = ctx;

    told[strlen(told)] = mail->name;
    if (mail->brings != NULL)
        come(mail->brings);
}

static struct record *record_signed_by(const struct stored *stored)
{
    static struct str to[] = {STR("ada@example.net")};
    const struct summary summary = {
        .email = id_new(0),
        .owner = ANNE.name,
        .from = S("shop@a1.example"),
        .to = to,
        .to_count = 1,
        .subject = S("Hello"),
        .message_id = S("<019ab000@a1.example>"),
        .created_ms = 1764000000000,
    };
    const struct job_signing signing = {.domain = str_of(stored->domain),
                                        .key = id_str(&stored->id)};
    enum record_result result;
    struct record *record;
    struct buf out;

    buf_init(&out, 1 << 14);
    record_write(1, &summary,
                 S("{\"from\":\"shop@a1.example\",\"text\":\"Hi\","
                   "\"to\":[\"ada@example.net\"],\"subject\":\"Hello\"}"),
                 NULL, 0, 1764000000000, &signing, NULL, &out);
    record = record_read(buf_str(&out), &summary.email, NULL, &result);
    assert_int_equal(result, RECORD_OK);
    buf_finish(&out);
    return record;
}

enum { BULK = 10, SIGNED };

struct stage {
    struct world *world;
    struct stored stored;
    struct record *record;
    struct signing mails[SIGNED]; /* "abcdefghij" of lane 3, and a code, "V" */
    struct buf turns;             /* who was told in each turn of the loop */
};

static void stage_set(struct stage *stage, struct world *world)
{
    *stage = (struct stage){.world = world, .stored = store_good(world, 1)};
    stage->record = record_signed_by(&stage->stored);
    buf_init(&stage->turns, 64);
    mails_init(&in_hand, world->loop, holder);
    for (size_t i = 0; i < SIGNED; i++)
        stage->mails[i] = (struct signing){
            .user = {.ready = on_signed, .ctx = &stage->mails[i]},
            .claim = {.record = stage->record, .lane = i < BULK ? 3 : 0},
            .name = (char)(i < BULK ? 'a' + i : 'V'),
        };
}

static void stage_play(struct stage *stage)
{
    while (strlen(told) < SIGNED) {
        size_t before = strlen(told);

        loop_turn(stage->world->loop, 10000);
        if (strlen(told) > before)
            buf_addf(&stage->turns, "%s ", told + before);
    }
}

static void stage_clear(struct stage *stage)
{
    for (size_t i = 0; i < SIGNED; i++) {
        struct str bytes = buf_str(&stage->mails[i].user.mail->bytes);

        assert_true(str_starts(bytes, S("DKIM-Signature:")));
        assert_true(str_find(bytes, S("DKIM-Signature:"), 1) > 0);
        mail_leave(&stage->mails[i].user);
    }
    mails_stop(&in_hand);
    record_destroy(&stage->record);
    buf_finish(&stage->turns);
}

/* The first is begun as it comes; of those who come meanwhile, codes go ahead
 * of bulk, and of one lane eight are signed, and told, together. */
static void a_few_mails_of_a_lane_are_signed_together(void **state)
{
    struct stage stage;

    stage_set(&stage, *state);
    for (size_t i = 0; i < SIGNED; i++)
        come(&stage.mails[i]);
    stage_play(&stage);
    assert_true(str_eq(buf_str(&stage.turns), S("a V bcdefghi j ")));
    stage_clear(&stage);
}

/* Of the eight that have begun some go back; how many is a matter of time. */
static void a_code_passes_mails_that_have_begun(void **state)
{
    struct stage stage;
    char *code;

    stage_set(&stage, *state);
    stage.mails[0].brings = &stage.mails[BULK];
    for (size_t i = 0; i < BULK; i++)
        come(&stage.mails[i]);
    stage_play(&stage);
    code = strchr(told, 'V');
    assert_non_null(code);
    assert_true(code < strchr(told, 'j'));
    memmove(code, code + 1, strlen(code));
    assert_string_equal(told, "abcdefghij");
    stage_clear(&stage);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_few_mails_of_a_lane_are_signed_together),
        TEST(a_code_passes_mails_that_have_begun),
    };

    return cmocka_run_group_tests(tests, dkim_group_setup, dkim_group_teardown);
}
