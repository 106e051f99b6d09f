#include "tests/unit/engine/test_uring_fixture.h"

#include <sys/statvfs.h>

#include "engine/io/uring_internal.h"

static struct uring_world world;

static void
init(void)
{
    uring_world_open(&world);
}

static void
fini(void)
{
    uring_world_close(&world);
}

TestSuite(uring_files, .init = init, .fini = fini, .timeout = 30);

enum { BYTES = 256 * 1024 };

static uint8_t *
pattern_new(uint8_t seed)
{
    uint8_t *bytes = mem_alloc_aligned(MEM_RUNTIME, BYTES);

    for (size_t i = 0; i < BYTES; i++) {
        bytes[i] = (uint8_t)(seed + i * 31 + (i >> 12));
    }
    return bytes;
}

static void
write_and_read_back(void *arg)
{
    struct io_file *file = NULL;
    uint8_t *out = pattern_new(1);
    uint8_t *in = pattern_new(2);

    (void)arg;
    cr_assert_eq(io_open("data", IO_CREATE | IO_EXCLUSIVE, &file), ERR_OK);
    cr_assert_eq(io_file_size(file), 0);
    cr_assert_str_eq(io_file_path(file), "data");
    cr_assert_eq(io_write(file, 0, out, BYTES, 0), ERR_OK);
    cr_assert_eq(io_write(file, BYTES, out, BYTES, IO_DURABLE), ERR_OK);
    cr_assert_eq(io_sync(file), ERR_OK);
    cr_assert_eq(io_file_size(file), 2 * BYTES);
    cr_assert_eq(io_read(file, BYTES, in, BYTES), ERR_OK);
    cr_assert_arr_eq(in, out, BYTES);
    io_close(&file);
    cr_assert_null(file);

    cr_assert_eq(io_open("data", IO_READ_ONLY, &file), ERR_OK);
    cr_assert_eq(io_file_size(file), 2 * BYTES, "the size is known after open");
    memset(in, 0, BYTES);
    cr_assert_eq(io_read(file, 0, in, BYTES), ERR_OK);
    cr_assert_arr_eq(in, out, BYTES);
    io_close(&file);
    mem_free_aligned(MEM_RUNTIME, in, BYTES);
    mem_free_aligned(MEM_RUNTIME, out, BYTES);
}

Test(uring_files, what_was_written_is_read_back_after_a_new_open)
{
    uring_world_run(&world, write_and_read_back, NULL);
}

static void
read_beyond_the_end(void *arg)
{
    struct io_file *file = NULL;
    uint8_t *bytes = pattern_new(3);

    (void)arg;
    cr_assert_eq(io_open("short", IO_CREATE, &file), ERR_OK);
    cr_assert_eq(io_write(file, 0, bytes, 2 * IO_BLOCK_BYTES, 0), ERR_OK);
    cr_assert_eq(io_read(file, 0, bytes, 3 * IO_BLOCK_BYTES), ERR_CORRUPT);
    cr_assert(strstr(err_message(ERR_CORRUPT), "short") != NULL, "the message names the file");
    cr_assert_eq(io_read(file, 8 * IO_BLOCK_BYTES, bytes, IO_BLOCK_BYTES), ERR_CORRUPT);
    io_close(&file);
    mem_free_aligned(MEM_RUNTIME, bytes, BYTES);
}

Test(uring_files, a_read_beyond_the_end_is_an_error_and_not_a_short_success)
{
    uring_world_run(&world, read_beyond_the_end, NULL);
}

static void
errors(void *arg)
{
    struct io_file *file = NULL;
    uint64_t free_bytes = 0;

    (void)arg;
    cr_assert_eq(io_open("nowhere/file", IO_CREATE, &file), ERR_NOT_FOUND);
    cr_assert(strstr(err_message(ERR_NOT_FOUND), "nowhere/file") != NULL);
    cr_assert_eq(io_open("missing", 0, &file), ERR_NOT_FOUND);
    cr_assert_null(file);
    cr_assert_eq(io_open("there", IO_CREATE, &file), ERR_OK);
    io_close(&file);
    cr_assert_eq(io_open("there", IO_CREATE | IO_EXCLUSIVE, &file), ERR_EXISTS);
    cr_assert_eq(io_unlink("missing"), ERR_NOT_FOUND);
    cr_assert_eq(io_rename("missing", "other"), ERR_NOT_FOUND);
    cr_assert_eq(io_mkdir("there"), ERR_EXISTS);
    cr_assert_eq(io_sync_dir("missing"), ERR_NOT_FOUND);
    cr_assert_eq(io_mkdir("folder"), ERR_OK);
    cr_assert_neq(io_open("folder", 0, &file), ERR_OK, "a folder is no file");
    cr_assert_eq(io_free_bytes(&free_bytes), ERR_OK);
    cr_assert_gt(free_bytes, 0);
    cr_assert_null(file);
}

