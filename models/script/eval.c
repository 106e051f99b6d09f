/* models/script/eval.c - EVAL, EVALSHA and their read-only forms. */
#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/script/commands.h"
#include "models/script/internal.h"

#include "engine/base/poison.h"

enum { WORDS_BEFORE_KEYS = 3 };

/* ---- What EVAL and FCALL have in common ---- */

static const char *const flag_names[] = {
    "no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys",
};

bool
script_flag_parse(struct slice word, uint32_t *flags)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(flag_names); i++) {
        if (command_word_is(word, flag_names[i])) {
            *flags |= 1u << i;
            return true;
        }
    }
    return false;
}

const char *
script_flag_name(uint32_t bit_index)
{
    return bit_index < ARRAY_COUNT(flag_names) ? flag_names[bit_index] : NULL;
}

bool
script_key_count(struct kv_request *request, uint32_t *count_out)
{
    int64_t count;

    if (!kv_parse_int(request, request->argv[2], &count)) {
        return false;
    }
    if (count > (int64_t)request->argc - WORDS_BEFORE_KEYS) {
        reply_error(request->reply, "ERR Number of keys can't be greater than number of args");
        return false;
    }
    if (count < 0) {
        reply_error(request->reply, "ERR Number of keys can't be negative");
        return false;
    }
    *count_out = (uint32_t)count;
    return true;
}

bool
script_may_run(struct kv_request *request, uint32_t flags, bool has_flags)
{
    bool is_read_only = (request->command->flags & CMD_READONLY) != 0;

    if (is_read_only && has_flags && (flags & SCRIPT_NO_WRITES) == 0) {
        reply_error(request->reply,
                    "ERR Can not execute a script with write flag using *_ro command.");
        return false;
    }
    if (has_flags && request->is_over_memory &&
        (flags & (SCRIPT_ALLOW_OOM | SCRIPT_NO_WRITES)) == 0) {
        reply_error(request->reply, KV_OUT_OF_MEMORY_TEXT);
        return false;
    }
    return true;
}

/* ---- Running a text ---- */

struct eval {
    struct script_run run;
    struct script *script;
    uint32_t key_count;
};

static int
closure_push(lua_State *L)
{
    script_push_closure(L, lua_touserdata(L, 1));
    return 1;
}

static YIELDS int
eval_protected(lua_State *L)
{
    struct eval *eval = lua_touserdata(L, 1);
    const struct kv_request *request = eval->run.request;
    const struct slice *words = request->argv + WORDS_BEFORE_KEYS;

    lua_pushcfunction(L, closure_push);
    lua_pushlightuserdata(L, eval->script);
    if (lua_pcall(L, 1, 1, 0) != 0) {
        reply_error(request->reply, "ERR Error compiling script (new function): %s",
                    lua_tostring(L, -1));
        return 0;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, eval->run.runner->names);
    lua_pushliteral(L, "KEYS");
    script_push_words(L, words, eval->key_count);
    lua_rawset(L, -3);
    lua_pushliteral(L, "ARGV");
    script_push_words(L, words + eval->key_count,
                      request->argc - WORDS_BEFORE_KEYS - eval->key_count);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    script_run_call(&eval->run, 0);
    script_keep_closure(L, eval->script);
    return 0;
}

static YIELDS void
eval_run(struct script_run *run)
{
    struct eval *eval = run->arg;

    (void)script_protected(run, eval_protected, eval, "ERR ");
}

static YIELDS void
script_execute(struct kv_request *request, struct scripts *scripts, struct script *script,
               uint32_t key_count)
{
    struct eval eval = {
        .run =
            {
                .scripts = scripts,
                .request = request,
                .name = script->sha,
                .fn = eval_run,
                .is_shown = true,
                .flags = script->flags,
                .has_flags = script->has_shebang,
                .is_read_only = (request->command->flags & CMD_READONLY) != 0 ||
                                (script->flags & SCRIPT_NO_WRITES) != 0,
            },
        .script = script,
        .key_count = key_count,
    };

    eval.run.arg = &eval;
    if (!script_may_run(request, script->flags, script->has_shebang)) {
        return;
    }
    script_pin(script);
    (void)script_run_execute(&eval.run);
    script_release(scripts, script);
}

