/* query/exec/utility_table.c - CREATE TABLE: columns and constraints. ALTER TABLE adds with the
 * same functions. */
#include "query/exec/utility_internal.h"

#include "query/fn/fn.h"

#include "engine/base/poison.h"

/* Of PostgreSQL's nodeFuncs.h, whose macros are not wanted. */
bool raw_expression_tree_walker(Node *node, bool (*walker)(Node *node, void *context),
                                void *context);

void *
utility_enlarge(struct utility *utility, void *old, uint32_t count, uint32_t *capacity, size_t size)
{
    void *larger;

    if (count < *capacity) {
        return old;
    }
    *capacity = Max(8, Max(count + 1, *capacity * 2));
    larger = arena_alloc(utility->exec->arena, *capacity * size);
    if (count > 0) {
        memcpy(larger, old, count * size);
    }
    return larger;
}

void
definition_open(struct utility *utility, const struct relation *relation,
                struct definition *definition)
{
    const struct relation *copy = utility_change(utility, relation, 0);

    *definition = (struct definition){
        .relation = *relation,
        .columns = copy->columns,
        .indexes = copy->indexes,
        .virtuals = copy->virtuals,
        .constraints = copy->constraints,
        .first_index = relation->index_count,
        .first_constraint = relation->constraint_count,
    };
    definition->relation.dependencies = copy->dependencies;
    (void)definition_close(definition);
}

const struct relation *
definition_close(struct definition *definition)
{
    definition->relation.columns = definition->columns;
    definition->relation.indexes = definition->indexes;
    definition->relation.virtuals = definition->virtuals;
    definition->relation.constraints = definition->constraints;
    return &definition->relation;
}

/* ---- What an expression may hold ---- */

struct look {
    struct utility *utility;
    const char *context;  /* "DEFAULT expressions" */
    const char *singular; /* "DEFAULT expression" */
    bool refuses_columns;
    err_t err;
};

static bool
expression_walk(Node *node, void *context)
{
    struct look *look = context;

    if (node == NULL) {
        return false;
    }
    if (IsA(node, SubLink)) {
        look->utility->position = ((SubLink *)node)->location;
        look->err = sql_error("0A000", "cannot use subquery in %s", look->singular);
        return true;
    }
    if (IsA(node, ColumnRef) && look->refuses_columns) {
        look->utility->position = ((ColumnRef *)node)->location;
        look->err = sql_error("0A000", "cannot use column reference in %s", look->singular);
        return true;
    }
    if (IsA(node, FuncCall)) {
        const FuncCall *call = (FuncCall *)node;
        const char *name = strVal(llast(call->funcname));

        look->utility->position = call->location;
        if (call->over != NULL) {
            look->err = sql_error("42P20", "window functions are not allowed in %s", look->context);
            return true;
        }
        if (fn_is_aggregate(name) && !fn_is_known(name)) {
            look->err =
                sql_error("42803", "aggregate functions are not allowed in %s", look->context);
            return true;
        }
        look->utility->position = -1;
    }
    return raw_expression_tree_walker(node, expression_walk, context);
}

static err_t
expression_look(struct utility *utility, const Node *node, const char *context,
                const char *singular, bool refuses_columns)
{
    struct look look = {.utility = utility,
                        .context = context,
                        .singular = singular,
                        .refuses_columns = refuses_columns};

    (void)expression_walk((Node *)(uintptr_t)node, &look);
    return look.err;
}

/* ---- Keys ---- */

/* A function's name stands for its call. */
static struct slice
expression_name(const struct definition *definition, uint32_t part)
{
    const IndexElem *element = (int)part < list_length(definition->index_params)
                                   ? list_nth(definition->index_params, (int)part)
                                   : NULL;

    return element != NULL && element->expr != NULL && IsA(element->expr, FuncCall)
               ? slice_from_text(strVal(llast(((const FuncCall *)element->expr)->funcname)))
               : SLICE("expr");
}

struct slice
definition_index_name(struct utility *utility, const struct definition *definition,
                      const struct index *index, const char *suffix)
{
    struct slice columns = SLICE(""), name;
    struct buf joined;

    buf_init(&joined, MEM_SESSIONS);
    for (uint32_t i = 0; !index->is_primary && i < index->column_count; i++) {
        struct slice part = index->columns[i] < INDEX_EXPRESSION
                                ? definition->columns[index->columns[i]].name
                                : expression_name(definition, i);

        buf_append(&joined, "_", i > 0 ? 1 : 0);
        buf_append(&joined, part.data, part.size);
        if (joined.size >= NAME_BYTES_MAX) {
            break;
        }
    }
    columns = arena_copy(utility->exec->arena, buf_slice(&joined));
    buf_fini(&joined);
    name = utility_name_choose(utility, definition->relation.schema, definition->relation.name,
                               columns, suffix, &definition->relation);
    return name;
}

