# engine/rt: shards, fibers, messages.
engine_sources +=
