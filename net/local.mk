# net: sessions and protocols.
net_sources += net/resp.c net/session.c net/net.c net/dispatch.c net/stopwatch.c
