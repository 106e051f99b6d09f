/* models/kv/slot_keys.c - the keys of one slot, for cluster clients. */
#include "engine/base/assert.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

enum { WORK_UNITS_PER_KEY = 1, NAMES_BYTES_MAX = 64 << 20 };

struct slot_read {
    uint64_t most;
    bool are_named;
    uint64_t count;      /* Out. */
    struct reply *names; /* Out. */
};

static YIELDS err_t
slot_read(struct kv_request *request, uint16_t slot, struct slot_read *read)
{
    uint32_t keyspace = kv_self()->keyspaces[request->db];
    uint8_t lower[KV_KEY_PREFIX_BYTES];
    uint8_t upper[KV_KEY_PREFIX_BYTES];
    size_t size = kv_key_lower(lower, KV_KIND_HEAD, keyspace, (uint64_t)slot << 48);
    size_t upper_size = kv_key_lower(upper, KV_KIND_HEAD, keyspace, (uint64_t)(slot + 1) << 48);
    struct txn_scan *heads = NULL;
    struct kv_key_parts parts;
    struct kv_head head;
    err_t err;

    TRY(txn_scan_open(request->txn, slot, slice_of(lower, size), slice_of(upper, upper_size),
                      &heads));
    TRY(txn_scan_first(heads));
    for (; txn_scan_is_valid(heads) && read->count < read->most; fiber_work(WORK_UNITS_PER_KEY)) {
        TRY(kv_key_decode(txn_scan_entry(heads)->key, &parts));
        TRY(kv_head_decode(txn_scan_entry(heads)->value, &head));
        if (!kv_head_has_expired(&head, request->now_ms)) {
            if (read->are_named && read->names->buf.size + parts.name.size > NAMES_BYTES_MAX) {
                TRY(err_set(ERR_LIMIT, "the names of the keys exceed %d bytes", NAMES_BYTES_MAX));
            }
            if (read->are_named) {
                reply_bulk(read->names, parts.name);
            }
            read->count++;
        }
        TRY(txn_scan_next(heads));
    }
    err = ERR_OK;
out:
    txn_scan_close(&heads);
    return err;
}

void
kv_slot_keys(struct kv_request *request, uint16_t slot, uint64_t most, bool are_named)
{
    struct txn *outer = request->txn;
    struct reply names;
    struct slot_read read = {.most = most, .are_named = are_named, .names = &names};
    struct txn_done done = {0};
    err_t err;

    reply_init(&names, request->reply->resp);
    if (outer == NULL) {
        request->txn = txn_begin_auto(true, request->origin);
    }
    txn_hold(request->txn);
    err = slot_read(request, slot, &read);
    if (outer == NULL && err == ERR_OK) {
        err = txn_commit(&request->txn, &done);
        request->lsn = MAX(request->lsn, done.lsn);
    } else if (outer == NULL) {
        txn_abort(&request->txn);
    }
    request->txn = outer;
    if (err != ERR_OK) {
        reply_err(request->reply, err);
    } else if (are_named) {
        reply_array(request->reply, read.count);
        buf_append(&request->reply->buf, names.buf.data, names.buf.size);
    } else {
        reply_int(request->reply, (int64_t)read.count);
    }
    reply_fini(&names);
}
