/* tests/unit/models/kv_fixture.h - the kv model over a store of the simulator, and commands for it.
 *
 *     FIBER_TEST(kv_string, ...)
 *     {
 *         kv_fixture_open();
 *         EXPECT("+OK\r\n", "SET", "key", "value");
 *         kv_fixture_close();
 *     }
 *
 * With several shards (FIBER_TEST_ON) a command runs where its keys lie, as net/ would do it. */
#pragma once

#include "models/kv/internal.h"
#include "tests/lib/fiber_test.h"

struct kv_fixture {
    uint32_t db;  /* Of the commands that follow. */
    uint8_t resp; /* The same. */
    lsn_t lsn;    /* What the last command's reply would wait for. */
    struct kv_config config;
    bool is_checked; /* Counters are compared with the keys at the end (default). */
};
extern struct kv_fixture fixture;

YIELDS void kv_fixture_open(void);
/* Also checks that counters, heads, payloads and expiry entries fit together. */
YIELDS void kv_fixture_close(void);
/* Close and open again: what was acknowledged has to be there. */
YIELDS void kv_fixture_reopen(void);

/* Runs the words and returns the reply; valid until the fourth call from here. */
YIELDS struct slice kv_call(const struct slice *words, uint32_t count);
YIELDS struct slice kv_call_texts(const char *const *words);
YIELDS void kv_expect(int line, const char *reply, const char *const *words);
/* The number in an integer reply. */
YIELDS int64_t kv_number(const char *const *words);
/* Assert the invariants over all shards now. */
YIELDS void kv_check(void);

#define WORDS(...)         ((const char *const[]){__VA_ARGS__, NULL})
#define CALL(...)          kv_call_texts(WORDS(__VA_ARGS__))
#define EXPECT(reply, ...) kv_expect(__LINE__, (reply), WORDS(__VA_ARGS__))
#define NUMBER(...)        kv_number(WORDS(__VA_ARGS__))
