/* query/exec/foreign.c - what foreign keys ask of changes, and do. */
#include "query/exec/foreign.h"

#include "models/types/sql_error.h"
#include "query/bind/bind.h"
#include "query/exec/row_maker.h"
#include "query/fn/fn.h"
#include "query/session.h"

#include "engine/base/poison.h"

#define SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).data

enum { NAME_STORAGE = UINT32_MAX - 2 }; /* Names of keys, for locks: nothing is stored there. */

enum event_kind {
    EVENT_CHILD,  /* A row refers to the key. */
    EVENT_PARENT, /* A key is gone, or has become another. */
    EVENT_UNIQUE, /* A deferrable unique key has a new value. */
};

struct event {
    struct event *next;
    enum event_kind kind;
    oid_t relation; /* Whose constraint it is. */
    oid_t constraint;
    uint32_t count;
    struct datum *values; /* CHILD: of the constraint's columns; PARENT: the old key; UNIQUE: of the
                             index. */
    uint8_t *nulls;
    struct datum *new_values; /* PARENT: the new key; NULL: the row is gone. */
    uint8_t *new_nulls;
};

struct foreign_events {
    struct arena arena;
    struct event *first, **last;
    uint32_t count;
};

struct constraint_mode {
    oid_t oid; /* 0: all. */
    bool is_deferred;
};

enum { MODES_MAX = 1024 };

struct foreign_session {
    struct foreign_events *deferred;
    struct constraint_mode *modes; /* MODES_MAX of them; the last that fits holds. */
    uint32_t mode_count;
};

struct foreign_events *
foreign_events_new(void)
{
    struct foreign_events *events = MEM_NEW(MEM_SESSIONS, struct foreign_events);

    arena_init(&events->arena, MEM_SESSIONS);
    events->last = &events->first;
    return events;
}

void
foreign_events_free(struct foreign_events **events)
{
    if (*events != NULL) {
        arena_fini(&(*events)->arena);
        MEM_FREE(MEM_SESSIONS, *events);
    }
}

bool
foreign_events_are_none(const struct foreign_events *events)
{
    return events->first == NULL;
}

/* ---- Noting ---- */

static void
values_copy(struct foreign_events *events, const struct relation *relation, const uint16_t *columns,
            uint32_t count, const struct row *row, struct datum **values_out, uint8_t **nulls_out)
{
    *values_out = arena_alloc(&events->arena, (count + 1) * sizeof(**values_out));
    *nulls_out = arena_alloc(&events->arena, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = relation_place(relation, columns[i]);

        (*nulls_out)[i] = row->nulls[place];
        (*values_out)[i] = row->nulls[place] != 0
                               ? datum_int(0)
                               : type_copy(relation_place_type(relation, columns[i]),
                                           row->values[place], &events->arena);
    }
}

static err_t
event_add(struct foreign_events *events, const struct event *event)
{
    struct event *added;

    if (mem_over(mem_account_current(), MEM_SESSIONS, sizeof(*added))) {
        return sql_error("53200", "out of memory");
    }
    added = arena_alloc(&events->arena, sizeof(*added));
    *added = *event;
    added->next = NULL;
    *events->last = added;
    events->last = &added->next;
    events->count++;
    return ERR_OK;
}

static err_t
mixing(const struct relation *relation, const struct constraint *constraint)
{
    (void)sql_error("23503",
                    "insert or update on table \"%.*s\" violates foreign key constraint \"%.*s\"",
                    SLICE_ARGS(relation->name), SLICE_ARGS(constraint->name));
    return sql_detail("MATCH FULL does not allow mixing of null and nonnull key values.");
}

err_t
foreign_note_child(struct foreign_events *events, const struct relation *relation,
                   const struct constraint *constraint, const struct row *row)
{
    struct event event = {.kind = EVENT_CHILD,
                          .relation = relation->oid,
                          .constraint = constraint->oid,
                          .count = constraint->column_count};
    uint32_t nulls = 0;

    for (uint32_t i = 0; i < constraint->column_count; i++) {
        nulls += row->nulls[constraint->columns[i]] != 0;
    }
    if (nulls > 0) {
        return constraint->is_match_full && nulls < constraint->column_count
                   ? mixing(relation, constraint)
                   : ERR_OK;
    }
    values_copy(events, relation, constraint->columns, constraint->column_count, row, &event.values,
                &event.nulls);
    return event_add(events, &event);
}

