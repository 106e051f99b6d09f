/* models/kv/databases.h - which keyspace a database number stands for.
 *
 * The mapping is one record of shard 0's store; every shard holds a copy in memory. */
#pragma once

#include "models/kv/kv.h"

/* Fill in the stored mapping, or the identity where SWAPDB was never used. Any shard; shard 0's
 * store is open. Errors: as store_get, ERR_CORRUPT. */
YIELDS err_t kv_databases_load(uint32_t keyspaces[KV_DATABASES_MAX]);

/* The stored form; ERR_CORRUPT when it is no permutation. */
enum { KV_DATABASES_BYTES = 4 * KV_DATABASES_MAX };
void kv_databases_encode(uint8_t out[KV_DATABASES_BYTES],
                         const uint32_t keyspaces[KV_DATABASES_MAX]);
err_t kv_databases_decode(struct slice stored, uint32_t keyspaces_out[KV_DATABASES_MAX]);
