/* Scripts: one transaction each, in a sandbox, on stacks of their own. */
#include "models/script/internal.h"
#include "tests/unit/models/kv_fixture.h"

TestSuite(kv_script, .timeout = 60);

FIBER_TEST(kv_script, a_script_reads_its_words_and_calls_commands)
{
    kv_fixture_open();
    EXPECT("*3\r\n$1\r\nk\r\n$1\r\nv\r\n:2\r\n", "EVAL", "return {KEYS[1], ARGV[1], 2.9}", "1", "k",
           "v");
    EXPECT("+OK\r\n", "EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", "1", "k", "v");
    EXPECT("$1\r\nv\r\n", "EVAL", "return redis.call('GET', KEYS[1])", "1", "k");
    EXPECT("$-1\r\n", "EVAL", "return redis.call('GET', 'none')", "0");
    EXPECT(":3\r\n", "EVAL", "return #redis.call('MGET', 'a', 'b', 'c')", "0");
    kv_fixture_close();
}

FIBER_TEST(kv_script, a_script_that_fails_has_changed_nothing)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "SET", "n", "1");
    (void)CALL("EVAL", "redis.call('SET', 'n', 2) redis.call('LPUSH', 'l', 1) error('no')", "0");
    EXPECT("$1\r\n1\r\n", "GET", "n");
    EXPECT(":0\r\n", "EXISTS", "l");
    /* What it catches, and what it returns as an error, is its own affair. */
    EXPECT("-ERR mine\r\n", "EVAL",
           "redis.call('SET', 'n', 3) redis.pcall('LPUSH', 'n', 1) "
           "return redis.error_reply('ERR mine')",
           "0");
    EXPECT("-ERR \r\n", "EVAL", "return redis.error_reply('')", "0");
    EXPECT("$1\r\n3\r\n", "GET", "n");
    kv_fixture_close();
}

/* It holds the latches of its keys, and what is removed in passing takes them. */
FIBER_TEST(kv_script, a_script_may_meet_its_own_key_expired)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "SET", "k", "v", "PX", "1");
    fiber_sleep_us(20000);
    EXPECT(":0\r\n", "EVAL", "return redis.call('EXISTS', KEYS[1])", "1", "k");
    EXPECT(":0\r\n", "DBSIZE");
    EXPECT("+OK\r\n", "SET", "k", "w");
    kv_fixture_close();
}

FIBER_TEST_ON(kv_script, a_script_spans_shards, 3)
{
    kv_fixture_open();
    EXPECT(":20\r\n", "EVAL",
           "for i = 1, 20 do redis.call('SET', 'key' .. i, i) end "
           "local n = 0 "
           "for i = 1, 20 do n = n + (redis.call('GET', 'key' .. i) == tostring(i) and 1 or 0) end "
           "return n",
           "0");
    EXPECT(":20\r\n", "DBSIZE");
    (void)CALL("EVAL", "for i = 1, 20 do redis.call('DEL', 'key' .. i) end error('no')", "0");
    EXPECT(":20\r\n", "DBSIZE");
    kv_fixture_close();
}

FIBER_TEST_ON(kv_script, a_script_may_empty_the_database, 2)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "SET", "a", "1");
    EXPECT("+OK\r\n", "SET", "b", "1");
    EXPECT(":1\r\n", "EVAL",
           "redis.call('FLUSHALL') redis.call('SET', 'c', 1) return redis.call('DBSIZE')", "0");
    EXPECT(":1\r\n", "DBSIZE");
    kv_fixture_close();
}

FIBER_TEST_ON(kv_script, a_script_is_found_by_its_name_on_every_shard, 3)
{
    kv_fixture_open();
    EXPECT("$40\r\ne0e1f9fabfc9d4800c877a703b823ac0578ff8db\r\n", "SCRIPT", "LOAD", "return 1");
    for (uint32_t i = 0; i < 6; i++) { /* Keys of several shards. */
        const char *const keys[] = {"a", "b", "c", "d", "e", "f"};

        EXPECT(":1\r\n", "EVALSHA", "E0E1F9FABFC9D4800C877A703B823AC0578FF8DB", "1", keys[i]);
    }
    EXPECT(":2\r\n", "EVAL", "return 1+1", "1", "a");
    EXPECT(":2\r\n", "EVALSHA", "a27e7e8a43702b7046d4f6a7ccf5b60cef6b9bd9", "1", "b");
    EXPECT("*2\r\n:1\r\n:0\r\n", "SCRIPT", "EXISTS", "a27e7e8a43702b7046d4f6a7ccf5b60cef6b9bd9",
           "a27e7e8a43702b7046d4f6a7ccf5b60cef6b9bda");
    EXPECT("+OK\r\n", "SCRIPT", "FLUSH");
    EXPECT("-NOSCRIPT No matching script. Please use EVAL.\r\n", "EVALSHA",
           "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0");
    kv_fixture_close();
}

