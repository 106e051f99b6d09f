/* net/dispatch.h - from a request to its command: checks, routing, statistics. */
#pragma once

#include "net/net.h"
#include "net/session.h"

/* A command of the session layer: appends exactly one reply to request->reply (or none, where
 * Redis sends none). */
typedef YIELDS void (*net_command_fn)(struct session *session, struct kv_request *request);

struct net_command {
    const char *name; /* "ping", "client|list" */
    net_command_fn run;
};

/* Bind the session commands to the table. Once, before any shard starts; every command of layer
 * COMMAND_SESSION must be bound (asserted). */
void dispatch_init(void);

/* The tables that dispatch_init binds, one a file; each ends with a NULL name. */
extern const struct net_command net_commands_connection[];
extern const struct net_command net_commands_acl[];
extern const struct net_command net_commands_client[];
extern const struct net_command net_commands_cluster[];
extern const struct net_command net_commands_replication[];
extern const struct net_command net_commands_save[];
extern const struct net_command net_commands_config[];
extern const struct net_command net_commands_checkpoint[];
extern const struct net_command net_commands_feed[];
extern const struct net_command net_commands_shards[];
extern const struct net_command net_commands_txns[];
extern const struct net_command net_commands_pubsub[];
extern const struct net_command net_commands_server[];
extern const struct net_command net_commands_info[];
extern const struct net_command net_commands_command[];
extern const struct net_command net_commands_monitor[]; /* SLOWLOG, LATENCY, MEMORY */
extern const struct net_command net_commands_debug[];
extern const struct net_command net_commands_tracking[];
extern const struct net_command net_commands_transaction[];
extern const struct net_command net_commands_sql[];
extern const struct net_command net_commands_txn[];

/* Runs a request whose checks are done, with its statistics, on this shard; replies go to
 * request->reply. For those who run queued commands and statements of transactions. */
YIELDS void dispatch_execute(struct session *session, struct kv_request *request);

/* Routes a request whose checks are done: here, as a statement of the session's transaction, or at
 * the shard of its keys. True: it has advanced session->input_used itself. When the command asks to
 * block (request->block) nothing was replied and nothing used. */
YIELDS bool dispatch_route(struct session *session, struct kv_request *request, struct slice input,
                           uint64_t consumed);
/* The request was answered without being run, since that place: statistics, CLIENT REPLY. */
void dispatch_answered(struct session *session, struct kv_request *request, uint64_t reply_start);

/* Of a session's kv_host: the command of a script. */
YIELDS void dispatch_host_execute(struct kv_host *host, struct kv_request *request);
bool dispatch_host_is_allowed(struct kv_host *host, const struct kv_request *request);

/* The reply to HELP of a container, made from the table. */
void dispatch_help(struct kv_request *request);

/* Run the request that the session's parser holds, and those that follow it for the same shard.
 * Advances session->input_used. */
YIELDS void dispatch_request(struct session *session, struct slice input, uint64_t consumed);
