/* txn/horizon.c - see horizon.h.
 *
 *     tick:  publish the word, apply the horizon, then send each other shard that needs it a
 *            message:  "publish yours", and, when the old snapshots have changed, "hold these"
 *     when all have returned from "hold these": these no longer hold the word back */
#include "txn/horizon.h"

#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/base/sometimes.h"
#include "engine/rt/msg.h"
#include "txn/internal.h"

#include "engine/base/poison.h"

/* A message to another shard, and what was seen of that shard. */
struct horizon_peer {
    struct msg msg; /* First. */
    struct horizon *from;
    uint64_t seen; /* Its word at the last tick. */
    bool is_under_way;
    bool is_telling;  /* It carries from->telling. */
    bool was_refused; /* Set by the receiver. */
};

/* Snapshots that are held here for another shard. */
struct horizon_guests {
    struct lsm_snapshot held[HORIZON_TOLD_MAX];
    bool is_held[HORIZON_TOLD_MAX];
};

/* ---- The word. ---- */

static uint64_t
clock_now(const struct horizon *horizon)
{
    return clock_read(&horizon->store->clock);
}

/* Rising list; is ts in it? */
static bool
times_have(const uint64_t *times, uint32_t count, uint64_t ts)
{
    for (uint32_t i = 0; i < count; i++) {
        if (times[i] == ts) {
            return true;
        }
    }
    return false;
}

/* The snapshots with the same timestamp as `first`: *is_guest_out, are all of them held for other
 * shards, which keep the horizon from passing them? One that began here is this shard's to keep,
 * whoever else has the same timestamp. Returns the one behind them. */
static const struct lsm_snapshot *
group_end(const struct lsm *lsm, const struct lsm_snapshot *first, bool *is_guest_out)
{
    const struct lsm_snapshot *at = first;

    *is_guest_out = true;
    for (; at != NULL && at->ts == first->ts; at = lsm_snapshot_next(lsm, at)) {
        *is_guest_out = *is_guest_out && at->is_guest;
    }
    return at;
}

/* What the shard can promise: none of its snapshots is below, or will be, that is not held on all
 * shards. Those below the word already are other shards' that are read here. The window is that of
 * all shards, and may begin ahead of this one's clock when another's has leapt: snapshots still
 * begin at the own clock. */
static uint64_t
word_find(const struct horizon *horizon)
{
    const struct lsm *lsm = horizon->store->lsm;
    uint64_t now = clock_now(horizon);
    uint64_t limit = horizon->store->window.retention == 0 ? now : MIN(now, window_begin());
    const struct lsm_snapshot *at = lsm_snapshot_next(lsm, NULL);
    uint32_t looks = 0;

    while (!horizon->is_alone && at != NULL && at->ts < limit) {
        bool is_guest;
        const struct lsm_snapshot *next = group_end(lsm, at, &is_guest);

        if (at->ts >= horizon->word && !is_guest &&
            !times_have(horizon->covered, horizon->covered_count, at->ts)) {
            return at->ts;
        }
        if (++looks == HORIZON_LOOK_MAX) {
            return MAX(at->ts, horizon->word);
        }
        at = next;
    }
    return limit;
}

static void
word_publish(struct horizon *horizon)
{
    struct store *store = horizon->store;

    if (store->window.retention != 0) {
        window_move(&store->window, clock_now(horizon), store_appended(store));
        retain_window_moved(store);
    }
    horizon->word = MAX(horizon->word, word_find(horizon));
    shard_word_set(SHARD_WORD_HORIZON, horizon->word);
}

static void
horizon_apply(const struct horizon *horizon)
{
    uint64_t ts = shard_word_min(SHARD_WORD_HORIZON);

    if (CANARY(HORIZON_LOCAL)) {
        ts = clock_now(horizon);
    }
    lsm_horizon_set(horizon->store->lsm, ts);
}

uint64_t
horizon_oldest(const struct horizon *horizon)
{
    return horizon->is_alone ? lsm_horizon(horizon->store->lsm) : horizon->word;
}

/* ---- Ticking. ---- */

static void
tick_in(struct horizon *horizon, uint64_t interval_us)
{
    horizon->interval_us = interval_us;
    timer_stop(&horizon->timer);
    timer_start(&horizon->timer, shard_now_us() + interval_us);
}

void
horizon_follow(const struct horizon *horizon, uint64_t ts)
{
    lsm_horizon_set(horizon->store->lsm, ts);
}

void
horizon_note_slowly(struct horizon *horizon, uint64_t ts)
{
    horizon->newest = ts;
    if (horizon->interval_us != HORIZON_TICK_US && !horizon->is_closing) {
        tick_in(horizon, HORIZON_TICK_US);
    }
}

/* ---- Snapshots held for others: on the receiving shard. ---- */

static struct horizon_guests *
guests_of(struct horizon *horizon, uint32_t shard)
{
    if (horizon->guests[shard] == NULL) {
        horizon->guests[shard] = MEM_NEW(MEM_RUNTIME, struct horizon_guests);
    }
    return horizon->guests[shard];
}

