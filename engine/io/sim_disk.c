/* engine/io/sim_disk.c - the simulated disk: files as blocks in memory, and what a sync keeps and
 * a power cut loses. Names are in sim_names.c.
 *
 * Each block has the bytes that readers see and, while it is pending, the bytes that a power cut
 * may fall back to. A disk writes back when it likes; so when a pending block is overwritten, the
 * older pending bytes sometimes become the ones to fall back to, and always when a sync in flight
 * had covered them. */
#include "engine/io/sim_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

/* How a power cut treats what is pending: a whole mood for one cut, so that all-lost and all-kept
 * come often enough beside the mixtures. Per million. */
struct cut_mood {
    uint32_t kept;
    uint32_t torn;
};

static bool
is_zero(const uint8_t *bytes)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, IO_BLOCK_BYTES - 1) == 0;
}

/* NULL for zeros. */
static uint8_t *
bytes_copy(struct sim_world *world, const uint8_t *bytes)
{
    uint8_t *copy;

    if (bytes == NULL || is_zero(bytes)) {
        return NULL;
    }
    copy = sim_alloc(world, IO_BLOCK_BYTES);
    memcpy(copy, bytes, IO_BLOCK_BYTES);
    return copy;
}

static void
bytes_free(struct sim_world *world, uint8_t **bytes)
{
    if (*bytes != NULL) {
        sim_free(world, *bytes, IO_BLOCK_BYTES);
        *bytes = NULL;
    }
}

static void
blocks_grow(struct sim_world *world, struct sim_inode *inode, uint64_t count)
{
    uint64_t room = MAX(count, inode->block_count * 2);

    ASSERT(count <= SIM_FILE_BLOCKS_MAX);
    if (count <= inode->block_count) {
        return;
    }
    inode->blocks = sim_realloc(world, inode->blocks, inode->block_count * sizeof(*inode->blocks),
                                room * sizeof(*inode->blocks));
    memset(inode->blocks + inode->block_count, 0,
           (room - inode->block_count) * sizeof(*inode->blocks));
    inode->block_count = room;
}

static void
block_settle(struct sim_world *world, struct sim_block *block)
{
    bytes_free(world, &block->durable);
    block->is_pending = false;
    block->is_orphaned = false;
}

static void
block_drop(struct sim_world *world, struct sim_block *block)
{
    block_settle(world, block);
    bytes_free(world, &block->current);
    block->is_bad = false;
}

/* Make `bytes` (moved; NULL for zeros) what readers see. */
static void
block_put(struct sim_world *world, struct sim_inode *inode, struct sim_block *block, uint8_t *bytes,
          bool is_durable)
{
    block->is_bad = false;
    if (is_durable) {
        bytes_free(world, &block->current);
        block->current = bytes;
        block_settle(world, block);
        return;
    }
    if (!block->is_pending) {
        block->durable = block->current;
    } else if ((inode->syncs_in_flight > 0 && block->seq <= inode->sync_seq) ||
               (!block->is_orphaned && sim_prng_chance(world, 300000))) {
        bytes_free(world, &block->durable);
        block->durable = block->current;
    } else {
        bytes_free(world, &block->current);
    }
    block->current = bytes;
    block->is_pending = true;
    block->is_orphaned = false;
    block->seq = ++world->seq;
}

/* The size that readers see; what a sync in flight covers becomes what a cut falls back to. */
static void
size_set(struct sim_world *world, struct sim_inode *inode, uint64_t size)
{
    if (size == inode->size) {
        return;
    }
    if (inode->is_size_pending && inode->syncs_in_flight > 0 &&
        inode->size_seq <= inode->sync_seq) {
        inode->size_durable = inode->size;
    }
    inode->size = size;
    inode->size_seq = ++world->seq;
    inode->is_size_pending = size != inode->size_durable;
}

void
sim_disk_write_block(struct sim_world *world, struct sim_inode *inode, uint64_t index,
                     const uint8_t *bytes, bool is_durable)
{
    uint64_t end = (index + 1) * IO_BLOCK_BYTES;

    ASSERT(!inode->is_dir);
    blocks_grow(world, inode, index + 1);
    block_put(world, inode, &inode->blocks[index], bytes_copy(world, bytes), is_durable);
    size_set(world, inode, MAX(end, inode->size));
    if (is_durable && end > inode->size_durable) {
        inode->size_durable = end;
    }
    if (inode->size_durable == inode->size) {
        inode->is_size_pending = false;
    }
}

void
sim_disk_read_block(const struct sim_inode *inode, uint64_t index, uint8_t *out)
{
    if (index >= inode->block_count || inode->blocks[index].current == NULL) {
        memset(out, 0, IO_BLOCK_BYTES);
        return;
    }
    memcpy(out, inode->blocks[index].current, IO_BLOCK_BYTES);
}

