/* net/commands_info.c - INFO: Redis's sections, and one about Orbit.
 *
 * Figures are those of all shards together. What a field of Redis counts and Orbit does not have
 * (replicas, scripts, channels, evictions) is told as zero: there is none. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/commit.h"
#include "engine/io/io.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "net/cluster.h"
#include "net/config.h"
#include "net/dispatch.h"
#include "net/process.h"
#include "net/pubsub.h"
#include "net/totals.h"
#include "net/tracking.h"
#include "txn/reshard.h"

#include "engine/base/poison.h"

typedef unsigned long long ull;

/* What the functions of the sections write from and to. */
struct info {
    struct buf text;
    const struct session *session;
    const struct net *net;
    const struct totals *totals;
};

static const char *
config_value(const struct info *info, const char *name)
{
    int32_t index = config_find(slice_from_text(name));

    ASSERT(index >= 0);
    return config_text(info->net->config, (uint32_t)index);
}

static void
number_put(struct info *info, const char *name, uint64_t value)
{
    buf_printf(&info->text, "%s:%llu\r\n", name, (ull)value);
}

static void
text_put(struct info *info, const char *name, const char *value)
{
    buf_printf(&info->text, "%s:%s\r\n", name, value);
}

/* Bytes, and the same for people. */
static void
bytes_put(struct info *info, const char *name, uint64_t bytes)
{
    static const char units[] = "BKMGTP";
    double scaled = (double)bytes;
    size_t unit = 0;

    while (scaled >= 1024 && unit + 2 < sizeof(units)) {
        scaled /= 1024;
        unit++;
    }
    number_put(info, name, bytes);
    if (unit == 0) {
        buf_printf(&info->text, "%s_human:%lluB\r\n", name, (ull)bytes);
    } else {
        buf_printf(&info->text, "%s_human:%.2f%c\r\n", name, scaled, units[unit]);
    }
}

/* Fields that are zero because Orbit has no such thing. */
static void
zeros_put(struct info *info, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        number_put(info, names[i], 0);
    }
}

/* ---- Sections ---- */

static void
section_server(struct info *info)
{
    const struct server_options *options = info->net->options;
    uint64_t up_s = (shard_now_us() - options->start_monotonic_us) / 1000000;
    struct utsname system;

    if (uname(&system) != 0) {
        memset(&system, 0, sizeof(system));
    }
    text_put(info, "redis_version", REDIS_VERSION);
    text_put(info, "redis_git_sha1", "00000000");
    text_put(info, "redis_git_dirty", "0");
    text_put(info, "redis_build_id", orbit_commit());
    text_put(info, "redis_mode", info->session->is_cluster ? "cluster" : "standalone");
    text_put(info, "orbit_version", PACKAGE_VERSION);
    buf_printf(&info->text, "os:%s %s %s\r\n", system.sysname, system.release, system.machine);
    number_put(info, "arch_bits", 8 * sizeof(void *));
    text_put(info, "monotonic_clock", "POSIX clock_gettime");
    text_put(info, "multiplexing_api", "io_uring");
    text_put(info, "atomicvar_api", "c11-builtin");
    buf_printf(&info->text, "gcc_version:%d.%d.%d\r\n", __GNUC__, __GNUC_MINOR__,
               __GNUC_PATCHLEVEL__);
    number_put(info, "process_id", (uint64_t)getpid());
    text_put(info, "process_supervised", getenv("NOTIFY_SOCKET") != NULL ? "systemd" : "no");
    text_put(info, "run_id", options->run_id);
    number_put(info, "tcp_port",
               info->session->is_cluster ? cluster_port(info->net, shard_id())
                                         : options->redis_port);
    number_put(info, "server_time_usec", io_wall_us());
    number_put(info, "uptime_in_seconds", up_s);
    number_put(info, "uptime_in_days", up_s / 86400);
    text_put(info, "hz", config_value(info, "hz"));
    text_put(info, "configured_hz", config_value(info, "hz"));
    number_put(info, "lru_clock", io_wall_us() / 1000000 & 0xffffff);
    text_put(info, "executable", options->executable);
    text_put(info, "config_file", options->config_file);
    number_put(info, "io_threads_active", 0);
    buf_printf(&info->text, "listener0:name=tcp,bind=%s,port=%u\r\n", options->bind_address,
               options->redis_port);
}

