/* txn/api_shards.h - another number of shards than last time, for the files of the C API. */
#pragma once

#include "engine/io/runtime.h"
#include "txn/api.h"

/* Before the start: removes what was given up, and sets db->shards, how many are to run for
 * db->wanted. Errors of files. */
err_t api_shards_plan(struct orbit *db, const char *dir);
/* The same, on the one shard. ERR_FORMAT: the folder has several. */
YIELDS err_t api_shards_plan_inline(struct orbit *db);
/* Of threads, after it: slots begin to move if they have to; db->homes is set. ERR_UNSUPPORTED:
 * there is something to move that is no key of the C API. */
err_t api_shards_open(struct orbit *db);
/* Before the end; harmless without an open. */
void api_shards_close(struct orbit *db);
