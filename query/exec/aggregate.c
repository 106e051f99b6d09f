/* query/exec/aggregate.c - GROUP BY and aggregates, by a map of groups. */
#include "engine/base/assert.h"
#include "query/exec/exec.h"
#include "query/exec/ordered.h"

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

/* The group of each row in the set: numbers. */
static void
groups_find(struct operator* operator, uint32_t set, const struct vector *keys, uint32_t rows,
            uint32_t *groups, struct buf *key)
{
    struct aggregate_state *state = operator->state;

    for (uint32_t row = 0; row < rows; row++) {
        struct map_entry *entry;
        bool is_new;

        if (operator->plan->expr_count == 0 && operator->plan->set_count == 0) {
            groups[row] = 0;
            continue;
        }
        group_key(operator->plan, set, keys, row, key);
        entry = map_put(&state->map, buf_slice(key), &is_new);
        if (is_new) {
            (void)group_begin(operator, set, keys, row);
            entry->value = state->group_count - 1;
        }
        groups[row] = entry->value;
    }
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

static err_t
aggregate_batch(struct operator* operator, uint32_t number, size_t offset,
                const struct batch *batch, const uint32_t *groups, struct buf *key)
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
        TRY(eval(operator->exec, &operator->arena, aggregate->args[i], batch, NULL, batch->rows,
                 &args[i]));
    }
    if (aggregate->filter != NULL) {
        TRY(eval(operator->exec, &operator->arena, aggregate->filter, batch, NULL, batch->rows,
                 &filter));
    }
    for (uint32_t row = 0; row < batch->rows; row++) {
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
                           is_repeated(state, aggregate, groups[row], number, values, key))) {
            continue;
        }
        TRY(aggregate->function->add(state->groups[groups[row]].states + offset, &call, values));
    }
out:
    return err;
}

/* Keeps the rows of an aggregate that wants them in an order. */
static err_t
ordered_batch(struct operator* operator, uint32_t number, size_t offset, const struct batch *batch,
              const uint32_t *groups)
{
    const struct aggregate *aggregate = operator->plan->aggregates[number];
    struct aggregate_state *state = operator->state;
    uint32_t count = ordered_columns(aggregate);
    struct vector *columns = arena_alloc(&operator->arena, (count + 1) * sizeof(*columns));
    struct vector filter;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count; i++) {
        TRY(eval(operator->exec, &operator->arena, ordered_column(aggregate, i), batch, NULL,
                 batch->rows, &columns[i]));
    }
    if (aggregate->filter != NULL) {
        TRY(eval(operator->exec, &operator->arena, aggregate->filter, batch, NULL, batch->rows,
                 &filter));
    }
    for (uint32_t row = 0; row < batch->rows; row++) {
        uint8_t *at = state->groups[groups[row]].states + offset;

        if (aggregate->filter == NULL ||
            (!vector_is_null(&filter, row) && vector_value(&filter, row).i != 0)) {
            ordered_add((struct ordered_rows *)at, aggregate, columns, row, &state->arena);
        }
    }
out:
    return err;
}

static err_t
batch_add(struct operator* operator, const struct batch * batch, struct buf *key)
{
    const struct plan *plan = operator->plan;
    uint32_t groups[BATCH_ROWS_MAX];
    struct vector *keys;
    err_t err;

    TRY(keys_eval(operator, batch, &keys));
    for (uint32_t set = 0; set < MAX(plan->set_count, 1U); set++) {
        size_t offset = 0;

        groups_find(operator, set, keys, batch->rows, groups, key);
        for (uint32_t i = 0; i < plan->aggregate_count; i++) {
            TRY(ordered_is_wanted(plan->aggregates[i])
                    ? ordered_batch(operator, i, offset, batch, groups)
                    : aggregate_batch(operator, i, offset, batch, groups, key));
            offset += state_bytes(plan->aggregates[i]);
        }
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
    for (err = operator_next(operator->left, &batch); err == ERR_OK && batch != NULL;
         err = operator_next(operator->left, &batch)) {
        arena_reset(&operator->arena);
        TRY(batch_add(operator, batch, &key));
        TRY(exec_work(operator->exec, batch->rows));
    }
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

static void
state_clear(struct aggregate_state *state)
{
    mem_free(MEM_SESSIONS, state->groups, state->group_capacity * sizeof(*state->groups));
    map_fini(&state->map);
    map_fini(&state->distinct);
    arena_fini(&state->arena);
}

static void state_init(struct operator* operator)
{
    struct aggregate_state *state = operator->state;

    *state = (struct aggregate_state){0};
    arena_init(&state->arena, MEM_SESSIONS);
    map_init(&state->map);
    map_init(&state->distinct);
    for (uint32_t i = 0; i < operator->plan->aggregate_count; i++) {
        state->states_bytes += state_bytes(operator->plan->aggregates[i]);
    }
}

static err_t aggregate_reset(struct operator* operator)
{
    state_clear(operator->state);
    state_init(operator);
    return ERR_OK;
}

static void aggregate_close(struct operator* operator)
{
    state_clear(operator->state);
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
