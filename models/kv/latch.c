/* models/kv/latch.c - commands that touch the same keys run one after the other; commands that
 * replace a keyspace run alone. */
#include "engine/base/assert.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

static struct kv_latch *
latch_find(struct kv *kv, uint64_t id)
{
    LIST_FOR_EACH(node, &kv->latches[id % KV_LATCH_BUCKETS]) {
        struct kv_latch *latch = LIST_ENTRY(node, struct kv_latch, link);

        if (latch->id == id) {
            return latch;
        }
    }
    return NULL;
}

static YIELDS void
latch_take(struct kv *kv, struct kv_latch *latch, uint64_t id)
{
    struct kv_latch *holder;

    while ((holder = latch_find(kv, id)) != NULL) {
        holder->waiters++;
        cond_wait_uncancelable(&holder->released);
    }
    latch->id = id;
    latch->waiters = 0;
    cond_init(&latch->released);
    list_push_front(&kv->latches[id % KV_LATCH_BUCKETS], &latch->link);
}

static void
ids_sort(uint64_t *ids, uint32_t count)
{
    /* Commands have few keys; long ones (MSET, DEL of thousands) go through shell sort. */
    for (uint32_t gap = count / 2; gap > 0; gap /= 2) {
        for (uint32_t i = gap; i < count; i++) {
            uint64_t id = ids[i];
            uint32_t at = i;

            while (at >= gap && ids[at - gap] > id) {
                ids[at] = ids[at - gap];
                at -= gap;
            }
            ids[at] = id;
        }
    }
}

void
kv_latch_lock(struct kv *kv, struct kv_latch *latches, uint64_t *ids, uint32_t count,
              uint32_t *held_out)
{
    uint32_t held = 0;

    ids_sort(ids, count);
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || ids[i] != ids[i - 1]) {
            latch_take(kv, &latches[held++], ids[i]);
        }
    }
    *held_out = held;
}

void
kv_latch_unlock(struct kv *kv, struct kv_latch *latches, uint32_t held)
{
    (void)kv;
    for (uint32_t i = 0; i < held; i++) {
        list_remove(&latches[i].link);
        if (latches[i].waiters > 0) {
            /* All of them: each looks for a holder again, and the first becomes it. The cond is
             * in this frame, so nobody may stay queued in it. */
            cond_broadcast(&latches[i].released);
        }
    }
}

void
kv_gate_enter_shared(struct kv *kv)
{
    while (__builtin_expect(kv->is_exclusive || kv->exclusive_waiters > 0, 0)) {
        cond_wait_uncancelable(&kv->gate_cond);
    }
    kv->shared_holders++;
}

void
kv_gate_leave_shared(struct kv *kv)
{
    ASSERT(kv->shared_holders > 0);
    kv->shared_holders--;
    if (__builtin_expect(kv->shared_holders == 0 && kv->exclusive_waiters > 0, 0)) {
        cond_broadcast(&kv->gate_cond);
    }
}

void
kv_gate_enter_exclusive(struct kv *kv)
{
    kv->exclusive_waiters++;
    while (kv->is_exclusive || kv->shared_holders > 0) {
        cond_wait_uncancelable(&kv->gate_cond);
    }
    kv->exclusive_waiters--;
    kv->is_exclusive = true;
}

void
kv_gate_leave_exclusive(struct kv *kv)
{
    ASSERT(kv->is_exclusive);
    kv->is_exclusive = false;
    cond_broadcast(&kv->gate_cond);
}
