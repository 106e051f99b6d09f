/* tests/unit/wal/test_copy.c - a copy of the log's tail is a log that ends where it was told to. */
#include <stdio.h>

#include "tests/unit/wal/wal_fixture.h"
#include "wal/internal.h"

TestSuite(wal_copy, .init = world_begin, .fini = world_end, .timeout = 120);

enum { RECORDS = 600, BURST = 7, RECORD_BYTES = 900 };

static lsn_t lsns[RECORDS];
static uint32_t from, to; /* Indexes into lsns: records from + 1 .. to are wanted. */

/* Bursts share a batch, so that the end often lies within one; over several segments. */
static void
append_and_copy(void)
{
    for (uint32_t i = 0; i < RECORDS; i++) {
        lsns[i] = append(i, RECORD_BYTES);
        if (i % BURST == BURST - 1) {
            wal_wait_durable(wal, lsns[i]);
        }
    }
    wal_wait_durable(wal, lsns[RECORDS - 1]);
    wal_hold(wal, lsns[from]);
    cr_assert_eq(wal_copy(wal, lsns[from], lsns[to], "copy"), ERR_OK, "%s",
                 err_message(ERR_CORRUPT));
    cr_assert_eq(wal_copy(wal, lsns[from], lsns[to], "copy"), ERR_EXISTS);
    cr_assert_eq(io_sync_dir(""), ERR_OK); /* The copy's own name is the caller's. */
    wal_unhold(wal);
}

static void
append_more(void)
{
    append_durably(7, RECORD_BYTES);
}

static void
copy_is_replayed(uint32_t copied_from, uint32_t copied_to)
{
    from = copied_from;
    to = copied_to;
    life_begin();
    life_run(append_and_copy);
    life_crash(SIM_CRASH_POWER_CUT);
    options.dir = "copy";
    options.needed_from = lsns[from];
    options.must_exist = true;
    life_begin();
    cr_assert_eq(journal.count, to - from);
    for (uint32_t i = 0; i < journal.count; i++) {
        cr_assert_eq(journal.lsns[i], lsns[from + 1 + i]);
        cr_assert_eq(journal.values[i], from + 1 + i);
    }
    cr_assert_geq(recovered.end, lsns[to]);
    life_run(append_more);
    life_close();
    life_begin();
    cr_assert_eq(journal.count, to - from + 1, "the copy takes new records");
    life_close();
}

Test(wal_copy, a_copy_has_the_records_between_its_positions_and_goes_on_by_itself)
{
    copy_is_replayed(200, 500);
}

Test(wal_copy, a_copy_ends_with_its_record_although_the_batch_goes_on)
{
    copy_is_replayed(3 * BURST + 1, 50 * BURST + 2);
}

Test(wal_copy, a_copy_may_have_no_record_at_all)
{
    copy_is_replayed(333, 333);
}

Test(wal_copy, every_end_within_a_batch_can_be_cut)
{
    for (uint32_t i = 0; i < 2 * BURST; i++) {
        copy_is_replayed(100, 110 + i);
        world_end();
        world_begin();
    }
}

Test(wal_copy, every_beginning_near_the_end_of_a_segment_is_found)
{
    for (uint32_t i = 0; i < 60; i++) {
        copy_is_replayed(100 + 2 * i, 300);
        world_end();
        world_begin();
    }
}

/* The original goes on: what the copy has must not change with it. */
static void
rot_and_copy(void)
{
    for (uint32_t i = 0; i < RECORDS; i++) {
        lsns[i] = append_durably(i, RECORD_BYTES);
    }
    wal_hold(wal, lsns[10]);
    flip_at(lsns[20] - 5);
    cr_assert_eq(wal_copy(wal, lsns[10], lsns[500], "copy"), ERR_CORRUPT);
    wal_unhold(wal);
}

Test(wal_copy, rot_in_the_original_is_found_and_not_copied)
{
    life_begin();
    life_run(rot_and_copy);
    life_crash(SIM_CRASH_KILL);
}

static void
release_while_held(void)
{
    for (uint32_t i = 0; i < RECORDS; i++) {
        lsns[i] = append_durably(i, RECORD_BYTES);
    }
    wal_hold(wal, lsns[10]);
    wal_release(wal, lsns[RECORDS - 1]);
}

static void
copy_while_held(void)
{
    cr_assert_eq(wal_copy(wal, lsns[10], lsns[500], "copy"), ERR_OK);
    wal_unhold(wal);
}

Test(wal_copy, a_hold_keeps_segments_that_were_released)
{
    uint32_t segments;

    life_begin();
    life_run(release_while_held);
    segments = count_segments();
    life_idle(1000000);
    cr_assert_eq(count_segments(), segments);
    life_run(copy_while_held);
    life_idle(1000000);
    cr_assert_lt(count_segments(), segments, "they go when the hold ends");
    life_close();
}
