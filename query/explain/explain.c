/* query/explain/explain.c - EXPLAIN: options, and plans as text and JSON. */
#include "query/explain/explain.h"

#include <stdio.h>
#include <strings.h>

#include "models/types/sql_error.h"
#include "query/catalog/system.h"

#include "engine/base/poison.h"

enum { PLAN_DEPTH_MAX = 200 };

/* ---- Options ---- */

static err_t
option_bool(const DefElem *option, bool *out)
{
    const char *text;

    if (option->arg == NULL) {
        *out = true;
        return ERR_OK;
    }
    if (IsA(option->arg, Integer) && (intVal(option->arg) == 0 || intVal(option->arg) == 1)) {
        *out = intVal(option->arg) == 1;
        return ERR_OK;
    }
    text = IsA(option->arg, String) ? strVal(option->arg) : "";
    if (strcasecmp(text, "true") == 0 || strcasecmp(text, "on") == 0) {
        *out = true;
        return ERR_OK;
    }
    if (strcasecmp(text, "false") == 0 || strcasecmp(text, "off") == 0) {
        *out = false;
        return ERR_OK;
    }
    return sql_error("42601", "%s requires a Boolean value", option->defname);
}

static err_t
format_read(const DefElem *option, struct explain_options *options)
{
    const char *name = option->arg != NULL && IsA(option->arg, String) ? strVal(option->arg) : "";

    options->is_json = strcmp(name, "json") == 0;
    if (strcmp(name, "xml") == 0 || strcmp(name, "yaml") == 0) {
        return sql_error("0A000", "EXPLAIN (FORMAT %s) is not supported", name);
    }
    return options->is_json || strcmp(name, "text") == 0
               ? ERR_OK
               : sql_error("22023", "unrecognized value for EXPLAIN option \"%s\": \"%s\"",
                           option->defname, name);
}

/* Figures that there are none of: they may be turned off. */
static err_t
missing_read(const DefElem *option)
{
    static const char *const missing[] = {"costs", "buffers", "wal", "settings", "timing"};
    bool is_on = false;
    err_t err;

    for (uint32_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
        if (strcmp(option->defname, missing[i]) == 0) {
            TRY(option_bool(option, &is_on));
            return is_on ? sql_error("0A000", "EXPLAIN option %s is not supported", option->defname)
                         : ERR_OK;
        }
    }
    err = sql_error("42601", "unrecognized EXPLAIN option \"%s\"", option->defname);
out:
    return err;
}

err_t
explain_options_read(const ExplainStmt *node, struct explain_options *options_out,
                     int32_t *position_out)
{
    bool has_summary = false;
    const ListCell *cell;
    err_t err = ERR_OK;

    *options_out = (struct explain_options){0};
    foreach(cell, node->options)
    {
        const DefElem *option = lfirst(cell);

        if (strcmp(option->defname, "analyze") == 0) {
            err = option_bool(option, &options_out->analyzes);
        } else if (strcmp(option->defname, "verbose") == 0) {
            err = option_bool(option, &options_out->is_verbose);
        } else if (strcmp(option->defname, "summary") == 0) {
            has_summary = true;
            err = option_bool(option, &options_out->has_summary);
        } else if (strcmp(option->defname, "format") == 0) {
            err = format_read(option, options_out);
        } else {
            err = missing_read(option);
        }
        if (err != ERR_OK) {
            *position_out = option->location;
            return err;
        }
    }
    options_out->has_summary = has_summary ? options_out->has_summary : options_out->analyzes;
    return ERR_OK;
}

/* ---- Writing ---- */

struct writer {
    const struct explain *explain;
    struct buf *out;
    struct buf text; /* Of a property. */
    uint32_t indent; /* Text: spaces in front of properties. */
};

static void
json_string_put(struct buf *out, struct slice text)
{
    buf_append_byte(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];

        if (byte == '"' || byte == '\\') {
            buf_append_byte(out, '\\');
            buf_append_byte(out, byte);
        } else if (byte < 0x20) {
            buf_printf(out, "\\u%04x", byte);
        } else {
            buf_append_byte(out, byte);
        }
    }
    buf_append_byte(out, '"');
}

