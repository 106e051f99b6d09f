"""Scripts and functions, for differential.py.

What a script wrote before it failed stays in Redis and does not here: scripts that write run one
command, or catch what commands answer.
"""

from diff_common import key, number, small, word, words
import diff_list
import diff_string

ARGUMENTS = b"local a = {} for i = 1, #ARGV do a[i] = ARGV[i] end "
CALL = b"return redis.call(unpack(ARGV))"
PCALL = ARGUMENTS + b"local r = redis.pcall(unpack(a)) return {type(r), r}"

CONVERSIONS = [
    b"return ARGV", b"return {KEYS, ARGV, #ARGV}", b"return tonumber(ARGV[1])",
    b"return ARGV[1] .. ARGV[2]", b"return {ok = ARGV[1]}", b"return {err = ARGV[1]}",
    b"return redis.error_reply(ARGV[1])", b"return redis.status_reply(ARGV[1])",
    b"return {1, {2, ARGV[1]}, false, 4}", b"return {1, nil, 3}", b"return ARGV[9]",
    b"error(tostring(ARGV[1]))", b"error({err = tostring(ARGV[1])})",
    b"return redis.sha1hex(ARGV[1])",
    b"local ok, e = pcall(error, ARGV[1]) return {tostring(ok), e}",
    b"return {double = 1.5}", b"return {map = {[ARGV[1]] = ARGV[2]}}",
    b"return {set = {[ARGV[1]] = true}}", b"return {big_number = ARGV[1]}",
    b"redis.setresp(3) return true", b"redis.setresp(3) return {false, true}",
    b"return #ARGV[1] + ARGV[2]", b"return ARGV[1] < ARGV[2]", b"return x", b"x = 1",
]
STRINGS = [
    b"return {string.find(ARGV[1], ARGV[2], 1, true)}", b"return ARGV[1]:upper():reverse()",
    b"return {string.byte(ARGV[1], 1, 5)}", b"return ARGV[1]:sub(2, -2)",
    b"return {(ARGV[1]:gsub('%d', 'n'))}", b"return {ARGV[1]:match('(%a)(%d+)')}",
    b"return string.format('%5s|%-5s|%q', ARGV[1], ARGV[2], ARGV[1])",
    b"return string.format('%d %x %g', ARGV[1], ARGV[2], ARGV[1])",
    b"local t = {} for w in ARGV[1]:gmatch('%w') do t[#t + 1] = w end return t",
    b"local t = {unpack(ARGV)} table.sort(t) return t", b"return table.concat(ARGV, ARGV[1])",
]
LIBRARIES = [
    b"return cjson.encode({ARGV[1], #ARGV[2], {a = ARGV[2]}})",
    b"return cjson.encode(cjson.decode(cjson.encode({ARGV[1], {x = ARGV[2]}})))",
    b"return cjson.decode(ARGV[1])", b"return cjson.decode('[' .. ARGV[1] .. ',1]')",
    b"return cjson.decode('{\"a\":' .. ARGV[1] .. '}').a",
    b"return cjson.encode(tonumber(ARGV[1]))",
    b"return cmsgpack.pack(ARGV[1], tonumber(ARGV[2]), {ARGV[1], {a = ARGV[2]}})",
    b"return {cmsgpack.unpack(cmsgpack.pack(unpack(ARGV)))}", b"return {cmsgpack.unpack(ARGV[1])}",
    b"return {cmsgpack.unpack_limit(cmsgpack.pack(1, 2, ARGV[1]), 2, 1)}",
    b"return struct.pack(ARGV[3], ARGV[1], ARGV[2])",
    b"return {struct.unpack(ARGV[3], ARGV[1] .. ARGV[2])}", b"return struct.size(ARGV[3])",
    b"return {struct.unpack(ARGV[3], struct.pack(ARGV[3], ARGV[1], ARGV[2]))}",
    b"return {bit.tobit(ARGV[1]), bit.bnot(ARGV[2]), bit.tohex(ARGV[1])}",
    b"return {bit.band(ARGV[1], ARGV[2]), bit.bor(ARGV[1], ARGV[2]), bit.bxor(ARGV[1], ARGV[2])}",
    b"return {bit.lshift(ARGV[1], 3), bit.rshift(ARGV[1], 3), bit.arshift(ARGV[1], 3)}",
    b"return {bit.rol(ARGV[1], ARGV[2]), bit.ror(ARGV[1], ARGV[2]), bit.bswap(ARGV[1])}",
    b"math.randomseed(ARGV[1]) return {math.random(100), math.random(5, 50)}",
]
FORMATS = [b"<ss", b">i4h", b"Bb", b"<i8", b"c2c1", b"!4Bi", b">I3", b"s", b"Bc0", b"xB", b"z",
           b"I9", b"=l", b"f", b"d", b"<H>H"]
