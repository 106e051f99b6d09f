/* lsm/compact_pick.c - what to compact next. Looks and marks; never suspends.
 *
 * In order of urgency:
 *   1. what goes without being read (compact_drop.c, compact_expired.c);
 *   2. tables of level 0 that overlap nothing on their way down: they move as they are;
 *   3. the level that is furthest above its target: level 0 by number of tables and bytes, the
 *      others by bytes. From a level >= 1 the table that has least below it for its size is taken
 *      (the measure of write amplification of O'Neil et al. and RocksDB's kMinOverlappingRatio);
 *   4. tables of which much has expired (compact_expired.c), with many deletes (compact_garbage.c),
 *      those where scans stepped over much that is gone (compact_scanned.c), and tables with values
 *      in emptied value logs.
 *
 * When nothing is written, level 0 is due with its first table: readers ask all of its tables.
 * Level 0 goes down whole. When the way down is taken by a job that runs, or what lies there is so
 * large beside it that the merge would rewrite much for little, its smaller tables are merged
 * among themselves instead: each table then takes part in few such merges, because those much
 * larger than the rest are left out (size tiers). */
#include "lsm/internal.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum {
    SCORE_ONE = 1000,
    LEVEL0_BYTES_FACTOR = 2, /* Level 0 should not exceed so many times level_base_bytes. */
    LEVEL0_OVERLAP_WAIT = 2, /* Up to the slow mark it waits to be worth so much below. */
    LEVEL0_OVERLAP_MAX = 10, /* It is too dear to rewrite more below than so many times itself. */
    LEVEL0_WITHIN_MIN = 2,   /* Tables to merge at least within level 0, */
    LEVEL0_WITHIN_MAX = 64,  /* and at most. */
    LEVEL0_TIER_FACTOR = 2,  /* A table above so many times all smaller ones is left out. */
};
#define HAND_BYTES_MAX (UINT64_C(512) << 20) /* Of inputs[0], but one table at least. */

/* ---- Level 0. ---- */

/* The tables of level 0 that no job has; the caller frees `bytes_out` bytes. */
static struct lsm_table **
level0_usable(const struct lsm *lsm, uint32_t *count_out, size_t *bytes_out)
{
    const struct level *level0 = &lsm->version->levels[0];
    size_t bytes = level0->count * sizeof(level0->tables[0]);
    struct lsm_table **usable = mem_alloc(MEM_BACKGROUND, bytes);
    uint32_t count = 0;

    for (uint32_t i = 0; i < level0->count; i++) {
        if (!compact_is_taken(level0->tables[i])) {
            usable[count++] = level0->tables[i];
        }
    }
    *count_out = count;
    *bytes_out = bytes;
    return usable;
}

static bool
level0_overlaps_itself(const struct level *level0, const struct lsm_table *table)
{
    for (uint32_t i = 0; i < level0->count; i++) {
        if (level0->tables[i] != table &&
            table_meta_overlaps(level0->tables[i]->meta, table->meta->smallest,
                                table->meta->largest, table->meta->largest_is_exclusive)) {
            return true;
        }
    }
    return false;
}

/* A table that nothing of level 0 or of the base level overlaps: loads in order cost one write. */
static bool
pick_level0_move(struct lsm *lsm, uint32_t base, struct compaction *job)
{
    const struct level *level0 = &lsm->version->levels[0];

    for (uint32_t i = level0->count; i-- > 0;) {
        struct lsm_table *table = level0->tables[i];
        struct key_bounds bounds = key_bounds_of(&level0->tables[i], 1);
        uint32_t first;

        if (compact_is_taken(table) ||
            table->meta->file_bytes < lsm->options.table_bytes / OUTPUT_KEYSPACE_SHARE ||
            level0_overlaps_itself(level0, table) ||
            level_overlap(&lsm->version->levels[base], &bounds, &first) > 0) {
            continue;
        }
        job->level = 0;
        job->output_level = base;
        job->reason = COMPACT_BY_COUNT;
        compaction_add_inputs(job, 0, &table, 1);
        if (compaction_complete(lsm, job) && job->is_move) {
            return true;
        }
        compaction_fini(job);
    }
    return false;
}

static uint64_t
tables_bytes(struct lsm_table *const *tables, uint32_t count)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < count; i++) {
        bytes += tables[i]->meta->file_bytes;
    }
    return bytes;
}

