/* Tests of query/exec/spill.c, over a simulated disk: streams of records, rows, limits,
 * what a damaged or full disk gives, and that nothing stays. */
#include "query/exec/spill.h"

#include "engine/io/io.h"
#include "models/relational/temp_file.h"
#include "models/types/sql_error.h"
#include "query/exec/exec.h"
#include "tests/lib/fiber_test.h"

TestSuite(query_spill, .timeout = 60);

enum { RECORDS = 3000, RECORD_BYTES_MAX = 40000 };

static struct spill_budget budget;
static struct io_file *opened; /* Of the spill file: borrowed. */

static YIELDS struct spill_file *
file_begin(uint64_t bytes_max)
{
    struct io_file *file;

    budget = (struct spill_budget){.work_bytes = 1000, .file_bytes_max = bytes_max};
    cr_assert_eq(temp_file_open(7, &file), ERR_OK);
    opened = file;
    return spill_file_of(&budget, file);
}

static size_t
record_size(uint32_t number)
{
    return number % 500 == 499 ? RECORD_BYTES_MAX - number : number % 90;
}

static uint8_t *
record_bytes(uint32_t number)
{
    static uint8_t bytes[RECORD_BYTES_MAX];

    memset(bytes, (int)(number * 31 + 7), record_size(number));
    return bytes;
}

static YIELDS void
record_put(struct tape *tape, uint32_t number)
{
    struct slice record = slice_of(record_bytes(number), record_size(number));

    cr_assert_eq(tape_add(tape, record), ERR_OK);
}

static YIELDS void
record_expect(struct tape_reader *reader, uint32_t number)
{
    struct slice record;
    bool is_end;

    cr_assert_eq(tape_read(reader, &record, &is_end), ERR_OK);
    cr_assert(!is_end, "record %u is missing", number);
    cr_assert_eq(record.size, record_size(number), "record %u has %zu bytes", number, record.size);
    cr_assert(record.size == 0 || memcmp(record.data, record_bytes(number), record.size) == 0);
}

static YIELDS void
end_expect(struct tape_reader *reader)
{
    struct slice record;
    bool is_end = false;

    cr_assert_eq(tape_read(reader, &record, &is_end), ERR_OK);
    cr_assert(is_end);
}

FIBER_TEST(query_spill, tapes_of_one_file_give_their_records_back)
{
    struct spill_file *file = file_begin(UINT64_MAX);
    struct tape tapes[2];
    struct tape_reader reader;

    tape_init(&tapes[0], file);
    tape_init(&tapes[1], file);
    for (uint32_t i = 0; i < RECORDS; i++) {
        record_put(&tapes[i % 2], i);
    }
    for (uint32_t side = 0; side < 2; side++) {
        cr_assert_eq(tape_end(&tapes[side]), ERR_OK);
        tape_reader_init(&reader, &tapes[side]);
        for (uint32_t i = side; i < RECORDS; i += 2) {
            record_expect(&reader, i);
        }
        end_expect(&reader);
        tape_reader_fini(&reader);
        tape_fini(&tapes[side], true);
    }
    cr_assert_eq(budget.file_bytes, spill_file_bytes(file));
    spill_file_close(&file);
    cr_assert_eq(budget.file_bytes, 0);
}

FIBER_TEST(query_spill, what_is_written_later_is_read_later)
{
    struct spill_file *file = file_begin(UINT64_MAX);
    struct tape tape;
    struct tape_reader reader;
    uint64_t place = 0;

    tape_init(&tape, file);
    tape_reader_init(&reader, &tape);
    for (uint32_t i = 0; i < RECORDS; i++) {
        place = i == 1234 ? tape_place(&tape) : place;
        record_put(&tape, i);
        record_expect(&reader, i);
        if (i % 100 == 0) {
            end_expect(&reader);
        }
    }
    cr_assert_eq(tape_end(&tape), ERR_OK);
    end_expect(&reader);
    tape_reader_seek(&reader, place);
    record_expect(&reader, 1234);
    record_expect(&reader, 1235);
    tape_reader_fini(&reader);
    tape_fini(&tape, true);
    spill_file_close(&file);
}

FIBER_TEST(query_spill, a_file_beyond_its_limit_is_refused)
{
    struct spill_file *file = file_begin(2 * SPILL_CHUNK_BYTES);
    struct sql_report report;
    struct tape tape;
    err_t err = ERR_OK;

    tape_init(&tape, file);
    for (uint32_t i = 0; err == ERR_OK && i < RECORDS; i++) {
        err = tape_add(&tape, slice_of(record_bytes(89), record_size(89)));
    }
    cr_assert_eq(err, ERR_SQL);
    sql_report_get(err, &report);
    cr_assert_str_eq(report.sqlstate, "53400");
    cr_assert_str_eq(report.message, "temporary file size exceeds temp_file_limit (32kB)");
    tape_fini(&tape, true);
    spill_file_close(&file);
    cr_assert_eq(budget.file_bytes, 0);
}

