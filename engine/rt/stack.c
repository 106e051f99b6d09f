/* engine/rt/stack.c - slabs of fiber stacks.
 *
 *     | guard | stack | guard | stack | ... | guard |      low addresses on the left
 *
 * A slab is reserved in one mapping without access; a stack is opened when it is handed out. A
 * guard is 64 KiB wide, so that a frame must be larger than that to jump over it; our own code
 * touches every page (-fstack-clash-protection), a library's may not.
 *
 * This file maps memory, so it is built without poison.h. */
#include "engine/rt/stack.h"

#include <sys/mman.h>

#include "engine/base/assert.h"
#include "engine/base/mem.h"
#include "engine/base/sanitize.h"

#ifdef ORBIT_ASAN
#include <sanitizer/lsan_interface.h>
#endif

enum {
    STACK_GUARD_BYTES = 64 << 10,
#if defined(ORBIT_ASAN) || defined(ORBIT_TSAN)
    STACK_SCALE = 2, /* Red zones and instrumented frames take room. */
#else
    STACK_SCALE = 1,
#endif
    STACK_SMALL_BYTES = (64 << 10) * STACK_SCALE,
    STACK_LARGE_BYTES = (512 << 10) * STACK_SCALE,
};

struct stack_slab {
    struct stack_slab *next;
    uint8_t *start;
    size_t bytes;
    uint32_t taken;
};

struct stack_class {
    size_t bytes;
    uint32_t per_slab;
};

static const struct stack_class stack_classes[FIBER_STACK_COUNT] = {
    [FIBER_STACK_SMALL] = {STACK_SMALL_BYTES, 32},
    [FIBER_STACK_LARGE] = {STACK_LARGE_BYTES, 8},
};

size_t stack_bytes(enum fiber_stack class)
{
    ASSERT(class < FIBER_STACK_COUNT);
    return stack_classes[class].bytes;
}

static struct stack_slab *stack_slab_new(enum fiber_stack class)
{
    const struct stack_class *row = &stack_classes[class];
    size_t bytes = row->per_slab * (row->bytes + STACK_GUARD_BYTES) + STACK_GUARD_BYTES;
    struct stack_slab *slab;
    void *start;

    start = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        return NULL;
    }
    slab = MEM_NEW(MEM_RUNTIME, struct stack_slab);
    slab->start = start;
    slab->bytes = bytes;
#ifdef ORBIT_ASAN
    /* The leak checker looks for pointers in what is readable of it. */
    __lsan_register_root_region(start, bytes);
#endif
    return slab;
}

uint8_t *
stack_pool_take(struct stack_pool *pool, enum fiber_stack class)
{
    struct stack_slab *slab = pool->slabs[class];
    size_t bytes = stack_bytes(class);
    uint8_t *low;

    if (slab == NULL || slab->taken == stack_classes[class].per_slab) {
        slab = stack_slab_new(class);
        if (slab == NULL) {
            return NULL;
        }
        slab->next = pool->slabs[class];
        pool->slabs[class] = slab;
    }
    low = slab->start + STACK_GUARD_BYTES + slab->taken * (bytes + STACK_GUARD_BYTES);
    if (mprotect(low, bytes, PROT_READ | PROT_WRITE) != 0) {
        return NULL;
    }
    slab->taken++;
    return low;
}

void
stack_release_pages(uint8_t *low, size_t bytes)
{
    /* Failing costs memory only, never correctness. */
    (void)madvise(low, bytes, MADV_DONTNEED);
}

void
stack_pool_fini(struct stack_pool *pool)
{
    for (unsigned i = 0; i < FIBER_STACK_COUNT; i++) {
        struct stack_slab *next;
        int result;

        for (struct stack_slab *slab = pool->slabs[i]; slab != NULL; slab = next) {
            next = slab->next;
#ifdef ORBIT_ASAN
            __lsan_unregister_root_region(slab->start, slab->bytes);
#endif
            SANITIZE_UNPOISON(slab->start, slab->bytes);
            result = munmap(slab->start, slab->bytes);
            ASSERT(result == 0);
            MEM_FREE(MEM_RUNTIME, slab);
        }
        pool->slabs[i] = NULL;
    }
}
