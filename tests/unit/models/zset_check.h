/* tests/unit/models/zset_check.h - is a spread sorted set whole? */
#pragma once

#include "models/kv/internal.h"

/* Asserts that the pages of the tree fit together, hold the members in order, count them rightly,
 * and that each member lies under its name with the same score. Returns how many entries there
 * are to be. On the shard of the head. */
YIELDS int64_t zset_check(uint32_t keyspace, uint64_t id, const struct kv_head *head);