Test(uring_files, errors_have_their_codes_and_name_the_path)
{
    uring_world_run(&world, errors, NULL);
}

static void
list_visit(const char *name, void *arg)
{
    strncat(arg, name, 8);
    strncat(arg, " ", 2);
}

static void
names(void *arg)
{
    struct io_file *file = NULL;
    char listed[128] = "";
    static const char *const made[] = {"d/c", "d/a", "d/b", "d/x"};

    (void)arg;
    cr_assert_eq(io_mkdir("d"), ERR_OK);
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(io_open(made[i], IO_CREATE, &file), ERR_OK);
        io_close(&file);
    }
    cr_assert_eq(io_rename("d/x", "d/y"), ERR_OK);
    cr_assert_eq(io_unlink("d/b"), ERR_OK);
    cr_assert_eq(io_sync_dir("d"), ERR_OK);
    cr_assert_eq(io_sync_dir("."), ERR_OK);
    cr_assert_eq(io_mkdir("e"), ERR_OK);
    cr_assert_eq(io_link("d/a", "e/a"), ERR_OK);
    cr_assert_eq(io_link("d/a", "d/c"), ERR_EXISTS);
    cr_assert_eq(io_rmdir("e"), ERR_EXISTS, "a folder with a name in it stays");
    cr_assert_eq(io_unlink("e/a"), ERR_OK);
    cr_assert_eq(io_rmdir("e"), ERR_OK);
    cr_assert_eq(io_list("d", list_visit, listed), ERR_OK);
    cr_assert_str_eq(listed, "a c y ");
    cr_assert_eq(io_list("e", list_visit, listed), ERR_NOT_FOUND);
}

Test(uring_files, names_change_and_are_listed_in_order)
{
    uring_world_run(&world, names, NULL);
}

static void
sizes(void *arg)
{
    struct io_file *file = NULL;
    uint8_t *bytes = pattern_new(4);
    struct stat status;
    char path[96];

    (void)arg;
    snprintf(path, sizeof(path), "%s/sized", world.dir);
    cr_assert_eq(io_open("sized", IO_CREATE, &file), ERR_OK);
    cr_assert_eq(io_allocate(file, BYTES), ERR_OK);
    cr_assert_eq(io_file_size(file), BYTES);
    cr_assert_eq(io_read(file, 0, bytes, BYTES), ERR_OK);
    for (size_t i = 0; i < BYTES; i++) {
        cr_assert_eq(bytes[i], 0);
    }
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_geq(status.st_blocks * 512, BYTES, "the space is reserved");
    cr_assert_eq(io_truncate(file, 2 * IO_BLOCK_BYTES), ERR_OK);
    cr_assert_eq(io_file_size(file), 2 * IO_BLOCK_BYTES);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_size, 2 * IO_BLOCK_BYTES);
    io_close(&file);
    mem_free_aligned(MEM_RUNTIME, bytes, BYTES);
}

Test(uring_files, allocate_and_truncate_set_the_size)
{
    uring_world_run(&world, sizes, NULL);
}

/* As on a kernel without the operation. */
Test(uring_files, truncate_goes_through_a_helper_where_the_ring_cannot)
{
    uring_of(world.io)->group->has_ftruncate = false;
    uring_world_run(&world, sizes, NULL);
}

