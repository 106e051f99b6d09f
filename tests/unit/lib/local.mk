# tests/unit/lib: the unit tests of tests/lib: a check that finds nothing proves nothing.
if HAVE_CRITERION
check_PROGRAMS += test_lib
endif
test_lib_SOURCES = tests/unit/lib/test_cycles.c
test_lib_SOURCES += tests/lib/cycles.c tests/lib/cycles_graph.c
test_lib_LDADD = $(CRITERION_LIBS)
