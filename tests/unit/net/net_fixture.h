/* tests/unit/net/net_fixture.h - stores, models and net/ on the shards of a simulated world, and
 * sessions without a socket that send requests through the dispatcher.
 *
 *     FIBER_TEST_ON(config, ..., 2)
 *     {
 *         net_fixture_open();
 *         EXPECT("+OK\r\n", "CONFIG", "SET", "timeout", "5");
 *         net_fixture_close();
 *     } */
#pragma once

#include "net/net.h"
#include "net/session.h"
#include "tests/lib/fiber_test.h"

struct net_fixture {
    struct server_options options; /* Change them before net_fixture_open_with. */
    struct session *session;       /* On shard 0; that of the commands below. */
};
extern struct net_fixture fixture;

YIELDS void net_fixture_open(void);
/* The options of net_fixture_open, to be changed. */
void net_fixture_options(void);
YIELDS void net_fixture_open_with(void);
YIELDS void net_fixture_close(void);

/* One request of fixture.session; the reply is valid until the next call. */
YIELDS struct slice net_call(const struct slice *words, uint32_t count);
YIELDS struct slice net_call_texts(const char *const *words);
/* The same from a session of another shard; NUL-terminated, valid until the next call of any. */
YIELDS struct slice net_call_on(uint32_t shard, const char *const *words);
YIELDS void net_expect(int line, const char *reply, const char *const *words);
/* Is the text somewhere in the reply? */
YIELDS void net_expect_part(int line, const char *part, bool is_wanted, const char *const *words);
YIELDS int64_t net_number(const char *const *words);

#define WORDS(...)             ((const char *const[]){__VA_ARGS__, NULL})
#define CALL(...)              net_call_texts(WORDS(__VA_ARGS__))
#define CALL_ON(shard, ...)    net_call_on((shard), WORDS(__VA_ARGS__))
#define EXPECT(reply, ...)     net_expect(__LINE__, (reply), WORDS(__VA_ARGS__))
#define EXPECT_PART(part, ...) net_expect_part(__LINE__, (part), true, WORDS(__VA_ARGS__))
#define EXPECT_NOT(part, ...)  net_expect_part(__LINE__, (part), false, WORDS(__VA_ARGS__))
#define NUMBER(...)            net_number(WORDS(__VA_ARGS__))
