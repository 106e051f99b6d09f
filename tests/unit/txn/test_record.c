/* tests/unit/txn/test_record.c - a commit's log record. */
#include <criterion/criterion.h>

#include "lsm/vlog.h"
#include "txn/record.h"
#include "txn/store.h"

static const struct slice none;

static void
section_append(struct buf *record)
{
    struct buf other;

    buf_init(&other, MEM_SESSIONS);
    record_begin(&other, SLICE("its origin does not travel"), none, none);
    record_append_put(&other, 8, SLICE("there"), SLICE("value"), 0);
    record_append_counter(&other, 1, INT64_MIN);
    record_append_section(record, 3, 2, record_ops(buf_slice(&other)), false);
    buf_fini(&other);
}

static void
sample(struct buf *record)
{
    static const struct vlog_pointer pointer = {
        .file_number = 3, .offset = 8192, .bytes = 100000, .checksum = 9};
    uint32_t at;

    buf_init(record, MEM_SESSIONS);
    record_begin(record, SLICE("alice"), SLICE("resp"), SLICE("SET"));
    record_append_put(record, 7, SLICE("key"), SLICE("value"), 123456789);
    record_append_put(record, 16383, SLICE("k"), none, 0);
    at = record_append_put_large(record, 9, SLICE("big"), 5);
    vlog_pointer_encode(&pointer, record->data + at);
    record_append_delete(record, 0, SLICE("gone"));
    record_append_delete_range(record, SLICE("a"), SLICE("b"));
    record_append_counter(record, 1023, -5);
    section_append(record);
    record_finish(record->data, 777, 7);
}

static struct record_op
next(struct record_reader *reader)
{
    struct record_op op = {0};

    cr_assert_eq(record_next(reader, &op), ERR_OK);
    return op;
}

Test(record, every_write_comes_back_as_it_was)
{
    struct record_header header;
    struct record_reader reader;
    struct record_op op;
    struct buf record;

    sample(&record);
    cr_assert_eq(record_check(buf_slice(&record)), ERR_OK);
    cr_assert_eq(record_open(buf_slice(&record), &header, &reader), ERR_OK);
    cr_assert_eq(header.ts, 777);
    cr_assert_eq(header.ops, 7);
    cr_assert(slice_equal(header.principal, SLICE("alice")));
    cr_assert(slice_equal(header.protocol, SLICE("resp")));
    cr_assert(slice_equal(header.tag, SLICE("SET")));

    op = next(&reader);
    cr_assert_eq(op.kind, RECORD_PUT);
    cr_assert_eq(op.slot, 7);
    cr_assert_eq(op.expire_us, 123456789);
    cr_assert(slice_equal(op.key, SLICE("key")));
    cr_assert(slice_equal(op.value, SLICE("value")));
    op = next(&reader);
    cr_assert_eq(op.slot, 16383);
    cr_assert_eq(op.value.size, 0);
    op = next(&reader);
    cr_assert_eq(op.kind, RECORD_PUT_LARGE);
    cr_assert_eq(op.value.size, VLOG_POINTER_BYTES);
    op = next(&reader);
    cr_assert_eq(op.kind, RECORD_DELETE);
    cr_assert(slice_equal(op.key, SLICE("gone")));
    op = next(&reader);
    cr_assert_eq(op.kind, RECORD_DELETE_RANGE);
    cr_assert(slice_equal(op.key, SLICE("a")));
    cr_assert(slice_equal(op.value, SLICE("b")));
    op = next(&reader);
    cr_assert_eq(op.kind, RECORD_COUNTER_ADD);
    cr_assert_eq(op.counter, 1023);
    cr_assert_eq(op.number, -5);
    op = next(&reader);
    cr_assert_eq(op.kind, RECORD_SECTION);
    cr_assert_eq(op.counter, 3);
    cr_assert_eq(record_next(&reader, &op), ERR_NOT_FOUND);
    record_section_open(op.value, (uint32_t)op.number, false, &reader);
    op = next(&reader);
    cr_assert_eq(op.kind, RECORD_PUT);
    cr_assert(slice_equal(op.key, SLICE("there")));
    op = next(&reader);
    cr_assert_eq(op.kind, RECORD_COUNTER_ADD);
    cr_assert_eq(op.number, INT64_MIN);
    cr_assert_eq(record_next(&reader, &op), ERR_NOT_FOUND);
    buf_fini(&record);
}

Test(record, a_record_cut_anywhere_is_refused_and_not_read_beyond_its_end)
{
    struct buf record;

    sample(&record);
    for (size_t size = 0; size < record.size; size++) {
        uint8_t *copy = mem_alloc(MEM_SESSIONS, size); /* So that a sanitizer sees its end. */

        memcpy(copy, record.data, size);
        cr_assert_eq(record_check(slice_of(copy, size)), ERR_CORRUPT, "%zu bytes", size);
        mem_free(MEM_SESSIONS, copy, size);
    }
    buf_append_byte(&record, 0);
    cr_assert_eq(record_check(buf_slice(&record)), ERR_CORRUPT, "a byte too many");
    buf_fini(&record);
}

