/* engine/base/probe.h - static probes (USDT) that orbit-trace, bpftrace or perf attach to. One that
 * nobody listens to is a nop; without <sys/sdt.h> at build time there are none.
 *
 *     orbit:wal_commit(shard, us, bytes)   a batch of the log became durable: the time since its
 *                                          first record, its size on disk */
#pragma once

#ifdef HAVE_SYS_SDT_H
#include <sys/sdt.h>
#define PROBE3(name, a, b, c) DTRACE_PROBE3(orbit, name, a, b, c)
#else
#define PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif
