/* query/exec/aggregate.h - groups of a part of the rows, for pushed.c: what other shards make of
 * theirs, and what the session's makes of that. Plans without grouping sets, whose aggregates'
 * states can be merged. */
#pragma once

#include "query/exec/exec.h"

/* Of an operator on the stack, with its plan and exec set. */
void aggregate_part_begin(struct operator* operator);
void aggregate_part_end(struct operator* operator);
YIELDS err_t aggregate_part_add(struct operator* operator, const struct batch * batch);
/* All groups with their states: records with a varint size in front, each a row of the keys behind
 * another size, then the states as they lie in memory, then what each has packed, behind a size. */
void aggregate_part_put(const struct operator* operator, struct buf * out);
/* Adds them to the groups of the operator. ERR_CORRUPT. */
YIELDS err_t aggregate_part_take(struct operator* operator, struct slice groups);

/* ---- pushed.c ---- */

/* Can the groups be made where the rows lie? */
bool pushed_is_possible(const struct operator* operator);
/* Makes them all. */
YIELDS err_t pushed_build(struct operator* operator);