bool
sim_disk_has_room(const struct sim_world *world, const struct sim_inode *inode, uint64_t size)
{
    uint64_t limit = world->options.disk_bytes;

    return limit == 0 || size <= inode->size ||
           sim_disk_used(world) + (size - inode->size) <= limit;
}

int
sim_disk_resize(struct sim_world *world, struct sim_inode *inode, uint64_t size)
{
    uint64_t blocks = size / IO_BLOCK_BYTES;

    if (!sim_disk_has_room(world, inode, size)) {
        return -ENOSPC;
    }
    for (uint64_t i = blocks; i < inode->block_count && i * IO_BLOCK_BYTES < inode->size; i++) {
        block_put(world, inode, &inode->blocks[i], NULL, false);
    }
    size_set(world, inode, size);
    return 0;
}

void
sim_disk_sync_begin(struct sim_world *world, struct sim_inode *inode, uint64_t seq)
{
    (void)world;
    inode->syncs_in_flight++;
    inode->sync_seq = seq;
}

static bool
sync_covers(const struct sim_block *block, uint64_t seq)
{
    return block->is_pending && !block->is_orphaned && block->seq <= seq;
}

void
sim_disk_sync_end(struct sim_world *world, struct sim_inode *inode, uint64_t seq)
{
    ASSERT(inode->syncs_in_flight > 0);
    inode->syncs_in_flight--;
    for (uint64_t i = 0; i < inode->block_count; i++) {
        if (sync_covers(&inode->blocks[i], seq)) {
            block_settle(world, &inode->blocks[i]);
        }
    }
    if (inode->is_size_pending && inode->size_seq <= seq) {
        inode->size_durable = inode->size;
        inode->is_size_pending = false;
    }
}

void
sim_disk_sync_fail(struct sim_world *world, struct sim_inode *inode, uint64_t seq)
{
    (void)world;
    ASSERT(inode->syncs_in_flight > 0);
    inode->syncs_in_flight--;
    for (uint64_t i = 0; i < inode->block_count; i++) {
        if (sync_covers(&inode->blocks[i], seq)) {
            inode->blocks[i].is_orphaned = true;
        }
    }
}

/* ---- The power cut. ---- */

static void
block_tear(struct sim_world *world, struct sim_block *block)
{
    uint8_t mixed[IO_BLOCK_BYTES];
    bool has_mix = false;

    for (size_t at = 0; at < IO_BLOCK_BYTES; at += SIM_SECTOR_BYTES) {
        const uint8_t *from = sim_prng_below(world, 2) == 0 ? block->current : block->durable;

        has_mix = has_mix || from == block->durable;
        if (from == NULL) {
            memset(mixed + at, 0, SIM_SECTOR_BYTES);
        } else {
            memcpy(mixed + at, from + at, SIM_SECTOR_BYTES);
        }
    }
    bytes_free(world, &block->current);
    block->current = bytes_copy(world, mixed);
    world->counters.faults[SIM_FAULT_CUT_TORN] += has_mix;
}

static void
block_cut(struct sim_world *world, struct sim_block *block, const struct cut_mood *mood)
{
    uint64_t draw;

    if (!block->is_pending) {
        return;
    }
    draw = sim_prng_below(world, 1000000);
    if (draw < mood->torn) {
        block_tear(world, block);
    } else if (draw >= mood->torn + mood->kept) {
        bytes_free(world, &block->current);
        block->current = block->durable;
        block->durable = NULL;
        world->counters.faults[SIM_FAULT_CUT_LOST]++;
    }
    block_settle(world, block);
}

static void
file_cut(struct sim_world *world, struct sim_inode *inode, const struct cut_mood *mood)
{
    for (uint64_t i = 0; i < inode->block_count; i++) {
        block_cut(world, &inode->blocks[i], mood);
    }
    if (inode->is_size_pending && !sim_prng_chance(world, mood->kept + mood->torn / 2)) {
        inode->size = inode->size_durable;
        world->counters.faults[SIM_FAULT_CUT_SIZE]++;
    }
    inode->size_durable = inode->size;
    inode->is_size_pending = false;
    for (uint64_t i = inode->size / IO_BLOCK_BYTES; i < inode->block_count; i++) {
        block_drop(world, &inode->blocks[i]);
    }
}

static struct cut_mood
mood_draw(struct sim_world *world)
{
    switch (sim_prng_below(world, 8)) {
    case 0:
        return (struct cut_mood){.kept = 0, .torn = 0};
    case 1:
        return (struct cut_mood){.kept = 1000000, .torn = 0};
    case 2:
        return (struct cut_mood){.kept = 0, .torn = 1000000};
    case 3:
        return (struct cut_mood){.kept = 950000, .torn = 25000};
    default:
        break;
    }
    return (struct cut_mood){.kept = (uint32_t)sim_prng_below(world, 900000), .torn = 100000};
}