static void
allocate_too_much(void *arg)
{
    struct io_file *file = NULL;
    uint64_t free_bytes = 0;
    struct stat status;
    char path[96];

    (void)arg;
    snprintf(path, sizeof(path), "%s/huge", world.dir);
    cr_assert_eq(io_free_bytes(&free_bytes), ERR_OK);
    cr_assert_eq(io_open("huge", IO_CREATE, &file), ERR_OK);
    cr_assert_eq(io_allocate(file, IO_BLOCK_BYTES), ERR_OK);
    cr_assert_neq(io_allocate(file, UINT64_C(1) << 60), ERR_OK);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_size, IO_BLOCK_BYTES, "a refusal leaves the file as it was");
    cr_assert_eq(io_file_size(file), IO_BLOCK_BYTES);
    io_close(&file);
}

Test(uring_files, an_allocation_that_is_refused_leaves_the_file_as_it_was)
{
    uring_world_run(&world, allocate_too_much, NULL);
}

enum { OPS = 3000 };

static void
many_at_once(void *arg)
{
    struct io_file *file = NULL;
    struct io_op *ops = mem_zalloc(MEM_RUNTIME, OPS * sizeof(*ops));
    uint8_t *bytes = pattern_new(5);
    uint8_t *in = mem_alloc_aligned(MEM_RUNTIME, (size_t)OPS * IO_BLOCK_BYTES);
    struct io_batch batch;

    (void)arg;
    cr_assert_eq(io_open("many", IO_CREATE, &file), ERR_OK);
    for (uint32_t round = 0; round < 2; round++) {
        io_batch_init(&batch);
        for (uint32_t i = 0; i < OPS; i++) {
            uint64_t offset = (uint64_t)i * IO_BLOCK_BYTES;

            if (round == 0) {
                io_batch_write(&batch, &ops[i], file, offset, bytes + (i % 64) * IO_BLOCK_BYTES,
                               IO_BLOCK_BYTES, 0);
            } else {
                io_batch_read(&batch, &ops[i], file, offset, in + offset, IO_BLOCK_BYTES);
            }
        }
        cr_assert_eq(io_batch_wait(&batch), ERR_OK);
    }
    for (uint32_t i = 0; i < OPS; i++) {
        cr_assert_eq(memcmp(in + (size_t)i * IO_BLOCK_BYTES, bytes + (i % 64) * IO_BLOCK_BYTES,
                            IO_BLOCK_BYTES),
                     0);
    }
    io_close(&file);
    mem_free_aligned(MEM_RUNTIME, in, (size_t)OPS * IO_BLOCK_BYTES);
    mem_free_aligned(MEM_RUNTIME, bytes, BYTES);
    mem_free(MEM_RUNTIME, ops, OPS * sizeof(*ops));
}

Test(uring_files, more_operations_than_the_queue_holds_all_complete)
{
    struct uring_stats stats;

    uring_world_run(&world, many_at_once, NULL);
    uring_stats_get(world.io, &stats);
    cr_assert_gt(stats.sq_full, 0, "the queue must have been full, or the test shows nothing");
}

/* ---- Answers which this kernel or file system does not give by itself. ---- */

struct told {
    struct io_op op; /* First. */
    struct fiber *fiber;
    bool is_done;
};

static void
told_done(struct io_op *op)
{
    struct told *told = (struct told *)op;

    told->is_done = true;
    fiber_wake(told->fiber);
}

/* The result of an operation of which the kernel is said to have answered `answer`. */
static int64_t
tell(enum uring_op_step step, struct io_file *file, void *buffer, uint64_t offset, uint64_t size,
     int answer)
{
    struct told told = {.op = {.done = told_done, .file = file}, .fiber = fiber_self()};

    told.op.private_[URING_OP_BUFFER] = (uint64_t)(uintptr_t)buffer;
    told.op.private_[URING_OP_OFFSET] = offset;
    told.op.private_[URING_OP_SIZE] = size;
    told.op.private_[URING_OP_STATE] = step;
    ((struct uring_file *)file)->in_flight++;
    uring_op_completed(uring_of(world.io), &told.op, answer);
    while (!told.is_done) {
        fiber_suspend();
    }
    return told.op.result;
}

