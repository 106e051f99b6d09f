/* models/kv/generic.c - commands on keys, whatever they hold. */
#include "engine/base/assert.h"
#include "models/kv/collection.h"

#include "engine/base/poison.h"

enum {
    WORK_UNITS_PER_KEY = 10,
    /* What an entry costs beside its bytes: the memtable's node and version. An estimate. */
    ENTRY_OVERHEAD_BYTES = 64,
    SAMPLES = 64, /* Elements that stand for all of a spread collection. */
};

/* ---- DEL, EXISTS, TOUCH, TYPE ---- */

static YIELDS void
del(struct kv_request *request)
{
    uint32_t count = request->argc - 1;
    struct kv_object *objects = kv_lookup_many(request, 1, 1, count, 0);
    bool *is_repeat = objects == NULL ? NULL : kv_find_repeats(request, objects, count, false);
    int64_t removed = 0;

    if (is_repeat == NULL) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!is_repeat[i]) {
            kv_remove(request, &objects[i]);
            removed += objects[i].is_found;
            if (objects[i].is_found) {
                kv_notify(request, KV_EVENT_GENERIC, "del", objects[i].name);
            }
        }
        kv_work(request, WORK_UNITS_PER_KEY);
    }
    reply_int(request->reply, removed);
}

void
kv_command_del(struct kv_request *request)
{
    del(request);
}

/* Removing is one small entry a key, however large the value: nothing is left to do later. */
void
kv_command_unlink(struct kv_request *request)
{
    del(request);
}

static YIELDS void
count_found(struct kv_request *request, uint32_t flags)
{
    uint32_t count = request->argc - 1;
    struct kv_object *objects = kv_lookup_many(request, 1, 1, count, flags);
    int64_t found = 0;

    for (uint32_t i = 0; objects != NULL && i < count; i++) {
        found += objects[i].is_found;
    }
    if (objects != NULL) {
        reply_int(request->reply, found);
    }
}

void
kv_command_exists(struct kv_request *request)
{
    count_found(request, KV_LOOKUP_COUNT);
}

void
kv_command_touch(struct kv_request *request)
{
    bool no_touch = request->no_touch;

    /* A client with NO-TOUCH asks for it here. */
    request->no_touch = false;
    count_found(request, KV_LOOKUP_READ);
    request->no_touch = no_touch;
}

void
kv_command_type(struct kv_request *request)
{
    struct kv_object object;

    if (kv_lookup(request, request->argv[1], KV_LOOKUP_COUNT, &object)) {
        reply_simple(request->reply,
                     object.is_found ? kv_type_ops(object.head.type)->name : "none");
    }
}

/* ---- RENAME, COPY, MOVE ---- */

/* `to` gets what `from` holds, with its expiry; `from` goes. Within a slot a spread collection
 * moves with its head: its elements lie under its id. */
static YIELDS bool
move_object(struct kv_request *request, struct kv_object *from, struct kv_object *to)
{
    if (from->keyspace == to->keyspace && kv_id_slot(from->id) == kv_id_slot(to->id) &&
        (from->head.flags & KV_HEAD_SPREAD) != 0) {
        kv_put_collection(request, to, &from->head);
        kv_remove_head(request, from);
        return true;
    }
    if (!kv_copy(request, from, to)) {
        return false;
    }
    kv_remove(request, from);
    return true;
}

static YIELDS void
rename_key(struct kv_request *request, bool only_new)
{
    struct kv_object from;
    struct kv_object to;

    if (!kv_lookup(request, request->argv[1], 0, &from)) {
        return;
    }
    if (!from.is_found) {
        reply_error(request->reply, "ERR no such key");
        return;
    }
    if (!slice_equal(request->argv[1], request->argv[2])) {
        if (!kv_lookup(request, request->argv[2], 0, &to)) {
            return;
        }
        if (only_new && to.is_found) {
            reply_int(request->reply, 0);
            return;
        }
        if (!move_object(request, &from, &to)) {
            return;
        }
        kv_notify(request, KV_EVENT_GENERIC, "rename_from", from.name);
        kv_notify(request, KV_EVENT_GENERIC, "rename_to", to.name);
        if (only_new) {
            reply_int(request->reply, 1);
            return;
        }
    } else if (only_new) {
        reply_int(request->reply, 0);
        return;
    }
    reply_ok(request->reply);
}

