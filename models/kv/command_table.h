/* models/kv/command_table.h - the parts of the command table, one a file. */
#pragma once

#include "models/kv/command.h"

#define COMMAND_ABSENT_SUMMARY    "Not in this version of Orbit, which refuses it."
#define COMMAND_CONTAINER_SUMMARY "A container of subcommands."

#define COMMAND_TABLES(X)                                                                          \
    X(collection)                                                                                  \
    X(connection) X(generic) X(server) X(service) X(set) X(sortedset) X(special) X(stream) X(string)

#define COMMAND_TABLE_DECLARE(name)                                                                \
    extern const struct command command_table_##name[];                                            \
    extern const uint32_t command_table_##name##_count;
COMMAND_TABLES(COMMAND_TABLE_DECLARE)
#undef COMMAND_TABLE_DECLARE
