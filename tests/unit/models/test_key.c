/* Tests of models/kv/key.c: the stored form of keys and heads. */
#include "models/kv/key.h"

#include <string.h>

#include <criterion/criterion.h>

TestSuite(key, .timeout = 10);

/* The worked example of docs/format/kv.md. */
Test(key, the_stored_bytes_are_those_of_the_format_document)
{
    static const uint8_t head[] = {0x01, 0, 0, 0, 0, 0x10, 0x2f, 0x96};
    uint8_t out[64];
    uint64_t id = kv_key_id(SLICE("foo"));
    size_t size = kv_key_encode(out, KV_KIND_HEAD, 0, id, SLICE("foo"));

    cr_assert_eq(size, KV_KEY_PREFIX_BYTES + 3);
    cr_expect_arr_eq(out, head, sizeof(head));
    cr_expect_eq(kv_id_slot(id), 12182, "the slot that Redis Cluster gives");
    cr_expect_arr_eq(out + KV_KEY_PREFIX_BYTES, "foo", 3);
}

Test(key, keys_of_one_tag_share_a_slot_and_differ_in_the_rest)
{
    uint64_t a = kv_key_id(SLICE("{user}a"));
    uint64_t b = kv_key_id(SLICE("{user}b"));

    cr_expect_eq(kv_id_slot(a), kv_id_slot(b));
    cr_expect_neq(a, b);
}

Test(key, heads_and_expiry_entries_come_back_as_they_went_in)
{
    static const char *const names[] = {"", "a", "a longer name with {tag}", "\xff\xfe"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct slice name = slice_from_text(names[i]);
        uint64_t id = kv_key_id(name);
        struct kv_key_parts parts;
        uint8_t out[128];
        size_t size = kv_key_encode(out, KV_KIND_PAYLOAD, 7, id, name);

        cr_assert_eq(kv_key_decode(slice_of(out, size), &parts), ERR_OK);
        cr_expect_eq(parts.keyspace, 7);
        cr_expect_eq(parts.kind, KV_KIND_PAYLOAD);
        cr_expect_eq(parts.id, id);
        cr_expect(slice_equal(parts.name, name));
        size = kv_expiry_encode(out, 7, UINT64_C(1700000000123), id, name);
        cr_assert_eq(kv_key_decode(slice_of(out, size), &parts), ERR_OK);
        cr_expect_eq(parts.expire_ms, UINT64_C(1700000000123));
        cr_expect_eq(parts.id, id);
        cr_expect(slice_equal(parts.name, name));
    }
}

Test(key, what_is_no_key_of_the_model_is_refused)
{
    uint8_t out[64];
    struct kv_key_parts parts;
    size_t size = kv_key_encode(out, KV_KIND_HEAD, 0, kv_key_id(SLICE("k")), SLICE("k"));

    for (size_t cut = 0; cut < KV_KEY_PREFIX_BYTES; cut++) {
        cr_expect_eq(kv_key_decode(slice_of(out, cut), &parts), ERR_CORRUPT);
    }
    out[5] = 0x77;
    cr_expect_eq(kv_key_decode(slice_of(out, size), &parts), ERR_CORRUPT);
    out[5] = KV_KIND_EXPIRY;
    cr_expect_eq(kv_key_decode(slice_of(out, size), &parts), ERR_CORRUPT);
    out[5] = KV_KIND_HEAD;
    out[0] = 0x02;
    cr_expect_eq(kv_key_decode(slice_of(out, size), &parts), ERR_CORRUPT);
}

/* SCAN walks ids in order, and active expiry walks times in order. */
Test(key, stored_keys_sort_by_id_and_expiry_entries_by_time)
{
    uint8_t a[64];
    uint8_t b[64];
    size_t a_size = kv_key_lower(a, KV_KIND_HEAD, 1, (UINT64_C(5) << 48) | 9);
    size_t b_size = kv_key_encode(b, KV_KIND_HEAD, 1, (UINT64_C(5) << 48) | 9, SLICE(""));

    cr_expect_leq(slice_compare(slice_of(a, a_size), slice_of(b, b_size)), 0);
    b_size = kv_key_encode(b, KV_KIND_HEAD, 1, UINT64_C(6) << 48, SLICE("x"));
    cr_expect_lt(slice_compare(slice_of(a, a_size), slice_of(b, b_size)), 0);
    a_size = kv_expiry_encode(a, 1, 255, UINT64_C(9) << 48, SLICE("z"));
    b_size = kv_expiry_encode(b, 1, 256, 0, SLICE("a"));
    cr_expect_lt(slice_compare(slice_of(a, a_size), slice_of(b, b_size)), 0);
}

static void
expect_head(const struct kv_head *head, size_t bytes)
{
    uint8_t stored[KV_HEAD_BYTES_MAX + 8];
    struct kv_head back;
    size_t size = kv_head_encode(stored, head);

    cr_assert_eq(size, bytes);
    memcpy(stored + size, "12345678", 8);
    cr_assert_eq(kv_head_decode(slice_of(stored, size + 8), &back), ERR_OK);
    cr_expect_eq(back.flags, head->flags);
    cr_expect_eq(back.expire_ms, head->expire_ms);
    cr_expect_eq(back.access, head->access);
    cr_expect_eq(back.access_is_frequency, head->access_is_frequency);
    cr_expect_eq(back.body.size, 8);
    for (size_t cut = 0; cut < size; cut++) {
        cr_expect_eq(kv_head_decode(slice_of(stored, cut), &back), ERR_CORRUPT);
    }
}

Test(key, heads_hold_what_their_flags_say_and_shorter_ones_are_corrupt)
{
    expect_head(&(struct kv_head){.type = KV_STRING}, 2);
    expect_head(&(struct kv_head){.flags = KV_HEAD_EXPIRES, .expire_ms = UINT64_C(1) << 50}, 10);
    expect_head(&(struct kv_head){.flags = KV_HEAD_EXPIRES | KV_HEAD_ACCESS,
                                  .expire_ms = 5,
                                  .access = 77,
                                  .access_is_frequency = 1},
                15);
}

Test(key, a_large_strings_head_has_its_length_and_nothing_else)
{
    uint8_t stored[2 + 8] = {KV_STRING, KV_HEAD_PAYLOAD};
    struct kv_head head;

    put_le64(stored + 2, 1 << 20);
    cr_assert_eq(kv_head_decode(slice_of(stored, sizeof(stored)), &head), ERR_OK);
    cr_expect_eq(head.length, 1 << 20);
    cr_expect_eq(kv_head_decode(slice_of(stored, sizeof(stored) - 1), &head), ERR_CORRUPT);
    stored[1] = 0x80;
    cr_expect_eq(kv_head_decode(slice_of(stored, sizeof(stored)), &head), ERR_CORRUPT);
}
