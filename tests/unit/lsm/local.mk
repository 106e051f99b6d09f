# tests/unit/lsm: the unit tests of lsm/, which link it and what lies below it.
if HAVE_CRITERION
check_PROGRAMS += test_lsm
endif
test_lsm_SOURCES =
test_lsm_LDADD = libtestlib.a $(lsm_libs) $(CRITERION_LIBS)
test_lsm_SOURCES += tests/unit/lsm/test_block.c tests/unit/lsm/test_filter.c tests/unit/lsm/test_table.c
test_lsm_SOURCES += tests/unit/lsm/test_guide.c tests/unit/lsm/test_table_iter.c
test_lsm_SOURCES += tests/unit/lsm/test_iter.c tests/unit/lsm/test_lsm.c tests/unit/lsm/tree_model.c
test_lsm_SOURCES += tests/unit/lsm/test_memtable.c tests/unit/lsm/test_range_delete.c tests/unit/lsm/test_manifest.c
test_lsm_SOURCES += tests/unit/lsm/test_entry_cache.c
test_lsm_SOURCES += tests/unit/lsm/test_vlog.c tests/unit/lsm/test_cache.c
test_lsm_SOURCES += tests/unit/lsm/test_changes.c tests/unit/lsm/test_check.c tests/unit/lsm/test_checkpoint.c tests/unit/lsm/test_compaction.c tests/unit/lsm/test_version.c
test_lsm_SOURCES += tests/unit/lsm/test_compact_expired.c tests/unit/lsm/test_compact_scanned.c tests/unit/lsm/test_expiry.c
