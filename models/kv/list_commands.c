/* models/kv/list_commands.c - the commands on one list. Those on several: list_move.c. */
#include "models/kv/list.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { TRIM_READ_MAX = 4096 };

/* ---- LPUSH, RPUSH, LPUSHX, RPUSHX ---- */

static YIELDS void
push(struct kv_request *request, enum list_end end, bool is_made)
{
    struct kv_list list;
    err_t err;

    if (!kv_list_lookup(request, request->argv[1], 0, &list)) {
        return;
    }
    if (!list.object.is_found && !is_made) {
        reply_int(request->reply, 0);
        return;
    }
    TRY(kv_list_push(request, &list, end, request->argv + 2, request->argc - 2));
    TRY(kv_list_store(request, &list));
    kv_notify(request, KV_EVENT_LIST, end == LIST_LEFT ? "lpush" : "rpush", list.object.name);
    reply_int(request->reply, (int64_t)list.count);
    return;
out:
    kv_fail(request, err);
}

void
kv_command_lpush(struct kv_request *request)
{
    push(request, LIST_LEFT, true);
}

void
kv_command_rpush(struct kv_request *request)
{
    push(request, LIST_RIGHT, true);
}

void
kv_command_lpushx(struct kv_request *request)
{
    push(request, LIST_LEFT, false);
}

void
kv_command_rpushx(struct kv_request *request)
{
    push(request, LIST_RIGHT, false);
}

/* ---- LPOP, RPOP ---- */

static YIELDS void
pop(struct kv_request *request, enum list_end end)
{
    bool has_count = request->argc == 3;
    struct reply_mark mark;
    int64_t count = 1;
    struct kv_list list;
    err_t err;

    if (request->argc > 3) {
        reply_error(request->reply, "ERR wrong number of arguments for '%s' command",
                    command_full_name(request->command));
        return;
    }
    if (has_count && (!reply_parse_int(request->argv[2], &count) || count < 0)) {
        reply_error(request->reply, "ERR value is out of range, must be positive");
        return;
    }
    if (!kv_list_lookup(request, request->argv[1], 0, &list)) {
        return;
    }
    if (!list.object.is_found) {
        if (has_count) {
            reply_null_array(request->reply);
        } else {
            reply_null(request->reply);
        }
        return;
    }
    mark = reply_mark(request->reply);
    if (has_count) {
        reply_array(request->reply, MIN((uint64_t)count, list.count));
    }
    err = kv_list_pop(request, &list, end, (uint64_t)count);
    if (err != ERR_OK) {
        reply_cut(request->reply, mark);
        kv_fail(request, err);
    }
}

void
kv_command_lpop(struct kv_request *request)
{
    pop(request, LIST_LEFT);
}

void
kv_command_rpop(struct kv_request *request)
{
    pop(request, LIST_RIGHT);
}

/* ---- LLEN, LINDEX, LSET ---- */

void
kv_command_llen(struct kv_request *request)
{
    struct kv_list list;

    if (kv_list_lookup(request, request->argv[1], KV_LOOKUP_READ, &list)) {
        reply_int(request->reply, (int64_t)list.count);
    }
}

void
kv_command_lindex(struct kv_request *request)
{
    struct slice item;
    uint64_t position;
    struct kv_list list;
    int64_t index;
    err_t err;

    if (!kv_list_lookup(request, request->argv[1], KV_LOOKUP_READ, &list)) {
        return;
    }
    if (!list.object.is_found) { /* Before the index is looked at. */
        reply_null(request->reply);
        return;
    }
    if (!kv_parse_int(request, request->argv[2], &index)) {
        return;
    }
    if (!kv_list_position(&list, index, &position)) {
        reply_null(request->reply);
        return;
    }
    err = kv_list_get(request, &list, position, &item);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return;
    }
    reply_bulk(request->reply, item);
}