static void
section_clients(struct info *info)
{
    static const char *const none[] = {
        "cluster_connections",

        "clients_in_timeout_table",
    };
    const struct totals *totals = info->totals;

    number_put(info, "connected_clients", totals->sessions);
    text_put(info, "maxclients", config_value(info, "maxclients"));
    number_put(info, "client_recent_max_input_buffer", totals->counters.input_bytes_max);
    number_put(info, "client_recent_max_output_buffer", totals->counters.output_bytes_max);
    number_put(info, "tracking_clients", tracking_clients(net_self()->tracking));
    number_put(info, "blocked_clients", totals->waiting + totals->blocked);
    number_put(info, "total_blocking_keys", totals->blocking_keys);
    number_put(info, "total_blocking_keys_on_nokey", totals->blocking_keys_on_removal);
    zeros_put(info, none, ARRAY_COUNT(none));
}

/* NAME_ratio and NAME_bytes: how much more there is than there would have to be. */
static void
ratio_put(struct info *info, const char *name, uint64_t is, uint64_t needed)
{
    buf_printf(&info->text, "%s_ratio:%.2f\r\n%s_bytes:%lld\r\n", name,
               needed > 0 ? (double)is / (double)needed : 1.0, name,
               (long long)is - (long long)needed);
}

static void
memory_ratios(struct info *info, uint64_t resident)
{
    struct process_allocated allocated;

    process_allocated_get(&allocated);
    number_put(info, "allocator_allocated", allocated.allocated);
    number_put(info, "allocator_active", allocated.active);
    number_put(info, "allocator_resident", allocated.resident);
    buf_printf(&info->text, "allocator_frag_ratio:%.2f\r\n",
               allocated.allocated > 0 ? (double)allocated.active / (double)allocated.allocated
                                       : 1.0);
    buf_printf(&info->text, "allocator_frag_bytes:%lld\r\n",
               (long long)allocated.active - (long long)allocated.allocated);
    ratio_put(info, "allocator_rss", allocated.resident, allocated.active);
    ratio_put(info, "rss_overhead", resident, allocated.resident);
    buf_printf(&info->text, "mem_fragmentation_ratio:%.2f\r\n",
               (double)resident / (double)MAX(info->totals->memory_total, UINT64_C(1)));
    buf_printf(&info->text, "mem_fragmentation_bytes:%lld\r\n",
               (long long)resident - (long long)info->totals->memory_total);
}

static void
section_memory(struct info *info)
{
    static const char *const none[] = {
        "mem_replication_backlog", "mem_clients_slaves",        "mem_cluster_links",
        "mem_aof_buffer",          "active_defrag_running",     "lazyfree_pending_objects",
        "lazyfreed_objects",       "mem_not_counted_for_evict", "used_memory_startup",
    };
    const struct totals *totals = info->totals;
    uint64_t resident = process_resident_bytes();
    uint64_t data = totals->memory[MEM_MEMTABLE] + totals->memory[MEM_CACHE];
    double used = (double)MAX(totals->memory_total, UINT64_C(1));

    bytes_put(info, "used_memory", totals->memory_total);
    bytes_put(info, "used_memory_rss", resident);
    bytes_put(info, "used_memory_peak", totals->memory_peak);
    buf_printf(&info->text, "used_memory_peak_perc:%.2f%%\r\n",
               100.0 * used / (double)MAX(totals->memory_peak, UINT64_C(1)));
    number_put(info, "used_memory_overhead", totals->memory_total - data);
    number_put(info, "used_memory_dataset", data);
    buf_printf(&info->text, "used_memory_dataset_perc:%.2f%%\r\n", 100.0 * (double)data / used);
    bytes_put(info, "total_system_memory", process_system_memory_bytes());
    bytes_put(info, "used_memory_lua", totals->scripts.lua_bytes);
    number_put(info, "used_memory_vm_eval", totals->scripts.lua_bytes);
    bytes_put(info, "used_memory_scripts", totals->scripts.text_bytes);
    number_put(info, "number_of_cached_scripts", totals->scripts.cached);
    number_put(info, "number_of_functions", totals->scripts.functions);
    number_put(info, "number_of_libraries", totals->scripts.libraries);
    bytes_put(info, "maxmemory", (uint64_t)strtoull(config_value(info, "maxmemory"), NULL, 10));
    number_put(info, "maxmemory_counted", totals->kv.memory_counted);
    text_put(info, "maxmemory_policy", config_value(info, "maxmemory-policy"));
    number_put(info, "mem_clients_normal", totals->memory[MEM_SESSIONS]);
    text_put(info, "mem_allocator", process_allocator());
    memory_ratios(info, resident);
    zeros_put(info, none, ARRAY_COUNT(none));
}

