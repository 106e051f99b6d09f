# engine/base: errors, memory, slices, log, metrics.
engine_sources +=
engine_sources += engine/base/canary.c engine/base/sometimes.c
