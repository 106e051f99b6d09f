/* models/kv/scan.c - commands over all keys: SCAN, KEYS, RANDOMKEY, DBSIZE.
 *
 * A SCAN cursor is the id (slot << 48 | hash) of the next key to look at, so nothing is kept
 * between two calls: a key that is there from the first call to the last has one id, which the
 * cursor passes once. Each call goes to the shard that owns the cursor's slot, and on to the next
 * when that has no more. */
#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/kv/collection.h"
#include "models/kv/glob.h"

#include "engine/base/poison.h"

enum {
    SCAN_KEYS_DEFAULT = 10,
    SCAN_KEYS_MAX = 1 << 20,    /* Examined by one call, whatever COUNT says. */
    KEYS_BYTES_MAX = 512 << 20, /* Of names in the reply of one shard. */
    EXPIRED_KEYS_MAX = 64,      /* Removed in passing by one step; the rest waits. */
    WORK_UNITS_PER_KEY = 3,
    WORK_UNITS_PER_EXPIRY = 20,
    PICK_EXACTLY_MAX = 128,
    PICK_TRIES_PER_SHARD = 8, /* Draws of a slot before the slots of the shard are counted. */
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
    struct slice type;    /* The same. */
    struct txn *txn;      /* Of the request, at the session's shard; NULL: the step has its own. */
    uint32_t shard;       /* Whose keys; with txn NULL the one that the step runs on. */
    uint32_t end_slot;    /* Up to here. */
    uint32_t keyspace;
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
    if ((scan->type.data != NULL && !kv_word_is(scan->type, kv_type_ops(head.type)->name)) ||
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

/* The heads of a keyspace on a shard, from the cursor on up to a slot. */
static YIELDS err_t
heads_open(struct txn *txn, uint32_t shard, uint32_t keyspace, uint64_t cursor, uint32_t end_slot,
           struct txn_scan **scan_out)
{
    uint8_t lower[KV_KEY_PREFIX_BYTES];
    uint8_t upper[KV_KEY_PREFIX_BYTES];
    size_t size = kv_key_lower(lower, KV_KIND_HEAD, keyspace, cursor);
    size_t upper_size =
        kv_key_lower(upper, KV_KIND_HEAD, keyspace, (uint64_t)end_slot << KV_ID_SLOT_SHIFT);

    return txn_scan_open(txn, txn_slot_of_shard(shard), slice_of(lower, size),
                         slice_of(upper, upper_size), scan_out);
}

static YIELDS err_t
scan_keys(struct scan_step *scan, struct txn *txn, struct arena *arena, struct expired_key *expired,
          uint32_t *expired_count)
{
    struct txn_scan *heads = NULL;
    struct kv_key_parts parts;
    uint64_t last_id = 0;
    err_t err;

    TRY(heads_open(txn, scan->shard, scan->keyspace, scan->cursor, scan->end_slot, &heads));
    TRY(txn_scan_first(heads));
    for (; txn_scan_is_valid(heads); scan->examined++) {
        TRY(kv_key_decode(txn_scan_entry(heads)->key, &parts));
        if (scan->examined >= scan->keys_max && parts.id != last_id) {
            scan->next = parts.id;
            break;
        }
        last_id = parts.id;
        TRY(scan_key(scan, txn_scan_entry(heads), &parts, arena, expired, expired_count));
        TRY(txn_scan_next(heads));
        fiber_work(WORK_UNITS_PER_KEY);
    }
    err = ERR_OK;
out:
    if (heads != NULL) {
        txn_scan_close(&heads);
    }
    return err;
}

/* In a transaction of this step, which then removes what has expired. */
static YIELDS err_t
scan_alone(struct kv *kv, struct scan_step *scan, struct arena *arena)
{
    struct expired_key expired[EXPIRED_KEYS_MAX];
    uint32_t expired_count = 0;
    struct txn *txn = txn_begin_auto(true, NULL);
    err_t err;

    txn_hold(txn);
    TRY(scan_keys(scan, txn, arena, expired, &expired_count));
    TRY(txn_commit(&txn, NULL));
    for (uint32_t i = 0; i < expired_count; i++) {
        kv_gate_enter_shared(kv);
        /* Its failure is none of the reader's: the key is left out of the reply anyway. */
        (void)kv_expire_key(kv, scan->keyspace, expired[i].id, expired[i].name, scan->now_ms, 0);
        kv_gate_leave_shared(kv);
        fiber_work(WORK_UNITS_PER_EXPIRY);
    }
out:
    txn_abort(&txn);
    return err;
}

static YIELDS void
scan_run(void *arg)
{
    struct scan_step *scan = arg;
    struct kv *kv = kv_self();
    struct expired_key none[EXPIRED_KEYS_MAX];
    uint32_t expired_count = 0;
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    reply_init(&scan->names, scan->resp);
    scan->next = CURSOR_END;
    if (scan->txn != NULL) {
        txn_hold(scan->txn);
        err = scan_keys(scan, scan->txn, &arena, none, &expired_count);
    } else {
        scan->keyspace = kv->keyspaces[scan->db];
        err = scan_alone(kv, scan, &arena);
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

static uint32_t
request_keyspace(const struct kv_request *request)
{
    return (request->keyspaces != NULL ? request->keyspaces : kv_self()->keyspaces)[request->db];
}

static void
step_init(const struct kv_request *request, struct scan_step *scan)
{
    *scan = (struct scan_step){
        .step.session_shard = shard_id(),
        .db = request->db,
        .keys_max = UINT64_MAX,
        .txn = request->txn,
        .end_slot = KV_SLOTS,
        .keyspace = request_keyspace(request),
        .now_ms = request->now_ms,
        .resp = request->reply->resp,
    };
}

/* In a transaction the session's shard reads the others' keys; otherwise they read their own. */
static YIELDS void
step_call(uint32_t shard, struct scan_step *scan)
{
    scan->shard = shard;
    if (scan->txn != NULL) {
        scan_run(scan);
    } else {
        msg_call(shard, MSG_FIBER, scan_run, scan);
    }
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

/* COUNT and MATCH, of all scans. False after an error reply. */
static bool
count_parse(struct kv_request *request, struct slice text, uint64_t *count_out)
{
    int64_t count;

    if (!kv_parse_int(request, text, &count)) {
        return false;
    }
    if (count < 1) {
        kv_reply_syntax_error(request);
        return false;
    }
    *count_out = (uint64_t)MIN(count, (int64_t)SCAN_KEYS_MAX);
    return true;
}

static struct slice
pattern_of(struct slice text)
{
    return slice_equal(text, SLICE("*")) ? slice_of(NULL, 0) : text;
}

bool
kv_scan_cursor_parse(struct kv_request *request, struct kv_scan_options *options_out)
{
    *options_out = (struct kv_scan_options){.count = SCAN_KEYS_DEFAULT};
    return cursor_parse(request, request->argv[2], &options_out->cursor);
}

bool
kv_scan_options_parse(struct kv_request *request, const struct kv_object *object,
                      struct kv_scan_options *options)
{
    if (!object->is_found) {
        reply_array(request->reply, 2);
        reply_bulk_int(request->reply, 0);
        reply_array(request->reply, 0);
        return false;
    }
    for (uint32_t at = 3; at < request->argc; at += 2) {
        bool has_value = at + 1 < request->argc;

        if (has_value && kv_word_is(request->argv[at], "count")) {
            if (!count_parse(request, request->argv[at + 1], &options->count)) {
                return false;
            }
        } else if (has_value && kv_word_is(request->argv[at], "match")) {
            options->pattern = pattern_of(request->argv[at + 1]);
        } else {
            kv_reply_syntax_error(request);
            return false;
        }
    }
    return true;
}

static bool
scan_options_parse(struct kv_request *request, struct scan_step *scan)
{
    scan->keys_max = SCAN_KEYS_DEFAULT;
    for (uint32_t at = 2; at < request->argc; at += 2) {
        struct slice word = request->argv[at];
        bool has_value = at + 1 < request->argc;

        if (has_value && kv_word_is(word, "count")) {
            if (!count_parse(request, request->argv[at + 1], &scan->keys_max)) {
                return false;
            }
        } else if (has_value && kv_word_is(word, "match")) {
            scan->pattern = pattern_of(request->argv[at + 1]);
        } else if (has_value && kv_word_is(word, "type")) {
            scan->type = request->argv[at + 1]; /* A word that is no type finds nothing. */
        } else {
            kv_reply_syntax_error(request);
            return false;
        }
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
        struct scan_step scan = *options;
        uint32_t shard = txn_slots_run(request->txn, kv_id_slot(cursor), &scan.end_slot);
        bool is_accepted;

        if (request->is_of_shard && kv_node_of_shard(shard) != shard_id()) {
            cursor = (uint64_t)scan.end_slot << KV_ID_SLOT_SHIFT;
            continue;
        }
        scan.cursor = cursor;
        scan.keys_max = left;
        step_call(shard, &scan);
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
        cursor = (uint64_t)scan.end_slot << KV_ID_SLOT_SHIFT;
    }
    *cursor_io = kv_id_slot(cursor) < KV_SLOTS ? cursor : 0;
    return true;
}

void
kv_command_scan(struct kv_request *request)
{
    struct scan_step options;
    uint64_t cursor;
    uint64_t matched;
    struct buf names;
    bool is_done;

    step_init(request, &options);
    if (!cursor_parse(request, request->argv[1], &cursor) ||
        !scan_options_parse(request, &options)) {
        return;
    }
    buf_init(&names, MEM_SESSIONS);
    kv_slots_pin(request);
    is_done = scan_shards(request, &options, &cursor, &matched, &names);
    kv_slots_unpin(request);
    if (is_done) {
        reply_array(request->reply, 2);
        reply_bulk_int(request->reply, (int64_t)cursor);
        reply_array(request->reply, matched);
        buf_append(&request->reply->buf, names.data, names.size);
    }
    buf_fini(&names);
}

/* ---- KEYS ---- */

static YIELDS void
keys_gather(struct kv_request *request, struct scan_step *steps, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        step_init(request, &steps[i]);
        steps[i].shard = i;
        if (!slice_equal(request->argv[1], SLICE("*"))) {
            steps[i].pattern = request->argv[1];
        }
    }
    if (request->is_of_shard) {
        step_call(shard_id(), &steps[0]);
        return;
    }
    if (request->txn == NULL) {
        msg_call_all(MSG_FIBER, scan_run, steps, sizeof(*steps));
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        scan_run(&steps[i]);
    }
}

void
kv_command_keys(struct kv_request *request)
{
    uint32_t count = request->is_of_shard ? 1 : shard_count();
    struct scan_step *steps = arena_alloc(request->arena, count * sizeof(*steps));
    uint64_t matched = 0;
    bool is_accepted = true;

    kv_slots_pin(request);
    keys_gather(request, steps, count);
    kv_slots_unpin(request);
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

/* A commit over several shards is counted here a little after its answer: a read of the keyspace
 * waits for that. */
static YIELDS err_t
count_settle(struct kv *kv, uint32_t db)
{
    struct txn *txn = txn_begin_auto(true, NULL);
    struct txn_scan *heads = NULL;
    err_t err = heads_open(txn, shard_id(), kv->keyspaces[db], 0, KV_SLOTS, &heads);

    if (heads != NULL) {
        txn_scan_close(&heads);
    }
    txn_abort(&txn);
    return err;
}

static YIELDS void
count_run(void *arg)
{
    struct count_step *count = arg;
    struct kv *kv = kv_self();
    err_t err = shard_count() == 1 ? ERR_OK : count_settle(kv, count->db);

    count->keys = store_counter(kv->store, kv_counter_keys(kv->keyspaces[count->db]));
    kv_step_end(kv, &count->step, err);
}

/* As the request's transaction sees them. */
static YIELDS err_t
count_in_txn(struct kv_request *request, struct count_step *counts)
{
    uint32_t keyspace = request_keyspace(request);
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < shard_count(); i++) {
        TRY(txn_counter(request->txn, txn_slot_of_shard(i), kv_counter_keys(keyspace),
                        &counts[i].keys));
    }
out:
    return err;
}

/* The number of keys on every shard, in the arena; NULL after an error reply. */
static YIELDS struct count_step *
count_shards(struct kv_request *request)
{
    struct count_step *counts = arena_alloc(request->arena, shard_count() * sizeof(*counts));

    for (uint32_t i = 0; i < shard_count(); i++) {
        counts[i] = (struct count_step){.step.session_shard = shard_id(), .db = request->db};
    }
    if (request->txn != NULL) {
        err_t err = count_in_txn(request, counts);

        if (err != ERR_OK) {
            kv_fail(request, err);
            return NULL;
        }
        return counts;
    }
    msg_call_all(MSG_FIBER, count_run, counts, sizeof(*counts));
    for (uint32_t i = 0; i < shard_count(); i++) {
        if (!kv_step_accept(request, &counts[i].step)) {
            return NULL;
        }
        if (request->is_of_shard && i != shard_id()) {
            counts[i].keys = 0;
        }
    }
    return counts;
}

void
kv_command_dbsize(struct kv_request *request)
{
    struct count_step *counts;
    int64_t keys = 0;

    kv_slots_pin(request);
    counts = count_shards(request);
    kv_slots_unpin(request);
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
    uint32_t shard;
    uint32_t db;
    uint32_t keyspace;
    struct txn *txn; /* As in struct scan_step. */
    uint64_t keys;   /* About so many on the shard. */
    uint64_t now_ms;
    /* Out. */
    struct buf name;
    bool is_found;
};

static YIELDS err_t
seek_id(struct txn_scan *heads, uint32_t keyspace, uint64_t id)
{
    uint8_t key[KV_KEY_PREFIX_BYTES];
    size_t size = kv_key_lower(key, KV_KIND_HEAD, keyspace, id);

    return txn_scan_seek(heads, slice_of(key, size));
}

/* How many slots the shard has; *slot_io, a number among them, becomes that slot. */
static uint64_t
count_slots(const struct txn *txn, uint32_t shard, uint64_t *slot_io)
{
    uint64_t number = *slot_io;
    uint64_t count = 0;
    uint32_t end;

    for (uint32_t slot = 0; slot < KV_SLOTS; slot = end) {
        if (txn_slots_run(txn, (uint16_t)slot, &end) != shard) {
            continue;
        }
        if (number >= count && number < count + end - slot) {
            *slot_io = slot + number - count;
        }
        count += end - slot;
    }
    return count;
}

/* Each slot of the shard is equally likely. Slots lie in runs, so that the next slot of the shard
 * after any slot would nearly always be the first of a run. Most often a few draws find one; a
 * shard that has few slots counts them. */
static uint64_t
pick_slot(const struct txn *txn, uint32_t shard)
{
    uint64_t slot = 0;
    uint64_t count;

    for (uint32_t i = 0; i < PICK_TRIES_PER_SHARD * shard_count(); i++) {
        slot = prng_below(shard_prng(), KV_SLOTS);
        if (kv_shard_of_slot((uint16_t)slot) == shard) {
            return slot;
        }
    }
    count = count_slots(txn, shard, &slot);
    if (count > 0) {
        slot = prng_below(shard_prng(), count);
        count_slots(txn, shard, &slot);
    }
    return slot;
}

/* Of many keys: a slot, then a place within it. Keys of one slot are equally likely, or nearly;
 * so are slots, as long as most have keys. */
static YIELDS err_t
pick_place(struct txn_scan *heads, const struct pick_step *pick)
{
    uint32_t keyspace = pick->keyspace;
    uint64_t slot = pick_slot(pick->txn, pick->shard);
    struct kv_key_parts parts;
    err_t err;

    TRY(seek_id(heads, keyspace, slot << 48));
    if (!txn_scan_is_valid(heads)) {
        TRY(txn_scan_first(heads));
    }
    if (!txn_scan_is_valid(heads)) {
        return ERR_OK;
    }
    TRY(kv_key_decode(txn_scan_entry(heads)->key, &parts));
    slot = kv_id_slot(parts.id);
    TRY(seek_id(heads, keyspace, slot << 48 | prng_below(shard_prng(), UINT64_C(1) << 48)));
    if (txn_scan_is_valid(heads)) {
        TRY(kv_key_decode(txn_scan_entry(heads)->key, &parts));
    }
    if (!txn_scan_is_valid(heads) || kv_id_slot(parts.id) != slot) {
        TRY(seek_id(heads, keyspace, slot << 48));
    }
    err = ERR_OK;
out:
    return err;
}

/* Of few keys: one by number. */
static YIELDS err_t
pick_number(struct txn_scan *heads, uint64_t number)
{
    err_t err;

    TRY(txn_scan_first(heads));
    while (number-- > 0 && txn_scan_is_valid(heads)) {
        TRY(txn_scan_next(heads));
    }
    err = ERR_OK;
out:
    return err;
}

/* From the iterator's place on, once round, to the first key that has not expired. */
static YIELDS err_t
pick_live(struct txn_scan *heads, struct pick_step *pick, uint64_t keys)
{
    struct kv_key_parts parts;
    struct kv_head head;
    err_t err;

    for (uint64_t i = 0; i <= keys; i++) {
        if (!txn_scan_is_valid(heads)) {
            TRY(txn_scan_first(heads));
        }
        if (!txn_scan_is_valid(heads)) {
            break;
        }
        TRY(kv_head_decode(txn_scan_entry(heads)->value, &head));
        if (!kv_head_has_expired(&head, pick->now_ms)) {
            TRY(kv_key_decode(txn_scan_entry(heads)->key, &parts));
            buf_append(&pick->name, parts.name.data, parts.name.size);
            pick->is_found = true;
            break;
        }
        TRY(txn_scan_next(heads));
        fiber_work(WORK_UNITS_PER_KEY);
    }
    err = ERR_OK;
out:
    return err;
}

static YIELDS err_t
pick_in(struct txn *txn, struct pick_step *pick)
{
    struct txn_scan *heads = NULL;
    err_t err;

    TRY(heads_open(txn, pick->shard, pick->keyspace, 0, KV_SLOTS, &heads));
    if (pick->keys <= PICK_EXACTLY_MAX) {
        TRY(pick_number(heads, prng_below(shard_prng(), pick->keys)));
    } else {
        TRY(pick_place(heads, pick));
    }
    TRY(pick_live(heads, pick, pick->keys));
out:
    if (heads != NULL) {
        txn_scan_close(&heads);
    }
    return err;
}

static YIELDS void
pick_run(void *arg)
{
    struct pick_step *pick = arg;
    struct kv *kv = kv_self();
    err_t err = ERR_OK;

    buf_init(&pick->name, MEM_SESSIONS);
    if (pick->keys > 0 && pick->txn != NULL) {
        txn_hold(pick->txn);
        err = pick_in(pick->txn, pick);
    } else if (pick->keys > 0) {
        struct txn *txn = txn_begin_auto(true, NULL);

        txn_hold(txn);
        pick->keyspace = kv->keyspaces[pick->db];
        err = pick_in(txn, pick);
        txn_abort(&txn);
    }
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

static YIELDS void
random_key(struct kv_request *request)
{
    struct count_step *counts = count_shards(request);
    uint32_t first;

    if (counts == NULL) {
        return;
    }
    first = pick_shard(counts);
    /* A shard whose keys have all expired leaves it to the next one. */
    for (uint32_t i = 0; i < shard_count(); i++) {
        uint32_t shard = (first + i) % shard_count();
        struct pick_step pick = {
            .step.session_shard = shard_id(),
            .shard = shard,
            .db = request->db,
            .keyspace = request_keyspace(request),
            .txn = request->txn,
            .keys = (uint64_t)MAX(counts[shard].keys, INT64_C(0)),
            .now_ms = request->now_ms,
        };
        bool is_accepted;

        msg_call(request->txn != NULL ? shard_id() : shard, MSG_FIBER, pick_run, &pick);
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

void
kv_command_randomkey(struct kv_request *request)
{
    kv_slots_pin(request);
    random_key(request);
    kv_slots_unpin(request);
}
