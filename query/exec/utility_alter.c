/* query/exec/utility_alter.c - ALTER TABLE: its commands, in PostgreSQL's order: what drops, types,
 * new columns, all else. */
#include "query/exec/utility_internal.h"

#include "query/exec/row_maker.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

enum pass { PASS_DROP, PASS_TYPE, PASS_COLUMN, PASS_REST, PASS_COUNT };

/* One command of a statement. */
struct command {
    struct utility *utility;
    const AlterTableCmd *node;
    struct slice text; /* Of the command alone. */
    oid_t oid;
};

static const struct relation *
table_of(const struct command *command)
{
    return catalog_relation_by_oid(command->utility->catalog, command->oid);
}

/* What was written so far is seen from here on. */
static err_t
statement_next(struct utility *utility)
{
    return txn_statement(utility->exec->txn, true);
}

static err_t
column_of(const struct command *command, uint16_t *column_out)
{
    const struct relation *relation = table_of(command);

    *column_out = relation_column(relation, slice_from_text(command->node->name));
    return *column_out != UINT16_MAX
               ? ERR_OK
               : sql_error("42703", "column \"%s\" of relation \"%.*s\" does not exist",
                           command->node->name, SLICE_ARGS(relation->name));
}

static err_t
column_is(const struct relation *relation, uint16_t column, const char *sqlstate, const char *what)
{
    return sql_error(sqlstate, "column \"%.*s\" of relation \"%.*s\" %s",
                     SLICE_ARGS(relation->columns[column].name), SLICE_ARGS(relation->name), what);
}

/* ---- What holds for the rows that are there ---- */

static err_t
not_null_validate(struct utility *utility, const struct relation *relation, uint16_t column)
{
    struct table_walk *walk = NULL;
    const struct row *row;
    struct slice key;
    err_t err;

    TRY(table_walk_open(utility->exec, relation, NULL, SLICE(""), SLICE(""), &walk));
    for (err = table_walk_next(walk, &row, &key); err == ERR_OK && row != NULL;
         err = table_walk_next(walk, &row, &key)) {
        if (row->nulls[column] != 0) {
            err = column_is(relation, column, "23502", "contains null values");
            goto out;
        }
    }
out:
    table_walk_close(&walk);
    return err;
}

static err_t
check_validate(struct utility *utility, const struct relation *relation,
               const struct constraint *constraint)
{
    struct bind_options options = utility_bind_options(utility, relation);
    struct batch batch = {.column_count = relation->column_count, .rows = 1};
    struct table_walk *walk = NULL;
    struct source *source = NULL;
    const struct row *row;
    struct arena arena;
    struct expr *expr;
    struct slice key;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    batch.columns =
        arena_alloc(utility->exec->arena, (relation->column_count + 1U) * sizeof(*batch.columns));
    TRY(bind_table_expr(&options, relation, constraint->sql, &source, &expr));
    TRY(row_expr_plan(utility->exec->arena, expr, source, &expr));
    TRY(table_walk_open(utility->exec, relation, NULL, SLICE(""), SLICE(""), &walk));
    for (err = table_walk_next(walk, &row, &key); err == ERR_OK && row != NULL;
         err = table_walk_next(walk, &row, &key)) {
        struct vector result;

        arena_reset(&arena);
        for (uint32_t i = 0; i < relation->column_count; i++) {
            batch.columns[i] = (struct vector){.values = &row->values[i], .nulls = &row->nulls[i]};
        }
        TRY(eval(utility->exec, &arena, expr, &batch, NULL, 1, &result));
        if (!vector_is_null(&result, 0) && vector_value(&result, 0).i == 0) {
            err = sql_error("23514",
                            "check constraint \"%.*s\" of relation \"%.*s\" is violated by "
                            "some row",
                            SLICE_ARGS(constraint->name), SLICE_ARGS(relation->name));
            goto out;
        }
    }
out:
    table_walk_close(&walk);
    arena_fini(&arena);
    return err;
}

