/* wal/wal.c - opening, closing and what is asked of the log as a whole. */
#include "wal/wal.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "wal/cursor.h"
#include "wal/internal.h"

#include "engine/base/poison.h"

lsn_t
wal_replay_from(const struct wal_options *options)
{
    return options->needed_from - MIN(options->needed_from, options->replay_back);
}

static err_t
options_check(const struct wal_options *options)
{
    uint64_t bytes = options->segment_bytes;

    if (strlen(options->dir) >= WAL_DIR_BYTES_MAX) {
        return err_set(ERR_LIMIT, "the log's folder name is longer than %d bytes: %s",
                       WAL_DIR_BYTES_MAX - 1, options->dir);
    }
    if (bytes != 0 && (bytes < WAL_SEGMENT_BYTES_MIN || bytes % WAL_BLOCK_BYTES != 0)) {
        return err_set(ERR_INVALID, "log segments of %llu bytes: not a multiple of %d, or below %d",
                       (unsigned long long)bytes, WAL_BLOCK_BYTES, WAL_SEGMENT_BYTES_MIN);
    }
    return ERR_OK;
}

static struct wal *
wal_new(const struct wal_options *options)
{
    struct wal *wal = MEM_NEW(MEM_RUNTIME, struct wal);

    wal->magic = WAL_MAGIC;
    wal->log_id = options->log_id;
    wal->segment_bytes =
        options->segment_bytes != 0 ? options->segment_bytes : (uint64_t)WAL_SEGMENT_BYTES_DEFAULT;
    wal->segments_spare_max =
        options->segments_spare_max != 0 ? options->segments_spare_max : (uint32_t)WAL_SPARE_MAX;
    wal->in_flight_max =
        options->in_flight_max != 0 ? options->in_flight_max : (uint32_t)WAL_IN_FLIGHT_MAX;
    wal->group_bytes = options->group_bytes != 0 ? options->group_bytes : (uint32_t)WAL_GROUP_BYTES;
    wal->pending_bytes_max = options->pending_bytes_max != 0 ? options->pending_bytes_max
                                                             : (uint64_t)WAL_PENDING_BYTES_MAX;
    wal->durability = options->durability;
    wal->interval_us = options->interval_us;
    wal->released = wal_replay_from(options);
    wal->next_flags = WAL_BATCH_LIFE_START;
    snprintf(wal->dir, sizeof(wal->dir), "%s", options->dir);
    io_random(&wal->life, sizeof(wal->life));
    list_init(&wal->segments);
    list_init(&wal->spares);
    list_init(&wal->cursors);
    wal->cursor_behind_max = WAL_CURSOR_BEHIND_MAX;
    cond_init(&wal->prepare_cond);
    cond_init(&wal->segment_cond);
    fiber_group_init(&wal->fibers);
    wal_writer_init(wal);
    return wal;
}

static void
wal_free(struct wal *wal)
{
    wal_writer_fini(wal);
    wal_segments_close(wal);
    MEM_FREE(MEM_RUNTIME, wal);
}

/* The first batch of a life. It says that all that was found is durable, and by its random `life`
 * it differs from any batch that an earlier life may have begun to write here: what lies behind
 * such a one names another predecessor and will never chain. */
static YIELDS err_t
life_begin(struct wal *wal)
{
    lsn_t before = wal->durable;
    bool is_placed = wal_writer_place(wal, 0);
    err_t err = ERR_OK;

    if (!is_placed) {
        TRY(wal_segment_add(wal));
        is_placed = wal_writer_place(wal, 0);
    }
    ASSERT(is_placed);
    wal->is_batch_wanted = true;
    while (wal->durable == before) {
        cond_wait_uncancelable(&wal->durable_cond);
    }
out:
    return err;
}

err_t
wal_open(const struct wal_options *options, struct wal_recovered *recovered_out,
         struct wal **wal_out)
{
    struct wal_recovered recovered = {0};
    struct wal *wal;
    err_t err;

    ASSERT(options->replay != NULL);
    err = options_check(options);
    if (err != ERR_OK) {
        return err;
    }
    wal = wal_new(options);
    TRY(wal_segments_open(wal));
    TRY(wal_replay(wal, options, &recovered));
    shard_turn_hook_add(wal_writer_pump, wal);
    wal->is_hooked = true;
    TRY(life_begin(wal));
    if (!wal_segments_prepare(wal)) {
        err = err_set(ERR_LIMIT, "no fiber for the log's segments");
        goto out;
    }
    *recovered_out = recovered;
    *wal_out = wal;
    wal = NULL;
out:
    if (wal != NULL) {
        if (wal->is_hooked) {
            shard_turn_hook_remove(wal_writer_pump, wal);
        }
        wal_free(wal);
    }
    return err;
}

