/* txn/window.c - see window.h. */
#include "txn/window.h"

#include "engine/base/assert.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

/* ---- Samples, rising. The first one is at or below the window's beginning. ---- */

static void
samples_drop(struct window *window, uint32_t count)
{
    ASSERT(count < window->count);
    memmove(window->samples, window->samples + count,
            (window->count - count) * sizeof(window->samples[0]));
    window->count -= count;
}

static void
samples_thin(struct window *window)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < window->count; i += 2) {
        window->samples[kept++] = window->samples[i];
    }
    window->count = kept;
}

static void
sample_add(struct window *window, uint64_t ts, lsn_t lsn)
{
    if (window->count == WINDOW_SAMPLES_MAX) {
        samples_thin(window);
    }
    window->samples[window->count++] = (struct window_sample){.ts = ts, .lsn = lsn};
}

/* The last sample at or below the moment; 0 if there is none. */
static uint32_t
sample_at(const struct window *window, uint64_t ts)
{
    uint32_t at = 0;

    while (at + 1 < window->count && window->samples[at + 1].ts <= ts) {
        at++;
    }
    return at;
}

/* ---- Moving. ---- */

static void
window_publish(struct window *window, uint64_t from)
{
    window->from = MAX(window->from, from);
    shard_word_set(SHARD_WORD_WINDOW, window->from);
}

static bool
sample_is_due(const struct window *window, const struct window_sample *last, uint64_t now,
              lsn_t appended)
{
    if (now <= last->ts || appended < last->lsn) {
        return false;
    }
    return now - last->ts >= window->retention / WINDOW_STEPS ||
           (window->bytes_max != 0 &&
            appended - last->lsn >= window->bytes_max / WINDOW_BYTE_STEPS);
}

void
window_move(struct window *window, uint64_t now, lsn_t appended)
{
    uint64_t from = now - MIN(now, window->retention);
    const struct window_sample *last;
    uint32_t drop_to;

    if (window->retention == 0) {
        window_publish(window, now);
        return;
    }
    last = &window->samples[window->count - 1];
    if (sample_is_due(window, last, now, appended)) {
        sample_add(window, now, appended);
    }
    drop_to = sample_at(window, from);
    samples_drop(window, drop_to > 0 ? drop_to - 1 : 0);
    while (window->bytes_max != 0 && window->count > 1 &&
           appended - window->samples[0].lsn > window->bytes_max) {
        samples_drop(window, 1);
        from = MAX(from, window->samples[0].ts);
        window->cuts++;
    }
    window_publish(window, from);
}

uint64_t
window_begin(void)
{
    uint64_t from = 0;

    for (uint32_t i = 0; i < shard_count(); i++) {
        from = MAX(from, shard_word_get(SHARD_WORD_WINDOW, i));
    }
    return from;
}

lsn_t
window_log_from(const struct window *window)
{
    uint32_t at;

    if (window->retention == 0) {
        return UINT64_MAX;
    }
    /* Another shard's clock may have been ahead a little: the one before. */
    at = sample_at(window, window_begin());
    return window->samples[at > 0 ? at - 1 : 0].lsn;
}

uint64_t
window_log_bytes(const struct window *window, lsn_t appended)
{
    return window->retention == 0 ? 0 : appended - window_log_from(window);
}

/* ---- Life. ---- */

void
window_open(struct window *window, uint64_t retention, uint64_t bytes_max, uint64_t begin)
{
    *window = (struct window){.retention = retention, .bytes_max = bytes_max};
    sample_add(window, begin, 0);
    window_publish(window, begin);
}

void
window_set(struct window *window, uint64_t retention, uint64_t bytes_max, uint64_t now,
           lsn_t appended)
{
    if (window->retention == 0 && retention != 0) { /* What was before is not kept. */
        window->count = 0;
        sample_add(window, now, appended);
        window_publish(window, now);
    }
    window->retention = retention;
    window->bytes_max = bytes_max;
    window_move(window, now, appended);
}