static err_t
key_column(struct utility *utility, const struct definition *definition, const char *name,
           int location, uint16_t *column_out)
{
    for (uint32_t i = 0; i < definition->relation.column_count; i++) {
        if (!definition->columns[i].is_dropped &&
            slice_equal(definition->columns[i].name, slice_from_text(name))) {
            *column_out = (uint16_t)i;
            return ERR_OK;
        }
    }
    return utility_error(utility, location, "42703", "column \"%s\" named in key does not exist",
                         name);
}

void
definition_constraint_put(struct utility *utility, struct definition *definition,
                          const struct constraint *constraint)
{
    uint32_t count = definition->relation.constraint_count;

    definition->constraints =
        utility_enlarge(utility, definition->constraints, count, &definition->constraint_capacity,
                        sizeof(*definition->constraints));
    definition->constraints[count] = *constraint;
    definition->relation.constraint_count++;
    definition->relation.constraints = definition->constraints;
}

static err_t
constraint_name_check(struct utility *utility, const struct definition *definition,
                      const char *name, int location)
{
    struct slice wanted = slice_from_text(name);

    if (relation_constraint(&definition->relation, wanted) != NULL) {
        utility->position = location;
        return sql_error("42710", "constraint \"%s\" for relation \"%.*s\" already exists", name,
                         SLICE_ARGS(definition->relation.name));
    }
    return ERR_OK;
}

static err_t
key_columns(struct utility *utility, struct definition *definition, const Constraint *constraint,
            const List *keys, struct index *index)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    foreach(cell, keys)
    {
        uint16_t *column = &index->columns[index->column_count];

        if (index->column_count == INDEX_COLUMNS_MAX) {
            return utility_error(utility, -1, "54011",
                                 "cannot use more than %s columns in an index", "32");
        }
        TRY(key_column(utility, definition, strVal(lfirst(cell)), constraint->location, column));
        for (uint32_t i = 0; i < index->column_count; i++) {
            if (index->columns[i] == *column) {
                utility->position = constraint->location;
                return sql_error("42701", "column \"%s\" appears twice in %s constraint",
                                 strVal(lfirst(cell)),
                                 index->is_primary ? "primary key" : "unique");
            }
        }
        index->column_count++;
    }
    foreach(cell, constraint->including)
    {
        if (index->included_count == INDEX_COLUMNS_MAX) {
            return utility_error(utility, -1, "54011",
                                 "cannot use more than %s columns in an index", "32");
        }
        TRY(key_column(utility, definition, strVal(lfirst(cell)), constraint->location,
                       &index->included[index->included_count]));
        index->included_count++;
    }
out:
    return err;
}

static err_t
key_types_check(const struct definition *definition, const struct index *index)
{
    for (uint32_t i = 0; i < index->column_count; i++) {
        const struct type *type = definition->columns[index->columns[i]].type;

        if (type->compare == NULL) {
            (void)sql_error("42704",
                            "data type %s has no default operator class for access method "
                            "\"btree\"",
                            type->display);
            return sql_hint("You must specify an operator class for the index or define a "
                            "default operator class for the data type.");
        }
    }
    return ERR_OK;
}

/* Primary keys sort the rows of a new table; afterwards, and deferrable ones, they are indexes. */
static err_t
primary_prepare(struct utility *utility, struct definition *definition,
                const Constraint *constraint, struct index *index)
{
    for (uint32_t i = 0; i < definition->relation.index_count; i++) {
        if (definition->indexes[i].is_primary) {
            return utility_error(utility, constraint->location, "42P16",
                                 "multiple primary keys for table \"%s\" are not allowed",
                                 utility_c_string(utility, definition->relation.name));
        }
    }
    for (uint32_t i = 0; i < index->column_count; i++) {
        definition->columns[index->columns[i]].is_not_null = true;
    }
    return ERR_OK;
}

