/* models/relational/temp_file.h - files of statements whose rows do not fit their memory.
 *
 * They lie in the folder temp-N of the data folder, N the shard. A file loses its name as soon as
 * it is open, so that it goes with its last handle, however the statement ends; what a crash in
 * between leaves is removed when the model is opened. */
#pragma once

#include "engine/base/err.h"
#include "engine/io/io.h"

/* Removes what was left. Errors: ERR_IO. */
YIELDS err_t temp_files_clear(void);
/* An empty file; io_close gives its room back. number: another one for each file of the shard.
 * Errors: ERR_NO_SPACE, ERR_IO. */
YIELDS err_t temp_file_open(uint64_t number, struct io_file **file_out);
