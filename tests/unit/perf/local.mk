# tests/unit/perf: the unit tests of perf/bench: what its figures are made of.
if HAVE_CRITERION
check_PROGRAMS += test_perf
endif
test_perf_SOURCES = tests/unit/perf/test_keyspace.c tests/unit/perf/test_measure.c
test_perf_SOURCES += tests/unit/perf/test_options.c
test_perf_SOURCES += perf/bench/keyspace.c perf/bench/measure.c perf/bench/options.c
test_perf_LDADD = $(engine_libs) $(CRITERION_LIBS)