/* Sorts by size, small ones first; equal ones by number, so that the order is one. */
static void
tables_sort_by_size(struct lsm_table **tables, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) { /* Level 0 is short. */
        struct lsm_table *moved = tables[i];
        uint32_t at = i;

        while (at > 0 && (tables[at - 1]->meta->file_bytes > moved->meta->file_bytes ||
                          (tables[at - 1]->meta->file_bytes == moved->meta->file_bytes &&
                           tables[at - 1]->meta->file_number > moved->meta->file_number))) {
            tables[at] = tables[at - 1];
            at--;
        }
        tables[at] = moved;
    }
}

/* The smaller tables of level 0 become one: at least level0_tables of them, unless writers wait. */
static bool
pick_level0_within(const struct lsm *lsm, struct lsm_table **usable, uint32_t count,
                   struct compaction *job)
{
    uint32_t due = lsm->options.level0_tables;
    uint32_t least =
        lsm->is_idle || lsm_level0_count(lsm) >= due * LSM_LEVEL0_SLOW_FACTOR ? 0 : due;
    uint32_t chosen = 0;
    uint64_t bytes = 0;

    tables_sort_by_size(usable, count);
    while (chosen < count && chosen < LEVEL0_WITHIN_MAX &&
           (chosen < LEVEL0_WITHIN_MIN ||
            usable[chosen]->meta->file_bytes <= bytes * LEVEL0_TIER_FACTOR)) {
        bytes += usable[chosen++]->meta->file_bytes;
    }
    if (chosen < MAX(least, (uint32_t)LEVEL0_WITHIN_MIN)) {
        return false;
    }
    job->level = 0;
    job->output_level = 0;
    job->reason = COMPACT_WITHIN;
    compaction_add_inputs(job, 0, usable, chosen);
    compaction_add_inputs(job, 1, NULL, 0);
    return true;
}

/* Would the way down rewrite more than so many times what it brings? */
static bool
level0_is_dear(const struct lsm *lsm, struct lsm_table *const *usable, uint32_t count,
               uint32_t base, uint32_t times)
{
    const struct level *below = &lsm->version->levels[base];
    struct key_bounds bounds = key_bounds_of(usable, count);
    uint32_t first = 0;
    uint32_t overlap = level_overlap(below, &bounds, &first);

    return tables_bytes(below->tables + first, overlap) > tables_bytes(usable, count) * times;
}

static bool
pick_level0_down(struct lsm *lsm, uint32_t base, struct lsm_table *const *usable, uint32_t count,
                 enum compact_reason reason, struct compaction *job)
{
    job->level = 0;
    job->output_level = base;
    job->reason = reason;
    compaction_add_inputs(job, 0, usable, count);
    if (compaction_complete(lsm, job)) {
        return true;
    }
    compaction_fini(job);
    return false;
}

bool
compact_pick_level0(struct lsm *lsm, uint32_t base, enum compact_reason reason,
                    struct compaction *job)
{
    uint32_t count;
    size_t bytes;
    struct lsm_table **usable = level0_usable(lsm, &count, &bytes);
    bool is_picked = count > 0 && pick_level0_down(lsm, base, usable, count, reason, job);

    job->is_move = false; /* Moving alone spares nobody anything. */
    mem_free(MEM_BACKGROUND, usable, bytes);
    return is_picked;
}

static bool
pick_level0(struct lsm *lsm, uint32_t base, struct compaction *job)
{
    uint32_t due = lsm->options.level0_tables;
    uint32_t count;
    size_t bytes;
    struct lsm_table **usable = level0_usable(lsm, &count, &bytes);
    bool is_picked = false;

    if (count == 0) {
        goto out;
    }
    if (count >= 2 && level0_is_dear(lsm, usable, count, base, LEVEL0_OVERLAP_MAX)) {
        is_picked = pick_level0_within(lsm, usable, count, job);
        goto out;
    }
    if (lsm_level0_count(lsm) < due * LSM_LEVEL0_SLOW_FACTOR &&
        level0_is_dear(lsm, usable, count, base,
                       lsm->is_idle ? LEVEL0_OVERLAP_MAX : LEVEL0_OVERLAP_WAIT)) {
        goto out; /* Lazily: more tables share the rewriting. */
    }
    is_picked = pick_level0_down(lsm, base, usable, count, COMPACT_BY_COUNT, job);
    /* Taken: waiting costs nothing until writers feel it. */
    if (!is_picked && lsm_level0_count(lsm) >= due * LSM_LEVEL0_SLOW_FACTOR) {
        is_picked = pick_level0_within(lsm, usable, count, job);
    }
out:
    mem_free(MEM_BACKGROUND, usable, bytes);
    return is_picked;
}

/* ---- The levels below. ---- */

