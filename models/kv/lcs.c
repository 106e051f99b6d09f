/* models/kv/lcs.c - LCS: the longest common subsequence of two strings.
 *
 * The usual table: length[i][j] is the length for the first i bytes of a and the first j of b.
 * The subsequence is read off backwards from its last corner; bytes that are adjacent in both
 * strings join into ranges. For the length alone two rows are enough. */
#include "engine/base/assert.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

enum { CELLS_PER_WORK_UNIT = 64 };

struct lcs_options {
    bool wants_length;
    bool wants_ranges;
    bool wants_match_lengths;
    uint64_t match_length_min;
};

struct lcs {
    struct kv_request *request;
    const struct lcs_options *options;
    struct slice a, b;
    uint32_t *table; /* (a.size + 1) rows of b.size + 1; or two of them. */
    size_t table_bytes;
    size_t rows; /* In the table. */
};

static bool
options_parse(struct kv_request *request, struct lcs_options *options)
{
    *options = (struct lcs_options){0};
    for (uint32_t at = 3; at < request->argc; at++) {
        int64_t length_min;

        if (kv_word_is(request->argv[at], "idx")) {
            options->wants_ranges = true;
        } else if (kv_word_is(request->argv[at], "len")) {
            options->wants_length = true;
        } else if (kv_word_is(request->argv[at], "withmatchlen")) {
            options->wants_match_lengths = true;
        } else if (kv_word_is(request->argv[at], "minmatchlen") && at + 1 < request->argc) {
            if (!kv_parse_int(request, request->argv[++at], &length_min)) {
                return false;
            }
            options->match_length_min = (uint64_t)MAX(length_min, INT64_C(0));
        } else {
            kv_reply_syntax_error(request);
            return false;
        }
    }
    if (options->wants_ranges && options->wants_length) {
        reply_error(request->reply,
                    "ERR If you want both the length and indexes, please just use IDX.");
        return false;
    }
    return true;
}

static uint32_t *
cell(const struct lcs *lcs, size_t i, size_t j)
{
    return &lcs->table[(i % lcs->rows) * (lcs->b.size + 1) + j];
}

/* False, with a reply, when the table would be larger than the longest string. */
static bool
table_make(struct lcs *lcs)
{
    unsigned __int128 bytes;

    lcs->rows = lcs->options->wants_length ? 2 : lcs->a.size + 1;
    bytes = (unsigned __int128)lcs->rows * (lcs->b.size + 1) * sizeof(uint32_t);
    if (bytes > kv_self()->config.string_bytes_max || lcs->a.size >= UINT32_MAX) {
        reply_error(lcs->request->reply, "ERR Insufficient memory, transient memory for LCS "
                                         "exceeds proto-max-bulk-len");
        return false;
    }
    lcs->table_bytes = (size_t)bytes;
    lcs->table = mem_alloc(MEM_SESSIONS, lcs->table_bytes);
    if (lcs->table == NULL) {
        reply_error(lcs->request->reply,
                    "ERR Insufficient memory, failed allocating transient memory for LCS");
        return false;
    }
    return true;
}

static YIELDS void
table_fill(struct lcs *lcs)
{
    memset(cell(lcs, 0, 0), 0, (lcs->b.size + 1) * sizeof(uint32_t));
    for (size_t i = 1; i <= lcs->a.size; i++) {
        const uint32_t *above = cell(lcs, i - 1, 0);
        uint32_t *row = cell(lcs, i, 0);

        row[0] = 0;
        for (size_t j = 1; j <= lcs->b.size; j++) {
            if (lcs->a.data[i - 1] == lcs->b.data[j - 1]) {
                row[j] = above[j - 1] + 1;
            } else {
                row[j] = MAX(above[j], row[j - 1]);
            }
            if (j % (KIB(64)) == 0) {
                kv_work(lcs->request, KIB(64) / CELLS_PER_WORK_UNIT);
            }
        }
        kv_work(lcs->request, (uint32_t)((lcs->b.size % KIB(64)) / CELLS_PER_WORK_UNIT) + 1);
    }
}

/* ---- Reading the table backwards ---- */

/* A run of bytes that are adjacent in both strings; ends are inclusive. */
struct match {
    size_t a_start, a_end, b_start, b_end;
    bool is_open;
};

struct walk {
    struct lcs *lcs;
    struct match match;
    uint64_t matches;
    struct reply ranges; /* The matches' replies, in the order in which they are met. */
    uint8_t *subsequence;
    uint32_t left; /* Bytes of the subsequence that are not yet known. */
};

