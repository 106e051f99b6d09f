/* models/kv/sort.c - SORT and SORT_RO, of lists, sets and sorted sets.
 *
 * Elements are sorted as members of sorted sets are: by a number, then by bytes. What these two are
 * of an element depends on ALPHA and BY. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "models/kv/list.h"
#include "models/kv/zset_words.h"

#include "engine/base/poison.h"

enum { NUMBER_TEXT_MAX = 1024, WORK_UNITS_PER_ELEMENT = 3 };

struct sorting {
    bool is_descending, is_alpha;
    int64_t offset, limit; /* limit < 0: all */
    uint32_t by;           /* Argument: the pattern; 0: none. */
    bool is_unsorted;      /* BY with a pattern that names one key. */
    uint32_t store;        /* Argument: the key; 0: none. */
    uint32_t get_count;    /* How many GETs there are, */
    uint32_t *get_at;      /* and the arguments of their patterns. */
    struct kv_object object;
    /* .order is the index in elements, .score and .member are what sorts. */
    struct zset_entries entries;
    struct slice *elements;
};

/* ---- The words of a call ---- */

static bool
has_star(struct slice pattern)
{
    return pattern.size > 0 && memchr(pattern.data, '*', pattern.size) != NULL;
}

/* Options with an argument: *used_out words at argv[at], 0 if there is none of these; false after
 * an error reply. */
static bool
option_read(struct kv_request *request, struct sorting *sorting, uint32_t at, bool may_store,
            uint32_t *used_out)
{
    struct slice word = request->argv[at];
    uint32_t left = request->argc - at - 1;

    *used_out = 2;
    if (left >= 2 && kv_word_is(word, "limit")) {
        *used_out = 3;
        return kv_parse_int(request, request->argv[at + 1], &sorting->offset) &&
               kv_parse_int(request, request->argv[at + 2], &sorting->limit);
    }
    if (left >= 1 && may_store && kv_word_is(word, "store")) {
        sorting->store = at + 1;
    } else if (left >= 1 && kv_word_is(word, "by")) {
        sorting->by = at + 1;
        sorting->is_unsorted |= !has_star(request->argv[at + 1]);
    } else if (left >= 1 && kv_word_is(word, "get")) {
        sorting->get_at[sorting->get_count++] = at + 1;
    } else {
        *used_out = 0;
    }
    return true;
}

static bool
options_read(struct kv_request *request, struct sorting *sorting, bool may_store)
{
    sorting->limit = -1;
    sorting->get_at = arena_alloc(request->arena, request->argc * sizeof(*sorting->get_at));
    if (sorting->get_at == NULL) {
        kv_fail(request, err_set(ERR_NO_MEMORY, "no memory for %u arguments", request->argc));
        return false;
    }
    for (uint32_t at = 2; at < request->argc;) {
        struct slice word = request->argv[at];
        uint32_t used = 1;

        if (kv_word_is(word, "asc") || kv_word_is(word, "desc")) {
            sorting->is_descending = kv_word_is(word, "desc");
        } else if (kv_word_is(word, "alpha")) {
            sorting->is_alpha = true;
        } else if (!option_read(request, sorting, at, may_store, &used)) {
            return false;
        }
        if (used == 0) {
            kv_reply_syntax_error(request);
            return false;
        }
        at += used;
    }
    return true;
}

/* ---- Elements ---- */

static YIELDS err_t
list_load(struct kv_request *request, struct sorting *sorting, struct kv_list *list)
{
    struct kv_list_cursor cursor;
    struct slice item;
    bool is_found;
    err_t err;

    TRY(kv_list_cursor_open(request, list, 0, list->count, false, &cursor));
    for (;;) {
        err = kv_list_cursor_next(request, &cursor, &item, &is_found);
        if (err != ERR_OK || !is_found) {
            break;
        }
        err = zset_entries_add(request, &sorting->entries, 0, item, true);
        if (err != ERR_OK) {
            break;
        }
        kv_work(request, WORK_UNITS_PER_ELEMENT);
    }
    kv_list_cursor_close(&cursor);
out:
    return err;
}

