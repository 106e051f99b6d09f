/* tools/trace/trace.h - what the two halves of orbit-trace share. */
#pragma once

enum { TRACE_SHARDS_MAX = 256, TRACE_LEVELS = 8, TRACE_BUCKETS = 24 };

/* Kinds of events; those of the second half are counted by level, the others as level 0. */
enum trace_kind {
    TRACE_COMMIT,
    TRACE_FLUSH,
    TRACE_EDIT,
    TRACE_WAIT,
    TRACE_READ,
    TRACE_COMPACTION,
    TRACE_KINDS,
};

/* Bucket 0: below 1 us; bucket i: from 2^(i-1) to 2^i us. */
struct trace_counts {
    unsigned long long events;
    unsigned long long bytes;
    unsigned long long us;
    unsigned long long buckets[TRACE_BUCKETS];
};

/* Index of the counts of a shard, kind and level. */
static inline unsigned
trace_index(unsigned shard, unsigned kind, unsigned level)
{
    return (shard * TRACE_KINDS + kind) * TRACE_LEVELS + level;
}
enum { TRACE_ENTRIES = TRACE_SHARDS_MAX * TRACE_KINDS * TRACE_LEVELS };
