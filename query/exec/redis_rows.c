/* query/exec/redis_rows.c - rows of the schema redis as commands. */
#include "query/exec/redis_rows.h"

#include <math.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "models/types/datetime.h"
#include "models/types/jsonb.h"
#include "models/types/sql_error.h"
#include "query/redis_reply.h"
#include "query/session.h"

#include "engine/base/poison.h"

#define SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).data

enum redis_table {
    REDIS_KEYS,
    REDIS_STRINGS,
    REDIS_HASHES,
    REDIS_LISTS,
    REDIS_SETS,
    REDIS_ZSETS,
    REDIS_STREAMS,
};
enum { COLUMN_KEY, COLUMN_NAME, COLUMN_VALUE, TOMBSTONE_BYTES = 32, OID_FIRST_REDIS = 13901 };

/* A key of whose list elements were marked, to be removed when the statement's indexes are done. */
struct marked_list {
    struct marked_list *next;
    struct slice key;
};

struct redis_rows {
    struct exec *exec;
    const struct relation *relation;
    enum redis_table table;
    uint32_t key_columns;
    uint8_t tombstone[TOMBSTONE_BYTES]; /* Random: no element is equal to it. */
    struct marked_list *marked;
};

struct redis_rows *
redis_rows_new(struct exec *exec, const struct relation *relation)
{
    struct redis_rows *redis = arena_alloc(exec->arena, sizeof(*redis));

    *redis = (struct redis_rows){
        .exec = exec,
        .relation = relation,
        .table = (enum redis_table)(relation->oid - OID_FIRST_REDIS),
        .key_columns = relation->indexes[0].column_count,
    };
    for (uint32_t i = 0; i < TOMBSTONE_BYTES; i++) {
        redis->tombstone[i] = (uint8_t)prng_below(shard_prng(), 256);
    }
    return redis;
}

/* ---- Commands ---- */

static YIELDS err_t
ask(struct redis_rows *redis, struct arena *arena, const struct slice *words, uint32_t count,
    struct reply_item *item_out)
{
    struct reply reply;
    struct reply_reader reader;
    err_t err;

    reply_init(&reply, 2);
    err = sql_session_redis(redis->exec->env->session, words, count, arena, &reply);
    if (err == ERR_OK) {
        reader.at = arena_copy(arena, buf_slice(&reply.buf)).data;
        *item_out = reply_item_take(&reader);
    }
    reply_fini(&reply);
    return err;
}

static err_t
refused(const struct redis_rows *redis, const char *what)
{
    return sql_error("0A000", "%s of redis.%.*s is not supported", what,
                     SLICE_ARGS(redis->relation->name));
}

static struct slice
text_of(struct arena *arena, long long number)
{
    return slice_from_text(arena_printf(arena, "%lld", number));
}

static struct slice
score_text(struct arena *arena, double score)
{
    return slice_from_text(isinf(score) ? score < 0 ? "-inf" : "inf"
                                        : arena_printf(arena, "%.17g", score));
}

/* ---- Times ---- */

static err_t
expiry_text(const struct row *row, struct arena *arena, struct slice *text_out)
{
    int64_t us = row->values[COLUMN_VALUE].i;

    if (us <= -US_1970_TO_2000 || us > INT64_MAX - US_1970_TO_2000) {
        return sql_error("22008", "timestamp out of range for the expiry of a key");
    }
    *text_out = text_of(arena, (us + US_1970_TO_2000) / 1000);
    return ERR_OK;
}

static YIELDS err_t
expiry_set(struct redis_rows *redis, const struct row *row, struct arena *arena)
{
    struct slice words[] = {SLICE("pexpireat"), row->values[COLUMN_KEY].bytes, SLICE("")};
    struct reply_item item;
    err_t err;

    if (row->nulls[COLUMN_VALUE] != 0) {
        words[0] = SLICE("persist");
        return ask(redis, arena, words, 2, &item);
    }
    TRY(expiry_text(row, arena, &words[2]));
    err = ask(redis, arena, words, 3, &item);
out:
    return err;
}

static bool
is_same(const struct row *a, const struct row *b, uint32_t column)
{
    return a->nulls[column] == b->nulls[column] &&
           (a->nulls[column] != 0 || a->values[column].i == b->values[column].i);
}

/* ---- INSERT ---- */

