/* models/script/library.h - libraries of functions: in the store, and compiled on each shard.
 *
 * The texts lie in the store of every shard, written by one commit, beside a number of the whole
 * set that each change draws anew. Who calls a function reads the number in his transaction and
 * compiles the texts again if it is not that of the compiled ones: so all shards see a new library
 * at once, at the commit. */
#pragma once

#include "models/script/internal.h"

enum {
    FUNCTIONS_BUCKETS = 256,
    FUNCTIONS_NAME_BYTES_MAX = 1024,
    FUNCTIONS_LIBRARIES_MAX = 4096,
    FUNCTIONS_CODE_BYTES_MAX = 64 << 20, /* Of all libraries. */
    FUNCTIONS_ERROR_BYTES = 512,
};

/* A set of compiled libraries. */
struct functions {
    uint64_t generation;                    /* 0: there is none in the store. */
    struct list libraries;                  /* struct script_library.link, by name. */
    struct list buckets[FUNCTIONS_BUCKETS]; /* struct script_function.link */
    uint32_t library_count, function_count;
    uint64_t code_bytes;
};

struct functions *functions_new(void);
/* Its callbacks are forgotten. Accepts NULL; clears the pointer. */
void functions_drop(struct scripts *scripts, struct functions **functions);
struct script_library *functions_library(const struct functions *functions, struct slice name);
/* In any case. */
struct script_function *functions_find(const struct functions *functions, struct slice name);

/* The shebang line: #!lua name=x. False: error says what is wrong. */
bool functions_name_parse(struct arena *arena, struct slice code, struct slice *name_out,
                          char error[FUNCTIONS_ERROR_BYTES]);
/* Runs the text of a library, in run->fn; adds what it registers. False: error says why not, and
 * nothing of it is there. `code` is copied. */
bool functions_compile(struct script_run *run, struct functions *functions, struct slice name,
                       struct slice code, char error[FUNCTIONS_ERROR_BYTES]);
/* scripts->functions is what run's transaction sees, in run->fn. False after an error reply. */
YIELDS bool functions_sync(struct script_run *run);

/* In the transaction, on all shards. Changing draws a new number. */
void functions_put(struct txn *txn, struct slice name, struct slice code);
void functions_delete(struct txn *txn, struct slice name);
void functions_delete_all(struct txn *txn);
/* redis.register_function, while a library is loaded. */
RAISES int functions_register(lua_State *L);
