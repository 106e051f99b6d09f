# tests/unit/models: the unit tests of models/, which link it and what lies below it.
if HAVE_CRITERION
check_PROGRAMS += test_models
endif
test_models_SOURCES =
test_models_LDADD = libtestlib.a $(models_libs) $(CRITERION_LIBS)
test_models_SOURCES += tests/unit/models/test_glob.c tests/unit/models/test_key.c \
    tests/unit/models/test_payload.c tests/unit/models/test_reply.c tests/unit/models/test_scram.c
test_models_SOURCES += tests/unit/models/kv_fixture.c tests/unit/models/test_bits.c \
    tests/unit/models/test_evict.c tests/unit/models/test_generic.c tests/unit/models/test_geo.c \
    tests/unit/models/test_hash.c tests/unit/models/test_hash_expire.c \
    tests/unit/models/test_hyperloglog.c \
    tests/unit/models/test_keyspace.c tests/unit/models/test_list.c tests/unit/models/test_notify.c \
    tests/unit/models/test_script.c tests/unit/models/test_set.c \
    tests/unit/models/test_stream.c \
    tests/unit/models/test_stream_group.c tests/unit/models/test_string.c \
    tests/unit/models/test_zset.c tests/unit/models/zset_check.c
test_models_SOURCES += tests/unit/models/test_command.c
test_models_SOURCES += tests/unit/models/test_datetime.c \
    tests/unit/models/test_numeric.c
test_models_SOURCES += tests/unit/models/test_array.c tests/unit/models/test_jsonb.c
