/* tests/unit/txn/test_overlay.c - own writes against a plain list of all that was written. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/prng.h"
#include "tests/lib/fiber_test.h"
#include "txn/overlay.h"

TestSuite(overlay, .timeout = 60);

static const struct overlay_mark all = OVERLAY_ALL;
static struct overlay overlay;

static void
begin(void)
{
    overlay_init(&overlay, false);
}

static void
end(void)
{
    overlay_fini(&overlay);
    fiber_test_check_leaks();
}

static struct slice
text(const char *string)
{
    return slice_from_text(string);
}

static void
put(const char *key, const char *value)
{
    overlay_put(&overlay, 7, text(key), text(value), 0);
}

/* The value, "-" for deleted, NULL for no answer. */
static const char *
get(const char *key, const struct overlay_mark *before)
{
    static char value[64];
    struct record_op op;

    switch (overlay_get(&overlay, text(key), before, &op)) {
    case OVERLAY_NONE:
        return NULL;
    case OVERLAY_DELETED:
        return "-";
    case OVERLAY_PUT:
        break;
    }
    cr_assert_eq(op.slot, 7);
    cr_assert_lt(op.value.size, sizeof(value));
    memcpy(value, op.value.data, op.value.size);
    value[op.value.size] = '\0';
    return value;
}

#define EXPECT(key, before, expected)                                                              \
    do {                                                                                           \
        const char *actual_ = get((key), (before));                                                \
        const char *expected_ = (expected);                                                        \
        cr_assert(actual_ == expected_ ||                                                          \
                      (actual_ != NULL && expected_ != NULL && strcmp(actual_, expected_) == 0),   \
                  "%s: got %s", (key), actual_ == NULL ? "nothing" : actual_);                     \
    } while (0)

/* Enough of others that the index answers. */
static void
put_others(void)
{
    char key[16];

    for (int i = 0; i <= OVERLAY_LINEAR_OPS; i++) {
        snprintf(key, sizeof(key), "~%d", i);
        put(key, "x");
    }
}

static void
expect_marks(void)
{
    struct overlay_mark first;
    struct overlay_mark second;

    first = overlay_mark(&overlay);
    put("a", "1");
    put("c", "1");
    second = overlay_mark(&overlay);
    overlay_delete(&overlay, 7, text("a"));
    overlay_delete_range(&overlay, text("b"), text("d"));
    put("cc", "2");
    EXPECT("a", &first, NULL);
    EXPECT("a", &second, "1");
    EXPECT("a", &all, "-");
    EXPECT("b", &second, NULL);
    EXPECT("b", &all, "-");
    EXPECT("c", &second, "1");
    EXPECT("c", &all, "-");
    EXPECT("cc", &all, "2");
    EXPECT("d", &all, NULL);
    cr_assert(!overlay_hides(&overlay, text("c"), &second));
    cr_assert(overlay_hides(&overlay, text("c"), &all));
    overlay_cut(&overlay, &second);
    EXPECT("a", &all, "1");
    EXPECT("c", &all, "1");
    EXPECT("cc", &all, NULL);
    EXPECT("b", &all, NULL);
    cr_assert(!overlay_hides(&overlay, text("c"), &all));
}

Test(overlay, a_mark_sees_what_was_written_before_it)
{
    begin();
    expect_marks();
    end();
    begin();
    put_others();
    expect_marks();
    end();
}

Test(overlay, writes_that_nobody_reads_build_no_index)
{
    begin();
    for (int i = 0; i < 1000; i++) {
        put("key", "value");
    }
    cr_assert_null(overlay.index);
    EXPECT("key", &all, "value");
    cr_assert_not_null(overlay.index);
    end();
}