static void
match_flush(struct walk *walk)
{
    const struct match *match = &walk->match;
    const struct lcs_options *options = walk->lcs->options;
    uint64_t length = match->a_end - match->a_start + 1;

    if (match->is_open && options->wants_ranges && length >= options->match_length_min) {
        walk->matches++;
        reply_array(&walk->ranges, options->wants_match_lengths ? 3 : 2);
        reply_array(&walk->ranges, 2);
        reply_int(&walk->ranges, (int64_t)match->a_start);
        reply_int(&walk->ranges, (int64_t)match->a_end);
        reply_array(&walk->ranges, 2);
        reply_int(&walk->ranges, (int64_t)match->b_start);
        reply_int(&walk->ranges, (int64_t)match->b_end);
        if (options->wants_match_lengths) {
            reply_int(&walk->ranges, (int64_t)length);
        }
    }
    walk->match.is_open = false;
}

/* The bytes a[i] and b[j] belong to the subsequence. */
static void
match_extend(struct walk *walk, size_t i, size_t j)
{
    struct match *match = &walk->match;

    walk->subsequence[--walk->left] = walk->lcs->a.data[i];
    if (match->is_open && match->a_start == i + 1 && match->b_start == j + 1) {
        match->a_start = i;
        match->b_start = j;
        return;
    }
    match_flush(walk);
    *match = (struct match){.a_start = i, .a_end = i, .b_start = j, .b_end = j, .is_open = true};
}

static YIELDS void
table_walk(struct walk *walk)
{
    const struct lcs *lcs = walk->lcs;
    size_t i = lcs->a.size;
    size_t j = lcs->b.size;
    uint32_t steps = 0;

    while (i > 0 && j > 0) {
        if (lcs->a.data[i - 1] == lcs->b.data[j - 1]) {
            match_extend(walk, --i, --j);
        } else if (*cell(lcs, i - 1, j) > *cell(lcs, i, j - 1)) {
            i--;
        } else {
            j--;
        }
        if (++steps % CELLS_PER_WORK_UNIT == 0) {
            kv_work(lcs->request, 1);
        }
    }
    match_flush(walk);
    ASSERT(walk->left == 0);
}

static YIELDS void
lcs_reply(struct lcs *lcs)
{
    struct reply *reply = lcs->request->reply;
    uint32_t length = *cell(lcs, lcs->a.size, lcs->b.size);
    struct walk walk = {.lcs = lcs, .left = length};

    if (lcs->options->wants_length) {
        reply_int(reply, length);
        return;
    }
    walk.subsequence = arena_alloc(lcs->request->arena, length);
    if (walk.subsequence == NULL) {
        reply_error(reply, "OOM no memory for a subsequence of %u bytes", length);
        return;
    }
    reply_init(&walk.ranges, reply->resp);
    table_walk(&walk);
    if (lcs->options->wants_ranges) {
        reply_map(reply, 2);
        reply_bulk_text(reply, "matches");
        reply_array(reply, walk.matches);
        buf_append(&reply->buf, walk.ranges.buf.data, walk.ranges.buf.size);
        reply_bulk_text(reply, "len");
        reply_int(reply, length);
    } else {
        reply_bulk(reply, slice_of(walk.subsequence, length));
    }
    reply_fini(&walk.ranges);
}

/* One string; another type has a text of its own here. */
static YIELDS bool
string_get(struct kv_request *request, struct slice name, struct slice *bytes_out)
{
    struct kv_object object;

    if (!kv_lookup(request, name, KV_LOOKUP_READ, &object)) {
        return false;
    }
    if (object.is_found && object.head.type != KV_STRING) {
        reply_error(request->reply, "ERR The specified keys must contain string values");
        return false;
    }
    return kv_string_bytes(request, &object, bytes_out);
}

void
kv_command_lcs(struct kv_request *request)
{
    struct lcs_options options;
    struct lcs lcs = {.request = request, .options = &options};

    if (!string_get(request, request->argv[1], &lcs.a) ||
        !string_get(request, request->argv[2], &lcs.b) || !options_parse(request, &options) ||
        !table_make(&lcs)) {
        return;
    }
    table_fill(&lcs);
    lcs_reply(&lcs);
    mem_free(MEM_SESSIONS, lcs.table, lcs.table_bytes);
}
