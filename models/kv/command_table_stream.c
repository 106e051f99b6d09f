/* models/kv/command_table_stream.c - streams in the table.
 *
 * Arity, flags, keys and arguments are those of Redis 7.2; the summaries are Orbit's. */
#include "engine/base/assert.h"
#include "models/kv/command_table.h"
#include "models/kv/commands.h"

#include "engine/base/poison.h"

static const struct command_arg xack_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "group", .type = "string", .key_spec = -1},
    {.name = "id", .type = "string", .key_spec = -1, .is_multiple = true},
};

static const struct command_arg xadd_trim_strategy_args[] = {
    {.name = "maxlen", .type = "pure-token", .token = "MAXLEN", .key_spec = -1},
    {.name = "minid", .type = "pure-token", .token = "MINID", .since = "6.2.0", .key_spec = -1},
};

static const struct command_arg xadd_trim_operator_args[] = {
    {.name = "equal", .type = "pure-token", .token = "=", .key_spec = -1},
    {.name = "approximately", .type = "pure-token", .token = "~", .key_spec = -1},
};

static const struct command_arg xadd_trim_args[] = {
    {.name = "strategy",
     .type = "oneof",
     .key_spec = -1,
     .args = xadd_trim_strategy_args,
     .arg_count = ARRAY_COUNT(xadd_trim_strategy_args)},
    {.name = "operator",
     .type = "oneof",
     .key_spec = -1,
     .is_optional = true,
     .args = xadd_trim_operator_args,
     .arg_count = ARRAY_COUNT(xadd_trim_operator_args)},
    {.name = "threshold", .type = "string", .key_spec = -1},
    {.name = "count",
     .type = "integer",
     .token = "LIMIT",
     .since = "6.2.0",
     .key_spec = -1,
     .is_optional = true},
};

static const struct command_arg xadd_id_selector_args[] = {
    {.name = "auto-id", .type = "pure-token", .token = "*", .key_spec = -1},
    {.name = "id", .type = "string", .key_spec = -1},
};

static const struct command_arg xadd_data_args[] = {
    {.name = "field", .type = "string", .key_spec = -1},
    {.name = "value", .type = "string", .key_spec = -1},
};

static const struct command_arg xadd_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "nomkstream",
     .type = "pure-token",
     .token = "NOMKSTREAM",
     .since = "6.2.0",
     .key_spec = -1,
     .is_optional = true},
    {.name = "trim",
     .type = "block",
     .key_spec = -1,
     .is_optional = true,
     .args = xadd_trim_args,
     .arg_count = ARRAY_COUNT(xadd_trim_args)},
    {.name = "id-selector",
     .type = "oneof",
     .key_spec = -1,
     .args = xadd_id_selector_args,
     .arg_count = ARRAY_COUNT(xadd_id_selector_args)},
    {.name = "data",
     .type = "block",
     .key_spec = -1,
     .is_multiple = true,
     .args = xadd_data_args,
     .arg_count = ARRAY_COUNT(xadd_data_args)},
};

static const struct command_arg xautoclaim_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "group", .type = "string", .key_spec = -1},
    {.name = "consumer", .type = "string", .key_spec = -1},
    {.name = "min-idle-time", .type = "string", .key_spec = -1},
    {.name = "start", .type = "string", .key_spec = -1},
    {.name = "count", .type = "integer", .token = "COUNT", .key_spec = -1, .is_optional = true},
    {.name = "justid",
     .type = "pure-token",
     .token = "JUSTID",
     .key_spec = -1,
     .is_optional = true},
};