/* ALTER TABLE ... ADD PRIMARY KEY USING INDEX: the index becomes the constraint's. */
static err_t
key_of_index(struct utility *utility, struct definition *definition, const Constraint *constraint)
{
    struct constraint key = {
        .kind = constraint->contype == CONSTR_PRIMARY ? CONSTRAINT_PRIMARY : CONSTRAINT_UNIQUE,
        .is_deferrable = constraint->deferrable,
        .is_deferred = constraint->initdeferred,
    };
    struct index *index = NULL;

    for (uint32_t i = 0; i < definition->relation.index_count; i++) {
        if (slice_equal(definition->indexes[i].name, slice_from_text(constraint->indexname))) {
            index = &definition->indexes[i];
        }
    }
    if (index == NULL) {
        return utility_error(utility, constraint->location, "42704", "index \"%s\" does not exist",
                             constraint->indexname);
    }
    for (uint32_t i = 0; i < definition->relation.constraint_count; i++) {
        if (definition->constraints[i].index == index->oid &&
            definition->constraints[i].kind != CONSTRAINT_FOREIGN) {
            return utility_error(utility, constraint->location, "55000",
                                 "index \"%s\" is already associated with a constraint",
                                 constraint->indexname);
        }
    }
    if (!index->is_unique || index->predicate != 0 || constraint->deferrable) {
        utility->position = constraint->location;
        return sql_error(constraint->deferrable ? "0A000" : "42809",
                         constraint->deferrable
                             ? "a deferrable constraint of the index \"%s\" is not supported yet"
                         : index->is_unique ? "\"%s\" is a partial index"
                                            : "\"%s\" is not a unique index",
                         constraint->indexname);
    }
    for (uint32_t i = 0; i < index->column_count; i++) {
        if (index->columns[i] >= INDEX_EXPRESSION) {
            return utility_error(utility, constraint->location, "42809",
                                 "index \"%s\" contains expressions", constraint->indexname);
        }
    }
    if (key.kind == CONSTRAINT_PRIMARY) {
        err_t err = primary_prepare(utility, definition, constraint, index);

        if (err != ERR_OK) {
            return err;
        }
        index->is_primary = true;
    }
    key.name = index->name;
    if (constraint->conname != NULL &&
        !slice_equal(index->name, slice_from_text(constraint->conname))) {
        key.name = utility_name_of(utility, constraint->conname);
        utility_notice(utility, "00000", NULL,
                       "ALTER TABLE / ADD CONSTRAINT USING INDEX will rename index \"%.*s\" to "
                       "\"%.*s\"",
                       SLICE_ARGS(index->name), SLICE_ARGS(key.name));
        index->name = key.name;
    }
    key.oid = catalog_oid_take(utility->catalog);
    key.index = index->oid;
    key.column_count = index->column_count;
    memcpy(key.columns, index->columns, sizeof(key.columns));
    definition_constraint_put(utility, definition, &key);
    return ERR_OK;
}

err_t
definition_key(struct utility *utility, struct definition *definition, const Constraint *constraint,
               const List *keys, uint16_t column)
{
    bool is_primary = constraint->contype == CONSTR_PRIMARY;
    struct index index = {.is_unique = true,
                          .is_primary = is_primary,
                          .nulls_equal = constraint->nulls_not_distinct,
                          .is_deferrable = constraint->deferrable};
    struct constraint key = {.kind = is_primary ? CONSTRAINT_PRIMARY : CONSTRAINT_UNIQUE,
                             .is_deferrable = constraint->deferrable,
                             .is_deferred = constraint->initdeferred};
    err_t err = ERR_OK;

    if (constraint->indexname != NULL) {
        return key_of_index(utility, definition, constraint);
    }
    index.columns[0] = column;
    index.column_count = keys == NIL;
    TRY(key_columns(utility, definition, constraint, keys, &index));
    if (is_primary) {
        TRY(primary_prepare(utility, definition, constraint, &index));
    }
    TRY(key_types_check(definition, &index));
    index.oid = catalog_oid_take(utility->catalog);
    index.storage = is_primary && definition->is_new && !index.is_deferrable
                        ? 0
                        : catalog_storage_take(utility->catalog);
    if (constraint->conname != NULL) {
        TRY(constraint_name_check(utility, definition, constraint->conname, -1));
        index.name = utility_name_of(utility, constraint->conname);
        if (utility_is_taken(utility, definition->relation.schema, index.name)) {
            err = utility_already_exists(utility, false, index.name);
            goto out;
        }
    } else {
        index.name =
            definition_index_name(utility, definition, &index, is_primary ? "pkey" : "key");
    }
    definition->indexes =
        utility_enlarge(utility, definition->indexes, definition->relation.index_count,
                        &definition->index_capacity, sizeof(*definition->indexes));
    definition->indexes[definition->relation.index_count++] = index;
    definition->relation.indexes = definition->indexes;
    key.oid = catalog_oid_take(utility->catalog);
    key.name = index.name;
    key.index = index.oid;
    key.column_count = index.column_count;
    memcpy(key.columns, index.columns, sizeof(key.columns));
    definition_constraint_put(utility, definition, &key);
out:
    return err;
}