static YIELDS err_t
set_load(struct kv_request *request, struct sorting *sorting)
{
    struct dict_fields fields;
    err_t err;

    TRY(dict_load(request, &sorting->object, &fields));
    for (uint32_t i = 0; i < fields.count; i++) {
        TRY(zset_entries_add(request, &sorting->entries, 0, fields.at[i].name, false));
        kv_work(request, WORK_UNITS_PER_ELEMENT);
    }
out:
    return err;
}

/* All elements of the key, in their own order. False after an error reply. */
static YIELDS bool
elements_load(struct kv_request *request, struct sorting *sorting)
{
    struct kv_object *object = &sorting->object;
    struct slice name = request->argv[1];
    struct kv_list list;
    err_t err = ERR_OK;

    if (!kv_lookup(request, name, KV_LOOKUP_READ, object)) {
        return false;
    }
    if (!object->is_found) {
        return true;
    }
    switch (object->head.type) {
    case KV_LIST:
        if (!kv_list_lookup(request, name, 0, &list)) {
            return false;
        }
        TRY(list_load(request, sorting, &list));
        break;
    case KV_SET:
        if (!dict_lookup(request, name, KV_SET, 0, object)) {
            return false;
        }
        TRY(set_load(request, sorting));
        break;
    default:
        if (!zset_check_reply(request, object)) { /* WRONGTYPE of all others. */
            return false;
        }
        TRY(zset_load(request, object, &sorting->entries));
        break;
    }
    return true;
out:
    kv_fail(request, err);
    return false;
}

/* ---- Patterns ---- */

/* The value of a hash's field, or NULL data. False after an error reply. */
static YIELDS bool
field_get(struct kv_request *request, struct slice name, struct slice field, struct slice *value)
{
    struct dict_field found = dict_field_of(field);
    struct kv_object object;
    bool is_in = false;
    err_t err;

    if (!dict_lookup(request, name, KV_HASH, 0, &object)) {
        return false;
    }
    err =
        field.size > DICT_NAME_BYTES_MAX ? ERR_OK : dict_find(request, &object, &found, 1, &is_in);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return false;
    }
    *value = is_in ? found.value : slice_of(NULL, 0);
    if (is_in && found.value.data == NULL) {
        *value = slice_of("", 0);
    }
    return true;
}

/* The pattern's parts around its star, and the field behind "->". */
struct pattern {
    struct slice before, behind, field;
};

static bool
pattern_parse(struct slice pattern, struct pattern *parts_out)
{
    const uint8_t *end = pattern.data + pattern.size;
    const uint8_t *star = memchr(pattern.data, '*', pattern.size);
    const uint8_t *arrow;

    if (star == NULL) {
        return false;
    }
    arrow = star + 1 < end ? memmem(star + 1, (size_t)(end - star - 1), "->", 2) : NULL;
    parts_out->field = slice_of(NULL, 0);
    if (arrow != NULL && arrow + 2 < end) {
        parts_out->field = slice_of(arrow + 2, (size_t)(end - arrow - 2));
        end = arrow;
    }
    parts_out->before = slice_of(pattern.data, (size_t)(star - pattern.data));
    parts_out->behind = slice_of(star + 1, (size_t)(end - star - 1));
    return true;
}

static struct slice
pattern_name(struct kv_request *request, const struct pattern *parts, struct slice element)
{
    const struct slice words[] = {parts->before, element, parts->behind};
    size_t size = parts->before.size + element.size + parts->behind.size;
    uint8_t *name = arena_alloc(request->arena, size);
    size_t at = 0;

    for (uint32_t i = 0; name != NULL && i < ARRAY_COUNT(words); i++) {
        if (words[i].size > 0) {
            memcpy(name + at, words[i].data, words[i].size);
        }
        at += words[i].size;
    }
    return slice_of(name, name == NULL ? 0 : size);
}

/* What a pattern of BY or GET gives for an element: NULL data if there is none. False after an
 * error reply. */
static YIELDS bool
pattern_get(struct kv_request *request, struct slice pattern, struct slice element,
            struct slice *value_out)
{
    struct kv_object object;
    struct pattern parts;
    struct slice name;

