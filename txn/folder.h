/* txn/folder.h - whole folders: listed, removed, copied. For maintenance, not for the fast path. */
#pragma once

#include <stdint.h>

#include "engine/base/err.h"
#include "engine/io/io.h"
#include "engine/rt/fiber.h"

enum { FOLDER_DEPTH_MAX = 8, FOLDER_NAMES_MAX = 1 << 20 };

struct folder_names {
    char (*names)[IO_PATH_BYTES_MAX];
    uint32_t count, capacity, max;
    bool is_over; /* There are more than max. */
};
void folder_names_init(struct folder_names *names, uint32_t max);
void folder_names_fini(struct folder_names *names);
/* ERR_NOT_FOUND; ERR_LIMIT when there are more than max. */
YIELDS err_t folder_names_read(struct folder_names *names, const char *path);

/* With everything in it; a folder that is not there is no error. ERR_LIMIT beyond
 * FOLDER_DEPTH_MAX. */
YIELDS err_t folder_remove(const char *path);

/* Makes `to` (ERR_EXISTS) with copies of the files in `from`, which has no folders; durable but for
 * the name of `to`. */
YIELDS err_t folder_copy(const char *from, const char *to);
