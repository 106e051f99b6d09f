/* query/exec/utility_drop.c - DROP and TRUNCATE: an object goes with what cannot be without it.
 *
 * First everything is found that goes (victims): what was named, what belongs to it and goes
 * without a word (its indexes, its sequences), and what depends on it, which only CASCADE takes
 * along. */
#include "query/exec/utility_internal.h"

#include "models/relational/rtable.h"
#include "models/relational/sequence.h"
#include "query/catalog/system.h"

#include "engine/base/poison.h"

enum victim_kind {
    VICTIM_RELATION,
    VICTIM_CONSTRAINT,
    VICTIM_DEFAULT,
    VICTIM_COLUMN,
    VICTIM_TYPE, /* .relation is the type's number. */
};

struct victim {
    enum victim_kind kind;
    oid_t relation;
    oid_t constraint;
    uint16_t column;
    bool is_silent;   /* Named by the statement, or part of another victim. */
    const char *text; /* "view v" */
    const char *why;  /* What it depends on. */
};

enum { DETAIL_LINES_MAX = 100, DETAIL_BYTES_MAX = ERR_MESSAGE_BYTES_MAX - 1 };

struct victims {
    struct utility *utility;
    struct victim *list;
    uint32_t count, capacity;
};

static bool
victim_add(struct victims *victims, struct victim victim)
{
    for (uint32_t i = 0; i < victims->count; i++) {
        const struct victim *other = &victims->list[i];

        if (other->kind == victim.kind && other->relation == victim.relation &&
            other->constraint == victim.constraint && other->column == victim.column) {
            return false;
        }
    }
    if (victims->count == victims->capacity) {
        uint32_t capacity = Max(16, victims->capacity * 2);
        struct victim *larger =
            arena_alloc(victims->utility->exec->arena, capacity * sizeof(*larger));

        if (victims->count > 0) {
            memcpy(larger, victims->list, victims->count * sizeof(*larger));
        }
        victims->list = larger;
        victims->capacity = capacity;
    }
    victims->list[victims->count++] = victim;
    return true;
}

static err_t relation_gather(struct victims *victims, const struct relation *relation,
                             bool is_silent, const char *why);

static err_t relation_follow(struct victims *victims, const struct relation *relation);

static bool
relation_add(struct victims *victims, const struct relation *relation, bool is_silent,
             const char *why)
{
    return victim_add(victims, (struct victim){
                                   .kind = VICTIM_RELATION,
                                   .relation = relation->oid,
                                   .is_silent = is_silent,
                                   .text = utility_describe(victims->utility, relation),
                                   .why = why,
                               });
}

/* Views that are made of it, or of its column (from 1). */
static err_t
views_gather(struct victims *victims, oid_t oid, uint16_t column, const char *why)
{
    const struct catalog *catalog = victims->utility->catalog;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        const struct relation *view = catalog->relations[i];

        for (uint32_t j = 0; j < view->dependency_count; j++) {
            if (view->dependencies[j].oid == oid && view->dependencies[j].column == column) {
                TRY(relation_gather(victims, view, false, why));
                break;
            }
        }
    }
out:
    return err;
}

static const char *
constraint_text(struct utility *utility, const struct relation *relation,
                const struct constraint *constraint)
{
    return arena_printf(utility->exec->arena, "constraint %s on %s",
                        utility_quote(utility, constraint->name),
                        utility_describe(utility, relation));
}

/* Foreign keys that refer to the table. column UINT16_MAX: any; index: only those that use it. */
static void
foreigns_gather(struct victims *victims, const struct relation *referenced, uint16_t column,
                oid_t index, const char *why)
{
    struct utility *utility = victims->utility;

    for (uint32_t i = 0; referenced->is_referenced && i < utility->catalog->relation_count; i++) {
        const struct relation *relation = utility->catalog->relations[i];

        for (uint32_t j = 0; j < relation->constraint_count; j++) {
            const struct constraint *constraint = &relation->constraints[j];
            bool is_meant =
                constraint->other == referenced->oid && (index == 0 || constraint->index == index);

            for (uint32_t k = 0; is_meant && column != UINT16_MAX && k < constraint->column_count;
                 k++) {
                is_meant = constraint->other_columns[k] == column;
                if (is_meant) {
                    break;
                }
            }
            if (is_meant) {
                (void)victim_add(victims,
                                 (struct victim){
                                     .kind = VICTIM_CONSTRAINT,
                                     .relation = relation->oid,
                                     .constraint = constraint->oid,
                                     .is_silent = relation == referenced,
                                     .text = constraint_text(utility, relation, constraint),
                                     .why = why,
                                 });
            }
        }
    }
}

