/* net/process.h - facts about the process that INFO and MEMORY tell: read from the kernel and the
 * allocator, never used for anything but the answer. */
#pragma once

#include <stdint.h>

#include "engine/base/mem.h"
#include "engine/rt/fiber.h"

/* Pages in memory; 0 when the kernel does not tell. */
uint64_t process_resident_bytes(void);
uint64_t process_system_memory_bytes(void);

struct process_cpu {
    double user_s, system_s; /* Of all threads. */
    double children_user_s, children_system_s;
    double thread_user_s, thread_system_s; /* Of the calling shard's. */
};
void process_cpu_get(struct process_cpu *cpu_out);

/* "jemalloc-5.3.0" or "libc". */
const char *process_allocator(void);
struct process_allocated {
    uint64_t allocated, active, resident; /* 0 where the allocator does not tell. */
};
void process_allocated_get(struct process_allocated *allocated_out);
/* Give unused pages back to the kernel. */
YIELDS void process_allocator_purge(void);
/* The allocator's own report, cut at 64 KiB. */
void process_allocator_stats(struct buf *out);
