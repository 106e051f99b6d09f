/* engine/io/uring_clock.c - clocks and random bytes.
 *
 * No poison.h here: this file is where shard code's clock and randomness come from. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "engine/io/uring_internal.h"

/* How long a step of the wall clock may stay unnoticed. */
enum { WALL_REREAD_US = 1000 };

static uint64_t
clock_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t
uring_clock_fresh_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

uint64_t
uring_clock_coarse_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void
uring_clock_read(struct uring *uring)
{
    uring->monotonic_us = clock_us(CLOCK_MONOTONIC);
    if (uring->monotonic_us - uring->wall_read_us >= WALL_REREAD_US) {
        /* May wrap below zero: it is only ever added. */
        uring->wall_minus_monotonic_us = clock_us(CLOCK_REALTIME) - uring->monotonic_us;
        uring->wall_read_us = uring->monotonic_us;
    }
}

uint64_t
uring_monotonic_us(struct io *io)
{
    return uring_of(io)->monotonic_us;
}

uint64_t
uring_wall_us(struct io *io)
{
    struct uring *uring = uring_of(io);

    return uring->monotonic_us + uring->wall_minus_monotonic_us;
}

void
uring_random_bytes(struct io *io, void *out, size_t size)
{
    uint8_t *at = out;

    (void)io;
    while (size > 0) {
        ssize_t got = getrandom(at, MIN(size, (size_t)256), 0);

        if (got < 0 && errno != EINTR) {
            fatal("getrandom failed: %s", strerror(errno));
        }
        if (got > 0) {
            at += got;
            size -= (size_t)got;
        }
    }
}