static const struct command_arg xclaim_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "group", .type = "string", .key_spec = -1},
    {.name = "consumer", .type = "string", .key_spec = -1},
    {.name = "min-idle-time", .type = "string", .key_spec = -1},
    {.name = "id", .type = "string", .key_spec = -1, .is_multiple = true},
    {.name = "ms", .type = "integer", .token = "IDLE", .key_spec = -1, .is_optional = true},
    {.name = "unix-time-milliseconds",
     .type = "unix-time",
     .token = "TIME",
     .key_spec = -1,
     .is_optional = true},
    {.name = "count",
     .type = "integer",
     .token = "RETRYCOUNT",
     .key_spec = -1,
     .is_optional = true},
    {.name = "force", .type = "pure-token", .token = "FORCE", .key_spec = -1, .is_optional = true},
    {.name = "justid",
     .type = "pure-token",
     .token = "JUSTID",
     .key_spec = -1,
     .is_optional = true},
    {.name = "id", .type = "string", .token = "LASTID", .key_spec = -1, .is_optional = true},
};

static const struct command_arg xdel_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "id", .type = "string", .key_spec = -1, .is_multiple = true},
};

static const struct command_arg xgroup_createconsumer_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "groupname", .type = "string", .key_spec = -1},
    {.name = "consumername", .type = "string", .key_spec = -1},
};

static const struct command_arg xgroup_delconsumer_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "groupname", .type = "string", .key_spec = -1},
    {.name = "consumername", .type = "string", .key_spec = -1},
};

static const struct command_arg xgroup_create_id_args[] = {
    {.name = "id", .type = "string", .key_spec = -1},
    {.name = "new-id", .type = "pure-token", .token = "$", .key_spec = -1},
};

static const struct command_arg xgroup_create_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "groupname", .type = "string", .key_spec = -1},
    {.name = "id",
     .type = "oneof",
     .key_spec = -1,
     .args = xgroup_create_id_args,
     .arg_count = ARRAY_COUNT(xgroup_create_id_args)},
    {.name = "mkstream",
     .type = "pure-token",
     .token = "MKSTREAM",
     .key_spec = -1,
     .is_optional = true},
    {.name = "entries-read",
     .type = "integer",
     .token = "ENTRIESREAD",
     .key_spec = -1,
     .is_optional = true},
};

static const struct command_arg xgroup_destroy_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "groupname", .type = "string", .key_spec = -1},
};

static const struct command_arg xgroup_setid_id_args[] = {
    {.name = "id", .type = "string", .key_spec = -1},
    {.name = "new-id", .type = "pure-token", .token = "$", .key_spec = -1},
};

static const struct command_arg xgroup_setid_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "groupname", .type = "string", .key_spec = -1},
    {.name = "id",
     .type = "oneof",
     .key_spec = -1,
     .args = xgroup_setid_id_args,
     .arg_count = ARRAY_COUNT(xgroup_setid_id_args)},
    {.name = "entries-read",
     .type = "integer",
     .token = "ENTRIESREAD",
     .key_spec = -1,
     .is_optional = true},
};

static const struct command_arg xinfo_stream_full_args[] = {
    {.name = "count", .type = "integer", .token = "COUNT", .key_spec = -1, .is_optional = true},
};

static const struct command_arg xinfo_stream_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "full",
     .type = "block",
     .token = "FULL",
     .key_spec = -1,
     .is_optional = true,
     .args = xinfo_stream_full_args,
     .arg_count = ARRAY_COUNT(xinfo_stream_full_args)},
};

static const struct command_arg xinfo_groups_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
};

static const struct command_arg xinfo_consumers_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "groupname", .type = "string", .key_spec = -1},
};

static const struct command_arg xlen_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
};

static const struct command_arg xpending_filters_args[] = {
    {.name = "min-idle-time",
     .type = "integer",
     .token = "IDLE",
     .since = "6.2.0",
     .key_spec = -1,
     .is_optional = true},
    {.name = "start", .type = "string", .key_spec = -1},
    {.name = "end", .type = "string", .key_spec = -1},
    {.name = "count", .type = "integer", .key_spec = -1},
    {.name = "consumer", .type = "string", .key_spec = -1, .is_optional = true},
};

static const struct command_arg xpending_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "group", .type = "string", .key_spec = -1},
    {.name = "filters",
     .type = "block",
     .key_spec = -1,
     .is_optional = true,
     .args = xpending_filters_args,
     .arg_count = ARRAY_COUNT(xpending_filters_args)},
};

