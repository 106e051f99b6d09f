/* query/exec/aggregate.c - GROUP BY and aggregates, by a map of groups.
 *
 * When groups and states have more than work_mem, rows of other groups wait in parts (partition.h)
 * with the number of their grouping set in front; the groups that are there are finished first. */
#include "query/exec/aggregate.h"
#include "engine/base/assert.h"
#include "query/exec/ordered.h"
#include "query/exec/partition.h"

#include "engine/base/poison.h"

struct group {
    struct kept_row keys;
    uint32_t set;    /* Of grouping sets. */
    uint8_t *states; /* One after the other. */
};

struct aggregate_state {
    bool is_built;
    struct arena arena; /* Of keys and states. */
    struct map map;
    struct map distinct; /* Group, aggregate and value of DISTINCT aggregates. */
    struct group *groups;
    uint32_t group_count, group_capacity;
    uint32_t emitted;
    size_t states_bytes;
    struct parts parts;
    struct buf record;
};

/* Of a batch, the rows that are added, and their groups by row. */
struct grouped {
    uint16_t rows[BATCH_ROWS_MAX];
    uint32_t count;
    uint32_t groups[BATCH_ROWS_MAX];
};

enum { STATE_ALIGN = 16 };

static size_t
state_bytes(const struct aggregate *aggregate)
{
    size_t bytes = ordered_is_wanted(aggregate) ? sizeof(struct ordered_rows)
                                                : aggregate->function->state_bytes;

    return (bytes + STATE_ALIGN - 1) / STATE_ALIGN * STATE_ALIGN;
}

static struct group *group_new(struct operator* operator)
{
    const struct plan *plan = operator->plan;
    struct aggregate_state *state = operator->state;
    struct group *group;
    uint8_t *at;

    if (state->group_count == state->group_capacity) {
        uint32_t capacity = MAX(64U, state->group_capacity * 2);

        state->groups =
            mem_realloc(MEM_SESSIONS, state->groups, state->group_capacity * sizeof(*state->groups),
                        capacity * sizeof(*state->groups));
        state->group_capacity = capacity;
    }
    group = &state->groups[state->group_count++];
    group->keys.values =
        arena_alloc(&state->arena, (plan->expr_count + 1) * sizeof(*group->keys.values));
    group->keys.nulls = arena_alloc(&state->arena, plan->expr_count + 1);
    group->states = at = arena_alloc(&state->arena, state->states_bytes + 1);
    for (uint32_t i = 0; i < plan->aggregate_count; i++) {
        if (ordered_is_wanted(plan->aggregates[i])) {
            *(struct ordered_rows *)at = (struct ordered_rows){0};
        } else {
            plan->aggregates[i]->function->init(at);
        }
        at += state_bytes(plan->aggregates[i]);
    }
    return group;
}

static bool
is_in_set(const struct plan *plan, uint32_t set, uint32_t group)
{
    for (uint32_t i = 0; plan->set_count > 0 && i < plan->sets[set].count; i++) {
        if (plan->sets[set].groups[i] == group) {
            return true;
        }
    }
    return plan->set_count == 0;
}

/* The bytes that tell the row's group from others. */
static void
group_key(const struct plan *plan, uint32_t set, const struct vector *keys, uint32_t row,
          struct buf *key)
{
    buf_clear(key);
    buf_append_varint(key, set);
    for (uint32_t i = 0; i < plan->expr_count; i++) {
        if (is_in_set(plan, set, i)) {
            row_hash_put(&plan->columns[i], &keys[i], 1, row, key);
        }
    }
}

static struct group *
group_begin(struct operator* operator, uint32_t set, const struct vector *keys, uint32_t row)
{
    const struct plan *plan = operator->plan;
    struct aggregate_state *state = operator->state;
    struct group *group = group_new(operator);

    group->set = set;
    for (uint32_t i = 0; i < plan->expr_count; i++) {
        group->keys.nulls[i] =
            keys == NULL || !is_in_set(plan, set, i) || vector_is_null(&keys[i], row);
        group->keys.values[i] =
            group->keys.nulls[i] != 0
                ? datum_int(0)
                : type_copy(plan->columns[i].type, vector_value(&keys[i], row), &state->arena);
    }
    return group;
}