err_t
utility_constraint_validate(struct utility *utility, const struct relation *relation,
                            const struct constraint *constraint)
{
    return constraint->kind == CONSTRAINT_CHECK
               ? check_validate(utility, relation, constraint)
               : utility_foreign_validate(utility, relation, constraint);
}

/* After new parts were added: entries for indexes, and a look at the rows for constraints. */
static err_t
additions_finish(struct utility *utility, struct definition *definition,
                 const struct relation *before)
{
    const struct relation *relation = definition_close(definition);
    err_t err = ERR_OK;

    for (uint16_t i = 0; i < before->column_count; i++) {
        if (relation->columns[i].is_not_null && !before->columns[i].is_not_null) {
            TRY(not_null_validate(utility, relation, i));
        }
    }
    for (uint32_t i = definition->first_index; i < relation->index_count; i++) {
        TRY(utility_index_build(utility, relation, &relation->indexes[i]));
    }
    for (uint32_t i = definition->first_constraint; i < relation->constraint_count; i++) {
        if (relation->constraints[i].kind == CONSTRAINT_CHECK &&
            !relation->constraints[i].is_not_valid) {
            TRY(check_validate(utility, relation, &relation->constraints[i]));
        }
    }
    utility_put(utility, relation);
    TRY(definition_foreigns(utility, definition));
    relation = definition_close(definition);
    utility_put(utility, relation);
    for (uint32_t i = definition->first_constraint; i < relation->constraint_count; i++) {
        if (relation->constraints[i].kind == CONSTRAINT_FOREIGN &&
            !relation->constraints[i].is_not_valid) {
            TRY(utility_foreign_validate(utility, relation, &relation->constraints[i]));
        }
    }
    err = statement_next(utility);
out:
    return err;
}

/* ---- ADD COLUMN ---- */

/* What rows that are there have in the new column: nothing is written when it is the same value
 * for all. *rewrites_out: each has its own. */
static err_t
missing_make(struct utility *utility, struct relation *relation, uint16_t at,
             struct expr **expr_out, bool *rewrites_out)
{
    struct bind_options options = utility_bind_options(utility, relation);
    struct column *column = &relation->columns[at];
    struct source *source = NULL;
    struct datum value;
    struct buf bytes;
    bool is_null;
    err_t err;

    *expr_out = NULL;
    *rewrites_out = column->is_generated || column->identity != 0;
    if (column->identity != 0) {
        const struct relation *sequence = utility_identity_sequence(utility->catalog, relation, at);

        TRY(bind_table_expr(&options, NULL,
                            slice_from_text(arena_printf(utility->exec->arena,
                                                         "nextval('%u'::regclass)", sequence->oid)),
                            &source, expr_out));
    } else if (column->is_generated || column->default_sql.size == 0) {
        return ERR_OK;
    } else {
        TRY(bind_table_expr(&options, NULL, column->default_sql, &source, expr_out));
    }
    TRY(bind_coerce_column(utility->exec->arena, expr_out, column, utility->exec->settings));
    TRY(row_expr_plan(utility->exec->arena, *expr_out, NULL, expr_out));
    if (expr_is_volatile(*expr_out)) {
        *rewrites_out = true;
        return ERR_OK;
    }
    TRY(eval_value(utility->exec, utility->exec->arena, *expr_out, &value, &is_null));
    if (!is_null) {
        buf_init(&bytes, MEM_SESSIONS);
        type_row_put(column->type, value, &bytes);
        column->has_missing = true;
        column->missing = arena_copy(utility->exec->arena, buf_slice(&bytes));
        buf_fini(&bytes);
    }
out:
    return err;
}

