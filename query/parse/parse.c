/* query/parse/parse.c - the call of libpg_query. */
#include "query/parse/parse.h"

#include "query/parse/nodes.h"

#include <stdlib.h>

#include <pg_query.h>
#include <pg_query/pg_query_internal.h>

#include "models/types/sql_error.h"

#include "engine/base/poison.h"

/* libpg_query gives PostgreSQL's message without its code: nearly all are syntax errors. */
static const char *
sqlstate_of(const char *message)
{
    static const struct {
        const char *part, *sqlstate;
    } others[] = {
        {"memory exhausted", "53200"},      {"invalid Unicode", "22025"},
        {"invalid escape string", "22025"}, {"unsafe use of string constant", "22P06"},
        {"invalid byte sequence", "22021"}, {"not supported", "0A000"},
        {"not yet implemented", "0A000"},   {"parameter number too large", "54000"},
    };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strstr(message, others[i].part) != NULL) {
            return others[i].sqlstate;
        }
    }
    return "42601";
}

err_t
parse_open(const char *text, struct parse *parse_out, uint32_t *position_out)
{
    MemoryContext memory = pg_query_enter_memory_context();
    PgQueryInternalParsetreeAndError result = pg_query_raw_parse(text);
    err_t err;

    free(result.stderr_buffer); /* The C library's, and always there. */
    if (result.error == NULL) {
        *parse_out = (struct parse){.statements = result.tree, .memory = memory};
        return ERR_OK;
    }
    *position_out = result.error->cursorpos > 0 ? (uint32_t)result.error->cursorpos : 0;
    err = sql_error(sqlstate_of(result.error->message), "%s", result.error->message);
    pg_query_free_error(result.error);
    pg_query_exit_memory_context(memory);
    *parse_out = (struct parse){0};
    return err;
}

void
parse_close(struct parse *parse)
{
    if (parse->memory != NULL) {
        pg_query_exit_memory_context(parse->memory);
        *parse = (struct parse){0};
    }
}