static bool
places_differ(const struct relation *relation, const uint16_t *columns, uint32_t count,
              const struct row *old, const struct row *new)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = relation_place(relation, columns[i]);
        const struct type *type = relation_place_type(relation, columns[i]);

        if (old->nulls[place] != new->nulls[place] ||
            (old->nulls[place] == 0 &&
             type->compare(type, old->values[place], new->values[place]) != 0)) {
            return true;
        }
    }
    return false;
}

static err_t
parents_note(struct exec *exec, struct foreign_events *events, const struct relation *relation,
             const struct row *old, const struct row *new)
{
    const struct catalog *catalog = exec->env->catalog;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        const struct relation *child = catalog->relations[i];

        for (uint32_t j = 0; j < child->constraint_count; j++) {
            const struct constraint *constraint = &child->constraints[j];
            const uint16_t *columns = constraint->other_columns;
            struct event event = {.kind = EVENT_PARENT,
                                  .relation = child->oid,
                                  .constraint = constraint->oid,
                                  .count = constraint->column_count};
            bool has_null = false;

            if (constraint->other != relation->oid ||
                (new != NULL &&
                 !places_differ(relation, columns, constraint->column_count, old, new))) {
                continue;
            }
            for (uint32_t k = 0; k < constraint->column_count; k++) {
                has_null = has_null || old->nulls[columns[k]] != 0;
            }
            if (has_null) { /* Nobody refers to it. */
                continue;
            }
            values_copy(events, relation, columns, event.count, old, &event.values, &event.nulls);
            if (new != NULL) {
                values_copy(events, relation, columns, event.count, new, &event.new_values,
                            &event.new_nulls);
            }
            TRY(event_add(events, &event));
        }
    }
out:
    return err;
}

static err_t
uniques_note(struct foreign_events *events, const struct relation *relation, const struct row *old,
             const struct row *new)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < relation->constraint_count; i++) {
        const struct constraint *constraint = &relation->constraints[i];
        const struct index *index =
            constraint->is_deferrable && constraint->kind != CONSTRAINT_FOREIGN
                ? relation_index_by_oid(relation, constraint->index)
                : NULL;
        struct event event = {
            .kind = EVENT_UNIQUE, .relation = relation->oid, .constraint = constraint->oid};
        bool has_null = false;

        if (index == NULL || !index->is_deferrable ||
            (old != NULL &&
             !places_differ(relation, index->columns, index->column_count, old, new))) {
            continue;
        }
        for (uint32_t j = 0; j < index->column_count; j++) {
            has_null = has_null || new->nulls[relation_place(relation, index->columns[j])] != 0;
        }
        if (has_null && !index->nulls_equal) {
            continue;
        }
        event.count = index->column_count;
        values_copy(events, relation, index->columns, event.count, new, &event.values,
                    &event.nulls);
        TRY(event_add(events, &event));
    }
out:
    return err;
}

err_t
foreign_note(struct exec *exec, struct foreign_events *events, const struct relation *relation,
             const struct row *old, const struct row *new)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; new != NULL &&i < relation->constraint_count; i++) {
        const struct constraint *constraint = &relation->constraints[i];

        if (constraint->kind == CONSTRAINT_FOREIGN &&
            (old == NULL ||
             places_differ(relation, constraint->columns, constraint->column_count, old, new))) {
            TRY(foreign_note_child(events, relation, constraint, new));
        }
    }
    if (new != NULL) {
        TRY(uniques_note(events, relation, old, new));
    }
    if (old != NULL && relation->is_referenced) {
        err = parents_note(exec, events, relation, old, new);
    }
out:
    return err;
}

/* ---- Keys ---- */

/* What an event is about, as the catalog has it now. */
struct subject {
    const struct relation *relation; /* Whose constraint it is: NULL, it is gone. */
    const struct constraint *constraint;
    const struct relation *keyed; /* Whose index it is about, */
    const struct index *index;    /* and which. */
};