/* -1 when there is nothing to tell, as in Redis. */
static void
seconds_put(struct info *info, const char *name, bool is_known, uint64_t seconds)
{
    buf_printf(&info->text, "%s:%lld\r\n", name, is_known ? (long long)seconds : -1LL);
}

/* There are no snapshots and no AOF: the log is always on. Changes since the last save are the
 * bytes that the log has not made durable. */
static void
section_persistence(struct info *info)
{
    static const char *const none[] = {
        "loading",
        "async_loading",
        "current_cow_peak",
        "current_cow_size",
        "current_save_keys_processed",
        "current_save_keys_total",
        "aof_rewrite_scheduled",
        "module_fork_in_progress",
        "module_fork_last_cow_size",
        "rdb_last_cow_size",
        "aof_last_cow_size",
    };

    const struct net_save *save = &info->totals->save;
    bool is_saving = save->is_running && !save->is_rewrite;
    bool is_rewriting = save->is_running && save->is_rewrite;
    uint64_t running_s = (shard_now_us() - save->begun_us) / 1000000;

    zeros_put(info, none, ARRAY_COUNT(none));
    number_put(info, "rdb_changes_since_last_save", info->totals->not_durable);
    number_put(info, "rdb_bgsave_in_progress", is_saving);
    number_put(info, "rdb_saves", save->saves);
    number_put(info, "rdb_last_save_time",
               MAX(save->last_wall_us, info->net->options->start_wall_us) / 1000000);
    text_put(info, "rdb_last_bgsave_status", save->has_failed ? "err" : "ok");
    seconds_put(info, "rdb_last_bgsave_time_sec", save->saves > 0, save->last_seconds);
    seconds_put(info, "rdb_current_bgsave_time_sec", is_saving, running_s);
    number_put(info, "aof_rewrite_in_progress", is_rewriting);
    number_put(info, "aof_rewrites", save->rewrites);
    number_put(info, "aof_enabled", strcmp(config_value(info, "appendonly"), "yes") == 0);
    seconds_put(info, "aof_last_rewrite_time_sec", save->rewrites > 0, save->last_seconds);
    seconds_put(info, "aof_current_rewrite_time_sec", is_rewriting, running_s);
    text_put(info, "aof_last_bgrewrite_status", save->has_failed ? "err" : "ok");
    text_put(info, "aof_last_write_status", "ok");
}

static void
section_stats(struct info *info)
{
    static const char *const none[] = {
        "sync_full",
        "sync_partial_ok",
        "sync_partial_err",
        "evicted_clients",
        "total_eviction_exceeded_time",
        "current_eviction_exceeded_time",
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "dump_payload_sanitizations",
        "expired_stale_perc",
        "expired_time_cap_reached_count",
        "io_threaded_reads_processed",
        "io_threaded_writes_processed",
    };
    const struct totals *totals = info->totals;
    const struct net_counters *counters = &totals->counters;

    number_put(info, "total_connections_received", counters->connections);
    number_put(info, "total_commands_processed", counters->commands);
    number_put(info, "instantaneous_ops_per_sec", totals->commands_per_second);
    number_put(info, "total_reads_processed", counters->reads);
    number_put(info, "total_writes_processed", counters->writes);
    number_put(info, "total_net_input_bytes", counters->input_bytes);
    number_put(info, "total_net_output_bytes", counters->output_bytes);
    number_put(info, "pubsub_channels", pubsub_count(net_self()->pubsub, PUBSUB_CHANNEL));
    number_put(info, "pubsub_patterns", pubsub_count(net_self()->pubsub, PUBSUB_PATTERN));
    number_put(info, "pubsubshard_channels",
               pubsub_count(net_self()->pubsub, PUBSUB_SHARD_CHANNEL));
    number_put(info, "tracking_total_keys", totals->tracking.keys);
    number_put(info, "tracking_total_items", totals->tracking.items);
    number_put(info, "tracking_total_prefixes", totals->tracking.prefixes);
    number_put(info, "client_output_buffer_limit_disconnections",
               counters->output_limit_disconnections);
    buf_printf(&info->text, "instantaneous_input_kbps:%.2f\r\ninstantaneous_output_kbps:%.2f\r\n",
               (double)totals->input_per_second / 1024, (double)totals->output_per_second / 1024);
    number_put(info, "rejected_connections", counters->rejected_connections);
    number_put(info, "expired_keys", totals->kv.expired);
    number_put(info, "evicted_keys", totals->kv.evicted);
    number_put(info, "expire_cycles", totals->kv.expire_cycles);
    number_put(info, "keyspace_hits", totals->kv.hits);
    number_put(info, "keyspace_misses", totals->kv.misses);
    number_put(info, "unexpected_error_replies", counters->unexpected_errors);
    number_put(info, "total_error_replies", counters->error_replies);
    number_put(info, "acl_access_denied_auth", counters->auth_failures);
    number_put(info, "acl_access_denied_cmd", counters->acl_commands);
    number_put(info, "acl_access_denied_key", counters->acl_keys);
    number_put(info, "acl_access_denied_channel", counters->acl_channels);
    number_put(info, "client_timeouts", counters->timeouts);
    zeros_put(info, none, ARRAY_COUNT(none));
}

