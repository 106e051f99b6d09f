/* models/script/library.c - see the header. */
#include "models/script/library.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "models/script/script.h"

#include "engine/base/poison.h"

/* Records of the model itself, on each shard: "number", and one a library. */
static const char number_key[] = "\x00kv.functions.number";
static const char library_prefix[] = "\x00kv.functions.text:";
static const char library_end[] = "\x00kv.functions.text;";

enum {
    PREFIX_BYTES = sizeof(library_prefix) - 1,
    KEY_BYTES_MAX = PREFIX_BYTES + FUNCTIONS_NAME_BYTES_MAX,
    LOAD_STACK_BYTES = 4 << 10,
};

/* ---- Sets of compiled libraries ---- */

struct functions *
functions_new(void)
{
    struct functions *functions = MEM_NEW(MEM_SESSIONS, struct functions);

    list_init(&functions->libraries);
    for (uint32_t i = 0; i < FUNCTIONS_BUCKETS; i++) {
        list_init(&functions->buckets[i]);
    }
    return functions;
}

static struct slice
text_copy(struct slice text)
{
    uint8_t *copy = mem_alloc(MEM_SESSIONS, text.size);

    if (text.size > 0 && copy != NULL) {
        memcpy(copy, text.data, text.size);
    }
    return slice_of(copy, text.size);
}

static void
text_free(struct slice text)
{
    mem_free(MEM_SESSIONS, (void *)text.data, text.size);
}

static void
library_drop(struct scripts *scripts, struct functions *functions, struct script_library *library)
{
    for (uint32_t i = 0; i < FUNCTIONS_BUCKETS; i++) {
        struct list *next;

        for (struct list *node = functions->buckets[i].next; node != &functions->buckets[i];
             node = next) {
            struct script_function *function = LIST_ENTRY(node, struct script_function, link);

            next = node->next;
            if (function->library != library) {
                continue;
            }
            list_remove(&function->link);
            luaL_unref(scripts->L, LUA_REGISTRYINDEX, function->callback);
            text_free(function->name);
            text_free(function->description);
            MEM_FREE(MEM_SESSIONS, function);
            functions->function_count--;
        }
    }
    list_remove(&library->link);
    functions->library_count--;
    functions->code_bytes -= library->code.size;
    text_free(library->name);
    text_free(library->code);
    MEM_FREE(MEM_SESSIONS, library);
}

void
functions_drop(struct scripts *scripts, struct functions **functions)
{
    if (*functions == NULL) {
        return;
    }
    while (!list_is_empty(&(*functions)->libraries)) {
        library_drop(scripts, *functions,
                     LIST_ENTRY((*functions)->libraries.next, struct script_library, link));
    }
    MEM_FREE(MEM_SESSIONS, *functions);
}

void
functions_free(struct scripts *scripts)
{
    functions_drop(scripts, &scripts->functions);
}

void
functions_count(const struct scripts *scripts, uint64_t *libraries_out, uint64_t *functions_out)
{
    const struct functions *functions = scripts->functions;

    *libraries_out = functions == NULL ? 0 : functions->library_count;
    *functions_out = functions == NULL ? 0 : functions->function_count;
}

struct script_library *
functions_library(const struct functions *functions, struct slice name)
{
    LIST_FOR_EACH(node, &functions->libraries) {
        struct script_library *library = LIST_ENTRY(node, struct script_library, link);

        if (slice_equal(library->name, name)) {
            return library;
        }
    }
    return NULL;
}

static uint8_t
lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static uint32_t
name_bucket(struct slice name)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < name.size; i++) {
        hash = (hash ^ lower(name.data[i])) * 16777619u;
    }
    return hash % FUNCTIONS_BUCKETS;
}

struct script_function *
functions_find(const struct functions *functions, struct slice name)
{
    LIST_FOR_EACH(node, &functions->buckets[name_bucket(name)]) {
        struct script_function *function = LIST_ENTRY(node, struct script_function, link);
        size_t same = 0;

        while (function->name.size == name.size && same < name.size &&
               lower(name.data[same]) == lower(function->name.data[same])) {
            same++;
        }
        if (function->name.size == name.size && same == name.size) {
            return function;
        }
    }
    return NULL;
}