static const struct command_arg xrange_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "start", .type = "string", .key_spec = -1},
    {.name = "end", .type = "string", .key_spec = -1},
    {.name = "count", .type = "integer", .token = "COUNT", .key_spec = -1, .is_optional = true},
};

static const struct command_arg xread_streams_args[] = {
    {.name = "key", .type = "key", .key_spec = 0, .is_multiple = true},
    {.name = "id", .type = "string", .key_spec = -1, .is_multiple = true},
};

static const struct command_arg xread_args[] = {
    {.name = "count", .type = "integer", .token = "COUNT", .key_spec = -1, .is_optional = true},
    {.name = "milliseconds",
     .type = "integer",
     .token = "BLOCK",
     .key_spec = -1,
     .is_optional = true},
    {.name = "streams",
     .type = "block",
     .token = "STREAMS",
     .key_spec = -1,
     .args = xread_streams_args,
     .arg_count = ARRAY_COUNT(xread_streams_args)},
};

static const struct command_arg xreadgroup_group_consumer_args[] = {
    {.name = "group", .type = "string", .key_spec = -1},
    {.name = "consumer", .type = "string", .key_spec = -1},
};

static const struct command_arg xreadgroup_streams_args[] = {
    {.name = "key", .type = "key", .key_spec = 0, .is_multiple = true},
    {.name = "id", .type = "string", .key_spec = -1, .is_multiple = true},
};

static const struct command_arg xreadgroup_args[] = {
    {.name = "group-consumer",
     .type = "block",
     .token = "GROUP",
     .key_spec = -1,
     .args = xreadgroup_group_consumer_args,
     .arg_count = ARRAY_COUNT(xreadgroup_group_consumer_args)},
    {.name = "count", .type = "integer", .token = "COUNT", .key_spec = -1, .is_optional = true},
    {.name = "milliseconds",
     .type = "integer",
     .token = "BLOCK",
     .key_spec = -1,
     .is_optional = true},
    {.name = "noack", .type = "pure-token", .token = "NOACK", .key_spec = -1, .is_optional = true},
    {.name = "streams",
     .type = "block",
     .token = "STREAMS",
     .key_spec = -1,
     .args = xreadgroup_streams_args,
     .arg_count = ARRAY_COUNT(xreadgroup_streams_args)},
};

static const struct command_arg xrevrange_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "end", .type = "string", .key_spec = -1},
    {.name = "start", .type = "string", .key_spec = -1},
    {.name = "count", .type = "integer", .token = "COUNT", .key_spec = -1, .is_optional = true},
};

static const struct command_arg xsetid_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "last-id", .type = "string", .key_spec = -1},
    {.name = "entries-added",
     .type = "integer",
     .token = "ENTRIESADDED",
     .since = "7.0.0",
     .key_spec = -1,
     .is_optional = true},
    {.name = "max-deleted-entry-id",
     .type = "string",
     .token = "MAXDELETEDID",
     .since = "7.0.0",
     .key_spec = -1,
     .is_optional = true},
};

static const struct command_arg xtrim_trim_strategy_args[] = {
    {.name = "maxlen", .type = "pure-token", .token = "MAXLEN", .key_spec = -1},
    {.name = "minid", .type = "pure-token", .token = "MINID", .since = "6.2.0", .key_spec = -1},
};

static const struct command_arg xtrim_trim_operator_args[] = {
    {.name = "equal", .type = "pure-token", .token = "=", .key_spec = -1},
    {.name = "approximately", .type = "pure-token", .token = "~", .key_spec = -1},
};

static const struct command_arg xtrim_trim_args[] = {
    {.name = "strategy",
     .type = "oneof",
     .key_spec = -1,
     .args = xtrim_trim_strategy_args,
     .arg_count = ARRAY_COUNT(xtrim_trim_strategy_args)},
    {.name = "operator",
     .type = "oneof",
     .key_spec = -1,
     .is_optional = true,
     .args = xtrim_trim_operator_args,
     .arg_count = ARRAY_COUNT(xtrim_trim_operator_args)},
    {.name = "threshold", .type = "string", .key_spec = -1},
    {.name = "count",
     .type = "integer",
     .token = "LIMIT",
     .since = "6.2.0",
     .key_spec = -1,
     .is_optional = true},
};

