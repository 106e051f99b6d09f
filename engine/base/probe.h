/* engine/base/probe.h - static probes (USDT) that orbit-trace, bpftrace or perf attach to. One that
 * nobody listens to is a nop; without <sys/sdt.h> at build time there are none. Times are in
 * microseconds, `us` is how long something took.
 *
 *     orbit:wal_commit(shard, us, bytes)         a batch of the log became durable: the time since
 *                                                its first record, its size on disk
 *     orbit:table_read(shard, level, us, bytes)  a read of a table from disk, for a reader
 *     orbit:flush(shard, us, bytes)              a memtable became tables of level 0
 *     orbit:compaction(shard, level, us, bytes)  tables were merged into `level`
 *     orbit:manifest_edit(shard, us)             a change of the set of tables became durable
 *     orbit:write_wait(shard, us)                a writer waited for room */
#pragma once

#ifdef HAVE_SYS_SDT_H
#include <sys/sdt.h>
#define PROBE2(name, a, b)       DTRACE_PROBE2(orbit, name, a, b)
#define PROBE3(name, a, b, c)    DTRACE_PROBE3(orbit, name, a, b, c)
#define PROBE4(name, a, b, c, d) DTRACE_PROBE4(orbit, name, a, b, c, d)
#else
#define PROBE2(name, a, b)       ((void)(a), (void)(b))
#define PROBE3(name, a, b, c)    ((void)(a), (void)(b), (void)(c))
#define PROBE4(name, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d))
#endif
