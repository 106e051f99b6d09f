/* query/catalog/information.c - information_schema, as the standard defines it. */
#include "query/catalog/system.h"

#include "engine/base/poison.h"

#define SCHEMA SYSTEM_INFORMATION

#define VIEW(number, called, names, sql)                                                           \
    {                                                                                              \
        .oid = (number), .name = (called), .columns = (names), .view_sql = (sql),                  \
        .schema = SCHEMA, .kind = 'v'                                                              \
    }

/* clang-format off */
static const struct system_relation relations[] = {
    VIEW(13260, "check_constraints",
          "constraint_catalog name, constraint_schema name, constraint_name name, "
          "check_clause varchar",
          "SELECT current_database(), n.nspname, c.conname,\n"
          " substring(pg_get_constraintdef(c.oid), 7)::varchar\n"
          "FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace\n"
          "WHERE c.contype = 'c'\n"
          "UNION ALL\n"
          "SELECT current_database(), n.nspname,\n"
          " (n.oid::text || '_' || r.oid::text || '_' || a.attnum::text || '_not_null')::name,\n"
          " (a.attname::text || ' IS NOT NULL')::varchar\n"
          "FROM pg_namespace n JOIN pg_class r ON n.oid = r.relnamespace\n"
          " JOIN pg_attribute a ON r.oid = a.attrelid\n"
          "WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND r.relkind IN ('r',\n"
          " 'p')"),
    VIEW(13295, "columns",
          "table_catalog name, table_schema name, table_name name, column_name name, "
          "ordinal_position int4, column_default varchar, is_nullable varchar, "
          "data_type varchar, character_maximum_length int4, character_octet_length int4, "
          "numeric_precision int4, numeric_precision_radix int4, numeric_scale int4, "
          "datetime_precision int4, interval_type varchar, interval_precision int4, "
          "character_set_catalog name, character_set_schema name, character_set_name name, "
          "collation_catalog name, collation_schema name, collation_name name, "
          "domain_catalog name, domain_schema name, domain_name name, udt_catalog name, "
          "udt_schema name, udt_name name, scope_catalog name, scope_schema name, "
          "scope_name name, maximum_cardinality int4, dtd_identifier name, "
          "is_self_referencing varchar, is_identity varchar, identity_generation varchar, "
          "identity_start varchar, identity_increment varchar, identity_maximum varchar, "
          "identity_minimum varchar, identity_cycle varchar, is_generated varchar, "
          "generation_expression varchar, is_updatable varchar",
          "SELECT current_database(), n.nspname, c.relname, a.attname, a.attnum::int4,\n"
          " (CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END)::varchar,\n"
          " (CASE WHEN a.attnotnull THEN 'NO' ELSE 'YES' END)::varchar,\n"
          " (CASE WHEN t.typelem <> 0 AND t.typlen = -1 THEN 'ARRAY'\n"
          " WHEN t.typnamespace = 11 THEN format_type(a.atttypid, NULL)\n"
          " ELSE 'USER-DEFINED' END)::varchar,\n"
          " CASE WHEN a.atttypmod <> -1 AND a.atttypid IN (1042, 1043) THEN a.atttypmod - 4\n"
          " END,\n"
          " CASE WHEN a.atttypid IN (25, 1042, 1043) THEN\n"
          " CASE WHEN a.atttypmod = -1 THEN 1073741824\n"
          " ELSE least(1073741824, (a.atttypmod - 4) * 4) END END,\n"
          " CASE a.atttypid WHEN 21 THEN 16 WHEN 23 THEN 32 WHEN 20 THEN 64 WHEN 700 THEN 24\n"
          " WHEN 701 THEN 53 WHEN 1700 THEN\n"
          " CASE WHEN a.atttypmod <> -1 THEN ((a.atttypmod - 4) / 65536) % 65536 END END,\n"
          " CASE WHEN a.atttypid IN (21, 23, 20, 700, 701) THEN 2 WHEN a.atttypid = 1700 THEN\n"
          " 10 END,\n"
          " CASE WHEN a.atttypid IN (21, 23, 20) THEN 0 WHEN a.atttypid = 1700 THEN\n"
          " CASE WHEN a.atttypmod <> -1 THEN (a.atttypmod - 4) % 65536 END END,\n"
          " CASE WHEN a.atttypid = 1082 THEN 0 WHEN a.atttypid IN (1083, 1114, 1184, 1266) THEN\n"
          " CASE WHEN a.atttypmod < 0 THEN 6 ELSE a.atttypmod END\n"
          " WHEN a.atttypid = 1186 THEN 6 END,\n"
          " NULL::varchar, NULL::int4, NULL::name, NULL::name, NULL::name,\n"
          " CASE WHEN a.attcollation = 950 AND a.atttypid <> 19 THEN current_database() END,\n"
          " CASE WHEN a.attcollation = 950 AND a.atttypid <> 19 THEN 'pg_catalog'::name END,\n"
          " CASE WHEN a.attcollation = 950 AND a.atttypid <> 19 THEN 'C'::name END,\n"
          " NULL::name, NULL::name, NULL::name,\n"
          " current_database(), tn.nspname, t.typname, NULL::name, NULL::name, NULL::name,\n"
          " NULL::int4, a.attnum::text::name, 'NO'::varchar,\n"
          " (CASE WHEN a.attidentity IN ('a', 'd') THEN 'YES' ELSE 'NO' END)::varchar,\n"
          " (CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT'\n"
          " END)::varchar,\n"
          " s.seqstart::varchar, s.seqincrement::varchar, s.seqmax::varchar, s.seqmin::varchar,\n"
          " (CASE WHEN s.seqcycle THEN 'YES' ELSE 'NO' END)::varchar,\n"
          " (CASE WHEN a.attgenerated <> '' THEN 'ALWAYS' ELSE 'NEVER' END)::varchar,\n"
          " (CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END)::varchar,\n"
          " (CASE WHEN c.relkind = 'r' THEN 'YES' ELSE 'NO' END)::varchar\n"
          "FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid\n"
          " AND a.attnum = d.adnum\n"
          " JOIN pg_class c ON a.attrelid = c.oid\n"
          " JOIN pg_namespace n ON c.relnamespace = n.oid\n"
          " JOIN pg_type t ON a.atttypid = t.oid\n"
          " JOIN pg_namespace tn ON t.typnamespace = tn.oid\n"
          " LEFT JOIN (pg_depend dep JOIN pg_sequence s ON dep.classid = 1259\n"
          " AND dep.objid = s.seqrelid AND dep.deptype = 'i')\n"
          " ON dep.refclassid = 1259 AND dep.refobjid = c.oid AND dep.refobjsubid = a.attnum\n"
          "WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'v', 'f', 'p')"),
    VIEW(13300, "constraint_column_usage",
          "table_catalog name, table_schema name, table_name name, column_name name, "
          "constraint_catalog name, constraint_schema name, constraint_name name",
          "SELECT current_database(), nr.nspname, r.relname, a.attname, current_database(),\n"
          " nc.nspname, c.conname\n"
          "FROM pg_constraint c JOIN pg_namespace nc ON nc.oid = c.connamespace\n"
          " JOIN pg_class r ON r.oid = CASE WHEN c.contype = 'f' THEN c.confrelid ELSE\n"
          " c.conrelid END\n"
          " JOIN pg_namespace nr ON nr.oid = r.relnamespace\n"
          " JOIN pg_attribute a ON a.attrelid = r.oid\n"
          " AND a.attnum = ANY (CASE WHEN c.contype = 'f' THEN c.confkey ELSE c.conkey END)\n"
          "WHERE c.contype IN ('p', 'u', 'f', 'c') AND r.relkind IN ('r', 'p')"),
    VIEW(13305, "constraint_table_usage",
          "table_catalog name, table_schema name, table_name name, constraint_catalog name, "
          "constraint_schema name, constraint_name name",
          "SELECT current_database(), nr.nspname, r.relname, current_database(), nc.nspname,\n"
          " c.conname\n"
          "FROM pg_constraint c JOIN pg_namespace nc ON nc.oid = c.connamespace\n"
          " JOIN pg_class r ON r.oid = CASE WHEN c.contype = 'f' THEN c.confrelid ELSE\n"
          " c.conrelid END\n"
          " JOIN pg_namespace nr ON nr.oid = r.relnamespace\n"
          "WHERE c.contype IN ('p', 'u', 'f') AND r.relkind IN ('r', 'p')"),
    VIEW(13325, "enabled_roles",
          "role_name name",
          "SELECT rolname FROM pg_authid"),
    VIEW(13227, "information_schema_catalog_name",
          "catalog_name name",
          "SELECT current_database()"),
    VIEW(13329, "key_column_usage",
          "constraint_catalog name, constraint_schema name, constraint_name name, "
          "table_catalog name, table_schema name, table_name name, column_name name, "
          "ordinal_position int4, position_in_unique_constraint int4",
          "SELECT current_database(), nc.nspname, c.conname, current_database(), nr.nspname,\n"
          " r.relname, a.attname, k.n::int4,\n"
          " CASE WHEN c.contype = 'f' THEN array_position(p.conkey, c.confkey[k.n])::int4 END\n"
          "FROM pg_constraint c JOIN pg_namespace nc ON nc.oid = c.connamespace\n"
          " JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace nr ON nr.oid =\n"
          " r.relnamespace\n"
          " JOIN generate_series(1, 32) AS k(n) ON k.n <= cardinality(c.conkey)\n"
          " JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = c.conkey[k.n]\n"
          " LEFT JOIN pg_constraint p ON p.conindid = c.conindid AND p.contype IN ('p', 'u')\n"
          " AND c.contype = 'f'\n"
          "WHERE c.contype IN ('p', 'u', 'f') AND r.relkind IN ('r', 'p')"),
    VIEW(13339, "referential_constraints",
          "constraint_catalog name, constraint_schema name, constraint_name name, "
          "unique_constraint_catalog name, unique_constraint_schema name, "
          "unique_constraint_name name, match_option varchar, update_rule varchar, "
          "delete_rule varchar",
          "SELECT current_database(), n.nspname, c.conname,\n"
          " CASE WHEN u.oid IS NOT NULL THEN current_database() END, un.nspname, u.conname,\n"
          " (CASE c.confmatchtype WHEN 'f' THEN 'FULL' WHEN 'p' THEN 'PARTIAL'\n"
          " WHEN 's' THEN 'NONE' END)::varchar,\n"
          " (CASE c.confupdtype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL'\n"
          " WHEN 'd' THEN 'SET DEFAULT' WHEN 'r' THEN 'RESTRICT' ELSE 'NO ACTION'\n"
          " END)::varchar,\n"
          " (CASE c.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL'\n"
          " WHEN 'd' THEN 'SET DEFAULT' WHEN 'r' THEN 'RESTRICT' ELSE 'NO ACTION' END)::varchar\n"
          "FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace\n"
          " LEFT JOIN (pg_constraint u JOIN pg_namespace un ON un.oid = u.connamespace)\n"
          " ON u.conindid = c.conindid AND u.contype IN ('p', 'u')\n"
          "WHERE c.contype = 'f'"),
    VIEW(13382, "schemata",
          "catalog_name name, schema_name name, schema_owner name, "
          "default_character_set_catalog name, default_character_set_schema name, "
          "default_character_set_name name, sql_path varchar",
          "SELECT current_database(), n.nspname, pg_get_userbyid(n.nspowner), NULL::name,\n"
          " NULL::name, NULL::name, NULL::varchar\n"
          "FROM pg_namespace n"),
    VIEW(13386, "sequences",
          "sequence_catalog name, sequence_schema name, sequence_name name, data_type varchar, "
          "numeric_precision int4, numeric_precision_radix int4, numeric_scale int4, "
          "start_value varchar, minimum_value varchar, maximum_value varchar, "
          "increment varchar, cycle_option varchar",
          "SELECT current_database(), n.nspname, c.relname, format_type(s.seqtypid,\n"
          " NULL)::varchar,\n"
          " CASE s.seqtypid WHEN 21 THEN 16 WHEN 23 THEN 32 ELSE 64 END, 2, 0,\n"
          " s.seqstart::varchar, s.seqmin::varchar, s.seqmax::varchar, s.seqincrement::varchar,\n"
          " (CASE WHEN s.seqcycle THEN 'YES' ELSE 'NO' END)::varchar\n"
          "FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid\n"
          " JOIN pg_namespace n ON n.oid = c.relnamespace\n"
          "WHERE NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 1259\n"
          " AND d.objid = c.oid AND d.deptype = 'i')"),
    VIEW(13411, "table_constraints",
          "constraint_catalog name, constraint_schema name, constraint_name name, "
          "table_catalog name, table_schema name, table_name name, constraint_type varchar, "
          "is_deferrable varchar, initially_deferred varchar, enforced varchar, "
          "nulls_distinct varchar",
          "SELECT current_database(), nc.nspname, c.conname, current_database(), nr.nspname,\n"
          " r.relname,\n"
          " (CASE c.contype WHEN 'c' THEN 'CHECK' WHEN 'f' THEN 'FOREIGN KEY'\n"
          " WHEN 'p' THEN 'PRIMARY KEY' WHEN 'u' THEN 'UNIQUE' END)::varchar,\n"
          " (CASE WHEN c.condeferrable THEN 'YES' ELSE 'NO' END)::varchar,\n"
          " (CASE WHEN c.condeferred THEN 'YES' ELSE 'NO' END)::varchar, 'YES'::varchar,\n"
          " (CASE WHEN c.contype = 'u' THEN (SELECT CASE WHEN i.indnullsnotdistinct THEN 'NO'\n"
          " ELSE 'YES' END FROM pg_index i WHERE i.indexrelid = c.conindid) END)::varchar\n"
          "FROM pg_constraint c JOIN pg_namespace nc ON nc.oid = c.connamespace\n"
          " JOIN pg_class r ON c.conrelid = r.oid JOIN pg_namespace nr ON nr.oid =\n"
          " r.relnamespace\n"
          "WHERE c.contype IN ('c', 'f', 'p', 'u') AND r.relkind IN ('r', 'p')\n"
          "UNION ALL\n"
          "SELECT current_database(), nr.nspname,\n"
          " (nr.oid::text || '_' || r.oid::text || '_' || a.attnum::text || '_not_null')::name,\n"
          " current_database(), nr.nspname, r.relname, 'CHECK'::varchar, 'NO'::varchar,\n"
          " 'NO'::varchar, 'YES'::varchar, NULL::varchar\n"
          "FROM pg_namespace nr JOIN pg_class r ON nr.oid = r.relnamespace\n"
          " JOIN pg_attribute a ON r.oid = a.attrelid\n"
          "WHERE a.attnotnull AND a.attnum > 0 AND NOT a.attisdropped AND r.relkind IN ('r',\n"
          " 'p')"),
    VIEW(13425, "tables",
          "table_catalog name, table_schema name, table_name name, table_type varchar, "
          "self_referencing_column_name name, reference_generation varchar, "
          "user_defined_type_catalog name, user_defined_type_schema name, "
          "user_defined_type_name name, is_insertable_into varchar, is_typed varchar, "
          "commit_action varchar",
          "SELECT current_database(), n.nspname, c.relname,\n"
          " (CASE WHEN c.relpersistence = 't' THEN 'LOCAL TEMPORARY'\n"
          " WHEN c.relkind = 'v' THEN 'VIEW' ELSE 'BASE TABLE' END)::varchar,\n"
          " NULL::name, NULL::varchar, NULL::name, NULL::name, NULL::name,\n"
          " (CASE WHEN c.relkind = 'r' THEN 'YES' ELSE 'NO' END)::varchar,\n"
          " 'NO'::varchar, NULL::varchar\n"
          "FROM pg_namespace n JOIN pg_class c ON n.oid = c.relnamespace\n"
          "WHERE c.relkind IN ('r', 'v', 'f', 'p')"),
    VIEW(13483, "views",
          "table_catalog name, table_schema name, table_name name, view_definition varchar, "
          "check_option varchar, is_updatable varchar, is_insertable_into varchar, "
          "is_trigger_updatable varchar, is_trigger_deletable varchar, "
          "is_trigger_insertable_into varchar",
          "SELECT current_database(), n.nspname, c.relname, pg_get_viewdef(c.oid)::varchar,\n"
          " 'NONE'::varchar, 'NO'::varchar, 'NO'::varchar, 'NO'::varchar, 'NO'::varchar,\n"
          " 'NO'::varchar\n"
          "FROM pg_namespace n JOIN pg_class c ON n.oid = c.relnamespace WHERE c.relkind = 'v'"),
};
/* clang-format on */

const struct system_part system_part_information = {relations,
                                                    sizeof(relations) / sizeof(relations[0])};
