/* engine/base/mem.c - accounts.
 *
 * Beneath is jemalloc (whose thread caches are shard caches, as a shard is a thread), or libc's
 * malloc where a sanitizer wants to see every block. This file is built without poison.h: it is
 * the one that calls them. */
#include "engine/base/mem.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef HAVE_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

#include "engine/base/assert.h"
#include "engine/base/list.h"

enum {
    MEM_ACCOUNT_MAGIC = 0x6d656d61,
    MEM_BLOCK_MAGIC = 0x6d656d62,
    MEM_NAME_BYTES_MAX = 32,
    MEM_ALIGN = 16,
};

struct mem_account {
    uint32_t magic;
    bool is_shared; /* Used by several threads: counters are atomic, the list is locked. */
    /* Written by the owner only, read by anybody (metrics): relaxed atomics, which cost the same
     * as plain ones. */
    uint64_t used_bytes[MEM_TAG_COUNT];
    uint64_t limit_bytes[MEM_TAG_COUNT];
    struct list blocks; /* Tracking only: struct mem_block. */
    pthread_mutex_t lock;
    char name[MEM_NAME_BYTES_MAX];
    unsigned dense_arena; /* Of the allocator, for mem_alloc_dense. */
    bool has_dense_arena;
    bool is_dense_refused; /* The allocator could not make one. */
};

/* Tracking only: stands before the block, at the end of a page for an aligned one. */
struct mem_block {
    struct list link;
    struct mem_account *account;
    size_t size;
    uint32_t tag;
    uint32_t magic;
    void *base; /* What the allocator gave, and its size. */
    size_t base_size;
} __attribute__((aligned(MEM_ALIGN)));

static const char *const mem_tag_names[MEM_TAG_COUNT] = {
    [MEM_RUNTIME] = "runtime", [MEM_MEMTABLE] = "memtable", [MEM_CACHE] = "cache",
    [MEM_TABLES] = "tables",   [MEM_SESSIONS] = "sessions", [MEM_BACKGROUND] = "background",
};

/* What belongs to no shard. */
static struct mem_account mem_process_account = {
    .magic = MEM_ACCOUNT_MAGIC,
    .is_shared = true,
    .blocks = {&mem_process_account.blocks, &mem_process_account.blocks},
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .name = "process",
};
static _Thread_local struct mem_account *mem_bound_account;
/* Set before the first account is made and constant from then on. */
static bool mem_is_tracking;
static uint32_t mem_account_count;

/* ---- The allocator beneath. ---- */

static void *
mem_raw_alloc(size_t size)
{
#ifdef HAVE_JEMALLOC
    return mallocx(MAX(size, (size_t)1), 0);
#else
    return malloc(MAX(size, (size_t)1));
#endif
}

static void *
mem_raw_alloc_aligned(size_t size)
{
#ifdef HAVE_JEMALLOC
    return mallocx(MAX(size, (size_t)1), MALLOCX_ALIGN(MEM_IO_ALIGN));
#else
    return aligned_alloc(MEM_IO_ALIGN, align_up(MAX(size, (size_t)1), MEM_IO_ALIGN));
#endif
}

static void *
mem_raw_realloc(void *block, size_t new_size)
{
#ifdef HAVE_JEMALLOC
    return rallocx(block, MAX(new_size, (size_t)1), 0);
#else
    return realloc(block, MAX(new_size, (size_t)1));
#endif
}

static void
mem_raw_free(void *block, size_t size)
{
#ifdef HAVE_JEMALLOC
    sdallocx(block, MAX(size, (size_t)1), 0);
#else
    (void)size;
    free(block);
#endif
}

static void
mem_raw_free_aligned(void *block, size_t size)
{
#ifdef HAVE_JEMALLOC
    sdallocx(block, MAX(size, (size_t)1), MALLOCX_ALIGN(MEM_IO_ALIGN));
#else
    (void)size;
    free(block);
#endif
}

/* ---- Dense blocks: an arena of the allocator for each account, grown in huge pages. ---- */

#ifdef HAVE_JEMALLOC

enum { MEM_CONTROL_BYTES_MAX = 64 };