static err_t
column_add(const struct command *command)
{
    struct utility *utility = command->utility;
    const ColumnDef *node = (const ColumnDef *)command->node->def;
    const struct relation *before = table_of(command);
    uint16_t at = before->column_count;
    struct definition definition;
    struct relation *after;
    struct expr **exprs;
    bool rewrites;
    err_t err;

    if (relation_column(before, slice_from_text(node->colname)) != UINT16_MAX &&
        command->node->missing_ok) {
        utility_notice(utility, "42701", NULL,
                       "column \"%s\" of relation \"%.*s\" already exists, skipping", node->colname,
                       SLICE_ARGS(before->name));
        return ERR_OK;
    }
    definition_open(utility, before, &definition);
    TRY(definition_column(utility, &definition, node));
    TRY(definition_column_constraints(utility, &definition, node, at));
    TRY(definition_check(utility, &definition));
    after = (struct relation *)(uintptr_t)definition_close(&definition);
    exprs = arena_alloc(utility->exec->arena, (at + 2U) * sizeof(*exprs));
    memset(exprs, 0, (at + 2U) * sizeof(*exprs));
    TRY(missing_make(utility, after, at, &exprs[at], &rewrites));
    if (rewrites) {
        TRY(utility_rewrite(utility, before, after, exprs));
        TRY(statement_next(utility));
        definition.first_index = after->index_count; /* They have their entries. */
    } else if (after->columns[at].is_not_null && !after->columns[at].has_missing) {
        TRY(not_null_validate(utility, after, at));
    }
    err = additions_finish(utility, &definition, before);
out:
    return err;
}

/* ---- ALTER COLUMN TYPE ---- */

static err_t
type_may_change(struct utility *utility, const struct relation *relation, uint16_t column)
{
    for (uint32_t i = 0; i < utility->catalog->relation_count; i++) {
        const struct relation *view = utility->catalog->relations[i];

        for (uint32_t j = 0; j < view->dependency_count; j++) {
            if (view->dependencies[j].oid == relation->oid &&
                view->dependencies[j].column == column + 1) {
                (void)sql_error("0A000", "cannot alter type of a column used by a view or rule");
                return sql_detail("rule _RETURN on view %s depends on column \"%.*s\"",
                                  utility_qualified(utility, view),
                                  SLICE_ARGS(relation->columns[column].name));
            }
        }
    }
    for (uint32_t i = 0; i < relation->column_count; i++) {
        const struct column *other = &relation->columns[i];

        if (other->is_generated && !other->is_dropped && i != column &&
            text_has_name(other->default_sql, relation->columns[column].name)) {
            (void)sql_error("0A000", "cannot alter type of a column used by a generated column");
            return sql_detail("Column \"%.*s\" is used by generated column \"%.*s\".",
                              SLICE_ARGS(relation->columns[column].name), SLICE_ARGS(other->name));
        }
    }
    return ERR_OK;
}

static err_t
type_expression(const struct command *command, const struct relation *before,
                const struct column *column, uint16_t at, struct expr **expr_out)
{
    struct utility *utility = command->utility;
    const ColumnDef *node = (const ColumnDef *)command->node->def;
    struct bind_options options = utility_bind_options(utility, before);
    struct slice using = text_word(command->text, "using");
    struct slice text = slice_from_text(utility_quote(utility, before->columns[at].name));
    const struct function *function;
    struct source *source = NULL;
    err_t err;

    if (node->raw_default != NULL) {
        text = text_expression(using, SIZE_MAX);
    }
    TRY(bind_table_expr(&options, before, text, &source, expr_out));
    if ((*expr_out)->type->oid != OID_UNKNOWN &&
        fn_cast((*expr_out)->type->oid, column->type->oid, COERCE_ASSIGNMENT, &function) ==
            CAST_NONE) {
        struct buf type;

        buf_init(&type, MEM_SESSIONS);
        type_format(column->type, column->typmod, &type);
        if (node->raw_default != NULL) {
            (void)sql_error("42804",
                            "result of USING clause for column \"%.*s\" cannot be cast "
                            "automatically to type %s",
                            SLICE_ARGS(column->name), column->type->display);
            err = sql_hint("You might need to add an explicit cast.");
        } else {
            (void)sql_error("42804", "column \"%.*s\" cannot be cast automatically to type %s",
                            SLICE_ARGS(column->name), column->type->display);
            err = sql_hint("You might need to specify \"USING %s::%.*s\".",
                           utility_quote(utility, column->name), SLICE_ARGS(buf_slice(&type)));
        }
        buf_fini(&type);
        goto out;
    }
    TRY(bind_coerce_column(utility->exec->arena, expr_out, column, utility->exec->settings));
    err = row_expr_plan(utility->exec->arena, *expr_out, source, expr_out);
out:
    return err;
}