static err_t
keys_eval(struct operator* operator, const struct batch * batch, struct vector **keys_out)
{
    const struct plan *plan = operator->plan;
    struct vector *keys = arena_alloc(&operator->arena, (plan->expr_count + 1) * sizeof(*keys));
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < plan->expr_count; i++) {
        err = eval(operator->exec, &operator->arena, plan->exprs[i], batch, NULL, batch->rows,
                   &keys[i]);
    }
    *keys_out = keys;
    return err;
}

/* May another group begin? Once rows wait in parts it may not. */
static bool
takes_groups(const struct operator* operator)
{
    const struct aggregate_state *state = operator->state;
    uint64_t bytes = state->arena.bytes + map_bytes(&state->map) + map_bytes(&state->distinct) +
                     state->group_capacity * sizeof(*state->groups);

    return !parts_are_open(&state->parts) &&
           (!exec_is_over(operator->exec, bytes) || !parts_may_open(&state->parts));
}

static err_t
row_wait(struct operator* operator, uint32_t set, const struct batch *batch, uint32_t row,
         struct slice key)
{
    const struct plan *left = operator->plan->left;
    struct aggregate_state *state = operator->state;

    buf_clear(&state->record);
    buf_append_varint(&state->record, set);
    spill_batch_row_put(left->columns, left->column_count, batch, row, &state->record);
    return parts_add(&state->parts, PART_LEFT, key, buf_slice(&state->record));
}

/* The groups in the set of the rows (sets: whose set is another are left out; NULL: none is).
 * Those that have none, and get none, wait. */
static err_t
groups_find(struct operator* operator, uint32_t set, const struct vector *keys,
            const struct batch *batch, const uint32_t *sets, struct grouped *grouped,
            struct buf *key)
{
    struct aggregate_state *state = operator->state;
    bool is_one = operator->plan->expr_count == 0 && operator->plan->set_count == 0;
    err_t err = ERR_OK;

    grouped->count = 0;
    for (uint32_t row = 0; row < batch->rows; row++) {
        struct map_entry *entry = NULL;
        bool is_new;

        if (sets != NULL && sets[row] != set) {
            continue;
        }
        if (is_one) {
            grouped->groups[row] = 0;
        } else {
            group_key(operator->plan, set, keys, row, key);
            entry = map_find(&state->map, buf_slice(key));
            if (entry == NULL && !takes_groups(operator)) {
                TRY(row_wait(operator, set, batch, row, buf_slice(key)));
                continue;
            }
            if (entry == NULL) {
                entry = map_put(&state->map, buf_slice(key), &is_new);
                (void)group_begin(operator, set, keys, row);
                entry->value = state->group_count - 1;
            }
            grouped->groups[row] = entry->value;
        }
        grouped->rows[grouped->count++] = (uint16_t)row;
    }
out:
    return err;
}

/* Has the group's aggregate seen the value before? */
static bool
is_repeated(struct aggregate_state *state, const struct aggregate *aggregate, uint32_t group,
            uint32_t number, const struct datum *args, struct buf *key)
{
    bool is_new;

    buf_clear(key);
    buf_append(key, &group, sizeof(group));
    buf_append(key, &number, sizeof(number));
    for (uint32_t i = 0; i < aggregate->arg_count; i++) {
        type_hash_put(aggregate->args[i]->type, args[i], key);
    }
    (void)map_put(&state->distinct, buf_slice(key), &is_new);
    return !is_new;
}

/* For eval: NULL: all. */
static const uint16_t *
rows_of(const struct grouped *grouped, const struct batch *batch)
{
    return grouped->count < batch->rows ? grouped->rows : NULL;
}

