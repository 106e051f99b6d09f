/* engine/base/list.h - an intrusive, circular, doubly linked list. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/assert.h"

struct list {
    struct list *next;
    struct list *previous;
};

static inline void
list_init(struct list *list)
{
    list->next = list;
    list->previous = list;
}

static inline bool
list_is_empty(const struct list *list)
{
    return list->next == list;
}

static inline void
list_insert_before(struct list *position, struct list *node)
{
    node->next = position;
    node->previous = position->previous;
    position->previous->next = node;
    position->previous = node;
}

static inline void
list_push_back(struct list *list, struct list *node)
{
    list_insert_before(list, node);
}

static inline void
list_push_front(struct list *list, struct list *node)
{
    list_insert_before(list->next, node);
}

/* Leaves the node linked to itself, so removing twice is harmless. */
static inline void
list_remove(struct list *node)
{
    node->previous->next = node->next;
    node->next->previous = node->previous;
    list_init(node);
}

/* NULL when empty. */
static inline struct list *
list_pop_front(struct list *list)
{
    struct list *node = list->next;

    if (node == list) {
        return NULL;
    }
    list_remove(node);
    return node;
}

#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)
#define LIST_FOR_EACH(node, head)                                                                  \
    for (struct list *node = (head)->next; node != (head); node = node->next)
/* The body may remove `node`. */
#define LIST_FOR_EACH_SAFE(node, head)                                                             \
    for (struct list *node = (head)->next, *node##_next = node->next; node != (head);              \
         node = node##_next, node##_next = node->next)