/* Expressions of indexes may have other types now. */
static err_t
virtuals_retype(struct utility *utility, struct relation *relation)
{
    struct bind_options options = utility_bind_options(utility, relation);
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < relation->virtual_count; i++) {
        struct source *source = NULL;
        struct expr *expr;

        if (relation->virtuals[i].index != 0) {
            TRY(bind_table_expr(&options, relation, relation->virtuals[i].sql, &source, &expr));
            relation->virtuals[i].type = expr->type;
        }
    }
out:
    return err;
}

static err_t
default_may_become(const struct column *column, const struct relation *relation,
                   struct utility *utility)
{
    struct bind_options options = utility_bind_options(utility, relation);
    const struct function *function;
    struct source *source = NULL;
    struct expr *expr;
    err_t err;

    if (column->default_sql.size == 0 || column->is_generated) {
        return ERR_OK;
    }
    TRY(bind_table_expr(&options, NULL, column->default_sql, &source, &expr));
    if (expr->type->oid != OID_UNKNOWN &&
        fn_cast(expr->type->oid, column->type->oid, COERCE_ASSIGNMENT, &function) == CAST_NONE) {
        err = sql_error("42804",
                        "default for column \"%.*s\" cannot be cast automatically to type %s",
                        SLICE_ARGS(column->name), column->type->display);
        goto out;
    }
    err = bind_coerce_column(utility->exec->arena, &expr, column, utility->exec->settings);
out:
    return err;
}

static err_t
type_change(const struct command *command)
{
    struct utility *utility = command->utility;
    const ColumnDef *node = (const ColumnDef *)command->node->def;
    const struct relation *before = table_of(command);
    struct relation *after = utility_change(utility, before, 0);
    struct column *column;
    struct expr **exprs;
    uint16_t at;
    err_t err;

    TRY(column_of(command, &at));
    TRY(type_may_change(utility, before, at));
    column = &after->columns[at];
    utility->position = node->typeName->location;
    column->typmod = -1;
    TRY(bind_type_name(utility->catalog, utility->search_path, node->typeName, &column->type,
                       &column->typmod));
    utility->position = -1;
    if (column->is_generated && node->raw_default != NULL) {
        (void)sql_error("42611", "cannot specify USING when altering type of generated column");
        return sql_detail("Column \"%.*s\" is a generated column.", SLICE_ARGS(column->name));
    }
    exprs = arena_alloc(utility->exec->arena, (after->column_count + 1U) * sizeof(*exprs));
    memset(exprs, 0, (after->column_count + 1U) * sizeof(*exprs));
    TRY(type_expression(command, before, column, at, &exprs[at]));
    TRY(default_may_become(column, after, utility));
    if (column->identity != 0) {
        const struct relation *sequence = utility_identity_sequence(utility->catalog, before, at);

        if (column->type->oid != OID_INT2 && column->type->oid != OID_INT4 &&
            column->type->oid != OID_INT8) {
            return sql_error("22023", "identity column type must be smallint, integer, or bigint");
        }
        TRY(utility_sequence_retype(utility, sequence, column->type->oid));
    }
    TRY(virtuals_retype(utility, after));
    TRY(utility_rewrite(utility, before, after, exprs));
    utility_put(utility, after);
    TRY(statement_next(utility));
    for (uint32_t i = 0; i < after->constraint_count; i++) {
        if (after->constraints[i].kind == CONSTRAINT_CHECK && !after->constraints[i].is_not_valid) {
            TRY(check_validate(utility, after, &after->constraints[i]));
        }
    }
out:
    return err;
}

/* ---- Defaults, NOT NULL, identities ---- */

