# models/kv: keys and values of the Redis protocol.
models_sources +=
models_sources += models/kv/command.c models/kv/command_table_collection.c \
    models/kv/command_table_connection.c models/kv/command_table_generic.c \
    models/kv/command_table_server.c models/kv/command_table_service.c \
    models/kv/command_table_set.c \
    models/kv/command_table_sortedset.c models/kv/command_table_special.c \
    models/kv/command_table_stream.c \
    models/kv/command_table_string.c
models_sources += models/kv/access.c models/kv/bitfield.c models/kv/bits.c models/kv/block.c \
    models/kv/changed.c models/kv/collection.c models/kv/crc64.c \
    models/kv/databases.c models/kv/dict.c models/kv/dict_random.c models/kv/dump.c \
    models/kv/evict.c models/kv/exec.c models/kv/expire.c models/kv/expire_cycle.c models/kv/flush.c \
    models/kv/generic.c models/kv/geo.c models/kv/geo_search.c models/kv/geohash.c \
    models/kv/glob.c models/kv/hash.c models/kv/hash_commands.c models/kv/hash_expire.c \
    models/kv/hyperloglog.c \
    models/kv/key.c models/kv/keys.c models/kv/latch.c models/kv/lcs.c models/kv/list.c \
    models/kv/list_commands.c models/kv/list_edit.c models/kv/list_move.c models/kv/listpack.c \
    models/kv/lzf.c models/kv/multi.c models/kv/notify.c models/kv/object.c models/kv/payload.c models/kv/reply.c \
    models/kv/route.c models/kv/scan.c models/kv/set.c models/kv/set_algebra.c \
    models/kv/set_commands.c models/kv/slot_keys.c models/kv/slots.c models/kv/sort.c models/kv/step.c models/kv/stream.c \
    models/kv/stream_claim.c \
    models/kv/stream_commands.c models/kv/stream_dump.c models/kv/stream_group.c \
    models/kv/stream_group_commands.c models/kv/stream_id.c models/kv/stream_info.c \
    models/kv/stream_read.c models/kv/stream_trim.c models/kv/string.c models/kv/types.c \
    models/kv/words.c models/kv/zset.c models/kv/zset_algebra.c models/kv/zset_commands.c \
    models/kv/zset_cursor.c models/kv/zset_entries.c models/kv/zset_page.c \
    models/kv/zset_pop.c models/kv/zset_random.c models/kv/zset_range.c models/kv/zset_tree.c \
    models/kv/zset_type.c models/kv/zset_words.c
