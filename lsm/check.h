/* lsm/check.h - a tree's folder checked at rest, without opening the tree: nothing is written.
 *
 * Everything is looked at, also behind the first damage. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/rt/fiber.h"

enum check_finding {
    CHECK_DAMAGE, /* The data is not what was written. */
    CHECK_NOTE,   /* Harmless: what the next start removes. */
};

struct lsm_check_options {
    const char *dir;
    /* A finding: file, offset and what is wrong, in one line. Must not suspend. */
    void (*report)(void *arg, enum check_finding finding, const char *message);
    /* Files and bytes that were checked since the last call. Must not suspend. May be NULL. */
    void (*progress)(void *arg, uint64_t files, uint64_t bytes);
    void *arg;
};

struct lsm_checked {
    bool has_manifest; /* What follows is known. */
    uint64_t flushed_lsn;
    uint64_t ts_newest;
    uint64_t tables, vlogs, checkpoints, entries, values, bytes;
    uint64_t damages;
};

/* What there is to check, for the progress: files and bytes of tables. ERR_*: unreadable. */
YIELDS err_t lsm_check_size(const char *dir, uint64_t *files_out, uint64_t *bytes_out);
/* Damage is reported and counted, not returned; errors are what kept the check from being made
 * (ERR_NO_MEMORY, ERR_IO of the folder). */
YIELDS err_t lsm_check(const struct lsm_check_options *options, struct lsm_checked *checked_out);

/* A number in hexadecimal between prefix and suffix, as file names have it. */
bool lsm_name_parse(const char *name, const char *prefix, const char *suffix, uint64_t *number_out);