FIBER_TEST(kv_script, nothing_is_left_behind_for_the_next_script)
{
    static const char *const attempts[] = {
        "x = 1",
        "KEYS = {}",
        "_G.x = 1",
        "redis.call = 1",
        "string.upper = 1",
        "rawset(_G, 'x', 1)",
        "rawset(string, 'x', 1)",
        "table.insert(redis, 1)",
        "setmetatable(_G, {})",
        "setmetatable(redis, {})",
        "getmetatable(_G).__index = 1",
        "getmetatable('').__index = 1",
        "getmetatable('').__index.upper = 1",
        "local _, t = pairs(redis) t.call = nil redis.call('PING', 'a', 'b', 'c')",
    };

    kv_fixture_open();
    for (size_t i = 0; i < ARRAY_COUNT(attempts); i++) {
        struct slice reply = CALL("EVAL", attempts[i], "0");

        cr_assert_eq(reply.data[0], '-', "%s: %.*s", attempts[i], (int)reply.size,
                     (const char *)reply.data);
    }
    EXPECT("*3\r\n$8\r\nfunction\r\n$8\r\nfunction\r\n$3\r\nnil\r\n", "EVAL",
           "return {type(redis.call), type(string.upper), tostring(rawget(_G, 'x'))}", "0");
    EXPECT("$1\r\nA\r\n", "EVAL", "return ('a'):upper()", "0");
    kv_fixture_close();
}

FIBER_TEST(kv_script, files_and_bytecode_are_out_of_reach)
{
    static const char *const names[] = {"io",       "debug", "package",  "require", "dofile",
                                        "loadfile", "print", "newproxy", "getfenv", "setfenv"};

    kv_fixture_open();
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        char text[64];

        snprintf(text, sizeof(text), "return tostring(rawget(_G, '%s'))", names[i]);
        EXPECT("$3\r\nnil\r\n", "EVAL", text, "0");
    }
    EXPECT("$3\r\nnil\r\n", "EVAL",
           "return tostring(loadstring(string.dump(function() return 1 end)))", "0");
    EXPECT("$3\r\nnil\r\n", "EVAL",
           "local s = string.dump(function() return 1 end) "
           "return tostring(load(function() local t = s s = nil return t end))",
           "0");
    kv_fixture_close();
}

FIBER_TEST(kv_script, struct_pack_keeps_the_smallest_integer_and_what_lies_below_it)
{
    static const char hex[] = "local bytes = struct.pack(ARGV[1], ARGV[2]) return (bytes:gsub('.', "
                              "function(c) return string.format('%02x', c:byte()) end))";

    kv_fixture_open();
    EXPECT("$18\r\n000000000000008000\r\n", "EVAL", hex, "0", "<I9", "-9223372036854775808");
    EXPECT("$18\r\n000000000000008000\r\n", "EVAL", hex, "0", "<I9", "-1e300");
    EXPECT("$16\r\nffffffffffffffff\r\n", "EVAL", hex, "0", "<i8", "-1");
    kv_fixture_close();
}

/* Each of these would leave the stack or the memory if nothing stopped it. */
FIBER_TEST(kv_script, depth_and_size_have_limits)
{
    static const char *const texts[] = {
        "local function f() return f() + 1 end return f()",
        "local function f(s) return s:gsub('.', f) end return f('a')",
        "local function f() return pcall(f) end local a = f() error('deep')",
        "return string.rep('x', 1e9)",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do t[#t + 1] = string.rep('x', 1e6) .. #t end",
        "return string.find(string.rep('a', 1e5), string.rep('a?', 1e5) .. 'b')",
        "return cmsgpack.unpack(string.rep('\\145', 1e6))",
        "return cjson.decode(string.rep('[', 1e6))",
        "local t = {} for i = 1, 1e5 do t = {t} end return cjson.encode(t)",
        "return loadstring(string.rep('(', 1e5))()",
        "return loadstring('return ' .. string.rep('{', 1e5))()",
        "return unpack({}, 1, 1e8)",
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(a, k) return a[k] end "
        "return t.x",
    };

    kv_fixture_open();
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct slice reply = CALL("EVAL", texts[i], "0");

        cr_assert_eq(reply.data[0], '-', "%s: %.*s", texts[i], (int)MIN(reply.size, (size_t)80),
                     (const char *)reply.data);
        EXPECT(":1\r\n", "EVAL", "collectgarbage() return 1", "0");
    }
    (void)CALL("EVAL", "local a = {} local b = {a} a[1] = b return a", "0");
    EXPECT(":1\r\n", "EVAL", "return 1", "0");
    kv_fixture_close();
}