/* Does the default draw from the sequence? */
bool
utility_default_draws(struct utility *utility, const struct relation *table,
                      const struct column *column, const struct relation *sequence)
{
    const struct slice sql = column->default_sql;
    const uint8_t *found = sql.size > 0 ? memmem(sql.data, sql.size, "nextval('", 9) : NULL;
    struct slice name;
    const uint8_t *end;
    const uint8_t *dot;
    const char *path =
        table->path.size > 0 ? utility_c_string(utility, table->path) : utility->search_path;
    const struct relation *meant;

    if (found == NULL) {
        return false;
    }
    found += 9;
    end = memchr(found, '\'', (size_t)(sql.data + sql.size - found));
    if (end == NULL) {
        return false;
    }
    name = slice_of(found, (size_t)(end - found));
    dot = memchr(name.data, '.', name.size);
    if (dot == NULL) {
        meant = search_relation(utility->catalog, path, NULL, name);
    } else {
        const char *schema =
            utility_c_string(utility, slice_of(name.data, (size_t)(dot - name.data)));

        meant = search_relation(utility->catalog, path, schema,
                                slice_of(dot + 1, (size_t)(end - dot - 1)));
    }
    return meant == sequence || slice_equal(name, sequence->name);
}

static void
defaults_gather(struct victims *victims, const struct relation *sequence, const char *why)
{
    struct utility *utility = victims->utility;

    for (uint32_t i = 0; i < utility->catalog->relation_count; i++) {
        const struct relation *table = utility->catalog->relations[i];

        for (uint16_t j = 0; j < table->column_count; j++) {
            const struct column *column = &table->columns[j];

            if (column->is_dropped || !utility_default_draws(utility, table, column, sequence)) {
                continue;
            }
            (void)victim_add(victims, (struct victim){
                                          .kind = VICTIM_DEFAULT,
                                          .relation = table->oid,
                                          .column = j,
                                          .text = arena_printf(utility->exec->arena,
                                                               "default value for column %s of %s",
                                                               utility_quote(utility, column->name),
                                                               utility_describe(utility, table)),
                                          .why = why,
                                      });
        }
    }
}

/* Sequences that belong to the table, or to one of its columns. */
static err_t
sequences_gather(struct victims *victims, const struct relation *table, uint16_t column)
{
    const struct catalog *catalog = victims->utility->catalog;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        const struct relation *sequence = catalog->relations[i];

        if (sequence->kind == RELATION_SEQUENCE && sequence->sequence.owner == table->oid &&
            (column == UINT16_MAX || sequence->sequence.column == column)) {
            TRY(relation_gather(victims, sequence, true, NULL));
        }
    }
out:
    return err;
}

static err_t
relation_gather(struct victims *victims, const struct relation *relation, bool is_silent,
                const char *why)
{
    return relation_add(victims, relation, is_silent, why) ? relation_follow(victims, relation)
                                                           : ERR_OK;
}

/* What goes with it. */
static err_t
relation_follow(struct victims *victims, const struct relation *relation)
{
    const char *text = utility_describe(victims->utility, relation);
    err_t err;

    TRY(sql_stack_check());
    TRY(sequences_gather(victims, relation, UINT16_MAX));
    if (relation->kind == RELATION_SEQUENCE) {
        defaults_gather(victims, relation, text);
    }
    foreigns_gather(victims, relation, UINT16_MAX, 0, text);
    err = views_gather(victims, relation->oid, 0, text);
out:
    return err;
}

static const char *
column_text(struct utility *utility, const struct relation *relation, uint16_t column)
{
    return arena_printf(utility->exec->arena, "column %s of %s",
                        utility_quote(utility, relation->columns[column].name),
                        utility_describe(utility, relation));
}

static const char *
type_text(struct utility *utility, const struct type *type)
{
    const char *text;
    struct buf name;

    buf_init(&name, MEM_SESSIONS);
    put_type(utility->catalog, utility->search_path, type, -1, &name);
    text = arena_printf(utility->exec->arena, "type %.*s", SLICE_ARGS(buf_slice(&name)));
    buf_fini(&name);
    return text;
}

/* A type with the columns that are of it, and what needs these. */
static err_t
type_gather(struct victims *victims, const struct enum_type *type, bool is_silent, const char *why)
{
    struct utility *utility = victims->utility;
    const char *text = type_text(utility, &type->type);
    err_t err = ERR_OK;

    (void)victim_add(victims, (struct victim){.kind = VICTIM_TYPE,
                                              .relation = type->type.oid,
                                              .is_silent = is_silent,
                                              .text = text,
                                              .why = why});
    for (uint32_t i = 0; i < utility->catalog->relation_count; i++) {
        const struct relation *relation = utility->catalog->relations[i];

        for (uint16_t j = 0; j < relation->virtual_count; j++) {
            oid_t of = relation->virtuals[j].type->oid;

            if (of == type->type.oid || of == type->array.oid) {
                return sql_error("0A000",
                                 "DROP of a type that an expression of an index gives is "
                                 "not supported: drop the index of table \"%.*s\" first",
                                 SLICE_ARGS(relation->name));
            }
        }
        for (uint16_t j = 0; j < relation->column_count; j++) {
            oid_t of = relation->columns[j].type->oid;
            const char *column;

            if ((of != type->type.oid && of != type->array.oid) ||
                relation->columns[j].is_dropped) {
                continue;
            }
            if (relation->kind == RELATION_VIEW) {
                TRY(relation_gather(victims, relation, false, text));
                break;
            }
            column = column_text(utility, relation, j);
            (void)victim_add(victims,
                             (struct victim){.kind = VICTIM_COLUMN,
                                             .relation = relation->oid,
                                             .column = j,
                                             .text = column,
                                             .why = type_text(utility, relation->columns[j].type)});
            TRY(sequences_gather(victims, relation, j));
            foreigns_gather(victims, relation, j, 0, column);
            TRY(views_gather(victims, relation->oid, (uint16_t)(j + 1), column));
        }
    }
out:
    return err;
}

