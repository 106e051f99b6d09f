# perf/bench: the benchmark of the store, side by side with RocksDB.
bin_PROGRAMS += orbit-bench
orbit_bench_SOURCES = perf/bench/main.c perf/bench/engine_orbit.c perf/bench/engine_rocksdb.c
orbit_bench_LDADD = $(program_libs) $(ROCKSDB_LIBS)