Test(record, changed_bytes_never_harm)
{
    struct buf record;

    sample(&record);
    for (size_t i = 0; i < record.size; i++) {
        for (unsigned value = 0; value < 256; value += 5) {
            uint8_t kept = record.data[i];

            record.data[i] = (uint8_t)value;
            (void)record_check(buf_slice(&record)); /* Any answer, within bounds. */
            record.data[i] = kept;
        }
    }
    cr_assert_eq(record_check(buf_slice(&record)), ERR_OK);
    buf_fini(&record);
}

Test(record, an_unknown_type_is_a_question_of_format)
{
    struct buf record;

    sample(&record);
    record.data[0] = 2;
    cr_assert_eq(record_check(buf_slice(&record)), ERR_FORMAT);
    buf_fini(&record);
}

/* ---- Building. ---- */

Test(store_batch, a_batch_is_empty_until_its_first_write_and_after_clear)
{
    struct store_batch batch;

    store_batch_init(&batch);
    cr_assert_eq(batch.ops, 0);
    cr_assert_eq(batch.record.size, 0);
    store_batch_put(&batch, 1, SLICE("k"), SLICE("v"), 0);
    cr_assert_eq(batch.ops, 1);
    record_finish(batch.record.data, 1, batch.ops);
    cr_assert_eq(record_check(buf_slice(&batch.record)), ERR_OK);
    store_batch_clear(&batch);
    cr_assert_eq(batch.ops, 0);
    cr_assert_eq(batch.record.size, 0);
    store_batch_fini(&batch);
}

Test(store_batch, impossible_keys_are_kept_as_the_error_of_the_batch)
{
    static uint8_t long_key[LSM_KEY_BYTES_MAX + 1];
    struct store_batch batch;

    store_batch_init(&batch);
    store_batch_put(&batch, 1, none, SLICE("v"), 0);
    cr_assert_eq(batch.error, ERR_INVALID);
    store_batch_put(&batch, 1, SLICE("k"), SLICE("v"), 0);
    cr_assert_eq(batch.ops, 0, "nothing follows an error");
    store_batch_clear(&batch);
    cr_assert_eq(batch.error, ERR_OK);
    store_batch_delete(&batch, 1, slice_of(long_key, sizeof(long_key)));
    cr_assert_eq(batch.error, ERR_LIMIT);
    store_batch_clear(&batch);
    store_batch_delete(&batch, 1, slice_of(long_key, sizeof(long_key) - 1));
    cr_assert_eq(batch.error, ERR_OK);
    store_batch_fini(&batch);
}

Test(store_batch, an_empty_range_is_no_write)
{
    struct store_batch batch;

    store_batch_init(&batch);
    store_batch_delete_range(&batch, SLICE("b"), SLICE("a"));
    store_batch_delete_range(&batch, SLICE("a"), SLICE("a"));
    cr_assert_eq(batch.ops, 0);
    cr_assert_eq(batch.error, ERR_OK);
    store_batch_fini(&batch);
}

Test(store_batch, a_batch_is_bounded)
{
    static uint8_t value[LSM_VALUE_INLINE_BYTES_MAX];
    struct store_batch batch;

    store_batch_init(&batch);
    for (uint32_t i = 0; i < 2 * STORE_BATCH_BYTES_MAX / sizeof(value); i++) {
        store_batch_put(&batch, 1, SLICE("k"), slice_of(value, sizeof(value)), 0);
    }
    cr_assert_eq(batch.error, ERR_LIMIT);
    cr_assert_leq(batch.record.size, STORE_BATCH_BYTES_MAX);
    store_batch_fini(&batch);
}

Test(store_batch, large_values_are_borrowed_and_bounded_in_number)
{
    static uint8_t value[LSM_VALUE_INLINE_BYTES_MAX + 1];
    struct store_batch batch;

    store_batch_init(&batch);
    for (uint32_t i = 0; i < STORE_LARGE_MAX; i++) {
        store_batch_put(&batch, 1, SLICE("k"), slice_of(value, sizeof(value)), 0);
    }
    cr_assert_eq(batch.error, ERR_OK);
    cr_assert_eq(batch.large_count, STORE_LARGE_MAX);
    cr_assert_eq(batch.large[17].value.data, value);
    cr_assert_lt(batch.record.size, STORE_LARGE_MAX * 64);
    store_batch_put(&batch, 1, SLICE("k"), slice_of(value, sizeof(value)), 0);
    cr_assert_eq(batch.error, ERR_LIMIT);
    store_batch_fini(&batch);
}

Test(store_batch, the_origin_stands_in_the_record)
{
    struct record_header header;
    struct record_reader reader;
    struct store_batch batch;

    store_batch_init(&batch);
    store_batch_origin(&batch, SLICE("bob"), SLICE("sql"), none);
    cr_assert_eq(batch.ops, 0);
    store_batch_delete(&batch, 1, SLICE("k"));
    record_finish(batch.record.data, 1, batch.ops);
    cr_assert_eq(record_open(buf_slice(&batch.record), &header, &reader), ERR_OK);
    cr_assert(slice_equal(header.principal, SLICE("bob")));
    store_batch_fini(&batch);
}
