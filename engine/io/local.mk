# engine/io: the io seam and its implementations.
engine_sources += engine/io/io.c
engine_sources += engine/io/sim_world.c engine/io/sim_disk.c engine/io/sim_names.c engine/io/sim_ops.c
