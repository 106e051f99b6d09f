#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "engine/base/mem.h"

TestSuite(mem, .timeout = 10);

Test(mem, bytes_are_counted_by_tag_and_account)
{
    struct mem_account *account = mem_account_new("a");
    void *block;

    mem_account_bind(account);
    block = mem_alloc(MEM_CACHE, 1000);
    cr_assert_eq(mem_used(account, MEM_CACHE), 1000);
    cr_assert_eq(mem_used(account, MEM_TABLES), 0);
    block = mem_realloc(MEM_CACHE, block, 1000, 300);
    cr_assert_eq(mem_used_total(account), 300);
    mem_free(MEM_CACHE, block, 300);
    mem_charge(MEM_RUNTIME, 5);
    cr_assert_eq(mem_used_total(account), 5);
    mem_uncharge(MEM_RUNTIME, 5);
    cr_assert_eq(mem_used_total(account), 0);
    mem_account_bind(NULL);
    mem_account_free(account);
}

Test(mem, a_block_of_no_bytes_is_a_block)
{
    void *block = mem_alloc(MEM_CACHE, 0);

    cr_assert_not_null(block);
    mem_free(MEM_CACHE, block, 0);
    mem_free(MEM_CACHE, NULL, 0);
    cr_assert_eq(mem_used_total(mem_account_current()), 0);
}

Test(mem, aligned_blocks_suit_direct_io)
{
    for (size_t size = 1; size < 100000; size = size * 3 + 1) {
        uint8_t *block = mem_alloc_aligned(MEM_CACHE, size);

        cr_assert_eq((uintptr_t)block % MEM_IO_ALIGN, 0);
        memset(block, 0xab, size);
        mem_free_aligned(MEM_CACHE, block, size);
    }
}

Test(mem, zalloc_clears)
{
    uint8_t *block = mem_alloc(MEM_CACHE, 4096);
    size_t sum = 0;

    memset(block, 0xff, 4096);
    mem_free(MEM_CACHE, block, 4096);
    block = mem_zalloc(MEM_CACHE, 4096);
    for (size_t i = 0; i < 4096; i++) {
        sum += block[i];
    }
    cr_assert_eq(sum, 0);
    mem_free(MEM_CACHE, block, 4096);
}

Test(mem, a_limit_is_per_tag_and_zero_is_none)
{
    struct mem_account *account = mem_account_new("a");

    cr_assert_not(mem_over(account, MEM_CACHE, UINT64_C(1) << 50));
    mem_limit_set(account, MEM_CACHE, 100);
    cr_assert_not(mem_over(account, MEM_CACHE, 100));
    cr_assert(mem_over(account, MEM_CACHE, 101));
    cr_assert_not(mem_over(account, MEM_TABLES, 101));
    mem_account_free(account);
}

Test(mem, freeing_an_account_with_bytes_left_aborts, .signal = SIGABRT)
{
    struct mem_account *account = mem_account_new("a");

    mem_account_bind(account);
    cr_assert_not_null(mem_alloc(MEM_CACHE, 10));
    mem_account_bind(NULL);
    mem_account_free(account);
}

static void *
alloc_and_free(void *arg)
{
    (void)arg;
    for (size_t i = 1; i < 5000; i++) {
        mem_free(MEM_RUNTIME, mem_alloc(MEM_RUNTIME, i), i);
    }
    return NULL;
}

Test(mem, the_process_account_counts_right_over_threads)
{
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, alloc_and_free, NULL), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_assert_eq(mem_used_total(mem_account_current()), 0);
}

Test(mem, a_crash_drops_every_tracked_block)
{
    struct mem_account *account;
    struct mem_account *other;
    struct arena arena;
    struct buf buf;
    void *kept;

    mem_tracking_enable();
    account = mem_account_new("a");
    other = mem_account_new("b");
    mem_account_bind(other);
    kept = mem_alloc(MEM_CACHE, 77);
    mem_account_bind(account);
    for (size_t i = 0; i < 100; i++) {
        memset(mem_alloc(MEM_MEMTABLE, i * 10), 1, i * 10);
        memset(mem_alloc_aligned(MEM_CACHE, i * 100), 1, i * 100);
    }
    arena_init(&arena, MEM_SESSIONS);
    cr_assert_not_null(arena_alloc(&arena, 100000));
    buf_init(&buf, MEM_SESSIONS);
    buf_append(&buf, "abc", 3);
    mem_account_crash(account); /* What is left would be reported by the leak checker. */
    cr_assert_eq(mem_used_total(account), 0);
    mem_account_free(account);
    cr_assert_eq(mem_used(other, MEM_CACHE), 77);
    mem_account_bind(other);
    mem_free(MEM_CACHE, kept, 77);
    mem_account_bind(NULL);
    mem_account_free(other);
}