/* ---- The shebang line ---- */

static bool
name_is_valid(struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = lower(name.data[i]);

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_') {
            return false;
        }
    }
    return name.size > 0;
}

#define NAME_RULE                                                                                  \
    "Library names can only contain letters, numbers, or underscores(_) and must be at least one " \
    "character long"

/* Words as in a shell, in simple or double quotes. NULL data: the end. */
static struct slice
word_next(struct arena *arena, struct slice *line)
{
    uint8_t *word = arena_alloc(arena, line->size + 1);
    size_t at = 0;
    size_t size = 0;
    uint8_t quote = 0;

    while (at < line->size && (line->data[at] == ' ' || line->data[at] == '\t')) {
        at++;
    }
    if (at == line->size) {
        return slice_of(NULL, 0);
    }
    for (; at < line->size && (quote != 0 || (line->data[at] != ' ' && line->data[at] != '\t'));
         at++) {
        uint8_t c = line->data[at];

        if (quote == 0 && (c == '"' || c == '\'')) {
            quote = c;
        } else if (c == quote && quote != 0) {
            quote = 0;
        } else {
            word[size++] = c;
        }
    }
    *line = slice_of(line->data + at, line->size - at);
    return slice_of(word, size);
}

bool
functions_name_parse(struct arena *arena, struct slice code, struct slice *name_out,
                     char error[FUNCTIONS_ERROR_BYTES])
{
    const uint8_t *end = code.size == 0 ? NULL : memchr(code.data, '\n', code.size);
    struct slice name = slice_of(NULL, 0);
    struct slice line;
    struct slice word;

    if (!slice_starts_with(code, SLICE("#!"))) {
        snprintf(error, FUNCTIONS_ERROR_BYTES, "Missing library metadata");
        return false;
    }
    if (end == NULL) {
        snprintf(error, FUNCTIONS_ERROR_BYTES, "Invalid library metadata");
        return false;
    }
    line = slice_of(code.data + 2, (size_t)(end - code.data) - 2);
    if (line.size > 0 && line.data[line.size - 1] == '\r') {
        line.size--;
    }
    word = line.size > 0 && line.data[0] != ' ' ? word_next(arena, &line) : slice_of("", 0);
    if (!command_word_is(word, "lua")) {
        snprintf(error, FUNCTIONS_ERROR_BYTES, "Engine '%.*s' not found",
                 (int)MIN(word.size, (size_t)128), (const char *)word.data);
        return false;
    }
    for (word = word_next(arena, &line); word.data != NULL; word = word_next(arena, &line)) {
        if (!slice_starts_with(word, SLICE("name="))) {
            snprintf(error, FUNCTIONS_ERROR_BYTES, "Invalid metadata value given: %.*s",
                     (int)MIN(word.size, (size_t)128), (const char *)word.data);
            return false;
        }
        if (name.data != NULL) {
            snprintf(error, FUNCTIONS_ERROR_BYTES,
                     "Invalid metadata value, name argument was given multiple times");
            return false;
        }
        name = slice_of(word.data + 5, word.size - 5);
    }
    if (name.data == NULL) {
        snprintf(error, FUNCTIONS_ERROR_BYTES, "Library name was not given");
        return false;
    }
    if (!name_is_valid(name) || name.size > FUNCTIONS_NAME_BYTES_MAX) {
        snprintf(error, FUNCTIONS_ERROR_BYTES, "%s", NAME_RULE);
        return false;
    }
    *name_out = name;
    return true;
}

/* ---- Registration: while the text of a library runs ---- */

struct load {
    struct functions *functions;
    struct script_library *library;
    struct slice code;
    char *error;
};

/* What a call of redis.register_function says; on the Lua stack, and borrowed from it. */
struct registration {
    struct slice name, description;
    int callback; /* Stack index; 0: none. */
    uint32_t flags;
};

static RAISES int
register_fail(lua_State *L, const char *text)
{
    script_push_error(L, text);
    return lua_error(L);
}

static struct slice
stack_text(lua_State *L, int index)
{
    size_t size;
    const char *text = lua_tolstring(L, index, &size);

    return slice_of(text, size);
}