/* The row that is there, for ON CONFLICT. */
static YIELDS err_t
old_read(struct redis_rows *redis, const struct row *row, struct row *old, struct arena *arena)
{
    struct slice words[] = {SLICE("get"), row->values[COLUMN_KEY].bytes,
                            row->values[COLUMN_NAME].bytes};
    struct reply_item item;
    err_t err = ERR_OK;

    memcpy(old->values, row->values, redis->relation->column_count * sizeof(*old->values));
    memset(old->nulls, 0, redis->relation->column_count);
    if (redis->table == REDIS_STRINGS) {
        TRY(ask(redis, arena, words, 2, &item));
        old->values[COLUMN_NAME] = datum_bytes(item.bytes);
        words[0] = SLICE("pexpiretime");
        TRY(ask(redis, arena, words, 2, &item));
        old->nulls[COLUMN_VALUE] = item.number < 0;
        old->values[COLUMN_VALUE] = datum_int(item.number * 1000 - US_1970_TO_2000);
    } else if (redis->table == REDIS_HASHES) {
        words[0] = SLICE("hget");
        TRY(ask(redis, arena, words, 3, &item));
        old->values[COLUMN_VALUE] = datum_bytes(item.bytes);
    } else if (redis->table == REDIS_ZSETS) {
        const struct type *type = type_by_oid(OID_FLOAT8);
        const struct type_io io = {.arena = arena, .settings = redis->exec->settings};

        words[0] = SLICE("zscore");
        TRY(ask(redis, arena, words, 3, &item));
        err = type->input(type, &io, item.bytes, -1, &old->values[COLUMN_VALUE]);
    }
out:
    return err;
}

static YIELDS err_t
string_insert(struct redis_rows *redis, const struct row *row, struct arena *arena,
              bool *is_there_out)
{
    struct slice words[] = {SLICE("set"),
                            row->values[COLUMN_KEY].bytes,
                            row->values[COLUMN_NAME].bytes,
                            SLICE("nx"),
                            SLICE("pxat"),
                            SLICE("")};
    bool expires = row->nulls[COLUMN_VALUE] == 0;
    struct reply_item item;
    err_t err = ERR_OK;

    if (expires) {
        TRY(expiry_text(row, arena, &words[5]));
    }
    TRY(ask(redis, arena, words, expires ? 6 : 4, &item));
    *is_there_out = reply_item_is_null(&item);
out:
    return err;
}

/* At the end: another place would move what others have read by their index. */
static YIELDS err_t
list_insert(struct redis_rows *redis, struct row *row, struct arena *arena)
{
    const struct slice words[] = {SLICE("rpush"), row->values[COLUMN_KEY].bytes,
                                  row->values[COLUMN_VALUE].bytes};
    struct reply_item item;
    err_t err;

    if (row->nulls[COLUMN_NAME] == 0) {
        (void)refused(redis, "INSERT with an index");
        return sql_hint("Leave the index out: the element becomes the last one.");
    }
    TRY(ask(redis, arena, words, ARRAY_COUNT(words), &item));
    row->nulls[COLUMN_NAME] = 0;
    row->values[COLUMN_NAME] = datum_int(item.number - 1);
out:
    return err;
}

/* The texts of an object's values: strings, numbers and booleans. */
static err_t
fields_words(struct datum fields, struct arena *arena, struct slice *words, uint32_t *count_io)
{
    struct json_value object = json_root(fields.bytes);

    for (uint32_t i = 0; i < object.count; i++) {
        struct json_value value = json_at(&object, i);
        struct buf text;

        words[(*count_io)++] = json_key_at(&object, i);
        if (value.kind == JSON_STRING) {
            words[(*count_io)++] = value.payload;
            continue;
        }
        if (value.kind == JSON_ARRAY || value.kind == JSON_OBJECT || value.kind == JSON_NULL) {
            return sql_error("22023", "a field of a stream is a string, a number or a boolean");
        }
        buf_init(&text, MEM_SESSIONS);
        json_value_print(value, false, &text);
        words[(*count_io)++] = arena_copy(arena, buf_slice(&text));
        buf_fini(&text);
    }
    return ERR_OK;
}

static YIELDS err_t
stream_insert(struct redis_rows *redis, struct row *row, struct arena *arena)
{
    struct json_value object = json_root(row->values[COLUMN_VALUE].bytes);
    struct slice *words;
    struct reply_item item;
    uint32_t count = 3;
    err_t err;

    if (object.kind != JSON_OBJECT || object.count == 0) {
        return sql_error("22023", "the fields of a stream's entry are an object of JSON");
    }
    words = arena_alloc(arena, (3 + 2 * (size_t)object.count) * sizeof(*words));
    words[0] = SLICE("xadd");
    words[1] = row->values[COLUMN_KEY].bytes;
    words[2] = row->nulls[COLUMN_NAME] != 0 ? SLICE("*") : row->values[COLUMN_NAME].bytes;
    TRY(fields_words(row->values[COLUMN_VALUE], arena, words, &count));
    TRY(ask(redis, arena, words, count, &item));
    row->nulls[COLUMN_NAME] = 0;
    row->values[COLUMN_NAME] = datum_bytes(item.bytes);
out:
    return err;
}