static err_t
aggregate_batch(struct operator* operator, uint32_t number, size_t offset,
                const struct batch *batch, const struct grouped *grouped, struct buf *key)
{
    const struct aggregate *aggregate = operator->plan->aggregates[number];
    struct aggregate_state *state = operator->state;
    struct expr typed = {.kind = EXPR_AGGREGATE, .typmod = -1};
    struct vector args[2], filter;
    uint8_t nulls[2] = {0, 0};
    struct call call = {
        .arena = &state->arena,
        .settings = operator->exec->settings,
        .env = operator->exec->env,
        .expr = &typed,
        .nulls = nulls,
        .arg_count = aggregate->arg_count,
    };
    err_t err = ERR_OK;

    typed.type = operator->plan->columns[operator->plan->expr_count + number].type;
    typed.args = (struct expr **)(uintptr_t)aggregate->args;
    typed.arg_count = aggregate->arg_count;
    for (uint32_t i = 0; i < aggregate->arg_count; i++) {
        TRY(eval(operator->exec, &operator->arena, aggregate->args[i], batch,
                 rows_of(grouped, batch), grouped->count, &args[i]));
    }
    if (aggregate->filter != NULL) {
        TRY(eval(operator->exec, &operator->arena, aggregate->filter, batch,
                 rows_of(grouped, batch), grouped->count, &filter));
    }
    for (uint32_t at = 0; at < grouped->count; at++) {
        uint32_t row = grouped->rows[at], group = grouped->groups[row];
        struct datum values[2];
        bool is_skipped = false;

        if (aggregate->filter != NULL &&
            (vector_is_null(&filter, row) || vector_value(&filter, row).i == 0)) {
            continue;
        }
        for (uint32_t i = 0; i < aggregate->arg_count; i++) {
            values[i] = vector_value(&args[i], row);
            nulls[i] = vector_is_null(&args[i], row);
            is_skipped = is_skipped || (nulls[i] != 0 && !aggregate->function->takes_nulls);
        }
        if (is_skipped || (aggregate->is_distinct && nulls[0] == 0 &&
                           is_repeated(state, aggregate, group, number, values, key))) {
            continue;
        }
        TRY(aggregate->function->add(state->groups[group].states + offset, &call, values));
    }
out:
    return err;
}

/* Keeps the rows of an aggregate that wants them in an order. */
static err_t
ordered_batch(struct operator* operator, uint32_t number, size_t offset, const struct batch *batch,
              const struct grouped *grouped)
{
    const struct aggregate *aggregate = operator->plan->aggregates[number];
    struct aggregate_state *state = operator->state;
    uint32_t count = ordered_columns(aggregate);
    struct vector *columns = arena_alloc(&operator->arena, (count + 1) * sizeof(*columns));
    struct vector filter;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count; i++) {
        TRY(eval(operator->exec, &operator->arena, ordered_column(aggregate, i), batch,
                 rows_of(grouped, batch), grouped->count, &columns[i]));
    }
    if (aggregate->filter != NULL) {
        TRY(eval(operator->exec, &operator->arena, aggregate->filter, batch,
                 rows_of(grouped, batch), grouped->count, &filter));
    }
    for (uint32_t i = 0; i < grouped->count; i++) {
        uint32_t row = grouped->rows[i];
        uint8_t *at = state->groups[grouped->groups[row]].states + offset;

        if (aggregate->filter == NULL ||
            (!vector_is_null(&filter, row) && vector_value(&filter, row).i != 0)) {
            ordered_add((struct ordered_rows *)at, aggregate, columns, row, &state->arena);
        }
    }
out:
    return err;
}

static err_t
set_add(struct operator* operator, uint32_t set, const struct vector *keys,
        const struct batch *batch, const uint32_t *sets, struct buf *key)
{
    const struct plan *plan = operator->plan;
    struct grouped grouped;
    size_t offset = 0;
    err_t err;

    TRY(groups_find(operator, set, keys, batch, sets, &grouped, key));
    for (uint32_t i = 0; grouped.count > 0 && i < plan->aggregate_count; i++) {
        TRY(ordered_is_wanted(plan->aggregates[i])
                ? ordered_batch(operator, i, offset, batch, &grouped)
                : aggregate_batch(operator, i, offset, batch, &grouped, key));
        offset += state_bytes(plan->aggregates[i]);
    }
out:
    return err;
}

/* sets: the only set that each row is added to; NULL: to all. */
static err_t
batch_add(struct operator* operator, const struct batch * batch, const uint32_t *sets,
          struct buf *key)
{
    const struct plan *plan = operator->plan;
    struct vector *keys;
    err_t err;