static RAISES uint32_t
flags_read(lua_State *L, int index)
{
    uint32_t flags = 0;

    for (int i = 1;; i++) {
        lua_rawgeti(L, index, i);
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            return flags;
        }
        if (lua_type(L, -1) != LUA_TSTRING || !script_flag_parse(stack_text(L, -1), &flags)) {
            register_fail(L, "unknown flag given");
        }
        lua_pop(L, 1);
    }
}

/* One field; key and value are at the top. Leaves the value on the stack if it is borrowed. */
static RAISES void
field_read(lua_State *L, struct registration *registration)
{
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;

    if (key == NULL) {
        register_fail(L, lua_type(L, -2) == LUA_TNUMBER
                             ? "unknown argument given to redis.register_function"
                             : "named argument key given to redis.register_function is not a "
                               "string");
    } else if (strcmp(key, "function_name") == 0) {
        if (lua_type(L, -1) != LUA_TSTRING) {
            register_fail(L, "function_name argument given to redis.register_function must be a "
                             "string");
        }
        registration->name = stack_text(L, -1);
    } else if (strcmp(key, "description") == 0) {
        if (lua_type(L, -1) != LUA_TSTRING) {
            register_fail(L, "description argument given to redis.register_function must be a "
                             "string");
        }
        registration->description = stack_text(L, -1);
    } else if (strcmp(key, "callback") == 0) {
        if (!lua_isfunction(L, -1)) {
            register_fail(L, "callback argument given to redis.register_function must be a "
                             "function");
        }
        lua_pushvalue(L, -1);
        lua_replace(L, 2);
        registration->callback = 2;
    } else if (strcmp(key, "flags") == 0) {
        if (!lua_istable(L, -1)) {
            register_fail(L, "flags argument to redis.register_function must be a table "
                             "representing function flags");
        }
        registration->flags = flags_read(L, lua_gettop(L));
    } else {
        register_fail(L, "unknown argument given to redis.register_function");
    }
}

static RAISES void
named_read(lua_State *L, struct registration *registration)
{
    if (!lua_istable(L, 1)) {
        register_fail(L, "calling redis.register_function with a single argument is only "
                         "applicable to Lua table (representing named arguments).");
    }
    lua_settop(L, 1);
    lua_pushnil(L); /* The callback's place. */
    lua_pushnil(L);
    while (lua_next(L, 1) != 0) {
        field_read(L, registration);
        lua_pop(L, 1); /* The table holds what is borrowed. */
    }
    if (registration->name.data == NULL) {
        register_fail(L, "redis.register_function must get a function name argument");
    }
    if (registration->callback == 0) {
        register_fail(L, "redis.register_function must get a callback argument");
    }
}

static RAISES void
function_add(lua_State *L, struct load *load, const struct registration *registration)
{
    struct script_function *function;
    int callback;

    if (!name_is_valid(registration->name)) {
        register_fail(L, NAME_RULE);
    }
    if (functions_find(load->functions, registration->name) != NULL) {
        register_fail(L, "Function already exists in the library");
    }
    lua_pushvalue(L, registration->callback);
    callback = luaL_ref(L, LUA_REGISTRYINDEX);
    function = MEM_NEW(MEM_SESSIONS, struct script_function); /* From here nothing raises. */
    function->library = load->library;
    function->name = text_copy(registration->name);
    if (registration->description.data != NULL) {
        function->description = text_copy(registration->description);
    }
    function->callback = callback;
    function->flags = registration->flags;
    list_push_back(&load->functions->buckets[name_bucket(function->name)], &function->link);
    load->functions->function_count++;
    load->library->function_count++;
}

int
functions_register(lua_State *L)
{
    struct script_run *run = scripts_of(L)->current;
    struct registration registration = {0};
    int arguments = lua_gettop(L);

    if (run == NULL || !run->is_loading) {
        return register_fail(L, "redis.register_function can only be called on FUNCTION LOAD "
                                "command");
    }
    if (arguments < 1 || arguments > 2) {
        return register_fail(L, "wrong number of arguments to redis.register_function");
    }
    if (arguments == 1) {
        named_read(L, &registration);
    } else {
        if (!lua_isstring(L, 1)) {
            return register_fail(L, "first argument to redis.register_function must be a string");
        }
        if (!lua_isfunction(L, 2)) {
            return register_fail(L, "second argument to redis.register_function must be a "
                                    "function");
        }
        registration.name = stack_text(L, 1);
        registration.callback = 2;
    }
    function_add(L, run->load, &registration);
    return 0;
}

