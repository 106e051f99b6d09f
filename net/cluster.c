/* net/cluster.c - which calls a cluster port serves. */
#include "net/cluster.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

enum { KEYS_AT_ONCE = 32 };

void
cluster_host(const struct session *session, char out[CLUSTER_HOST_BYTES_MAX])
{
    const char *start = session->local + (session->local[0] == '[');
    const char *end = strrchr(session->local, ':');

    if (end != NULL && end > start && end[-1] == ']') {
        end--;
    }
    snprintf(out, CLUSTER_HOST_BYTES_MAX, "%.*s", end != NULL ? (int)(end - start) : 0, start);
}

/* As in a cluster, there is one database. */
static bool
database_check(struct session *session, const struct command *command, const struct slice *argv,
               uint32_t argc)
{
    if (strcmp(command->name, "select") == 0) {
        int64_t db;

        if (reply_parse_int(argv[1], &db) && db == 0) {
            return true;
        }
        reply_error(&session->output, "ERR SELECT is not allowed in cluster mode");
        return false;
    }
    if (strcmp(command->name, "swapdb") == 0 || strcmp(command->name, "move") == 0) {
        reply_error(&session->output, "ERR %s is not allowed in cluster mode",
                    command->name[0] == 's' ? "SWAPDB" : "MOVE");
        return false;
    }
    for (uint32_t i = 3; strcmp(command->name, "copy") == 0 && i + 1 < argc; i++) {
        if (command_word_is(argv[i], "DB")) {
            reply_error(&session->output,
                        "ERR Copying to another database is not allowed in cluster mode");
            return false;
        }
    }
    return true;
}

static bool
slots_check(struct session *session, const struct slice *argv, const struct command_key *keys,
            int32_t count)
{
    char host[CLUSTER_HOST_BYTES_MAX];
    uint16_t slot = 0;
    uint32_t shard;

    for (int32_t i = 0; i < count; i++) {
        uint16_t other = slot_of_key(argv[keys[i].index]);

        if (i > 0 && other != slot) {
            reply_error(&session->output, "CROSSSLOT Keys in request don't hash to the same slot");
            return false;
        }
        slot = other;
    }
    shard = count > 0 ? kv_node_of_shard(kv_shard_of_slot(slot)) : shard_id();
    if (shard == shard_id()) {
        return true;
    }
    cluster_host(session, host);
    reply_error(&session->output, "MOVED %u %s:%u", slot, host, cluster_port(session->net, shard));
    return false;
}

bool
cluster_check(struct session *session, const struct command *command, const struct slice *argv,
              uint32_t argc)
{
    struct command_key few[KEYS_AT_ONCE];
    struct command_key *keys = few;
    int32_t count;
    bool is_fine;

    if (!database_check(session, command, argv, argc)) {
        return false;
    }
    count = command_keys(command, argv, argc, few, KEYS_AT_ONCE);
    if (count > KEYS_AT_ONCE) {
        keys = mem_alloc(MEM_SESSIONS, (size_t)count * sizeof(*keys));
        command_keys(command, argv, argc, keys, (uint32_t)count);
    }
    is_fine = slots_check(session, argv, keys, count);
    if (keys != few) {
        mem_free(MEM_SESSIONS, keys, (size_t)count * sizeof(*keys));
    }
    return is_fine;
}