/* ---- Several at a time ---- */

struct side_call {
    const char *const *words;
    bool is_done;
    char first; /* Of the reply. */
};

static YIELDS void
side_run(void *arg)
{
    struct side_call *side = arg;

    side->first = (char)kv_call_texts(side->words).data[0];
    side->is_done = true;
}

FIBER_TEST(kv_script, an_endless_loop_holds_up_nobody_and_can_be_killed)
{
    struct side_call side = {.words = WORDS("EVAL", "while true do end", "0")};
    struct side_call caught = {
        .words = WORDS("EVAL",
                       "while true do pcall(function() while true do end end) "
                       "coroutine.resume(coroutine.create(function() while true do end end)) end",
                       "0")};

    kv_fixture_open();
    cr_assert_not_null(fiber_spawn("side", FIBER_FOREGROUND, FIBER_STACK_SMALL, side_run, &side));
    cr_assert_not_null(
        fiber_spawn("caught", FIBER_FOREGROUND, FIBER_STACK_SMALL, side_run, &caught));
    for (uint32_t i = 0; i < 50; i++) {
        fiber_yield();
        EXPECT("+OK\r\n", "SET", "k", "v");
        EXPECT("$1\r\nv\r\n", "EVAL", "return redis.call('GET', KEYS[1])", "1", "k");
    }
    cr_assert(!side.is_done);
    EXPECT("-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN "
           "NOSAVE.\r\n",
           "FUNCTION", "KILL");
    EXPECT("+OK\r\n", "SCRIPT", "KILL");
    for (uint32_t i = 0; i < 1000 && !(side.is_done && caught.is_done); i++) {
        fiber_yield();
    }
    cr_assert(side.is_done && caught.is_done);
    cr_assert_eq(side.first, '-');
    cr_assert_eq(caught.first, '-');
    EXPECT("-NOTBUSY No scripts in execution right now.\r\n", "SCRIPT", "KILL");
    kv_fixture_close();
}

enum { COUNTERS = 16, ROUNDS = 20 };

static YIELDS void
counter_run(void *arg)
{
    uint32_t *left = arg;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct slice words[] = {
            SLICE("EVAL"),
            SLICE("local n = tonumber(redis.call('GET', KEYS[1]) or 0) "
                  "for i = 1, 3000 do end "
                  "redis.call('SET', KEYS[1], n + 1) redis.call('INCR', 'other') return KEYS[1]"),
            SLICE("1"), SLICE("counter")};
        struct slice reply = kv_call(words, ARRAY_COUNT(words));

        cr_assert(slice_starts_with(reply, SLICE("$7\r\ncounter")), "%.*s", (int)reply.size,
                  (const char *)reply.data);
    }
    (*left)--;
}

FIBER_TEST_ON(kv_script, scripts_of_many_clients_lose_no_update, 2)
{
    uint32_t left = COUNTERS;

    kv_fixture_open();
    for (uint32_t i = 0; i < COUNTERS; i++) {
        cr_assert_not_null(
            fiber_spawn("counter", FIBER_FOREGROUND, FIBER_STACK_SMALL, counter_run, &left));
    }
    while (left > 0) {
        (void)fiber_sleep_us(1000);
    }
    EXPECT("$3\r\n320\r\n", "GET", "counter");
    EXPECT("$3\r\n320\r\n", "GET", "other");
    kv_fixture_close();
}

/* No key is declared, so nothing but the check at the commit keeps them apart: between the begin of
 * the transaction and the script's first step the others run. */
static YIELDS void
bare_counter_run(void *arg)
{
    uint32_t *left = arg;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct slice words[] = {
            SLICE("EVAL"),
            SLICE("return redis.call('SET', 'n', (redis.call('GET', 'n') or 0) + 1)"), SLICE("0")};
        struct slice reply = kv_call(words, ARRAY_COUNT(words));

        cr_assert(slice_starts_with(reply, SLICE("+OK")), "%.*s", (int)reply.size,
                  (const char *)reply.data);
    }
    (*left)--;
}