/* HSETNX, SADD, ZADD NX: 0 is the answer when it is there. */
static YIELDS err_t
element_insert(struct redis_rows *redis, const struct row *row, struct arena *arena,
               bool *is_there_out)
{
    struct slice words[5] = {SLICE("hsetnx"), row->values[COLUMN_KEY].bytes,
                             row->values[COLUMN_NAME].bytes};
    uint32_t count = 3;
    struct reply_item item;
    err_t err;

    if (redis->table == REDIS_HASHES) {
        words[count++] = row->values[COLUMN_VALUE].bytes;
    } else if (redis->table == REDIS_SETS) {
        words[0] = SLICE("sadd");
    } else {
        words[0] = SLICE("zadd");
        words[2] = SLICE("nx");
        words[3] = score_text(arena, row->values[COLUMN_VALUE].f);
        words[4] = row->values[COLUMN_NAME].bytes;
        count = 5;
    }
    TRY(ask(redis, arena, words, count, &item));
    *is_there_out = item.number == 0;
out:
    return err;
}

err_t
redis_row_insert(struct redis_rows *redis, struct row *row, struct row *old, struct arena *arena,
                 bool *is_there_out)
{
    err_t err = ERR_OK;

    *is_there_out = false;
    switch (redis->table) {
    case REDIS_KEYS:
        return refused(redis, "INSERT");
    case REDIS_STRINGS:
        err = string_insert(redis, row, arena, is_there_out);
        break;
    case REDIS_LISTS:
        return list_insert(redis, row, arena);
    case REDIS_STREAMS:
        return stream_insert(redis, row, arena);
    default:
        err = element_insert(redis, row, arena, is_there_out);
        break;
    }
    return err == ERR_OK && *is_there_out ? old_read(redis, row, old, arena) : err;
}

err_t
redis_row_duplicate(const struct redis_rows *redis, const struct row *row)
{
    struct slice key = row->values[COLUMN_KEY].bytes;

    (void)sql_error("23505", "duplicate key value violates unique constraint \"%.*s\"",
                    SLICE_ARGS(redis->relation->indexes[0].name));
    if (redis->key_columns == 1) {
        return sql_detail("Key (key)=(%.*s) already exists.", SLICE_ARGS(key));
    }
    return sql_detail("Key (key, %.*s)=(%.*s, %.*s) already exists.",
                      SLICE_ARGS(redis->relation->columns[COLUMN_NAME].name), SLICE_ARGS(key),
                      SLICE_ARGS(row->values[COLUMN_NAME].bytes));
}

/* ---- UPDATE ---- */

static err_t
keys_check(const struct redis_rows *redis, const struct row *old, const struct row *new)
{
    for (uint32_t i = 0; i < redis->key_columns; i++) {
        bool is_number = redis->table == REDIS_LISTS && i == COLUMN_NAME;

        if (new->nulls[i] != 0 ||
            (is_number ? old->values[i].i != new->values[i].i
                       : !slice_equal(old->values[i].bytes, new->values[i].bytes))) {
            return sql_error("0A000", "column \"%.*s\" of redis.%.*s cannot be updated",
                             SLICE_ARGS(redis->relation->columns[i].name),
                             SLICE_ARGS(redis->relation->name));
        }
    }
    return ERR_OK;
}

static YIELDS err_t
string_update(struct redis_rows *redis, const struct row *old, const struct row *new,
              struct arena *arena)
{
    const struct slice words[] = {SLICE("set"), new->values[COLUMN_KEY].bytes,
                                  new->values[COLUMN_NAME].bytes, SLICE("keepttl")};
    struct reply_item item;
    err_t err = ERR_OK;

    if (!slice_equal(old->values[COLUMN_NAME].bytes, new->values[COLUMN_NAME].bytes)) {
        TRY(ask(redis, arena, words, ARRAY_COUNT(words), &item));
    }
    if (!is_same(old, new, COLUMN_VALUE)) {
        err = expiry_set(redis, new, arena);
    }
out:
    return err;
}