Test(overlay, counters_add_up_and_are_taken_back)
{
    struct overlay_mark mark;

    begin();
    cr_assert_eq(overlay_counter(&overlay, 3), 0);
    overlay_counter_add(&overlay, 3, 5);
    overlay_counter_add(&overlay, 4, 1);
    cr_assert_eq(overlay_counter(&overlay, 3), 5);
    mark = overlay_mark(&overlay);
    overlay_counter_add(&overlay, 3, -7);
    cr_assert_eq(overlay_counter(&overlay, 3), -2);
    overlay_cut(&overlay, &mark);
    cr_assert_eq(overlay_counter(&overlay, 3), 5);
    cr_assert_eq(overlay_counter(&overlay, 4), 1);
    end();
}

Test(overlay, a_large_value_is_copied_and_read_whole)
{
    static uint8_t large[LSM_VALUE_INLINE_BYTES_MAX + 10];
    struct overlay_mark mark;
    struct record_op op;

    begin();
    memset(large, 'a', sizeof(large));
    overlay_put(&overlay, 1, text("a"), slice_of(large, sizeof(large)), 0);
    mark = overlay_mark(&overlay);
    memset(large, 'b', sizeof(large));
    overlay_put(&overlay, 1, text("a"), slice_of(large, sizeof(large)), 9);
    cr_assert_eq(overlay.large_bytes, 2 * sizeof(large));
    cr_assert_eq(overlay_get(&overlay, text("a"), &mark, &op), OVERLAY_PUT);
    cr_assert_eq(op.value.size, sizeof(large));
    cr_assert_eq(op.value.data[0], 'a');
    cr_assert_eq(overlay_get(&overlay, text("a"), &all, &op), OVERLAY_PUT);
    cr_assert_eq(op.value.data[sizeof(large) - 1], 'b');
    cr_assert_eq(op.expire_us, 9);
    overlay_cut(&overlay, &mark);
    cr_assert_eq(overlay.large_bytes, sizeof(large));
    cr_assert_eq(overlay.batch.large_count, 1);
    end();
}

Test(overlay, an_error_is_kept_until_a_cut)
{
    struct overlay_mark mark;

    begin();
    put("a", "1");
    mark = overlay_mark(&overlay);
    put("", "empty");
    put("b", "2");
    cr_assert_eq(overlay.batch.error, ERR_INVALID);
    EXPECT("b", &all, NULL);
    overlay_cut(&overlay, &mark);
    cr_assert_eq(overlay.batch.error, ERR_OK);
    put("b", "2");
    EXPECT("b", &all, "2");
    end();
}

Test(overlay, an_iterator_goes_on_while_writes_are_made)
{
    struct overlay_iter iter;
    char key[16];
    int count = 0;

    begin();
    for (int i = 0; i < 100; i += 2) {
        snprintf(key, sizeof(key), "k%03d", i);
        put(key, "even");
    }
    overlay_iter_init(&iter, &overlay, &all);
    for (bool is_valid = overlay_iter_seek(&iter, text("")); is_valid;
         is_valid = overlay_iter_next(&iter)) {
        snprintf(key, sizeof(key), "k%03d", count);
        cr_assert(slice_equal(iter.key, text(key)), "at %d", count);
        cr_assert(slice_equal(iter.op.key, text(key)));
        snprintf(key, sizeof(key), "k%03d", ++count);
        if (count % 2 == 1 && count < 100) {
            put(key, "odd");
        }
    }
    cr_assert_eq(count, 100);
    for (bool is_valid = overlay_iter_seek_before(&iter, text("")); is_valid;
         is_valid = overlay_iter_previous(&iter)) {
        snprintf(key, sizeof(key), "k%03d", --count);
        cr_assert(slice_equal(iter.key, text(key)));
    }
    cr_assert_eq(count, 0);
    end();
}

Test(overlay, writes_that_come_and_go_take_bounded_memory)
{
    struct overlay_mark mark;
    char key[32];

    begin();
    put("first", "1");
    mark = overlay_mark(&overlay);
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        put(key, "value");
        overlay_delete_range(&overlay, text(key), text("l"));
        put_others();
        EXPECT("first", &all, "1");
        overlay_cut(&overlay, &mark);
    }
    cr_assert_lt(overlay_bytes(&overlay), 1 << 20);
    end();
}

