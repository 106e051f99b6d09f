/* query/catalog/views.c - views of pg_catalog over other relations. */
#include "query/catalog/system.h"

#include "engine/base/poison.h"

#define SCHEMA SYSTEM_CATALOG

#define VIEW(number, called, names, sql)                                                           \
    {                                                                                              \
        .oid = (number), .name = (called), .columns = (names), .view_sql = (sql),                  \
        .schema = SCHEMA, .kind = 'v'                                                              \
    }

/* clang-format off */
static const struct system_relation relations[] = {
    VIEW(12043, "pg_indexes",
          "schemaname name, tablename name, indexname name, tablespace name, indexdef text",
          "SELECT n.nspname, c.relname, i.relname, t.spcname, pg_get_indexdef(i.oid)\n"
          "FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid =\n"
          " x.indexrelid\n"
          " LEFT JOIN pg_namespace n ON n.oid = c.relnamespace\n"
          " LEFT JOIN pg_tablespace t ON t.oid = i.reltablespace\n"
          "WHERE c.relkind IN ('r', 'm', 'p') AND i.relkind IN ('i', 'I')"),
    VIEW(12000, "pg_roles",
          "rolname name, rolsuper bool, rolinherit bool, rolcreaterole bool, rolcreatedb bool, "
          "rolcanlogin bool, rolreplication bool, rolconnlimit int4, rolpassword text, "
          "rolvaliduntil timestamptz, rolbypassrls bool, rolconfig _text, oid oid",
          "SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,\n"
          " rolreplication,\n"
          " rolconnlimit, '********'::text, rolvaliduntil, rolbypassrls, NULL::text, oid\n"
          "FROM pg_authid"),
    VIEW(12048, "pg_sequences",
          "schemaname name, sequencename name, sequenceowner name, data_type regtype, "
          "start_value int8, min_value int8, max_value int8, increment_by int8, cycle bool, "
          "cache_size int8, last_value int8",
          "SELECT n.nspname, c.relname, pg_get_userbyid(c.relowner), s.seqtypid::regtype,\n"
          " s.seqstart, s.seqmin, s.seqmax, s.seqincrement, s.seqcycle, s.seqcache, NULL::int8\n"
          "FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid\n"
          " LEFT JOIN pg_namespace n ON n.oid = c.relnamespace"),
    VIEW(12033, "pg_tables",
          "schemaname name, tablename name, tableowner name, tablespace name, hasindexes bool, "
          "hasrules bool, hastriggers bool, rowsecurity bool",
          "SELECT n.nspname, c.relname, pg_get_userbyid(c.relowner), t.spcname, c.relhasindex,\n"
          " c.relhasrules,\n"
          " c.relhastriggers, c.relrowsecurity\n"
          "FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace\n"
          " LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace\n"
          "WHERE c.relkind IN ('r', 'p')"),
    VIEW(12014, "pg_user",
          "usename name, usesysid oid, usecreatedb bool, usesuper bool, userepl bool, "
          "usebypassrls bool, passwd text, valuntil timestamptz, useconfig _text",
          "SELECT rolname, oid, rolcreatedb, rolsuper, rolreplication, rolbypassrls,\n"
          " '********'::text,\n"
          " rolvaliduntil, NULL::text\n"
          "FROM pg_authid WHERE rolcanlogin"),
    VIEW(12028, "pg_views",
          "schemaname name, viewname name, viewowner name, definition text",
          "SELECT n.nspname, c.relname, pg_get_userbyid(c.relowner), pg_get_viewdef(c.oid)\n"
          "FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind =\n"
          " 'v'"),
};
/* clang-format on */

const struct system_part system_part_views = {relations, sizeof(relations) / sizeof(relations[0])};
