/* tests/fuzz/fuzz_sql.c - any text as SQL: parsing, binding and planning end in a plan or an error,
 * and read nothing else. Then the same bytes as values of each type, in text and in binary form. */
#include <stdint.h>
#include <stdlib.h>

#include "models/types/type.h"
#include "query/bind/bind.h"
#include "query/parse/nodes.h"
#include "query/parse/parse.h"
#include "query/plan/plan.h"

enum { TEXT_MAX = 4096 };

static struct column columns[3];
static struct index primary = {.oid = 2, .is_unique = true, .is_primary = true, .column_count = 1};
static struct relation table = {.oid = OID_FIRST_USER,
                                .schema = OID_SCHEMA_PUBLIC,
                                .storage = 1,
                                .kind = RELATION_TABLE,
                                .column_count = 3,
                                .columns = columns,
                                .index_count = 1,
                                .indexes = &primary,
                                .primary = &primary};
static struct relation *relations[] = {&table};
static struct schema schemas[] = {{.oid = OID_SCHEMA_PUBLIC}};

static void
catalog_make(struct catalog *catalog)
{
    static const char *const names[] = {"a", "b", "c"};
    static const oid_t types[] = {OID_INT4, OID_TEXT, OID_NUMERIC};

    for (uint32_t i = 0; i < 3; i++) {
        columns[i] = (struct column){
            .name = slice_from_text(names[i]), .type = type_by_oid(types[i]), .typmod = -1};
    }
    table.name = SLICE("t");
    schemas[0].name = SLICE("public");
    *catalog = (struct catalog){.references = 1,
                                .schema_count = 1,
                                .schemas = schemas,
                                .relation_count = 1,
                                .relations = relations};
}

static void
statement_try(const struct catalog *catalog, const RawStmt *raw)
{
    struct statement statement;
    struct arena arena;
    struct plan *plan;
    int32_t position;

    arena_init(&arena, MEM_SESSIONS);
    const struct bind_options options = {.catalog = catalog,
                                         .arena = &arena,
                                         .settings = &type_settings_default,
                                         .search_path = "public"};
    if (bind_statement(&options, raw->stmt, &statement, &position) == ERR_OK &&
        statement.kind != STATEMENT_UTILITY) {
        (void)plan_statement(&statement, &arena, &plan);
    }
    arena_fini(&arena);
}

static void
text_try(const char *text)
{
    struct catalog catalog;
    struct parse parse = {0};
    uint32_t position = 0;

    catalog_make(&catalog);
    if (parse_open(text, &parse, &position) == ERR_OK) {
        const ListCell *cell;

        foreach(cell, parse.statements)
        {
            statement_try(&catalog, lfirst(cell));
        }
    }
    parse_close(&parse);
}

static void
values_try(struct slice bytes)
{
    for (uint32_t i = 0; i < type_count(); i++) {
        const struct type *type = type_at(i);
        struct arena arena;
        struct datum value;
        struct buf out;

        arena_init(&arena, MEM_SESSIONS);
        buf_init(&out, MEM_SESSIONS);
        const struct type_io io = {.arena = &arena, .settings = &type_settings_default};
        if (type->input(type, &io, bytes, -1, &value) == ERR_OK) {
            type->output(type, &type_settings_default, value, &out);
        }
        if (type->receive(type, &io, bytes, &value) == ERR_OK) {
            type->output(type, &type_settings_default, value, &out);
            type->send(type, value, &out);
        }
        if (type_row_get(type, bytes, &arena, &value) == ERR_OK && type->oid != OID_UNKNOWN) {
            type_key_put(type, value, &out);
        }
        buf_fini(&out);
        arena_fini(&arena);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[TEXT_MAX + 1];

    if (size > TEXT_MAX) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    text_try(text);
    values_try(slice_of(data, size));
    return 0;
}
