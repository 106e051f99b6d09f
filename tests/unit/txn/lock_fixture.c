/* tests/unit/txn/lock_fixture.c - see lock_fixture.h. */
#include "tests/unit/txn/lock_fixture.h"

static void
begin_here(void *arg)
{
    struct txns *txns = MEM_NEW(MEM_RUNTIME, struct txns);

    (void)arg;
    txns->magic = TXNS_MAGIC;
    txns->locks = locks_new();
    txns->advisories = advisories_new();
    shard_slot_set(SHARD_SLOT_TXN, txns);
}

static void
end_here(void *arg)
{
    struct txns *txns = shard_slot_get(SHARD_SLOT_TXN);

    (void)arg;
    deadlock_close(txns->locks);
    shard_slot_set(SHARD_SLOT_TXN, NULL);
    advisories_free(&txns->advisories);
    locks_free(&txns->locks);
    MEM_FREE(MEM_RUNTIME, txns);
}

void
locks_begin(void)
{
    msg_call_all(MSG_FIBER, begin_here, NULL, 0);
}

void
locks_end(void)
{
    msg_call_all(MSG_FIBER, end_here, NULL, 0);
}

struct locks *
locks_here(void)
{
    struct txns *txns = shard_slot_get(SHARD_SLOT_TXN);

    return txns->locks;
}
