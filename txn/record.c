/* txn/record.c - a commit's log record. The table is in docs/format/store.md. */
#include "txn/record.h"

#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "engine/rt/shard.h"
#include "lsm/entry.h"
#include "lsm/ingest.h"
#include "lsm/vlog.h"
#include "txn/store.h"

#include "engine/base/poison.h"

enum { AT_TYPE = 0, AT_FLAGS = 2, AT_OPS = 4, AT_TS = 8 };
enum { FLAG_INGEST = 1 };

/* Of an op, without its strings: kind, slot and three varints. */
enum { OP_BYTES_MAX = 1 + 2 + 3 * VARINT_BYTES_MAX };

/* ---- Encoding. ---- */

static uint8_t *
put_string(uint8_t *at, struct slice string)
{
    at += put_varint(at, string.size);
    if (string.size > 0) {
        memcpy(at, string.data, string.size);
    }
    return at + string.size;
}

void
record_begin(struct buf *record, struct slice principal, struct slice protocol, struct slice tag)
{
    size_t most = RECORD_FIXED_BYTES + principal.size + protocol.size + tag.size +
                  RECORD_ORIGIN_EMPTY * VARINT_BYTES_MAX;
    uint8_t *start = buf_reserve(record, most);
    uint8_t *at = start + RECORD_FIXED_BYTES;

    ASSERT(record->size == 0);
    memset(start, 0, RECORD_FIXED_BYTES);
    start[AT_TYPE] = RECORD_COMMIT;
    at = put_string(at, principal);
    at = put_string(at, protocol);
    at = put_string(at, tag);
    record->size = (size_t)(at - start);
}

static uint8_t *
put_kind_and_slot(uint8_t *at, enum record_kind kind, uint16_t slot)
{
    *at++ = (uint8_t)kind;
    put_le16(at, slot);
    return at + 2;
}

void
record_append_put(struct buf *record, uint16_t slot, struct slice key, struct slice value,
                  uint64_t expire_us)
{
    uint8_t *start = buf_reserve(record, OP_BYTES_MAX + key.size + value.size);
    uint8_t *at = put_kind_and_slot(start, RECORD_PUT, slot);

    at += put_varint(at, expire_us);
    at = put_string(at, key);
    at = put_string(at, value);
    record->size += (size_t)(at - start);
}

uint32_t
record_append_put_large(struct buf *record, uint16_t slot, struct slice key, uint64_t expire_us)
{
    uint8_t *start = buf_reserve(record, OP_BYTES_MAX + key.size + VLOG_POINTER_BYTES);
    uint8_t *at = put_kind_and_slot(start, RECORD_PUT_LARGE, slot);
    uint32_t pointer_offset;

    at += put_varint(at, expire_us);
    at = put_string(at, key);
    pointer_offset = (uint32_t)(at - record->data);
    memset(at, 0, VLOG_POINTER_BYTES);
    at += VLOG_POINTER_BYTES;
    record->size += (size_t)(at - start);
    return pointer_offset;
}

void
record_append_delete(struct buf *record, uint16_t slot, struct slice key)
{
    uint8_t *start = buf_reserve(record, OP_BYTES_MAX + key.size);
    uint8_t *at = put_string(put_kind_and_slot(start, RECORD_DELETE, slot), key);

    record->size += (size_t)(at - start);
}

void
record_append_delete_range(struct buf *record, struct slice range_start, struct slice range_end)
{
    uint8_t *start = buf_reserve(record, OP_BYTES_MAX + range_start.size + range_end.size);
    uint8_t *at = start;

    *at++ = RECORD_DELETE_RANGE;
    at = put_string(at, range_start);
    at = put_string(at, range_end);
    record->size += (size_t)(at - start);
}

void
record_append_counter(struct buf *record, uint32_t counter, int64_t delta)
{
    uint8_t *start = buf_reserve(record, OP_BYTES_MAX);
    uint8_t *at = start;

    *at++ = RECORD_COUNTER_ADD;
    at += put_varint(at, counter);
    put_le64(at, (uint64_t)delta);
    at += sizeof(uint64_t);
    record->size += (size_t)(at - start);
}

