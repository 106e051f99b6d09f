# tests/unit/engine: the unit tests of engine/, which link it and what lies below it.
if HAVE_CRITERION
check_PROGRAMS += test_engine
endif
test_engine_SOURCES =
test_engine_LDADD = libtestlib.a $(engine_libs) $(CRITERION_LIBS)
test_engine_SOURCES += tests/unit/engine/test_crc16.c
test_engine_SOURCES += tests/unit/engine/test_sim.c
