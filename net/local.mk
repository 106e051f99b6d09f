# net: sessions and protocols.
net_sources +=
