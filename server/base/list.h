/* list.h - doubly linked lists whose links live inside the members.
 *
 * A head and a link are the same struct; an unlinked link points at itself,
 * so list_remove may be called on it again.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "server/base/check.h"

#include <stdbool.h>

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *list)
{
    list->next = list->prev = list;
}

static inline bool list_is_empty(const struct list *list)
{
    return list->next == list;
}

static inline void list_add_before(struct list *at, struct list *link)
{
    link->next = at;
    link->prev = at->prev;
    at->prev->next = link;
    at->prev = link;
}

static inline void list_add_first(struct list *head, struct list *link)
{
    list_add_before(head->next, link);
}

static inline void list_add_last(struct list *head, struct list *link)
{
    list_add_before(head, link);
}

static inline void list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* The member of type at the front; NULL when the list is empty. */
#define LIST_FIRST(head, type, member)                                         \
    (list_is_empty(head) ? NULL : CONTAINER_OF((head)->next, type, member))

#define LIST_MEMBER(link, type, member) CONTAINER_OF(link, type, member)

#define list_each(link, head)                                                  \
    for (struct list *link = (head)->next; link != (head); link = link->next)

/* The current link may be removed or freed in the body. */
#define list_each_safe(link, head)                                             \
    for (struct list *link = (head)->next, *link##_next = link->next;          \
         link != (head); link = link##_next, link##_next = link->next)

#endif