void
sim_disk_power_cut(struct sim_world *world)
{
    struct cut_mood mood = mood_draw(world);

    ASSERT(world->shards == 0);
    sim_names_cut(world, mood.kept + mood.torn / 2);
    for (struct sim_inode *inode = world->inodes; inode != NULL; inode = inode->next) {
        if (!inode->is_dir) {
            file_cut(world, inode, &mood);
        }
    }
    world->counters.power_cuts++;
    sim_disk_collect(world);
    sim_trace(world, "power cut", 0, "", mood.kept, mood.torn);
}

/* ---- Inodes. ---- */

struct sim_inode *
sim_inode_new(struct sim_world *world, bool is_dir)
{
    struct sim_inode *inode = sim_alloc(world, sizeof(*inode));

    inode->id = world->inode_id_next++;
    inode->is_dir = is_dir;
    if (world->inodes_last == NULL) {
        world->inodes = inode;
    } else {
        world->inodes_last->next = inode;
    }
    world->inodes_last = inode;
    return inode;
}

static void
inode_free(struct sim_world *world, struct sim_inode *inode)
{
    for (uint64_t i = 0; i < inode->block_count; i++) {
        block_drop(world, &inode->blocks[i]);
    }
    sim_free(world, inode->blocks, inode->block_count * sizeof(*inode->blocks));
    sim_names_free(world, &inode->current);
    sim_names_free(world, &inode->durable);
    sim_free(world, inode, sizeof(*inode));
}

void
sim_disk_collect(struct sim_world *world)
{
    struct sim_inode **link = &world->inodes;

    sim_names_mark(world);
    world->inodes_last = NULL;
    while (*link != NULL) {
        struct sim_inode *inode = *link;

        if (inode->is_marked || inode->handles > 0 || inode->in_flight > 0) {
            world->inodes_last = inode;
            link = &inode->next;
        } else {
            *link = inode->next;
            inode_free(world, inode);
        }
    }
}

void
sim_disk_init(struct sim_world *world)
{
    world->inode_id_next = 1;
    world->root = sim_inode_new(world, true);
}

void
sim_disk_fini(struct sim_world *world)
{
    sim_names_forget(world);
    while (world->inodes != NULL) {
        struct sim_inode *inode = world->inodes;

        ASSERT(inode->handles == 0);
        world->inodes = inode->next;
        inode_free(world, inode);
    }
    world->inodes_last = NULL;
    world->root = NULL;
}

void
sim_disk_heal(struct sim_world *world)
{
    for (struct sim_inode *inode = world->inodes; inode != NULL; inode = inode->next) {
        for (uint64_t i = 0; i < inode->block_count; i++) {
            inode->blocks[i].is_bad = false;
        }
    }
}

void
sim_disk_wipe(struct sim_world *world)
{
    ASSERT(world->shards == 0);
    sim_disk_fini(world);
    world->root = sim_inode_new(world, true);
    sim_trace(world, "wipe", 0, "", 0, 0);
}

/* ---- From outside. ---- */

uint64_t
sim_disk_used(const struct sim_world *world)
{
    uint64_t used = 0;

    for (const struct sim_inode *inode = world->inodes; inode != NULL; inode = inode->next) {
        if (!inode->is_dir && (inode->links > 0 || inode->handles > 0)) {
            used += inode->size;
        }
    }
    return used;
}

bool
sim_disk_exists(const struct sim_world *world, const char *path)
{
    return sim_disk_find(world, path) != NULL;
}

uint64_t
sim_disk_size(const struct sim_world *world, const char *path)
{
    const struct sim_inode *inode = sim_disk_find(world, path);

    return inode == NULL || inode->is_dir ? 0 : inode->size;
}

static struct sim_inode *
file_with_range(const struct sim_world *world, const char *path, uint64_t offset, size_t size)
{
    struct sim_inode *inode = sim_disk_find(world, path);

    if (inode == NULL || inode->is_dir || offset > inode->size || size > inode->size - offset) {
        return NULL;
    }
    return inode;
}

bool
sim_disk_peek(const struct sim_world *world, const char *path, uint64_t offset, void *out,
              size_t size)
{
    const struct sim_inode *inode = file_with_range(world, path, offset, size);
    uint8_t bytes[IO_BLOCK_BYTES];

    if (inode == NULL) {
        return false;
    }
    for (size_t done = 0; done < size;) {
        uint64_t at = offset + done;
        size_t inside = at % IO_BLOCK_BYTES;
        size_t part = MIN(size - done, IO_BLOCK_BYTES - inside);

        sim_disk_read_block(inode, at / IO_BLOCK_BYTES, bytes);
        memcpy((uint8_t *)out + done, bytes + inside, part);
        done += part;
    }
    return true;
}

