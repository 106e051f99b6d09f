# query: SQL, from text to rows.
query_sources += query/bind/bind_change.c query/bind/bind_conflict.c query/bind/bind_copy.c \
    query/bind/bind_expr.c query/bind/bind_from.c query/bind/bind_func.c \
    query/bind/bind_group.c query/bind/bind_select.c query/bind/bind_view.c query/bind/coerce.c
query_sources += query/copy/copy_fields.c query/copy/copy_file.c query/copy/copy_in.c \
    query/copy/copy_options.c query/copy/copy_out.c query/copy/copy_read.c
query_sources += query/catalog/constraints.c query/catalog/empty.c query/catalog/information.c \
    query/catalog/names.c query/catalog/numbers.c query/catalog/numbers_operator.c \
    query/catalog/numbers_proc.c query/catalog/redis.c query/catalog/relations.c query/catalog/rows.c \
    query/catalog/server.c query/catalog/system.c query/catalog/tables.c query/catalog/types.c \
    query/catalog/views.c
query_sources += query/exec/aggregate.c query/exec/change.c query/exec/distinct.c query/exec/eval.c query/exec/join.c \
    query/exec/operator.c query/exec/partition.c query/exec/pushed.c query/exec/rows.c query/exec/scan.c query/exec/sort.c \
    query/exec/spill.c query/exec/spool.c query/exec/subquery.c \
    query/exec/text_range.c query/exec/utility.c
query_sources += query/exec/foreign.c query/exec/redis_rows.c query/exec/row_maker.c query/exec/utility_alter.c \
    query/exec/utility_drop.c query/exec/utility_foreign.c query/exec/utility_index.c \
    query/exec/utility_like.c query/exec/utility_rename.c query/exec/utility_sequence.c \
    query/exec/utility_table.c query/exec/utility_type.c query/exec/utility_view.c
query_sources += query/fn/sequence.c query/sequences.c query/session/deferred.c \
    query/session/temporary.c
query_sources += query/fn/aggregate.c query/fn/cast.c query/fn/compare.c query/fn/enum.c query/fn/fn.c query/fn/math.c \
    query/fn/text.c
query_sources += query/parameter.c query/parameter_table.c query/parameter_datetime.c query/parse/parse.c query/plan/from.c query/plan/plan.c \
    query/search_path.c
query_sources += query/explain/explain.c query/explain/explain_expr.c
query_sources += query/session/explain.c query/session/maintain.c query/session/planned.c query/session/portal.c query/session/prepared.c query/session/session.c query/session/set.c \
    query/session/transaction.c
# Functions that return rows, LATERAL.
query_sources += query/bind/bind_row.c
query_sources += query/bind/bind_set.c
query_sources += query/bind/bind_window.c
query_sources += query/bind/bind_with.c
query_sources += query/exec/cte.c
query_sources += query/exec/lateral.c
query_sources += query/bind/bind_lock.c
query_sources += query/exec/lock_rows.c
query_sources += query/exec/ordered.c
query_sources += query/exec/set.c
query_sources += query/exec/window.c
query_sources += query/fn/aggregate_pair.c
query_sources += query/fn/series.c
query_sources += query/plan/cte.c
query_sources += query/plan/grouped.c
query_sources += query/plan/set.c
query_sources += query/plan/window.c

# Arrays, polymorphic functions.
query_sources += query/bind/bind_array.c query/exec/eval_array.c query/fn/array.c \
    query/fn/array_agg.c query/fn/array_set.c query/fn/array_sort.c query/fn/polymorphic.c
query_sources += query/fn/datetime.c query/fn/datetime_make.c query/fn/datetime_part.c \
    query/fn/datetime_format.c query/fn/datetime_scan.c
query_sources += query/parse/keyword.c

# Keys of Redis in SQL.
query_sources += query/fn/redis.c query/session/redis.c query/session/share.c

# JSON.
query_sources += query/fn/json.c query/fn/json_build.c query/fn/json_item.c query/fn/json_rows.c \
    query/fn/jsonb_change.c
query_sources += query/deparse/definition.c query/deparse/expr.c
query_sources += query/fn/catalog.c query/fn/definition.c query/fn/regex.c query/fn/setting.c
query_sources += query/catalog/procs.c
query_sources += query/catalog/depend.c