/* ---- Checks ---- */

static err_t
check_add(struct utility *utility, struct definition *definition, const Constraint *constraint)
{
    struct slice text = text_parenthesized(utility_text_from(utility, constraint->location));
    struct constraint check = {
        .kind = CONSTRAINT_CHECK,
        .is_no_inherit = constraint->is_no_inherit,
        .is_not_valid = constraint->skip_validation && !definition->is_new,
    };
    err_t err;

    TRY(expression_look(utility, constraint->raw_expr, "check constraints", "check constraint",
                        false));
    check.oid = catalog_oid_take(utility->catalog);
    check.sql = arena_copy(utility->exec->arena, text);
    if (constraint->conname != NULL) {
        TRY(constraint_name_check(utility, definition, constraint->conname, -1));
        check.name = utility_name_of(utility, constraint->conname);
    }
    definition_constraint_put(utility, definition, &check);
out:
    return err;
}

/* The columns that the expression is about. */
static void
columns_of(const struct expr *expr, struct constraint *check)
{
    bool is_known = expr->kind != EXPR_COLUMN;

    for (uint32_t i = 0; !is_known && i < check->column_count; i++) {
        is_known = check->columns[i] == expr->column.column;
    }
    if (!is_known && check->column_count < INDEX_COLUMNS_MAX) {
        check->columns[check->column_count++] = (uint16_t)expr->column.column;
    }
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        columns_of(expr->args[i], check);
    }
}

/* table_column_check when it is about one column, table_check otherwise; then with numbers. */
static struct slice
check_name_choose(struct utility *utility, const struct relation *relation,
                  const struct constraint *check)
{
    struct slice part =
        check->column_count == 1 ? relation->columns[check->columns[0]].name : slice_of(NULL, 0);
    struct slice name;
    uint32_t number = 0;

    do {
        const char *label =
            number == 0 ? "check" : arena_printf(utility->exec->arena, "check%u", number);

        number++;
        name = slice_from_text(arena_printf(utility->exec->arena, "%.*s%s%.*s_%s",
                                            SLICE_ARGS(relation->name), part.size > 0 ? "_" : "",
                                            SLICE_ARGS(part), label));
    } while (relation_constraint(relation, name) != NULL);
    return name;
}

/* ---- Columns ---- */

/* serial and its like: 0: it is none. */
static oid_t
serial_type(const TypeName *name)
{
    static const struct {
        const char *name;
        oid_t type;
    } serials[] = {{"serial", OID_INT4},  {"serial4", OID_INT4},     {"bigserial", OID_INT8},
                   {"serial8", OID_INT8}, {"smallserial", OID_INT2}, {"serial2", OID_INT2}};
    const char *word = name->names != NIL ? strVal(llast(name->names)) : "";

    for (uint32_t i = 0; list_length(name->names) == 1 && name->arrayBounds == NIL &&
                         i < sizeof(serials) / sizeof(serials[0]);
         i++) {
        if (strcmp(serials[i].name, word) == 0) {
            return serials[i].type;
        }
    }
    return 0;
}

/* The default of a serial column: nextval of a sequence of its own. */
static err_t
serial_default(struct utility *utility, struct definition *definition, uint16_t column)
{
    struct column *described = &definition->columns[column];
    const struct relation *sequence;
    const char *name;
    struct buf quoted;
    err_t err;

    definition->relation.columns = definition->columns;
    TRY(utility_column_sequence(utility, &definition->relation, column, described->type->oid, NIL,
                                false, &sequence));
    name = utility_qualified(utility, sequence);
    buf_init(&quoted, MEM_SESSIONS);
    for (; *name != '\0'; name++) {
        buf_append(&quoted, "'", *name == '\'' ? 1 : 0);
        buf_append_byte(&quoted, (uint8_t)*name);
    }
    described->default_sql = slice_from_text(
        arena_printf(utility->exec->arena, "nextval('%.*s'%s)", SLICE_ARGS(buf_slice(&quoted)),
                     type_by_oid(OID_REGCLASS) != NULL ? "::regclass" : ""));
    buf_fini(&quoted);
    described->is_not_null = true;
out:
    return err;
}

