# models/kv: keys and values of the Redis protocol.
models_sources +=
models_sources += models/kv/command.c models/kv/command_table_collection.c \
    models/kv/command_table_connection.c models/kv/command_table_generic.c \
    models/kv/command_table_server.c models/kv/command_table_service.c \
    models/kv/command_table_sortedset.c models/kv/command_table_special.c \
    models/kv/command_table_string.c