/* Change one byte run inside of a block, in what is read and in what a power cut falls back to. */
static void
block_poke(struct sim_world *world, struct sim_block *block, size_t inside, const uint8_t *bytes,
           size_t size)
{
    uint8_t **versions[2] = {&block->current, &block->durable};

    for (size_t i = 0; i < (block->is_pending ? 2 : 1); i++) {
        if (*versions[i] == NULL) {
            *versions[i] = sim_alloc(world, IO_BLOCK_BYTES);
        }
        memcpy(*versions[i] + inside, bytes, size);
    }
}

bool
sim_disk_poke(struct sim_world *world, const char *path, uint64_t offset, const void *bytes,
              size_t size)
{
    struct sim_inode *inode = file_with_range(world, path, offset, size);

    if (inode == NULL) {
        return false;
    }
    blocks_grow(world, inode, inode->size / IO_BLOCK_BYTES);
    for (size_t done = 0; done < size;) {
        uint64_t at = offset + done;
        size_t inside = at % IO_BLOCK_BYTES;
        size_t part = MIN(size - done, IO_BLOCK_BYTES - inside);

        block_poke(world, &inode->blocks[at / IO_BLOCK_BYTES], inside,
                   (const uint8_t *)bytes + done, part);
        done += part;
    }
    return true;
}

static void
block_flip(struct sim_world *world, struct sim_block *block, uint32_t bit)
{
    uint8_t **versions[2] = {&block->current, &block->durable};

    for (size_t i = 0; i < (block->is_pending ? 2 : 1); i++) {
        if (*versions[i] == NULL) {
            *versions[i] = sim_alloc(world, IO_BLOCK_BYTES);
        }
        (*versions[i])[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

static void
inode_flip(struct sim_world *world, struct sim_inode *inode, uint64_t bit)
{
    uint64_t index = bit / 8 / IO_BLOCK_BYTES;

    blocks_grow(world, inode, index + 1);
    block_flip(world, &inode->blocks[index], (uint32_t)(bit % (8 * IO_BLOCK_BYTES)));
    world->counters.faults[SIM_FAULT_BIT_FLIP]++;
    sim_trace(world, "bit flip", 0, "", inode->id, bit);
}

bool
sim_disk_flip_bit(struct sim_world *world, const char *path, uint64_t bit)
{
    struct sim_inode *inode = file_with_range(world, path, bit / 8, 1);

    if (inode == NULL) {
        return false;
    }
    inode_flip(world, inode, bit);
    return true;
}

static bool
file_is_candidate(const struct sim_world *world, const struct sim_inode *inode,
                  const char *path_part)
{
    char path[IO_PATH_BYTES_MAX];

    if (inode->is_dir || inode->links == 0 || inode->size == 0) {
        return false;
    }
    if (path_part == NULL) {
        return true;
    }
    sim_names_path(world, inode, path);
    return strstr(path, path_part) != NULL;
}

struct sim_inode *
sim_disk_draw_file(struct sim_world *world, const char *path_part)
{
    uint64_t count = 0;
    uint64_t nth;

    for (struct sim_inode *inode = world->inodes; inode != NULL; inode = inode->next) {
        count += file_is_candidate(world, inode, path_part);
    }
    if (count == 0) {
        return NULL;
    }
    nth = sim_prng_below(world, count);
    for (struct sim_inode *inode = world->inodes; inode != NULL; inode = inode->next) {
        if (file_is_candidate(world, inode, path_part) && nth-- == 0) {
            return inode;
        }
    }
    UNREACHABLE();
}

/* Rather a block that was written than one of the zeros behind them. */
static uint64_t
block_draw(struct sim_world *world, const struct sim_inode *inode)
{
    uint64_t blocks = inode->size / IO_BLOCK_BYTES;
    uint64_t index = 0;

    for (uint32_t tries = 0; tries < 16; tries++) {
        index = sim_prng_below(world, blocks);
        if (index < inode->block_count && inode->blocks[index].current != NULL) {
            break;
        }
    }
    return index;
}

bool
sim_disk_flip_any(struct sim_world *world, const char *path_part)
{
    struct sim_inode *inode = sim_disk_draw_file(world, path_part);
    uint64_t index;

    if (inode == NULL) {
        return false;
    }
    index = block_draw(world, inode);
    inode_flip(world, inode,
               index * 8 * IO_BLOCK_BYTES + sim_prng_below(world, UINT64_C(8) * IO_BLOCK_BYTES));
    return true;
}
