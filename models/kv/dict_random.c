/* models/kv/dict_random.c - random fields of a set or hash.
 *
 * A random field of a spread one is one of the first few behind a random hash: the first alone
 * would be as likely as the gap before it is wide. Many distinct ones are found by sorted random
 * hashes in one pass; when many of all are asked for, by loading them all and shuffling. */
#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "models/kv/dict.h"

#include "engine/base/poison.h"

enum {
    LOAD_ALL_BELOW = 1024, /* Fewer are loaded whole, */
    LOAD_ALL_SHARE = 4,    /* and when more than one in so many is picked. */
    WORK_UNITS_PER_FIELD = 10,
    HASH_BITS = 48,
    SKIPPED_MAX = 16,
};

static uint64_t
random_hash(void)
{
    return prng_below(shard_prng(), UINT64_C(1) << HASH_BITS);
}

/* The field under the scan, with a name of its own, into the array. */
static err_t
field_take(struct kv_request *request, struct txn_scan *scan, struct dict_fields *picked)
{
    struct dict_field field;
    err_t err;

    TRY(dict_scan_field(request, scan, &field));
    TRY(dict_fields_add(request, picked, field.name, field.value, true));
out:
    return err;
}

static bool
is_at(struct kv_request *request, struct txn_scan *scan, const struct dict_field *field)
{
    struct dict_field here;

    return dict_scan_field(request, scan, &here) == ERR_OK && here.hash == field->hash &&
           slice_equal(here.name, field->name);
}

static YIELDS err_t
random_seek(struct kv_request *request, const struct kv_object *object, struct txn_scan *scan)
{
    uint64_t skipped = prng_below(shard_prng(), SKIPPED_MAX);
    err_t err;

    TRY(dict_scan_seek(request, object, scan, random_hash()));
    for (uint64_t i = 0; i <= skipped; i++) {
        if (i > 0 && txn_scan_is_valid(scan)) {
            TRY(txn_scan_next(scan));
        }
        if (!txn_scan_is_valid(scan)) { /* Round the end. */
            TRY(dict_scan_seek(request, object, scan, 0));
        }
    }
out:
    return err;
}

/* count distinct fields of one spread collection, by rising random hashes; when the end comes too
 * early, the rest are the first that were not picked. */
static YIELDS err_t
distinct_seek(struct kv_request *request, const struct kv_object *object, uint32_t count,
              struct dict_fields *picked)
{
    struct dict_fields points = {0};
    struct txn_scan *scan = NULL;
    uint32_t passed = 0;
    uint32_t wanted;
    err_t err;

    for (uint32_t i = 0; i < count; i++) {
        TRY(dict_fields_add(request, &points, slice_of(NULL, 0), slice_of(NULL, 0), false));
        points.at[i].hash = random_hash();
    }
    dict_fields_sort(request, &points);
    TRY(dict_scan_open(request, object, 0, &scan));
    for (uint32_t i = 0; i < points.count; i++) {
        const struct dict_field *last = picked->count == 0 ? NULL : &picked->at[picked->count - 1];

        if (last == NULL || points.at[i].hash > last->hash) {
            TRY(dict_scan_seek(request, object, scan, points.at[i].hash));
        } else if (txn_scan_is_valid(scan)) {
            TRY(txn_scan_next(scan));
        }
        if (!txn_scan_is_valid(scan)) {
            break;
        }
        TRY(field_take(request, scan, picked));
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
    wanted = count - picked->count;
    TRY(dict_scan_seek(request, object, scan, 0));
    for (uint32_t known = picked->count; wanted > 0 && txn_scan_is_valid(scan);) {
        if (passed < known && is_at(request, scan, &picked->at[passed])) {
            passed++;
        } else {
            TRY(field_take(request, scan, picked));
            wanted--;
        }
        TRY(txn_scan_next(scan));
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
    err = ERR_OK;
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

/* The first `count` fields become a random choice of all. */
static void
shuffle(struct dict_fields *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t from = i + (uint32_t)prng_below(shard_prng(), fields->count - i);
        struct dict_field field = fields->at[i];

        fields->at[i] = fields->at[from];
        fields->at[from] = field;
    }
}

static bool
is_loaded_whole(const struct kv_object *object, uint64_t count)
{
    return (object->head.flags & KV_HEAD_SPREAD) == 0 || object->head.count < LOAD_ALL_BELOW ||
           count > object->head.count / LOAD_ALL_SHARE;
}

/* Of those picked by a scan some may have had their time: then others are picked, of all that are
 * there. Seldom, since active expiry follows soon. */
static YIELDS err_t
gone_replace(struct kv_request *request, const struct kv_object *object, uint64_t count,
             struct dict_fields *picked)
{
    uint32_t before = picked->count;
    struct dict_fields all;
    err_t err;

    TRY(dict_drop_gone(request, object, picked));
    if (picked->count == before) {
        return ERR_OK;
    }
    TRY(dict_load(request, object, &all));
    *picked = (struct dict_fields){0};
    for (uint64_t i = 0; i < count && all.count > 0; i++) {
        uint64_t at = prng_below(shard_prng(), all.count);

        TRY(dict_fields_add(request, picked, all.at[at].name, all.at[at].value, false));
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
out:
    return err;
}

err_t
dict_pick_repeated(struct kv_request *request, const struct kv_object *object, uint64_t count,
                   struct dict_fields *picked_out)
{
    struct dict_fields picked = {0};
    struct dict_fields all = {0};
    struct txn_scan *scan = NULL;
    err_t err = ERR_OK;

    if (is_loaded_whole(object, 1)) {
        TRY(dict_load(request, object, &all));
    } else {
        TRY(dict_scan_open(request, object, 0, &scan));
    }
    for (uint64_t i = 0; i < count && (scan != NULL || all.count > 0); i++) {
        if (scan == NULL) {
            uint64_t at = prng_below(shard_prng(), all.count);

            TRY(dict_fields_add(request, &picked, all.at[at].name, all.at[at].value, false));
        } else {
            TRY(random_seek(request, object, scan));
            if (txn_scan_is_valid(scan)) {
                TRY(field_take(request, scan, &picked));
            }
        }
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
    TRY(gone_replace(request, object, count, &picked));
    *picked_out = picked;
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

err_t
dict_pick_distinct(struct kv_request *request, const struct kv_object *object, uint64_t count,
                   struct dict_fields *picked_out)
{
    struct dict_fields picked = {0};
    err_t err;

    if (!object->is_found || count == 0) {
        *picked_out = picked;
        return ERR_OK;
    }
    if (count == 1 && !is_loaded_whole(object, 1)) {
        TRY(dict_pick_repeated(request, object, 1, &picked));
    } else if (is_loaded_whole(object, count)) {
        TRY(dict_load(request, object, &picked));
        count = MIN(count, (uint64_t)picked.count);
        shuffle(&picked, (uint32_t)count);
        picked.count = (uint32_t)count;
    } else {
        uint32_t before;

        TRY(distinct_seek(request, object, (uint32_t)count, &picked));
        before = picked.count;
        TRY(dict_drop_gone(request, object, &picked));
        if (picked.count < before) {
            TRY(dict_load(request, object, &picked));
            count = MIN(count, (uint64_t)picked.count);
            shuffle(&picked, (uint32_t)count);
            picked.count = (uint32_t)count;
        }
    }
    *picked_out = picked;
out:
    return err;
}
