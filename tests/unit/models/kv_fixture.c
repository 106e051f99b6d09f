/* tests/unit/models/kv_fixture.c - see kv_fixture.h. */
#include "tests/unit/models/kv_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/rt/msg.h"
#include "models/kv/dict.h"
#include "models/kv/stream.h"
#include "tests/unit/models/zset_check.h"

enum { WORDS_MAX = 64, REPLIES_KEPT = 4, STREAMS_MAX = 64 };

struct kv_fixture fixture;

static struct buf replies[REPLIES_KEPT];
static uint32_t reply_count;
static struct store *stores[SIM_SHARDS_MAX];
static struct txns *all_txns[SIM_SHARDS_MAX];
static struct kv *kvs[SIM_SHARDS_MAX];

static YIELDS void
store_open_step(void *arg)
{
    char dir[32];
    struct store_options options = {.dir = dir, .durability = WAL_SYNC};

    (void)arg;
    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    cr_assert_eq(store_open(&options, &stores[shard_id()]), ERR_OK, "%s", err_message(ERR_IO));
}

static YIELDS void
txns_open_step(void *arg)
{
    (void)arg;
    cr_assert_eq(txns_open(&all_txns[shard_id()]), ERR_OK);
}

static YIELDS void
txns_close_step(void *arg)
{
    (void)arg;
    txns_close(&all_txns[shard_id()]);
}

static YIELDS void
kv_open_step(void *arg)
{
    (void)arg;
    cr_assert_eq(kv_open(&fixture.config, &kvs[shard_id()]), ERR_OK);
}

static YIELDS void
kv_close_step(void *arg)
{
    (void)arg;
    kv_close(&kvs[shard_id()]);
}

static YIELDS void
store_close_step(void *arg)
{
    (void)arg;
    store_close(&stores[shard_id()]);
}

static YIELDS void
on_all(msg_fn fn)
{
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        msg_call(shard, MSG_FIBER, fn, NULL);
    }
}

static YIELDS void
open_all(void)
{
    uint8_t none[SIM_SHARDS_MAX];

    msg_call_all(MSG_FIBER, store_open_step, none, 1); /* All at the same time. */
    on_all(txns_open_step);
    on_all(kv_open_step);
}

static YIELDS void
close_all(void)
{
    on_all(kv_close_step);
    on_all(txns_close_step);
    on_all(store_close_step);
}

void
kv_fixture_open(void)
{
    command_table_init();
    fixture = (struct kv_fixture){
        .resp = 2,
        .is_checked = true,
        .config =
            {
                .databases = KV_DATABASES_DEFAULT,
                .string_bytes_max = 512 << 20,
                .active_expire = false, /* Tests of it turn it on. */
                .hz = 10,
            },
    };
    for (uint32_t i = 0; i < REPLIES_KEPT; i++) {
        buf_init(&replies[i], MEM_SESSIONS);
    }
    reply_count = 0;
    open_all();
}

void
kv_fixture_close(void)
{
    if (fixture.is_checked) {
        kv_check();
    }
    close_all();
    for (uint32_t i = 0; i < REPLIES_KEPT; i++) {
        buf_fini(&replies[i]);
    }
}

void
kv_fixture_reopen(void)
{
    close_all();
    open_all();
}

/* ---- Commands ---- */

struct call {
    struct kv_request request;
    struct reply reply;
};

static YIELDS void
call_run(void *arg)
{
    struct call *call = arg;
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    reply_init(&call->reply, fixture.resp);
    call->request.arena = &arena;
    call->request.reply = &call->reply;
    kv_execute(&call->request);
    arena_fini(&arena);
    mem_disown(MEM_SESSIONS, call->reply.buf.data, call->reply.buf.capacity);
}

