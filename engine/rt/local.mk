# engine/rt: shards, fibers, messages.
engine_sources += engine/rt/context.c engine/rt/fiber.c engine/rt/msg.c engine/rt/shard.c
engine_sources += engine/rt/shared.c engine/rt/stack.c engine/rt/timer.c