static void
line_begin(struct writer *writer)
{
    if (writer->out->size > 0) {
        buf_append_byte(writer->out, '\n');
    }
    buf_printf(writer->out, "%*s", (int)writer->indent, "");
}

/* A property whose value is in writer->text. */
static void
property_put(struct writer *writer, const char *name)
{
    if (writer->explain->options->is_json) {
        buf_printf(writer->out, ",\n%*s\"%s\": ", (int)writer->indent, "", name);
        json_string_put(writer->out, buf_slice(&writer->text));
    } else {
        line_begin(writer);
        buf_printf(writer->out, "%s: ", name);
        buf_append(writer->out, writer->text.data, writer->text.size);
    }
    buf_clear(&writer->text);
}

static void
condition_put(struct writer *writer, const char *name, const struct plan *input,
              const struct expr *condition)
{
    if (condition != NULL) {
        explain_expr_put(input, condition, &writer->text);
        property_put(writer, name);
    }
}

static void
exprs_put(struct writer *writer, const char *name, const struct plan *input,
          struct expr *const *exprs, uint32_t count)
{
    if (count == 0 || input == NULL) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        buf_append(&writer->text, ", ", i > 0 ? 2 : 0);
        explain_expr_put(input, exprs[i], &writer->text);
    }
    property_put(writer, name);
}

/* ---- Names ---- */

static const char *
join_words(enum from_kind kind)
{
    switch (kind) {
    case FROM_LEFT:
        return " Left Join";
    case FROM_RIGHT:
        return " Right Join";
    case FROM_FULL:
        return " Full Join";
    default:
        return "";
    }
}

static const char *
set_words(const struct plan *plan)
{
    switch (plan->set) {
    case SET_INTERSECT:
        return plan->is_set_all ? "HashSetOp Intersect All" : "HashSetOp Intersect";
    case SET_EXCEPT:
        return plan->is_set_all ? "HashSetOp Except All" : "HashSetOp Except";
    default:
        return plan->is_set_all ? "Append" : "HashSetOp Union";
    }
}

static void
scan_name(const struct plan *plan, struct buf *out)
{
    struct slice name = plan->relation->name;

    if (plan->index == NULL) {
        buf_printf(out, "Seq Scan on %.*s", (int)name.size, (const char *)name.data);
        return;
    }
    buf_printf(out, "Index Scan using %.*s on %.*s", (int)plan->index->name.size,
               (const char *)plan->index->name.data, (int)name.size, (const char *)name.data);
}

static void
node_name(const struct plan *plan, struct buf *out)
{
    switch (plan->kind) {
    case PLAN_SCAN:
        scan_name(plan, out);
        return;
    case PLAN_SYSTEM:
        buf_printf(out, "Seq Scan on %s", plan->system->name);
        return;
    case PLAN_JOIN_LOOP:
    case PLAN_JOIN_LATERAL:
        buf_printf(out, "Nested Loop%s", join_words(plan->join));
        return;
    case PLAN_JOIN_HASH:
        buf_printf(out, "Hash%s", plan->join == FROM_INNER ? " Join" : join_words(plan->join));
        return;
    case PLAN_SET:
        buf_printf(out, "%s", set_words(plan));
        return;
    case PLAN_AGGREGATE:
        buf_printf(out, "%s", plan->expr_count > 0 ? "HashAggregate" : "Aggregate");
        return;
    default:
        break;
    }
    buf_printf(out, "%s",
               plan->kind == PLAN_VALUES        ? "Values Scan"
               : plan->kind == PLAN_FUNCTION    ? "Function Scan"
               : plan->kind == PLAN_PROJECT_SET ? "ProjectSet"
               : plan->kind == PLAN_CTE         ? "CTE Scan"
               : plan->kind == PLAN_WORK        ? "WorkTable Scan"
               : plan->kind == PLAN_WINDOW      ? "WindowAgg"
               : plan->kind == PLAN_SORT        ? "Sort"
               : plan->kind == PLAN_DISTINCT    ? "HashAggregate"
               : plan->kind == PLAN_DISTINCT_ON ? "Unique"
               : plan->kind == PLAN_LIMIT       ? "Limit"
                                                : "Result");
}

/* ---- Properties ---- */

