/* tests/sim/model.c - the model of one shard's keys. */
#include "tests/sim/model.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"

static void *
grown(void *array, size_t size)
{
    void *larger = realloc(array, size);

    ASSERT(larger != NULL);
    return larger;
}

/* ---- Keys and values. ---- */

/* Few letters, so that names share prefixes and are prefixes of each other. */
static void
name_draw(struct model *model, struct model_key *key)
{
    uint64_t bytes = run_between(model->run, 1, 10);

    if (run_chance(model->run, 5)) {
        bytes = run_between(model->run, 100, MODEL_KEY_BYTES_MAX - 1);
    }
    key->name[0] = 'k';
    for (uint64_t i = 1; i <= bytes; i++) {
        key->name[i] = i < 60 ? (uint8_t)("ab\0\xff"[run_below(model->run, 4)]) : 'z';
    }
    key->name_bytes = (uint32_t)bytes + 1;
}

static int
key_compare(const void *a, const void *b)
{
    const struct model_key *left = a;
    const struct model_key *right = b;

    return slice_compare(slice_of(left->name, left->name_bytes),
                         slice_of(right->name, right->name_bytes));
}

static void
keys_drop_equal(struct model *model)
{
    uint32_t kept = 1;

    for (uint32_t i = 1; i < model->key_count; i++) {
        if (key_compare(&model->keys[kept - 1], &model->keys[i]) != 0) {
            if (kept != i) {
                model->keys[kept] = model->keys[i];
            }
            kept++;
        }
    }
    model->key_count = kept;
}

void
model_init(struct model *model, struct run *run, uint32_t shard, uint32_t keys)
{
    ASSERT(keys >= 2);
    ASSERT(keys <= MODEL_KEYS_MAX);
    memset(model, 0, sizeof(*model));
    model->run = run;
    model->shard = shard;
    model->key_count = keys;
    memcpy(model->keys[0].name, "a-last", 6);
    model->keys[0].name_bytes = 6;
    for (uint32_t i = 1; i < keys; i++) {
        name_draw(model, &model->keys[i]);
    }
    qsort(model->keys, keys, sizeof(model->keys[0]), key_compare);
    keys_drop_equal(model);
    model->step_capacity = 1024;
    model->steps = grown(NULL, model->step_capacity * sizeof(*model->steps));
    memset(&model->steps[0], 0, sizeof(model->steps[0]));
}

struct slice
model_key_name(const struct model *model, uint32_t key)
{
    ASSERT(key < model->key_count);
    return slice_of(model->keys[key].name, model->keys[key].name_bytes);
}

static uint8_t
filling(uint64_t id, uint32_t at)
{
    /* Compressible here, random there. */
    return (id & 1) != 0
               ? (uint8_t)(id + at / 64)
               : (uint8_t)((id * UINT64_C(0x9e3779b97f4a7c15) + at * UINT64_C(0xbf58476d)) >> 24);
}

void
model_value_fill(const struct model *model, uint32_t key, uint64_t id, uint32_t bytes, uint8_t *out)
{
    ASSERT(bytes >= MODEL_VALUE_HEAD_BYTES);
    put_le64(out, id);
    put_le64(out + 8, key);
    put_le64(out + 16, model->shard);
    for (uint32_t i = MODEL_VALUE_HEAD_BYTES; i < bytes; i++) {
        out[i] = filling(id, i);
    }
}

void
model_check_value(const struct model *model, uint32_t key, const struct model_version *version,
                  struct slice value, const char *what)
{
    uint64_t id = value.size >= MODEL_VALUE_HEAD_BYTES ? get_le64(value.data) : 0;

    RUN_CHECK(model->run,
              value.size == version->bytes && id == version->id &&
                  get_le64(value.data + 8) == key && get_le64(value.data + 16) == model->shard,
              "%s: shard %u key %u has %zu bytes with id %llu of key %llu, not %u bytes with id "
              "%llu",
              what, model->shard, key, value.size, (unsigned long long)id,
              value.size >= MODEL_VALUE_HEAD_BYTES ? (unsigned long long)get_le64(value.data + 8)
                                                   : 0,
              version->bytes, (unsigned long long)version->id);
    for (uint32_t i = MODEL_VALUE_HEAD_BYTES; i < version->bytes; i++) {
        RUN_CHECK(model->run, value.data[i] == filling(id, i),
                  "%s: shard %u key %u, id %llu, differs in byte %u", what, model->shard, key,
                  (unsigned long long)id, i);
    }
}

/* ---- Steps. ---- */

static void
version_add(struct model *model, uint32_t key_index, const struct model_version *version)
{
    struct model_key *key = &model->keys[key_index];

    if (key->count > 0 && key->versions[key->count - 1].step == version->step) {
        key->versions[key->count - 1] = *version; /* Later in the same batch. */
        return;
    }
    if (key->count == key->capacity) {
        key->capacity = MAX(64u, key->capacity * 2);
        key->versions = grown(key->versions, key->capacity * sizeof(*key->versions));
    }
    key->versions[key->count++] = *version;
}

