/* net/totals.c - see the header. */
#include "net/totals.h"

#include "engine/base/assert.h"
#include "engine/base/mem.h"
#include "engine/rt/msg.h"

#include "engine/base/poison.h"

static void
errors_add(struct totals *totals, const struct error_stat *stat)
{
    for (uint32_t i = 0; i < totals->error_kinds; i++) {
        if (strcmp(totals->errors[i].name, stat->name) == 0) {
            totals->errors[i].count += stat->count;
            return;
        }
    }
    if (totals->error_kinds < NET_ERROR_KINDS_MAX) {
        totals->errors[totals->error_kinds++] = *stat;
    }
}

static void
counters_add(struct net_counters *into, const struct net_counters *from)
{
    into->connections += from->connections;
    into->rejected_connections += from->rejected_connections;
    into->commands += from->commands;
    into->input_bytes += from->input_bytes;
    into->output_bytes += from->output_bytes;
    into->error_replies += from->error_replies;
    into->unexpected_errors += from->unexpected_errors;
    into->timeouts += from->timeouts;
    into->auth_failures += from->auth_failures;
    into->reads += from->reads;
    into->writes += from->writes;
    into->acl_commands += from->acl_commands;
    into->acl_keys += from->acl_keys;
    into->acl_channels += from->acl_channels;
    into->output_limit_disconnections += from->output_limit_disconnections;
    into->input_bytes_max = MAX(into->input_bytes_max, from->input_bytes_max);
    into->output_bytes_max = MAX(into->output_bytes_max, from->output_bytes_max);
}

static void
commands_add(struct totals *totals, const struct net *net)
{
    for (uint32_t id = 0; id < totals->command_count; id++) {
        const struct command_stats *stats = &net->command_stats[id];

        totals->commands[id].calls += stats->calls;
        totals->commands[id].rejected += stats->rejected;
        totals->commands[id].failed += stats->failed;
        totals->commands[id].usec += stats->usec;
    }
}

static void
kv_add(struct kv_stats *into, struct kv *kv)
{
    struct kv_stats stats;

    kv_stats_get(kv, &stats);
    into->hits += stats.hits;
    into->misses += stats.misses;
    into->expired += stats.expired;
    into->expire_cycles += stats.expire_cycles;
    into->evicted += stats.evicted;
    into->memory_counted += stats.memory_counted;
    for (uint32_t db = 0; db < KV_DATABASES_MAX; db++) {
        into->keys[db] += stats.keys[db];
        into->expires[db] += stats.expires[db];
    }
}

static void
scripts_add(struct script_stats *into, struct kv *kv)
{
    struct script_stats stats;

    scripts_stats_get(kv, &stats);
    into->lua_bytes += stats.lua_bytes;
    into->text_bytes += stats.text_bytes;
    into->cached = MAX(into->cached, stats.cached);
    into->libraries = MAX(into->libraries, stats.libraries);
    into->functions = MAX(into->functions, stats.functions);
    into->running += stats.running;
    into->calls += stats.calls;
    into->killed += stats.killed;
}

static void
wal_add(struct totals *totals, struct store *store)
{
    struct wal_stats *into = &totals->wal;
    struct wal_stats stats;

    wal_stats_get(store_wal(store), &stats);
    into->batches += stats.batches;
    into->batches_empty += stats.batches_empty;
    into->records += stats.records;
    into->bytes += stats.bytes;
    into->bytes_written += stats.bytes_written;
    into->segments_made += stats.segments_made;
    into->segments_recycled += stats.segments_recycled;
    into->segments_live += stats.segments_live;
    into->in_flight += stats.in_flight;
    into->commit_us_p50 = MAX(into->commit_us_p50, stats.commit_us_p50);
    into->commit_us_p99 = MAX(into->commit_us_p99, stats.commit_us_p99);
    into->commit_us_max = MAX(into->commit_us_max, stats.commit_us_max);
    totals->not_durable += stats.appended - MIN(stats.appended, stats.durable);
}

static void
lsm_add(struct lsm_stats *into, struct store *store)
{
    struct lsm_stats stats;

    lsm_stats_get(store_lsm(store), &stats);
    into->memtable_bytes += stats.memtable_bytes;
    into->memtables += stats.memtables;
    into->flushes += stats.flushes;
    into->flush_bytes += stats.flush_bytes;
    into->compactions += stats.compactions;
    into->compaction_read_bytes += stats.compaction_read_bytes;
    into->compaction_write_bytes += stats.compaction_write_bytes;
    into->trivial_moves += stats.trivial_moves;
    into->stalls += stats.stalls;
    into->stall_us += stats.stall_us;
    into->slowdowns += stats.slowdowns;
    into->slowdown_us += stats.slowdown_us;
    into->compactions_running += stats.compactions_running;
    into->compaction_debt_bytes += stats.compaction_debt_bytes;
    into->background_errors += stats.background_errors;
    into->scrub_rounds += stats.scrub_rounds;
    into->scrub_tables += stats.scrub_tables;
    into->scrub_bytes += stats.scrub_bytes;
    into->scrub_damages += stats.scrub_damages;
    for (uint32_t level = 0; level < LSM_LEVELS; level++) {
        into->level_tables[level] += stats.level_tables[level];
        into->level_bytes[level] += stats.level_bytes[level];
        into->level_read_bytes[level] += stats.level_read_bytes[level];
        into->level_write_bytes[level] += stats.level_write_bytes[level];
    }
    into->tables_shunned += stats.tables_shunned;
    into->tables_dropped += stats.tables_dropped;
    into->expired_compactions += stats.expired_compactions;
    into->scan_compactions += stats.scan_compactions;
    into->scan_skips += stats.scan_skips;
    into->point_reads += stats.point_reads;
    into->point_reads_memtable += stats.point_reads_memtable;
    into->filter_skips += stats.filter_skips;
    into->cache_hits += stats.cache_hits;
    into->cache_misses += stats.cache_misses;
    into->cache_bytes += stats.cache_bytes;
    into->disk_bytes += stats.disk_bytes;
    into->entries_estimate += stats.entries_estimate;
}

