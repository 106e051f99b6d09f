/* models/script/script_commands.c - SCRIPT LOAD, EXISTS, FLUSH, KILL, DEBUG, HELP. */
#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/script/commands.h"
#include "models/script/internal.h"

#include "engine/base/poison.h"

/* ---- LOAD: compiled here, for its errors; kept on every shard ---- */

struct load_run {
    struct script_run run;
    struct script *script;
};

static int
load_protected(lua_State *L)
{
    struct script *script = lua_touserdata(L, 1);

    script_push_closure(L, script);
    script_keep_closure(L, script);
    return 0;
}

static YIELDS void
load_compile(struct script_run *run)
{
    struct load_run *load = run->arg;

    if (script_protected(run, load_protected, load->script,
                         "ERR Error compiling script (new function): ")) {
        reply_bulk_text(run->request->reply, load->script->sha);
    }
}

struct load_step {
    struct slice text;
    uint32_t flags;
    bool has_shebang;
    bool is_full; /* Out. */
};

static struct script *
text_keep(struct scripts *scripts, const struct load_step *load)
{
    struct script *script = script_find_text(scripts, load->text);

    return script != NULL ? script
                          : script_add(scripts, load->text, load->flags, load->has_shebang);
}

static void
load_step_run(void *arg)
{
    struct load_step *load = arg;
    struct scripts *scripts = scripts_get(kv_self());
    struct script *script = text_keep(scripts, load);

    load->is_full = script == NULL || !script->is_cached;
    if (script != NULL) {
        script->is_kept = true;
        script_pin(script);
        script_release(scripts, script);
    }
}

/* Does it compile? Otherwise it is replied. */
static YIELDS bool
load_check(struct kv_request *request, struct scripts *scripts, const struct load_step *step)
{
    struct reply_mark mark = reply_mark(request->reply);
    struct script *script = text_keep(scripts, step);
    struct load_run load = {
        .run = {.scripts = scripts, .request = request, .name = "load", .fn = load_compile},
        .script = script,
    };
    bool has_failed;

    if (script == NULL) {
        reply_error(request->reply, "OOM no memory for a script of %zu bytes", step->text.size);
        return false;
    }
    load.run.arg = &load;
    script_pin(script);
    (void)script_run_execute(&load.run);
    script_release(scripts, script);
    has_failed = request->reply->errors != mark.errors;
    return !has_failed;
}

void
script_command_load(struct kv_request *request)
{
    struct reply_mark mark = reply_mark(request->reply);
    struct load_step steps[SHARDS_MAX] = {{.text = request->argv[2]}};
    struct slice body;

    if (!script_shebang_parse(request, steps[0].text, &steps[0].flags, &steps[0].has_shebang,
                              &body) ||
        !load_check(request, scripts_get(kv_self()), &steps[0])) {
        return;
    }
    for (uint32_t i = 1; i < shard_count(); i++) {
        steps[i] = steps[0];
    }
    msg_call_all(MSG_INLINE, load_step_run, steps, sizeof(*steps));
    for (uint32_t i = 0; i < shard_count(); i++) {
        if (steps[i].is_full) {
            reply_cut(request->reply, mark);
            reply_error(request->reply,
                        "ERR the cache holds at most %d scripts of %d bytes; SCRIPT FLUSH empties "
                        "it",
                        SCRIPT_CACHE_SCRIPTS_MAX, SCRIPT_CACHE_BYTES_MAX);
            return;
        }
    }
}

/* ---- EXISTS ---- */

struct exists_step {
    const struct slice *shas;
    uint32_t count;
    bool *found; /* Out: of this shard. */
};

static void
exists_step_run(void *arg)
{
    struct exists_step *step = arg;
    struct kv *kv = kv_self();

    for (uint32_t i = 0; i < step->count && kv->scripts != NULL; i++) {
        step->found[i] |= script_find_sha(kv->scripts, step->shas[i]) != NULL;
    }
}