struct slice
kv_call(const struct slice *words, uint32_t count)
{
    struct buf *kept = &replies[reply_count++ % REPLIES_KEPT];
    const struct command *command = command_resolve(words, count);
    uint32_t shard = shard_id();
    struct call call = {
        .request =
            {
                .command = command,
                .argv = words,
                .argc = count,
                .db = fixture.db,
                .now_ms = io_wall_us() / 1000,
            },
    };

    cr_assert_not_null(command, "no command %.*s", (int)words[0].size, (const char *)words[0].data);
    cr_assert(command_arity_fits(command, count), "%s", command->name);
    if (command->layer == COMMAND_DATA) {
        (void)kv_route(command, words, count, &shard); /* Of several shards: here. */
    }
    msg_call(shard, MSG_FIBER, call_run, &call);
    mem_adopt(MEM_SESSIONS, call.reply.buf.data, call.reply.buf.capacity);
    fixture.lsn = call.request.lsn;
    buf_clear(kept);
    buf_append(kept, call.reply.buf.data, call.reply.buf.size);
    buf_append_byte(kept, 0);
    kept->size--;
    reply_fini(&call.reply);
    return buf_slice(kept);
}

struct slice
kv_call_texts(const char *const *words)
{
    struct slice slices[WORDS_MAX];
    uint32_t count = 0;

    for (; words[count] != NULL; count++) {
        cr_assert_lt(count, WORDS_MAX);
        slices[count] = slice_from_text(words[count]);
    }
    return kv_call(slices, count);
}

void
kv_expect(int line, const char *reply, const char *const *words)
{
    struct slice got = kv_call_texts(words);

    cr_assert(slice_equal(got, slice_from_text(reply)), "line %d: %s %s gave \"%s\" and not \"%s\"",
              line, words[0], words[1] != NULL ? words[1] : "", (const char *)got.data, reply);
}

int64_t
kv_number(const char *const *words)
{
    struct slice got = kv_call_texts(words);

    cr_assert_eq(got.data[0], ':', "%s gave \"%s\"", words[0], (const char *)got.data);
    return strtoll((const char *)got.data + 1, NULL, 10);
}

/* ---- Invariants ---- */

struct census {
    int64_t heads[KV_DATABASES_MAX], expiring[KV_DATABASES_MAX], payloads[KV_DATABASES_MAX];
    int64_t large[KV_DATABASES_MAX], indexed[KV_DATABASES_MAX];
    /* Elements, and what the heads of their collections are to have: an entry for each that they
     * count, or what the type's own check tells. */
    int64_t elements[KV_DATABASES_MAX], spread[KV_DATABASES_MAX];
    /* A group of a stream counts its consumers, and its pending entries, which are two each. */
    uint64_t streams[STREAMS_MAX];
    uint32_t stream_count;
    int64_t bytes[KV_DATABASES_MAX]; /* For maxmemory. */
    /* Times of fields in spread hashes, twice; hashes with any, and the index of these. */
    int64_t times[KV_DATABASES_MAX], dues[KV_DATABASES_MAX];
    int64_t timed[KV_DATABASES_MAX], timed_indexed[KV_DATABASES_MAX];
};

static bool
is_stream(const struct census *census, uint64_t collection)
{
    for (uint32_t i = 0; i < census->stream_count; i++) {
        if (census->streams[i] == collection) {
            return true;
        }
    }
    return false;
}

static void
element_take(struct census *census, const struct lsm_entry *entry, const struct kv_key_parts *parts)
{
    struct stream_group group;

    census->elements[parts->keyspace]++;
    if (parts->element_kind == STREAM_GROUP && is_stream(census, parts->collection)) {
        cr_assert_eq(stream_group_decode(parts->name, entry->value, &group), ERR_OK);
        census->spread[parts->keyspace] += (int64_t)(1 + group.consumers + 2 * group.pending);
    }
}

static YIELDS int64_t
entries_expected(const struct kv_key_parts *parts, const struct kv_head *head)
{
    if ((head->flags & KV_HEAD_SPREAD) == 0) {
        return 0;
    }
    return head->type == KV_ZSET ? zset_check(parts->keyspace, parts->id, head)
                                 : (int64_t)head->count;
}