static bool
subject_find(const struct exec *exec, const struct event *event, struct subject *out)
{
    const struct catalog *catalog = exec->env->catalog;

    *out = (struct subject){.relation = catalog_relation_by_oid(catalog, event->relation)};
    for (uint32_t i = 0; out->relation != NULL && i < out->relation->constraint_count; i++) {
        if (out->relation->constraints[i].oid == event->constraint) {
            out->constraint = &out->relation->constraints[i];
        }
    }
    if (out->constraint == NULL) {
        return false;
    }
    out->keyed = out->constraint->kind == CONSTRAINT_FOREIGN
                     ? catalog_relation_by_oid(catalog, out->constraint->other)
                     : out->relation;
    out->index =
        out->keyed != NULL ? relation_index_by_oid(out->keyed, out->constraint->index) : NULL;
    return out->index != NULL;
}

/* The value in another type; false: it has none. */
static bool
value_convert(struct exec *exec, struct arena *arena, const struct type *from,
              const struct type *to, struct datum value, struct datum *out)
{
    const struct type_io io = {.arena = arena, .settings = exec->settings};
    struct buf text;
    bool is_fine;

    if (from->oid == to->oid || (from->rep == REP_INT && to->rep == REP_INT &&
                                 from->category == to->category && from->length > 1)) {
        *out = value;
        return true;
    }
    buf_init(&text, MEM_SESSIONS);
    from->output(from, exec->settings, value, &text);
    is_fine = to->input(to, &io, arena_copy(arena, buf_slice(&text)), -1, out) == ERR_OK;
    buf_fini(&text);
    return is_fine;
}

/* A row of `relation` in which the columns have the values. */
static bool
row_with(struct exec *exec, struct arena *arena, const struct relation *relation,
         const uint16_t *columns, const struct relation *from, const uint16_t *from_columns,
         uint32_t count, const struct datum *values, const uint8_t *nulls, struct row *row_out)
{
    *row_out = row_maker_row(relation, arena);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = relation_place(relation, columns[i]);

        row_out->nulls[place] = nulls[i];
        if (nulls[i] == 0 && !value_convert(exec, arena, relation_place_type(from, from_columns[i]),
                                            relation_place_type(relation, columns[i]), values[i],
                                            &row_out->values[place])) {
            return false;
        }
    }
    return true;
}

/* The key that the event is about, as a row of the table that has it. */
static bool
key_row(struct exec *exec, struct arena *arena, const struct event *event,
        const struct subject *subject, struct row *row_out)
{
    const struct constraint *constraint = subject->constraint;

    switch (event->kind) {
    case EVENT_CHILD:
        return row_with(exec, arena, subject->keyed, constraint->other_columns, subject->relation,
                        constraint->columns, event->count, event->values, event->nulls, row_out);
    case EVENT_PARENT:
        return row_with(exec, arena, subject->keyed, constraint->other_columns, subject->keyed,
                        constraint->other_columns, event->count, event->values, event->nulls,
                        row_out);
    case EVENT_UNIQUE:
        return row_with(exec, arena, subject->keyed, subject->index->columns, subject->keyed,
                        subject->index->columns, event->count, event->values, event->nulls,
                        row_out);
    }
    return false;
}

static err_t
key_lock(struct exec *exec, const struct event *event, const struct subject *subject,
         const struct row *row)
{
    struct slice values;
    struct buf name;
    err_t err;

    buf_init(&name, MEM_SESSIONS);
    storage_prefix(buf_reserve(&name, STORAGE_PREFIX_BYTES), NAME_STORAGE);
    name.size += STORAGE_PREFIX_BYTES;
    put_be32(buf_reserve(&name, sizeof(oid_t)), subject->index->oid);
    name.size += sizeof(oid_t);
    (void)rtable_index_key_put(subject->keyed, subject->index, row, &name);
    values = slice_of(name.data + STORAGE_PREFIX_BYTES + sizeof(oid_t),
                      name.size - STORAGE_PREFIX_BYTES - sizeof(oid_t));
    err = name.size > LSM_KEY_BYTES_MAX
              ? ERR_OK /* No row can have it. */
              : txn_lock(exec->txn, rtable_slot(values), buf_slice(&name),
                         event->kind == EVENT_CHILD ? LOCK_SHARE : LOCK_UPDATE, LOCK_WAIT);
    buf_fini(&name);
    return err;
}