    *value_out = slice_of(NULL, 0);
    if (pattern.size == 1 && pattern.data[0] == '#') {
        *value_out = element.data != NULL ? element : slice_of("", 0);
        return true;
    }
    if (pattern.size == 0 || !pattern_parse(pattern, &parts)) {
        return true;
    }
    if (parts.before.size + element.size + parts.behind.size > KV_NAME_BYTES_MAX) {
        return true; /* No key has such a name. */
    }
    name = pattern_name(request, &parts, element);
    if (!kv_lookup(request, name, KV_LOOKUP_READ, &object)) {
        return false;
    }
    if (!object.is_found || object.head.type != (parts.field.data != NULL ? KV_HASH : KV_STRING)) {
        return true;
    }
    if (parts.field.data != NULL) {
        return field_get(request, name, parts.field, value_out);
    }
    if (!kv_string_bytes(request, &object, value_out)) {
        return false;
    }
    if (value_out->data == NULL) {
        *value_out = slice_of("", 0);
    }
    return true;
}

/* ---- Sorting ---- */

static bool
number_parse(struct slice text, double *number_out)
{
    char copy[NUMBER_TEXT_MAX];
    char *end;
    bool is_valid;

    if (text.size >= sizeof(copy)) {
        return false;
    }
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    errno = 0;
    *number_out = strtod(copy, &end);
    is_valid = *end == '\0' && errno != ERANGE && !isnan(*number_out);
    errno = 0;
    return is_valid;
}

/* What an element is sorted by. False after an error reply, or when it is no number. */
static YIELDS bool
weight_find(struct kv_request *request, const struct sorting *sorting, struct zset_entry *entry,
            bool *is_number)
{
    struct slice element = entry->member;
    struct slice by = element;

    if (sorting->by != 0 && !pattern_get(request, request->argv[sorting->by], element, &by)) {
        return false;
    }
    entry->score = 0;
    if (!sorting->is_alpha) {
        *is_number &= by.data == NULL || number_parse(by, &entry->score);
    } else if (sorting->by != 0) {
        entry->score = by.data != NULL; /* Those without come first. */
        entry->member = by;
    }
    return true;
}

static bool
is_ascending(const struct zset_entry *a, const struct zset_entry *b)
{
    return zset_score_before(a, b) || (!zset_score_before(b, a) && a->order < b->order);
}

static bool
is_descending(const struct zset_entry *a, const struct zset_entry *b)
{
    return zset_score_before(b, a) || (!zset_score_before(a, b) && a->order < b->order);
}

/* False after an error reply. */
static YIELDS bool
elements_sort(struct kv_request *request, struct sorting *sorting)
{
    struct zset_entries *entries = &sorting->entries;
    bool is_number = true;

    for (uint32_t i = 0; i < entries->count; i++) {
        if (!weight_find(request, sorting, &entries->at[i], &is_number)) {
            return false;
        }
        kv_work(request, WORK_UNITS_PER_ELEMENT);
    }
    if (!is_number) {
        reply_error(request->reply, "ERR One or more scores can't be converted into double");
        return false;
    }
    zset_entries_sort(request, entries, sorting->is_descending ? is_descending : is_ascending);
    return true;
}

/* In the order asked for. False after an error reply. */
static YIELDS bool
elements_order(struct kv_request *request, struct sorting *sorting)
{
    struct zset_entries *entries = &sorting->entries;
    bool is_set = sorting->object.is_found && sorting->object.head.type == KV_SET;

    if (sorting->is_unsorted && is_set && (sorting->store != 0 || request->in_script)) {
        sorting->is_unsorted = false; /* What is stored, or what a script sees, has an order. */
        sorting->is_alpha = true;
        sorting->by = 0;
    }
    if (!sorting->is_unsorted) {
        return elements_sort(request, sorting);
    }
    if (sorting->is_descending && !is_set) {
        zset_entries_reverse(entries);
    }
    return true;
}

/* LIMIT, as a part of the entries. */
static void
limit_apply(struct sorting *sorting)
{
    struct zset_entries *entries = &sorting->entries;
    uint64_t offset = sorting->offset < 0 ? 0 : (uint64_t)sorting->offset;
    uint64_t limit = sorting->limit < 0 ? UINT64_MAX : (uint64_t)sorting->limit;

    offset = MIN(offset, (uint64_t)entries->count);
    entries->at += offset;
    entries->count = (uint32_t)MIN(entries->count - offset, limit);
    entries->capacity = entries->count;
}