static void
type_remove(struct utility *utility, oid_t oid)
{
    catalog_notes_delete(utility->catalog, utility->exec->txn, oid, 0);
    catalog_object_delete(utility->catalog, utility->exec->txn, CATALOG_TYPE, oid, 0);
}

/* ---- May they go? ---- */

static bool
owner_goes(const struct victims *victims, const struct victim *victim)
{
    for (uint32_t i = 0; i < victims->count; i++) {
        if (victims->list[i].kind == VICTIM_RELATION && victim->kind != VICTIM_RELATION &&
            victims->list[i].relation == victim->relation) {
            return true;
        }
    }
    return false;
}

/* Lines about what goes along, and how many they are. */
static uint32_t
lines_put(const struct victims *victims, bool is_cascade, struct buf *out)
{
    uint32_t count = 0, shown = 0;

    for (uint32_t i = 0; i < victims->count; i++) {
        const struct victim *victim = &victims->list[i];
        size_t before = out->size;

        if (victim->is_silent || owner_goes(victims, victim)) {
            continue;
        }
        count++;
        if (count > DETAIL_LINES_MAX) {
            continue;
        }
        if (is_cascade) {
            buf_printf(out, "%sdrop cascades to %s", out->size > 0 ? "\n" : "", victim->text);
        } else {
            buf_printf(out, "%s%s depends on %s", out->size > 0 ? "\n" : "", victim->text,
                       victim->why);
        }
        if (out->size > DETAIL_BYTES_MAX - 64) {
            out->size = before;
            continue;
        }
        shown++;
    }
    if (shown < count) {
        buf_printf(out, "\nand %u other objects (see server log for list)", count - shown);
    }
    return count;
}

static err_t
victims_check(struct victims *victims, const char *root, bool is_cascade)
{
    struct buf lines;
    uint32_t count;
    err_t err = ERR_OK;

    buf_init(&lines, MEM_SESSIONS);
    count = lines_put(victims, is_cascade, &lines);
    if (count > 0 && !is_cascade) {
        if (root != NULL) {
            (void)sql_error("2BP01", "cannot drop %s because other objects depend on it", root);
        } else {
            (void)sql_error("2BP01", "cannot drop desired object(s) because other objects depend "
                                     "on them");
        }
        (void)sql_detail("%.*s", SLICE_ARGS(buf_slice(&lines)));
        err = sql_hint("Use DROP ... CASCADE to drop the dependent objects too.");
    } else if (count == 1) {
        utility_notice(victims->utility, "00000", NULL, "%.*s", SLICE_ARGS(buf_slice(&lines)));
    } else if (count > 1) {
        buf_append_byte(&lines, 0);
        utility_notice(victims->utility, "00000", (const char *)lines.data,
                       "drop cascades to %u other objects", count);
    }
    buf_fini(&lines);
    return err;
}

/* ---- They go ---- */

static void
index_remove(struct utility *utility, struct relation *relation, oid_t oid)
{
    uint16_t kept = 0;

    for (uint32_t i = 0; i < relation->index_count; i++) {
        if (relation->indexes[i].oid == oid) {
            rtable_storage_delete(utility->exec->txn, relation->indexes[i].storage);
            catalog_notes_delete(utility->catalog, utility->exec->txn, oid, 0);
        } else {
            relation->indexes[kept++] = relation->indexes[i];
        }
    }
    relation->index_count = kept;
    for (uint32_t i = 0; i < relation->virtual_count; i++) {
        if (relation->virtuals[i].index == oid) {
            relation->virtuals[i].index = 0;
        }
    }
    while (relation->virtual_count > 0 &&
           relation->virtuals[relation->virtual_count - 1].index == 0) {
        relation->virtual_count--;
    }
}

/* Rows that were sorted by the primary key are written anew, under hidden ids. */
static err_t
primary_remove(struct utility *utility, const struct relation *old, struct relation *relation)
{
    struct expr **exprs =
        arena_alloc(utility->exec->arena, (relation->column_count + 1U) * sizeof(*exprs));
    uint16_t kept = 0;

    memset(exprs, 0, (relation->column_count + 1U) * sizeof(*exprs));
    for (uint32_t i = 0; i < relation->index_count; i++) {
        if (relation->indexes[i].storage != 0) {
            relation->indexes[kept++] = relation->indexes[i];
        }
    }
    relation->index_count = kept;
    relation->primary = NULL;
    return utility_rewrite(utility, old, relation, exprs);
}

