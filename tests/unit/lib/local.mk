# tests/unit/lib: the unit tests of tests/lib: a check that finds nothing proves nothing.
if HAVE_CRITERION
check_PROGRAMS += test_testlib
endif
test_testlib_SOURCES = tests/unit/lib/test_cycles.c
test_testlib_SOURCES += tests/lib/cycles.c tests/lib/cycles_graph.c
test_testlib_LDADD = $(CRITERION_LIBS)
