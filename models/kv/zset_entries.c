/* models/kv/zset_entries.c - arrays of members with scores. */
#include "engine/base/assert.h"
#include "models/kv/zset.h"

#include "engine/base/poison.h"

enum { ENTRIES_FIRST = 16, ENTRIES_A_WORK_UNIT = 8 };

static err_t
entries_grow(struct kv_request *request, struct zset_entries *entries)
{
    uint32_t capacity = MAX((uint32_t)ENTRIES_FIRST, entries->capacity * 2);
    size_t bytes = (size_t)capacity * sizeof(*entries->at);
    struct zset_entry *at = NULL;

    if (!kv_memory_lacks(request, bytes)) {
        at = arena_alloc(request->arena, bytes);
    }
    if (at == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for more than %u members; raise --memory",
                       entries->count);
    }
    if (entries->count > 0) {
        memcpy(at, entries->at, entries->count * sizeof(*at));
    }
    entries->at = at;
    entries->capacity = capacity;
    return ERR_OK;
}

err_t
zset_entries_add(struct kv_request *request, struct zset_entries *entries, double score,
                 struct slice member, bool is_copied)
{
    err_t err = ERR_OK;

    if (entries->count == entries->capacity) {
        TRY(entries_grow(request, entries));
    }
    entries->at[entries->count] = (struct zset_entry){
        .score = score,
        .member = is_copied ? arena_copy(request->arena, member) : member,
        .order = entries->count,
    };
    entries->count++;
out:
    return err;
}

err_t
zset_entries_insert(struct kv_request *request, struct zset_entries *entries, double score,
                    struct slice member)
{
    uint32_t to = entries->count;
    struct zset_entry entry;
    err_t err;

    TRY(zset_entries_add(request, entries, score, member, false));
    entry = entries->at[to];
    for (; to > 0 && zset_score_before(&entry, &entries->at[to - 1]); to--) {
        entries->at[to] = entries->at[to - 1];
    }
    entries->at[to] = entry;
out:
    return err;
}

void
zset_entries_remove(struct zset_entries *entries, uint32_t at)
{
    ASSERT(at < entries->count);
    entries->count--;
    memmove(&entries->at[at], &entries->at[at + 1], (entries->count - at) * sizeof(*entries->at));
}

bool
zset_score_before(const struct zset_entry *a, const struct zset_entry *b)
{
    return a->score != b->score ? a->score < b->score : slice_compare(a->member, b->member) < 0;
}

static bool
member_before(const struct zset_entry *a, const struct zset_entry *b)
{
    int order = slice_compare(a->member, b->member);

    return order != 0 ? order < 0 : a->order < b->order;
}

/* Places `entry` in the heap of `count` below its root `at`, where a larger one is above. */
static void
heap_sift(struct zset_entry *heap, uint32_t at, uint32_t count, struct zset_entry entry,
          zset_before is_before)
{
    for (;;) {
        uint64_t child = 2 * (uint64_t)at + 1;

        if (child + 1 < count && is_before(&heap[child], &heap[child + 1])) {
            child++;
        }
        if (child >= count || !is_before(&entry, &heap[child])) {
            break;
        }
        heap[at] = heap[child];
        at = (uint32_t)child;
    }
    heap[at] = entry;
}

static bool
is_sorted(const struct zset_entries *entries, zset_before is_before)
{
    for (uint32_t i = 1; i < entries->count; i++) {
        if (is_before(&entries->at[i], &entries->at[i - 1])) {
            return false;
        }
    }
    return true;
}

void
zset_entries_sort(struct kv_request *request, struct zset_entries *entries, zset_before is_before)
{
    struct zset_entry *at = entries->at;
    uint32_t count = entries->count;

    if (is_sorted(entries, is_before)) {
        kv_work(request, count / ENTRIES_A_WORK_UNIT);
        return;
    }
    for (uint32_t i = count / 2; i > 0; i--) {
        heap_sift(at, i - 1, count, at[i - 1], is_before);
        kv_work(request, i % ENTRIES_A_WORK_UNIT == 0);
    }
    for (uint32_t left = count; left > 1; left--) {
        struct zset_entry last = at[left - 1];

        at[left - 1] = at[0];
        heap_sift(at, 0, left - 1, last, is_before);
        kv_work(request, 1);
    }
}

void
zset_entries_sort_members(struct kv_request *request, struct zset_entries *entries)
{
    zset_entries_sort(request, entries, member_before);
}

void
zset_entries_reverse(struct zset_entries *entries)
{
    for (uint32_t i = 0; i < entries->count / 2; i++) {
        struct zset_entry entry = entries->at[i];

        entries->at[i] = entries->at[entries->count - 1 - i];
        entries->at[entries->count - 1 - i] = entry;
    }
}
