/* tests/unit/engine/test_canary.c - planted bugs are found by name, points by the linker. */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "engine/base/canary.h"
#include "engine/base/sometimes.h"

static uint32_t reached;

static void
count_point(const struct sometimes_point *point)
{
    cr_assert_str_eq(point->text, "test: a point");
    reached++;
}

static void
pass_a_point(void)
{
    SOMETIMES("test: a point");
}

Test(canary, a_canary_is_found_by_its_name_in_any_case_and_with_dashes)
{
    cr_assert_eq(canary_from_name("WAL_NO_SYNC"), CANARY_WAL_NO_SYNC);
    cr_assert_eq(canary_from_name("wal-no-sync"), CANARY_WAL_NO_SYNC);
    cr_assert_eq(canary_from_name("WAL_NO_SYN"), CANARY_NONE);
    cr_assert_eq(canary_from_name("WAL_NO_SYNCS"), CANARY_NONE);
    cr_assert_eq(canary_from_name("NONE"), CANARY_NONE);
    for (enum canary i = CANARY_NONE + 1; i < CANARY_COUNT; i++) {
        cr_assert_eq(canary_from_name(canary_name(i)), i);
        cr_assert_gt(strlen(canary_text(i)), 0);
    }
}

Test(canary, only_the_active_canary_breaks_anything)
{
    cr_assert_not(CANARY(WAL_NO_SYNC));
    canary_active = CANARY_WAL_NO_SYNC;
    cr_assert(CANARY(WAL_NO_SYNC));
    cr_assert_not(CANARY(MANIFEST_NO_SYNC));
}

Test(sometimes, a_point_is_listed_before_it_is_reached_and_reported_when_it_is)
{
    size_t count;
    struct sometimes_point *const *points = sometimes_points(&count);
    bool is_listed = false;

    for (size_t i = 0; i < count; i++) {
        is_listed = is_listed || strcmp(points[i]->text, "test: a point") == 0;
    }
    cr_assert(is_listed);
    pass_a_point();
    cr_assert_eq(reached, 0, "without a hook a point does nothing");
    sometimes_hook = count_point;
    pass_a_point();
    cr_assert_eq(reached, 1);
    sometimes_hook = NULL;
}
