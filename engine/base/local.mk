# engine/base: errors, memory, slices, log, metrics.
engine_sources += engine/base/assert.c engine/base/err.c engine/base/hist.c engine/base/log.c
engine_sources += engine/base/mem.c engine/base/arena.c engine/base/buf.c engine/base/prng.c
engine_sources += engine/base/canary.c engine/base/sometimes.c
engine_sources += engine/base/crc16.c
