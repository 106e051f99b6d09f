/* txn/closed.c - see closed.h. */
#include "txn/closed.h"

#include "txn/txns.h"

#include "engine/base/poison.h"

/* Proposals rise in the order of the list; a part that only reads has none. */
void
closed_recount(struct txns *txns)
{
    txns->store->open_proposal = UINT64_MAX;
    LIST_FOR_EACH(link, &txns->prepared) {
        const struct part *part = LIST_ENTRY(link, struct part, prepared_link);

        if (part->proposal != UINT64_MAX) {
            txns->store->open_proposal = part->proposal;
            break;
        }
    }
}

void
closed_wait_decided(struct txns *txns, uint64_t ts)
{
    struct list *node = txns->prepared.next;

    while (node != &txns->prepared) {
        struct part *part = LIST_ENTRY(node, struct part, prepared_link);

        if (part->proposal <= ts) {
            cond_wait_uncancelable(&part->locks.decided);
            node = txns->prepared.next; /* It may be gone, and its neighbours too. */
        } else {
            node = node->next;
        }
    }
}

err_t
closed_advance(struct store *store)
{
    uint64_t now = MAX(clock_read(&store->clock), shard_acked());
    err_t err = ERR_OK;

    store_clock_push(store, now);
    if (now > wal_clock_durable(store->wal)) {
        /* A restart could begin below: what was closed would be open again. */
        TRY(wal_clock_sync(store->wal));
    }
    clock_raise(&store->clock, MIN(now, wal_clock_durable(store->wal)));
    store_clock_push(store, store->clock.last);
    if (shard_count() > 1) {
        shard_word_set(SHARD_WORD_CLOSED, closed_now(store));
    }
out:
    return err;
}
