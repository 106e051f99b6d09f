# perf/bench: the benchmark of the store, side by side with its peers; configure finds those.
bin_PROGRAMS += orbit-bench
orbit_bench_SOURCES = perf/bench/clients.c perf/bench/engine_orbit.c perf/bench/engines.c
orbit_bench_SOURCES += perf/bench/keyspace.c perf/bench/limit.c perf/bench/main.c
orbit_bench_SOURCES += perf/bench/measure.c perf/bench/options.c perf/bench/plot.c
orbit_bench_SOURCES += perf/bench/report.c perf/bench/run.c perf/bench/workload.c
orbit_bench_LDADD = liborbit.a $(orbit_libs) $(ROCKSDB_LIBS) $(LEVELDB_LIBS) $(LMDB_LIBS)
orbit_bench_LDADD += $(WIREDTIGER_LIBS) $(SQLITE_LIBS)

if HAVE_ROCKSDB
orbit_bench_SOURCES += perf/bench/engine_rocksdb.c
endif
if HAVE_LEVELDB
orbit_bench_SOURCES += perf/bench/engine_leveldb.c
endif
if HAVE_LMDB
orbit_bench_SOURCES += perf/bench/engine_lmdb.c
endif
if HAVE_WIREDTIGER
orbit_bench_SOURCES += perf/bench/engine_wiredtiger.c
endif
if HAVE_SQLITE
orbit_bench_SOURCES += perf/bench/engine_sqlite.c
endif