static err_t
default_change(const struct command *command)
{
    struct utility *utility = command->utility;
    const struct relation *before = table_of(command);
    struct definition definition;
    struct column *column;
    uint16_t at;
    err_t err;

    TRY(column_of(command, &at));
    definition_open(utility, before, &definition);
    column = &definition.columns[at];
    if (column->identity != 0) {
        (void)column_is(before, at, "42601", "is an identity column");
        return command->node->def == NULL
                   ? sql_hint("Use %s instead.", "ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY")
                   : ERR_SQL;
    }
    if (column->is_generated) {
        (void)column_is(before, at, "42601", "is a generated column");
        return command->node->def == NULL
                   ? sql_hint("Use %s instead.", "ALTER TABLE ... ALTER COLUMN ... DROP EXPRESSION")
                   : ERR_SQL;
    }
    column->default_sql = slice_of(NULL, 0);
    if (command->node->def != NULL) {
        struct slice text = text_expression(text_word(command->text, "default"), SIZE_MAX);

        column->default_sql = arena_copy(utility->exec->arena, text);
        TRY(definition_check(utility, &definition));
    }
    utility_put(utility, definition_close(&definition));
out:
    return err;
}

static err_t
null_change(const struct command *command, bool is_not_null)
{
    struct utility *utility = command->utility;
    const struct relation *before = table_of(command);
    struct relation *after = utility_change(utility, before, 0);
    uint16_t at;
    err_t err;

    TRY(column_of(command, &at));
    if (before->columns[at].is_not_null == is_not_null) {
        goto out;
    }
    if (!is_not_null && before->columns[at].identity != 0) {
        err = column_is(before, at, "42601", "is an identity column");
        goto out;
    }
    for (uint32_t i = 0; !is_not_null && i < before->constraint_count; i++) {
        const struct constraint *constraint = &before->constraints[i];

        for (uint32_t j = 0; constraint->kind == CONSTRAINT_PRIMARY && j < constraint->column_count;
             j++) {
            if (constraint->columns[j] == at) {
                return sql_error("42P16", "column \"%s\" is in a primary key", command->node->name);
            }
        }
    }
    after->columns[at].is_not_null = is_not_null;
    if (is_not_null) {
        TRY(not_null_validate(utility, after, at));
    }
    utility_put(utility, after);
out:
    return err;
}

static err_t
expression_drop(const struct command *command)
{
    struct utility *utility = command->utility;
    const struct relation *before = table_of(command);
    struct relation *after = utility_change(utility, before, 0);
    uint16_t at;
    err_t err;

    TRY(column_of(command, &at));
    if (!before->columns[at].is_generated) {
        if (command->node->missing_ok) {
            utility_notice(utility, "00000", NULL,
                           "column \"%s\" of relation \"%.*s\" is not a stored generated column, "
                           "skipping",
                           command->node->name, SLICE_ARGS(before->name));
            goto out;
        }
        err = column_is(before, at, "55000", "is not a stored generated column");
        goto out;
    }
    after->columns[at].is_generated = false;
    after->columns[at].default_sql = slice_of(NULL, 0);
    utility_put(utility, after);
out:
    return err;
}

static err_t
identity_add(const struct command *command)
{
    struct utility *utility = command->utility;
    const Constraint *constraint = (const Constraint *)command->node->def;
    const struct relation *before = table_of(command), *sequence;
    struct relation *after = utility_change(utility, before, 0);
    struct column *column;
    uint16_t at;
    err_t err;

    TRY(column_of(command, &at));
    column = &after->columns[at];
    if (!column->is_not_null) {
        err = column_is(before, at, "55000",
                        "must be declared NOT NULL before identity can be added");
        goto out;
    }
    if (column->identity != 0 || column->default_sql.size > 0) {
        err = column_is(before, at, "55000",
                        column->identity != 0 ? "is already an identity column"
                                              : "already has a default value");
        goto out;
    }
    TRY(utility_column_sequence(utility, before, at, column->type->oid, constraint->options, true,
                                &sequence));
    column->identity = constraint->generated_when;
    utility_put(utility, after);
out:
    return err;
}

