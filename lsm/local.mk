# lsm: memtable, sorted tables, compaction, manifest, block cache.
lsm_sources +=
lsm_sources += lsm/block.c lsm/block_builder.c lsm/block_frame.c lsm/filter.c lsm/cache.c
lsm_sources += lsm/table_format.c lsm/table_index.c lsm/table_ranges.c lsm/table_writer.c
lsm_sources += lsm/table_span.c lsm/table_guide.c lsm/table_open.c lsm/table_read.c lsm/table_iter.c lsm/table_verify.c
lsm_sources += lsm/vlog.c lsm/vlog_file.c lsm/vlog_format.c
lsm_sources += lsm/memtable.c lsm/memtable_iter.c lsm/memtable_tree.c lsm/memtable_index.c lsm/memtable_recent.c lsm/memtable_walk.c
lsm_sources += lsm/expiry.c lsm/range_delete.c lsm/snapshots.c
lsm_sources += lsm/ingest.c lsm/ingest_rows.c lsm/metrics.c lsm/version.c lsm/check.c lsm/checkpoint.c lsm/scrub.c lsm/manifest.c lsm/manifest_format.c lsm/merge.c
lsm_sources += lsm/runs.c lsm/collect.c lsm/output.c lsm/flush.c lsm/pace.c
lsm_sources += lsm/compact.c lsm/compact_job.c lsm/compact_levels.c lsm/compact_pick.c
lsm_sources += lsm/compact_drop.c lsm/compact_expired.c lsm/compact_garbage.c lsm/compact_run.c
lsm_sources += lsm/compact_scanned.c
lsm_sources += lsm/lsm.c lsm/lsm_changes.c lsm/lsm_commit.c lsm/lsm_write.c lsm/lsm_read.c lsm/lsm_iter.c lsm/lsm_batch.c
lsm_sources += lsm/entry_cache.c