void
kv_command_lset(struct kv_request *request)
{
    uint64_t position;
    struct kv_list list;
    int64_t index;
    err_t err;

    if (!kv_list_lookup(request, request->argv[1], 0, &list)) {
        return;
    }
    if (!list.object.is_found) {
        reply_error(request->reply, "ERR no such key");
        return;
    }
    if (!kv_parse_int(request, request->argv[2], &index)) {
        return;
    }
    if (!kv_list_position(&list, index, &position)) {
        reply_error(request->reply, "ERR index out of range");
        return;
    }
    TRY(kv_list_set(request, &list, position, request->argv[3]));
    TRY(kv_list_has_shrunk(request, &list));
    TRY(kv_list_store(request, &list));
    kv_notify(request, KV_EVENT_LIST, "lset", list.object.name);
    reply_ok(request->reply);
    return;
out:
    kv_fail(request, err);
}

/* ---- LRANGE, LTRIM ---- */

/* The positions [*from_out, *end_out) that indexes, the last included, stand for in the list. */
static void
range_of(const struct kv_list *list, int64_t start, int64_t last, uint64_t *from_out,
         uint64_t *end_out)
{
    int64_t count = (int64_t)MIN(list->count, (uint64_t)INT64_MAX);

    start = start < 0 ? MAX(start + count, INT64_C(0)) : start;
    last = last < 0 ? last + count : MIN(last, count - 1);
    *from_out = 0;
    *end_out = 0;
    if (start <= last) {
        *from_out = (uint64_t)start;
        *end_out = (uint64_t)last + 1;
    }
}

void
kv_command_lrange(struct kv_request *request)
{
    struct reply_mark mark;
    int64_t start;
    int64_t last;
    uint64_t from;
    uint64_t end;
    struct kv_list list;
    err_t err;

    if (!kv_parse_int(request, request->argv[2], &start) ||
        !kv_parse_int(request, request->argv[3], &last) ||
        !kv_list_lookup(request, request->argv[1], KV_LOOKUP_READ, &list)) {
        return;
    }
    range_of(&list, start, last, &from, &end);
    mark = reply_mark(request->reply);
    reply_array(request->reply, end - from);
    err = kv_list_reply(request, &list, from, end - from, false, NULL);
    if (err != ERR_OK) {
        reply_cut(request->reply, mark);
        kv_fail(request, err);
    }
}

/* What the items outside of [from, end) take: whichever are fewer are read, those or the others.
 * Where both are many it is estimated; the list is then far from being a listpack. */
static YIELDS err_t
bytes_outside(struct kv_request *request, const struct kv_list *list, uint64_t from, uint64_t end,
              uint64_t *bytes_out)
{
    uint64_t kept = end - from;
    uint64_t left_bytes;
    uint64_t right_bytes;
    err_t err = ERR_OK;

    if (list->count - kept <= MIN(kept, (uint64_t)TRIM_READ_MAX)) {
        TRY(kv_list_bytes(request, list, 0, from, &left_bytes));
        TRY(kv_list_bytes(request, list, end, list->count - end, &right_bytes));
        *bytes_out = left_bytes + right_bytes;
    } else if (kept <= (uint64_t)TRIM_READ_MAX) {
        TRY(kv_list_bytes(request, list, from, kept, &left_bytes));
        *bytes_out = list->bytes - MIN(left_bytes + LIST_BYTES_MIN, list->bytes);
    } else {
        *bytes_out =
            (uint64_t)((double)list->bytes / (double)list->count * (double)(list->count - kept));
    }
out:
    return err;
}

void
kv_command_ltrim(struct kv_request *request)
{
    int64_t start;
    int64_t last;
    uint64_t from;
    uint64_t end;
    uint64_t bytes;
    struct kv_list list;
    err_t err;

    if (!kv_parse_int(request, request->argv[2], &start) ||
        !kv_parse_int(request, request->argv[3], &last) ||
        !kv_list_lookup(request, request->argv[1], 0, &list)) {
        return;
    }
    if (list.object.is_found) {
        range_of(&list, start, last, &from, &end);
        if (from == end) {
            kv_list_drop(request, &list, LIST_LEFT, list.count, 0);
        } else {
            TRY(bytes_outside(request, &list, from, end, &bytes));
            kv_list_drop(request, &list, LIST_RIGHT, list.count - end, bytes);
            kv_list_drop(request, &list, LIST_LEFT, from, 0);
        }
        TRY(kv_list_has_shrunk(request, &list));
        TRY(kv_list_store(request, &list));
        kv_notify(request, KV_EVENT_LIST, "ltrim", list.object.name);
        kv_notify_if_gone(request, &list.object);
    }
    reply_ok(request->reply);
    return;
out:
    kv_fail(request, err);
}

