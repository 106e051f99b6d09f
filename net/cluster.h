/* net/cluster.h - shards as the nodes of a Redis cluster, for clients that find them themselves.
 *
 * With --cluster-ports every shard listens on one more port, that of its number. A session of such
 * a port serves the keys of its shard and answers MOVED for those of others, so that a cluster
 * client's commands travel through no other shard. The plain port serves every key, and tells the
 * same nodes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "models/kv/command.h"
#include "net/net.h"
#include "net/session.h"

/* Of a session of a cluster port: may the call run on this shard? Otherwise replies MOVED,
 * CROSSSLOT or why not, and returns false. */
bool cluster_check(struct session *session, const struct command *command, const struct slice *argv,
                   uint32_t argc);

/* The port of a shard's node; 0: there are none. */
static inline uint16_t
cluster_port(const struct net *net, uint32_t shard)
{
    return net->options->cluster_port == 0 ? 0 : (uint16_t)(net->options->cluster_port + shard);
}
/* The address by which the session reached the server: that of all nodes. */
enum { CLUSTER_HOST_BYTES_MAX = 64 };
void cluster_host(const struct session *session, char out[CLUSTER_HOST_BYTES_MAX]);
