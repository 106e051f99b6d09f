/* query/exec/spool.c - see spool.h. */
#include "query/exec/spool.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { PAGE_ROWS = 256 };

void
spool_init(struct spool *spool, const struct plan_column *columns, uint32_t column_count)
{
    *spool = (struct spool){.columns = columns, .column_count = column_count};
    rows_init(&spool->rows, columns, column_count);
    buf_init(&spool->record, MEM_SESSIONS);
}

void
spool_fini(struct spool *spool)
{
    rows_fini(&spool->rows);
    tape_fini(&spool->tape, false);
    spill_file_close(&spool->file);
    mem_free(MEM_SESSIONS, spool->pages, spool->page_capacity * sizeof(*spool->pages));
    buf_fini(&spool->record);
    *spool = (struct spool){0};
}

uint64_t
spool_memory_bytes(const struct spool *spool)
{
    return rows_bytes(&spool->rows) + (uint64_t)spool->page_capacity * sizeof(*spool->pages);
}

/* The record, as row number `number`. */
static err_t
record_add(struct spool *spool, uint64_t number)
{
    if (number % PAGE_ROWS == 0) {
        if (spool->page_count == spool->page_capacity) {
            uint32_t capacity = MAX(64U, spool->page_capacity * 2);

            spool->pages = mem_realloc(MEM_SESSIONS, spool->pages,
                                       spool->page_capacity * sizeof(*spool->pages),
                                       capacity * sizeof(*spool->pages));
            spool->page_capacity = capacity;
        }
        spool->pages[spool->page_count++] =
            (struct spool_page){.first = number, .place = tape_place(&spool->tape)};
    }
    return tape_add(&spool->tape, buf_slice(&spool->record));
}

/* What is in memory goes to the tape. */
static err_t
rows_write(struct spool *spool, struct spill_budget *budget)
{
    err_t err;

    TRY(spill_file_open(budget, &spool->file));
    tape_init(&spool->tape, spool->file);
    for (uint32_t i = 0; i < spool->rows.count; i++) {
        buf_clear(&spool->record);
        spill_row_put(spool->columns, spool->column_count, &spool->rows.rows[i], &spool->record);
        TRY(record_add(spool, i));
    }
    rows_fini(&spool->rows);
    rows_init(&spool->rows, spool->columns, spool->column_count);
out:
    return err;
}

err_t
spool_add(struct spool *spool, struct spill_budget *budget, const struct batch *batch, uint32_t row)
{
    err_t err = ERR_OK;

    if (spool->file == NULL && rows_bytes(&spool->rows) > budget->work_bytes) {
        TRY(rows_write(spool, budget));
    }
    if (spool->file == NULL) {
        TRY(rows_add(&spool->rows, batch, row));
    } else {
        buf_clear(&spool->record);
        spill_batch_row_put(spool->columns, spool->column_count, batch, row, &spool->record);
        TRY(record_add(spool, spool->count));
    }
    spool->count++;
out:
    return err;
}

/* To the row, by the page that it is in. */
static err_t
reader_seek(struct spool *spool, struct spool_reader *reader, uint64_t row)
{
    const struct spool_page *page = &spool->pages[row / PAGE_ROWS];
    err_t err = ERR_OK;

    if (!reader->is_open) {
        tape_reader_init(&reader->tape, &spool->tape);
        reader->is_open = true;
    }
    tape_reader_seek(&reader->tape, page->place);
    for (reader->next = page->first; reader->next < row; reader->next++) {
        struct slice record;
        bool is_end;

        TRY(tape_read(&reader->tape, &record, &is_end));
        if (is_end) {
            return err_set(ERR_CORRUPT, "a temporary file ends early");
        }
    }
out:
    return err;
}

static void
memory_fill(const struct spool *spool, uint32_t first, uint32_t count, struct arena *arena,
            struct batch *batch)
{
    rows_fill(&spool->rows, first, count, batch);
    for (uint32_t i = 0; i < spool->column_count; i++) {
        const struct type *type = spool->columns[i].type;
        struct vector *column = &batch->columns[i];

        for (uint32_t j = 0; j < count; j++) {
            if (column->nulls[j] == 0) {
                column->values[j] = type_copy(type, column->values[j], arena);
            }
        }
    }
}

err_t
spool_fill(struct spool *spool, struct spool_reader *reader, uint64_t first, uint32_t count,
           struct arena *arena, struct batch *batch)
{
    err_t err = ERR_OK;

    ASSERT(first + count <= spool->count);
    batch->rows = 0;
    if (spool->file == NULL) {
        memory_fill(spool, (uint32_t)first, count, arena, batch);
        return ERR_OK;
    }
    if (count > 0 && (!reader->is_open || reader->next != first)) {
        TRY(reader_seek(spool, reader, first));
    }
    while (batch->rows < count) {
        struct slice record;
        bool is_end;

        TRY(tape_read(&reader->tape, &record, &is_end));
        if (is_end) {
            return err_set(ERR_CORRUPT, "a temporary file ends early");
        }
        TRY(spill_batch_row_get(spool->columns, spool->column_count, record, arena, batch,
                                batch->rows));
        batch->rows++;
        reader->next++;
    }
out:
    return err;
}

void
spool_reader_close(struct spool_reader *reader)
{
    if (reader->is_open) {
        tape_reader_fini(&reader->tape);
    }
    *reader = (struct spool_reader){0};
}
