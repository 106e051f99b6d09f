/* models/kv/scan.c - commands over all keys: SCAN, KEYS, RANDOMKEY, DBSIZE.
 *
 * A SCAN cursor is the id (slot << 48 | hash) of the next key to look at, so nothing is kept
 * between two calls: a key that is there from the first call to the last has one id, which the
 * cursor passes once. Each call goes to the shard that owns the cursor's slot, and on to the next
 * when that has no more. */
#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/kv/glob.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

enum {
    SCAN_KEYS_DEFAULT = 10,
    SCAN_KEYS_MAX = 1 << 20,    /* Examined by one call, whatever COUNT says. */
    KEYS_BYTES_MAX = 512 << 20, /* Of names in the reply of one shard. */
    EXPIRED_KEYS_MAX = 64,      /* Removed in passing by one step; the rest waits. */
    WORK_UNITS_PER_KEY = 3,
    WORK_UNITS_PER_EXPIRY = 20,
    PICK_EXACTLY_MAX = 128,
};

#define CURSOR_END UINT64_MAX

/* ---- One shard's part of SCAN and KEYS ---- */

struct scan_step {
    struct kv_step step;
    /* In. */
    uint32_t db;
    uint64_t cursor;
    uint64_t keys_max;    /* Examined, and then the rest of those with the same id. */
    struct slice pattern; /* NULL data: all. */
    bool is_string_only, is_nothing_wanted; /* TYPE */
    uint64_t now_ms;
    uint8_t resp;
    /* Out. */
    struct reply names;
    uint64_t matched;
    uint64_t examined;
    uint64_t next; /* Id of the next key, or CURSOR_END. */
};

struct expired_key {
    uint64_t id;
    struct slice name;
};

/* Looks at the key under the iterator: a name for the reply, or one to remove. */
static err_t
scan_key(struct scan_step *scan, const struct lsm_entry *entry, const struct kv_key_parts *parts,
         struct arena *arena, struct expired_key *expired, uint32_t *expired_count)
{
    struct kv_head head;
    err_t err = kv_head_decode(entry->value, &head);

    if (err != ERR_OK) {
        return err;
    }
    if (kv_head_has_expired(&head, scan->now_ms)) {
        if (*expired_count < EXPIRED_KEYS_MAX) {
            expired[(*expired_count)++] =
                (struct expired_key){parts->id, arena_copy(arena, parts->name)};
        }
        return ERR_OK;
    }
    if (scan->is_nothing_wanted || (scan->is_string_only && head.type != KV_STRING) ||
        (scan->pattern.data != NULL && !kv_glob_match(scan->pattern, parts->name, false))) {
        return ERR_OK;
    }
    if (scan->names.buf.size + parts->name.size > KEYS_BYTES_MAX) {
        return err_set(ERR_LIMIT, "the names of the keys exceed %d bytes; use SCAN",
                       KEYS_BYTES_MAX);
    }
    scan->matched++;
    reply_bulk(&scan->names, parts->name);
    return ERR_OK;
}

/* The heads of a keyspace, from the cursor to the end. */
static YIELDS err_t
heads_open(struct kv *kv, const struct store_snapshot *snapshot, uint32_t keyspace, uint64_t cursor,
           struct lsm_iter **iter_out)
{
    uint8_t lower[KV_KEY_PREFIX_BYTES];
    uint8_t upper[KV_KEY_PREFIX_BYTES];
    size_t size = kv_key_lower(lower, KV_KIND_HEAD, keyspace, cursor);
    size_t upper_size = kv_key_lower(upper, KV_KIND_HEAD + 1, keyspace, 0);

    return store_scan_open(kv->store, snapshot, slice_of(lower, size), slice_of(upper, upper_size),
                           iter_out);
}

