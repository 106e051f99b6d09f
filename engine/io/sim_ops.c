/* engine/io/sim_ops.c - the seam's operations as events: drawn to last a while, to fail, to come in
 * two steps, to hit the wrong place.
 *
 * What an operation does to the disk it does when its event is due, so operations in flight
 * together are done in any order, and a crash finds some of them not done. */
#include "engine/io/sim_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { BUFFER_NOT_READ_YET = 0xA5 };

static struct sim_io *
sim_io_of(struct io *io)
{
    ASSERT(io->magic == IO_MAGIC);
    return CONTAINER_OF(io, struct sim_io, base);
}

/* ---- The heap of events. ---- */

static bool
event_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->seq < b->seq;
}

static void
heap_swap(struct sim_io *io, uint32_t a, uint32_t b)
{
    struct sim_event *event = io->heap[a];

    io->heap[a] = io->heap[b];
    io->heap[b] = event;
}

void
sim_event_push(struct sim_io *io, struct sim_event *event)
{
    uint32_t at = io->heap_count;

    event->seq = ++io->world->seq;
    if (io->heap_count == io->heap_capacity) {
        uint32_t capacity = MAX(64u, io->heap_capacity * 2);

        io->heap = sim_realloc(io->world, io->heap, io->heap_capacity * sizeof(struct sim_event *),
                               capacity * sizeof(struct sim_event *));
        io->heap_capacity = capacity;
    }
    io->heap[io->heap_count++] = event;
    while (at > 0 && event_before(io->heap[at], io->heap[(at - 1) / 2])) {
        heap_swap(io, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static struct sim_event *
event_pop(struct sim_io *io)
{
    struct sim_event *event = io->heap[0];
    uint32_t at = 0;

    io->heap[0] = io->heap[--io->heap_count];
    for (;;) {
        uint32_t least = at;

        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2; child++) {
            if (child < io->heap_count && event_before(io->heap[child], io->heap[least])) {
                least = child;
            }
        }
        if (least == at) {
            return event;
        }
        heap_swap(io, at, least);
        at = least;
    }
}

uint64_t
sim_event_next_us(const struct sim_io *io)
{
    return io->heap_count == 0 ? DEADLINE_NONE : io->heap[0]->due_us;
}

static void
event_free(struct sim_world *world, struct sim_event *event)
{
    if (event->file != NULL) {
        event->file->in_flight--;
    }
    if (event->inode != NULL) {
        event->inode->in_flight--;
    }
    sim_free(world, event, sizeof(*event));
}

/* ---- Starting. ---- */

/* The first rule that fits says how the operation ends. */
static void
rules_apply(struct sim_world *world, struct sim_event *event)
{
    for (uint32_t i = 0; i < SIM_FAIL_RULES_MAX; i++) {
        struct sim_fail_rule *rule = &world->rules[i];

        if (!rule->is_active || rule->op != event->kind ||
            strstr(event->path, rule->path_part) == NULL) {
            continue;
        }
        if (rule->skip > 0) {
            rule->skip--;
            continue;
        }
        rule->times--;
        rule->is_active = rule->times > 0;
        event->fail = rule->negative_errno;
        event->astray = rule->astray;
        return;
    }
}

static const struct sim_range *
latency_of(const struct sim_options *options, const struct sim_event *event)
{
    switch (event->kind) {
    case SIM_OP_READ:
        return &options->read;
    case SIM_OP_WRITE:
        return (event->flags & IO_DURABLE) != 0 ? &options->write_durable : &options->write;
    case SIM_OP_SYNC:
    case SIM_OP_SYNC_DIR:
        return &options->sync;
    case SIM_OP_HELPER:
        return &options->helper;
    default:
        return &options->name;
    }
}

static struct sim_event *
event_new(struct sim_io *io, enum sim_op kind, struct io_op *op)
{
    struct sim_event *event = sim_alloc(io->world, sizeof(*event));

    event->kind = kind;
    event->op = op;
    return event;
}

static void
event_on_file(struct sim_event *event, struct io_file *file)
{
    event->file = CONTAINER_OF(file, struct sim_file, base);
    event->file->in_flight++;
    event->inode = event->file->inode;
    event->inode->in_flight++;
    snprintf(event->path, sizeof(event->path), "%s", file->path);
}

static void
event_start(struct sim_io *io, struct sim_event *event)
{
    struct sim_world *world = io->world;
    uint64_t delay_us = sim_draw_us(world, latency_of(&world->options, event));

    world->counters.ops[event->kind]++;
    if (sim_draw_fault(world, SIM_FAULT_LATENCY_SPIKE, world->options.latency_spike_ppm)) {
        delay_us += sim_draw_us(world, &world->options.latency_spike);
    }
    rules_apply(world, event);
    event->due_us = world->now_us + delay_us;
    sim_trace(world, sim_op_name(event->kind), io->id, event->path, event->offset, event->size);
    sim_event_push(io, event);
}

static void
ops_open(struct io *base, struct io_op *op, const char *path, uint32_t flags)
{
    struct sim_io *io = sim_io_of(base);
    struct sim_event *event = event_new(io, SIM_OP_OPEN, op);

    ASSERT(strlen(path) < IO_PATH_BYTES_MAX);
    snprintf(event->path, sizeof(event->path), "%s", path);
    event->flags = flags;
    event_start(io, event);
}

static void
ops_close(struct io *base, struct io_file *file)
{
    struct sim_io *io = sim_io_of(base);
    struct sim_file *closing = CONTAINER_OF(file, struct sim_file, base);
    struct sim_file **link = &io->files;

    ASSERT(closing->in_flight == 0);
    while (*link != closing) {
        ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = closing->next;
    ASSERT(closing->inode->handles > 0);
    closing->inode->handles--;
    if (closing->inode->handles == 0 && closing->inode->links == 0) {
        sim_disk_collect(io->world);
    }
    sim_free(io->world, closing, sizeof(*closing));
}

static void
ops_transfer(struct sim_io *io, struct sim_event *event, struct io_file *file, uint64_t offset,
             void *buffer, size_t size)
{
    ASSERT(offset % IO_BLOCK_BYTES == 0);
    ASSERT(size % IO_BLOCK_BYTES == 0);
    ASSERT(size > 0);
    ASSERT((uintptr_t)buffer % MEM_IO_ALIGN == 0);
    event->offset = offset;
    event->buffer = buffer;
    event->size = size;
    event_on_file(event, file);
    if (sim_prng_chance(io->world, io->world->options.bit_flip_ppm)) {
        sim_disk_flip_any(io->world, NULL);
    }
    event_start(io, event);
}

static void
ops_read(struct io *base, struct io_op *op, struct io_file *file, uint64_t offset, void *buffer,
         size_t size)
{
    struct sim_io *io = sim_io_of(base);

    memset(buffer, BUFFER_NOT_READ_YET, size);
    ops_transfer(io, event_new(io, SIM_OP_READ, op), file, offset, buffer, size);
}

static void
ops_write(struct io *base, struct io_op *op, struct io_file *file, uint64_t offset,
          const void *buffer, size_t size, uint32_t flags)
{
    struct sim_io *io = sim_io_of(base);
    struct sim_event *event = event_new(io, SIM_OP_WRITE, op);

    event->flags = flags;
    event->buffer_hash = XXH3_64bits(buffer, size);
    ops_transfer(io, event, file, offset, (void *)(uintptr_t)buffer, size);
}

static void
ops_sync(struct io *base, struct io_op *op, struct io_file *file)
{
    struct sim_io *io = sim_io_of(base);
    struct sim_event *event = event_new(io, SIM_OP_SYNC, op);

    event_on_file(event, file);
    event->sync_seq = io->world->seq;
    sim_disk_sync_begin(io->world, event->inode, event->sync_seq);
    event_start(io, event);
}

static void
ops_resize(struct io *base, struct io_op *op, enum sim_op kind, struct io_file *file, uint64_t size)
{
    struct sim_io *io = sim_io_of(base);
    struct sim_event *event = event_new(io, kind, op);

    ASSERT(size % IO_BLOCK_BYTES == 0);
    event_on_file(event, file);
    event->offset = size;
    event_start(io, event);
}

static void
ops_allocate(struct io *base, struct io_op *op, struct io_file *file, uint64_t size)
{
    ops_resize(base, op, SIM_OP_ALLOCATE, file, size);
}

static void
ops_truncate(struct io *base, struct io_op *op, struct io_file *file, uint64_t size)
{
    ops_resize(base, op, SIM_OP_TRUNCATE, file, size);
}

static void
ops_name(struct io *base, struct io_op *op, enum sim_op kind, const char *path, const char *to)
{
    struct sim_io *io = sim_io_of(base);
    struct sim_event *event = event_new(io, kind, op);

    ASSERT(strlen(path) < IO_PATH_BYTES_MAX);
    ASSERT(strlen(to) < IO_PATH_BYTES_MAX);
    snprintf(event->path, sizeof(event->path), "%s", path);
    snprintf(event->to_path, sizeof(event->to_path), "%s", to);
    event->sync_seq = io->world->seq;
    event_start(io, event);
}

static void
ops_rename(struct io *base, struct io_op *op, const char *from, const char *to)
{
    ops_name(base, op, SIM_OP_RENAME, from, to);
}

static void
ops_link(struct io *base, struct io_op *op, const char *from, const char *to)
{
    ops_name(base, op, SIM_OP_LINK, from, to);
}

static void
ops_rmdir(struct io *base, struct io_op *op, const char *path)
{
    ops_name(base, op, SIM_OP_RMDIR, path, "");
}

static void
ops_unlink(struct io *base, struct io_op *op, const char *path)
{
    ops_name(base, op, SIM_OP_UNLINK, path, "");
}

static void
ops_mkdir(struct io *base, struct io_op *op, const char *path)
{
    ops_name(base, op, SIM_OP_MKDIR, path, "");
}

static void
ops_sync_dir(struct io *base, struct io_op *op, const char *path)
{
    ops_name(base, op, SIM_OP_SYNC_DIR, path, "");
}

static void
ops_helper(struct io *base, struct io_op *op, void (*fn)(void *), void *arg)
{
    struct sim_io *io = sim_io_of(base);
    struct sim_event *event = event_new(io, SIM_OP_HELPER, op);

    event->fn = fn;
    event->arg = arg;
    event_start(io, event);
}

/* ---- Doing. ---- */

static bool
read_hits_bad_block(const struct sim_event *event)
{
    uint64_t first = event->offset / IO_BLOCK_BYTES;

    for (uint64_t i = first; i < first + event->size / IO_BLOCK_BYTES; i++) {
        if (i < event->inode->block_count && event->inode->blocks[i].is_bad) {
            return true;
        }
    }
    return false;
}

static void
block_make_bad(struct sim_world *world, const struct sim_event *event)
{
    uint64_t index =
        event->offset / IO_BLOCK_BYTES + sim_prng_below(world, event->size / IO_BLOCK_BYTES);

    if (index < event->inode->block_count) {
        event->inode->blocks[index].is_bad = true;
    }
}

/* The rest of a read. */
static int64_t
do_read(struct sim_world *world, struct sim_event *event)
{
    uint64_t end = event->offset + event->size;

    if (end > event->inode->size) {
        return -ENODATA; /* By the seam's rule: the data ends early. */
    }
    if (read_hits_bad_block(event)) {
        return -EIO;
    }
    if (sim_draw_fault(world, SIM_FAULT_EIO_READ, world->options.eio_read_ppm)) {
        if (sim_prng_below(world, 2) == 0) {
            block_make_bad(world, event);
        }
        return -EIO;
    }
    for (uint64_t at = event->offset + event->transferred; at < end; at += IO_BLOCK_BYTES) {
        sim_disk_read_block(event->inode, at / IO_BLOCK_BYTES,
                            (uint8_t *)event->buffer + (at - event->offset));
    }
    return (int64_t)event->size;
}

/* Where a write lands that should have gone to `index`: another block of this or another file. */
static bool
misdirect(struct sim_world *world, const struct sim_event *event, uint64_t index,
          struct sim_inode **inode_out, uint64_t *index_out)
{
    struct sim_inode *inode = event->inode;
    uint64_t blocks;

    if (sim_prng_below(world, 3) == 0) {
        inode = sim_disk_draw_file(world, NULL);
    }
    blocks = inode == NULL ? 0 : inode->size / IO_BLOCK_BYTES;
    if (blocks == 0) {
        return false;
    }
    *inode_out = inode;
    *index_out = sim_prng_below(world, blocks);
    return inode != event->inode || *index_out != index;
}

static void
write_one(struct sim_world *world, struct sim_event *event, uint64_t at, bool is_durable)
{
    uint64_t index = (event->offset + at) / IO_BLOCK_BYTES;
    const uint8_t *bytes = (const uint8_t *)event->buffer + at;
    struct sim_inode *inode = event->inode;

    sim_disk_write_block(world, inode, index, bytes, is_durable);
}

/* A write that is acknowledged but hits the wrong place, or none. The file grows all the same. */
static bool
write_astray(struct sim_world *world, struct sim_event *event, bool is_durable)
{
    uint64_t at = sim_prng_below(world, event->size / IO_BLOCK_BYTES) * IO_BLOCK_BYTES;
    uint64_t index = (event->offset + at) / IO_BLOCK_BYTES;
    bool is_stale =
        event->astray == SIM_ASTRAY_STALE || sim_prng_chance(world, world->options.stale_ppm);
    bool is_misdirected = !is_stale && (event->astray == SIM_ASTRAY_MISDIRECTED ||
                                        sim_prng_chance(world, world->options.misdirected_ppm));
    bool is_whole; /* All blocks are dropped and not only one. */
    uint8_t old[IO_BLOCK_BYTES];
    struct sim_inode *inode;
    uint64_t other;

    if (!is_stale && !is_misdirected) {
        return false;
    }
    is_whole = is_stale && sim_prng_below(world, 2) == 0;
    for (uint64_t each = 0; each < event->size; each += IO_BLOCK_BYTES) {
        if (is_whole || each == at) {
            sim_disk_read_block(event->inode, (event->offset + each) / IO_BLOCK_BYTES, old);
            sim_disk_write_block(world, event->inode, (event->offset + each) / IO_BLOCK_BYTES, old,
                                 is_durable);
        } else {
            write_one(world, event, each, is_durable);
        }
    }
    if (is_stale) {
        world->counters.faults[SIM_FAULT_STALE]++;
    } else if (misdirect(world, event, index, &inode, &other)) {
        sim_disk_write_block(world, inode, other, (const uint8_t *)event->buffer + at, is_durable);
        world->counters.faults[SIM_FAULT_MISDIRECTED]++;
        sim_trace(world, "misdirected", 0, event->path, index, other);
    }
    return true;
}

/* A failed or cut write: each block is written or not, or (a power cut may follow) pending. */
static void
write_in_part(struct sim_world *world, struct sim_event *event)
{
    uint64_t mood = sim_prng_below(world, 4);

    for (uint64_t at = event->transferred; at < event->size; at += IO_BLOCK_BYTES) {
        if (mood == 0 || (mood > 1 && sim_prng_below(world, 2) == 0)) {
            write_one(world, event, at, false);
        }
    }
}

static int64_t
do_write(struct sim_world *world, struct sim_event *event)
{
    bool is_durable = (event->flags & IO_DURABLE) != 0;

    ASSERT(XXH3_64bits(event->buffer, event->size) == event->buffer_hash);
    if (!sim_disk_has_room(world, event->inode, event->offset + event->size) ||
        (event->offset + event->size > event->inode->size &&
         sim_prng_chance(world, world->options.no_space_ppm))) {
        world->counters.faults[SIM_FAULT_NO_SPACE]++;
        return -ENOSPC;
    }
    if (sim_draw_fault(world, SIM_FAULT_EIO_WRITE, world->options.eio_write_ppm)) {
        write_in_part(world, event);
        return -EIO;
    }
    if (!write_astray(world, event, is_durable)) {
        for (uint64_t at = event->transferred; at < event->size; at += IO_BLOCK_BYTES) {
            write_one(world, event, at, is_durable);
        }
    }
    event->file->base.size = MAX(event->file->base.size, event->offset + event->size);
    return (int64_t)event->size;
}

static int64_t
do_sync(struct sim_world *world, struct sim_event *event)
{
    if (event->fail != 0 ||
        sim_draw_fault(world, SIM_FAULT_EIO_SYNC, world->options.eio_sync_ppm)) {
        sim_disk_sync_fail(world, event->inode, event->sync_seq);
        return event->fail != 0 ? event->fail : -EIO;
    }
    sim_disk_sync_end(world, event->inode, event->sync_seq);
    return 0;
}

static int64_t
do_resize(struct sim_world *world, struct sim_event *event)
{
    uint64_t size = event->offset;
    int result;

    if (event->kind == SIM_OP_ALLOCATE && size <= event->inode->size) {
        return 0;
    }
    if (size > event->inode->size &&
        sim_draw_fault(world, SIM_FAULT_NO_SPACE, world->options.no_space_ppm)) {
        return -ENOSPC;
    }
    result = sim_disk_resize(world, event->inode, size);
    if (result == 0) {
        event->file->base.size = size;
    } else {
        world->counters.faults[SIM_FAULT_NO_SPACE]++;
    }
    return result;
}

static int64_t
do_open(struct sim_io *io, struct sim_event *event)
{
    struct sim_world *world = io->world;
    struct sim_inode *inode = NULL;
    struct sim_file *file;
    int result;

    if ((event->flags & IO_CREATE) != 0 && !sim_disk_exists(world, event->path) &&
        sim_draw_fault(world, SIM_FAULT_NO_SPACE, world->options.no_space_ppm)) {
        return -ENOSPC;
    }
    result = sim_disk_open(world, event->path, event->flags, &inode);
    if (result != 0) {
        return result;
    }
    file = sim_alloc(world, sizeof(*file));
    file->base.io = &io->base;
    file->base.size = inode->size;
    snprintf(file->base.path, sizeof(file->base.path), "%s", event->path);
    file->inode = inode;
    file->next = io->files;
    io->files = file;
    inode->handles++;
    event->op->file = &file->base;
    return 0;
}

static int64_t
event_perform(struct sim_io *io, struct sim_event *event)
{
    struct sim_world *world = io->world;

    if (event->fail != 0 && event->kind != SIM_OP_SYNC) {
        if (event->kind == SIM_OP_WRITE) {
            write_in_part(world, event);
        }
        return event->fail;
    }
    switch (event->kind) {
    case SIM_OP_OPEN:
        return do_open(io, event);
    case SIM_OP_READ:
        return do_read(world, event);
    case SIM_OP_WRITE:
        return do_write(world, event);
    case SIM_OP_SYNC:
        return do_sync(world, event);
    case SIM_OP_ALLOCATE:
    case SIM_OP_TRUNCATE:
        return do_resize(world, event);
    case SIM_OP_RENAME:
        return sim_disk_rename(world, event->path, event->to_path);
    case SIM_OP_LINK:
        return sim_disk_link(world, event->path, event->to_path);
    case SIM_OP_RMDIR:
        return sim_disk_rmdir(world, event->path);
    case SIM_OP_UNLINK:
        return sim_disk_unlink(world, event->path);
    case SIM_OP_MKDIR:
        return sim_disk_mkdir(world, event->path);
    case SIM_OP_SYNC_DIR:
        return sim_disk_sync_names(world, event->path, event->sync_seq);
    case SIM_OP_HELPER:
        event->fn(event->arg);
        return 0;
    case SIM_OP_COUNT:
        break;
    }
    UNREACHABLE();
}

/* The first part of a transfer of several blocks now, the rest later. */
static bool
event_is_split(struct sim_io *io, struct sim_event *event)
{
    struct sim_world *world = io->world;
    uint64_t blocks = event->size / IO_BLOCK_BYTES;
    uint64_t end = event->offset + event->size;

    if ((event->kind != SIM_OP_READ && event->kind != SIM_OP_WRITE) || event->fail != 0 ||
        event->astray != SIM_ASTRAY_NONE || event->transferred > 0 || blocks < 2 ||
        end > event->inode->size ||
        !sim_draw_fault(world, SIM_FAULT_SHORT_TRANSFER, world->options.short_transfer_ppm)) {
        return false;
    }
    event->transferred = (1 + sim_prng_below(world, blocks - 1)) * IO_BLOCK_BYTES;
    for (uint64_t at = 0; at < event->transferred; at += IO_BLOCK_BYTES) {
        if (event->kind == SIM_OP_WRITE) {
            write_one(world, event, at, (event->flags & IO_DURABLE) != 0);
        } else {
            sim_disk_read_block(event->inode, (event->offset + at) / IO_BLOCK_BYTES,
                                (uint8_t *)event->buffer + at);
        }
    }
    event->due_us = world->now_us + sim_draw_us(world, latency_of(&world->options, event));
    sim_event_push(io, event);
    return true;
}

static void
event_deliver(struct sim_io *io, struct sim_event *event)
{
    struct io_op *op = event->op;
    struct msg *msg = event->msg;

    if (msg != NULL) {
        sim_trace(io->world, "deliver", io->id, "", msg->is_reply ? msg->to : msg->from,
                  msg->is_reply);
        event_free(io->world, event);
        msg_deliver(msg);
        return;
    }
    if (event_is_split(io, event)) {
        return;
    }
    op->result = event_perform(io, event);
    sim_trace(io->world, "done", io->id, event->path, event->kind, (uint64_t)op->result);
    event_free(io->world, event);
    op->done(op);
}

static uint32_t
ops_poll(struct io *base)
{
    struct sim_io *io = sim_io_of(base);
    uint32_t count = 0;

    while (io->heap_count > 0 && io->heap[0]->due_us <= io->world->now_us) {
        event_deliver(io, event_pop(io));
        count++;
    }
    return count;
}

/* ---- The crash. ---- */

static void
event_crash(struct sim_io *io, struct sim_event *event)
{
    struct sim_world *world = io->world;
    struct sim_inode *inode = NULL;
    bool is_done = sim_prng_below(world, 2) == 0;

    switch (event->msg != NULL ? SIM_OP_COUNT : event->kind) {
    case SIM_OP_WRITE:
        if (sim_disk_has_room(world, event->inode, event->offset + event->size)) {
            write_in_part(world, event);
            world->counters.faults[SIM_FAULT_CUT_IN_FLIGHT]++;
        }
        break;
    case SIM_OP_SYNC:
        event->inode->syncs_in_flight--;
        break;
    case SIM_OP_ALLOCATE:
    case SIM_OP_TRUNCATE:
        if (is_done && (event->kind == SIM_OP_TRUNCATE || event->offset > event->inode->size)) {
            sim_disk_resize(world, event->inode, event->offset);
        }
        break;
    case SIM_OP_OPEN:
        if (is_done && (event->flags & IO_CREATE) != 0) {
            sim_disk_open(world, event->path, event->flags, &inode);
        }
        break;
    case SIM_OP_RENAME:
    case SIM_OP_LINK:
    case SIM_OP_RMDIR:
    case SIM_OP_UNLINK:
    case SIM_OP_MKDIR:
    case SIM_OP_SYNC_DIR:
        if (is_done) {
            event_perform(io, event);
        }
        break;
    default:
        break;
    }
    event_free(world, event);
}

void
sim_ops_crash(struct sim_io *io)
{
    while (io->heap_count > 0) {
        event_crash(io, event_pop(io));
    }
    sim_free(io->world, io->heap, io->heap_capacity * sizeof(struct sim_event *));
    io->heap = NULL;
    io->heap_capacity = 0;
    while (io->files != NULL) {
        struct sim_file *file = io->files;

        ASSERT(file->in_flight == 0);
        io->files = file->next;
        file->inode->handles--;
        sim_free(io->world, file, sizeof(*file));
    }
}

/* ---- All else. ---- */

static int
ops_list(struct io *base, const char *path, void (*visit)(const char *, void *), void *arg)
{
    return sim_disk_list(sim_io_of(base)->world, path, visit, arg);
}

static int64_t
ops_free_bytes(struct io *base)
{
    const struct sim_world *world = sim_io_of(base)->world;
    uint64_t used = sim_disk_used(world);

    if (world->options.disk_bytes == 0) {
        return (int64_t)GIB(1024);
    }
    return used >= world->options.disk_bytes ? 0 : (int64_t)(world->options.disk_bytes - used);
}

static uint64_t
ops_monotonic_us(struct io *base)
{
    return sim_io_of(base)->world->now_us;
}

static uint64_t
ops_wall_us(struct io *base)
{
    const struct sim_world *world = sim_io_of(base)->world;

    return (uint64_t)((int64_t)world->now_us + world->wall_offset_us);
}

static void
ops_random(struct io *base, void *out, size_t size)
{
    struct sim_world *world = sim_io_of(base)->world;

    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)out)[i] = (uint8_t)sim_prng_below(world, 256);
    }
}

