/* txn/fragment.c - see fragment.h. */
#include "txn/fragment.h"

#include <stdio.h>

#include "engine/rt/shard.h"
#include "txn/part_scan.h"
#include "txn/slots.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

enum { PIECE_STACK_BYTES = 96 << 10 };

struct txn_piece {
    struct part_scan *scan; /* On the row that comes next. */
    uint32_t rows_left;
    size_t bytes; /* Of the values that were read. */
};

/* What is asked of one shard. */
struct piece_call {
    txn_fragment_fn fn;
    const void *arg;
    struct slice lower, upper, from;
    uint64_t snapshot;
    bool has_sees;
    struct overlay_mark sees; /* In, with has_sees; otherwise out: what the part sees now. */
    struct buf answer, next;  /* Out, from here on; next: where the next piece begins. */
    bool is_at_end;
    lsn_t noted;
};

struct fragment_source {
    struct buf from; /* Where the next piece begins. */
    bool is_at_end, has_sees;
    struct overlay_mark sees;
};

struct txn_fragments {
    struct txn *txn;
    txn_fragment_fn fn;
    const void *arg;
    struct buf lower, upper;
    uint64_t snapshot;
    struct lsm_snapshot held; /* Between two pieces. */
    bool *is_wanted;
    struct piece_call *calls;
    struct fragment_source *sources; /* By shard. */
    uint32_t count;
};

/* ---- On the shard of the rows ---- */

err_t
txn_piece_next(struct txn_piece *piece, struct arena *arena, struct slice *value_out,
               bool *is_end_out)
{
    err_t err;

    *is_end_out = piece->rows_left == 0 || piece->bytes >= TXN_PIECE_BYTES_MAX ||
                  part_scan_entry(piece->scan) == NULL;
    if (*is_end_out) {
        return ERR_OK;
    }
    TRY(part_scan_value(piece->scan, arena, value_out));
    piece->rows_left--;
    piece->bytes += value_out->size;
    err = part_scan_next(piece->scan);
out:
    return err;
}

/* Messages are heard on small stacks, and what is evaluated needs a large one. */
struct piece_fiber {
    struct piece_call *call;
    struct txn_piece *piece;
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
};

static YIELDS void
piece_fiber_run(void *arg)
{
    struct piece_fiber *fiber = arg;

    fiber->err = fiber->call->fn(fiber->call->arg, fiber->piece, &fiber->call->answer);
    if (fiber->err != ERR_OK) {
        (void)snprintf(fiber->message, sizeof(fiber->message), "%s", err_message(fiber->err));
    }
}

static YIELDS err_t
piece_answer(struct piece_call *call, struct txn_piece *piece)
{
    struct piece_fiber *fiber;
    struct fiber_group group;
    err_t err;

    if (fiber_stack_left() >= PIECE_STACK_BYTES) {
        return call->fn(call->arg, piece, &call->answer);
    }
    fiber = MEM_NEW(MEM_SESSIONS, struct piece_fiber);
    fiber->call = call;
    fiber->piece = piece;
    fiber_group_init(&group);
    if (fiber_group_spawn(&group, "fragment", FIBER_FOREGROUND, FIBER_STACK_LARGE, piece_fiber_run,
                          fiber)) {
        fiber_group_wait(&group);
        err = fiber->err != ERR_OK ? err_set(fiber->err, "%s", fiber->message) : ERR_OK;
    } else {
        err = err_set(ERR_LIMIT, "no fiber for a part of a statement");
    }
    MEM_FREE(MEM_SESSIONS, fiber);
    return err;
}

static YIELDS err_t
piece_run(struct part *part, void *arg)
{
    struct piece_call *call = arg;
    struct txn_piece piece = {.rows_left = TXN_PIECE_ROWS_MAX};
    const struct lsm_entry *entry;
    err_t err;

    buf_init(&call->answer, MEM_SESSIONS);
    buf_init(&call->next, MEM_SESSIONS);
    call->is_at_end = false;
    if (!call->has_sees) {
        call->sees = part->sees;
    }
    TRY(part_scan_open(part, call->snapshot, &call->sees, call->lower, call->upper, &piece.scan));
    TRY(part_scan_seek(piece.scan, call->from));
    TRY(piece_answer(call, &piece));
    entry = part_scan_entry(piece.scan);
    call->is_at_end = entry == NULL;
    if (entry != NULL) {
        buf_append(&call->next, entry->key.data, entry->key.size);
    }
out:
    part_scan_close(&piece.scan);
    call->noted = part->noted;
    mem_disown(MEM_SESSIONS, call->answer.data, call->answer.capacity);
    mem_disown(MEM_SESSIONS, call->next.data, call->next.capacity);
    return err;
}

/* ---- On the session's shard ---- */