static err_t
column_type(struct utility *utility, const ColumnDef *node, struct column *column)
{
    oid_t serial = serial_type(node->typeName);
    err_t err;

    if (serial != 0) {
        column->type = type_by_oid(serial);
        return ERR_OK;
    }
    utility->position = node->typeName->location;
    TRY(bind_type_name(utility->catalog, utility->search_path, node->typeName, &column->type,
                       &column->typmod));
    utility->position = -1;
    if (column->type->category == 'P' || column->type->oid == OID_UNKNOWN ||
        column->type->oid == OID_VOID) {
        return sql_error("42P16", "column \"%s\" has pseudo-type %s", node->colname,
                         column->type->display);
    }
out:
    return err;
}

err_t
definition_column(struct utility *utility, struct definition *definition, const ColumnDef *node)
{
    uint16_t number = definition->relation.column_count;
    struct column column = {.typmod = -1};
    err_t err;

    if (number == RELATION_COLUMNS_MAX) {
        return utility_error(utility, -1, "54011", "%s", "tables can have at most 1600 columns");
    }
    for (uint32_t i = 0; i < number; i++) {
        if (!definition->columns[i].is_dropped &&
            slice_equal(definition->columns[i].name, slice_from_text(node->colname))) {
            return definition->is_new
                       ? sql_error("42701", "column \"%s\" specified more than once", node->colname)
                       : sql_error("42701", "column \"%s\" of relation \"%.*s\" already exists",
                                   node->colname, SLICE_ARGS(definition->relation.name));
        }
    }
    TRY(column_type(utility, node, &column));
    column.name = utility_name_of(utility, node->colname);
    definition->columns = utility_enlarge(utility, definition->columns, number,
                                          &definition->column_capacity, sizeof(column));
    definition->columns[number] = column;
    definition->relation.column_count++;
    definition->relation.columns = definition->columns;
    if (serial_type(node->typeName) != 0) {
        err = serial_default(utility, definition, number);
    }
out:
    return err;
}

/* Where the constraint behind this one begins, counted from this one's place. */
static size_t
constraint_end(const ColumnDef *node, const Constraint *constraint)
{
    size_t end = SIZE_MAX;
    const ListCell *cell;

    foreach(cell, node->constraints)
    {
        const Constraint *other = lfirst(cell);

        if (other->location > constraint->location) {
            end = Min(end, (size_t)(other->location - constraint->location));
        }
    }
    return end;
}

static err_t
twice(struct utility *utility, const struct definition *definition, const struct column *column,
      const Constraint *constraint, const char *what)
{
    utility->position = constraint->location;
    return sql_error("42601", "%s for column \"%.*s\" of table \"%.*s\"", what,
                     SLICE_ARGS(column->name), SLICE_ARGS(definition->relation.name));
}

static err_t
identity_add(struct utility *utility, struct definition *definition, const Constraint *constraint,
             uint16_t column)
{
    struct column *described = &definition->columns[column];
    const struct relation *sequence;
    oid_t type = described->type->oid;
    err_t err;

    if (described->identity != 0) {
        return twice(utility, definition, described, constraint,
                     "multiple identity specifications");
    }
    if (described->default_sql.size > 0) {
        return twice(utility, definition, described, constraint,
                     described->is_generated ? "both identity and generation expression specified"
                                             : "both default and identity specified");
    }
    if (type != OID_INT2 && type != OID_INT4 && type != OID_INT8) {
        return sql_error("22023", "identity column type must be smallint, integer, or bigint");
    }
    definition->relation.columns = definition->columns;
    TRY(utility_column_sequence(utility, &definition->relation, column, type, constraint->options,
                                true, &sequence));
    described->identity = constraint->generated_when;
    described->is_not_null = true;
out:
    return err;
}

static err_t
default_add(struct utility *utility, struct definition *definition, const ColumnDef *node,
            const Constraint *constraint, uint16_t column)
{
    struct column *described = &definition->columns[column];
    bool generates = constraint->contype == CONSTR_GENERATED;
    struct slice text = utility_text_from(utility, constraint->location);
    err_t err;

    if (described->identity != 0) {
        return twice(utility, definition, described, constraint,
                     generates ? "both identity and generation expression specified"
                               : "both default and identity specified");
    }
    if (described->default_sql.size > 0) {
        return twice(utility, definition, described, constraint,
                     generates && described->is_generated ? "multiple generation clauses specified"
                     : generates || described->is_generated
                         ? "both default and generation expression specified"
                         : "multiple default values specified");
    }
    TRY(expression_look(utility, constraint->raw_expr,
                        generates ? "column generation expressions" : "DEFAULT expressions",
                        generates ? "column generation expression" : "DEFAULT expression",
                        !generates));
    if (!generates && constraint->raw_expr != NULL && IsA(constraint->raw_expr, A_Const) &&
        ((const A_Const *)constraint->raw_expr)->isnull) {
        return ERR_OK;
    }
    text = generates ? text_parenthesized(text)
                     : text_expression(text, constraint_end(node, constraint));
    described->default_sql = arena_copy(utility->exec->arena, text);
    described->is_generated = generates;
out:
    return err;
}