FIBER_TEST(kv_script, short_scripts_without_keys_lose_no_update)
{
    uint32_t left = COUNTERS;

    kv_fixture_open();
    for (uint32_t i = 0; i < COUNTERS; i++) {
        cr_assert_not_null(
            fiber_spawn("counter", FIBER_FOREGROUND, FIBER_STACK_SMALL, bare_counter_run, &left));
    }
    while (left > 0) {
        (void)fiber_sleep_us(1000);
    }
    EXPECT("$3\r\n320\r\n", "GET", "n");
    kv_fixture_close();
}

/* ---- Functions ---- */

#define LIBRARY                                                                                    \
    "#!lua name=lib\n"                                                                             \
    "local calls = 0\n"                                                                            \
    "redis.register_function('put', function(keys, args)\n"                                        \
    "  return redis.call('SET', keys[1], args[1]) end)\n"                                          \
    "redis.register_function{function_name='get', flags={'no-writes'},\n"                          \
    "  callback=function(keys) return redis.call('GET', keys[1]) end}"

FIBER_TEST_ON(kv_script, functions_are_on_every_shard_and_survive_a_restart, 3)
{
    const char *const keys[] = {"a", "b", "c", "d", "e", "f"};

    kv_fixture_open();
    EXPECT("$3\r\nlib\r\n", "FUNCTION", "LOAD", LIBRARY);
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        EXPECT("+OK\r\n", "FCALL", "put", "1", keys[i], "v");
        EXPECT("$1\r\nv\r\n", "FCALL_RO", "get", "1", keys[i]);
    }
    kv_fixture_reopen();
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        EXPECT("$1\r\nv\r\n", "FCALL", "GET", "1", keys[i]);
    }
    EXPECT("-ERR Can not execute a script with write flag using *_ro command.\r\n", "FCALL_RO",
           "put", "1", "a", "v");
    EXPECT("-ERR Library 'lib' already exists\r\n", "FUNCTION", "LOAD", LIBRARY);
    EXPECT("+OK\r\n", "FUNCTION", "DELETE", "lib");
    EXPECT("-ERR Function not found\r\n", "FCALL", "get", "1", "b");
    kv_fixture_close();
}

FIBER_TEST(kv_script, a_payload_of_functions_is_restored_as_a_whole_or_not)
{
    struct slice dump;
    uint8_t payload[1024];
    size_t size;

    kv_fixture_open();
    EXPECT("$3\r\nlib\r\n", "FUNCTION", "LOAD", LIBRARY);
    dump = CALL("FUNCTION", "DUMP");
    size = (size_t)strtoul((const char *)dump.data + 1, NULL, 10);
    cr_assert_leq(size, sizeof(payload));
    memcpy(payload, (const char *)memchr(dump.data, '\n', dump.size) + 1, size);
    {
        struct slice words[] = {SLICE("FUNCTION"), SLICE("RESTORE"), slice_of(payload, size),
                                SLICE("FLUSH")};
        struct slice reply;

        reply = kv_call(words, 3);
        cr_assert(slice_starts_with(reply, SLICE("-ERR Library lib already exists")));
        EXPECT("+OK\r\n", "FUNCTION", "FLUSH");
        reply = kv_call(words, 3);
        cr_assert(slice_starts_with(reply, SLICE("+OK")));
        EXPECT("$-1\r\n", "FCALL", "get", "1", "a");
        payload[3] ^= 1;
        reply = kv_call(words, 4);
        cr_assert(slice_starts_with(reply, SLICE("-ERR DUMP payload version or checksum")));
        EXPECT("$-1\r\n", "FCALL", "get", "1", "a");
    }
    kv_fixture_close();
}

FIBER_TEST(kv_script, the_text_of_a_library_sees_little_and_ends_in_time)
{
    kv_fixture_open();
    EXPECT("-ERR Error registering functions: ERR user_function:2: Script attempted to access "
           "nonexistent global variable 'call'\r\n",
           "FUNCTION", "LOAD", "#!lua name=x\nredis.call('PING')");
    EXPECT("-ERR No functions registered\r\n", "FUNCTION", "LOAD", "#!lua name=x\nlocal a = 1");
    EXPECT("-ERR Engine 'js' not found\r\n", "FUNCTION", "LOAD", "#!js name=x\n");
    EXPECT("*0\r\n", "FUNCTION", "LIST");
    kv_fixture_close();
}
