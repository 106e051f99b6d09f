# models/script: Lua scripts and functions of the Redis protocol.
models_sources += models/script/api.c models/script/bit.c models/script/cache.c \
    models/script/convert.c models/script/eval.c models/script/function_commands.c \
    models/script/json.c models/script/library.c models/script/msgpack.c models/script/pattern.c \
    models/script/run.c models/script/sandbox.c models/script/scratch.c \
    models/script/script_commands.c models/script/sha1.c models/script/state.c \
    models/script/struct.c
