# perf/txn: transactions side by side with those of other engines.
EXTRA_PROGRAMS += orbit-txn-bench
orbit_txn_bench_SOURCES = perf/txn/drive.c perf/txn/engine_nothing.c perf/txn/engine_orbit.c
orbit_txn_bench_SOURCES += perf/txn/engines.c perf/txn/main.c perf/bench/measure.c
orbit_txn_bench_LDADD = liborbit.a $(orbit_libs) $(ROCKSDB_LIBS) $(WIREDTIGER_LIBS)

if HAVE_ROCKSDB
orbit_txn_bench_SOURCES += perf/txn/engine_rocksdb.c
endif
if HAVE_WIREDTIGER
orbit_txn_bench_SOURCES += perf/txn/engine_wiredtiger.c
endif
