# txn: snapshots and commits.
txn_sources += txn/batch.c txn/bulk.c txn/checkpoint.c txn/folder.c txn/fragment.c txn/clock.c txn/closed.c txn/feed.c txn/feed_rows.c txn/horizon.c txn/meeting.c txn/note.c txn/record.c txn/recovery.c txn/shape.c
txn_sources += txn/commit.c txn/outcome.c
txn_sources += txn/overlay.c txn/overlay_index.c txn/own.c txn/part_scan.c txn/scan.c txn/spill.c
txn_sources += txn/advisory.c txn/deadlock.c txn/lock.c txn/lock_join.c txn/lock_table.c txn/lock_tree.c
txn_sources += txn/part.c txn/reads.c txn/remote.c txn/reshard.c txn/retain.c txn/slots.c txn/store.c txn/token.c txn/txn.c txn/txn_read.c txn/txn_run.c txn/window.c
