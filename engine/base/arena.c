/* engine/base/arena.c - memory that dies as a whole.
 *
 *     head -> block (filling) -> block (full) -> block (one large piece) -> ...
 *
 * Blocks double up to ARENA_BLOCK_BYTES_MAX, or to one huge page; a piece that would waste much of
 * a block gets one of its own behind the head, so that the head goes on filling. */
#include "engine/base/mem.h"

#include <stdarg.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/sanitize.h"

#include "engine/base/poison.h"

enum {
    ARENA_BLOCK_BYTES_MIN = 1 << 12,
    ARENA_BLOCK_BYTES_MAX = 1 << 16,
    /* The largest block that arena_reset keeps. */
    ARENA_KEEP_BYTES_MAX = 1 << 14,
    ARENA_ALIGN = 16,
};

struct arena_block {
    struct arena_block *next;
    size_t size; /* With this header. */
    size_t used; /* With this header; a multiple of ARENA_ALIGN. */
} __attribute__((aligned(ARENA_ALIGN)));

void
arena_init(struct arena *arena, enum mem_tag tag)
{
    *arena = (struct arena){.tag = tag};
}

void
arena_init_huge(struct arena *arena, enum mem_tag tag)
{
    *arena = (struct arena){.tag = tag, .is_huge = true};
}

void
arena_init_pooled(struct arena *arena, enum mem_tag tag, struct arena_pool *pool, bool is_large)
{
    ASSERT(pool == NULL || pool->tag == tag);
    *arena = (struct arena){.tag = tag, .is_huge = true, .pool = pool, .is_large = is_large};
}

/* ---- The pool: whole blocks, linked as in an arena. ---- */

void
arena_pool_init(struct arena_pool *pool, enum mem_tag tag, size_t bytes_max)
{
    *pool = (struct arena_pool){.tag = tag, .bytes_max = bytes_max};
}

bool
arena_pool_trim(struct arena_pool *pool, size_t bytes)
{
    struct arena_block *block = pool->free;

    if (pool->bytes <= bytes) {
        return false;
    }
    pool->free = block->next;
    pool->bytes -= MEM_HUGE_BYTES;
    SANITIZE_UNPOISON(block, MEM_HUGE_BYTES);
    mem_free_huge(pool->tag, block, MEM_HUGE_BYTES);
    return true;
}

static struct arena_block *
pool_take(struct arena_pool *pool)
{
    struct arena_block *block = pool == NULL ? NULL : pool->free;

    if (block != NULL) {
        pool->free = block->next;
        pool->bytes -= MEM_HUGE_BYTES;
    }
    return block;
}

static bool
pool_give(struct arena_pool *pool, struct arena_block *block)
{
    if (pool == NULL || pool->bytes + MEM_HUGE_BYTES > pool->bytes_max) {
        return false;
    }
    block->next = pool->free;
    pool->free = block;
    pool->bytes += MEM_HUGE_BYTES;
    SANITIZE_POISON((uint8_t *)block + sizeof(*block), MEM_HUGE_BYTES - sizeof(*block));
    return true;
}

/* ---- Blocks. ---- */

static bool
is_huge_block(const struct arena *arena, size_t size)
{
    return arena->is_huge && size == MEM_HUGE_BYTES;
}

static struct arena_block *
arena_block_new(struct arena *arena, size_t size)
{
    struct arena_block *block = NULL;

    if (is_huge_block(arena, size)) {
        block = pool_take(arena->pool);
        block = block != NULL ? block : mem_alloc_huge(arena->tag, size, false);
    } else {
        block = mem_alloc(arena->tag, size);
    }
    if (block == NULL) {
        return NULL;
    }
    block->next = NULL;
    block->size = size;
    block->used = sizeof(*block);
    arena->bytes += size;
    SANITIZE_POISON((uint8_t *)block + block->used, block->size - block->used);
    return block;
}

static void
arena_block_free(struct arena *arena, struct arena_block *block)
{
    arena->bytes -= block->size;
    SANITIZE_UNPOISON(block, block->size);
    if (is_huge_block(arena, block->size)) {
        if (!pool_give(arena->pool, block)) {
            mem_free_huge(arena->tag, block, block->size);
        }
    } else {
        mem_free(arena->tag, block, block->size);
    }
}