static err_t
constraint_remove(struct utility *utility, oid_t oid, oid_t constraint_oid)
{
    const struct relation *old = catalog_relation_by_oid(utility->catalog, oid);
    struct relation *relation;
    struct constraint gone = {0};
    const struct index *index;
    uint16_t kept = 0;
    err_t err = ERR_OK;

    if (old == NULL) {
        return ERR_OK;
    }
    TRY(utility_lock(utility, old));
    relation = utility_change(utility, old, 0);
    for (uint32_t i = 0; i < relation->constraint_count; i++) {
        if (relation->constraints[i].oid == constraint_oid) {
            gone = relation->constraints[i];
        } else {
            relation->constraints[kept++] = relation->constraints[i];
        }
    }
    relation->constraint_count = kept;
    index = gone.kind == CONSTRAINT_PRIMARY || gone.kind == CONSTRAINT_UNIQUE
                ? relation_index_by_oid(old, gone.index)
                : NULL;
    if (index != NULL && index->storage == 0) {
        TRY(primary_remove(utility, old, relation));
    } else if (index != NULL) {
        index_remove(utility, relation, index->oid);
    }
    catalog_notes_delete(utility->catalog, utility->exec->txn, constraint_oid, 0);
    utility_put(utility, relation);
out:
    return err;
}

static err_t
relation_remove(struct utility *utility, oid_t oid)
{
    const struct relation *relation = catalog_relation_by_oid(utility->catalog, oid);
    err_t err = ERR_OK;

    if (relation == NULL) {
        return ERR_OK;
    }
    TRY(utility_lock(utility, relation));
    if (relation->kind == RELATION_TABLE) {
        rtable_truncate(utility->exec->txn, relation);
    } else if (relation->kind == RELATION_SEQUENCE) {
        sequence_state_delete(utility->exec->txn, relation->sequence.state);
    }
    for (uint32_t i = 0; i < relation->index_count; i++) {
        catalog_notes_delete(utility->catalog, utility->exec->txn, relation->indexes[i].oid, 0);
    }
    for (uint32_t i = 0; i < relation->constraint_count; i++) {
        catalog_notes_delete(utility->catalog, utility->exec->txn, relation->constraints[i].oid, 0);
    }
    catalog_relation_delete(utility->catalog, utility->exec->txn, oid);
out:
    return err;
}

static void
default_remove(struct utility *utility, oid_t oid, uint16_t column)
{
    const struct relation *old = catalog_relation_by_oid(utility->catalog, oid);
    struct relation *relation;

    if (old != NULL) {
        relation = utility_change(utility, old, 0);
        relation->columns[column].default_sql = slice_of(NULL, 0);
        utility_put(utility, relation);
    }
}

static bool
uses_column(const uint16_t *columns, uint32_t count, uint16_t column)
{
    for (uint32_t i = 0; i < count; i++) {
        if (columns[i] == column) {
            return true;
        }
    }
    return false;
}

/* Does SQL of the table name the column? */
static bool
text_uses(const struct relation *relation, struct slice sql, uint16_t column)
{
    return text_has_name(sql, relation->columns[column].name);
}

static bool
index_uses(const struct relation *relation, const struct index *index, uint16_t column)
{
    bool uses = uses_column(index->columns, index->column_count, column) ||
                uses_column(index->included, index->included_count, column);

    for (uint32_t i = 0; !uses && i < relation->virtual_count; i++) {
        uses = relation->virtuals[i].index == index->oid &&
               text_uses(relation, relation->virtuals[i].sql, column);
    }
    return uses;
}

/* Constraints and indexes that are about the column go with it. */
static err_t
column_parts_remove(struct utility *utility, oid_t oid, uint16_t column)
{
    const struct relation *relation = catalog_relation_by_oid(utility->catalog, oid);
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < relation->constraint_count;) {
        const struct constraint *constraint = &relation->constraints[i];
        bool includes = false;

        for (uint32_t j = 0; j < relation->index_count; j++) {
            includes = includes || (relation->indexes[j].oid == constraint->index &&
                                    constraint->kind != CONSTRAINT_FOREIGN &&
                                    index_uses(relation, &relation->indexes[j], column));
        }
        if (includes || uses_column(constraint->columns, constraint->column_count, column)) {
            TRY(constraint_remove(utility, oid, constraint->oid));
            relation = catalog_relation_by_oid(utility->catalog, oid);
            i = 0;
        } else {
            i++;
        }
    }
    for (uint32_t i = 0; i < relation->index_count;) {
        if (index_uses(relation, &relation->indexes[i], column)) {
            struct relation *changed = utility_change(utility, relation, 0);

            index_remove(utility, changed, relation->indexes[i].oid);
            utility_put(utility, changed);
            relation = catalog_relation_by_oid(utility->catalog, oid);
            i = 0;
        } else {
            i++;
        }
    }
out:
    return err;
}

