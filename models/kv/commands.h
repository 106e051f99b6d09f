/* models/kv/commands.h - the function of every command that the model runs, for the command table.
 *
 * The name is kv_command_ and the command's, with _ for what a C name cannot hold; a subcommand's
 * begins with its container: object|encoding is kv_command_object_encoding. Each appends exactly
 * one reply to request->reply; the arity was checked and the latches are held by kv_execute. */
#pragma once

#include "engine/rt/fiber.h"

struct kv_request;

/* Strings: string.c, and lcs.c. */
YIELDS void kv_command_append(struct kv_request *request);
YIELDS void kv_command_decr(struct kv_request *request);
YIELDS void kv_command_decrby(struct kv_request *request);
YIELDS void kv_command_get(struct kv_request *request);
YIELDS void kv_command_getdel(struct kv_request *request);
YIELDS void kv_command_getex(struct kv_request *request);
YIELDS void kv_command_getrange(struct kv_request *request);
YIELDS void kv_command_getset(struct kv_request *request);
YIELDS void kv_command_incr(struct kv_request *request);
YIELDS void kv_command_incrby(struct kv_request *request);
YIELDS void kv_command_incrbyfloat(struct kv_request *request);
YIELDS void kv_command_lcs(struct kv_request *request);
YIELDS void kv_command_mget(struct kv_request *request);
YIELDS void kv_command_mset(struct kv_request *request);
YIELDS void kv_command_msetnx(struct kv_request *request);
YIELDS void kv_command_psetex(struct kv_request *request);
YIELDS void kv_command_set(struct kv_request *request);
YIELDS void kv_command_setex(struct kv_request *request);
YIELDS void kv_command_setnx(struct kv_request *request);
YIELDS void kv_command_setrange(struct kv_request *request);
YIELDS void kv_command_strlen(struct kv_request *request);
YIELDS void kv_command_substr(struct kv_request *request);

/* Strings as bits: bits.c, bitfield.c. */
YIELDS void kv_command_bitcount(struct kv_request *request);
YIELDS void kv_command_bitfield(struct kv_request *request);
YIELDS void kv_command_bitfield_ro(struct kv_request *request);
YIELDS void kv_command_bitop(struct kv_request *request);
YIELDS void kv_command_bitpos(struct kv_request *request);
YIELDS void kv_command_blmove(struct kv_request *request);
YIELDS void kv_command_blmpop(struct kv_request *request);
YIELDS void kv_command_blpop(struct kv_request *request);
YIELDS void kv_command_brpop(struct kv_request *request);
YIELDS void kv_command_brpoplpush(struct kv_request *request);
YIELDS void kv_command_getbit(struct kv_request *request);
YIELDS void kv_command_setbit(struct kv_request *request);

/* Strings as HyperLogLogs: hyperloglog.c. */
YIELDS void kv_command_pfadd(struct kv_request *request);
YIELDS void kv_command_pfcount(struct kv_request *request);
YIELDS void kv_command_pfmerge(struct kv_request *request);

/* Keys of any type: generic.c. */
YIELDS void kv_command_copy(struct kv_request *request);
YIELDS void kv_command_del(struct kv_request *request);
YIELDS void kv_command_exists(struct kv_request *request);
YIELDS void kv_command_move(struct kv_request *request);
YIELDS void kv_command_object_encoding(struct kv_request *request);
YIELDS void kv_command_object_freq(struct kv_request *request);
YIELDS void kv_command_object_help(struct kv_request *request);
YIELDS void kv_command_object_idletime(struct kv_request *request);
YIELDS void kv_command_object_refcount(struct kv_request *request);
YIELDS void kv_command_rename(struct kv_request *request);
YIELDS void kv_command_renamenx(struct kv_request *request);
YIELDS void kv_command_touch(struct kv_request *request);
YIELDS void kv_command_type(struct kv_request *request);
YIELDS void kv_command_unlink(struct kv_request *request);
YIELDS void kv_command_memory_usage(struct kv_request *request);

