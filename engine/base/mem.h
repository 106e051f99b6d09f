/* engine/base/mem.h - memory with an owner and a budget.
 *
 * A shard has one accountant; every allocation names the part of the budget it belongs to, and
 * frees say the size, so accounting needs no headers. The simulator turns tracking on (before
 * the first allocation): then each block is linked to its accountant, and all that a crashed
 * shard held is dropped at once, without running the code that would have freed it.
 *
 * Budgets are checked by the layers (mem_over), not by each allocation: a memtable rotates, a
 * cache evicts, a session is refused. A block of more than MEM_BLOCK_BYTES_CHECKED that the
 * kernel cannot give returns NULL; a smaller one that fails ends the process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/slice.h"

enum mem_tag {
    MEM_RUNTIME,    /* fibers, rings, messages */
    MEM_MEMTABLE,   /* unflushed writes */
    MEM_CACHE,      /* blocks and entries read from tables */
    MEM_TABLES,     /* open tables: index and filter blocks, manifest */
    MEM_SESSIONS,   /* connections: input, output, request arenas */
    MEM_BACKGROUND, /* flush and compaction buffers */
    MEM_TAG_COUNT,
};

enum { MEM_BLOCK_BYTES_CHECKED = 1 << 20, MEM_IO_ALIGN = 4096 };

struct mem_account; /* Opaque. One per shard, and one for what belongs to no shard. */

/* `name` is copied. Starts without limits. */
struct mem_account *mem_account_new(const char *name);
/* Asserts that nothing is left unless the process leaves anyway. */
void mem_account_free(struct mem_account *account);
/* Tracking only: drop every block of the account. */
void mem_account_crash(struct mem_account *account);

/* 0: no limit of its own. */
void mem_limit_set(struct mem_account *account, enum mem_tag tag, uint64_t limit_bytes);
uint64_t mem_limit(const struct mem_account *account, enum mem_tag tag);
uint64_t mem_used(const struct mem_account *account, enum mem_tag tag);
uint64_t mem_used_total(const struct mem_account *account);
/* Would `more` bytes exceed the tag's limit? */
bool mem_over(const struct mem_account *account, enum mem_tag tag, uint64_t more);

/* Before the first account is made. */
void mem_tracking_enable(void);

/* The account that mem_alloc and friends use: that of the current shard (engine/rt binds it),
 * otherwise the process's own. */
void mem_account_bind(struct mem_account *account);
struct mem_account *mem_account_current(void);

/* Count bytes that do not come from here (mapped stacks, rings) for the current account. */
void mem_charge(enum mem_tag tag, uint64_t bytes);
void mem_uncharge(enum mem_tag tag, uint64_t bytes);

/* Bytes are not cleared (mem_alloc) or cleared (mem_zalloc). size may be 0. */
void *mem_alloc(enum mem_tag tag, size_t size);
void *mem_zalloc(enum mem_tag tag, size_t size);
/* Like realloc; the old size must be right. */
void *mem_realloc(enum mem_tag tag, void *block, size_t old_size, size_t new_size);
/* Accepts NULL. The size must be that of the allocation. */
void mem_free(enum mem_tag tag, void *block, size_t size);
/* A block that one shard made and another takes over: the maker disowns it, then the taker adopts
 * it, each on its own thread, with a message in between. Both accept NULL. */
void mem_disown(enum mem_tag tag, void *block, size_t size);
void mem_adopt(enum mem_tag tag, void *block, size_t size);
/* What the allocator takes for a block of this size. */
size_t mem_good_size(size_t size);
/* Aligned for O_DIRECT (MEM_IO_ALIGN); free with mem_free_aligned. */
void *mem_alloc_aligned(enum mem_tag tag, size_t size);
void mem_free_aligned(enum mem_tag tag, void *block, size_t size);

/* For large, randomly read structures: aligned to MEM_HUGE_BYTES, backed by huge pages where the
 * kernel has them (a page walk costs as much as the miss it serves, and in a virtual machine twice
 * that). size is a multiple of MEM_HUGE_BYTES. NULL when there is no memory. */
enum { MEM_HUGE_BYTES = 2 << 20 };
void *mem_alloc_huge(enum mem_tag tag, size_t size, bool is_zeroed);
void mem_free_huge(enum mem_tag tag, void *block, size_t size);