static const struct command_arg xtrim_args[] = {
    {.name = "key", .type = "key", .key_spec = 0},
    {.name = "trim",
     .type = "block",
     .key_spec = -1,
     .args = xtrim_trim_args,
     .arg_count = ARRAY_COUNT(xtrim_trim_args)},
};

static const struct command_key_spec xack_keys[] = {
    {.flags = KEY_RW | KEY_UPDATE,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 1,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};

static const struct command_key_spec xadd_keys[] = {
    {.flags = KEY_RW | KEY_UPDATE,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 1,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};

static const struct command_key_spec xautoclaim_keys[] = {
    {.flags = KEY_RW | KEY_DELETE,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 1,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};

static const struct command_key_spec xclaim_keys[] = {
    {.flags = KEY_RW | KEY_UPDATE,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 1,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};

static const struct command_key_spec xdel_keys[] = {
    {.flags = KEY_RW | KEY_DELETE,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 1,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};

static const struct command_key_spec xgroup_create_keys[] = {
    {.flags = KEY_RW | KEY_INSERT,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 2,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};
static const struct command_key_spec xgroup_createconsumer_keys[] = {
    {.flags = KEY_RW | KEY_INSERT,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 2,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};
static const struct command_key_spec xgroup_delconsumer_keys[] = {
    {.flags = KEY_RW | KEY_DELETE,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 2,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};
static const struct command_key_spec xgroup_destroy_keys[] = {
    {.flags = KEY_RW | KEY_DELETE,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 2,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};
static const struct command_key_spec xgroup_setid_keys[] = {
    {.flags = KEY_RW | KEY_UPDATE,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 2,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};
static const struct command xgroup_subcommands[] = {
    {.name = "create",
     .summary = "Create a consumer group.",
     .since = "5.0.0",
     .group = "stream",
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .categories = CAT_STREAM | CAT_WRITE | CAT_SLOW,
     .key_specs = xgroup_create_keys,
     .key_spec_count = ARRAY_COUNT(xgroup_create_keys),
     .args = xgroup_create_args,
     .arg_count = ARRAY_COUNT(xgroup_create_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xgroup_create},
    {.name = "createconsumer",
     .summary = "Create a consumer of a group.",
     .since = "6.2.0",
     .group = "stream",
     .arity = 5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .categories = CAT_STREAM | CAT_WRITE | CAT_SLOW,
     .key_specs = xgroup_createconsumer_keys,
     .key_spec_count = ARRAY_COUNT(xgroup_createconsumer_keys),
     .args = xgroup_createconsumer_args,
     .arg_count = ARRAY_COUNT(xgroup_createconsumer_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xgroup_createconsumer},
    {.name = "delconsumer",
     .summary = "Remove a consumer of a group, and what is pending for it.",
     .since = "5.0.0",
     .group = "stream",
     .arity = 5,
     .flags = CMD_WRITE,
     .categories = CAT_STREAM | CAT_WRITE | CAT_SLOW,
     .key_specs = xgroup_delconsumer_keys,
     .key_spec_count = ARRAY_COUNT(xgroup_delconsumer_keys),
     .args = xgroup_delconsumer_args,
     .arg_count = ARRAY_COUNT(xgroup_delconsumer_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xgroup_delconsumer},
    {.name = "destroy",
     .summary = "Remove a consumer group.",
     .since = "5.0.0",
     .group = "stream",
     .arity = 4,
     .flags = CMD_WRITE,
     .categories = CAT_STREAM | CAT_WRITE | CAT_SLOW,
     .key_specs = xgroup_destroy_keys,
     .key_spec_count = ARRAY_COUNT(xgroup_destroy_keys),
     .args = xgroup_destroy_args,
     .arg_count = ARRAY_COUNT(xgroup_destroy_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xgroup_destroy},
    {.name = "help",
     .summary = "Lines of help about XGROUP.",
     .since = "5.0.0",
     .group = "stream",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .categories = CAT_STREAM | CAT_SLOW,
     .layer = COMMAND_DATA,
     .run = kv_command_xgroup_help},
    {.name = "setid",
     .summary = "Set the id that a consumer group was given last.",
     .since = "5.0.0",
     .group = "stream",
     .arity = -5,
     .flags = CMD_WRITE,
     .categories = CAT_STREAM | CAT_WRITE | CAT_SLOW,
     .key_specs = xgroup_setid_keys,
     .key_spec_count = ARRAY_COUNT(xgroup_setid_keys),
     .args = xgroup_setid_args,
     .arg_count = ARRAY_COUNT(xgroup_setid_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xgroup_setid},
};

static const struct command_key_spec xinfo_consumers_keys[] = {
    {.flags = KEY_RO | KEY_ACCESS,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 2,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};
static const struct command_key_spec xinfo_groups_keys[] = {
    {.flags = KEY_RO | KEY_ACCESS,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 2,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};
static const struct command_key_spec xinfo_stream_keys[] = {
    {.flags = KEY_RO | KEY_ACCESS,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 2,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};
static const struct command xinfo_subcommands[] = {
    {.name = "consumers",
     .summary = "The consumers of a group.",
     .since = "5.0.0",
     .group = "stream",
     .arity = 4,
     .flags = CMD_READONLY,
     .categories = CAT_STREAM | CAT_READ | CAT_SLOW,
     .key_specs = xinfo_consumers_keys,
     .key_spec_count = ARRAY_COUNT(xinfo_consumers_keys),
     .args = xinfo_consumers_args,
     .arg_count = ARRAY_COUNT(xinfo_consumers_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xinfo_consumers},
    {.name = "groups",
     .summary = "The consumer groups of a stream.",
     .since = "5.0.0",
     .group = "stream",
     .arity = 3,
     .flags = CMD_READONLY,
     .categories = CAT_STREAM | CAT_READ | CAT_SLOW,
     .key_specs = xinfo_groups_keys,
     .key_spec_count = ARRAY_COUNT(xinfo_groups_keys),
     .args = xinfo_groups_args,
     .arg_count = ARRAY_COUNT(xinfo_groups_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xinfo_groups},
    {.name = "help",
     .summary = "Lines of help about XINFO.",
     .since = "5.0.0",
     .group = "stream",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .categories = CAT_STREAM | CAT_SLOW,
     .layer = COMMAND_DATA,
     .run = kv_command_xinfo_help},
    {.name = "stream",
     .summary = "What a stream is; with FULL its groups and what is pending, too.",
     .since = "5.0.0",
     .group = "stream",
     .arity = -3,
     .flags = CMD_READONLY,
     .categories = CAT_STREAM | CAT_READ | CAT_SLOW,
     .key_specs = xinfo_stream_keys,
     .key_spec_count = ARRAY_COUNT(xinfo_stream_keys),
     .args = xinfo_stream_args,
     .arg_count = ARRAY_COUNT(xinfo_stream_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xinfo_stream},
};

static const struct command_key_spec xlen_keys[] = {
    {.flags = KEY_RO,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 1,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};

static const struct command_key_spec xpending_keys[] = {
    {.flags = KEY_RO | KEY_ACCESS,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 1,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};

static const struct command_key_spec xrange_keys[] = {
    {.flags = KEY_RO | KEY_ACCESS,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 1,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};

static const struct command_key_spec xread_keys[] = {
    {.flags = KEY_RO | KEY_ACCESS,
     .begin = KEY_BEGIN_KEYWORD,
     .begin_keyword = "STREAMS",
     .begin_start_from = 1,
     .find = KEY_FIND_RANGE,
     .range_last = -1,
     .range_step = 1,
     .range_limit = 2},
};

static const struct command_key_spec xreadgroup_keys[] = {
    {.flags = KEY_RO | KEY_ACCESS,
     .begin = KEY_BEGIN_KEYWORD,
     .begin_keyword = "STREAMS",
     .begin_start_from = 4,
     .find = KEY_FIND_RANGE,
     .range_last = -1,
     .range_step = 1,
     .range_limit = 2},
};

static const struct command_key_spec xrevrange_keys[] = {
    {.flags = KEY_RO | KEY_ACCESS,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 1,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};

static const struct command_key_spec xsetid_keys[] = {
    {.flags = KEY_RW | KEY_UPDATE,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 1,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};

static const struct command_key_spec xtrim_keys[] = {
    {.flags = KEY_RW | KEY_DELETE,
     .begin = KEY_BEGIN_INDEX,
     .begin_index = 1,
     .find = KEY_FIND_RANGE,
     .range_last = 0,
     .range_step = 1,
     .range_limit = 0},
};

const struct command command_table_stream[] = {
    {.name = "xack",
     .summary = "Take entries off what is pending for a consumer group.",
     .since = "5.0.0",
     .group = "stream",
     .arity = -4,
     .flags = CMD_WRITE | CMD_FAST,
     .categories = CAT_STREAM | CAT_WRITE | CAT_FAST,
     .key_specs = xack_keys,
     .key_spec_count = ARRAY_COUNT(xack_keys),
     .args = xack_args,
     .arg_count = ARRAY_COUNT(xack_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xack},
    {.name = "xadd",
     .summary = "Append an entry to a stream, and trim it.",
     .since = "5.0.0",
     .group = "stream",
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .categories = CAT_STREAM | CAT_WRITE | CAT_FAST,
     .key_specs = xadd_keys,
     .key_spec_count = ARRAY_COUNT(xadd_keys),
     .args = xadd_args,
     .arg_count = ARRAY_COUNT(xadd_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xadd},
    {.name = "xautoclaim",
     .summary = "Make the pending entries that have waited too long those of a consumer.",
     .since = "6.2.0",
     .group = "stream",
     .arity = -6,
     .flags = CMD_WRITE | CMD_FAST,
     .categories = CAT_STREAM | CAT_WRITE | CAT_FAST,
     .key_specs = xautoclaim_keys,
     .key_spec_count = ARRAY_COUNT(xautoclaim_keys),
     .args = xautoclaim_args,
     .arg_count = ARRAY_COUNT(xautoclaim_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xautoclaim},
    {.name = "xclaim",
     .summary = "Make pending entries those of a consumer.",
     .since = "5.0.0",
     .group = "stream",
     .arity = -6,
     .flags = CMD_WRITE | CMD_FAST,
     .categories = CAT_STREAM | CAT_WRITE | CAT_FAST,
     .key_specs = xclaim_keys,
     .key_spec_count = ARRAY_COUNT(xclaim_keys),
     .args = xclaim_args,
     .arg_count = ARRAY_COUNT(xclaim_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xclaim},
    {.name = "xdel",
     .summary = "Remove entries of a stream by their ids.",
     .since = "5.0.0",
     .group = "stream",
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     .categories = CAT_STREAM | CAT_WRITE | CAT_FAST,
     .key_specs = xdel_keys,
     .key_spec_count = ARRAY_COUNT(xdel_keys),
     .args = xdel_args,
     .arg_count = ARRAY_COUNT(xdel_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xdel},
    {.name = "xgroup",
     .summary = COMMAND_CONTAINER_SUMMARY,
     .since = "5.0.0",
     .group = "stream",
     .arity = -2,
     .categories = CAT_SLOW,
     .subcommands = xgroup_subcommands,
     .subcommand_count = ARRAY_COUNT(xgroup_subcommands),
     .layer = COMMAND_CONTAINER},
    {.name = "xinfo",
     .summary = COMMAND_CONTAINER_SUMMARY,
     .since = "5.0.0",
     .group = "stream",
     .arity = -2,
     .categories = CAT_SLOW,
     .subcommands = xinfo_subcommands,
     .subcommand_count = ARRAY_COUNT(xinfo_subcommands),
     .layer = COMMAND_CONTAINER},
    {.name = "xlen",
     .summary = "The number of entries of a stream.",
     .since = "5.0.0",
     .group = "stream",
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     .categories = CAT_STREAM | CAT_FAST | CAT_READ,
     .key_specs = xlen_keys,
     .key_spec_count = ARRAY_COUNT(xlen_keys),
     .args = xlen_args,
     .arg_count = ARRAY_COUNT(xlen_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xlen},
    {.name = "xpending",
     .summary = "What is pending for a consumer group.",
     .since = "5.0.0",
     .group = "stream",
     .arity = -3,
     .flags = CMD_READONLY,
     .categories = CAT_STREAM | CAT_READ | CAT_SLOW,
     .key_specs = xpending_keys,
     .key_spec_count = ARRAY_COUNT(xpending_keys),
     .args = xpending_args,
     .arg_count = ARRAY_COUNT(xpending_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xpending},
    {.name = "xrange",
     .summary = "Entries of a stream between two ids.",
     .since = "5.0.0",
     .group = "stream",
     .arity = -4,
     .flags = CMD_READONLY,
     .categories = CAT_STREAM | CAT_READ | CAT_SLOW,
     .key_specs = xrange_keys,
     .key_spec_count = ARRAY_COUNT(xrange_keys),
     .args = xrange_args,
     .arg_count = ARRAY_COUNT(xrange_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xrange},
    {.name = "xread",
     .summary = "Entries of streams behind an id each; may wait for them.",
     .since = "5.0.0",
     .group = "stream",
     .arity = -4,
     .flags = CMD_BLOCKING | CMD_READONLY | CMD_MOVABLEKEYS,
     .categories = CAT_STREAM | CAT_BLOCKING | CAT_READ | CAT_SLOW,
     .key_specs = xread_keys,
     .key_spec_count = ARRAY_COUNT(xread_keys),
     .args = xread_args,
     .arg_count = ARRAY_COUNT(xread_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xread},
    {.name = "xreadgroup",
     .summary = "Entries of streams for a consumer of a group; may wait for them.",
     .since = "5.0.0",
     .group = "stream",
     .arity = -7,
     .flags = CMD_BLOCKING | CMD_WRITE | CMD_MOVABLEKEYS,
     .categories = CAT_STREAM | CAT_BLOCKING | CAT_WRITE | CAT_SLOW,
     .key_specs = xreadgroup_keys,
     .key_spec_count = ARRAY_COUNT(xreadgroup_keys),
     .args = xreadgroup_args,
     .arg_count = ARRAY_COUNT(xreadgroup_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xreadgroup},
    {.name = "xrevrange",
     .summary = "Entries of a stream between two ids, the last first.",
     .since = "5.0.0",
     .group = "stream",
     .arity = -4,
     .flags = CMD_READONLY,
     .categories = CAT_STREAM | CAT_READ | CAT_SLOW,
     .key_specs = xrevrange_keys,
     .key_spec_count = ARRAY_COUNT(xrevrange_keys),
     .args = xrevrange_args,
     .arg_count = ARRAY_COUNT(xrevrange_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xrevrange},
    {.name = "xsetid",
     .summary = "Set the last id of a stream, and its counters.",
     .since = "5.0.0",
     .group = "stream",
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .categories = CAT_STREAM | CAT_WRITE | CAT_FAST,
     .key_specs = xsetid_keys,
     .key_spec_count = ARRAY_COUNT(xsetid_keys),
     .args = xsetid_args,
     .arg_count = ARRAY_COUNT(xsetid_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xsetid},
    {.name = "xtrim",
     .summary = "Remove entries from the beginning of a stream.",
     .since = "5.0.0",
     .group = "stream",
     .arity = -4,
     .flags = CMD_WRITE,
     .categories = CAT_STREAM | CAT_WRITE | CAT_SLOW,
     .key_specs = xtrim_keys,
     .key_spec_count = ARRAY_COUNT(xtrim_keys),
     .args = xtrim_args,
     .arg_count = ARRAY_COUNT(xtrim_args),
     .layer = COMMAND_DATA,
     .run = kv_command_xtrim},
};
const uint32_t command_table_stream_count = ARRAY_COUNT(command_table_stream);
