/* query/session/maintain.c - VACUUM and ANALYZE.
 *
 * The space of rows that are gone is given back by compaction, which always runs: VACUUM itself has
 * nothing left to do. ANALYZE counts rows; the planner knows the counts until the server stops. */
#include "query/session/internal.h"

#include <stdio.h>
#include <strings.h>

#include "models/relational/relational.h"
#include "models/relational/rtable.h"
#include "models/types/sql_error.h"
#include "query/search_path.h"

#include "engine/base/poison.h"

struct vacuum {
    bool analyzes, is_full;
};

static bool
option_is_on(const DefElem *option)
{
    const char *text;

    if (option->arg == NULL) {
        return true;
    }
    if (IsA(option->arg, Integer)) {
        return intVal(option->arg) != 0;
    }
    if (IsA(option->arg, Boolean)) {
        return boolVal(option->arg);
    }
    text = IsA(option->arg, String) ? strVal(option->arg) : "on";
    return strcasecmp(text, "off") != 0 && strcasecmp(text, "false") != 0;
}

static err_t
options_read(struct session_run *run, const VacuumStmt *node, struct vacuum *vacuum)
{
    static const char *const vacuum_options[] = {
        "freeze",   "disable_page_skipping", "index_cleanup", "process_toast",
        "truncate", "skip_database_stats",   "parallel",      "process_main",
    };
    const ListCell *cell;

    vacuum->analyzes = !node->is_vacuumcmd;
    foreach(cell, node->options)
    {
        const DefElem *option = lfirst(cell);
        bool is_known =
            strcmp(option->defname, "verbose") == 0 || strcmp(option->defname, "skip_locked") == 0;

        if (node->is_vacuumcmd && strcmp(option->defname, "analyze") == 0) {
            vacuum->analyzes = option_is_on(option);
            is_known = true;
        }
        if (node->is_vacuumcmd && strcmp(option->defname, "full") == 0) {
            vacuum->is_full = option_is_on(option);
            is_known = true;
        }
        for (uint32_t i = 0; node->is_vacuumcmd && i < sizeof(vacuum_options) / sizeof(char *);
             i++) {
            is_known = is_known || strcmp(option->defname, vacuum_options[i]) == 0;
        }
        if (!is_known) {
            run->position = option->location;
            return sql_error("42601", "unrecognized %s option \"%s\"",
                             node->is_vacuumcmd ? "VACUUM" : "ANALYZE", option->defname);
        }
    }
    return vacuum->is_full ? sql_error("0A000", "VACUUM FULL is not supported") : ERR_OK;
}

static err_t
rows_count(struct session_run *run, const struct relation *relation, uint64_t *rows_out)
{
    static const struct statement none = {0};
    struct sql_session *session = run->session;
    const struct rtable_scan_options options = {.relation = relation, .slot = TXN_ALL_SHARDS};
    struct rtable_scan *scan = NULL;
    struct arena arena;
    struct exec exec;
    uint32_t count = 1;
    err_t err;

    *rows_out = 0;
    arena_init(&arena, MEM_SESSIONS);
    exec_init(&exec, &session->env, &session->arena, sql_session_settings(session), &none);
    exec.is_cancelled = &session->is_cancelled;
    TRY(rtable_scan_open(session->txn, &options, &scan));
    while (count > 0) {
        arena_reset(&arena);
        TRY(exec_work(&exec, BATCH_ROWS_MAX));
        TRY(rtable_scan_next(scan, &arena, BATCH_ROWS_MAX, NULL, NULL, &count));
        *rows_out += count;
    }
out:
    rtable_scan_close(&scan);
    exec_fini(&exec);
    arena_fini(&arena);
    return err;
}

static err_t
relation_analyze(struct session_run *run, const struct relation *relation)
{
    uint64_t rows;
    err_t err = rows_count(run, relation, &rows);

    if (err == ERR_OK) {
        relational_rows_note(relation->oid, rows);
    }
    return err;
}

static err_t
named_analyze(struct session_run *run, const VacuumRelation *named, bool analyzes)
{
    const struct sql_session *session = run->session;
    const RangeVar *name = named->relation;
    const struct relation *relation =
        search_relation(session->env.catalog, sql_session_parameter(session, "search_path"),
                        name->schemaname, slice_from_text(name->relname));

    if (relation == NULL) {
        return name->schemaname != NULL
                   ? sql_error("42P01", "relation \"%s.%s\" does not exist", name->schemaname,
                               name->relname)
                   : sql_error("42P01", "relation \"%s\" does not exist", name->relname);
    }
    if (relation->kind != RELATION_TABLE) {
        struct sql_report report = {.sqlstate = "42809"};

        (void)snprintf(report.message, sizeof(report.message),
                       "skipping \"%s\" --- cannot %s non-tables or special system tables",
                       name->relname, analyzes ? "analyze" : "vacuum");
        run->sink->notice(run->sink->arg, "WARNING", &report);
        return ERR_OK;
    }
    return analyzes ? relation_analyze(run, relation) : ERR_OK;
}

static err_t
all_analyze(struct session_run *run)
{
    const struct catalog *catalog = run->session->env.catalog;
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < catalog->relation_count; i++) {
        if (catalog->relations[i]->kind == RELATION_TABLE) {
            err = relation_analyze(run, catalog->relations[i]);
        }
    }
    return err;
}

err_t
session_vacuum_run(struct session_run *run, const VacuumStmt *node)
{
    struct sql_session *session = run->session;
    struct vacuum vacuum = {0};
    const ListCell *cell;
    err_t err;

    (void)snprintf(run->tag, sizeof(run->tag), "%s", node->is_vacuumcmd ? "VACUUM" : "ANALYZE");
    if (node->is_vacuumcmd && session->is_block) {
        return sql_error("25001", "VACUUM cannot run inside a transaction block");
    }
    TRY(options_read(run, node, &vacuum));
    TRY(session_statement_begin(run));
    foreach(cell, node->rels)
    {
        err = named_analyze(run, lfirst(cell), vacuum.analyzes);
        if (err != ERR_OK) {
            break;
        }
    }
    if (err == ERR_OK && node->rels == NIL && vacuum.analyzes) {
        err = all_analyze(run);
    }
    session->env.catalog = NULL;
    catalog_drop(&run->catalog);
out:
    return err;
}
