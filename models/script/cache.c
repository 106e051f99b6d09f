/* models/script/cache.c - texts of scripts, by their SHA-1 and by what they say, with functions
 * compiled from them.
 *
 * EVAL finds its text by a quick hash and a comparison; SHA-1 is computed once a text. A function
 * belongs to one run at a time, since its global table is the run's: each script keeps a few. */
#include <xxhash.h>

#include "engine/base/assert.h"
#include "models/script/internal.h"

#include "engine/base/poison.h"

static struct list *
sha_bucket(struct scripts *scripts, const uint8_t *sha)
{
    uint32_t hash = 0;

    for (uint32_t i = 0; i < 8; i++) { /* Hexadecimal digits. */
        hash = hash << 4 | (uint32_t)(sha[i] <= '9' ? sha[i] - '0' : (sha[i] | 0x20) - 'a' + 10);
    }
    return &scripts->by_sha[hash % SCRIPT_BUCKETS];
}

static struct list *
text_bucket(struct scripts *scripts, uint64_t hash)
{
    return &scripts->by_text[hash % SCRIPT_BUCKETS];
}

static void
touch(struct scripts *scripts, struct script *script)
{
    list_remove(&script->age_link);
    list_push_back(&scripts->by_age, &script->age_link);
}

struct script *
script_find_text(struct scripts *scripts, struct slice text)
{
    uint64_t hash = XXH3_64bits(text.data, text.size);

    LIST_FOR_EACH(node, text_bucket(scripts, hash)) {
        struct script *script = LIST_ENTRY(node, struct script, text_link);

        if (script->text_hash == hash && slice_equal(script->text, text)) {
            touch(scripts, script);
            return script;
        }
    }
    return NULL;
}

struct script *
script_find_sha(struct scripts *scripts, struct slice sha)
{
    uint8_t lower[SHA1_HEX_BYTES];

    if (sha.size != SHA1_HEX_BYTES) {
        return NULL;
    }
    for (uint32_t i = 0; i < SHA1_HEX_BYTES; i++) {
        lower[i] = sha.data[i] >= 'A' && sha.data[i] <= 'Z' ? sha.data[i] | 0x20 : sha.data[i];
    }
    LIST_FOR_EACH(node, sha_bucket(scripts, lower)) {
        struct script *script = LIST_ENTRY(node, struct script, sha_link);

        if (memcmp(script->sha, lower, SHA1_HEX_BYTES) == 0) {
            touch(scripts, script);
            return script;
        }
    }
    return NULL;
}

/* ---- Room ---- */

static void
script_free(struct scripts *scripts, struct script *script)
{
    while (script->closure_count > 0) {
        luaL_unref(scripts->L, LUA_REGISTRYINDEX, script->closures[--script->closure_count]);
    }
    mem_free(MEM_SESSIONS, (void *)script->text.data, script->text.size);
    MEM_FREE(MEM_SESSIONS, script);
}

static void
script_uncache(struct scripts *scripts, struct script *script)
{
    ASSERT(script->is_cached);
    list_remove(&script->sha_link);
    list_remove(&script->text_link);
    list_remove(&script->age_link);
    scripts->script_count--;
    scripts->text_bytes -= script->text.size;
    script->is_cached = false;
    if (script->runs == 0) {
        script_free(scripts, script);
    }
}

/* Oldest first, those of SCRIPT LOAD never. */
static bool
room_make(struct scripts *scripts, size_t bytes)
{
    struct list *next;

    for (struct list *node = scripts->by_age.next;
         node != &scripts->by_age && (scripts->text_bytes + bytes > SCRIPT_CACHE_BYTES_MAX ||
                                      scripts->script_count >= SCRIPT_CACHE_SCRIPTS_MAX);
         node = next) {
        struct script *script = LIST_ENTRY(node, struct script, age_link);

        next = node->next;
        if (!script->is_kept) {
            script_uncache(scripts, script);
        }
    }
    return scripts->text_bytes + bytes <= SCRIPT_CACHE_BYTES_MAX &&
           scripts->script_count < SCRIPT_CACHE_SCRIPTS_MAX;
}

struct script *
script_add(struct scripts *scripts, struct slice text, uint32_t flags, bool has_shebang)
{
    struct script *script = MEM_NEW(MEM_SESSIONS, struct script);
    uint8_t *copy = mem_alloc(MEM_SESSIONS, text.size);

    if (copy == NULL) {
        MEM_FREE(MEM_SESSIONS, script);
        return NULL;
    }
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    script->text = slice_of(copy, text.size);
    script->text_hash = XXH3_64bits(copy, text.size);
    script->flags = flags;
    script->has_shebang = has_shebang;
    sha1_hex(script->text, script->sha);
    if (room_make(scripts, text.size)) {
        script->is_cached = true;
        list_push_back(sha_bucket(scripts, (const uint8_t *)script->sha), &script->sha_link);
        list_push_back(text_bucket(scripts, script->text_hash), &script->text_link);
        list_push_back(&scripts->by_age, &script->age_link);
        scripts->script_count++;
        scripts->text_bytes += text.size;
    }
    return script;
}

