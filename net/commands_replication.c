/* net/commands_replication.c - ROLE and what else asks about replicas, and MODULE.
 *
 * This version has no replication: the server is a primary without replicas, and answers so. What
 * would need a replica, a primary or a module is refused, never silently done. */
#include "net/dispatch.h"

#include "engine/base/poison.h"

#define NO_REPLICATION "ERR this version of Orbit does not replicate: "

static YIELDS void
run_role(struct session *session, struct kv_request *request)
{
    (void)session;
    reply_array(request->reply, 3);
    reply_bulk_text(request->reply, "master");
    reply_int(request->reply, 0);
    reply_array(request->reply, 0);
}

static YIELDS void
run_replicaof(struct session *session, struct kv_request *request)
{
    int64_t port;

    (void)session;
    if (command_word_is(request->argv[1], "NO") && command_word_is(request->argv[2], "ONE")) {
        reply_ok(request->reply); /* It is a primary already. */
    } else if (!reply_parse_int(request->argv[2], &port) || port < 0 || port > UINT16_MAX) {
        reply_error(request->reply, "ERR Invalid master port");
    } else {
        reply_error(request->reply, NO_REPLICATION "it cannot follow %.*s:%d",
                    (int)MIN(request->argv[1].size, (size_t)128),
                    (const char *)request->argv[1].data, (int)port);
    }
}

static YIELDS void
run_sync(struct session *session, struct kv_request *request)
{
    (void)session;
    reply_error(request->reply, NO_REPLICATION "it has no stream for replicas");
}

static YIELDS void
run_replconf(struct session *session, struct kv_request *request)
{
    (void)session;
    if (request->argc % 2 == 0) {
        reply_error(request->reply, "ERR syntax error");
    } else {
        reply_error(request->reply, NO_REPLICATION "it takes no replicas");
    }
}

static YIELDS void
run_failover(struct session *session, struct kv_request *request)
{
    (void)session;
    if (request->argc == 2 && command_word_is(request->argv[1], "ABORT")) {
        reply_error(request->reply, "ERR No failover in progress.");
    } else {
        reply_error(request->reply, "ERR FAILOVER requires connected replicas.");
    }
}

static YIELDS void
run_migrate(struct session *session, struct kv_request *request)
{
    (void)session;
    reply_error(request->reply, "ERR Orbit opens no connections to other servers, so it does not "
                                "run MIGRATE: use DUMP here and RESTORE there");
}

/* ---- MODULE ---- */

static YIELDS void
run_module_list(struct session *session, struct kv_request *request)
{
    (void)session;
    reply_array(request->reply, 0);
}

static YIELDS void
run_module_load(struct session *session, struct kv_request *request)
{
    (void)session;
    reply_error(request->reply, "ERR Error loading the extension: Orbit has no interface for "
                                "Redis's modules");
}

static YIELDS void
run_module_unload(struct session *session, struct kv_request *request)
{
    (void)session;
    reply_error(request->reply, "ERR Error unloading module: no such module with that name: %.*s",
                (int)MIN(request->argv[2].size, (size_t)128), (const char *)request->argv[2].data);
}

static YIELDS void
run_help(struct session *session, struct kv_request *request)
{
    (void)session;
    dispatch_help(request);
}

const struct net_command net_commands_replication[] = {
    {"role", run_role},
    {"replicaof", run_replicaof},
    {"slaveof", run_replicaof},
    {"sync", run_sync},
    {"psync", run_sync},
    {"replconf", run_replconf},
    {"failover", run_failover},
    {"migrate", run_migrate},
    {"module|list", run_module_list},
    {"module|load", run_module_load},
    {"module|loadex", run_module_load},
    {"module|unload", run_module_unload},
    {"module|help", run_help},
    {NULL, NULL},
};
