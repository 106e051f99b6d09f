# tests/unit/txn: the unit tests of txn/, which link it and what lies below it.
if HAVE_CRITERION
check_PROGRAMS += test_txn
endif
test_txn_SOURCES =
test_txn_LDADD = libtestlib.a $(txn_libs) $(CRITERION_LIBS)