void
script_pin(struct script *script)
{
    script->runs++;
}

void
script_release(struct scripts *scripts, struct script *script)
{
    ASSERT(script->runs > 0);
    script->runs--;
    if (script->runs == 0 && !script->is_cached) {
        script_free(scripts, script);
    }
}

void
scripts_cache_clear(struct scripts *scripts)
{
    while (!list_is_empty(&scripts->by_age)) {
        script_uncache(scripts, LIST_ENTRY(scripts->by_age.next, struct script, age_link));
    }
}

/* ---- The shebang line: #!lua flags=a,b ---- */

static bool
flags_parse(struct kv_request *request, struct slice list, uint32_t *flags)
{
    size_t at = 0;

    while (at < list.size) {
        const uint8_t *comma = memchr(list.data + at, ',', list.size - at);
        size_t end = comma == NULL ? list.size : (size_t)(comma - list.data);
        struct slice word = slice_of(list.data + at, end - at);

        if (word.size > 0 && !script_flag_parse(word, flags)) {
            reply_error(request->reply, "ERR Unexpected flag in script shebang: %.*s",
                        (int)MIN(word.size, (size_t)128), (const char *)word.data);
            return false;
        }
        at = end + 1;
    }
    return true;
}

static struct slice
word_take(struct slice *line)
{
    size_t start = 0;
    size_t end;

    while (start < line->size && line->data[start] == ' ') {
        start++;
    }
    end = start;
    while (end < line->size && line->data[end] != ' ') {
        end++;
    }
    *line = slice_of(line->data + end, line->size - end);
    return slice_of(line->data - (end - start), end - start);
}

bool
script_shebang_parse(struct kv_request *request, struct slice text, uint32_t *flags_out,
                     bool *has_out, struct slice *body_out)
{
    const uint8_t *end;
    struct slice line;
    struct slice word;

    *flags_out = 0;
    *has_out = false;
    *body_out = text;
    if (!slice_starts_with(text, SLICE("#!"))) {
        return true;
    }
    end = memchr(text.data, '\n', text.size);
    if (end == NULL) {
        reply_error(request->reply, "ERR Invalid script shebang");
        return false;
    }
    line = slice_of(text.data, (size_t)(end - text.data));
    if (line.size > 0 && line.data[line.size - 1] == '\r') {
        line.size--;
    }
    *body_out = slice_of(end, text.size - (size_t)(end - text.data));
    *has_out = true;
    word = word_take(&line);
    if (!slice_equal(word, SLICE("#!lua"))) {
        reply_error(request->reply, "ERR Unexpected engine in script shebang: %.*s",
                    (int)MIN(word.size, (size_t)128), (const char *)word.data);
        return false;
    }
    for (word = word_take(&line); word.size > 0; word = word_take(&line)) {
        if (!slice_starts_with(word, SLICE("flags="))) {
            reply_error(request->reply, "ERR Unknown lua shebang option: %.*s",
                        (int)MIN(word.size, (size_t)128), (const char *)word.data);
            return false;
        }
        if (!flags_parse(request, slice_of(word.data + 6, word.size - 6), flags_out)) {
            return false;
        }
    }
    return true;
}

/* ---- Functions ---- */

void
script_push_closure(lua_State *L, struct script *script)
{
    struct slice body = script->text;

    if (script->closure_count > 0) {
        int reference = script->closures[--script->closure_count];

        lua_rawgeti(L, LUA_REGISTRYINDEX, reference);
        luaL_unref(L, LUA_REGISTRYINDEX, reference);
    } else {
        if (script->has_shebang) {
            const uint8_t *end = memchr(body.data, '\n', body.size);

            body = slice_of(end, body.size - (size_t)(end - body.data));
        }
        if (body.size > 0 && body.data[0] == (uint8_t)LUA_SIGNATURE[0]) {
            luaL_error(L, "user_script:1: unexpected symbol near 'char(27)'");
        }
        if (luaL_loadbuffer(L, (const char *)body.data, body.size, "@user_script") != 0) {
            lua_error(L);
        }
    }
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    lua_setfenv(L, -2);
}

void
script_keep_closure(lua_State *L, struct script *script)
{
    if (script->is_cached && script->closure_count < SCRIPT_CLOSURES_KEPT) {
        int reference = luaL_ref(L, LUA_REGISTRYINDEX);

        script->closures[script->closure_count++] = reference;
    } else {
        lua_pop(L, 1);
    }
}
