/* query/exec/redis_rows.h - INSERT, UPDATE and DELETE of the schema redis: rows become commands of
 * the session's transaction.
 *
 * What is unique in a row cannot be updated (0A000). Errors: of commands, sql_session_redis. */
#pragma once

#include "query/catalog/system.h"
#include "query/exec/exec.h"

struct redis_rows;

/* In the arena of the exec. */
struct redis_rows *redis_rows_new(struct exec *exec, const struct relation *relation);
/* The statement has given all its rows. */
YIELDS err_t redis_rows_finish(struct redis_rows *redis);
/* What is unique in the row. */
struct slice redis_row_key(const struct redis_rows *redis, const struct batch *batch, uint32_t at,
                           struct arena *arena);
/* *is_there_out: nothing was done, as `old`, which has room for all columns, is there. Fills in
 * what the key gives the row: a stream's id, a list's index. */
YIELDS err_t redis_row_insert(struct redis_rows *redis, struct row *row, struct row *old,
                              struct arena *arena, bool *is_there_out);
/* 23505 */
err_t redis_row_duplicate(const struct redis_rows *redis, const struct row *row);
YIELDS err_t redis_row_update(struct redis_rows *redis, const struct row *old,
                              const struct row *new, struct arena *arena);
YIELDS err_t redis_row_delete(struct redis_rows *redis, const struct row *old, struct arena *arena);
