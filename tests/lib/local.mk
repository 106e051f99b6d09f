# tests/lib: what several unit tests share; linked into each of them.
testlib_sources +=
