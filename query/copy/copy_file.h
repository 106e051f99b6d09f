/* query/copy/copy_file.h - files of the server that COPY reads and writes.
 *
 * Only those below the folder that --copy-dir names, by absolute paths: without it there are
 * none. */
#pragma once

#include "query/parse/nodes.h"

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/rt/fiber.h"

struct copy_file;

/* For reading or for writing, which empties the file, as the statement says. folder: NULL: none.
 * Errors: 42501, 42602, 58P01, 0A000 (a program). */
YIELDS err_t copy_file_open(const CopyStmt *node, const char *folder, struct copy_file **file_out);
/* Appends the next bytes; none at the end. */
YIELDS err_t copy_file_read(struct copy_file *file, struct buf *out);
YIELDS err_t copy_file_write(struct copy_file *file, struct slice bytes);
/* What is still gathered goes to the file. */
YIELDS err_t copy_file_flush(struct copy_file *file);
void copy_file_close(struct copy_file **file); /* Accepts NULL; clears the pointer. */