static void
short_transfers(void *arg)
{
    enum { SIZE = 8 * IO_BLOCK_BYTES };
    struct io_file *file = NULL;
    uint8_t *out = pattern_new(6);
    uint8_t *in = pattern_new(7);

    (void)arg;
    cr_assert_eq(io_open("pieces", IO_CREATE, &file), ERR_OK);
    cr_assert_eq(io_write(file, 0, out, SIZE, 0), ERR_OK);
    /* Two blocks and a bit "came": reading goes on behind the two. */
    memcpy(in, out, 2 * IO_BLOCK_BYTES);
    cr_assert_eq(tell(URING_STEP_READ, file, in, 0, SIZE, 2 * IO_BLOCK_BYTES + 17), SIZE);
    cr_assert_arr_eq(in, out, SIZE);
    cr_assert_eq(tell(URING_STEP_READ, file, in, 0, SIZE, -EINTR), SIZE);
    cr_assert_eq(tell(URING_STEP_READ, file, in, 0, SIZE, 17), -ENODATA, "no progress, no loop");
    cr_assert_eq(tell(URING_STEP_READ, file, in, 0, SIZE, -EIO), -EIO);
    /* The first block "was written" (it was); the rest must be written now. */
    cr_assert_eq(tell(URING_STEP_WRITE, file, out, SIZE, SIZE, IO_BLOCK_BYTES), SIZE);
    cr_assert_eq(io_file_size(file), 2 * SIZE);
    cr_assert_eq(io_read(file, SIZE + IO_BLOCK_BYTES, in, SIZE - IO_BLOCK_BYTES), ERR_OK);
    cr_assert_arr_eq(in, out + IO_BLOCK_BYTES, SIZE - IO_BLOCK_BYTES);
    cr_assert_eq(tell(URING_STEP_WRITE, file, out, 0, SIZE, -ENOSPC), -ENOSPC);
    cr_assert_eq(tell(URING_STEP_SYNC, file, NULL, 0, 0, -EINTR), 0, "tried again");
    cr_assert_eq(tell(URING_STEP_SYNC, file, NULL, 0, 0, -EIO), -EIO, "not tried again");
    io_close(&file);
    mem_free_aligned(MEM_RUNTIME, in, BYTES);
    mem_free_aligned(MEM_RUNTIME, out, BYTES);
}

Test(uring_files, short_and_interrupted_transfers_are_continued)
{
    uring_world_run(&world, short_transfers, NULL);
}

static void
no_fallocate(void *arg)
{
    struct io_file *file = NULL;
    uint8_t *bytes = pattern_new(8);
    struct stat status;

    (void)arg;
    cr_assert_eq(io_open("zeros", IO_CREATE, &file), ERR_OK);
    cr_assert_eq(io_write(file, 0, bytes, IO_BLOCK_BYTES, 0), ERR_OK);
    cr_assert_eq(tell(URING_STEP_ALLOCATE, file, NULL, 0, BYTES, -EOPNOTSUPP), 0);
    cr_assert_eq(io_file_size(file), BYTES);
    cr_assert_eq(io_read(file, 0, bytes, BYTES), ERR_OK);
    cr_assert_eq(bytes[1], 8 + 31, "what was there stays");
    for (size_t i = IO_BLOCK_BYTES; i < BYTES; i++) {
        cr_assert_eq(bytes[i], 0);
    }
    /* A part of a refused allocation may have grown the file. */
    cr_assert_eq(ftruncate(((struct uring_file *)file)->fd, 4 * BYTES), 0);
    cr_assert_eq(tell(URING_STEP_ALLOCATE, file, NULL, 0, UINT64_C(1) << 40, -ENOSPC), -ENOSPC);
    cr_assert_eq(io_file_size(file), BYTES);
    cr_assert_eq(fstat(((struct uring_file *)file)->fd, &status), 0);
    cr_assert_eq(status.st_size, BYTES);
    io_close(&file);
    mem_free_aligned(MEM_RUNTIME, bytes, BYTES);
}

Test(uring_files, a_file_system_without_fallocate_gets_zeros_written)
{
    uring_world_run(&world, no_fallocate, NULL);
}