/* The bytes below a table, per byte of its own, in thousandths; UINT64_MAX: it cannot be taken. */
static uint64_t
overlap_ratio(const struct lsm *lsm, uint32_t output_level, const struct lsm_table *table)
{
    const struct level *below = &lsm->version->levels[output_level];
    struct lsm_table *const one[1] = {(struct lsm_table *)(uintptr_t)table};
    struct key_bounds bounds = key_bounds_of(one, 1);
    uint32_t first = 0;
    uint32_t count = level_overlap(below, &bounds, &first);

    if (compact_is_taken(table) || compact_any_taken(below->tables + first, count) ||
        compact_conflicts(lsm, output_level, &bounds)) {
        return UINT64_MAX;
    }
    return tables_bytes(below->tables + first, count) * SCORE_ONE /
           MAX(1u, table->meta->file_bytes);
}

/* Where what leaves a level goes: the next one that is in use. */
static uint32_t
output_level_of(const struct level_targets *targets, uint32_t number)
{
    return MAX(number + 1, targets->base);
}

static bool
pick_level(struct lsm *lsm, const struct level_targets *targets, uint32_t number,
           struct compaction *job)
{
    const struct level *level = &lsm->version->levels[number];
    uint32_t output_level = output_level_of(targets, number);
    uint64_t best_ratio = UINT64_MAX;
    uint32_t best = 0;

    for (uint32_t i = 0; i < level->count; i++) {
        uint64_t ratio = overlap_ratio(lsm, output_level, level->tables[i]);

        if (ratio < best_ratio) {
            best_ratio = ratio;
            best = i;
        }
    }
    if (best_ratio == UINT64_MAX) {
        return false;
    }
    job->level = number;
    job->output_level = output_level;
    job->reason = COMPACT_BY_SIZE;
    compaction_add_inputs(job, 0, &level->tables[best], 1);
    if (compaction_complete(lsm, job)) {
        return true;
    }
    compaction_fini(job); /* With what it overlaps it reaches further, into a running job. */
    return false;
}

/* What a running job takes out of a level already counts no more. */
static uint64_t
level_bytes_left(const struct lsm *lsm, uint32_t number)
{
    uint64_t bytes = lsm->version->levels[number].bytes;

    LIST_FOR_EACH(node, &lsm->running) {
        const struct compaction *job = LIST_ENTRY(node, struct compaction, link);

        if (job->level == number && job->output_level != number) {
            bytes -= MIN(bytes, tables_bytes(job->inputs[0], job->counts[0]));
        }
    }
    return bytes;
}

/* In thousandths of the target. */
static uint64_t
level_score(const struct lsm *lsm, const struct level_targets *targets, uint32_t number)
{
    uint64_t bytes;

    if (number == 0) {
        uint64_t by_count =
            (uint64_t)lsm_level0_count(lsm) * SCORE_ONE / lsm->options.level0_tables;
        uint64_t by_bytes = lsm->version->levels[0].bytes /
                            (lsm->options.level_base_bytes * LEVEL0_BYTES_FACTOR / SCORE_ONE + 1);

        if (lsm->is_idle && by_count > 0) {
            return MAX(MAX(by_count, by_bytes), (uint64_t)SCORE_ONE);
        }
        return MAX(by_count, by_bytes);
    }
    bytes = level_bytes_left(lsm, number);
    if (targets->bytes[number] == 0) { /* Not in use: it should be empty. */
        return bytes == 0 ? 0 : SCORE_ONE;
    }
    return bytes / (targets->bytes[number] / SCORE_ONE + 1);
}

static bool
pick_by_score(struct lsm *lsm, const struct level_targets *targets, struct compaction *job)
{
    uint32_t tried = 0; /* A bit a level. */

    for (;;) {
        uint64_t best_score = SCORE_ONE - 1;
        uint32_t best = LSM_LEVELS;

        for (uint32_t i = 0; i + 1 < LSM_LEVELS; i++) {
            uint64_t score = level_score(lsm, targets, i);

            if (score > best_score && (tried & 1u << i) == 0) {
                best_score = score;
                best = i;
            }
        }
        if (best == LSM_LEVELS) {
            return false;
        }
        if (best == 0 ? pick_level0(lsm, targets->base, job)
                      : pick_level(lsm, targets, best, job)) {
            return true;
        }
        tried |= 1u << best;
    }
}

/* A table with values in a log file of which little is used: rewriting it where it is moves them
 * (output.c), until the file has none and goes. */
