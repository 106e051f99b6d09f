# tests/unit/engine: the unit tests of engine/, which link it and what lies below it.
if HAVE_CRITERION
check_PROGRAMS += test_engine
endif
test_engine_SOURCES = tests/unit/engine/test_base.c tests/unit/engine/test_err.c
test_engine_SOURCES += tests/unit/engine/test_fiber.c tests/unit/engine/test_mem.c
test_engine_SOURCES += tests/unit/engine/test_msg.c tests/unit/engine/test_shared.c
test_engine_LDADD = libtestlib.a $(engine_libs) $(CRITERION_LIBS)
test_engine_SOURCES += tests/unit/engine/test_crc16.c
test_engine_SOURCES += tests/unit/engine/test_sim.c tests/unit/engine/test_canary.c
test_engine_SOURCES += tests/unit/engine/test_uring_files.c tests/unit/engine/test_uring_net.c
test_engine_SOURCES += tests/unit/engine/test_uring_kernel.c tests/unit/engine/test_uring_runtime.c

# The same without Criterion's runner, for a build with --enable-tsan: make test_engine_plain.
EXTRA_PROGRAMS += test_engine_plain
test_engine_plain_SOURCES = $(test_engine_SOURCES) tests/lib/plain_main.c
test_engine_plain_LDADD = $(test_engine_LDADD)