COUNTERS = [
    b"local n = redis.call('INCRBY', KEYS[1], ARGV[1]) return n",
    b"if redis.call('EXISTS', KEYS[1]) == 0 then return redis.call('SET', KEYS[1], ARGV[1]) end "
    b"return redis.call('TYPE', KEYS[1])",
    b"local r = {} for i, v in ipairs(ARGV) do r[i] = redis.pcall('RPUSH', KEYS[1], v) end "
    b"return r",
    b"return redis.pcall('LRANGE', KEYS[1], 0, -1)",
    b"redis.pcall('DEL', KEYS[1]) return redis.pcall('GET', KEYS[1])",
]

LIBRARY = (b"#!lua name=%s\nlocal kept = 1\nredis.register_function('%s', function(keys, args) "
           b"return {keys, args, kept} end)\nredis.register_function{function_name='%s_ro', "
           b"flags={'no-writes'}, description='reads', callback=function(keys, args) "
           b"return redis.pcall('GET', keys[1]) end}")


def evaluated(rng, texts, arguments):
    name = rng.choice([b"EVAL", b"EVAL", b"eval_ro"])
    return [name, rng.choice(texts), b"1", key(rng)] + arguments


def library_name(rng):
    return rng.choice([b"one", b"two", b"three", b"bad name", b""])


def loaded(rng):
    name = library_name(rng)
    return [b"FUNCTION", b"LOAD"] + rng.choice([[], [b"REPLACE"], [b"x"]]) + \
        [LIBRARY % (name, rng.choice([name, b"one"]), name)]


def script_commands(rng):
    return rng.choice([
        lambda: [rng.choice([b"EVAL", b"EVAL_RO"]), CALL, b"0"] + diff_string.string_commands(rng),
        lambda: [b"EVAL", CALL, b"0"] + diff_list.list_commands(rng),
        lambda: [b"EVAL", PCALL, b"0"] + diff_string.string_commands(rng),
        lambda: evaluated(rng, CONVERSIONS, words(rng, 2, 4)),  # error(nil), error({}) end 7.0.
        lambda: evaluated(rng, STRINGS, words(rng, 1, 4)),
        lambda: evaluated(rng, LIBRARIES, [word(rng), rng.choice([word(rng), small(rng)]),
                                           rng.choice(FORMATS)]),
        lambda: [b"EVAL", rng.choice(COUNTERS), b"1", key(rng)] + words(rng, 1, 3),
        lambda: [b"EVAL", b"return {KEYS, ARGV}", number(rng)] + words(rng, 0, 4),
        lambda: [b"EVALSHA", b"f" * 40, small(rng)],
        lambda: [b"SCRIPT", b"EXISTS", b"f" * 40, word(rng)],
        lambda: [b"SCRIPT", b"LOAD", rng.choice(CONVERSIONS + [b"return (", b"#!lua\nreturn 1"])],
        lambda: loaded(rng),
        lambda: [rng.choice([b"FCALL", b"fcall_ro"]),
                 library_name(rng) + rng.choice([b"", b"_RO"]), rng.choice([b"1", number(rng)]),
                 key(rng)] + words(rng, 0, 2),
        lambda: [b"FUNCTION", b"DELETE", library_name(rng)],
        lambda: [b"FUNCTION", b"STATS"],
        lambda: [b"FUNCTION", b"LIST", b"LIBRARYNAME", library_name(rng)] +
        rng.choice([[], [b"WITHCODE"]]),
        lambda: [b"FUNCTION", b"RESTORE", word(rng)],
        lambda: [b"SET", key(rng), word(rng)],
        lambda: [b"DEL", key(rng)],
    ])()


def is_excused(name, ours, theirs):
    if name in ("EVAL", "EVAL_RO"):
        if needs_less(ours, theirs):
            return True
        if isinstance(ours, (Exception, bytes)):  # To Redis a zero byte ends a status and an error.
            whole, cut = (bytes(str(text), "latin1", "replace") if isinstance(text, Exception) else
                          text for text in (ours, theirs))
            return type(ours) is type(theirs) and b"\0" in whole and whole.split(b"\0")[0] == cut
        return plain(ours) == plain(theirs)  # Errors inside of arrays are objects of their own.
    # Redis lists the functions of a library in the order of a hash of its own.
    return name == "FUNCTION" and isinstance(ours, list) and isinstance(theirs, list) and \
        unordered(ours) == unordered(theirs)


def needs_less(ours, theirs):
    """LCS LEN of long strings, called or called by PCALL: see diff_string."""
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs) == 2:
        return ours[0] == b"number" and theirs[0] == b"table" and \
            diff_string.is_excused("LCS", ours[1], theirs[1])
    return diff_string.is_excused("LCS", ours, theirs)


def plain(reply):
    if isinstance(reply, (list, tuple)):
        return [plain(part) for part in reply]
    return ("error", str(reply)) if isinstance(reply, Exception) else reply


def unordered(reply):
    if isinstance(reply, (list, tuple, set, frozenset)):
        return tuple(sorted((unordered(part) for part in reply), key=repr))
    if isinstance(reply, dict):
        return unordered(list(reply.items()))
    return reply


GROUPS = {"script": script_commands}
