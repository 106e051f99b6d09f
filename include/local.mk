# include: the public C API. A header listed in include_HEADERS is installed.
include_HEADERS += include/orbit.h
api_sources += txn/api.c txn/api_inline.c txn/api_ingest.c txn/api_ops.c txn/api_scan.c txn/api_cursor.c
api_sources += txn/api_async.c txn/api_checkpoint.c txn/api_compact.c txn/api_feed.c txn/api_many.c
api_sources += txn/api_run.c txn/api_shards.c txn/api_snapshot.c txn/api_txn.c txn/api_txn_ops.c