static err_t
key_is_there(struct exec *exec, struct arena *arena, const struct subject *subject,
             const struct row *row, bool *is_there_out)
{
    struct rtable_writes *writes = rtable_writes_new();
    const struct index *index;
    struct slice found;
    err_t err = rtable_conflict_find(exec->txn, subject->keyed, subject->index, row, writes, arena,
                                     &found, &index);

    *is_there_out = err == ERR_OK && found.size > 0;
    rtable_writes_free(&writes);
    return err;
}

/* ---- Rows that have given values in some columns ---- */

struct found {
    struct found *next;
    struct slice key;
    struct row row;
};

/* An index that begins with the columns, in any order; NULL: none. */
static const struct index *
index_for(const struct relation *relation, const uint16_t *columns, uint32_t count)
{
    for (uint32_t i = 0; i < relation->index_count; i++) {
        const struct index *index = &relation->indexes[i];
        uint32_t fits = 0;

        for (uint32_t j = 0; j < count && j < index->column_count; j++) {
            for (uint32_t k = 0; k < count; k++) {
                fits += index->columns[j] == columns[k];
            }
        }
        if (index->predicate == 0 && fits == count && index->column_count >= count) {
            return index;
        }
    }
    return NULL;
}

static bool
has_values(const struct relation *relation, const uint16_t *columns, uint32_t count,
           const struct row *row, const struct row *wanted)
{
    return !places_differ(relation, columns, count, row, wanted);
}

static void
found_add(struct arena *arena, const struct relation *relation, struct slice key,
          const struct row *row, struct found ***last)
{
    struct found *found = arena_alloc(arena, sizeof(*found));

    *found = (struct found){.key = arena_copy(arena, key), .row = row_maker_row(relation, arena)};
    for (uint32_t i = 0; i < relation_width(relation); i++) {
        found->row.nulls[i] = row->nulls[i];
        if (row->nulls[i] == 0) {
            const struct type *type = i < relation->column_count
                                          ? relation->columns[i].type
                                          : relation->virtuals[i - relation->column_count].type;

            found->row.values[i] = type_copy(type, row->values[i], arena);
        }
    }
    **last = found;
    *last = &found->next;
}

static void
range_put(const struct relation *relation, const struct index *index, uint32_t count,
          const struct row *wanted, struct buf *lower, struct buf *upper)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = relation_place(relation, index->columns[i]);

        rtable_key_value_put(relation_place_type(relation, index->columns[i]),
                             wanted->values[place], wanted->nulls[place] != 0,
                             index->is_descending[i], lower);
    }
    buf_append(upper, lower->data, lower->size);
    while (upper->size > 0 && upper->data[upper->size - 1] == UINT8_MAX) {
        upper->size--;
    }
    if (upper->size > 0) {
        upper->data[upper->size - 1]++;
    }
}

/* Up to `max` rows. */
static err_t
rows_find(struct exec *exec, struct arena *arena, const struct relation *relation,
          const uint16_t *columns, uint32_t count, const struct row *wanted, uint32_t max,
          struct found **first_out)
{
    const struct index *index = index_for(relation, columns, count);
    struct found **last = first_out;
    struct table_walk *walk = NULL;
    const struct row *row;
    struct buf lower, upper;
    struct slice key;
    uint32_t found = 0;
    err_t err;

    *first_out = NULL;
    buf_init(&lower, MEM_SESSIONS);
    buf_init(&upper, MEM_SESSIONS);
    if (index != NULL) {
        range_put(relation, index, count, wanted, &lower, &upper);
    }
    TRY(table_walk_open(exec, relation, index, buf_slice(&lower), buf_slice(&upper), &walk));
    for (err = table_walk_next(walk, &row, &key); err == ERR_OK && row != NULL;
         err = table_walk_next(walk, &row, &key)) {
        if (has_values(relation, columns, count, row, wanted)) {
            found_add(arena, relation, key, row, &last);
            if (++found == max) {
                break;
            }
        }
    }
out:
    table_walk_close(&walk);
    buf_fini(&lower);
    buf_fini(&upper);
    return err;
}

/* ---- Errors ---- */

