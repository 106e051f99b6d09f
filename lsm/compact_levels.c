/* lsm/compact_levels.c - how large the levels should be. See compact.h. */
#include "lsm/internal.h"

#include "engine/base/poison.h"

/* A level that takes what leaves level 0 may be so many times level_base_bytes before another is
 * put above it: below that, merging level 0 straight into it writes less than two steps would. */
enum { LEVEL_BASE_SPAN = 4 };

void
level_targets_find(const struct lsm *lsm, struct level_targets *targets)
{
    uint64_t base_bytes = lsm->options.level_base_bytes;
    uint64_t bytes = 0;

    memset(targets, 0, sizeof(*targets));
    for (uint32_t i = 1; i < LSM_LEVELS; i++) {
        bytes = MAX(bytes, lsm->version->levels[i].bytes);
    }
    targets->base = LSM_LEVELS - 1;
    targets->bytes[targets->base] = MAX(bytes, base_bytes * LEVEL_BASE_SPAN);
    while (bytes > base_bytes * LEVEL_BASE_SPAN && targets->base > 1) {
        bytes /= LSM_LEVEL_FACTOR;
        targets->bytes[--targets->base] = MAX(bytes, base_bytes);
    }
}

/* What goes down a level drags along what lies below it in proportion. */
static uint64_t
level_debt(const struct lsm *lsm, const struct level_targets *targets, uint32_t number)
{
    const struct level *level = &lsm->version->levels[number];
    const struct level *below = &lsm->version->levels[number + 1];
    uint64_t excess = level->bytes - MIN(level->bytes, targets->bytes[number]);

    return excess + excess / MAX(level->bytes / 1024, UINT64_C(1)) * (below->bytes / 1024);
}

uint64_t
compact_debt(const struct lsm *lsm)
{
    const struct level *level0 = &lsm->version->levels[0];
    struct level_targets targets;
    uint64_t debt = 0;

    level_targets_find(lsm, &targets);
    if (lsm_level0_count(lsm) >= lsm->options.level0_tables * LSM_LEVEL0_SLOW_FACTOR) {
        debt += level0->bytes + lsm->version->levels[targets.base].bytes;
    }
    for (uint32_t i = 1; i + 1 < LSM_LEVELS; i++) {
        debt += level_debt(lsm, &targets, i);
    }
    return debt;
}