static void
foreign_note(struct utility *utility, struct definition *definition, const Constraint *constraint,
             uint16_t column)
{
    int count = list_length(definition->foreigns);
    uint16_t *columns = arena_alloc(utility->exec->arena, ((size_t)count + 1) * sizeof(*columns));
    List *list = arena_alloc(utility->exec->arena, sizeof(*list));
    ListCell *cells = arena_alloc(utility->exec->arena, ((size_t)count + 1) * sizeof(*cells));

    for (int i = 0; i < count; i++) {
        cells[i] = definition->foreigns->elements[i];
        columns[i] = definition->foreign_columns[i];
    }
    cells[count].ptr_value = (void *)(uintptr_t)constraint;
    columns[count] = column;
    *list = (List){.type = T_List, .length = count + 1, .max_length = count + 1, .elements = cells};
    definition->foreigns = list;
    definition->foreign_columns = columns;
}

static err_t
column_constraint(struct utility *utility, struct definition *definition, const ColumnDef *node,
                  const Constraint *constraint, uint16_t column, bool *is_null, bool *is_not_null)
{
    struct column *described = &definition->columns[column];

    switch (constraint->contype) {
    case CONSTR_NULL:
    case CONSTR_NOTNULL:
        *is_null = *is_null || constraint->contype == CONSTR_NULL;
        *is_not_null = *is_not_null || constraint->contype == CONSTR_NOTNULL;
        if ((*is_null && *is_not_null) || (*is_null && described->identity != 0)) {
            return twice(utility, definition, described, constraint,
                         "conflicting NULL/NOT NULL declarations");
        }
        described->is_not_null = described->is_not_null || *is_not_null;
        return ERR_OK;
    case CONSTR_DEFAULT:
    case CONSTR_GENERATED:
        return default_add(utility, definition, node, constraint, column);
    case CONSTR_CHECK:
        return check_add(utility, definition, constraint);
    case CONSTR_PRIMARY:
    case CONSTR_UNIQUE:
        return definition_key(utility, definition, constraint, NIL, column);
    case CONSTR_FOREIGN:
        foreign_note(utility, definition, constraint, column);
        return ERR_OK;
    case CONSTR_IDENTITY:
        if (*is_null) {
            return twice(utility, definition, described, constraint,
                         "conflicting NULL/NOT NULL declarations");
        }
        return identity_add(utility, definition, constraint, column);
    case CONSTR_ATTR_DEFERRABLE:
    case CONSTR_ATTR_NOT_DEFERRABLE:
    case CONSTR_ATTR_DEFERRED:
    case CONSTR_ATTR_IMMEDIATE:
        return ERR_OK; /* attributes_take has given them to what they stand behind. */
    default:
        return utility_error(utility, constraint->location, "0A000", "%s are not supported yet",
                             "exclusion constraints");
    }
}

/* DEFERRABLE and its like stand behind the constraint they are about. */
static err_t
attributes_take(struct utility *utility, const List *constraints)
{
    Constraint *last = NULL;
    const ListCell *cell;

    foreach(cell, constraints)
    {
        Constraint *constraint = lfirst(cell);
        bool takes =
            last != NULL && (last->contype == CONSTR_PRIMARY || last->contype == CONSTR_UNIQUE ||
                             last->contype == CONSTR_FOREIGN);

        switch (constraint->contype) {
        case CONSTR_ATTR_DEFERRABLE:
        case CONSTR_ATTR_DEFERRED:
        case CONSTR_ATTR_NOT_DEFERRABLE:
        case CONSTR_ATTR_IMMEDIATE:
            if (!takes) {
                const char *name =
                    constraint->contype == CONSTR_ATTR_DEFERRABLE  ? "DEFERRABLE"
                    : constraint->contype == CONSTR_ATTR_DEFERRED  ? "INITIALLY DEFERRED"
                    : constraint->contype == CONSTR_ATTR_IMMEDIATE ? "INITIALLY IMMEDIATE"
                                                                   : "NOT DEFERRABLE";

                return utility_error(utility, constraint->location, "42601", "misplaced %s clause",
                                     name);
            }
            if (constraint->contype == CONSTR_ATTR_DEFERRABLE) {
                last->deferrable = true;
            }
            if (constraint->contype == CONSTR_ATTR_DEFERRED) {
                last->deferrable = last->initdeferred = true;
            }
            break;
        default:
            last = constraint;
            break;
        }
    }
    return ERR_OK;
}

