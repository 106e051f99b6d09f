/* models/kv/databases.c - the mapping of databases to keyspaces, and SWAPDB, which changes it.
 *
 * Keys are stored under keyspaces, so that swapping two databases moves no key. */
#include "models/kv/databases.h"

#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

/* A record of the model itself: tag 0x00, then its name. */
static const char databases_key[] = "\x00kv.databases";

static struct slice
record_key(void)
{
    return slice_of(databases_key, sizeof(databases_key) - 1);
}

void
kv_databases_encode(uint8_t out[KV_DATABASES_BYTES], const uint32_t keyspaces[KV_DATABASES_MAX])
{
    for (uint32_t db = 0; db < KV_DATABASES_MAX; db++) {
        put_le32(out + 4 * db, keyspaces[db]);
    }
}

err_t
kv_databases_decode(struct slice stored, uint32_t keyspaces_out[KV_DATABASES_MAX])
{
    bool is_used[KV_DATABASES_MAX] = {false};
    uint32_t keyspaces[KV_DATABASES_MAX];

    if (stored.size != KV_DATABASES_BYTES) {
        return err_set(ERR_CORRUPT, "the mapping of databases has %zu bytes instead of %d",
                       stored.size, KV_DATABASES_BYTES);
    }
    for (uint32_t db = 0; db < KV_DATABASES_MAX; db++) {
        keyspaces[db] = get_le32(stored.data + 4 * db);
        if (keyspaces[db] >= KV_DATABASES_MAX || is_used[keyspaces[db]]) {
            return err_set(ERR_CORRUPT,
                           "the mapping of databases gives keyspace %u twice or "
                           "beyond the last",
                           keyspaces[db]);
        }
        is_used[keyspaces[db]] = true;
    }
    memcpy(keyspaces_out, keyspaces, sizeof(keyspaces));
    return ERR_OK;
}

/* ---- Loading: a step at shard 0 ---- */

struct load_step {
    struct kv_step step;
    uint32_t keyspaces[KV_DATABASES_MAX];
};

static YIELDS void
load_run(void *arg)
{
    struct load_step *load = arg;
    struct lsm_value value;
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_RUNTIME);
    for (uint32_t db = 0; db < KV_DATABASES_MAX; db++) {
        load->keyspaces[db] = db;
    }
    TRY(store_get(store_self(), record_key(), &arena, &value));
    if (value.is_found) {
        TRY(kv_databases_decode(value.value, load->keyspaces));
    }
    err = ERR_OK;
out:
    arena_fini(&arena);
    kv_step_fail(&load->step, err);
}

err_t
kv_databases_load(uint32_t keyspaces[KV_DATABASES_MAX])
{
    struct load_step load = {0};

    msg_call(0, MSG_FIBER, load_run, &load);
    if (load.step.err != ERR_OK) {
        return err_set(load.step.err, "%s", load.step.message);
    }
    memcpy(keyspaces, load.keyspaces, sizeof(load.keyspaces));
    return ERR_OK;
}

/* ---- SWAPDB ---- */

static bool
swap_db_parse(struct kv_request *request, uint32_t index, const char *which, uint32_t *db_out)
{
    int64_t db;

    if (!reply_parse_int(request->argv[index], &db) || db < INT32_MIN || db > INT32_MAX) {
        reply_error(request->reply, "ERR invalid %s DB index", which);
        return false;
    }
    /* Whether it is in range is said after both were read. */
    *db_out = db < 0 || db >= kv_self()->config.databases ? UINT32_MAX : (uint32_t)db;
    return true;
}

/* Runs alone (multi.c), which makes the new mapping durable before any shard uses it. */
void
kv_command_swapdb(struct kv_request *request)
{
    /* The transaction's own copy, which the commands that follow in it go by. */
    uint32_t *keyspaces = request->keyspaces;
    uint8_t record[KV_DATABASES_BYTES];
    uint32_t first;
    uint32_t second;

    if (!swap_db_parse(request, 1, "first", &first) ||
        !swap_db_parse(request, 2, "second", &second)) {
        return;
    }
    if (first == UINT32_MAX || second == UINT32_MAX) {
        reply_error(request->reply, "ERR DB index is out of range");
        return;
    }
    if (first != second) {
        uint32_t keyspace = keyspaces[first];

        keyspaces[first] = keyspaces[second];
        keyspaces[second] = keyspace;
        kv_databases_encode(record, keyspaces);
        txn_put(request->txn, txn_slot_of_shard(0), record_key(), slice_of(record, sizeof(record)),
                0);
    }
    reply_ok(request->reply);
}
