#include "queue/index.h"

#include "check_cmocka.h"

static struct str to[] = {STR("Ann <Ann@Example.com>"), STR("bob@example.com")};
static struct str cc[] = {STR("ann@example.com")};
static const struct summary SUMMARY = {
    .to = to,
    .to_count = 2,
    .cc = cc,
    .cc_count = 1,
    .tags_json = STR("[{\"name\":\"kind\",\"value\":\"order\"},"
                     "{\"name\":\"kind\",\"value\":\"order\"},"
                     "{\"name\":\"shop\",\"value\":\"\"}]"),
};

static void each_mark_stands_once(void **state)
{
    char ann[INDEX_MARK_SIZE];
    char bob[INDEX_MARK_SIZE];
    char kind[INDEX_MARK_SIZE];
    char shop[INDEX_MARK_SIZE];
    char all[64];
    struct buf marks;

    (void)state;
    index_recipient_mark(S("ANN@example.com"), ann);
    index_recipient_mark(S("bob@example.com"), bob);
    index_tag_mark(S("kind"), S("order"), kind);
    index_tag_mark(S("shop"), S(""), shop);
    snprintf(all, sizeof all, "%s%s%s%s", ann, bob, kind, shop);
    buf_init(&marks, 1024);
    index_add_marks(&SUMMARY, &marks);
    assert_string_equal(marks.data, all);
    assert_int_equal(marks.len, 4 * INDEX_MARK_LEN);
    buf_finish(&marks);
}

static void a_tags_name_begins_its_mark(void **state)
{
    char name[INDEX_MARK_SIZE];
    char both[INDEX_MARK_SIZE];

    (void)state;
    index_tag_mark(S("kind"), (struct str){0}, name);
    index_tag_mark(S("kind"), S("order"), both);
    assert_int_equal(strlen(name), INDEX_TAG_NAME_LEN);
    assert_memory_equal(name, both, INDEX_TAG_NAME_LEN);
}

static void the_summary_decides(void **state)
{
    (void)state;
    assert_true(index_has_recipient(&SUMMARY, S("ann@example.COM")));
    assert_false(index_has_recipient(&SUMMARY, S("nn@example.com")));
    assert_true(index_has_tag(&SUMMARY, S("kind"), S("order")));
    assert_true(index_has_tag(&SUMMARY, S("kind"), (struct str){0}));
    assert_true(index_has_tag(&SUMMARY, S("shop"), S("")));
    assert_false(index_has_tag(&SUMMARY, S("kind"), S("orders")));
    assert_false(index_has_tag(&SUMMARY, S("order"), (struct str){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mark_stands_once),
        cmocka_unit_test(a_tags_name_begins_its_mark),
        cmocka_unit_test(the_summary_decides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
