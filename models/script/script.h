/* models/script/script.h - Lua scripts and functions of Redis 7.2: what the kv model sees of them.
 *
 * Each script is one SERIALIZABLE transaction; redis.call is a statement of it. Theory:
 * models/script/README.md. */
#pragma once

#include <stdint.h>

#include "engine/base/err.h"
#include "engine/rt/fiber.h"

struct kv;
struct scripts;

/* The scripts of a shard: a Lua state, made at the first use, and what is cached in it. Freeing
 * accepts NULL and clears the pointer; no script may run (asserted). */
struct scripts *scripts_new(struct kv *kv);
void scripts_free(struct scripts **scripts);

/* Before anybody is served, on shard 0: shards that are new get the stored libraries. Errors: as
 * txn_commit. */
YIELDS err_t functions_spread(void);

/* Ends what scripts of this session run on this shard: its client has gone. */
void scripts_end_of_session(struct kv *kv, uint64_t session);

/* Of this shard. */
struct script_stats {
    uint64_t lua_bytes;  /* Held by the Lua state now. */
    uint64_t text_bytes; /* Of cached scripts. */
    uint64_t cached;     /* Scripts. */
    uint64_t libraries, functions;
    uint64_t running;
    uint64_t calls, killed; /* Scripts run and ended by SCRIPT KILL and its like since the start. */
};
void scripts_stats_get(struct kv *kv, struct script_stats *stats_out);
