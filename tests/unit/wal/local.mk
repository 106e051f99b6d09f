# tests/unit/wal: the unit tests of wal/, which link it and what lies below it.
if HAVE_CRITERION
check_PROGRAMS += test_wal
endif
test_wal_SOURCES = tests/unit/wal/wal_fixture.c
test_wal_LDADD = libtestlib.a $(wal_libs) $(CRITERION_LIBS)
test_wal_SOURCES += tests/unit/wal/test_format.c tests/unit/wal/test_writer.c tests/unit/wal/test_replay.c tests/unit/wal/test_copy.c tests/unit/wal/test_cursor.c