/* ---- Running the text of a library ---- */

static int
load_unknown(lua_State *L)
{
    return luaL_error(L, "Script attempted to access nonexistent global variable '%s'",
                      lua_isstring(L, 2) ? lua_tostring(L, 2) : luaL_typename(L, 2));
}

/* Gives the table at the top a fallback that raises an error. */
static void
unknown_set(lua_State *L)
{
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, load_unknown);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

/* Pushes what a library sees while it is loaded: `redis`, and little of it. */
static void
load_globals_push(lua_State *L)
{
    static const char *const names[] = {
        "LOG_DEBUG",   "LOG_NOTICE", "LOG_VERBOSE", "LOG_WARNING",       "REDIS_VERSION",
        "error_reply", "log",        "sha1hex",     "REDIS_VERSION_NUM", "status_reply",
    };

    lua_createtable(L, 0, 2);
    lua_createtable(L, 0, ARRAY_COUNT(names) + 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "orbit.globals");
    lua_getfield(L, -1, "redis");
    lua_replace(L, -2);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        lua_getfield(L, -1, names[i]);
        lua_setfield(L, -3, names[i]);
    }
    lua_pop(L, 1);
    lua_pushcfunction(L, functions_register);
    lua_setfield(L, -2, "register_function");
    unknown_set(L);
    script_protect(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "server");
    lua_setfield(L, -2, "redis");
    unknown_set(L);
}

static int
load_protected(lua_State *L)
{
    struct load *load = lua_touserdata(L, 1);
    struct script_run *run = scripts_of(L)->current;
    const uint8_t *body = memchr(load->code.data, '\n', load->code.size);
    size_t size = load->code.size - (size_t)(body - load->code.data);
    int status;

    script_stack_check(L, LOAD_STACK_BYTES);
    if (luaL_loadbuffer(L, (const char *)body, size, "@user_function") != 0) {
        snprintf(load->error, FUNCTIONS_ERROR_BYTES, "Error compiling function: %s",
                 lua_tostring(L, -1));
        return 0;
    }
    lua_newtable(L); /* Empty: what it shows changes when the library is loaded. */
    lua_createtable(L, 0, 1);
    load_globals_push(L);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, -1);
    lua_insert(L, 2);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    script_protect(L);
    lua_pushvalue(L, -1);
    lua_setfenv(L, 3);
    lua_pushvalue(L, 3);
    run->is_loading = true;
    status = lua_pcall(L, 0, 0, 0);
    run->is_loading = false;
    if (status != 0) {
        const char *text;

        if (lua_type(L, -1) == LUA_TTABLE) {
            lua_getfield(L, -1, "err");
        }
        text = lua_tostring(L, -1);
        if (run->end == SCRIPT_TIMED_OUT) {
            text = "FUNCTION LOAD timeout";
        }
        text = text == NULL ? "unknown error" : text;
        snprintf(load->error, FUNCTIONS_ERROR_BYTES, "Error registering functions: %s%s",
                 strncmp(text, "ERR ", 4) == 0 ? "" : "ERR ", text);
        return 0;
    }
    lua_setfield(L, 4, "_G");
    lua_getfield(L, LUA_REGISTRYINDEX, "orbit.globals");
    lua_setfield(L, 2, "__index");
    return 0;
}

/* In the order of their names. */
static struct script_library *
library_add(struct functions *functions, struct slice name, struct slice code)
{
    struct script_library *library = MEM_NEW(MEM_SESSIONS, struct script_library);
    struct list *place = functions->libraries.next;

    while (place != &functions->libraries &&
           slice_compare(LIST_ENTRY(place, struct script_library, link)->name, name) < 0) {
        place = place->next;
    }
    library->name = text_copy(name);
    library->code = text_copy(code);
    list_insert_before(place, &library->link);
    functions->library_count++;
    functions->code_bytes += code.size;
    return library;
}