static err_t
column_remove(struct utility *utility, oid_t oid, uint16_t column)
{
    struct relation *relation;
    struct column *gone;
    err_t err;

    TRY(column_parts_remove(utility, oid, column));
    relation = utility_change(utility, catalog_relation_by_oid(utility->catalog, oid), 0);
    gone = &relation->columns[column];
    gone->is_dropped = true;
    if (gone->type->oid >= OID_FIRST_USER) { /* It may go: integers lie in rows as enums do. */
        gone->type = gone->type->element_type != NULL ? type_by_oid(OID_INT8)->array_type
                                                      : type_by_oid(OID_INT8);
    }
    gone->is_not_null = false;
    gone->is_generated = false;
    gone->identity = 0;
    gone->has_missing = false;
    gone->missing = slice_of(NULL, 0);
    gone->default_sql = slice_of(NULL, 0);
    gone->name = slice_from_text(
        arena_printf(utility->exec->arena, "........pg.dropped.%u........", column + 1U));
    catalog_notes_delete(utility->catalog, utility->exec->txn, oid, column + 1U);
    utility_put(utility, relation);
out:
    return err;
}

static err_t
victims_remove(struct victims *victims)
{
    static const enum victim_kind order[] = {VICTIM_CONSTRAINT, VICTIM_DEFAULT, VICTIM_COLUMN,
                                             VICTIM_RELATION, VICTIM_TYPE};
    struct utility *utility = victims->utility;
    err_t err = ERR_OK;

    for (uint32_t pass = 0; pass < sizeof(order) / sizeof(order[0]); pass++) {
        for (uint32_t i = 0; i < victims->count; i++) {
            const struct victim *victim = &victims->list[i];

            if (victim->kind != order[pass]) {
                continue;
            }
            if (victim->kind == VICTIM_TYPE) {
                type_remove(utility, victim->relation);
            } else if (victim->kind == VICTIM_RELATION) {
                TRY(relation_remove(utility, victim->relation));
            } else if (!owner_goes(victims, victim)) {
                if (victim->kind == VICTIM_CONSTRAINT) {
                    TRY(constraint_remove(utility, victim->relation, victim->constraint));
                } else if (victim->kind == VICTIM_DEFAULT) {
                    default_remove(utility, victim->relation, victim->column);
                } else {
                    TRY(column_remove(utility, victim->relation, victim->column));
                }
            }
        }
    }
out:
    return err;
}

static err_t
victims_finish(struct victims *victims, const char *root, bool is_cascade)
{
    err_t err = victims_check(victims, root, is_cascade);

    return err == ERR_OK ? victims_remove(victims) : err;
}

err_t
utility_drop_relation(struct utility *utility, oid_t oid, bool is_cascade)
{
    struct victims victims = {.utility = utility};
    const struct relation *relation = catalog_relation_by_oid(utility->catalog, oid);
    err_t err;

    TRY(relation_gather(&victims, relation, true, NULL));
    err = victims_finish(&victims, victims.list[0].text, is_cascade);
out:
    return err;
}

err_t
utility_drop_column(struct utility *utility, oid_t oid, uint16_t column, bool is_cascade)
{
    struct victims victims = {.utility = utility};
    const struct relation *relation = catalog_relation_by_oid(utility->catalog, oid);
    const char *root = arena_printf(utility->exec->arena, "column %s of %s",
                                    utility_quote(utility, relation->columns[column].name),
                                    utility_describe(utility, relation));
    err_t err;

    (void)victim_add(&victims, (struct victim){.kind = VICTIM_COLUMN,
                                               .relation = oid,
                                               .column = column,
                                               .is_silent = true,
                                               .text = root});
    for (uint16_t i = 0; i < relation->column_count; i++) {
        const struct column *other = &relation->columns[i];

        if (other->is_generated && !other->is_dropped && i != column &&
            text_uses(relation, other->default_sql, column)) {
            (void)victim_add(&victims, (struct victim){.kind = VICTIM_COLUMN,
                                                       .relation = oid,
                                                       .column = i,
                                                       .text = arena_printf(
                                                           utility->exec->arena, "column %s of %s",
                                                           utility_quote(utility, other->name),
                                                           utility_describe(utility, relation)),
                                                       .why = root});
        }
    }
    TRY(sequences_gather(&victims, relation, column));
    foreigns_gather(&victims, relation, column, 0, root);
    TRY(views_gather(&victims, oid, (uint16_t)(column + 1), root));
    err = victims_finish(&victims, root, is_cascade);
out:
    return err;
}

err_t
utility_drop_constraint(struct utility *utility, oid_t oid, struct slice name, bool is_cascade)
{
    struct victims victims = {.utility = utility};
    const struct relation *relation = catalog_relation_by_oid(utility->catalog, oid);
    const struct constraint *constraint = relation_constraint(relation, name);
    const char *root = constraint_text(utility, relation, constraint);

    (void)victim_add(&victims, (struct victim){.kind = VICTIM_CONSTRAINT,
                                               .relation = oid,
                                               .constraint = constraint->oid,
                                               .is_silent = true,
                                               .text = root});
    if (constraint->kind == CONSTRAINT_PRIMARY || constraint->kind == CONSTRAINT_UNIQUE) {
        foreigns_gather(&victims, relation, UINT16_MAX, constraint->index,
                        arena_printf(utility->exec->arena, "index %s",
                                     utility_quote(utility, constraint->name)));
    }
    return victims_finish(&victims, root, is_cascade);
}

