/* Tests of models/kv/evict.c: which keys go, and when. What is counted is compared with the keys
 * at the end of every test of the model (kv_check). */
#include <stdio.h>

#include "tests/unit/models/kv_fixture.h"

TestSuite(kv_evict, .timeout = 60);

enum { KEYS = 200, VALUE_BYTES = 100 };

/* Keys k0, k1, ...; every second with an expiry, later ones expire later. */
static void
fill(void)
{
    char value[VALUE_BYTES + 1];

    memset(value, 'v', VALUE_BYTES);
    value[VALUE_BYTES] = '\0';
    for (uint32_t i = 0; i < KEYS; i++) {
        char name[16], seconds[16];

        snprintf(name, sizeof(name), "k%u", i);
        snprintf(seconds, sizeof(seconds), "%u", 1000 + i);
        if (i % 2 == 0) {
            EXPECT("+OK\r\n", "SET", name, value);
        } else {
            EXPECT("+OK\r\n", "SET", name, value, "EX", seconds);
        }
    }
}

/* To half of what is there. */
static bool
squeeze(enum kv_eviction policy)
{
    struct kv *kv = kv_self();

    kv_config(kv)->eviction = policy;
    kv_config(kv)->lfu = policy == KV_EVICT_ALLKEYS_LFU;
    kv_config(kv)->memory_bytes_max = kv_memory_counted(kv) / 2;
    return kv_memory_make_room(kv);
}

FIBER_TEST(kv_evict, what_counts_is_names_and_values)
{
    uint64_t before;

    kv_fixture_open();
    before = kv_memory_counted(kv_self());
    EXPECT("+OK\r\n", "SET", "key", "value");
    cr_assert_eq(kv_memory_counted(kv_self()) - before, KV_COUNTED_KEY_BYTES + 8);
    EXPECT(":10\r\n", "APPEND", "key", "12345");
    cr_assert_eq(kv_memory_counted(kv_self()) - before, KV_COUNTED_KEY_BYTES + 13);
    EXPECT(":65536\r\n", "SETRANGE", "key", "65535", "x");
    cr_assert_eq(kv_memory_counted(kv_self()) - before, KV_COUNTED_KEY_BYTES + 3 + 8 + 65536);
    EXPECT("+OK\r\n", "RENAME", "key", "longer");
    EXPECT(":1\r\n", "DEL", "longer");
    cr_assert_eq(kv_memory_counted(kv_self()), before);
    for (uint32_t i = 0; i < 1000; i++) {
        char member[16];

        snprintf(member, sizeof(member), "%u", i);
        EXPECT(":1\r\n", "SADD", "set", member);
    }
    cr_assert_geq(kv_memory_counted(kv_self()) - before, 1000 * KV_COUNTED_ELEMENT_BYTES);
    EXPECT("+OK\r\n", "FLUSHALL");
    cr_assert_eq(kv_memory_counted(kv_self()), before);
    kv_fixture_close();
}

FIBER_TEST(kv_evict, without_a_policy_nothing_goes)
{
    kv_fixture_open();
    fill();
    cr_assert_not(squeeze(KV_EVICT_NONE));
    cr_assert_eq(NUMBER("DBSIZE"), KEYS);
    kv_config(kv_self())->memory_bytes_max = 0;
    cr_assert(kv_memory_make_room(kv_self()));
    kv_fixture_close();
}

FIBER_TEST(kv_evict, keys_go_until_there_is_room)
{
    static const enum kv_eviction policies[] = {KV_EVICT_ALLKEYS_LRU, KV_EVICT_ALLKEYS_LFU,
                                                KV_EVICT_ALLKEYS_RANDOM};

    for (size_t i = 0; i < ARRAY_COUNT(policies); i++) {
        kv_fixture_open();
        fill();
        cr_assert(squeeze(policies[i]));
        cr_assert_leq(kv_memory_counted(kv_self()), kv_config(kv_self())->memory_bytes_max);
        cr_assert_gt(NUMBER("DBSIZE"), KEYS / 2 - 10);
        cr_assert_lt(NUMBER("DBSIZE"), KEYS / 2 + 10);
        kv_fixture_close();
    }
}

FIBER_TEST(kv_evict, volatile_policies_leave_keys_without_an_expiry)
{
    static const enum kv_eviction policies[] = {KV_EVICT_VOLATILE_LRU, KV_EVICT_VOLATILE_LFU,
                                                KV_EVICT_VOLATILE_RANDOM, KV_EVICT_VOLATILE_TTL};

    for (size_t i = 0; i < ARRAY_COUNT(policies); i++) {
        kv_fixture_open();
        fill();
        (void)squeeze(policies[i]);
        for (uint32_t key = 0; key < KEYS; key += 2) {
            char name[16];

            snprintf(name, sizeof(name), "k%u", key);
            cr_assert_eq(NUMBER("EXISTS", name), 1, "%s", name);
        }
        cr_assert_lt(NUMBER("DBSIZE"), KEYS / 2 + 10);
        /* And when none is left that may go, there is no room. */
        kv_config(kv_self())->memory_bytes_max = 1;
        cr_assert_not(kv_memory_make_room(kv_self()));
        cr_assert_eq(NUMBER("DBSIZE"), KEYS / 2);
        kv_fixture_close();
    }
}

FIBER_TEST(kv_evict, the_one_that_expires_first_goes_first)
{
    kv_fixture_open();
    fill();
    kv_config(kv_self())->eviction = KV_EVICT_VOLATILE_TTL;
    kv_config(kv_self())->memory_bytes_max = kv_memory_counted(kv_self()) - 1;
    cr_assert(kv_memory_make_room(kv_self()));
    cr_assert_eq(NUMBER("EXISTS", "k1"), 0);
    cr_assert_eq(NUMBER("DBSIZE"), KEYS - 1);
    kv_fixture_close();
}

FIBER_TEST(kv_evict, what_was_read_lately_stays)
{
    uint32_t kept = 0;

    kv_fixture_open();
    fill();
    cr_assert_eq(fiber_sleep_us(20000000), ERR_OK);
    for (uint32_t i = 0; i < 40; i++) {
        char name[16];

        snprintf(name, sizeof(name), "k%u", i);
        CALL("GET", name);
    }
    cr_assert(squeeze(KV_EVICT_ALLKEYS_LRU));
    for (uint32_t i = 0; i < 40; i++) {
        char name[16];

        snprintf(name, sizeof(name), "k%u", i);
        kept += NUMBER("EXISTS", name) == 1;
    }
    cr_assert_geq(kept, 36, "%u of the 40 that were read are left", kept);
    kv_fixture_close();
}
