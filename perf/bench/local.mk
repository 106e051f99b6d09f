# perf/bench: the benchmark of the store, side by side with RocksDB. Plain make builds what stands in bin_PROGRAMS.
EXTRA_PROGRAMS += orbit-bench
orbit_bench_SOURCES =
orbit_bench_LDADD = $(program_libs) $(ROCKSDB_LIBS)