void
kv_command_rename(struct kv_request *request)
{
    rename_key(request, false);
}

void
kv_command_renamenx(struct kv_request *request)
{
    rename_key(request, true);
}

static bool
copy_options_parse(struct kv_request *request, uint32_t *db_out, bool *is_replacing_out)
{
    *db_out = request->db;
    *is_replacing_out = false;
    for (uint32_t at = 3; at < request->argc; at++) {
        if (kv_word_is(request->argv[at], "replace")) {
            *is_replacing_out = true;
        } else if (kv_word_is(request->argv[at], "db") && at + 1 < request->argc) {
            if (!kv_parse_db(request, request->argv[++at], db_out)) {
                return false;
            }
        } else {
            kv_reply_syntax_error(request);
            return false;
        }
    }
    return true;
}

void
kv_command_copy(struct kv_request *request)
{
    struct kv_object from;
    struct kv_object to;
    bool is_replacing;
    uint32_t db;

    if (!copy_options_parse(request, &db, &is_replacing)) {
        return;
    }
    if (db == request->db && slice_equal(request->argv[1], request->argv[2])) {
        reply_error(request->reply, "ERR source and destination objects are the same");
        return;
    }
    if (!kv_lookup(request, request->argv[1], KV_LOOKUP_COUNT, &from) ||
        !kv_lookup_db(request, db, request->argv[2], 0, &to)) {
        return;
    }
    if (!from.is_found || (to.is_found && !is_replacing)) {
        reply_int(request->reply, 0);
        return;
    }
    if (kv_copy(request, &from, &to)) {
        kv_notify_db(request, db, KV_EVENT_GENERIC, "copy_to", to.name);
        reply_int(request->reply, 1);
    }
}

void
kv_command_move(struct kv_request *request)
{
    struct kv_object from;
    struct kv_object to;
    uint32_t db;

    if (!kv_parse_db(request, request->argv[2], &db)) {
        return;
    }
    if (db == request->db) {
        reply_error(request->reply, "ERR source and destination objects are the same");
        return;
    }
    if (!kv_lookup(request, request->argv[1], 0, &from) ||
        !kv_lookup_db(request, db, request->argv[1], 0, &to)) {
        return;
    }
    if (!from.is_found || to.is_found) {
        reply_int(request->reply, 0);
        return;
    }
    if (move_object(request, &from, &to)) {
        kv_notify(request, KV_EVENT_GENERIC, "move_from", from.name);
        kv_notify_db(request, db, KV_EVENT_GENERIC, "move_to", to.name);
        reply_int(request->reply, 1);
    }
}

/* ---- OBJECT, MEMORY USAGE ---- */

/* Replies null for a missing key, and returns false. */
static YIELDS bool
object_lookup(struct kv_request *request, struct kv_object *object_out)
{
    if (!kv_lookup(request, request->argv[2], KV_LOOKUP_COUNT, object_out)) {
        return false;
    }
    if (!object_out->is_found) {
        reply_null(request->reply);
    }
    return object_out->is_found;
}

void
kv_command_object_encoding(struct kv_request *request)
{
    struct kv_object object;

    if (object_lookup(request, &object)) {
        reply_bulk_text(request->reply, kv_type_ops(object.head.type)->encoding(&object));
    }
}

void
kv_command_object_freq(struct kv_request *request)
{
    struct kv_object object;

    if (!object_lookup(request, &object)) {
        return;
    }
    if (!kv_self()->config.lfu) {
        reply_error(request->reply,
                    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
                    "Please note that when switching between policies at runtime LRU and LFU data "
                    "will take some time to adjust.");
        return;
    }
    reply_int(request->reply, kv_access_frequency(kv_self(), &object, request->now_ms));
}

void
kv_command_object_idletime(struct kv_request *request)
{
    struct kv_object object;

    if (!object_lookup(request, &object)) {
        return;
    }
    if (kv_self()->config.lfu) {
        reply_error(request->reply,
                    "ERR An LFU maxmemory policy is selected, idle time not tracked. "
                    "Please note that when switching between policies at runtime LRU and LFU data "
                    "will take some time to adjust.");
        return;
    }
    reply_int(request->reply, kv_access_idle_seconds(kv_self(), &object, request->now_ms));
}