void
script_command_eval(struct kv_request *request)
{
    struct scripts *scripts = scripts_get(kv_self());
    struct slice text = request->argv[1];
    struct script *script;
    struct slice body;
    uint32_t key_count;
    uint32_t flags;
    bool has_flags;

    if (!script_key_count(request, &key_count)) {
        return;
    }
    script = script_find_text(scripts, text);
    if (script == NULL) {
        if (!script_shebang_parse(request, text, &flags, &has_flags, &body)) {
            return;
        }
        script = script_add(scripts, text, flags, has_flags);
    }
    if (script == NULL) {
        reply_error(request->reply, "OOM no memory for a script of %zu bytes", text.size);
        return;
    }
    script_execute(request, scripts, script, key_count);
}

/* ---- By name ---- */

/* At another shard: its copy of the text. */
struct text_ask {
    struct slice sha;
    uint8_t *text; /* Out: made there, owned here after the answer; NULL: not there. */
    size_t size;
    uint32_t flags;
    bool has_shebang, is_kept;
};

static void
text_give(void *arg)
{
    struct text_ask *ask = arg;
    struct kv *kv = kv_self();
    const struct script *script =
        kv->scripts == NULL ? NULL : script_find_sha(kv->scripts, ask->sha);

    if (script == NULL) {
        return;
    }
    ask->text = mem_alloc(MEM_SESSIONS, script->text.size + 1);
    if (ask->text == NULL) {
        return;
    }
    if (script->text.size > 0) {
        memcpy(ask->text, script->text.data, script->text.size);
    }
    ask->size = script->text.size;
    ask->flags = script->flags;
    ask->has_shebang = script->has_shebang;
    ask->is_kept = script->is_kept;
    mem_disown(MEM_SESSIONS, ask->text, ask->size + 1);
}

static YIELDS struct script *
script_fetch(struct scripts *scripts, struct slice sha)
{
    struct script *script = NULL;

    for (uint32_t shard = 0; shard < shard_count() && sha.size == SHA1_HEX_BYTES; shard++) {
        struct text_ask ask = {.sha = sha};

        if (shard == shard_id()) {
            continue;
        }
        msg_call(shard, MSG_INLINE, text_give, &ask);
        if (ask.text == NULL) {
            continue;
        }
        mem_adopt(MEM_SESSIONS, ask.text, ask.size + 1);
        script = script_find_sha(scripts, sha); /* Somebody else may have been quicker. */
        if (script == NULL) {
            script = script_add(scripts, slice_of(ask.text, ask.size), ask.flags, ask.has_shebang);
        }
        if (script != NULL && script->is_cached) {
            script->is_kept |= ask.is_kept;
        }
        mem_free(MEM_SESSIONS, ask.text, ask.size + 1);
        break;
    }
    return script;
}

void
script_command_evalsha(struct kv_request *request)
{
    struct scripts *scripts = scripts_get(kv_self());
    struct script *script;
    uint32_t key_count;

    if (request->argv[1].size != SHA1_HEX_BYTES) {
        reply_error(request->reply, "NOSCRIPT No matching script. Please use EVAL.");
        return;
    }
    if (!script_key_count(request, &key_count)) {
        return;
    }
    script = script_find_sha(scripts, request->argv[1]);
    if (script == NULL && shard_count() > 1) {
        if (request->txn != NULL) {
            txn_hold(request->txn);
        }
        script = script_fetch(scripts, request->argv[1]);
    }
    if (script == NULL) {
        reply_error(request->reply, "NOSCRIPT No matching script. Please use EVAL.");
        return;
    }
    script_execute(request, scripts, script, key_count);
}
