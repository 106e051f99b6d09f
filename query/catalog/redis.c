/* query/catalog/redis.c - the schema redis: keys of Redis as tables.
 *
 * They are read by commands of the session's transaction. An equality on the key asks for that key
 * alone, and one on what is unique within it for that element; LIKE narrows the SCAN. Of bytes that
 * are no text only a column that is used is refused (22021). */
#include "models/types/datetime.h"
#include "models/types/jsonb.h"
#include "models/types/sql_error.h"
#include "models/types/type_io.h"
#include "query/catalog/fill.h"
#include "query/redis_reply.h"
#include "query/session.h"

#include "engine/base/poison.h"

#define REDIS_TABLE(number, called, keys, function, names)                                         \
    {                                                                                              \
        .oid = (number), .name = (called), .columns = (names), .fill = (function),                 \
        .schema = SYSTEM_REDIS, .kind = 'r', .key_columns = (keys)                                 \
    }

static const struct system_relation relations[] = {
    REDIS_TABLE(13901, "keys", 1, fill_redis_keys, "key text!, type text!, expires_at timestamptz"),
    REDIS_TABLE(13902, "strings", 1, fill_redis_strings,
                "key text!, value text!, expires_at timestamptz"),
    REDIS_TABLE(13903, "hashes", 2, fill_redis_hashes, "key text!, field text!, value text!"),
    REDIS_TABLE(13904, "lists", 2, fill_redis_lists, "key text!, index int8, value text!"),
    REDIS_TABLE(13905, "sets", 2, fill_redis_sets, "key text!, member text!"),
    REDIS_TABLE(13906, "zsets", 2, fill_redis_zsets, "key text!, member text!, score float8!"),
    REDIS_TABLE(13907, "streams", 2, fill_redis_streams, "key text!, id text, fields jsonb!"),
};
const struct system_part system_part_redis = {relations, ARRAY_COUNT(relations)};

#define PAGE_TEXT "1000"
enum { PAGE = 1000, WORDS_MAX = 8 };

/* ---- Commands ---- */

/* Runs it; the reply lies in the arena of the rows. *is_there_out: false for another type. */
static YIELDS err_t
ask(struct system_rows *rows, const struct slice *words, uint32_t count,
    struct reply_reader *reader_out, bool *is_there_out)
{
    struct reply reply;
    bool is_other = false;
    err_t err;

    reply_init(&reply, 2);
    err = sql_session_redis_read(rows->env->session, words, count, rows->arena, &reply, &is_other);
    *is_there_out = err == ERR_OK && !is_other;
    if (*is_there_out) {
        reader_out->at = arena_copy(rows->arena, buf_slice(&reply.buf)).data;
    }
    reply_fini(&reply);
    return err;
}

/* A column of bytes that must be text, if anybody asks for it. */
static err_t
bytes_put(struct system_rows *rows, struct slice bytes)
{
    err_t err = row_wants(rows) ? text_check(bytes) : ERR_OK;

    row_text(rows, bytes);
    return err;
}

static YIELDS err_t
expiry_put(struct system_rows *rows, struct slice key)
{
    const struct slice words[] = {SLICE("pexpiretime"), key};
    struct reply_reader reader;
    struct reply_item item;
    bool is_there;
    err_t err;

    if (!row_wants(rows)) {
        row_null(rows, 1);
        return ERR_OK;
    }
    TRY(ask(rows, words, ARRAY_COUNT(words), &reader, &is_there));
    item = reply_item_take(&reader);
    if (item.number < 0) {
        row_null(rows, 1);
    } else {
        row_int(rows, item.number * 1000 - US_1970_TO_2000);
    }
out:
    return err;
}

/* ---- Keys ---- */

typedef YIELDS err_t (*key_fn)(struct system_rows *rows, struct slice key);

/* LIKE as a pattern of SCAN that matches at least as much. */
static struct slice
glob_of(struct system_rows *rows)
{
    struct buf glob;
    struct slice copy;

    buf_init(&glob, MEM_SESSIONS);
    for (size_t i = 0; i < rows->like.size; i++) {
        uint8_t c = rows->like.data[i];

        if (c == '%' || c == '_') { /* _ is a character, which may have several bytes. */
            buf_append_byte(&glob, '*');
            continue;
        }
        if (c == '\\' && i + 1 < rows->like.size) {
            c = rows->like.data[++i];
        }
        buf_append_byte(&glob, '\\');
        buf_append_byte(&glob, c);
    }
    copy = arena_copy(rows->arena, buf_slice(&glob));
    buf_fini(&glob);
    return copy;
}