static YIELDS err_t
scan_keys(struct kv *kv, struct scan_step *scan, uint32_t keyspace, struct arena *arena,
          struct expired_key *expired, uint32_t *expired_count)
{
    struct store_snapshot snapshot;
    struct lsm_iter *iter = NULL;
    struct kv_key_parts parts;
    uint64_t last_id = 0;
    err_t err;

    store_snapshot_take(kv->store, &snapshot);
    TRY(heads_open(kv, &snapshot, keyspace, scan->cursor, &iter));
    TRY(lsm_iter_first(iter));
    for (; lsm_iter_is_valid(iter); scan->examined++) {
        TRY(kv_key_decode(lsm_iter_entry(iter)->key, &parts));
        if (scan->examined >= scan->keys_max && parts.id != last_id) {
            scan->next = parts.id;
            break;
        }
        last_id = parts.id;
        TRY(scan_key(scan, lsm_iter_entry(iter), &parts, arena, expired, expired_count));
        TRY(lsm_iter_next(iter));
        fiber_work(WORK_UNITS_PER_KEY);
    }
    err = ERR_OK;
out:
    lsm_iter_close(&iter);
    store_snapshot_drop(kv->store, &snapshot);
    return err;
}

static YIELDS void
scan_run(void *arg)
{
    struct scan_step *scan = arg;
    struct kv *kv = kv_self();
    struct expired_key expired[EXPIRED_KEYS_MAX];
    uint32_t expired_count = 0;
    uint32_t keyspace = kv->keyspaces[scan->db];
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    reply_init(&scan->names, scan->resp);
    scan->next = CURSOR_END;
    err = scan_keys(kv, scan, keyspace, &arena, expired, &expired_count);
    for (uint32_t i = 0; i < expired_count && err == ERR_OK; i++) {
        kv_gate_enter_shared(kv);
        /* Its failure is none of the reader's: the key is left out of the reply anyway. */
        (void)kv_expire_key(kv, keyspace, expired[i].id, expired[i].name, scan->now_ms, 0);
        kv_gate_leave_shared(kv);
        fiber_work(WORK_UNITS_PER_EXPIRY);
    }
    arena_fini(&arena);
    kv_step_end(kv, &scan->step, err);
    mem_disown(MEM_SESSIONS, scan->names.buf.data, scan->names.buf.capacity);
}

/* Takes over the names; they are the caller's to free. False after an error reply. */
static bool
scan_accept(struct kv_request *request, struct scan_step *scan)
{
    mem_adopt(MEM_SESSIONS, scan->names.buf.data, scan->names.buf.capacity);
    return kv_step_accept(request, &scan->step);
}

/* ---- SCAN ---- */

static bool
cursor_parse(struct kv_request *request, struct slice text, uint64_t *cursor_out)
{
    uint64_t cursor = 0;
    bool is_valid = text.size > 0;

    for (size_t i = 0; i < text.size && is_valid; i++) {
        uint8_t digit = (uint8_t)(text.data[i] - '0');

        is_valid = digit <= 9 && !__builtin_mul_overflow(cursor, 10, &cursor) &&
                   !__builtin_add_overflow(cursor, digit, &cursor);
    }
    if (!is_valid) {
        reply_error(request->reply, "ERR invalid cursor");
        return false;
    }
    *cursor_out = cursor;
    return true;
}

static bool
scan_options_parse(struct kv_request *request, struct scan_step *scan)
{
    scan->keys_max = SCAN_KEYS_DEFAULT;
    for (uint32_t at = 2; at < request->argc; at += 2) {
        struct slice word = request->argv[at];
        int64_t count;

        if (at + 1 >= request->argc) {
            kv_reply_syntax_error(request);
            return false;
        }
        if (kv_word_is(word, "count")) {
            if (!kv_parse_int(request, request->argv[at + 1], &count)) {
                return false;
            }
            if (count < 1) {
                kv_reply_syntax_error(request);
                return false;
            }
            scan->keys_max = (uint64_t)MIN(count, (int64_t)SCAN_KEYS_MAX);
        } else if (kv_word_is(word, "match")) {
            scan->pattern = request->argv[at + 1];
        } else if (kv_word_is(word, "type")) {
            /* A type without keys gives none, and so does a word that is no type. */
            scan->is_string_only = kv_word_is(request->argv[at + 1], "string");
            scan->is_nothing_wanted = !scan->is_string_only;
        } else {
            kv_reply_syntax_error(request);
            return false;
        }
    }
    if (slice_equal(scan->pattern, SLICE("*"))) {
        scan->pattern = slice_of(NULL, 0);
    }
    return true;
}