/* ---- DROP ---- */

static const struct {
    ObjectType type;
    char kind; /* enum relation_kind; 0: it is no relation of its own. */
    const char *tag, *word, *article;
} drops[] = {
    {OBJECT_TABLE, RELATION_TABLE, "DROP TABLE", "table", "a table"},
    {OBJECT_VIEW, RELATION_VIEW, "DROP VIEW", "view", "a view"},
    {OBJECT_SEQUENCE, RELATION_SEQUENCE, "DROP SEQUENCE", "sequence", "a sequence"},
    {OBJECT_INDEX, RELATION_INDEX, "DROP INDEX", "index", "an index"},
    {OBJECT_SCHEMA, 0, "DROP SCHEMA", "schema", "a schema"},
    {OBJECT_MATVIEW, 'm', "DROP MATERIALIZED VIEW", "materialized view", "a materialized view"},
};
enum { DROPS = sizeof(drops) / sizeof(drops[0]), DROP_INDEX = 3, DROP_SCHEMA = 4 };

static err_t
missing(struct utility *utility, const DropStmt *node, const char *kind, const char *name)
{
    const char *sqlstate = strcmp(kind, "schema") == 0  ? "3F000"
                           : strcmp(kind, "index") == 0 ? "42704"
                                                        : "42P01";

    if (node->missing_ok) {
        utility_notice(utility, "00000", NULL, "%s \"%s\" does not exist, skipping", kind, name);
        return ERR_OK;
    }
    return sql_error(sqlstate, "%s \"%s\" does not exist", kind, name);
}

static err_t
wrong_kind(const struct relation *relation, bool is_index, uint32_t drop, const char *name)
{
    (void)sql_error("42809", "\"%s\" is not %s", name, drops[drop].article);
    for (uint32_t i = 0; i < DROPS; i++) {
        if (is_index ? i == DROP_INDEX : drops[i].kind == relation->kind) {
            return sql_hint("Use %s to remove %s.", drops[i].tag, drops[i].article);
        }
    }
    return ERR_SQL;
}

static err_t
index_drop(struct utility *utility, const struct relation *relation, const struct index *index)
{
    struct victims victims = {.utility = utility};
    struct relation *changed;
    err_t err;

    for (uint32_t i = 0; i < relation->constraint_count; i++) {
        const struct constraint *constraint = &relation->constraints[i];

        if (constraint->index == index->oid && constraint->kind != CONSTRAINT_FOREIGN) {
            const char *text = constraint_text(utility, relation, constraint);

            (void)sql_error("2BP01", "cannot drop index %s because %s requires it",
                            utility_quote(utility, index->name), text);
            return sql_hint("You can drop %s instead.", text);
        }
    }
    foreigns_gather(
        &victims, relation, UINT16_MAX, index->oid,
        arena_printf(utility->exec->arena, "index %s", utility_quote(utility, index->name)));
    TRY(victims_finish(
        &victims,
        arena_printf(utility->exec->arena, "index %s", utility_quote(utility, index->name)),
        false));
    TRY(utility_lock(utility, relation));
    changed = utility_change(utility, relation, 0);
    index_remove(utility, changed, index->oid);
    utility_put(utility, changed);
out:
    return err;
}

static err_t
sequence_may_go(struct utility *utility, const struct relation *sequence)
{
    const struct relation *table =
        catalog_relation_by_oid(utility->catalog, sequence->sequence.owner);
    const char *column;

    if (!sequence->sequence.is_identity || table == NULL) {
        return ERR_OK;
    }
    column = arena_printf(utility->exec->arena, "column %s of %s",
                          utility_quote(utility, table->columns[sequence->sequence.column].name),
                          utility_describe(utility, table));
    (void)sql_error("2BP01", "cannot drop sequence %s because %s requires it",
                    utility_qualified(utility, sequence), column);
    return sql_hint("You can drop %s instead.", column);
}

static err_t
schema_gather(struct victims *victims, const struct schema *schema)
{
    struct utility *utility = victims->utility;
    const char *why =
        arena_printf(utility->exec->arena, "schema %s", utility_quote(utility, schema->name));
    uint32_t first = victims->count, last, objects_count;
    const struct object *objects;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < utility->catalog->relation_count; i++) {
        const struct relation *relation = utility->catalog->relations[i];

        /* A sequence that belongs to a table goes with it, without a word. */
        if (relation->schema == schema->oid &&
            (relation->kind != RELATION_SEQUENCE || relation->sequence.owner == 0)) {
            (void)relation_add(victims, relation, false, why);
        }
    }
    objects = catalog_objects(utility->catalog, CATALOG_TYPE, &objects_count);
    for (uint32_t i = 0; i < objects_count; i++) {
        const struct enum_type *type = objects[i].decoded;

        if (type->schema == schema->oid) {
            TRY(type_gather(victims, type, false, why));
        }
    }
    last = victims->count;
    for (uint32_t i = first; i < last; i++) {
        if (victims->list[i].kind == VICTIM_RELATION) {
            TRY(relation_follow(
                victims, catalog_relation_by_oid(utility->catalog, victims->list[i].relation)));
        }
    }
