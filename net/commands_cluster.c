/* net/commands_cluster.c - CLUSTER, ASKING, READONLY, READWRITE: the shards as nodes. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "engine/rt/shard.h"
#include "models/principal/sha256.h"
#include "net/cluster.h"
#include "net/dispatch.h"

#include "engine/base/poison.h"

enum { NODE_ID_DIGITS = 40 };

static bool
is_enabled(struct session *session, struct kv_request *request)
{
    if (session->net->options->cluster_port != 0) {
        return true;
    }
    reply_error(request->reply, "ERR This instance has cluster support disabled");
    return false;
}

/* ---- Nodes ---- */

/* The same after each start with the same address: `what` tells nodes from their shards. */
static void
node_id(const struct net *net, const char *what, uint32_t shard, char out[NODE_ID_DIGITS + 1])
{
    uint8_t digest[SHA256_BYTES];
    char text[160];
    int size = snprintf(text, sizeof(text), "orbit %s %s %u", what, net->options->bind_address,
                        cluster_port(net, shard));

    sha256(slice_of(text, (size_t)size), digest);
    for (size_t i = 0; i < NODE_ID_DIGITS / 2; i++) {
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
}

/* The next run of slots of one shard, from *slot on. False at the end. */
struct slot_range {
    uint32_t first, last, shard;
};

static bool
range_next(uint32_t *slot, struct slot_range *range_out)
{
    if (*slot >= KV_SLOTS) {
        return false;
    }
    range_out->first = *slot;
    range_out->shard = kv_node_of_shard(kv_shard_of_slot((uint16_t)*slot));
    while (*slot < KV_SLOTS &&
           kv_node_of_shard(kv_shard_of_slot((uint16_t)*slot)) == range_out->shard) {
        (*slot)++;
    }
    range_out->last = *slot - 1;
    return true;
}

static uint32_t
range_count(uint32_t shard, bool is_any)
{
    struct slot_range range;
    uint32_t count = 0;

    for (uint32_t slot = 0; range_next(&slot, &range);) {
        count += is_any || range.shard == shard;
    }
    return count;
}

static bool
node_find(struct session *session, struct slice id)
{
    for (uint32_t shard = 0; shard < txn_shards_wanted(); shard++) {
        char known[NODE_ID_DIGITS + 1];

        node_id(session->net, "node", shard, known);
        if (slice_equal(id, slice_from_text(known))) {
            return true;
        }
    }
    return false;
}

/* ---- The topology ---- */

static YIELDS void
run_slots(struct session *session, struct kv_request *request)
{
    struct reply *reply = request->reply;
    char host[CLUSTER_HOST_BYTES_MAX];
    char id[NODE_ID_DIGITS + 1];
    struct slot_range range;

    if (!is_enabled(session, request)) {
        return;
    }
    cluster_host(session, host);
    reply_array(reply, range_count(0, true));
    for (uint32_t slot = 0; range_next(&slot, &range);) {
        node_id(session->net, "node", range.shard, id);
        reply_array(reply, 3);
        reply_int(reply, range.first);
        reply_int(reply, range.last);
        reply_array(reply, 4);
        reply_bulk_text(reply, host);
        reply_int(reply, cluster_port(session->net, range.shard));
        reply_bulk_text(reply, id);
        reply_array(reply, 0);
    }
}

static void
reply_node(struct session *session, struct reply *reply, uint32_t shard)
{
    char host[CLUSTER_HOST_BYTES_MAX];
    char id[NODE_ID_DIGITS + 1];

    cluster_host(session, host);
    node_id(session->net, "node", shard, id);
    reply_map(reply, 7);
    reply_bulk_text(reply, "id");
    reply_bulk_text(reply, id);
    reply_bulk_text(reply, "port");
    reply_int(reply, cluster_port(session->net, shard));
    reply_bulk_text(reply, "ip");
    reply_bulk_text(reply, host);
    reply_bulk_text(reply, "endpoint");
    reply_bulk_text(reply, host);
    reply_bulk_text(reply, "role");
    reply_bulk_text(reply, "master");
    reply_bulk_text(reply, "replication-offset");
    reply_int(reply, 0);
    reply_bulk_text(reply, "health");
    reply_bulk_text(reply, "online");
}

static YIELDS void
run_shards(struct session *session, struct kv_request *request)
{
    struct reply *reply = request->reply;

    if (!is_enabled(session, request)) {
        return;
    }
    reply_array(reply, txn_shards_wanted());
    for (uint32_t shard = 0; shard < txn_shards_wanted(); shard++) {
        struct slot_range range;

        reply_map(reply, 2);
        reply_bulk_text(reply, "slots");
        reply_array(reply, 2 * (uint64_t)range_count(shard, false));
        for (uint32_t slot = 0; range_next(&slot, &range);) {
            if (range.shard == shard) {
                reply_int(reply, range.first);
                reply_int(reply, range.last);
            }
        }
        reply_bulk_text(reply, "nodes");
        reply_array(reply, 1);
        reply_node(session, reply, shard);
    }
}

static YIELDS void
run_nodes(struct session *session, struct kv_request *request)
{
    char host[CLUSTER_HOST_BYTES_MAX];
    struct buf text;

    if (!is_enabled(session, request)) {
        return;
    }
    cluster_host(session, host);
    buf_init(&text, MEM_SESSIONS);
    for (uint32_t shard = 0; shard < txn_shards_wanted(); shard++) {
        char id[NODE_ID_DIGITS + 1];
        struct slot_range range;

        node_id(session->net, "node", shard, id);
        buf_printf(&text, "%s %s:%u@0 %smaster - 0 0 %u connected", id, host,
                   cluster_port(session->net, shard), shard == shard_id() ? "myself," : "",
                   shard + 1);
        for (uint32_t slot = 0; range_next(&slot, &range);) {
            if (range.shard == shard && range.first == range.last) {
                buf_printf(&text, " %u", range.first);
            } else if (range.shard == shard) {
                buf_printf(&text, " %u-%u", range.first, range.last);
            }
        }
        buf_printf(&text, "\n");
    }
    reply_verbatim(request->reply, "txt", buf_slice(&text));
    buf_fini(&text);
}

static YIELDS void
run_info(struct session *session, struct kv_request *request)
{
    char text[768];
    int size;

    if (!is_enabled(session, request)) {
        return;
    }
    size = snprintf(text, sizeof(text),
                    "cluster_state:ok\r\n"
                    "cluster_slots_assigned:%d\r\n"
                    "cluster_slots_ok:%d\r\n"
                    "cluster_slots_pfail:0\r\n"
                    "cluster_slots_fail:0\r\n"
                    "cluster_known_nodes:%u\r\n"
                    "cluster_size:%u\r\n"
                    "cluster_current_epoch:%u\r\n"
                    "cluster_my_epoch:%u\r\n"
                    "cluster_stats_messages_sent:0\r\n"
                    "cluster_stats_messages_received:0\r\n"
                    "total_cluster_links_buffer_limit_exceeded:0\r\n",
                    KV_SLOTS, KV_SLOTS, txn_shards_wanted(), txn_shards_wanted(),
                    txn_shards_wanted(), shard_id() + 1);
    reply_verbatim(request->reply, "txt", slice_of(text, (size_t)size));
}

static YIELDS void
run_myid(struct session *session, struct kv_request *request)
{
    bool is_shard = strcmp(request->command->name, "myshardid") == 0;
    char id[NODE_ID_DIGITS + 1];

    if (is_enabled(session, request)) {
        node_id(session->net, is_shard ? "shard" : "node", shard_id(), id);
        reply_bulk_text(request->reply, id);
    }
}

/* No node has a replica, and no node talks to others over a bus. */
static YIELDS void
run_replicas(struct session *session, struct kv_request *request)
{
    if (!is_enabled(session, request)) {
        return;
    }
    if (!node_find(session, request->argv[2])) {
        reply_error(request->reply, "ERR Unknown node %.*s",
                    (int)MIN(request->argv[2].size, (size_t)128),
                    (const char *)request->argv[2].data);
    } else if (strcmp(request->command->name, "count-failure-reports") == 0) {
        reply_int(request->reply, 0);
    } else {
        reply_array(request->reply, 0);
    }
}

static YIELDS void
run_links(struct session *session, struct kv_request *request)
{
    if (is_enabled(session, request)) {
        reply_array(request->reply, 0);
    }
}

/* ---- Slots ---- */

static YIELDS void
run_keyslot(struct session *session, struct kv_request *request)
{
    if (is_enabled(session, request)) {
        reply_int(request->reply, slot_of_key(request->argv[2]));
    }
}

static YIELDS void
run_keys_in_slot(struct session *session, struct kv_request *request)
{
    int64_t most = INT64_MAX;
    int64_t slot;

    if (!is_enabled(session, request)) {
        return;
    }
    if (!reply_parse_int(request->argv[2], &slot) || slot < 0 || slot >= KV_SLOTS) {
        reply_error(request->reply, "ERR Invalid or out of range slot");
    } else if (request->argc == 4 && (!reply_parse_int(request->argv[3], &most) || most < 0)) {
        reply_error(request->reply, "ERR Invalid number of keys");
    } else {
        kv_slot_keys(request, (uint16_t)slot, (uint64_t)most, request->argc == 4);
    }
}

/* What changes a cluster of machines has nothing to change here. */
static YIELDS void
run_refused(struct session *session, struct kv_request *request)
{
    if (is_enabled(session, request)) {
        reply_error(request->reply,
                    "ERR CLUSTER %s is not possible: the nodes are the shards of "
                    "one server, which assigns the slots to them itself",
                    request->command->name);
    }
}

static YIELDS void
run_help(struct session *session, struct kv_request *request)
{
    (void)session;
    dispatch_help(request);
}

/* ASKING, READONLY, READWRITE: no slot is ever half here, and there are no replicas, so that they
 * change nothing for the session. */
static YIELDS void
run_mode(struct session *session, struct kv_request *request)
{
    if (is_enabled(session, request)) {
        reply_ok(request->reply);
    }
}

const struct net_command net_commands_cluster[] = {
    {"asking", run_mode},
    {"readonly", run_mode},
    {"readwrite", run_mode},
    {"cluster|addslots", run_refused},
    {"cluster|addslotsrange", run_refused},
    {"cluster|bumpepoch", run_refused},
    {"cluster|count-failure-reports", run_replicas},
    {"cluster|countkeysinslot", run_keys_in_slot},
    {"cluster|delslots", run_refused},
    {"cluster|delslotsrange", run_refused},
    {"cluster|failover", run_refused},
    {"cluster|flushslots", run_refused},
    {"cluster|forget", run_refused},
    {"cluster|getkeysinslot", run_keys_in_slot},
    {"cluster|help", run_help},
    {"cluster|info", run_info},
    {"cluster|keyslot", run_keyslot},
    {"cluster|links", run_links},
    {"cluster|meet", run_refused},
    {"cluster|myid", run_myid},
    {"cluster|myshardid", run_myid},
    {"cluster|nodes", run_nodes},
    {"cluster|replicas", run_replicas},
    {"cluster|replicate", run_refused},
    {"cluster|reset", run_refused},
    {"cluster|saveconfig", run_refused},
    {"cluster|set-config-epoch", run_refused},
    {"cluster|setslot", run_refused},
    {"cluster|shards", run_shards},
    {"cluster|slaves", run_replicas},
    {"cluster|slots", run_slots},
    {NULL, NULL},
};