/* The options of a sequence, and GENERATED ALWAYS or BY DEFAULT among them. */
static err_t
identity_set(const struct command *command)
{
    struct utility *utility = command->utility;
    const struct relation *before = table_of(command);
    struct relation *after = utility_change(utility, before, 0);
    const List *all = (const List *)command->node->def;
    List *rest = arena_alloc(utility->exec->arena, sizeof(*rest));
    const ListCell *cell;
    uint16_t at;
    err_t err;

    TRY(column_of(command, &at));
    if (before->columns[at].identity == 0) {
        err = column_is(before, at, "55000", "is not an identity column");
        goto out;
    }
    *rest = (List){.type = T_List};
    rest->elements =
        arena_alloc(utility->exec->arena, ((size_t)list_length(all) + 1) * sizeof(ListCell));
    foreach(cell, all)
    {
        const DefElem *option = lfirst(cell);

        if (strcmp(option->defname, "generated") == 0) {
            after->columns[at].identity = (char)intVal(option->arg);
        } else {
            rest->elements[rest->length++].ptr_value = lfirst(cell);
        }
    }
    utility_put(utility, after);
    if (rest->length > 0) {
        err = utility_sequence_change(
            utility, utility_identity_sequence(utility->catalog, before, at), rest);
    }
out:
    return err;
}

static err_t
identity_drop(const struct command *command)
{
    struct utility *utility = command->utility;
    const struct relation *before = table_of(command), *sequence;
    struct relation *after = utility_change(utility, before, 0);
    uint16_t at;
    err_t err;

    TRY(column_of(command, &at));
    if (before->columns[at].identity == 0) {
        if (command->node->missing_ok) {
            utility_notice(utility, "00000", NULL,
                           "column \"%s\" of relation \"%.*s\" is not an identity column, skipping",
                           command->node->name, SLICE_ARGS(before->name));
            goto out;
        }
        err = column_is(before, at, "55000", "is not an identity column");
        goto out;
    }
    after->columns[at].identity = 0;
    sequence = utility_identity_sequence(utility->catalog, before, at);
    utility_put(utility, after);
    err = utility_drop_relation(utility, sequence->oid, false);
out:
    return err;
}

/* ---- Constraints ---- */

static err_t
constraint_add(const struct command *command)
{
    struct utility *utility = command->utility;
    const struct relation *before = table_of(command);
    struct definition definition;
    err_t err;

    definition_open(utility, before, &definition);
    TRY(definition_constraint(utility, &definition, (const Constraint *)command->node->def));
    TRY(definition_check(utility, &definition));
    err = additions_finish(utility, &definition, before);
out:
    return err;
}

static err_t
constraint_find(const struct command *command, const char *name, uint32_t *at_out)
{
    const struct relation *relation = table_of(command);

    for (uint32_t i = 0; i < relation->constraint_count; i++) {
        if (slice_equal(relation->constraints[i].name, slice_from_text(name))) {
            *at_out = i;
            return ERR_OK;
        }
    }
    return sql_error("42704", "constraint \"%s\" of relation \"%.*s\" does not exist", name,
                     SLICE_ARGS(relation->name));
}

static err_t
constraint_drop(const struct command *command)
{
    const struct relation *relation = table_of(command);
    uint32_t at;
    err_t err;

    if (command->node->missing_ok &&
        relation_constraint(relation, slice_from_text(command->node->name)) == NULL) {
        utility_notice(command->utility, "00000", NULL,
                       "constraint \"%s\" of relation \"%.*s\" does not exist, skipping",
                       command->node->name, SLICE_ARGS(relation->name));
        return ERR_OK;
    }
    TRY(constraint_find(command, command->node->name, &at));
    TRY(utility_drop_constraint(command->utility, command->oid,
                                slice_from_text(command->node->name),
                                command->node->behavior == DROP_CASCADE));
    err = statement_next(command->utility);
out:
    return err;
}

static err_t
constraint_validate(const struct command *command)
{
    struct utility *utility = command->utility;
    struct relation *after = utility_change(utility, table_of(command), 0);
    struct constraint *constraint;
    uint32_t at;
    err_t err;

    TRY(constraint_find(command, command->node->name, &at));
    constraint = &after->constraints[at];
    if (constraint->kind != CONSTRAINT_CHECK && constraint->kind != CONSTRAINT_FOREIGN) {
        err = sql_error("42809",
                        "constraint \"%s\" of relation \"%.*s\" is not a foreign key or check "
                        "constraint",
                        command->node->name, SLICE_ARGS(after->name));
        goto out;
    }
    if (constraint->is_not_valid) {
        TRY(utility_constraint_validate(utility, after, constraint));
        constraint->is_not_valid = false;
        utility_put(utility, after);
    }
out:
    return err;
}