/* Hashes. */
YIELDS void kv_command_hdel(struct kv_request *request);
YIELDS void kv_command_hexists(struct kv_request *request);
YIELDS void kv_command_hexpire(struct kv_request *request);
YIELDS void kv_command_hexpireat(struct kv_request *request);
YIELDS void kv_command_hexpiretime(struct kv_request *request);
YIELDS void kv_command_hget(struct kv_request *request);
YIELDS void kv_command_hgetall(struct kv_request *request);
YIELDS void kv_command_hincrby(struct kv_request *request);
YIELDS void kv_command_hincrbyfloat(struct kv_request *request);
YIELDS void kv_command_hkeys(struct kv_request *request);
YIELDS void kv_command_hlen(struct kv_request *request);
YIELDS void kv_command_hmget(struct kv_request *request);
YIELDS void kv_command_hmset(struct kv_request *request);
YIELDS void kv_command_hpersist(struct kv_request *request);
YIELDS void kv_command_hpexpire(struct kv_request *request);
YIELDS void kv_command_hpexpireat(struct kv_request *request);
YIELDS void kv_command_hpexpiretime(struct kv_request *request);
YIELDS void kv_command_hpttl(struct kv_request *request);
YIELDS void kv_command_hrandfield(struct kv_request *request);
YIELDS void kv_command_hscan(struct kv_request *request);
YIELDS void kv_command_hset(struct kv_request *request);
YIELDS void kv_command_hsetnx(struct kv_request *request);
YIELDS void kv_command_hstrlen(struct kv_request *request);
YIELDS void kv_command_httl(struct kv_request *request);
YIELDS void kv_command_hvals(struct kv_request *request);

/* Sets: set_commands.c, set.c, set_algebra.c. */
YIELDS void kv_command_sadd(struct kv_request *request);
YIELDS void kv_command_scard(struct kv_request *request);
YIELDS void kv_command_sdiff(struct kv_request *request);
YIELDS void kv_command_sdiffstore(struct kv_request *request);
YIELDS void kv_command_sinter(struct kv_request *request);
YIELDS void kv_command_sintercard(struct kv_request *request);
YIELDS void kv_command_sinterstore(struct kv_request *request);
YIELDS void kv_command_sismember(struct kv_request *request);
YIELDS void kv_command_smembers(struct kv_request *request);
YIELDS void kv_command_smismember(struct kv_request *request);
YIELDS void kv_command_smove(struct kv_request *request);
YIELDS void kv_command_spop(struct kv_request *request);
YIELDS void kv_command_srandmember(struct kv_request *request);
YIELDS void kv_command_srem(struct kv_request *request);
YIELDS void kv_command_sscan(struct kv_request *request);
YIELDS void kv_command_sunion(struct kv_request *request);
YIELDS void kv_command_sunionstore(struct kv_request *request);

/* Lists: list_commands.c, list_move.c. */
YIELDS void kv_command_lindex(struct kv_request *request);
YIELDS void kv_command_linsert(struct kv_request *request);
YIELDS void kv_command_llen(struct kv_request *request);
YIELDS void kv_command_lmove(struct kv_request *request);
YIELDS void kv_command_lmpop(struct kv_request *request);
YIELDS void kv_command_lpop(struct kv_request *request);
YIELDS void kv_command_lpos(struct kv_request *request);
YIELDS void kv_command_lpush(struct kv_request *request);
YIELDS void kv_command_lpushx(struct kv_request *request);
YIELDS void kv_command_lrange(struct kv_request *request);
YIELDS void kv_command_lrem(struct kv_request *request);
YIELDS void kv_command_lset(struct kv_request *request);
YIELDS void kv_command_ltrim(struct kv_request *request);
YIELDS void kv_command_rpop(struct kv_request *request);
YIELDS void kv_command_rpoplpush(struct kv_request *request);
YIELDS void kv_command_rpush(struct kv_request *request);
YIELDS void kv_command_rpushx(struct kv_request *request);