    TRY(keys_eval(operator, batch, &keys));
    for (uint32_t set = 0; set < MAX(plan->set_count, 1U); set++) {
        TRY(set_add(operator, set, keys, batch, sets, key));
    }
out:
    return err;
}

/* Sets of nothing have their group, even without rows. */
static void empty_sets_begin(struct operator* operator, struct buf * key)
{
    const struct plan *plan = operator->plan;
    struct aggregate_state *state = operator->state;

    if (plan->expr_count == 0 && plan->set_count == 0) {
        (void)group_begin(operator, 0, NULL, 0);
    }
    for (uint32_t set = 0; set < plan->set_count; set++) {
        if (plan->sets[set].count == 0) {
            bool is_new;

            group_key(plan, set, NULL, 0, key);
            (void)group_begin(operator, set, NULL, 0);
            map_put(&state->map, buf_slice(key), &is_new)->value = state->group_count - 1;
        }
    }
}

static err_t build(struct operator* operator)
{
    struct aggregate_state *state = operator->state;
    const struct batch *batch;
    struct buf key;
    err_t err;

    state->is_built = true;
    buf_init(&key, MEM_SESSIONS);
    empty_sets_begin(operator, & key);
    if (pushed_is_possible(operator)) {
        err = pushed_build(operator);
        goto out;
    }
    for (err = operator_next(operator->left, &batch); err == ERR_OK && batch != NULL;
         err = operator_next(operator->left, &batch)) {
        arena_reset(&operator->arena);
        TRY(batch_add(operator, batch, NULL, &key));
        TRY(exec_work(operator->exec, batch->rows));
    }
out:
    buf_fini(&key);
    return err;
}

/* ---- Groups of a part of the rows: aggregate.h ---- */

static void state_init(struct operator* operator);
static void state_clear(struct operator* operator);

/* What was packed beside the state, from the front of *rest. */
static err_t
state_unpack(struct operator* operator, const struct aggregate * aggregate, const struct type *type,
             void *other, struct slice *rest)
{
    struct slice bytes;
    uint64_t size = 0;
    size_t used;

    if (aggregate->function->unpack == NULL) {
        return ERR_OK;
    }
    used = get_varint(rest->data, rest->data + rest->size, &size);
    if (used == 0 || size > rest->size - used) {
        return err_set(ERR_CORRUPT, "a group of another shard is malformed");
    }
    *rest = slice_of(rest->data + used, rest->size - used);
    bytes = slice_of(rest->data, size);
    *rest = slice_of(rest->data + size, rest->size - size);
    return aggregate->function->unpack(other, type, &operator->arena, bytes);
}

/* Adds the states at the front of `bytes` to the group's. */
static err_t
states_merge(struct operator* operator, struct group * group, struct slice bytes)
{
    const struct plan *plan = operator->plan;
    struct aggregate_state *state = operator->state;
    uint8_t *other = arena_alloc(&operator->arena, state->states_bytes + 1), *at = group->states;
    struct slice rest =
        slice_of(bytes.data + state->states_bytes, bytes.size - state->states_bytes);
    err_t err = ERR_OK;

    memcpy(other, bytes.data, state->states_bytes);
    for (uint32_t i = 0; i < plan->aggregate_count; i++) {
        struct expr typed = {.kind = EXPR_AGGREGATE, .typmod = -1};
        struct call call = {.arena = &state->arena, .expr = &typed};

        typed.type = plan->columns[plan->expr_count + i].type;
        TRY(state_unpack(operator, plan->aggregates[i], typed.type, other, &rest));
        TRY(plan->aggregates[i]->function->merge(at, &call, other));
        at += state_bytes(plan->aggregates[i]);
        other += state_bytes(plan->aggregates[i]);
    }
out:
    return err;
}

