# wal: the write-ahead log.
wal_sources += wal/copy.c wal/cursor.c wal/format.c wal/replay.c wal/segment.c wal/wal.c wal/writer.c