static void
ops_post(struct io *base, struct msg *msg)
{
    struct sim_io *io = sim_io_of(base);
    struct sim_world *world = io->world;
    uint32_t to = msg->is_reply ? msg->from : msg->to;
    struct sim_io *peer = &world->ios[to];
    struct sim_event *event = sim_alloc(world, sizeof(*event));
    uint64_t due_us = world->now_us + sim_draw_us(world, &world->options.message);

    ASSERT(to < world->shards);
    if (sim_draw_fault(world, SIM_FAULT_MESSAGE_DELAY, world->options.message_delay_ppm)) {
        due_us += sim_draw_us(world, &world->options.message_delay);
    }
    due_us = MAX(due_us, peer->last_message_us[io->id]);
    peer->last_message_us[io->id] = due_us;
    world->counters.messages++;
    event->msg = msg;
    event->due_us = due_us;
    sim_trace(world, "post", io->id, "", to, msg->is_reply);
    sim_event_push(peer, event);
}

static void
ops_submit(struct io *base)
{
    (void)sim_io_of(base); /* Operations start when they are called. */
}

static void
ops_wait(struct io *base, uint64_t deadline_us)
{
    (void)base;
    (void)deadline_us;
    UNREACHABLE(); /* The world turns the shards; none may sleep. */
}

static void
ops_wake(struct io *base)
{
    sim_io_of(base)->is_runnable = true;
}

const struct io_ops sim_io_ops = {
    .open = ops_open,
    .close = ops_close,
    .read = ops_read,
    .write = ops_write,
    .sync = ops_sync,
    .allocate = ops_allocate,
    .truncate = ops_truncate,
    .rename = ops_rename,
    .link = ops_link,
    .unlink = ops_unlink,
    .rmdir = ops_rmdir,
    .mkdir = ops_mkdir,
    .sync_dir = ops_sync_dir,
    .list = ops_list,
    .free_bytes = ops_free_bytes,
    .monotonic_us = ops_monotonic_us,
    .wall_us = ops_wall_us,
    .random_bytes = ops_random,
    .helper = ops_helper,
    .post = ops_post,
    .poll = ops_poll,
    .submit = ops_submit,
    .wait = ops_wait,
    .wake = ops_wake,
};
