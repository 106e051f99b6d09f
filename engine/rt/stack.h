/* engine/rt/stack.h - memory for fiber stacks, of one shard. For fiber.c and shard.c.
 *
 * A stack is handed out once and stays with its fiber object, which is reused; so this only
 * grows, by slabs, up to FIBERS_MAX stacks, and dies as a whole. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "engine/rt/fiber.h"

struct stack_slab;

struct stack_pool {
    struct stack_slab *slabs[FIBER_STACK_COUNT]; /* The newest first; only it has room. */
};

size_t stack_bytes(enum fiber_stack class);
/* The lowest byte of a new stack of stack_bytes(class), zero-filled; NULL when the kernel gives
 * no more. */
uint8_t *stack_pool_take(struct stack_pool *pool, enum fiber_stack class);
/* Give the pages back to the kernel; the address range stays the fiber's. */
void stack_release_pages(uint8_t *low, size_t bytes);
/* Unmaps all. */
void stack_pool_fini(struct stack_pool *pool);
