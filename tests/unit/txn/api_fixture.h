/* tests/unit/txn/api_fixture.h - a folder on a real disk and what every test of the C API does with
 * it. Included once, by the file of a suite. */
#pragma once

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "include/orbit.h"

static char folder[64];
static struct orbit *db;

/* Named after what is tested. */
static inline void
folder_make(const char *name)
{
    snprintf(folder, sizeof(folder), "/tmp/orbit-%s-XXXXXX", name);
    cr_assert_not_null(mkdtemp(folder));
}

static inline int
folder_remove_visit(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

/* Closes what is open, and removes the folder. */
static inline void
end(void)
{
    orbit_close(&db);
    nftw(folder, folder_remove_visit, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void
must(int error)
{
    cr_assert_eq(error, ORBIT_OK, "%s: %s", orbit_error_name(error), orbit_message());
}

static inline void
must_be(int error, int expected)
{
    cr_assert_eq(error, expected, "%s (%s), not %s", orbit_error_name(error), orbit_message(),
                 orbit_error_name(expected));
}