static YIELDS err_t
element_update(struct redis_rows *redis, const struct row *new, struct arena *arena)
{
    struct slice words[] = {SLICE("hset"), new->values[COLUMN_KEY].bytes, SLICE(""), SLICE("")};
    struct reply_item item;

    if (redis->table == REDIS_ZSETS) {
        words[0] = SLICE("zadd");
        words[2] = score_text(arena, new->values[COLUMN_VALUE].f);
        words[3] = new->values[COLUMN_NAME].bytes;
    } else {
        bool is_list = redis->table == REDIS_LISTS;

        words[0] = is_list ? SLICE("lset") : SLICE("hset");
        words[2] =
            is_list ? text_of(arena, new->values[COLUMN_NAME].i) : new->values[COLUMN_NAME].bytes;
        words[3] = new->values[COLUMN_VALUE].bytes;
    }
    return ask(redis, arena, words, ARRAY_COUNT(words), &item);
}

err_t
redis_row_update(struct redis_rows *redis, const struct row *old, const struct row *new,
                 struct arena *arena)
{
    err_t err;

    TRY(keys_check(redis, old, new));
    switch (redis->table) {
    case REDIS_KEYS:
        err = slice_equal(old->values[COLUMN_NAME].bytes, new->values[COLUMN_NAME].bytes)
                  ? expiry_set(redis, new, arena)
                  : refused(redis, "UPDATE of the type");
        break;
    case REDIS_STRINGS:
        err = string_update(redis, old, new, arena);
        break;
    case REDIS_SETS:
    case REDIS_STREAMS:
        err = refused(redis, "UPDATE");
        break;
    default:
        err = element_update(redis, new, arena);
        break;
    }
out:
    return err;
}

/* ---- DELETE ---- */

/* The element is marked, so that those behind it keep their index while the statement runs. */
static YIELDS err_t
list_mark(struct redis_rows *redis, const struct row *old, struct arena *arena)
{
    const struct slice words[] = {SLICE("lset"), old->values[COLUMN_KEY].bytes,
                                  text_of(arena, old->values[COLUMN_NAME].i),
                                  slice_of(redis->tombstone, TOMBSTONE_BYTES)};
    struct marked_list *marked = redis->marked;
    struct reply_item item;

    while (marked != NULL && !slice_equal(marked->key, words[1])) {
        marked = marked->next;
    }
    if (marked == NULL) {
        marked = arena_alloc(redis->exec->arena, sizeof(*marked));
        marked->key = arena_copy(redis->exec->arena, words[1]);
        marked->next = redis->marked;
        redis->marked = marked;
    }
    return ask(redis, arena, words, ARRAY_COUNT(words), &item);
}

err_t
redis_rows_finish(struct redis_rows *redis)
{
    struct slice words[] = {SLICE("lrem"), SLICE(""), SLICE("0"),
                            slice_of(redis->tombstone, TOMBSTONE_BYTES)};
    struct reply_item item;
    err_t err = ERR_OK;

    for (; err == ERR_OK && redis->marked != NULL; redis->marked = redis->marked->next) {
        words[1] = redis->marked->key;
        err = ask(redis, redis->exec->arena, words, ARRAY_COUNT(words), &item);
    }
    return err;
}

err_t
redis_row_delete(struct redis_rows *redis, const struct row *old, struct arena *arena)
{
    static const char *const commands[] = {
        [REDIS_KEYS] = "del",  [REDIS_STRINGS] = "del", [REDIS_HASHES] = "hdel",
        [REDIS_SETS] = "srem", [REDIS_ZSETS] = "zrem",  [REDIS_STREAMS] = "xdel",
    };
    struct slice words[] = {SLICE(""), old->values[COLUMN_KEY].bytes,
                            old->values[COLUMN_NAME].bytes};
    struct reply_item item;

    if (redis->table == REDIS_LISTS) {
        return list_mark(redis, old, arena);
    }
    words[0] = slice_from_text(commands[redis->table]);
    return ask(redis, arena, words, redis->key_columns + 1, &item);
}

struct slice
redis_row_key(const struct redis_rows *redis, const struct batch *batch, uint32_t at,
              struct arena *arena)
{
    struct slice key = vector_value(&batch->columns[COLUMN_KEY], at).bytes;
    struct datum name = vector_value(&batch->columns[COLUMN_NAME], at);
    struct slice second = slice_of(NULL, 0), copy;
    struct buf both;

    if (redis->table == REDIS_LISTS) {
        second = text_of(arena, name.i);
    } else if (redis->key_columns > 1) {
        second = name.bytes;
    }
    buf_init(&both, MEM_SESSIONS);
    buf_printf(&both, "%zu:", key.size);
    buf_append(&both, key.data, key.size);
    buf_append(&both, second.data, second.size);
    copy = arena_copy(arena, buf_slice(&both));
    buf_fini(&both);
    return copy;
}
