# engine/io: the io seam and its implementations.
engine_sources +=