static void
bound_put(struct writer *writer, const struct plan *plan, const char *sign,
          const struct expr *value)
{
    const struct column *column = &plan->relation->columns[plan->index->columns[plan->equal_count]];

    buf_append(&writer->text, " AND ", writer->text.size > 0 ? 5 : 0);
    buf_printf(&writer->text, "(%.*s %s ", (int)column->name.size, (const char *)column->name.data,
               sign);
    explain_expr_put(plan, value, &writer->text);
    buf_append_byte(&writer->text, ')');
}

static void
index_condition_put(struct writer *writer, const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->equal_count; i++) {
        const struct column *column = &plan->relation->columns[plan->index->columns[i]];

        buf_append(&writer->text, " AND ", i > 0 ? 5 : 0);
        buf_printf(&writer->text, "(%.*s = ", (int)column->name.size,
                   (const char *)column->name.data);
        explain_expr_put(plan, plan->exprs[i], &writer->text);
        buf_append_byte(&writer->text, ')');
    }
    if (plan->low != NULL) {
        bound_put(writer, plan, plan->is_low_open ? ">" : ">=", plan->low);
    }
    if (plan->high != NULL) {
        bound_put(writer, plan, plan->is_high_open ? "<" : "<=", plan->high);
    }
    if (writer->text.size > 0) {
        property_put(writer, "Index Cond");
    }
}

static void
hash_condition_put(struct writer *writer, const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->key_count; i++) {
        buf_append(&writer->text, " AND ", i > 0 ? 5 : 0);
        buf_append_byte(&writer->text, '(');
        explain_expr_put(plan->left, plan->left_keys[i], &writer->text);
        buf_append(&writer->text, " = ", 3);
        explain_expr_put(plan->right, plan->right_keys[i], &writer->text);
        buf_append_byte(&writer->text, ')');
    }
    property_put(writer, "Hash Cond");
}

static void
sort_key_put(struct writer *writer, const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->key_column_count; i++) {
        const struct sort_key *key = &plan->keys[i];

        buf_append(&writer->text, ", ", i > 0 ? 2 : 0);
        explain_column_put(plan->left, key->column, &writer->text);
        buf_printf(&writer->text, "%s%s", key->is_descending ? " DESC" : "",
                   key->nulls_first == key->is_descending ? ""
                   : key->nulls_first                     ? " NULLS FIRST"
                                                          : " NULLS LAST");
    }
    property_put(writer, "Sort Key");
}

static unsigned long long
kilobytes(uint64_t bytes)
{
    return (bytes + 1023) / 1024;
}

/* What an operator that was run has kept. */
static const struct operator_figures *
kept_figures(const struct writer *writer, const struct plan *plan)
{
    const struct operator_figures *figures = exec_figures_find(writer->explain->exec, plan);

    return writer->explain->options->analyzes && figures != NULL && figures->is_kept ? figures
                                                                                     : NULL;
}

static void
number_put(struct writer *writer, const char *name, unsigned long long number)
{
    buf_printf(writer->out, ",\n%*s\"%s\": %llu", (int)writer->indent, "", name, number);
}

static void
sort_figures_put(struct writer *writer, const struct plan *plan)
{
    const struct operator_figures *figures = kept_figures(writer, plan);
    const char *method, *place;
    uint64_t bytes;

    if (figures == NULL) {
        return;
    }
    method = figures->is_disk ? "external merge" : "quicksort";
    place = figures->is_disk ? "Disk" : "Memory";
    bytes = figures->is_disk ? figures->file_bytes : figures->memory_bytes;
    buf_printf(&writer->text, "%s", method);
    if (!writer->explain->options->is_json) {
        buf_printf(&writer->text, "  %s: %llukB", place, kilobytes(bytes));
    }
    property_put(writer, "Sort Method");
    if (writer->explain->options->is_json) {
        number_put(writer, "Sort Space Used", kilobytes(bytes));
        buf_printf(&writer->text, "%s", place);
        property_put(writer, "Sort Space Type");
    }
}