static void
section_replication(struct info *info)
{
    static const char *const none[] = {"connected_slaves", "master_repl_offset",
                                       "repl_backlog_active", "repl_backlog_first_byte_offset",
                                       "repl_backlog_histlen"};

    text_put(info, "role", "master");
    text_put(info, "master_failover_state", "no-failover");
    text_put(info, "master_replid", info->net->options->run_id);
    text_put(info, "master_replid2", "0000000000000000000000000000000000000000");
    text_put(info, "second_repl_offset", "-1");
    text_put(info, "repl_backlog_size", config_value(info, "repl-backlog-size"));
    zeros_put(info, none, ARRAY_COUNT(none));
}

static void
section_cpu(struct info *info)
{
    struct process_cpu cpu;

    process_cpu_get(&cpu);
    buf_printf(&info->text,
               "used_cpu_sys:%.6f\r\nused_cpu_user:%.6f\r\nused_cpu_sys_children:%.6f\r\n"
               "used_cpu_user_children:%.6f\r\nused_cpu_sys_main_thread:%.6f\r\n"
               "used_cpu_user_main_thread:%.6f\r\n",
               cpu.system_s, cpu.user_s, cpu.children_system_s, cpu.children_user_s,
               cpu.thread_system_s, cpu.thread_user_s);
}

static void
section_modules(struct info *info)
{
    (void)info; /* There are none. */
}

static void
section_commandstats(struct info *info)
{
    for (uint32_t id = 0; id < info->totals->command_count; id++) {
        const struct command_total *total = &info->totals->commands[id];

        if (total->calls == 0 && total->rejected == 0 && total->failed == 0) {
            continue;
        }
        buf_printf(&info->text,
                   "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,"
                   "failed_calls=%llu\r\n",
                   command_full_name(command_by_id(id)), (ull)total->calls, (ull)total->usec,
                   total->calls > 0 ? (double)total->usec / (double)total->calls : 0.0,
                   (ull)total->rejected, (ull)total->failed);
    }
}

static void
section_errorstats(struct info *info)
{
    for (uint32_t i = 0; i < info->totals->error_kinds; i++) {
        buf_printf(&info->text, "errorstat_%s:count=%llu\r\n", info->totals->errors[i].name,
                   (ull)info->totals->errors[i].count);
    }
}

static YIELDS void
latency_line(struct info *info, uint32_t id, struct hist *hist)
{
    const char *rest = config_value(info, "latency-tracking-info-percentiles");
    const char *separator = "";
    char *end;

    totals_latency(id, hist);
    if (hist->count == 0) {
        return;
    }
    buf_printf(&info->text, "latency_percentiles_usec_%s:", command_full_name(command_by_id(id)));
    for (double percent = strtod(rest, &end); end != rest; percent = strtod(rest, &end)) {
        buf_printf(&info->text, "%sp%.*s=%.3f", separator, (int)(end - rest - (*rest == ' ')),
                   rest + (*rest == ' '), (double)hist_quantile(hist, percent / 100) / 1000);
        separator = ",";
        rest = end;
    }
    buf_printf(&info->text, "\r\n");
}