static bool
pick_values(struct lsm *lsm, struct compaction *job)
{
    uint64_t victim = vlog_victim(lsm->vlog);

    for (uint32_t i = 0; victim != 0 && i < LSM_LEVELS; i++) {
        const struct level *level = &lsm->version->levels[i];

        for (uint32_t k = 0; k < level->count; k++) {
            struct lsm_table *table = level->tables[k];

            if (compact_is_taken(table) || !lsm_table_uses(table, victim)) {
                continue;
            }
            job->level = i;
            job->output_level = i;
            job->reason = COMPACT_VALUES;
            compaction_add_inputs(job, 0, &table, 1);
            if (compaction_complete(lsm, job)) {
                return true;
            }
            compaction_fini(job);
        }
    }
    return false;
}

bool
compact_pick(struct lsm *lsm, struct compaction *job)
{
    struct level_targets targets;

    if (compact_pick_drop(lsm, job) || compact_pick_expired_drop(lsm, job)) {
        return true;
    }
    /* By hand goes first, as long as writers do not feel it. */
    if (lsm->by_hand > 0 &&
        lsm_level0_count(lsm) < lsm->options.level0_tables * LSM_LEVEL0_SLOW_FACTOR) {
        return false;
    }
    level_targets_find(lsm, &targets);
    return pick_level0_move(lsm, targets.base, job) || pick_by_score(lsm, &targets, job) ||
           compact_pick_expired(lsm, job) || compact_pick_garbage(lsm, &targets, job) ||
           compact_pick_scanned(lsm, &targets, job) || pick_values(lsm, job);
}

/* ---- By hand. ---- */

static bool
meta_touches(const struct table_meta *meta, struct slice lower, struct slice upper)
{
    return table_meta_compare_end(meta, lower) >= 0 &&
           (upper.size == 0 || slice_compare(meta->smallest, upper) < 0);
}

/* Is there anything in it that a rewrite in place could drop? */
static bool
table_may_shrink(const struct lsm *lsm, const struct lsm_table *table)
{
    return table->collected_floor < table->meta->ts_newest || table->meta->ts_newest == 0 ||
           lsm->version->range_deletes > 0;
}

/* Lies something below which no waiting sets free? */
static bool
below_is_stuck(const struct lsm *lsm, uint32_t number, struct lsm_table *const *tables,
               uint32_t count)
{
    const struct level *below = &lsm->version->levels[number];
    struct key_bounds bounds = key_bounds_of(tables, count);
    uint32_t first = 0;
    uint32_t overlap = number == 0 ? 0 : level_overlap(below, &bounds, &first);

    for (uint32_t i = first; i < first + overlap; i++) {
        if (below->tables[i]->is_shunned || lsm_table_is_pending(below->tables[i])) {
            return true;
        }
    }
    return false;
}

enum compact_picked
compact_pick_range(struct lsm *lsm, const struct compact_range *range, struct compaction *job)
{
    const struct level *level = &lsm->version->levels[range->level];
    bool in_place = range->output_level == range->level;
    size_t bytes = level->count * sizeof(level->tables[0]);
    struct lsm_table **chosen = mem_alloc(MEM_BACKGROUND, bytes);
    enum compact_picked picked = COMPACT_NOTHING;
    uint64_t chosen_bytes = 0;
    uint32_t count = 0;

    for (uint32_t i = 0; i < level->count; i++) {
        struct lsm_table *table = level->tables[i];

        if (!meta_touches(table->meta, range->lower, range->upper) ||
            (range->has_after && slice_compare(table->meta->smallest, range->after) <= 0)) {
            continue;
        }
        if (table->is_shunned || (in_place && !table_may_shrink(lsm, table))) {
            if (in_place && count > 0) {
                break; /* New tables in their place could overlap this one. */
            }
            continue;
        }
        if (lsm_table_is_pending(table)) {
            continue;
        }
        if (range->level > 0 && count > 0 &&
            chosen_bytes + table->meta->file_bytes > HAND_BYTES_MAX) {
            break;
        }
        if (table->busy_with != NULL) {
            picked = COMPACT_BLOCKED;
            goto out;
        }
        chosen_bytes += table->meta->file_bytes;
        chosen[count++] = table;
    }
    if (count > 0 && !below_is_stuck(lsm, range->output_level, chosen, count)) {
        job->level = range->level;
        job->output_level = range->output_level;
        job->reason = COMPACT_BY_HAND;
        compaction_add_inputs(job, 0, chosen, count);
        picked = compaction_complete(lsm, job) ? COMPACT_PICKED : COMPACT_BLOCKED;
    }
out:
    if (picked == COMPACT_BLOCKED) {
        compaction_fini(job);
    }
    mem_free(MEM_BACKGROUND, chosen, bytes);
    return picked;
}