/* From shard to shard, until enough keys were looked at. Raises *matched_io and appends to names;
 * the next cursor is *cursor_io. */
static YIELDS bool
scan_shards(struct kv_request *request, const struct scan_step *options, uint64_t *cursor_io,
            uint64_t *matched_out, struct buf *names)
{
    uint64_t left = options->keys_max;
    uint64_t cursor = *cursor_io;

    *matched_out = 0;
    while (left > 0 && kv_id_slot(cursor) < KV_SLOTS) {
        uint32_t shard = kv_shard_of_slot(kv_id_slot(cursor));
        struct scan_step scan = *options;
        bool is_accepted;

        scan.cursor = cursor;
        scan.keys_max = left;
        msg_call(shard, MSG_FIBER, scan_run, &scan);
        is_accepted = scan_accept(request, &scan);
        if (is_accepted) {
            buf_append(names, scan.names.buf.data, scan.names.buf.size);
            *matched_out += scan.matched;
            left -= MIN(left, scan.examined);
        }
        reply_fini(&scan.names);
        if (!is_accepted) {
            return false;
        }
        if (scan.next != CURSOR_END) {
            cursor = scan.next;
            break;
        }
        cursor = (uint64_t)kv_shard_first_slot(shard + 1) << 48;
    }
    *cursor_io = kv_id_slot(cursor) < KV_SLOTS ? cursor : 0;
    return true;
}

void
kv_command_scan(struct kv_request *request)
{
    struct scan_step options = {
        .step.session_shard = shard_id(),
        .db = request->db,
        .now_ms = request->now_ms,
        .resp = request->reply->resp,
    };
    uint64_t cursor;
    uint64_t matched;
    struct buf names;

    if (!cursor_parse(request, request->argv[1], &cursor) ||
        !scan_options_parse(request, &options)) {
        return;
    }
    buf_init(&names, MEM_SESSIONS);
    if (scan_shards(request, &options, &cursor, &matched, &names)) {
        reply_array(request->reply, 2);
        reply_bulk_int(request->reply, (int64_t)cursor);
        reply_array(request->reply, matched);
        buf_append(&request->reply->buf, names.data, names.size);
    }
    buf_fini(&names);
}

/* ---- KEYS ---- */

void
kv_command_keys(struct kv_request *request)
{
    uint32_t count = shard_count();
    struct scan_step *steps = arena_alloc(request->arena, count * sizeof(*steps));
    uint64_t matched = 0;
    bool is_accepted = true;

    for (uint32_t i = 0; i < count; i++) {
        steps[i] = (struct scan_step){
            .step.session_shard = shard_id(),
            .db = request->db,
            .keys_max = UINT64_MAX,
            .pattern = request->argv[1],
            .now_ms = request->now_ms,
            .resp = request->reply->resp,
        };
        if (slice_equal(request->argv[1], SLICE("*"))) {
            steps[i].pattern = slice_of(NULL, 0);
        }
    }
    msg_call_all(MSG_FIBER, scan_run, steps, sizeof(*steps));
    for (uint32_t i = 0; i < count; i++) {
        /* After the first error the others are only taken over. */
        if (is_accepted) {
            is_accepted = scan_accept(request, &steps[i]);
        } else {
            mem_adopt(MEM_SESSIONS, steps[i].names.buf.data, steps[i].names.buf.capacity);
        }
        matched += steps[i].matched;
    }
    if (is_accepted) {
        reply_array(request->reply, matched);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (is_accepted) {
            buf_append(&request->reply->buf, steps[i].names.buf.data, steps[i].names.buf.size);
        }
        reply_fini(&steps[i].names);
    }
}

