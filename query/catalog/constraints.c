/* query/catalog/constraints.c - pg_index and pg_constraint. */
#include "query/catalog/fill.h"

#include "engine/base/poison.h"

enum { INDEX_OID = 0, INDEX_TABLE = 1, CONSTRAINT_OID = 0, CONSTRAINT_TABLE = 7 };
enum { OPTION_DESC = 1, OPTION_NULLS_FIRST = 2 };

static oid_t
part_number(uint16_t part)
{
    return part < INDEX_EXPRESSION ? part + 1U : 0;
}

static err_t
index_vectors_put(struct system_rows *rows, const struct relation *relation,
                  const struct index *index)
{
    oid_t keys[2 * INDEX_COLUMNS_MAX], collations[INDEX_COLUMNS_MAX], classes[INDEX_COLUMNS_MAX];
    oid_t options[INDEX_COLUMNS_MAX];
    err_t err;

    for (uint32_t i = 0; i < index->column_count; i++) {
        const struct type *type = relation_place_type(relation, index->columns[i]);

        keys[i] = part_number(index->columns[i]);
        collations[i] = type_collation(type);
        classes[i] = type_opclass(type);
        options[i] = (index->is_descending[i] ? (oid_t)OPTION_DESC : 0) |
                     (index->nulls_first[i] ? (oid_t)OPTION_NULLS_FIRST : 0);
    }
    for (uint32_t i = 0; i < index->included_count; i++) {
        keys[index->column_count + i] = part_number(index->included[i]);
    }
    TRY(row_array(rows, OID_INT2, keys, index->column_count + (uint32_t)index->included_count, 0));
    TRY(row_array(rows, OID_OID, collations, index->column_count, 0));
    TRY(row_array(rows, OID_OID, classes, index->column_count, 0));
    err = row_array(rows, OID_INT2, options, index->column_count, 0);
out:
    return err;
}

/* Expressions, with commas between, and the predicate: the SQL they are kept as. */
static void
index_exprs_put(struct system_rows *rows, const struct relation *relation,
                const struct index *index)
{
    struct buf text;

    buf_init(&text, MEM_SESSIONS);
    for (uint32_t i = 0; i < index->column_count; i++) {
        if (index->columns[i] >= INDEX_EXPRESSION) {
            struct slice sql = relation->virtuals[index->columns[i] - INDEX_EXPRESSION].sql;

            buf_printf(&text, "%s%.*s", text.size > 0 ? ", " : "0 ", (int)sql.size,
                       (const char *)sql.data);
        }
    }
    if (text.size > 0) {
        row_buf(rows, &text);
    } else {
        row_null(rows, 1);
    }
    buf_fini(&text);
    if (index->predicate != 0) {
        tree_put(rows, 0, relation->virtuals[index->predicate - INDEX_EXPRESSION].sql);
    } else {
        row_null(rows, 1);
    }
}

static err_t
index_put(struct system_rows *rows, const struct relation *relation, const struct index *index)
{
    err_t err;

    row_int(rows, index->oid);
    row_int(rows, relation->oid);
    row_int(rows, index->column_count + index->included_count);
    row_int(rows, index->column_count);
    row_int(rows, index->is_unique);
    row_int(rows, index->nulls_equal);
    row_int(rows, index->is_primary);
    row_int(rows, false);
    row_int(rows, !index->is_deferrable); /* indimmediate */
    row_int(rows, false);
    row_int(rows, true); /* indisvalid */
    row_int(rows, false);
    row_int(rows, true); /* indisready */
    row_int(rows, true);
    row_int(rows, false);
    TRY(index_vectors_put(rows, relation, index));
    index_exprs_put(rows, relation, index);
    err = row_end(rows);
out:
    return err;
}

err_t
fill_index(struct system_rows *rows)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < rows->catalog->relation_count; i++) {
        const struct relation *relation = rows->catalog->relations[i];

        for (uint32_t j = 0;
             rows_may(rows, INDEX_TABLE, relation->oid) && j < relation->index_count; j++) {
            if (rows_may(rows, INDEX_OID, relation->indexes[j].oid)) {
                TRY(index_put(rows, relation, &relation->indexes[j]));
            }
        }
    }
out:
    return err;
}

/* ---- pg_constraint ---- */

static err_t
numbers_put(struct system_rows *rows, const uint16_t *columns, uint32_t count)
{
    oid_t numbers[INDEX_COLUMNS_MAX];

    if (count == 0) {
        row_null(rows, 1);
        return ERR_OK;
    }
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = columns[i] + 1U;
    }
    return row_array(rows, OID_INT2, numbers, count, 1);
}

static void
foreign_put(struct system_rows *rows, const struct constraint *constraint)
{
    bool is_foreign = constraint->kind == CONSTRAINT_FOREIGN;

    row_int(rows, is_foreign ? constraint->other : 0);
    row_int(rows, is_foreign ? constraint->on_update : ' ');
    row_int(rows, is_foreign ? constraint->on_delete : ' ');
    row_int(rows, !is_foreign ? ' ' : constraint->is_match_full ? 'f' : 's');
}

static err_t
constraint_put(struct system_rows *rows, const struct relation *relation,
               const struct constraint *constraint)
{
    bool is_foreign = constraint->kind == CONSTRAINT_FOREIGN;
    err_t err;

    row_int(rows, constraint->oid);
    row_text(rows, constraint->name);
    row_int(rows, relation->schema);
    row_int(rows, constraint->kind);
    row_int(rows, constraint->is_deferrable);
    row_int(rows, constraint->is_deferred);
    row_int(rows, !constraint->is_not_valid);
    row_int(rows, relation->oid);
    row_int(rows, 0); /* contypid */
    row_int(rows, constraint->index);
    row_int(rows, 0);
    foreign_put(rows, constraint);
    row_int(rows, true);
    row_int(rows, 0);
    row_int(rows, constraint->kind == CONSTRAINT_CHECK ? constraint->is_no_inherit : true);
    TRY(numbers_put(rows, constraint->columns, constraint->column_count));
    TRY(numbers_put(rows, constraint->other_columns, is_foreign ? constraint->column_count : 0));
    row_null(rows, 3); /* conpfeqop, conppeqop, conffeqop */
    TRY(numbers_put(rows, constraint->set_columns, constraint->set_count));
    row_null(rows, 1);
    if (constraint->kind == CONSTRAINT_CHECK) {
        tree_put(rows, 0, constraint->sql);
    } else {
        row_null(rows, 1);
    }
    err = row_end(rows);
out:
    return err;
}

err_t
fill_constraint(struct system_rows *rows)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < rows->catalog->relation_count; i++) {
        const struct relation *relation = rows->catalog->relations[i];

        for (uint32_t j = 0;
             rows_may(rows, CONSTRAINT_TABLE, relation->oid) && j < relation->constraint_count;
             j++) {
            if (rows_may(rows, CONSTRAINT_OID, relation->constraints[j].oid)) {
                TRY(constraint_put(rows, relation, &relation->constraints[j]));
            }
        }
    }
out:
    return err;
}
