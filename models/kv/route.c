/* models/kv/route.c - which shard runs a command.
 *
 * txn/ knows which shard owns a slot. A command that comes too late for a move runs all the same:
 * its reads and writes find their shard. */
#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "engine/rt/shard.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

enum { KEYS_AT_ONCE = 32 };

uint32_t
kv_shard_of_slot(uint16_t slot)
{
    ASSERT(slot < KV_SLOTS);
    return txn_shard_of_slot(slot);
}

uint32_t
kv_node_of_shard(uint32_t shard)
{
    uint32_t wanted = txn_shards_wanted();

    return shard < wanted ? shard : shard % wanted;
}

enum kv_route
kv_route(const struct command *command, const struct slice *argv, uint32_t argc,
         uint32_t *shard_out)
{
    struct command_key few[KEYS_AT_ONCE];
    struct command_key *keys = few;
    enum kv_route route = KV_ROUTE_ANY;
    int32_t count;

    if (shard_count() == 1) {
        *shard_out = 0;
        return KV_ROUTE_SHARD;
    }
    count = command_keys(command, argv, argc, few, KEYS_AT_ONCE);
    if (count > KEYS_AT_ONCE) {
        keys = mem_alloc(MEM_SESSIONS, (size_t)count * sizeof(*keys));
        command_keys(command, argv, argc, keys, (uint32_t)count);
    }
    /* Arguments that fit no key specification (count < 0) make an error on any shard. */
    for (int32_t i = 0; i < count && route != KV_ROUTE_CROSS; i++) {
        uint32_t shard = kv_shard_of_slot(slot_of_key(argv[keys[i].index]));

        if (route == KV_ROUTE_ANY) {
            route = KV_ROUTE_SHARD;
            *shard_out = shard;
        } else if (shard != *shard_out) {
            route = KV_ROUTE_CROSS;
        }
    }
    if (keys != few) {
        mem_free(MEM_SESSIONS, keys, (size_t)count * sizeof(*keys));
    }
    return route;
}