err_t
txn_fragments_open(struct txn *txn, struct slice lower, struct slice upper, txn_fragment_fn fn,
                   const void *arg, struct txn_fragments **fragments_out)
{
    uint32_t count = shard_count();
    struct txn_fragments *fragments;
    err_t err = txn_check(txn);

    if (err != ERR_OK) {
        return txn_fail(txn, err);
    }
    part_hold(&txn->part);
    fragments = MEM_NEW(MEM_SESSIONS, struct txn_fragments);
    *fragments = (struct txn_fragments){
        .txn = txn,
        .fn = fn,
        .arg = arg,
        .snapshot = txn->part.snapshot,
        .is_wanted = mem_zalloc(MEM_SESSIONS, count * sizeof(*fragments->is_wanted)),
        .calls = mem_zalloc(MEM_SESSIONS, count * sizeof(*fragments->calls)),
        .sources = mem_zalloc(MEM_SESSIONS, count * sizeof(*fragments->sources)),
        .count = count,
    };
    buf_init(&fragments->lower, MEM_SESSIONS);
    buf_init(&fragments->upper, MEM_SESSIONS);
    buf_append(&fragments->lower, lower.data, lower.size);
    buf_append(&fragments->upper, upper.data, upper.size);
    for (uint32_t i = 0; i < count; i++) {
        buf_init(&fragments->sources[i].from, MEM_SESSIONS);
        buf_append(&fragments->sources[i].from, lower.data, lower.size);
    }
    lsm_snapshot_take(store_lsm(txns_self()->store), fragments->snapshot, &fragments->held);
    *fragments_out = fragments;
    return ERR_OK;
}

void
txn_fragments_close(struct txn_fragments **pointer)
{
    struct txn_fragments *fragments = *pointer;

    *pointer = NULL;
    if (fragments == NULL) {
        return;
    }
    for (uint32_t i = 0; i < fragments->count; i++) {
        buf_fini(&fragments->sources[i].from);
    }
    lsm_snapshot_drop(store_lsm(txns_self()->store), &fragments->held);
    buf_fini(&fragments->lower);
    buf_fini(&fragments->upper);
    mem_free(MEM_SESSIONS, fragments->is_wanted, fragments->count * sizeof(*fragments->is_wanted));
    mem_free(MEM_SESSIONS, fragments->calls, fragments->count * sizeof(*fragments->calls));
    mem_free(MEM_SESSIONS, fragments->sources, fragments->count * sizeof(*fragments->sources));
    MEM_FREE(MEM_SESSIONS, fragments);
}

static void
call_prepare(struct txn_fragments *fragments, uint32_t shard)
{
    struct fragment_source *source = &fragments->sources[shard];

    fragments->is_wanted[shard] = !source->is_at_end;
    fragments->calls[shard] = (struct piece_call){
        .fn = fragments->fn,
        .arg = fragments->arg,
        .lower = buf_slice(&fragments->lower),
        .upper = buf_slice(&fragments->upper),
        .from = buf_slice(&source->from),
        .snapshot = fragments->snapshot,
        .has_sees = source->has_sees,
        .sees = source->sees,
    };
}

/* Takes over what the shard has answered. */
static void
call_accept(struct txn_fragments *fragments, uint32_t shard)
{
    struct fragment_source *source = &fragments->sources[shard];
    struct piece_call *call = &fragments->calls[shard];
    struct txn *txn = fragments->txn;

    mem_adopt(MEM_SESSIONS, call->answer.data, call->answer.capacity);
    mem_adopt(MEM_SESSIONS, call->next.data, call->next.capacity);
    source->sees = call->sees;
    source->has_sees = true;
    source->is_at_end = call->is_at_end;
    buf_clear(&source->from);
    buf_append(&source->from, call->next.data, call->next.size);
    buf_fini(&call->next);
    if (shard != shard_id() && txn->remotes != NULL) {
        txn->remotes[shard].noted = MAX(txn->remotes[shard].noted, call->noted);
    }
}

err_t
txn_fragments_next(struct txn_fragments *fragments,
                   YIELDS err_t (*take)(void *arg, struct slice answer), void *take_arg,
                   bool *is_end_out)
{
    err_t err;

    *is_end_out = true;
    for (uint32_t i = 0; i < fragments->count; i++) {
        call_prepare(fragments, i);
        *is_end_out = *is_end_out && !fragments->is_wanted[i];
    }
    if (*is_end_out) {
        return ERR_OK;
    }
    err = txn_call_many(fragments->txn, fragments->is_wanted, piece_run, fragments->calls,
                        sizeof(fragments->calls[0]));
    for (uint32_t i = 0; i < fragments->count; i++) {
        struct buf *answer = &fragments->calls[i].answer;

        if (fragments->is_wanted[i]) {
            call_accept(fragments, i);
            if (err == ERR_OK && answer->size > 0) {
                err = take(take_arg, buf_slice(answer));
            }
            buf_fini(answer);
        }
    }
    return err;
}
