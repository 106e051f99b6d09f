/* tests/unit/wal/test_cursor.c - reading a log while it is written. */
#include <inttypes.h>

#include "engine/rt/shard.h"
#include "tests/unit/wal/wal_fixture.h"
#include "wal/cursor.h"
#include "wal/internal.h"

enum { RECORD_BYTES = 3000, MANY = 200 };

TestSuite(wal_cursor, .init = world_begin, .fini = world_end, .timeout = 60);

static struct wal_cursor *cursor;

static bool
begins_never(void *arg, struct slice record)
{
    (void)arg;
    (void)record;
    return false;
}

static bool
begins_at(void *arg, struct slice record)
{
    return get_le64(record.data) <= *(const uint64_t *)arg;
}

static void
open_cursor(void)
{
    err_t err = wal_cursor_open(wal, begins_never, NULL, &cursor);

    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
}

/* Reads what is there; every record is the one after *last. */
static err_t
read_on(uint64_t *last)
{
    bool is_there = true;
    err_t err = ERR_OK;

    while (is_there) {
        struct slice payload, record;
        size_t offset = 0;
        uint64_t closed;

        TRY(wal_cursor_next(cursor, &payload, &closed, &is_there));
        while (is_there && wal_record_next(payload, &offset, &record)) {
            cr_assert_eq(get_le64(record.data), *last + 1);
            cr_assert_leq(*last + 1, closed, "a record above its batch's closed timestamp");
            ++*last;
        }
    }
out:
    return err;
}

static void
append_range(uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i <= to; i++) {
        (void)append(i, RECORD_BYTES);
        wal_set_clock(wal, wal->ceiling, i);
    }
}

static void
read_all(uint64_t from, uint64_t to)
{
    uint64_t last = from - 1;
    err_t err;

    wal_wait_durable(wal, wal_appended(wal));
    err = read_on(&last);
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    cr_assert_eq(last, to);
}

static void
follow(void)
{
    open_cursor();
    cr_assert(wal_cursor_is_whole(cursor));
    read_all(1, 0);
    for (uint64_t i = 0; i < 20; i++) {
        append_range(i * 10 + 1, i * 10 + 10);
        read_all(i * 10 + 1, i * 10 + 10);
    }
    wal_cursor_close(&cursor);
    cr_assert_null(cursor);
}

Test(wal_cursor, a_cursor_follows_a_log_over_its_segments)
{
    life_begin();
    life_run(follow);
    life_close();
}

static void
write_many(void)
{
    append_range(1, MANY);
    wal_wait_durable(wal, wal_appended(wal));
}

static void
read_many(void)
{
    open_cursor();
    read_all(1, MANY);
    wal_cursor_close(&cursor);
}

Test(wal_cursor, a_cursor_reads_what_earlier_lives_have_written)
{
    life_begin();
    life_run(write_many);
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    life_run(read_many);
    life_close();
}

static void
hold_and_let_go(void)
{
    uint64_t last = 0;
    lsn_t end;

    open_cursor();
    append_range(1, MANY);
    end = wal_appended(wal);
    wal_wait_durable(wal, end);
    wal_release(wal, end);
    (void)fiber_sleep_us(100000);
    cr_assert_eq(read_on(&last), ERR_OK, "what a cursor is to read was recycled");
    cr_assert_eq(last, MANY);
    (void)append(MANY + 1, RECORD_BYTES);
    wal_release(wal, end);
    (void)fiber_sleep_us(100000);
    cr_assert_gt(LIST_ENTRY(wal->segments.next, struct wal_segment, link)->start, 0);
    wal_cursor_close(&cursor);
}

Test(wal_cursor, segments_stay_until_their_reader_has_passed)
{
    life_begin();
    life_run(hold_and_let_go);
    life_close();
}

static void
fall_behind(void)
{
    uint64_t last = 0;

    wal->cursor_behind_max = 128 << 10;
    open_cursor();
    append_range(1, MANY);
    wal_wait_durable(wal, wal_appended(wal));
    wal_release(wal, wal_appended(wal));
    (void)fiber_sleep_us(100000);
    cr_assert_eq(read_on(&last), ERR_SNAPSHOT_TOO_OLD);
    cr_assert_eq(read_on(&last), ERR_SNAPSHOT_TOO_OLD, "a lost place does not come back");
    cr_assert_eq(last, 0);
    wal_cursor_close(&cursor);
}

Test(wal_cursor, a_cursor_that_falls_behind_loses_its_place)
{
    life_begin();
    life_run(fall_behind);
    life_close();
}

static void
begin_late(void)
{
    uint64_t wanted = MANY - 5;
    struct slice payload, record;
    uint64_t closed;
    size_t offset = 0;
    bool is_there = false;

    append_range(1, MANY);
    wal_wait_durable(wal, wal_appended(wal));
    cr_assert_eq(wal_cursor_open(wal, begins_at, &wanted, &cursor), ERR_OK);
    cr_assert_not(wal_cursor_is_whole(cursor));
    cr_assert_eq(wal_cursor_next(cursor, &payload, &closed, &is_there), ERR_OK);
    cr_assert(is_there);
    cr_assert(wal_record_next(payload, &offset, &record));
    cr_assert_leq(get_le64(record.data), wanted);
    cr_assert_gt(get_le64(record.data), MANY / 2, "it begins far before what is wanted");
    wal_cursor_close(&cursor);
}

Test(wal_cursor, a_cursor_skips_segments_that_are_not_wanted)
{
    life_begin();
    life_run(begin_late);
    life_close();
}