/* The allocator's own way to get memory, and ours; set once. */
static pthread_once_t mem_dense_once = PTHREAD_ONCE_INIT;
static extent_hooks_t *mem_default_hooks;
static extent_hooks_t mem_dense_hooks;

static void *
dense_extent_alloc(extent_hooks_t *hooks, void *address, size_t size, size_t alignment, bool *zero,
                   bool *commit, unsigned arena)
{
    void *extent;

    (void)hooks;
    if (size >= MEM_HUGE_BYTES) {
        alignment = MAX(alignment, (size_t)MEM_HUGE_BYTES);
    }
    extent =
        mem_default_hooks->alloc(mem_default_hooks, address, size, alignment, zero, commit, arena);
    if (extent != NULL) {
        /* Advice: where it is refused, ordinary pages serve. */
        (void)madvise(extent, size, MADV_HUGEPAGE);
    }
    return extent;
}

static void
dense_hooks_set(void)
{
    size_t size = sizeof(mem_default_hooks);

    if (mallctl("arena.0.extent_hooks", &mem_default_hooks, &size, NULL, 0) == 0) {
        mem_dense_hooks = *mem_default_hooks;
        mem_dense_hooks.alloc = dense_extent_alloc;
    }
}

static bool
dense_arena_make(struct mem_account *account)
{
    extent_hooks_t *hooks = &mem_dense_hooks;
    size_t size = sizeof(account->dense_arena);
    char name[MEM_CONTROL_BYTES_MAX];

    pthread_once(&mem_dense_once, dense_hooks_set);
    if (mem_default_hooks == NULL ||
        mallctl("arenas.create", &account->dense_arena, &size, NULL, 0) != 0) {
        return false;
    }
    snprintf(name, sizeof(name), "arena.%u.extent_hooks", account->dense_arena);
    /* Without them the arena serves too, in ordinary pages. */
    (void)mallctl(name, NULL, NULL, &hooks, sizeof(hooks));
    return true;
}

static void
dense_arena_drop(struct mem_account *account)
{
    char name[MEM_CONTROL_BYTES_MAX];

    if (account->has_dense_arena) {
        snprintf(name, sizeof(name), "arena.%u.destroy", account->dense_arena);
        (void)mallctl(name, NULL, NULL, NULL, 0);
        account->has_dense_arena = false;
    }
}

static void *
mem_raw_alloc_dense(struct mem_account *account, size_t size)
{
    int flags = MALLOCX_TCACHE_NONE;

    if (!account->has_dense_arena && !account->is_shared && !account->is_dense_refused) {
        account->has_dense_arena = dense_arena_make(account);
        account->is_dense_refused = !account->has_dense_arena;
    }
    if (account->has_dense_arena) {
        flags |= MALLOCX_ARENA(account->dense_arena);
    }
    return mallocx(MAX(size, (size_t)1), flags);
}

static void
mem_raw_free_dense(void *block, size_t size)
{
    sdallocx(block, MAX(size, (size_t)1), MALLOCX_TCACHE_NONE);
}

#else

static void
dense_arena_drop(struct mem_account *account)
{
    (void)account;
}

static void *
mem_raw_alloc_dense(struct mem_account *account, size_t size)
{
    (void)account;
    return mem_raw_alloc(size);
}

static void
mem_raw_free_dense(void *block, size_t size)
{
    mem_raw_free(block, size);
}

#endif

/* A small block that cannot be had leaves nothing sensible to do; a large one is the caller's to
 * refuse. */
static void *
mem_checked(void *block, size_t size)
{
    if (__builtin_expect(block == NULL, 0) && size <= MEM_BLOCK_BYTES_CHECKED) {
        fatal("out of memory: %zu bytes", size);
    }
    return block;
}

/* ---- Counters. ---- */

static void
mem_count_add(struct mem_account *account, enum mem_tag tag, uint64_t bytes)
{
    uint64_t *used = &account->used_bytes[tag];

    if (__builtin_expect(account->is_shared, 0)) {
        __atomic_fetch_add(used, bytes, __ATOMIC_RELAXED);
    } else {
        __atomic_store_n(used, *used + bytes, __ATOMIC_RELAXED);
    }
}

void
mem_charge(enum mem_tag tag, uint64_t bytes)
{
    mem_count_add(mem_account_current(), tag, bytes);
}

