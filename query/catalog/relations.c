/* query/catalog/relations.c - pg_class, pg_attribute and what hangs on them. */
#include "query/catalog/fill.h"

#include "engine/base/poison.h"

/* ---- pg_class ---- */

enum { CLASS_OID = 0, CLASS_NAME = 1, CLASS_SCHEMA = 2, CLASS_KIND = 16 };
enum { SEQUENCE_COLUMNS = 3 };

struct class_row {
    oid_t oid, schema, owner, am;
    struct slice name;
    char kind;
    bool has_index, has_rules, has_triggers;
    char persistence;
    uint32_t columns, checks;
    char replica_identity;
    float tuples;
};

static err_t
class_put(struct system_rows *rows, const struct class_row *row)
{
    row_int(rows, row->oid);
    row_text(rows, row->name);
    row_int(rows, row->schema);
    row_int(rows, 0); /* reltype */
    row_int(rows, 0);
    row_int(rows, row->owner);
    row_int(rows, row->am);
    row_int(rows, row->kind == 'v' ? 0 : row->oid);
    row_int(rows, 0); /* reltablespace */
    row_int(rows, 0); /* relpages */
    row_float(rows, row->tuples);
    row_int(rows, 0);
    row_int(rows, 0); /* reltoastrelid */
    row_int(rows, row->has_index);
    row_int(rows, false);
    row_int(rows, row->persistence);
    row_int(rows, row->kind);
    row_int(rows, row->columns);
    row_int(rows, row->checks);
    row_int(rows, row->has_rules);
    row_int(rows, row->has_triggers);
    row_int(rows, false);
    row_int(rows, false);
    row_int(rows, false);
    row_int(rows, true); /* relispopulated */
    row_int(rows, row->replica_identity);
    row_int(rows, false);
    row_int(rows, 0);
    row_int(rows, 0);
    row_int(rows, 0);
    row_null(rows, 3);
    return row_end(rows);
}

static bool
class_wanted(const struct system_rows *rows, oid_t oid, struct slice name, oid_t schema, char kind)
{
    return rows_may(rows, CLASS_OID, oid) && rows_may(rows, CLASS_SCHEMA, schema) &&
           rows_may(rows, CLASS_KIND, kind) && rows_may_name(rows, CLASS_NAME, name);
}

static uint32_t
constraint_count(const struct relation *relation, enum constraint_kind kind)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < relation->constraint_count; i++) {
        count += relation->constraints[i].kind == (char)kind;
    }
    return count;
}

static err_t
relation_class(struct system_rows *rows, const struct relation *relation)
{
    bool is_table = relation->kind == RELATION_TABLE;
    struct class_row row = {
        .oid = relation->oid,
        .schema = relation->schema,
        .owner = relation->owner,
        .am = is_table ? OID_AM_HEAP : 0,
        .name = relation->name,
        .kind = relation->kind,
        .has_index = relation->index_count > 0,
        .has_rules = relation->kind == RELATION_VIEW,
        .columns = relation->kind == RELATION_SEQUENCE ? SEQUENCE_COLUMNS : relation->column_count,
        .checks = constraint_count(relation, CONSTRAINT_CHECK),
        .has_triggers =
            relation->is_referenced || constraint_count(relation, CONSTRAINT_FOREIGN) > 0,
        .persistence = relation->persistence,
        .replica_identity = is_table ? 'd' : 'n',
        .tuples = relation->kind == RELATION_SEQUENCE ? 1 : -1,
    };

    return class_wanted(rows, row.oid, row.name, row.schema, row.kind) ? class_put(rows, &row)
                                                                       : ERR_OK;
}

static err_t
index_class(struct system_rows *rows, const struct relation *relation, const struct index *index)
{
    struct class_row row = {
        .oid = index->oid,
        .schema = relation->schema,
        .owner = relation->owner,
        .am = OID_AM_BTREE,
        .name = index->name,
        .kind = RELATION_INDEX,
        .columns = index->column_count + (uint32_t)index->included_count,
        .persistence = relation->persistence,
        .replica_identity = 'n',
    };

    return class_wanted(rows, row.oid, row.name, row.schema, row.kind) ? class_put(rows, &row)
                                                                       : ERR_OK;
}

static uint32_t
system_columns(const struct system_relation *system)
{
    uint32_t count = 1;

    for (const char *at = system->columns; *at != '\0'; at++) {
        count += *at == ',';
    }
    return count;
}