static void
op_apply(struct model *model, uint64_t step, const struct model_op *op)
{
    struct model_version version = {.step = step};

    switch (op->kind) {
    case MODEL_PUT:
        version.id = op->id;
        version.bytes = op->bytes;
        version.is_expired = op->is_expired;
        version_add(model, op->key, &version);
        break;
    case MODEL_DELETE:
        version_add(model, op->key, &version);
        break;
    case MODEL_DELETE_RANGE:
        for (uint32_t key = op->key; key < op->key_end; key++) {
            version_add(model, key, &version);
        }
        break;
    case MODEL_COUNTER_ADD:
        model->steps[step].counters[op->counter] += op->delta;
        break;
    }
}

uint64_t
model_commit(struct model *model, uint64_t id, const struct model_op *ops, uint32_t count,
             uint64_t ts, uint64_t lsn)
{
    uint64_t step = ++model->step_count;
    const struct model_step *before;

    if (step == model->step_capacity) {
        model->step_capacity *= 2;
        model->steps = grown(model->steps, model->step_capacity * sizeof(*model->steps));
    }
    before = &model->steps[step - 1];
    RUN_CHECK(model->run, ts > model->ts_max,
              "shard %u: a commit got the timestamp %llu, %llu was given before", model->shard,
              (unsigned long long)ts, (unsigned long long)model->ts_max);
    RUN_CHECK(model->run, lsn > before->lsn, "shard %u: log positions do not grow", model->shard);
    model->steps[step] = *before;
    model->steps[step].id = id;
    model->steps[step].ts = ts;
    model->steps[step].lsn = lsn;
    model->ts_max = ts;
    for (uint32_t i = 0; i < count; i++) {
        op_apply(model, step, &ops[i]);
    }
    return step;
}

void
model_durable(struct model *model, uint64_t lsn)
{
    while (model->durable < model->step_count && model->steps[model->durable + 1].lsn <= lsn) {
        model->durable++;
    }
}

const struct model_version *
model_at(const struct model *model, uint32_t key_index, uint64_t step)
{
    const struct model_key *key = &model->keys[key_index];

    for (uint32_t i = key->count; i > 0; i--) {
        if (key->versions[i - 1].step <= step) {
            return &key->versions[i - 1];
        }
    }
    return NULL;
}

bool
model_is_live(const struct model_version *version)
{
    return version != NULL && version->id != 0 && !version->is_expired;
}

/* ---- Comparing. ---- */

static bool
version_is(const struct model_version *version, bool is_found, uint64_t id)
{
    return is_found ? model_is_live(version) && version->id == id : !model_is_live(version);
}

uint64_t
model_check_read(const struct model *model, uint32_t key, uint64_t from, uint64_t to, bool is_found,
                 struct slice value, const char *what)
{
    const struct model_version *last = model_at(model, key, to);
    const struct model_version *version = last;
    uint64_t id = is_found && value.size >= MODEL_VALUE_HEAD_BYTES ? get_le64(value.data) : 0;
    uint64_t step = UINT64_MAX;

    for (;;) {
        if (version_is(version, is_found, id)) {
            step = version == NULL ? 0 : version->step;
            if (is_found) {
                model_check_value(model, key, version, value, what);
            }
        }
        if (version == NULL || version->step <= from) {
            break;
        }
        version = model_at(model, key, version->step - 1);
    }
    RUN_CHECK(model->run, step != UINT64_MAX,
              "%s: shard %u key %u: found %s id %llu, steps %llu to %llu have id %llu%s", what,
              model->shard, key, is_found ? "a value with" : "nothing, not", (unsigned long long)id,
              (unsigned long long)from, (unsigned long long)to,
              last != NULL ? (unsigned long long)last->id : 0,
              last != NULL && last->is_expired ? " (expired)" : "");
    return step;
}

uint64_t
model_step_of(const struct model *model, struct slice value)
{
    uint64_t id;

    if (value.size == 0) {
        return 0;
    }
    id = value.size >= MODEL_VALUE_HEAD_BYTES ? get_le64(value.data) : 0;
    for (uint64_t step = model->step_count; step > 0; step--) {
        if (model->steps[step].id == id) {
            return step;
        }
    }
    run_fail(model->run, "shard %u stands at batch %llu, which is not in its history", model->shard,
             (unsigned long long)id);
}

static void
cut_to(struct model *model, uint64_t step)
{
    for (uint32_t i = 0; i < model->key_count; i++) {
        struct model_key *key = &model->keys[i];

        while (key->count > 0 && key->versions[key->count - 1].step > step) {
            key->count--;
        }
    }
    model->step_count = step;
    model->durable = step;
}

void
model_settle(struct model *model, uint64_t found)
{
    RUN_CHECK(model->run, found >= model->durable,
              "shard %u stands at step %llu after the crash, step %llu was durable", model->shard,
              (unsigned long long)found, (unsigned long long)model->durable);
    SOMETIMES_IF(found > model->durable, "model: commits that nobody had acknowledged were kept");
    SOMETIMES_IF(found < model->step_count,
                 "model: commits that nobody had acknowledged were lost");
    cut_to(model, found);
}

void
model_forget(struct model *model)
{
    cut_to(model, 0);
    model->ts_max = 0;
}
