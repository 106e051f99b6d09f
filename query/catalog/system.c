/* query/catalog/system.c - the table of system relations. */
#include "query/catalog/system.h"

#include <string.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { PART_COUNT = 5 };

static const struct system_part *
part_at(uint32_t index)
{
    static const struct system_part *const parts[PART_COUNT] = {
        &system_part_tables,      &system_part_empty, &system_part_views,
        &system_part_information, &system_part_redis,
    };

    return parts[index];
}

uint32_t
system_count(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < PART_COUNT; i++) {
        count += part_at(i)->count;
    }
    return count;
}

const struct system_relation *
system_at(uint32_t index)
{
    uint32_t part = 0;

    while (index >= part_at(part)->count) {
        index -= part_at(part++)->count;
        ASSERT(part < PART_COUNT);
    }
    return &part_at(part)->relations[index];
}

oid_t
system_schema_oid(enum system_schema schema)
{
    switch (schema) {
    case SYSTEM_CATALOG:
        return OID_SCHEMA_CATALOG;
    case SYSTEM_INFORMATION:
        return OID_SCHEMA_INFORMATION;
    default:
        return OID_SCHEMA_REDIS;
    }
}

const struct system_relation *
system_find(const char *schema, struct slice name)
{
    enum system_schema wanted = SYSTEM_CATALOG;

    if (schema != NULL && strcmp(schema, "information_schema") == 0) {
        wanted = SYSTEM_INFORMATION;
    } else if (schema != NULL && strcmp(schema, "redis") == 0) {
        wanted = SYSTEM_REDIS;
    } else if ((schema != NULL && strcmp(schema, "pg_catalog") != 0) || name.size < 3 ||
               memcmp(name.data, "pg_", 3) != 0) {
        return NULL; /* All names in pg_catalog begin so. */
    }
    for (uint32_t part = 0; part < PART_COUNT; part++) {
        for (uint32_t i = 0; i < part_at(part)->count; i++) {
            const struct system_relation *relation = &part_at(part)->relations[i];

            if (relation->schema == wanted && slice_equal(slice_from_text(relation->name), name)) {
                return relation;
            }
        }
    }
    return NULL;
}

const struct system_relation *
system_by_oid(oid_t oid)
{
    for (uint32_t part = 0; oid < OID_FIRST_USER && part < PART_COUNT; part++) {
        for (uint32_t i = 0; i < part_at(part)->count; i++) {
            if (part_at(part)->relations[i].oid == oid) {
                return &part_at(part)->relations[i];
            }
        }
    }
    return NULL;
}

/* Reads "name type!" up to the comma. */
static const char *
column_read(const char *at, struct column *column)
{
    const char *space = strchr(at, ' ');
    size_t size = strcspn(space + 1, "!,");

    *column = (struct column){.name = slice_of(at, (size_t)(space - at)), .typmod = -1};
    column->type = type_by_name(slice_of(space + 1, size));
    if (column->type == NULL) {
        column->type = type_by_oid(OID_TEXT);
    }
    at = space + 1 + size;
    column->is_not_null = *at == '!';
    at += column->is_not_null;
    return *at == ',' ? at + 2 : at;
}

/* What ON CONFLICT may name. */
static void
key_make(const struct system_relation *system, struct relation *relation, struct arena *arena)
{
    struct index *index = arena_alloc(arena, sizeof(*index));

    *index = (struct index){.is_unique = true, .is_primary = true};
    index->name = slice_from_text(arena_printf(arena, "%s_pkey", system->name));
    for (uint16_t i = 0; i < system->key_columns; i++) {
        index->columns[index->column_count++] = i;
    }
    relation->indexes = index;
    relation->index_count = 1;
}

const struct relation *
system_relation_make(const struct system_relation *system, struct arena *arena)
{
    struct relation *relation = arena_alloc(arena, sizeof(*relation));
    struct column *columns = arena_alloc(arena, SYSTEM_COLUMNS_MAX * sizeof(*columns));
    const char *at = system->columns;

    memset(relation, 0, sizeof(*relation));
    while (*at != '\0') {
        ASSERT(relation->column_count < SYSTEM_COLUMNS_MAX);
        at = column_read(at, &columns[relation->column_count++]);
    }
    relation->oid = system->oid;
    relation->schema = system_schema_oid(system->schema);
    relation->owner = OID_OWNER;
    relation->kind = system->kind;
    relation->name = slice_from_text(system->name);
    relation->columns = columns;
    if (system->view_sql != NULL) {
        relation->view_sql = slice_from_text(system->view_sql);
    }
    if (system->key_columns > 0) {
        key_make(system, relation, arena);
    }
    return relation;
}
