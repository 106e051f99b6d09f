/* lsm/checkpoint.h - named checkpoints, for the files of this folder; lsm.h has the rest. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/mem.h"
#include "lsm/lsm.h"

struct manifest_state;

/* Does any named checkpoint need this table's file? */
bool lsm_checkpoint_has_table(const struct lsm *lsm, uint64_t file_number);
/* Behind a snapshot of the tree: all named checkpoints. */
void lsm_checkpoints_encode(const struct lsm *lsm, struct buf *out);
/* At open, when the value logs are known: takes the checkpoints out of the state. */
void lsm_checkpoints_load(struct lsm *lsm, struct manifest_state *state);
void lsm_checkpoints_fini(struct lsm *lsm);