/* Sorted sets: zset_commands.c, zset_range.c, zset_pop.c, zset_algebra.c, zset_random.c. */
YIELDS void kv_command_bzmpop(struct kv_request *request);
YIELDS void kv_command_bzpopmax(struct kv_request *request);
YIELDS void kv_command_bzpopmin(struct kv_request *request);
YIELDS void kv_command_zadd(struct kv_request *request);
YIELDS void kv_command_zcard(struct kv_request *request);
YIELDS void kv_command_zcount(struct kv_request *request);
YIELDS void kv_command_zdiff(struct kv_request *request);
YIELDS void kv_command_zdiffstore(struct kv_request *request);
YIELDS void kv_command_zincrby(struct kv_request *request);
YIELDS void kv_command_zinter(struct kv_request *request);
YIELDS void kv_command_zintercard(struct kv_request *request);
YIELDS void kv_command_zinterstore(struct kv_request *request);
YIELDS void kv_command_zlexcount(struct kv_request *request);
YIELDS void kv_command_zmpop(struct kv_request *request);
YIELDS void kv_command_zmscore(struct kv_request *request);
YIELDS void kv_command_zpopmax(struct kv_request *request);
YIELDS void kv_command_zpopmin(struct kv_request *request);
YIELDS void kv_command_zrandmember(struct kv_request *request);
YIELDS void kv_command_zrange(struct kv_request *request);
YIELDS void kv_command_zrangebylex(struct kv_request *request);
YIELDS void kv_command_zrangebyscore(struct kv_request *request);
YIELDS void kv_command_zrangestore(struct kv_request *request);
YIELDS void kv_command_zrank(struct kv_request *request);
YIELDS void kv_command_zrem(struct kv_request *request);
YIELDS void kv_command_zremrangebylex(struct kv_request *request);
YIELDS void kv_command_zremrangebyrank(struct kv_request *request);
YIELDS void kv_command_zremrangebyscore(struct kv_request *request);
YIELDS void kv_command_zrevrange(struct kv_request *request);
YIELDS void kv_command_zrevrangebylex(struct kv_request *request);
YIELDS void kv_command_zrevrangebyscore(struct kv_request *request);
YIELDS void kv_command_zrevrank(struct kv_request *request);
YIELDS void kv_command_zscan(struct kv_request *request);
YIELDS void kv_command_zscore(struct kv_request *request);
YIELDS void kv_command_zunion(struct kv_request *request);
YIELDS void kv_command_zunionstore(struct kv_request *request);
/* Streams: stream_*.c. */
YIELDS void kv_command_xack(struct kv_request *request);
YIELDS void kv_command_xadd(struct kv_request *request);
YIELDS void kv_command_xautoclaim(struct kv_request *request);
YIELDS void kv_command_xclaim(struct kv_request *request);
YIELDS void kv_command_xdel(struct kv_request *request);
YIELDS void kv_command_xgroup_create(struct kv_request *request);
YIELDS void kv_command_xgroup_createconsumer(struct kv_request *request);
YIELDS void kv_command_xgroup_delconsumer(struct kv_request *request);
YIELDS void kv_command_xgroup_destroy(struct kv_request *request);
YIELDS void kv_command_xgroup_help(struct kv_request *request);
YIELDS void kv_command_xgroup_setid(struct kv_request *request);
YIELDS void kv_command_xinfo_consumers(struct kv_request *request);
YIELDS void kv_command_xinfo_groups(struct kv_request *request);
YIELDS void kv_command_xinfo_help(struct kv_request *request);
YIELDS void kv_command_xinfo_stream(struct kv_request *request);
YIELDS void kv_command_xlen(struct kv_request *request);
YIELDS void kv_command_xpending(struct kv_request *request);
YIELDS void kv_command_xrange(struct kv_request *request);
YIELDS void kv_command_xread(struct kv_request *request);
YIELDS void kv_command_xreadgroup(struct kv_request *request);
YIELDS void kv_command_xrevrange(struct kv_request *request);
YIELDS void kv_command_xsetid(struct kv_request *request);
YIELDS void kv_command_xtrim(struct kv_request *request);

/* Places in sorted sets: geo.c, geo_search.c. */
YIELDS void kv_command_geoadd(struct kv_request *request);
YIELDS void kv_command_geodist(struct kv_request *request);
YIELDS void kv_command_geohash(struct kv_request *request);
YIELDS void kv_command_geopos(struct kv_request *request);
YIELDS void kv_command_georadius(struct kv_request *request);
YIELDS void kv_command_georadius_ro(struct kv_request *request);
YIELDS void kv_command_georadiusbymember(struct kv_request *request);
YIELDS void kv_command_georadiusbymember_ro(struct kv_request *request);
YIELDS void kv_command_geosearch(struct kv_request *request);
YIELDS void kv_command_geosearchstore(struct kv_request *request);

/* Sorting: sort.c. */
YIELDS void kv_command_sort(struct kv_request *request);
YIELDS void kv_command_sort_ro(struct kv_request *request);

/* Expiry: expire.c. */
YIELDS void kv_command_expire(struct kv_request *request);
YIELDS void kv_command_expireat(struct kv_request *request);
YIELDS void kv_command_expiretime(struct kv_request *request);
YIELDS void kv_command_persist(struct kv_request *request);
YIELDS void kv_command_pexpire(struct kv_request *request);
YIELDS void kv_command_pexpireat(struct kv_request *request);
YIELDS void kv_command_pexpiretime(struct kv_request *request);
YIELDS void kv_command_pttl(struct kv_request *request);
YIELDS void kv_command_ttl(struct kv_request *request);

/* Serialised values: dump.c. */
YIELDS void kv_command_dump(struct kv_request *request);
YIELDS void kv_command_restore(struct kv_request *request);

/* The whole keyspace (layer KEYSPACE): scan.c and flush.c. */
YIELDS void kv_command_dbsize(struct kv_request *request);
YIELDS void kv_command_flushall(struct kv_request *request);
YIELDS void kv_command_flushdb(struct kv_request *request);
YIELDS void kv_command_keys(struct kv_request *request);
YIELDS void kv_command_randomkey(struct kv_request *request);
YIELDS void kv_command_scan(struct kv_request *request);
YIELDS void kv_command_swapdb(struct kv_request *request);