static YIELDS void
section_latencystats(struct info *info)
{
    struct hist *hist = MEM_NEW(MEM_SESSIONS, struct hist);

    for (uint32_t id = 0; id < info->totals->command_count; id++) {
        if (info->totals->commands[id].calls > 0) {
            latency_line(info, id, hist);
        }
    }
    MEM_FREE(MEM_SESSIONS, hist);
}

static void
section_cluster(struct info *info)
{
    number_put(info, "cluster_enabled", info->session->is_cluster);
}

static void
section_keyspace(struct info *info)
{
    for (uint32_t db = 0; db < info->net->options->databases; db++) {
        if (info->totals->kv.keys[db] > 0) {
            buf_printf(&info->text, "db%u:keys=%lld,expires=%lld,avg_ttl=0\r\n", db,
                       (long long)info->totals->kv.keys[db],
                       (long long)info->totals->kv.expires[db]);
        }
    }
}

static void
orbit_log(struct info *info)
{
    static const char *const levels[] = {
        [WAL_SYNC] = "sync", [WAL_INTERVAL] = "interval", [WAL_NONE] = "none"};
    const struct wal_stats *wal = &info->totals->wal;

    text_put(info, "durability", levels[store_durability(info->net->store)]);
    number_put(info, "wal_records", wal->records);
    number_put(info, "wal_record_bytes", wal->bytes);
    number_put(info, "wal_batches", wal->batches);
    number_put(info, "wal_batches_empty", wal->batches_empty);
    number_put(info, "wal_written_bytes", wal->bytes_written);
    number_put(info, "wal_in_flight", wal->in_flight);
    number_put(info, "wal_not_durable_bytes", info->totals->not_durable);
    number_put(info, "wal_segments", wal->segments_live);
    number_put(info, "wal_segments_made", wal->segments_made);
    number_put(info, "wal_segments_recycled", wal->segments_recycled);
    number_put(info, "wal_commit_us_p50", wal->commit_us_p50);
    number_put(info, "wal_commit_us_p99", wal->commit_us_p99);
    number_put(info, "wal_commit_us_max", wal->commit_us_max);
}

/* One line: how many, and quantiles in microseconds. */
static void
hist_put(struct info *info, const char *name, const struct hist *hist)
{
    buf_printf(&info->text, "%s:count=%llu,p50_us=%llu,p99_us=%llu,p999_us=%llu,max_us=%llu\r\n",
               name, (ull)hist->count, (ull)hist_quantile(hist, 0.5),
               (ull)hist_quantile(hist, 0.99), (ull)hist_quantile(hist, 0.999), (ull)hist->max);
}

/* What a level holds, what flushes and compactions moved, and how reads from disk went. */
static void
orbit_level(struct info *info, uint32_t level)
{
    const struct lsm_stats *lsm = &info->totals->lsm;
    const struct lsm_metrics *metrics = &info->totals->metrics;
    char name[32];

    buf_printf(&info->text,
               "lsm_level%u:tables=%llu,bytes=%llu,compacted_read_bytes=%llu,"
               "written_bytes=%llu,reads=%llu,read_bytes=%llu\r\n",
               level, (ull)lsm->level_tables[level], (ull)lsm->level_bytes[level],
               (ull)lsm->level_read_bytes[level], (ull)lsm->level_write_bytes[level],
               (ull)metrics->read_us[level].count, (ull)metrics->read_bytes[level]);
    snprintf(name, sizeof(name), "lsm_level%u_read", level);
    hist_put(info, name, &metrics->read_us[level]);
    snprintf(name, sizeof(name), "lsm_level%u_compaction", level);
    hist_put(info, name, &metrics->compaction_us[level]);
}