/* Values are never shared between keys. */
void
kv_command_object_refcount(struct kv_request *request)
{
    struct kv_object object;

    if (object_lookup(request, &object)) {
        reply_int(request->reply, 1);
    }
}

void
kv_command_object_help(struct kv_request *request)
{
    static const char *const lines[] = {
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    The encoding that Redis would choose for the value of the key.",
        "FREQ <key>",
        "    How often the key is read: a logarithmic counter, under an LFU policy.",
        "IDLETIME <key>",
        "    Seconds since the key was last read or written.",
        "REFCOUNT <key>",
        "    How many keys share the value: always one.",
        "HELP",
        "    Print this help.",
    };

    reply_array(request->reply, ARRAY_COUNT(lines));
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        reply_simple(request->reply, lines[i]);
    }
}

static bool
samples_parse(struct kv_request *request)
{
    for (uint32_t at = 3; at < request->argc; at++) {
        int64_t samples;

        if (!kv_word_is(request->argv[at], "samples") || at + 1 >= request->argc) {
            kv_reply_syntax_error(request);
            return false;
        }
        if (!kv_parse_int(request, request->argv[++at], &samples)) {
            return false;
        }
        if (samples < 0) {
            kv_reply_syntax_error(request);
            return false;
        }
    }
    return true;
}

/* The elements of a spread collection, from the first few of them. Elements of all kinds count. */
static YIELDS err_t
elements_bytes(struct kv_request *request, const struct kv_object *object, uint64_t *bytes_out)
{
    struct kv_collection collection = kv_collection_of(object);
    uint8_t lower[KV_COLLECTION_PREFIX_BYTES];
    uint8_t upper[KV_COLLECTION_PREFIX_BYTES];
    struct txn_scan *scan = NULL;
    uint64_t sampled = 0;
    uint64_t bytes = 0;
    err_t err;

    kv_collection_encode(lower, collection.keyspace, collection.slot, collection.id);
    kv_collection_encode(upper, collection.keyspace, collection.slot, collection.id + 1);
    TRY(txn_scan_open(request->txn, collection.slot, slice_of(lower, sizeof(lower)),
                      slice_of(upper, sizeof(upper)), &scan));
    TRY(txn_scan_first(scan));
    while (txn_scan_is_valid(scan) && sampled < SAMPLES) {
        const struct lsm_entry *entry = txn_scan_entry(scan);

        bytes += ENTRY_OVERHEAD_BYTES + entry->key.size + entry->value.size;
        sampled++;
        TRY(txn_scan_next(scan));
    }
    *bytes_out = txn_scan_is_valid(scan) ? bytes * object->head.count / sampled : bytes;
    err = ERR_OK;
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

/* The bytes of the key's entries, as a memtable holds them. */
void
kv_command_memory_usage(struct kv_request *request)
{
    struct kv_object object;
    uint8_t head[KV_HEAD_BYTES_MAX];
    uint64_t elements = 0;
    size_t name_size;
    uint64_t bytes;

    if (!samples_parse(request) || !kv_lookup(request, request->argv[2], 0, &object)) {
        return;
    }
    if (!object.is_found) {
        reply_null(request->reply);
        return;
    }
    if ((object.head.flags & KV_HEAD_SPREAD) != 0) {
        err_t err = elements_bytes(request, &object, &elements);

        if (err != ERR_OK) {
            kv_fail(request, err);
            return;
        }
    }
    name_size = object.name.size;
    bytes = ENTRY_OVERHEAD_BYTES + KV_KEY_PREFIX_BYTES + name_size +
            kv_head_encode(head, &object.head) + object.head.body.size + elements;
    if ((object.head.flags & KV_HEAD_PAYLOAD) != 0) {
        bytes += ENTRY_OVERHEAD_BYTES + KV_KEY_PREFIX_BYTES + name_size + object.head.length;
    }
    if ((object.head.flags & KV_HEAD_EXPIRES) != 0) {
        bytes += ENTRY_OVERHEAD_BYTES + KV_EXPIRY_PREFIX_BYTES + name_size;
    }
    reply_int(request->reply, (int64_t)bytes);
}