void
script_command_exists(struct kv_request *request)
{
    struct exists_step step = {.shas = request->argv + 2, .count = request->argc - 2};

    step.found = arena_alloc(request->arena, step.count * sizeof(*step.found));
    if (step.found == NULL) {
        reply_error(request->reply, "OOM no memory for %u names", step.count);
        return;
    }
    memset(step.found, 0, step.count * sizeof(*step.found));
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        msg_call(shard, MSG_INLINE, exists_step_run, &step);
    }
    reply_array(request->reply, step.count);
    for (uint32_t i = 0; i < step.count; i++) {
        reply_int(request->reply, step.found[i]);
    }
}

/* ---- FLUSH ---- */

static void
flush_step_run(void *arg)
{
    struct kv *kv = kv_self();

    (void)arg;
    if (kv->scripts != NULL) {
        scripts_cache_clear(kv->scripts);
        lua_gc(kv->scripts->L, LUA_GCSTEP, 1 << 10);
    }
}

void
script_command_flush(struct kv_request *request)
{
    uint8_t none[SHARDS_MAX];

    if (request->argc > 3 || (request->argc == 3 && !command_word_is(request->argv[2], "sync") &&
                              !command_word_is(request->argv[2], "async"))) {
        reply_error(request->reply, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
        return;
    }
    msg_call_all(MSG_INLINE, flush_step_run, none, 1);
    reply_ok(request->reply);
}

/* ---- KILL ---- */

struct end_step {
    bool is_function;
    uint32_t count, others; /* Out. */
};

static void
end_step_run(void *arg)
{
    struct end_step *step = arg;
    struct scripts *scripts = kv_self()->scripts;

    if (scripts == NULL) {
        return;
    }
    step->count += scripts_end(scripts, 0, step->is_function, SCRIPT_KILLED);
    LIST_FOR_EACH(node, &scripts->running) {
        step->others += LIST_ENTRY(node, struct script_run, link)->is_function != step->is_function;
    }
}

void
script_command_kill(struct kv_request *request)
{
    struct end_step step = {
        .is_function = strcmp(command_parent(request->command)->name, "function") == 0,
    };

    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        msg_call(shard, MSG_INLINE, end_step_run, &step);
    }
    if (step.count > 0) {
        reply_ok(request->reply);
    } else if (step.others > 0) {
        reply_error(request->reply,
                    "BUSY Redis is busy running a script. You can only call %s KILL or SHUTDOWN "
                    "NOSAVE.",
                    step.is_function ? "SCRIPT" : "FUNCTION");
    } else {
        reply_error(request->reply, "NOTBUSY No scripts in execution right now.");
    }
}

/* ---- The rest ---- */

void
script_command_debug(struct kv_request *request)
{
    if (command_word_is(request->argv[2], "no")) {
        reply_ok(request->reply);
    } else if (command_word_is(request->argv[2], "yes") ||
               command_word_is(request->argv[2], "sync")) {
        reply_error(request->reply, "ERR the debugger of scripts is not supported by Orbit");
    } else {
        reply_error(request->reply, "ERR Use SCRIPT DEBUG YES/SYNC/NO");
    }
}

void
script_command_help(struct kv_request *request)
{
    static const char *const lines[] = {
        "SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DEBUG NO",
        "    The only mode: there is no debugger.",
        "EXISTS <sha1> [<sha1> ...]",
        "    Which of these scripts are cached.",
        "FLUSH [ASYNC|SYNC]",
        "    Empty the cache of scripts.",
        "KILL",
        "    End the scripts that have run longer than busy-reply-threshold.",
        "LOAD <script>",
        "    Put a script into the cache without running it.",
        "HELP",
        "    Print this help.",
    };

    reply_array(request->reply, ARRAY_COUNT(lines));
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        reply_simple(request->reply, lines[i]);
    }
}
