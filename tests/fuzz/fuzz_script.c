/* tests/fuzz/fuzz_script.c - any bytes for the decoders that scripts reach: cmsgpack, cjson,
 * struct, the libraries of FUNCTION RESTORE, and the first line of a script. Each ends in values or
 * an error and reads nothing else; what was decoded can be encoded, and cjson reads what it has
 * written. */
#include <stdint.h>
#include <stdlib.h>

#include "models/kv/payload.h"
#include "models/script/library.h"

/* Inputs; the longest text of a payload: both stay below what is done in one step. */
enum { INPUT_BYTES_MAX = 4096, TEXT_BYTES_MAX = 1 << 16, FORMAT_BYTES_MAX = 64, JSON_DEPTH = 100 };

/* The limits of the stack are those of a run. */
static struct script_run run;

static int
libraries_open(lua_State *L)
{
    script_msgpack_open(L);
    lua_setfield(L, LUA_REGISTRYINDEX, "cmsgpack");
    script_struct_open(L);
    lua_setfield(L, LUA_REGISTRYINDEX, "struct");
    script_json_open(L);
    lua_setfield(L, LUA_REGISTRYINDEX, "cjson");
    return 0;
}

/* Calls it with what is at the top; true: its values have taken their place, at the bottom. */
static bool
call(lua_State *L, const char *library, const char *function, int arguments)
{
    if (!lua_checkstack(L, 4)) {
        return false;
    }
    lua_getfield(L, LUA_REGISTRYINDEX, library);
    lua_getfield(L, -1, function);
    lua_remove(L, -2);
    lua_insert(L, -1 - arguments);
    return lua_pcall(L, arguments, LUA_MULTRET, 0) == 0;
}

static lua_State *
lua_get(void)
{
    static struct scripts *scripts;

    if (scripts == NULL) {
        scripts = scripts_new(NULL);
        scripts->current = &run;
        if (lua_cpcall(scripts->L, libraries_open, NULL) != 0) {
            abort();
        }
        /* So that the way back, which may need a little more stack, never lacks it. */
        lua_pushinteger(scripts->L, JSON_DEPTH);
        if (!call(scripts->L, "cjson", "decode_max_depth", 1)) {
            abort();
        }
    }
    lua_settop(scripts->L, 0);
    return scripts->L;
}

static void
push_bytes(lua_State *L, struct slice bytes)
{
    lua_pushlstring(L, (const char *)bytes.data, bytes.size);
}

/* ---- The libraries ---- */

static void
msgpack_try(struct slice bytes)
{
    lua_State *L = lua_get();

    push_bytes(L, bytes);
    if (call(L, "cmsgpack", "unpack", 1) && lua_gettop(L) > 0 &&
        call(L, "cmsgpack", "pack", lua_gettop(L))) {
        (void)call(L, "cmsgpack", "unpack", 1);
    }
    L = lua_get();
    push_bytes(L, bytes);
    lua_pushinteger(L, 2);
    lua_pushinteger(L, 1);
    (void)call(L, "cmsgpack", "unpack_limit", 3);
}

static void
json_try(struct slice bytes)
{
    lua_State *L = lua_get();

    push_bytes(L, bytes);
    if (call(L, "cjson", "decode", 1) && call(L, "cjson", "encode", 1) &&
        !call(L, "cjson", "decode", 1)) {
        abort();
    }
}

/* The first line is the format. */
static void
struct_try(struct slice bytes)
{
    const uint8_t *end = bytes.size == 0 ? NULL : memchr(bytes.data, '\n', bytes.size);
    size_t size = end == NULL ? bytes.size : (size_t)(end - bytes.data);
    struct slice format = slice_of(bytes.data, MIN(size, (size_t)FORMAT_BYTES_MAX));
    struct slice data = end == NULL ? slice_of(NULL, 0) : slice_of(end + 1, bytes.size - size - 1);
    lua_State *L = lua_get();

    push_bytes(L, format);
    (void)call(L, "struct", "size", 1);
    L = lua_get();
    push_bytes(L, format);
    push_bytes(L, data);
    if (call(L, "struct", "unpack", 2)) {
        lua_pop(L, 1); /* Where it stopped. */
        push_bytes(L, format);
        lua_insert(L, 1);
        (void)call(L, "struct", "pack", lua_gettop(L));
    }
}

/* ---- FUNCTION RESTORE, and scripts ---- */

/* Behind the checksum, as it is read there: a type and a text for each library. */
static void
libraries_try(struct slice bytes, struct arena *arena)
{
    struct payload_reader reader = {.left = bytes, .bytes_max = TEXT_BYTES_MAX, .arena = arena};
    char error[FUNCTIONS_ERROR_BYTES];
    struct slice type;
    struct slice code;
    struct slice name;

    while (reader.left.size > 0 && payload_read_bytes(&reader, 1, &type) == ERR_OK &&
           payload_read_text(&reader, &code) == ERR_OK) {
        if (code.size > TEXT_BYTES_MAX ||
            (functions_name_parse(arena, code, &name, error) &&
             (name.size == 0 || name.size > FUNCTIONS_NAME_BYTES_MAX))) {
            abort();
        }
    }
}

static void
shebang_try(struct slice bytes, struct arena *arena)
{
    struct kv_request request = {.arena = arena};
    struct reply reply;
    struct slice body;
    uint32_t flags;
    bool has_flags;

    reply_init(&reply, 2);
    request.reply = &reply;
    if (script_shebang_parse(&request, bytes, &flags, &has_flags, &body) != (reply.buf.size == 0)) {
        abort();
    }
    reply_fini(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);
    struct arena arena;

    if (size > INPUT_BYTES_MAX) {
        return 0;
    }
    run.stack_base = __builtin_frame_address(0);
    arena_init(&arena, MEM_SESSIONS);
    msgpack_try(bytes);
    json_try(bytes);
    struct_try(bytes);
    libraries_try(bytes, &arena);
    shebang_try(bytes, &arena);
    arena_fini(&arena);
    return 0;
}