static void
key_describe(struct exec *exec, const struct relation *relation, const uint16_t *columns,
             uint32_t count, const struct datum *values, struct buf *out)
{
    buf_printf(out, "Key (");
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(out, "%s%.*s", i > 0 ? ", " : "",
                   SLICE_ARGS(relation->columns[columns[i]].name));
    }
    buf_printf(out, ")=(");
    for (uint32_t i = 0; i < count; i++) {
        const struct type *type = relation->columns[columns[i]].type;

        buf_append(out, ", ", i > 0 ? 2 : 0);
        type->output(type, exec->settings, values[i], out);
    }
    buf_append_byte(out, ')');
}

static err_t
child_error(struct exec *exec, const struct event *event, const struct subject *subject)
{
    struct buf key;
    err_t err;

    (void)sql_error("23503",
                    "insert or update on table \"%.*s\" violates foreign key constraint \"%.*s\"",
                    SLICE_ARGS(subject->relation->name), SLICE_ARGS(subject->constraint->name));
    buf_init(&key, MEM_SESSIONS);
    key_describe(exec, subject->relation, subject->constraint->columns, event->count, event->values,
                 &key);
    err = sql_detail("%.*s is not present in table \"%.*s\".", SLICE_ARGS(buf_slice(&key)),
                     SLICE_ARGS(subject->keyed->name));
    buf_fini(&key);
    return err;
}

static err_t
parent_error(struct exec *exec, const struct event *event, const struct subject *subject)
{
    struct buf key;
    err_t err;

    (void)sql_error("23503",
                    "update or delete on table \"%.*s\" violates foreign key constraint \"%.*s\" "
                    "on table \"%.*s\"",
                    SLICE_ARGS(subject->keyed->name), SLICE_ARGS(subject->constraint->name),
                    SLICE_ARGS(subject->relation->name));
    buf_init(&key, MEM_SESSIONS);
    key_describe(exec, subject->keyed, subject->constraint->other_columns, event->count,
                 event->values, &key);
    err = sql_detail("%.*s is still referenced from table \"%.*s\".", SLICE_ARGS(buf_slice(&key)),
                     SLICE_ARGS(subject->relation->name));
    buf_fini(&key);
    return err;
}

/* ---- What is to be done ---- */

/* A round of looks and changes: changes of one event are seen by the next. */
struct round {
    struct exec *exec;
    struct foreign_events *events; /* What changes bring about. */
    struct arena arena;            /* Of the event. */
    bool has_written;
};

/* What was written is seen from here on. The session's statement has parts now: it cannot be undone
 * by undoing the last of them. */
static err_t
exec_statement_next(struct exec *exec)
{
    err_t err;

    if (exec->env->session != NULL) {
        sql_session_parts_note(exec->env->session);
    }
    TRY(txn_flush(exec->txn));
    err = txn_statement(exec->txn, true);
out:
    return err;
}

static err_t
round_refresh(struct round *round)
{
    err_t err = ERR_OK;

    if (round->has_written) {
        TRY(exec_statement_next(round->exec));
        round->has_written = false;
    }
out:
    return err;
}

static err_t
child_check(struct round *round, const struct event *event, const struct subject *subject)
{
    struct exec *exec = round->exec;
    bool is_there = false;
    struct found *child;
    struct row key, wanted;
    err_t err = ERR_OK;

    if (key_row(exec, &round->arena, event, subject, &key)) {
        TRY(key_is_there(exec, &round->arena, subject, &key, &is_there));
    }
    if (is_there) {
        goto out;
    }
    /* Is there still a row that refers to it? */
    (void)row_with(exec, &round->arena, subject->relation, subject->constraint->columns,
                   subject->relation, subject->constraint->columns, event->count, event->values,
                   event->nulls, &wanted);
    TRY(rows_find(exec, &round->arena, subject->relation, subject->constraint->columns,
                  event->count, &wanted, 1, &child));
    if (child != NULL) {
        err = child_error(exec, event, subject);
    }
out:
    return err;
}

static err_t
unique_check(struct round *round, const struct event *event, const struct subject *subject)
{
    struct found *rows;
    struct row wanted;
    struct buf key;
    err_t err = ERR_OK;

    if (!key_row(round->exec, &round->arena, event, subject, &wanted)) {
        return ERR_OK;
    }
    TRY(rows_find(round->exec, &round->arena, subject->keyed, subject->index->columns, event->count,
                  &wanted, 2, &rows));
    if (rows == NULL || rows->next == NULL) {
        goto out;
    }
    (void)sql_error("23505", "duplicate key value violates unique constraint \"%.*s\"",
                    SLICE_ARGS(subject->index->name));
    buf_init(&key, MEM_SESSIONS);
    rtable_key_describe(subject->keyed, subject->index, &wanted, &key);
    err = sql_detail("%.*s already exists.", SLICE_ARGS(buf_slice(&key)));
    buf_fini(&key);
out:
    return err;
}