out:
    return err;
}

/* What one name of the statement stands for goes into victims, or is dropped at once (indexes). */
static err_t
name_gather(struct utility *utility, const DropStmt *node, uint32_t drop, const List *names,
            struct victims *victims)
{
    RangeVar name = utility_range_var(names);
    const struct index *index = NULL;
    const struct relation *relation, *indexed;
    err_t err;

    if (name.schemaname != NULL && strcmp(name.schemaname, "pg_temp") != 0 &&
        catalog_schema(utility->catalog, slice_from_text(name.schemaname)) == NULL) {
        return missing(utility, node, "schema", name.schemaname);
    }
    relation = search_relation(utility->catalog, utility->search_path, name.schemaname,
                               slice_from_text(name.relname));
    indexed = relation == NULL
                  ? search_index(utility->catalog, utility->search_path, name.schemaname,
                                 slice_from_text(name.relname), &index)
                  : NULL;
    if (relation == NULL && indexed == NULL) {
        return missing(utility, node, drops[drop].word, name.relname);
    }
    if (indexed != NULL) {
        return drop == DROP_INDEX ? index_drop(utility, indexed, index)
                                  : wrong_kind(indexed, true, drop, name.relname);
    }
    if (relation->kind != drops[drop].kind) {
        return wrong_kind(relation, false, drop, name.relname);
    }
    if (relation->kind == RELATION_SEQUENCE) {
        TRY(sequence_may_go(utility, relation));
    }
    err = relation_gather(victims, relation, true, NULL);
out:
    return err;
}

/* What was named goes without a word, wherever else it was found. */
static void
roots_mark(struct victims *victims, const oid_t *roots, uint32_t count)
{
    for (uint32_t i = 0; i < victims->count; i++) {
        for (uint32_t j = 0; j < count; j++) {
            if (victims->list[i].kind == VICTIM_RELATION && victims->list[i].relation == roots[j]) {
                victims->list[i].is_silent = true;
            }
        }
    }
}

static err_t
relations_drop(struct utility *utility, const DropStmt *node, uint32_t drop)
{
    struct victims victims = {.utility = utility};
    oid_t *roots = arena_alloc(utility->exec->arena,
                               ((size_t)list_length(node->objects) + 1) * sizeof(*roots));
    uint32_t count = 0;
    const char *root = NULL;
    const ListCell *cell;
    err_t err = ERR_OK;

    foreach(cell, node->objects)
    {
        const List *names = lfirst(cell);
        RangeVar name = utility_range_var(names);
        const struct relation *relation;

        TRY(name_gather(utility, node, drop, names, &victims));
        relation = search_relation(utility->catalog, utility->search_path, name.schemaname,
                                   slice_from_text(name.relname));
        if (relation != NULL) {
            roots[count++] = relation->oid;
            root = utility_describe(utility, relation);
        }
    }
    roots_mark(&victims, roots, count);
    err = victims_finish(&victims, count == 1 ? root : NULL, node->behavior == DROP_CASCADE);
out:
    return err;
}

static err_t
schemas_drop(struct utility *utility, const DropStmt *node)
{
    struct victims victims = {.utility = utility};
    const char *root = NULL;
    const ListCell *cell;
    uint32_t count = 0;
    err_t err = ERR_OK;

    foreach(cell, node->objects)
    {
        const char *name = strVal(lfirst(cell));
        const struct schema *schema = catalog_schema(utility->catalog, slice_from_text(name));

        if (schema != NULL && schema->oid == OID_SCHEMA_CATALOG) {
            return sql_error("2BP01",
                             "cannot drop schema %s because it is required by the database "
                             "system",
                             name);
        }
        if (schema == NULL) {
            TRY(missing(utility, node, "schema", name));
            continue;
        }
        count++;
        root =
            arena_printf(utility->exec->arena, "schema %s", utility_quote(utility, schema->name));
        TRY(schema_gather(&victims, schema));
    }
    TRY(victims_finish(&victims, count == 1 ? root : NULL, node->behavior == DROP_CASCADE));
    foreach(cell, node->objects)
    {
        const struct schema *schema =
            catalog_schema(utility->catalog, slice_from_text(strVal(lfirst(cell))));

        if (schema != NULL) {
            oid_t oid = schema->oid;

            catalog_schema_delete(utility->catalog, utility->exec->txn, oid);
            catalog_notes_delete(utility->catalog, utility->exec->txn, oid, 0);
        }
    }
out:
    return err;
}

