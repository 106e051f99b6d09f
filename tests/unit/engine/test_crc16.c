/* tests/unit/engine/test_crc16.c - slots, against the values that Redis Cluster gives. */
#include <criterion/criterion.h>

#include "engine/base/crc16.h"

Test(crc16, check_value_is_that_of_xmodem)
{
    cr_assert_eq(crc16(SLICE("123456789")), 0x31c3);
    cr_assert_eq(crc16(SLICE("")), 0);
}

Test(crc16, slots_are_those_of_redis_cluster)
{
    cr_assert_eq(slot_of_key(SLICE("foo")), 12182);
    cr_assert_eq(slot_of_key(SLICE("")), 0);
    cr_assert_eq(slot_of_key(SLICE("somekey")), 11058);
}

Test(crc16, keys_of_one_tag_share_a_slot)
{
    cr_assert_eq(slot_of_key(SLICE("foo{hash_tag}")), 2515);
    cr_assert_eq(slot_of_key(SLICE("bar{hash_tag}x")), 2515);
    cr_assert_eq(slot_of_key(SLICE("{hash_tag}")), slot_of_key(SLICE("hash_tag")));
}

Test(crc16, only_the_first_pair_of_braces_with_bytes_between_is_a_tag)
{
    uint16_t whole = crc16(SLICE("foo{}{bar}")) & (SLOT_COUNT - 1);

    cr_assert_eq(slot_of_key(SLICE("foo{}{bar}")), whole);
    cr_assert_eq(slot_of_key(SLICE("foo{{bar}}zap")), slot_of_key(SLICE("{bar")));
    cr_assert_eq(slot_of_key(SLICE("foo{bar}{zap}")), slot_of_key(SLICE("bar")));
    cr_assert_eq(slot_of_key(SLICE("foo{bar")), crc16(SLICE("foo{bar")) & (SLOT_COUNT - 1));
}