/* For many blocks of a few hundred bytes to a few MiB that are read at random and live long: they
 * lie close together in huge pages where the kernel has them, apart from everything else. A little
 * slower to make and to free than other blocks. Free with mem_free_dense. */
void *mem_alloc_dense(enum mem_tag tag, size_t size);
void mem_free_dense(enum mem_tag tag, void *block, size_t size);

#define MEM_NEW(tag, type) ((type *)mem_zalloc((tag), sizeof(type)))
#define MEM_FREE(tag, pointer)                                                                     \
    do {                                                                                           \
        mem_free((tag), (pointer), sizeof(*(pointer)));                                            \
        (pointer) = NULL;                                                                          \
    } while (0)

/* A region that dies as a whole: request memory. Grows by blocks; nothing is freed alone. */
struct arena {
    struct arena_block *head;
    struct arena_pool *pool; /* Borrowed; NULL: none. */
    enum mem_tag tag;
    size_t bytes;  /* Allocated from the account, or taken from the pool, in all. */
    bool is_huge;  /* Grows by huge pages once it is large. */
    bool is_large; /* It is to be large: from the first block on. */
};

/* Huge pages that arenas gave back, for arenas to come: a fresh page is cleared by the kernel,
 * which takes longer than to fill it. Its arenas have one tag and one account. */
struct arena_pool {
    struct arena_block *free;
    enum mem_tag tag;
    size_t bytes;     /* Kept now. */
    size_t bytes_max; /* Beyond, blocks go back to the account. */
};

void arena_pool_init(struct arena_pool *pool, enum mem_tag tag, size_t bytes_max);
/* Give a block back to the account if more than `bytes` are kept: true when there was one. */
bool arena_pool_trim(struct arena_pool *pool, size_t bytes);

void arena_init(struct arena *arena, enum mem_tag tag);
void arena_init_huge(struct arena *arena, enum mem_tag tag);
/* As a huge one, with blocks from the pool and back to it. The pool may be NULL. */
void arena_init_pooled(struct arena *arena, enum mem_tag tag, struct arena_pool *pool,
                       bool is_large);
/* Frees all but one block of modest size, for the next request. */
void arena_reset(struct arena *arena);
void arena_fini(struct arena *arena);
/* What is in `from`, of the same tag, now lives as long as `into`; `from` is empty. Not for pooled
 * or huge arenas (asserted). */
void arena_absorb(struct arena *into, struct arena *from);
/* 16-byte aligned, not cleared. NULL only for more than MEM_BLOCK_BYTES_CHECKED. */
void *arena_alloc(struct arena *arena, size_t size);
struct slice arena_copy(struct arena *arena, struct slice bytes);
char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A growing run of bytes. Zero-initialised by buf_init. */
struct buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
    enum mem_tag tag;
};

void buf_init(struct buf *buf, enum mem_tag tag);
void buf_fini(struct buf *buf);
static inline void
buf_clear(struct buf *buf)
{
    buf->size = 0;
}
/* Ends the process when the kernel has no memory; buf_try_reserve returns false instead, for
 * sizes that a client chose. */
void buf_grow(struct buf *buf, size_t more);
bool buf_try_reserve(struct buf *buf, size_t more);
/* Room for `more` bytes at the end; the caller writes there and adds to size. */
static inline uint8_t *
buf_reserve(struct buf *buf, size_t more)
{
    if (__builtin_expect(buf->capacity - buf->size < more, 0)) {
        buf_grow(buf, more);
    }
    return buf->data + buf->size;
}
static inline void
buf_append(struct buf *buf, const void *data, size_t size)
{
    if (size > 0) { /* An empty buffer has no address to count from. */
        memcpy(buf_reserve(buf, size), data, size);
        buf->size += size;
    }
}
static inline void
buf_append_byte(struct buf *buf, uint8_t byte)
{
    *buf_reserve(buf, 1) = byte;
    buf->size++;
}
static inline void
buf_append_varint(struct buf *buf, uint64_t value)
{
    buf->size += put_varint(buf_reserve(buf, VARINT_BYTES_MAX), value);
}
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline struct slice
buf_slice(const struct buf *buf)
{
    return slice_of(buf->data, buf->size);
}
