/* query/catalog/tables.c - relations of pg_catalog whose rows are made of what there is. */
#include "query/catalog/fill.h"

#include "engine/base/poison.h"

#define TABLE(number, called, what, function, names)                                               \
    {                                                                                              \
        .oid = (number), .name = (called), .columns = (names), .fill = (function),                 \
        .schema = SYSTEM_CATALOG, .kind = (what)                                                   \
    }

/* clang-format off */
static const struct system_relation relations[] = {
    TABLE(2600, "pg_aggregate", 'r', fill_aggregate,
          "aggfnoid regproc!, aggkind char!, aggnumdirectargs int2!, aggtransfn regproc!, "
          "aggfinalfn regproc!, aggcombinefn regproc!, aggserialfn regproc!, "
          "aggdeserialfn regproc!, aggmtransfn regproc!, aggminvtransfn regproc!, "
          "aggmfinalfn regproc!, aggfinalextra bool!, aggmfinalextra bool!, "
          "aggfinalmodify char!, aggmfinalmodify char!, aggsortop oid!, aggtranstype oid!, "
          "aggtransspace int4!, aggmtranstype oid!, aggmtransspace int4!, agginitval text, "
          "aggminitval text"),
    TABLE(2601, "pg_am", 'r', fill_am,
          "oid oid!, amname name!, amhandler regproc!, amtype char!"),
    TABLE(2604, "pg_attrdef", 'r', fill_attrdef,
          "oid oid!, adrelid oid!, adnum int2!, adbin pg_node_tree!"),
    TABLE(1249, "pg_attribute", 'r', fill_attribute,
          "attrelid oid!, attname name!, atttypid oid!, attstattarget int4!, attlen int2!, "
          "attnum int2!, attndims int4!, attcacheoff int4!, atttypmod int4!, attbyval bool!, "
          "attalign char!, attstorage char!, attcompression char!, attnotnull bool!, "
          "atthasdef bool!, atthasmissing bool!, attidentity char!, attgenerated char!, "
          "attisdropped bool!, attislocal bool!, attinhcount int4!, attcollation oid!, "
          "attacl _aclitem, attoptions _text, attfdwoptions _text, attmissingval anyarray"),
    TABLE(1260, "pg_authid", 'r', fill_authid,
          "oid oid!, rolname name!, rolsuper bool!, rolinherit bool!, rolcreaterole bool!, "
          "rolcreatedb bool!, rolcanlogin bool!, rolreplication bool!, rolbypassrls bool!, "
          "rolconnlimit int4!, rolpassword text, rolvaliduntil timestamptz"),
    TABLE(2605, "pg_cast", 'r', fill_cast,
          "oid oid!, castsource oid!, casttarget oid!, castfunc oid!, castcontext char!, "
          "castmethod char!"),
    TABLE(1259, "pg_class", 'r', fill_class,
          "oid oid!, relname name!, relnamespace oid!, reltype oid!, reloftype oid!, "
          "relowner oid!, relam oid!, relfilenode oid!, reltablespace oid!, relpages int4!, "
          "reltuples float4!, relallvisible int4!, reltoastrelid oid!, relhasindex bool!, "
          "relisshared bool!, relpersistence char!, relkind char!, relnatts int2!, "
          "relchecks int2!, relhasrules bool!, relhastriggers bool!, relhassubclass bool!, "
          "relrowsecurity bool!, relforcerowsecurity bool!, relispopulated bool!, "
          "relreplident char!, relispartition bool!, relrewrite oid!, relfrozenxid xid!, "
          "relminmxid xid!, relacl _aclitem, reloptions _text, relpartbound pg_node_tree"),
    TABLE(3456, "pg_collation", 'r', fill_collation,
          "oid oid!, collname name!, collnamespace oid!, collowner oid!, collprovider char!, "
          "collisdeterministic bool!, collencoding int4!, collcollate text, collctype text, "
          "colliculocale text, collversion text"),
    TABLE(2606, "pg_constraint", 'r', fill_constraint,
          "oid oid!, conname name!, connamespace oid!, contype char!, condeferrable bool!, "
          "condeferred bool!, convalidated bool!, conrelid oid!, contypid oid!, conindid oid!, "
          "conparentid oid!, confrelid oid!, confupdtype char!, confdeltype char!, "
          "confmatchtype char!, conislocal bool!, coninhcount int4!, connoinherit bool!, "
          "conkey _int2, confkey _int2, conpfeqop _oid, conppeqop _oid, conffeqop _oid, "
          "confdelsetcols _int2, conexclop _oid, conbin pg_node_tree"),
    TABLE(1262, "pg_database", 'r', fill_database,
          "oid oid!, datname name!, datdba oid!, encoding int4!, datlocprovider char!, "
          "datistemplate bool!, datallowconn bool!, datconnlimit int4!, datfrozenxid xid!, "
          "datminmxid xid!, dattablespace oid!, datcollate text!, datctype text!, "
          "daticulocale text, datcollversion text, datacl _aclitem"),
    TABLE(2608, "pg_depend", 'r', fill_depend,
          "classid oid!, objid oid!, objsubid int4!, refclassid oid!, refobjid oid!, "
          "refobjsubid int4!, deptype char!"),
    TABLE(3501, "pg_enum", 'r', fill_enum,
          "oid oid!, enumtypid oid!, enumsortorder float4!, enumlabel name!"),
    TABLE(2610, "pg_index", 'r', fill_index,
          "indexrelid oid!, indrelid oid!, indnatts int2!, indnkeyatts int2!, "
          "indisunique bool!, indnullsnotdistinct bool!, indisprimary bool!, "
          "indisexclusion bool!, indimmediate bool!, indisclustered bool!, indisvalid bool!, "
          "indcheckxmin bool!, indisready bool!, indislive bool!, indisreplident bool!, "
          "indkey int2vector!, indcollation oidvector!, indclass oidvector!, "
          "indoption int2vector!, indexprs pg_node_tree, indpred pg_node_tree"),
    TABLE(2612, "pg_language", 'r', fill_language,
          "oid oid!, lanname name!, lanowner oid!, lanispl bool!, lanpltrusted bool!, "
          "lanplcallfoid oid!, laninline oid!, lanvalidator oid!, lanacl _aclitem"),
    TABLE(2615, "pg_namespace", 'r', fill_namespace,
          "oid oid!, nspname name!, nspowner oid!, nspacl _aclitem"),
    TABLE(2616, "pg_opclass", 'r', fill_opclass,
          "oid oid!, opcmethod oid!, opcname name!, opcnamespace oid!, opcowner oid!, "
          "opcfamily oid!, opcintype oid!, opcdefault bool!, opckeytype oid!"),
    TABLE(2617, "pg_operator", 'r', fill_operator,
          "oid oid!, oprname name!, oprnamespace oid!, oprowner oid!, oprkind char!, "
          "oprcanmerge bool!, oprcanhash bool!, oprleft oid!, oprright oid!, oprresult oid!, "
          "oprcom oid!, oprnegate oid!, oprcode regproc!, oprrest regproc!, oprjoin regproc!"),
    TABLE(2753, "pg_opfamily", 'r', fill_opfamily,
          "oid oid!, opfmethod oid!, opfname name!, opfnamespace oid!, opfowner oid!"),
    TABLE(1255, "pg_proc", 'r', fill_proc,
          "oid oid!, proname name!, pronamespace oid!, proowner oid!, prolang oid!, "
          "procost float4!, prorows float4!, provariadic oid!, prosupport regproc!, "
          "prokind char!, prosecdef bool!, proleakproof bool!, proisstrict bool!, "
          "proretset bool!, provolatile char!, proparallel char!, pronargs int2!, "
          "pronargdefaults int2!, prorettype oid!, proargtypes oidvector!, "
          "proallargtypes _oid, proargmodes _char, proargnames _text, "
          "proargdefaults pg_node_tree, protrftypes _oid, prosrc text!, probin text, "
          "prosqlbody pg_node_tree, proconfig _text, proacl _aclitem"),
    TABLE(2224, "pg_sequence", 'r', fill_sequence,
          "seqrelid oid!, seqtypid oid!, seqstart int8!, seqincrement int8!, seqmax int8!, "
          "seqmin int8!, seqcache int8!, seqcycle bool!"),
    TABLE(1213, "pg_tablespace", 'r', fill_tablespace,
          "oid oid!, spcname name!, spcowner oid!, spcacl _aclitem, spcoptions _text"),
    TABLE(1247, "pg_type", 'r', fill_type,
          "oid oid!, typname name!, typnamespace oid!, typowner oid!, typlen int2!, "
          "typbyval bool!, typtype char!, typcategory char!, typispreferred bool!, "
          "typisdefined bool!, typdelim char!, typrelid oid!, typsubscript regproc!, "
          "typelem oid!, typarray oid!, typinput regproc!, typoutput regproc!, "
          "typreceive regproc!, typsend regproc!, typmodin regproc!, typmodout regproc!, "
          "typanalyze regproc!, typalign char!, typstorage char!, typnotnull bool!, "
          "typbasetype oid!, typtypmod int4!, typndims int4!, typcollation oid!, "
          "typdefaultbin pg_node_tree, typdefault text, typacl _aclitem"),
    TABLE(12104, "pg_settings", 'v', fill_settings,
          "name text, setting text, unit text, category text, short_desc text, "
          "extra_desc text, context text, vartype text, source text, min_val text, "
          "max_val text, enumvals _text, boot_val text, reset_val text, sourcefile text, "
          "sourceline int4, pending_restart bool"),
    TABLE(12077, "pg_cursors", 'v', fill_cursors,
          "name text, statement text, is_holdable bool, is_binary bool, is_scrollable bool, "
          "creation_time timestamptz"),
    TABLE(12095, "pg_prepared_statements", 'v', fill_prepared_statements,
          "name text, statement text, prepare_time timestamptz, parameter_types _regtype, "
          "from_sql bool, generic_plans int8, custom_plans int8"),
};
/* clang-format on */

const struct system_part system_part_tables = {relations, sizeof(relations) / sizeof(relations[0])};