static void
orbit_tree(struct info *info)
{
    const struct lsm_stats *lsm = &info->totals->lsm;

    number_put(info, "lsm_memtables", lsm->memtables);
    number_put(info, "lsm_memtable_bytes", lsm->memtable_bytes);
    number_put(info, "lsm_flushes", lsm->flushes);
    number_put(info, "lsm_flush_bytes", lsm->flush_bytes);
    number_put(info, "lsm_compactions", lsm->compactions);
    number_put(info, "lsm_compaction_read_bytes", lsm->compaction_read_bytes);
    number_put(info, "lsm_compaction_write_bytes", lsm->compaction_write_bytes);
    number_put(info, "lsm_trivial_moves", lsm->trivial_moves);
    number_put(info, "lsm_stalls", lsm->stalls);
    number_put(info, "lsm_stall_us", lsm->stall_us);
    number_put(info, "lsm_slowdowns", lsm->slowdowns);
    number_put(info, "lsm_slowdown_us", lsm->slowdown_us);
    number_put(info, "lsm_compactions_running", lsm->compactions_running);
    number_put(info, "lsm_compaction_debt_bytes", lsm->compaction_debt_bytes);
    number_put(info, "lsm_background_errors", lsm->background_errors);
    number_put(info, "lsm_scrub_rounds", lsm->scrub_rounds);
    number_put(info, "lsm_scrub_tables", lsm->scrub_tables);
    number_put(info, "lsm_scrub_bytes", lsm->scrub_bytes);
    number_put(info, "lsm_scrub_damages", lsm->scrub_damages);
    number_put(info, "lsm_tables_shunned", lsm->tables_shunned);
    number_put(info, "lsm_tables_dropped", lsm->tables_dropped);
    number_put(info, "lsm_expired_compactions", lsm->expired_compactions);
    number_put(info, "lsm_scan_compactions", lsm->scan_compactions);
    number_put(info, "lsm_scan_skips", lsm->scan_skips);
    for (uint32_t level = 0; level < LSM_LEVELS; level++) {
        if (lsm->level_tables[level] > 0 || lsm->level_write_bytes[level] > 0) {
            orbit_level(info, level);
        }
    }
    hist_put(info, "lsm_flush", &info->totals->metrics.flush_us);
    hist_put(info, "lsm_manifest_edit", &info->totals->metrics.edit_us);
    hist_put(info, "lsm_write_wait", &info->totals->metrics.wait_us);
    number_put(info, "lsm_disk_bytes", lsm->disk_bytes);
    number_put(info, "lsm_reads", lsm->point_reads);
    number_put(info, "lsm_reads_memtable", lsm->point_reads_memtable);
    number_put(info, "lsm_filter_skips", lsm->filter_skips);
    number_put(info, "lsm_cache_hits", lsm->cache_hits);
    number_put(info, "lsm_cache_misses", lsm->cache_misses);
    number_put(info, "lsm_cache_bytes", lsm->cache_bytes);
}

static YIELDS void
reshard_run(void *arg)
{
    reshard_stats_get(arg);
}

static YIELDS void
reshard_put(struct info *info)
{
    struct reshard_stats move;

    msg_call(0, MSG_FIBER, reshard_run, &move);
    number_put(info, "shards_wanted", info->net->options->shards_wanted);
    number_put(info, "shards_retired", move.retired);
    number_put(info, "reshard_slots_left", move.slots_left);
    number_put(info, "reshard_slots_moved", move.slots_moved);
    number_put(info, "reshard_keys_moved", move.keys);
    number_put(info, "reshard_bytes_moved", move.bytes);
    number_put(info, "reshard_retries", move.retries);
}

static void
orbit_txn(struct info *info)
{
    const struct txn_stats *txn = &info->totals->txn;
    uint64_t snapshot_us = txn->oldest_snapshot >> 12;
    uint64_t now_us = io_wall_us();

    reshard_put(info);
    number_put(info, "txn_open", txn->open);
    number_put(info, "txn_begun", txn->begun);
    number_put(info, "txn_committed", txn->committed);
    number_put(info, "txn_aborted", txn->aborted);
    number_put(info, "txn_serialization_failures", txn->serialization_failures);
    number_put(info, "txn_deadlocks", txn->locks.deadlocks);
    number_put(info, "txn_locks_held", txn->locks.held);
    number_put(info, "txn_lock_waiting", txn->locks.waiting);
    number_put(info, "txn_lock_waits", txn->locks.waits);
    number_put(info, "txn_lock_wait_us", txn->locks.wait_us);
    number_put(info, "txn_lock_timeouts", txn->locks.timeouts);
    if (config_values(info->net->config)->retention_s != 0) {
        number_put(info, "history_from_us", info->totals->history.from_us);
    }
    number_put(info, "history_log_bytes", info->totals->history.log_bytes);
    number_put(info, "history_cuts", info->totals->history.cuts);
    number_put(info, "txn_oldest_snapshot_age_us",
               txn->open > 0 && now_us > snapshot_us ? now_us - snapshot_us : 0);
}

