/* engine/rt/context.h - switching stacks, and telling the sanitizers. For fiber.c and shard.c.
 *
 * Control only ever goes from the loop to a fiber and back. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct context {
    void *stack_pointer; /* While it does not run; see context.c for what lies there. */
    uint8_t *stack_low;  /* Lowest usable byte; of the loop: as ASan last told us. */
    size_t stack_bytes;
    void *asan_fake_stack;
    void *tsan_fiber;
};

/* Prepare a stack so that the first switch to it calls entry(arg), which must never return. */
void context_make(struct context *context, uint8_t *stack_low, size_t stack_bytes,
                  void (*entry)(void *arg), void *arg);
/* Release what a sanitizer holds for a context that will not run again as it stands. */
void context_forget(struct context *context);
/* The first call in entry; `from` is the context that switched here. */
void context_entered(struct context *from);
/* Save `from`, continue `to`. */
void context_switch(struct context *from, struct context *to);
/* The floating-point modes with which a program begins. */
void context_modes_reset(void);