/* ---- DBSIZE ---- */

struct count_step {
    struct kv_step step;
    uint32_t db;
    int64_t keys; /* Out. */
};

static YIELDS void
count_run(void *arg)
{
    struct count_step *count = arg;
    struct kv *kv = kv_self();

    count->keys = store_counter(kv->store, kv_counter_keys(kv->keyspaces[count->db]));
    kv_step_end(kv, &count->step, ERR_OK);
}

/* The number of keys on every shard, in the arena; NULL after an error reply. */
static YIELDS struct count_step *
count_shards(struct kv_request *request)
{
    struct count_step *counts = arena_alloc(request->arena, shard_count() * sizeof(*counts));

    for (uint32_t i = 0; i < shard_count(); i++) {
        counts[i] = (struct count_step){.step.session_shard = shard_id(), .db = request->db};
    }
    msg_call_all(MSG_FIBER, count_run, counts, sizeof(*counts));
    for (uint32_t i = 0; i < shard_count(); i++) {
        if (!kv_step_accept(request, &counts[i].step)) {
            return NULL;
        }
    }
    return counts;
}

void
kv_command_dbsize(struct kv_request *request)
{
    struct count_step *counts = count_shards(request);
    int64_t keys = 0;

    if (counts == NULL) {
        return;
    }
    for (uint32_t i = 0; i < shard_count(); i++) {
        keys += counts[i].keys;
    }
    reply_int(request->reply, keys);
}

/* ---- RANDOMKEY ---- */

struct pick_step {
    struct kv_step step;
    uint32_t db;
    uint64_t now_ms;
    /* Out. */
    struct buf name;
    bool is_found;
};

static YIELDS err_t
seek_id(struct lsm_iter *iter, uint32_t keyspace, uint64_t id)
{
    uint8_t key[KV_KEY_PREFIX_BYTES];
    size_t size = kv_key_lower(key, KV_KIND_HEAD, keyspace, id);

    return lsm_iter_seek(iter, slice_of(key, size));
}

/* Of many keys: a slot, then a place within it. Keys of one slot are equally likely, or nearly;
 * so are slots, as long as most have keys. */
static YIELDS err_t
pick_place(struct lsm_iter *iter, uint32_t keyspace)
{
    uint32_t first = kv_shard_first_slot(shard_id());
    uint32_t slots = kv_shard_first_slot(shard_id() + 1) - first;
    uint64_t slot = first + prng_below(shard_prng(), slots);
    struct kv_key_parts parts;
    err_t err;

    TRY(seek_id(iter, keyspace, slot << 48));
    if (!lsm_iter_is_valid(iter)) {
        TRY(lsm_iter_first(iter));
    }
    if (!lsm_iter_is_valid(iter)) {
        return ERR_OK;
    }
    TRY(kv_key_decode(lsm_iter_entry(iter)->key, &parts));
    slot = kv_id_slot(parts.id);
    TRY(seek_id(iter, keyspace, slot << 48 | prng_below(shard_prng(), UINT64_C(1) << 48)));
    if (lsm_iter_is_valid(iter)) {
        TRY(kv_key_decode(lsm_iter_entry(iter)->key, &parts));
    }
    if (!lsm_iter_is_valid(iter) || kv_id_slot(parts.id) != slot) {
        TRY(seek_id(iter, keyspace, slot << 48));
    }
    err = ERR_OK;
out:
    return err;
}

/* Of few keys: one by number. */
static YIELDS err_t
pick_number(struct lsm_iter *iter, uint64_t number)
{
    err_t err;

    TRY(lsm_iter_first(iter));
    while (number-- > 0 && lsm_iter_is_valid(iter)) {
        TRY(lsm_iter_next(iter));
    }
    err = ERR_OK;
out:
    return err;
}

