/* query/catalog/empty.c - relations of pg_catalog without rows: what they tell of is not there. */
#include "query/catalog/system.h"

#include "engine/base/poison.h"

#define TABLE(number, called, what, names)                                                         \
    {                                                                                              \
        .oid = (number), .name = (called), .columns = (names), .schema = SYSTEM_CATALOG,           \
        .kind = (what)                                                                             \
    }

/* clang-format off */
static const struct system_relation relations[] = {
    TABLE(2602, "pg_amop", 'r',
          "oid oid!, amopfamily oid!, amoplefttype oid!, amoprighttype oid!, "
          "amopstrategy int2!, amoppurpose char!, amopopr oid!, amopmethod oid!, "
          "amopsortfamily oid!"),
    TABLE(2603, "pg_amproc", 'r',
          "oid oid!, amprocfamily oid!, amproclefttype oid!, amprocrighttype oid!, "
          "amprocnum int2!, amproc regproc!"),
    TABLE(1261, "pg_auth_members", 'r',
          "roleid oid!, member oid!, grantor oid!, admin_option bool!"),
    TABLE(2607, "pg_conversion", 'r',
          "oid oid!, conname name!, connamespace oid!, conowner oid!, conforencoding int4!, "
          "contoencoding int4!, conproc regproc!, condefault bool!"),
    TABLE(2964, "pg_db_role_setting", 'r',
          "setdatabase oid!, setrole oid!, setconfig _text"),
    TABLE(826, "pg_default_acl", 'r',
          "oid oid!, defaclrole oid!, defaclnamespace oid!, defaclobjtype char!, "
          "defaclacl _aclitem!"),
    TABLE(2609, "pg_description", 'r',
          "objoid oid!, classoid oid!, objsubid int4!, description text!"),
    TABLE(3466, "pg_event_trigger", 'r',
          "oid oid!, evtname name!, evtevent name!, evtowner oid!, evtfoid oid!, "
          "evtenabled char!, evttags _text"),
    TABLE(3079, "pg_extension", 'r',
          "oid oid!, extname name!, extowner oid!, extnamespace oid!, extrelocatable bool!, "
          "extversion text!, extconfig _oid, extcondition _text"),
    TABLE(2328, "pg_foreign_data_wrapper", 'r',
          "oid oid!, fdwname name!, fdwowner oid!, fdwhandler oid!, fdwvalidator oid!, "
          "fdwacl _aclitem, fdwoptions _text"),
    TABLE(1417, "pg_foreign_server", 'r',
          "oid oid!, srvname name!, srvowner oid!, srvfdw oid!, srvtype text, srvversion text, "
          "srvacl _aclitem, srvoptions _text"),
    TABLE(3118, "pg_foreign_table", 'r',
          "ftrelid oid!, ftserver oid!, ftoptions _text"),
    TABLE(2611, "pg_inherits", 'r',
          "inhrelid oid!, inhparent oid!, inhseqno int4!, inhdetachpending bool!"),
    TABLE(3394, "pg_init_privs", 'r',
          "objoid oid!, classoid oid!, objsubid int4!, privtype char!, initprivs _aclitem!"),
    TABLE(2613, "pg_largeobject", 'r',
          "loid oid!, pageno int4!, data bytea!"),
    TABLE(2995, "pg_largeobject_metadata", 'r',
          "oid oid!, lomowner oid!, lomacl _aclitem"),
    TABLE(6243, "pg_parameter_acl", 'r',
          "oid oid!, parname text!, paracl _aclitem"),
    TABLE(3350, "pg_partitioned_table", 'r',
          "partrelid oid!, partstrat char!, partnatts int2!, partdefid oid!, "
          "partattrs int2vector!, partclass oidvector!, partcollation oidvector!, "
          "partexprs pg_node_tree"),
    TABLE(3256, "pg_policy", 'r',
          "oid oid!, polname name!, polrelid oid!, polcmd char!, polpermissive bool!, "
          "polroles _oid!, polqual pg_node_tree, polwithcheck pg_node_tree"),
    TABLE(6104, "pg_publication", 'r',
          "oid oid!, pubname name!, pubowner oid!, puballtables bool!, pubinsert bool!, "
          "pubupdate bool!, pubdelete bool!, pubtruncate bool!, pubviaroot bool!"),
    TABLE(6237, "pg_publication_namespace", 'r',
          "oid oid!, pnpubid oid!, pnnspid oid!"),
    TABLE(6106, "pg_publication_rel", 'r',
          "oid oid!, prpubid oid!, prrelid oid!, prqual pg_node_tree, prattrs int2vector"),
    TABLE(3541, "pg_range", 'r',
          "rngtypid oid!, rngsubtype oid!, rngmultitypid oid!, rngcollation oid!, "
          "rngsubopc oid!, rngcanonical regproc!, rngsubdiff regproc!"),
    TABLE(6000, "pg_replication_origin", 'r',
          "roident oid!, roname text!"),
    TABLE(2618, "pg_rewrite", 'r',
          "oid oid!, rulename name!, ev_class oid!, ev_type char!, ev_enabled char!, "
          "is_instead bool!, ev_qual pg_node_tree!, ev_action pg_node_tree!"),
    TABLE(3596, "pg_seclabel", 'r',
          "objoid oid!, classoid oid!, objsubid int4!, provider text!, label text!"),
    TABLE(1214, "pg_shdepend", 'r',
          "dbid oid!, classid oid!, objid oid!, objsubid int4!, refclassid oid!, "
          "refobjid oid!, deptype char!"),
    TABLE(2396, "pg_shdescription", 'r',
          "objoid oid!, classoid oid!, description text!"),
    TABLE(3592, "pg_shseclabel", 'r',
          "objoid oid!, classoid oid!, provider text!, label text!"),
    TABLE(2619, "pg_statistic", 'r',
          "starelid oid!, staattnum int2!, stainherit bool!, stanullfrac float4!, "
          "stawidth int4!, stadistinct float4!, stakind1 int2!, stakind2 int2!, "
          "stakind3 int2!, stakind4 int2!, stakind5 int2!, staop1 oid!, staop2 oid!, "
          "staop3 oid!, staop4 oid!, staop5 oid!, stacoll1 oid!, stacoll2 oid!, stacoll3 oid!, "
          "stacoll4 oid!, stacoll5 oid!, stanumbers1 _float4, stanumbers2 _float4, "
          "stanumbers3 _float4, stanumbers4 _float4, stanumbers5 _float4, stavalues1 anyarray, "
          "stavalues2 anyarray, stavalues3 anyarray, stavalues4 anyarray, stavalues5 anyarray"),
    TABLE(3381, "pg_statistic_ext", 'r',
          "oid oid!, stxrelid oid!, stxname name!, stxnamespace oid!, stxowner oid!, "
          "stxstattarget int4!, stxkeys int2vector!, stxkind _char!, stxexprs pg_node_tree"),
    TABLE(3429, "pg_statistic_ext_data", 'r',
          "stxoid oid!, stxdinherit bool!, stxdndistinct pg_ndistinct, "
          "stxddependencies pg_dependencies, stxdmcv pg_mcv_list, stxdexpr _pg_statistic"),
    TABLE(6100, "pg_subscription", 'r',
          "oid oid!, subdbid oid!, subskiplsn pg_lsn!, subname name!, subowner oid!, "
          "subenabled bool!, subbinary bool!, substream bool!, subtwophasestate char!, "
          "subdisableonerr bool!, subconninfo text!, subslotname name, subsynccommit text!, "
          "subpublications _text!"),
    TABLE(6102, "pg_subscription_rel", 'r',
          "srsubid oid!, srrelid oid!, srsubstate char!, srsublsn pg_lsn"),
    TABLE(3576, "pg_transform", 'r',
          "oid oid!, trftype oid!, trflang oid!, trffromsql regproc!, trftosql regproc!"),
    TABLE(2620, "pg_trigger", 'r',
          "oid oid!, tgrelid oid!, tgparentid oid!, tgname name!, tgfoid oid!, tgtype int2!, "
          "tgenabled char!, tgisinternal bool!, tgconstrrelid oid!, tgconstrindid oid!, "
          "tgconstraint oid!, tgdeferrable bool!, tginitdeferred bool!, tgnargs int2!, "
          "tgattr int2vector!, tgargs bytea!, tgqual pg_node_tree, tgoldtable name, "
          "tgnewtable name"),
    TABLE(3602, "pg_ts_config", 'r',
          "oid oid!, cfgname name!, cfgnamespace oid!, cfgowner oid!, cfgparser oid!"),
    TABLE(3603, "pg_ts_config_map", 'r',
          "mapcfg oid!, maptokentype int4!, mapseqno int4!, mapdict oid!"),
    TABLE(3600, "pg_ts_dict", 'r',
          "oid oid!, dictname name!, dictnamespace oid!, dictowner oid!, dicttemplate oid!, "
          "dictinitoption text"),
    TABLE(3601, "pg_ts_parser", 'r',
          "oid oid!, prsname name!, prsnamespace oid!, prsstart regproc!, prstoken regproc!, "
          "prsend regproc!, prsheadline regproc!, prslextype regproc!"),
    TABLE(3764, "pg_ts_template", 'r',
          "oid oid!, tmplname name!, tmplnamespace oid!, tmplinit regproc!, tmpllexize regproc!"),
    TABLE(1418, "pg_user_mapping", 'r',
          "oid oid!, umuser oid!, umserver oid!, umoptions _text"),
    TABLE(12085, "pg_available_extension_versions", 'v',
          "name name, version text, installed bool, superuser bool, trusted bool, "
          "relocatable bool, schema name, requires _name, comment text"),
    TABLE(12081, "pg_available_extensions", 'v',
          "name name, default_version text, installed_version text, comment text"),
    TABLE(12138, "pg_backend_memory_contexts", 'v',
          "name text, ident text, parent text, level int4, total_bytes int8, "
          "total_nblocks int8, free_bytes int8, free_chunks int8, used_bytes int8"),
    TABLE(12130, "pg_config", 'v',
          "name text, setting text"),
    TABLE(12110, "pg_file_settings", 'v',
          "sourcefile text, sourceline int4, seqno int4, name text, setting text, "
          "applied bool, error text"),
    TABLE(12010, "pg_group", 'v',
          "groname name, grosysid oid, grolist _oid"),
    TABLE(12114, "pg_hba_file_rules", 'v',
          "line_number int4, type text, database _text, user_name _text, address text, "
          "netmask text, auth_method text, options _text, error text"),
    TABLE(12118, "pg_ident_file_mappings", 'v',
          "line_number int4, map_name text, sys_name text, pg_username text, error text"),
    TABLE(12073, "pg_locks", 'v',
          "locktype text, database oid, relation oid, page int4, tuple int2, virtualxid text, "
          "transactionid xid, classid oid, objid oid, objsubid int2, virtualtransaction text, "
          "pid int4, mode text, granted bool, fastpath bool, waitstart timestamptz"),
    TABLE(12038, "pg_matviews", 'v',
          "schemaname name, matviewname name, matviewowner name, tablespace name, "
          "hasindexes bool, ispopulated bool, definition text"),
    TABLE(12018, "pg_policies", 'v',
          "schemaname name, tablename name, policyname name, permissive text, roles _name, "
          "cmd text, qual text, with_check text"),
    TABLE(12090, "pg_prepared_xacts", 'v',
          "transaction xid, gid text, prepared timestamptz, owner name, database name"),
    TABLE(12068, "pg_publication_tables", 'v',
          "pubname name, schemaname name, tablename name, attnames _name, rowfilter text"),
    TABLE(12332, "pg_replication_origin_status", 'v',
          "local_id oid, external_id text, remote_lsn pg_lsn, local_lsn pg_lsn"),
    TABLE(12257, "pg_replication_slots", 'v',
          "slot_name name, plugin name, slot_type text, datoid oid, database name, "
          "temporary bool, active bool, active_pid int4, xmin xid, catalog_xmin xid, "
          "restart_lsn pg_lsn, confirmed_flush_lsn pg_lsn, wal_status text, "
          "safe_wal_size int8, two_phase bool"),
    TABLE(12023, "pg_rules", 'v',
          "schemaname name, tablename name, rulename name, definition text"),
    TABLE(12099, "pg_seclabels", 'v',
          "objoid oid, classoid oid, objsubid int4, objtype text, objnamespace oid, "
          "objname text, provider text, label text"),
    TABLE(12005, "pg_shadow", 'v',
          "usename name, usesysid oid, usecreatedb bool, usesuper bool, userepl bool, "
          "usebypassrls bool, passwd text, valuntil timestamptz, useconfig _text"),
    TABLE(12134, "pg_shmem_allocations", 'v',
          "name text, off int8, size int8, allocated_size int8"),
    TABLE(12222, "pg_stat_activity", 'v',
          "datid oid, datname name, pid int4, leader_pid int4, usesysid oid, usename name, "
          "application_name text, client_addr inet, client_hostname text, client_port int4, "
          "backend_start timestamptz, xact_start timestamptz, query_start timestamptz, "
          "state_change timestamptz, wait_event_type text, wait_event text, state text, "
          "backend_xid xid, backend_xmin xid, query_id int8, query text, backend_type text"),
    TABLE(12183, "pg_stat_all_indexes", 'v',
          "relid oid, indexrelid oid, schemaname name, relname name, indexrelname name, "
          "idx_scan int8, idx_tup_read int8, idx_tup_fetch int8"),
    TABLE(12142, "pg_stat_all_tables", 'v',
          "relid oid, schemaname name, relname name, seq_scan int8, seq_tup_read int8, "
          "idx_scan int8, idx_tup_fetch int8, n_tup_ins int8, n_tup_upd int8, n_tup_del int8, "
          "n_tup_hot_upd int8, n_live_tup int8, n_dead_tup int8, n_mod_since_analyze int8, "
          "n_ins_since_vacuum int8, last_vacuum timestamptz, last_autovacuum timestamptz, "
          "last_analyze timestamptz, last_autoanalyze timestamptz, vacuum_count int8, "
          "autovacuum_count int8, analyze_count int8, autoanalyze_count int8"),
    TABLE(12285, "pg_stat_archiver", 'v',
          "archived_count int8, last_archived_wal text, last_archived_time timestamptz, "
          "failed_count int8, last_failed_wal text, last_failed_time timestamptz, "
          "stats_reset timestamptz"),
    TABLE(12289, "pg_stat_bgwriter", 'v',
          "checkpoints_timed int8, checkpoints_req int8, checkpoint_write_time float8, "
          "checkpoint_sync_time float8, buffers_checkpoint int8, buffers_clean int8, "
          "maxwritten_clean int8, buffers_backend int8, buffers_backend_fsync int8, "
          "buffers_alloc int8, stats_reset timestamptz"),
    TABLE(12266, "pg_stat_database", 'v',
          "datid oid, datname name, numbackends int4, xact_commit int8, xact_rollback int8, "
          "blks_read int8, blks_hit int8, tup_returned int8, tup_fetched int8, "
          "tup_inserted int8, tup_updated int8, tup_deleted int8, conflicts int8, "
          "temp_files int8, temp_bytes int8, deadlocks int8, checksum_failures int8, "
          "checksum_last_failure timestamptz, blk_read_time float8, blk_write_time float8, "
          "session_time float8, active_time float8, idle_in_transaction_time float8, "
          "sessions int8, sessions_abandoned int8, sessions_fatal int8, sessions_killed int8, "
          "stats_reset timestamptz"),
    TABLE(12271, "pg_stat_database_conflicts", 'v',
          "datid oid, datname name, confl_tablespace int8, confl_lock int8, "
          "confl_snapshot int8, confl_bufferpin int8, confl_deadlock int8"),
    TABLE(12253, "pg_stat_gssapi", 'v',
          "pid int4, gss_authenticated bool, principal text, encrypted bool"),
    TABLE(12297, "pg_stat_progress_analyze", 'v',
          "pid int4, datid oid, datname name, relid oid, phase text, sample_blks_total int8, "
          "sample_blks_scanned int8, ext_stats_total int8, ext_stats_computed int8, "
          "child_tables_total int8, child_tables_done int8, current_child_table_relid oid"),
    TABLE(12317, "pg_stat_progress_basebackup", 'v',
          "pid int4, phase text, backup_total int8, backup_streamed int8, "
          "tablespaces_total int8, tablespaces_streamed int8"),
    TABLE(12307, "pg_stat_progress_cluster", 'v',
          "pid int4, datid oid, datname name, relid oid, command text, phase text, "
          "cluster_index_relid oid, heap_tuples_scanned int8, heap_tuples_written int8, "
          "heap_blks_total int8, heap_blks_scanned int8, index_rebuild_count int8"),
    TABLE(12322, "pg_stat_progress_copy", 'v',
          "pid int4, datid oid, datname name, relid oid, command text, type text, "
          "bytes_processed int8, bytes_total int8, tuples_processed int8, tuples_excluded int8"),
    TABLE(12312, "pg_stat_progress_create_index", 'v',
          "pid int4, datid oid, datname name, relid oid, index_relid oid, command text, "
          "phase text, lockers_total int8, lockers_done int8, current_locker_pid int8, "
          "blocks_total int8, blocks_done int8, tuples_total int8, tuples_done int8, "
          "partitions_total int8, partitions_done int8"),
    TABLE(12302, "pg_stat_progress_vacuum", 'v',
          "pid int4, datid oid, datname name, relid oid, phase text, heap_blks_total int8, "
          "heap_blks_scanned int8, heap_blks_vacuumed int8, index_vacuum_count int8, "
          "max_dead_tuples int8, num_dead_tuples int8"),
    TABLE(12240, "pg_stat_recovery_prefetch", 'v',
          "stats_reset timestamptz, prefetch int8, hit int8, skip_init int8, skip_new int8, "
          "skip_fpw int8, skip_rep int8, wal_distance int4, block_distance int4, io_depth int4"),
    TABLE(12227, "pg_stat_replication", 'v',
          "pid int4, usesysid oid, usename name, application_name text, client_addr inet, "
          "client_hostname text, client_port int4, backend_start timestamptz, "
          "backend_xmin xid, state text, sent_lsn pg_lsn, write_lsn pg_lsn, flush_lsn pg_lsn, "
          "replay_lsn pg_lsn, write_lag interval, flush_lag interval, replay_lag interval, "
          "sync_priority int4, sync_state text, reply_time timestamptz"),
    TABLE(12262, "pg_stat_replication_slots", 'v',
          "slot_name text, spill_txns int8, spill_count int8, spill_bytes int8, "
          "stream_txns int8, stream_count int8, stream_bytes int8, total_txns int8, "
          "total_bytes int8, stats_reset timestamptz"),
    TABLE(12232, "pg_stat_slru", 'v',
          "name text, blks_zeroed int8, blks_hit int8, blks_read int8, blks_written int8, "
          "blks_exists int8, flushes int8, truncates int8, stats_reset timestamptz"),
    TABLE(12249, "pg_stat_ssl", 'v',
          "pid int4, ssl bool, version text, cipher text, bits int4, client_dn text, "
          "client_serial numeric, issuer_dn text"),
    TABLE(12244, "pg_stat_subscription", 'v',
          "subid oid, subname name, pid int4, relid oid, received_lsn pg_lsn, "
          "last_msg_send_time timestamptz, last_msg_receipt_time timestamptz, "
          "latest_end_lsn pg_lsn, latest_end_time timestamptz"),
    TABLE(12336, "pg_stat_subscription_stats", 'v',
          "subid oid, subname name, apply_error_count int8, sync_error_count int8, "
          "stats_reset timestamptz"),
    TABLE(12188, "pg_stat_sys_indexes", 'v',
          "relid oid, indexrelid oid, schemaname name, relname name, indexrelname name, "
          "idx_scan int8, idx_tup_read int8, idx_tup_fetch int8"),
    TABLE(12152, "pg_stat_sys_tables", 'v',
          "relid oid, schemaname name, relname name, seq_scan int8, seq_tup_read int8, "
          "idx_scan int8, idx_tup_fetch int8, n_tup_ins int8, n_tup_upd int8, n_tup_del int8, "
          "n_tup_hot_upd int8, n_live_tup int8, n_dead_tup int8, n_mod_since_analyze int8, "
          "n_ins_since_vacuum int8, last_vacuum timestamptz, last_autovacuum timestamptz, "
          "last_analyze timestamptz, last_autoanalyze timestamptz, vacuum_count int8, "
          "autovacuum_count int8, analyze_count int8, autoanalyze_count int8"),
    TABLE(12275, "pg_stat_user_functions", 'v',
          "funcid oid, schemaname name, funcname name, calls int8, total_time float8, "
          "self_time float8"),
    TABLE(12192, "pg_stat_user_indexes", 'v',
          "relid oid, indexrelid oid, schemaname name, relname name, indexrelname name, "
          "idx_scan int8, idx_tup_read int8, idx_tup_fetch int8"),
    TABLE(12161, "pg_stat_user_tables", 'v',
          "relid oid, schemaname name, relname name, seq_scan int8, seq_tup_read int8, "
          "idx_scan int8, idx_tup_fetch int8, n_tup_ins int8, n_tup_upd int8, n_tup_del int8, "
          "n_tup_hot_upd int8, n_live_tup int8, n_dead_tup int8, n_mod_since_analyze int8, "
          "n_ins_since_vacuum int8, last_vacuum timestamptz, last_autovacuum timestamptz, "
          "last_analyze timestamptz, last_autoanalyze timestamptz, vacuum_count int8, "
          "autovacuum_count int8, analyze_count int8, autoanalyze_count int8"),
    TABLE(12293, "pg_stat_wal", 'v',
          "wal_records int8, wal_fpi int8, wal_bytes numeric, wal_buffers_full int8, "
          "wal_write int8, wal_sync int8, wal_write_time float8, wal_sync_time float8, "
          "stats_reset timestamptz"),
    TABLE(12236, "pg_stat_wal_receiver", 'v',
          "pid int4, status text, receive_start_lsn pg_lsn, receive_start_tli int4, "
          "written_lsn pg_lsn, flushed_lsn pg_lsn, received_tli int4, "
          "last_msg_send_time timestamptz, last_msg_receipt_time timestamptz, "
          "latest_end_lsn pg_lsn, latest_end_time timestamptz, slot_name text, "
          "sender_host text, sender_port int4, conninfo text"),
    TABLE(12147, "pg_stat_xact_all_tables", 'v',
          "relid oid, schemaname name, relname name, seq_scan int8, seq_tup_read int8, "
          "idx_scan int8, idx_tup_fetch int8, n_tup_ins int8, n_tup_upd int8, n_tup_del int8, "
          "n_tup_hot_upd int8"),
    TABLE(12157, "pg_stat_xact_sys_tables", 'v',
          "relid oid, schemaname name, relname name, seq_scan int8, seq_tup_read int8, "
          "idx_scan int8, idx_tup_fetch int8, n_tup_ins int8, n_tup_upd int8, n_tup_del int8, "
          "n_tup_hot_upd int8"),
    TABLE(12280, "pg_stat_xact_user_functions", 'v',
          "funcid oid, schemaname name, funcname name, calls int8, total_time float8, "
          "self_time float8"),
    TABLE(12166, "pg_stat_xact_user_tables", 'v',
          "relid oid, schemaname name, relname name, seq_scan int8, seq_tup_read int8, "
          "idx_scan int8, idx_tup_fetch int8, n_tup_ins int8, n_tup_upd int8, n_tup_del int8, "
          "n_tup_hot_upd int8"),
    TABLE(12196, "pg_statio_all_indexes", 'v',
          "relid oid, indexrelid oid, schemaname name, relname name, indexrelname name, "
          "idx_blks_read int8, idx_blks_hit int8"),
    TABLE(12209, "pg_statio_all_sequences", 'v',
          "relid oid, schemaname name, relname name, blks_read int8, blks_hit int8"),
    TABLE(12170, "pg_statio_all_tables", 'v',
          "relid oid, schemaname name, relname name, heap_blks_read int8, heap_blks_hit int8, "
          "idx_blks_read int8, idx_blks_hit int8, toast_blks_read int8, toast_blks_hit int8, "
          "tidx_blks_read int8, tidx_blks_hit int8"),
    TABLE(12201, "pg_statio_sys_indexes", 'v',
          "relid oid, indexrelid oid, schemaname name, relname name, indexrelname name, "
          "idx_blks_read int8, idx_blks_hit int8"),
    TABLE(12214, "pg_statio_sys_sequences", 'v',
          "relid oid, schemaname name, relname name, blks_read int8, blks_hit int8"),
    TABLE(12175, "pg_statio_sys_tables", 'v',
          "relid oid, schemaname name, relname name, heap_blks_read int8, heap_blks_hit int8, "
          "idx_blks_read int8, idx_blks_hit int8, toast_blks_read int8, toast_blks_hit int8, "
          "tidx_blks_read int8, tidx_blks_hit int8"),
    TABLE(12205, "pg_statio_user_indexes", 'v',
          "relid oid, indexrelid oid, schemaname name, relname name, indexrelname name, "
          "idx_blks_read int8, idx_blks_hit int8"),
    TABLE(12218, "pg_statio_user_sequences", 'v',
          "relid oid, schemaname name, relname name, blks_read int8, blks_hit int8"),
    TABLE(12179, "pg_statio_user_tables", 'v',
          "relid oid, schemaname name, relname name, heap_blks_read int8, heap_blks_hit int8, "
          "idx_blks_read int8, idx_blks_hit int8, toast_blks_read int8, toast_blks_hit int8, "
          "tidx_blks_read int8, tidx_blks_hit int8"),
    TABLE(12053, "pg_stats", 'v',
          "schemaname name, tablename name, attname name, inherited bool, null_frac float4, "
          "avg_width int4, n_distinct float4, most_common_vals anyarray, "
          "most_common_freqs _float4, histogram_bounds anyarray, correlation float4, "
          "most_common_elems anyarray, most_common_elem_freqs _float4, "
          "elem_count_histogram _float4"),
    TABLE(12058, "pg_stats_ext", 'v',
          "schemaname name, tablename name, statistics_schemaname name, statistics_name name, "
          "statistics_owner name, attnames _name, exprs _text, kinds _char, inherited bool, "
          "n_distinct pg_ndistinct, dependencies pg_dependencies, most_common_vals _text, "
          "most_common_val_nulls _bool, most_common_freqs _float8, "
          "most_common_base_freqs _float8"),
    TABLE(12063, "pg_stats_ext_exprs", 'v',
          "schemaname name, tablename name, statistics_schemaname name, statistics_name name, "
          "statistics_owner name, expr text, inherited bool, null_frac float4, avg_width int4, "
          "n_distinct float4, most_common_vals anyarray, most_common_freqs _float4, "
          "histogram_bounds anyarray, correlation float4, most_common_elems anyarray, "
          "most_common_elem_freqs _float4, elem_count_histogram _float4"),
    TABLE(12122, "pg_timezone_abbrevs", 'v',
          "abbrev text, utc_offset interval, is_dst bool"),
    TABLE(12126, "pg_timezone_names", 'v',
          "name text, abbrev text, utc_offset interval, is_dst bool"),
    TABLE(12327, "pg_user_mappings", 'v',
          "umid oid, srvid oid, srvname name, umuser oid, usename name, umoptions _text"),
};
/* clang-format on */

const struct system_part system_part_empty = {relations, sizeof(relations) / sizeof(relations[0])};
