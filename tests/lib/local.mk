# tests/lib: what several unit tests share; linked into each of them.
testlib_sources += tests/lib/fiber_test.c tests/lib/fake_io.c