/* Default of a column, for SET DEFAULT. */
static err_t
default_value(struct round *round, const struct relation *relation, uint16_t at, struct row *row)
{
    const struct column *column = &relation->columns[at];
    const struct bind_options options = {
        .catalog = round->exec->env->catalog,
        .arena = &round->arena,
        .settings = round->exec->settings,
        .search_path = round->exec->env->search_path,
    };
    struct source *source = NULL;
    struct expr *expr;
    bool is_null;
    err_t err;

    row->nulls[at] = 1;
    if (column->default_sql.size == 0) {
        return ERR_OK;
    }
    TRY(bind_table_expr(&options, NULL, column->default_sql, &source, &expr));
    TRY(bind_coerce_column(&round->arena, &expr, column, round->exec->settings));
    TRY(row_expr_plan(&round->arena, expr, NULL, &expr));
    TRY(eval_value(round->exec, &round->arena, expr, &row->values[at], &is_null));
    row->nulls[at] = is_null;
out:
    return err;
}

static bool
is_set(const struct constraint *constraint, uint16_t column, bool is_delete)
{
    if (!is_delete || constraint->set_count == 0) {
        return true;
    }
    for (uint32_t i = 0; i < constraint->set_count; i++) {
        if (constraint->set_columns[i] == column) {
            return true;
        }
    }
    return false;
}

/* The row that refers gets other values. */
static err_t
child_update(struct round *round, const struct event *event, const struct subject *subject,
             const struct row_maker *maker, const struct found *child, char action)
{
    const struct relation *relation = subject->relation;
    struct rtable_writes *writes = rtable_writes_new();
    struct row row = row_maker_row(relation, &round->arena);
    err_t err;

    memcpy(row.values, child->row.values, relation_width(relation) * sizeof(*row.values));
    memcpy(row.nulls, child->row.nulls, relation_width(relation));
    for (uint32_t i = 0; i < event->count; i++) {
        uint16_t column = subject->constraint->columns[i];
        uint16_t other = subject->constraint->other_columns[i];

        if (action == FOREIGN_CASCADE) {
            row.nulls[column] = event->new_nulls[i];
            if (row.nulls[column] == 0 &&
                !value_convert(round->exec, &round->arena, subject->keyed->columns[other].type,
                               relation->columns[column].type, event->new_values[i],
                               &row.values[column])) {
                err = ERR_SQL; /* Said by the conversion. */
                goto out;
            }
        } else if (is_set(subject->constraint, column, event->new_values == NULL)) {
            row.nulls[column] = 1;
            if (action == FOREIGN_SET_DEFAULT) {
                TRY(default_value(round, relation, column, &row));
            }
        }
    }
    TRY(row_maker_generate(maker, &round->arena, &row));
    TRY(row_maker_finish(maker, &round->arena, &row));
    TRY(row_maker_check(maker, &round->arena, &row));
    TRY(rtable_update(round->exec->txn, relation, child->key, &child->row, &row, writes));
    TRY(foreign_note(round->exec, round->events, relation, &child->row, &row));
    /* The default may be just the key that is gone. */
    if (action == FOREIGN_SET_DEFAULT &&
        has_values(relation, subject->constraint->columns, event->count, &child->row, &row)) {
        err = parent_error(round->exec, event, subject);
    }
out:
    rtable_writes_free(&writes);
    return err;
}

static err_t
child_delete(struct round *round, const struct subject *subject, const struct found *child)
{
    struct rtable_writes *writes = rtable_writes_new();
    err_t err;

    rtable_delete(round->exec->txn, subject->relation, child->key, &child->row, writes);
    rtable_writes_free(&writes);
    err = foreign_note(round->exec, round->events, subject->relation, &child->row, NULL);
    return err;
}