static err_t
constraint_alter(const struct command *command)
{
    const Constraint *node = (const Constraint *)command->node->def;
    struct utility *utility = command->utility;
    struct relation *after = utility_change(utility, table_of(command), 0);
    uint32_t at;
    err_t err;

    TRY(constraint_find(command, node->conname, &at));
    if (after->constraints[at].kind != CONSTRAINT_FOREIGN) {
        err = sql_error("42809",
                        "constraint \"%s\" of relation \"%.*s\" is not a foreign key constraint",
                        node->conname, SLICE_ARGS(after->name));
        goto out;
    }
    after->constraints[at].is_deferrable = node->deferrable;
    after->constraints[at].is_deferred = node->initdeferred;
    utility_put(utility, after);
out:
    return err;
}

/* ---- The statement ---- */

static err_t
column_drop(const struct command *command)
{
    const struct relation *relation = table_of(command);
    uint16_t at = relation_column(relation, slice_from_text(command->node->name));
    err_t err;

    if (at == UINT16_MAX && command->node->missing_ok) {
        utility_notice(command->utility, "00000", NULL,
                       "column \"%s\" of relation \"%.*s\" does not exist, skipping",
                       command->node->name, SLICE_ARGS(relation->name));
        return ERR_OK;
    }
    TRY(column_of(command, &at));
    TRY(utility_drop_column(command->utility, command->oid, at,
                            command->node->behavior == DROP_CASCADE));
    err = statement_next(command->utility);
out:
    return err;
}

static enum pass
pass_of(const AlterTableCmd *node)
{
    switch (node->subtype) {
    case AT_DropColumn:
    case AT_DropConstraint:
        return PASS_DROP;
    case AT_AlterColumnType:
        return PASS_TYPE;
    case AT_AddColumn:
        return PASS_COLUMN;
    default:
        return PASS_REST;
    }
}

static err_t
rest_run(const struct command *command)
{
    switch (command->node->subtype) {
    case AT_AddIdentity:
        return identity_add(command);
    case AT_SetIdentity:
        return identity_set(command);
    case AT_DropIdentity:
        return identity_drop(command);
    case AT_ValidateConstraint:
        return constraint_validate(command);
    case AT_AlterConstraint:
        return constraint_alter(command);
    case AT_SetStatistics:
    case AT_SetStorage:
    case AT_SetCompression:
    case AT_SetOptions:
    case AT_ResetOptions: {
        uint16_t column;

        return column_of(command, &column); /* There is nothing here that they could change. */
    }
    case AT_SetRelOptions:
    case AT_ResetRelOptions:
    case AT_DropOids:
    case AT_DropCluster:
    case AT_SetLogged:
        return ERR_OK;
    case AT_EnableRowSecurity:
    case AT_ForceRowSecurity:
        return sql_error("0A000", "row security is not supported yet");
    case AT_AddInherit:
    case AT_DropInherit:
        return sql_error("0A000", "inherited tables are not supported yet");
    case AT_AttachPartition:
    case AT_DetachPartition:
        return sql_error("0A000", "partitioned tables are not supported yet");
    case AT_EnableTrig:
    case AT_DisableTrig:
    case AT_EnableTrigAll:
    case AT_DisableTrigAll:
    case AT_EnableTrigUser:
    case AT_DisableTrigUser:
        return sql_error("0A000", "triggers are not supported yet");
    default:
        return sql_error("0A000", "this form of ALTER TABLE is not supported yet");
    }
}