err_t
definition_column_constraints(struct utility *utility, struct definition *definition,
                              const ColumnDef *node, uint16_t column)
{
    bool is_null = false, is_not_null = false;
    const ListCell *cell;
    err_t err;

    if (node->collClause != NULL) {
        const char *name = strVal(llast(node->collClause->collname));

        if (strcmp(name, "C") != 0 && strcmp(name, "POSIX") != 0 && strcmp(name, "default") != 0 &&
            strcmp(name, "ucs_basic") != 0) {
            utility->position = node->collClause->location;
            return sql_error("42704", "collation \"%s\" for encoding \"UTF8\" does not exist",
                             name);
        }
    }
    TRY(attributes_take(utility, node->constraints));
    foreach(cell, node->constraints)
    {
        TRY(column_constraint(utility, definition, node, lfirst(cell), column, &is_null,
                              &is_not_null));
    }
out:
    return err;
}

err_t
definition_constraint(struct utility *utility, struct definition *definition,
                      const Constraint *constraint)
{
    switch (constraint->contype) {
    case CONSTR_PRIMARY:
    case CONSTR_UNIQUE:
        return definition_key(utility, definition, constraint, constraint->keys, 0);
    case CONSTR_CHECK:
        return check_add(utility, definition, constraint);
    case CONSTR_FOREIGN:
        foreign_note(utility, definition, constraint, UINT16_MAX);
        return ERR_OK;
    default:
        return utility_error(utility, constraint->location, "0A000", "%s are not supported yet",
                             "exclusion constraints");
    }
}

/* ---- What was read must bind ---- */

static err_t
default_check(struct utility *utility, struct definition *definition, uint16_t at)
{
    struct column *column = &definition->columns[at];
    struct bind_options options = utility_bind_options(utility, &definition->relation);
    struct constraint used = {0};
    struct source *source = NULL;
    const struct function *function;
    struct expr *expr;
    err_t err;

    TRY(bind_table_expr(&options, column->is_generated ? &definition->relation : NULL,
                        column->default_sql, &source, &expr));
    if (expr->type->oid != OID_UNKNOWN &&
        fn_cast(expr->type->oid, column->type->oid, COERCE_ASSIGNMENT, &function) == CAST_NONE) {
        (void)sql_error(
            "42804",
            column->is_generated
                ? "column \"%.*s\" is of type %s but generation expression is of type %s"
                : "column \"%.*s\" is of type %s but default expression is of type %s",
            SLICE_ARGS(column->name), column->type->display, expr->type->display);
        return sql_hint("You will need to rewrite or cast the expression.");
    }
    TRY(bind_coerce_column(utility->exec->arena, &expr, column, utility->exec->settings));
    columns_of(expr, &used);
    for (uint32_t i = 0; column->is_generated && i < used.column_count; i++) {
        if (definition->columns[used.columns[i]].is_generated) {
            (void)sql_error("42P17",
                            "cannot use generated column \"%.*s\" in column generation expression",
                            SLICE_ARGS(definition->columns[used.columns[i]].name));
            return sql_detail("A generated column cannot reference another generated column.");
        }
    }
    if (column->is_generated && expr_is_volatile(expr)) {
        err = sql_error("42P17", "generation expression is not immutable");
    }
out:
    return err;
}

err_t
definition_check(struct utility *utility, struct definition *definition)
{
    const struct relation *relation = definition_close(definition);
    struct bind_options options = utility_bind_options(utility, relation);
    err_t err = ERR_OK;

    for (uint16_t i = 0; i < relation->column_count; i++) {
        if (!relation->columns[i].is_dropped && relation->columns[i].default_sql.size > 0) {
            TRY(default_check(utility, definition, i));
        }
    }
    for (uint32_t i = definition->first_constraint; i < relation->constraint_count; i++) {
        struct constraint *check = &definition->constraints[i];
        struct source *source = NULL;
        struct expr *expr;

        if (check->kind != CONSTRAINT_CHECK) {
            continue;
        }
        TRY(bind_table_expr(&options, relation, check->sql, &source, &expr));
        if (expr->type->oid != OID_BOOL && expr->type->oid != OID_UNKNOWN) {
            err = sql_error("42804", "argument of CHECK must be type boolean, not type %s",
                            expr->type->display);
            goto out;
        }
        check->column_count = 0;
        columns_of(expr, check);
        if (check->name.size == 0) {
            check->name = check_name_choose(utility, relation, check);
        }
    }
out:
    return err;
}