bool
functions_compile(struct script_run *run, struct functions *functions, struct slice name,
                  struct slice code, char error[FUNCTIONS_ERROR_BYTES])
{
    lua_State *L = run->runner->L;
    struct load load = {.functions = functions, .error = error};

    error[0] = '\0';
    if (functions->library_count == FUNCTIONS_LIBRARIES_MAX ||
        functions->code_bytes + code.size > FUNCTIONS_CODE_BYTES_MAX) {
        snprintf(error, FUNCTIONS_ERROR_BYTES, "more than %d libraries or %d bytes of their texts",
                 FUNCTIONS_LIBRARIES_MAX, FUNCTIONS_CODE_BYTES_MAX);
        return false;
    }
    load.library = library_add(functions, name, code);
    load.code = load.library->code;
    run->load = &load;
    run->begun_us = shard_now_us();
    if (lua_cpcall(L, load_protected, &load) != 0) {
        const char *text = lua_tostring(L, -1);

        snprintf(error, FUNCTIONS_ERROR_BYTES, "%s", text == NULL ? "unknown error" : text);
        lua_settop(L, 0);
    }
    run->load = NULL;
    run->is_loading = false;
    if (error[0] == '\0' && load.library->function_count == 0) {
        snprintf(error, FUNCTIONS_ERROR_BYTES, "No functions registered");
    }
    if (error[0] != '\0') {
        library_drop(run->scripts, functions, load.library);
        return false;
    }
    return true;
}

/* ---- In the store ---- */

static struct slice
library_key(uint8_t key[KEY_BYTES_MAX], struct slice name)
{
    ASSERT(name.size <= FUNCTIONS_NAME_BYTES_MAX);
    memcpy(key, library_prefix, PREFIX_BYTES);
    memcpy(key + PREFIX_BYTES, name.data, name.size);
    return slice_of(key, PREFIX_BYTES + name.size);
}

static void
number_draw(struct txn *txn)
{
    uint8_t number[8];

    put_le64(number, prng_next(shard_prng()) | 1);
    for (uint32_t shard = 0; shard < txn_shards_live(); shard++) {
        txn_put(txn, txn_slot_of_shard(shard), slice_of(number_key, sizeof(number_key) - 1),
                slice_of(number, sizeof(number)), 0);
    }
}

void
functions_put(struct txn *txn, struct slice name, struct slice code)
{
    uint8_t key[KEY_BYTES_MAX];

    for (uint32_t shard = 0; shard < txn_shards_live(); shard++) {
        txn_put(txn, txn_slot_of_shard(shard), library_key(key, name), code, 0);
    }
    number_draw(txn);
}

void
functions_delete(struct txn *txn, struct slice name)
{
    uint8_t key[KEY_BYTES_MAX];

    for (uint32_t shard = 0; shard < txn_shards_live(); shard++) {
        txn_delete(txn, txn_slot_of_shard(shard), library_key(key, name));
    }
    number_draw(txn);
}

void
functions_delete_all(struct txn *txn)
{
    txn_delete_range_all(txn, slice_of(library_prefix, PREFIX_BYTES),
                         slice_of(library_end, sizeof(library_end) - 1));
    number_draw(txn);
}

/* ---- Shards that are new ---- */

/* As shard 0 has them. */
static YIELDS err_t
libraries_copy(struct txn *txn, uint32_t shard, struct slice number, struct arena *arena)
{
    const struct slice lower = slice_of(library_prefix, PREFIX_BYTES);
    const struct slice upper = slice_of(library_end, sizeof(library_end) - 1);
    struct txn_scan *scan = NULL;
    struct slice code;
    err_t err;

    txn_delete_range(txn, txn_slot_of_shard(shard), lower, upper);
    TRY(txn_scan_open(txn, txn_slot_of_shard(0), lower, upper, &scan));
    TRY(txn_scan_first(scan));
    while (txn_scan_is_valid(scan)) {
        TRY(txn_scan_value(scan, arena, &code));
        txn_put(txn, txn_slot_of_shard(shard), arena_copy(arena, txn_scan_entry(scan)->key), code,
                0);
        TRY(txn_scan_next(scan));
    }
    txn_put(txn, txn_slot_of_shard(shard), slice_of(number_key, sizeof(number_key) - 1), number, 0);
out:
    txn_scan_close(&scan);
    return err;
}