static void
guests_drop(struct horizon *horizon, struct horizon_guests *guests, const uint64_t *keep,
            uint32_t keep_count)
{
    for (uint32_t i = 0; i < HORIZON_TOLD_MAX; i++) {
        if (guests->is_held[i] && !times_have(keep, keep_count, guests->held[i].ts)) {
            lsm_snapshot_drop(horizon->store->lsm, &guests->held[i]);
            guests->is_held[i] = false;
        }
    }
}

static bool
guests_have(const struct horizon_guests *guests, uint64_t ts)
{
    for (uint32_t i = 0; i < HORIZON_TOLD_MAX; i++) {
        if (guests->is_held[i] && guests->held[i].ts == ts) {
            return true;
        }
    }
    return false;
}

static void
guests_add(struct horizon *horizon, struct horizon_guests *guests, uint64_t ts)
{
    struct lsm *lsm = horizon->store->lsm;
    uint32_t at = 0;

    if (guests_have(guests, ts)) {
        return;
    }
    if (ts < lsm_horizon(lsm)) {
        return; /* Of a transaction that has ended at its home: nobody reads at it any more. */
    }
    while (guests->is_held[at]) {
        at++;
        ASSERT(at < HORIZON_TOLD_MAX); /* Others were dropped first, and the list is no longer. */
    }
    lsm_snapshot_take(lsm, ts, &guests->held[at]);
    guests->held[at].is_guest = true;
    guests->is_held[at] = true;
}

/* On the other shard's loop. What the peer points to does not change before it is back. */
static void
peer_visit(void *arg)
{
    struct horizon_peer *peer = arg;
    struct store *store = store_self();
    struct horizon *horizon = store == NULL ? NULL : &store->horizon;

    peer->was_refused = horizon == NULL || horizon->is_closing;
    if (peer->was_refused) {
        return;
    }
    if (peer->is_telling) {
        struct horizon_guests *guests = guests_of(horizon, peer->msg.from);

        guests_drop(horizon, guests, peer->from->telling, peer->from->telling_count);
        for (uint32_t i = 0; i < peer->from->telling_count; i++) {
            guests_add(horizon, guests, peer->from->telling[i]);
        }
    }
    word_publish(horizon);
    if (horizon->word + horizon->store->window.retention < clock_now(horizon) &&
        horizon->interval_us == 0) {
        tick_in(horizon, HORIZON_TICK_US); /* A snapshot of ours: perhaps old enough to tell. */
    }
}

/* ---- Telling: on the home shard. ---- */

static void
telling_end(struct horizon *horizon)
{
    horizon->is_telling = false;
    if (!horizon->was_refused) {
        memcpy(horizon->covered, horizon->telling,
               horizon->telling_count * sizeof(horizon->covered[0]));
        horizon->covered_count = horizon->telling_count;
        SOMETIMES_IF(horizon->covered_count > 0, "txn: an old snapshot is held by all shards");
        word_publish(horizon);
    }
}

/* Back on the sender's loop. */
static void
peer_returned(struct msg *msg)
{
    struct horizon_peer *peer = (struct horizon_peer *)msg;
    struct horizon *horizon = peer->from;

    ASSERT(horizon->in_flight > 0);
    horizon->in_flight--;
    peer->is_under_way = false;
    horizon->was_refused = horizon->was_refused || (peer->is_telling && peer->was_refused);
    if (horizon->in_flight == 0) {
        if (horizon->is_telling) {
            telling_end(horizon);
        }
        cond_broadcast(&horizon->returned);
    }
}

static void
peer_send(struct horizon_peer *peer, bool is_telling)
{
    struct horizon *horizon = peer->from;

    peer->is_telling = is_telling;
    peer->is_under_way = msg_try_send(&peer->msg);
    horizon->in_flight += peer->is_under_way;
    horizon->was_refused = horizon->was_refused || (is_telling && !peer->is_under_way);
}

/* What all shards should hold: of what they do, whatever is still held here, and then the oldest
 * ones of our own that are old enough. True when it differs from what they hold. */
static bool
telling_find(struct horizon *horizon)
{
    const struct lsm *lsm = horizon->store->lsm;
    uint64_t now = clock_now(horizon);
    uint64_t old = now - MIN(now, (uint64_t)HORIZON_OLD_US << CLOCK_COUNTER_BITS);
    const struct lsm_snapshot *at = lsm_snapshot_next(lsm, NULL);
    uint32_t kept = 0; /* Of the covered ones, so far. */
    uint32_t added = 0;
    uint32_t looks = 0;

    horizon->telling_count = 0;
    while (at != NULL && at->ts < old && looks++ < HORIZON_LOOK_MAX &&
           horizon->telling_count < HORIZON_TOLD_MAX) {
        bool is_guest;
        const struct lsm_snapshot *next = group_end(lsm, at, &is_guest);
        bool is_covered = times_have(horizon->covered, horizon->covered_count, at->ts);
        bool has_room = added + horizon->covered_count < HORIZON_TOLD_MAX;

        if (!is_guest && (is_covered || (at->ts >= horizon->word && has_room))) {
            horizon->telling[horizon->telling_count++] = at->ts;
            kept += is_covered;
            added += !is_covered;
        }
        at = next;
    }
    return added > 0 || kept != horizon->covered_count;
}

