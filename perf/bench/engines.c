/* perf/bench/engines.c - the engines of this build: configure tells which peers there are. */
#include <string.h>

#include "perf/bench/bench.h"

const struct bench_engine *const bench_engines[] = {
    &bench_orbit,
    &bench_orbit_async,
#ifdef HAVE_ROCKSDB
    &bench_rocksdb,
    &bench_rocksdb_tuned,
#endif
#ifdef HAVE_LEVELDB
    &bench_leveldb,
    &bench_leveldb_tuned,
#endif
#ifdef HAVE_LMDB
    &bench_lmdb,
#endif
#ifdef HAVE_WIREDTIGER
    &bench_wiredtiger,
#endif
#ifdef HAVE_SQLITE
    &bench_sqlite,
#endif
    NULL,
};

const struct bench_engine *
bench_engine_find(const char *name)
{
    for (uint32_t i = 0; bench_engines[i] != NULL; i++) {
        if (strcmp(bench_engines[i]->name, name) == 0) {
            return bench_engines[i];
        }
    }
    return NULL;
}
