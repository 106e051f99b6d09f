/* txn/retain.c - which log is needed by whom.
 *
 * A commit over shards stands in one log, that of its home shard, which therefore is needed until
 * every shard with a section there has flushed it. Per shard two positions suffice: that of the
 * newest section for it, and up to where its tables have everything. Each shard tells the others
 * after its flushes how far it has their logs, and whoever holds up a log that has grown long is
 * asked to freeze its memtable.
 *
 * A start learns its needs from its own log. Until that is read, sections of other logs may fill
 * the memtable; its note then still says what the recovered one said, or the next start would not
 * read what another shard still needs.
 *
 * While a checkpoint captures all shards, nothing new is heard: a shard that was captured may flush
 * and tell another, which is captured only then and whose part would lack, in its copy of the log
 * or by what its tables' note says, sections that the first one's captured tables do not have. */
#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "engine/rt/msg.h"
#include "txn/internal.h"

#include "engine/base/poison.h"

enum { RETAIN_RETRY_US = 1000 * 1000 }; /* A shard that did not hear is told again. */

/* ---- Positions. ---- */

lsn_t
retain_position(const struct store_note *note, uint64_t log_id)
{
    for (uint32_t i = 0; i < note->position_count; i++) {
        if (note->positions[i].log_id == log_id) {
            return note->positions[i].applied;
        }
    }
    return 0;
}

void
retain_applied(struct store *store, uint64_t log_id, lsn_t lsn)
{
    struct store_note *now = &store->now;
    uint32_t at = 0;

    while (at < now->position_count && now->positions[at].log_id != log_id) {
        at++;
    }
    if (at == now->position_count) {
        ASSERT(at < SHARDS_MAX); /* One a shard, and never its own. */
        now->positions[now->position_count++].log_id = log_id;
    }
    ASSERT(lsn > now->positions[at].applied);
    now->positions[at].applied = lsn;
}

static bool
need_is_open(const struct store_need *need)
{
    return need->last > need->flushed;
}

void
retain_section(struct store *store, uint32_t shard, lsn_t lsn)
{
    struct store_need *need = &store->needs[shard];

    if (shard >= shard_count()) {
        return; /* It was given up; recovery.c. */
    }
    ASSERT(shard != shard_id());
    if (!need_is_open(need)) {
        need->flushed = MAX(need->flushed, lsn - 1); /* Nothing in between was for it. */
    }
    need->last = MAX(need->last, lsn);
}

lsn_t
retain_kept_from(const struct store *store)
{
    lsn_t from = store->kept_unread; /* The needs are known when all of the log was read. */

    for (uint32_t i = 0; i < shard_count(); i++) {
        if (need_is_open(&store->needs[i])) {
            from = MIN(from, store->needs[i].flushed);
        }
    }
    return from;
}

static void
release(struct store *store)
{
    if (store->wal != NULL) { /* A flush during replay is found in the manifest next time. */
        lsn_t kept_from = MIN(retain_kept_from(store), window_log_from(&store->window));

        wal_release(store->wal, MIN(store->flushed_lsn, kept_from));
    }
}

void
retain_window_moved(struct store *store)
{
    release(store);
}

/* ---- After a flush. ---- */

static void
on_flushed(void *arg, uint64_t flushed_lsn)
{
    struct store *store = arg;
    err_t err = note_decode(lsm_note(store->lsm), &store->flushed);

    ASSERT(err == ERR_OK);
    store->flushed_lsn = flushed_lsn;
    release(store);
    cond_signal(&store->retain_cond);
}

struct report {
    uint64_t log_id; /* Of the shard that is told or asked. */
    uint32_t from;
    lsn_t flushed;
    bool is_heard; /* Out. */
};

/* On the shard whose log it is. */
static void
report_hear(void *arg)
{
    struct report *report = arg;
    struct store *store = store_self();

    if (store != NULL && store->log_id == report->log_id) {
        struct store_need *need = &store->needs[report->from];

        if (store->is_held) {
            return; /* It is told again. */
        }
        need->flushed = MAX(need->flushed, report->flushed);
        release(store);
        report->is_heard = true;
    }
}

/* On a shard that has sections of a long log in its memtable only. */
static void
rotation_hear(void *arg)
{
    struct report *report = arg;
    struct store *store = store_self();

    if (store != NULL && lsm_can_rotate(store->lsm) &&
        retain_position(&store->now, report->log_id) >
            retain_position(&store->flushed, report->log_id)) {
        SOMETIMES("txn: rotated because another shard's log had grown");
        store_rotate(store, store->applied);
    }
}

/* True when it must be told again. */
static YIELDS bool
shard_tell(struct store *store, uint32_t shard)
{
    struct store_need *need = &store->needs[shard];
    struct report report = {
        .log_id = store->log_ids[shard],
        .from = shard_id(),
        .flushed = retain_position(&store->flushed, store->log_ids[shard]),
    };

    if (report.flushed > need->reported) {
        msg_call(shard, MSG_INLINE, report_hear, &report);
        if (!report.is_heard) {
            return true;
        }
        need->reported = report.flushed;
    }
    if (need_is_open(need) && need->flushed + store->log_bytes_max < store->flushed_lsn) {
        report.log_id = store->log_id;
        msg_call(shard, MSG_INLINE, rotation_hear, &report);
    }
    return false;
}

static YIELDS void
report_main(void *arg)
{
    struct store *store = arg;

    while (!store->is_closing) {
        bool must_retry = false;

        for (uint32_t i = 0; i < shard_count(); i++) {
            if (i != shard_id()) {
                must_retry = shard_tell(store, i) || must_retry;
            }
        }
        if (!store->is_closing) {
            (void)cond_wait_until(&store->retain_cond,
                                  must_retry ? shard_now_us() + RETAIN_RETRY_US : DEADLINE_NONE);
        }
    }
}

/* ---- Life. ---- */

void
retain_init(struct store *store)
{
    store->log_ids = mem_zalloc(MEM_RUNTIME, shard_count() * sizeof(*store->log_ids));
    store->needs = mem_zalloc(MEM_RUNTIME, shard_count() * sizeof(*store->needs));
    store->kept_unread = UINT64_MAX;
    cond_init(&store->retain_cond);
    fiber_group_init(&store->fibers);
}

void
retain_fini(struct store *store)
{
    mem_free(MEM_RUNTIME, store->log_ids, shard_count() * sizeof(*store->log_ids));
    mem_free(MEM_RUNTIME, store->needs, shard_count() * sizeof(*store->needs));
}

err_t
retain_open(struct store *store)
{
    lsm_on_flushed(store->lsm, on_flushed, store);
    if (lsm_note(store->lsm).size > 0) { /* As it stands after the flushes of recovery. */
        on_flushed(store, lsm_flushed_lsn(store->lsm));
    }
    if (shard_count() > 1 && !fiber_group_spawn(&store->fibers, "store-reports", FIBER_BACKGROUND,
                                                FIBER_STACK_SMALL, report_main, store)) {
        return err_set(ERR_LIMIT, "no fiber for reports to other shards");
    }
    return ERR_OK;
}

void
retain_close(struct store *store)
{
    store->is_closing = true;
    cond_signal(&store->retain_cond);
    fiber_group_wait(&store->fibers);
}