FIBER_TEST(query_spill, a_full_disk_is_told_as_such)
{
    struct spill_file *file = file_begin(UINT64_MAX);
    struct sql_report report;
    struct tape tape;
    err_t err;

    tape_init(&tape, file);
    record_put(&tape, 1);
    sim_disk_fail_next(sim_world_current(), SIM_OP_WRITE, "temp-0", 0, 1, -28); /* ENOSPC */
    err = tape_end(&tape);
    cr_assert_eq(err, ERR_SQL);
    sql_report_get(err, &report);
    cr_assert_str_eq(report.sqlstate, "53100");
    tape_fini(&tape, true);
    spill_file_close(&file);
}

FIBER_TEST(query_spill, a_chunk_that_has_changed_is_found_out)
{
    struct spill_file *file = file_begin(UINT64_MAX);
    uint8_t *block = mem_alloc_aligned(MEM_SESSIONS, IO_BLOCK_BYTES);
    struct tape_reader reader;
    struct slice record;
    struct tape tape;
    bool is_end;

    tape_init(&tape, file);
    record_put(&tape, 80);
    cr_assert_eq(tape_end(&tape), ERR_OK);
    cr_assert_eq(io_read(opened, 0, block, IO_BLOCK_BYTES), ERR_OK);
    block[20] ^= 1;
    cr_assert_eq(io_write(opened, 0, block, IO_BLOCK_BYTES, 0), ERR_OK);
    tape_reader_init(&reader, &tape);
    cr_assert_eq(tape_read(&reader, &record, &is_end), ERR_CORRUPT);
    tape_reader_fini(&reader);
    tape_fini(&tape, true);
    spill_file_close(&file);
    mem_free_aligned(MEM_SESSIONS, block, IO_BLOCK_BYTES);
}

static void
name_count(const char *name, void *arg)
{
    (void)name;
    ++*(uint32_t *)arg;
}

FIBER_TEST(query_spill, files_have_no_names_and_what_a_crash_left_is_cleared)
{
    struct spill_file *file = file_begin(UINT64_MAX);
    struct io_file *left = NULL;
    uint32_t names = 0;

    cr_assert_eq(io_list("temp-0", name_count, &names), ERR_OK);
    cr_assert_eq(names, 0);
    cr_assert_eq(io_open("temp-0/12", IO_CREATE | IO_EXCLUSIVE, &left), ERR_OK);
    io_close(&left);
    cr_assert_eq(temp_files_clear(), ERR_OK);
    cr_assert_eq(io_list("temp-0", name_count, &names), ERR_OK);
    cr_assert_eq(names, 0);
    spill_file_close(&file);
}

FIBER_TEST(query_spill, rows_of_every_representation_come_back)
{
    static const oid_t oids[] = {OID_INT8,     OID_FLOAT8, OID_TEXT, OID_NUMERIC,
                                 OID_INTERVAL, OID_TIMETZ, OID_BOOL, OID_TEXT};
    enum { COLUMNS = sizeof(oids) / sizeof(oids[0]) };
    static const char *const texts[COLUMNS] = {
        "-9223372036854775808", "-0.1", "",  "123456789012345678901234567890.123", "1 mon 2 days",
        "12:34:56.789+02",      "t",    NULL};
    struct plan_column columns[COLUMNS];
    struct kept_row row, read;
    struct arena arena;
    struct buf record;

    arena_init(&arena, MEM_SESSIONS);
    buf_init(&record, MEM_SESSIONS);
    row.values = arena_alloc(&arena, sizeof(*row.values) * COLUMNS);
    row.nulls = arena_alloc(&arena, COLUMNS);
    for (uint32_t i = 0; i < COLUMNS; i++) {
        const struct type_io io = {.arena = &arena, .settings = &type_settings_default};

        columns[i] = (struct plan_column){.type = type_by_oid(oids[i])};
        row.nulls[i] = texts[i] == NULL;
        if (texts[i] != NULL) {
            cr_assert_eq(columns[i].type->input(columns[i].type, &io, slice_from_text(texts[i]), -1,
                                                &row.values[i]),
                         ERR_OK);
        }
    }
    spill_row_put(columns, COLUMNS, &row, &record);
    cr_assert_eq(spill_row_get(columns, COLUMNS, buf_slice(&record), &arena, &read), ERR_OK);
    for (uint32_t i = 0; i < COLUMNS; i++) {
        cr_assert_eq(read.nulls[i], row.nulls[i]);
        cr_assert(row.nulls[i] != 0 ||
                      columns[i].type->compare(columns[i].type, row.values[i], read.values[i]) == 0,
                  "column %u", i);
    }
    for (size_t cut = 0; cut < record.size; cut++) {
        cr_assert_eq(spill_row_get(columns, COLUMNS, slice_of(record.data, cut), &arena, &read),
                     ERR_CORRUPT, "%zu of %zu bytes", cut, record.size);
    }
    buf_fini(&record);
    arena_fini(&arena);
}