void
mem_uncharge(enum mem_tag tag, uint64_t bytes)
{
    mem_count_add(mem_account_current(), tag, -bytes);
}

/* ---- Accounts. ---- */

struct mem_account *
mem_account_new(const char *name)
{
    struct mem_account *account = calloc(1, sizeof(*account));

    if (account == NULL) {
        fatal("out of memory: account %s", name);
    }
    account->magic = MEM_ACCOUNT_MAGIC;
    list_init(&account->blocks);
    pthread_mutex_init(&account->lock, NULL);
    snprintf(account->name, sizeof(account->name), "%s", name);
    __atomic_fetch_add(&mem_account_count, 1, __ATOMIC_RELAXED);
    return account;
}

static void
mem_account_report(const struct mem_account *account)
{
    for (unsigned tag = 0; tag < MEM_TAG_COUNT; tag++) {
        if (mem_used(account, tag) != 0) {
            fprintf(stderr, "orbit: account %s still holds %llu bytes of %s\n", account->name,
                    (unsigned long long)mem_used(account, tag), mem_tag_names[tag]);
        }
    }
}

void
mem_account_free(struct mem_account *account)
{
    if (account == NULL) {
        return;
    }
    OBJ_CHECK(account, MEM_ACCOUNT_MAGIC);
    ASSERT(account != &mem_process_account);
    if (mem_used_total(account) != 0) {
        mem_account_report(account);
    }
    ASSERT(mem_used_total(account) == 0);
    ASSERT(list_is_empty(&account->blocks));
    if (mem_bound_account == account) {
        mem_bound_account = NULL;
    }
    dense_arena_drop(account);
    account->magic = 0;
    pthread_mutex_destroy(&account->lock);
    free(account);
    __atomic_fetch_sub(&mem_account_count, 1, __ATOMIC_RELAXED);
}

void
mem_account_crash(struct mem_account *account)
{
    struct list *node;

    OBJ_CHECK(account, MEM_ACCOUNT_MAGIC);
    ASSERT(mem_is_tracking);
    while ((node = list_pop_front(&account->blocks)) != NULL) {
        struct mem_block *block = LIST_ENTRY(node, struct mem_block, link);

        block->magic = 0;
        mem_raw_free(block->base, block->base_size);
    }
    memset(account->used_bytes, 0, sizeof(account->used_bytes));
}

void
mem_limit_set(struct mem_account *account, enum mem_tag tag, uint64_t limit_bytes)
{
    ASSERT(tag < MEM_TAG_COUNT);
    __atomic_store_n(&account->limit_bytes[tag], limit_bytes, __ATOMIC_RELAXED);
}

uint64_t
mem_limit(const struct mem_account *account, enum mem_tag tag)
{
    ASSERT(tag < MEM_TAG_COUNT);
    return __atomic_load_n(&account->limit_bytes[tag], __ATOMIC_RELAXED);
}

uint64_t
mem_used(const struct mem_account *account, enum mem_tag tag)
{
    ASSERT(tag < MEM_TAG_COUNT);
    return __atomic_load_n(&account->used_bytes[tag], __ATOMIC_RELAXED);
}

uint64_t
mem_used_total(const struct mem_account *account)
{
    uint64_t total = 0;

    for (unsigned tag = 0; tag < MEM_TAG_COUNT; tag++) {
        total += mem_used(account, tag);
    }
    return total;
}

bool
mem_over(const struct mem_account *account, enum mem_tag tag, uint64_t more)
{
    uint64_t limit = mem_limit(account, tag);

    return limit != 0 && mem_used(account, tag) + more > limit;
}

void
mem_tracking_enable(void)
{
    ASSERT(__atomic_load_n(&mem_account_count, __ATOMIC_RELAXED) == 0 || mem_is_tracking);
    ASSERT(mem_used_total(&mem_process_account) == 0 || mem_is_tracking);
    mem_is_tracking = true;
}

void
mem_account_bind(struct mem_account *account)
{
    mem_bound_account = account;
}

struct mem_account *
mem_account_current(void)
{
    return mem_bound_account != NULL ? mem_bound_account : &mem_process_account;
}

/* ---- Tracking. ---- */

