/* lsm/metrics.h - how long the parts of a tree take: histograms, and the static probes behind which
 * orbit-trace stands (engine/base/probe.h). Times are those of the shard's clock, which moves once
 * a turn of its loop: what ends within the turn in which it began counts as 0 us. */
#pragma once

#include <stdint.h>

#include "engine/base/hist.h"
#include "lsm/lsm.h"

struct lsm_metrics {
    struct hist read_us[LSM_LEVELS]; /* Reads of tables from disk, for readers and scans. */
    uint64_t read_bytes[LSM_LEVELS];
    struct hist flush_us;
    struct hist compaction_us[LSM_LEVELS]; /* By the level written to. */
    struct hist edit_us;                   /* Of the manifest, until durable. */
    struct hist wait_us;                   /* Writers that waited for room, for whatever reason. */
};

/* metrics may be NULL (a table that is in no tree). */
void lsm_metrics_read(struct lsm_metrics *metrics, uint32_t level, uint64_t us, uint64_t bytes);
void lsm_metrics_flush(struct lsm_metrics *metrics, uint64_t us, uint64_t bytes);
void lsm_metrics_compaction(struct lsm_metrics *metrics, uint32_t level, uint64_t us,
                            uint64_t bytes);
void lsm_metrics_edit(struct lsm_metrics *metrics, uint64_t us);
void lsm_metrics_wait(struct lsm_metrics *metrics, uint64_t us);
/* Adds `from`, of another shard, to `into`. */
void lsm_metrics_merge(struct lsm_metrics *into, const struct lsm_metrics *from);
