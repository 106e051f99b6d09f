/* tests/unit/txn/sessions.h - several sessions whose statements are interleaved by a script.
 *
 * A line of a script names a session, a command and what comes of it at each isolation level. It
 * is run when the sessions before it have ended or wait; what had waited and ends by it is told
 * behind it: "ok; 2: serialization" says that the command was done, and that the one for which
 * session 2 waited was refused.
 *
 *     {"1 put x 11", {"ok"}},                         the same at every level
 *     {"2 put x 12", {"waits"}},
 *     {"1 commit", {"ok; 2: ok", "ok; 2: serialization"}},      the last one given holds for all
 *                                                               levels above it
 *
 * Commands (keys x and z lie on the first shard, y and w on the last; values are numbers; at the
 * begin x is 10 and y is 20):
 *     get KEY              its value, or "none"
 *     scan [%N | =N]       "x=10 y=20" of all keys, in order; only multiples of N, or what is N
 *     put KEY N, delete KEY
 *     lock KEY [nowait]    as FOR UPDATE
 *     add KEY N            locks, reads what is newest at the level, writes the sum
 *     add-all N            the same to all keys that a scan finds
 *     delete-where N       of keys that a scan finds with the value N, those that still have it
 *                          once they are locked
 *     savepoint, rollback  one savepoint, and back to it
 *     commit, abort
 *     sleep MS             of no transaction
 *     as-of S              begins the next transaction at the snapshot that session S has
 * A transaction begins with the first command of a session; each command is a statement. */
#pragma once

#include <stdint.h>

#include "txn/txn.h"

enum { SCRIPT_LEVELS = 3, SCRIPT_SESSIONS_MAX = 4, SCRIPT_TEXT_BYTES = 256 };

struct script_line {
    const char *command; /* "SESSION WORD..." */
    const char *outcomes[SCRIPT_LEVELS];
};

/* Run body(arg) in a fiber of shard 0 of a simulated world in which every shard has a store and
 * transactions; nothing may be left of them. */
void shards_run(uint32_t shards, err_t (*body)(void *arg), void *arg);

/* At every level, with one shard and with two: session s has its home on shard s % shards. */
void script_run(const struct script_line *lines, uint32_t count);
#define SCRIPT(...)                                                                                \
    do {                                                                                           \
        static const struct script_line script[] = {__VA_ARGS__};                                  \
        script_run(script, sizeof(script) / sizeof(script[0]));                                    \
    } while (0)
