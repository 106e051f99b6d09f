# lsm: memtable, sorted tables, compaction, manifest, block cache.
lsm_sources +=