/* ---- Results ---- */

/* What is answered or stored: the elements, or what GET gives for each (NULL data: nothing). False
 * after an error reply. */
static YIELDS bool
results_make(struct kv_request *request, const struct sorting *sorting, struct slice **results_out,
             uint64_t *count_out)
{
    uint64_t count = (uint64_t)sorting->entries.count * MAX(sorting->get_count, 1U);
    size_t bytes = (count + 1) * sizeof(struct slice);
    struct slice *results = NULL;
    uint64_t at = 0;

    if (!kv_memory_lacks(request, bytes)) {
        results = arena_alloc(request->arena, bytes);
    }
    if (results == NULL) {
        kv_fail(request, err_set(ERR_NO_MEMORY, "no memory for %llu results; raise --memory",
                                 (unsigned long long)count));
        return false;
    }
    for (uint32_t i = 0; i < sorting->entries.count; i++) {
        struct slice element = sorting->elements[sorting->entries.at[i].order];

        if (sorting->get_count == 0) {
            results[at++] = element.data != NULL ? element : slice_of("", 0);
        }
        for (uint32_t j = 0; j < sorting->get_count; j++) {
            if (!pattern_get(request, request->argv[sorting->get_at[j]], element, &results[at++])) {
                return false;
            }
        }
        kv_work(request, WORK_UNITS_PER_ELEMENT);
    }
    *results_out = results;
    *count_out = count;
    return true;
}

static YIELDS void
results_reply(struct kv_request *request, const struct slice *results, uint64_t count)
{
    reply_array(request->reply, count);
    for (uint64_t i = 0; i < count; i++) {
        if (results[i].data == NULL) {
            reply_null(request->reply);
        } else {
            reply_bulk(request->reply, results[i]);
        }
        kv_work(request, 1);
    }
}

static YIELDS void
results_store(struct kv_request *request, uint32_t key, const struct slice *results, uint64_t count)
{
    const struct kv_head none = {.type = KV_LIST};
    struct kv_object object;
    struct kv_list list;
    err_t err;

    if (!kv_lookup(request, request->argv[key], 0, &object)) {
        return;
    }
    if (count == 0) {
        kv_remove(request, &object);
        if (object.is_found) {
            kv_notify(request, KV_EVENT_GENERIC, "del", object.name);
        }
        reply_int(request->reply, 0);
        return;
    }
    kv_list_begin(&list, &object, &none);
    TRY(kv_list_push(request, &list, LIST_RIGHT, results, (uint32_t)count));
    TRY(kv_list_store(request, &list));
    kv_notify(request, KV_EVENT_LIST, "sortstore", object.name);
    reply_int(request->reply, (int64_t)count);
    return;
out:
    kv_fail(request, err);
}

/* The elements, before sorting changes what the entries hold. ERR_NO_MEMORY. */
static err_t
elements_keep(struct kv_request *request, struct sorting *sorting)
{
    size_t bytes = (sorting->entries.count + 1UL) * sizeof(*sorting->elements);

    if (!kv_memory_lacks(request, bytes)) {
        sorting->elements = arena_alloc(request->arena, bytes);
    }
    if (sorting->elements == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for %u elements; raise --memory",
                       sorting->entries.count);
    }
    for (uint32_t i = 0; i < sorting->entries.count; i++) {
        sorting->elements[i] = sorting->entries.at[i].member;
    }
    return ERR_OK;
}

static YIELDS void
sort(struct kv_request *request, bool may_store)
{
    struct sorting sorting = {.get_count = 0};
    struct slice *results;
    uint64_t count;
    err_t err;

    if (!options_read(request, &sorting, may_store) || !elements_load(request, &sorting)) {
        return;
    }
    err = elements_keep(request, &sorting);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return;
    }
    if (!elements_order(request, &sorting)) {
        return;
    }
    limit_apply(&sorting);
    if (!results_make(request, &sorting, &results, &count)) {
        return;
    }
    if (sorting.store == 0) {
        results_reply(request, results, count);
    } else {
        results_store(request, sorting.store, results, count);
    }
}

void
kv_command_sort(struct kv_request *request)
{
    sort(request, true);
}

void
kv_command_sort_ro(struct kv_request *request)
{
    sort(request, false);
}