/* One group of another shard: its keys' size, keys, states. Without room it waits in a part. */
static err_t
part_group_take(struct operator* operator, struct slice record, struct buf *key)
{
    const struct plan *plan = operator->plan;
    struct aggregate_state *state = operator->state;
    struct vector *vectors =
        arena_alloc(&operator->arena, (plan->expr_count + 1) * sizeof(*vectors));
    struct map_entry *entry = NULL;
    struct kept_row keys;
    struct slice states;
    uint64_t size;
    bool is_new;
    size_t used = get_varint(record.data, record.data + record.size, &size);
    err_t err;

    if (used == 0 || record.size - used < state->states_bytes ||
        size > record.size - used - state->states_bytes) {
        return err_set(ERR_CORRUPT, "a group of another shard is malformed");
    }
    states = slice_of(record.data + used + size, record.size - used - size);
    TRY(spill_row_get(plan->columns, plan->expr_count, slice_of(record.data + used, size),
                      &operator->arena, &keys));
    for (uint32_t i = 0; i < plan->expr_count; i++) {
        vectors[i] = (struct vector){
            .values = &keys.values[i], .nulls = &keys.nulls[i], .is_constant = true};
    }
    if (plan->expr_count == 0) {
        return states_merge(operator, & state->groups[0], states);
    }
    group_key(plan, 0, vectors, 0, key);
    entry = map_find(&state->map, buf_slice(key));
    if (entry == NULL && !takes_groups(operator)) {
        return parts_add(&state->parts, PART_RIGHT, buf_slice(key), record);
    }
    if (entry == NULL) {
        entry = map_put(&state->map, buf_slice(key), &is_new);
        (void)group_begin(operator, 0, vectors, 0);
        entry->value = state->group_count - 1;
    }
    err = states_merge(operator, & state->groups[entry->value], states);
out:
    return err;
}

void aggregate_part_begin(struct operator* operator)
{
    struct buf key;

    operator->state = MEM_NEW(MEM_SESSIONS, struct aggregate_state);
    state_init(operator);
    buf_init(&key, MEM_SESSIONS);
    empty_sets_begin(operator, & key);
    buf_fini(&key);
}

void aggregate_part_end(struct operator* operator)
{
    state_clear(operator);
    mem_free(MEM_SESSIONS, operator->state, sizeof(struct aggregate_state));
}

err_t
aggregate_part_add(struct operator* operator, const struct batch * batch)
{
    struct buf key;
    err_t err;

    buf_init(&key, MEM_SESSIONS);
    err = batch_add(operator, batch, NULL, &key);
    buf_fini(&key);
    return err;
}

static void
group_put(const struct operator* operator, const struct group * group, struct buf *packed,
          struct buf *out)
{
    const struct plan *plan = operator->plan;
    const struct aggregate_state *state = operator->state;
    const uint8_t *at = group->states;

    buf_clear(packed);
    spill_row_put(plan->columns, plan->expr_count, &group->keys, packed);
    buf_append_varint(out, packed->size);
    buf_append(out, packed->data, packed->size);
    buf_append(out, group->states, state->states_bytes);
    for (uint32_t i = 0; i < plan->aggregate_count; i++) {
        const struct aggregate_function *function = plan->aggregates[i]->function;

        if (function->pack != NULL) {
            buf_clear(packed);
            function->pack(at, plan->columns[plan->expr_count + i].type, packed);
            buf_append_varint(out, packed->size);
            buf_append(out, packed->data, packed->size);
        }
        at += state_bytes(plan->aggregates[i]);
    }
}

void
aggregate_part_put(const struct operator* operator, struct buf * out)
{
    const struct aggregate_state *state = operator->state;
    struct buf record, packed;

    buf_init(&record, MEM_SESSIONS);
    buf_init(&packed, MEM_SESSIONS);
    for (uint32_t i = 0; i < state->group_count; i++) {
        buf_clear(&record);
        group_put(operator, & state->groups[i], &packed, &record);
        buf_append_varint(out, record.size);
        buf_append(out, record.data, record.size);
    }
    buf_fini(&record);
    buf_fini(&packed);
}