/* The keys that are asked for: one, or those of a SCAN (type NULL: of all types). */
static YIELDS err_t
keys_each(struct system_rows *rows, const char *type, key_fn run)
{
    struct slice words[WORDS_MAX] = {SLICE("scan"), SLICE("0"), SLICE("count"), SLICE(PAGE_TEXT)};
    struct reply_reader reader;
    uint32_t count = 4;
    struct slice key;
    bool is_there;
    err_t err = ERR_OK;

    if (rows_only_bytes(rows, 0, &key)) {
        return run(rows, key);
    }
    if (type != NULL) {
        words[count++] = SLICE("type");
        words[count++] = slice_from_text(type);
    }
    if (rows->like.data != NULL) {
        words[count++] = SLICE("match");
        words[count++] = glob_of(rows);
    }
    do {
        struct reply_item names;

        TRY(ask(rows, words, count, &reader, &is_there));
        (void)reply_item_take(&reader);
        words[1] = reply_item_take(&reader).bytes;
        names = reply_item_take(&reader);
        for (int64_t i = 0; i < names.number; i++) {
            TRY(run(rows, reply_item_take(&reader).bytes));
        }
    } while (!slice_equal(words[1], SLICE("0")));
out:
    return err;
}

static YIELDS err_t
key_put(struct system_rows *rows, struct slice key)
{
    const struct slice words[] = {SLICE("type"), key};
    struct reply_reader reader;
    struct slice type;
    bool is_there;
    err_t err;

    TRY(ask(rows, words, ARRAY_COUNT(words), &reader, &is_there));
    type = reply_item_take(&reader).bytes;
    if (slice_equal(type, SLICE("none"))) {
        return ERR_OK;
    }
    TRY(bytes_put(rows, key));
    row_text(rows, type);
    TRY(expiry_put(rows, key));
    err = row_end(rows);
out:
    return err;
}

err_t
fill_redis_keys(struct system_rows *rows)
{
    return keys_each(rows, NULL, key_put);
}

static YIELDS err_t
string_put(struct system_rows *rows, struct slice key)
{
    const struct slice words[] = {SLICE("get"), key};
    struct reply_reader reader;
    struct reply_item item;
    bool is_there;
    err_t err;

    TRY(ask(rows, words, ARRAY_COUNT(words), &reader, &is_there));
    if (!is_there) {
        return ERR_OK;
    }
    item = reply_item_take(&reader);
    if (reply_item_is_null(&item)) {
        return ERR_OK;
    }
    TRY(bytes_put(rows, key));
    TRY(bytes_put(rows, item.bytes));
    TRY(expiry_put(rows, key));
    err = row_end(rows);
out:
    return err;
}

err_t
fill_redis_strings(struct system_rows *rows)
{
    return keys_each(rows, "string", string_put);
}

/* ---- What is in a key ---- */

/* One element by its name: `command` answers its value. with_value: the value is a column. */
static YIELDS err_t
pair_end(struct system_rows *rows, struct slice key, struct slice name, const struct slice *value,
         bool is_score)
{
    struct datum score;
    err_t err;

    TRY(bytes_put(rows, key));
    TRY(bytes_put(rows, name));
    if (value != NULL && is_score) {
        const struct type *type = type_by_oid(OID_FLOAT8);
        const struct type_io io = {.arena = rows->arena, .settings = rows->settings};

        TRY(type->input(type, &io, *value, -1, &score));
        row_value(rows, score);
    } else if (value != NULL) {
        TRY(bytes_put(rows, *value));
    }
    err = row_end(rows);
out:
    return err;
}

static YIELDS err_t
element_put(struct system_rows *rows, const char *command, struct slice key, struct slice name,
            bool is_score)
{
    const struct slice words[] = {slice_from_text(command), key, name};
    struct reply_reader reader;
    struct reply_item item;
    bool is_there;
    err_t err;

    TRY(ask(rows, words, ARRAY_COUNT(words), &reader, &is_there));
    if (is_there) {
        item = reply_item_take(&reader);
        if (item.kind == ':' && item.number == 1) {
            err = pair_end(rows, key, name, NULL, false);
        } else if (item.kind == '$' && item.number >= 0) {
            err = pair_end(rows, key, name, &item.bytes, is_score);
        }
    }
out:
    return err;
}

/* All elements, by HSCAN and its like: within a snapshot a cursor passes each once. */
static YIELDS err_t
elements_put(struct system_rows *rows, const char *command, struct slice key, bool has_value,
             bool is_score)
{
    struct slice words[] = {slice_from_text(command), key, SLICE("0"), SLICE("count"),
                            SLICE(PAGE_TEXT)};
    struct reply_reader reader;
    bool is_there;
    err_t err;

    do {
        struct reply_item items;

        TRY(ask(rows, words, ARRAY_COUNT(words), &reader, &is_there));
        if (!is_there) {
            return ERR_OK;
        }
        (void)reply_item_take(&reader);
        words[2] = reply_item_take(&reader).bytes;
        items = reply_item_take(&reader);
        for (int64_t i = 0; i < items.number; i += has_value ? 2 : 1) {
            struct slice name = reply_item_take(&reader).bytes, value = name;

            if (has_value) {
                value = reply_item_take(&reader).bytes;
            }
            TRY(pair_end(rows, key, name, has_value ? &value : NULL, is_score));
        }
    } while (!slice_equal(words[2], SLICE("0")));
out:
    return err;
}