Test(mem, tracking_notices_a_free_of_the_wrong_size, .signal = SIGABRT)
{
    mem_tracking_enable();
    mem_free(MEM_CACHE, mem_alloc(MEM_CACHE, 10), 11);
}

Test(mem, tracking_notices_a_free_to_the_wrong_account, .signal = SIGABRT)
{
    void *block;

    mem_tracking_enable();
    block = mem_alloc(MEM_CACHE, 10);
    mem_account_bind(mem_account_new("b"));
    mem_free(MEM_CACHE, block, 10);
}

Test(mem, tracked_realloc_keeps_the_bytes)
{
    uint8_t *block;

    mem_tracking_enable();
    block = mem_alloc(MEM_CACHE, 100);
    memset(block, 7, 100);
    block = mem_realloc(MEM_CACHE, block, 100, 10000);
    for (size_t i = 0; i < 100; i++) {
        cr_assert_eq(block[i], 7);
    }
    mem_free(MEM_CACHE, block, 10000);
    cr_assert_eq(mem_used_total(mem_account_current()), 0);
}

TestSuite(arena, .timeout = 10);

Test(arena, pieces_are_aligned_and_apart)
{
    struct arena arena;
    uint8_t *pieces[500];

    arena_init(&arena, MEM_SESSIONS);
    for (size_t i = 0; i < 500; i++) {
        pieces[i] = arena_alloc(&arena, i);
        cr_assert_eq((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i & 0xff), i);
    }
    for (size_t i = 0; i < 500; i++) {
        for (size_t j = 0; j < i; j++) {
            cr_assert_eq(pieces[i][j], i & 0xff);
        }
    }
    cr_assert_eq(arena.bytes, mem_used_total(mem_account_current()));
    arena_fini(&arena);
    cr_assert_eq(mem_used_total(mem_account_current()), 0);
}

Test(arena, reset_keeps_one_modest_block)
{
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < 100; i++) {
            cr_assert_not_null(arena_alloc(&arena, 3000));
        }
        memset(arena_alloc(&arena, 5 << 20), 1, 5 << 20);
        cr_assert(arena.bytes > 5 << 20);
        arena_reset(&arena);
        cr_assert(arena.bytes > 0);
        cr_assert(arena.bytes <= 16 << 10);
    }
    arena_fini(&arena);
}

Test(arena, a_large_piece_does_not_end_the_filling_block)
{
    struct arena arena;
    uint8_t *before;
    uint8_t *after;

    arena_init(&arena, MEM_SESSIONS);
    before = arena_alloc(&arena, 16);
    cr_assert_not_null(arena_alloc(&arena, 1 << 20));
    after = arena_alloc(&arena, 16);
    cr_assert_eq(after, before + 16);
    arena_fini(&arena);
}

Test(arena, a_size_beyond_all_memory_gives_null)
{
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    cr_assert_null(arena_alloc(&arena, SIZE_MAX - 5));
    arena_fini(&arena);
}

Test(arena, copies_and_texts_are_whole)
{
    struct arena arena;
    struct slice copy;

    arena_init(&arena, MEM_SESSIONS);
    copy = arena_copy(&arena, SLICE("a\0b"));
    cr_assert(slice_equal(copy, SLICE("a\0b")));
    cr_assert_eq(arena_copy(&arena, slice_of(NULL, 0)).size, 0);
    cr_assert_str_eq(arena_printf(&arena, "%s-%d", "x", 5), "x-5");
    arena_fini(&arena);
}

TestSuite(buf, .timeout = 10);

Test(buf, grows_and_keeps_what_was_appended)
{
    struct buf buf;

    buf_init(&buf, MEM_SESSIONS);
    for (uint32_t i = 0; i < 10000; i++) {
        buf_append(&buf, &i, sizeof(i));
    }
    cr_assert_eq(buf.size, 40000);
    for (uint32_t i = 0; i < 10000; i++) {
        cr_assert_eq(get_le32(buf.data + i * 4), i);
    }
    cr_assert_eq(mem_used(mem_account_current(), MEM_SESSIONS), buf.capacity);
    buf_clear(&buf);
    buf_printf(&buf, "%d:%s", 42, "text");
    cr_assert(slice_equal(buf_slice(&buf), SLICE("42:text")));
    buf_append_varint(&buf, 300);
    cr_assert_eq(buf.size, 9);
    buf_append(&buf, NULL, 0);
    buf_fini(&buf);
    cr_assert_eq(mem_used_total(mem_account_current()), 0);
}

Test(buf, refuses_a_size_that_overflows)
{
    struct buf buf;

    buf_init(&buf, MEM_SESSIONS);
    buf_append_byte(&buf, 'x');
    cr_assert_not(buf_try_reserve(&buf, SIZE_MAX - 1));
    cr_assert(buf_try_reserve(&buf, 100));
    cr_assert(slice_equal(buf_slice(&buf), SLICE("x")));
    buf_fini(&buf);
}
