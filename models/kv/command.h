/* models/kv/command.h - the one table of Redis commands.
 *
 * All of Redis 7.2's commands stand in it, as COMMAND, ACL categories and smart clients need
 * their arity, flags and key positions. A command whose `layer` is COMMAND_ABSENT is described
 * and answers an error that says that Orbit does not have it. COMMAND DOCS, routing by key and
 * docs/protocol/resp.md come from this table. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/slice.h"
#include "engine/rt/fiber.h"

struct kv_request;

/* Flags as COMMAND INFO names them. */
enum command_flag {
    CMD_WRITE = 1 << 0,
    CMD_READONLY = 1 << 1,
    CMD_DENYOOM = 1 << 2,
    CMD_ADMIN = 1 << 3,
    CMD_PUBSUB = 1 << 4,
    CMD_NOSCRIPT = 1 << 5,
    CMD_BLOCKING = 1 << 6,
    CMD_LOADING = 1 << 7,
    CMD_STALE = 1 << 8,
    CMD_SKIP_MONITOR = 1 << 9,
    CMD_SKIP_SLOWLOG = 1 << 10,
    CMD_ASKING = 1 << 11,
    CMD_FAST = 1 << 12,
    CMD_NO_AUTH = 1 << 13,
    CMD_MAY_REPLICATE = 1 << 14,
    CMD_MOVABLEKEYS = 1 << 15,
    CMD_ALLOW_BUSY = 1 << 16,
    CMD_NO_ASYNC_LOADING = 1 << 17,
    CMD_NO_MULTI = 1 << 18,
    CMD_NO_MANDATORY_KEYS = 1 << 19,
};

/* ACL categories, in Redis's order of bits. */
enum command_category {
    CAT_KEYSPACE = 1 << 0,
    CAT_READ = 1 << 1,
    CAT_WRITE = 1 << 2,
    CAT_SET = 1 << 3,
    CAT_SORTEDSET = 1 << 4,
    CAT_LIST = 1 << 5,
    CAT_HASH = 1 << 6,
    CAT_STRING = 1 << 7,
    CAT_BITMAP = 1 << 8,
    CAT_HYPERLOGLOG = 1 << 9,
    CAT_GEO = 1 << 10,
    CAT_STREAM = 1 << 11,
    CAT_PUBSUB = 1 << 12,
    CAT_ADMIN = 1 << 13,
    CAT_FAST = 1 << 14,
    CAT_SLOW = 1 << 15,
    CAT_BLOCKING = 1 << 16,
    CAT_DANGEROUS = 1 << 17,
    CAT_CONNECTION = 1 << 18,
    CAT_TRANSACTION = 1 << 19,
    CAT_SCRIPTING = 1 << 20,
};

/* Key specification flags. */
enum command_key_flag {
    KEY_RO = 1 << 0,
    KEY_RW = 1 << 1,
    KEY_OW = 1 << 2,
    KEY_RM = 1 << 3,
    KEY_ACCESS = 1 << 4,
    KEY_UPDATE = 1 << 5,
    KEY_INSERT = 1 << 6,
    KEY_DELETE = 1 << 7,
    KEY_NOT_KEY = 1 << 8,
    KEY_INCOMPLETE = 1 << 9,
    KEY_VARIABLE_FLAGS = 1 << 10,
};

enum command_key_begin { KEY_BEGIN_UNKNOWN, KEY_BEGIN_INDEX, KEY_BEGIN_KEYWORD };
enum command_key_find { KEY_FIND_UNKNOWN, KEY_FIND_RANGE, KEY_FIND_KEYNUM };

struct command_key_spec {
    uint32_t flags; /* enum command_key_flag */
    const char *notes;
    uint8_t begin; /* enum command_key_begin */
    uint8_t find;  /* enum command_key_find */
    int16_t begin_index;
    const char *begin_keyword;
    int16_t begin_start_from;
    int16_t range_last, range_step, range_limit;
    int16_t keynum_index, keynum_first, keynum_step;
};