static YIELDS err_t
shard_provide(uint32_t shard)
{
    const struct slice key = slice_of(number_key, sizeof(number_key) - 1);
    struct txn *txn = txn_begin_auto(false, NULL);
    struct lsm_value first, own;
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_RUNTIME);
    TRY(txn_get(txn, txn_slot_of_shard(0), key, &arena, &first));
    TRY(txn_get(txn, txn_slot_of_shard(shard), key, &arena, &own));
    if (first.is_found && !slice_equal(first.value, own.value)) {
        TRY(libraries_copy(txn, shard, first.value, &arena));
        err = txn_commit(&txn, NULL);
    }
out:
    txn_abort(&txn);
    arena_fini(&arena);
    return err;
}

err_t
functions_spread(void)
{
    err_t err = ERR_OK;

    for (uint32_t shard = 1; shard < txn_shards_live(); shard++) {
        TRY(shard_provide(shard));
    }
out:
    return err;
}

/* ---- Compiling what the store has ---- */

static YIELDS err_t
number_read(struct script_run *run, uint64_t *number_out)
{
    struct kv_request *request = run->request;
    struct lsm_value value;
    err_t err;

    TRY(txn_get(request->txn, txn_slot_of_shard(shard_id()),
                slice_of(number_key, sizeof(number_key) - 1), request->arena, &value));
    *number_out = 0;
    request->lsn = MAX(request->lsn, value.lsn);
    if (value.is_found) {
        if (value.value.size != 8) {
            return err_set(ERR_CORRUPT, "the number of the functions has %zu bytes instead of 8",
                           value.value.size);
        }
        *number_out = get_le64(value.value.data);
    }
out:
    return err;
}

static YIELDS err_t
texts_compile(struct script_run *run, struct txn_scan *scan, struct functions *functions)
{
    char error[FUNCTIONS_ERROR_BYTES];
    struct slice code;
    err_t err;

    TRY(txn_scan_first(scan));
    while (txn_scan_is_valid(scan)) {
        struct slice key = txn_scan_entry(scan)->key;
        struct slice name =
            arena_copy(&run->arena, slice_of(key.data + PREFIX_BYTES, key.size - PREFIX_BYTES));

        TRY(txn_scan_value(scan, &run->arena, &code));
        run->scripts->current = run;
        if (code.size == 0 || memchr(code.data, '\n', code.size) == NULL ||
            !functions_compile(run, functions, name, code, error)) {
            return err_set(ERR_CORRUPT, "the stored library '%.*s' cannot be loaded: %s",
                           (int)name.size, (const char *)name.data,
                           code.size == 0 ? "it is empty" : error);
        }
        TRY(txn_scan_next(scan));
    }
out:
    return err;
}

bool
functions_sync(struct script_run *run)
{
    struct scripts *scripts = run->scripts;
    struct functions *functions = NULL;
    struct txn_scan *scan = NULL;
    uint64_t number;
    err_t err;

    TRY(number_read(run, &number));
    if (scripts->functions != NULL && scripts->functions->generation == number) {
        goto out;
    }
    functions = functions_new();
    functions->generation = number;
    if (number != 0) {
        TRY(txn_scan_open(run->request->txn, txn_slot_of_shard(shard_id()),
                          slice_of(library_prefix, PREFIX_BYTES),
                          slice_of(library_end, sizeof(library_end) - 1), &scan));
        TRY(texts_compile(run, scan, functions));
    }
    functions_drop(scripts, &scripts->functions);
    scripts->functions = functions;
    functions = NULL;
out:
    scripts->current = run;
    txn_scan_close(&scan);
    functions_drop(scripts, &functions);
    arena_reset(&run->arena);
    if (err != ERR_OK) {
        kv_fail(run->request, err);
    }
    return err == ERR_OK;
}
