/* txn/part_scan.h - an ordered scan of one shard as a transaction sees it: the store at the
 * snapshot under the transaction's own writes there. For scan.c. On the part's shard.
 *
 * Why nothing is missed that was prepared: serving a snapshot raises the shard's clock to it before
 * anything is read, and a prepare proposes above the clock. So a writer whose commit may lie at or
 * below the snapshot was prepared before the scan was opened. The open waits for the outcomes of
 * all such writers in the range, which are applied in the step that tells of them, and only then
 * opens its iterator of the store: it finds all of them, and whatever comes later is above the
 * snapshot and not the scan's to see. */
#pragma once

#include "lsm/lsm.h"
#include "txn/part.h"

struct part_scan;

/* Keys in [lower, upper) (upper.size == 0: to the end) at `snapshot`, with own writes before
 * `sees`; OVERLAY_ALL: also those that are made while it is open. The bounds are copied. It stands
 * nowhere. Errors: those of lsm_iter_open. */
YIELDS err_t part_scan_open(struct part *part, uint64_t snapshot, const struct overlay_mark *sees,
                            struct slice lower, struct slice upper, struct part_scan **scan_out);
/* Adds the range that was passed to the part's read set. Accepts NULL; clears the pointer. */
void part_scan_close(struct part_scan **scan);

/* As in lsm.h. After an error it stands nowhere. */
YIELDS err_t part_scan_seek(struct part_scan *scan, struct slice key);
YIELDS err_t part_scan_seek_before(struct part_scan *scan, struct slice key);
YIELDS err_t part_scan_first(struct part_scan *scan);
YIELDS err_t part_scan_last(struct part_scan *scan);
YIELDS err_t part_scan_next(struct part_scan *scan);
YIELDS err_t part_scan_previous(struct part_scan *scan);
/* Were own writes that it sees made, or any taken back, since its last move? Then only a move that
 * seeks, or that begins at its present entry, sees them. */
bool part_scan_is_stale(const struct part_scan *scan);
/* NULL: on no entry. Valid until the scan moves. An own large value may stand in it whole, as
 * an LSM_PUT. */
const struct lsm_entry *part_scan_entry(const struct part_scan *scan);
YIELDS err_t part_scan_value(struct part_scan *scan, struct arena *arena, struct slice *value_out);