/* ---- LPOS ---- */

struct lpos_options {
    uint64_t rank;
    bool is_backward;
    bool has_count;
    uint64_t count;  /* 0: all. */
    uint64_t length; /* Items to compare; 0: all. */
};

static bool
parse_natural(struct kv_request *request, struct slice text, const char *name, uint64_t *value_out)
{
    int64_t value;

    if (!reply_parse_int(text, &value) || value < 0) {
        reply_error(request->reply, "ERR %s can't be negative", name);
        return false;
    }
    *value_out = (uint64_t)value;
    return true;
}

static bool
rank_parse(struct kv_request *request, struct slice text, struct lpos_options *options)
{
    int64_t rank;

    if (!kv_parse_int(request, text, &rank)) {
        return false;
    }
    if (rank == INT64_MIN) {
        reply_error(request->reply, "ERR value is out of range, value must between %lld and %lld",
                    (long long)-INT64_MAX, (long long)INT64_MAX);
        return false;
    }
    if (rank == 0) {
        reply_error(request->reply,
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the "
                    "second ... or use negative to start from the end of the list");
        return false;
    }
    options->is_backward = rank < 0;
    options->rank = (uint64_t)(rank < 0 ? -rank : rank);
    return true;
}

static bool
lpos_options_parse(struct kv_request *request, struct lpos_options *options)
{
    *options = (struct lpos_options){.rank = 1};
    for (uint32_t i = 3; i < request->argc; i += 2) {
        struct slice word = request->argv[i];
        bool is_good = false;

        if (i + 1 == request->argc) {
            kv_reply_syntax_error(request);
        } else if (kv_word_is(word, "rank")) {
            is_good = rank_parse(request, request->argv[i + 1], options);
        } else if (kv_word_is(word, "count")) {
            options->has_count = true;
            is_good = parse_natural(request, request->argv[i + 1], "COUNT", &options->count);
        } else if (kv_word_is(word, "maxlen")) {
            is_good = parse_natural(request, request->argv[i + 1], "MAXLEN", &options->length);
        } else {
            kv_reply_syntax_error(request);
        }
        if (!is_good) {
            return false;
        }
    }
    return true;
}

/* Positions of items that are found. */
struct positions {
    uint64_t *at;
    uint64_t count;
    uint64_t capacity;
    uint64_t bytes; /* Of the items in a listpack. */
};

static err_t
positions_add(struct kv_request *request, struct positions *positions, uint64_t position)
{
    enum { FIRST = 16 };

    if (positions->count == positions->capacity) {
        uint64_t capacity = MAX((uint64_t)FIRST, positions->capacity * 2);
        uint64_t *at = NULL;

        if (!kv_memory_lacks(request, capacity * sizeof(*at))) {
            at = arena_alloc(request->arena, capacity * sizeof(*at));
        }
        if (at == NULL) {
            return err_set(ERR_NO_MEMORY, "no memory for %llu positions; raise --memory",
                           (unsigned long long)capacity);
        }
        if (positions->count > 0) {
            memcpy(at, positions->at, positions->count * sizeof(*at));
        }
        positions->at = at;
        positions->capacity = capacity;
    }
    positions->at[positions->count++] = position;
    return ERR_OK;
}

/* Where the item is in the list, from the rank-th place on, in the order of looking. Of `length`
 * items; at most `count` places (0: all). */