/* From the iterator's place on, once round, to the first key that has not expired. */
static YIELDS err_t
pick_live(struct lsm_iter *iter, struct pick_step *pick, uint64_t keys)
{
    struct kv_key_parts parts;
    struct kv_head head;
    err_t err;

    for (uint64_t i = 0; i <= keys; i++) {
        if (!lsm_iter_is_valid(iter)) {
            TRY(lsm_iter_first(iter));
        }
        if (!lsm_iter_is_valid(iter)) {
            break;
        }
        TRY(kv_head_decode(lsm_iter_entry(iter)->value, &head));
        if (!kv_head_has_expired(&head, pick->now_ms)) {
            TRY(kv_key_decode(lsm_iter_entry(iter)->key, &parts));
            buf_append(&pick->name, parts.name.data, parts.name.size);
            pick->is_found = true;
            break;
        }
        TRY(lsm_iter_next(iter));
        fiber_work(WORK_UNITS_PER_KEY);
    }
    err = ERR_OK;
out:
    return err;
}

static YIELDS void
pick_run(void *arg)
{
    struct pick_step *pick = arg;
    struct kv *kv = kv_self();
    uint32_t keyspace = kv->keyspaces[pick->db];
    int64_t counted = store_counter(kv->store, kv_counter_keys(keyspace));
    uint64_t keys = (uint64_t)MAX(counted, INT64_C(0));
    struct store_snapshot snapshot;
    struct lsm_iter *iter = NULL;
    err_t err = ERR_OK;

    buf_init(&pick->name, MEM_SESSIONS);
    store_snapshot_take(kv->store, &snapshot);
    if (keys > 0) {
        TRY(heads_open(kv, &snapshot, keyspace, 0, &iter));
        if (keys <= PICK_EXACTLY_MAX) {
            TRY(pick_number(iter, prng_below(shard_prng(), keys)));
        } else {
            TRY(pick_place(iter, keyspace));
        }
        TRY(pick_live(iter, pick, keys));
    }
out:
    lsm_iter_close(&iter);
    store_snapshot_drop(kv->store, &snapshot);
    kv_step_end(kv, &pick->step, err);
    mem_disown(MEM_SESSIONS, pick->name.data, pick->name.capacity);
}

/* A shard, each as likely as it has keys. */
static uint32_t
pick_shard(const struct count_step *counts)
{
    int64_t total = 0;
    int64_t drawn;
    uint32_t shard = 0;

    for (uint32_t i = 0; i < shard_count(); i++) {
        total += counts[i].keys;
    }
    if (total <= 0) {
        return 0;
    }
    drawn = (int64_t)prng_below(shard_prng(), (uint64_t)total);
    while (shard + 1 < shard_count() && drawn >= counts[shard].keys) {
        drawn -= counts[shard++].keys;
    }
    return shard;
}

void
kv_command_randomkey(struct kv_request *request)
{
    struct count_step *counts = count_shards(request);
    uint32_t first;

    if (counts == NULL) {
        return;
    }
    first = pick_shard(counts);
    /* A shard whose keys have all expired leaves it to the next one. */
    for (uint32_t i = 0; i < shard_count(); i++) {
        struct pick_step pick = {
            .step.session_shard = shard_id(),
            .db = request->db,
            .now_ms = request->now_ms,
        };
        bool is_accepted;

        msg_call((first + i) % shard_count(), MSG_FIBER, pick_run, &pick);
        mem_adopt(MEM_SESSIONS, pick.name.data, pick.name.capacity);
        is_accepted = kv_step_accept(request, &pick.step);
        if (is_accepted && pick.is_found) {
            reply_bulk(request->reply, buf_slice(&pick.name));
        }
        buf_fini(&pick.name);
        if (!is_accepted || pick.is_found) {
            return;
        }
    }
    reply_null(request->reply);
}
