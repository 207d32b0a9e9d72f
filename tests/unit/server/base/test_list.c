#include "server/base/list.h"

#include "check_cmocka.h"

struct item {
    char name;
    struct list link;
};

static struct item items[4] = {
    {.name = 'a'}, {.name = 'b'}, {.name = 'c'}, {.name = 'd'}};

static void assert_names(struct list *head, const char *names)
{
    list_each (link, head)
        assert_int_equal(LIST_MEMBER(link, struct item, link)->name, *names++);
    assert_int_equal(*names, '\0');
}

static void fill(struct list *head)
{
    list_init(head);
    for (int i = 0; i < 4; i++)
        list_add_last(head, &items[i].link);
}

static void members_keep_their_order(void **state)
{
    struct list head;

    (void)state;
    list_init(&head);
    assert_true(list_is_empty(&head));
    assert_null(LIST_FIRST(&head, struct item, link));
    list_add_last(&head, &items[1].link);
    list_add_first(&head, &items[0].link);
    list_add_last(&head, &items[3].link);
    list_add_before(&items[3].link, &items[2].link);
    assert_names(&head, "abcd");
    assert_int_equal(LIST_FIRST(&head, struct item, link)->name, 'a');
}

static void members_leave_also_twice(void **state)
{
    struct list head;

    (void)state;
    fill(&head);
    list_remove(&items[1].link);
    list_remove(&items[1].link);
    assert_names(&head, "acd");
    list_remove(&items[0].link);
    list_remove(&items[3].link);
    list_remove(&items[2].link);
    assert_true(list_is_empty(&head));
}

static void a_safe_walk_may_remove(void **state)
{
    struct list head;

    (void)state;
    fill(&head);
    list_each_safe (link, &head)
        if (LIST_MEMBER(link, struct item, link)->name % 2 == 1)
            list_remove(link);
    assert_names(&head, "bd");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_keep_their_order),
        cmocka_unit_test(members_leave_also_twice),
        cmocka_unit_test(a_safe_walk_may_remove),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