static void
mem_link(struct mem_account *account, struct mem_block *block)
{
    if (account->is_shared) {
        pthread_mutex_lock(&account->lock);
    }
    list_push_back(&account->blocks, &block->link);
    if (account->is_shared) {
        pthread_mutex_unlock(&account->lock);
    }
}

static void
mem_unlink(struct mem_account *account, struct mem_block *block)
{
    if (account->is_shared) {
        pthread_mutex_lock(&account->lock);
    }
    list_remove(&block->link);
    if (account->is_shared) {
        pthread_mutex_unlock(&account->lock);
    }
}

/*     base .. | struct mem_block | the caller's bytes
 *                                ^ aligned to `align`
 *
 * One plain allocation, whatever the alignment, so that a crash need not know how it was made. */
static void *
mem_tracked_alloc(enum mem_tag tag, size_t size, size_t align)
{
    struct mem_account *account = mem_account_current();
    size_t base_size = sizeof(struct mem_block) + size + align;
    uint8_t *base = mem_raw_alloc(base_size);
    struct mem_block *block;
    uint8_t *bytes;

    if (mem_checked(base, size) == NULL) {
        return NULL;
    }
    bytes = (uint8_t *)align_up((uintptr_t)base + sizeof(struct mem_block), align);
    block = (struct mem_block *)bytes - 1;
    *block = (struct mem_block){.account = account,
                                .size = size,
                                .tag = tag,
                                .magic = MEM_BLOCK_MAGIC,
                                .base = base,
                                .base_size = base_size};
    mem_link(account, block);
    mem_count_add(account, tag, size);
    return bytes;
}

static void
mem_tracked_free(enum mem_tag tag, void *bytes, size_t size)
{
    struct mem_block *block = (struct mem_block *)bytes - 1;
    struct mem_account *account = block->account;

    ASSERT(block->magic == MEM_BLOCK_MAGIC);
    ASSERT(block->size == size);
    ASSERT(block->tag == (uint32_t)tag);
    /* In production the free would be counted for the wrong shard. */
    ASSERT(account == mem_account_current());
    mem_unlink(account, block);
    mem_count_add(account, tag, -(uint64_t)size);
    block->magic = 0;
    mem_raw_free(block->base, block->base_size);
}

/* ---- Blocks that change hands. With tracking all shards share a thread, so the block stays
 * linked to its maker, whose crash drops it, until the taker adopts it. ---- */

void
mem_disown(enum mem_tag tag, void *block, size_t size)
{
    if (block != NULL && !mem_is_tracking) {
        mem_uncharge(tag, size);
    }
}

void
mem_adopt(enum mem_tag tag, void *bytes, size_t size)
{
    struct mem_block *block;

    if (bytes == NULL) {
        return;
    }
    if (mem_is_tracking) {
        block = (struct mem_block *)bytes - 1;
        ASSERT(block->magic == MEM_BLOCK_MAGIC);
        ASSERT(block->size == size);
        mem_unlink(block->account, block);
        mem_count_add(block->account, tag, -(uint64_t)size);
        block->account = mem_account_current();
        mem_link(block->account, block);
    }
    mem_charge(tag, size);
}

/* ---- Blocks. ---- */

void *
mem_alloc(enum mem_tag tag, size_t size)
{
    void *block;

    if (__builtin_expect(mem_is_tracking, 0)) {
        return mem_tracked_alloc(tag, size, MEM_ALIGN);
    }
    block = mem_checked(mem_raw_alloc(size), size);
    if (__builtin_expect(block != NULL, 1)) {
        mem_count_add(mem_account_current(), tag, size);
    }
    return block;
}

size_t
mem_good_size(size_t size)
{
#ifdef HAVE_JEMALLOC
    return nallocx(MAX(size, (size_t)1), 0);
#else
    return size;
#endif
}

void *
mem_zalloc(enum mem_tag tag, size_t size)
{
    void *block = mem_alloc(tag, size);

    return block != NULL ? memset(block, 0, size) : NULL;
}

