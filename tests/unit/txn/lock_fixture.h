/* tests/unit/txn/lock_fixture.h - locks on every shard of a simulated world, without a store. */
#pragma once

#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "tests/lib/fiber_test.h"
#include "txn/advisory.h"
#include "txn/deadlock.h"
#include "txn/lock.h"
#include "txn/txns.h"

/* On all shards: in a body, first and last. */
void locks_begin(void);
void locks_end(void);
/* Of the present shard. */
struct locks *locks_here(void);
