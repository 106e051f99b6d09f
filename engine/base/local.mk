# engine/base: errors, memory, slices, log, metrics.
engine_sources +=
