/* query/exec/exec.h - running a plan: operators that hand batches of rows upward. */
#pragma once

#include "models/relational/rtable.h"
#include "query/exec/spill.h"
#include "query/plan/plan.h"
#include "txn/txn.h"

struct operator;
struct foreign_events;

/* Rows from outside of the database: of COPY. */
struct row_supplier {
    /* *batch_out NULL at the end. Its rows are good until the next call. */
    YIELDS err_t (*next)(void *arg, const struct batch **batch_out);
    void *arg;
};

/* What the operators of a plan have done: for EXPLAIN ANALYZE. */
struct operator_figures {
    struct operator_figures *next;
    const struct plan *plan;
    uint64_t rows, loops;
    /* Of what keeps rows: the most memory, the most of files, and in how many parts it was done. */
    uint64_t memory_bytes, file_bytes;
    uint32_t batches;
    bool is_disk, is_kept; /* Some of it went to a file; the figures are known. */
};

/* One run of a statement. */
struct exec {
    struct txn *txn;
    const struct type_settings *settings;
    const struct statement_env *env;
    struct arena *arena;                     /* Lives as long as the run. */
    struct spill_budget *budget, own_budget; /* The session's; its own where there is none. */
    uint32_t param_count;
    const struct datum *params;
    const uint8_t *param_nulls;
    const struct statement *statement; /* Borrowed for the run. */
    uint32_t outer_capacity;
    struct datum *outers; /* Values of EXPR_OUTER. */
    uint8_t *outer_nulls;
    struct subquery_state **subqueries; /* By number; NULL: not opened yet. */
    uint32_t subquery_count;
    struct cte_state **ctes; /* By number; NULL: not begun. */
    uint32_t cte_count;
    uint32_t with_epoch;                 /* Grows when items of WITH begin anew. */
    struct rtable_writes *writes;        /* Of all changes of the statement; NULL: none yet. */
    struct foreign_events *events;       /* What constraints are to look at; NULL: nothing. */
    bool *is_cancelled;                  /* Somebody else sets it: 57014. */
    const struct row_supplier *supplier; /* Of PLAN_COPY. */
    bool measures;                       /* Operators count what they do. */
    struct operator_figures *figures;
    uint32_t row_number; /* Of the row that is inserted now, as the supplier counts. */
};

/* outer_count, subquery_count: of the statement. */
void exec_init(struct exec *exec, const struct statement_env *env, struct arena *arena,
               const struct type_settings *settings, const struct statement *statement);
void exec_fini(struct exec *exec);
/* Counted work: gives way now and then. 57014 when it is cancelled, 53200 when the sessions of the
 * shard have more memory than is theirs. */
YIELDS err_t exec_work(struct exec *exec, uint32_t rows);

/* Do so many bytes exceed what an operator may keep in memory? */
bool exec_is_over(const struct exec *exec, uint64_t bytes);
/* NULL: none was opened. */
const struct operator_figures *exec_figures_find(const struct exec *exec, const struct plan *plan);

YIELDS err_t operator_open(struct exec *exec, const struct plan *plan, struct operator** out);
/* *batch_out NULL at the end. Its rows are good until the next call. */
YIELDS err_t operator_next(struct operator* operator, const struct batch ** batch_out);
/* From the beginning, with the values of EXPR_OUTER that are set now. */
YIELDS err_t operator_reset(struct operator* operator);
void operator_close(struct operator** operator);

/* ---- Expressions: eval.c. Of `count` rows of the batch, whose numbers are in `rows` (NULL: all).
 * The result has a place for each row of the batch; only those of `rows` are filled. ---- */
YIELDS err_t eval(struct exec *exec, struct arena *arena, const struct expr *expr,
                  const struct batch *batch, const uint16_t *rows, uint32_t count,
                  struct vector *out);
/* Which rows the condition is true for: *selected has room for all. */
YIELDS err_t eval_condition(struct exec *exec, struct arena *arena, const struct expr *expr,
                            const struct batch *batch, uint16_t *selected, uint32_t *count_out);