/* ---- Against a model: every op ever, looked at from the newest. ---- */

enum { MODEL_OPS = 600, MODEL_KEYS = 40, MODEL_MARKS = 8 };

enum model_kind { MODEL_PUT, MODEL_DELETE, MODEL_RANGE };

struct model_op {
    enum model_kind kind;
    int key, end, value;
    uint32_t number; /* Of overlay.batch.ops before it. */
};

struct model {
    struct model_op ops[MODEL_OPS];
    int count;
    struct overlay_mark marks[MODEL_MARKS]; /* Rising; a cut ends later ones. */
    int counts[MODEL_MARKS];
    int mark_count;
};

static void
key_text(int key, char out[16])
{
    /* Some keys are prefixes of others. */
    snprintf(out, 16, key % 3 == 0 ? "%c" : "%c%02d", 'a' + key / 3, key);
}

/* Values: > 0 put, -1 deleted, 0 nothing. */
static int
model_get(const struct model *model, int key, int before)
{
    for (int i = before - 1; i >= 0; i--) {
        const struct model_op *op = &model->ops[i];

        if (op->kind == MODEL_RANGE ? op->key <= key && key < op->end : op->key == key) {
            return op->kind == MODEL_PUT ? op->value : -1;
        }
    }
    return 0;
}

static bool
model_hides(const struct model *model, int key, int before)
{
    for (int i = 0; i < before; i++) {
        const struct model_op *op = &model->ops[i];

        if (op->kind == MODEL_RANGE && op->key <= key && key < op->end) {
            return true;
        }
    }
    return false;
}

static int
value_of(const struct record_op *op)
{
    char digits[16] = {0};

    cr_assert_lt(op->value.size, sizeof(digits));
    memcpy(digits, op->value.data, op->value.size);
    return atoi(digits);
}

static void
check_gets(const struct model *model, const struct overlay_mark *mark, int before)
{
    for (int key = 0; key < MODEL_KEYS; key++) {
        char name[16];
        struct record_op op;
        int expected = model_get(model, key, before);
        enum overlay_answer answer;

        key_text(key, name);
        answer = overlay_get(&overlay, text(name), mark, &op);
        cr_assert_eq(answer, expected == 0    ? OVERLAY_NONE
                             : expected == -1 ? OVERLAY_DELETED
                                              : OVERLAY_PUT);
        cr_assert(answer != OVERLAY_PUT || value_of(&op) == expected);
        cr_assert_eq(overlay_hides(&overlay, text(name), mark), model_hides(model, key, before));
    }
}

/* The stretch must be hidden to its bound, and no further. */
static void
check_stretch(const struct model *model, const struct overlay_mark *mark, int before, int key)
{
    char name[16];
    struct slice bound;

    key_text(key, name);
    if (overlay_hides_to(&overlay, text(name), mark, true, &bound)) {
        int at = key;

        for (; at < MODEL_KEYS && model_hides(model, at, before); at++) {}
        key_text(at, name);
        cr_assert(slice_equal(bound, text(name)));
    }
    key_text(key, name);
    if (overlay_hides_to(&overlay, text(name), mark, false, &bound)) {
        int at = key;

        for (; at > 0 && model_hides(model, at - 1, before); at--) {}
        key_text(at, name);
        cr_assert(slice_equal(bound, text(name)));
    }
}

/* Has the key an op of its own before the mark? (A range delete makes them for own puts.) */
static bool
model_has_op(const struct model *model, int key, int before)
{
    for (int i = 0; i < before; i++) {
        if (model->ops[i].kind != MODEL_RANGE && model->ops[i].key == key) {
            return true;
        }
    }
    return false;
}

