/* tests/lib/fake_io.h - the least io that a shard can run on: a clock, helper functions run on
 * the spot, and messages through locked queues. For tests of engine/rt itself, where neither the
 * simulator's drawn order nor the kernel should matter.
 *
 * With a virtual clock, waiting jumps to the deadline; with the real one it sleeps, and several
 * shards may run on several threads. Files and network are absent (NULL). */
#pragma once

#include <pthread.h>

#include "engine/io/io.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"

struct fake_io {
    struct io io;
    bool is_real_time;
    uint64_t now_us;
    struct fake_io *peers; /* Array of all shards' ios, by id. */
    struct io_op *ended;   /* Helper ops whose done function is due; linked by private_[0]. */
    pthread_mutex_t lock;
    pthread_cond_t wake_cond;
    bool is_woken;
    struct msg *first; /* Arrived, in order. */
    struct msg **last_next;
    uint64_t posted; /* Messages handed over by this io. */
};

void fake_io_init(struct fake_io *fake, struct fake_io *peers, bool is_real_time);
void fake_io_fini(struct fake_io *fake);

/* Run the body in a foreground fiber (small stack) of a new shard in first-come order with a
 * virtual clock, until no fiber is left. Asserts that no memory is left. */
void fake_shard_run(void (*body)(void));
