/* Tests of models/kv/notify.c: which events commands raise, in which order, and when. */
#include <stdio.h>

#include "engine/rt/msg.h"
#include "tests/unit/models/kv_fixture.h"

TestSuite(kv_notify, .timeout = 60);

enum { HEARD_BYTES_MAX = 4096 };

/* What was published since the last look: "set:key expire:key 3/del:key", of other databases than 0
 * with their number. */
static char heard[HEARD_BYTES_MAX];
static size_t heard_size;

static YIELDS void
hear(const struct kv_event *events, lsn_t lsn)
{
    (void)lsn;
    for (; events != NULL; events = events->next) {
        char db[16] = "";

        if (events->db != 0) {
            snprintf(db, sizeof(db), "%u/", events->db);
        }
        heard_size += (size_t)snprintf(heard + heard_size, sizeof(heard) - heard_size,
                                       "%s%s%s:%.*s", heard_size > 0 ? " " : "", db, events->event,
                                       (int)events->name.size, (const char *)events->name.data);
        cr_assert_lt(heard_size, sizeof(heard));
    }
}

static YIELDS void
hear_here(void *arg)
{
    struct kv_config *config = kv_config(kv_self());

    config->event_classes = *(uint32_t *)arg;
    config->publish = hear;
}

static YIELDS void
fixture_open(uint32_t classes)
{
    uint32_t all[SIM_SHARDS_MAX];

    kv_fixture_open();
    for (uint32_t i = 0; i < SIM_SHARDS_MAX; i++) {
        all[i] = classes;
    }
    msg_call_all(MSG_FIBER, hear_here, all, sizeof(all[0]));
    heard_size = 0;
    heard[0] = '\0';
}

static void
heard_expect(int line, const char *text)
{
    cr_assert_str_eq(heard, text, "line %d: '%s' instead of '%s'", line, heard, text);
    heard_size = 0;
    heard[0] = '\0';
}
#define HEARD(text) heard_expect(__LINE__, (text))

#define RUNS(text, ...)                                                                            \
    do {                                                                                           \
        (void)CALL(__VA_ARGS__);                                                                   \
        HEARD(text);                                                                               \
    } while (0)

FIBER_TEST_ON(kv_notify, strings_tell_what_was_done, 2)
{
    fixture_open(KV_EVENT_ALL);
    RUNS("set:a", "SET", "a", "1");
    RUNS("set:a expire:a", "SET", "a", "1", "EX", "100");
    RUNS("", "SET", "a", "1", "NX");
    RUNS("set:a expire:a", "SETEX", "a", "100", "1");
    RUNS("incrby:a", "INCR", "a");
    RUNS("incrbyfloat:a", "INCRBYFLOAT", "a", "1.5");
    RUNS("append:a", "APPEND", "a", "x");
    RUNS("setrange:a", "SETRANGE", "a", "1", "y");
    RUNS("", "GET", "a");
    RUNS("set:b set:c set:b", "MSET", "b", "1", "c", "2", "b", "3");
    RUNS("expire:a", "GETEX", "a", "EX", "10");
    RUNS("persist:a", "GETEX", "a", "PERSIST");
    RUNS("", "GETEX", "a", "PERSIST");
    RUNS("del:a", "GETDEL", "a");
    RUNS("", "GETDEL", "a");
    RUNS("setbit:bits", "SETBIT", "bits", "3", "1");
    RUNS("set:d", "BITOP", "NOT", "d", "bits");
    RUNS("del:d", "BITOP", "AND", "d", "nothing");
    RUNS("setbit:bits", "BITFIELD", "bits", "SET", "u8", "0", "7");
    RUNS("pfadd:h", "PFADD", "h", "x");
    RUNS("", "PFADD", "h", "x");
    kv_fixture_close();
}

