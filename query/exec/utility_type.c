/* query/exec/utility_type.c - CREATE TYPE ... AS ENUM, ALTER TYPE. */
#include "models/relational/catalog_type.h"
#include "query/exec/utility_internal.h"

#include "engine/base/poison.h"

static err_t
type_write(struct utility *utility, const struct enum_type *type, oid_t oid)
{
    struct buf body;
    err_t err;

    buf_init(&body, MEM_SESSIONS);
    enum_type_encode(&body, type);
    err = catalog_object_put(utility->catalog, utility->exec->txn, CATALOG_TYPE, oid, 0,
                             buf_slice(&body));
    buf_fini(&body);
    return err;
}

static err_t
name_is_free(struct utility *utility, oid_t schema, struct slice name)
{
    return catalog_type_named(utility->catalog, schema, name) != NULL ||
                   catalog_relation(utility->catalog, schema, name) != NULL
               ? sql_error("42710", "type \"%.*s\" already exists", SLICE_ARGS(name))
               : ERR_OK;
}

/* _name, with more of these in front while it is taken. */
static struct slice
array_name_of(struct utility *utility, oid_t schema, struct slice name)
{
    const char *lines = "_";

    for (;;) {
        size_t size = MIN(name.size, (size_t)NAME_BYTES_MAX - strlen(lines));
        struct slice made = slice_from_text(arena_printf(utility->exec->arena, "%s%.*s", lines,
                                                         (int)size, (const char *)name.data));

        if (catalog_type_named(utility->catalog, schema, made) == NULL ||
            strlen(lines) >= NAME_BYTES_MAX) {
            return made;
        }
        lines = arena_printf(utility->exec->arena, "_%s", lines);
    }
}

static err_t
label_check(const char *label)
{
    if (strlen(label) <= ENUM_LABEL_BYTES_MAX) {
        return ERR_OK;
    }
    (void)sql_error("42602", "invalid enum label \"%s\"", label);
    return sql_detail("Labels must be %d bytes or less.", ENUM_LABEL_BYTES_MAX);
}

err_t
utility_create_enum(struct utility *utility, const CreateEnumStmt *node)
{
    RangeVar name = utility_range_var(node->typeName);
    struct enum_type type = {.owner = OID_ROLE_OWNER};
    const struct schema *schema;
    const ListCell *cell;
    oid_t oid;
    err_t err;

    utility->tag = "CREATE TYPE";
    TRY(utility_schema(utility, &name, &schema));
    type.schema = schema->oid;
    type.name = utility_name_of(utility, name.relname);
    TRY(name_is_free(utility, schema->oid, type.name));
    if (list_length(node->vals) > ENUM_LABELS_MAX) {
        return sql_error("54000", "an enum cannot have more than %d values", ENUM_LABELS_MAX);
    }
    oid = catalog_type_oid_take(utility->catalog);
    type.type.array = oid + 1;
    type.array_name = array_name_of(utility, schema->oid, type.name);
    type.labels = arena_alloc(utility->exec->arena,
                              ((size_t)list_length(node->vals) + 1) * sizeof(*type.labels));
    foreach(cell, node->vals)
    {
        const char *label = strVal(lfirst(cell));

        TRY(label_check(label));
        for (uint32_t i = 0; i < type.count; i++) {
            if (slice_equal(type.labels[i].name, slice_from_text(label))) {
                (void)sql_error("23505", "duplicate key value violates unique constraint "
                                         "\"pg_enum_typid_label_index\"");
                return sql_detail("Key (enumtypid, enumlabel)=(%u, %s) already exists.", oid,
                                  label);
            }
        }
        type.labels[type.count++] = (struct enum_label){.oid = catalog_oid_take(utility->catalog),
                                                        .name = slice_from_text(label)};
    }
    enum_places_set(type.labels, type.count);
    err = type_write(utility, &type, oid);
out:
    return err;
}

/* ---- ALTER TYPE, DROP TYPE: which is meant ---- */

err_t
utility_type_find(struct utility *utility, const List *names, const struct enum_type **type_out)
{
    RangeVar name = utility_range_var(names);
    const struct type *type = search_type(utility->catalog, utility->search_path, name.schemaname,
                                          slice_from_text(name.relname));

    *type_out = type != NULL ? enum_type_of(type) : NULL;
    if (type == NULL) {
        return sql_error("42704", "type \"%s%s%s\" does not exist",
                         name.schemaname != NULL ? name.schemaname : "",
                         name.schemaname != NULL ? "." : "", name.relname);
    }
    return *type_out != NULL ? ERR_OK : sql_error("42809", "%s is not an enum", type->display);
}

