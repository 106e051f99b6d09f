# net: sessions and protocols.
net_sources += net/resp.c net/session.c net/net.c net/dispatch.c net/stopwatch.c
net_sources += net/acl.c net/acl_check.c net/acl_log.c net/acl_user.c net/commands_acl.c
net_sources += net/blocking.c net/commands_connection.c net/commands_client.c
net_sources += net/config.c net/config_table.c net/commands_config.c
net_sources += net/monitor.c net/names.c net/news.c net/observe.c net/pubsub.c net/totals.c net/tracking.c net/process.c
net_sources += net/commands_checkpoint.c net/commands_command.c net/commands_debug.c net/commands_feed.c net/commands_info.c
net_sources += net/cluster.c net/commands_cluster.c net/commands_replication.c net/commands_save.c
net_sources += net/commands_monitor.c net/commands_pubsub.c net/commands_server.c net/commands_tracking.c net/commands_transaction.c \
    net/commands_sql.c net/commands_txn.c \
    net/commands_shards.c net/commands_txns.c
net_sources += net/pgwire/conn.c net/pgwire/copy.c net/pgwire/login.c net/pgwire/message.c net/pgwire/protocol.c net/pgwire/timer.c