/* Of hash tables: joins tell their batches first as well. */
static void
hash_figures_put(struct writer *writer, const struct plan *plan)
{
    const struct operator_figures *figures = kept_figures(writer, plan);

    if (figures == NULL) {
        return;
    }
    if (writer->explain->options->is_json) {
        number_put(writer, plan->kind == PLAN_JOIN_HASH ? "Hash Batches" : "HashAgg Batches",
                   figures->batches);
        number_put(writer, "Peak Memory Usage", kilobytes(figures->memory_bytes));
        if (figures->is_disk) {
            number_put(writer, "Disk Usage", kilobytes(figures->file_bytes));
        }
        return;
    }
    buf_printf(&writer->text, "%u  Memory Usage: %llukB", figures->batches,
               kilobytes(figures->memory_bytes));
    if (figures->is_disk) {
        buf_printf(&writer->text, "  Disk Usage: %llukB", kilobytes(figures->file_bytes));
    }
    property_put(writer, "Batches");
}

static void
properties_put(struct writer *writer, const struct plan *plan)
{
    switch (plan->kind) {
    case PLAN_SCAN:
        if (plan->index != NULL) {
            index_condition_put(writer, plan);
        }
        break;
    case PLAN_JOIN_HASH:
        hash_condition_put(writer, plan);
        condition_put(writer, "Join Filter", plan, plan->condition);
        hash_figures_put(writer, plan);
        break;
    case PLAN_JOIN_LOOP:
    case PLAN_JOIN_LATERAL:
        condition_put(writer, "Join Filter", plan, plan->condition);
        break;
    case PLAN_SORT:
        sort_key_put(writer, plan);
        sort_figures_put(writer, plan);
        break;
    case PLAN_DISTINCT:
    case PLAN_SET:
        hash_figures_put(writer, plan);
        break;
    case PLAN_AGGREGATE:
        exprs_put(writer, "Group Key", plan->left, plan->exprs, plan->expr_count);
        if (plan->expr_count > 0) {
            hash_figures_put(writer, plan);
        }
        break;
    default:
        break;
    }
}

/* ---- The tree ---- */

static void
figures_put(struct writer *writer, const struct plan *plan)
{
    const struct operator_figures *figures = exec_figures_find(writer->explain->exec, plan);
    uint64_t rows = figures != NULL ? figures->rows : 0;
    uint64_t loops = figures != NULL ? figures->loops : 0;

    if (!writer->explain->options->analyzes) {
        return;
    }
    if (writer->explain->options->is_json) {
        buf_printf(writer->out, ",\n%*s\"Actual Rows\": %llu,\n%*s\"Actual Loops\": %llu",
                   (int)writer->indent, "", (unsigned long long)(loops > 0 ? rows / loops : 0),
                   (int)writer->indent, "", (unsigned long long)loops);
    } else if (loops == 0) {
        buf_printf(writer->out, " (never executed)");
    } else {
        buf_printf(writer->out, " (actual rows=%llu loops=%llu)",
                   (unsigned long long)(rows / loops), (unsigned long long)loops);
    }
}

/* Operators that PostgreSQL has as a part of the one below. */
static const struct plan *
below(const struct plan *plan, const struct plan **filter, const struct plan **project)
{
    while (plan->left != NULL &&
           (plan->kind == PLAN_FILTER || plan->kind == PLAN_PROJECT || plan->kind == PLAN_WITH)) {
        if (plan->kind == PLAN_FILTER && *filter != NULL) {
            break; /* Two of them: the second stands by itself. */
        }
        *filter = plan->kind == PLAN_FILTER ? plan : *filter;
        *project = plan->kind == PLAN_PROJECT && *project == NULL ? plan : *project;
        plan = plan->left;
    }
    return plan;
}

static void plan_put(struct writer *writer, const struct plan *plan, uint32_t depth);

static void
node_open(struct writer *writer, struct slice name, uint32_t depth)
{
    if (writer->explain->options->is_json) {
        buf_printf(writer->out, "{\n");
        writer->indent += 2;
        buf_printf(writer->out, "%*s\"Node Type\": ", (int)writer->indent, "");
        json_string_put(writer->out, name);
        return;
    }
    line_begin(writer);
    buf_printf(writer->out, "%s%.*s", depth > 0 ? "->  " : "", (int)name.size,
               (const char *)name.data);
    writer->indent += depth > 0 ? 6 : 2;
}