static err_t
no_label(const char *label)
{
    return sql_error("22023", "\"%s\" is not an existing enum label", label);
}

/* A copy whose labels may be changed, with room for one more. */
static struct enum_type
type_copy_of(struct utility *utility, const struct enum_type *type)
{
    struct enum_type copy = *type;

    copy.labels =
        arena_alloc(utility->exec->arena, ((size_t)type->count + 1) * sizeof(*copy.labels));
    if (type->count > 0) {
        memcpy(copy.labels, type->labels, type->count * sizeof(*copy.labels));
    }
    return copy;
}

static err_t
value_add(struct utility *utility, const struct enum_type *type, const AlterEnumStmt *node)
{
    struct enum_type changed = type_copy_of(utility, type);
    const struct enum_label *neighbour = NULL;
    uint32_t at = type->count;
    err_t err;

    TRY(label_check(node->newVal));
    if (enum_label_find(type, slice_from_text(node->newVal)) != NULL) {
        if (node->skipIfNewValExists) {
            utility_notice(utility, "42710", NULL, "enum label \"%s\" already exists, skipping",
                           node->newVal);
            return ERR_OK;
        }
        return sql_error("42710", "enum label \"%s\" already exists", node->newVal);
    }
    if (node->newValNeighbor != NULL) {
        neighbour = enum_label_find(type, slice_from_text(node->newValNeighbor));
        if (neighbour == NULL) {
            return no_label(node->newValNeighbor);
        }
        at = (uint32_t)(neighbour - type->labels) + node->newValIsAfter;
    }
    if (type->count == ENUM_LABELS_MAX) {
        return sql_error("54000", "an enum cannot have more than %d values", ENUM_LABELS_MAX);
    }
    memmove(changed.labels + at + 1, changed.labels + at,
            (type->count - at) * sizeof(*changed.labels));
    changed.count++;
    changed.labels[at] = (struct enum_label){.oid = catalog_oid_take(utility->catalog),
                                             .since = utility->catalog->version + 1,
                                             .name = slice_from_text(node->newVal)};
    TRY(enum_place_between(changed.labels, changed.count, at));
    err = type_write(utility, &changed, type->type.oid);
out:
    return err;
}

static err_t
value_rename(struct utility *utility, const struct enum_type *type, const AlterEnumStmt *node)
{
    struct enum_type changed = type_copy_of(utility, type);
    const struct enum_label *label = enum_label_find(type, slice_from_text(node->oldVal));
    err_t err;

    TRY(label_check(node->newVal));
    if (label == NULL) {
        return no_label(node->oldVal);
    }
    if (enum_label_find(type, slice_from_text(node->newVal)) != NULL) {
        return sql_error("42710", "enum label \"%s\" already exists", node->newVal);
    }
    changed.labels[label - type->labels].name = slice_from_text(node->newVal);
    err = type_write(utility, &changed, type->type.oid);
out:
    return err;
}

err_t
utility_alter_enum(struct utility *utility, const AlterEnumStmt *node)
{
    const struct enum_type *type;
    err_t err;

    utility->tag = "ALTER TYPE";
    TRY(utility_type_find(utility, node->typeName, &type));
    err = node->oldVal != NULL ? value_rename(utility, type, node) : value_add(utility, type, node);
out:
    return err;
}

err_t
utility_type_rename(struct utility *utility, const RenameStmt *node)
{
    const struct enum_type *type;
    struct enum_type changed;
    err_t err;

    utility->tag = "ALTER TYPE";
    TRY(utility_type_find(utility, (const List *)node->object, &type));
    changed = *type;
    changed.name = utility_name_of(utility, node->newname);
    TRY(name_is_free(utility, type->schema, changed.name));
    changed.array_name = array_name_of(utility, type->schema, changed.name);
    err = type_write(utility, &changed, type->type.oid);
out:
    return err;
}

err_t
utility_type_move(struct utility *utility, const AlterObjectSchemaStmt *node)
{
    const struct schema *schema =
        catalog_schema(utility->catalog, slice_from_text(node->newschema));
    const struct enum_type *type;
    struct enum_type changed;
    err_t err;

    TRY(utility_type_find(utility, (const List *)node->object, &type));
    if (schema == NULL) {
        return sql_error("3F000", "schema \"%s\" does not exist", node->newschema);
    }
    if (schema->oid == type->schema) {
        return ERR_OK;
    }
    TRY(name_is_free(utility, schema->oid, type->name));
    changed = *type;
    changed.schema = schema->oid;
    changed.array_name = array_name_of(utility, schema->oid, type->name);
    err = type_write(utility, &changed, type->type.oid);
out:
    return err;
}
