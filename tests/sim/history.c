/* tests/sim/history.c - see history.h. */
#include "tests/sim/history.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"

/* ---- Keys. ---- */

enum { NAME_HEAD_BYTES = 5, NAME_KEYSPACES = 3 };

/* A model's tag, one of few keyspaces, and few letters, so that names share prefixes and are
 * prefixes of each other. */
static void
name_draw(struct history *history, struct history_key *key)
{
    struct run *run = history->run;
    uint64_t bytes = run_between(run, 1, 9);

    if (run_chance(run, 5)) {
        bytes = run_between(run, 100, HISTORY_KEY_BYTES_MAX - NAME_HEAD_BYTES);
    }
    memset(key->name, 0, NAME_HEAD_BYTES);
    key->name[0] = 1;
    key->name[4] = (uint8_t)run_below(run, NAME_KEYSPACES);
    for (uint64_t i = 0; i < bytes; i++) {
        key->name[NAME_HEAD_BYTES + i] = i < 60 ? (uint8_t)("ab\0\xff"[run_below(run, 4)]) : 'z';
    }
    key->name_bytes = NAME_HEAD_BYTES + (uint32_t)bytes;
}

static int
key_compare(const void *a, const void *b)
{
    const struct history_key *left = a;
    const struct history_key *right = b;

    return slice_compare(slice_of(left->name, left->name_bytes),
                         slice_of(right->name, right->name_bytes));
}

void
history_init(struct history *history, struct run *run, uint32_t keys)
{
    uint32_t kept = 0;

    ASSERT(keys >= 2);
    ASSERT(keys <= HISTORY_KEYS_MAX);
    memset(history, 0, sizeof(*history));
    history->run = run;
    history->writes = calloc(HISTORY_WRITES_MAX, sizeof(*history->writes));
    ASSERT(history->writes != NULL);
    for (uint32_t i = 0; i < keys; i++) {
        name_draw(history, &history->keys[i]);
    }
    qsort(history->keys, keys, sizeof(history->keys[0]), key_compare);
    for (uint32_t i = 0; i < keys; i++) {
        if (i == 0 || key_compare(&history->keys[kept - 1], &history->keys[i]) != 0) {
            history->keys[kept++] = history->keys[i];
        }
    }
    history->key_count = kept;
    history_clear(history);
}

void
history_clear(struct history *history)
{
    history_cut(history, 0);
    history->ts = UINT64_C(1) << 40;
    history->next_id = 1;
}

struct slice
history_name(const struct history *history, uint32_t key)
{
    ASSERT(key < history->key_count);
    return slice_of(history->keys[key].name, history->keys[key].name_bytes);
}

struct slice
history_bound(const struct history *history, uint32_t key, bool is_successor,
              uint8_t buffer[HISTORY_KEY_BYTES_MAX + 1])
{
    struct slice before;

    if (key < history->key_count && (key == 0 || !is_successor)) {
        return history_name(history, key);
    }
    before = history_name(history, key - 1);
    memcpy(buffer, before.data, before.size);
    buffer[before.size] = 0;
    return slice_of(buffer, before.size + 1);
}

uint32_t
history_find(const struct history *history, struct slice name)
{
    for (uint32_t i = 0; i < history->key_count; i++) {
        if (slice_equal(history_name(history, i), name)) {
            return i;
        }
    }
    return history->key_count;
}

uint16_t
history_slot(uint32_t key)
{
    return (uint16_t)(key * 37 % 16384);
}

/* ---- Writes. ---- */

/* Does `left` come before `right` among the versions of one key? */
static bool
is_before(const struct history_write *left, const struct history_write *right)
{
    if (left->ts != right->ts) {
        return left->ts < right->ts;
    }
    if ((left->kind == HISTORY_RANGE_DELETE) != (right->kind == HISTORY_RANGE_DELETE)) {
        return left->kind == HISTORY_RANGE_DELETE;
    }
    return left < right;
}