static void
txn_add(struct txn_stats *into)
{
    struct txn_stats stats;

    txn_stats_get(&stats);
    into->open += stats.open;
    into->begun += stats.begun;
    into->committed += stats.committed;
    into->aborted += stats.aborted;
    into->serialization_failures += stats.serialization_failures;
    into->oldest_snapshot = MIN(into->oldest_snapshot, stats.oldest_snapshot);
    into->locks.held += stats.locks.held;
    into->locks.waiting += stats.locks.waiting;
    into->locks.waits += stats.locks.waits;
    into->locks.wait_us += stats.locks.wait_us;
    into->locks.deadlocks += stats.locks.deadlocks;
    into->locks.timeouts += stats.locks.timeouts;
}

static void
history_add(struct store_history *into)
{
    struct store_history history;

    store_history_get(store_self(), &history);
    into->from_us = MAX(into->from_us, history.from_us);
    into->log_bytes += history.log_bytes;
    into->cuts += history.cuts;
}

static void
shard_add(struct shard_stats *into)
{
    struct shard_stats stats;

    shard_stats_get(shard_self(), &stats);
    into->turns += stats.turns;
    into->switches += stats.switches;
    into->fibers += stats.fibers;
    into->fibers_peak += stats.fibers_peak;
    into->messages_sent += stats.messages_sent;
    into->messages_received += stats.messages_received;
    into->sleeps += stats.sleeps;
}

static YIELDS void
totals_add_here(void *arg)
{
    struct totals *totals = arg;
    struct net *net = net_self();
    const struct mem_account *account = mem_account_current();
    uint64_t on_removal;

    counters_add(&totals->counters, &net->counters);
    if (shard_id() == 0) {
        totals->save = net->save;
    }
    totals->sessions += net->session_count;
    totals->waiting += net->waiting;
    totals->blocked += net->blocked;
    totals->blocking_keys += kv_blocks_keys(net->kv, &on_removal);
    totals->blocking_keys_on_removal += on_removal;
    totals->commands_per_second += net->rates.commands;
    totals->input_per_second += net->rates.input_bytes;
    totals->output_per_second += net->rates.output_bytes;
    for (uint32_t i = 0; i < net->error_kinds; i++) {
        errors_add(totals, &net->errors[i]);
    }
    commands_add(totals, net);
    tracking_stats_add(net->tracking, &totals->tracking);
    kv_add(&totals->kv, net->kv);
    scripts_add(&totals->scripts, net->kv);
    wal_add(totals, net->store);
    lsm_add(&totals->lsm, net->store);
    lsm_metrics_merge(&totals->metrics, lsm_metrics_of(store_lsm(net->store)));
    txn_add(&totals->txn);
    history_add(&totals->history);
    shard_add(&totals->shard);
    for (uint32_t tag = 0; tag < MEM_TAG_COUNT; tag++) {
        totals->memory[tag] += mem_used(account, tag);
    }
    net->memory_peak = MAX(net->memory_peak, mem_used_total(account));
    totals->memory_total += mem_used_total(account);
    totals->memory_peak += net->memory_peak;
}

static size_t
totals_bytes(void)
{
    return sizeof(struct totals) + command_ids() * sizeof(struct command_total);
}

struct totals *
totals_gather(void)
{
    struct totals *totals = mem_zalloc(MEM_RUNTIME, totals_bytes());

    totals->command_count = command_ids();
    totals->txn.oldest_snapshot = UINT64_MAX;
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        msg_call(shard, MSG_FIBER, totals_add_here, totals);
    }
    return totals;
}

void
totals_free(struct totals **totals)
{
    mem_free(MEM_RUNTIME, *totals, totals_bytes());
    *totals = NULL;
}

/* ---- Latencies ---- */

struct latency_call {
    uint32_t command_id;
    struct hist *hist;
};

static YIELDS void
latency_add_here(void *arg)
{
    const struct latency_call *call = arg;
    const struct hist *hist = net_self()->command_stats[call->command_id].latency;

    if (hist != NULL) {
        hist_merge(call->hist, hist);
    }
}

void
totals_latency(uint32_t id, struct hist *hist)
{
    struct latency_call call = {id, hist};

    memset(hist, 0, sizeof(*hist));
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        msg_call(shard, MSG_FIBER, latency_add_here, &call);
    }
}

/* Powers of two are borders of buckets: engine/base/hist.c. */
uint64_t
totals_count_below(const struct hist *hist, unsigned power)
{
    uint32_t end =
        power < HIST_SUB_BITS ? 1u << power : (power - HIST_SUB_BITS + 1) << HIST_SUB_BITS;
    uint64_t count = 0;

    for (uint32_t i = 0; i < MIN(end, (uint32_t)HIST_BUCKETS); i++) {
        count += hist->buckets[i];
    }
    return count;
}