static err_t
system_class(struct system_rows *rows, const struct system_relation *system)
{
    struct class_row row = {
        .oid = system->oid,
        .schema = system_schema_oid(system->schema),
        .owner = OID_OWNER,
        .am = system->kind == 'r' ? OID_AM_HEAP : 0,
        .name = slice_from_text(system->name),
        .kind = system->kind,
        .has_rules = system->kind == 'v',
        .columns = system_columns(system),
        .persistence = RELATION_PERMANENT,
        .replica_identity = 'n',
        .tuples = -1,
    };

    return class_wanted(rows, row.oid, row.name, row.schema, row.kind) ? class_put(rows, &row)
                                                                       : ERR_OK;
}

err_t
fill_class(struct system_rows *rows)
{
    const struct catalog *catalog = rows->catalog;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        const struct relation *relation = catalog->relations[i];

        TRY(relation_class(rows, relation));
        for (uint32_t j = 0; j < relation->index_count; j++) {
            TRY(index_class(rows, relation, &relation->indexes[j]));
        }
    }
    for (uint32_t i = 0; i < system_count(); i++) {
        TRY(system_class(rows, system_at(i)));
    }
out:
    return err;
}

/* ---- pg_attribute ---- */

enum { ATTRIBUTE_RELATION = 0, ATTRIBUTE_NUMBER = 5 };

static err_t
attribute_put(struct system_rows *rows, oid_t relation, uint32_t number,
              const struct column *column)
{
    const struct type *type = column->type;

    if (!rows_may(rows, ATTRIBUTE_NUMBER, number)) {
        return ERR_OK;
    }
    row_int(rows, relation);
    if (column->is_dropped && row_wants(rows)) {
        row_name(rows, arena_printf(rows->arena, "........pg.dropped.%u........", number));
    } else {
        row_text(rows, column->name);
    }
    row_int(rows, column->is_dropped ? 0 : type->oid);
    row_int(rows, -1);
    row_int(rows, type_shown_length(type));
    row_int(rows, number);
    row_int(rows, type->category == 'A');
    row_int(rows, -1);
    row_int(rows, column->typmod);
    row_int(rows, type_is_by_value(type));
    row_int(rows, type_alignment(type));
    row_int(rows, type_storage(type));
    row_int(rows, 0);
    row_int(rows, column->is_not_null && !column->is_dropped);
    row_int(rows, column->default_sql.size > 0 && !column->is_dropped);
    row_int(rows, false);
    row_int(rows, column->identity);
    row_int(rows, column->is_generated ? 's' : 0);
    row_int(rows, column->is_dropped);
    row_int(rows, true);
    row_int(rows, 0);
    row_int(rows, type_collation(type));
    row_null(rows, 4);
    return row_end(rows);
}

static err_t
columns_put(struct system_rows *rows, const struct relation *relation)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < relation->column_count; i++) {
        err = attribute_put(rows, relation->oid, i + 1, &relation->columns[i]);
    }
    return err;
}

static err_t
index_columns_put(struct system_rows *rows, const struct relation *relation,
                  const struct index *index)
{
    uint32_t count = index->column_count + (uint32_t)index->included_count;
    uint32_t expressions = 0;
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        uint16_t part =
            i < index->column_count ? index->columns[i] : index->included[i - index->column_count];
        struct column column = {.typmod = -1, .type = relation_place_type(relation, part)};

        if (part < INDEX_EXPRESSION) {
            column.name = relation->columns[part].name;
            column.typmod = relation->columns[part].typmod;
        } else {
            const char *name =
                expressions++ == 0 ? "expr" : arena_printf(rows->arena, "expr%u", expressions - 1);

            column.name = slice_from_text(name);
        }
        err = attribute_put(rows, index->oid, i + 1, &column);
    }
    return err;
}

static err_t
sequence_columns_put(struct system_rows *rows, const struct relation *relation)
{
    const struct column columns[SEQUENCE_COLUMNS] = {
        {.name = SLICE("last_value"), .type = type_by_oid(OID_INT8), -1, .is_not_null = true},
        {.name = SLICE("log_cnt"), .type = type_by_oid(OID_INT8), -1, .is_not_null = true},
        {.name = SLICE("is_called"), .type = type_by_oid(OID_BOOL), -1, .is_not_null = true},
    };
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < SEQUENCE_COLUMNS; i++) {
        err = attribute_put(rows, relation->oid, i + 1, &columns[i]);
    }
    return err;
}

static err_t
class_columns_put(struct system_rows *rows, const struct class_ref *class)
{
    if (class->system != NULL) {
        return columns_put(rows, system_relation_make(class->system, rows->arena));
    }
    if (class->index != NULL) {
        return index_columns_put(rows, class->relation, class->index);
    }
    return class->relation->kind == RELATION_SEQUENCE ? sequence_columns_put(rows, class->relation)
                                                      : columns_put(rows, class->relation);
}

