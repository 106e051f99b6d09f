# engine/io: the io seam and its implementations.
engine_sources += engine/io/io.c
engine_sources += engine/io/sim_world.c engine/io/sim_disk.c engine/io/sim_names.c engine/io/sim_ops.c
engine_sources += engine/io/uring.c engine/io/uring_ring.c engine/io/uring_files.c
engine_sources += engine/io/uring_net.c engine/io/uring_lanes.c engine/io/uring_helper.c
engine_sources += engine/io/uring_clock.c engine/io/uring_kernel.c engine/io/runtime.c
