# models/kv: keys and values of the Redis protocol.
models_sources +=