/* Shards whose words have not moved since the last tick and are below what was committed here; all
 * of them when the old snapshots have changed. */
static void
peers_visit(struct horizon *horizon)
{
    bool is_telling = horizon->in_flight == 0 && telling_find(horizon);
    uint32_t count = shard_count();

    if (is_telling) {
        horizon->is_telling = true;
        horizon->was_refused = false;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct horizon_peer *peer = &horizon->peers[i];
        uint64_t word = shard_word_get(SHARD_WORD_HORIZON, i);
        bool stands_still = word == peer->seen && word < horizon->newest;

        peer->seen = word;
        if (i != shard_id() && !peer->is_under_way && (is_telling || stands_still)) {
            peer_send(peer, is_telling);
        }
    }
    if (is_telling && horizon->in_flight == 0) {
        telling_end(horizon); /* No message could be sent. */
    }
}

static void
tick(struct timer *timer)
{
    struct horizon *horizon = CONTAINER_OF(timer, struct horizon, timer);
    uint64_t interval_us = horizon->interval_us;
    uint64_t newest = horizon->newest;

    horizon->interval_us = 0;
    word_publish(horizon);
    horizon_apply(horizon);
    if (!horizon->is_alone) {
        peers_visit(horizon);
    }
    if (lsm_horizon(horizon->store->lsm) < newest || horizon->covered_count > 0 ||
        horizon->is_telling) {
        tick_in(horizon, MIN(interval_us * 2, (uint64_t)HORIZON_TICK_US_MAX));
    }
}

YIELDS err_t
horizon_catch_up(struct horizon *horizon)
{
    uint64_t wanted = horizon->newest - MIN(horizon->newest, horizon->store->window.retention);
    uint64_t deadline = shard_now_us() + HORIZON_CATCH_UP_US;
    err_t err = ERR_OK;

    while (!horizon->is_closing && lsm_horizon(horizon->store->lsm) < wanted &&
           shard_now_us() < deadline) {
        if (horizon->interval_us != HORIZON_TICK_US) {
            tick_in(horizon, HORIZON_TICK_US);
        }
        TRY(fiber_sleep_us(HORIZON_TICK_US));
    }
out:
    return err;
}

/* ---- Life. ---- */

void
horizon_open(struct horizon *horizon, struct store *store, uint64_t begin)
{
    uint32_t count = shard_count();

    *horizon = (struct horizon){
        .store = store,
        .is_alone = count == 1,
        .follows_commits = count == 1 && store->window.retention == 0,
        .word = begin,
    };
    timer_init(&horizon->timer, tick);
    cond_init(&horizon->returned);
    ASSERT(clock_read(&store->clock) >= begin);
    lsm_horizon_set(store->lsm, begin);
    if (horizon->is_alone) {
        return;
    }
    horizon->guests = mem_zalloc(MEM_RUNTIME, count * sizeof(struct horizon_guests *));
    horizon->peers = mem_zalloc(MEM_RUNTIME, count * sizeof(struct horizon_peer));
    for (uint32_t i = 0; i < count; i++) {
        struct horizon_peer *peer = &horizon->peers[i];

        peer->from = horizon;
        peer->msg = (struct msg){
            .fn = peer_visit, .arg = peer, .done = peer_returned, .to = i, .kind = MSG_INLINE};
    }
    word_publish(horizon);
}

void
horizon_retention_changed(struct horizon *horizon)
{
    horizon->follows_commits = horizon->is_alone && horizon->store->window.retention == 0;
    if (horizon->interval_us == 0 && !horizon->is_closing) {
        tick_in(horizon, HORIZON_TICK_US);
    }
}

YIELDS void
horizon_close(struct horizon *horizon)
{
    static const uint64_t none;
    uint32_t count = shard_count();

    horizon->is_closing = true;
    timer_stop(&horizon->timer);
    while (horizon->in_flight > 0) {
        cond_wait_uncancelable(&horizon->returned);
    }
    for (uint32_t i = 0; i < count && horizon->guests != NULL; i++) {
        if (horizon->guests[i] != NULL) {
            guests_drop(horizon, horizon->guests[i], &none, 0);
            MEM_FREE(MEM_RUNTIME, horizon->guests[i]);
        }
    }
    mem_free(MEM_RUNTIME, horizon->guests, count * sizeof(struct horizon_guests *));
    mem_free(MEM_RUNTIME, horizon->peers, count * sizeof(struct horizon_peer));
    horizon->guests = NULL;
    horizon->peers = NULL;
}
