/* query/exec/utility_internal.h - what the files of definitions share. */
#pragma once

#include "models/types/enum.h"
#include "models/types/sql_error.h"
#include "query/bind/bind.h"
#include "query/exec/text_range.h"
#include "query/exec/utility.h"
#include "query/parse/nodes.h"
#include "query/search_path.h"

#define SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).data

/* ---- utility.c ---- */

err_t utility_error(struct utility *utility, int location, const char *sqlstate,
                    const char *message, const char *name);
/* detail NULL: none. */
void utility_notice(struct utility *utility, const char *sqlstate, const char *detail,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));
void utility_warning(struct utility *utility, const char *sqlstate, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The text from a place of the whole text on. */
struct slice utility_text_from(const struct utility *utility, int location);
/* Cut to NAME_BYTES_MAX, in the arena. */
struct slice utility_name_of(struct utility *utility, const char *text);
const char *utility_c_string(struct utility *utility, struct slice text);
struct bind_options utility_bind_options(struct utility *utility, const struct relation *relation);
/* Where a new object goes. persistence: of the RangeVar. */
YIELDS err_t utility_schema(struct utility *utility, const RangeVar *name,
                            const struct schema **schema_out);
/* Is the name of a relation or index taken in the schema? */
bool utility_is_taken(const struct utility *utility, oid_t schema, struct slice name);
/* 42P07, or a notice. */
err_t utility_already_exists(struct utility *utility, bool is_fine, struct slice name);
struct slice utility_name_join(struct utility *utility, struct slice name1, struct slice name2,
                               const char *label);
/* name1_name2_label, cut as PostgreSQL does, with a number when it is taken. */
struct slice utility_name_choose(struct utility *utility, oid_t schema, struct slice name1,
                                 struct slice name2, const char *label,
                                 const struct relation *within);
/* NULL and an error, or a notice when missing_ok. kind 0: any. */
err_t utility_relation(struct utility *utility, const RangeVar *name, bool missing_ok,
                       const struct relation **relation_out);
/* A shallow copy whose lists have room for `more` further elements each: to change and put. */
struct relation *utility_change(struct utility *utility, const struct relation *relation,
                                uint32_t more);
void utility_put(struct utility *utility, const struct relation *relation);
/* Does it call anything that may give another value the next time? */
bool expr_is_volatile(const struct expr *expr);
/* A list of names as a RangeVar: schema and name. */
RangeVar utility_range_var(const List *names);
/* "table t", "view s.v": as messages about dependencies name it. */
const char *utility_describe(struct utility *utility, const struct relation *relation);
const char *utility_quote(struct utility *utility, struct slice name);
/* "s.t", quoted as needed; without the schema where the search path finds it. */
const char *utility_qualified(struct utility *utility, const struct relation *relation);
/* Waits until no other transaction uses the relation, and keeps others off. */
YIELDS err_t utility_lock(struct utility *utility, const struct relation *relation);

/* ---- utility_table.c ---- */

struct definition {
    struct relation relation;
    struct column *columns;
    struct index *indexes;
    struct virtual_column *virtuals;
    struct constraint *constraints;
    uint32_t column_capacity, index_capacity, constraint_capacity, virtual_capacity;
    const List *index_params; /* Of the index that is named: what its expressions are called. */
    bool is_new;              /* The table holds nothing yet. */
    uint32_t first_index, first_constraint; /* Those behind are new. */
    List *foreigns;                         /* Of foreign keys, read when all the rest is there. */
    uint16_t *foreign_columns; /* Of the column a foreign key stands at, UINT16_MAX: none. */
};

YIELDS err_t utility_create_table(struct utility *utility, const CreateStmt *node);
YIELDS err_t utility_create_table_as(struct utility *utility, const CreateTableAsStmt *node);
YIELDS err_t utility_select_into(struct utility *utility, const SelectStmt *node);
/* A table of this name in the making; *is_there_out: it is there, and that is fine. */
YIELDS err_t definition_begin(struct utility *utility, const RangeVar *name,
                              OnCommitAction on_commit, bool if_not_exists,
                              struct definition *definition, bool *is_there_out);
/* An array with room for one more. */
void *utility_enlarge(struct utility *utility, void *old, uint32_t count, uint32_t *capacity,
                      size_t size);
/* LIKE: columns and checks; then, when all columns are there, indexes and comments. */
YIELDS err_t definition_like(struct utility *utility, struct definition *definition,
                             const TableLikeClause *like);
err_t definition_like_rest(struct utility *utility, struct definition *definition,
                           const TableLikeClause *like);
/* From a relation that is there (to add to it), and back to one. */
void definition_open(struct utility *utility, const struct relation *relation,
                     struct definition *definition);
const struct relation *definition_close(struct definition *definition);
YIELDS err_t definition_column(struct utility *utility, struct definition *definition,
                               const ColumnDef *node);
YIELDS err_t definition_column_constraints(struct utility *utility, struct definition *definition,
                                           const ColumnDef *node, uint16_t column);
YIELDS err_t definition_constraint(struct utility *utility, struct definition *definition,
                                   const Constraint *constraint);
/* Names checks, binds what was added; finds out what defaults depend on. */
err_t definition_check(struct utility *utility, struct definition *definition);
/* Reads foreign keys, whose tables must be there: utility_foreign.c */
YIELDS err_t definition_foreigns(struct utility *utility, struct definition *definition);
void definition_constraint_put(struct utility *utility, struct definition *definition,
                               const struct constraint *constraint);
err_t definition_key(struct utility *utility, struct definition *definition,
                     const Constraint *constraint, const List *keys, uint16_t column);
/* Do rows that are there keep to constraint number `at`? 23514, 23503. */
YIELDS err_t utility_constraint_validate(struct utility *utility, const struct relation *relation,
                                         const struct constraint *constraint);
struct slice definition_index_name(struct utility *utility, const struct definition *definition,
                                   const struct index *index, const char *suffix);

/* ---- utility_index.c ---- */

YIELDS err_t utility_create_index(struct utility *utility, const IndexStmt *node);
YIELDS err_t utility_reindex(struct utility *utility, const ReindexStmt *node);
/* Entries for the rows that are there. */
YIELDS err_t utility_index_build(struct utility *utility, const struct relation *relation,
                                 const struct index *index);
/* All rows once more, into the relation `to` (a new storage number for it and its indexes), each
 * column made by its expression over columns of `from` (NULL: as it is), then by what generates it.
 * 23502, 23505. */
YIELDS err_t utility_rewrite(struct utility *utility, const struct relation *from,
                             struct relation *to, struct expr *const *exprs);

/* ---- utility_type.c ---- */

YIELDS err_t utility_create_enum(struct utility *utility, const CreateEnumStmt *node);
err_t utility_alter_enum(struct utility *utility, const AlterEnumStmt *node);
err_t utility_type_rename(struct utility *utility, const RenameStmt *node);
err_t utility_type_move(struct utility *utility, const AlterObjectSchemaStmt *node);
/* A type that users made; 42704, 42809. */
err_t utility_type_find(struct utility *utility, const List *names,
                        const struct enum_type **type_out);

/* ---- utility_view.c ---- */

err_t utility_create_view(struct utility *utility, const ViewStmt *node);
/* What a query's text refers to. */
void utility_dependencies(struct utility *utility, const Node *query, struct relation *relation);

/* ---- utility_drop.c ---- */

YIELDS err_t utility_drop(struct utility *utility, const DropStmt *node);
YIELDS err_t utility_truncate(struct utility *utility, const TruncateStmt *node);
/* One relation with what depends on it. */
YIELDS err_t utility_drop_relation(struct utility *utility, oid_t oid, bool is_cascade);
YIELDS err_t utility_drop_column(struct utility *utility, oid_t oid, uint16_t column,
                                 bool is_cascade);
YIELDS err_t utility_drop_constraint(struct utility *utility, oid_t oid, struct slice name,
                                     bool is_cascade);

/* Does the default draw from the sequence? */
bool utility_default_draws(struct utility *utility, const struct relation *table,
                           const struct column *column, const struct relation *sequence);

/* ---- utility_foreign.c ---- */

YIELDS err_t utility_foreign_validate(struct utility *utility, const struct relation *relation,
                                      const struct constraint *constraint);

/* ---- utility_alter.c ---- */

YIELDS err_t utility_alter_table(struct utility *utility, const AlterTableStmt *node);

/* ---- utility_rename.c ---- */

YIELDS err_t utility_rename(struct utility *utility, const RenameStmt *node);
YIELDS err_t utility_set_schema(struct utility *utility, const AlterObjectSchemaStmt *node);
err_t utility_comment(struct utility *utility, const CommentStmt *node);

/* ---- utility_sequence.c ---- */

YIELDS err_t utility_create_sequence(struct utility *utility, const CreateSeqStmt *node);
YIELDS err_t utility_alter_sequence(struct utility *utility, const AlterSeqStmt *node);
/* A sequence for a column: of serial or an identity. options: of DefElem. */
YIELDS err_t utility_column_sequence(struct utility *utility, const struct relation *table,
                                     uint16_t column, oid_t type, const List *options,
                                     bool is_identity, const struct relation **sequence_out);
YIELDS err_t utility_sequence_change(struct utility *utility, const struct relation *sequence,
                                     const List *options);
/* The sequence of an identity column; NULL: none. */
const struct relation *utility_identity_sequence(const struct catalog *catalog,
                                                 const struct relation *table, uint16_t column);
/* Another type, and its bounds. */
err_t utility_sequence_retype(struct utility *utility, const struct relation *sequence, oid_t type);
/* RESTART: with the transaction. */
YIELDS err_t utility_sequence_restart(struct utility *utility, const struct relation *sequence);