struct command_arg {
    const char *name;
    const char *type; /* "string", "integer", "key", "oneof", "block", "pure-token", ... */
    const char *token;
    const char *display;
    const char *since;
    const char *deprecated_since;
    int16_t key_spec; /* -1: none */
    bool is_optional, is_multiple, is_multiple_token;
    const struct command_arg *args; /* Of oneof and block. */
    uint8_t arg_count;
};

struct command_history {
    const char *since;
    const char *change;
};

enum command_layer {
    COMMAND_ABSENT,   /* Known by description, refused when called. */
    COMMAND_DATA,     /* models/kv runs it on the shard of its keys. */
    COMMAND_KEYSPACE, /* models/kv runs it on the session's shard; it calls the others itself. */
    COMMAND_SESSION,  /* net runs it on the session's shard. */
    COMMAND_CONTAINER /* Has subcommands only. */
};

struct command {
    const char *name; /* Lower case; a subcommand without its parent's name. */
    const char *summary, *since, *group, *complexity;
    const char *deprecated_since, *replaced_by;
    int16_t arity; /* Of the whole call; negative: at least. */
    uint32_t flags;
    uint32_t categories; /* Complete, implied ones (read, write, fast, slow ...) included. */
    const struct command_history *history;
    uint8_t history_count;
    const char *const *tips;
    uint8_t tip_count;
    const struct command_key_spec *key_specs;
    uint8_t key_spec_count;
    const struct command_arg *args;
    uint8_t arg_count;
    const struct command *subcommands;
    uint8_t subcommand_count;
    uint8_t layer;  /* enum command_layer */
    bool is_script; /* Runs other commands as its statements, and may write. */
    /* COMMAND_DATA and COMMAND_KEYSPACE. */
    YIELDS void (*run)(struct kv_request *request);
};

/* The top-level commands, sorted by name. */
uint32_t command_count(void);
const struct command *command_at(uint32_t index);

/* A dense number of every command and subcommand, 0..command_ids()-1: for counters by command. */
uint32_t command_id(const struct command *command);
uint32_t command_ids(void);
const struct command *command_by_id(uint32_t id);
/* The container of a subcommand; NULL for a top-level command. */
const struct command *command_parent(const struct command *command);
/* "config|get"; valid for ever. */
const char *command_full_name(const struct command *command);

/* Build the lookup tables. Once, before any shard starts; read-only afterwards. */
void command_table_init(void);

/* By name, any case; NULL if there is none. `container|sub` finds a subcommand. */
const struct command *command_find(struct slice name);
/* By the words of a call: resolves subcommands (argv[1]). NULL: unknown command or subcommand;
 * a container called without a subcommand resolves to itself. */
const struct command *command_resolve(const struct slice *argv, uint32_t argc);
/* Is the word this one, in any case? Options of commands are compared so. */
bool command_word_is(struct slice word, const char *text);
bool command_arity_fits(const struct command *command, uint32_t argc);

/* Positions of the keys of a call, with the flags of their specs. Writes at most `max`; returns
 * how many there are, or -1 when the arguments do not fit the specs. */
struct command_key {
    uint32_t index;
    uint32_t flags;
};
int32_t command_keys(const struct command *command, const struct slice *argv, uint32_t argc,
                     struct command_key *keys_out, uint32_t max);
/* What this call does to a key whose spec has `flags`: where that is KEY_VARIABLE_FLAGS, the
 * options of the call decide. */
uint32_t command_key_flags(const struct command *command, uint32_t flags, const struct slice *argv,
                           uint32_t argc);

/* Name of one flag or category bit: "write", "keyspace"; NULL beyond the last. */
const char *command_flag_name(uint32_t bit_index);
const char *command_category_name(uint32_t bit_index);
const char *command_key_flag_name(uint32_t bit_index);
