# tests/unit/txn: the unit tests of txn/, which link it and what lies below it.
if HAVE_CRITERION
check_PROGRAMS += test_txn
endif
test_txn_SOURCES = tests/unit/txn/store_fixture.c tests/unit/txn/test_clock.c tests/unit/txn/test_feed.c tests/unit/txn/test_horizon.c
test_txn_SOURCES += tests/unit/txn/test_ingest.c tests/unit/txn/test_values.c tests/unit/txn/test_record.c tests/unit/txn/test_shape.c tests/unit/txn/test_api_checkpoint.c tests/unit/txn/test_checkpoint.c tests/unit/txn/test_commit.c
test_txn_SOURCES += tests/unit/txn/test_overlay.c tests/unit/txn/test_scan.c tests/unit/txn/test_spill.c
test_txn_SOURCES += tests/unit/txn/test_store.c
test_txn_SOURCES += tests/unit/txn/lock_fixture.c tests/unit/txn/test_advisory.c tests/unit/txn/test_deadlock.c tests/unit/txn/test_lock.c tests/unit/txn/test_reads.c tests/unit/txn/test_reshard.c tests/unit/txn/test_token.c
test_txn_SOURCES += tests/unit/txn/sessions.c tests/unit/txn/test_hermitage.c tests/unit/txn/test_isolation.c
test_txn_LDADD = libtestlib.a $(txn_libs) $(CRITERION_LIBS)
# The C API is no part of libtxn, but of liborbit.
test_txn_SOURCES += tests/unit/txn/test_api.c tests/unit/txn/test_api_async.c tests/unit/txn/test_api_feed.c tests/unit/txn/test_api_shards.c tests/unit/txn/test_api_txn.c $(api_sources)
test_txn_SOURCES += tests/unit/txn/test_api_compact.c
