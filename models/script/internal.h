/* models/script/internal.h - what the files of scripts share.
 *
 * One Lua state a shard; each run has a Lua thread and a global table of its own, and a fiber whose
 * stack is its C stack. Where a function may raise a Lua error it says RAISES: it leaves by a long
 * jump, so that its callers own nothing then that only they know of. */
#pragma once

#include <lua5.1/lauxlib.h>
#include <lua5.1/lua.h>
#include <lua5.1/lualib.h>

#include "engine/base/list.h"
#include "engine/base/mem.h"
#include "models/kv/internal.h"
#include "models/script/script.h"
#include "models/script/sha1.h"

#define RAISES

enum {
    SCRIPT_LUA_BYTES_MAX = 256 << 20,  /* Held by the Lua state of a shard: beyond, Lua's "not
                                          enough memory". */
    SCRIPT_CACHE_BYTES_MAX = 64 << 20, /* Of scripts' texts on a shard. */
    SCRIPT_CACHE_SCRIPTS_MAX = 16384,
    SCRIPT_RUNNERS_KEPT = 64,        /* Lua threads kept for the next run. */
    SCRIPT_CLOSURES_KEPT = 8,        /* Of one script, for runs at the same time. */
    SCRIPT_RUNS_MAX = 4096,          /* Under way on a shard. */
    SCRIPT_STACK_BYTES = 512 << 10,  /* FIBER_STACK_LARGE */
    SCRIPT_STACK_RESERVE = 96 << 10, /* Of it, for a command and its callers. */
    SCRIPT_REPLY_DEPTH_MAX = 400,    /* Of nested tables in a script's reply. */
    SCRIPT_HOOK_INSTRUCTIONS = 1000, /* Of Lua, between two looks at the time, */
    SCRIPT_HOOK_UNITS = 75,          /* which count as so much work (fiber_work). */
    SCRIPT_TIME_MS_MAX = 600000,     /* A script that runs longer is ended. */
    SCRIPT_LOAD_MS_MAX = 500,        /* The same for the text of a library. */
    SCRIPT_BUCKETS = 1024,
};

/* What the shebang line of a script, or a function's registration, says. */
enum script_flag {
    SCRIPT_NO_WRITES = 1 << 0,
    SCRIPT_ALLOW_OOM = 1 << 1,
    SCRIPT_ALLOW_STALE = 1 << 2,
    SCRIPT_NO_CLUSTER = 1 << 3,
    SCRIPT_CROSS_SLOT = 1 << 4,
};
/* "no-writes"; false for an unknown one. */
bool script_flag_parse(struct slice word, uint32_t *flags);
const char *script_flag_name(uint32_t bit_index); /* NULL beyond the last. */

/* A cached text: cache.c */
struct script {
    struct list sha_link, text_link; /* In their buckets. */
    struct list age_link;            /* scripts->by_age, oldest first. */
    char sha[SHA1_HEX_BYTES + 1];
    uint64_t text_hash;
    struct slice text; /* Owned. */
    uint32_t flags;
    bool has_shebang;
    bool is_kept;   /* By SCRIPT LOAD: not evicted. */
    bool is_cached; /* Otherwise the last run frees it. */
    uint32_t runs;
    uint32_t closure_count;
    int closures[SCRIPT_CLOSURES_KEPT]; /* References to functions that no run uses. */
};

/* A Lua thread with its global table, kept for the next run. */
struct script_runner {
    struct list link;
    lua_State *L;
    int thread, globals, names; /* References; names: KEYS, ARGV and _G. */
};

struct script_library;

/* A compiled function of a library: library.c */
struct script_function {
    struct list link; /* In its bucket. */
    struct script_library *library;
    struct slice name, description; /* Owned; description.data NULL: none. */
    int callback;                   /* Reference. */
    uint32_t flags;
};

struct script_library {
    struct list link;        /* Of its set, by name. */
    struct slice name, code; /* Owned. */
    uint32_t function_count;
};

struct scripts {
    struct kv *kv;
    lua_State *L;
    uint64_t lua_bytes;
    struct script_run *current; /* The run that executes now: set again after each suspension. */
    struct list running;        /* struct script_run.link */
    uint32_t run_count;
    struct list runners; /* Idle. */
    uint32_t runner_count;
    struct list by_sha[SCRIPT_BUCKETS], by_text[SCRIPT_BUCKETS], by_age;
    uint32_t script_count;
    uint64_t text_bytes;
    struct functions *functions; /* library.c */
    uint64_t calls, killed;
};

/* Why a run is to end. */
enum script_end {
    SCRIPT_GOES_ON,
    SCRIPT_KILLED,
    SCRIPT_TIMED_OUT,
    SCRIPT_CLIENT_GONE,
    SCRIPT_TXN_FAILED, /* run->request->err says why; the statement has replied it. */
    SCRIPT_MUST_BE_ALONE,
};