static void
version_add(struct history *history, uint32_t key_index, uint32_t write)
{
    struct history_key *key = &history->keys[key_index];
    uint32_t at = key->count;

    if (key->count == key->capacity) {
        key->capacity = MAX(64u, key->capacity * 2);
        key->versions = realloc(key->versions, key->capacity * sizeof(key->versions[0]));
        ASSERT(key->versions != NULL);
    }
    while (at > 0 && is_before(&history->writes[write], &history->writes[key->versions[at - 1]])) {
        key->versions[at] = key->versions[at - 1];
        at--;
    }
    key->versions[at] = write;
    key->count++;
}

void
history_append(struct history *history, const struct history_write *write)
{
    uint32_t index = history->write_count;
    uint32_t end = write->kind == HISTORY_RANGE_DELETE ? write->end : write->key + 1;

    RUN_CHECK(history->run, index < HISTORY_WRITES_MAX, "the history is too long");
    ASSERT(write->lsn >= history->appended);
    history->writes[index] = *write;
    history->write_count++;
    history->appended = write->lsn;
    history->ts = MAX(history->ts, write->ts);
    for (uint32_t key = write->key; key < end; key++) {
        version_add(history, key, index);
    }
}

void
history_cut(struct history *history, uint64_t lsn)
{
    while (history->write_count > 0 && history->writes[history->write_count - 1].lsn > lsn) {
        history->write_count--;
    }
    for (uint32_t i = 0; i < history->key_count; i++) {
        struct history_key *key = &history->keys[i];
        uint32_t kept = 0;

        for (uint32_t k = 0; k < key->count; k++) {
            if (key->versions[k] < history->write_count) {
                key->versions[kept++] = key->versions[k];
            }
        }
        key->count = kept;
    }
    history->appended = lsn;
    history->durable = lsn;
}

uint64_t
history_ts_newest(const struct history *history, uint64_t lsn)
{
    uint64_t newest = 0;

    for (uint32_t i = 0; i < history->write_count && history->writes[i].lsn <= lsn; i++) {
        newest = MAX(newest, history->writes[i].ts);
    }
    return newest;
}

bool
history_has_ts(const struct history *history, uint64_t ts)
{
    for (uint32_t i = 0; i < history->write_count; i++) {
        if (history->writes[i].ts == ts) {
            return true;
        }
    }
    return false;
}

/* ---- Reading. ---- */

const struct history_write *
history_decides(const struct history *history, uint32_t key_index, uint64_t snapshot)
{
    const struct history_key *key = &history->keys[key_index];

    for (uint32_t i = key->count; i > 0; i--) {
        const struct history_write *write = &history->writes[key->versions[i - 1]];

        if (write->ts <= snapshot) {
            return write;
        }
    }
    return NULL;
}

const struct history_write *
history_get(const struct history *history, uint32_t key, uint64_t snapshot)
{
    const struct history_write *write = history_decides(history, key, snapshot);

    if (write == NULL || write->kind != HISTORY_PUT ||
        (write->expire_us != 0 && write->expire_us <= snapshot >> 12)) {
        return NULL;
    }
    return write;
}

int64_t
history_next(const struct history *history, int64_t key, int32_t step, uint32_t low, uint32_t high,
             uint64_t snapshot)
{
    for (; key >= low && key < high; key += step) {
        if (history_get(history, (uint32_t)key, snapshot) != NULL) {
            return key;
        }
    }
    return -1;
}

/* ---- Values. ---- */

static uint8_t
value_byte(const struct history_write *write, uint32_t at)
{
    if (at < 8) {
        return (uint8_t)(write->id >> (at * 8));
    }
    if (at < 12) {
        return (uint8_t)(write->key >> ((at - 8) * 8));
    }
    /* Compressible here, random there. */
    return (write->id & 1) != 0
               ? (uint8_t)(write->id + at / 64)
               : (uint8_t)((write->id * UINT64_C(0x9e3779b97f4a7c15) + at * UINT64_C(0xbf58476d)) >>
                           24);
}

void
history_value_fill(const struct history_write *write, uint8_t *out)
{
    for (uint32_t i = 0; i < write->bytes; i++) {
        out[i] = value_byte(write, i);
    }
}

bool
history_value_is(const struct history_write *write, struct slice value)
{
    if (value.size != write->bytes) {
        return false;
    }
    for (uint32_t i = 0; i < write->bytes; i++) {
        if (value.data[i] != value_byte(write, i)) {
            return false;
        }
    }
    return true;
}