void *
mem_realloc(enum mem_tag tag, void *block, size_t old_size, size_t new_size)
{
    void *moved;

    if (block == NULL) {
        ASSERT(old_size == 0);
        return mem_alloc(tag, new_size);
    }
    if (__builtin_expect(mem_is_tracking, 0)) {
        moved = mem_tracked_alloc(tag, new_size, MEM_ALIGN);
        if (moved != NULL) {
            memcpy(moved, block, MIN(old_size, new_size));
            mem_tracked_free(tag, block, old_size);
        }
        return moved;
    }
    moved = mem_checked(mem_raw_realloc(block, new_size), new_size);
    if (moved != NULL) {
        mem_count_add(mem_account_current(), tag, (uint64_t)new_size - (uint64_t)old_size);
    }
    return moved;
}

void
mem_free(enum mem_tag tag, void *block, size_t size)
{
    if (block == NULL) {
        return;
    }
    if (__builtin_expect(mem_is_tracking, 0)) {
        mem_tracked_free(tag, block, size);
        return;
    }
    mem_raw_free(block, size);
    mem_count_add(mem_account_current(), tag, -(uint64_t)size);
}

void *
mem_alloc_dense(enum mem_tag tag, size_t size)
{
    struct mem_account *account = mem_account_current();
    void *block;

    if (__builtin_expect(mem_is_tracking, 0)) {
        return mem_tracked_alloc(tag, size, MEM_ALIGN);
    }
    block = mem_checked(mem_raw_alloc_dense(account, size), size);
    if (block != NULL) {
        mem_count_add(account, tag, size);
    }
    return block;
}

void
mem_free_dense(enum mem_tag tag, void *block, size_t size)
{
    if (block == NULL) {
        return;
    }
    if (__builtin_expect(mem_is_tracking, 0)) {
        mem_tracked_free(tag, block, size);
        return;
    }
    mem_raw_free_dense(block, size);
    mem_count_add(mem_account_current(), tag, -(uint64_t)size);
}

void *
mem_alloc_aligned(enum mem_tag tag, size_t size)
{
    void *block;

    if (__builtin_expect(mem_is_tracking, 0)) {
        return mem_tracked_alloc(tag, size, MEM_IO_ALIGN);
    }
    block = mem_checked(mem_raw_alloc_aligned(size), size);
    if (block != NULL) {
        mem_count_add(mem_account_current(), tag, size);
    }
    return block;
}

void
mem_free_aligned(enum mem_tag tag, void *block, size_t size)
{
    if (block == NULL) {
        return;
    }
    if (__builtin_expect(mem_is_tracking, 0)) {
        mem_tracked_free(tag, block, size);
        return;
    }
    mem_raw_free_aligned(block, size);
    mem_count_add(mem_account_current(), tag, -(uint64_t)size);
}

void *
mem_alloc_huge(enum mem_tag tag, size_t size, bool is_zeroed)
{
    void *block;

    ASSERT(size > 0);
    ASSERT(size % MEM_HUGE_BYTES == 0);
    if (__builtin_expect(mem_is_tracking, 0)) {
        block = mem_tracked_alloc(tag, size, MEM_ALIGN);
        return block != NULL && is_zeroed ? memset(block, 0, size) : block;
    }
#ifdef HAVE_JEMALLOC
    block = mallocx(size, MALLOCX_ALIGN(MEM_HUGE_BYTES) | (is_zeroed ? MALLOCX_ZERO : 0));
    if (block != NULL) {
        /* Advice: where it is refused, ordinary pages serve. */
        (void)madvise(block, size, MADV_HUGEPAGE);
    }
#else
    block = is_zeroed ? calloc(1, size) : malloc(size);
#endif
    if (block != NULL) {
        mem_count_add(mem_account_current(), tag, size);
    }
    return block;
}

void
mem_free_huge(enum mem_tag tag, void *block, size_t size)
{
    if (block == NULL) {
        return;
    }
    if (__builtin_expect(mem_is_tracking, 0)) {
        mem_tracked_free(tag, block, size);
        return;
    }
#ifdef HAVE_JEMALLOC
    /* The allocator would keep so much memory resident for seconds, beyond the budget. */
    (void)madvise(block, size, MADV_DONTNEED);
    sdallocx(block, size, MALLOCX_ALIGN(MEM_HUGE_BYTES));
#else
    free(block);
#endif
    mem_count_add(mem_account_current(), tag, -(uint64_t)size);
}