static void
no_direct(void *arg)
{
    struct told told = {.op = {.done = told_done}, .fiber = fiber_self()};
    struct uring_file *file = MEM_NEW(MEM_RUNTIME, struct uring_file);
    struct io_file *opened;
    uint8_t *bytes = pattern_new(9);

    (void)arg;
    file->file.io = world.io;
    file->fd = -1;
    file->slot = -1;
    snprintf(file->file.path, sizeof(file->file.path), "buffered");
    told.op.private_[URING_OP_BUFFER] = (uint64_t)(uintptr_t)file->file.path;
    told.op.private_[URING_OP_OFFSET] = (uint64_t)(uintptr_t)file;
    told.op.private_[URING_OP_SIZE] = 1;
    told.op.private_[URING_OP_STATE] = URING_STEP_OPEN | IO_CREATE << 8;
    uring_op_completed(uring_of(world.io), &told.op, -EINVAL);
    while (!told.is_done) {
        fiber_suspend();
    }
    cr_assert_eq(told.op.result, 0);
    opened = told.op.file;
    cr_assert_eq(fcntl(file->fd, F_GETFL) & O_DIRECT, 0);
    cr_assert_eq(io_write(opened, 0, bytes, BYTES, IO_DURABLE), ERR_OK);
    cr_assert_eq(io_read(opened, 0, bytes, BYTES), ERR_OK);
    io_close(&opened);
    mem_free_aligned(MEM_RUNTIME, bytes, BYTES);
}

Test(uring_files, a_file_system_without_direct_access_is_used_through_its_cache)
{
    uring_world_run(&world, no_direct, NULL);
}

static uint32_t nops_done;

static void
nop_done(struct io_op *op)
{
    cr_assert_eq(op->result, 0);
    nops_done++;
}

/* A ring that is not enabled refuses every submission, as an exhausted kernel may for a while. */
Test(uring_files, operations_that_the_kernel_refuses_for_now_are_not_lost, .init = NULL,
     .fini = NULL)
{
    struct mem_account *account = mem_account_new("test");
    struct uring_group_options options = {.shards = 1, .accounts = &account};
    struct uring_group *group = NULL;
    static struct io_op ops[OPS];
    struct io *io;

    cr_assert_eq(uring_group_new(&options, &group), ERR_OK);
    io = uring_group_io(group, 0);
    mem_account_bind(account);
    for (uint32_t i = 0; i < OPS; i++) {
        struct io_uring_sqe *sqe = uring_sqe(uring_of(io));

        ops[i].done = nop_done;
        ops[i].private_[URING_OP_STATE] = URING_STEP_NOP;
        io_uring_prep_nop(sqe);
        uring_sqe_tag(sqe, &ops[i], URING_KIND_OP);
    }
    cr_assert_gt(uring_of(io)->backlog_count, 0);
    cr_assert_eq(uring_enable(io), ERR_OK);
    for (uint32_t turn = 0; turn < 100 && nops_done < OPS; turn++) {
        io->ops->wait(io, io->ops->monotonic_us(io) + 1000);
        io->ops->poll(io);
    }
    cr_assert_eq(nops_done, OPS);
    uring_disable(io);
    uring_group_free(&group);
    mem_account_free(account);
}

static void
double_number(void *arg)
{
    *(int *)arg *= 2;
}

static void
helper_calls(void *arg)
{
    int *numbers = arg;

    for (int i = 0; i < 100; i++) {
        numbers[i] = i;
        cr_assert_eq(io_helper_run(double_number, &numbers[i]), ERR_OK);
    }
}

Test(uring_files, helper_threads_run_a_function_and_wake_the_fiber)
{
    int numbers[100];

    uring_world_run(&world, helper_calls, numbers);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(numbers[i], 2 * i);
    }
}

static void
clocks(void *arg)
{
    uint64_t before_us = shard_now_us();
    uint8_t a[512] = {0};
    uint8_t b[512] = {0};

    (void)arg;
    cr_assert_eq(fiber_sleep_us(20000), ERR_OK);
    cr_assert_geq(shard_now_us(), before_us + 20000);
    cr_assert_lt(shard_now_us(), before_us + 5000000);
    cr_assert_gt(io_wall_us(), UINT64_C(1600000000) * 1000000);
    io_random(a, sizeof(a));
    io_random(b, sizeof(b));
    cr_assert_neq(memcmp(a, b, sizeof(a)), 0);
}

Test(uring_files, clocks_advance_and_random_bytes_differ)
{
    uring_world_run(&world, clocks, NULL);
}