static YIELDS void
census_take(struct census *census, const struct lsm_entry *entry)
{
    struct kv_key_parts parts;
    struct kv_head head;

    cr_assert_eq(kv_key_decode(entry->key, &parts), ERR_OK);
    cr_assert_lt(parts.keyspace, KV_DATABASES_MAX);
    if (parts.kind == KV_KIND_ELEMENT) {
        cr_assert_eq(entry->slot, kv_id_slot(parts.id));
        census->times[parts.keyspace] += parts.element_kind == DICT_KIND_TIME;
        census->dues[parts.keyspace] += parts.element_kind == DICT_KIND_DUE;
        if (parts.element_kind == DICT_KIND_TIME || parts.element_kind == DICT_KIND_DUE) {
            return;
        }
        element_take(census, entry, &parts);
        return;
    }
    cr_assert_eq(parts.id, kv_key_id(parts.name));
    cr_assert_eq(kv_shard_of_slot(kv_id_slot(parts.id)), shard_id());
    cr_assert_eq(entry->slot, kv_id_slot(parts.id));
    if (parts.kind == KV_KIND_PAYLOAD) {
        census->payloads[parts.keyspace]++;
    } else if (parts.kind == KV_KIND_EXPIRY) {
        census->indexed[parts.keyspace]++;
    } else if (parts.kind == KV_KIND_FIELD_EXPIRY) {
        census->timed_indexed[parts.keyspace]++;
    } else {
        cr_assert_eq(kv_head_decode(entry->value, &head), ERR_OK);
        census->heads[parts.keyspace]++;
        census->bytes[parts.keyspace] += kv_counted_bytes(parts.name.size, &head);
        census->spread[parts.keyspace] += entries_expected(&parts, &head);
        if (head.type == KV_STREAM && census->stream_count < STREAMS_MAX) {
            census->streams[census->stream_count++] = head.collection;
        }
        census->large[parts.keyspace] += (head.flags & KV_HEAD_PAYLOAD) != 0;
        census->expiring[parts.keyspace] += (head.flags & KV_HEAD_EXPIRES) != 0;
        census->timed[parts.keyspace] += (head.flags & KV_HEAD_FIELDS_EXPIRE) != 0;
    }
}

static YIELDS void
check_step(void *arg)
{
    struct store *store = store_self();
    struct census *census = MEM_NEW(MEM_RUNTIME, struct census);
    const uint8_t lower[] = {KV_MODEL_TAG};
    const uint8_t upper[] = {KV_MODEL_TAG + 1};
    struct store_snapshot snapshot;
    struct lsm_iter *iter = NULL;

    (void)arg;
    store_snapshot_take(store, &snapshot);
    cr_assert_eq(store_scan_open(store, &snapshot, slice_of(lower, 1), slice_of(upper, 1), &iter),
                 ERR_OK);
    for (err_t err = lsm_iter_first(iter); lsm_iter_is_valid(iter); err = lsm_iter_next(iter)) {
        cr_assert_eq(err, ERR_OK);
        census_take(census, lsm_iter_entry(iter));
    }
    lsm_iter_close(&iter);
    store_snapshot_drop(store, &snapshot);
    for (uint32_t i = 0; i < KV_DATABASES_MAX; i++) {
        cr_assert_eq(store_counter(store, kv_counter_keys(i)), census->heads[i],
                     "keyspace %u: %" PRId64 " keys counted, %" PRId64 " there", i,
                     store_counter(store, kv_counter_keys(i)), census->heads[i]);
        cr_assert_eq(store_counter(store, kv_counter_expires(i)), census->expiring[i]);
        cr_assert_eq(store_counter(store, kv_counter_bytes(i)), census->bytes[i],
                     "keyspace %u: %" PRId64 " bytes counted, %" PRId64 " there", i,
                     store_counter(store, kv_counter_bytes(i)), census->bytes[i]);
        cr_assert_eq(census->indexed[i], census->expiring[i]);
        cr_assert_eq(census->payloads[i], census->large[i]);
        cr_assert_eq(census->elements[i], census->spread[i]);
        cr_assert_eq(census->times[i], census->dues[i]);
        cr_assert_eq(census->timed[i], census->timed_indexed[i]);
        cr_assert_eq(store_counter(store, kv_counter_fields(i)), census->timed[i]);
    }
    MEM_FREE(MEM_RUNTIME, census);
}

void
kv_check(void)
{
    on_all(check_step);
}