static void
children_put(struct writer *writer, const struct plan *const *children, uint32_t count,
             uint32_t depth)
{
    bool is_json = writer->explain->options->is_json;

    if (is_json && count > 0) {
        buf_printf(writer->out, ",\n%*s\"Plans\": [\n%*s", (int)writer->indent, "",
                   (int)writer->indent + 2, "");
        writer->indent += 2;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (is_json && i > 0) {
            buf_printf(writer->out, ",\n%*s", (int)writer->indent, "");
        }
        plan_put(writer, children[i], depth + 1);
    }
    if (is_json && count > 0) {
        writer->indent -= 2;
        buf_printf(writer->out, "\n%*s]", (int)writer->indent, "");
    }
}

static void
node_close(struct writer *writer, uint32_t before)
{
    if (writer->explain->options->is_json) {
        writer->indent -= 2;
        buf_printf(writer->out, "\n%*s}", (int)writer->indent, "");
    }
    writer->indent = before;
}

static void
plan_put(struct writer *writer, const struct plan *plan, uint32_t depth)
{
    const struct plan *filter = NULL, *project = NULL, *children[2];
    const struct plan *shown = below(plan, &filter, &project);
    uint32_t before = writer->indent, count = 0;
    struct buf name;

    if (depth > PLAN_DEPTH_MAX) {
        return;
    }
    buf_init(&name, MEM_SESSIONS);
    node_name(shown, &name);
    node_open(writer, buf_slice(&name), depth);
    buf_fini(&name);
    figures_put(writer, filter != NULL ? filter : shown);
    if (writer->explain->options->is_verbose && project != NULL) {
        exprs_put(writer, "Output", project->left, project->exprs, project->expr_count);
    }
    properties_put(writer, shown);
    if (filter != NULL) {
        condition_put(writer, "Filter", filter->left, filter->condition);
    }
    if (shown->left != NULL) {
        children[count++] = shown->left;
    }
    if (shown->right != NULL) {
        children[count++] = shown->right;
    }
    children_put(writer, children, count, depth);
    node_close(writer, before);
}

/* ---- The statement ---- */

static void
statement_put(struct writer *writer)
{
    static const char *const verbs[] = {
        [STATEMENT_INSERT] = "Insert",
        [STATEMENT_UPDATE] = "Update",
        [STATEMENT_DELETE] = "Delete",
    };
    const struct statement *statement = writer->explain->statement;
    uint32_t before = writer->indent;
    struct buf name;

    if (statement->kind == STATEMENT_SELECT) {
        plan_put(writer, writer->explain->plan, 0);
        return;
    }
    buf_init(&name, MEM_SESSIONS);
    buf_printf(&name, "%s on %.*s", verbs[statement->kind], (int)statement->relation->name.size,
               (const char *)statement->relation->name.data);
    node_open(writer, buf_slice(&name), 0);
    buf_fini(&name);
    children_put(writer, &writer->explain->plan, 1, 0);
    node_close(writer, before);
}

static void
summary_put(struct writer *writer)
{
    const struct explain *explain = writer->explain;
    double planning = (double)explain->planning_us / 1000;
    double execution = (double)explain->execution_us / 1000;

    if (explain->options->is_json) {
        buf_printf(writer->out, ",\n    \"Planning Time\": %.3f", planning);
        if (explain->options->analyzes) {
            buf_printf(writer->out, ",\n    \"Execution Time\": %.3f", execution);
        }
        return;
    }
    buf_printf(writer->out, "\nPlanning Time: %.3f ms", planning);
    if (explain->options->analyzes) {
        buf_printf(writer->out, "\nExecution Time: %.3f ms", execution);
    }
}

void
explain_put(const struct explain *explain, struct buf *out)
{
    struct writer writer = {.explain = explain, .out = out};

    buf_init(&writer.text, MEM_SESSIONS);
    if (explain->options->is_json) {
        buf_printf(out, "[\n  {\n    \"Plan\": ");
        writer.indent = 4;
    }
    statement_put(&writer);
    if (explain->options->has_summary) {
        summary_put(&writer);
    }
    if (explain->options->is_json) {
        buf_printf(out, "\n  }\n]");
    }
    buf_fini(&writer.text);
}
