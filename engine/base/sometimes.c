/* engine/base/sometimes.c - the list of "sometimes" points that the linker gathers. */
#include "engine/base/sometimes.h"

#include "engine/base/poison.h"

void (*sometimes_hook)(const struct sometimes_point *point);

/* The linker defines both when the section exists; without a single point they are NULL. */
extern struct sometimes_point *__start_orbit_sometimes[] __attribute__((weak));
extern struct sometimes_point *__stop_orbit_sometimes[] __attribute__((weak));

struct sometimes_point *const *
sometimes_points(size_t *count_out)
{
    *count_out = (size_t)(__stop_orbit_sometimes - __start_orbit_sometimes);
    return __start_orbit_sometimes;
}