static err_t
types_drop(struct utility *utility, const DropStmt *node)
{
    struct victims victims = {.utility = utility};
    const char *root = NULL;
    const ListCell *cell;
    err_t err = ERR_OK;

    utility->tag = "DROP TYPE";
    foreach(cell, node->objects)
    {
        const List *names = ((const TypeName *)lfirst(cell))->names;
        RangeVar name = utility_range_var(names);
        const struct enum_type *type;

        if (node->missing_ok && search_type(utility->catalog, utility->search_path, name.schemaname,
                                            slice_from_text(name.relname)) == NULL) {
            utility_notice(utility, "00000", NULL, "type \"%s%s%s\" does not exist, skipping",
                           name.schemaname != NULL ? name.schemaname : "",
                           name.schemaname != NULL ? "." : "", name.relname);
            continue;
        }
        TRY(utility_type_find(utility, names, &type));
        root = type_text(utility, &type->type);
        TRY(type_gather(&victims, type, true, NULL));
    }
    err = victims_finish(&victims, list_length(node->objects) == 1 ? root : NULL,
                         node->behavior == DROP_CASCADE);
out:
    return err;
}

err_t
utility_drop(struct utility *utility, const DropStmt *node)
{
    if (node->removeType == OBJECT_TYPE) {
        return types_drop(utility, node);
    }
    for (uint32_t i = 0; i < DROPS; i++) {
        if (drops[i].type == node->removeType) {
            utility->tag = drops[i].tag;
            if (node->concurrent && utility->is_block) {
                return sql_error("25001", "DROP INDEX CONCURRENTLY cannot run inside a "
                                          "transaction block");
            }
            return i == DROP_SCHEMA ? schemas_drop(utility, node)
                                    : relations_drop(utility, node, i);
        }
    }
    return sql_error("0A000", "DROP of objects of this kind is not supported yet");
}

/* ---- TRUNCATE ---- */

struct truncated {
    const struct relation **list;
    uint32_t count;
};

static bool
is_truncated(const struct truncated *tables, oid_t oid)
{
    for (uint32_t i = 0; i < tables->count; i++) {
        if (tables->list[i]->oid == oid) {
            return true;
        }
    }
    return false;
}

/* Tables that refer to those in the list: with CASCADE they are truncated, too. */
static err_t
references_follow(struct utility *utility, const TruncateStmt *node, struct truncated *tables)
{
    const struct catalog *catalog = utility->catalog;

    for (uint32_t i = 0; i < tables->count; i++) {
        const struct relation *referenced = tables->list[i];

        for (uint32_t j = 0; referenced->is_referenced && j < catalog->relation_count; j++) {
            const struct relation *relation = catalog->relations[j];

            for (uint32_t k = 0; k < relation->constraint_count; k++) {
                const struct constraint *constraint = &relation->constraints[k];

                if (constraint->other != referenced->oid || is_truncated(tables, relation->oid)) {
                    continue;
                }
                if (node->behavior != DROP_CASCADE) {
                    (void)sql_error("0A000", "cannot truncate a table referenced in a foreign key "
                                             "constraint");
                    (void)sql_detail("Table \"%.*s\" references \"%.*s\".",
                                     SLICE_ARGS(relation->name), SLICE_ARGS(referenced->name));
                    return sql_hint("Truncate table \"%.*s\" at the same time, or use TRUNCATE ... "
                                    "CASCADE.",
                                    SLICE_ARGS(relation->name));
                }
                utility_notice(utility, "00000", NULL, "truncate cascades to table \"%.*s\"",
                               SLICE_ARGS(relation->name));
                tables->list[tables->count++] = relation;
            }
        }
    }
    return ERR_OK;
}

static err_t
sequences_restart(struct utility *utility, const struct relation *table)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < utility->catalog->relation_count; i++) {
        const struct relation *sequence = utility->catalog->relations[i];

        if (sequence->kind == RELATION_SEQUENCE && sequence->sequence.owner == table->oid) {
            TRY(utility_sequence_restart(utility, sequence));
        }
    }
out:
    return err;
}

err_t
utility_truncate(struct utility *utility, const TruncateStmt *node)
{
    struct truncated tables = {0};
    const ListCell *cell;
    err_t err = ERR_OK;

    utility->tag = "TRUNCATE TABLE";
    tables.list = arena_alloc(utility->exec->arena,
                              (utility->catalog->relation_count + 1U) * sizeof(*tables.list));
    foreach(cell, node->relations)
    {
        const struct relation *relation;

        TRY(utility_relation(utility, lfirst(cell), false, &relation));
        if (relation->kind != RELATION_TABLE) {
            err = sql_error("42809", "\"%.*s\" is not a table", SLICE_ARGS(relation->name));
            goto out;
        }
        if (!is_truncated(&tables, relation->oid)) {
            tables.list[tables.count++] = relation;
        }
    }
    TRY(references_follow(utility, node, &tables));
    for (uint32_t i = 0; i < tables.count; i++) {
        TRY(utility_lock(utility, tables.list[i]));
        rtable_truncate(utility->exec->txn, tables.list[i]);
        if (node->restart_seqs) {
            TRY(sequences_restart(utility, tables.list[i]));
        }
    }
out:
    return err;
}