static YIELDS err_t
hash_put(struct system_rows *rows, struct slice key)
{
    struct slice field;

    return rows_only_bytes(rows, 1, &field) ? element_put(rows, "hget", key, field, false)
                                            : elements_put(rows, "hscan", key, true, false);
}

static YIELDS err_t
set_put(struct system_rows *rows, struct slice key)
{
    struct slice member;

    return rows_only_bytes(rows, 1, &member) ? element_put(rows, "sismember", key, member, false)
                                             : elements_put(rows, "sscan", key, false, false);
}

static YIELDS err_t
zset_put(struct system_rows *rows, struct slice key)
{
    struct slice member;

    return rows_only_bytes(rows, 1, &member) ? element_put(rows, "zscore", key, member, true)
                                             : elements_put(rows, "zscan", key, true, true);
}

err_t
fill_redis_hashes(struct system_rows *rows)
{
    return keys_each(rows, "hash", hash_put);
}

err_t
fill_redis_sets(struct system_rows *rows)
{
    return keys_each(rows, "set", set_put);
}

err_t
fill_redis_zsets(struct system_rows *rows)
{
    return keys_each(rows, "zset", zset_put);
}

static struct slice
number_text(struct system_rows *rows, int64_t number)
{
    return slice_from_text(arena_printf(rows->arena, "%lld", (long long)number));
}

static YIELDS err_t
list_put(struct system_rows *rows, struct slice key)
{
    struct slice words[] = {SLICE("lrange"), key, SLICE("0"), SLICE("0")};
    int64_t first = 0, only = 0;
    bool has_one = rows_only(rows, 1, &only);
    struct reply_item items;
    err_t err;

    if (has_one && only < 0) { /* From the end counts Redis, not the column. */
        return ERR_OK;
    }
    first = has_one ? only : 0;
    do {
        struct reply_reader reader;
        bool is_there;

        words[2] = number_text(rows, first);
        words[3] = number_text(rows, has_one ? first : first + PAGE - 1);
        TRY(ask(rows, words, ARRAY_COUNT(words), &reader, &is_there));
        if (!is_there) {
            return ERR_OK;
        }
        items = reply_item_take(&reader);
        for (int64_t i = 0; i < items.number; i++) {
            TRY(bytes_put(rows, key));
            row_int(rows, first + i);
            TRY(bytes_put(rows, reply_item_take(&reader).bytes));
            TRY(row_end(rows));
        }
        first += items.number;
    } while (items.number == PAGE);
out:
    return err;
}

err_t
fill_redis_lists(struct system_rows *rows)
{
    return keys_each(rows, "list", list_put);
}

/* ---- Streams ---- */

/* Names and values as an object; of equal names the last counts. */
static err_t
fields_put(struct system_rows *rows, struct reply_reader *reader)
{
    struct reply_item fields = reply_item_take(reader);
    struct json_writer writer;
    struct datum value;
    err_t err;

    json_write_init(&writer, rows->arena);
    TRY(json_write_begin(&writer, JSON_OBJECT));
    for (int64_t i = 0; i < fields.number; i += 2) {
        struct slice name = reply_item_take(reader).bytes;
        struct slice text = reply_item_take(reader).bytes;

        if (row_wants(rows)) {
            TRY(text_check(name));
            TRY(text_check(text));
        }
        TRY(json_write_key(&writer, name));
        TRY(json_write_string(&writer, text));
    }
    TRY(json_write_end(&writer));
    TRY(json_write_finish(&writer, &value));
    row_value(rows, value);
out:
    json_write_fini(&writer);
    return err;
}

static YIELDS err_t
stream_put(struct system_rows *rows, struct slice key)
{
    struct slice words[] = {SLICE("xrange"), key, SLICE("-"), SLICE("+"), SLICE("count"),
                            SLICE(PAGE_TEXT)};
    struct reply_item entries;
    struct slice only;
    err_t err;

    if (rows_only_bytes(rows, 1, &only)) {
        words[2] = only;
        words[3] = only;
    }
    do {
        struct reply_reader reader;
        struct slice id = SLICE("");
        bool is_there;

        TRY(ask(rows, words, ARRAY_COUNT(words), &reader, &is_there));
        if (!is_there) {
            return ERR_OK;
        }
        entries = reply_item_take(&reader);
        for (int64_t i = 0; i < entries.number; i++) {
            (void)reply_item_take(&reader);
            id = reply_item_take(&reader).bytes;
            TRY(bytes_put(rows, key));
            row_text(rows, id);
            TRY(fields_put(rows, &reader));
            TRY(row_end(rows));
        }
        words[2] = slice_from_text(
            arena_printf(rows->arena, "(%.*s", (int)id.size, (const char *)id.data));
    } while (entries.number == PAGE);
out:
    return err;
}

err_t
fill_redis_streams(struct system_rows *rows)
{
    return keys_each(rows, "stream", stream_put);
}