static err_t
parent_follow(struct round *round, const struct event *event, const struct subject *subject)
{
    char action =
        event->new_values != NULL ? subject->constraint->on_update : subject->constraint->on_delete;
    bool only_looks = action == FOREIGN_NO_ACTION || action == FOREIGN_RESTRICT;
    struct found *children;
    struct row_maker maker;
    struct row key, wanted;
    bool is_there;
    err_t err = ERR_OK;

    if (!key_row(round->exec, &round->arena, event, subject, &key) ||
        !row_with(round->exec, &round->arena, subject->relation, subject->constraint->columns,
                  subject->keyed, subject->constraint->other_columns, event->count, event->values,
                  event->nulls, &wanted)) {
        return ERR_OK;
    }
    if (action == FOREIGN_NO_ACTION) { /* Another row may have the key now. */
        TRY(key_is_there(round->exec, &round->arena, subject, &key, &is_there));
        if (is_there) {
            goto out;
        }
    }
    TRY(rows_find(round->exec, &round->arena, subject->relation, subject->constraint->columns,
                  event->count, &wanted, only_looks ? 1 : UINT32_MAX, &children));
    if (only_looks) {
        err = children != NULL ? parent_error(round->exec, event, subject) : ERR_OK;
        goto out;
    }
    TRY(row_maker_open(round->exec, subject->relation, &maker));
    for (; children != NULL; children = children->next) {
        round->has_written = true;
        TRY(action == FOREIGN_CASCADE && event->new_values == NULL
                ? child_delete(round, subject, children)
                : child_update(round, event, subject, &maker, children, action));
    }
out:
    return err;
}

/* ---- Running ---- */

static bool
is_deferred(const struct exec *exec, const struct event *event, const struct subject *subject)
{
    const struct constraint *constraint = subject->constraint;
    const struct foreign_session *session;
    bool deferred = constraint->is_deferred;
    char action = event->new_values != NULL ? constraint->on_update : constraint->on_delete;

    if (!constraint->is_deferrable || exec->env->session == NULL ||
        (event->kind == EVENT_PARENT && action != FOREIGN_NO_ACTION)) {
        return false;
    }
    session = sql_session_foreign(exec->env->session);
    for (uint32_t i = 0; i < session->mode_count; i++) {
        if (session->modes[i].oid == 0 || session->modes[i].oid == constraint->oid) {
            deferred = session->modes[i].is_deferred;
        }
    }
    return deferred;
}

/* The event outlives the statement. */
static err_t
event_defer(struct exec *exec, const struct event *event, const struct subject *subject)
{
    struct foreign_events *deferred = sql_session_foreign(exec->env->session)->deferred;
    struct event copy = *event;
    const struct relation *from = event->kind == EVENT_PARENT ? subject->keyed : subject->relation;
    const uint16_t *columns = event->kind == EVENT_PARENT  ? subject->constraint->other_columns
                              : event->kind == EVENT_CHILD ? subject->constraint->columns
                                                           : subject->index->columns;

    copy.values = arena_alloc(&deferred->arena, (event->count + 1) * sizeof(*copy.values));
    copy.nulls = arena_alloc(&deferred->arena, event->count + 1);
    copy.new_nulls = NULL;
    /* Whether the key is gone or another only matters for actions, which are not deferred. */
    copy.new_values = event->new_values != NULL ? copy.values : NULL;
    for (uint32_t i = 0; i < event->count; i++) {
        copy.nulls[i] = event->nulls[i];
        copy.values[i] = event->nulls[i] != 0 ? datum_int(0)
                                              : type_copy(relation_place_type(from, columns[i]),
                                                          event->values[i], &deferred->arena);
    }
    return event_add(deferred, &copy);
}

/* Locks what events are about. Those that are deferred leave the list, or (all) none do. */
static err_t
events_prepare(struct exec *exec, struct event **first, bool all)
{
    struct arena arena;
    err_t err = ERR_OK;

    arena_init(&arena, MEM_SESSIONS);
    for (struct event **at = first; *at != NULL;) {
        struct event *event = *at;
        struct subject subject;
        struct row row;

        arena_reset(&arena);
        if (!subject_find(exec, event, &subject)) {
            *at = event->next;
            continue;
        }
        if (!all && is_deferred(exec, event, &subject)) {
            TRY(event_defer(exec, event, &subject));
            *at = event->next;
            continue;
        }
        if (key_row(exec, &arena, event, &subject, &row)) {
            TRY(key_lock(exec, event, &subject, &row));
        }
        at = &event->next;
        TRY(exec_work(exec, 1));
    }
out:
    arena_fini(&arena);
    return err;
}

