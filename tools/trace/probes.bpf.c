/* tools/trace/probes.bpf.c - the kernel's part of orbit-trace: counts events by shard, kind, level
 * and the logarithm of how long they took, so that nothing but the counts crosses to user space. */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

#include "tools/trace/trace.h"

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, TRACE_ENTRIES);
    __type(key, __u32);
    __type(value, struct trace_counts);
} counts SEC(".maps");

static __always_inline int
count(enum trace_kind kind, long shard, long level, long us, long bytes)
{
    struct trace_counts *entry;
    __u32 bucket = 0;
    __u32 key;

    if (shard < 0 || shard >= TRACE_SHARDS_MAX || level < 0 || level >= TRACE_LEVELS) {
        return 0;
    }
    key = trace_index((__u32)shard, kind, (__u32)level);
    entry = bpf_map_lookup_elem(&counts, &key);
    if (entry == NULL) {
        return 0;
    }
    for (int i = 0; i < TRACE_BUCKETS - 1; i++) {
        if (us < (1L << i)) {
            break;
        }
        bucket++;
    }
    __sync_fetch_and_add(&entry->events, 1);
    __sync_fetch_and_add(&entry->bytes, (__u64)bytes);
    __sync_fetch_and_add(&entry->us, (__u64)us);
    if (bucket < TRACE_BUCKETS) {
        __sync_fetch_and_add(&entry->buckets[bucket], 1);
    }
    return 0;
}

SEC("usdt")
int
BPF_USDT(wal_commit, long shard, long us, long bytes)
{
    return count(TRACE_COMMIT, shard, 0, us, bytes);
}

SEC("usdt")
int
BPF_USDT(flush, long shard, long us, long bytes)
{
    return count(TRACE_FLUSH, shard, 0, us, bytes);
}

SEC("usdt")
int
BPF_USDT(manifest_edit, long shard, long us)
{
    return count(TRACE_EDIT, shard, 0, us, 0);
}

SEC("usdt")
int
BPF_USDT(write_wait, long shard, long us)
{
    return count(TRACE_WAIT, shard, 0, us, 0);
}

SEC("usdt")
int
BPF_USDT(table_read, long shard, long level, long us, long bytes)
{
    return count(TRACE_READ, shard, level, us, bytes);
}

SEC("usdt")
int
BPF_USDT(compaction, long shard, long level, long us, long bytes)
{
    return count(TRACE_COMPACTION, shard, level, us, bytes);
}

char LICENSE[] SEC("license") = "GPL";