err_t
aggregate_part_take(struct operator* operator, struct slice groups)
{
    const uint8_t *at = groups.data, *end = groups.data + groups.size;
    uint32_t count = 0;
    struct buf key;
    err_t err = ERR_OK;

    buf_init(&key, MEM_SESSIONS);
    while (at < end) {
        uint64_t size;
        size_t used = get_varint(at, end, &size);

        if (used == 0 || size > (size_t)(end - at) - used) {
            err = err_set(ERR_CORRUPT, "a group of another shard is malformed");
            goto out;
        }
        arena_reset(&operator->arena);
        TRY(part_group_take(operator, slice_of(at + used, size), &key));
        TRY(++count % BATCH_ROWS_MAX == 0 ? exec_work(operator->exec, BATCH_ROWS_MAX) : ERR_OK);
        at += used + size;
    }
out:
    buf_fini(&key);
    return err;
}

/* ---- Rows that have waited ---- */

/* Groups of other shards. */
static err_t waiting_groups_read(struct operator* operator, struct buf * key)
{
    struct aggregate_state *state = operator->state;
    uint32_t count = 0;
    err_t err;

    parts_read_begin(&state->parts, PART_RIGHT);
    for (;;) {
        struct slice record;
        bool is_end;

        TRY(parts_read(&state->parts, &record, &is_end));
        if (is_end) {
            break;
        }
        arena_reset(&operator->arena);
        TRY(part_group_take(operator, record, key));
        TRY(++count % BATCH_ROWS_MAX == 0 ? exec_work(operator->exec, BATCH_ROWS_MAX) : ERR_OK);
    }
out:
    return err;
}

/* Up to a batch of them, with their sets. */
static err_t
waiting_read(struct operator* operator, struct batch * batch, uint32_t *sets)
{
    const struct plan *left = operator->plan->left;
    struct aggregate_state *state = operator->state;
    err_t err = ERR_OK;

    batch_make(batch, &operator->arena, left->column_count, BATCH_ROWS_MAX);
    batch->rows = 0;
    while (batch->rows < BATCH_ROWS_MAX) {
        struct slice record;
        uint64_t set;
        size_t used;
        bool is_end;

        TRY(parts_read(&state->parts, &record, &is_end));
        if (is_end) {
            break;
        }
        used = get_varint(record.data, record.data + record.size, &set);
        if (used == 0 || set >= MAX(operator->plan->set_count, 1U)) {
            return err_set(ERR_CORRUPT, "a row of a temporary file has no set");
        }
        record = slice_of(record.data + used, record.size - used);
        TRY(spill_batch_row_get(left->columns, left->column_count, record, &operator->arena, batch,
                                batch->rows));
        sets[batch->rows++] = (uint32_t)set;
    }
out:
    return err;
}

static void groups_clear(struct operator* operator);

/* The groups of the next part; none: group_count is 0. */
static err_t part_build(struct operator* operator)
{
    struct aggregate_state *state = operator->state;
    uint32_t sets[BATCH_ROWS_MAX];
    struct batch batch;
    struct buf key;
    bool has_job;
    err_t err;

    buf_init(&key, MEM_SESSIONS);
    operator_note(operator, state->arena.bytes + map_bytes(&state->map),
                  spill_file_bytes(state->parts.file), state->parts.jobs_ended + 1);
    groups_clear(operator);
    TRY(parts_next(&state->parts, NULL, NULL, &has_job));
    if (!has_job) {
        goto out;
    }
    TRY(waiting_groups_read(operator, & key));
    parts_read_begin(&state->parts, PART_LEFT);
    do {
        arena_reset(&operator->arena);
        TRY(waiting_read(operator, & batch, sets));
        TRY(batch_add(operator, & batch, operator->plan->set_count> 1 ? sets : NULL, &key));
        TRY(exec_work(operator->exec, batch.rows));
    } while (batch.rows > 0);
out:
    buf_fini(&key);
    return err;
}

