/* engine/base/sometimes.h - states that the simulator must have driven the code into.
 *
 * A test that never tears a log's tail proves nothing about torn tails. The code says where such
 * a state is handled:
 *     SOMETIMES("wal: a torn tail was cut");
 * orbit-sim sets the hook, counts, and fails when a point that is linked into it was not reached
 * in a long run. In production the hook is NULL: one predictable branch. Keep it out of loops over
 * bytes. Texts are unique per state; the same text may stand at several places. */
#pragma once

#include <stddef.h>

struct sometimes_point {
    const char *text;
    const char *file;
    int line;
};

/* Set once before shards run; never by production code. */
extern void (*sometimes_hook)(const struct sometimes_point *point);

/* All points linked into the program, reached or not: a pointer to the first and their count. */
struct sometimes_point *const *sometimes_points(size_t *count_out);

/* Points stand in a section of their own, as pointers so that no padding comes between them. */
#define SOMETIMES(text_)                                                                           \
    do {                                                                                           \
        static struct sometimes_point sometimes_point_ = {(text_), __FILE__, __LINE__};            \
        static struct sometimes_point *sometimes_entry_                                            \
            __attribute__((used, section("orbit_sometimes"))) = &sometimes_point_;                 \
        (void)sometimes_entry_;                                                                    \
        if (__builtin_expect(sometimes_hook != NULL, 0)) {                                         \
            sometimes_hook(&sometimes_point_);                                                     \
        }                                                                                          \
    } while (0)

#define SOMETIMES_IF(condition, text_)                                                             \
    do {                                                                                           \
        if (condition) {                                                                           \
            SOMETIMES(text_);                                                                      \
        }                                                                                          \
    } while (0)
