/* models/kv/zset_type.c - the type of sorted sets: DUMP and RESTORE. */
#include <math.h>

#include "engine/base/assert.h"
#include "models/kv/zset.h"
#include "models/kv/zset_words.h"

#include "engine/base/poison.h"

enum {
    RDB_ZSET = 3, /* Scores as text. */
    RDB_ZSET_2 = 5,
    RDB_ZSET_LISTPACK = 17,
    TEXT_NAN = 253, /* In place of the length of a score's text. */
    TEXT_POSITIVE_INFINITY = 254,
    TEXT_NEGATIVE_INFINITY = 255,
    WORK_UNITS_PER_MEMBER = 5,
};

static YIELDS err_t
zset_dump(struct kv_request *request, const struct kv_object *object, struct buf *out)
{
    const struct zset_range all = {.is_reverse = true, .limit = UINT64_MAX};
    struct zset_entries entries;
    err_t err = ERR_OK;

    TRY(zset_collect(request, object, &all, &entries)); /* From the last on, as Redis does. */
    buf_append_byte(out, RDB_ZSET_2);
    payload_append_length(out, entries.count);
    for (uint32_t i = 0; i < entries.count; i++) {
        TRY(payload_append_text(out, entries.at[i].member));
        buf_append(out, &entries.at[i].score, sizeof(entries.at[i].score));
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
out:
    return err;
}

/* A length and digits, or a length that stands for what has none. */
static err_t
text_score_read(struct payload_reader *reader, double *score_out)
{
    struct slice bytes;
    err_t err;

    TRY(payload_read_bytes(reader, 1, &bytes));
    switch (bytes.data[0]) {
    case TEXT_NAN:
        return payload_malformed();
    case TEXT_POSITIVE_INFINITY:
        *score_out = INFINITY;
        break;
    case TEXT_NEGATIVE_INFINITY:
        *score_out = -INFINITY;
        break;
    default:
        TRY(payload_read_bytes(reader, bytes.data[0], &bytes));
        if (!zset_parse_score(bytes, score_out)) {
            return payload_malformed();
        }
    }
out:
    return err;
}

static YIELDS err_t
plain_restore(struct kv_request *request, uint8_t rdb_type, struct payload_reader *reader,
              struct zset_entries *entries)
{
    struct slice member;
    struct slice bytes;
    double score = 0;
    uint64_t count;
    err_t err;

    TRY(payload_read_length(reader, &count));
    for (uint64_t i = 0; i < count; i++) {
        TRY(payload_read_text(reader, &member));
        if (rdb_type == RDB_ZSET) {
            TRY(text_score_read(reader, &score));
        } else {
            TRY(payload_read_bytes(reader, sizeof(score), &bytes));
            memcpy(&score, bytes.data, sizeof(score));
        }
        if (isnan(score)) {
            return payload_malformed();
        }
        TRY(zset_entries_add(request, entries, score, member, false));
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
out:
    return err;
}

static YIELDS err_t
listpack_restore(struct kv_request *request, struct payload_reader *reader,
                 struct zset_entries *entries)
{
    struct listpack pack;
    struct slice member;
    struct slice text;
    struct slice blob;
    double score;
    err_t err;

    TRY(payload_read_text(reader, &blob));
    TRY(listpack_open(blob, &pack));
    while (listpack_next(&pack, request->arena, &member)) {
        if (!listpack_next(&pack, request->arena, &text) || !zset_parse_score(text, &score)) {
            return payload_malformed();
        }
        TRY(zset_entries_add(request, entries, score, member, false));
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
    err = listpack_end(&pack);
out:
    return err;
}

/* Are there members, and each once? Sorts by member. */
static YIELDS bool
are_distinct(struct kv_request *request, struct zset_entries *entries)
{
    zset_entries_sort_members(request, entries);
    for (uint32_t i = 1; i < entries->count; i++) {
        if (slice_equal(entries->at[i - 1].member, entries->at[i].member)) {
            return false;
        }
    }
    return entries->count > 0;
}

static YIELDS err_t
zset_restore(struct kv_request *request, uint8_t rdb_type, struct payload_reader *reader,
             struct kv_object *object, const struct kv_head *head)
{
    struct zset_entries entries = {0};
    err_t err;

    if (rdb_type == RDB_ZSET_LISTPACK) {
        TRY(listpack_restore(request, reader, &entries));
    } else {
        TRY(plain_restore(request, rdb_type, reader, &entries));
    }
    if (!are_distinct(request, &entries)) {
        return payload_malformed();
    }
    zset_entries_sort(request, &entries, zset_score_before);
    TRY(zset_store(request, object, head, &entries));
out:
    return err;
}

static bool
zset_restores(uint8_t rdb_type)
{
    return rdb_type == RDB_ZSET || rdb_type == RDB_ZSET_2 || rdb_type == RDB_ZSET_LISTPACK;
}

const struct kv_type_ops kv_type_zset = {
    .name = "zset",
    .encoding = zset_encoding_name,
    .dump = zset_dump,
    .restore = zset_restore,
    .restores = zset_restores,
};
