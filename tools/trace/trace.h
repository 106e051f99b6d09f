/* tools/trace/trace.h - what the two halves of orbit-trace share. */
#pragma once

enum { TRACE_SHARDS_MAX = 256, TRACE_BUCKETS = 24 };

/* Bucket 0: below 1 us; bucket i: from 2^(i-1) to 2^i us. */
struct trace_shard {
    unsigned long long commits;
    unsigned long long bytes;
    unsigned long long buckets[TRACE_BUCKETS];
};