static err_t
command_run(const struct command *command)
{
    switch (command->node->subtype) {
    case AT_AddColumn:
        return column_add(command);
    case AT_DropColumn:
        return column_drop(command);
    case AT_AlterColumnType:
        return type_change(command);
    case AT_ColumnDefault:
        return default_change(command);
    case AT_SetNotNull:
        return null_change(command, true);
    case AT_DropNotNull:
        return null_change(command, false);
    case AT_DropExpression:
        return expression_drop(command);
    case AT_AddConstraint:
        return constraint_add(command);
    case AT_DropConstraint:
        return constraint_drop(command);
    default:
        return rest_run(command);
    }
}

static const char *
action_name(const AlterTableCmd *command)
{
    switch (command->subtype) {
    case AT_AddColumn:
        return "ADD COLUMN";
    case AT_DropColumn:
        return "DROP COLUMN";
    case AT_AlterColumnType:
        return "ALTER COLUMN ... SET DATA TYPE";
    case AT_ColumnDefault:
        return "ALTER COLUMN ... SET DEFAULT";
    case AT_SetNotNull:
        return "ALTER COLUMN ... SET NOT NULL";
    case AT_DropNotNull:
        return "ALTER COLUMN ... DROP NOT NULL";
    case AT_AddConstraint:
        return "ADD CONSTRAINT";
    case AT_DropConstraint:
        return "DROP CONSTRAINT";
    case AT_AddIdentity:
    case AT_SetIdentity:
        return "ALTER COLUMN ... ADD IDENTITY";
    default:
        return "of this form";
    }
}

/* Views have defaults and owners, sequences owners. */
static err_t
kind_check(const AlterTableStmt *node, const struct relation *relation)
{
    const ListCell *cell;

    if (relation->kind == RELATION_TABLE && node->objtype == OBJECT_TABLE) {
        return ERR_OK;
    }
    if ((node->objtype == OBJECT_VIEW && relation->kind != RELATION_VIEW) ||
        (node->objtype == OBJECT_SEQUENCE && relation->kind != RELATION_SEQUENCE)) {
        return sql_error("42809", "\"%s\" is not a %s", node->relation->relname,
                         node->objtype == OBJECT_VIEW ? "view" : "sequence");
    }
    foreach(cell, node->cmds)
    {
        const AlterTableCmd *command = lfirst(cell);
        bool is_fine =
            command->subtype == AT_ChangeOwner ||
            (relation->kind == RELATION_VIEW &&
             (command->subtype == AT_ColumnDefault || command->subtype == AT_SetRelOptions ||
              command->subtype == AT_ResetRelOptions));

        if (!is_fine && relation->kind != RELATION_TABLE) {
            (void)sql_error("42809", "ALTER action %s cannot be performed on relation \"%.*s\"",
                            action_name(command), SLICE_ARGS(relation->name));
            return sql_detail("This operation is not supported for %s.",
                              relation->kind == RELATION_VIEW ? "views" : "sequences");
        }
    }
    return ERR_OK;
}

static const char *
tag_of(ObjectType type)
{
    switch (type) {
    case OBJECT_INDEX:
        return "ALTER INDEX";
    case OBJECT_SEQUENCE:
        return "ALTER SEQUENCE";
    case OBJECT_VIEW:
        return "ALTER VIEW";
    default:
        return "ALTER TABLE";
    }
}

err_t
utility_alter_table(struct utility *utility, const AlterTableStmt *node)
{
    struct command command = {.utility = utility};
    const struct relation *relation;
    err_t err;

    utility->tag = tag_of(node->objtype);
    if (node->objtype == OBJECT_INDEX) {
        return sql_error("0A000", "this form of ALTER INDEX is not supported yet");
    }
    TRY(utility_relation(utility, node->relation, node->missing_ok, &relation));
    if (relation == NULL) {
        goto out;
    }
    TRY(kind_check(node, relation));
    TRY(utility_lock(utility, relation));
    command.oid = relation->oid;
    for (enum pass pass = PASS_DROP; pass < PASS_COUNT; pass++) {
        struct slice text = utility_text_from(utility, node->relation->location);
        const ListCell *cell;

        foreach(cell, node->cmds)
        {
            command.text = text_list_next(&text);
            command.node = lfirst(cell);
            if (pass_of(command.node) == pass) {
                TRY(command_run(&command));
            }
        }
    }
out:
    return err;
}