/* ---- CREATE TABLE ---- */

static err_t
elements_read(struct utility *utility, struct definition *definition, const List *elements)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    foreach(cell, elements)
    { /* Columns first: constraints may name later ones. */
        if (IsA(lfirst(cell), ColumnDef)) {
            TRY(definition_column(utility, definition, lfirst(cell)));
        } else if (IsA(lfirst(cell), TableLikeClause)) {
            TRY(definition_like(utility, definition, lfirst(cell)));
        }
    }
    foreach(cell, elements)
    {
        if (IsA(lfirst(cell), ColumnDef)) {
            const ColumnDef *node = lfirst(cell);
            uint16_t column =
                relation_column(&definition->relation, slice_from_text(node->colname));

            column = column != UINT16_MAX
                         ? column
                         : relation_column(&definition->relation,
                                           utility_name_of(utility, node->colname));
            TRY(definition_column_constraints(utility, definition, node, column));
        } else if (IsA(lfirst(cell), Constraint)) {
            TRY(definition_constraint(utility, definition, lfirst(cell)));
        } else if (IsA(lfirst(cell), TableLikeClause)) {
            TRY(definition_like_rest(utility, definition, lfirst(cell)));
        }
    }
out:
    return err;
}

static err_t
refuse(struct utility *utility, const CreateStmt *node)
{
    const char *what = node->partspec != NULL || node->partbound != NULL ? "partitioned tables"
                       : node->inhRelations != NIL                       ? "inherited tables"
                       : node->ofTypename != NULL                        ? "typed tables"
                                                                         : NULL;

    if (what != NULL) {
        return utility_error(utility, -1, "0A000", "%s are not supported yet", what);
    }
    if (node->oncommit != ONCOMMIT_NOOP && node->relation->relpersistence != 't') {
        return sql_error("42P16", "ON COMMIT can only be used on temporary tables");
    }
    if (node->accessMethod != NULL && strcmp(node->accessMethod, "heap") != 0) {
        return sql_error("42704", "access method \"%s\" does not exist", node->accessMethod);
    }
    return ERR_OK;
}

static char
on_commit_of(OnCommitAction action)
{
    return action == ONCOMMIT_DROP ? 'D' : action == ONCOMMIT_DELETE_ROWS ? 'd' : 'p';
}

err_t
definition_begin(struct utility *utility, const RangeVar *name, OnCommitAction on_commit,
                 bool if_not_exists, struct definition *definition, bool *is_there_out)
{
    const struct schema *schema;
    bool is_temporary;
    err_t err;

    *is_there_out = false;
    TRY(utility_schema(utility, name, &schema));
    is_temporary = schema->name.size > 8 && memcmp(schema->name.data, "pg_temp_", 8) == 0;
    *definition = (struct definition){.is_new = true};
    definition->relation = (struct relation){
        .schema = schema->oid,
        .owner = OID_ROLE_OWNER,
        .kind = RELATION_TABLE,
        .persistence = is_temporary ? RELATION_TEMPORARY : RELATION_PERMANENT,
        .on_commit = on_commit_of(on_commit),
        .name = utility_name_of(utility, name->relname),
        .path = slice_from_text(utility->search_path),
    };
    if (utility_is_taken(utility, schema->oid, definition->relation.name)) {
        *is_there_out = true;
        err = utility_already_exists(utility, if_not_exists, definition->relation.name);
        goto out;
    }
    definition->relation.oid = catalog_oid_take(utility->catalog);
    definition->relation.storage = catalog_storage_take(utility->catalog);
out:
    return err;
}

err_t
utility_create_table(struct utility *utility, const CreateStmt *node)
{
    struct definition definition;
    bool is_there;
    err_t err;

    utility->tag = "CREATE TABLE";
    TRY(refuse(utility, node));
    TRY(definition_begin(utility, node->relation, node->oncommit, node->if_not_exists, &definition,
                         &is_there));
    if (is_there) {
        goto out;
    }
    TRY(elements_read(utility, &definition, node->tableElts));
    TRY(definition_check(utility, &definition));
    utility_put(utility, definition_close(&definition));
    TRY(definition_foreigns(utility, &definition));
    utility_put(utility, definition_close(&definition));
out:
    return err;
}