static void
section_orbit(struct info *info)
{
    static const char *const parts[MEM_TAG_COUNT] = {
        [MEM_RUNTIME] = "runtime", [MEM_MEMTABLE] = "memtables", [MEM_CACHE] = "cache",
        [MEM_TABLES] = "tables",   [MEM_SESSIONS] = "sessions",  [MEM_BACKGROUND] = "background",
    };
    const struct totals *totals = info->totals;

    text_put(info, "orbit_version", PACKAGE_VERSION);
    text_put(info, "orbit_commit", orbit_commit());
    number_put(info, "shards", info->net->options->shards);
    number_put(info, "shard_of_this_client", shard_id());
    text_put(info, "data_dir", info->net->options->data_dir);
    number_put(info, "memory_budget", info->net->options->memory_bytes);
    for (uint32_t tag = 0; tag < MEM_TAG_COUNT; tag++) {
        buf_printf(&info->text, "memory_%s:%llu\r\n", parts[tag], (ull)totals->memory[tag]);
    }
    orbit_log(info);
    orbit_tree(info);
    orbit_txn(info);
    number_put(info, "fibers", totals->shard.fibers);
    number_put(info, "loop_turns", totals->shard.turns);
    number_put(info, "fiber_switches", totals->shard.switches);
    number_put(info, "loop_sleeps", totals->shard.sleeps);
    number_put(info, "messages_sent", totals->shard.messages_sent);
}

/* ---- The command ---- */

enum info_group {
    INFO_DEFAULT = 1 << 0,
    INFO_ALL = 1 << 1,
    INFO_EVERYTHING = 1 << 2,
    INFO_ALWAYS = INFO_DEFAULT | INFO_ALL | INFO_EVERYTHING,
};

static const struct info_section {
    const char *name, *title;
    uint32_t groups;
    YIELDS void (*put)(struct info *info);
} info_sections[] = {
    {"server", "Server", INFO_ALWAYS, section_server},
    {"clients", "Clients", INFO_ALWAYS, section_clients},
    {"memory", "Memory", INFO_ALWAYS, section_memory},
    {"persistence", "Persistence", INFO_ALWAYS, section_persistence},
    {"stats", "Stats", INFO_ALWAYS, section_stats},
    {"replication", "Replication", INFO_ALWAYS, section_replication},
    {"cpu", "CPU", INFO_ALWAYS, section_cpu},
    {"modules", "Modules", INFO_DEFAULT | INFO_EVERYTHING, section_modules},
    {"commandstats", "Commandstats", INFO_ALL | INFO_EVERYTHING, section_commandstats},
    {"errorstats", "Errorstats", INFO_ALWAYS, section_errorstats},
    {"latencystats", "Latencystats", INFO_ALL | INFO_EVERYTHING, section_latencystats},
    {"cluster", "Cluster", INFO_ALWAYS, section_cluster},
    {"keyspace", "Keyspace", INFO_ALWAYS, section_keyspace},
    {"orbit", "Orbit", INFO_ALWAYS, section_orbit},
};

static bool
is_wanted(const struct kv_request *request, const struct info_section *section)
{
    uint32_t groups = request->argc == 1 ? INFO_DEFAULT : 0;

    for (uint32_t i = 1; i < request->argc; i++) {
        struct slice word = request->argv[i];

        if (command_word_is(word, section->name)) {
            return true;
        }
        groups |= command_word_is(word, "default") ? INFO_DEFAULT : 0;
        groups |= command_word_is(word, "all") ? INFO_ALL : 0;
        groups |= command_word_is(word, "everything") ? INFO_EVERYTHING : 0;
    }
    return (section->groups & groups) != 0;
}

static YIELDS void
run_info(struct session *session, struct kv_request *request)
{
    struct totals *totals = totals_gather();
    struct info info = {.session = session, .net = session->net, .totals = totals};

    buf_init(&info.text, MEM_SESSIONS);
    for (size_t i = 0; i < ARRAY_COUNT(info_sections); i++) {
        if (!is_wanted(request, &info_sections[i])) {
            continue;
        }
        buf_printf(&info.text, "%s# %s\r\n", info.text.size > 0 ? "\r\n" : "",
                   info_sections[i].title);
        info_sections[i].put(&info);
    }
    reply_verbatim(request->reply, "txt", buf_slice(&info.text));
    buf_fini(&info.text);
    totals_free(&totals);
}

const struct net_command net_commands_info[] = {
    {"info", run_info},
    {NULL, NULL},
};
