/* txn/txns.h - the transactions of a shard: those that have their home here, and parts of others.
 * For the files of txn/. */
#pragma once

#include "engine/base/list.h"
#include "engine/base/prng.h"
#include "txn/internal.h"
#include "txn/part.h"
#include "txn/txn.h"

#define TXNS_MAGIC UINT64_C(0x6f726269747478)
#define TXN_MAGIC  UINT64_C(0x6f7262697474786e)

enum {
    TXNS_BUCKETS = 1024,
    TXNS_KEPT = 64,            /* Ended transactions kept for reuse, */
    TXN_BYTES_KEPT = 64 << 10, /* if their buffers are no larger. */
    TXN_ID_HOME_SHIFT = 48,
    TXN_IDLE_AGAIN_US = 100000, /* No fiber was free for rolling an idle one back. */
};

struct commit_shard; /* commit.c: outcomes on their way, positions in other logs. */
struct advisories;   /* advisory.c */
struct token_table;  /* token.c */
struct slots;        /* slots.c */
struct reshard;      /* reshard.c */

/* What the home shard knows of another shard's part. */
struct txn_remote {
    bool is_begun;          /* A message went there: there may be a part. */
    bool has_writes;        /* Sent there. */
    bool has_reads;         /* Its part has a read set that the commit must validate. */
    lsn_t noted;            /* As in struct part; 0: nothing, or known durable. */
    struct part_cost cost;  /* When it last answered. */
    struct overlay pending; /* Writes gathered for it and not sent yet. */
};

struct txn {
    uint64_t magic;
    struct list link;           /* In txns.interactive (auto ones are in no list), */
    struct list id_link;        /* and in its bucket by id. */
    struct part part;           /* Of the home shard; part.txn is the id. */
    struct txn_remote *remotes; /* [shard_count()]; NULL while only the home shard takes part. */
    struct part_moment moment;
    err_t error;          /* Of a statement: only rollback is possible. */
    bool is_error_untold; /* The next call gives it, later ones ERR_TXN_ABORTED. */
    char error_text[ERR_MESSAGE_BYTES_MAX];
    const struct txn_origin *origin; /* Auto: borrowed. */
    struct txn_options options;      /* Interactive. Its slices lie in `origin_bytes`. */
    struct buf origin_bytes;
    uint32_t *savepoints; /* Numbers of those that can be rolled back to, rising. */
    uint32_t savepoint_count, savepoint_capacity;
    uint32_t savepoint_last; /* The last number given. */
    uint64_t begun_us, active_us;
    struct fiber_mutex busy; /* One statement at a time. */
    struct timer idle_timer;
    const char *state; /* For txn_visit. */
    bool has_token, is_ended;
    uint32_t users;    /* Who holds a pointer over a suspension. */
    uint32_t sessions; /* That drive it. */
    struct txn_hook *hooks;
    char token[TXN_TOKEN_BYTES + 1];
};

struct txns {
    uint64_t magic;
    struct store *store;
    struct locks *locks;
    struct advisories *advisories;
    struct commit_shard *commits;
    struct token_table *tokens;
    struct slots *slots;
    struct reshard *reshard; /* On shard 0. */
    uint64_t next_number;
    uint64_t auto_lock_timeout_us; /* 0: none. */
    struct list interactive;       /* In the order of their beginning. */
    uint32_t interactive_count;
    struct list by_id[TXNS_BUCKETS];
    struct list parts[TXNS_BUCKETS]; /* Of transactions whose home is elsewhere, by id. */
    struct list prepared;            /* Parts: their writes and reads stand against others. */
    struct {
        uint64_t begun, committed, aborted, serialization_failures; /* Interactive, but the last. */
    } counters;
    struct txn *kept[TXNS_KEPT];
    uint32_t kept_count;
    struct fiber_group background;
    bool is_closing;
};

struct txns *txns_self(void);

static inline uint32_t
txn_id_home(uint64_t id)
{
    return (uint32_t)(id >> TXN_ID_HOME_SHIFT);
}

/* ---- txn.c ---- */

/* Remembers the first error of a statement, so that nothing but a rollback follows. Returns err. */
err_t txn_fail(struct txn *txn, err_t err);
/* May a statement run? ERR_TXN_ABORTED, ERR_TIMEOUT; for an auto transaction the error itself. */
err_t txn_check(struct txn *txn);
/* A statement begins, and with it its time limit. */
void txn_busy_begin(struct txn *txn);
/* No statement runs: its idle timeout begins, which its deadline ends at the latest. */
void txn_idle_begin(struct txn *txn);
/* Its object goes back to the stock: it has ended and nobody holds it. */
void txn_give(struct txn *txn);
void txn_destroy(struct txn *txn);
/* What is known of the shard's part; all of them once one is asked for. */
struct txn_remote *txn_remote_of(struct txn *txn, uint32_t shard);

/* ---- txn_read.c ---- */

/* What was read on other shards is durable there, if the server promises that. */
YIELDS err_t txn_noted_wait(struct txn *txn);

/* ---- txn_run.c ---- */

void txn_idle_fired(struct timer *timer);

/* ---- remote.c: the messages of a transaction. On its home shard, but for txn_part_find. ---- */

/* Run fn(part, arg) at the shard's part of the transaction, made there if need be; the gathered
 * writes travel with it and are put in first. On the home shard a plain call. Errors: of putting in
 * the writes; otherwise what fn returned, with its text. */
typedef YIELDS err_t (*part_fn)(struct part *part, void *arg);
YIELDS err_t txn_call(struct txn *txn, uint32_t shard, part_fn fn, void *arg);
/* On several at a time: fn(part, args + i * arg_size) for each shard i with is_wanted[i]. */
YIELDS err_t txn_call_many(struct txn *txn, const bool *is_wanted, part_fn fn, void *args,
                           size_t arg_size);
/* The part of another shard's transaction here; NULL: none. */
struct part *txn_part_find(struct txns *txns, uint64_t id);
/* Begins a record with the origin of the transaction. */
void txn_record_begin(const struct txn *txn, struct buf *record);
/* Ends all parts elsewhere without a trace. */
YIELDS void txn_remotes_abort(struct txn *txn);

/* ---- commit.c ---- */
YIELDS err_t commits_open(struct txns *txns);
YIELDS void commits_close(struct txns *txns);
/* Several shards take part: prepare, one record in this shard's log, outcomes. The parts are ended
 * or will be by their outcome. */
YIELDS err_t txn_commit_shards(struct txn *txn, struct txn_done *done_out);
