/* engine/base/assert.h - assertions, which stay on in release builds.
 *
 * For programmer errors only. What comes from disk, network or a caller's configuration gives an
 * err_t instead. */
#pragma once

#include <stdint.h>

/* Prints place, expression and a backtrace of the running fiber, then aborts. */
_Noreturn void assert_failed(const char *file, int line, const char *expression);

/* For states in which the process must not answer anyone any more, such as a failed log write:
 * prints the message and leaves with status 70 without running exit handlers. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The simulator's: called by fatal() first, with the message; does not return when it can end the
 * simulated process instead. NULL in production. */
extern void (*fatal_hook)(const char *message);

#define ASSERT(expression)                                                                         \
    do {                                                                                           \
        if (__builtin_expect(!(expression), 0)) {                                                  \
            assert_failed(__FILE__, __LINE__, #expression);                                        \
        }                                                                                          \
    } while (0)

#define UNREACHABLE() assert_failed(__FILE__, __LINE__, "unreachable")

/* A shared struct begins with a magic number which every entry point checks. */
#define OBJ_CHECK(object, expected)                                                                \
    do {                                                                                           \
        ASSERT((object) != NULL);                                                                  \
        ASSERT((object)->magic == (expected));                                                     \
    } while (0)

#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)((char *)(pointer) - __builtin_offsetof(type, member)))

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))
/* Each argument is evaluated once; the names are fresh, so that they nest. */
#define ASSERT_PASTE_(a, b) a##b
#define ASSERT_NAME_(a, b)  ASSERT_PASTE_(a, b)
#define ASSERT_PICK_(a, b, operator, x, y)                                                         \
    ({                                                                                             \
        __typeof__(a) x = (a);                                                                     \
        __typeof__(b) y = (b);                                                                     \
        x operator y ? x : y;                                                                      \
    })
#define MIN(a, b)                                                                                  \
    ASSERT_PICK_(a, b, <, ASSERT_NAME_(pick_a_, __COUNTER__), ASSERT_NAME_(pick_b_, __COUNTER__))
#define MAX(a, b)                                                                                  \
    ASSERT_PICK_(a, b, >, ASSERT_NAME_(pick_a_, __COUNTER__), ASSERT_NAME_(pick_b_, __COUNTER__))

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

static inline uint64_t
align_up(uint64_t value, uint64_t power_of_two)
{
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}
