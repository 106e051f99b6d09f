/* lsm/metrics.c - see metrics.h. */
#include "lsm/metrics.h"

#include "engine/base/assert.h"
#include "engine/base/probe.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

void
lsm_metrics_read(struct lsm_metrics *metrics, uint32_t level, uint64_t us, uint64_t bytes)
{
    PROBE4(table_read, shard_id(), level, us, bytes);
    if (metrics != NULL) {
        ASSERT(level < LSM_LEVELS);
        hist_record(&metrics->read_us[level], us);
        metrics->read_bytes[level] += bytes;
    }
}

void
lsm_metrics_flush(struct lsm_metrics *metrics, uint64_t us, uint64_t bytes)
{
    PROBE3(flush, shard_id(), us, bytes);
    hist_record(&metrics->flush_us, us);
}

void
lsm_metrics_compaction(struct lsm_metrics *metrics, uint32_t level, uint64_t us, uint64_t bytes)
{
    PROBE4(compaction, shard_id(), level, us, bytes);
    ASSERT(level < LSM_LEVELS);
    hist_record(&metrics->compaction_us[level], us);
}

void
lsm_metrics_edit(struct lsm_metrics *metrics, uint64_t us)
{
    PROBE2(manifest_edit, shard_id(), us);
    hist_record(&metrics->edit_us, us);
}

void
lsm_metrics_wait(struct lsm_metrics *metrics, uint64_t us)
{
    PROBE2(write_wait, shard_id(), us);
    hist_record(&metrics->wait_us, us);
}

void
lsm_metrics_merge(struct lsm_metrics *into, const struct lsm_metrics *from)
{
    for (uint32_t level = 0; level < LSM_LEVELS; level++) {
        hist_merge(&into->read_us[level], &from->read_us[level]);
        into->read_bytes[level] += from->read_bytes[level];
        hist_merge(&into->compaction_us[level], &from->compaction_us[level]);
    }
    hist_merge(&into->flush_us, &from->flush_us);
    hist_merge(&into->edit_us, &from->edit_us);
    hist_merge(&into->wait_us, &from->wait_us);
}
