# tests/unit/query: the unit tests of query/, which link it and what lies below it.
if HAVE_CRITERION
check_PROGRAMS += test_query
endif
test_query_SOURCES =
test_query_SOURCES += tests/unit/query/test_spill.c
test_query_LDADD = libtestlib.a $(query_libs) $(CRITERION_LIBS)
