/* models/kv/lzf.c - LZF is a sequence of runs:
 *
 *     000LLLLL                      L + 1 bytes follow and are taken as they are
 *     LLLooooo oooooooo             L + 2 bytes are repeated from o + 1 bytes back (L: 1..6)
 *     111ooooo LLLLLLLL oooooooo    L + 9 bytes, likewise
 *
 * A repetition may reach into what it writes itself. */
#include "models/kv/lzf.h"

#include "engine/base/poison.h"

enum {
    LITERAL_BELOW = 32,
    LENGTH_LONG = 7, /* In the first byte: the next one says how much more. */
    LENGTH_BASE = 2,
};

struct run {
    size_t length;
    size_t distance; /* 0: literal bytes. */
};

/* The header of the next run; false when the input ends in it. */
static bool
run_read(struct slice in, size_t *at_io, struct run *run_out)
{
    size_t at = *at_io;
    uint8_t first = in.data[at++];
    struct run run = {.length = (size_t)first + 1};

    if (first >= LITERAL_BELOW) {
        run.length = first >> 5;
        if (run.length == LENGTH_LONG) {
            if (at >= in.size) {
                return false;
            }
            run.length += in.data[at++];
        }
        if (at >= in.size) {
            return false;
        }
        run.distance = ((size_t)(first & 0x1f) << 8 | in.data[at++]) + 1;
        run.length += LENGTH_BASE;
    }
    *at_io = at;
    *run_out = run;
    return true;
}

bool
lzf_decompress(struct slice in, uint8_t *out, size_t out_size)
{
    size_t used = 0;

    for (size_t at = 0; at < in.size;) {
        struct run run;

        if (!run_read(in, &at, &run) || run.length > out_size - used || run.distance > used) {
            return false;
        }
        if (run.distance == 0) {
            if (run.length > in.size - at) {
                return false;
            }
            memcpy(out + used, in.data + at, run.length);
            at += run.length;
        } else {
            for (size_t i = 0; i < run.length; i++) {
                out[used + i] = out[used + i - run.distance];
            }
        }
        used += run.length;
    }
    return used == out_size;
}