static err_t
event_run(struct round *round, const struct event *event)
{
    struct subject subject;

    if (!subject_find(round->exec, event, &subject)) {
        return ERR_OK;
    }
    switch (event->kind) {
    case EVENT_CHILD:
        return child_check(round, event, &subject);
    case EVENT_PARENT:
        return parent_follow(round, event, &subject);
    case EVENT_UNIQUE:
        return unique_check(round, event, &subject);
    }
    return ERR_OK;
}

static err_t
events_run(struct exec *exec, struct foreign_events *events, bool all)
{
    struct round round = {.exec = exec, .events = events};
    err_t err = ERR_OK;

    arena_init(&round.arena, MEM_SESSIONS);
    while (events->first != NULL) {
        struct event *first = events->first;

        events->first = NULL;
        events->last = &events->first;
        events->count = 0;
        TRY(events_prepare(exec, &first, all));
        if (first == NULL) {
            continue;
        }
        TRY(exec_statement_next(exec));
        for (const struct event *event = first; event != NULL; event = event->next) {
            arena_reset(&round.arena);
            TRY(round_refresh(&round));
            TRY(event_run(&round, event));
            TRY(exec_work(exec, 1));
        }
    }
out:
    arena_fini(&round.arena);
    return err;
}

err_t
foreign_run(struct exec *exec, struct foreign_events *events)
{
    return events_run(exec, events, false);
}

/* ---- Sessions ---- */

struct foreign_session *
foreign_session_new(void)
{
    struct foreign_session *session = MEM_NEW(MEM_SESSIONS, struct foreign_session);

    session->deferred = foreign_events_new();
    return session;
}

void
foreign_session_free(struct foreign_session **session)
{
    foreign_events_free(&(*session)->deferred);
    mem_free(MEM_SESSIONS, (*session)->modes,
             (*session)->modes == NULL ? 0 : MODES_MAX * sizeof(struct constraint_mode));
    MEM_FREE(MEM_SESSIONS, *session);
}

void
foreign_session_clear(struct foreign_session *session)
{
    session->mode_count = 0;
    if (session->deferred->arena.bytes > 0) {
        foreign_events_free(&session->deferred);
        session->deferred = foreign_events_new();
    }
}

uint32_t
foreign_session_mark(const struct foreign_session *session)
{
    return session->deferred->count;
}

void
foreign_session_return(struct foreign_session *session, uint32_t mark)
{
    struct event **at = &session->deferred->first;

    for (uint32_t i = 0; i < mark && *at != NULL; i++) {
        at = &(*at)->next;
    }
    *at = NULL;
    session->deferred->last = at;
    session->deferred->count = MIN(session->deferred->count, mark);
}

bool
foreign_session_is_idle(const struct foreign_session *session)
{
    return session->deferred->first == NULL;
}

err_t
foreign_session_set(struct exec *exec, struct foreign_session *session, const oid_t *oids,
                    uint32_t count, bool is_deferred)
{
    if (session->modes == NULL) {
        session->modes = mem_zalloc(MEM_SESSIONS, MODES_MAX * sizeof(struct constraint_mode));
    }
    for (uint32_t i = 0; i < MAX(count, 1U); i++) {
        if (session->mode_count == MODES_MAX) {
            return sql_error("54000", "a transaction has more than %d settings of constraints",
                             MODES_MAX);
        }
        session->modes[session->mode_count++] =
            (struct constraint_mode){.oid = count == 0 ? 0 : oids[i], .is_deferred = is_deferred};
    }
    /* Those that are deferred still go back into the session's list. */
    if (!is_deferred && session->deferred->first != NULL) {
        struct foreign_events *waiting = session->deferred;
        err_t err;

        session->deferred = foreign_events_new();
        err = events_run(exec, waiting, false);
        foreign_events_free(&waiting);
        return err;
    }
    return ERR_OK;
}

err_t
foreign_session_run(struct exec *exec, struct foreign_session *session)
{
    return events_run(exec, session->deferred, true);
}