static YIELDS err_t
find(struct kv_request *request, const struct kv_list *list, struct slice wanted,
     const struct lpos_options *options, struct positions *positions)
{
    uint64_t length = options->length == 0 ? list->count : MIN(options->length, list->count);
    uint64_t matches = 0;
    struct kv_list_cursor cursor;
    struct slice item;
    bool is_found;
    err_t err;

    *positions = (struct positions){0};
    TRY(kv_list_cursor_open(request, list,
                            options->is_backward && list->count > 0 ? list->count - 1 : 0, length,
                            options->is_backward, &cursor));
    while ((err = kv_list_cursor_next(request, &cursor, &item, &is_found)) == ERR_OK && is_found) {
        if (!slice_equal(item, wanted) || ++matches < options->rank) {
            continue;
        }
        positions->bytes += kv_list_entry_bytes(item);
        err = positions_add(request, positions, cursor.position);
        if (err != ERR_OK || positions->count == options->count) {
            break;
        }
    }
    kv_list_cursor_close(&cursor);
out:
    return err;
}

void
kv_command_lpos(struct kv_request *request)
{
    struct lpos_options options;
    struct positions positions;
    struct kv_list list;
    err_t err;

    if (!lpos_options_parse(request, &options) ||
        !kv_list_lookup(request, request->argv[1], KV_LOOKUP_READ, &list)) {
        return;
    }
    options.count = options.has_count ? options.count : 1;
    err = find(request, &list, request->argv[2], &options, &positions);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return;
    }
    if (options.has_count) {
        reply_array(request->reply, positions.count);
    } else if (positions.count == 0) {
        reply_null(request->reply);
    }
    for (uint64_t i = 0; i < positions.count; i++) {
        reply_int(request->reply, (int64_t)positions.at[i]);
    }
}

/* ---- LREM, LINSERT ---- */

static void
reverse(struct positions *positions)
{
    for (uint64_t i = 0; i < positions->count / 2; i++) {
        uint64_t other = positions->count - 1 - i;
        uint64_t position = positions->at[i];

        positions->at[i] = positions->at[other];
        positions->at[other] = position;
    }
}

void
kv_command_lrem(struct kv_request *request)
{
    struct lpos_options options = {.rank = 1};
    struct positions positions;
    struct kv_list list;
    int64_t count;
    err_t err;

    if (!kv_parse_int(request, request->argv[2], &count) ||
        !kv_list_lookup(request, request->argv[1], 0, &list)) {
        return;
    }
    options.is_backward = count < 0;
    options.count = count < 0 ? -(uint64_t)count : (uint64_t)count;
    TRY(find(request, &list, request->argv[3], &options, &positions));
    if (positions.count > 0) {
        if (options.is_backward) {
            reverse(&positions);
        }
        TRY(kv_list_remove(request, &list, positions.at, positions.count, positions.bytes));
        TRY(kv_list_has_shrunk(request, &list));
        TRY(kv_list_store(request, &list));
        kv_notify(request, KV_EVENT_LIST, "lrem", list.object.name);
        kv_notify_if_gone(request, &list.object);
    }
    reply_int(request->reply, (int64_t)positions.count);
    return;
out:
    kv_fail(request, err);
}

void
kv_command_linsert(struct kv_request *request)
{
    const struct lpos_options first = {.rank = 1, .count = 1};
    bool is_after = kv_word_is(request->argv[2], "after");
    struct positions positions;
    struct kv_list list;
    err_t err;

    if (!is_after && !kv_word_is(request->argv[2], "before")) {
        kv_reply_syntax_error(request);
        return;
    }
    if (!kv_list_lookup(request, request->argv[1], 0, &list)) {
        return;
    }
    if (!list.object.is_found) {
        reply_int(request->reply, 0);
        return;
    }
    TRY(find(request, &list, request->argv[3], &first, &positions));
    if (positions.count == 0) {
        reply_int(request->reply, -1);
        return;
    }
    TRY(kv_list_insert(request, &list, positions.at[0] + is_after, request->argv[4]));
    TRY(kv_list_store(request, &list));
    kv_notify(request, KV_EVENT_LIST, "linsert", list.object.name);
    reply_int(request->reply, (int64_t)list.count);
    return;
out:
    kv_fail(request, err);
}