/* One attempt of one call. */
struct script_run {
    struct list link; /* scripts->running */
    struct scripts *scripts;
    struct kv_request *request;
    struct script_runner *runner;
    const char *name;                          /* For errors: the SHA-1, or the function's name. */
    bool is_shown;                             /* In FUNCTION STATS: a script or a function. */
    YIELDS void (*fn)(struct script_run *run); /* On the large stack. */
    void *arg;
    struct load *load; /* While the text of a library runs: library.c */
    bool is_function;  /* FCALL: FUNCTION KILL may end it, SCRIPT KILL not. */
    bool is_loading;   /* The text of a library runs: there is no redis.call. */
    bool is_read_only;
    uint32_t flags; /* enum script_flag */
    bool has_flags; /* There was a shebang line. */
    bool is_slow;   /* It has been logged. */
    uint8_t resp;
    enum script_end end;
    uint32_t db;
    uint64_t begun_us;
    uint64_t seed; /* 48 bits, of math.random. */
    const uint8_t *stack_base;
    struct arena arena; /* Of a statement. */
    struct reply reply; /* The same. */
    struct fiber *waiter;
    bool is_done;
};

static inline struct scripts *
scripts_of(lua_State *L)
{
    void *scripts;

    (void)lua_getallocf(L, &scripts);
    return scripts;
}

/* ---- state.c: the Lua state and its libraries ---- */

/* Made at the first call. */
struct scripts *scripts_get(struct kv *kv);
/* Raises "stack overflow" unless the C stack has room for so many more bytes. */
RAISES void script_stack_check(lua_State *L, size_t bytes);
/* Raises what ends the run, if it is to end. */
RAISES void script_end_check(lua_State *L);
/* Puts a table on the stack that shows the one at the top (which it replaces) and takes no write.
 */
RAISES void script_protect(lua_State *L);
/* Is the value a table made by script_protect? */
bool script_is_protected(lua_State *L, int index);
RAISES int script_raise_protected(lua_State *L);

/* ---- run.c ---- */

/* Runs run->fn on a fiber with a large stack, within a Lua thread of its own, and waits for it. The
 * caller has set request, name, fn, arg, flags. False after an error reply: too many runs. */
YIELDS bool script_run_execute(struct script_run *run);
/* Calls the function below its arguments at the top of the run's thread, and replies what it
 * returns or the error. In run->fn. */
YIELDS void script_run_call(struct script_run *run, int arguments);
/* Pushes KEYS and ARGV of EVAL's and FCALL's words; count as parsed. */
RAISES void script_push_words(lua_State *L, const struct slice *words, uint32_t count);
/* Calls fn(L) with one light userdata, in protected mode; an error is replied with the prefix. */
bool script_protected(struct script_run *run, lua_CFunction fn, void *arg, const char *prefix);
/* How many keys the third word says; replies and returns false. */
bool script_key_count(struct kv_request *request, uint32_t *count_out);
/* May a script with these flags run as this command? Replies and returns false. */
bool script_may_run(struct kv_request *request, uint32_t flags, bool has_flags);
void script_hook(lua_State *L, lua_Debug *debug);
/* Ends runs here: of the session (0: any), of functions or of scripts. How many. */
uint32_t scripts_end(struct scripts *scripts, uint64_t session, bool is_function,
                     enum script_end end);

/* ---- convert.c ---- */

/* Pushes the reply at the reader's place as a Lua value. False: malformed. */
RAISES bool script_push_reply(lua_State *L, struct slice *bytes);
/* Replies the value at the top of the stack, and pops it. */
RAISES void script_reply(lua_State *L, struct reply *reply, uint8_t script_resp);
/* An error of any length, in one line. */
void script_reply_error(struct reply *reply, struct slice text);
/* Pushes {err = text}; a code is put in front where there is none, and line ends become spaces. */
RAISES void script_push_error(lua_State *L, const char *text);

/* ---- Libraries ---- */

RAISES void script_api_open(lua_State *L);     /* api.c: leaves the table `redis`. */
RAISES void script_sandbox_open(lua_State *L); /* sandbox.c: leaves the table of globals. */
RAISES void script_pattern_open(lua_State *L); /* The functions of `string` that use patterns. */
RAISES int script_bit_open(lua_State *L);      /* bit.c; each leaves its table. */
RAISES int script_struct_open(lua_State *L);   /* struct.c */
RAISES int script_msgpack_open(lua_State *L);  /* msgpack.c */
RAISES int script_json_open(lua_State *L);     /* json.c */

/* ---- cache.c ---- */

/* The script of that text (made if need be), or of that name; NULL: not here. */
struct script *script_find_text(struct scripts *scripts, struct slice text);
struct script *script_find_sha(struct scripts *scripts, struct slice sha);
/* Adds it to the cache; the text is copied. When there is no room it is not cached, and the caller
 * frees it with script_release. */
struct script *script_add(struct scripts *scripts, struct slice text, uint32_t flags,
                          bool has_shebang);
void script_pin(struct script *script);
void script_release(struct scripts *scripts, struct script *script);
void scripts_cache_clear(struct scripts *scripts);
/* The shebang line of a text. Replies and returns false. body_out: behind it, with its line end. */
bool script_shebang_parse(struct kv_request *request, struct slice text, uint32_t *flags_out,
                          bool *has_out, struct slice *body_out);
/* Pushes the function of the script's text. Raises what is wrong with it. */
RAISES void script_push_closure(lua_State *L, struct script *script);
/* The function at the top goes back for the next run. */
RAISES void script_keep_closure(lua_State *L, struct script *script);

/* ---- library.c ---- */

void functions_free(struct scripts *scripts);
/* Of the compiled set. */
void functions_count(const struct scripts *scripts, uint64_t *libraries_out,
                     uint64_t *functions_out);