/* Calls `put` for each relation, index and system relation, or the one that is wanted. */
static err_t
classes_each(struct system_rows *rows, uint32_t column,
             err_t (*put)(struct system_rows *rows, const struct class_ref *class))
{
    const struct catalog *catalog = rows->catalog;
    struct class_ref class;
    int64_t only;
    err_t err = ERR_OK;

    if (rows_only(rows, column, &only)) {
        return class_find(catalog, (oid_t)only, &class) ? put(rows, &class) : ERR_OK;
    }
    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        class = (struct class_ref){.relation = catalog->relations[i]};
        TRY(put(rows, &class));
        for (uint32_t j = 0; j < class.relation->index_count; j++) {
            class.index = &class.relation->indexes[j];
            TRY(put(rows, &class));
        }
    }
    for (uint32_t i = 0; i < system_count(); i++) {
        class = (struct class_ref){.system = system_at(i)};
        TRY(put(rows, &class));
    }
out:
    return err;
}

err_t
fill_attribute(struct system_rows *rows)
{
    return classes_each(rows, ATTRIBUTE_RELATION, class_columns_put);
}

/* ---- pg_attrdef ---- */

enum { ATTRDEF_RELATION = 1 };

void
tree_put(struct system_rows *rows, uint32_t column, struct slice sql)
{
    if (row_wants(rows)) {
        row_name(rows, arena_printf(rows->arena, "%u %.*s", column, (int)sql.size,
                                    (const char *)sql.data));
    } else {
        row_null(rows, 1);
    }
}

oid_t
attrdef_oid(oid_t relation, uint32_t column)
{
    return relation * (RELATION_COLUMNS_MAX + 1) + column;
}

static err_t
defaults_put(struct system_rows *rows, const struct class_ref *class)
{
    const struct relation *relation = class->relation;
    err_t err = ERR_OK;

    for (uint32_t i = 0;
         err == ERR_OK && relation != NULL && class->index == NULL && i < relation->column_count;
         i++) {
        const struct column *column = &relation->columns[i];

        if (column->default_sql.size == 0 || column->is_dropped) {
            continue;
        }
        row_int(rows, attrdef_oid(relation->oid, i));
        row_int(rows, relation->oid);
        row_int(rows, i + 1);
        tree_put(rows, i + 1, column->default_sql);
        err = row_end(rows);
    }
    return err;
}

err_t
fill_attrdef(struct system_rows *rows)
{
    return classes_each(rows, ATTRDEF_RELATION, defaults_put);
}

/* ---- pg_sequence ---- */

enum { SEQUENCE_RELATION = 0 };

static err_t
sequence_put(struct system_rows *rows, const struct class_ref *class)
{
    const struct sequence *sequence;

    if (class->relation == NULL || class->index != NULL ||
        class->relation->kind != RELATION_SEQUENCE) {
        return ERR_OK;
    }
    sequence = &class->relation->sequence;
    row_int(rows, class->relation->oid);
    row_int(rows, sequence->type);
    row_int(rows, sequence->start);
    row_int(rows, sequence->increment);
    row_int(rows, sequence->max);
    row_int(rows, sequence->min);
    row_int(rows, sequence->cache);
    row_int(rows, sequence->is_cycled);
    return row_end(rows);
}

err_t
fill_sequence(struct system_rows *rows)
{
    return classes_each(rows, SEQUENCE_RELATION, sequence_put);
}

/* ---- pg_namespace ---- */

static err_t
namespace_put(struct system_rows *rows, oid_t oid, struct slice name, oid_t owner)
{
    row_int(rows, oid);
    row_text(rows, name);
    row_int(rows, owner);
    row_null(rows, 1);
    return row_end(rows);
}

err_t
fill_namespace(struct system_rows *rows)
{
    err_t err;

    TRY(namespace_put(rows, OID_SCHEMA_TOAST, SLICE("pg_toast"), OID_OWNER));
    for (uint32_t i = 0; i < rows->catalog->schema_count; i++) {
        const struct schema *schema = &rows->catalog->schemas[i];

        TRY(namespace_put(rows, schema->oid, schema->name, schema->owner));
    }
    TRY(namespace_put(rows, OID_SCHEMA_REDIS, SLICE("redis"), OID_OWNER));
    err = namespace_put(rows, OID_SCHEMA_INFORMATION, SLICE("information_schema"), OID_OWNER);
out:
    return err;
}