void
record_append_ingest(struct buf *record, struct slice description)
{
    uint8_t *start = buf_reserve(record, OP_BYTES_MAX + description.size);
    uint8_t *at = start;

    *at++ = RECORD_INGEST;
    at = put_string(at, description);
    record->size += (size_t)(at - start);
    record->data[AT_FLAGS] |= FLAG_INGEST;
}

void
record_append_section(struct buf *record, uint32_t shard, uint32_t ops, struct slice bytes,
                      bool has_ingest)
{
    uint8_t *start = buf_reserve(record, OP_BYTES_MAX + bytes.size);
    uint8_t *at = start;

    *at++ = RECORD_SECTION;
    at += put_varint(at, shard);
    at += put_varint(at, ops);
    at = put_string(at, bytes);
    record->size += (size_t)(at - start);
    if (has_ingest) {
        record->data[AT_FLAGS] |= FLAG_INGEST;
    }
}

void
record_finish(uint8_t *record, uint64_t ts, uint32_t ops)
{
    put_le32(record + AT_OPS, ops);
    put_le64(record + AT_TS, ts);
}

/* ---- Decoding. ---- */

static err_t
corrupt(const char *what)
{
    return err_set(ERR_CORRUPT, "log record: %s", what);
}

static bool
get_string(struct record_reader *reader, struct slice *string_out)
{
    uint64_t size;
    size_t used = get_varint(reader->at, reader->end, &size);

    if (used == 0 || size > (uint64_t)(reader->end - reader->at) - used) {
        return false;
    }
    *string_out = slice_of(reader->at + used, (size_t)size);
    reader->at += used + size;
    return true;
}

static bool
get_number(struct record_reader *reader, uint64_t *number_out)
{
    size_t used = get_varint(reader->at, reader->end, number_out);

    reader->at += used;
    return used > 0;
}

static bool
get_slot(struct record_reader *reader, uint16_t *slot_out)
{
    if (reader->end - reader->at < 2) {
        return false;
    }
    *slot_out = get_le16(reader->at);
    reader->at += 2;
    return *slot_out < SLOT_COUNT + SHARDS_MAX; /* Those of shards themselves: txn/txn.h. */
}

static bool
key_is_possible(struct slice key)
{
    return key.size > 0 && key.size <= LSM_KEY_BYTES_MAX;
}

err_t
record_open(struct slice record, struct record_header *header_out, struct record_reader *reader_out)
{
    struct record_reader reader = {.end = record.data + record.size};
    struct record_header header;

    if (record.size < RECORD_FIXED_BYTES) {
        return corrupt("shorter than its header");
    }
    if (record.data[AT_TYPE] != RECORD_COMMIT || record.data[AT_TYPE + 1] != 0 ||
        (get_le16(record.data + AT_FLAGS) & ~FLAG_INGEST) != 0) {
        return err_set(ERR_FORMAT, "log record of unknown type %u.%u, flags 0x%x",
                       record.data[AT_TYPE], record.data[AT_TYPE + 1],
                       get_le16(record.data + AT_FLAGS));
    }
    header.ops = get_le32(record.data + AT_OPS);
    header.ts = get_le64(record.data + AT_TS);
    header.has_ingest = (get_le16(record.data + AT_FLAGS) & FLAG_INGEST) != 0;
    reader.at = record.data + RECORD_FIXED_BYTES;
    reader.ops_left = header.ops;
    reader.may_ingest = header.has_ingest;
    if (!get_string(&reader, &header.principal) || !get_string(&reader, &header.protocol) ||
        !get_string(&reader, &header.tag)) {
        return corrupt("its origin ends early");
    }
    *header_out = header;
    *reader_out = reader;
    return ERR_OK;
}

static err_t
next_put(struct record_reader *reader, struct record_op *op)
{
    if (!get_slot(reader, &op->slot) || !get_number(reader, &op->expire_us) ||
        !get_string(reader, &op->key) || !key_is_possible(op->key)) {
        return corrupt("impossible put");
    }
    if (op->kind == RECORD_PUT) {
        return get_string(reader, &op->value) && op->value.size <= LSM_VALUE_INLINE_BYTES_MAX
                   ? ERR_OK
                   : corrupt("impossible value");
    }
    if (reader->end - reader->at < VLOG_POINTER_BYTES) {
        return corrupt("a pointer ends early");
    }
    op->value = slice_of(reader->at, VLOG_POINTER_BYTES);
    reader->at += VLOG_POINTER_BYTES;
    return ERR_OK;
}

