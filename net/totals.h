/* net/totals.h - statistics of all shards together, for INFO, LATENCY and MEMORY.
 *
 * The asking fiber visits one shard after the other; each adds its figures to the caller's
 * memory, so nothing is allocated on one shard and freed on another. */
#pragma once

#include <stdint.h>

#include "engine/base/hist.h"
#include "engine/rt/fiber.h"
#include "engine/rt/shard.h"
#include "lsm/metrics.h"
#include "models/script/script.h"
#include "net/net.h"
#include "net/tracking.h"
#include "txn/txn.h"

struct command_total {
    uint64_t calls, rejected, failed, usec;
};

struct totals {
    struct net_counters counters;
    uint32_t sessions;
    uint32_t blocked; /* Sessions whose command waits for a key, */
    uint64_t blocking_keys, blocking_keys_on_removal;
    uint32_t waiting; /* In WAIT, WAITAOF, DEBUG SLEEP. */
    uint64_t commands_per_second, input_per_second, output_per_second;
    struct error_stat errors[NET_ERROR_KINDS_MAX];
    uint32_t error_kinds;
    struct kv_stats kv;          /* Keys and expires by database. */
    struct script_stats scripts; /* Sums; of what is on every shard the largest number. */
    struct tracking_stats tracking;
    uint64_t memory[MEM_TAG_COUNT];
    uint64_t memory_total, memory_peak;
    struct wal_stats wal; /* Sums; of the quantiles the largest. */
    struct lsm_stats lsm; /* Sums. */
    struct lsm_metrics metrics;
    struct txn_stats txn;         /* Sums; of the snapshots the oldest. */
    struct store_history history; /* Sums. */
    struct shard_stats shard;
    struct net_save save; /* Of shard 0. */
    uint64_t not_durable; /* Bytes appended to logs and not yet durable. */
    uint32_t command_count;
    struct command_total commands[]; /* By command id. */
};

/* Over all shards. totals_free. */
YIELDS struct totals *totals_gather(void);
void totals_free(struct totals **totals);

/* Latencies of one command over all shards, in nanoseconds; empty when it was not called. */
YIELDS void totals_latency(uint32_t command_id, struct hist *hist_out);

/* How many values of the histogram lie below 2^power. */
uint64_t totals_count_below(const struct hist *hist, unsigned power);
