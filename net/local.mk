# net: sessions and protocols.
net_sources += net/resp.c net/session.c net/net.c net/dispatch.c net/stopwatch.c
net_sources += net/auth.c net/commands_connection.c net/commands_client.c
net_sources += net/config.c net/config_table.c net/commands_config.c
