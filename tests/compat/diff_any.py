"""Every command with words drawn from all that commands take, for differential.py: most are
refused, and how is what is compared. What a command means is for the groups of its type. Commands
that let a key expire (here soon) are not among them, nor are those of HyperLogLogs, whose bytes
differ."""

from diff_common import key, number, small, word

COMMANDS = b"""
    APPEND BITCOUNT BITFIELD BITFIELD_RO BITOP BITPOS BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH
    BZMPOP BZPOPMAX BZPOPMIN COPY DECR DECRBY DEL DUMP EVAL EVALSHA EVALSHA_RO EVAL_RO EXISTS
    EXPIRETIME FCALL FCALL_RO GEOADD GEODIST GEOHASH GEOPOS GEORADIUS GEORADIUSBYMEMBER
    GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GEOSEARCHSTORE GET GETBIT GETDEL GETEX GETRANGE
    GETSET HDEL HEXISTS HGET HGETALL HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HRANDFIELD HSET
    HSETNX HSTRLEN HVALS INCR INCRBY INCRBYFLOAT LCS LINDEX LINSERT LLEN LMOVE LMPOP LPOP LPOS
    LPUSH LPUSHX LRANGE LREM LSET LTRIM MGET MOVE MSET MSETNX PERSIST PEXPIRETIME PTTL RENAME
    RENAMENX RESTORE RPOP RPOPLPUSH RPUSH RPUSHX SADD SCARD SDIFF SDIFFSTORE SET SETBIT SETNX
    SETRANGE SINTER SINTERCARD SINTERSTORE SISMEMBER SMEMBERS SMISMEMBER SMOVE SORT SORT_RO SPOP
    SRANDMEMBER SREM STRLEN SUBSTR SUNION SUNIONSTORE TOUCH TTL TYPE UNLINK XACK XAUTOCLAIM
    XCLAIM XDEL XLEN XPENDING XRANGE XREAD XREADGROUP XREVRANGE XSETID XTRIM ZADD ZCARD ZCOUNT
    ZDIFF ZDIFFSTORE ZINCRBY ZINTER ZINTERCARD ZINTERSTORE ZLEXCOUNT ZMPOP ZMSCORE ZPOPMAX
    ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANGESTORE ZRANK ZREM ZREMRANGEBYLEX
    ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCORE
    ZUNION ZUNIONSTORE
""".split()
SUBCOMMANDS = [
    [b"XGROUP", b"CREATE"], [b"XGROUP", b"SETID"], [b"XGROUP", b"DESTROY"], [b"XINFO", b"STREAM"],
    [b"XGROUP", b"CREATECONSUMER"], [b"XGROUP", b"DELCONSUMER"], [b"XINFO", b"GROUPS"],
    [b"XINFO", b"CONSUMERS"], [b"OBJECT", b"ENCODING"], [b"OBJECT", b"x"], [b"XGROUP", b"x"],
    [b"SCRIPT", b"EXISTS"], [b"SCRIPT", b"x"], [b"FUNCTION", b"DELETE"], [b"FUNCTION", b"x"],
    [b"PUBSUB", b"NUMSUB"], [b"PUBSUB", b"CHANNELS"], [b"PUBSUB", b"NUMPAT"], [b"PUBSUB", b"x"],
    [b"PUBSUB", b"SHARDCHANNELS"], [b"PUBSUB", b"SHARDNUMSUB"], [b"COMMAND", b"GETKEYS"],
    [b"CLIENT", b"x"], [b"CLIENT", b"NO-EVICT"], [b"CLIENT", b"GETNAME"], [b"CLIENT", b"UNBLOCK"],
    [b"CLIENT", b"GETREDIR"], [b"CONFIG", b"x"], [b"MEMORY", b"x"], [b"LATENCY", b"x"],
    [b"SLOWLOG", b"x"], [b"ACL", b"x"], [b"ACL", b"WHOAMI"], [b"ACL", b"CAT"], [b"PUBLISH"],
    [b"ECHO"], [b"PING"], [b"SPUBLISH"], [b"SELECT", b"0"], [b"WAIT", b"0", b"0"],
    [b"CLUSTER"], [b"ASKING"], [b"READONLY"], [b"nocommand"], [b"no-command|x"],
]
OPTIONS = b"""
    NX XX GT LT CH INCR GET KEEPTTL PERSIST REPLACE ABSTTL IDLETIME FREQ DB COUNT
    MATCH TYPE WITHSCORES WITHVALUES LIMIT BYSCORE BYLEX REV WEIGHTS AGGREGATE SUM MIN MAX RANK
    MAXLEN MINID BEFORE AFTER LEFT RIGHT STORE STOREDIST WITHDIST WITHCOORD WITHHASH ASC DESC ANY
    FROMMEMBER FROMLONLAT BYRADIUS BYBOX BLOCK STREAMS GROUP NOACK MKSTREAM NOMKSTREAM ENTRIESREAD
    IDLE TIME RETRYCOUNT FORCE JUSTID LASTID OVERFLOW WRAP SAT FAIL U8 I64 BYTE BIT AND NOT ALPHA BY
    LEN IDX MINMATCHLEN WITHMATCHLEN FULL km m x - + ( [ $ > * ~ = 0 1 2 -1 1.5 g1 alice
""".split()
NAMES = [b"a0", b"a1", b"a2"]
# What Redis 7.0 has otherwise than 7.2, picks at random, or waits without an end.
LEFT_OUT = {b"BLOCK", b"TIME", b"IDLE", b"IDLETIME"}
PICKS = {"SPOP", "DUMP"}


def drawn(rng):
    return rng.choice([
        lambda: rng.choice(NAMES), lambda: rng.choice(NAMES), lambda: number(rng),
        lambda: small(rng), lambda: word(rng), lambda: rng.choice(OPTIONS),
        lambda: rng.choice(OPTIONS).lower(),
    ])()


def any_command(rng):
    if rng.randrange(5) == 0:
        command = list(rng.choice(SUBCOMMANDS))
    else:
        command = [rng.choice(COMMANDS)]
        if rng.randrange(4):
            command.append(rng.choice(NAMES))
    command += [drawn(rng) for _ in range(rng.randrange(6))]
    if command[0][:1] == b"B" and not command[0].startswith(b"BIT"):
        command.append(b"0.001") # Most wait for as long as their last word tells; not for ever.
        if command[0] in (b"BLMPOP", b"BZMPOP"):
            command[1:2] = [b"0.001"]
    if command[0] == b"SPOP":
        command[1:] = [key(rng) + b"none"]
    if command[0][:1] == b"X":  # Redis lets a number of an id begin with a blank.
        command = [name for name in command if name != b" 1"]
    return [name for name in command if name.upper() not in LEFT_OUT]


def is_excused(name, ours, theirs):
    """Redis 7.2 takes WITHSCORE here, 7.0 does not. And it reads ZINCRBY as ZADD, options too."""
    if name == "ZINCRBY":
        return isinstance(ours, Exception) and str(theirs) == "ERR syntax error"
    return name in ("ZRANK", "ZREVRANK") and str(ours) == "ERR syntax error" and \
        str(theirs).startswith("ERR wrong number of arguments")


GROUPS = {"any": any_command}