FIBER_TEST_ON(kv_notify, an_emptied_collection_is_deleted_after_its_own_event, 2)
{
    fixture_open(KV_EVENT_ALL);
    RUNS("hset:h", "HSET", "h", "f", "1", "g", "2");
    RUNS("hincrby:h", "HINCRBY", "h", "f", "2");
    RUNS("hdel:h", "HDEL", "h", "f", "x");
    RUNS("", "HDEL", "h", "x");
    RUNS("hdel:h del:h", "HDEL", "h", "g");
    RUNS("sadd:s", "SADD", "s", "a", "b");
    RUNS("", "SADD", "s", "a");
    RUNS("srem:s sadd:t", "SMOVE", "s", "t", "a");
    RUNS("srem:s del:s sadd:t", "SMOVE", "s", "t", "b");
    RUNS("sunionstore:u", "SUNIONSTORE", "u", "t");
    RUNS("del:u", "SINTERSTORE", "u", "t", "nothing");
    RUNS("spop:t del:t", "SPOP", "t", "5");
    RUNS("rpush:l", "RPUSH", "l", "1", "2", "3");
    RUNS("linsert:l", "LINSERT", "l", "BEFORE", "2", "x");
    RUNS("lset:l", "LSET", "l", "0", "y");
    RUNS("lpop:l", "LPOP", "l");
    RUNS("lpush:m rpop:l", "RPOPLPUSH", "l", "m");
    RUNS("ltrim:l", "LTRIM", "l", "0", "0");
    RUNS("lrem:l del:l", "LREM", "l", "0", "x");
    RUNS("rpop:m del:m", "LMPOP", "1", "m", "RIGHT");
    kv_fixture_close();
}

FIBER_TEST_ON(kv_notify, keys_tell_where_they_went, 2)
{
    fixture_open(KV_EVENT_ALL);
    RUNS("set:a", "SET", "a", "1");
    RUNS("rename_from:a rename_to:b", "RENAME", "a", "b");
    RUNS("copy_to:c", "COPY", "b", "c");
    RUNS("3/copy_to:c", "COPY", "b", "c", "DB", "3");
    RUNS("move_from:b 2/move_to:b", "MOVE", "b", "2");
    RUNS("expire:c", "EXPIRE", "c", "100");
    RUNS("persist:c", "PERSIST", "c");
    RUNS("del:c", "EXPIRE", "c", "-1");
    RUNS("", "DEL", "c", "nothing");
    RUNS("set:a set:b", "MSET", "a", "1", "b", "2");
    RUNS("del:a del:b", "DEL", "a", "b", "a");
    kv_fixture_close();
}

FIBER_TEST_ON(kv_notify, misses_and_new_keys_are_told_when_asked_for, 2)
{
    fixture_open(KV_EVENT_KEY_MISS | KV_EVENT_NEW | KV_EVENT_STRING);
    RUNS("keymiss:a", "GET", "a");
    RUNS("new:a set:a", "SET", "a", "1");
    RUNS("set:a", "SET", "a", "1");
    RUNS("", "GET", "a");
    kv_fixture_close();
}

FIBER_TEST_ON(kv_notify, a_class_that_nobody_asked_for_is_silent, 2)
{
    fixture_open(KV_EVENT_GENERIC);
    RUNS("", "SET", "a", "1");
    RUNS("expire:a", "EXPIRE", "a", "100");
    kv_fixture_close();
}

FIBER_TEST_ON(kv_notify, what_failed_is_not_told, 2)
{
    fixture_open(KV_EVENT_ALL | KV_EVENT_KEY_MISS);
    RUNS("set:a", "SET", "a", "text");
    RUNS("", "INCR", "a");
    RUNS("", "SADD", "a", "x");
    RUNS("", "RENAME", "nothing", "b");
    kv_fixture_close();
}

/* Goal: expiry is told once, whoever meets the key first. */
FIBER_TEST_ON(kv_notify, an_expired_key_is_told_before_what_comes_in_its_place, 2)
{
    fixture_open(KV_EVENT_ALL);
    RUNS("set:a expire:a", "SET", "a", "1", "PX", "5");
    RUNS("set:b expire:b", "SET", "b", "1", "PX", "5");
    cr_assert_eq(fiber_sleep_us(20000), ERR_OK);
    RUNS("expired:a set:a", "SET", "a", "2");
    RUNS("expired:b", "GET", "b");
    RUNS("", "GET", "b");
    kv_fixture_close();
}

Test(kv_notify, letters_are_read_and_written_as_redis_does)
{
    char text[KV_EVENT_FLAGS_TEXT_BYTES];
    uint32_t classes;

    cr_assert(kv_event_flags_parse(slice_from_text("KEA"), &classes));
    kv_event_flags_text(classes, text);
    cr_assert_str_eq(text, "AKE");
    cr_assert(kv_event_flags_parse(slice_from_text("Kl$g"), &classes));
    kv_event_flags_text(classes, text);
    cr_assert_str_eq(text, "g$lK");
    cr_assert_not(kv_event_flags_parse(slice_from_text("KQ"), &classes));
    cr_assert(kv_event_flags_parse(slice_from_text(""), &classes));
    cr_assert_eq(classes, 0);
}
