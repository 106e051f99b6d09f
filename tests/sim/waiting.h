/* tests/sim/waiting.h - clients of Redis commands that may wait for a key (BLPOP and the like).
 *
 * The part of net/blocking.c that the simulator has no sockets for: a command that finds nothing
 * registers at the shards of its keys, runs once more, and is parked until one of them wakes it,
 * its time has come, or its client goes. It runs where net would run it: on the shard of its keys,
 * or on the client's own when they lie on several. */
#pragma once

#include "models/kv/kv.h"
#include "tests/sim/run.h"

enum { WAITING_WORDS_MAX = 24, WAITING_TEXT_BYTES = 512 };

struct waiting {
    struct run *run;
    uint32_t shard; /* Where its fiber runs. */
    bool is_sync;   /* An answer waits until what it tells of is durable. */
    bool is_leaving;
    bool is_parked; /* It waits with nothing to do. */
    bool is_woken;
    uint64_t ticket; /* Of the present wait; 0: none. */
    uint32_t waits;  /* Begun ever; a part of the ticket. */
    uint32_t index;  /* In all clients of the run. */
    struct cond cond;
    uint8_t at_shard[SIM_SHARDS_MAX]; /* enum waiting_place, or-ed. */
    char words[WAITING_TEXT_BYTES];
    struct slice argv[WAITING_WORDS_MAX];
    uint32_t argc;
    uint64_t now_ms; /* What the last run took as the time. */
    char *answer;    /* Ends with a zero; freed by waiting_fini and the next call. */
};

/* The clients of a run, whom shards wake by their index. The scenario's; outlives the world. */
struct waiting_clients {
    struct waiting *at;
    uint32_t count;
    uint32_t producers; /* The first of them: they do not wait. */
    uint32_t running;   /* Fibers: the scenario counts them. */
};

/* ---- Shards with store, transactions and kv ---- */

/* Sizes, so small that everything happens; not the durability. */
void waiting_options_draw(struct run *run, struct store_options *options);
/* Starts a life. The options stay the caller's until its end. */
void waiting_start(struct run *run, const struct store_options *options,
                   struct waiting_clients *clients);
/* Ends it in order; no client may be left. */
void waiting_stop(struct run *run);

/* ---- Clients ---- */

/* Before its fiber runs. */
void waiting_init(struct waiting *waiting, struct run *run, uint32_t index, uint32_t shard);
/* In its fiber, which must not wait. */
void waiting_fini(struct waiting *waiting);
/* Runs the command, its words separated by spaces, and returns its answer; NULL: the client has
 * left while it waited. May_wait: as in a session, not as in EXEC. */
YIELDS const char *waiting_call(struct waiting *waiting, bool may_wait, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* From its shard: its connection is gone. It leaves when it is parked, or has run. */
void waiting_leave(struct waiting *waiting);
/* Runs until the producers have ended and all others wait with nothing to do, and then for as long
 * as messages and stalls may take. */
void waiting_all_wait(struct run *run, struct waiting_clients *clients);
/* The connections of all of them are gone: runs until no fiber is left. */
void waiting_all_leave(struct run *run, struct waiting_clients *clients);
/* Milliseconds of virtual time: no step of the wall clock is in it. */
uint64_t waiting_now_ms(void);