/* One value, of no columns. */
YIELDS err_t eval_value(struct exec *exec, struct arena *arena, const struct expr *expr,
                        struct datum *value_out, bool *is_null_out);
void subqueries_close(struct exec *exec);

/* ---- WITH: cte.c ---- */
/* Runs what changes data and was not read. */
YIELDS err_t ctes_finish(struct exec *exec, const struct statement *statement);
void ctes_close(struct exec *exec);

/* ---- Rows kept: rows.c ---- */

struct kept_row {
    struct datum *values;
    uint8_t *nulls;
};

/* An array of rows with copies of their values. */
struct rows {
    struct arena arena;
    const struct plan_column *columns;
    uint32_t column_count;
    struct kept_row *rows;
    uint32_t count, capacity;
};
void rows_init(struct rows *rows, const struct plan_column *columns, uint32_t column_count);
void rows_fini(struct rows *rows);
/* What they take of memory. */
uint64_t rows_bytes(const struct rows *rows);
err_t rows_add(struct rows *rows, const struct batch *batch, uint32_t row);
/* Copies rows [first, first + count) into a batch of vectors. */
void rows_fill(const struct rows *rows, uint32_t first, uint32_t count, struct batch *batch);

/* Byte strings to numbers. */
struct map_entry {
    uint64_t hash;
    struct slice key; /* NULL data: free. */
    uint32_t value;
};
struct map {
    struct arena arena;
    struct map_entry *entries;
    uint32_t count, capacity;
};
void map_init(struct map *map);
void map_fini(struct map *map);
uint64_t map_bytes(const struct map *map);
/* The entry of the key, made when it is not there (*is_new_out). */
struct map_entry *map_put(struct map *map, struct slice key, bool *is_new_out);
struct map_entry *map_find(struct map *map, struct slice key);

/* A batch with vectors for so many rows. */
void batch_make(struct batch *batch, struct arena *arena, uint32_t columns, uint32_t rows);
/* Equal rows have equal bytes. */
void row_hash_put(const struct plan_column *columns, const struct vector *vectors, uint32_t count,
                  uint32_t row, struct buf *out);
/* The same of computed keys, alone in the buffer. False: one is null, which equals nothing. */
bool keys_hash_put(struct expr *const *keys, uint32_t count, const struct vector *vectors,
                   uint32_t row, struct buf *out);

/* ---- Operators ---- */

struct operator
{
    const struct plan *plan;
    struct exec *exec;
    struct operator* left, *right;
    struct arena arena; /* Of the batch that was handed out. */
    struct batch batch;
    struct operator_figures *figures; /* NULL: nothing is measured. */
    bool has_begun;
    YIELDS err_t (*next)(struct operator* operator, const struct batch ** batch_out);
    YIELDS err_t (*reset)(struct operator* operator);
    void (*close)(struct operator* operator);
    void *state;
};

/* For EXPLAIN ANALYZE: what it keeps now, if it is measured. */
void operator_note(struct operator* operator, uint64_t memory_bytes, uint64_t file_bytes,
                   uint32_t batches);
err_t scan_open(struct operator* operator);
err_t system_open(struct operator* operator);
err_t join_open(struct operator* operator);
err_t lateral_open(struct operator* operator);
err_t lock_rows_open(struct operator* operator);
err_t window_calls_open(struct operator* operator);
err_t cte_open(struct operator* operator);
err_t with_open(struct operator* operator);
err_t set_functions_open(struct operator* operator);
err_t aggregate_open(struct operator* operator);
err_t sort_open(struct operator* operator);
err_t set_open(struct operator* operator);
err_t distinct_open(struct operator* operator);

/* ---- Changes: change.c ---- */

/* Runs INSERT, UPDATE or DELETE. Rows of RETURNING go to `sink`, each batch good for the call. */
typedef YIELDS err_t (*sink_fn)(void *arg, const struct batch *batch);
YIELDS err_t change_run(struct exec *exec, const struct statement *statement,
                        const struct plan *plan, sink_fn sink, void *sink_arg, uint64_t *rows_out);