void
arena_reset(struct arena *arena)
{
    struct arena_block *kept = NULL;
    struct arena_block *next;

    for (struct arena_block *block = arena->head; block != NULL; block = next) {
        next = block->next;
        if (kept == NULL && block->size <= ARENA_KEEP_BYTES_MAX) {
            kept = block;
        } else {
            arena_block_free(arena, block);
        }
    }
    if (kept != NULL) {
        kept->next = NULL;
        kept->used = sizeof(*kept);
        SANITIZE_POISON((uint8_t *)kept + kept->used, kept->size - kept->used);
    }
    arena->head = kept;
}

void
arena_fini(struct arena *arena)
{
    struct arena_block *next;

    for (struct arena_block *block = arena->head; block != NULL; block = next) {
        next = block->next;
        arena_block_free(arena, block);
    }
    arena->head = NULL;
    ASSERT(arena->bytes == 0);
}

void
arena_absorb(struct arena *into, struct arena *from)
{
    struct arena_block *last = from->head;

    ASSERT(into->tag == from->tag);
    ASSERT(!into->is_huge && !from->is_huge);
    if (last == NULL) {
        return;
    }
    while (last->next != NULL) {
        last = last->next;
    }
    /* Behind the head of `into`, which goes on filling. */
    if (into->head == NULL) {
        into->head = from->head;
    } else {
        last->next = into->head->next;
        into->head->next = from->head;
    }
    into->bytes += from->bytes;
    from->head = NULL;
    from->bytes = 0;
}

/* The block that has room for `size` more bytes; NULL when memory is short. */
static struct arena_block *
arena_block_for(struct arena *arena, size_t size)
{
    struct arena_block *head = arena->head;
    size_t wanted = ARENA_BLOCK_BYTES_MIN;
    struct arena_block *block;

    if (head != NULL) {
        wanted = MIN(MAX(head->size, (size_t)ARENA_BLOCK_BYTES_MIN) * 2,
                     (size_t)(arena->is_huge ? MEM_HUGE_BYTES : ARENA_BLOCK_BYTES_MAX));
    }
    if (arena->is_large) {
        wanted = MEM_HUGE_BYTES;
    }
    if (size > wanted / 4) {
        block = arena_block_new(arena, sizeof(*block) + size);
        if (block == NULL || head == NULL) {
            arena->head = block;
        } else {
            block->next = head->next;
            head->next = block;
        }
        if (block == NULL) {
            arena->head = head;
        }
        return block;
    }
    block = arena_block_new(arena, wanted);
    if (block != NULL) {
        block->next = head;
        arena->head = block;
    }
    return block;
}

void *
arena_alloc(struct arena *arena, size_t size)
{
    struct arena_block *block = arena->head;
    size_t rounded;
    void *bytes;

    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    rounded = align_up(MAX(size, (size_t)1), ARENA_ALIGN);
    if (__builtin_expect(block == NULL || block->size - block->used < rounded, 0)) {
        block = arena_block_for(arena, rounded);
        if (block == NULL) {
            if (size <= MEM_BLOCK_BYTES_CHECKED) {
                fatal("out of memory: %zu bytes", size);
            }
            return NULL;
        }
    }
    bytes = (uint8_t *)block + block->used;
    block->used += rounded;
    SANITIZE_UNPOISON(bytes, size);
    return bytes;
}

struct slice
arena_copy(struct arena *arena, struct slice bytes)
{
    uint8_t *copy = arena_alloc(arena, bytes.size);

    if (copy == NULL) {
        return slice_of(NULL, 0);
    }
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    return slice_of(copy, bytes.size);
}

char *
arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    char *text;
    int length;

    va_start(args, format);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT(length >= 0);
    text = arena_alloc(arena, (size_t)length + 1);
    if (text != NULL) {
        va_start(args, format);
        vsnprintf(text, (size_t)length + 1, format, args);
        va_end(args);
    }
    return text;
}