err_t
wal_check(const struct wal_options *options, struct wal_recovered *recovered_out)
{
    struct wal_recovered recovered = {0};
    struct wal *wal;
    err_t err;

    ASSERT(options->replay != NULL);
    ASSERT(options->must_exist);
    err = options_check(options);
    if (err != ERR_OK) {
        return err;
    }
    wal = wal_new(options);
    wal->is_check = true;
    TRY(wal_segments_open(wal));
    TRY(wal_replay(wal, options, &recovered));
    *recovered_out = recovered;
out:
    wal_free(wal);
    return err;
}

/* The last batch says that all before it is durable and where the clock stands. Without room for
 * it the next opening does as after a crash. */
static YIELDS void
life_end(struct wal *wal)
{
    wal_wait_durable(wal, wal->appended);
    while (wal->in_flight_count > 0) { /* A heartbeat that is on its way. */
        cond_wait_uncancelable(&wal->durable_cond);
    }
    if (wal_writer_place(wal, 0)) {
        lsn_t before = wal->durable;

        wal->next_flags |= WAL_BATCH_CLEAN;
        wal->is_batch_wanted = true;
        while (wal->durable == before) {
            cond_wait_uncancelable(&wal->durable_cond);
        }
    }
}

void
wal_close(struct wal **wal_ref)
{
    struct wal *wal = *wal_ref;

    if (wal == NULL) {
        return;
    }
    OBJ_CHECK(wal, WAL_MAGIC);
    ASSERT(wal->segment_waiters == 0);
    ASSERT(list_is_empty(&wal->cursors));
    life_end(wal);
    wal->is_closing = true;
    cond_signal(&wal->prepare_cond);
    fiber_group_wait(&wal->fibers);
    shard_turn_hook_remove(wal_writer_pump, wal);
    while (wal->in_flight_count >
           0) { /* One more heartbeat, since the last batch was waited for. */
        cond_wait_uncancelable(&wal->durable_cond);
    }
    wal_segments_give_back(wal);
    wal_free(wal);
    *wal_ref = NULL;
}

lsn_t
wal_durable(const struct wal *wal)
{
    return wal->durable;
}

lsn_t
wal_appended(const struct wal *wal)
{
    return wal->appended;
}

void
wal_on_durable(struct wal *wal, void (*fn)(void *arg, lsn_t durable), void *arg)
{
    OBJ_CHECK(wal, WAL_MAGIC);
    ASSERT(wal->listener_count < WAL_LISTENERS_MAX);
    wal->listeners[wal->listener_count++] = (struct wal_listener){fn, arg};
}

void
wal_release(struct wal *wal, lsn_t lsn)
{
    OBJ_CHECK(wal, WAL_MAGIC);
    ASSERT(lsn <= wal->appended || lsn <= wal->durable);
    wal->released = MAX(wal->released, lsn);
    cond_signal(&wal->prepare_cond);
}

void
wal_set_clock(struct wal *wal, uint64_t ceiling, uint64_t closed)
{
    OBJ_CHECK(wal, WAL_MAGIC);
    if (ceiling > wal->ceiling) {
        wal->is_batch_wanted = true;
    }
    wal->ceiling = ceiling;
    wal->closed_ts = closed;
}

uint64_t
wal_clock_durable(const struct wal *wal)
{
    return wal->ceiling_durable;
}

void
wal_set_durability(struct wal *wal, enum wal_durability durability, uint64_t interval_us)
{
    OBJ_CHECK(wal, WAL_MAGIC);
    wal->durability = durability;
    wal->interval_us = interval_us;
    if (wal->open->records > 0) {
        wal->is_batch_wanted = true; /* Opened by the old rule. */
    }
}

void
wal_stats_get(const struct wal *wal, struct wal_stats *stats_out)
{
    *stats_out = wal->stats;
    stats_out->appended = wal->appended;
    stats_out->durable = wal->durable;
    stats_out->in_flight = wal->in_flight_count;
    LIST_FOR_EACH(link, &wal->segments) {
        stats_out->segments_live++;
    }
    stats_out->commit_us_p50 = hist_quantile(&wal->commit_us, 0.5);
    stats_out->commit_us_p99 = hist_quantile(&wal->commit_us, 0.99);
    stats_out->commit_us_max = wal->commit_us.max;
}
