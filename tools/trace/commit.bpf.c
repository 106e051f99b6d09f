/* tools/trace/commit.bpf.c - the kernel's part of orbit-trace: counts commits by shard and by the
 * logarithm of their latency, so that nothing but the counts crosses to user space. */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

#include "tools/trace/trace.h"

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, TRACE_SHARDS_MAX);
    __type(key, __u32);
    __type(value, struct trace_shard);
} shards SEC(".maps");

SEC("usdt")
int
BPF_USDT(wal_commit, long shard, long us, long bytes)
{
    __u32 key = (__u32)shard;
    struct trace_shard *counts = bpf_map_lookup_elem(&shards, &key);
    __u32 bucket = 0;

    if (counts == NULL) {
        return 0;
    }
    for (int i = 0; i < TRACE_BUCKETS - 1; i++) {
        if (us < (1L << i)) {
            break;
        }
        bucket++;
    }
    __sync_fetch_and_add(&counts->commits, 1);
    __sync_fetch_and_add(&counts->bytes, (__u64)bytes);
    if (bucket < TRACE_BUCKETS) {
        __sync_fetch_and_add(&counts->buckets[bucket], 1);
    }
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