static err_t
group_emit(struct operator* operator, const struct group * group, uint32_t row)
{
    const struct plan *plan = operator->plan;
    const uint8_t *at = group->states;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < plan->expr_count; i++) {
        operator->batch.columns[i].values[row] = group->keys.values[i];
        operator->batch.columns[i].nulls[row] = group->keys.nulls[i];
    }
    for (uint32_t i = 0; i < plan->aggregate_count; i++) {
        struct vector *column = &operator->batch.columns[plan->expr_count + i];
        struct expr typed = {.kind = EXPR_AGGREGATE,
                             .type = plan->columns[plan->expr_count + i].type,
                             .typmod = -1,
                             .args = (struct expr **)(uintptr_t)plan->aggregates[i]->args,
                             .arg_count = plan->aggregates[i]->arg_count};
        struct call call = {
            .arena = &operator->arena,
            .settings = operator->exec->settings,
            .env = operator->exec->env,
            .expr = &typed,
        };

        column->values[row] = datum_int(0);
        if (ordered_is_wanted(plan->aggregates[i])) {
            call.arg_count = plan->aggregates[i]->arg_count;
            TRY(ordered_finish(operator->exec, (struct ordered_rows *)(uintptr_t)at,
                               plan->aggregates[i], &call, &column->values[row]));
        } else {
            TRY(plan->aggregates[i]->function->get(at, &call, &column->values[row]));
        }
        column->nulls[row] = call.is_null;
        at += state_bytes(plan->aggregates[i]);
    }
    for (uint32_t i = 0; i < plan->grouping_count; i++) {
        struct vector *column =
            &operator->batch.columns[plan->expr_count + plan->aggregate_count + i];
        const struct grouping_set *named = &plan->groupings[i];

        column->nulls[row] = 0;
        column->values[row] = datum_int(0);
        for (uint32_t j = 0; j < named->count; j++) {
            column->values[row].i =
                column->values[row].i * 2 + !is_in_set(plan, group->set, named->groups[j]);
        }
    }
out:
    return err;
}

static err_t
aggregate_next(struct operator* operator, const struct batch ** batch_out)
{
    struct aggregate_state *state = operator->state;
    uint32_t count;
    err_t err = ERR_OK;

    *batch_out = NULL;
    if (!state->is_built) {
        TRY(build(operator));
    }
    if (state->emitted == state->group_count) {
        TRY(part_build(operator));
    }
    count = MIN(state->group_count - state->emitted, (uint32_t)BATCH_ROWS_MAX);
    if (count == 0) {
        return ERR_OK;
    }
    arena_reset(&operator->arena);
    batch_make(&operator->batch, &operator->arena, operator->plan->column_count, count);
    for (uint32_t i = 0; i < count; i++) {
        TRY(group_emit(operator, & state->groups[state->emitted + i], i));
    }
    state->emitted += count;
    *batch_out = &operator->batch;
out:
    return err;
}

/* Everything of the groups goes; what waits stays. */
static void groups_clear(struct operator* operator)
{
    struct aggregate_state *state = operator->state;

    mem_free(MEM_SESSIONS, state->groups, state->group_capacity * sizeof(*state->groups));
    state->groups = NULL;
    state->group_count = state->group_capacity = state->emitted = 0;
    map_fini(&state->map);
    map_fini(&state->distinct);
    arena_fini(&state->arena);
    arena_init(&state->arena, MEM_SESSIONS);
    map_init(&state->map);
    map_init(&state->distinct);
}

static void state_clear(struct operator* operator)
{
    struct aggregate_state *state = operator->state;

    groups_clear(operator);
    parts_fini(&state->parts);
    buf_fini(&state->record);
}

static void state_init(struct operator* operator)
{
    struct aggregate_state *state = operator->state;

    *state = (struct aggregate_state){0};
    arena_init(&state->arena, MEM_SESSIONS);
    map_init(&state->map);
    map_init(&state->distinct);
    parts_init(&state->parts, operator->exec);
    buf_init(&state->record, MEM_SESSIONS);
    for (uint32_t i = 0; i < operator->plan->aggregate_count; i++) {
        state->states_bytes += state_bytes(operator->plan->aggregates[i]);
    }
}

static err_t aggregate_reset(struct operator* operator)
{
    state_clear(operator);
    state_init(operator);
    return ERR_OK;
}

static void aggregate_close(struct operator* operator)
{
    state_clear(operator);
    mem_free(MEM_SESSIONS, operator->state, sizeof(struct aggregate_state));
}

err_t aggregate_open(struct operator* operator)
{
    operator->state = MEM_NEW(MEM_SESSIONS, struct aggregate_state);
    state_init(operator);
    operator->next = aggregate_next;
    operator->reset = aggregate_reset;
    operator->close = aggregate_close;
    return ERR_OK;
}
