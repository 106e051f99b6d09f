# wal: the write-ahead log.
wal_sources +=
