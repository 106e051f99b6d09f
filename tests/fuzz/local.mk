# tests/fuzz: libFuzzer targets, built by `make fuzz` in a build with --enable-fuzz.
#
# A target is one file and a folder tests/fuzz/corpus/NAME with its first inputs:
#
#     fuzz_programs += fuzz_name
#     fuzz_name_SOURCES = tests/fuzz/fuzz_name.c
#     fuzz_name_LDADD = $(fuzz_libs)
fuzz_libs = $(net_libs) $(FUZZ_LIBS)

fuzz_programs += fuzz_resp
fuzz_resp_SOURCES = tests/fuzz/fuzz_resp.c
fuzz_resp_LDADD = $(fuzz_libs)

fuzz_programs += fuzz_config
fuzz_config_SOURCES = tests/fuzz/fuzz_config.c tools/server/options.c
fuzz_config_LDADD = $(fuzz_libs)

fuzz_programs += fuzz_wal
fuzz_wal_SOURCES = tests/fuzz/fuzz_wal.c
fuzz_wal_LDADD = $(fuzz_libs)

fuzz_programs += fuzz_block
fuzz_block_SOURCES = tests/fuzz/fuzz_block.c
fuzz_block_LDADD = $(fuzz_libs)

fuzz_programs += fuzz_dump
fuzz_dump_SOURCES = tests/fuzz/fuzz_dump.c
fuzz_dump_LDADD = $(fuzz_libs)

fuzz_programs += fuzz_manifest
fuzz_manifest_SOURCES = tests/fuzz/fuzz_manifest.c
fuzz_manifest_LDADD = $(fuzz_libs)

fuzz_programs += fuzz_sql
fuzz_sql_SOURCES = tests/fuzz/fuzz_sql.c
fuzz_sql_LDADD = $(fuzz_libs)

fuzz_programs += fuzz_script
fuzz_script_SOURCES = tests/fuzz/fuzz_script.c
fuzz_script_LDADD = $(fuzz_libs)

fuzz_programs += fuzz_value
fuzz_value_SOURCES = tests/fuzz/fuzz_value.c
fuzz_value_LDADD = $(fuzz_libs)