static err_t
next_range(struct record_reader *reader, struct record_op *op)
{
    if (!get_string(reader, &op->key) || !get_string(reader, &op->value) ||
        op->key.size > LSM_KEY_BYTES_MAX || !key_is_possible(op->value) ||
        slice_compare(op->key, op->value) >= 0) {
        return corrupt("impossible range");
    }
    return ERR_OK;
}

static err_t
next_counter(struct record_reader *reader, struct record_op *op)
{
    uint64_t counter;

    if (!get_number(reader, &counter) || counter >= STORE_COUNTERS_MAX ||
        reader->end - reader->at < (ptrdiff_t)sizeof(uint64_t)) {
        return corrupt("impossible counter");
    }
    op->counter = (uint32_t)counter;
    op->number = (int64_t)get_le64(reader->at);
    reader->at += sizeof(uint64_t);
    return ERR_OK;
}

static err_t
next_section(struct record_reader *reader, struct record_op *op)
{
    uint64_t shard, ops;

    if (reader->is_section || !get_number(reader, &shard) || shard >= SHARDS_MAX ||
        !get_number(reader, &ops) || ops > UINT32_MAX || !get_string(reader, &op->value)) {
        return corrupt("impossible section");
    }
    op->counter = (uint32_t)shard;
    op->number = (int64_t)ops;
    return ERR_OK;
}

void
record_section_open(struct slice bytes, uint32_t ops, bool may_ingest,
                    struct record_reader *reader_out)
{
    *reader_out = (struct record_reader){
        .at = bytes.data,
        .end = bytes.data + bytes.size,
        .ops_left = ops,
        .may_ingest = may_ingest,
        .is_section = true,
    };
}

struct slice
record_ops(struct slice record)
{
    struct record_header header;
    struct record_reader reader;
    err_t err = record_open(record, &header, &reader);

    ASSERT(err == ERR_OK);
    return slice_of(reader.at, (size_t)(reader.end - reader.at));
}

err_t
record_next(struct record_reader *reader, struct record_op *op_out)
{
    if (reader->ops_left == 0) {
        return reader->at == reader->end ? ERR_NOT_FOUND : corrupt("bytes behind its last write");
    }
    if (reader->at == reader->end) {
        return corrupt("fewer writes than it says");
    }
    reader->ops_left--;
    op_out->kind = (enum record_kind) * reader->at++;
    switch (op_out->kind) {
    case RECORD_PUT:
    case RECORD_PUT_LARGE:
        return next_put(reader, op_out);
    case RECORD_DELETE:
        op_out->expire_us = 0;
        op_out->value = slice_of(NULL, 0);
        return get_slot(reader, &op_out->slot) && get_string(reader, &op_out->key) &&
                       key_is_possible(op_out->key)
                   ? ERR_OK
                   : corrupt("impossible delete");
    case RECORD_DELETE_RANGE:
        return next_range(reader, op_out);
    case RECORD_COUNTER_ADD:
        return next_counter(reader, op_out);
    case RECORD_SECTION:
        return next_section(reader, op_out);
    case RECORD_INGEST:
        return reader->may_ingest && get_string(reader, &op_out->value)
                   ? ERR_OK
                   : corrupt("impossible ingest");
    }
    return corrupt("unknown kind of write");
}

static err_t
ops_check(struct record_reader *reader)
{
    struct vlog_pointer pointer;
    struct record_op op;
    err_t err;

    while ((err = record_next(reader, &op)) == ERR_OK) {
        if (op.kind == RECORD_PUT_LARGE) {
            TRY(vlog_pointer_decode(op.value, &pointer));
        } else if (op.kind == RECORD_INGEST) {
            TRY(lsm_ingest_check(op.value));
        } else if (op.kind == RECORD_SECTION) {
            struct record_reader section;

            record_section_open(op.value, (uint32_t)op.number, reader->may_ingest, &section);
            TRY(ops_check(&section)); /* Once: a section in a section is corrupt. */
        }
    }
    err = err == ERR_NOT_FOUND ? ERR_OK : err;
out:
    return err;
}

err_t
record_check(struct slice record)
{
    struct record_header header;
    struct record_reader reader;
    err_t err;

    TRY(record_open(record, &header, &reader));
    err = ops_check(&reader);
out:
    return err;
}