static void
check_walk(const struct model *model, const struct overlay_mark *mark, int before, bool is_up,
           int from)
{
    struct overlay_iter iter;
    char name[16];
    bool is_valid;
    int key = is_up ? from : from - 1;

    key_text(from, name);
    overlay_iter_init(&iter, &overlay, mark);
    is_valid =
        is_up ? overlay_iter_seek(&iter, text(name)) : overlay_iter_seek_before(&iter, text(name));
    for (; key >= 0 && key < MODEL_KEYS; key += is_up ? 1 : -1) {
        int expected = model_get(model, key, before);

        if (!model_has_op(model, key, before)) {
            continue;
        }
        cr_assert(is_valid);
        key_text(key, name);
        cr_assert(slice_equal(iter.key, text(name)));
        cr_assert_eq(iter.op.kind, expected > 0 ? RECORD_PUT : RECORD_DELETE);
        cr_assert(expected <= 0 || value_of(&iter.op) == expected);
        is_valid = is_up ? overlay_iter_next(&iter) : overlay_iter_previous(&iter);
    }
    cr_assert(!is_valid);
}

static void
model_write(struct model *model, struct prng *prng)
{
    struct model_op *op = &model->ops[model->count];
    uint64_t kind = prng_below(prng, 10);
    char name[16];
    char other[16];

    *op = (struct model_op){.key = (int)prng_below(prng, MODEL_KEYS), .value = model->count + 1};
    key_text(op->key, name);
    if (kind < 6) {
        snprintf(other, sizeof(other), "%d", op->value);
        overlay_put(&overlay, 7, text(name), text(other), 0);
    } else if (kind < 8) {
        op->kind = MODEL_DELETE;
        overlay_delete(&overlay, 7, text(name));
    } else {
        op->kind = MODEL_RANGE;
        op->end = op->key + 1 + (int)prng_below(prng, (uint64_t)(MODEL_KEYS - op->key));
        key_text(op->end, other);
        overlay_delete_range(&overlay, text(name), text(other));
    }
    model->count++;
}

static void
model_mark(struct model *model, struct prng *prng)
{
    if (prng_below(prng, 2) == 0 && model->mark_count < MODEL_MARKS) {
        model->marks[model->mark_count] = overlay_mark(&overlay);
        model->counts[model->mark_count++] = model->count;
    } else if (model->mark_count > 0) {
        int at = (int)prng_below(prng, (uint64_t)model->mark_count);

        overlay_cut(&overlay, &model->marks[at]);
        model->count = model->counts[at];
        model->mark_count = at + (int)prng_below(prng, 2);
    }
}

static void
model_check(const struct model *model, struct prng *prng)
{
    int at = model->mark_count == 0 ? 0 : (int)prng_below(prng, (uint64_t)model->mark_count + 1);
    bool is_all = at == model->mark_count;
    const struct overlay_mark *mark = is_all ? &all : &model->marks[at];
    int before = is_all ? model->count : model->counts[at];
    int key = (int)prng_below(prng, MODEL_KEYS);

    check_gets(model, mark, before);
    check_stretch(model, mark, before, key);
    check_walk(model, mark, before, prng_below(prng, 2) == 0, key);
}

Test(overlay, random_writes_marks_and_cuts_match_a_plain_list)
{
    static struct model model;
    struct prng prng;

    for (uint64_t seed = 1; seed <= 300; seed++) {
        memset(&model, 0, sizeof(model));
        prng_init(&prng, seed);
        begin();
        for (int step = 0; step < 400; step++) {
            uint64_t choice = prng_below(&prng, 100);

            if (choice < 60 && model.count < MODEL_OPS) {
                model_write(&model, &prng);
            } else if (choice < 75) {
                model_mark(&model, &prng);
            } else {
                model_check(&model, &prng);
            }
        }
        cr_assert_eq(overlay.batch.error, ERR_OK);
        end();
    }
}

Test(overlay, ten_thousand_writes_with_reads_between_take_no_time)
{
    char key[32];

    begin();
    for (int i = 0; i < 10000; i++) {
        snprintf(key, sizeof(key), "key-%d", (i * 7919) % 10007);
        put(key, "value");
        EXPECT(key, &all, "value");
        overlay_counter_add(&overlay, 1, 1);
        cr_assert_eq(overlay_counter(&overlay, 1), i + 1);
    }
    end();
}
